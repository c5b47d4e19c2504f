/**
 * Taking named frames out of the free lists: the blocks that hold them are split around them. Frames on
 * a CPU's list come back to the free areas first.
 *
 * Source: spec/pressure.md §13.7.
 */

import { checkInteger } from '../base/errors'
import type { Pfn } from '../base/units'
import { touchFresh } from '../page/freshBlocks'
import { blockHead, pageRecord } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_ISOLATE } from '../page/migratetype'
import { addFreePages } from '../state/counters'
import { listAddHead } from '../state/lists'
import { PAGE_BUDDY, PAGE_FLAGS, PAGE_ORDER_SHIFT, PAGE_REFS, ZONE_NR_FREE } from '../state/schema'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame } from './checks'
import { type BuddyContext, currentPcp } from './context'
import { drainAll } from './drain'
import { blockType, freeBlockOrder, freeList, removeFreeBlock, zoneAt } from './freeArea'

/**
 * Takes `count` named frames out of the free lists, as single pages.
 * @returns false, with nothing changed, when one of them is not free.
 */
export function reservePages(pages: BuddyAllocator, pfn: Pfn, count = 1): boolean {
  checkFrame(pages.context, pfn)
  checkInteger('count', count, 1, pages.context.maxPfn - pfn)
  return reserveRange(pages.context, pfn, pfn + count)
}

/**
 * Takes every frame of `[start, end)` as a single page with one reference. False, and nothing changed,
 * when one of them is not free.
 */
function reserveRange(c: BuddyContext, start: number, end: number): boolean {
  for (let page = start; page < end; page++) if (freeHead(c, page) < 0) return false
  touchFresh(c.words, start, end)
  for (let page = start; page < end; page++) {
    let head = freeHead(c, page)
    if (freeBlockOrder(c, head) < 0) {
      drainAll(c, zoneAt(c, page))
      head = freeHead(c, page)
    }
    splitAround(c, page, head, freeBlockOrder(c, head))
    c.words[pageRecord(page) + PAGE_FLAGS] = 0
    c.words[pageRecord(page) + PAGE_REFS] = 1
  }
  return true
}

/** Head of the free block that holds `pfn`: in a free area or on a CPU's list; -1 when there is none. */
function freeHead(c: BuddyContext, pfn: number): number {
  const head = blockHead(c.words, pfn)
  return head >= 0 && c.words[pageRecord(head) + PAGE_REFS]! <= 0 ? head : -1
}

/** Removes the block and gives back the halves that do not hold the frame, each to its list's head. */
function splitAround(c: BuddyContext, pfn: number, head: number, order: number): void {
  const words = c.words
  const zone = zoneAt(c, head)
  const type = blockType(c, head)
  removeFreeBlock(c, zone, head, order)
  let block = head
  for (let current = order - 1; current >= 0; current--) {
    const upper = block + (1 << current)
    const rest = pfn >= upper ? block : upper
    if (pfn >= upper) block = upper
    const record = pageRecord(rest)
    words[record + PAGE_FLAGS] = PAGE_BUDDY | (current << PAGE_ORDER_SHIFT)
    listAddHead(words, freeList(zone, current, type), record)
    words[zone + ZONE_NR_FREE + current]! += 1
  }
  if (type !== MIGRATE_ISOLATE) {
    addFreePages(words, zone, currentPcp(c, zone), -1, type === MIGRATE_CMA)
  }
}
