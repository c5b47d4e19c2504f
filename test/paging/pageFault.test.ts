/** What the error of a page fault says. */

import { expect, it } from 'vitest'
import type { FaultReason, PageTableFormat } from '../../src/paging/format'
import { type FaultDetails, PageFault } from '../../src/paging/pageFault'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, X86_64 } from '../../src/paging/x86Format'

const FAULT: FaultDetails = {
  address: 0x1234,
  kind: 'read',
  user: false,
  reason: 'unmapped',
  code: 0x1c,
  level: 2,
}

it.each<[FaultReason, string]>([
  ['unmapped', 'nothing is mapped there'],
  ['protection', 'the mapping does not allow it'],
  ['reserved', 'an entry is malformed'],
  ['access-flag', 'the entry is not marked as used that way'],
  ['non-canonical', 'no address of the format'],
])('of the reason %s', (reason, words) => {
  const fault = new PageFault(X86_64, { ...FAULT, reason })
  expect(String(fault)).toBe(`PageFault: kernel read at 0x1234: ${words} (level PMD, code 0x1c)`)
})

it('of who did what, where', () => {
  const details: FaultDetails = { ...FAULT, kind: 'execute', user: true, level: 0, code: 5 }
  const fault = new PageFault(SV39, details)
  expect(fault.message).toBe(
    'user execute at 0x1234: nothing is mapped there (level PGD, code 0x5)',
  )
  expect(fault).toMatchObject(details)
})

it.each<[PageTableFormat, number, string]>([
  [X86_64, 0, '0x0'],
  [X86_64, 2 ** 47 - 1, '0x7fffffffffff'],
  [X86_64, 2 ** 47, '0xffff800000000000'],
  [X86_64, 2 ** 48 - 1, '0xffffffffffffffff'],
  [X86_64, 2 ** 48, '0x1000000000000'],
  [X86_64, 2 ** 63, '0x8000000000000000'],
  [SV39, 2 ** 38, '0xffffffc000000000'],
  [I386, 0x7fffffff, '0x7fffffff'],
  [I386, 0x80000000, '0x80000000'],
  [I386, 0xffffffff, '0xffffffff'],
])('of the address with its sign: %#', (format, address, text) => {
  expect(new PageFault(format, { ...FAULT, address }).message).toContain(` at ${text}: `)
})
