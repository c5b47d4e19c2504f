/**
 * Where things lie in a slot of a slab.
 *
 *     | left red zone | object          | red zone | free pointer | tracks | size | padding |
 *     0               ^                 object_size                                    size
 *                     the address that users get; offsets count from here
 *
 * All but the object is there for some flags only. Without them the free pointer lies inside the object,
 * in its middle, and the slot is the object rounded up.
 *
 * Source: spec/slab.md §4.2, §4.5, §4.6.
 */

import { getOrder, MAX_ORDER, PAGE_SIZE } from '../base/units'
import { __GFP_COMP, __GFP_DMA, __GFP_DMA32, __GFP_RECLAIMABLE } from '../page/gfp'
import {
  __OBJECT_POISON,
  SLAB_CACHE_DMA,
  SLAB_CACHE_DMA32,
  SLAB_DEBUG_METADATA,
  SLAB_HWCACHE_ALIGN,
  SLAB_KMALLOC,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
} from './flags'

/** Bytes of a word of the kernel: no object is aligned to less. */
const WORD = 8
/** Bytes of a cache line. */
const CACHE_LINE = 64
/** Bytes of a track: who allocated or freed an object, and when. */
export const TRACK_BYTES = 32
/** Objects that a slab can count. */
const MAX_OBJECTS = 32767

/** What decides orders of slabs. */
export interface OrderPolicy {
  /** Smallest order. */
  readonly minOrder: number
  /** Largest order, as long as an object fits. */
  readonly maxOrder: number
  /** Objects that a slab should have room for; 0: by the number of CPUs. */
  readonly minObjects: number
  /** CPUs. */
  readonly cpus: number
}

/** A slot, and the slabs that it makes. Bytes but for orders and counts. */
export interface ObjectLayout {
  /** SLAB_ flags, those that follow from others included. */
  flags: number
  /** Size of a slot. */
  size: number
  /** Where the metadata starts. */
  inuse: number
  /** Where the free pointer lies. */
  offset: number
  /** Bytes in front of the object. */
  pad: number
  /** The same, or what it was before a red zone was given up. */
  readonly redLeftPad: number
  /** Order of slabs. */
  order: number
  /** Objects in a slab. */
  objects: number
  /** Order of slabs when there are no blocks of `order`. */
  minOrder: number
  /** Objects in such a slab. */
  minObjects: number
  /** GFP bits of each request for a slab. */
  allocFlags: number
}

/** Rounds up to a multiple of a power of two. */
export function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align
}

/** Alignment of a cache's objects, from what was asked for. */
export function objectAlign(flags: number, align: number, size: number): number {
  let result = align
  if ((flags & SLAB_HWCACHE_ALIGN) !== 0) {
    let line = CACHE_LINE
    while (size <= line / 2) line /= 2
    result = Math.max(result, line)
  }
  return alignUp(Math.max(result, WORD), WORD)
}

/** The layout of objects of `objectSize` bytes; null when no block is large enough. */
export function layOut(
  flags: number,
  objectSize: number,
  align: number,
  hasCtor: boolean,
  noHigherOrder: boolean,
  policy: OrderPolicy,
): ObjectLayout | null {
  const layout = layOutOnce(flags, objectSize, align, hasCtor, policy)
  if (layout === null || !noHigherOrder) return layout
  if (getOrder(layout.size) <= getOrder(objectSize)) return layout
  const lean = layOutOnce(flags & ~SLAB_DEBUG_METADATA, objectSize, align, hasCtor, policy)
  // The pad is in no slot any more, but keeps its value.
  return lean && { ...lean, redLeftPad: layout.redLeftPad }
}

function layOutOnce(
  requested: number,
  objectSize: number,
  align: number,
  hasCtor: boolean,
  policy: OrderPolicy,
): ObjectLayout | null {
  const red = (requested & SLAB_RED_ZONE) !== 0
  const poison = (requested & SLAB_POISON) !== 0
  const rcu = (requested & SLAB_TYPESAFE_BY_RCU) !== 0
  let flags = requested & ~__OBJECT_POISON
  if (poison && !rcu && !hasCtor) flags |= __OBJECT_POISON
  let size = alignUp(objectSize, WORD)
  if (red && size === objectSize) size += WORD
  const inuse = size
  let offset = Math.floor(objectSize / 2 / WORD) * WORD
  if (rcu || poison || hasCtor || (red && objectSize < WORD)) {
    offset = size
    size += WORD
  }
  if ((flags & SLAB_STORE_USER) !== 0) {
    size += 2 * TRACK_BYTES
    if ((flags & SLAB_KMALLOC) !== 0) size += 4
  }
  let redLeftPad = 0
  if (red) {
    redLeftPad = alignUp(WORD, align)
    size += WORD + redLeftPad
  }
  size = alignUp(size, align)
  const order = slabOrder(size, policy)
  if (order < 0) return null
  const minOrder = getOrder(size)
  return {
    flags: flags >>> 0,
    size,
    inuse,
    offset,
    pad: redLeftPad,
    redLeftPad,
    order,
    objects: Math.floor((PAGE_SIZE * 2 ** order) / size),
    minOrder,
    minObjects: Math.floor((PAGE_SIZE * 2 ** minOrder) / size),
    allocFlags: slabGfp(flags, order),
  }
}

function slabGfp(flags: number, order: number): number {
  let gfp = order > 0 ? __GFP_COMP : 0
  if ((flags & SLAB_CACHE_DMA) !== 0) gfp |= __GFP_DMA
  if ((flags & SLAB_CACHE_DMA32) !== 0) gfp |= __GFP_DMA32
  if ((flags & SLAB_RECLAIM_ACCOUNT) !== 0) gfp |= __GFP_RECLAIMABLE
  return gfp
}

/** Order of the slabs for slots of `size` bytes: little waste, enough objects; -1 when no block holds one. */
export function slabOrder(size: number, policy: OrderPolicy): number {
  const { minOrder, maxOrder, cpus } = policy
  let objects = policy.minObjects
  if (objects === 0) objects = 4 * (32 - Math.clz32(cpus) + 1)
  objects = Math.min(objects, Math.floor((PAGE_SIZE * 2 ** maxOrder) / size))
  for (; objects > 1; objects--) {
    for (let fraction = 16; fraction >= 4; fraction /= 2) {
      const order = leastWaste(size, objects, minOrder, maxOrder, fraction)
      if (order <= maxOrder) return order
    }
  }
  const order = leastWaste(size, 1, minOrder, maxOrder, 1)
  if (order <= maxOrder) return order
  const any = leastWaste(size, 1, minOrder, MAX_ORDER, 1)
  return any < MAX_ORDER ? any : -1
}

/** The smallest order that holds `objects` and wastes at most 1/fraction; above `maxOrder` for none. */
function leastWaste(
  size: number,
  objects: number,
  minOrder: number,
  maxOrder: number,
  fraction: number,
): number {
  if (Math.floor((PAGE_SIZE * 2 ** minOrder) / size) > MAX_OBJECTS) {
    return getOrder(size * MAX_OBJECTS) - 1
  }
  let order = Math.max(minOrder, getOrder(objects * size))
  for (; order <= maxOrder; order++) {
    const bytes = PAGE_SIZE * 2 ** order
    if (bytes % size <= Math.floor(bytes / fraction)) break
  }
  return order
}

/** The least and the most of {@link minPartial}. */
const MIN_PARTIAL = 5
const MAX_PARTIAL = 10

/** Partial slabs that a node keeps before empty ones go back: half of log2 of the size. */
export function minPartial(size: number): number {
  return Math.max(MIN_PARTIAL, Math.min(MAX_PARTIAL, (31 - Math.clz32(size)) >> 1))
}

/** Objects that a CPU may hold in partial slabs: fewer the larger they are. What it holds is counted in slabs. */
export function cpuPartial(size: number, debugCache: boolean): number {
  if (debugCache) return 0
  if (size >= PAGE_SIZE) return 6
  if (size >= 1024) return 24
  return size >= 256 ? 52 : 120
}
