/**
 * Free pointers: each free object holds the kernel address of the next one, in 8 bytes of its own memory,
 * little endian; 0 ends the chain.
 *
 * What is read is trusted only if it leads to an object's place: memory that was written after its free
 * may say anything. A slab's own first free object is kept as a distance from the slab's start, plus 1.
 *
 * Source: spec/slab.md §3.3.
 */

import { PAGE_SIZE } from '../base/units'
import {
  CACHE_GRANULE,
  CACHE_OFFSET,
  CACHE_SECRET,
  CACHE_STARTS,
  SLAB_BASE_HI,
  SLAB_BASE_LO,
  SLAB_LAST,
  SLAB_LIVE,
  SLAB_PFN,
  SLAB_RAM,
} from '../state/slabSchema'
import type { SlabContext } from './context'

/** What {@link readFreePointer} returns for a pointer that leads out of the slab. */
export const OUTSIDE = -1

/** Place in RAM's words of the free pointer of the object at `offset`. Makes a stale array anew. */
function pointerWord(c: SlabContext, slab: number, offset: number): number {
  const at = c.words[slab + SLAB_RAM]! + (offset >> 2)
  if (at >= c.ramWords.length) c.ramWords = c.ram.words
  return at
}

/** Writes the free pointer of the object at `offset`: the object at `next` - 1, or the end for 0. */
export function writeFreePointer(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  next: number,
): void {
  const words = c.words
  const lo = next === 0 ? 0 : (words[slab + SLAB_BASE_LO]! + next - 1) | 0
  const hi = next === 0 ? 0 : words[slab + SLAB_BASE_HI]!
  writeRawPointer(c, cache, slab, offset, lo, hi)
}

/** Writes any 8 bytes as the free pointer of an object. */
export function writeRawPointer(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  lo: number,
  hi: number,
): void {
  const words = c.words
  const at = pointerWord(c, slab, offset)
  const code = c.hardening
  if (code === null) {
    c.ramWords[at] = lo
    c.ramWords[at + 1] = hi
  } else {
    const place = (words[slab + SLAB_BASE_LO]! + offset + words[cache + CACHE_OFFSET]!) | 0
    c.ramWords[at] = lo ^ code.codeLow(words[cache + CACHE_SECRET]!, words[slab + SLAB_BASE_HI]!)
    c.ramWords[at + 1] = hi ^ code.codeHigh(words[cache + CACHE_SECRET + 1]!, place)
  }
  if (c.ram.tracksDirty) {
    c.ram.markDirty(words[slab + SLAB_PFN]! * PAGE_SIZE + offset + words[cache + CACHE_OFFSET]!, 8)
  }
}

/** Low half of the free pointer of the object at `offset`, decoded. */
export function rawPointerLow(c: SlabContext, cache: number, slab: number, offset: number): number {
  const words = c.words
  // First the place: finding it may make the array anew.
  const at = pointerWord(c, slab, offset)
  const lo = c.ramWords[at]!
  if (c.hardening === null) return lo
  return lo ^ c.hardening.codeLow(words[cache + CACHE_SECRET]!, words[slab + SLAB_BASE_HI]!)
}

/** High half of it. */
export function rawPointerHigh(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
): number {
  const words = c.words
  const at = pointerWord(c, slab, offset) + 1
  const hi = c.ramWords[at]!
  if (c.hardening === null) return hi
  const place = (words[slab + SLAB_BASE_LO]! + offset + words[cache + CACHE_OFFSET]!) | 0
  return hi ^ c.hardening.codeHigh(words[cache + CACHE_SECRET + 1]!, place)
}

/**
 * The free pointer of the object at `offset`, as a distance from the start of the slab plus 1; 0 at the
 * end; {@link OUTSIDE} when it leads out of the slab. It need not be an object's place.
 */
export function readFreePointer(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
): number {
  const words = c.words
  const lo = rawPointerLow(c, cache, slab, offset)
  const hi = rawPointerHigh(c, cache, slab, offset)
  if ((lo | hi) === 0) return 0
  const next = (lo - words[slab + SLAB_BASE_LO]!) | 0
  if (hi !== words[slab + SLAB_BASE_HI]! || next >>> 0 > words[slab + SLAB_LAST]!) return OUTSIDE
  return next + 1
}

/** True when an object of the slab starts at `offset`, free or not. */
export function isPlace(words: Int32Array, cache: number, slab: number, offset: number): boolean {
  if (offset < 0 || offset > words[slab + SLAB_LAST]!) return false
  const granule = words[cache + CACHE_GRANULE]!
  const bit = offset >> granule
  if (bit << granule !== offset) return false
  return (words[words[cache + CACHE_STARTS]! + (bit >> 5)]! & (1 << (bit & 31))) !== 0
}

/** True when the object at `offset`, a place, is in use. */
export function isLive(words: Int32Array, cache: number, slab: number, offset: number): boolean {
  const bit = offset >> words[cache + CACHE_GRANULE]!
  return (words[slab + SLAB_LIVE + (bit >> 5)]! & (1 << (bit & 31))) !== 0
}

/** Marks the object at `offset` as in use, or as free. */
export function setLive(
  words: Int32Array,
  cache: number,
  slab: number,
  offset: number,
  live: boolean,
): void {
  const bit = offset >> words[cache + CACHE_GRANULE]!
  const word = slab + SLAB_LIVE + (bit >> 5)
  if (live) words[word]! |= 1 << (bit & 31)
  else words[word]! &= ~(1 << (bit & 31))
}
