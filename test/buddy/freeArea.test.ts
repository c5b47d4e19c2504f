/** Free areas, call by call: which list a block goes to and where on it, what merges with what, what a pageblock becomes. Spec §5.6, §5.8, §7.5. */

import { describe, expect, it } from 'vitest'
import { listen } from '../../src/buddy/context'
import {
  countMovablePages,
  freeOnePage,
  moveFreePages,
  pcpAllowed,
  removeFreeBlock,
  setPageblockType,
  takeSmallest,
} from '../../src/buddy/freeArea'
import {
  adoptBlock,
  type BuddyAllocator,
  loadZones,
  nodeState,
  toPfn,
  type ZoneState,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import {
  HEADER_MOBILITY_DISABLED,
  PAGE_FLAGS,
  PAGE_REFS,
  ZONE_NR_FREE,
} from '../../src/state/schema'
import { noPageTrace } from '../../src/state/trace'
import { pageblockType } from '../../src/zone/pageblock'
import { freeHead, freePagesOf, listed, zoneOf } from './machines'
import { zone } from './zoneState'

type Lists = ZoneState['freeLists']

/** One zone of eight pageblocks. */
function one(freeLists: Lists, pageblocks = '11111111'): { pages: BuddyAllocator; record: number } {
  const pages = loadZones([zone({ freeLists, pageblocks })])
  return { pages, record: zoneOf(pages, 0, 2) }
}

/** Zone DMA up to `border`, zone Normal behind it. */
function two(
  border: number,
  low: Lists,
  high: Lists,
): { pages: BuddyAllocator; low: number; high: number } {
  const blocks = (start: number, end: number) =>
    '1'.repeat(Math.ceil(end / 512) - Math.floor(start / 512))
  const part = (name: ZoneState['name'], start: number, end: number, freeLists: Lists) =>
    zone({ name, startPfn: start, spanned: end - start, freeLists, pageblocks: blocks(start, end) })
  const pages = loadZones([part('DMA', 0, border, low), part('Normal', border, 4096, high)])
  return { pages, low: zoneOf(pages, 0, 0), high: zoneOf(pages, 0, 2) }
}

/** Frees the block at `pfn`, which nobody knew of, to the lists of `type`. */
function free(
  pages: BuddyAllocator,
  record: number,
  pfn: number,
  order: number,
  type: number,
  toTail = false,
): void {
  freeOnePage(pages.context, record, pfn, order, type, toTail)
}

it('blocks of orders 0 to 3, and 9, go through page lists', () => {
  const orders = Array.from({ length: 11 }, (_, order) => order)
  expect(orders.filter(pcpAllowed)).toEqual([0, 1, 2, 3, 9])
})

describe('a block that is taken', () => {
  it.each([
    [0, 0, true],
    [3, 2, true],
    [4, 1, false],
    [9, 1, true],
    [10, 0, false],
    [0, 3, false],
    [2, 4, false],
    [9, 5, false],
  ])('of order %i and type %i is traced as one for a page list: %s', (order, type, forList) => {
    const { pages, record } = one({ '10': { [type]: [1024] } })
    const seen: unknown[] = []
    listen(pages.context, { ...noPageTrace, zoneLocked: (...event) => void seen.push(event) })
    expect(takeSmallest(pages.context, record, order, type)).toBe(1024)
    expect(seen).toEqual([[1024, order, type, forList]])
    expect(pages.words[pageRecord(1024) + PAGE_REFS]).toBe(-1 - type)
    listen(pages.context, null)
    expect(takeSmallest(pages.context, record, 10, type)).toBe(-1)
    expect(seen).toHaveLength(1)
  })

  it('leaves its upper halves, each at the head of its list', () => {
    const { pages, record } = one({ '2': { '1': [100] }, '4': { '1': [32] } })
    expect(takeSmallest(pages.context, record, 3, 1)).toBe(32)
    expect(takeSmallest(pages.context, record, 0, 1)).toBe(100)
    expect(nodeState(pages)[0]?.freeLists).toEqual({
      '0': { '1': [101] },
      '1': { '1': [102] },
      '3': { '1': [40] },
    })
  })

  it('by name has no flags left, and is not counted', () => {
    const { pages, record } = one({ '4': { '1': [32, 64] } })
    removeFreeBlock(pages.context, record, 32, 4)
    expect(pages.words[pageRecord(32) + PAGE_FLAGS]).toBe(0)
    expect(listed(pages, freeHead(record, 4, 1))).toEqual([64])
    expect(pages.words[record + ZONE_NR_FREE + 4]).toBe(1)
  })
})

describe('a block that is given back', () => {
  it.each<[what: string, pageblocks: string, buddy: number, type: number, merged: Lists]>([
    ['of types that may mix', '01111111', 0, 1, { '10': { '1': [0] } }],
    ['of the same type of CMA', '44111111', 4, 4, { '10': { '4': [0] } }],
    ['but for the high-atomic reserve', '31111111', 3, 1, { '9': { '1': [512], '3': [0] } }],
    ['but for CMA', '41111111', 4, 1, { '9': { '1': [512], '4': [0] } }],
  ])('merges with its buddy from order 9 on: %s', (_what, pageblocks, buddy, type, merged) => {
    const { pages, record } = one({ '9': { [buddy]: [0] } }, pageblocks)
    free(pages, record, 512, 9, type)
    expect(nodeState(pages)[0]?.freeLists).toEqual(merged)
  })

  it('into the high-atomic reserve does not merge with what is outside', () => {
    const { pages, record } = one({ '9': { '1': [512] } }, '31111111')
    free(pages, record, 0, 9, 3)
    expect(nodeState(pages)[0]?.freeLists).toEqual({ '9': { '1': [512], '3': [0] } })
  })

  it('merges below order 9 whatever the types, and is counted but for ISOLATE', () => {
    const { pages, record } = one({ '0': { '3': [0] } }, '31111111')
    const before = freePagesOf(pages, record)
    free(pages, record, 1, 0, 0)
    expect(nodeState(pages)[0]?.freeLists).toEqual({ '1': { '0': [0] } })
    expect(freePagesOf(pages, record)).toBe(before + 1)
    free(pages, record, 1024, 3, 5)
    expect(freePagesOf(pages, record)).toBe(before + 1)
  })

  it('stays apart from a buddy of another zone', () => {
    const at512 = two(512, {}, { '9': { '1': [512] } })
    free(at512.pages, at512.low, 0, 9, 1)
    expect(listed(at512.pages, freeHead(at512.low, 9, 1))).toEqual([0])
    const at8 = two(8, {}, { '3': { '1': [8] } })
    free(at8.pages, at8.low, 0, 3, 1)
    expect(listed(at8.pages, freeHead(at8.low, 3, 1))).toEqual([0])
    expect(listed(at8.pages, freeHead(at8.high, 3, 1))).toEqual([8])
  })

  it('waits at the end of its list when it may soon merge further, within its zone', () => {
    const order8 = (border: number) => {
      const uncle = { '9': { '1': [1536] } }
      const { pages, low } = two(
        border,
        { '8': { '1': [0] }, ...(border > 1536 ? uncle : {}) },
        border > 1536 ? {} : uncle,
      )
      free(pages, low, 1024, 8, 1)
      return listed(pages, freeHead(low, 8, 1))
    }
    expect(order8(2048)).toEqual([0, 1024])
    expect(order8(1536)).toEqual([1024, 0])
    const { pages, record } = one({ '4': { '1': [32] } })
    free(pages, record, 64, 4, 1)
    free(pages, record, 96, 4, 1, true)
    expect(listed(pages, freeHead(record, 4, 1))).toEqual([64, 32, 96])
  })
})

describe('a pageblock', () => {
  it('moves its free blocks, from the page asked for on where it begins in another zone', () => {
    const { pages, high } = two(256, { '3': { '1': [0] } }, { '3': { '1': [256, 320, 1024] } })
    expect(moveFreePages(pages.context, high, 320, 2)).toBe(8)
    expect(nodeState(pages)[1]?.freeLists).toEqual({ '3': { '1': [256, 1024], '2': [320] } })
    expect(moveFreePages(pages.context, high, 1030, 2)).toBe(8)
    expect(nodeState(pages)[1]?.freeLists).toEqual({ '3': { '1': [256], '2': [320, 1024] } })
    expect(nodeState(pages)[0]?.freeLists).toEqual({ '3': { '1': [0] } })
  })

  it('moves nothing where it reaches beyond the zone', () => {
    const { pages, low } = two(256, { '3': { '1': [0] } }, {})
    expect(moveFreePages(pages.context, low, 0, 2)).toBe(0)
    expect(nodeState(pages)[0]?.freeLists).toEqual({ '3': { '1': [0] } })
  })

  it('counts the pages on LRU lists that are in it', () => {
    const { pages } = one({})
    for (const pfn of [511, 512, 700, 1023, 1024]) {
      adoptBlock(pages, toPfn(pfn))
      pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_LRU
    }
    expect([0, 512, 1023, 1024, 1536].map((pfn) => countMovablePages(pages.context, pfn))).toEqual([
      1, 3, 3, 1, 0,
    ])
  })

  it.each([
    [0, [0, 1, 2, 3, 4, 5]],
    [1, [0, 0, 0, 3, 4, 5]],
  ])('gets a type; without mobility (%i) only that of reserves', (disabled, types) => {
    const { pages } = one({})
    pages.words[HEADER_MOBILITY_DISABLED] = disabled
    const got = [0, 1, 2, 3, 4, 5].map((type) => {
      setPageblockType(pages.context, 600, type)
      return pageblockType(pages.words, 1023)
    })
    expect(got).toEqual(types)
    expect(pageblockType(pages.words, 1024)).toBe(1)
  })
})
