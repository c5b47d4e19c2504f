/**
 * The pageblock table at boot: which blocks have a memory map, their zone, and their first migratetype.
 *
 * The memory map is cut into *pieces*, a memory range in a zone each, with the hole before it:
 *
 *     hole | piece ...... | hole | piece | piece ......... | rest of the last section
 *          ^ range start         ^ range ^ zone limit      ^ range end
 *
 * The pages of a hole belong to the zone of the piece behind it, the rest to that of the last piece.
 * Source: spec/page-allocator.md §1.4.
 */

import { PAGEBLOCK_PAGES, SECTION_PAGES } from '../base/units'
import { MIGRATE_MOVABLE } from '../page/migratetype'
import {
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_TYPE_MASK,
  BLOCK_ZONE_SHIFT,
  HEADER_BLOCKS,
  HEADER_MAX_PFN,
  HEADER_MOBILITY_DISABLED,
  HEADER_NR_RANGES,
  HEADER_RANGES,
  HEADER_ZONES,
  NR_ZONES,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_START,
} from '../state/schema'
import { blockWord } from './pageblock'
import { zoneEnd, zoneNumber, zoneRecord } from './zones'

/** A run of memory `[start, end)` in one zone, and the hole `[hole, start)` before it. */
export interface MemoryPiece {
  readonly hole: number
  readonly start: number
  readonly end: number
  /** Record of the zone. */
  readonly zone: number
}

/**
 * Writes the pageblock table for the frames from `from` on, out of memory ranges and zone records.
 * Blocks whose first page is memory become MOVABLE (UNMOVABLE when grouping by mobility is off), all
 * others UNMOVABLE. Costs a visit to each pageblock.
 */
export function initPageblocks(words: Int32Array, from = 0): void {
  const blocks = words[HEADER_BLOCKS]!
  words.fill(0, blocks + Math.ceil(from / PAGEBLOCK_PAGES), words[HEADER_ZONES]!)
  markPresent(words)
  let end = from
  let zone = 0
  for (const piece of memoryPieces(words)) {
    if (piece.end <= from) continue
    zone = piece.zone
    end = piece.end
    nameBlocks(words, zone, Math.max(piece.hole, from), end)
    if (words[HEADER_MOBILITY_DISABLED] === 0) setMovable(words, Math.max(piece.start, from), end)
  }
  nameBlocks(words, zone, end, sectionEnd(words, end))
}

/** Offsets of the records of the memory ranges, ascending. */
export function memoryRanges(words: Int32Array): number[] {
  const first = words[HEADER_RANGES]!
  return Array.from({ length: words[HEADER_NR_RANGES]! }, (_, i) => first + i * RANGE_WORDS)
}

/** The pieces of the memory map, ascending. */
export function memoryPieces(words: Int32Array): MemoryPiece[] {
  const pieces: MemoryPiece[] = []
  let hole = 0
  for (const range of memoryRanges(words)) {
    for (let index = 0; index < NR_ZONES; index++) {
      const zone = zoneRecord(words, words[range + RANGE_NODE]!, index)
      const from = Math.max(words[range + RANGE_START]!, words[zone + ZONE_START]!)
      const to = Math.min(words[range + RANGE_END]!, zoneEnd(words, zone))
      if (from >= to) continue
      pieces.push({ hole, start: from, end: to, zone })
      hole = to
    }
  }
  return pieces
}

/** Pages of `[start, end)` that a memory map covers: those in 128 MiB sections with memory. */
export function mappedPages(words: Int32Array, start: number, end: number): number {
  let pages = 0
  for (let pfn = start; pfn < end; pfn = sectionEnd(words, pfn + 1)) {
    if ((words[blockWord(words, pfn)]! & BLOCK_PRESENT) === 0) continue
    pages += Math.min(end, sectionEnd(words, pfn + 1)) - pfn
  }
  return pages
}

/** End of the section that holds the page before `pfn`; the table may end inside it. */
export function sectionEnd(words: Int32Array, pfn: number): number {
  return Math.min(Math.ceil(pfn / SECTION_PAGES) * SECTION_PAGES, words[HEADER_MAX_PFN]!)
}

function markPresent(words: Int32Array): void {
  for (const range of memoryRanges(words)) {
    const start = Math.floor(words[range + RANGE_START]! / SECTION_PAGES) * SECTION_PAGES
    const to = blockWord(words, sectionEnd(words, words[range + RANGE_END]!))
    for (let block = blockWord(words, start); block < to; block++) words[block]! |= BLOCK_PRESENT
  }
}

/** Gives the blocks of `[start, end)` the zone; a block that already has another becomes mixed. */
function nameBlocks(words: Int32Array, zone: number, start: number, end: number): void {
  if (start >= end) return
  const number = zoneNumber(words[zone + ZONE_NODE]!, words[zone + ZONE_INDEX]!)
  let block = blockWord(words, start)
  const last = blockWord(words, end - 1)
  // Memory ends inside this block, so it is present and has its zone already.
  if (start % PAGEBLOCK_PAGES !== 0) {
    const before = words[block]!
    if (before >> BLOCK_ZONE_SHIFT !== number) words[block] = before | BLOCK_MIXED
    block++
  }
  for (; block <= last; block++) {
    if ((words[block]! & BLOCK_PRESENT) !== 0) words[block]! |= number << BLOCK_ZONE_SHIFT
  }
}

function setMovable(words: Int32Array, start: number, end: number): void {
  const first = Math.ceil(start / PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES
  for (let pfn = first; pfn < end; pfn += PAGEBLOCK_PAGES) {
    const block = blockWord(words, pfn)
    words[block] = (words[block]! & ~BLOCK_TYPE_MASK) | MIGRATE_MOVABLE
  }
}
