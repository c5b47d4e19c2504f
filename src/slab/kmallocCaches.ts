/** The kmalloc caches as caches like any other. */

import { checkInteger } from '../base/errors'
import { GFP_KERNEL } from '../page/gfp'
import { type Kmalloc, kmallocCache } from './kmalloc'
import { KMALLOC_MAX_CACHE_SIZE } from './kmallocClass'
import { CacheRecord, SlabCache } from './slabCache'

/** The cache that `kmalloc(size, gfp)` takes from: for `size` from 1 to 8192. */
export function kmallocCacheOf(heap: Kmalloc, size: number, gfp: number = GFP_KERNEL): SlabCache {
  checkInteger('size', size, 1, KMALLOC_MAX_CACHE_SIZE)
  return new SlabCache(heap.slabs, new CacheRecord(kmallocCache(heap.slabs.words, size, gfp)))
}
