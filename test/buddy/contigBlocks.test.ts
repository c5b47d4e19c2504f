/**
 * Contiguous ranges, pageblock by pageblock: what of a range is refused untouched, what is left behind by one that failed
 * half-way, and what by one that was taken. Spec §8.7.
 */

import { describe, expect, it } from 'vitest'
import {
  adoptBlock,
  allocContigPages,
  allocContigRange,
  type BuddyAllocator,
  EBUSY,
  EINVAL,
  freeContigRange,
  GFP_KERNEL,
  InvalidArgument,
  loadZones,
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  nodeState,
  stateHash,
  toPfn,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_HEAD, PG_LRU, PG_RESERVED } from '../../src/page/pageFlags'
import { PAGE_FLAGS, ZONE_FREE_CMA, ZONE_NR_ISOLATE } from '../../src/state/schema'
import { flatMachine, freePagesOf, thrownBy, twoNodes, zoneOf } from './machines'
import { zone } from './zoneState'

type Lists = Record<string, Record<string, number[]>>
/** A block in use: its first frame, its order, flags of its first page. */
type Used = readonly [pfn: number, order: number, flags?: number]

/** A zone of eight pageblocks, of these types, with these free blocks. Frames that are in no block stand in nobody's way. */
function machine(
  pageblocks: string,
  freeLists: Lists,
  used: readonly Used[] = [],
  name: 'Normal' | 'Movable' = 'Normal',
): BuddyAllocator {
  let free = 0
  for (const [order, types] of Object.entries(freeLists)) {
    for (const [type, pfns] of Object.entries(types)) {
      if (type !== '5') free += pfns.length << Number(order)
    }
  }
  const pages = loadZones([zone({ name, free, freeLists, pageblocks })])
  for (const [pfn, order, flags = 0] of used) {
    adoptBlock(pages, toPfn(pfn), order)
    pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= flags
  }
  return pages
}

/** Types of the pageblocks, free blocks, free pages, free pages of CMA, isolated pageblocks. */
function look(pages: BuddyAllocator, index = 2): unknown[] {
  const { pageblocks, freeLists } = nodeState(pages, 0)[0] ?? expect.fail('no zone')
  const record = zoneOf(pages, 0, index)
  const { words } = pages
  return [
    pageblocks,
    freeLists,
    freePagesOf(pages, record),
    words[record + ZONE_FREE_CMA],
    words[record + ZONE_NR_ISOLATE],
  ]
}

/** The call for `[start, end)`. */
function take(pages: BuddyAllocator, start: number, end: number, type?: number): number {
  return allocContigRange(pages, toPfn(start), toPfn(end), type)
}

const COMPOUND = PG_HEAD
const MOVED = PG_HEAD | PG_LRU

describe('a range is refused, and nothing changes,', () => {
  it.each<[why: string, used: Used[], start: number, end: number]>([
    ['for a page in use in its pageblock', [[5, 0]], 100, 200],
    ['for a page in use behind it', [[511, 0]], 0, 1],
    ['for a compound page', [[64, 3, COMPOUND]], 100, 200],
    ['for a compound page that begins in the pageblock before', [[0, 10, COMPOUND]], 600, 700],
    [
      'for a page in use behind a compound page on an LRU list',
      [
        [0, 3, MOVED],
        [8, 0],
      ],
      100,
      200,
    ],
    ['for a reserved page, whatever list it is on', [[3, 0, PG_RESERVED | PG_LRU]], 100, 200],
  ])('%s', (_why, used, start, end) => {
    const pages = machine('00000000', { '10': { '0': [2048, 3072] } }, used)
    const before = stateHash(pages)
    expect(take(pages, start, end)).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
  })

  it('for a reserved page in the Movable zone, where all others can be moved', () => {
    const lists = { '9': { '0': [512] } }
    const pages = machine('00000000', lists, [[7, 0, PG_RESERVED]], 'Movable')
    const before = stateHash(pages)
    expect(take(pages, 100, 200)).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
  })

  it('for a pageblock that is isolated already', () => {
    const pages = machine('50000000', { '9': { '0': [512], '5': [0] } })
    const before = stateHash(pages)
    expect(take(pages, 0, 512)).toBe(EBUSY)
    expect(take(pages, 100, 700)).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
  })

  it('for a pageblock of CMA, which only CMA gets', () => {
    const pages = machine('44000000', { '9': { '4': [0] } })
    const before = stateHash(pages)
    expect(take(pages, 0, 100)).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
    expect(take(pages, 0, 100, MIGRATE_CMA)).toBe(0)
  })

  it('in a pageblock that reaches beyond its zone', () => {
    const pages = flatMachine(3840)
    const before = stateHash(pages)
    expect(take(pages, 3600, 3700)).toBe(EBUSY)
    expect(take(pages, 3072, 3700)).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
  })

  it('outside of one zone', () => {
    expect([EBUSY, EINVAL]).toEqual([-16, -22])
    const pages = twoNodes()
    const before = stateHash(pages)
    expect(take(pages, 4000, 4097)).toBe(EINVAL)
    expect(stateHash(pages)).toBe(before)
    // The last frames of a zone are all its own.
    expect(take(pages, 4000, 4096)).toBe(0)
  })
})

describe('a range that cannot be taken after all leaves pageblocks of the new type:', () => {
  const FREE = { '9': { '0': [512, 1536, 2560] } }
  it.each<[why: string, used: Used[], start: number, end: number, types: string]>([
    ['the first, when the last one cannot be isolated', [[2048, 0]], 512, 2100, '01000000'],
    ['all but those from one in between on', [[2048, 0]], 512, 3000, '01110100'],
    ['its own, when a page on an LRU list is in use', [[0, 0, PG_LRU]], 0, 100, '10000000'],
    ['its own, for a compound page on an LRU list', [[64, 3, MOVED]], 0, 200, '10000000'],
    ['its own, for frames in no block', [], 2048, 2049, '00001000'],
    [
      'the first, when a large page lies across the lower end',
      [[0, 10, MOVED]],
      512,
      2048,
      '01000000',
    ],
    ['first and last, for one across the upper end', [[3072, 10, MOVED]], 512, 3584, '01000010'],
  ])('%s', (_why, used, start, end, types) => {
    const lists = used.some(([pfn, order]) => pfn === 0 && order === 10)
      ? { '9': { '0': [1536, 2560] } }
      : FREE
    const pages = machine('00000000', lists, used)
    const [, , free] = look(pages)
    expect(take(pages, start, end)).toBe(EBUSY)
    const moved = (type: string) => lists['9']['0'].filter((pfn) => types[pfn / 512] === type)
    const nine = Object.fromEntries(
      ['0', '1'].flatMap((type) => (moved(type).length > 0 ? [[type, moved(type)]] : [])),
    )
    expect(look(pages)).toEqual([types, { '9': nine }, free, 0, 0])
  })

  it('CMA again, with its pages counted', () => {
    const pages = machine('44000000', { '8': { '4': [256] }, '9': { '4': [512] } }, [[0, 0]])
    expect(take(pages, 0, 600, MIGRATE_CMA)).toBe(EBUSY)
    expect(look(pages)).toEqual([
      '44000000',
      { '8': { '4': [256] }, '9': { '4': [512] } },
      768,
      768,
      0,
    ])
  })

  it('two free pageblocks that are alike now are one block', () => {
    const pages = machine('00000000', { '9': { '0': [512, 0] } }, [[1024, 0]])
    expect(take(pages, 512, 1100)).toBe(EBUSY)
    expect(look(pages)).toEqual(['01000000', { '10': { '1': [0] } }, 1024, 0, 0])
  })
})

describe('a range that is taken', () => {
  it('leaves the rest of its blocks free, and the pages before and behind it', () => {
    // Frame 511 is in no block: the pages up to it are free in blocks of all orders.
    const pages = machine('00000000', {
      '0': { '0': [510] },
      '1': { '0': [508] },
      '2': { '0': [504] },
    })
    expect(take(pages, 505, 511)).toBe(0)
    expect(look(pages)).toEqual(['10000000', { '0': { '1': [504] } }, 1, 0, 0])
    freeContigRange(pages, toPfn(505), 6)
    expect(thrownBy(() => freeContigRange(pages, toPfn(505), 1))).toMatchObject({
      code: 'DOUBLE_FREE',
    })
  })

  it('splits a block of order 10 at its edges, each half of its own type', () => {
    const pages = machine('00000000', { '10': { '0': [0, 1024] } })
    expect(take(pages, 600, 1100)).toBe(0)
    const [types, lists, free, cma, isolated] = look(pages)
    expect([types, free, cma, isolated]).toEqual(['01100000', 2048 - 500, 0, 0])
    expect((lists as Lists)['9']).toEqual({ '0': [1536, 0] })
  })

  it('of CMA is counted as such, also in a block of order 10 that it has half of', () => {
    const pages = machine('44000000', { '10': { '4': [0] } })
    expect(take(pages, 512, 1024, MIGRATE_CMA)).toBe(0)
    expect(look(pages)).toEqual(['44000000', { '9': { '4': [0] } }, 512, 512, 0])
    freeContigRange(pages, toPfn(512), 512)
    pages.drainAllPages()
    expect(take(pages, 0, 512, MIGRATE_CMA)).toBe(0)
    expect(look(pages)).toEqual(['44000000', { '9': { '4': [512] } }, 512, 512, 0])
  })

  it('can be all there is between two pages of others', () => {
    const pages = machine('00000000', { '9': { '0': [512] } }, [
      [511, 0],
      [1024, 0],
    ])
    expect(take(pages, 512, 1024, MIGRATE_MOVABLE)).toBe(0)
    expect(look(pages)).toEqual(['01000000', {}, 0, 0, 0])
  })
})

describe('contiguous pages anywhere', () => {
  it('pass by a range with a reserved page without a change to it', () => {
    const free = { '9': { '0': [0, 1024, 2048] }, '10': { '0': [3072] } }
    const pages = machine('00000000', free, [
      [1023, 0, PG_RESERVED],
      [2047, 0, PG_RESERVED],
      [3071, 0, PG_RESERVED],
    ])
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBe(3072)
    expect(look(pages)).toEqual(['00000011', { '9': { '0': [0, 1024, 2048] } }, 1536, 0, 0])
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBeNull()
    expect(look(pages)[0]).toBe('00000011')
  })

  it('are freed only as far as there are frames', () => {
    const pages = machine('00000000', {})
    const end = pages.context.maxPfn
    for (const count of [0, 97, 0.5]) {
      const error = thrownBy(() => freeContigRange(pages, toPfn(end - 96), count))
      expect(error).toBeInstanceOf(InvalidArgument)
    }
  })
})
