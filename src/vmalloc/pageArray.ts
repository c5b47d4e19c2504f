/**
 * The array of an area's pages: a pointer for each, in memory, as a kernel keeps it. It is kmalloc memory up
 * to a page, and vmalloc memory of its own beyond.
 *
 * A pointer names the record of a page frame: `vmemmap + pfn * 64`. Example: on x86_64 frame 0x1234 is
 * 0xffffea0000048d00.
 *
 * Source: spec/vmalloc.md §6.3, §14.1.
 */

import { PAGE_SIZE } from '../base/units'
import { isVmallocAddr } from './addresses'
import type { VmallocContext } from './vmallocContext'

/** log2 of the bytes of a page record in a kernel. */
const RECORD_SHIFT = 6
/** Bits of a frame number that are in the low half of a distance between records. */
const LOW_BITS = 26

/** Writes the frames of an area into its array at `address`. */
export function writePageArray(
  c: VmallocContext,
  address: number,
  pfns: ArrayLike<number>,
  count: number,
): void {
  const { ram } = c.frames
  const { words } = ram
  const { recordsLow, recordsHigh } = c
  const bytes = c.layout.pointerBytes
  const stride = bytes >> 2
  for (let first = 0; first < count; ) {
    const from = address + first * bytes
    const here = Math.min(count - first, left(from, bytes))
    const at = arrayPlace(c, from)
    let word = ram.wordIndex(at)
    for (let i = first; i < first + here; i++) {
      const pfn = pfns[i]!
      const low = ((pfn << RECORD_SHIFT) + recordsLow) | 0
      words[word] = low
      if (stride === 2) {
        const carry = low >>> 0 < recordsLow >>> 0 ? 1 : 0
        words[word + 1] = recordsHigh + (pfn >>> LOW_BITS) + carry
      }
      word += stride
    }
    if (ram.tracksDirty) ram.markDirty(at, here * bytes)
    first += here
  }
}

/**
 * Reads the frames of an area from its array. What is no pointer to a page record gives a number that is
 * likely no frame of the machine; whoever frees them looks closer.
 */
export function readPageArray(c: VmallocContext, address: number, count: number): number[] {
  const pfns: number[] = []
  const { ram } = c.frames
  const { words } = ram
  const { recordsLow, recordsHigh } = c
  const bytes = c.layout.pointerBytes
  const stride = bytes >> 2
  while (pfns.length < count) {
    const from = address + pfns.length * bytes
    const here = Math.min(count - pfns.length, left(from, bytes))
    let word = ram.wordIndex(arrayPlace(c, from))
    for (let i = 0; i < here; i++) {
      const low = words[word]!
      const borrow = low >>> 0 < recordsLow >>> 0 ? 1 : 0
      const high = stride === 2 ? (words[word + 1]! - recordsHigh - borrow) | 0 : 0
      pfns.push((high << LOW_BITS) | ((low - recordsLow) >>> RECORD_SHIFT))
      word += stride
    }
  }
  return pfns
}

/** Whether all of an array lies in memory: one of vmalloc may have been unmapped behind its owner's back. */
export function arrayInMemory(c: VmallocContext, address: number, count: number): boolean {
  const bytes = c.layout.pointerBytes
  if (address % bytes !== 0) return false
  for (let first = 0; first < count; first += left(address + first * bytes, bytes)) {
    const phys = arrayPlace(c, address + first * bytes)
    if (!(phys >= 0 && c.frames.isMemory(Math.floor(phys / PAGE_SIZE)))) return false
  }
  return true
}

/** Physical address of a place in an array. */
function arrayPlace(c: VmallocContext, address: number): number {
  if (!isVmallocAddr(c.layout, address)) return address - c.layout.directMap
  return c.tables.translate(address)
}

/** Pointers from an address to the end of its page. */
function left(address: number, bytes: number): number {
  return (PAGE_SIZE - (address % PAGE_SIZE)) / bytes
}
