/** Addresses of 64 bits, and the gaps of formats. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { checkVirtual, gapOf } from '../../src/paging/virtualAddress'
import { FORMATS } from './spaces'

describe('checkVirtual', () => {
  it.each([0, 1, 4095, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64 - 2048])('takes %d', (address) => {
    expect(() => checkVirtual('address', address)).not.toThrow()
  })

  const bad = [-1, -(2 ** 63), 0.5, -0.5, 2 ** 64, 2 ** 65, Number.NaN, Number.POSITIVE_INFINITY]
  it.each([...bad, -Infinity, '1', null, undefined, 1n])('refuses %s', (address) => {
    expect(() => checkVirtual('from', address as number)).toThrow(InvalidArgument)
    expect(() => checkVirtual('from', address as number)).toThrow(/\bfrom\b/)
  })
})

it('the gap is below the upper half; 32 bits have none', () => {
  const gaps = Object.fromEntries(FORMATS.map(([name, format]) => [name, gapOf(format)]))
  expect(gaps).toEqual({
    x86_64: 2 ** 47,
    'x86_64 LA57': 2 ** 56,
    i386: Number.POSITIVE_INFINITY,
    'i386 PAE': Number.POSITIVE_INFINITY,
    Sv39: 2 ** 38,
    Sv48: 2 ** 47,
    Sv57: 2 ** 56,
    arm64: 2 ** 48,
    'arm64 39-bit': 2 ** 39,
  })
})
