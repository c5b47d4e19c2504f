/**
 * Replays the slab calls of a trace as a workload: the same calls for the same sizes in the same order, on
 * caches of our own with the traced kernel's slots.
 *
 * What cannot be known: the objects that the traced kernel's caches held before the trace, and calls
 * without events. So frees of objects that no event allocated are only counted, and caches start empty,
 * unless the heap was brought into the recorded state before (`loadCache`).
 */

import { NUMA_NO_NODE, PAGE_SIZE, type VirtAddr } from '../base/units'
import { __GFP_BITS_MASK, __GFP_NOFAIL } from '../page/gfp'
import { type Kmalloc, ZERO_SIZE_PTR } from '../slab/kmalloc'
import { kmallocCacheOf } from '../slab/kmallocCaches'
import { KMALLOC_MAX_CACHE_SIZE } from '../slab/kmallocClass'
import type { SlabCache } from '../slab/slabCache'
import type { SlabEvents } from './ftraceSlabEvents'
import { cacheFor, geometryOf, heldBy, zeroedCaches } from './slabWorkloadCaches'
import {
  addCount,
  type Counts,
  noCounts,
  type SlabWorkload,
  type SlabWorkloadCache,
} from './slabWorkloadResult'
import { isAllocation, type TracedCache, type TracedCaches, tracedCaches } from './tracedCaches'

/** How to replay slab events. */
export interface SlabWorkloadOptions {
  /**
   * Called now and then with the events done and the events there are. At the last call both are equal,
   * and what the workload left is still allocated.
   */
  readonly onProgress?: (done: number, total: number) => void
}

/** Events between two calls of `onProgress`. */
const PROGRESS_EVENTS = 8192

/**
 * Makes the calls of the events in order: kmalloc events on `heap`, others on caches made for the purpose,
 * one for each name and size, with the slots of the traced kernel and merged with no other. At the end,
 * what is still allocated is freed and these caches are destroyed, so that nothing is left but empty slabs
 * that the kmalloc caches keep.
 *
 * Requests carry their GFP mask, without `__GFP_NOFAIL`, and their node where `heap` has it.
 * Cost: that of the calls.
 * @throws OutOfMemory when there is no memory for a cache itself; nothing is left of it either.
 */
export function replaySlabEvents(
  events: SlabEvents,
  heap: Kmalloc,
  options: SlabWorkloadOptions = {},
): SlabWorkload {
  const player = new SlabPlayer(events, heap)
  try {
    player.makeCaches()
    for (let i = 0; i < events.count; i++) {
      if (i % PROGRESS_EVENTS === 0) options.onProgress?.(i, events.count)
      player.step(i)
    }
    options.onProgress?.(events.count, events.count)
    return player.result()
  } finally {
    player.cleanUp()
  }
}

/** A cache of the trace with ours. */
interface Row extends Counts {
  readonly traced: TracedCache
  /** Ours; null for large blocks, for sizes that no cache can have, and without allocations. */
  cache: SlabCache | null
}

class SlabPlayer {
  private readonly events: SlabEvents
  private readonly heap: Kmalloc
  private readonly traced: TracedCaches
  private readonly rows: readonly Row[]
  private readonly total: Counts
  /** The object that each allocation was given; 0 when it is freed or was none. */
  private readonly objects: Float64Array
  private nullFrees = 0
  private failedInTrace = 0
  private impliedFrees = 0

  constructor(events: SlabEvents, heap: Kmalloc) {
    this.events = events
    this.heap = heap
    this.traced = tracedCaches(events)
    this.rows = this.traced.caches.map((traced) => ({ traced, cache: null, ...noCounts() }))
    this.total = noCounts()
    this.objects = new Float64Array(events.count)
  }

  /** Makes the caches that allocations need, and notes what they hold. */
  makeCaches(): void {
    const { events, heap, traced } = this
    const zeroed = zeroedCaches(events, traced)
    for (let i = 0; i < events.count; i++) {
      const index = traced.cacheOf[i]!
      const row = this.rows[index]
      if (row === undefined || row.cache !== null || !isAllocation(events.kind[i]!)) continue
      if (row.traced.slotSize === 0) continue
      row.cache = row.traced.kmalloc
        ? kmallocCacheOf(heap, row.traced.slotSize, events.gfp[i]! >>> 0)
        : cacheFor(heap.slabs, row.traced, zeroed[index] === true)
      if (row.cache === null) continue
      const { slabs, pages } = heldBy(row.cache)
      this.count(row, 'slabsBefore', slabs)
      this.count(row, 'slabs', slabs)
      this.count(row, 'pagesBefore', pages)
      this.count(row, 'pages', pages)
    }
  }

  /** Makes the call of one event. */
  step(i: number): void {
    const { events, traced } = this
    const allocation = isAllocation(events.kind[i]!)
    const ended = traced.endOf[i]!
    if (ended >= 0) {
      if (allocation) this.impliedFrees += 1
      this.free(ended)
    }
    const row = this.rows[traced.cacheOf[i]!]
    if (allocation) {
      if (row === undefined) this.failedInTrace += 1
      else this.allocate(i, row)
    } else if (ended < 0) {
      if (events.ptr[i]! <= ZERO_SIZE_PTR) this.nullFrees += 1
      else this.count(row, 'unknownFrees', 1)
    }
  }

  private allocate(i: number, row: Row): void {
    const { events, heap } = this
    const gfp = (events.gfp[i]! & __GFP_BITS_MASK & ~__GFP_NOFAIL) >>> 0
    const { cache } = row
    const { source } = heap.slabs.context
    const hint = events.node[i]!
    const near = hint >= 0 && hint < source.nrNodes && source.isOnline(hint)
    const node = near ? hint : NUMA_NO_NODE
    let object: VirtAddr | null = null
    if (row.traced.kmalloc) object = heap.kmalloc(events.bytesReq[i]!, gfp, node)
    else if (cache !== null) object = cache.allocNode(gfp, node)
    if (object === null) {
      this.count(row, 'failed', 1)
      return
    }
    this.objects[i] = object
    this.count(row, 'allocs', 1)
    this.count(row, 'sameAddress', object === events.ptr[i] ? 1 : 0)
    this.count(row, 'live', 1)
    if (cache === null) this.count(row, 'pages', largePages(heap, object))
    else this.takeStock(row, cache)
  }

  /** Frees the object of allocation `i`. */
  private free(i: number): void {
    const object = this.objects[i]! as VirtAddr
    const row = this.rows[this.traced.cacheOf[i]!]
    if (object === 0 || row === undefined) return
    this.objects[i] = 0
    const { cache } = row
    if (cache === null) this.count(row, 'pages', -largePages(this.heap, object))
    if (row.traced.kmalloc) this.heap.kfree(object)
    else cache?.free(object)
    this.count(row, 'frees', 1)
    this.count(row, 'live', -1)
    if (cache !== null) this.takeStock(row, cache)
  }

  /** Notes what a cache holds after a call. */
  private takeStock(row: Row, cache: SlabCache): void {
    const { slabs, pages } = heldBy(cache)
    const change = slabs - row.slabs
    this.count(row, change < 0 ? 'slabsReturned' : 'slabsMade', Math.abs(change))
    this.count(row, 'slabs', change)
    this.count(row, 'pages', pages - row.pages)
  }

  private count(row: Row | undefined, what: keyof Counts, step: number): void {
    addCount(this.total, what, step)
    if (row !== undefined) addCount(row, what, step)
  }

  /** The counts as they are. */
  result(): SlabWorkload {
    const { nullFrees, failedInTrace, impliedFrees } = this
    return {
      events: this.events.count,
      caches: this.rows.map(rowResult),
      total: { ...this.total },
      nullFrees,
      failedInTrace,
      impliedFrees,
    }
  }

  /** Frees what is left and ends the caches. */
  cleanUp(): void {
    for (let i = 0; i < this.events.count; i++) this.free(i)
    for (const row of this.rows) if (!row.traced.kmalloc) row.cache?.destroy()
  }
}

/** Pages of a large block; 0 for an object of a cache, as kernels with other caches make of the same request. */
function largePages(heap: Kmalloc, object: VirtAddr): number {
  const bytes = heap.ksize(object)
  return bytes > KMALLOC_MAX_CACHE_SIZE ? bytes / PAGE_SIZE : 0
}

function rowResult(row: Row): SlabWorkloadCache {
  const { traced, cache, ...counts } = row
  const { name, objectSize, slotSize } = traced
  return { name, objectSize, slotSize, ...geometryOf(cache), ...counts }
}
