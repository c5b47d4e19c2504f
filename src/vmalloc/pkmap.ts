/**
 * The window of kmap: slots that all CPUs share, used in turn.
 *
 * A slot outlives its last user: it keeps its page until the cursor has been round all slots, and is only
 * then cleared, so that one flush of the TLB does for all.
 *
 * Source: spec/vmalloc.md §14.3.
 */

import { KernelBug } from '../base/errors'
import type { I386Layout } from '../base/layoutI386'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { PAGE_KERNEL } from '../paging/format'
import { MAP_OK, type PageTables } from '../paging/pageTables'
import { KMAP_CURSOR, SLOT_COUNT, SLOT_PAGE, slotWord } from './kmapState'

/** The slots of one machine. All pages are of high memory. */
export class Pkmap {
  private readonly state: Int32Array
  private readonly tables: PageTables
  private readonly base: number
  private readonly slots: number
  /** Slot of each page that has one: follows from the state. */
  private readonly slotOf = new Map<number, number>()

  /** Goes on from a state, which has been checked. */
  constructor(state: Int32Array, tables: PageTables, layout: I386Layout) {
    this.state = state
    this.tables = tables
    this.base = layout.pkmapBase
    this.slots = layout.lastPkmap
    for (let slot = 0; slot < this.slots; slot++) {
      const page = state[slotWord(slot) + SLOT_PAGE]!
      if (page >= 0) this.slotOf.set(page, slot)
    }
  }

  /** Address of a page; null when it has none. */
  addressOf(pfn: number): VirtAddr | null {
    const slot = this.slotOf.get(pfn)
    return slot === undefined ? null : this.slotAddress(slot)
  }

  /** Page of an address; -1 when it has none, or lies elsewhere. */
  pageAt(address: number): number {
    const slot = Math.floor((address - this.base) / PAGE_SIZE)
    return slot >= 0 && slot < this.slots ? this.state[slotWord(slot) + SLOT_PAGE]! : -1
  }

  /** One more user of a page. Its address; null when it has none and every slot is in use. */
  take(pfn: number): VirtAddr | null {
    const slot = this.slotOf.get(pfn) ?? this.newSlot(pfn)
    if (slot < 0) return null
    this.state[slotWord(slot) + SLOT_COUNT]! += 1
    return this.slotAddress(slot)
  }

  /**
   * One user less.
   * @throws KernelBug for a page that has none.
   */
  put(pfn: number): void {
    const slot = this.slotOf.get(pfn)
    const count = slot === undefined ? 0 : this.state[slotWord(slot) + SLOT_COUNT]!
    if (slot === undefined || count < 2) {
      throw new KernelBug('KUNMAP_UNUSED', `page ${pfn} of high memory is not in use by kmap`)
    }
    this.state[slotWord(slot) + SLOT_COUNT] = count - 1
  }

  /** Clears the slots without users; one flush of the whole window if there were any. */
  flush(): void {
    const { state, slots, tables } = this
    let flushed = false
    for (let slot = 0; slot < slots; slot++) {
      const word = slotWord(slot)
      if (state[word + SLOT_COUNT] !== 1) continue
      tables.unmapRange(this.slotAddress(slot), PAGE_SIZE)
      this.slotOf.delete(state[word + SLOT_PAGE]!)
      state[word + SLOT_COUNT] = 0
      state[word + SLOT_PAGE] = -1
      flushed = true
    }
    if (flushed) tables.flush.flushTlb(this.slotAddress(0), this.slotAddress(slots))
  }

  /**
   * Maps a page in the next free slot and leaves it without users. The search passes each slot once after
   * the cursor has wrapped, which is where slots without users become free ones.
   * @returns the slot; -1 when none is free.
   */
  private newSlot(pfn: number): number {
    const { state, slots } = this
    for (let left = slots; left > 0; left--) {
      const cursor = (state[KMAP_CURSOR]! + 1) % slots
      state[KMAP_CURSOR] = cursor
      if (cursor === 0) {
        this.flush()
        left = slots
      }
      const word = slotWord(cursor)
      if (state[word + SLOT_COUNT] !== 0) continue
      mapWindow(this.tables, this.slotAddress(cursor), pfn, PAGE_KERNEL)
      state[word + SLOT_COUNT] = 1
      state[word + SLOT_PAGE] = pfn
      this.slotOf.set(pfn, cursor)
      return cursor
    }
    return -1
  }

  private slotAddress(slot: number): VirtAddr {
    return (this.base + slot * PAGE_SIZE) as VirtAddr
  }
}

/**
 * Maps a page in a window whose table was made in advance.
 * @throws KernelBug when it is gone, or the place in use: somebody else has written there.
 */
export function mapWindow(tables: PageTables, address: number, pfn: number, prot: number): void {
  if (tables.mapPages(address, [pfn], 0, 1, prot) === MAP_OK) return
  throw new KernelBug('KMAP_TABLES', `0x${address.toString(16)} was mapped, or lost its table`)
}
