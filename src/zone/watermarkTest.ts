/**
 * The watermark tests: may a zone give a block of some order without falling below a mark?
 *
 * Both run for every zone that an allocation looks at, so they are integers over one array.
 * Source: spec/page-allocator.md §3.6.
 */

import { MAX_ORDER } from '../base/units'
import {
  ALLOC_CMA,
  ALLOC_HIGHATOMIC,
  ALLOC_MIN_RESERVE,
  ALLOC_NON_BLOCK,
  ALLOC_OOM,
  ALLOC_RESERVES,
  ALLOC_WMARK_MASK,
  ALLOC_WMARK_MIN,
} from '../page/allocFlags'
import { __GFP_ATOMIC } from '../page/gfp'
import {
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
} from '../page/migratetype'
import { listEmpty } from '../state/lists'
import {
  ZONE_BOOST,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NR_FREE,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../state/schema'

/**
 * The test as the allocator makes it: a short cut for single pages, then {@link zoneWatermarkOk}.
 *
 * `mark` is the watermark with the boost, in pages; `highestIdx` the highest zone index that the
 * request may use, 0 to 3. A request with `__GFP_ATOMIC` for one page at the min watermark may
 * ignore the boost. Source: spec/page-allocator.md §3.6.
 */
export function zoneWatermarkFast(
  words: Int32Array,
  zone: number,
  order: number,
  mark: number,
  highestIdx: number,
  allocFlags: number,
  gfp: number,
): boolean {
  const free = Math.max(0, words[zone + ZONE_FREE_PAGES]!)
  if (order === 0) {
    const usable = free - unusableFree(words, zone, 0, allocFlags)
    if (usable > mark + words[zone + ZONE_RESERVE + highestIdx]!) return true
  }
  if (zoneWatermarkOk(words, zone, order, mark, highestIdx, allocFlags, free)) return true
  if (
    order === 0 &&
    (gfp & __GFP_ATOMIC) !== 0 &&
    words[zone + ZONE_BOOST] !== 0 &&
    (allocFlags & ALLOC_WMARK_MASK) === ALLOC_WMARK_MIN
  ) {
    const unboosted = words[zone + ZONE_WMARK]!
    return zoneWatermarkOk(words, zone, 0, unboosted, highestIdx, allocFlags, free)
  }
  return false
}

/**
 * True when `free` pages less what the request cannot use stay above `mark`, and a block of at least
 * `order` lies on a list that the request may take from.
 *
 * `free` is the caller's reading of the free pages: the stored counter, floored at 0. `mark` is the
 * watermark with the boost. Costs up to eleven look-ups. Source: spec/page-allocator.md §3.6.
 */
export function zoneWatermarkOk(
  words: Int32Array,
  zone: number,
  order: number,
  mark: number,
  highestIdx: number,
  allocFlags: number,
  free: number,
): boolean {
  let min = mark
  if ((allocFlags & ALLOC_RESERVES) !== 0) {
    if ((allocFlags & ALLOC_MIN_RESERVE) !== 0) {
      min -= min >> 1
      if ((allocFlags & ALLOC_NON_BLOCK) !== 0) min -= min >> 2
    }
    if ((allocFlags & ALLOC_OOM) !== 0) min -= min >> 1
  }
  const usable = free - unusableFree(words, zone, order, allocFlags)
  if (usable <= min + words[zone + ZONE_RESERVE + highestIdx]!) return false
  return order === 0 || hasBlock(words, zone, order, allocFlags)
}

/** Free pages that the request cannot have: the rest of its own block, and reserves closed to it. */
function unusableFree(words: Int32Array, zone: number, order: number, allocFlags: number): number {
  let unusable = (1 << order) - 1
  if ((allocFlags & ALLOC_RESERVES) === 0) unusable += words[zone + ZONE_HIGHATOMIC]!
  if ((allocFlags & ALLOC_CMA) === 0) {
    const cma = words[zone + ZONE_FREE_CMA]!
    if (cma > 0) unusable += cma
  }
  return unusable
}

function hasBlock(words: Int32Array, zone: number, order: number, allocFlags: number): boolean {
  let head = zone + ZONE_LISTS + order * ZONE_LISTS_PER_ORDER
  for (let o = order; o < MAX_ORDER; o++, head += ZONE_LISTS_PER_ORDER) {
    if (words[zone + ZONE_NR_FREE + o] === 0) continue
    // Two words a list head, in the order of the migratetypes.
    if (!listEmpty(words, head + 2 * MIGRATE_UNMOVABLE)) return true
    if (!listEmpty(words, head + 2 * MIGRATE_MOVABLE)) return true
    if (!listEmpty(words, head + 2 * MIGRATE_RECLAIMABLE)) return true
    if ((allocFlags & ALLOC_CMA) !== 0 && !listEmpty(words, head + 2 * MIGRATE_CMA)) return true
    const reserve = (allocFlags & (ALLOC_HIGHATOMIC | ALLOC_OOM)) !== 0
    if (reserve && !listEmpty(words, head + 2 * MIGRATE_HIGHATOMIC)) return true
  }
  return false
}
