/**
 * A translation lookaside buffer in software: translations of single pages, direct-mapped by the low bits
 * of the page number.
 *
 * TLB-1: an entry says no more than the page tables did when it was made: its rights are those for which
 * nothing has to be marked in the entry of the page any more.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { FlushOps } from './flushOps'

const MAX_ENTRIES = 2 ** 20

/**
 * Checks the number of entries.
 * @throws InvalidArgument unless it is 0 or a power of two up to 2^20.
 */
export function checkTlbSize(size: number): void {
  checkInteger('tlb', size, 0, MAX_ENTRIES)
  if ((size & (size - 1)) !== 0) throw new InvalidArgument('tlb', size, '0 or a power of two')
}

/** The columns of the buffer; a translator reads them by itself. */
export class Tlb {
  /** Entries; 0 for a buffer that never holds anything. */
  readonly size: number
  /** Slots less one: a single empty one with size 0, so that a look-up needs no test. */
  readonly mask: number
  /** Address of the page; NaN, which equals nothing, for an empty slot. */
  readonly tags: Float64Array
  /** Frame of the page. */
  readonly frames: Float64Array
  /** Place of its first word in all words of memory; below 0 when it is no memory. */
  readonly places: Int32Array
  /** RIGHTS_ bits. */
  readonly rights: Int32Array

  constructor(size: number) {
    const slots = Math.max(size, 1)
    this.size = size
    this.mask = slots - 1
    this.tags = new Float64Array(slots).fill(Number.NaN)
    this.frames = new Float64Array(slots)
    this.places = new Int32Array(slots)
    this.rights = new Int32Array(slots)
  }

  /** Remembers the page of an address in its slot. */
  set(address: number, frame: number, place: number, rights: number): void {
    const page = Math.floor(address / PAGE_SIZE)
    const slot = page & this.mask
    this.tags[slot] = page * PAGE_SIZE
    this.frames[slot] = frame
    this.places[slot] = place
    this.rights[slot] = rights
  }

  /** Forgets the pages that have a byte in [start, end), and no others. */
  flush(start: number, end: number): void {
    const first = Math.floor(start / PAGE_SIZE)
    const behind = Math.ceil(end / PAGE_SIZE)
    const { tags, mask } = this
    if (behind - first <= mask) {
      for (let page = first; page < behind; page++) {
        if (tags[page & mask] === page * PAGE_SIZE) tags[page & mask] = Number.NaN
      }
      return
    }
    const lowest = first * PAGE_SIZE
    for (let slot = 0; slot <= mask; slot++) {
      const address = tags[slot]!
      if (address >= lowest && address < end) tags[slot] = Number.NaN
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.tags.fill(Number.NaN)
  }
}

/** A TLB as a listener. */
export function flushing(tlb: Tlb): FlushOps {
  return {
    flushTlb: (start, end) => tlb.flush(start, end),
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
}
