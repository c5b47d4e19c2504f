/**
 * The page allocator as its users see it: every argument is checked here, and only here.
 *
 * Source: spec/page-allocator.md §8.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGE_SIZE, type Pfn, type PhysAddr } from '../base/units'
import { __GFP_DMA, __GFP_HIGHMEM, __GFP_NOWARN, __GFP_ZERO } from '../page/gfp'
import { pageRecord } from '../page/memmap'
import { hashWords } from '../state/layout'
import {
  CPU_NODE,
  CPU_CONTEXT,
  HEADER_TOTAL_RAM,
  HEADER_WORDS_USED,
  NODE_ONLINE,
  NODE_WORDS,
  PAGE_REFS,
  PCP_WORDS,
  ZONE_MANAGED,
  ZONE_PRESENT,
} from '../state/schema'
import { noPageTrace, type PageTrace } from '../state/trace'
import { zoneOfPfn } from '../zone/zones'
import { allocPages } from './allocPages'
import { BuddyContext, CONTEXT_ATOMIC, CONTEXT_INTERRUPT, switchCpu } from './context'
import { allocContig, EINVAL, findContig } from './contig'
import { drainAll, drainLocal, foldCounters, refreshVmstat } from './drain'
import { allocBulk, allocExact, checkPages, splitBlock } from './exactPages'
import { checkBlock, freeChecked, freePageList, freePages, outsideMemory } from './free'
import { finishBoot } from './handover'
import { addMemory, adoptBlock } from './hotAdd'
import { dumpNode, type ZoneState } from './nodeState'
import {
  attachContext,
  type BuddyOptions,
  type CommonOptions,
  createContext,
  type LoadOptions,
  loadContext,
  type RamSource,
} from './options'
import { dropReference, takeReference } from './references'
import { reserveRange } from './reserve'
import { type FreeSummary, summarise } from './summary'
import { readSysctl, type SysctlName, writeSysctl } from './sysctlNames'
import { WARN_ORDER, warnOnce } from './warnings'
import type { Nodemask } from './zonelistWalk'

/** Any node: the current CPU's is preferred. */
export const NUMA_NO_NODE = -1

/** GFP masks are 32-bit words; both mobility bits together mean nothing. */
const MOBILITY_BITS = 0x18

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
   * Makes an allocator that continues from recorded zones, such as `nodeState` returns.
   * Frames that are on no list count as in use; {@link adopt} names such blocks.
   * @throws InvalidArgument for zones that contradict themselves.
   */
  static load(zones: readonly ZoneState[], options: LoadOptions = {}): BuddyAllocator {
    return new BuddyAllocator(loadContext(zones, options))
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
    const c = this.context
    if (!checkRequest(c, gfp, order)) return null
    const pfn = allocPages(c, gfp, order, c.words[c.cpuRecord + CPU_NODE]!, null)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  /**
   * Allocates like {@link allocPages}, near `node`, or only there with `__GFP_THISNODE`.
   * @param nodes the nodes that may serve the request; all when not given.
   */
  allocPagesNode(node: number, gfp: number, order = 0, nodes?: readonly number[]): Pfn | null {
    const c = this.context
    const near = this.checkNode(node)
    const mask = nodes === undefined ? null : this.nodemask(nodes)
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
    const near = this.checkNode(node)
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
    const near = this.checkNode(node)
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
    this.checkFrame(pfn)
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
    if (pfn >>> 0 !== pfn || pfn >= this.context.maxPfn) this.checkFrame(pfn)
    if (order >>> 0 !== order || order >= MAX_ORDER) checkOrder(order)
    freePages(this.context, pfn, order)
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
    checkInteger('bytes', bytes, 1, PAGE_SIZE << (MAX_ORDER - 1))
    this.freeContigRange(pfn, Math.ceil(bytes / PAGE_SIZE))
  }

  /**
   * Frees single pages as one list: their events and list order are those of a kernel that frees a
   * list of pages. All are freed or none.
   */
  freePagesList(pfns: readonly Pfn[]): void {
    for (const pfn of pfns) this.checkFrame(pfn)
    freePageList(this.context, pfns)
  }

  /** Takes another reference on a page: freeing it is a bug until {@link putPage} drops that. */
  getPage(pfn: Pfn): void {
    this.checkFrame(pfn)
    takeReference(this.context, pfn)
  }

  /** Drops a reference on a page, or on the compound page that it is part of; the last one frees it. */
  putPage(pfn: Pfn): void {
    this.checkFrame(pfn)
    dropReference(this.context, pfn)
  }

  /** References to a page; 0 for a free one and for tail pages. */
  pageCount(pfn: Pfn): number {
    this.checkFrame(pfn)
    return this.context.words[pageRecord(pfn) + PAGE_REFS]!
  }

  // ---- Ranges ----

  /**
   * Takes the frames `[start, end)` as single pages, when all of them are free.
   * @param migratetype MIGRATE_MOVABLE or MIGRATE_CMA: the type of the pageblocks around the range
   * afterwards, whether the call succeeds or not.
   * @returns 0, or -16 (EBUSY) when a page is in use, -22 (EINVAL) for a range outside one zone.
   */
  allocContigRange(start: Pfn, end: Pfn, migratetype = 1): number {
    checkInteger('start', start, 0, this.context.maxPfn)
    checkInteger('end', end, 0, this.context.maxPfn)
    if (migratetype !== 1 && migratetype !== 4) {
      throw new InvalidArgument('migratetype', migratetype, '1 (MOVABLE) or 4 (CMA)')
    }
    if (!inOneZone(this.context, start, end)) return EINVAL
    return allocContig(this.context, start, end, migratetype)
  }

  /**
   * Allocates `count` contiguous frames, anywhere, for lengths that are no block's.
   * @returns the first frame, or null.
   */
  allocContigPages(count: number, gfp: number, node = NUMA_NO_NODE): Pfn | null {
    const near = this.checkNode(node)
    checkInteger('count', count, 1, this.context.maxPfn)
    checkRequest(this.context, gfp, 0)
    const pfn = findContig(this.context, count, gfp, near)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  /** Frees `count` single pages from `pfn` on, all or none. */
  freeContigRange(pfn: Pfn, count: number): void {
    const c = this.context
    this.checkFrame(pfn)
    checkInteger('count', count, 1, c.maxPfn - pfn)
    checkPages(c, pfn, count)
    for (let page = pfn as number; page < pfn + count; page++) freeChecked(c, page, 0)
  }

  /**
   * Takes `count` named frames out of the free lists, as single pages.
   * @returns false, with nothing changed, when one of them is not free.
   */
  reservePages(pfn: Pfn, count = 1): boolean {
    this.checkFrame(pfn)
    checkInteger('count', count, 1, this.context.maxPfn - pfn)
    return reserveRange(this.context, pfn, pfn + count)
  }

  /**
   * Tells the allocator of a block in use that it does not know: after {@link load}, frames on no list
   * are such. From then on the block can be freed.
   * @throws KernelBug when one of the frames is free or known already.
   */
  adopt(pfn: Pfn, order = 0): void {
    this.checkFrame(pfn)
    checkOrder(order)
    adoptBlock(this.context, pfn, order)
  }

  /**
   * Adds memory at run time: whole frames, on the node and in the zone that follow from the address.
   * @throws InvalidArgument for memory that is there already or above the state's `maxAddress`.
   */
  addMemory(base: number, size: number, node = 0): void {
    this.checkNode(node)
    addMemory(this.context, base, size, node)
  }

  /**
   * Changes the managed pages of the zone that holds `pfn`, as for boot memory that is released or
   * ballooned away. Watermarks follow at the next recomputation, not now.
   */
  adjustManagedPageCount(pfn: Pfn, count: number): void {
    const c = this.context
    this.checkFrame(pfn)
    const zone = zoneOfPfn(c.words, pfn)
    if (zone < 0) throw outsideMemory(pfn)
    const managed = c.words[zone + ZONE_MANAGED]!
    checkInteger('count', count, -managed, c.words[zone + ZONE_PRESENT]! - managed)
    c.words[zone + ZONE_MANAGED] = managed + count
    c.words[HEADER_TOTAL_RAM]! += count
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
    const at = c.cpuRecord + CPU_CONTEXT
    const before = c.words[at]!
    c.words[at] = before | bits
    try {
      return body()
    } finally {
      c.words[at] = before
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
    const c = this.context
    const before = c.pcpLocked
    c.pcpLocked = true
    try {
      return body()
    } finally {
      c.pcpLocked = before
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

  // ---- Looking and tuning ----

  /** The populated zones of `node` as plain data: what decides the next answers. Cost: all lists. */
  nodeState(node = 0): ZoneState[] {
    checkInteger('node', node, 0, this.context.nrNodes - 1)
    return dumpNode(this.context, node)
  }

  /**
   * Free memory at a glance, over all zones or one node's: free pages, the largest free block, and the
   * fragmentation indices of an order. Cost: the number of orders and zones.
   */
  freeSummary(order = 0, node?: number): FreeSummary {
    checkOrder(order)
    if (node !== undefined) checkInteger('node', node, 0, this.context.nrNodes - 1)
    return summarise(this.context, order, node)
  }

  /** Reads or writes a tunable of `vm.`; a write recomputes what depends on it. */
  sysctl(name: SysctlName, value?: number | readonly number[]): number | readonly number[] {
    if (value !== undefined) writeSysctl(this.context, name, value)
    return readSysctl(this.context, name)
  }

  /** Listens to the page events; null stops that. One listener at a time. */
  setTrace(trace: PageTrace | null): void {
    this.context.trace = trace ?? noPageTrace
    this.context.tracing = trace !== null
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

  private checkFrame(pfn: number): void {
    if (!Number.isInteger(pfn) || pfn < 0 || pfn > Number.MAX_SAFE_INTEGER) {
      throw new InvalidArgument('pfn', pfn, 'a page frame number')
    }
    if (pfn >= this.context.maxPfn) throw outsideMemory(pfn)
  }

  private checkNode(node: number): number {
    const c = this.context
    if (node === NUMA_NO_NODE) return c.words[c.cpuRecord + CPU_NODE]!
    checkInteger('node', node, 0, c.nrNodes - 1)
    if (c.words[c.nodes + node * NODE_WORDS + NODE_ONLINE] === 0) {
      throw new InvalidArgument('node', node, 'a node that is online')
    }
    return node
  }

  private nodemask(nodes: readonly number[]): Nodemask {
    const mask = new Int32Array(this.context.nrNodes)
    for (const node of nodes) {
      checkInteger('node of the mask', node, 0, mask.length - 1)
      mask[node] = 1
    }
    return mask
  }
}

/** Checks a request; false for an order that no block has, after a warning. */
function checkRequest(c: BuddyContext, gfp: number, order: number): boolean {
  if (gfp >>> 0 !== gfp) throw new InvalidArgument('gfp', gfp, 'a GFP mask, 0 to 0xffffffff')
  if ((gfp & MOBILITY_BITS) === MOBILITY_BITS) {
    const both = 'without one of __GFP_MOVABLE and __GFP_RECLAIMABLE'
    throw new InvalidArgument('gfp', gfp, both)
  }
  if (order >>> 0 !== order) throw new InvalidArgument('order', order, 'an integer from 0 to 10')
  if (order < MAX_ORDER) return true
  if ((gfp & __GFP_NOWARN) === 0) warnOnce(c, WARN_ORDER)
  return false
}

function checkOrder(order: number): void {
  checkInteger('order', order, 0, MAX_ORDER - 1)
}

function inOneZone(c: BuddyContext, start: number, end: number): boolean {
  if (start >= end) return false
  const zone = zoneOfPfn(c.words, start)
  return zone >= 0 && zoneOfPfn(c.words, end - 1) === zone
}
