/**
 * Taking a block of a migratetype off the free areas, and fallback: when the lists of a migratetype are
 * empty, free blocks of another type are stolen, the largest first, so that as few pageblocks as
 * possible end up with mixed types.
 *
 * HIGHATOMIC-1: the high-atomic reserve counts whole pageblocks, no fewer than are HIGHATOMIC unless the
 *               zone shares a pageblock, and no more than the limit of about a hundredth of the zone
 *               allows. (It may count more than are: a steal of an order-10 block takes its second
 *               pageblock along without telling. A zone that shares a pageblock gives it back out of
 *               its own reserve, whoever reserved it.)
 *
 * Source: spec/page-allocator.md §5.7, §3.7, §3.8.
 */

import { MAX_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from '../base/units'
import { ALLOC_CMA, ALLOC_KSWAPD, ALLOC_NOFRAGMENT } from '../page/allocFlags'
import { leaveRun } from '../page/freshBlocks'
import { recordPfn } from '../page/memmap'
import {
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
} from '../page/migratetype'
import {
  HEADER_MOBILITY_DISABLED,
  HEADER_WATERMARK_BOOST,
  ZONE_BOOST,
  ZONE_BOOSTED_WATERMARK,
  ZONE_FLAGS,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_MANAGED,
  ZONE_NR_FREE,
  ZONE_QUIET,
  ZONE_WMARK,
} from '../state/schema'
import { WMARK_HIGH } from '../zone/zones'
import type { BuddyContext } from './context'
import {
  blockType,
  countMovablePages,
  freeList,
  moveFreePages,
  moveToTail,
  setPageblockType,
  takeSmallest,
} from './freeArea'

/** From this order on a block is worth its whole pageblock: half of a pageblock's order. */
const STEAL_ORDER = PAGEBLOCK_ORDER >> 1

/** Steals `from` other types for a type, in order of preference; by type. */
const FIRST_FALLBACK = [MIGRATE_RECLAIMABLE, MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE] as const
const SECOND_FALLBACK = [MIGRATE_MOVABLE, MIGRATE_UNMOVABLE, MIGRATE_MOVABLE] as const

/**
 * Takes a block off the free areas: of `type`, else of CMA where the request may, else of what a
 * fallback brings. A request that may use CMA goes there first while more than half of the zone's
 * free pages are CMA. Returns a PFN or -1; the zone's free count is the caller's to change.
 */
export function removeBlock(
  c: BuddyContext,
  zone: number,
  order: number,
  type: number,
  allocFlags: number,
): number {
  const words = c.words
  const cma = (allocFlags & ALLOC_CMA) !== 0
  if (cma && words[zone + ZONE_FREE_CMA]! > words[zone + ZONE_FREE_PAGES]! >> 1) {
    const pfn = takeSmallest(c, zone, order, MIGRATE_CMA)
    if (pfn >= 0) return pfn
  }
  // A successful fallback leaves a block on the lists of `type`: at most one more round.
  for (;;) {
    let pfn = takeSmallest(c, zone, order, type)
    if (pfn < 0 && cma) pfn = takeSmallest(c, zone, order, MIGRATE_CMA)
    if (pfn >= 0) return pfn
    if (!stealFallback(c, zone, order, type, allocFlags)) return -1
  }
}

/**
 * Makes a block of another type available to `type`, one that requests have. Returns true when it moved something: the lists
 * of `type` now hold a block of at least `order`.
 */
function stealFallback(
  c: BuddyContext,
  zone: number,
  order: number,
  type: number,
  allocFlags: number,
): boolean {
  const minOrder =
    order < PAGEBLOCK_ORDER && (allocFlags & ALLOC_NOFRAGMENT) !== 0 ? PAGEBLOCK_ORDER : order
  let current = MAX_ORDER - 1
  while (fallbackType(c, zone, current, type) < 0) {
    current -= 1
    if (current < minOrder) return false
  }
  // A MOVABLE request that would leave the pageblock to its owner takes the smallest block instead.
  if (!mayStealWhole(c, current, type)) {
    current = order
    while (fallbackType(c, zone, current, type) < 0) current += 1
  }
  stealBlock(c, zone, order, current, type, allocFlags)
  return true
}

/** The type to steal a block of `order` from, or -1. */
function fallbackType(c: BuddyContext, zone: number, order: number, type: number): number {
  const words = c.words
  if (words[zone + ZONE_NR_FREE + order] === 0) return -1
  const first = FIRST_FALLBACK[type as 0]
  const firstHead = freeList(zone, order, first)
  if (words[firstHead] !== firstHead) return first
  const second = SECOND_FALLBACK[type as 0]
  const secondHead = freeList(zone, order, second)
  return words[secondHead] !== secondHead ? second : -1
}

/** True when stealing a block of `order` may claim its whole pageblock for `type`: always, but for small ones and MOVABLE. */
function mayStealWhole(c: BuddyContext, order: number, type: number): boolean {
  return order >= STEAL_ORDER || type !== MIGRATE_MOVABLE || c.words[HEADER_MOBILITY_DISABLED] !== 0
}

/** Makes the first block of order `current` that `type` may steal, and more of its pageblock where that pays, one of `type`. */
function stealBlock(
  c: BuddyContext,
  zone: number,
  order: number,
  current: number,
  type: number,
  allocFlags: number,
): void {
  const from = fallbackType(c, zone, current, type)
  const record = c.words[freeList(zone, current, from)]!
  const pfn = recordPfn(record)
  if (current === MAX_ORDER - 1) leaveRun(c.words, record)
  claim(c, zone, pfn, current, type, allocFlags)
  if (c.tracing) c.trace.extfrag(pfn, order, current, type, from, blockType(c, pfn) === type)
}

/** Moves the block at `pfn`, with its pageblock's other free blocks where that pays, to `type`. */
function claim(
  c: BuddyContext,
  zone: number,
  pfn: number,
  order: number,
  type: number,
  allocFlags: number,
): void {
  const old = blockType(c, pfn)
  if (old !== MIGRATE_HIGHATOMIC) {
    if (order >= PAGEBLOCK_ORDER) {
      for (let block = pfn; block < pfn + (1 << order); block += PAGEBLOCK_PAGES) {
        setPageblockType(c, block, type)
      }
    } else {
      if (boostWatermark(c, zone) && (allocFlags & ALLOC_KSWAPD) !== 0) {
        c.words[zone + ZONE_FLAGS]! |= ZONE_BOOSTED_WATERMARK
      }
      if (mayStealWhole(c, order, type) && claimPageblock(c, zone, pfn, type, old)) return
    }
  }
  moveToTail(c, zone, pfn, order, type)
}

/**
 * Moves all free blocks of the pageblock of `pfn` to `type`, and the pageblock with them when most of it goes with that
 * type. False when nothing could be moved.
 */
function claimPageblock(
  c: BuddyContext,
  zone: number,
  pfn: number,
  type: number,
  old: number,
): boolean {
  const movable = countMovablePages(c, pfn)
  const free = moveFreePages(c, zone, pfn, type)
  let alike = 0
  if (type === MIGRATE_MOVABLE) alike = movable
  else if (old === MIGRATE_MOVABLE) alike = PAGEBLOCK_PAGES - (free + movable)
  const most = free + alike >= PAGEBLOCK_PAGES / 2 || c.words[HEADER_MOBILITY_DISABLED] !== 0
  if (free > 0 && most) setPageblockType(c, pfn, type)
  return free > 0
}

/** What `watermark_boost_factor` is a fraction of. */
const FACTOR_SCALE = 10000

/**
 * Raises the zone's watermarks after a steal that mixes types, so that reclaim starts earlier and
 * fewer steals follow. Returns false when boosting is off or the zone too small for it.
 */
function boostWatermark(c: BuddyContext, zone: number): boolean {
  const words = c.words
  const factor = words[HEADER_WATERMARK_BOOST]!
  if (factor === 0 || words[zone + ZONE_MANAGED]! < 4 * PAGEBLOCK_PAGES) return false
  const high = words[zone + ZONE_WMARK + WMARK_HIGH]!
  // The factor is in ten-thousandths of the high mark; multiplied in two parts, as a kernel does.
  const part =
    Math.floor(high / FACTOR_SCALE) * factor +
    Math.floor(((high % FACTOR_SCALE) * factor) / FACTOR_SCALE)
  if (part === 0) return false
  const limit = Math.max(part, PAGEBLOCK_PAGES)
  const raised = words[zone + ZONE_BOOST]! + PAGEBLOCK_PAGES
  words[zone + ZONE_BOOST] = Math.min(raised, limit)
  words[zone + ZONE_QUIET] = 0
  return true
}

/**
 * Keeps the pageblock of a page just given to a high-order atomic request for more of them, up to
 * about a hundredth of the zone.
 */
export function reserveHighatomic(c: BuddyContext, zone: number, pfn: number): void {
  const words = c.words
  const limit = Math.floor(words[zone + ZONE_MANAGED]! / 100) + PAGEBLOCK_PAGES
  if (words[zone + ZONE_HIGHATOMIC]! >= limit) return
  if (blockType(c, pfn) >= MIGRATE_PCPTYPES) return
  words[zone + ZONE_HIGHATOMIC]! += PAGEBLOCK_PAGES
  words[zone + ZONE_QUIET] = 0
  setPageblockType(c, pfn, MIGRATE_HIGHATOMIC)
  moveFreePages(c, zone, pfn, MIGRATE_HIGHATOMIC)
}

/**
 * Gives one reserved pageblock of `zone` back for use by `type`; a zone's last reserved block only
 * when `force`d. Returns true when free pages moved.
 */
export function unreserveHighatomic(
  c: BuddyContext,
  zone: number,
  type: number,
  force: boolean,
): boolean {
  const words = c.words
  if (!force && words[zone + ZONE_HIGHATOMIC]! <= PAGEBLOCK_PAGES) return false
  for (let order = 0; order < MAX_ORDER; order++) {
    const head = freeList(zone, order, MIGRATE_HIGHATOMIC)
    if (words[head] === head) continue
    const pfn = recordPfn(words[head]!)
    if (blockType(c, pfn) === MIGRATE_HIGHATOMIC) {
      const reserved = words[zone + ZONE_HIGHATOMIC]!
      words[zone + ZONE_HIGHATOMIC] = reserved - Math.min(PAGEBLOCK_PAGES, reserved)
    }
    setPageblockType(c, pfn, type)
    if (moveFreePages(c, zone, pfn, type) > 0) return true
  }
  return false
}
