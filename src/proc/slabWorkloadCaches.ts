/** Caches for a workload, with the slots of a traced kernel, and what a cache holds. */

import { __GFP_ZERO } from '../page/gfp'
import type { CacheState } from '../slab/cacheState'
import { SLAB_NOLEAKTRACE } from '../slab/flags'
import { KMALLOC_MAX_SIZE } from '../slab/kmallocClass'
import type { SlabAllocator } from '../slab/slabAllocator'
import { SlabCache, type SlabCacheOptions } from '../slab/slabCache'
import { cacheNode } from '../slab/slabs'
import {
  CACHE_MIN_OBJECTS,
  CACHE_MIN_ORDER,
  CACHE_OBJECTS,
  CACHE_ORDER,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NR_NODES,
} from '../state/slabSchema'
import { FTRACE_KMEM_CACHE_ALLOC, type SlabEvents } from './ftraceSlabEvents'
import type { TracedCache, TracedCaches } from './tracedCaches'

/** Bytes of a word, in front of and behind which nothing lies. */
const WORD = 8
/** Largest alignment that is tried. */
const MAX_ALIGN = 4096
/** Longest name that a cache can have here. */
const MAX_NAME = 63

/** Slabs of a cache on all nodes, and their pages. */
export function heldBy(cache: SlabCache): { slabs: number; pages: number } {
  const words = cache.slabs.words
  const record = cache.record
  let slabs = 0
  let objects = 0
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, record, id)
    slabs += words[node + SLAB_NODE_NR_SLABS]!
    objects += words[node + SLAB_NODE_TOTAL_OBJECTS]!
  }
  const pages = slabPages(slabs, objects, {
    order: words[record + CACHE_ORDER]!,
    objs: words[record + CACHE_OBJECTS]!,
    minorder: words[record + CACHE_MIN_ORDER]!,
    minobjs: words[record + CACHE_MIN_OBJECTS]!,
  })
  return { slabs, pages }
}

/** Pages of slabs with room for `objects`; where memory was short, some are of the smaller order. */
export function slabPages(
  slabs: number,
  objects: number,
  geometry: Pick<CacheState, 'order' | 'objs' | 'minorder' | 'minobjs'>,
): number {
  const { order, objs, minorder, minobjs } = geometry
  const small = objs === minobjs ? 0 : (slabs * objs - objects) / (objs - minobjs)
  return (slabs - small) * 2 ** order + small * 2 ** minorder
}

/** How a cache cuts its slabs; zeros without one. */
export function geometryOf(cache: SlabCache | null): {
  ownSlotSize: number
  order: number
  objectsPerSlab: number
} {
  if (cache === null) return { ownSlotSize: 0, order: 0, objectsPerSlab: 0 }
  const { words } = cache.slabs
  return {
    ownSlotSize: cache.size,
    order: words[cache.record + CACHE_ORDER]!,
    objectsPerSlab: words[cache.record + CACHE_OBJECTS]!,
  }
}

/** A cache with the slots of a traced one; null when there can be none. `zeroed`: objects are asked for zeroed. */
export function cacheFor(
  slabs: SlabAllocator,
  traced: TracedCache,
  zeroed: boolean,
): SlabCache | null {
  const { objectSize, slotSize } = traced
  if (slotSize > KMALLOC_MAX_SIZE || objectSize > slotSize) return null
  // The flag does nothing else here than keep caches apart.
  return new SlabCache(slabs, {
    name: traced.name.replace(/[^ -~]/g, '?').slice(0, MAX_NAME),
    flags: SLAB_NOLEAKTRACE,
    ...slotOptions(Math.max(objectSize, 1), slotSize, zeroed),
  })
}

/** Which traced caches are asked for zeroed objects. */
export function zeroedCaches(events: SlabEvents, traced: TracedCaches): boolean[] {
  const zeroed = traced.caches.map(() => false)
  for (let i = 0; i < events.count; i++) {
    const cache = traced.cacheOf[i]!
    if (events.kind[i] !== FTRACE_KMEM_CACHE_ALLOC || cache < 0) continue
    if ((events.gfp[i]! & __GFP_ZERO) !== 0) zeroed[cache] = true
  }
  return zeroed
}

/**
 * Options that make slots of `slotSize` bytes of objects of `objectSize`: an alignment that rounds one up to
 * the other. Failing that, the free pointer lies behind the object, as in caches with a constructor, which
 * may not be asked for zeroed objects. Failing that too, larger objects.
 */
export function slotOptions(
  objectSize: number,
  slotSize: number,
  zeroed: boolean,
): Pick<SlabCacheOptions, 'size' | 'align' | 'ctor'> {
  const padded = roundUp(objectSize, WORD)
  const align = alignBetween(padded, slotSize)
  if (align > 0) return { size: objectSize, align }
  const withPointer = alignBetween(padded + WORD, slotSize)
  if (withPointer > 0 && !zeroed) return { size: objectSize, align: withPointer, ctor: () => {} }
  return { size: slotSize }
}

/** The smallest alignment that rounds `size` up to `slotSize`; 0 for none. */
function alignBetween(size: number, slotSize: number): number {
  for (let align = WORD; align <= MAX_ALIGN; align *= 2) {
    if (roundUp(size, align) === slotSize) return align
  }
  return 0
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}
