/** What a request takes when the lists of its type are empty, and what becomes of the pageblock: one call each. Spec §5.7, §3.7. */

import { describe, expect, it } from 'vitest'
import { listen } from '../../src/buddy/context'
import { removeBlock } from '../../src/buddy/fallback'
import {
  adoptBlock,
  type BuddyAllocator,
  GFP_KERNEL,
  loadZones,
  nodeState,
  noPageTrace,
  toPfn,
  type ZoneState,
} from '../../src/index'
import { ALLOC_CMA, ALLOC_KSWAPD, ALLOC_NOFRAGMENT } from '../../src/page/allocFlags'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import {
  HEADER_MOBILITY_DISABLED,
  PAGE_FLAGS,
  ZONE_BOOST,
  ZONE_BOOSTED_WATERMARK,
  ZONE_FLAGS,
} from '../../src/state/schema'
import { flatMachine, withMobility, zoneOf } from './machines'
import { zone } from './zoneState'

type Lists = ZoneState['freeLists']
const [U, M, E] = [0, 1, 2]

function machine(
  pageblocks: string,
  freeLists: Lists,
  given: Partial<ZoneState> = {},
): BuddyAllocator {
  let free = 0
  for (const [order, types] of Object.entries(freeLists))
    free += Object.values(types).flat().length << Number(order)
  return loadZones([zone({ pageblocks, freeLists, free, ...given })])
}

function remove(pages: BuddyAllocator, order: number, type: number, flags = 0): number {
  return removeBlock(pages.context, zoneOf(pages, 0, 2), order, type, flags)
}

/** Free blocks, and types of the pageblocks. */
function look(pages: BuddyAllocator): [Lists, string] {
  const { freeLists, pageblocks } = nodeState(pages)[0] ?? expect.fail('no zone')
  return [freeLists, pageblocks]
}

describe('a block is taken', () => {
  const CMA_ALIKE = { '3': { '1': [0], '4': [512] } }
  const MOSTLY_CMA = { '0': { '1': [0] }, '3': { '4': [512] } }
  it.each<
    [
      where: string,
      types: string,
      lists: Lists,
      order: number,
      type: number,
      flags: number,
      pfn: number,
    ]
  >([
    ['of CMA while most free pages are', '14111111', MOSTLY_CMA, 0, M, ALLOC_CMA, 512],
    ['of its type for who may not use CMA', '14111111', MOSTLY_CMA, 0, M, 0, 0],
    ['of its type while half of the free pages are CMA', '14111111', CMA_ALIKE, 0, M, ALLOC_CMA, 0],
    [
      'of its type where CMA has none as large',
      '14111111',
      { '3': { '1': [0] }, '2': { '4': [512, 520, 528] } },
      3,
      M,
      ALLOC_CMA,
      0,
    ],
    [
      'of CMA before another type',
      '04111111',
      { '3': { '2': [0], '4': [512] } },
      0,
      M,
      ALLOC_CMA,
      512,
    ],
    [
      'of another type, where CMA is not for it',
      '04111111',
      { '3': { '2': [0], '4': [512] } },
      0,
      M,
      0,
      0,
    ],
    ['nowhere, when CMA is all there is', '04111111', { '3': { '4': [512] } }, 0, U, 0, -1],
    [
      'of RECLAIMABLE first, for UNMOVABLE',
      '21111111',
      { '3': { '1': [512], '2': [0] } },
      0,
      U,
      0,
      0,
    ],
    [
      'of UNMOVABLE first, for RECLAIMABLE',
      '01111111',
      { '3': { '0': [0], '1': [512] } },
      0,
      E,
      0,
      0,
    ],
    [
      'of RECLAIMABLE first, for MOVABLE',
      '20111111',
      { '3': { '0': [512], '2': [0] } },
      3,
      M,
      0,
      0,
    ],
    ['of the largest block', '11111111', { '3': { '1': [0] }, '5': { '1': [512] } }, 0, U, 0, 512],
    [
      'of the smallest, for MOVABLE, where all are small',
      '00000000',
      { '0': { '0': [512] }, '3': { '0': [8] } },
      0,
      M,
      0,
      512,
    ],
    [
      'of the largest, for MOVABLE, from order 4 on',
      '00000000',
      { '0': { '0': [512] }, '4': { '0': [16] } },
      0,
      M,
      0,
      16,
    ],
    [
      'of no mixed pageblock, where that is to be avoided',
      '11111111',
      { '8': { '1': [0] } },
      0,
      U,
      ALLOC_NOFRAGMENT,
      -1,
    ],
    ['of a whole pageblock, though', '11111111', { '9': { '1': [0] } }, 0, U, ALLOC_NOFRAGMENT, 0],
  ])('%s', (_where, types, lists, order, type, flags, pfn) => {
    const pages = machine(types, lists)
    expect(remove(pages, order, type, flags)).toBe(pfn)
    if (pfn < 0) expect(look(pages)).toEqual([lists, types])
  })

  it('not of order 9 for order 10, and nothing is claimed for that', () => {
    const lists = { '9': { '1': [0] } }
    const pages = machine('11111111', lists)
    for (const flags of [0, ALLOC_NOFRAGMENT]) {
      expect(remove(pages, 10, U, flags)).toBe(-1)
      expect(look(pages)).toEqual([lists, '11111111'])
    }
  })

  it('out of a run of fresh blocks, of which the others keep their type and place', () => {
    const pages = withMobility(flatMachine(4096))
    const [lists] = look(pages)
    const type = Object.keys(lists['10'] ?? {})[0] ?? ''
    expect(lists).toEqual({ '10': { [type]: [0, 1024, 2048, 3072] } })
    const other = type === '1' ? U : M
    expect(remove(pages, 10, other)).toBe(0)
    expect(look(pages)[0]).toEqual({ '10': { [type]: [1024, 2048, 3072] } })
    expect(remove(pages, 10, other)).toBe(1024)
    expect(look(pages)[0]).toEqual({ '10': { [type]: [2048, 3072] } })
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
  })
})

describe('the pageblock of a stolen block', () => {
  /** Frames that are in use and on an LRU list. */
  function use(pages: BuddyAllocator, start: number, end: number): void {
    for (let pfn = start; pfn < end; pfn++) {
      adoptBlock(pages, toPfn(pfn))
      pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_LRU
    }
  }

  it.each<
    [what: string, types: string, lists: Lists, type: number, lru: [number, number], after: string]
  >([
    [
      'is claimed when half of it is free',
      '11111111',
      { '8': { '1': [0] } },
      U,
      [0, 0],
      '01111111',
    ],
    [
      'is claimed of MOVABLE for what is in use there, which cannot be moved',
      '11111111',
      { '4': { '1': [0] } },
      U,
      [0, 0],
      '01111111',
    ],
    [
      'stays MOVABLE while half of it can be moved',
      '11111111',
      { '4': { '1': [0] } },
      U,
      [200, 500],
      '11111111',
    ],
    [
      'stays what it was for another of its kind',
      '22222222',
      { '4': { '2': [0] } },
      U,
      [0, 0],
      '22222222',
    ],
    [
      'is claimed for MOVABLE when half of it can be moved',
      '00000000',
      { '4': { '0': [0] } },
      M,
      [100, 340],
      '10000000',
    ],
    [
      'stays with its owner when a little less can',
      '00000000',
      { '4': { '0': [0] } },
      M,
      [100, 339],
      '00000000',
    ],
    [
      'is claimed whole with a block of its size',
      '11111111',
      { '9': { '1': [512] } },
      U,
      [0, 0],
      '10111111',
    ],
    [
      'is claimed with the next one, with a block of both',
      '11111111',
      { '10': { '1': [1024] } },
      U,
      [0, 0],
      '11001111',
    ],
  ])('%s', (_what, types, lists, type, [from, to], after) => {
    const pages = machine(types, lists)
    use(pages, from, to)
    expect(remove(pages, 0, type)).toBeGreaterThanOrEqual(0)
    expect(look(pages)[1]).toBe(after)
  })

  it('gives its other free blocks with it', () => {
    const pages = machine('11111111', { '0': { '1': [20, 600] }, '4': { '1': [0] } })
    expect(remove(pages, 0, U)).toBe(20)
    expect(look(pages)[0]).toEqual({ '0': { '1': [600] }, '4': { '0': [0] } })
  })

  it('keeps its type where it reaches beyond the zone', () => {
    const pages = machine('11111111', { '4': { '1': [3584] } }, { spanned: 3840, present: 3840 })
    expect(remove(pages, 4, U)).toBe(3584)
    expect(look(pages)).toEqual([{}, '11111111'])
  })

  it('is always claimed on a machine without mobility grouping', () => {
    const pages = machine('22222222', { '4': { '2': [0] } })
    pages.words[HEADER_MOBILITY_DISABLED] = 1
    expect(remove(pages, 4, U)).toBe(0)
    expect(look(pages)[1]).toBe('02222222')
  })

  it.each([
    [{}, ALLOC_KSWAPD, 512, ZONE_BOOSTED_WATERMARK],
    [{}, 0, 512, 0],
    [{ watermark: { min: 0, low: 0, high: 0 } }, ALLOC_KSWAPD, 0, 0],
    [{ managed: 2047 }, ALLOC_KSWAPD, 0, 0],
    [
      { managed: 2048, boost: 100, watermark: { min: 1, low: 2, high: 400 } },
      ALLOC_KSWAPD,
      600,
      ZONE_BOOSTED_WATERMARK,
    ],
  ])('raises the marks of the zone: %j, with flags %i by %i', (given, flags, boost, mark) => {
    const pages = machine('11111111', { '4': { '1': [0] } }, given)
    expect(remove(pages, 0, U, flags)).toBe(0)
    const record = zoneOf(pages, 0, 2)
    expect(pages.words[record + ZONE_BOOST]).toBe(boost)
    expect(pages.words[record + ZONE_FLAGS]).toBe(mark)
  })
})

it('a steal is traced with both orders and types, and whether the pageblock went too', () => {
  const seen: unknown[] = []
  const trace = { ...noPageTrace, extfrag: (...event: unknown[]) => void seen.push(event) }
  for (const lists of [{ '9': { '1': [0] } }, { '3': { '1': [512] } }]) {
    const pages = machine('11111111', lists)
    listen(pages.context, trace)
    for (let pfn = 600; pfn < 900; pfn++) {
      adoptBlock(pages, toPfn(pfn))
      pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_LRU
    }
    remove(pages, 1, E)
  }
  expect(seen).toEqual([
    [0, 1, 9, E, M, true],
    [512, 1, 3, E, M, false],
  ])
})
