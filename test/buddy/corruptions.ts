/** A machine with every kind of block in it, and ways to corrupt it: at least one for each invariant. */

import type { InvariantId } from '../../src/debug/invariants'
import {
  type BuddyAllocator,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  MiB,
  movableMemory,
  onCpu,
} from '../../src/index'
import { isFresh, pageRecord } from '../../src/page/memmap'
import { PG_DIRTY, PG_HEAD, PG_RESERVED } from '../../src/page/pageFlags'
import * as schema from '../../src/state/schema'
import { firstCached, freeHead, listed, pcpOf, twoNodes, zoneOf } from './machines'

const { PAGE_FLAGS, PAGE_NEXT, PAGE_PREV, PAGE_REFS, PAGE_BUDDY, PAGE_ORDER_SHIFT } = schema
/** A machine with every kind of block in it. */
export function busyMachine(): BuddyAllocator {
  const pages = twoNodes({ movable: movableMemory({ movablecore: 8 * MiB }) })
  for (const cpu of [0, 1]) {
    onCpu(pages, cpu, () => {
      for (const gfp of [GFP_KERNEL, GFP_HIGHUSER_MOVABLE]) {
        for (let order = 0; order < 5; order++) {
          const taken = [0, 1, 2].map(() => pages.allocPages(gfp, order))
          for (const pfn of taken.slice(0, 2)) if (pfn !== null) pages.freePages(pfn, order)
        }
      }
      const huge = pages.allocPages(GFP_HIGHUSER_MOVABLE, 9)
      if (huge !== null) pages.freePages(huge, 9)
    })
  }
  return pages
}

/** A frame with a record of which `test` is true: flags, then references. */
function find(pages: BuddyAllocator, test: (flags: number, refs: number) => boolean): number {
  for (let pfn = 1; pfn < 13_000; pfn++) {
    const record = pageRecord(pfn)
    if (test(pages.words[record + PAGE_FLAGS]!, pages.words[record + PAGE_REFS]!)) return pfn
  }
  throw new Error('no such frame')
}

export function usedBlock(pages: BuddyAllocator, order: number): number {
  return find(pages, (flags, refs) => refs > 0 && flags === order << PAGE_ORDER_SHIFT)
}

export function freeBlock(pages: BuddyAllocator, order: number): number {
  return find(pages, (flags) => flags === (PAGE_BUDDY | (order << PAGE_ORDER_SHIFT)))
}

/** The first fresh block. */
function freshBlock(pages: BuddyAllocator): number {
  for (let pfn = 0; pfn < 13_000; pfn += 1024) if (isFresh(pages.words, pfn)) return pfn
  throw new Error('no fresh block')
}

/** Zone DMA32 of node 0, where most blocks are. */
export function dma32(pages: BuddyAllocator): number {
  return zoneOf(pages, 0, 1)
}

type Corruption = readonly [id: InvariantId, what: string, corrupt: (pages: BuddyAllocator) => void]

/** Sets words of a record that `place` finds. */
function set(
  place: (pages: BuddyAllocator) => number,
  column: number,
  value: number | ((before: number) => number),
): (pages: BuddyAllocator) => void {
  return (pages) => {
    const at = place(pages) + column
    pages.words[at] = typeof value === 'number' ? value : value(pages.words[at]!)
  }
}

const header = () => 0
const table = (column: number) => (pages: BuddyAllocator) => pages.words[column]!
const page = (pfn: (pages: BuddyAllocator) => number) => (pages: BuddyAllocator) =>
  pageRecord(pfn(pages))
const pcp = (pages: BuddyAllocator) => pcpOf(pages, dma32(pages), 0)
const add = (by: number) => (before: number) => before + by

/** Changes pageblocks of the first fresh block. */
function onPageblocks(
  parts: readonly number[],
  change: (word: number) => number,
): (pages: BuddyAllocator) => void {
  return (pages) => {
    for (const part of parts) {
      const at = pages.words[schema.HEADER_BLOCKS]! + freshBlock(pages) / 512 + part
      pages.words[at] = change(pages.words[at]!)
    }
  }
}

/** The last zonelist of the table: node 1 alone. */
function ownList(pages: BuddyAllocator): number {
  return pages.words[schema.HEADER_ZONELISTS]! + 3 * 9
}

export const CORRUPTIONS: readonly Corruption[] = [
  ['HEADER-1', 'no magic number', set(header, schema.HEADER_MAGIC, 0)],
  ['HEADER-1', 'another version', set(header, schema.HEADER_VERSION, 99)],
  ['HEADER-1', 'another length', set(header, schema.HEADER_WORDS_USED, add(1))],
  ['HEADER-1', 'frames without records', set(header, schema.HEADER_MAX_PFN, add(1024))],
  ['HEADER-1', 'a displaced table of zones', set(header, schema.HEADER_ZONES, add(-4))],
  ['HEADER-1', 'a displaced table of zonelists', set(header, schema.HEADER_ZONELISTS, add(1))],
  ['HEADER-2', 'a CPU that does not exist', set(header, schema.HEADER_CURRENT_CPU, 2)],
  ['HEADER-2', 'a flag that is neither 0 nor 1', set(header, schema.HEADER_MOBILITY_DISABLED, 2)],
  ['HEADER-2', 'more ranges than fit', set(header, schema.HEADER_NR_RANGES, 1000)],
  ['HEADER-2', 'a wrong count of nodes', set(header, schema.HEADER_ONLINE_NODES, 1)],
  ['RANGE-1', 'an empty range', set(table(schema.HEADER_RANGES), schema.RANGE_END, 1)],
  ['RANGE-1', 'a range of no node', set(table(schema.HEADER_RANGES), schema.RANGE_NODE, 2)],
  ['CPU-1', 'a CPU of no node', set(table(schema.HEADER_CPUS), schema.CPU_NODE, 2)],
  ['NODE-1', 'a wrong count of CPUs', set(table(schema.HEADER_NODES), schema.NODE_NR_CPUS, 2)],
  ['NODE-1', 'a span too short', set(table(schema.HEADER_NODES), schema.NODE_SPANNED, 4096)],
  [
    'ZONELIST-1',
    'a zone twice',
    (pages) => {
      const list = ownList(pages)
      pages.words[list + 1] = pages.words[list]!
    },
  ],
  ['ZONELIST-1', 'an unpopulated zone', set(ownList, 0, (zone) => zone + schema.ZONE_WORDS)],
  ['ZONELIST-2', 'an empty list', set(ownList, 0, 0)],
  [
    'ZONELIST-2',
    'a zone of another node',
    (pages) => {
      pages.words[ownList(pages)] = dma32(pages)
    },
  ],
  [
    'ZONELIST-2',
    'a list without an end',
    (pages) => {
      const zones = [0, 1].flatMap((node) => [3, 2, 1, 0].map((i) => zoneOf(pages, node, i)))
      for (const zone of zones) pages.words[zone + schema.ZONE_PRESENT] = 1
      // All eight zones, and a ninth where the 0 belongs.
      pages.words.set([...zones, dma32(pages)], pages.words[schema.HEADER_ZONELISTS]!)
    },
  ],
  ['ZONE-1', 'zones that overlap', set(dma32, schema.ZONE_START, add(-8))],
  ['ZONE-2', 'a page too many in the counter', set(dma32, schema.ZONE_FREE_PAGES, add(1))],
  ['ZONE-2', 'a page lost in a CPU’s pending count', set(pcp, schema.PCP_DIFF, add(-1))],
  ['ZONE-3', 'a wrong index', set(dma32, schema.ZONE_INDEX, 2)],
  ['ZONE-3', 'page lists of another zone', set(dma32, schema.ZONE_PCP, add(schema.PCP_WORDS))],
  ['ZONE-3', 'more managed than present', set(dma32, schema.ZONE_MANAGED, 1 << 20)],
  [
    'ZONE-4',
    'a block on a list of another zone',
    (pages) => {
      const from = listed(pages, freeHead(dma32(pages), 10, 1))[0]!
      const record = pageRecord(from)
      const { words } = pages
      words[words[record + PAGE_NEXT]! + PAGE_PREV] = words[record + PAGE_PREV]!
      words[words[record + PAGE_PREV]! + PAGE_NEXT] = words[record + PAGE_NEXT]!
      const head = freeHead(zoneOf(pages, 1, 1), 10, 1)
      words[record + PAGE_NEXT] = words[head + PAGE_NEXT]!
      words[record + PAGE_PREV] = head
      words[words[head + PAGE_NEXT]! + PAGE_PREV] = record
      words[head + PAGE_NEXT] = record
    },
  ],
  [
    'ZONE-4',
    'a block across the end of memory',
    (pages) => {
      pages.words[pageRecord(5116) + PAGE_FLAGS] = 10 << PAGE_ORDER_SHIFT
    },
  ],
  ['ZONE-5', 'a free CMA page without CMA', set(dma32, schema.ZONE_FREE_CMA, 1)],
  [
    'ZONE-6',
    'a zone that is quiet below its mark',
    (pages) => {
      const zone = dma32(pages)
      pages.words[zone + schema.ZONE_QUIET] = 1
      pages.words[zone + schema.ZONE_WMARK + 1] = 1 << 20
    },
  ],
  ['ZONE-6', 'a mark that is neither 0 nor 1', set(dma32, schema.ZONE_QUIET, 2)],
  ['CPU-2', 'a plan for no zone', set(table(schema.HEADER_CPUS), schema.CPU_PLANS, 1)],
  ['WMARK-1', 'low below min', set(dma32, schema.ZONE_WMARK + 1, 0)],
  ['WMARK-1', 'a negative boost', set(dma32, schema.ZONE_BOOST, -1)],
  ['WMARK-1', 'a negative reserve', set(dma32, schema.ZONE_RESERVE + 2, -1)],
  ['HIGHATOMIC-1', 'half a pageblock reserved', set(dma32, schema.ZONE_HIGHATOMIC, 256)],
  ['HIGHATOMIC-1', 'most of the zone reserved', set(dma32, schema.ZONE_HIGHATOMIC, 4096)],
  [
    'HIGHATOMIC-1',
    'a pageblock reserved but not counted',
    (pages) => {
      pages.words[pages.words[schema.HEADER_BLOCKS]! + 2]! += 2
    },
  ],
  ['ISOLATE-1', 'an isolated pageblock too many', set(dma32, schema.ZONE_NR_ISOLATE, 1)],
  [
    'ISOLATE-1',
    'a pageblock isolated but not counted',
    (pages) => {
      pages.words[pages.words[schema.HEADER_BLOCKS]! + 2]! += 4
    },
  ],
  ['BLOCK-1', 'a type 6', set(table(schema.HEADER_BLOCKS), 2, (word) => (word & ~7) | 6)],
  [
    'BLOCK-1',
    'a zone that does not exist',
    set(table(schema.HEADER_BLOCKS), 2, (word) => word | 0x800),
  ],
  ['BLOCK-1', 'an unknown bit', set(table(schema.HEADER_BLOCKS), 2, (word) => word | 0x80)],
  [
    'BLOCK-2',
    'memory that is not present',
    set(table(schema.HEADER_BLOCKS), 2, (word) => word & ~0x20),
  ],
  [
    'BLOCK-2',
    'a pageblock of another zone',
    set(table(schema.HEADER_BLOCKS), 2, (word) => word | 0x500),
  ],
  [
    'LIST-1',
    'a wrong PREV',
    set(
      page((pages) => freeBlock(pages, 10)),
      PAGE_PREV,
      64,
    ),
  ],
  [
    'LIST-1',
    'a NEXT into nothing',
    set(
      page((pages) => freeBlock(pages, 10)),
      PAGE_NEXT,
      1 << 30,
    ),
  ],
  [
    'LIST-1',
    'a NEXT between records',
    set(
      page((pages) => freeBlock(pages, 10)),
      PAGE_NEXT,
      65,
    ),
  ],
  [
    'LIST-1',
    'a negative NEXT',
    set(
      page((pages) => freeBlock(pages, 10)),
      PAGE_NEXT,
      -4,
    ),
  ],
  [
    'LIST-1',
    'a record that follows itself',
    (pages) => {
      const record = pageRecord(freeBlock(pages, 10))
      pages.words[record + PAGE_NEXT] = record
    },
  ],
  [
    'LIST-1',
    'a head whose PREV is not the last',
    (pages) => {
      pages.words[freeHead(dma32(pages), 10, 1) + PAGE_PREV] = pageRecord(1)
    },
  ],
  [
    'LIST-1',
    'a broken page list',
    set(
      page((pages) => firstCached(pages, dma32(pages))),
      PAGE_PREV,
      0,
    ),
  ],
  [
    'LIST-2',
    'an empty list that ends elsewhere',
    (pages) => {
      pages.words[freeHead(dma32(pages), 10, 4) + PAGE_PREV] = pageRecord(1)
    },
  ],
  [
    'LIST-2',
    'an empty page list that ends elsewhere',
    (pages) => {
      pages.words[pcpOf(pages, dma32(pages), 1) + schema.PCP_LISTS + 1] = pageRecord(1)
    },
  ],
  [
    'BUDDY-1',
    'a block on the list of another order',
    (pages) => {
      const record = pageRecord(freeBlock(pages, 10))
      pages.words[record + PAGE_FLAGS] = PAGE_BUDDY | (9 << PAGE_ORDER_SHIFT)
    },
  ],
  [
    'BUDDY-1',
    'a block marked free on no list',
    (pages) => {
      const record = pageRecord(usedBlock(pages, 0))
      pages.words[record + PAGE_FLAGS] = PAGE_BUDDY
      pages.words[record + PAGE_REFS] = 0
    },
  ],
  ['BUDDY-2', 'a block too many in the count', set(dma32, schema.ZONE_NR_FREE + 10, add(1))],
  [
    'BUDDY-3',
    'two halves side by side',
    (pages) => {
      const pfn = freeBlock(pages, 4)
      for (const half of [pfn, pfn + 8]) {
        pages.words[pageRecord(half) + PAGE_FLAGS] = PAGE_BUDDY | (3 << PAGE_ORDER_SHIFT)
      }
    },
  ],
  [
    'BUDDY-4',
    'a block inside a free block',
    (pages) => {
      pages.words[pageRecord(freeBlock(pages, 10) + 512) + PAGE_REFS] = 1
    },
  ],
  [
    'BUDDY-4',
    'a free block inside a block in use',
    (pages) => {
      pages.words[pageRecord(usedBlock(pages, 4) + 8) + PAGE_FLAGS] =
        PAGE_BUDDY | (3 << PAGE_ORDER_SHIFT)
    },
  ],
  ['PCP-1', 'a page too many in the count', set(pcp, schema.PCP_COUNT, add(1))],
  [
    'PCP-2',
    'a cached type of another list',
    (pages) => {
      const record = pageRecord(firstCached(pages, dma32(pages)))
      pages.words[record + PAGE_REFS] = -1 - 2
    },
  ],
  [
    'PCP-2',
    'a block of another order',
    (pages) => {
      const lists = pcpOf(pages, dma32(pages)) + schema.PCP_LISTS
      const head = [3, 4, 5, 6, 7, 8].map((list) => lists + 2 * list)
      const used = head.find((at) => pages.words[at] !== at) ?? 0
      pages.words[pages.words[used]! + PAGE_FLAGS] = 0
    },
  ],
  [
    'PCP-3',
    'a cached page on no list',
    set(
      page((pages) => usedBlock(pages, 0)),
      PAGE_REFS,
      -1,
    ),
  ],
  ['PCP-4', 'a batch of 0', set(pcp, schema.PCP_BATCH, 0)],
  ['PCP-4', 'a limit that is not high', set(pcp, schema.PCP_LIMIT, add(-1))],
  ['PCP-4', 'a free factor of 6', set(pcp, schema.PCP_FREE_FACTOR, 6)],
  ['EVENT-1', 'a negative event of a zone', set(pcp, schema.PCP_PGFREE, -1)],
  ['EVENT-1', 'a negative event of a CPU', set(table(schema.HEADER_CPUS), schema.CPU_EVENTS, -1)],
  [
    'PAGE-1',
    'a free page with a reference',
    set(
      page((pages) => freeBlock(pages, 10)),
      PAGE_REFS,
      1,
    ),
  ],
  [
    'PAGE-1',
    'a free page that is dirty',
    (pages) => {
      pages.words[pageRecord(freeBlock(pages, 10)) + PAGE_FLAGS]! |= PG_DIRTY
    },
  ],
  [
    'PAGE-1',
    'a free block at an odd place',
    (pages) => {
      pages.words[pageRecord(usedBlock(pages, 0) | 1) + PAGE_FLAGS] =
        PAGE_BUDDY | (1 << PAGE_ORDER_SHIFT)
    },
  ],
  [
    'PAGE-2',
    'a dirty tail',
    (pages) => {
      pages.words[pageRecord(usedBlock(pages, 4) + 3) + PAGE_FLAGS] = PG_DIRTY
    },
  ],
  [
    'PAGE-3',
    'a dirty page on a page list',
    (pages) => {
      pages.words[pageRecord(firstCached(pages, dma32(pages))) + PAGE_FLAGS]! |= PG_DIRTY
    },
  ],
  [
    'PAGE-4',
    'a frame in no block',
    set(
      page((pages) => usedBlock(pages, 0)),
      PAGE_REFS,
      0,
    ),
  ],
  [
    'PAGE-5',
    'a block in use without references',
    set(
      page((pages) => usedBlock(pages, 3)),
      PAGE_REFS,
      0,
    ),
  ],
  [
    'PAGE-5',
    'a compound single page',
    set(
      page((pages) => usedBlock(pages, 0)),
      PAGE_FLAGS,
      PG_HEAD,
    ),
  ],
  [
    'PAGE-5',
    'a reserved block',
    (pages) => {
      pages.words[pageRecord(usedBlock(pages, 3)) + PAGE_FLAGS]! |= PG_RESERVED
    },
  ],
  ['FRESH-1', 'a pageblock alone that is fresh', onPageblocks([1], (word) => word ^ 0x40)],
  ['FRESH-1', 'a fresh block of another type', onPageblocks([0, 1], (word) => word ^ 1)],
  ['FRESH-1', 'a fresh block that is not present', onPageblocks([0, 1], (word) => word ^ 0x20)],
  [
    'FRESH-1',
    'a fresh block with a record',
    set(
      page((pages) => freshBlock(pages) + 1000),
      PAGE_NEXT,
      1,
    ),
  ],
  [
    'FRESH-1',
    'fresh blocks that nothing leads to',
    (pages) => {
      pages.words[pageRecord(freshBlock(pages) - 1024) + PAGE_FLAGS] = 0
    },
  ],
  [
    'FRESH-1',
    'a fresh block in a hole',
    (pages) => {
      // The last section has a memory map up to its end.
      const at = pages.words[schema.HEADER_BLOCKS]! + (60 * MiB) / 2 ** 21
      pages.words.fill(pages.words[at]! | 0x40, at, at + 2)
    },
  ],
]
