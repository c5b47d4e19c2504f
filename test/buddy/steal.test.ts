/** Fallback between migratetypes and nodes: what is stolen, what is left, what is given back. Spec §5.7, §3.8. */

import { describe, expect, it } from 'vitest'
import { reserveHighatomic, unreserveHighatomic } from '../../src/buddy/fallback'
import {
  __GFP_HIGHMEM,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_THISNODE,
  allocContigRange,
  allocPagesNodemask,
  BuddyAllocator,
  GFP_KERNEL,
  MIGRATE_CMA,
  MiB,
  type Pfn,
  toPfn,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import { PAGE_FLAGS, ZONE_BOOST, ZONE_HIGHATOMIC, ZONE_NODE } from '../../src/state/schema'
import { pageblockType } from '../../src/zone/pageblock'
import { zoneOfPfn } from '../../src/zone/zones'
import {
  faults,
  flatMachine,
  freeHead,
  freePagesOf,
  listed,
  withMobility,
  withoutWatermarks,
  zoneOf,
} from './machines'

const MOVABLE = GFP_KERNEL | __GFP_HIGHMEM | __GFP_MOVABLE
const [UNMOVABLE_TYPE, MOVABLE_TYPE, HIGHATOMIC] = [0, 1, 3]

/** Pages of a mask until it gets no more. */
function exhaust(pages: BuddyAllocator, gfp: number, order = 0): Pfn[] {
  const taken: Pfn[] = []
  for (;;) {
    const pfn = pages.allocPages(gfp, order)
    if (pfn === null) return taken
    taken.push(pfn)
  }
}

/** A machine of four pageblocks, all of whose pages are in use by `gfp`; the CPU keeps no pages. */
function full(gfp: number): BuddyAllocator {
  const pages = withoutWatermarks(withMobility(flatMachine(2048)), 1)
  exhaust(pages, gfp)
  pages.drainAllPages()
  expect(freePagesOf(pages, zoneOf(pages, 0, 2))).toBe(0)
  return pages
}

describe('a MOVABLE request', () => {
  it('takes the smallest block of another type, and leaves that its pageblock', () => {
    const pages = full(GFP_KERNEL)
    const zone = zoneOf(pages, 0, 2)
    for (const pfn of [8, 9, 10, 11, 600]) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
    expect(listed(pages, freeHead(zone, 2, UNMOVABLE_TYPE))).toEqual([8])
    expect(pages.allocPages(MOVABLE)).toBe(600)
    expect(pageblockType(pages.words, 600)).toBe(UNMOVABLE_TYPE)
    // The high watermark is 0: a part of it is no boost.
    expect(pages.words[zone + ZONE_BOOST]).toBe(0)
    expect(faults(pages)).toEqual([])
  })
})

describe('a MOVABLE request while most free pages are CMA', () => {
  it('goes there first, and elsewhere for a block that is not there', () => {
    const pages = withoutWatermarks(withMobility(flatMachine(2048)), 1)
    expect(allocContigRange(pages, toPfn(0), toPfn(512), MIGRATE_CMA)).toBe(0)
    exhaust(pages, MOVABLE)
    // Free: every other page of the CMA block, and one block of eight.
    for (let pfn = 0; pfn < 512; pfn += 2) pages.freePages(toPfn(pfn))
    for (let pfn = 1024; pfn < 1032; pfn++) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
    expect(pages.allocPages(MOVABLE, 3)).toBe(1024)
    expect(pages.allocPages(MOVABLE)).toBeLessThan(512)
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(faults(pages)).toEqual([])
  })
})

describe('an UNMOVABLE request', () => {
  it.each([
    ['that reclaim could move count for', true, MOVABLE_TYPE],
    ['of another kind count for', false, UNMOVABLE_TYPE],
  ])('claims a MOVABLE pageblock: pages in use %s its owner', (_which, lru, type) => {
    const pages = full(MOVABLE)
    for (let pfn = 0; pfn < 200; pfn++) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
    if (lru) {
      for (let pfn = 200; pfn < 512; pfn++) pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_LRU
    }
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
    // 200 free pages, and 312 in use that are movable by nature or not: more than half, or not.
    expect(pageblockType(pages.words, 0)).toBe(type)
    for (let pfn = 200; pfn < 512; pfn++) pages.words[pageRecord(pfn) + PAGE_FLAGS]! &= ~PG_LRU
    expect(faults(pages)).toEqual([])
  })
})

describe('the high-atomic reserve', () => {
  it('ends in a pageblock that no free pages can be moved from, when these are left out', () => {
    // The last pageblock is half memory: its free pages do not change lists with its type.
    const pages = withoutWatermarks(withMobility(flatMachine(2048 + 256)), 1)
    const zone = zoneOf(pages, 0, 2)
    exhaust(pages, GFP_KERNEL, 1)
    reserveHighatomic(pages.context, zone, 2048)
    expect(pageblockType(pages.words, 2048)).toBe(HIGHATOMIC)
    expect(pages.words[zone + ZONE_HIGHATOMIC]).toBe(512)
    pages.freePages(toPfn(2048), 1)
    pages.drainAllPages()
    expect(listed(pages, freeHead(zone, 1, HIGHATOMIC))).toEqual([2048])
    expect(unreserveHighatomic(pages.context, zone, UNMOVABLE_TYPE, true)).toBe(false)
    expect(pageblockType(pages.words, 2048)).toBe(UNMOVABLE_TYPE)
    expect(pages.words[zone + ZONE_HIGHATOMIC]).toBe(0)
    expect(faults(pages)).toEqual([])
  })
})

describe('requests on a node with a Normal and a DMA32 zone', () => {
  /** Zones DMA32 and Normal on node 0, Normal on node 1: 16 MiB each. */
  function machine(): BuddyAllocator {
    const pages = new BuddyAllocator({
      memory: {
        memory: [
          { base: 0, size: 32 * MiB, node: 0 },
          { base: 32 * MiB, size: 16 * MiB, node: 1 },
        ],
        reserved: [],
      },
      zones: { highmem: false, limits: [0, 4096, Infinity] },
      cpuNodes: [0, 1],
    })
    return withMobility(pages)
  }

  it('mix types on their node before they go to another', () => {
    const pages = machine()
    const nodeOf = (pfn: number) => pages.words[zoneOfPfn(pages.words, pfn) + ZONE_NODE]
    // In use by MOVABLE requests: all of DMA32, and of Normal all but a few pages of each pageblock.
    const gfp = __GFP_MEMALLOC | __GFP_MOVABLE | __GFP_HIGHMEM | __GFP_THISNODE
    while (pages.allocPagesNode(0, gfp) !== null);
    for (let pfn = 4096; pfn < 8192; pfn++) if (pfn % 512 < 400) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
    const pfn = pages.allocPagesNode(0, GFP_KERNEL) as Pfn
    expect(nodeOf(pfn)).toBe(0)
    expect(pfn).toBeGreaterThanOrEqual(4096)
    expect(faults(pages)).toEqual([])
  })

  it('leave the node when a nodemask says so, and only then', () => {
    const pages = machine()
    const nodeOf = (pfn: number) => pages.words[zoneOfPfn(pages.words, pfn) + ZONE_NODE]
    expect(nodeOf(allocPagesNodemask(pages, 0, GFP_KERNEL, 0, [1]) as Pfn)).toBe(1)
    expect(nodeOf(allocPagesNodemask(pages, 1, GFP_KERNEL, 0, [0]) as Pfn)).toBe(0)
    expect(nodeOf(allocPagesNodemask(pages, 0, GFP_KERNEL, 0, [0, 1]) as Pfn)).toBe(0)
    expect(allocPagesNodemask(pages, 0, GFP_KERNEL, 0, [])).toBeNull()
  })
})
