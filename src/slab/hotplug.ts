/**
 * All caches at once: when a node gets its first memory, and before one loses it.
 *
 * Source: spec/slab.md §13.4.
 */

import { checkInteger } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { CACHE_NEXT, SLAB_CACHES, SLAB_NODE_CACHE, SLAB_NODE_USED } from '../state/slabSchema'
import { useNode } from './caches'
import { allocObject } from './objects'
import { flushCache, shrinkNodes } from './partial'
import type { SlabAllocator } from './slabAllocator'
import { setNode } from './slabState'
import { cacheNode } from './slabs'

/**
 * Lets caches use the memory of a node that had none before. Each cache gets a descriptor for it.
 * @returns false when there is no memory for descriptors; the node is not used then.
 */
export function slabNodeOnline(slabs: SlabAllocator, node: number): boolean {
  const c = slabs.context
  const words = c.words
  checkInteger('node', node, 0, c.source.nrNodes - 1)
  for (const cache of cachesOf(words)) {
    if (words[cacheNode(words, cache, node) + SLAB_NODE_USED] === 1) continue
    const object = allocObject(c, words[SLAB_NODE_CACHE]!, GFP_KERNEL, NUMA_NO_NODE, 0)
    if (object === 0) return false
    useNode(words, cache, node, object)
  }
  setNode(words, node)
  return true
}

/** Gives back what all caches keep of free memory, as before a node loses its memory. */
export function shrinkAllCaches(slabs: SlabAllocator): void {
  const c = slabs.context
  for (const cache of cachesOf(c.words)) {
    flushCache(c, cache)
    shrinkNodes(c, cache)
  }
  c.debug?.settle(c)
}

/** The caches, newest first. The one at hand may be ended. */
export function* cachesOf(words: Int32Array): Generator<number> {
  for (let cache = words[SLAB_CACHES]!; cache !== SLAB_CACHES; ) {
    const next = words[cache + CACHE_NEXT]!
    yield cache
    cache = next
  }
}
