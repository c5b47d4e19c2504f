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

import { PAGE_SHIFT, PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import { type AccessRights, RIGHTS_ALL, RIGHTS_USER_PAGE, settle } from './accessRights'
import type { PageTableFormat } from './format'
import { FramePlaces, PAGE_WORDS_SHIFT } from './framePlaces'

/** Patterns of leaves that are remembered, less one. */
const MEMO_MASK = 15
/** Addresses are split here, so that both parts are small integers. */
const SPLIT = 1073741824
const SPLIT_MASK = 1073741823
const SPLIT_SHIFT = 30

/** Page tables, as far as a walk needs them. */
export interface WalkedTables {
  readonly frames: FrameSource
  readonly format: PageTableFormat
  /** Frame of the top table. */
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
  readonly last: number
  /** 32-bit words of an entry: 1 or 2. */
  readonly entryWords: number
  private readonly tables: WalkedTables
  private readonly format: PageTableFormat
  private readonly access: AccessRights
  /** One more than the highest address, and the first of the upper half. */
  private limit: number
  private readonly middle: number
  private readonly shifts: Int32Array
  private readonly indexMasks: Int32Array
  private readonly pfnShift: number
  /** Bits of the low half's part of a frame number, once shifted. */
  private readonly pfnMask: number
  private readonly highMask: number
  /** Value of bit 0 of the high half in a frame number. */
  private readonly highUnit: number
  private readonly leafMask: number
  private readonly leafNone: number
  /** Bits of an entry that are no part of its frame number. */
  private readonly smallLow: number
  private readonly smallHigh: number
  private readonly lastMask: number
  /** By level: pattern of the table that was met last, and its rights: low half, high half, rights, nothing. */
  private readonly tableMemo: Int32Array
  /** The same for leaves of the last level, in slots by a hash. */
  private readonly leafMemo: Int32Array

  constructor(tables: WalkedTables, access: AccessRights) {
    const { format, frames } = tables
    const { levels } = format
    this.tables = tables
    this.format = format
    this.access = access
    this.places = new FramePlaces(frames)
    this.words = this.places.allWords()
    this.last = levels.length - 1
    this.entryWords = format.entryBytes / 4
    this.limit = 2 ** format.vaBits
    this.middle = this.limit / 2
    this.shifts = Int32Array.from(levels, ({ shift }) => shift)
    this.indexMasks = Int32Array.from(levels, ({ bits }) => 2 ** bits - 1)
    this.pfnShift = format.pfnShift
    this.pfnMask = (format.pfnLowMask | 0) >>> format.pfnShift
    this.highMask = format.pfnHighMask | 0
    this.highUnit = 2 ** (32 - format.pfnShift)
    this.leafMask = format.leafMask
    this.leafNone = format.leafNone
    this.smallLow = ~format.pfnLowMask
    this.smallHigh = ~this.highMask
    this.lastMask = this.indexMasks[this.last]!
    this.tableMemo = new Int32Array(levels.length * 4)
    this.leafMemo = new Int32Array((MEMO_MASK + 1) * 4)
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.limit < 0
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
   * be marked in the entries for any access. Frame numbers below 2^31 never leave small integers (measured).
   */
  find(address: number): number {
    const high = (address / SPLIT) | 0
    const low = address & SPLIT_MASK
    // Not so for negative numbers, fractions and NaN.
    if (high * SPLIT + low !== address || address >= this.limit) return -1
    const { words, places, last, smallLow, smallHigh, tableMemo } = this
    const wide = this.entryWords === 2
    let pfn = address < this.middle ? this.tables.root : this.tables.highRoot
    let rights = RIGHTS_ALL
    let { start, end, place } = places
    for (let level = 0; level < last; level++) {
      if (pfn < start || pfn >= end) {
        if (places.of(pfn) < 0) return -1
        start = places.start
        end = places.end
        place = places.place
      }
      const table = ((pfn - start) << PAGE_WORDS_SHIFT) + place
      const index = this.index(high, low, level)
      const at = wide ? table + 2 * index : table + index
      const lo = words[at]!
      const hi = wide ? words[at + 1]! : 0
      const slot = level << 2
      if ((lo & smallLow) !== tableMemo[slot] || (hi & smallHigh) !== tableMemo[slot + 1]) {
        if ((lo & 1) === 0) return -1
        if ((lo & this.leafMask) !== this.leafNone) {
          return this.findLarge(address, lo, hi, level, rights)
        }
        this.learnTable(lo, hi, level)
      }
      rights &= tableMemo[slot + 2]!
      if (rights === 0) return -1
      pfn = (lo >> this.pfnShift) & this.pfnMask
      if ((hi & this.highMask) !== 0) pfn += (hi & this.highMask) * this.highUnit
    }
    const table = places.of(pfn)
    if (table < 0) return -1
    const index = (low >>> PAGE_SHIFT) & this.lastMask
    const at = wide ? table + 2 * index : table + index
    const lo = words[at]!
    if ((lo & 1) === 0) return -1
    const hi = wide ? words[at + 1]! : 0
    rights &= this.leafRights(lo, hi)
    this.rights = rights < RIGHTS_USER_PAGE ? rights : settle(rights)
    pfn = (lo >> this.pfnShift) & this.pfnMask
    if ((hi & this.highMask) !== 0) pfn += (hi & this.highMask) * this.highUnit
    return pfn
  }

  private index(high: number, low: number, level: number): number {
    const shift = this.shifts[level]!
    const number =
      shift < SPLIT_SHIFT
        ? (high << (SPLIT_SHIFT - shift)) | (low >>> shift)
        : high >>> (shift - SPLIT_SHIFT)
    return number & this.indexMasks[level]!
  }

  private findLarge(
    address: number,
    lo: number,
    hi: number,
    level: number,
    rights: number,
  ): number {
    this.rights = settle(rights & this.decode(lo, hi, level, true))
    return this.inLarge(this.pfnOf(lo, hi), level, address)
  }

  private learnTable(lo: number, hi: number, level: number): void {
    const slot = level << 2
    this.tableMemo[slot] = lo & this.smallLow
    this.tableMemo[slot + 1] = hi & this.smallHigh
    this.tableMemo[slot + 2] = this.decode(lo, hi, level, false)
  }

  /** What a leaf of the last level allows without marking anything; 0 for one that is malformed. */
  private leafRights(lo: number, hi: number): number {
    const { leafMemo } = this
    const low = lo & this.smallLow
    const high = hi & this.smallHigh
    const slot = (((low >>> 1) ^ (low >>> 5) ^ (high >>> 21) ^ (high >>> 28)) & MEMO_MASK) << 2
    // An entry with bit 0 set never looks like a slot that nothing is in.
    if (leafMemo[slot] !== low || leafMemo[slot + 1] !== high) {
      leafMemo[slot] = low
      leafMemo[slot + 1] = high
      leafMemo[slot + 2] = this.decode(lo, hi, this.last, true)
    }
    return leafMemo[slot + 2]!
  }

  /** Index of an address into a table of a level. */
  indexAt(address: number, level: number): number {
    return Math.floor(address / 2 ** this.shifts[level]!) % (this.indexMasks[level]! + 1)
  }

  /** Frame number of an entry as it stands. */
  pfnOf(lo: number, hi: number): number {
    return ((lo >> this.pfnShift) & this.pfnMask) + (hi & this.highMask) * this.highUnit
  }

  /** Frame of the top table for an address. */
  rootFor(address: number): number {
    return address >= this.middle ? this.tables.highRoot : this.tables.root
  }

  /** Frame of an address in a large leaf of a level. */
  inLarge(pfn: number, level: number, address: number): number {
    const pages = 2 ** (this.shifts[level]! - 12)
    const page = Math.floor(address / PAGE_SIZE) % pages
    return pfn - (pfn % pages) + page
  }

  /** What an entry leaves of all rights without marking anything; 0 for one that is malformed. */
  private decode(lo: number, hi: number, level: number, leaf: boolean): number {
    if (this.format.kindOf(lo, hi, level) !== (leaf ? 'leaf' : 'table')) return 0
    if (leaf) return this.access.unmarked(this.access.ofLeaf(lo, hi, level), lo, hi)
    return this.access.tableUnmarked(lo, level) ? 0 : this.access.ofTable(lo, hi, level)
  }
}
