/**
 * kmap: addresses for high memory, which the direct map of i386 does not reach.
 *
 *     pkmap     slot    0       1       2            LAST_PKMAP - 1     kmap: shared by all, until kunmap
 *                    | page  | page  | page | ... | page |
 *     fixmap    slot   15      ...      1       0                       kmapLocal: a stack of each CPU
 *                    | page  |  ...  | page  | page  |
 *
 * Pages of the direct map have their address there, and nothing is done for them; on a 64-bit machine these
 * are all pages.
 *
 * Without a free slot there is no address, where a kernel would wait (DIFF-51).
 *
 * Source: spec/vmalloc.md §14.3, §14.4.
 */

import { checkInteger, KernelBug, OutOfMemory } from '../base/errors'
import type { Layout } from '../base/layout'
import { type I386Layout, isI386Layout } from '../base/layoutI386'
import { type Log, noLog } from '../base/log'
import { MAX_ORDER_PAGES, PAGE_SIZE, type Pfn, type VirtAddr } from '../base/units'
import { type Frames, frameSource } from '../buddy/frameSource'
import type { FrameSource } from '../page/frameSource'
import { PAGE_KERNEL } from '../paging/format'
import { MAP_OK, type PageTables } from '../paging/pageTables'
import type { ZoneProfile } from '../zone/spans'
import { formatAddress, pfnToVirt } from './addresses'
import { checkTables } from './checkTables'
import { fixToVirt } from './fixmap'
import {
  CPU_ATOMIC,
  CPU_DEPTH,
  CPU_PAGES,
  checkKmapState,
  cpuWord,
  KMAP_WARNED,
  newKmapState,
  STACK_SLOTS,
} from './kmapState'
import { mapWindow, Pkmap } from './pkmap'

/** Options of {@link Kmap}. */
export interface KmapOptions {
  /** The state of an earlier one, to go on from, over the same page tables. It is used, not copied. */
  readonly state?: Int32Array
  /** Receives the kernel's messages; nothing is logged without it. */
  readonly log?: Log
}

/**
 * The zones of a machine whose kernel has this layout: HighMem begins where the direct map ends, or up to
 * 4 MiB before, at a block of the largest order.
 */
export function highmemZones(layout: I386Layout): ZoneProfile {
  const low = Math.floor(layout.maxLowPfn / MAX_ORDER_PAGES) * MAX_ORDER_PAGES
  return { highmem: true, limits: [Math.min(4096, low), low, Infinity] }
}

/**
 * The mappings of high memory of one machine.
 *
 * ```ts
 * const layout = layoutI386({ memory: 2 * GiB })
 * const pages = new BuddyAllocator({ ram, zones: highmemZones(layout) })
 * const kmap = new Kmap(pages, new PageTables(frameSource(pages), I386), layout)
 * ```
 */
export class Kmap {
  /** Where addresses lie. */
  readonly layout: Layout
  /**
   * All that it knows, but for what is in the page tables: copy it to save it, together with memory and the
   * state of the page allocator. Written only by its own methods.
   */
  readonly state: Int32Array
  /** Receives the kernel's messages. */
  log: Log
  private readonly frames: FrameSource
  private readonly tables: PageTables
  /** The window of kmap; null without high memory. */
  private readonly pkmap: Pkmap | null
  private readonly slots: number
  /** Top of the fixmap, its first slot for stacks, and how many there are. */
  private readonly fixTop: number
  private readonly fixBegin: number
  private readonly fixSlots: number
  /** First frame of high memory, and one more than the highest frame that there can be. */
  private readonly highPfn: number
  private readonly endPfn: number

  /**
   * Makes it, with the page tables of its windows, so that no later call needs memory.
   * @param pages the machine's pages.
   * @param tables the kernel's page tables.
   * @throws InvalidArgument for page tables of another format, more CPUs than the layout has, and a state that
   * does not fit.
   * @throws OutOfMemory when there are no pages for the tables.
   */
  constructor(pages: Frames, tables: PageTables, layout: Layout, options: KmapOptions = {}) {
    const frames = frameSource(pages)
    checkTables(tables, layout)
    const high = isI386Layout(layout) && layout.highmem ? layout : null
    if (high !== null) checkInteger('CPUs of pages', frames.nrCpus, 1, high.nrCpus)
    this.frames = frames
    this.tables = tables
    this.layout = layout
    this.log = options.log ?? noLog
    this.slots = high?.lastPkmap ?? 0
    this.fixTop = layout.fixmap?.top ?? 0
    this.fixBegin = high?.fixKmapBegin ?? 0
    this.fixSlots = high === null ? 0 : STACK_SLOTS * frames.nrCpus
    this.highPfn = Math.floor((layout.directMapEnd - layout.directMap) / PAGE_SIZE)
    const reach = 2 ** (tables.format.physBits - 12)
    this.endPfn = Math.min(frames.maxPfn, high === null ? this.highPfn : reach)
    const { state } = options
    if (state !== undefined) {
      checkKmapState(state, this.slots, frames.nrCpus, (pfn) => this.isHighPfn(pfn))
    }
    this.state = state ?? newKmapState(this.slots, frames.nrCpus)
    this.pkmap = high === null ? null : new Pkmap(this.state, tables, high)
    if (high !== null) this.makeTables(high)
  }

  /**
   * Maps a page for all CPUs, once more if it is already.
   * @returns its address; null when every slot is in use, where a kernel would wait for a {@link kunmap}.
   * @throws InvalidArgument for a frame that there is not.
   */
  kmap(pfn: number): VirtAddr | null {
    const pkmap = this.pkmapFor(pfn)
    return pkmap === null ? pfnToVirt(this.layout, pfn) : pkmap.take(pfn)
  }

  /**
   * Undoes a {@link kmap}. The page keeps its address until the slot is needed.
   * @throws KernelBug for a page of high memory that has no user.
   */
  kunmap(pfn: number): void {
    this.pkmapFor(pfn)?.put(pfn)
  }

  /** Clears the slots of {@link kmap} that have no users, and flushes the TLB if there were any. */
  kmapFlushUnused(): void {
    this.pkmap?.flush()
  }

  /**
   * The address of a page: in the direct map, or where {@link kmap} has it, with users or without. Null for
   * a page of high memory that has none.
   * @throws InvalidArgument for a frame that there is not.
   */
  pageAddress(pfn: number): VirtAddr | null {
    const pkmap = this.pkmapFor(pfn)
    return pkmap === null ? pfnToVirt(this.layout, pfn) : pkmap.addressOf(pfn)
  }

  /** The page that an address belongs to, of the direct map or a mapping made here; null for any other. */
  kmapToPage(address: number): Pfn | null {
    const { layout } = this
    if (!Number.isInteger(address)) return null
    if (address >= layout.directMapStart && address < layout.directMapEnd) {
      return Math.floor((address - layout.directMap) / PAGE_SIZE) as Pfn
    }
    const index = this.localIndex(address)
    const page = index < 0 ? this.pkmap?.pageAt(address) : this.stackPage(index)
    return page === undefined || page < 0 ? null : (page as Pfn)
  }

  /**
   * Maps a page for the current CPU, on top of its stack.
   * @param prot a PROT_ mask; PAGE_KERNEL when not given. Pages of the direct map keep theirs.
   * @throws InvalidArgument for a frame that there is not, or a protection that the format cannot say.
   * @throws KernelBug when all 16 slots of the CPU are in use.
   */
  kmapLocal(pfn: number, prot: number = PAGE_KERNEL): VirtAddr {
    const { state, tables } = this
    if (this.pkmapFor(pfn) === null) return pfnToVirt(this.layout, pfn)
    tables.format.leafBits(prot, tables.format.levels.length - 1)
    const cpu = this.cpuWord()
    const depth = state[cpu + CPU_DEPTH]!
    if (depth >= STACK_SLOTS) {
      throw new KernelBug('KMAP_LOCAL_FULL', `all ${STACK_SLOTS} slots of kmapLocal are in use`)
    }
    const address = this.stackAddress(depth)
    mapWindow(tables, address, pfn, prot)
    state[cpu + CPU_PAGES + depth] = pfn
    state[cpu + CPU_DEPTH] = depth + 1
    return address
  }

  /**
   * Undoes the current CPU's last {@link kmapLocal}.
   * @param address what that returned, or an address in its page. Another one of the window is warned of
   * once, and the last mapping is undone all the same.
   * @throws KernelBug when the CPU has no mapping, and for an address that is no page's.
   */
  kunmapLocal(address: number): void {
    const { layout, state, tables } = this
    checkInteger('address', address, 0, 2 ** layout.vaBits - 1)
    if (address >= layout.directMapStart && address < layout.directMapEnd) return
    if (this.localIndex(address) < 0) {
      const text = formatAddress(layout, address)
      throw new KernelBug('KUNMAP_ADDRESS', `0x${text} is no address of kmapLocal`)
    }
    const cpu = this.cpuWord()
    const depth = state[cpu + CPU_DEPTH]! - 1
    if (depth < 0) throw new KernelBug('KUNMAP_EMPTY', 'the CPU has no mapping of kmapLocal')
    const last = this.stackAddress(depth)
    if (address - (address % PAGE_SIZE) !== last) this.warnOnce()
    tables.unmapRange(last, PAGE_SIZE)
    tables.flush.flushTlb(last, last + PAGE_SIZE)
    state[cpu + CPU_PAGES + depth] = -1
    state[cpu + CPU_DEPTH] = depth
  }

  /** {@link kmapLocal}, and until {@link kunmapAtomic} the CPU neither sleeps nor handles page faults. */
  kmapAtomic(pfn: number, prot: number = PAGE_KERNEL): VirtAddr {
    const address = this.kmapLocal(pfn, prot)
    this.state[this.cpuWord() + CPU_ATOMIC]! += 1
    return address
  }

  /**
   * Undoes the current CPU's last {@link kmapAtomic}. See {@link kunmapLocal}.
   * @throws KernelBug when there is none, too.
   */
  kunmapAtomic(address: number): void {
    const word = this.cpuWord() + CPU_ATOMIC
    if (this.state[word] === 0) {
      throw new KernelBug('KUNMAP_EMPTY', 'the CPU has no mapping of kmapAtomic')
    }
    this.kunmapLocal(address)
    this.state[word]! -= 1
  }

  /** Mappings of {@link kmapAtomic} that the current CPU has, those of the direct map too. */
  atomicDepth(): number {
    return this.state[this.cpuWord() + CPU_ATOMIC]!
  }

  /** The window for a frame of high memory; null for one of the direct map. */
  private pkmapFor(pfn: number): Pkmap | null {
    checkInteger('pfn', pfn, 0, this.endPfn - 1)
    return pfn >= this.highPfn ? this.pkmap : null
  }

  private isHighPfn(pfn: number): boolean {
    return pfn >= this.highPfn && pfn < this.endPfn
  }

  private cpuWord(): number {
    return cpuWord(this.slots, this.frames.running.cpu)
  }

  /** Address of a place of the current CPU's stack. */
  private stackAddress(depth: number): VirtAddr {
    return fixToVirt(this.layout, this.fixBegin + depth + STACK_SLOTS * this.frames.running.cpu)
  }

  /** Place among the stacks of all CPUs that an address lies in; -1 outside. */
  private localIndex(address: number): number {
    const fromTop = (this.fixTop - address) / PAGE_SIZE
    const index = Math.ceil(fromTop) - this.fixBegin
    return index >= 0 && index < this.fixSlots ? index : -1
  }

  private stackPage(index: number): number {
    const cpu = cpuWord(this.slots, Math.floor(index / STACK_SLOTS))
    return this.state[cpu + CPU_PAGES + (index % STACK_SLOTS)]!
  }

  private warnOnce(): void {
    if (this.state[KMAP_WARNED] !== 0) return
    this.state[KMAP_WARNED] = 1
    this.log('------------[ cut here ]------------')
    this.log(`WARNING: CPU: ${this.frames.running.cpu} PID: 0 at kunmap_local_indexed`)
    this.log('---[ end trace 0000000000000000 ]---')
  }

  /** Makes the tables of both windows, so that only leaves are written later. */
  private makeTables(high: I386Layout): void {
    const { tables, slots, fixBegin, fixSlots } = this
    const above = tables.format.levels.length - 2
    const lowest = fixToVirt(high, fixBegin + fixSlots - 1)
    const end = fixToVirt(high, fixBegin) + PAGE_SIZE
    const pkmapEnd = high.pkmapBase + slots * PAGE_SIZE
    const made =
      tables.populate(high.pkmapBase, pkmapEnd, above) === MAP_OK &&
      tables.populate(lowest, end, above) === MAP_OK
    if (!made) throw new OutOfMemory('no memory for the page tables of kmap')
  }
}
