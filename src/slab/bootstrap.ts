/**
 * The start of the slab layer: the caches `kmem_cache` and `kmem_cache_node`, whose objects describe all
 * caches, themselves included.
 *
 * Source: spec/slab.md §23.1.
 */

import { OutOfMemory } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import { __GFP_ZERO, GFP_NOWAIT } from '../page/gfp'
import {
  CACHE_DESCRIPTOR,
  SLAB_CACHE_CACHE,
  SLAB_DEBUG_ON,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_INUSE,
  SLAB_MAX_PFN,
  SLAB_NODE_CACHE,
  SLAB_NR_NODES,
  SLAB_PFN,
} from '../state/slabSchema'
import { encodeName } from './cacheName'
import { enterCache, layoutOf, makeRecord, storeAddress, takeNodeObjects, useNode } from './caches'
import type { SlabContext } from './context'
import { SLAB_HWCACHE_ALIGN } from './flags'
import { readFreePointer, setLive } from './freePointer'
import { objectAlign } from './objectLayout'
import { allocObject, takeOne } from './objects'
import { addPartial, flushCache } from './partial'
import { inNodeMask } from './slabState'
import { countSlab, isDebugCache, newSlab, objectAddress, slabOrderOf } from './slabs'

/** Bytes of a `struct kmem_cache_node`. */
const NODE_STATE_BYTES = 64
/** Bytes of a `struct kmem_cache` without its pointers to node states. */
const DESCRIPTOR_BYTES = 200

/**
 * Makes the two first caches over the nodes in the mask.
 * @throws OutOfMemory when there is no memory for them; their pages have gone back then.
 */
export function bootstrap(c: SlabContext): void {
  try {
    makeFirstCaches(c)
  } catch (error) {
    giveAllBack(c)
    throw error
  }
}

function giveAllBack({ words, source }: SlabContext): void {
  for (let pfn = 0; pfn < words[SLAB_MAX_PFN]!; pfn++) {
    const slab = words[SLAB_FRAMES + pfn]!
    if (slab > 0 && words[slab + SLAB_PFN] === pfn) source.freeBlock(pfn, slabOrderOf(words, slab))
  }
}

function makeFirstCaches(c: SlabContext): void {
  const words = c.words
  if (c.debug?.onAtBoot === true) words[SLAB_DEBUG_ON] = 1
  const nodeCache = firstCache(c, 'kmem_cache_node', NODE_STATE_BYTES)
  words[SLAB_NODE_CACHE] = nodeCache
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    if (inNodeMask(words, id)) useNode(words, nodeCache, id, firstNodeState(c, nodeCache, id))
  }
  const bytes = DESCRIPTOR_BYTES + 8 * words[SLAB_NR_NODES]!
  const cacheCache = firstCache(c, 'kmem_cache', bytes)
  words[SLAB_CACHE_CACHE] = cacheCache
  const complete = takeNodeObjects(c, cacheCache)
  for (const cache of [cacheCache, nodeCache]) {
    const descriptor = allocObject(c, cacheCache, GFP_NOWAIT | __GFP_ZERO, NUMA_NO_NODE, 0)
    if (!complete || descriptor === 0) throw noMemory()
    flushCache(c, cache)
    storeAddress(words, cache + CACHE_DESCRIPTOR, descriptor)
    enterCache(words, cache, -1)
  }
}

function firstCache(c: SlabContext, name: string, size: number): number {
  const flags = c.debug?.cacheFlags(c, name, SLAB_HWCACHE_ALIGN) ?? SLAB_HWCACHE_ALIGN
  const request = {
    name: encodeName(name),
    size,
    wishedAlign: 0,
    align: objectAlign(SLAB_HWCACHE_ALIGN, 0, size),
    flags,
    ctor: null,
    useroffset: 0,
    usersize: 0,
  }
  const layout = layoutOf(c, request)
  const cache = layout && makeRecord(c, request, layout)
  if (!cache) throw noMemory()
  return cache
}

/** The node state of the first cache: the first object of a slab of its own, which then counts as partial. */
function firstNodeState(c: SlabContext, cache: number, id: number): number {
  const words = c.words
  if (isDebugCache(words, cache)) {
    const object = takeOne(c, cache, GFP_NOWAIT, id, 0)
    if (object === 0) throw noMemory()
    return object
  }
  const slab = newSlab(c, cache, GFP_NOWAIT, id)
  if (slab === 0) throw noMemory()
  const first = words[slab + SLAB_FREE]! - 1
  words[slab + SLAB_FREE] = readFreePointer(c, cache, slab, first)
  words[slab + SLAB_INUSE] = 1
  setLive(words, cache, slab, first, true)
  countSlab(words, cache, slab, 1)
  addPartial(words, cache, slab, true)
  return objectAddress(c, slab, first)
}

function noMemory(): OutOfMemory {
  return new OutOfMemory('no memory for the first caches')
}
