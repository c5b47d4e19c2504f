/** Checks of whole caches, and of slabs that go back. Source: spec/slab.md §6.1, §16.7. */

import { InvalidArgument } from '../base/errors'
import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import { SLAB_CONSISTENCY_CHECKS, SLAB_STORE_USER } from '../slab/flags'
import { readFreePointer } from '../slab/freePointer'
import { flushCache } from '../slab/partial'
import type { SlabCache } from '../slab/slabCache'
import { cacheNode } from '../slab/slabs'
import {
  CACHE_PAD,
  CACHE_SIZE,
  SLAB_CACHE,
  SLAB_FREE,
  SLAB_NEXT,
  SLAB_NODE_FULL,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_USED,
  SLAB_NR_NODES,
  SLAB_OBJECTS,
} from '../state/slabSchema'
import { checkLeftover, checkObject, checkSlab, leadsToPlace, walkFreeList } from './slubCheck'
import type { SlubReports } from './slubReport'
import { hasFlags, RED_ACTIVE, RED_INACTIVE } from './slubSlot'

/**
 * Checks all slabs of a cache that are on lists, with the checks that its flags ask for, and
 * repairs what a kernel repairs. Full slabs are on a list only in caches with SLAB_STORE_USER.
 * Cost: every byte of them.
 * @returns how many slabs were looked at.
 * @throws InvalidArgument without the `debug` option; KernelBug, when all is done, for what was
 * found, unless bugs do not throw; KernelBug `SIMULATED_FAULT` for a free list that is a loop.
 */
export function validateCache(cache: SlabCache): number {
  const c = cache.slabs.context
  if (c.debug === null) {
    throw new InvalidArgument('cache', cache, 'one of a slab allocator with the `debug` option')
  }
  return c.debug.validate(c, cache.record)
}

/** The work of {@link validateCache}. */
export function validateSlabs(c: SlabContext, r: SlubReports, cache: number): number {
  const words = c.words
  const name = formatName(words, cache)
  let slabs = 0
  r.begin()
  flushCache(c, cache)
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, cache, id)
    if (words[node + SLAB_NODE_USED] === 0) continue
    let count = validateList(c, r, cache, node + SLAB_NODE_PARTIAL)
    const partial = words[node + SLAB_NODE_NR_PARTIAL]!
    if (count !== partial) {
      const text = `SLUB ${name}: ${count} partial slabs counted but counter=${partial}`
      r.slabCountError(c, cache, text)
    }
    if (hasFlags(words, cache, SLAB_STORE_USER)) {
      count += validateList(c, r, cache, node + SLAB_NODE_FULL)
      const total = words[node + SLAB_NODE_NR_SLABS]!
      if (count !== total) {
        r.slabCountError(c, cache, `SLUB: ${name} ${count} slabs counted but counter=${total}`)
      }
    }
    slabs += count
  }
  r.raise()
  return slabs
}

/** The objects on a slab's free list as far as it can be followed; null when it is a loop. */
export function freeObjects(c: SlabContext, cache: number, slab: number): Set<number> | null {
  const free = new Set<number>()
  let at = c.words[slab + SLAB_FREE]!
  while (at !== 0 && leadsToPlace(c, cache, slab, at)) {
    if (free.has(at - 1)) return null
    free.add(at - 1)
    at = readFreePointer(c, cache, slab, at - 1)
  }
  return free
}

/** The places of a slab's objects, in ascending order. */
export function placesOf(words: Int32Array, cache: number, slab: number): number[] {
  const size = words[cache + CACHE_SIZE]!
  const pad = words[cache + CACHE_PAD]!
  return Array.from({ length: words[slab + SLAB_OBJECTS]! }, (_, i) => i * size + pad)
}

/** Looks at a slab that is about to go back to the pages: all of its objects should be free. */
export function checkDiscarded(c: SlabContext, r: SlubReports, slab: number): void {
  const cache = c.words[slab + SLAB_CACHE]!
  if (!hasFlags(c.words, cache, SLAB_CONSISTENCY_CHECKS)) return
  checkLeftover(c, r, cache, slab)
  for (const offset of placesOf(c.words, cache, slab)) {
    checkObject(c, r, cache, slab, offset, RED_INACTIVE)
  }
}

function validateList(c: SlabContext, r: SlubReports, cache: number, head: number): number {
  let count = 0
  for (let slab = c.words[head]!; slab !== head; slab = c.words[slab + SLAB_NEXT]!) {
    validateSlab(c, r, cache, slab)
    count += 1
  }
  return count
}

function validateSlab(c: SlabContext, r: SlubReports, cache: number, slab: number): void {
  if (!checkSlab(c, r, cache, slab) || !walkFreeList(c, r, cache, slab, 0)) return
  const free = freeObjects(c, cache, slab)
  if (free === null) {
    const name = formatName(c.words, cache)
    throw r.fault(`the free list of a slab of cache ${name} is a loop: a kernel hangs in it`)
  }
  for (const offset of placesOf(c.words, cache, slab)) {
    const red = free.has(offset) ? RED_INACTIVE : RED_ACTIVE
    if (!checkObject(c, r, cache, slab, offset, red)) return
  }
}
