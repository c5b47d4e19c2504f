/** How a virtual mapper is made. Source: spec/vmalloc.md §2.4, §8.4, §13.7. */

import { checkInteger, InvalidArgument, OutOfMemory } from '../base/errors'
import { given } from '../base/given'
import type { Layout } from '../base/layout'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import type { Frames } from '../buddy/frameSource'
import type { Pages } from '../buddy/pageSource'
import type { FrameSource } from '../page/frameSource'
import { type FlushOps, noFlush } from '../paging/flushOps'
import type { PageTableFormat } from '../paging/format'
import { MAP_OK, PageTables } from '../paging/pageTables'
import { X86_64 } from '../paging/x86Format'
import { SLAB_PANIC } from '../slab/flags'
import { cachesOf } from '../slab/hotplug'
import { Kmalloc } from '../slab/kmalloc'
import { SlabAllocator, slabAllocator } from '../slab/slabAllocator'
import { CacheRecord, SlabCache } from '../slab/slabCache'
import { VMAP_AREA_CACHE, VMAP_BLOCK_SHIFT, VMAP_NR_CPUS, VMAP_ROOT_PFN } from '../state/vmapSchema'
import { VmallocContext, warnVmalloc } from './vmallocContext'
import { silentVmallocLog, type VmallocLogOps, WARN_NO_SPLIT } from './vmallocLogOps'
import { retireBlocks } from './vmapBlock'
import {
  attachVmap,
  createVmap,
  noVmapOps,
  type VmapContext,
  type VmapOps,
  type VmapOptions,
} from './vmapContext'

/** Name of the cache of `struct vmap_area`. */
const AREA_CACHE = 'vmap_area'
/** Pages of a nominal vmalloc space, 128 GiB or 128 MiB. */
const NOMINAL_PAGES_64 = 33554432
const NOMINAL_PAGES_32 = 32768

/** Options of a virtual mapper. */
export interface VmallocOptions {
  /** Where its descriptors come from: the machine's `SlabAllocator` or `Kmalloc`; the usual one when not given. */
  readonly heap?: Kmalloc | SlabAllocator
  /** Format of the page tables; `X86_64` when not given. It must fit the layout of the slab allocator. */
  readonly format?: PageTableFormat
  /** Receives the kernel's messages, such as `vmallocLog(console.log)`; nothing is logged without it. */
  readonly log?: VmallocLogOps
  /** Told which translations and cached data to forget. */
  readonly flush?: FlushOps
  /** Whether huge pages may be used by `vmallocHuge` and kvmalloc; true when not given (`nohugevmalloc`). */
  readonly hugeVmalloc?: boolean
  /** Whether `ioremap` may use huge leaves; true when not given (`nohugeiomap`). */
  readonly hugeIomap?: boolean
  /**
   * Whether the tables below the top one are made in advance for the whole vmalloc window; true when not given
   * for `LAYOUT_X86_64`, as such a kernel does: 64 pages.
   */
  readonly populate?: boolean
  /** CPUs that the kernel was built for: they decide the size of vmap blocks. 8 when not given (`NR_CPUS`). */
  readonly maxCpus?: number
  /** Areas, callers and blocks that there can be at a time; 1,048,576 when not given. */
  readonly maxRecords?: number
  /** Keep the state in a SharedArrayBuffer. */
  readonly shared?: boolean
  /** The state of a mapper that exists, to be worked on without a copy: all else must be of the same moment. */
  readonly state?: ArrayBuffer | SharedArrayBuffer
}

/** Makes the context of a mapper, or one over the state of a mapper that exists. */
export function createVmalloc(
  frames: FrameSource,
  pages: Frames,
  options: VmallocOptions,
): VmallocContext {
  const { format = X86_64, maxCpus = 8, state } = options
  const heap = heapOf(pages, options.heap)
  const { layout } = heap.slabs.context
  if (layout.vaBits !== format.vaBits) {
    throw new InvalidArgument('format', format.name, `one for addresses of ${layout.name}`)
  }
  checkInteger('maxCpus', maxCpus, 1, 8192)
  const { running } = frames
  const space =
    state === undefined
      ? createVmap(spaceOptions(frames, layout, options), noVmapOps, running)
      : attached(state, frames, layout)
  const cache = state === undefined ? newAreaCache(heap.slabs) : knownAreaCache(heap.slabs, space)
  try {
    const c = new VmallocContext({
      space,
      frames,
      heap,
      layout,
      tables: makeTables(space, frames, format, options),
      log: options.log ?? silentVmallocLog,
      hugeVmalloc: options.hugeVmalloc !== false,
      hugeIomap: options.hugeIomap !== false,
    })
    space.ops = areaOps(c, cache)
    c.areaCache = cache
    if (state === undefined) setUp(c, cache, maxCpus, options.populate ?? layout.name === 'x86_64')
    return c
  } catch (error) {
    if (state === undefined) cache.destroy()
    throw error
  }
}

/** The address space of a mapper that exists. */
function attached(
  state: ArrayBuffer | SharedArrayBuffer,
  frames: FrameSource,
  layout: Layout,
): VmapContext {
  const space = attachVmap(state, noVmapOps, frames.running)
  const { words } = space
  const limit = 2 ** layout.vaBits
  checkInteger('limit of the state', space.limit, limit, limit)
  checkInteger('granule of the state', space.granule, PAGE_SIZE, PAGE_SIZE)
  checkInteger('CPUs of the state', words[VMAP_NR_CPUS]!, frames.nrCpus, frames.nrCpus)
  checkInteger('block shift of the state', words[VMAP_BLOCK_SHIFT]!, 6, 10)
  for (const root of [words[VMAP_ROOT_PFN]!, words[VMAP_ROOT_PFN + 1]!]) {
    if (!frames.isBlock(root, 0)) {
      throw new InvalidArgument('page table of the state', root, 'a page that is in use')
    }
  }
  return space
}

function heapOf(pages: Frames, heap: VmallocOptions['heap']): Kmalloc {
  if (heap instanceof Kmalloc) return heap
  if (heap !== undefined && !(heap instanceof SlabAllocator)) {
    throw new InvalidArgument('heap', heap, 'a Kmalloc or a SlabAllocator')
  }
  return new Kmalloc(heap ?? slabAllocator(pages as Pages))
}

/** The whole address space, but for its first and its last byte. */
function spaceOptions(frames: FrameSource, layout: Layout, options: VmallocOptions): VmapOptions {
  const { maxRecords, shared = false } = options
  const limit = 2 ** layout.vaBits
  return {
    start: 1,
    end: limit - 1,
    limit,
    nrCpus: frames.nrCpus,
    shared,
    ...given({ maxRecords }),
  }
}

function newAreaCache(slabs: SlabAllocator): SlabCache {
  return new SlabCache(slabs, { name: AREA_CACHE, size: 64, align: 8, flags: SLAB_PANIC })
}

function knownAreaCache(slabs: SlabAllocator, space: VmapContext): SlabCache {
  const record = space.words[VMAP_AREA_CACHE]!
  for (const cache of cachesOf(slabs.words)) {
    if (cache === record) return new SlabCache(slabs, new CacheRecord(record))
  }
  throw new InvalidArgument('cache of the state', record, 'the record of a cache of these slabs')
}

function makeTables(
  space: VmapContext,
  frames: FrameSource,
  format: PageTableFormat,
  options: VmallocOptions,
): PageTables {
  const { flush = noFlush, state } = options
  if (state === undefined) return new PageTables(frames, format, { flush })
  const { words } = space
  return new PageTables(frames, format, {
    flush,
    root: words[VMAP_ROOT_PFN]!,
    highRoot: words[VMAP_ROOT_PFN + 1]!,
    adopt: true,
  })
}

/** Notes what a state has to know of its tables, and makes those that a kernel has from the start. */
function setUp(c: VmallocContext, cache: SlabCache, maxCpus: number, populate: boolean): void {
  const { tables, layout } = c
  const { words } = c.space
  words[VMAP_ROOT_PFN] = tables.root
  words[VMAP_ROOT_PFN + 1] = tables.highRoot
  words[VMAP_AREA_CACHE] = cache.record
  words[VMAP_BLOCK_SHIFT] = blockShift(layout.pointerBytes, maxCpus)
  let made = !populate
  try {
    if (populate) made = tables.populate(layout.vmallocStart, layout.vmallocEnd, 0) === MAP_OK
  } finally {
    // After an error too, which a hook may throw.
    if (!made) tables.destroy()
  }
  if (!made) throw new OutOfMemory('no pages for the tables of the vmalloc window')
}

/** log2 of the pages of a vmap block: VMAP_BBMAP_BITS. */
function blockShift(pointerBytes: number, maxCpus: number): number {
  const bits = pointerBytes * 8
  const pages = pointerBytes === 8 ? NOMINAL_PAGES_64 : NOMINAL_PAGES_32
  const cpus = 2 ** Math.ceil(Math.log2(maxCpus))
  const share = Math.floor(Math.floor(pages / cpus) / 16)
  return Math.floor(Math.log2(Math.min(1024, Math.max(2 * bits, share))))
}

/** What the address space asks of the machine. */
function areaOps(c: VmallocContext, cache: SlabCache): VmapOps {
  return {
    takeObject: (gfp, node) => cache.allocNode(gfp, node) ?? 0,
    giveObject: (address) => cache.free(address as VirtAddr),
    retireBlocks: () => retireBlocks(c),
    flush: (start, end) => c.tables.flush.flushTlb(start, end),
    notify: () => c.notifiers.reduce((sum, notifier) => sum + notifier(), 0),
    failed: (size, gfp) => c.log.noSpace(size, gfp),
    overlap: (start, end, oldStart, oldEnd) => c.log.overlap(start, end, oldStart, oldEnd),
    noSplit: () => warnVmalloc(c, WARN_NO_SPLIT),
  }
}
