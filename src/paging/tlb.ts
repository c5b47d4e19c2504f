/**
 * A translation lookaside buffer in software: translations of single pages, direct-mapped by the low bits
 * of the page number.
 *
 * TLB-1: an entry says no more than the page tables did when it was made: its rights are those for which
 * nothing has to be marked in the entry of the page any more.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'

const MAX_ENTRIES = 1048576

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
  /** Page number: address / 4096; NaN, which equals nothing, for an empty slot. */
  readonly tags: Float64Array
  /** Frame of the page. */
  readonly frames: Float64Array
  /** Place of its bytes in all bytes of memory; far below 0 when it is no memory. */
  readonly places: Float64Array
  /** RIGHTS_ bits. */
  readonly rights: Int32Array

  constructor(size: number) {
    const slots = Math.max(size, 1)
    this.size = size
    this.mask = slots - 1
    this.tags = new Float64Array(slots).fill(Number.NaN)
    this.frames = new Float64Array(slots)
    this.places = new Float64Array(slots)
    this.rights = new Int32Array(slots)
  }

  /** Remembers a page in its slot. */
  set(page: number, frame: number, place: number, rights: number): void {
    if (this.size === 0) return
    const slot = page & this.mask
    this.tags[slot] = page
    this.frames[slot] = frame
    this.places[slot] = place
    this.rights[slot] = rights
  }

  /** Forgets the pages that have a byte in [start, end), and no others. */
  flush(start: number, end: number): void {
    const first = Math.floor(start / PAGE_SIZE)
    const last = Math.ceil(end / PAGE_SIZE)
    const { tags, mask } = this
    if (last - first <= mask) {
      for (let page = first; page < last; page++) {
        if (tags[page & mask] === page) tags[page & mask] = Number.NaN
      }
      return
    }
    for (let slot = 0; slot <= mask; slot++) {
      const page = tags[slot]!
      if (page >= first && page < last) tags[slot] = Number.NaN
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.tags.fill(Number.NaN)
  }
}
