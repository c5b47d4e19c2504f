/**
 * The array of an area's pages: a pointer for each, in memory, as a kernel keeps it. It is kmalloc memory up
 * to a page, and vmalloc memory of its own beyond.
 *
 * A pointer names the record of a page frame: `vmemmap + pfn * 64`. Example: on x86_64 frame 0x1234 is
 * 0xffffea0000048d00.
 *
 * Source: spec/vmalloc.md §6.3, §14.1.
 */

import type { Layout } from '../base/layout'
import { PAGE_SIZE } from '../base/units'
import { isVmallocAddr } from './addresses'
import type { VmallocContext } from './vmallocContext'

/** Bytes of a page record in a kernel. */
const PAGE_STRUCT_BYTES = 64
const TWO_32 = 4294967296

/** Writes the frames of an area into its array at `address`. */
export function writePageArray(
  c: VmallocContext,
  address: number,
  pfns: ArrayLike<number>,
  count: number,
): void {
  const { ram } = c.frames
  const words = ram.words
  const { lo, hi } = arrayBase(c.layout)
  const wide = c.layout.pointerBytes === 8
  const bytes = c.layout.pointerBytes
  for (let first = 0; first < count; ) {
    const at = arrayPlace(c, address + first * bytes)
    const here = Math.min(count - first, piece(address + first * bytes, bytes))
    const index = ram.wordIndex(at)
    for (let i = 0; i < here; i++) {
      const pointer = pfns[first + i]! * PAGE_STRUCT_BYTES + lo
      if (wide) {
        words[index + 2 * i] = (pointer % TWO_32) | 0
        words[index + 2 * i + 1] = (Math.floor(pointer / TWO_32) + hi) | 0
      } else words[index + i] = (pointer % TWO_32) | 0
    }
    if (ram.tracksDirty) ram.markDirty(at, here * bytes)
    first += here
  }
}

/**
 * Reads the frames of an area from its array. What is no pointer to a page record gives a number that is no
 * frame of the machine.
 */
export function readPageArray(c: VmallocContext, address: number, count: number): number[] {
  const pfns: number[] = []
  const { ram } = c.frames
  const words = ram.words
  const { lo, hi } = arrayBase(c.layout)
  const wide = c.layout.pointerBytes === 8
  const bytes = c.layout.pointerBytes
  while (pfns.length < count) {
    const from = address + pfns.length * bytes
    const here = Math.min(count - pfns.length, piece(from, bytes))
    const index = ram.wordIndex(arrayPlace(c, from))
    for (let i = 0; i < here; i++) {
      const low = words[wide ? index + 2 * i : index + i]! >>> 0
      const high = wide ? (words[index + 2 * i + 1]! - hi) | 0 : 0
      pfns.push((high * TWO_32 + low - lo) / PAGE_STRUCT_BYTES)
    }
  }
  return pfns
}

/** The address of the record of frame 0, in halves that pointers are made of. */
function arrayBase(layout: Layout): { readonly lo: number; readonly hi: number } {
  const lo = Number(BigInt.asUintN(32, layout.vmemmap))
  const hi = layout.pointerBytes === 8 ? Number(layout.vmemmap >> 32n) | 0 : 0
  return { lo, hi }
}

/** Physical address of a place in an array. */
function arrayPlace(c: VmallocContext, address: number): number {
  if (!isVmallocAddr(c.layout, address)) return address - c.layout.directMap
  return c.tables.translate(address)
}

/** Pointers from an address to the end of its page. */
function piece(address: number, bytes: number): number {
  return (PAGE_SIZE - (address % PAGE_SIZE)) / bytes
}
