/** A bitmap of the pages that were written, by page of the packed RAM. */

import { checkInteger } from '../base/errors'
import { PAGE_SIZE } from '../base/units'

const MAX_PAGES = 2 ** 31 - 1

/**
 * One bit a page: bit `i & 31` of word `i >> 5` belongs to the page at byte `i * 4096` of the packed RAM.
 * 0: not written since it was last cleared; 1: written. Example: a write at byte 0x21004 sets bit 1 of word 1.
 * DIRTY-1: `count` is the number of bits that are 1.
 */
export class DirtyPages {
  /** Dirty pages. */
  count = 0
  private words: Int32Array

  /** @throws InvalidArgument for 2^31 pages or more. */
  constructor(pages: number) {
    checkInteger('pages with dirtyTracking', pages, 1, MAX_PAGES)
    this.words = new Int32Array(Math.ceil(pages / 32))
  }

  /** Makes room for more pages, which are clean. */
  grow(pages: number): void {
    checkInteger('pages with dirtyTracking', pages, 1, MAX_PAGES)
    const words = new Int32Array(Math.ceil(pages / 32))
    words.set(this.words)
    this.words = words
  }

  /** Marks the pages of `bytes` >= 1 bytes from byte `offset` on. */
  mark(offset: number, bytes: number): void {
    const words = this.words
    const last = ((offset + bytes - 1) / PAGE_SIZE) | 0
    for (let page = (offset / PAGE_SIZE) | 0; page <= last; page++) {
      const word = words[page >> 5]!
      const bit = 1 << (page & 31)
      if ((word & bit) !== 0) continue
      words[page >> 5] = word | bit
      this.count++
    }
  }

  /** The first dirty page in [page, end), or -1. Passes over 32 clean pages at a time. */
  next(page: number, end: number): number {
    const words = this.words
    while (page < end) {
      const rest = words[page >> 5]! >>> (page & 31)
      if (rest !== 0) {
        const found = page + (31 - Math.clz32(rest & -rest))
        return found < end ? found : -1
      }
      page = (page & ~31) + 32
    }
    return -1
  }

  /** Makes the pages in [page, end) clean. */
  clear(page: number, end: number): void {
    const words = this.words
    for (let at = this.next(page, end); at !== -1; at = this.next(at + 1, end)) {
      words[at >> 5] = words[at >> 5]! & ~(1 << (at & 31))
      this.count--
    }
  }
}
