import { describe, expect, it } from 'vitest'
import * as pageFlags from '../../src/page/pageFlags'
import { formatPageFlags, formatPageFlagsAndPlace } from '../../src/page/pageFlags'

// In print order.
const BITS: [name: string, bit: number][] = [
  ['locked', 0],
  ['waiters', 7],
  ['error', 8],
  ['referenced', 1],
  ['uptodate', 2],
  ['dirty', 3],
  ['lru', 4],
  ['active', 5],
  ['workingset', 6],
  ['slab', 9],
  ['owner_priv_1', 10],
  ['arch_1', 11],
  ['reserved', 12],
  ['private', 13],
  ['private_2', 14],
  ['writeback', 15],
  ['head', 16],
  ['mappedtodisk', 17],
  ['reclaim', 18],
  ['swapbacked', 19],
  ['unevictable', 20],
  ['mlocked', 21],
  ['arch_2', 22],
]

describe('page flags', () => {
  it.each(BITS)('%s is bit %i', (name, bit) => {
    const constants = new Map<string, unknown>(Object.entries(pageFlags))
    expect(constants.get(`PG_${name.toUpperCase()}`)).toBe(1 << bit)
    expect(formatPageFlags(1 << bit)).toBe(name)
  })

  it('there are 23', () => {
    expect(BITS.length).toBe(pageFlags.NR_PAGEFLAGS)
    expect(pageFlags.PAGE_FLAGS_CHECK_AT_PREP).toBe(2 ** pageFlags.NR_PAGEFLAGS - 1)
  })

  it('the flags checked at free are those that the kernel checks', () => {
    expect(formatPageFlags(pageFlags.PAGE_FLAGS_CHECK_AT_FREE).split('|').sort()).toEqual(
      [
        ...['lru', 'locked', 'private', 'private_2', 'writeback', 'reserved', 'slab', 'active'],
        ...['unevictable', 'mlocked'],
      ].sort(),
    )
  })
})

describe('formatPageFlags', () => {
  it('prints all names in print order', () => {
    expect(formatPageFlags(0x7fffff)).toBe(BITS.map(([name]) => name).join('|'))
  })

  it('prints nothing for no flag, and ignores higher bits', () => {
    expect(formatPageFlags(0)).toBe('')
    expect(formatPageFlags(-0x800000)).toBe('')
    expect(formatPageFlags(-1)).toBe(formatPageFlags(0x7fffff))
  })

  it('orders by print order, not by bit', () => {
    expect(formatPageFlags(0x1 | 0x2 | 0x80)).toBe('locked|waiters|referenced')
  })
})

describe('formatPageFlagsAndPlace', () => {
  it('adds node and zone, alone when there is no name', () => {
    expect(formatPageFlagsAndPlace(0, 1, 2)).toBe('node=1|zone=2')
    expect(formatPageFlagsAndPlace(0x14, 0, 1)).toBe('uptodate|lru|node=0|zone=1')
  })
})
