/**
 * Page tables: which frame a virtual address means, written into memory as the processor reads it.
 *
 * The tables are pages of the allocator. They are made at need, from the top down, in ascending order of
 * addresses, and stay until {@link PageTables.destroy}, except those that a large leaf replaces.
 *
 *     1. mapPages    leaves of one page each, from a list of frames
 *     2. mapRange    consecutive frames, by large leaves where these fit
 *     3. unmapRange  clears leaves; the TLB is the caller's business
 *     4. translate   what a processor would find
 *
 * What lies in memory may have been written by anybody. A pointer to something that is no memory is not
 * followed, and no frame is given back that was not taken here. What a call does with tables that somebody
 * else wrote takes time with the range it is given, as it would with any other tables.
 *
 * Source: spec/vmalloc.md §6.5, §13.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import type { FlushOps } from './flushOps'
import type { PageTableFormat } from './format'
import {
  badAddress,
  checkAddress,
  checkFrames,
  checkMask,
  checkPhys,
  checkRange,
  checkSpan,
  destroyed,
} from './tableChecks'
import { destroy, freeEmptyTables } from './tableFree'
import { mapPages, mapRange, populate, unmapRange } from './tableMap'
import { frameOf, HIGH_UNIT, leafFrame } from './tablePlan'
import { markUsed, protectRange, splitLeaf, testAndClear } from './tableProtect'
import { type PageTablesOptions, TableTree } from './tableTree'
import { forEachLeaf, type LeafVisitor, type PageWalk, walk } from './tableWalk'

export { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTablesOptions } from './tableTree'
export type { LeafVisitor, PageWalk, PageWalkEntry } from './tableWalk'

/** ACCESSED and DIRTY. */
const USE_BITS = 0x60

/**
 * The page tables of one address space. Addresses are without sign extension, in [0, 2^vaBits) of the format.
 *
 * ```ts
 * const tables = new PageTables(frameSource(pages), X86_64)
 * tables.mapPages(0xc90000000000, [pfn], 0, 1, PAGE_KERNEL)
 * tables.translate(0xc90000000123) // pfn * 4096 + 0x123
 * ```
 */
export class PageTables {
  /** Where pages for tables come from. */
  readonly frames: FrameSource
  /** The format. */
  readonly format: PageTableFormat
  /** Frame of the top table. */
  readonly root: number
  /** Frame of the top table of addresses with the highest bit set; the same where there is only one. */
  readonly highRoot: number
  private readonly t: TableTree

  /**
   * Makes empty tables, or takes those at `root`.
   * @throws InvalidArgument for memory without content, and for a root that is no memory.
   * @throws OutOfMemory when there is no page for a top table.
   */
  constructor(frames: FrameSource, format: PageTableFormat, options: PageTablesOptions = {}) {
    if (frames.ram.hasContent !== true) {
      throw new InvalidArgument('frames', frames, 'a source of frames that have content')
    }
    if (options.gfp !== undefined) checkMask(options.gfp)
    const t = new TableTree(frames, format, options)
    this.frames = frames
    this.format = format
    this.root = t.root
    this.highRoot = t.highRoot
    this.t = t
  }

  /** Told before tables that are not used any more are given back, and of changed protections. */
  get flush(): FlushOps {
    return this.t.flush
  }

  set flush(flush: FlushOps) {
    this.t.flush = flush
  }

  /** How pages for tables are asked for, __GFP_ZERO always besides. */
  get gfp(): number {
    return this.t.gfp
  }

  /** @throws InvalidArgument for anything but an unsigned integer of 32 bits. */
  set gfp(gfp: number) {
    checkMask(gfp)
    this.t.gfp = gfp
  }

  /** Tables of the level named PMD that were made here and are alive: what `PageTables` counts. */
  get pmdTables(): number {
    return this.t.pmdTables
  }

  /** Tables that were made here and are alive, top ones included: pages. */
  get tableCount(): number {
    return this.t.records.size
  }

  /**
   * Maps `count` frames of `pfns` from index `first` on, a page each, from `address` on.
   * @returns MAP_OK; MAP_NO_MEMORY without a page for a table, or MAP_BUSY for an entry that is not empty: what was
   * written up to there stays.
   * @throws InvalidArgument, with nothing changed, for a range, a frame or a protection that the format cannot say.
   */
  mapPages(
    address: number,
    pfns: ArrayLike<number>,
    first: number,
    count: number,
    prot: number,
  ): number {
    const { t } = this
    checkInteger('first', first, 0, Number.MAX_SAFE_INTEGER)
    checkInteger('count', count, 0, Number.MAX_SAFE_INTEGER)
    checkRange(this.t.end, address, count * PAGE_SIZE)
    checkFrames(pfns, first, count, t.plan.frames)
    return mapPages(t, address, pfns, first, count, t.format.leafBits(prot, t.plan.last))
  }

  /**
   * Maps `bytes` bytes of consecutive frames. Leaves of up to 2^maxShift bytes are used where the format has them, both
   * addresses are multiples of their size, and the range is as large. A table that is left over there is given back
   * after a flush of its first page; with 32-bit addresses it is kept, and smaller leaves are used.
   * @param phys a multiple of 4096, memory or not.
   * @param maxShift 12 for pages only, up to 64.
   * @returns what {@link mapPages} does.
   */
  mapRange(address: number, phys: number, bytes: number, prot: number, maxShift: number): number {
    const { t } = this
    checkRange(this.t.end, address, bytes)
    checkInteger('maxShift', maxShift, 12, 64)
    checkPhys(phys, bytes, t.plan.frames * PAGE_SIZE)
    return mapRange(t, address, phys / PAGE_SIZE, bytes / PAGE_SIZE, prot, maxShift)
  }

  /**
   * Clears all entries of a range; a large leaf as a whole where the range touches it ({@link splitAt} keeps what lies
   * outside). Tables stay. The TLB is not flushed.
   * @param point called behind each part of the range that has a table of the last level.
   * @throws InvalidArgument for a range that is not one of the format.
   */
  unmapRange(address: number, bytes: number, point: (() => void) | null = null): void {
    checkRange(this.t.end, address, bytes)
    unmapRange(this.t, address, bytes, point)
  }

  /**
   * Gives what is mapped in a range another protection; whether it was used or written is kept. Large leaves that
   * are partly in it are split. Flushes the TLB when something was mapped.
   * @returns MAP_OK, or MAP_NO_MEMORY, with nothing changed, without a page for a table.
   * @throws InvalidArgument as {@link mapPages} does.
   */
  protectRange(address: number, bytes: number, prot: number): number {
    checkRange(this.t.end, address, bytes)
    return protectRange(this.t, address, bytes, prot)
  }

  /**
   * Splits a large leaf that `address`, a multiple of 4096, lies inside of, so that a leaf starts there. Everything stays
   * mapped as it was.
   * @returns MAP_OK, or MAP_NO_MEMORY with nothing changed.
   */
  splitAt(address: number): number {
    checkRange(this.t.end, address, 0)
    return splitLeaf(this.t, address)
  }

  /** Frame that a byte address is mapped to; -1 for none. */
  pfnAt(address: number): number {
    const { t } = this
    const { plan, places } = t
    if (!(address >= 0 && address < t.end) || Math.floor(address) !== address) {
      throw badAddress(t.end, address)
    }
    if (!plan.even) return lookUp(t, address)
    // Numbers of the plan in locals, and no arrays but memory: half the time of the general way (measured).
    const words = places.allWords()
    const low = (address / PAGE_SIZE) >>> 0
    const high = (address / HIGH_UNIT) >>> 0
    const { lowMask, pfnShift, highMask, frameUnit } = plan
    const isLow = plan.tableLowIs[0]!
    const isHigh = plan.tableHighIs[0]!
    const testLow = plan.tableLow[0]!
    const testHigh = plan.tableHigh[0]!
    let base = places.of(address < plan.half ? t.root : t.highRoot)
    for (let shift = plan.topShift; ; shift -= 9) {
      const index = (shift < 27 ? low >>> shift : high >>> (shift - 27)) & 511
      const at = base + 2 * index
      const lo = words[at]!
      const hi = words[at + 1]!
      if (shift === 0) {
        return t.format.kindOf(lo, hi, plan.last) === 'leaf' ? frameOf(plan, lo, hi) : -1
      }
      // Nothing there, or a large leaf.
      if ((lo & testLow) !== isLow || (hi & testHigh) !== isHigh) return lookUp(t, address)
      const above = hi & highMask
      const below = (lo & lowMask) >>> pfnShift
      base = places.of(above === 0 ? below : below + above * frameUnit)
      if (base < 0) return -1
    }
  }

  /** Physical address that a byte address is mapped to; -1 for none. */
  translate(address: number): number {
    const pfn = this.pfnAt(address)
    return pfn < 0 ? -1 : pfn * PAGE_SIZE + (address & 4095)
  }

  /** How a byte address is translated, entry by entry. */
  walk(address: number): PageWalk {
    checkAddress(this.t.end, address)
    return walk(this.t, address)
  }

  /**
   * Makes the tables below all entries of `level` that [start, end) touches; 0 is the top level.
   * @returns what {@link mapPages} does; MAP_BUSY for a large leaf.
   */
  populate(start: number, end: number, level: number): number {
    checkSpan(this.t.end, start, end)
    checkInteger('level', level, 0, this.t.plan.last - 1)
    return populate(this.t, start, end, level)
  }

  /** Visits the leaves that [start, end) touches, in ascending order, each as a whole. */
  forEachLeaf(start: number, end: number, visit: LeafVisitor): void {
    checkSpan(this.t.end, start, end)
    forEachLeaf(this.t, start, end, visit)
  }

  /**
   * Marks a page as used, and for a write as written, the way the processor does: a page that cannot be written
   * never is. Whether the address is mapped.
   */
  markUsed(address: number, write: boolean): boolean {
    checkAddress(this.t.end, address)
    return markUsed(this.t, address, write)
  }

  /**
   * Takes PROT_ACCESSED, PROT_DIRTY or both from the page of an address. Flush the TLB, or the processor may not set
   * them again.
   * @returns those of `bits` that it had.
   */
  testAndClear(address: number, bits: number): number {
    checkAddress(this.t.end, address)
    checkInteger('bits', bits, 0, USE_BITS)
    if ((bits & ~USE_BITS) !== 0) {
      throw new InvalidArgument('bits', bits, 'PROT_ACCESSED, PROT_DIRTY or both')
    }
    return testAndClear(this.t, address, bits)
  }

  /**
   * Gives back the tables without entries that [start, end) touches; top tables stay. For spaces of users: a kernel
   * does not do this. Flushes the TLB first.
   * @returns how many.
   */
  freeEmptyTables(start: number, end: number): number {
    checkSpan(this.t.end, start, end)
    return freeEmptyTables(this.t, start, end)
  }

  /**
   * Gives all tables back that were made here, deepest first; what they map is not touched. The tables cannot be used any more.
   * @throws KernelBug for tables that were destroyed already.
   */
  destroy(): void {
    if (this.t.end === 0 && this.t.records.size === 0) throw destroyed()
    destroy(this.t)
  }
}

/** Frame that an address is mapped to, in any format and by a leaf of any size; -1 for none. */
function lookUp(t: TableTree, address: number): number {
  const { plan } = t
  const level = t.seek(address, plan.last)
  const { lo, hi } = t
  if (t.format.kindOf(lo, hi, level) !== 'leaf') return -1
  if (level === plan.last) return frameOf(plan, lo, hi)
  const pages = Math.floor((address % plan.spans[level]!) / PAGE_SIZE)
  return leafFrame(plan, lo, hi, level) + pages
}
