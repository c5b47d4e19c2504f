/**
 * The kmalloc caches: which sizes and kinds there are, and which one a request goes to.
 *
 * Indexes: n is for 2^n bytes, but for 1 (96 bytes) and 2 (192 bytes).
 *
 * Source: spec/slab.md §5.
 */

import { __GFP_DMA, __GFP_RECLAIMABLE } from '../page/gfp'
import { KMALLOC_CLASSES } from '../state/slabSchema'

/** Largest class: more comes straight from the pages. Bytes. */
export const KMALLOC_MAX_CACHE_SIZE = 8192
/** The most that can be asked for: the largest block. Bytes. */
export const KMALLOC_MAX_SIZE = 4194304

/** Kind of a kmalloc cache: for most requests. */
export const KMALLOC_NORMAL = 0
/** Kind: for requests with `__GFP_RECLAIMABLE`. */
export const KMALLOC_RECLAIM = 1
/** Kind: for requests with `__GFP_DMA`. */
export const KMALLOC_DMA = 2

/** Indexes in the order in which the caches are made: by size. */
export const KMALLOC_INDEXES: readonly number[] = [3, 4, 5, 6, 1, 7, 2, 8, 9, 10, 11, 12, 13]

/** Prefixes of the names, by kind. */
const PREFIXES = ['kmalloc-', 'kmalloc-rcl-', 'dma-kmalloc-']

/**
 * Index of the class that holds `size` bytes, 1 to 8192.
 *
 *     65..96 -> 1     129..192 -> 2     else the power of two that holds it
 */
export function kmallocIndex(size: number): number {
  if (size <= 8) return 3
  if (size > 64 && size <= 96) return 1
  if (size > 128 && size <= 192) return 2
  return 32 - Math.clz32(size - 1)
}

/** Bytes of a class by its index. */
export function kmallocClassSize(index: number): number {
  if (index === 1) return 96
  return index === 2 ? 192 : 1 << index
}

/** Kind of cache that a mask asks for. */
export function kmallocKind(gfp: number): number {
  if ((gfp & (__GFP_DMA | __GFP_RECLAIMABLE)) === 0) return KMALLOC_NORMAL
  return (gfp & __GFP_DMA) !== 0 ? KMALLOC_DMA : KMALLOC_RECLAIM
}

/** Place of a cache among the kmalloc caches, by kind and index. */
export function kmallocSlot(kind: number, index: number): number {
  return kind * KMALLOC_CLASSES + index
}

/** Name of a kmalloc cache, such as `kmalloc-64` or `dma-kmalloc-1k`. */
export function kmallocName(kind: number, index: number): string {
  const size = kmallocClassSize(index)
  return `${PREFIXES[kind]}${size >= 1024 ? `${size / 1024}k` : size}`
}
