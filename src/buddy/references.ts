/**
 * References to pages: a block is freed when the last one goes. A page that nobody holds has none to
 * take or to drop (DIFF-16).
 *
 * Source: spec/page-allocator.md §8.3.
 */

import { KernelBug } from '../base/errors'
import type { Pfn } from '../base/units'
import { compoundHead, flagsOrder, pageRecord } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import { PAGE_FLAGS, PAGE_REFS } from '../state/schema'
import { zoneOfPfn } from '../zone/zones'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame } from './checks'
import type { BuddyContext } from './context'
import { freePages, outsideMemory } from './free'

/** One reference short of what a page's counter holds. */
const MAX_REFS = 0x7ffffffe

/**
 * Takes another reference on a page: freeing it is a bug until {@link putPage} drops that.
 * @throws KernelBug for a page that is not in use.
 */
export function getPage(pages: BuddyAllocator, pfn: Pfn): void {
  checkFrame(pages.context, pfn)
  takeReference(pages.context, pfn)
}

/**
 * Drops a reference on a page, or on the compound page that it is part of; the last one frees it.
 * @throws KernelBug, with nothing changed, for a page that is not in use or must not be freed.
 */
export function putPage(pages: BuddyAllocator, pfn: Pfn): void {
  checkFrame(pages.context, pfn)
  dropReference(pages.context, pfn)
}

/** References to a page; 0 for a free one and for tail pages. */
export function pageCount(pages: BuddyAllocator, pfn: Pfn): number {
  checkFrame(pages.context, pfn)
  // On a CPU's list a page has a negative number there.
  return Math.max(0, pages.context.words[pageRecord(pfn) + PAGE_REFS]!)
}

/**
 * Adds a reference to a page in use, to the head when it is part of a compound page.
 * @throws KernelBug for a page that nobody holds, and for a counter that would overflow.
 */
function takeReference(c: BuddyContext, pfn: number): void {
  const record = pageRecord(usedHead(c, pfn))
  if (c.words[record + PAGE_REFS]! >= MAX_REFS) {
    throw new KernelBug('REFCOUNT_OVERFLOW', `pfn 0x${pfn.toString(16)} has too many references`)
  }
  c.words[record + PAGE_REFS]! += 1
}

/**
 * Drops a reference; the last one frees the block.
 * @throws KernelBug for a page that nobody holds.
 */
function dropReference(c: BuddyContext, pfn: number): void {
  const words = c.words
  const head = usedHead(c, pfn)
  const record = pageRecord(head)
  if (words[record + PAGE_REFS] === 1) {
    freePages(c, head, flagsOrder(words[record + PAGE_FLAGS]!))
  } else {
    words[record + PAGE_REFS]! -= 1
  }
}

/** The page whose counter counts for `pfn`. */
function usedHead(c: BuddyContext, pfn: number): number {
  if (zoneOfPfn(c.words, pfn) < 0) throw outsideMemory(pfn)
  const head = compoundHead(c.words, pfn as Pfn)
  const flags = c.words[pageRecord(head) + PAGE_FLAGS]!
  if ((flags & PG_RESERVED) !== 0 || c.words[pageRecord(head) + PAGE_REFS]! <= 0) {
    throw new KernelBug('NOT_REFERENCED', `pfn 0x${pfn.toString(16)} has no reference`, [
      'VM_BUG_ON_PAGE(page_ref_count(page) == 0)',
    ])
  }
  return head
}
