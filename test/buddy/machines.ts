/** Machines that several tests of the page allocator use, and a way to look into them. */

import { expect } from 'vitest'
import { verifyState } from '../../src/debug/verify'
import {
  BuddyAllocator,
  type BuddyOptions,
  MiB,
  PAGE_SIZE,
  type Pfn,
  ZONES_FLAT,
} from '../../src/index'
import { recordPfn } from '../../src/page/memmap'
import {
  HEADER_MOBILITY_DISABLED,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  NR_FREE_PAGES,
  NR_PCP_LISTS,
  NR_ZONES,
  PCP_COUNT,
  PCP_DIFF,
  PCP_FAST_HITS,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_LISTS,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_PGALLOC,
  PCP_WORDS,
  ZONE_FREE_PAGES,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NR_FREE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_WMARK,
} from '../../src/state/schema'
import { forgetPlans, zoneRecord } from '../../src/zone/zones'

/** Bytes of `pages` pages. */
export function pageBytes(pages: number): number {
  return pages * PAGE_SIZE
}

/** A machine of one Normal zone with the frames `[start, start + pages)`. */
export function flatMachine(
  pages: number,
  start = 0,
  options: Omit<BuddyOptions, 'memory' | 'ram'> = {},
): BuddyAllocator {
  const memory = [{ base: pageBytes(start), size: pageBytes(pages) }]
  return new BuddyAllocator({ memory: { memory, reserved: [] }, zones: ZONES_FLAT, ...options })
}

/** Where the second node of {@link twoNodes} starts: inside a pageblock. */
export const NODE_1 = 36 * MiB + 300 * PAGE_SIZE

/**
 * Two nodes and two CPUs, one on each: zones DMA and DMA32 on node 0, DMA32 on node 1, and Movable
 * ones if asked for. There is a hole inside a pageblock, a reserved range, and a pageblock of two nodes.
 */
export function twoNodes(options: Omit<BuddyOptions, 'memory' | 'ram'> = {}): BuddyAllocator {
  return new BuddyAllocator({
    memory: {
      memory: [
        { base: PAGE_SIZE, size: 20 * MiB - 3 * PAGE_SIZE, node: 0 },
        { base: 21 * MiB, size: NODE_1 - 21 * MiB, node: 0 },
        { base: NODE_1, size: 52 * MiB - NODE_1, node: 1 },
      ],
      reserved: [{ base: 2 * MiB, size: MiB + 100 }],
    },
    cpuNodes: [0, 1],
    ...options,
  })
}

/** Record of the zone at `index` of `node`. */
export function zoneOf(pages: BuddyAllocator, node: number, index: number): number {
  return zoneRecord(pages.words, node, index)
}

/** Records of all populated zones. */
export function zonesOf(pages: BuddyAllocator): number[] {
  const zones: number[] = []
  for (let node = 0; node < pages.words[HEADER_NR_NODES]!; node++) {
    for (let index = 0; index < NR_ZONES; index++) {
      const zone = zoneOf(pages, node, index)
      if (pages.words[zone + ZONE_PRESENT] !== 0) zones.push(zone)
    }
  }
  return zones
}

/** Head of a list of free blocks. */
export function freeHead(zone: number, order: number, type: number): number {
  return zone + ZONE_LISTS + order * ZONE_LISTS_PER_ORDER + 2 * type
}

/** A CPU's record of a zone. */
export function pcpOf(pages: BuddyAllocator, zone: number, cpu = 0): number {
  return pages.words[zone + ZONE_PCP]! + cpu * PCP_WORDS
}

/** Frames on a list, head first; on one of a zone's lists of free blocks, of a CPU's. */
export function listed(pages: BuddyAllocator, head: number): Pfn[] {
  const pfns: Pfn[] = []
  for (let record = pages.words[head]!; record !== head; record = pages.words[record]!) {
    pfns.push(recordPfn(record) as Pfn)
  }
  return pfns
}

/** All free blocks of a zone by order, ascending, whatever their type. */
export function freeBlocks(pages: BuddyAllocator, zone: number): number[][] {
  return Array.from({ length: 11 }, (_, order) => {
    const types = [0, 1, 2, 3, 4, 5].flatMap((type) => listed(pages, freeHead(zone, order, type)))
    return types.sort((a, b) => a - b)
  })
}

/** Free blocks of each order that a zone counts. */
export function nrFree(pages: BuddyAllocator, zone: number): number[] {
  return Array.from(pages.words.subarray(zone + ZONE_NR_FREE, zone + ZONE_NR_FREE + 11))
}

/** Pages on all CPUs' lists of a zone. */
export function cachedPages(pages: BuddyAllocator, zone: number): number {
  let count = 0
  for (let cpu = 0; cpu < pages.words[HEADER_NR_CPUS]!; cpu++) {
    count += pages.words[pcpOf(pages, zone, cpu) + PCP_COUNT]!
  }
  return count
}

/** Free pages of a zone, stored and pending: those on page lists are not among them. */
export function freePagesOf(pages: BuddyAllocator, zone: number): number {
  let free = pages.words[zone + ZONE_FREE_PAGES]!
  for (let cpu = 0; cpu < pages.words[HEADER_NR_CPUS]!; cpu++) {
    free += pages.words[pcpOf(pages, zone, cpu) + PCP_DIFF + NR_FREE_PAGES]!
  }
  return free
}

/** The first frame on any of a zone's lists of a CPU, or -1. */
export function firstCached(pages: BuddyAllocator, zone: number, cpu = 0): number {
  for (let list = 0; list < NR_PCP_LISTS; list++) {
    const pfn = listed(pages, pcpOf(pages, zone, cpu) + PCP_LISTS + 2 * list)[0]
    if (pfn !== undefined) return pfn
  }
  return -1
}

/** Sets all watermarks to 0 and the page lists' limits to `high`, so that tiny machines can be filled. */
export function withoutWatermarks(pages: BuddyAllocator, high?: number): BuddyAllocator {
  const words = pages.words
  for (const zone of zonesOf(pages)) {
    words.fill(0, zone + ZONE_WMARK, zone + ZONE_WMARK + 4)
    for (let cpu = 0; high !== undefined && cpu < words[HEADER_NR_CPUS]!; cpu++) {
      words[pcpOf(pages, zone, cpu) + PCP_HIGH] = high
      words[pcpOf(pages, zone, cpu) + PCP_LIMIT] = high
    }
  }
  forgetPlans(words)
  return pages
}

/** Groups pageblocks by mobility even though the machine is too small for that. */
export function withMobility(pages: BuddyAllocator): BuddyAllocator {
  pages.words[HEADER_MOBILITY_DISABLED] = 0
  forgetPlans(pages.words)
  return pages
}

/**
 * The state without what may differ between a machine that took fast paths and one that did not:
 * plans, marks of quiet zones, and how three events are split.
 */
function comparable(pages: BuddyAllocator): Int32Array {
  const words = pages.words.slice()
  forgetPlans(words)
  for (const zone of zonesOf(pages)) {
    for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
      const pcp = pcpOf(pages, zone, cpu)
      for (const event of [PCP_PGALLOC, PCP_NUMA_HIT, PCP_NUMA_LOCAL]) {
        words[pcp + event]! += words[pcp + PCP_FAST_HITS]!
      }
      words[pcp + PCP_FAST_HITS] = 0
    }
  }
  return words
}

/** Places where two machines differ, but for what {@link comparable} leaves out; the first ten. */
export function differences(a: BuddyAllocator, b: BuddyAllocator): string[] {
  const [left, right] = [comparable(a), comparable(b)]
  const found: string[] = []
  for (let i = 0; i < left.length && found.length < 10; i++) {
    if (left[i] !== right[i]) found.push(`word ${i}: ${left[i]} and ${right[i]}`)
  }
  return found
}

/** Breaches of invariants as text; empty when all is well. */
export function faults(pages: BuddyAllocator): string[] {
  return verifyState(pages.words).map(({ id, message }) => `${id}: ${message}`)
}

/** What a call throws; fails when it throws nothing. */
export function thrownBy(call: () => unknown): Error {
  let result: unknown
  try {
    result = call()
  } catch (error) {
    return error as Error
  }
  return expect.fail(`accepted, with the result ${String(result)}`)
}
