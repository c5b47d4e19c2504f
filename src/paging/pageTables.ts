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
import { firstUsed, mappings, type SpaceMapping } from './spaceScan'
import {
  badAddress,
  checkAddress,
  checkFlush,
  checkFrames,
  checkMarks,
  checkMask,
  checkPhys,
  checkRange,
  checkSpan,
  destroyed,
} from './tableChecks'
import { destroy, freeEmptyTables } from './tableFree'
import { mapPages, mapRange, populate, unmapRange } from './tableMap'
import { markUsed, testAndClear } from './tableMarks'
import { protectRange } from './tableProtect'
import { splitRange } from './tableSplit'
import { type PageTablesOptions, TableTree } from './tableTree'
import { forEachLeaf, frameAt, type LeafVisitor, type PageWalk, walk } from './tableWalk'

export { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTablesOptions } from './tableTree'
export type { LeafVisitor, PageWalk, PageWalkEntry } from './tableWalk'

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
    if (options.flush !== undefined) checkFlush(options.flush)
    const t = new TableTree(frames, format, options)
    this.frames = frames
    this.format = format
    this.t = t
  }

  /** Frame of the top table; -1 once the tables are destroyed. */
  get root(): number {
    return this.t.root
  }

  /** Frame of the top table of addresses with the highest bit set; the same where there is only one. */
  get highRoot(): number {
    return this.t.highRoot
  }

  /** Tells all who listen: those who change mappings call it where the calls here do not. */
  get flush(): FlushOps {
    return this.t.flush
  }

  /**
   * Adds a listener, told before tables that are not used any more are given back, and of changed protections. Returns
   * the function that removes it.
   */
  listen(listener: FlushOps): () => void {
    checkFlush(listener)
    return this.t.flush.add(listener)
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

  /** Level of the table that frame `pfn` is, 0 for a top one, if it was made here and is alive; -1 for any other number. */
  levelOf(pfn: number): number {
    return this.t.records.get(pfn)?.level ?? -1
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
   * Splits the large leaves that a range starts or ends inside of, so that none is partly in it. Everything stays mapped
   * as it was.
   * @returns MAP_OK, or MAP_NO_MEMORY with nothing changed.
   * @throws InvalidArgument for a range that is not one of the format.
   */
  splitAt(address: number, bytes = 0): number {
    checkRange(this.t.end, address, bytes)
    return splitRange(this.t, address, address + bytes)
  }

  /** Frame that a byte address is mapped to; -1 for none. */
  pfnAt(address: number): number {
    const { t } = this
    if (!(address >= 0 && address < t.end) || Math.floor(address) !== address) {
      throw badAddress(t.end, address)
    }
    return frameAt(t, address)
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

  /** The first page of a range whose entry is not empty, whatever it says: its address; -1 for none. */
  firstUsed(address: number, bytes: number): number {
    checkRange(this.t.end, address, bytes)
    return firstUsed(this.t, address, address + bytes)
  }

  /** What is mapped in [start, end), in ascending order, for nobody's use too; a large leaf as a whole. */
  mappings(start: number, end: number): SpaceMapping[] {
    checkSpan(this.t.end, start, end)
    return mappings(this.t, start, end)
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
   * them again. An entry of AArch64 that is writable without DBM has no way to say that it is clean: it stays dirty.
   * @returns those of `bits` that it had.
   */
  testAndClear(address: number, bits: number): number {
    checkAddress(this.t.end, address)
    checkMarks('bits', bits, 0)
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
   * Goes on from other top tables, after memory was replaced by that of another moment: the tables are those that they
   * lead to. No frame is given back; all who listen are told to forget every address.
   * @throws InvalidArgument, with nothing changed, for a root that is no memory.
   */
  readopt(root: number, highRoot: number = root): void {
    this.t.readopt(root, highRoot)
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
