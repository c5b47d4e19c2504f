/**
 * Taking a block from one zone: the CPU's page lists first, then the free areas, then the reserves.
 *
 * Source: spec/page-allocator.md §5.4, §5.6, §9.4.
 */

import { ALLOC_CMA, ALLOC_HIGHATOMIC, ALLOC_NON_BLOCK, ALLOC_OOM } from '../page/allocFlags'
import { pageRecord } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_HIGHATOMIC, MIGRATE_MOVABLE } from '../page/migratetype'
import { addEvent, addFreePages } from '../state/counters'
import {
  CPU_NODE,
  PAGE_REFS,
  PCP_FREE_FACTOR,
  PCP_NUMA_FOREIGN,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_NUMA_MISS,
  PCP_NUMA_OTHER,
  PCP_PGALLOC,
  ZONE_BOOSTED_WATERMARK,
  ZONE_FLAGS,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_PCP,
} from '../state/schema'
import type { BuddyContext } from './context'
import { removeBlock } from './fallback'
import { pcpAllowed, takeSmallest } from './freeArea'
import { takeFromPcp } from './pcp'

/**
 * Takes a block of `order` and `type` from `zone`, and counts it. Returns its PFN or -1. Its
 * count of references still holds the cached type; the caller sets the page up.
 */
export function takeFromZone(
  c: BuddyContext,
  preferred: number,
  zone: number,
  order: number,
  type: number,
  allocFlags: number,
): number {
  const words = c.words
  const pcp = words[zone + ZONE_PCP]! + c.pcpShift
  let pfn = -1
  if (
    pcpAllowed(order) &&
    ((allocFlags & ALLOC_CMA) !== 0 || type !== MIGRATE_MOVABLE) &&
    !c.pcpLocked
  ) {
    words[pcp + PCP_FREE_FACTOR]! >>= 1
    pfn = takeFromPcp(c, zone, pcp, order, type, allocFlags)
  }
  if (pfn < 0) pfn = takeFromFreeArea(c, zone, pcp, order, type, allocFlags)
  if (pfn >= 0) countAllocation(c, preferred, zone, pcp, 1 << order, 1)
  if ((words[zone + ZONE_FLAGS]! & ZONE_BOOSTED_WATERMARK) !== 0) wakeBoosted(c, zone)
  return pfn
}

/** Takes a block from the free areas, past the CPU's lists. */
function takeFromFreeArea(
  c: BuddyContext,
  zone: number,
  pcp: number,
  order: number,
  type: number,
  allocFlags: number,
): number {
  let pfn = -1
  if ((allocFlags & ALLOC_HIGHATOMIC) !== 0) {
    pfn = takeSmallest(c, zone, order, MIGRATE_HIGHATOMIC)
  }
  if (pfn < 0) pfn = removeBlock(c, zone, order, type, allocFlags)
  if (pfn < 0 && (allocFlags & (ALLOC_OOM | ALLOC_NON_BLOCK)) !== 0) {
    pfn = takeSmallest(c, zone, order, MIGRATE_HIGHATOMIC)
  }
  if (pfn < 0) return -1
  const fromCma = c.words[pageRecord(pfn) + PAGE_REFS] === -1 - MIGRATE_CMA
  addFreePages(c.words, zone, pcp, -(1 << order), fromCma)
  return pfn
}

/** Counts `pages` pages in `times` allocations from `zone` for a request that preferred `preferred`. */
export function countAllocation(
  c: BuddyContext,
  preferred: number,
  zone: number,
  pcp: number,
  pages: number,
  times: number,
): void {
  const words = c.words
  addEvent(words, pcp + PCP_PGALLOC, pages)
  const node = words[zone + ZONE_NODE]!
  if (zone === preferred || words[preferred + ZONE_NODE] === node) {
    addEvent(words, pcp + PCP_NUMA_HIT, times)
  } else {
    addEvent(words, pcp + PCP_NUMA_MISS, times)
    addEvent(words, words[preferred + ZONE_PCP]! + c.pcpShift + PCP_NUMA_FOREIGN, times)
  }
  const local = node === words[c.cpuRecord + CPU_NODE]
  addEvent(words, pcp + (local ? PCP_NUMA_LOCAL : PCP_NUMA_OTHER), times)
}

/** Wakes the background reclaimer after a steal that boosted the zone's watermarks. */
function wakeBoosted(c: BuddyContext, zone: number): void {
  c.words[zone + ZONE_FLAGS]! &= ~ZONE_BOOSTED_WATERMARK
  c.pressure.wakeKswapd(c.words[zone + ZONE_NODE]!, 0, c.words[zone + ZONE_INDEX]!, 0)
}
