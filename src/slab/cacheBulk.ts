/** Many objects of a cache in one call, as its users see it. Source: spec/slab.md §12. */

import { checkInteger } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { allocBulk, freeBulk } from './bulk'
import { checkMask } from './checks'
import type { SlabCache } from './slabCache'

/**
 * Allocates `count` objects of a cache, near the current CPU.
 * @param count 0 to 2^24.
 * @returns all of them, or an empty array when one could not be had.
 */
export function kmemCacheAllocBulk(cache: SlabCache, gfp: number, count: number): VirtAddr[] {
  checkMask(gfp)
  checkInteger('count', count, 0, 1 << 24)
  return allocBulk(cache.slabs.context, cache.record, gfp, count)
}

/**
 * Frees objects of a cache: all of them, or none when one is wrong. Objects of one slab are freed together, and
 * change places in the array for that.
 * @throws KernelBug, with nothing changed, for what `free` refuses.
 */
export function kmemCacheFreeBulk(cache: SlabCache, objects: VirtAddr[]): void {
  freeBulk(cache.slabs.context, cache.record, objects)
}
