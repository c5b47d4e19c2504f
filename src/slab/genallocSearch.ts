/**
 * Where a genalloc pool puts an allocation: the search for clear bits in a chunk's bitmap, and the
 * algorithms that a pool can be told to use.
 *
 * Bit `b` of a bitmap is bit `b & 31` of word `b >>> 5`; 1 stands for a granule in use, 0 for a free one.
 * Example: with granules of 16 bytes and a chunk at 0x1000, bit 33 (word 1, bit 1) is [0x1210, 0x1220).
 *
 * Source: spec/slab.md §22.3.
 */

import { InvalidArgument } from '../base/errors'

/** A chunk as a search sees it. A search must not write to it. */
export interface GenPoolArea {
  /** The bitmap. */
  readonly map: Int32Array
  /** Bits in it. */
  readonly bits: number
  /** Address of bit 0. */
  readonly start: number
  /** Bytes that a bit stands for, a power of two. */
  readonly granule: number
}

/**
 * An algorithm: the first of `nr` clear bits in a row, or anything from `area.bits` up for none.
 * @param nr bits, 1 or more.
 * @param data what the algorithm was chosen or called with; null for nothing.
 */
export type GenPoolAlgo = (area: GenPoolArea, nr: number, data: number | null) => number

/** The first place that fits. */
export function genPoolFirstFit(area: GenPoolArea, nr: number, _data: number | null): number {
  return findArea(area, 0, nr, 1, 0)
}

/**
 * The first place with an aligned address.
 * @param data the alignment in bytes, a power of two.
 * @throws InvalidArgument without it.
 */
export function genPoolFirstFitAlign(area: GenPoolArea, nr: number, data: number | null): number {
  if (data === null || data < 1 || 2 ** Math.round(Math.log2(data)) !== data) {
    throw new InvalidArgument('data', data, 'the alignment in bytes, a power of two')
  }
  const alignBits = Math.ceil(data / area.granule)
  return findArea(area, 0, nr, alignBits, Math.floor((area.start % data) / area.granule))
}

/** The first place whose bit number is a multiple of the length, rounded up to a power of two. */
export function genPoolFirstFitOrderAlign(
  area: GenPoolArea,
  nr: number,
  _data: number | null,
): number {
  return findArea(area, 0, nr, nr <= 1 ? 1 : 2 ** (32 - Math.clz32(nr - 1)), 0)
}

/**
 * One given place, or none. A place that is no multiple of the granule is none.
 * @param data its distance from the start of the chunk, in bytes.
 * @throws InvalidArgument without it.
 */
export function genPoolFixedAlloc(area: GenPoolArea, nr: number, data: number | null): number {
  if (data === null || !Number.isSafeInteger(data) || data < 0) {
    throw new InvalidArgument('data', data, 'the distance in bytes from the start of the chunk')
  }
  const bit = data / area.granule
  if (!Number.isInteger(bit)) return area.bits
  return findArea(area, bit, nr, 1, 0) === bit ? bit : area.bits
}

/** The shortest run of clear bits that fits; of equal ones the first. */
export function genPoolBestFit(area: GenPoolArea, nr: number, _data: number | null): number {
  const { map, bits } = area
  let best = bits
  let bestLength = bits + 1
  for (let at = findArea(area, 0, nr, 1, 0); at < bits; ) {
    const end = nextSet(map, bits, at + nr)
    if (end - at < bestLength) {
      best = at
      bestLength = end - at
      if (bestLength === nr) break
    }
    at = findArea(area, end + 1, nr, 1, 0)
  }
  return best
}

/** First clear bit from `start` on, or `bits`. */
export function nextClear(map: Int32Array, bits: number, start: number): number {
  return nextBit(map, bits, start, -1)
}

/** First set bit from `start` on, or `bits`. */
export function nextSet(map: Int32Array, bits: number, start: number): number {
  return nextBit(map, bits, start, 0)
}

/** Sets, or clears, the bits [start, start + nr). */
export function writeBits(map: Int32Array, start: number, nr: number, set: boolean): void {
  const end = start + nr
  for (let bit = start; bit < end; ) {
    const shift = bit & 31
    const count = Math.min(32 - shift, end - bit)
    const mask = count === 32 ? -1 : ((1 << count) - 1) << shift
    if (set) map[bit >>> 5]! |= mask
    else map[bit >>> 5]! &= ~mask
    bit += count
  }
}

/**
 * First bit from `start` on where `nr` clear bits begin and `bit + offset` is a multiple of `align`;
 * more than `bits` for none. Numbers can pass 2^31, so nothing is masked here.
 */
function findArea(
  area: GenPoolArea,
  start: number,
  nr: number,
  align: number,
  offset: number,
): number {
  const { map, bits } = area
  for (let from = start; ; ) {
    const clear = nextClear(map, bits, from)
    const at = Math.ceil((clear + offset) / align) * align - offset
    const end = at + nr
    if (end > bits) return end
    const taken = nextSet(map, end, at)
    if (taken === end) return at
    from = taken + 1
  }
}

/** First bit from `start` on that differs from the low bit of `invert` (0 or -1), or `bits`. */
function nextBit(map: Int32Array, bits: number, start: number, invert: number): number {
  if (start >= bits) return bits
  let index = start >>> 5
  let word = (map[index]! ^ invert) & (-1 << (start & 31))
  while (word === 0) {
    index += 1
    if (index * 32 >= bits) return bits
    word = map[index]! ^ invert
  }
  return Math.min(bits, index * 32 + 31 - Math.clz32(word & -word))
}
