/** kmalloc: memory of any size, from caches of fixed sizes and straight from the pages. Source: spec/slab.md §5, §14. */

import { checkInteger, OutOfMemory } from '../base/errors'
import { NUMA_NO_NODE, type VirtAddr } from '../base/units'
import type { Pages } from '../buddy/pageSource'
import { __GFP_DMA, __GFP_RECLAIMABLE, __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import {
  CACHE_FLAGS,
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_SIZE,
  KMALLOC_CLASSES,
  SLAB_CACHE,
  SLAB_KMALLOC as SLAB_KMALLOC_TABLE,
} from '../state/slabSchema'
import { encodeName } from './cacheName'
import { createCache, endCache } from './caches'
import { checkMask, checkNodeHint, zeroMask } from './checks'
import type { SlabContext } from './context'
import { freeFast, takeFast } from './fastPath'
import {
  SLAB_CACHE_DMA,
  SLAB_KMALLOC,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
} from './flags'
import {
  KMALLOC_DMA,
  KMALLOC_INDEXES,
  KMALLOC_MAX_CACHE_SIZE,
  KMALLOC_NORMAL,
  KMALLOC_RECLAIM,
  kmallocClassSize,
  kmallocIndex,
  kmallocKind,
  kmallocName,
  kmallocSlot,
} from './kmallocClass'
import { allocLarge, blockBytes, freeLarge, largeSize, notAllocated } from './large'
import { objectAlign } from './objectLayout'
import { allocObject, checkLive, freeObject, slabAt } from './objects'
import { type SlabAllocator, slabAllocator } from './slabAllocator'
import { isDebugCache } from './slabs'

/** What a request for 0 bytes gets: an address that nothing lies at. Freeing it does nothing. */
export const ZERO_SIZE_PTR = 16 as VirtAddr

/**
 * The kmalloc family: memory by size. What it returns belongs to the caller until `kfree`; it is aligned to
 * 8 bytes, to its size for powers of two up to 8192, and to pages above.
 *
 * ```ts
 * const heap = new Kmalloc(pages)
 * const p = heap.kmalloc(100, GFP_KERNEL)
 * if (p !== null) heap.kfree(p)
 * ```
 */
export class Kmalloc {
  /** What the caches of the machine share. */
  readonly slabs: SlabAllocator
  private readonly context: SlabContext
  /** Records of the normal caches by the 8 bytes that a request ends in: for all sizes that have one. */
  private readonly normal: Int32Array

  /**
   * Makes the kmalloc caches of a machine, unless it has them.
   * @throws InvalidArgument for pages without content; OutOfMemory when there is no memory for descriptors.
   */
  constructor(from: SlabAllocator | Pages) {
    this.slabs = slabAllocator(from)
    const c = this.slabs.context
    this.context = c
    if (c.words[SLAB_KMALLOC_TABLE + 3] === 0) {
      try {
        makeKmallocCaches(c)
      } catch (error) {
        dropKmallocCaches(c)
        throw error
      }
    }
    const length = KMALLOC_MAX_CACHE_SIZE / 8 + 1
    this.normal = Int32Array.from({ length }, (_, i) => kmallocCache(c.words, i * 8, 0))
  }

  /**
   * Allocates `size` bytes.
   * @param size 0 gives {@link ZERO_SIZE_PTR}; more than 4 MiB can not be had.
   * @param gfp what the caller needs and may do.
   * @param node where the memory should lie; anywhere near when not given.
   * @returns the address, or null when there is no memory.
   */
  kmalloc(size: number, gfp: number = GFP_KERNEL, node: number = NUMA_NO_NODE): VirtAddr | null {
    // Other masks go to other caches, or need zeroing.
    if (
      node === NUMA_NO_NODE &&
      (gfp & (__GFP_DMA | __GFP_RECLAIMABLE | __GFP_ZERO)) === 0 &&
      (size | 0) === size &&
      size > 0 &&
      size <= KMALLOC_MAX_CACHE_SIZE
    ) {
      const fast = takeFast(this.context, this.normal[(size + 7) >>> 3]!, gfp)
      if (fast !== 0) return fast as VirtAddr
    }
    return allocLong(this.context, size, gfp, node)
  }

  /** Allocates `size` bytes filled with zero. */
  kzalloc(size: number, gfp: number = GFP_KERNEL, node: number = NUMA_NO_NODE): VirtAddr | null {
    return this.kmalloc(size, zeroMask(gfp), node)
  }

  /** Allocates `count` times `size` bytes; null also when the product has more than 64 bits. */
  kmallocArray(
    count: number,
    size: number,
    gfp: number = GFP_KERNEL,
    node: number = NUMA_NO_NODE,
  ): VirtAddr | null {
    const bytes = arrayBytes(count, size)
    return bytes === null ? null : this.kmalloc(bytes, gfp, node)
  }

  /** Allocates `count` times `size` bytes filled with zero. */
  kcalloc(
    count: number,
    size: number,
    gfp: number = GFP_KERNEL,
    node: number = NUMA_NO_NODE,
  ): VirtAddr | null {
    return this.kmallocArray(count, size, zeroMask(gfp), node)
  }

  /**
   * Makes the memory at `p` hold `size` bytes; its content is kept. It stays where it is if it holds them
   * already; 0 bytes frees it.
   * @returns where the memory is now; null when there is none, and then `p` is as it was.
   */
  krealloc(p: VirtAddr | null, size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    return realloc(this, this.context, p, size, gfp)
  }

  /**
   * Frees memory of this family, or an object of any cache. Null and {@link ZERO_SIZE_PTR} are nothing.
   * @throws KernelBug, with nothing changed, for any other address.
   */
  kfree(p: VirtAddr | null): void {
    if (p !== null && freeFast(this.context, 0, p) === true) return
    freeAny(this.context, p)
  }

  /** Bytes that may be used at `p`: 0 for null and {@link ZERO_SIZE_PTR}. */
  ksize(p: VirtAddr | null): number {
    return usableSize(this.context, p)
  }
}

/** The product of two counts of bytes; null when it has more than 64 bits. */
export function arrayBytes(count: number, size: number): number | null {
  checkInteger('count', count, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  const bytes = count * size
  return bytes < 2 ** 64 ? bytes : null
}

function allocLong(c: SlabContext, size: number, gfp: number, node: number): VirtAddr | null {
  if (!(size >= 0 && Number.isInteger(size))) checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  checkMask(gfp)
  checkNodeHint(c, node)
  if (size === 0) return ZERO_SIZE_PTR
  const large = size > KMALLOC_MAX_CACHE_SIZE
  const cache = large ? 0 : kmallocCache(c.words, size, gfp)
  const p = large ? allocLarge(c, size, gfp, node) : allocObject(c, cache, gfp, node, size)
  if (c.trace !== null) {
    const bytes = large ? blockBytes(size) : c.words[cache + CACHE_SIZE]!
    c.trace.kmalloc(p, size, bytes, gfp, node)
  }
  return p === 0 ? null : (p as VirtAddr)
}

/** The cache that a request for `size` bytes, 1 to 8192, goes to. */
export function kmallocCache(words: Int32Array, size: number, gfp: number): number {
  return words[SLAB_KMALLOC_TABLE + kmallocSlot(kmallocKind(gfp), kmallocIndex(size))]!
}

/** True for what stands for no memory: null, and the addresses up to {@link ZERO_SIZE_PTR}. */
export function isNothing(p: number | null): p is null {
  return p === null || (Number.isInteger(p) && p >= 0 && p <= ZERO_SIZE_PTR)
}

/** Frees by address alone. */
function freeAny(c: SlabContext, p: number | null): void {
  if (isNothing(p)) {
    c.trace?.kfree(p ?? 0)
    return
  }
  const slab = slabAt(c, p)
  if (slab === 0) freeLarge(c, p)
  c.trace?.kfree(p)
  if (slab !== 0) freeObject(c, slab, p)
}

function usableSize(c: SlabContext, p: number | null): number {
  if (isNothing(p)) return 0
  const words = c.words
  const slab = slabAt(c, p)
  if (slab === 0) {
    const size = largeSize(c, p)
    if (size !== 0) return size
    throw notAllocated(c, p)
  }
  const cache = words[slab + SLAB_CACHE]!
  if (!isDebugCache(words, cache)) checkLive(c, slab, p)
  const flags = words[cache + CACHE_FLAGS]!
  if ((flags & (SLAB_RED_ZONE | SLAB_POISON)) !== 0) return words[cache + CACHE_OBJECT_SIZE]!
  if ((flags & (SLAB_TYPESAFE_BY_RCU | SLAB_STORE_USER)) !== 0) return words[cache + CACHE_INUSE]!
  return words[cache + CACHE_SIZE]!
}

function realloc(
  heap: Kmalloc,
  c: SlabContext,
  p: VirtAddr | null,
  size: number,
  gfp: number,
): VirtAddr | null {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  checkMask(gfp)
  const usable = usableSize(c, p)
  if (size === 0) {
    heap.kfree(p)
    return ZERO_SIZE_PTR
  }
  if (p !== null && usable >= size) {
    const zero = c.initOnAlloc || (gfp & __GFP_ZERO) !== 0
    if (zero) c.ram.fill(p - c.directMap + size, usable - size, 0)
    return p
  }
  const moved = heap.kmalloc(size, gfp)
  if (moved === null) return null
  if (p !== null && usable > 0) c.ram.copy(moved - c.directMap, p - c.directMap, usable)
  try {
    heap.kfree(p)
  } catch (error) {
    // Checks found something in the old memory: it stays the caller's.
    heap.kfree(moved)
    throw error
  }
  return moved
}

/**
 * Makes the kmalloc caches, by kind and size; those before a failure stay, for {@link dropKmallocCaches}. Sizes that
 * are powers of two are aligned to themselves; 96 and 192 ask for no more than any object has.
 */
function makeKmallocCaches(c: SlabContext): void {
  const flags = [0, SLAB_RECLAIM_ACCOUNT, SLAB_CACHE_DMA]
  for (const kind of [KMALLOC_NORMAL, KMALLOC_RECLAIM, KMALLOC_DMA]) {
    for (const index of KMALLOC_INDEXES) {
      const size = kmallocClassSize(index)
      const text = kmallocName(kind, index)
      const asked = SLAB_KMALLOC | flags[kind]!
      const wishedAlign = (size & (size - 1)) === 0 ? size : 0
      const request = {
        name: encodeName(text),
        size,
        wishedAlign,
        align: objectAlign(0, wishedAlign, size),
        flags: c.debug?.cacheFlags(c, text, asked) ?? asked,
        ctor: null,
        useroffset: 0,
        // This also keeps them from being merged.
        usersize: size,
      }
      const cache = createCache(c, request)
      if (cache <= 0) throw new OutOfMemory(`no memory for the cache ${text}`)
      c.words[SLAB_KMALLOC_TABLE + kmallocSlot(kind, index)] = cache
    }
  }
}

function dropKmallocCaches(c: SlabContext): void {
  for (let slot = 3 * KMALLOC_CLASSES - 1; slot >= 0; slot--) {
    const cache = c.words[SLAB_KMALLOC_TABLE + slot]!
    if (cache !== 0) endCache(c, cache)
    c.words[SLAB_KMALLOC_TABLE + slot] = 0
  }
}
