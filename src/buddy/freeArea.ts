/**
 * Free areas: the lists of free blocks, splitting a block to give part of it, merging buddies.
 *
 * A free block of order o starts on a multiple of 2^o pages; its buddy is the block that makes the
 * two one block of order o + 1: `pfn XOR 2^o`.
 *
 *     order 2   [ 8  9 10 11 ][12 13 14 15 ]      8 XOR 4 = 12, 12 XOR 4 = 8
 *     order 1   [ 8  9 ][10 11 ]                  8 XOR 2 = 10
 *
 * BUDDY-1: each list (zone, order, type) holds exactly the blocks marked free with that order.
 * BUDDY-2: a zone's count of free blocks of an order is the length of that order's six lists.
 * BUDDY-3: no two free buddies below order 9 lie apart: freeing merges them. (From order 9 on, blocks
 *          of types that may not mix stay apart.)
 * BUDDY-4: no block, free, on a CPU's list or in use, overlaps another.
 *
 * Source: spec/page-allocator.md §5.6, §7.5, §5.8.
 */

import { MAX_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from '../base/units'
import { leaveRun } from '../page/freshBlocks'
import { flagsOrder, pageRecord, recordPfn } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_ISOLATE, MIGRATE_PCPTYPES } from '../page/migratetype'
import { PG_LRU } from '../page/pageFlags'
import { addFreePages } from '../state/counters'
import { listAddHead, listAddTail, listRemove } from '../state/lists'
import {
  BLOCK_MIXED,
  BLOCK_TYPE_MASK,
  BLOCK_ZONE_SHIFT,
  HEADER_MOBILITY_DISABLED,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PAGE_WORDS_SHIFT,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NR_FREE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { zoneOfPfn } from '../zone/zones'
import { type BuddyContext, currentPcp } from './context'

/** Head of the list of free blocks of an order and a type. */
export function freeList(zone: number, order: number, type: number): number {
  return zone + ZONE_LISTS + order * ZONE_LISTS_PER_ORDER + (type << 1)
}

/** True when blocks of this order go through the CPUs' page lists: orders 0 to 3, and 9. */
export function pcpAllowed(order: number): boolean {
  return order <= 3 || order === PAGEBLOCK_ORDER
}

/**
 * Takes the first block of the smallest sufficient order from the lists of `type`, and gives back
 * what is too much: its upper halves, each to the head of its list.
 *
 * Returns the block's PFN, its records holding the order and `type` as cached type, or -1. The
 * zone's free count is the caller's to change.
 */
export function takeSmallest(c: BuddyContext, zone: number, order: number, type: number): number {
  const words = c.words
  let head = freeList(zone, order, type)
  for (let current = order; current < MAX_ORDER; current++, head += ZONE_LISTS_PER_ORDER) {
    const record = words[head]!
    if (record === head) continue
    if (current === MAX_ORDER - 1) leaveRun(words, record)
    listRemove(words, record)
    words[zone + ZONE_NR_FREE + current]! -= 1
    while (current > order) {
      current -= 1
      head -= ZONE_LISTS_PER_ORDER
      const upper = record + (1 << (current + PAGE_WORDS_SHIFT))
      words[upper + PAGE_FLAGS] = PAGE_BUDDY | (current << PAGE_ORDER_SHIFT)
      listAddHead(words, head, upper)
      words[zone + ZONE_NR_FREE + current]! += 1
    }
    words[record + PAGE_FLAGS] = order << PAGE_ORDER_SHIFT
    words[record + PAGE_REFS] = -1 - type
    const pfn = recordPfn(record)
    if (c.tracing) {
      c.trace.zoneLocked(pfn, order, type, pcpAllowed(order) && type < MIGRATE_PCPTYPES)
    }
    return pfn
  }
  return -1
}

/**
 * Gives a block to the free lists of `type`, merged with its free buddies as far as that goes.
 *
 * The block's head record has no references; its flag word is overwritten. `toTail` puts the result
 * at the end of its list; otherwise it goes to the front, unless a merge of its would-be parent is
 * near, in which case it waits at the end. Counts the pages as free unless `type` is ISOLATE.
 */
export function freeOnePage(
  c: BuddyContext,
  zone: number,
  pfn: number,
  order: number,
  type: number,
  toTail: boolean,
): void {
  const words = c.words
  if (type !== MIGRATE_ISOLATE) {
    addFreePages(words, zone, currentPcp(c, zone), 1 << order, type === MIGRATE_CMA)
  }
  const mixed = (words[c.blocks + (pfn >> PAGEBLOCK_ORDER)]! & BLOCK_MIXED) !== 0
  while (order < MAX_ORDER - 1) {
    const buddy = pfn ^ (1 << order)
    const record = pageRecord(buddy)
    if (words[record + PAGE_FLAGS] !== (PAGE_BUDDY | (order << PAGE_ORDER_SHIFT))) break
    if (order >= PAGEBLOCK_ORDER) {
      if (zoneAt(c, buddy) !== zone) break
      const buddyType = words[c.blocks + (buddy >> PAGEBLOCK_ORDER)]! & BLOCK_TYPE_MASK
      if (type !== buddyType && (type >= MIGRATE_PCPTYPES || buddyType >= MIGRATE_PCPTYPES)) break
    } else if (mixed && zoneAt(c, buddy) !== zone) {
      break
    }
    listRemove(words, record)
    words[record + PAGE_FLAGS] = 0
    words[zone + ZONE_NR_FREE + order]! -= 1
    // The freed half stops being a head when it is the upper one.
    words[pageRecord(pfn) + PAGE_FLAGS] = 0
    pfn &= buddy
    order += 1
  }
  const record = pageRecord(pfn)
  words[record + PAGE_FLAGS] = PAGE_BUDDY | (order << PAGE_ORDER_SHIFT)
  words[zone + ZONE_NR_FREE + order]! += 1
  const head = freeList(zone, order, type)
  if (toTail || (order < PAGEBLOCK_ORDER && mergeLikely(c, pfn, order))) {
    listAddTail(words, head, record)
  } else {
    listAddHead(words, head, record)
  }
}

/** True when the block next to this one's parent is free: when this one's buddy comes, both merge on. */
function mergeLikely(c: BuddyContext, pfn: number, order: number): boolean {
  const parent = pfn & ~(1 << order)
  const uncle = parent ^ (2 << order)
  const flags = c.words[pageRecord(uncle) + PAGE_FLAGS]!
  if (flags !== (PAGE_BUDDY | ((order + 1) << PAGE_ORDER_SHIFT))) return false
  return zoneAt(c, uncle) === zoneAt(c, parent)
}

/** Offset of the zone that `pfn` belongs to; of zone 0 for a frame without memory. */
export function zoneAt(c: BuddyContext, pfn: number): number {
  const block = c.words[c.blocks + (pfn >> PAGEBLOCK_ORDER)]!
  if ((block & BLOCK_MIXED) !== 0) return zoneOfPfn(c.words, pfn)
  return c.zones + ((block >> BLOCK_ZONE_SHIFT) << ZONE_WORDS_SHIFT)
}

/** Takes a free block off its list; the zone's free count is the caller's to change. */
export function removeFreeBlock(c: BuddyContext, zone: number, pfn: number, order: number): void {
  const record = pageRecord(pfn)
  listRemove(c.words, record)
  c.words[record + PAGE_FLAGS] = 0
  c.words[zone + ZONE_NR_FREE + order]! -= 1
}

/** Moves a free block to the end of the list of `type`. Counts do not change. */
export function moveToTail(
  c: BuddyContext,
  zone: number,
  pfn: number,
  order: number,
  type: number,
): void {
  const record = pageRecord(pfn)
  listRemove(c.words, record)
  listAddTail(c.words, freeList(zone, order, type), record)
}

/** Order of the free block that starts at `pfn`; -1 when none does. */
export function freeBlockOrder(c: BuddyContext, pfn: number): number {
  const flags = c.words[pageRecord(pfn) + PAGE_FLAGS]!
  return (flags & PAGE_BUDDY) !== 0 ? flagsOrder(flags) : -1
}

/**
 * Moves the free blocks that start in the pageblock of `pfn` to the ends of the lists of `type`.
 * Returns the pages moved: 0 when the block's end lies outside the zone. Source: spec/page-allocator.md §5.8.
 */
export function moveFreePages(c: BuddyContext, zone: number, pfn: number, type: number): number {
  const words = c.words
  const zoneStart = words[zone + ZONE_START]!
  const zoneEnd = zoneStart + words[zone + ZONE_SPANNED]!
  let page = pfn & -PAGEBLOCK_PAGES
  const end = page + PAGEBLOCK_PAGES
  if (page < zoneStart) page = pfn
  if (end > zoneEnd) return 0
  let moved = 0
  while (page < end) {
    const order = freeBlockOrder(c, page)
    if (order < 0) {
      page += 1
      continue
    }
    moveToTail(c, zone, page, order, type)
    page += 1 << order
    moved += 1 << order
  }
  return moved
}

/** Pages in use in the pageblock of `pfn` that reclaim could move away: those on an LRU list. */
export function countMovablePages(c: BuddyContext, pfn: number): number {
  const start = pfn & -PAGEBLOCK_PAGES
  let movable = 0
  for (let page = start; page < start + PAGEBLOCK_PAGES; page++) {
    if ((c.words[pageRecord(page) + PAGE_FLAGS]! & PG_LRU) !== 0) movable += 1
  }
  return movable
}

/** Sets the migratetype of the pageblock that holds `pfn`; UNMOVABLE while mobility grouping is off. */
export function setPageblockType(c: BuddyContext, pfn: number, type: number): void {
  const words = c.words
  const at = c.blocks + (pfn >> PAGEBLOCK_ORDER)
  const grouped = words[HEADER_MOBILITY_DISABLED] === 0 || type >= MIGRATE_PCPTYPES
  words[at] = (words[at]! & ~BLOCK_TYPE_MASK) | (grouped ? type : 0)
}

/** Migratetype of the pageblock that holds `pfn`. */
export function blockType(c: BuddyContext, pfn: number): number {
  return c.words[c.blocks + (pfn >> PAGEBLOCK_ORDER)]! & BLOCK_TYPE_MASK
}
