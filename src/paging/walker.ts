/**
 * The walk through page tables that a processor makes, and nothing else: from an address to a frame and
 * to the rights that all entries together leave.
 *
 * What the bits of an entry mean is asked once for each pattern and remembered, so a walk is a few loads and
 * comparisons a level. The pattern is the entry without its frame number. Large leaves are not remembered:
 * of them a part of the frame number has to be looked at.
 *
 * Source: spec/vmalloc.md §13.
 */

import { PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import { type AccessRights, RIGHTS_ALL, RIGHTS_USER_PAGE, settle } from './accessRights'
import type { PageTableFormat } from './format'
import { FramePlaces } from './framePlaces'
import {
  entryIndex,
  frameOf,
  HIGH_UNIT,
  isTable,
  pageOfLeaf,
  type TablePlan,
  tablePlan,
} from './tablePlan'

/** Patterns of leaves that are remembered, less one. */
const MEMO_MASK = 15

/** Page tables, as far as a walk needs them. */
export interface WalkedTables {
  readonly frames: FrameSource
  readonly format: PageTableFormat
  /** Frame of the top table; -1 once the tables are gone. */
  readonly root: number
  /** Frame of the upper half's top table. */
  readonly highRoot: number
}

/** Walks tables without any message about what is wrong. */
export class Walker {
  /** What the last {@link find} that found a frame says of it: RIGHTS_ bits. */
  rights = 0
  /** Words of memory at the last {@link renew}. */
  words: Int32Array
  /** Places of frames that are tables. */
  readonly places: FramePlaces
  readonly plan: TablePlan
  private readonly tables: WalkedTables
  private readonly format: PageTableFormat
  private readonly rules: AccessRights
  /** One more than the highest address; -1 when nothing is to be found any more. */
  private limit: number
  /** Bits of an entry that are no part of its frame number. */
  private readonly smallLow: number
  private readonly smallHigh: number
  // Patterns of the table and the leaf learned last, and what they leave of all rights: nothing, where both halves are 0.
  private tableLow = 0
  private tableHigh = 0
  private tableRights = 0
  private leafLow = 0
  private leafHigh = 0
  private leafAllows = 0
  /** By level: pattern of the table that was met last, and its rights: low half, high half, rights, nothing. */
  private readonly tableMemo: Int32Array
  /** The same for leaves of the last level, in slots by a hash. */
  private readonly leafMemo: Int32Array

  constructor(tables: WalkedTables, rules: AccessRights) {
    const { format, frames } = tables
    this.tables = tables
    this.format = format
    this.rules = rules
    this.plan = tablePlan(format)
    this.places = new FramePlaces(frames)
    this.words = this.places.allWords()
    this.limit = this.plan.end
    this.smallLow = ~this.plan.lowMask
    this.smallHigh = ~this.plan.highMask
    this.tableMemo = new Int32Array(this.plan.last * 4)
    this.leafMemo = new Int32Array((MEMO_MASK + 1) * 4)
  }

  /** Whether {@link close} was called, or the tables are gone. */
  get closed(): boolean {
    return this.limit < 0 || this.tables.root < 0
  }

  /** From now on there is nothing to be found. */
  close(): void {
    this.limit = -1
  }

  /** Takes notice of memory that has grown. Until then walks through it find nothing. */
  renew(): void {
    this.words = this.places.allWords()
  }

  /**
   * Frame behind an address, its rights in {@link rights}; -1 when there is none, or something would have to
   * be marked in the entries for any access.
   */
  find(address: number): number {
    if (!(address >= 0 && address < this.limit) || Math.floor(address) !== address) return -1
    const { plan, words, places } = this
    let base = places.of(this.rootFor(address))
    if (!plan.even) return this.findUneven(address, base)
    // Numbers of the plan in locals, and no arrays but memory: see frameAt.
    const { smallLow, smallHigh, tableLow, tableHigh, tableRights } = this
    const { lowMask, pfnShift, highMask, frameUnit } = plan
    const low = (address / PAGE_SIZE) >>> 0
    const high = (address / HIGH_UNIT) >>> 0
    let rights = RIGHTS_ALL
    for (let shift = plan.topShift; base >= 0; shift -= 9) {
      const index = (shift < 27 ? low >>> shift : high >>> (shift - 27)) & 511
      const lo = words[base + 2 * index]!
      const hi = words[base + 2 * index + 1]!
      const above = hi & highMask
      const below = (lo & lowMask) >>> pfnShift
      const pfn = above === 0 ? below : below + above * frameUnit
      if (shift === 0) return this.leafRights(lo, hi, rights) ? pfn : -1
      if ((lo & smallLow) === tableLow && (hi & smallHigh) === tableHigh) {
        rights &= tableRights
      } else {
        const level = plan.last - shift / 9
        if (!isTable(plan, lo, hi, level)) return this.findLarge(address, lo, hi, level, rights)
        rights &= this.ofTable(lo, hi, level)
      }
      if (rights === 0) return -1
      base = places.of(pfn)
    }
    return -1
  }

  /** Frame of the top table for an address. */
  rootFor(address: number): number {
    return address < this.plan.half ? this.tables.root : this.tables.highRoot
  }

  /** {@link find} in a format of any shape. */
  private findUneven(address: number, root: number): number {
    const { plan, words, places } = this
    let rights = RIGHTS_ALL
    let base = root
    for (let level = 0; base >= 0; level++) {
      const at = base + entryIndex(plan, address, level) * plan.stride
      const lo = words[at]!
      const hi = plan.stride === 2 ? words[at + 1]! : 0
      if (level === plan.last) return this.leafRights(lo, hi, rights) ? frameOf(plan, lo, hi) : -1
      if (!isTable(plan, lo, hi, level)) return this.findLarge(address, lo, hi, level, rights)
      rights &= this.ofTable(lo, hi, level)
      if (rights === 0) return -1
      base = places.of(frameOf(plan, lo, hi))
    }
    return -1
  }

  private findLarge(
    address: number,
    lo: number,
    hi: number,
    level: number,
    rights: number,
  ): number {
    this.rights = settle(rights & this.ofLeaf(lo, hi, level))
    return this.rights === 0 ? -1 : pageOfLeaf(this.plan, lo, hi, level, address)
  }

  /** What a pointer to a table leaves of all rights; 0 when it has to be marked first. */
  private ofTable(lo: number, hi: number, level: number): number {
    const { tableMemo } = this
    const low = lo & this.smallLow
    const high = hi & this.smallHigh
    const slot = level << 2
    if (low !== tableMemo[slot] || high !== tableMemo[slot + 1]) {
      tableMemo[slot] = low
      tableMemo[slot + 1] = high
      const marked = !this.rules.tableUnmarked(lo, level)
      tableMemo[slot + 2] = marked ? this.rules.ofTable(lo, hi, level) : 0
      this.tableLow = low
      this.tableHigh = high
      this.tableRights = tableMemo[slot + 2]!
    }
    return tableMemo[slot + 2]!
  }

  /** Notes what is left of rights by a leaf of the last level. Whether it is one. */
  private leafRights(lo: number, hi: number, rights: number): boolean {
    const low = lo & this.smallLow
    const high = hi & this.smallHigh
    if (low === this.leafLow && high === this.leafHigh)
      return this.settled(rights & this.leafAllows)
    if ((lo & 1) === 0) return false
    const { leafMemo } = this
    const slot = (((low >>> 1) ^ (low >>> 5) ^ (high >>> 21) ^ (high >>> 28)) & MEMO_MASK) << 2
    // An entry with bit 0 set never looks like a slot that nothing is in.
    if (leafMemo[slot] !== low || leafMemo[slot + 1] !== high) {
      leafMemo[slot] = low
      leafMemo[slot + 1] = high
      leafMemo[slot + 2] = this.ofLeaf(lo, hi, this.plan.last)
      this.leafLow = low
      this.leafHigh = high
      this.leafAllows = leafMemo[slot + 2]!
    }
    return this.settled(rights & leafMemo[slot + 2]!)
  }

  private settled(rights: number): boolean {
    this.rights = rights < RIGHTS_USER_PAGE ? rights : settle(rights)
    return this.rights !== 0
  }

  /** What a leaf leaves of all rights without marking anything; 0 for what is none. */
  private ofLeaf(lo: number, hi: number, level: number): number {
    if (this.format.kindOf(lo, hi, level) !== 'leaf') return 0
    return this.rules.unmarked(this.rules.ofLeaf(lo, hi, level), lo, hi)
  }
}
