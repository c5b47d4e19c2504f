/**
 * Page records: what the allocator knows of one page frame, in 16 bytes.
 *
 * The flag word:
 *
 *     31           27..24  23      22..0
 *     pfmemalloc   order   buddy   the kernel's page flags (PG_)
 *
 * - buddy: 1 the page heads a free block on a buddy list, 0 it does not.
 * - order: of the block that the page heads, free or in use; 0 elsewhere.
 * - pfmemalloc: 1 the block was allocated with ALLOC_NO_WATERMARKS.
 *
 * Example: 0x03800000 heads a free block of order 3. An all-zero record is a page inside a block, or of
 * a fresh block (or of memory never handed over): so untouched memory costs nothing.
 *
 * PAGE-1: a page with the buddy mark has no other bit but its order, no references, and starts on a
 *         multiple of its block.
 * PAGE-2: every page of a block but the first has an all-zero flag word and no references.
 * PAGE-3: a page that heads a block on a CPU's list has a negative count of references: -1 less the
 *         migratetype that it goes back to; no bit but its order; and starts on a multiple of its block.
 * PAGE-4: every frame of memory is reserved or in a block: free, on a CPU's list or in use. (After
 *         `loadZones` some are in no block that is known.)
 * PAGE-5: a block in use has references and starts on a multiple of its size; only blocks of order 1
 *         and more are compound, only those of order 0 reserved.
 */

import { MAX_ORDER_PAGES, PAGEBLOCK_ORDER, type Pfn } from '../base/units'
import {
  BLOCK_FRESH,
  HEADER_BLOCKS,
  HEADER_WORDS,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_MASK,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PAGE_WORDS_SHIFT,
} from '../state/schema'
import { PG_HEAD } from './pageFlags'

/** Offset of the record of frame `pfn`. */
export function pageRecord(pfn: number): number {
  return HEADER_WORDS + (pfn << PAGE_WORDS_SHIFT)
}

/** The frame of the record at `record`. */
export function recordPfn(record: number): number {
  return (record - HEADER_WORDS) >> PAGE_WORDS_SHIFT
}

/**
 * True for the frames of fresh blocks, whose records are not written (`freshBlocks.ts`). Also to be asked of the frame behind
 * all memory: the word behind the pageblocks, the node of the first zone, is 0.
 */
export function isFresh(words: Int32Array, pfn: number): boolean {
  return (words[words[HEADER_BLOCKS]! + (pfn >> PAGEBLOCK_ORDER)]! & BLOCK_FRESH) !== 0
}

/** Order of the block that the page heads. */
export function flagsOrder(flags: number): number {
  return (flags & PAGE_ORDER_MASK) >>> PAGE_ORDER_SHIFT
}

/**
 * The head of the block, free or in use, that holds `pfn`; -1 when no block does. Costs up to one
 * look-up an order: records of tail pages do not point at their head.
 */
export function blockHead(words: Int32Array, pfn: number): number {
  for (let order = 0; order <= 10; order++) {
    const head = pfn & -(1 << order)
    const record = pageRecord(head)
    const flags = words[record + PAGE_FLAGS]!
    const heads = (flags & PAGE_BUDDY) !== 0 || words[record + PAGE_REFS] !== 0
    if (heads && head + (1 << flagsOrder(flags)) > pfn) return head
  }
  return isFresh(words, pfn) ? pfn & -MAX_ORDER_PAGES : -1
}

/** The head of the compound page that holds `pfn`; `pfn` itself when it is in none. */
export function compoundHead(words: Int32Array, pfn: Pfn): Pfn {
  const head = blockHead(words, pfn)
  if (head >= 0 && (words[pageRecord(head) + PAGE_FLAGS]! & PG_HEAD) !== 0) return head as Pfn
  return pfn
}
