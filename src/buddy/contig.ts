/**
 * Contiguous ranges of any length, taken out of free memory by isolating the pageblocks around them.
 *
 * Nothing here migrates pages that are in use: a range succeeds when all of it is free (DIFF-15).
 *
 * ISOLATE-1: a zone's count of isolated pageblocks is the number of its pageblocks of type ISOLATE.
 *
 * Source: spec/page-allocator.md §8.7.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, NUMA_NO_NODE, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, type Pfn } from '../base/units'
import { touchFresh } from '../page/freshBlocks'
import { blockHead, compoundHead, flagsOrder, pageRecord } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_ISOLATE, MIGRATE_MOVABLE } from '../page/migratetype'
import { PG_HEAD, PG_LRU, PG_RESERVED } from '../page/pageFlags'
import { addFreePages } from '../state/counters'
import {
  BLOCK_MIXED,
  PAGE_FLAGS,
  PAGE_REFS,
  ZONE_INDEX,
  ZONE_NR_ISOLATE,
  ZONE_START,
} from '../state/schema'
import { ZONE_MOVABLE, zoneEnd, zoneOfPfn } from '../zone/zones'
import { highestZone, zonelistFor } from './allocPages'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame, checkNode, checkRequest } from './checks'
import { type BuddyContext, currentPcp } from './context'
import { drainAll } from './drain'
import { freeEach } from './exactPages'
import { freeChecked } from './free'
import {
  blockType,
  freeBlockOrder,
  freeOnePage,
  moveFreePages,
  removeFreeBlock,
  setPageblockType,
  zoneAt,
} from './freeArea'

/** Some page of the range is in use or cannot be moved. */
export const EBUSY = -16
/** The range is empty or outside memory. */
export const EINVAL = -22

/**
 * Takes the frames `[start, end)` as single pages, when all of them are free.
 * @param type MIGRATE_MOVABLE or MIGRATE_CMA: the type of the pageblocks around the range afterwards,
 * whether the call succeeds or not.
 * @returns 0, or {@link EBUSY} when a page is in use, {@link EINVAL} for a range outside one zone.
 * @throws InvalidArgument for another type, or a range that is not one of frames.
 */
export function allocContigRange(
  pages: BuddyAllocator,
  start: Pfn,
  end: Pfn,
  type: number = MIGRATE_MOVABLE,
): number {
  const c = pages.context
  checkInteger('start', start, 0, c.maxPfn)
  checkInteger('end', end, 0, c.maxPfn)
  if (type !== MIGRATE_MOVABLE && type !== MIGRATE_CMA) {
    throw new InvalidArgument('migratetype', type, '1 (MOVABLE) or 4 (CMA)')
  }
  if (start >= end || zoneOfPfn(c.words, start) < 0) return EINVAL
  if (zoneOfPfn(c.words, start) !== zoneOfPfn(c.words, end - 1)) return EINVAL
  return allocContig(c, start, end, type)
}

/**
 * Allocates `count` contiguous frames anywhere near `node`, as single pages, for lengths that no block
 * has. Cost: up to all frames.
 * @returns the first frame, or null.
 */
export function allocContigPages(
  pages: BuddyAllocator,
  count: number,
  gfp: number,
  node = NUMA_NO_NODE,
): Pfn | null {
  const c = pages.context
  const near = checkNode(c, node)
  checkInteger('count', count, 1, c.maxPfn)
  checkRequest(c, gfp, 0)
  const pfn = findContig(c, count, gfp, near)
  return pfn < 0 ? null : (pfn as Pfn)
}

/**
 * Frees `count` single pages from `pfn` on, all or none.
 * @throws KernelBug when one of them is not a single page in use.
 */
export function freeContigRange(pages: BuddyAllocator, pfn: Pfn, count: number): void {
  checkFrame(pages.context, pfn)
  checkInteger('count', count, 1, pages.context.maxPfn - pfn)
  freeEach(pages.context, pfn, count)
}

/**
 * Takes the frames `[start, end)`, all of one zone, as single pages with one reference each. `type` is
 * MOVABLE or CMA: what the pageblocks around the range are afterwards, also when the call fails.
 * Returns 0 or EBUSY.
 */
function allocContig(c: BuddyContext, start: number, end: number, type: number): number {
  const zone = zoneAt(c, start)
  const first = start & -PAGEBLOCK_PAGES
  const last = (end - 1) & -PAGEBLOCK_PAGES
  touchFresh(c.words, start, end)
  if (!isolateRange(c, zone, first, last, type)) return EBUSY
  drainAll(c, zone)
  // The block that holds `start`: if it is not free, no more is `start`.
  const outer = blockHead(c.words, start)
  if (outer < 0 || !allFree(c, outer, end)) {
    unisolateRange(c, zone, first, last, type)
    return EBUSY
  }
  const taken = takeFreeRange(c, zone, outer, end)
  for (let page = outer; page < start; page++) freeChecked(c, page, 0)
  for (let page = end; page < taken; page++) freeChecked(c, page, 0)
  unisolateRange(c, zone, first, last, type)
  return 0
}

/** Isolates the pageblocks from `first` to `last`: the two at the edges, then those between. */
function isolateRange(
  c: BuddyContext,
  zone: number,
  first: number,
  last: number,
  type: number,
): boolean {
  if (!isolateBlock(c, zone, first, type)) return false
  if (!splitAcross(c, zone, first)) {
    unisolateBlock(c, zone, first, type)
    return false
  }
  if (last !== first && !isolateBlock(c, zone, last, type)) {
    unisolateBlock(c, zone, first, type)
    return false
  }
  if (!splitAcross(c, zone, last + PAGEBLOCK_PAGES)) {
    unisolateBlock(c, zone, first, type)
    if (last !== first) unisolateBlock(c, zone, last, type)
    return false
  }
  for (let block = first + PAGEBLOCK_PAGES; block < last; block += PAGEBLOCK_PAGES) {
    if (isolateBlock(c, zone, block, type)) continue
    unisolateRange(c, zone, first, block - PAGEBLOCK_PAGES, type)
    unisolateBlock(c, zone, last, type)
    return false
  }
  return true
}

function unisolateRange(
  c: BuddyContext,
  zone: number,
  first: number,
  last: number,
  type: number,
): void {
  for (let block = first; block <= last; block += PAGEBLOCK_PAGES) {
    unisolateBlock(c, zone, block, type)
  }
}

/** Isolates one pageblock: nothing is allocated from it any more. False when a page cannot be moved. */
function isolateBlock(c: BuddyContext, zone: number, block: number, type: number): boolean {
  const words = c.words
  const old = blockType(c, block)
  if (old === MIGRATE_ISOLATE || isShared(c, zone, block)) return false
  if (old === MIGRATE_CMA ? type !== MIGRATE_CMA : hasUnmovable(c, zone, block)) return false
  setPageblockType(c, block, MIGRATE_ISOLATE)
  words[zone + ZONE_NR_ISOLATE]! += 1
  const moved = moveFreePages(c, zone, block, MIGRATE_ISOLATE)
  addFreePages(words, zone, currentPcp(c, zone), -moved, old === MIGRATE_CMA)
  return true
}

/** True for a pageblock that other zones have a part in: its free pages could not all be counted (DIFF-23). */
function isShared(c: BuddyContext, zone: number, block: number): boolean {
  const mixed = (c.words[c.blocks + (block >> PAGEBLOCK_ORDER)]! & BLOCK_MIXED) !== 0
  return mixed || block + PAGEBLOCK_PAGES > zoneEnd(c.words, zone)
}

/** True when the pageblock holds a page that nothing can move away. */
function hasUnmovable(c: BuddyContext, zone: number, block: number): boolean {
  const words = c.words
  const movableZone = words[zone + ZONE_INDEX] === ZONE_MOVABLE
  for (let page = block; page < block + PAGEBLOCK_PAGES; page++) {
    const flags = words[pageRecord(page) + PAGE_FLAGS]!
    if ((flags & PG_RESERVED) !== 0) return true
    if (movableZone) continue
    const head = compoundHead(words, page as Pfn)
    const headFlags = words[pageRecord(head) + PAGE_FLAGS]!
    if ((headFlags & PG_HEAD) !== 0) {
      if ((headFlags & PG_LRU) === 0) return true
      page = head + (1 << flagsOrder(headFlags)) - 1
      continue
    }
    const order = freeBlockOrder(c, page)
    if (order >= 0) page += (1 << order) - 1
    else if (words[pageRecord(page) + PAGE_REFS]! > 0 && (flags & PG_LRU) === 0) return true
  }
  return false
}

/**
 * Splits a free block of order 10 that lies across `boundary` into its two pageblocks. False when a
 * compound page in use lies across it.
 */
function splitAcross(c: BuddyContext, zone: number, boundary: number): boolean {
  const words = c.words
  const order = MAX_ORDER - 1
  const head = boundary & -(1 << order)
  if (head === boundary) return true
  if (freeBlockOrder(c, head) === order) {
    removeFreeBlock(c, zone, head, order)
    if (blockType(c, head) !== MIGRATE_ISOLATE) {
      addFreePages(
        words,
        zone,
        currentPcp(c, zone),
        -(1 << order),
        blockType(c, head) === MIGRATE_CMA,
      )
    }
    freeOnePage(c, zone, head, PAGEBLOCK_ORDER, blockType(c, head), false)
    freeOnePage(c, zone, boundary, PAGEBLOCK_ORDER, blockType(c, boundary), false)
    return true
  }
  return compoundHead(words, boundary as Pfn) === boundary
}

/** Ends the isolation of one pageblock; it and its free pages are of `type` from now on. */
function unisolateBlock(c: BuddyContext, zone: number, block: number, type: number): void {
  const words = c.words
  if (freeBlockOrder(c, block) === PAGEBLOCK_ORDER) {
    // It may merge with its buddy.
    removeFreeBlock(c, zone, block, PAGEBLOCK_ORDER)
    setPageblockType(c, block, type)
    words[zone + ZONE_NR_ISOLATE]! -= 1
    freeOnePage(c, zone, block, PAGEBLOCK_ORDER, type, true)
    return
  }
  const moved = moveFreePages(c, zone, block, type)
  addFreePages(words, zone, currentPcp(c, zone), moved, type === MIGRATE_CMA)
  setPageblockType(c, block, type)
  words[zone + ZONE_NR_ISOLATE]! -= 1
}

function allFree(c: BuddyContext, start: number, end: number): boolean {
  for (let page = start; page < end; ) {
    const order = freeBlockOrder(c, page)
    if (order < 0) return false
    page += 1 << order
  }
  return true
}

/** Takes the free blocks from `start` until `end` as single pages. Returns the end of the last block. */
function takeFreeRange(c: BuddyContext, zone: number, start: number, end: number): number {
  const words = c.words
  let page = start
  while (page < end) {
    const order = freeBlockOrder(c, page)
    removeFreeBlock(c, zone, page, order)
    // Their flags are clear.
    for (let i = 0; i < 1 << order; i++, page++) words[pageRecord(page) + PAGE_REFS] = 1
  }
  return page
}

/**
 * Looks for `count` contiguous frames that can be taken, zone by zone near `node`, at multiples of the
 * next power of two. Returns the first frame, or -1.
 */
function findContig(c: BuddyContext, count: number, gfp: number, node: number): number {
  const words = c.words
  const highest = highestZone(c, gfp)
  const step = 2 ** Math.ceil(Math.log2(count))
  for (let at = zonelistFor(c, node, gfp); words[at] !== 0; at++) {
    const zone = words[at]!
    if (words[zone + ZONE_INDEX]! > highest) continue
    const end = zoneEnd(words, zone)
    let pfn = Math.ceil(words[zone + ZONE_START]! / step) * step
    for (; pfn + count <= end; pfn += step) {
      if (!rangeUsable(c, zone, pfn, pfn + count)) continue
      if (allocContig(c, pfn, pfn + count, MIGRATE_MOVABLE) === 0) return pfn
    }
  }
  return -1
}

/** True when all frames of `[start, end)` belong to `zone` and none is reserved. */
function rangeUsable(c: BuddyContext, zone: number, start: number, end: number): boolean {
  for (let page = start; page < end; page++) {
    if (zoneOfPfn(c.words, page) !== zone) return false
    if ((c.words[pageRecord(page) + PAGE_FLAGS]! & PG_RESERVED) !== 0) return false
  }
  return true
}
