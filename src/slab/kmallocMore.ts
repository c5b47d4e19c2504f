/**
 * The rarer calls of the kmalloc family: arrays, many at once, and memory that held a secret.
 * Source: spec/slab.md §12.2, §14.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { SLAB_CACHE } from '../state/slabSchema'
import { freeBulk } from './bulk'
import type { SlabContext } from './context'
import { arrayBytes, type Kmalloc } from './kmalloc'
import { KMALLOC_MAX_CACHE_SIZE, kmallocClassSize, kmallocIndex } from './kmallocClass'
import { blockBytes, freeLarge, largeSize } from './large'
import { offsetIn, slabAt } from './objects'
import { isDebugCache, refuse } from './slabs'

/**
 * Fills memory with zero, all that may be used of it, and frees it.
 * @throws KernelBug as `kfree` does, with nothing changed.
 */
export function kfreeSensitive(heap: Kmalloc, p: VirtAddr | null): void {
  const { context } = heap.slabs
  const usable = heap.ksize(p)
  if (p !== null && usable > 0) {
    checkFree(context, p)
    context.ram.fill(p - context.directMap, usable, 0)
  }
  heap.kfree(p)
}

/** Throws when checks would stop the free of an object: those of other caches have been made. */
function checkFree(c: SlabContext, object: VirtAddr): void {
  const slab = slabAt(c, object)
  const cache = c.words[slab + SLAB_CACHE]!
  if (slab === 0 || !isDebugCache(c.words, cache)) return
  c.debug?.check(c, cache, slab, offsetIn(c, slab, object))
}

/**
 * Bytes that may be used of what kmalloc gives for `size` bytes: what `ksize` tells, without
 * debugging.
 */
export function kmallocSizeRoundup(size: number): number {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  if (size === 0) return 0
  if (size <= KMALLOC_MAX_CACHE_SIZE) return kmallocClassSize(kmallocIndex(size))
  return blockBytes(size)
}

/**
 * Makes memory hold `count` times `size` bytes, as `krealloc` does.
 * @returns null also when the product has more than 64 bits; then `p` is as it was.
 */
export function kreallocArray(
  heap: Kmalloc,
  p: VirtAddr | null,
  count: number,
  size: number,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  const bytes = arrayBytes(count, size)
  // More than a safe integer is more than there is: the exact amount does not matter.
  return bytes === null ? null : heap.krealloc(p, Math.min(bytes, Number.MAX_SAFE_INTEGER), gfp)
}

/**
 * Frees memory of the kmalloc family and objects of any caches: all of them, or none when one is
 * wrong. Objects of one slab are freed together, and change places in the array for that.
 * @throws KernelBug, with nothing changed, for null, `ZERO_SIZE_PTR`, and what `kfree` refuses.
 */
export function kfreeBulk(heap: Kmalloc, objects: VirtAddr[]): void {
  const { context } = heap.slabs
  if (!Array.isArray(objects)) throw new InvalidArgument('objects', objects, 'an array of objects')
  for (const object of objects) {
    if (slabAt(context, object) !== 0 || largeSize(context, object) !== 0) continue
    throw refuse(context, 'NOT_ALLOCATED', `nothing is allocated at ${object}`)
  }
  freeBulk(context, 0, objects, (block) => freeLarge(context, block))
}
