/**
 * An address space of its own: page tables made from pages of an allocator, what is mapped in them, and
 * memory seen through them. What a process has, or a guest of an emulator.
 *
 *     root ─> tables ─> frames          the tables belong to the space
 *                                       the frames belong to whoever mapped them
 *
 * SPACE-1: a call that fails leaves everything mapped as it was, and no table that it made.
 * SPACE-2: the TLB holds nothing that the tables do not say: every change made here flushes its range.
 * SPACE-3: nothing is ever mapped over what is mapped.
 *
 * The upper part may be a kernel's: then it has the same entries in the top table as the kernel's own
 * tables, and is the kernel's to change.
 *
 * Source: spec/vmalloc.md §13.
 */

import { checkInteger, InvalidArgument, KernelBug, OutOfMemory } from '../base/errors'
import { PAGE_SIZE, type Pfn, type PhysAddr } from '../base/units'
import type { Frames } from '../buddy/frameSource'
import { type PageTableFormat, PROT_ACCESSED, PROT_DIRTY } from './format'
import { KernelHalf } from './kernelHalf'
import { type AddressSpaceOptions, makeTables } from './spaceOptions'
import type { SpaceMapping } from './spaceScan'
import { checkMarks } from './tableChecks'
import { MAP_NO_MEMORY, MAP_OK } from './tableTree'
import type { PageWalk } from './tableWalk'
import { flushing } from './tlb'
import { gapOf } from './virtualAddress'
import { VirtualMemory } from './virtualMemory'

const MAX_PAGES = 2 ** 40

/** A leaf that was used. */
export interface UsedPages {
  /** First address. */
  readonly address: number
  /** Its size. */
  readonly bytes: number
  /** PROT_ACCESSED, PROT_DIRTY or both. */
  readonly marks: number
}

/**
 * An address space.
 *
 * ```ts
 * const space = new AddressSpace(pages, { format: SV39, user: true })
 * space.map(0x10000, pfn, 4, PAGE_SHARED)
 * space.storeU32(0x10000, 42)
 * ```
 *
 * Addresses are without sign extension, in [0, 2^vaBits) of the format. Ranges are whole pages, and do not
 * reach across the gap between the two halves of 64 bits. After {@link destroy} every call throws KernelBug.
 */
export class AddressSpace extends VirtualMemory {
  private readonly kernelHalf: KernelHalf | null
  private readonly stopKernel: () => void
  /** One more than the highest address that may be mapped here. */
  private readonly end: number

  /**
   * Makes an empty space.
   * @throws InvalidArgument for wrong options, and for memory without content.
   * @throws OutOfMemory when there is no page for a top table; {@link create} gives null then.
   */
  constructor(pages: Frames, options: AddressSpaceOptions) {
    super(makeTables(pages, options), options)
    const { kernel } = options
    this.kernelHalf =
      kernel === undefined ? null : new KernelHalf(this.tables, kernel, options.kernelStart)
    this.end = this.kernelHalf?.start ?? 2 ** options.format.vaBits
    this.kernelHalf?.sync()
    const listens = kernel !== undefined && this.tlb.size !== 0
    this.stopKernel = listens ? kernel.listen(flushing(this.tlb)) : () => {}
  }

  /** Makes an empty space; null when there is no page for a top table. */
  static create(pages: Frames, options: AddressSpaceOptions): AddressSpace | null {
    try {
      return new AddressSpace(pages, options)
    } catch (error) {
      if (error instanceof OutOfMemory) return null
      throw error
    }
  }

  /** The format of the tables. */
  get format(): PageTableFormat {
    return this.tables.format
  }

  /** Frame of the top table: what the processor's register gets. */
  get root(): Pfn {
    return this.tables.root as Pfn
  }

  /** Frame of the top table of the upper half; the same where there is one only. */
  get highRoot(): Pfn {
    return this.tables.highRoot as Pfn
  }

  /**
   * Maps `count` consecutive frames from `pfn` on, a page each.
   * @returns false, with nothing changed, when there is no page for a table.
   * @throws InvalidArgument for a range, a frame or a protection that the format cannot say.
   * @throws KernelBug ALREADY_MAPPED, with nothing changed, when anything is mapped there.
   */
  map(address: number, pfn: number, count: number, prot: number): boolean {
    checkInteger('pfn', pfn, 0, MAX_PAGES)
    checkInteger('count', count, 1, MAX_PAGES)
    return this.mapRange(address, pfn * PAGE_SIZE, count * PAGE_SIZE, prot, 12)
  }

  /** Maps frames in the order of a list, at least one; otherwise as {@link map}. */
  mapPages(address: number, pfns: ArrayLike<number>, prot: number): boolean {
    const count: number = Object(pfns).length
    checkInteger('pfns.length', count, 1, MAX_PAGES)
    this.checkRange(address, count * PAGE_SIZE)
    this.checkUnused(address, count * PAGE_SIZE)
    const bytes = count * PAGE_SIZE
    let code = MAP_NO_MEMORY
    try {
      code = this.tables.mapPages(address, pfns, 0, count, prot)
    } finally {
      if (code !== MAP_OK) this.takeBack(address, bytes)
    }
    return this.mapped(address, bytes, code)
  }

  /**
   * Maps `bytes` bytes from physical address `phys` on, memory or not, by leaves of up to 2^maxShift bytes
   * where the format has such and both addresses are multiples of their size; otherwise as {@link map}.
   * @param maxShift 12 for pages only; by default the largest.
   */
  mapRange(address: number, phys: number, bytes: number, prot: number, maxShift = 64): boolean {
    this.checkRange(address, bytes)
    this.checkUnused(address, bytes)
    let code = MAP_NO_MEMORY
    try {
      code = this.tables.mapRange(address, phys, bytes, prot, maxShift)
    } finally {
      if (code !== MAP_OK) this.takeBack(address, bytes)
    }
    return this.mapped(address, bytes, code)
  }

  /**
   * Unmaps a range, mapped or not. Large leaves that are partly in it are split, tables that become empty are
   * given back. The frames belong to the caller.
   * @returns false, with nothing changed, when there is no page for a table to split with.
   * @throws InvalidArgument for a range that is none.
   */
  unmap(address: number, bytes: number): boolean {
    this.checkRange(address, bytes)
    const { tables } = this
    const end = address + bytes
    if (tables.splitAt(address, bytes) !== MAP_OK) return false
    tables.flush.flushCacheUnmap(address, end)
    tables.unmapRange(address, bytes)
    tables.flush.flushTlb(address, end)
    tables.freeEmptyTables(address, end)
    return true
  }

  /**
   * Gives what is mapped in a range another protection; holes stay holes, and whether a page was used stays known.
   * Large leaves that are partly in it are split.
   * @returns false, with nothing changed, when there is no page for a table to split with.
   * @throws InvalidArgument for a range, or a protection that the format cannot say.
   */
  protect(address: number, bytes: number, prot: number): boolean {
    this.checkRange(address, bytes)
    return this.tables.protectRange(address, bytes, prot) === MAP_OK
  }

  /** Physical address behind an address, whoever may use it; null for none. */
  translate(address: number): PhysAddr | null {
    const physical = this.tables.translate(address)
    return physical < 0 ? null : (physical as PhysAddr)
  }

  /** How an address is translated, entry by entry. */
  walk(address: number): PageWalk {
    return this.tables.walk(address)
  }

  /** What is mapped, in ascending order, without a kernel's part. */
  mappings(): readonly SpaceMapping[] {
    this.checkAlive()
    return this.tables.mappings(0, this.end)
  }

  /** Whether the page of an address has been used since its mark was taken. */
  accessed(address: number): boolean {
    return (this.tables.walk(address).prot & PROT_ACCESSED) !== 0
  }

  /** Whether the page of an address has been written since its mark was taken. */
  dirty(address: number): boolean {
    return (this.tables.walk(address).prot & PROT_DIRTY) !== 0
  }

  /**
   * Takes marks from all leaves that a range touches: the next use sets them again. Flushes the TLB of each.
   * @param marks PROT_ACCESSED, PROT_DIRTY or both, the default.
   * @returns the leaves that had any of them, in ascending order; a large leaf as a whole.
   */
  harvest(
    address: number,
    bytes: number,
    marks = PROT_ACCESSED | PROT_DIRTY,
  ): readonly UsedPages[] {
    this.checkRange(address, bytes)
    checkMarks('marks', marks, 1)
    const used: UsedPages[] = []
    this.tables.forEachLeaf(address, address + bytes, (leaf, size, _pfn, prot) => {
      if ((prot & marks) !== 0) used.push({ address: leaf, bytes: size, marks: prot & marks })
    })
    for (const leaf of used) {
      this.tables.testAndClear(leaf.address, marks)
      this.tables.flush.flushTlb(leaf.address, leaf.address + leaf.bytes)
    }
    return used
  }

  /**
   * Takes over what has changed in the kernel's top table since. Changes below it are seen at once.
   * Does nothing without a kernel.
   */
  syncKernel(): void {
    this.checkAlive()
    this.kernelHalf?.sync()
  }

  /** Gives all tables back. What was mapped belongs to whoever mapped it. */
  destroy(): void {
    this.checkAlive()
    this.close()
    this.stopKernel()
    this.tables.destroy()
  }

  /** Leaves nothing of a mapping that failed; after an error too, which whoever gives pages may throw. */
  private takeBack(address: number, bytes: number): void {
    const { tables } = this
    const end = address + bytes
    tables.unmapRange(address, bytes)
    tables.flush.flushTlb(address, end)
    tables.freeEmptyTables(address, end)
  }

  /** What a mapping has come to. */
  private mapped(address: number, bytes: number, code: number): boolean {
    if (code === MAP_OK) {
      this.tables.flush.flushCacheMap(address, address + bytes)
      return true
    }
    if (code === MAP_NO_MEMORY) return false
    throw new KernelBug(
      'ALREADY_MAPPED',
      `something else was mapped from ${hex(address)} on meanwhile`,
    )
  }

  private checkUnused(address: number, bytes: number): void {
    const used = this.tables.firstUsed(address, bytes)
    if (used < 0) return
    throw new KernelBug('ALREADY_MAPPED', `address ${hex(used)} is mapped already`)
  }

  private checkAlive(): void {
    if (this.walker.closed) {
      throw new KernelBug('TABLES_DESTROYED', 'the address space was destroyed')
    }
  }

  private checkRange(address: number, bytes: number): void {
    this.checkAlive()
    const { end } = this
    checkInteger('address', address, 0, end - PAGE_SIZE)
    if (address % PAGE_SIZE !== 0) {
      throw new InvalidArgument('address', address, 'a multiple of 4096')
    }
    const gap = gapOf(this.format)
    const limit = address < gap ? Math.min(gap, end) : end
    checkInteger('bytes', bytes, PAGE_SIZE, limit - address)
    if (bytes % PAGE_SIZE !== 0) throw new InvalidArgument('bytes', bytes, 'a multiple of 4096')
  }
}

function hex(address: number): string {
  return `0x${address.toString(16)}`
}
