/**
 * Requests that are not one power-of-two block: many single pages at once, an exact number of pages,
 * a block split into pages.
 *
 * Source: spec/page-allocator.md §8.2, §8.4.
 */

import { checkInteger, KernelBug } from '../base/errors'
import { getOrder, MAX_ORDER, NUMA_NO_NODE, PAGE_SIZE, type Pfn } from '../base/units'
import { ALLOC_CMA, ALLOC_WMARK_LOW } from '../page/allocFlags'
import { __GFP_COMP, __GFP_HIGHMEM } from '../page/gfp'
import { pageRecord } from '../page/memmap'
import { MIGRATE_MOVABLE } from '../page/migratetype'
import { PG_HEAD } from '../page/pageFlags'
import {
  HEADER_GFP_ALLOWED,
  HEADER_ONLINE_NODES,
  PAGE_FLAGS,
  PAGE_REFS,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_PCP,
} from '../state/schema'
import { zoneWatermarkFast } from '../zone/watermarkTest'
import { boostedMark } from '../zone/zones'
import { allocPages, highestZone, requestType, zonelistFor } from './allocPages'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame, checkNode, checkOrder, checkRequest } from './checks'
import type { BuddyContext } from './context'
import { checkBlock, freeChecked, freeToTail, outsideMemory } from './free'
import { takeFromPcp } from './pcp'
import { countAllocation } from './rmqueue'
import { WARN_EXACT_FLAGS, warnOnce } from './warnings'
import { firstZone, mayUse, setUpBlock } from './zonelistWalk'

/**
 * Allocates up to `count` single pages at once, all from one zone, as far as that stays above its
 * low watermark; one page in the ordinary way when that gives none, or while owners of pages are kept.
 * @param count 0 to 2^20.
 * @returns the frames, in order; possibly fewer than asked for.
 */
export function allocPagesBulk(
  pages: BuddyAllocator,
  gfp: number,
  count: number,
  node = NUMA_NO_NODE,
): Pfn[] {
  const c = pages.context
  const near = checkNode(pages.context, node)
  checkInteger('count', count, 0, 1 << 20)
  checkRequest(c, gfp, 0)
  const pfns: number[] = []
  if (count > 1 && !c.owned) {
    if (c.faults?.failPage(gfp & c.words[HEADER_GFP_ALLOWED]!, 0)) return []
    takeBulk(c, gfp, count, near, pfns)
  }
  if (count > 0 && pfns.length === 0) {
    const pfn = allocPages(c, gfp, 0, near, null)
    if (pfn >= 0) pfns.push(pfn)
  }
  return pfns as Pfn[]
}

/**
 * Allocates just the pages that hold `bytes` bytes; the rest of the block is given back. Each page
 * is then a page of its own.
 * @param bytes 1 to 4 MiB; more is warned of once, and gives null.
 * @returns the first frame, or null.
 */
export function allocPagesExact(
  pages: BuddyAllocator,
  bytes: number,
  gfp: number,
  node = NUMA_NO_NODE,
): Pfn | null {
  const c = pages.context
  const near = checkNode(pages.context, node)
  checkInteger('bytes', bytes, 1, Number.MAX_SAFE_INTEGER)
  if (bytes > PAGE_SIZE << (MAX_ORDER - 1)) {
    checkRequest(c, gfp, MAX_ORDER)
    return null
  }
  checkRequest(c, gfp, 0)
  const pfn = allocExact(c, gfp, bytes, near)
  return pfn < 0 ? null : (pfn as Pfn)
}

/**
 * Frees the pages of an {@link allocPagesExact} of `bytes` bytes, all or none.
 * @throws KernelBug, with nothing freed, when one of them is not a page in use of its own.
 */
export function freePagesExact(pages: BuddyAllocator, pfn: Pfn, bytes: number): void {
  checkFrame(pages.context, pfn)
  checkInteger('bytes', bytes, 1, PAGE_SIZE << (MAX_ORDER - 1))
  freeEach(pages.context, pfn, Math.ceil(bytes / PAGE_SIZE))
}

/**
 * Makes each page of a block a page of its own, to be freed alone.
 * @throws KernelBug unless a block of that order in use starts at `pfn`, and is not compound.
 */
export function splitPage(pages: BuddyAllocator, pfn: Pfn, order: number): void {
  checkFrame(pages.context, pfn)
  checkOrder(order)
  checkBlock(pages.context, pfn, order)
  if ((pages.words[pageRecord(pfn) + PAGE_FLAGS]! & PG_HEAD) !== 0) {
    throw new KernelBug('COMPOUND_PAGE', `pfn 0x${pfn.toString(16)} is a compound page`, [
      'page dumped because: VM_BUG_ON_PAGE(PageCompound(page))',
    ])
  }
  splitBlock(pages.context, pfn, order)
}

/** Takes up to `count` single pages from one zone's CPU list, and appends their PFNs to `pages`. */
function takeBulk(
  c: BuddyContext,
  gfp: number,
  count: number,
  node: number,
  pages: number[],
): void {
  const words = c.words
  const mask = gfp & words[HEADER_GFP_ALLOWED]!
  const highest = highestZone(c, mask)
  const type = requestType(c, mask)
  const start = firstZone(c, zonelistFor(c, node, mask), highest, null)
  if (start === 0) return
  const flags = type === MIGRATE_MOVABLE ? ALLOC_WMARK_LOW | ALLOC_CMA : ALLOC_WMARK_LOW
  const preferred = words[start]!
  const zone = bulkZone(c, start, highest, flags, mask, count)
  if (zone === 0 || c.pcpLocked) return
  const pcp = words[zone + ZONE_PCP]! + c.pcpShift
  let taken = 0
  while (taken < count) {
    const pfn = takeFromPcp(c, zone, pcp, 0, type, flags)
    if (pfn < 0) break
    setUpBlock(c, pfn, 0, mask, false)
    pages.push(pfn)
    taken += 1
  }
  if (taken > 0) countAllocation(c, preferred, zone, pcp, taken, taken)
}

/** The zone to take `count` pages from: the first above its low watermark by that many; 0 for none. */
function bulkZone(
  c: BuddyContext,
  start: number,
  highest: number,
  flags: number,
  gfp: number,
  count: number,
): number {
  const words = c.words
  const preferred = words[start]!
  const preferredIndex = words[preferred + ZONE_INDEX]!
  for (let at = start; words[at] !== 0; at++) {
    const zone = words[at]!
    if (!mayUse(words, zone, highest, null)) continue
    const away = words[zone + ZONE_NODE] !== words[preferred + ZONE_NODE]
    if (away && words[HEADER_ONLINE_NODES]! > 1) return 0
    const mark = boostedMark(words, zone, ALLOC_WMARK_LOW) + count
    if (zoneWatermarkFast(words, zone, 0, mark, preferredIndex, flags, gfp)) return zone
  }
  return 0
}

/**
 * Allocates exactly the pages that hold `bytes` bytes: a block, its surplus given back. Each page is
 * then a page of its own. Returns the first PFN or -1.
 */
function allocExact(c: BuddyContext, gfp: number, bytes: number, node: number): number {
  let mask = gfp
  if ((mask & (__GFP_COMP | __GFP_HIGHMEM)) !== 0) {
    warnOnce(c, WARN_EXACT_FLAGS)
    mask &= ~(__GFP_COMP | __GFP_HIGHMEM)
  }
  const order = getOrder(bytes)
  const pfn = allocPages(c, mask, order, node, null)
  if (pfn < 0) return -1
  splitBlock(c, pfn, order)
  for (let page = pfn + Math.ceil(bytes / PAGE_SIZE); page < pfn + (1 << order); page++) {
    freeToTail(c, page)
  }
  return pfn
}

/** Makes each page of a block in use a block of order 0 with one reference. */
function splitBlock(c: BuddyContext, pfn: number, order: number): void {
  const words = c.words
  for (let page = pfn; page < pfn + (1 << order); page++) {
    words[pageRecord(page) + PAGE_FLAGS] = 0
    words[pageRecord(page) + PAGE_REFS] = 1
  }
}

/**
 * Frees `count` single pages from `pfn` on, ascending; all or none (DIFF-5).
 * @throws KernelBug, with nothing freed, when one of them is not a single page in use.
 */
export function freeEach(c: BuddyContext, pfn: number, count: number): void {
  for (let page = pfn; page < pfn + count; page++) {
    if (page >= c.maxPfn) throw outsideMemory(page)
    checkBlock(c, page, 0)
  }
  for (let page = pfn; page < pfn + count; page++) freeChecked(c, page, 0)
}
