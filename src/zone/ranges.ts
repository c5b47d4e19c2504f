/** The table of memory ranges: what memory there is, ascending, without overlaps. */

import {
  HEADER_NR_RANGES,
  HEADER_RANGES,
  RANGE_END,
  RANGE_START,
  RANGE_WORDS,
} from '../state/schema'

/** True for a frame in a memory range: holes have reserved records too. */
export function inRanges(words: Int32Array, pfn: number): boolean {
  const end = tableEnd(words)
  for (let range = words[HEADER_RANGES]!; range < end; range += RANGE_WORDS) {
    if (pfn >= words[range + RANGE_START]! && pfn < words[range + RANGE_END]!) return true
  }
  return false
}

/** One more than the last frame of memory; 0 without any. */
export function rangesEnd(words: Int32Array): number {
  return words[HEADER_NR_RANGES] === 0 ? 0 : words[tableEnd(words) - RANGE_WORDS + RANGE_END]!
}

function tableEnd(words: Int32Array): number {
  return words[HEADER_RANGES]! + words[HEADER_NR_RANGES]! * RANGE_WORDS
}
