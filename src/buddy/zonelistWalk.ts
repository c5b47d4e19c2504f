/**
 * The walk over a zonelist: from the first zone whose watermark allows it a block is taken and set up.
 *
 * Source: spec/page-allocator.md §5.2.
 */

import {
  ALLOC_HIGHATOMIC,
  ALLOC_NO_WATERMARKS,
  ALLOC_NOFRAGMENT,
  ALLOC_WMARK_MASK,
} from '../page/allocFlags'
import { __GFP_COMP, __GFP_NOFAIL, __GFP_ZERO, __GFP_ZEROTAGS } from '../page/gfp'
import { pageRecord } from '../page/memmap'
import { PG_HEAD } from '../page/pageFlags'
import {
  HEADER_ONLINE_NODES,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_PFMEMALLOC,
  PAGE_REFS,
  ZONE_BOOST,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_WMARK,
} from '../state/schema'
import { zoneWatermarkFast } from '../zone/watermarkTest'
import type { BuddyContext, Nodemask } from './context'
import { reserveHighatomic } from './fallback'
import { takeFromZone } from './rmqueue'
import { WARN_NOFAIL_ORDER, warnOnce } from './warnings'

/** Place in the zonelist of the first zone that a request may use; 0 when there is none. */
export function firstZone(
  c: BuddyContext,
  list: number,
  highest: number,
  nodemask: Nodemask,
): number {
  const words = c.words
  for (let at = list; words[at] !== 0; at++) {
    if (mayUse(words, words[at]!, highest, nodemask)) return at
  }
  return 0
}

/** True when a request may use `zone`. */
export function mayUse(
  words: Int32Array,
  zone: number,
  highest: number,
  nodemask: Nodemask,
): boolean {
  if (words[zone + ZONE_INDEX]! > highest) return false
  return nodemask === null || nodemask[words[zone + ZONE_NODE]!] !== 0
}

/**
 * Walks the zones of a zonelist from place `start` on, the preferred zone, and takes the block from
 * the first zone whose watermark allows it. Returns its PFN, set up, or -1.
 */
export function takeFromZonelist(
  c: BuddyContext,
  gfp: number,
  order: number,
  allocFlags: number,
  type: number,
  highest: number,
  start: number,
  nodemask: Nodemask,
): number {
  const words = c.words
  const preferred = words[start]!
  let flags = allocFlags
  let at = start
  for (;;) {
    const zone = words[at]!
    if (zone === 0) {
      // The second walk may mix types.
      if ((flags & ALLOC_NOFRAGMENT) === 0) return -1
      flags &= ~ALLOC_NOFRAGMENT
      at = start
      continue
    }
    at += 1
    if (!mayUse(words, zone, highest, nodemask)) continue
    if ((flags & ALLOC_NOFRAGMENT) !== 0 && zone !== preferred && leavesNode(c, preferred, zone)) {
      // A mixed block here is better than a page from another node.
      flags &= ~ALLOC_NOFRAGMENT
      at = start
      continue
    }
    const mark = words[zone + ZONE_WMARK + (flags & ALLOC_WMARK_MASK)]! + words[zone + ZONE_BOOST]!
    if (
      !zoneWatermarkFast(words, zone, order, mark, highest, flags, gfp) &&
      (flags & ALLOC_NO_WATERMARKS) === 0
    ) {
      continue
    }
    if ((gfp & __GFP_NOFAIL) !== 0 && order > 1) warnOnce(c, WARN_NOFAIL_ORDER)
    const pfn = takeFromZone(c, preferred, zone, order, type, flags)
    if (pfn < 0) continue
    setUpBlock(c, pfn, order, gfp, (flags & ALLOC_NO_WATERMARKS) !== 0)
    if ((flags & ALLOC_HIGHATOMIC) !== 0) reserveHighatomic(c, zone, pfn)
    return pfn
  }
}

/**
 * Makes the records of a block say that it is in use, and zeroes it where the mask asks for that. Its
 * pages are not checked: no page gets into the free areas without the checks of a free (DIFF-4).
 */
export function setUpBlock(
  c: BuddyContext,
  pfn: number,
  order: number,
  gfp: number,
  pfmemalloc: boolean,
): void {
  const record = pageRecord(pfn)
  let flags = order << PAGE_ORDER_SHIFT
  if (order !== 0 && (gfp & __GFP_COMP) !== 0) flags |= PG_HEAD
  if (pfmemalloc) flags |= PAGE_PFMEMALLOC
  c.words[record + PAGE_FLAGS] = flags
  c.words[record + PAGE_REFS] = 1
  // ZEROTAGS promises zeroing along with the tags, and on machines without tags nobody does it.
  if ((gfp & (__GFP_ZERO | __GFP_ZEROTAGS)) === __GFP_ZERO) c.ram.zeroPages(pfn, 1 << order)
}

function leavesNode(c: BuddyContext, preferred: number, zone: number): boolean {
  const words = c.words
  return words[HEADER_ONLINE_NODES]! > 1 && words[zone + ZONE_NODE] !== words[preferred + ZONE_NODE]
}
