/** Freeing an object to the cache that the caller names. Source: spec/slab.md §8.1. */

import { CACHE_FLAGS, SLAB_CACHE } from '../state/slabSchema'
import { formatName } from './cacheName'
import type { SlabContext } from './context'
import { SLAB_CONSISTENCY_CHECKS } from './flags'
import { freeObject, slabAt } from './objects'
import { refuse, WARNED_NO_SLAB, warn } from './slabs'

/** Frees an object of `cache`, with everything that the fast path leaves out. */
export function freeToCache(c: SlabContext, cache: number, address: number): void {
  const slab = slabOf(c, cache, address)
  if (slab === 0) return
  if (c.trace !== null) c.trace.cacheFree(address, formatName(c.words, cache))
  freeObject(c, slab, address)
}

/**
 * The slab of an object that is to be freed to `cache`; 0 when there is nothing to do after a warning.
 * @throws KernelBug unless it is one of that cache. A kernel would trust its caller, and corrupt both caches
 * (DIFF-28).
 */
export function slabOf(c: SlabContext, cache: number, address: number): number {
  const words = c.words
  const slab = slabAt(c, address)
  const checked = (words[cache + CACHE_FLAGS]! & SLAB_CONSISTENCY_CHECKS) !== 0
  if (slab === 0) {
    const text = 'virt_to_cache: Object is not a Slab page!'
    return complain(c, 'NOT_A_SLAB', text, checked, 0, address)
  }
  const owner = words[slab + SLAB_CACHE]!
  if (owner === cache) return slab
  const names = `${formatName(words, cache)} but object is from ${formatName(words, owner)}`
  const text = `cache_from_obj: Wrong slab cache. ${names}`
  return complain(c, 'WRONG_CACHE', text, checked, slab, address)
}

/** Throws; or warns and gives `slab`, where a kernel with checks would, and bugs are not to be thrown. */
function complain(
  c: SlabContext,
  code: string,
  text: string,
  checked: boolean,
  slab: number,
  address: number,
): number {
  if (checked && c.debug !== null) {
    warn(c, 'cache_from_obj', [text], slab === 0 ? WARNED_NO_SLAB : 0)
    c.debug.printTracks(c, slab, address)
    const error = c.debug.stop(c, code, text, [])
    if (error !== null) throw error
    return slab
  }
  throw refuse(c, code, text)
}
