/**
 * Fresh blocks: free blocks of order 10 that nobody has touched since boot handed them over, and that no record tells of.
 * So a machine of a tebibyte, which has 262,144 of them, boots without a write to each.
 *
 * Boot frees memory in ascending order, each block to the end of its list: on the list, a long stretch of memory is one
 * block after the other, as in memory. Only the first of them is put on the list, and leads a *run*:
 *
 *     memory   [ A ][ B ][ C ][ D ][ E, in use ]
 *     list     … ⇄ A ⇄ …                          stands for … A B C D …
 *
 * B, C and D are fresh: their records are all zero, and their pageblocks say so. A fresh block gets its record when the
 * block before it leaves the list, or when somebody asks for it by frame; where it is then on the list is where it was.
 * Counts of free pages and of free blocks have fresh blocks in them all the time.
 *
 * FRESH-1: a fresh block is two pageblocks of one zone and type, both marked, whose page records are all zero. The
 *          block before it in memory is of the same zone and type, and fresh too or a free block of order 10.
 */

import { MAX_ORDER, MAX_ORDER_PAGES, PAGEBLOCK_ORDER } from '../base/units'
import { listAddHead } from '../state/lists'
import {
  BLOCK_FRESH,
  HEADER_BLOCKS,
  HEADER_MAX_PFN,
  HEADER_WORDS_USED,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
} from '../state/schema'
import { isFresh, pageRecord, recordPfn } from './memmap'

/** Flag word of a free block of the largest order. */
const FREE_BLOCK = PAGE_BUDDY | ((MAX_ORDER - 1) << PAGE_ORDER_SHIFT)

/** Makes the blocks of `[start, end)`, all zero, fresh ones behind the last block of a list. The caller counts them. */
export function appendFresh(words: Int32Array, start: number, end: number): void {
  const blocks = words[HEADER_BLOCKS]!
  const last = blocks + (end >> PAGEBLOCK_ORDER)
  for (let at = blocks + (start >> PAGEBLOCK_ORDER); at < last; at++) words[at]! |= BLOCK_FRESH
}

/** Before the free block of order 10 at `record` leaves its list: the run that it leads stays where it is on it. */
export function leaveRun(words: Int32Array, record: number): void {
  const next = recordPfn(record) + MAX_ORDER_PAGES
  if (isFresh(words, next)) giveRecord(words, next, record)
}

/**
 * Gives the fresh blocks that hold frames of `[start, end)` their records, and the one behind them too: whatever is then
 * done to blocks in the range concerns no run. For all who ask for free memory by frame.
 */
export function touchFresh(words: Int32Array, start: number, end: number): void {
  const first = start & -MAX_ORDER_PAGES
  const last = Math.min((end - 1) & -MAX_ORDER_PAGES, words[HEADER_MAX_PFN]! - MAX_ORDER_PAGES)
  for (let block = first; block <= last + MAX_ORDER_PAGES; block += MAX_ORDER_PAGES) {
    if (isFresh(words, block)) giveRecord(words, block, leadRecord(words, block))
  }
}

/** Gives the fresh block at `block` its record, and the place on the list that it has had all the time: behind `lead`. */
function giveRecord(words: Int32Array, block: number, lead: number): void {
  const at = words[HEADER_BLOCKS]! + (block >> PAGEBLOCK_ORDER)
  words[at]! &= ~BLOCK_FRESH
  words[at + 1]! &= ~BLOCK_FRESH
  const record = pageRecord(block)
  words[record + PAGE_FLAGS] = FREE_BLOCK
  listAddHead(words, lead, record)
}

/** Record of the list member that stands for the free block at `pfn`: its own, or that of the run it is in. */
export function leadRecord(words: Int32Array, pfn: number): number {
  let lead = pfn
  while (isFresh(words, lead)) lead -= MAX_ORDER_PAGES
  return pageRecord(lead)
}

/** Where the fresh blocks from `pfn` on end; `pfn` when it is in none. */
export function freshEnd(words: Int32Array, pfn: number): number {
  const memoryEnd = words[HEADER_MAX_PFN]!
  let end = pfn
  while (end < memoryEnd && isFresh(words, end)) end = (end | (MAX_ORDER_PAGES - 1)) + 1
  return end
}

/** The flag word of frame `pfn`, as it would be if there were no fresh blocks. */
export function blockFlags(words: Int32Array, pfn: number): number {
  const flags = words[pageRecord(pfn) + PAGE_FLAGS]!
  return flags === 0 && pfn % MAX_ORDER_PAGES === 0 && isFresh(words, pfn) ? FREE_BLOCK : flags
}

/** Blocks that the member of a free list at `record` stands for: itself, and the fresh blocks of a run that it leads. */
export function blocksAt(words: Int32Array, record: number): number {
  if (words[record + PAGE_FLAGS] !== FREE_BLOCK) return 1
  const next = recordPfn(record) + MAX_ORDER_PAGES
  return 1 + (freshEnd(words, next) - next) / MAX_ORDER_PAGES
}

/**
 * The parts of the state that may hold something, as pairs of a start and an end: all but the records of fresh blocks,
 * which are zero. So what walks a state takes time with what was ever in use, not with memory.
 */
export function writtenParts(words: Int32Array): number[] {
  const parts = [0]
  const memoryEnd = words[HEADER_MAX_PFN]!
  for (let pfn = 0; pfn < memoryEnd; ) {
    const end = freshEnd(words, pfn)
    if (end > pfn) {
      parts.push(pageRecord(pfn), pageRecord(end))
      pfn = end
    } else {
      pfn += MAX_ORDER_PAGES
    }
  }
  return [...parts, words[HEADER_WORDS_USED]!]
}
