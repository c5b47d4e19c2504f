/**
 * The page allocator as its users see it: every argument is checked here, and only here.
 *
 * Operations that few programs need are functions that take an allocator, in files of their own, so
 * that they are bundled only where they are used: `nodeState`, `loadZones`, `allocContigRange`,
 * `freeSummary`, `sysctl` and others.
 *
 * Source: spec/page-allocator.md §8.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGE_SIZE, type Pfn, type PhysAddr } from '../base/units'
import { __GFP_DMA, __GFP_HIGHMEM, __GFP_ZERO } from '../page/gfp'
import { pageRecord } from '../page/memmap'
import { hashWords } from '../state/layout'
import { CPU_NODE, HEADER_WORDS_USED, PAGE_REFS, PCP_WORDS } from '../state/schema'
import type { PageTrace } from '../state/trace'
import { allocPages } from './allocPages'
import { checkFrame, checkNode, checkOrder, checkRequest, NUMA_NO_NODE, nodemaskOf } from './checks'
import { BuddyContext, enterContext, holdPageLists, listen, switchCpu } from './context'
import { CONTEXT_ATOMIC, CONTEXT_INTERRUPT } from './contextBits'
import { drainAll, drainLocal, foldCounters, refreshVmstat } from './drain'
import { allocBulk, allocExact, freeEach, splitBlock } from './exactPages'
import { freeFast, makePlan, takeFast } from './fastPath'
import { checkBlock, freePageList, freePages } from './free'
import { finishBoot } from './handover'
import { addMemory } from './hotAdd'
import {
  attachContext,
  type BuddyOptions,
  type CommonOptions,
  createContext,
  type RamSource,
} from './options'
import { dropReference, takeReference } from './references'
import { reserveRange } from './reserve'

/**
 * A buddy page allocator with nodes, zones, migratetypes, watermarks and per-CPU page lists, that
 * answers each call as Linux 6.1 would.
 *
 * ```ts
 * const ram = new PhysicalMemory({ size: 64 * MiB })
 * const pages = new BuddyAllocator({ ram })
 * const pfn = pages.allocPages(GFP_KERNEL, 2)
 * if (pfn !== null) pages.freePages(pfn, 2)
 * ```
 *
 * Blocks belong to whoever allocated them until they are freed. A method that finds a wrong argument
 * throws `InvalidArgument`, one that finds a bug of its caller `KernelBug`; neither has changed
 * anything then. No memory is `null`.
 */
export class BuddyAllocator {
  /** The allocator's inside, for the library's own layers. @internal */
  readonly context: BuddyContext

  /**
   * Makes an allocator and hands it the free memory.
   * Cost: a few words for each 4 MiB of memory, and those of reserved frames.
   * @throws InvalidArgument for memory, nodes or CPUs that do not fit together.
   */
  constructor(options: BuddyOptions | BuddyContext) {
    if (options instanceof BuddyContext) {
      this.context = options
      return
    }
    const c = createContext(options)
    this.context = c
    if (options.stopAtHandover !== true) this.finishBoot(options.hugePages)
    options.ram?.onGrow((base, size) => this.addMemory(base, size))
  }

  /**
   * Works on the state buffer of another allocator, without a copy: after a copy back of a saved
   * state, or from another module. Hooks are given anew. One thread at a time may use a state.
   * @throws InvalidArgument for anything but a state buffer of this version.
   */
  static attach(
    state: ArrayBuffer | SharedArrayBuffer,
    options: CommonOptions & { readonly ram?: RamSource } = {},
  ): BuddyAllocator {
    return new BuddyAllocator(attachContext(state, options))
  }

  /**
   * Ends a boot that stopped at the hand-over: page lists get their sizes, watermarks are set, all GFP
   * flags are allowed.
   * @param hugePages raise min_free_kbytes for huge pages on machines of 512 MiB and more.
   */
  finishBoot(hugePages = true): void {
    finishBoot(this.context, hugePages)
  }

  // ---- Allocating ----

  /**
   * Allocates a block of 2^order pages, near the current CPU.
   * @param gfp what the caller needs and may do, such as `GFP_KERNEL`.
   * @param order 0 to 10. A larger one is warned of once, and gives null.
   * @returns the block's first frame, or null when there is none.
   * @throws InvalidArgument for a mask or an order that is not an unsigned integer, or with both
   * mobility bits.
   */
  allocPages(gfp: number, order = 0): Pfn | null {
    if (order === 0) {
      const fast = takeFast(this.context, gfp)
      if (fast >= 0) return fast as Pfn
    }
    return this.allocLong(gfp, order)
  }

  /**
   * Allocates like {@link allocPages}, near `node`, or only there with `__GFP_THISNODE`.
   * @param nodes the nodes that may serve the request; all when not given.
   */
  allocPagesNode(node: number, gfp: number, order = 0, nodes?: readonly number[]): Pfn | null {
    const c = this.context
    const near = checkNode(this.context, node)
    const mask = nodes === undefined ? null : nodemaskOf(this.context, nodes)
    if (!checkRequest(c, gfp, order)) return null
    const pfn = allocPages(c, gfp, order, near, mask)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  /**
   * Allocates up to `count` single pages at once, all from one zone, as far as that stays above its
   * low watermark; one page in the ordinary way when that gives none.
   * @param count 1 to 2^20.
   * @returns the frames, in order; possibly fewer than asked for.
   */
  allocPagesBulk(gfp: number, count: number, node = NUMA_NO_NODE): Pfn[] {
    const c = this.context
    const near = checkNode(this.context, node)
    checkInteger('count', count, 0, 1 << 20)
    checkRequest(c, gfp, 0)
    const pages: number[] = []
    allocBulk(c, gfp, count, near, null, pages)
    return pages as Pfn[]
  }

  /**
   * Allocates a block and returns the address of its first byte in the direct map, or null.
   * `__GFP_HIGHMEM` is ignored: such memory has no address there.
   */
  getFreePages(gfp: number, order = 0): PhysAddr | null {
    checkRequest(this.context, gfp, 0)
    const pfn = this.allocPages(gfp & ~__GFP_HIGHMEM, order)
    return pfn === null ? null : ((pfn * PAGE_SIZE) as PhysAddr)
  }

  /** Allocates one page filled with zero and returns its address, or null. */
  getZeroedPage(gfp: number): PhysAddr | null {
    checkRequest(this.context, gfp, 0)
    return this.getFreePages(gfp | __GFP_ZERO, 0)
  }

  /** Allocates a block of the DMA zone and returns its address, or null. */
  getDmaPages(gfp: number, order = 0): PhysAddr | null {
    checkRequest(this.context, gfp, 0)
    return this.getFreePages(gfp | __GFP_DMA, order)
  }

  /**
   * Allocates just the pages that hold `bytes` bytes; the rest of the block is given back. Each page
   * is then a page of its own.
   * @param bytes 1 to 4 MiB; more is warned of once, and gives null.
   * @returns the first frame, or null.
   */
  allocPagesExact(bytes: number, gfp: number, node = NUMA_NO_NODE): Pfn | null {
    const c = this.context
    const near = checkNode(this.context, node)
    checkInteger('bytes', bytes, 1, Number.MAX_SAFE_INTEGER)
    if (bytes > PAGE_SIZE << (MAX_ORDER - 1)) {
      checkRequest(c, gfp, MAX_ORDER)
      return null
    }
    checkRequest(c, gfp, 0)
    const pfn = allocExact(c, gfp, bytes, near, null)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  /**
   * Makes each page of a block a page of its own, to be freed alone.
   * @throws KernelBug unless a block of that order in use starts at `pfn`.
   */
  splitPage(pfn: Pfn, order: number): void {
    checkFrame(this.context, pfn)
    checkOrder(order)
    checkBlock(this.context, pfn, order)
    splitBlock(this.context, pfn, order)
  }

  // ---- Freeing ----

  /**
   * Frees the block of 2^order pages at `pfn`.
   * @throws KernelBug, with the kernel's report, for a block that is not in use, has another order, is
   * a tail page, reserved, still referenced or outside memory.
   */
  freePages(pfn: Pfn, order = 0): void {
    if (order === 0 && freeFast(this.context, pfn)) return
    this.freeLong(pfn, order)
  }

  /** Frees the block of 2^order pages at `address`; 0 is nothing, as for the kernel. */
  freePagesAt(address: number, order = 0): void {
    if (address === 0) return
    checkInteger('address', address, 0, this.context.maxPfn * PAGE_SIZE - 1)
    if (address % PAGE_SIZE !== 0) {
      throw new InvalidArgument('address', address, `a multiple of ${PAGE_SIZE}`)
    }
    this.freePages((address / PAGE_SIZE) as Pfn, order)
  }

  /** Frees the pages of an {@link allocPagesExact} of `bytes` bytes, all or none. */
  freePagesExact(pfn: Pfn, bytes: number): void {
    checkFrame(this.context, pfn)
    checkInteger('bytes', bytes, 1, PAGE_SIZE << (MAX_ORDER - 1))
    freeEach(this.context, pfn, Math.ceil(bytes / PAGE_SIZE))
  }

  /**
   * Frees single pages as one list: their events and list order are those of a kernel that frees a
   * list of pages. All are freed or none.
   */
  freePagesList(pfns: readonly Pfn[]): void {
    for (const pfn of pfns) checkFrame(this.context, pfn)
    freePageList(this.context, pfns)
  }

  /** Takes another reference on a page: freeing it is a bug until {@link putPage} drops that. */
  getPage(pfn: Pfn): void {
    checkFrame(this.context, pfn)
    takeReference(this.context, pfn)
  }

  /** Drops a reference on a page, or on the compound page that it is part of; the last one frees it. */
  putPage(pfn: Pfn): void {
    checkFrame(this.context, pfn)
    dropReference(this.context, pfn)
  }

  /** References to a page; 0 for a free one and for tail pages. */
  pageCount(pfn: Pfn): number {
    checkFrame(this.context, pfn)
    return this.context.words[pageRecord(pfn) + PAGE_REFS]!
  }

  /**
   * Takes `count` named frames out of the free lists, as single pages.
   * @returns false, with nothing changed, when one of them is not free.
   */
  reservePages(pfn: Pfn, count = 1): boolean {
    checkFrame(this.context, pfn)
    checkInteger('count', count, 1, this.context.maxPfn - pfn)
    return reserveRange(this.context, pfn, pfn + count)
  }

  /**
   * Adds memory at run time: whole frames, on the node and in the zone that follow from the address.
   * @throws InvalidArgument for memory that is there already or above the state's `maxAddress`.
   */
  addMemory(base: number, size: number, node = 0): void {
    checkNode(this.context, node)
    addMemory(this.context, base, size, node)
  }

  // ---- CPUs and context ----

  /** Runs `body` on a CPU: its page lists are used. */
  onCpu<T>(cpu: number, body: () => T): T {
    const c = this.context
    checkInteger('cpu', cpu, 0, c.nrCpus - 1)
    const before = c.pcpShift / PCP_WORDS
    switchCpu(c, cpu)
    try {
      return body()
    } finally {
      switchCpu(c, before)
    }
  }

  /** Runs `body` with CONTEXT_ bits set besides those of now: what the running code is and may do. */
  inContext<T>(bits: number, body: () => T): T {
    const c = this.context
    checkInteger('context bits', bits, 0, 255)
    const before = c.contextBits
    enterContext(c, before | bits)
    try {
      return body()
    } finally {
      enterContext(c, before)
    }
  }

  /** Runs `body` as an interrupt does: sleeping is a bug there. */
  inInterrupt<T>(body: () => T): T {
    return this.inContext(CONTEXT_INTERRUPT | CONTEXT_ATOMIC, body)
  }

  /**
   * Runs `body` as an interrupt that hit the CPU while it held its page lists: they cannot be used, so
   * single pages come from the free areas and go there.
   */
  withPageListsHeld<T>(body: () => T): T {
    const before = this.context.pcpLocked
    holdPageLists(this.context, true)
    try {
      return body()
    } finally {
      holdPageLists(this.context, before)
    }
  }

  /** Empties the current CPU's page lists into the free areas. */
  drainLocalPages(): void {
    drainLocal(this.context, 0)
  }

  /** Empties every CPU's page lists into the free areas. */
  drainAllPages(): void {
    drainAll(this.context)
  }

  /** Folds what the CPUs have counted into the zones, as an idle CPU does. */
  foldCounters(): void {
    foldCounters(this.context)
  }

  /** Does what a kernel does once a second: folds counters, drains remote page lists out of use. */
  refreshVmstat(): void {
    refreshVmstat(this.context)
  }

  // ---- Looking ----

  /** Listens to the page events; null stops that. One listener at a time. */
  setTrace(trace: PageTrace | null): void {
    listen(this.context, trace)
  }

  /** The state, a word for each column of the schema: for the `/proc` texts and for saving. */
  get words(): Int32Array {
    return this.context.words
  }

  /** The buffer behind {@link words}. A copy of it is a snapshot; copying it back restores. */
  get state(): ArrayBuffer | SharedArrayBuffer {
    return this.context.words.buffer as ArrayBuffer | SharedArrayBuffer
  }

  /** A hash of the whole state: equal states hash equal. Cost: every word. */
  stateHash(): number {
    return hashWords(this.context.words, this.context.words[HEADER_WORDS_USED]!)
  }

  // The two long ways are methods of their own: the fast ways above are inlined into their callers only
  // while they are small (measured: 20 to 15 ns a pair).

  private allocLong(gfp: number, order: number): Pfn | null {
    const c = this.context
    if (!checkRequest(c, gfp, order)) return null
    const pfn = allocPages(c, gfp, order, c.words[c.cpuRecord + CPU_NODE]!, null)
    if (order === 0) makePlan(c, gfp)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  private freeLong(pfn: number, order: number): void {
    if (pfn >>> 0 !== pfn || pfn >= this.context.maxPfn) checkFrame(this.context, pfn)
    if (order >>> 0 !== order || order >= MAX_ORDER) checkOrder(order)
    freePages(this.context, pfn, order)
  }
}
