/**
 * The tables of one address space, and the way down them to an entry.
 *
 *     root ──┐ entry of address, level 0
 *            └──> table ──┐ level 1
 *                         └──> table ──> ... the last level: the leaf of a page
 *
 * Entries are data that others may write: a guest has its tables in the same memory. So nothing is believed of
 * them. A pointer is followed only into memory, and which frames are tables to give back is told by
 * records outside of memory:
 *
 * TREE-1: a frame is given back only if it was taken here (or adopted at the start) and has not been since.
 * TREE-2: each table but the top ones has the one entry in which it was put; through others it is not freed.
 *
 * An entry is *empty* when all its bits are 0. One that is not valid to the processor, and not empty, may
 * be a page that nobody may use.
 *
 * Source: spec/vmalloc.md §13.1, §13.7.
 */

import { InvalidArgument, OutOfMemory } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import { __GFP_ZERO } from '../page/gfp'
import { FlushList } from './flushList'
import type { FlushOps } from './flushOps'
import type { EntryBits, PageTableFormat } from './format'
import { FramePlaces } from './framePlaces'
import { entryIndex, frameOf, highHalf, isTable, type TablePlan, tablePlan } from './tablePlan'

/** Done. */
export const MAP_OK = 0
/** No page for a table. */
export const MAP_NO_MEMORY = -12
/** Something is mapped there already. */
export const MAP_BUSY = -16

/** GFP_KERNEL and __GFP_ZERO: how pages for tables are asked for. */
const GFP_PGTABLE_KERNEL = 0xdc0

/** Options of page tables. */
export interface PageTablesOptions {
  /** Frame of a top table that is there already; it stays its owner's. By default one is taken. */
  readonly root?: number
  /** The same for the second top table, of formats that have two. */
  readonly highRoot?: number
  /** True to take over `root`, `highRoot` and the tables below them, as if they had been made here. */
  readonly adopt?: boolean
  /** Whether tables are for the user: some formats mark them. */
  readonly user?: boolean
  /** The first to be told of flushes; `PageTables.listen` adds others. */
  readonly flush?: FlushOps
  /** How pages for tables are asked for: GFP_KERNEL by default, __GFP_ZERO always besides. */
  readonly gfp?: number
}

/** A table to be given back one day. */
export interface TableRecord {
  readonly level: number
  /** Physical address of the entry that points at it; -1 for a top table. */
  readonly entry: number
}

/** The tables, with a cursor on one entry: where the last walk ended. */
export class TableTree {
  readonly frames: FrameSource
  readonly format: PageTableFormat
  readonly plan: TablePlan
  readonly places: FramePlaces
  readonly user: boolean
  /** Frames of the top tables; -1 once they are gone. */
  root: number
  highRoot: number
  readonly records = new Map<number, TableRecord>()
  readonly flush = new FlushList()
  gfp: number
  pmdTables = 0
  /** One more than the highest address; 0 once the tables are gone. */
  end: number

  // The cursor: all words of memory, the entry's level, table, index, place, and halves.
  words: Int32Array
  level = 0
  table = -1
  index = 0
  at = 0
  lo = 0
  hi = 0

  // The last leaf that was looked up, without its frame number; -1 for none.
  leafLow = -1
  leafHigh = -1

  constructor(frames: FrameSource, format: PageTableFormat, options: PageTablesOptions) {
    this.frames = frames
    this.format = format
    this.plan = tablePlan(format)
    this.places = new FramePlaces(frames)
    this.words = this.places.allWords()
    this.user = options.user === true
    if (options.flush !== undefined) this.flush.add(options.flush)
    this.gfp = options.gfp ?? GFP_PGTABLE_KERNEL
    this.end = this.plan.end
    const { root, highRoot } = options
    if (root !== undefined) this.checkRoot('root', root)
    if (highRoot !== undefined) this.checkRoot('highRoot', highRoot)
    this.root = root ?? this.takeRoot()
    this.highRoot = format.twoRoots ? (highRoot ?? this.takeRoot()) : this.root
    if (options.adopt !== true) return
    if (root !== undefined) this.adopt(root)
    if (highRoot !== undefined && format.twoRoots) this.adopt(highRoot)
  }

  /**
   * Puts the cursor on the entry of an address: at level `deepest`, or above it where no table leads on.
   * Returns the level.
   */
  seek(address: number, deepest: number): number {
    const { plan, places } = this
    const { stride } = plan
    const words = places.allWords()
    let table = address >= plan.half ? this.highRoot : this.root
    let base = places.of(table)
    let level = 0
    for (;;) {
      const index = entryIndex(plan, address, level)
      const at = base + index * stride
      const lo = words[at]!
      const hi = stride === 2 ? words[at + 1]! : 0
      let next = -1
      if (level < deepest && isTable(plan, lo, hi, level)) {
        next = frameOf(plan, lo, hi)
        base = places.of(next)
      }
      if (next < 0 || base < 0) {
        this.words = words
        this.level = level
        this.table = table
        this.index = index
        this.at = at
        this.lo = lo
        this.hi = hi
        return level
      }
      table = next
      level++
    }
  }

  /** Puts the cursor on an entry of a table that is memory. */
  moveTo(table: number, level: number, index: number): void {
    const { stride } = this.plan
    this.words = this.places.allWords()
    this.level = level
    this.table = table
    this.index = index
    this.at = this.places.of(table) + index * stride
    this.lo = this.words[this.at]!
    this.hi = stride === 2 ? this.words[this.at + 1]! : 0
  }

  /** Puts the cursor on the entry of an address at level `deepest`, making tables on the way; a MAP_ code. */
  reach(address: number, deepest: number): number {
    for (let made = 0; this.seek(address, deepest) !== deepest; made++) {
      if (this.lo !== 0 || this.hi !== 0 || made > deepest) return MAP_BUSY
      // Who gives the page may use these tables, and their cursor, meanwhile.
      const { level } = this
      const pfn = this.takePage()
      if (pfn < 0) return MAP_NO_MEMORY
      if (this.seek(address, level) === level && this.lo === 0 && this.hi === 0) {
        this.putTable(pfn, this.format.tableBits(level, this.user))
      } else {
        this.frames.freePages(pfn, 0)
      }
    }
    return MAP_OK
  }

  /** A page of zeros for a table; -1 for none. */
  takePage(): number {
    return this.frames.allocPages((this.gfp | __GFP_ZERO) >>> 0, 0, -1)
  }

  /** Lets the entry of the cursor point at a table that was taken, and notes that. */
  putTable(pfn: number, bits: EntryBits): void {
    const level = this.level + 1
    this.records.set(pfn, { level, entry: this.entryAddress() })
    if (level === this.plan.pmd) this.pmdTables++
    this.putFrame(pfn, bits.lo, bits.hi)
  }

  /** Entries from the cursor to the end of its table, `most` at most. */
  entriesLeft(most: number): number {
    return Math.min(most, this.plan.masks[this.level]! + 1 - this.index)
  }

  /** Writes the entry of the cursor: a frame and the other bits. */
  putFrame(pfn: number, lo: number, hi: number): void {
    const { plan } = this
    this.put(lo | (pfn << plan.pfnShift), hi | (pfn / plan.frameUnit))
  }

  /** Writes the entry of the cursor. */
  put(lo: number, hi: number): void {
    this.words[this.at] = lo
    if (this.plan.stride === 2) this.words[this.at + 1] = hi
    this.written(1)
  }

  /** Notes that `count` entries from the cursor on were written. */
  written(count: number): void {
    const { ram } = this.frames
    if (ram.tracksDirty) ram.markDirty(this.entryAddress(), count * this.format.entryBytes)
  }

  /** Physical address of the entry of the cursor. */
  entryAddress(): number {
    return this.table * PAGE_SIZE + this.index * this.format.entryBytes
  }

  /** Whether the entry of the cursor holds a table that may be given back from there. */
  ownsTable(pfn: number): boolean {
    const record = this.records.get(pfn)
    return record?.level === this.level + 1 && record.entry === this.entryAddress()
  }

  /** Gives a table back. Nothing points at it any more. */
  freeTable(pfn: number): void {
    const record = this.records.get(pfn)
    if (record === undefined) return
    this.records.delete(pfn)
    if (record.level > 0 && record.level === this.plan.pmd) this.pmdTables--
    this.frames.freePages(pfn, 0)
  }

  /** Forgets all tables, and takes over those that the new top tables lead to. */
  readopt(root: number, highRoot: number): void {
    const { twoRoots } = this.format
    this.checkRoot('root', root)
    if (twoRoots) this.checkRoot('highRoot', highRoot)
    this.records.clear()
    this.pmdTables = 0
    this.end = this.plan.end
    this.root = root
    this.highRoot = twoRoots ? highRoot : root
    this.adopt(root)
    if (twoRoots) this.adopt(highRoot)
    this.flush.flushTlb(0, this.end)
  }

  private checkRoot(argument: string, pfn: number): void {
    if (!Number.isInteger(pfn) || this.places.of(pfn) < 0) {
      throw new InvalidArgument(argument, pfn, 'the number of a frame that is memory')
    }
  }

  private takeRoot(): number {
    let pfn = -1
    try {
      pfn = this.takePage()
    } finally {
      if (pfn < 0) for (const taken of this.records.keys()) this.freeTable(taken)
    }
    if (pfn < 0) throw new OutOfMemory('no memory for a top page table')
    this.records.set(pfn, { level: 0, entry: -1 })
    return pfn
  }

  /** Notes a top table and all tables below it, each with the first entry that points at it. */
  private adopt(root: number): void {
    this.records.set(root, { level: 0, entry: -1 })
    let tables = [root]
    for (let level = 0; level < this.plan.last; level++) {
      tables = tables.flatMap((table) => this.adoptBelow(table, level))
    }
  }

  private adoptBelow(table: number, level: number): number[] {
    const { plan, frames, records } = this
    const words = this.places.allWords()
    const place = this.places.of(table)
    const found: number[] = []
    for (let index = 0; index <= plan.masks[level]!; index++) {
      const at = place + index * plan.stride
      const lo = words[at]!
      const hi = highHalf(plan, words, at)
      if (!isTable(plan, lo, hi, level)) continue
      const pfn = frameOf(plan, lo, hi)
      if (this.places.of(pfn) < 0 || records.has(pfn) || !frames.isBlock(pfn, 0)) continue
      const entry = table * PAGE_SIZE + index * this.format.entryBytes
      records.set(pfn, { level: level + 1, entry })
      if (level + 1 === plan.pmd) this.pmdTables++
      found.push(pfn)
    }
    return found
  }
}

/** The address behind an entry that covers `span` bytes, a power of two. */
export function nextEntry(address: number, span: number): number {
  return (Math.floor(address / span) + 1) * span
}
