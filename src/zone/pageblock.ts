/**
 * Pageblocks: the migratetype and the zone of each 512 page frames.
 *
 * A pageblock's word:
 *
 *     15..8         6       5         4       3      2..0
 *     zone number   fresh   present   mixed   skip   migratetype
 *
 * - zone number: node × 4 + zone index of its pages; of its first page when mixed.
 * - fresh: 1 the block is half of a free block of order 10 whose records were never written (`page/freshBlocks.ts`).
 * - present: 1 the block lies in a section with memory, so its pages have records that mean something.
 * - mixed: 1 its pages belong to several zones, so the memory ranges must be asked.
 * - skip: 1 compaction found nothing here.
 *
 * Example: 0x121 is a MOVABLE block of zone number 1.
 *
 * BLOCK-1: a word has a type from 0 to 5, a zone that exists, and no unknown bit.
 * BLOCK-2: memory lies in present pageblocks, and in the span of the zone that they name.
 */

import { PAGEBLOCK_ORDER } from '../base/units'
import { BLOCK_TYPE_MASK, HEADER_BLOCKS } from '../state/schema'

/** Offset of the word of the pageblock that holds `pfn`. */
export function blockWord(words: Int32Array, pfn: number): number {
  return words[HEADER_BLOCKS]! + (pfn >> PAGEBLOCK_ORDER)
}

/** Migratetype of the pageblock that holds `pfn`. */
export function pageblockType(words: Int32Array, pfn: number): number {
  return words[blockWord(words, pfn)]! & BLOCK_TYPE_MASK
}
