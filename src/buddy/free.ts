/**
 * Freeing: every block is checked whole before anything changes, then goes to the CPU's page lists or
 * straight to the free areas.
 *
 * A block that is wrong to free is refused whole: one with further references (DIFF-1), one that is free,
 * a tail or of another order (DIFF-2), and one with a page in a bad state (DIFF-3).
 *
 * Source: spec/page-allocator.md §7.1, §7.2, §7.4, §8.3.
 */

import { KernelBug } from '../base/errors'
import { structPageAddress } from '../base/units'
import { blockHead, flagsOrder, pageRecord } from '../page/memmap'
import { MIGRATE_ISOLATE } from '../page/migratetype'
import { PAGE_FLAGS_CHECK_AT_FREE, PG_RESERVED } from '../page/pageFlags'
import { addEvent } from '../state/counters'
import {
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_MASK,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PCP_PGFREE,
  ZONE_PCP,
} from '../state/schema'
import { zoneOfPfn } from '../zone/zones'
import type { BuddyContext } from './context'
import { blockType, freeOnePage, pcpAllowed, zoneAt } from './freeArea'
import { putOnPcp } from './pcp'

/** Why a page is dumped, in the kernel's words. */
const BAD_FLAGS = 'PAGE_FLAGS_CHECK_AT_FREE flag(s) set'
const BAD_REFS = 'nonzero _refcount'
const NO_REFS = 'VM_BUG_ON_PAGE(page_ref_count(page) == 0)'

/** What a head's flag word must say at the free of a block, besides its order. */
const MUST_BE_CLEAR = PAGE_FLAGS_CHECK_AT_FREE | PAGE_BUDDY

/**
 * Frees the block of `order` (0 to 10) at `pfn` (0 to maxPfn), dropping its one reference.
 * @throws KernelBug for anything but a block in use of that order with one reference.
 */
export function freePages(c: BuddyContext, pfn: number, order: number): void {
  checkBlock(c, pfn, order)
  freeChecked(c, pfn, order)
}

/**
 * Throws unless a block of `order` in use starts at `pfn`, with one reference and no bad flags. Tail pages
 * need no look: nothing gives them flags or references (PAGE-2).
 */
export function checkBlock(c: BuddyContext, pfn: number, order: number): void {
  const words = c.words
  const record = pageRecord(pfn)
  const flags = words[record + PAGE_FLAGS]!
  if (
    words[record + PAGE_REFS] !== 1 ||
    (flags & (MUST_BE_CLEAR | PAGE_ORDER_MASK)) !== order << PAGE_ORDER_SHIFT
  ) {
    throw badFree(c, pfn, order)
  }
}

/** Frees a block that has been checked. */
export function freeChecked(c: BuddyContext, pfn: number, order: number): void {
  const words = c.words
  if (c.tracing) c.trace.pageFree(pfn, order)
  const record = pageRecord(pfn)
  words[record + PAGE_FLAGS] = 0
  words[record + PAGE_REFS] = 0
  const zone = zoneAt(c, pfn)
  const type = blockType(c, pfn)
  if (!pcpAllowed(order)) {
    freeOnePage(c, zone, pfn, order, type, false)
    addEvent(words, words[zone + ZONE_PCP]! + c.pcpShift + PCP_PGFREE, 1 << order)
  } else if (type === MIGRATE_ISOLATE || c.pcpLocked) {
    freeOnePage(c, zone, pfn, order, type, false)
  } else {
    putOnPcp(c, zone, words[zone + ZONE_PCP]! + c.pcpShift, pfn, order, type)
  }
}

/** Frees a page past the CPU's lists, to the end of its free list. The page has been checked. */
export function freeToTail(c: BuddyContext, pfn: number): void {
  const words = c.words
  if (c.tracing) c.trace.pageFree(pfn, 0)
  words[pageRecord(pfn) + PAGE_FLAGS] = 0
  words[pageRecord(pfn) + PAGE_REFS] = 0
  const zone = zoneAt(c, pfn)
  freeOnePage(c, zone, pfn, 0, blockType(c, pfn), true)
  addEvent(words, words[zone + ZONE_PCP]! + c.pcpShift + PCP_PGFREE, 1)
}

/** The error for a free that must not be: what is wrong, with the kernel's report. */
function badFree(c: BuddyContext, pfn: number, order: number): KernelBug {
  const words = c.words
  const flags = words[pageRecord(pfn) + PAGE_FLAGS]!
  const refs = words[pageRecord(pfn) + PAGE_REFS]!
  if (zoneOfPfn(words, pfn) < 0) return outsideMemory(pfn)
  if ((flags & PG_RESERVED) !== 0) return bug(c, pfn, 'RESERVED_PAGE', 'is reserved', BAD_FLAGS)
  if (refs > 1) {
    return bug(c, pfn, 'STILL_REFERENCED', `is still referenced: refcount ${refs}`, BAD_REFS)
  }
  if (refs === 1) {
    if ((flags & PAGE_FLAGS_CHECK_AT_FREE) !== 0) {
      return bug(c, pfn, 'BAD_PAGE_STATE', 'is in a bad state', BAD_FLAGS)
    }
    return bug(c, pfn, 'WRONG_ORDER', `has order ${flagsOrder(flags)}, not ${order}`, BAD_REFS)
  }
  const head = blockHead(words, pfn)
  if (head < 0) return bug(c, pfn, 'NOT_ALLOCATED', 'is not allocated', NO_REFS)
  const free = words[pageRecord(head) + PAGE_REFS]! <= 0
  if (free) return bug(c, pfn, 'DOUBLE_FREE', 'is already free', NO_REFS)
  return bug(c, pfn, 'TAIL_PAGE', `is a tail page of block 0x${head.toString(16)}`, NO_REFS)
}

/** The error for a frame without memory: where a kernel would fault on the page's record. */
export function outsideMemory(pfn: number): KernelBug {
  const record = structPageAddress(pfn).toString(16).slice(-16)
  return new KernelBug('OUTSIDE_MEMORY', `pfn 0x${pfn.toString(16)} is outside memory`, [
    `BUG: unable to handle page fault for address: ${record}`,
  ])
}

function bug(c: BuddyContext, pfn: number, code: string, what: string, reason: string): KernelBug {
  return new KernelBug(code, `pfn 0x${pfn.toString(16)} ${what}`, c.log.badPage(c, pfn, reason))
}
