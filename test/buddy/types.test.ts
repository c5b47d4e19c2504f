/** Which pages a migratetype takes: CMA first or last, whole pageblocks or not, reserves given back. Spec §5.7, §3.7, §3.8. */

import { describe, expect, it } from 'vitest'
import { removeBlock, reserveHighatomic, unreserveHighatomic } from '../../src/buddy/fallback'
import {
  __GFP_HIGHMEM,
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  BuddyAllocator,
  MIGRATE_CMA as CMA,
  GFP_KERNEL,
  MIGRATE_HIGHATOMIC as HIGHATOMIC,
  MiB,
  MIGRATE_MOVABLE as MOVABLE,
  type Pfn,
  toPfn,
  MIGRATE_UNMOVABLE as UNMOVABLE,
} from '../../src/index'
import { ALLOC_CMA, ALLOC_NOFRAGMENT } from '../../src/page/allocFlags'
import {
  HEADER_BLOCKS,
  HEADER_MOBILITY_DISABLED,
  HEADER_WATERMARK_BOOST,
  ZONE_BOOST,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_QUIET,
  ZONE_WMARK,
} from '../../src/state/schema'
import { noPageTrace } from '../../src/state/trace'
import { pageblockType } from '../../src/zone/pageblock'
import { flatMachine, freeHead, listed, withMobility, withoutWatermarks, zoneOf } from './machines'

/** Four pageblocks, all in use, with these free pages, each in a pageblock of this type; the CPU keeps none. */
function machine(free: readonly (readonly [pfn: number, type: number])[], pageblocks = 4) {
  const pages = withoutWatermarks(withMobility(flatMachine(pageblocks * 512)), 1)
  while (pages.allocPages(GFP_KERNEL) !== null);
  pages.drainAllPages()
  const { words } = pages
  const blocks = words[HEADER_BLOCKS]!
  for (const [pfn, type] of free)
    words[blocks + (pfn >> 9)] = (words[blocks + (pfn >> 9)]! & ~7) | type
  for (const [pfn] of free) pages.freePages(toPfn(pfn))
  pages.drainAllPages()
  const zone = zoneOf(pages, 0, 2)
  return { pages, c: pages.context, zone, words }
}

/** Every other one of `count` pages from `start` on: no two of them are a block. */
function scattered(start: number, count: number, type: number): [number, number][] {
  return Array.from({ length: count }, (_, i) => [start + 2 * i, type])
}

describe('a request that may use CMA', () => {
  const take = (cma: number, movable: number, flags: number) => {
    const { c, zone, words } = machine([
      ...scattered(0, cma, CMA),
      ...scattered(512, movable, MOVABLE),
    ])
    words[zone + ZONE_FREE_CMA] = cma
    words[zone + ZONE_FREE_PAGES] = cma + movable
    const pfn = removeBlock(c, zone, 0, MOVABLE, flags)
    return pfn < 0 ? pfn : pfn >> 9
  }

  it.each([
    [5, 4, 0],
    [4, 4, 1],
    [5, 5, 1],
    [4, 5, 1],
    [0, 3, 1],
    [3, 0, 0],
    [1, 0, 0],
  ])('with %i of CMA free and %i others takes one of pageblock %i', (cma, movable, pageblock) => {
    expect(take(cma, movable, ALLOC_CMA)).toBe(pageblock)
  })

  it('leaves CMA to those that may when it may not', () => {
    expect(take(5, 1, 0)).toBe(1)
    expect(take(5, 0, 0)).toBe(-1)
  })

  it('takes frame 0 as well as any other', () => {
    const { c, zone } = machine([[0, CMA]])
    expect(removeBlock(c, zone, 0, MOVABLE, ALLOC_CMA)).toBe(0)
    expect(removeBlock(c, zone, 0, MOVABLE, ALLOC_CMA)).toBe(-1)
  })
})

describe('a request that would rather not mix types', () => {
  /** Free: the pages from `pfn` on, of another type. */
  const steals = (count: number, order: number, flags: number) => {
    const free = Array.from({ length: count }, (_, i) => [512 + i, UNMOVABLE] as const)
    const { c, zone } = machine(free)
    return removeBlock(c, zone, order, MOVABLE, flags)
  }

  it.each([
    [256, 0, -1],
    [256, 8, -1],
    [512, 0, 512],
    [512, 8, 512],
    [512, 9, 512],
  ])('steals of %i free pages in a pageblock, for order %i: %i', (count, order, pfn) => {
    expect(steals(count, order, ALLOC_NOFRAGMENT)).toBe(pfn)
    expect(steals(count, order, 0)).toBe(512)
  })

  it('takes a block of order 10 when it needs one', () => {
    const pages = withMobility(flatMachine(2048))
    const zone = zoneOf(pages, 0, 2)
    expect(removeBlock(pages.context, zone, 10, UNMOVABLE, ALLOC_NOFRAGMENT)).toBe(0)
    expect([0, 512, 1024].map((pfn) => pageblockType(pages.words, pfn))).toEqual([
      UNMOVABLE,
      UNMOVABLE,
      MOVABLE,
    ])
  })
})

describe('a MOVABLE steal', () => {
  // A block from half of a pageblock's order on is worth the whole pageblock.
  it.each([
    [8, UNMOVABLE],
    [16, MOVABLE],
    [32, MOVABLE],
  ])('of the largest block, of %i pages, in a pageblock with much else free', (size, type) => {
    const block = Array.from({ length: size }, (_, i) => [512 + i, UNMOVABLE] as const)
    const { c, zone } = machine([...block, ...scattered(600, 200, UNMOVABLE)])
    // More than half of the pageblock, with what is free in it.
    const pfn = removeBlock(c, zone, 0, MOVABLE, 0)
    // The smallest one when the pageblock stays with its owner, else the largest, or one moved along.
    expect(pfn >> 9).toBe(1)
    const left = ordersListed(c.words, zone, MOVABLE)
    expect(left > 0).toBe(type === MOVABLE)
  })

  /** Orders that have free blocks of a type. */
  function ordersListed(words: Int32Array, zone: number, type: number): number {
    let count = 0
    for (let order = 0; order < 11; order++) {
      const head = freeHead(zone, order, type)
      if (words[head] !== head) count += 1
    }
    return count
  }

  it('takes whole pageblocks while types are not kept apart', () => {
    const { c, zone, words } = machine(scattered(512, 40, UNMOVABLE))
    words[HEADER_MOBILITY_DISABLED] = 1
    removeBlock(c, zone, 0, MOVABLE, 0)
    expect(ordersListed(words, zone, UNMOVABLE)).toBe(0)
  })
})

describe('a pageblock changes its owner', () => {
  // For an UNMOVABLE request: what is free counts, of a MOVABLE pageblock also what is not movable.
  it.each([
    ['RECLAIMABLE', 2, 255, 2],
    ['RECLAIMABLE', 2, 256, UNMOVABLE],
    ['MOVABLE', 1, 200, UNMOVABLE],
  ])('%s with %i, and %i pages free: to %i', (_name, type, count, after) => {
    const { c, zone } = machine(scattered(512, count, type))
    expect(removeBlock(c, zone, 0, UNMOVABLE, 0) >> 9).toBe(1)
    expect(pageblockType(c.words, 512)).toBe(after)
  })

  it('is told to a listener with what it did', () => {
    const told: unknown[][] = []
    const heard = (type: number, count: number) => {
      const { pages, c, zone } = machine(scattered(512, count, type))
      told.length = 0
      pages.setTrace({ ...noPageTrace, extfrag: (...event) => told.push(event) })
      removeBlock(c, zone, 0, UNMOVABLE, 0)
      return told.map(([, ...event]) => event)
    }
    expect(heard(2, 255)).toEqual([[0, 0, UNMOVABLE, 2, false]])
    expect(heard(2, 256)).toEqual([[0, 0, UNMOVABLE, 2, true]])
    expect(heard(UNMOVABLE, 5)).toEqual([])
  })
})

describe('a boost', () => {
  const boosted = (managed: number, high: number, factor: number) => {
    const { c, zone, words } = machine(scattered(512, 5, 2), managed)
    words[zone + ZONE_WMARK + 2] = high
    words[HEADER_WATERMARK_BOOST] = factor
    words[zone + ZONE_QUIET] = 1
    removeBlock(c, zone, 0, UNMOVABLE, 0)
    return [words[zone + ZONE_BOOST], words[zone + ZONE_QUIET]]
  }

  it.each([
    ['of four pageblocks', 4, 10000, 15000, 512, 0],
    ['of three pageblocks has none', 3, 10000, 15000, 0, 1],
    ['with boosting off has none', 4, 10000, 0, 0, 1],
    ['whose high mark has no such part has none', 4, 1, 9999, 0, 1],
    ['with a low high mark has one of a pageblock', 4, 1, 10000, 512, 0],
  ])('of a zone %s', (_what, pageblocks, high, factor, boost, quiet) => {
    expect(boosted(pageblocks, high, factor)).toEqual([boost, quiet])
  })

  it.each([
    [30000, 15000, 45000],
    [10000, 15000, 15000],
    [12345, 777, 959],
    [9999, 10001, 9999],
  ])('with a high mark of %i and a factor of %i ends at %i', (high, factor, most) => {
    const { c, zone, words } = machine(scattered(512, 5, 2))
    words[zone + ZONE_WMARK + 2] = high
    words[HEADER_WATERMARK_BOOST] = factor
    words[zone + ZONE_BOOST] = most - 100
    removeBlock(c, zone, 0, UNMOVABLE, 0)
    expect(words[zone + ZONE_BOOST]).toBe(most)
  })
})

describe('the high-atomic reserve', () => {
  it('takes no more pageblocks when it has a hundredth of the zone and one more', () => {
    const pages = withMobility(flatMachine(128 * 1024))
    const zone = zoneOf(pages, 0, 2)
    const limit = Math.floor((128 * 1024) / 100) + 512
    let taken = 0
    for (let pfn = 0; pfn < 8 * 512; pfn += 512) {
      pages.words[zone + ZONE_QUIET] = 1
      reserveHighatomic(pages.context, zone, pfn)
      if (pageblockType(pages.words, pfn) !== HIGHATOMIC) break
      expect(pages.words[zone + ZONE_QUIET]).toBe(0)
      taken += 1
    }
    expect(taken).toBe(Math.ceil(limit / 512))
    expect(pages.words[zone + ZONE_HIGHATOMIC]).toBe(512 * taken)
    const other = withMobility(flatMachine(128 * 1024))
    other.words[zone + ZONE_HIGHATOMIC] = limit
    reserveHighatomic(other.context, zone, 0)
    expect(other.words[zone + ZONE_HIGHATOMIC]).toBe(limit)
    other.words[zone + ZONE_HIGHATOMIC] = limit - 1
    reserveHighatomic(other.context, zone, 0)
    expect(other.words[zone + ZONE_HIGHATOMIC]).toBe(limit - 1 + 512)
  })

  /** Two reserved pageblocks, with a few pages free in each. */
  function reserved(): { pages: BuddyAllocator; zone: number } {
    const { pages, zone } = machine([
      ...scattered(512, 3, HIGHATOMIC),
      ...scattered(1024, 3, HIGHATOMIC),
    ])
    pages.words[zone + ZONE_HIGHATOMIC] = 1024
    return { pages, zone }
  }

  it('gives its pageblocks back one by one, the last only when it must', () => {
    const { pages, zone } = reserved()
    const count = () => pages.words[zone + ZONE_HIGHATOMIC]
    const give = (force: boolean) => unreserveHighatomic(pages.context, zone, MOVABLE, force)
    expect([give(false), count()]).toEqual([true, 512])
    expect(listed(pages, freeHead(zone, 0, MOVABLE))).toHaveLength(3)
    expect([give(false), count()]).toEqual([false, 512])
    expect(listed(pages, freeHead(zone, 0, HIGHATOMIC))).toHaveLength(3)
    expect([give(true), count()]).toEqual([true, 0])
    expect(listed(pages, freeHead(zone, 0, MOVABLE))).toHaveLength(6)
    expect([512, 1024].map((pfn) => pageblockType(pages.words, pfn))).toEqual([MOVABLE, MOVABLE])
    expect([give(true), count()]).toEqual([false, 0])
  })

  it('is not below 0 when a pageblock comes back that was not counted', () => {
    const { pages, zone } = reserved()
    pages.words[zone + ZONE_HIGHATOMIC] = 100
    expect(unreserveHighatomic(pages.context, zone, MOVABLE, true)).toBe(true)
    expect(pages.words[zone + ZONE_HIGHATOMIC]).toBe(0)
  })

  it('does not count a pageblock that is another’s already', () => {
    const { pages, zone, words } = machine(scattered(512, 3, HIGHATOMIC))
    words[zone + ZONE_HIGHATOMIC] = 1024
    const at = words[HEADER_BLOCKS]! + 1
    words[at] = (words[at]! & ~7) | 2
    expect(unreserveHighatomic(pages.context, zone, MOVABLE, true)).toBe(true)
    expect(words[zone + ZONE_HIGHATOMIC]).toBe(1024)
    expect(pageblockType(words, 512)).toBe(MOVABLE)
  })
})

describe('a request of the Normal zone', () => {
  /** DMA32 and Normal on node 0, with types mixed in Normal before DMA32 is used, or after. */
  function first(nodes: number, dma32: boolean): number {
    const start = dma32 ? 0 : 16 * MiB
    const memory = [{ base: start, size: 32 * MiB - start, node: 0 }]
    if (nodes > 1) memory.push({ base: 32 * MiB, size: 16 * MiB, node: 1 })
    const pages = withMobility(
      new BuddyAllocator({
        memory: { memory, reserved: [] },
        zones: { highmem: false, limits: [0, 4096, Infinity] },
      }),
    )
    // In Normal, free blocks of a type that the next request does not want, smaller than a pageblock.
    const taken: Pfn[] = []
    const gfp = GFP_KERNEL | __GFP_HIGHMEM | __GFP_MOVABLE
    for (let i = 0; i < 4096 - 600; i++) {
      const pfn = pages.allocPages(gfp) ?? expect.fail('no memory')
      if (pfn >= 4096 && pfn < 8192) taken.push(pfn)
    }
    for (const pfn of taken) if (pfn % 512 < 200) pages.freePages(pfn)
    // Whole pageblocks that are left go to others.
    while (true) {
      const pfn = pages.allocPages(gfp, 9)
      if (pfn === null || pfn >= 8192 || pfn < 4096) {
        if (pfn !== null) pages.freePages(pfn, 9)
        break
      }
    }
    pages.drainAllPages()
    return pages.allocPages(GFP_KERNEL | __GFP_RECLAIMABLE) ?? -1
  }

  it('goes to DMA32 before it mixes types, where there is DMA32', () => {
    expect(first(1, true)).toBeLessThan(4096)
  })

  it('mixes types before it goes to another node', () => {
    const pfn = first(2, false)
    expect(pfn).toBeGreaterThanOrEqual(4096)
    expect(pfn).toBeLessThan(8192)
  })
})
