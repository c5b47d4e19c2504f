/** Bytes at kernel addresses: over the ends of pages that lie apart, at frame 0, and where there is no memory. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { PAGE_SIZE } from '../../src/base/units'
import { ioremap } from '../../src/vmalloc/ioremap'
import {
  copyMemory,
  leftInPage,
  physicalAt,
  readMemory,
  writeMemory,
} from '../../src/vmalloc/kernelMemory'
import { vmap } from '../../src/vmalloc/vmap'
import { must } from '../slab/machines'
import { pa, takeFrames, va, vmHash, vmMachine } from './machines'

const PAGE = PAGE_SIZE
const { directMap, directMapStart } = LAYOUT_X86_64
const machine = vmMachine({ mib: 2, vm: { maxRecords: 64, populate: false } })
const c = machine.vm.context
// Mapped the wrong way round: no page lies behind the one before it.
const frames = takeFrames(machine, 6).sort((a, b) => b - a)
const from = must(vmap(machine.vm, frames.slice(0, 3)))
const to = must(vmap(machine.vm, frames.slice(3)))
const io = must(ioremap(machine.vm, pa(0xfed00000), PAGE))
const pattern = Uint8Array.from({ length: 2 * PAGE }, (_, i) => (i * 7 + (i >> 8)) & 0xff)

/** The bytes of pages, each from RAM by its frame. */
function inRam(pfns: readonly number[]): number[] {
  return pfns.flatMap((pfn) => Array.from(machine.ram.bytes(pa(pfn * PAGE), PAGE)))
}

/** The bytes of three pages that are 0 but for some from an offset on. */
function expected(offset: number, bytes: Uint8Array): number[] {
  const all = new Uint8Array(3 * PAGE)
  all.set(bytes, offset)
  return Array.from(all)
}

describe('bytes at kernel addresses', () => {
  it.each([0, 1, 100, PAGE - 1])('cross pages, from offset %i on', (offset) => {
    for (const pfn of frames) machine.ram.bytes(pa(pfn * PAGE), PAGE).fill(0)
    writeMemory(c, va(from + offset), pattern)
    expect(inRam(frames.slice(0, 3))).toEqual(expected(offset, pattern))
    const target = new Uint8Array(pattern.length)
    readMemory(c, from + offset, target)
    expect(target).toEqual(pattern)
    copyMemory(c, to + 300, from + offset, pattern.length)
    expect(inRam(frames.slice(3))).toEqual(expected(300, pattern))
    expect(inRam(frames.slice(0, 3))).toEqual(expected(offset, pattern))
  })

  it('are where the tables or the direct map say', () => {
    expect(physicalAt(c, from + PAGE + 5)).toBe(frames[1]! * PAGE + 5)
    expect(physicalAt(c, directMap)).toBe(0)
    expect(physicalAt(c, directMapStart)).toBe(directMapStart - directMap)
    expect(physicalAt(c, directMap + 4 * PAGE + 1)).toBe(4 * PAGE + 1)
    expect(physicalAt(c, directMap + 2 ** 21)).toBe(-1)
    expect(physicalAt(c, from + 3 * PAGE)).toBe(-1)
    expect(physicalAt(c, io)).toBe(-1)
    const byte = new Uint8Array(1)
    machine.ram.bytes(pa(0), 1)[0] = 0x5a
    readMemory(c, directMap, byte)
    expect(byte[0]).toBe(0x5a)
  })

  it('are so many to the end of a page', () => {
    expect([0, 1, PAGE - 1, PAGE, 5 * PAGE + 96].map(leftInPage)).toEqual([
      PAGE,
      PAGE - 1,
      1,
      PAGE,
      PAGE - 96,
    ])
  })

  it.each<[what: string, call: () => void, text: RegExp]>([
    ['a copy from a guard page', () => copyMemory(c, to, from + 2 * PAGE, PAGE + 1), /^from/],
    ['a copy to a guard page', () => copyMemory(c, to + 2 * PAGE, from, PAGE + 1), /^to/],
    [
      'reading a guard page',
      () => readMemory(c, from + PAGE, new Uint8Array(2 * PAGE + 1)),
      /^add/,
    ],
    ['writing a guard page', () => writeMemory(c, va(from + PAGE), new Uint8Array(8193)), /^add/],
    ['reading what is no memory', () => readMemory(c, io, new Uint8Array(1)), /^address/],
    [
      'reading no memory of the direct map',
      () => readMemory(c, directMap + 2 ** 21, pattern),
      /^a/,
    ],
    ['the limit', () => readMemory(c, c.space.limit, new Uint8Array(0)), /^address/],
    ['bytes beyond the limit', () => readMemory(c, c.space.limit - 1, new Uint8Array(2)), /^bytes/],
    ['a part of an address', () => readMemory(c, from + 0.5, new Uint8Array(0)), /^address/],
  ])('%s is refused, and nothing changes', (_what, call, text) => {
    writeMemory(c, from, pattern)
    const before = vmHash(machine)
    expect(call).toThrow(InvalidArgument)
    expect(call).toThrow(text)
    expect(vmHash(machine)).toBe(before)
  })

  it('none are none, wherever', () => {
    readMemory(c, c.space.limit - 1, new Uint8Array(0))
    copyMemory(c, io, 0, 0)
  })
})
