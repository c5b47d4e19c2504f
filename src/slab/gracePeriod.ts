/**
 * Grace periods: slabs of SLAB_TYPESAFE_BY_RCU caches stay readable for a while after they were given up. When a
 * period ends is for the user to tell: there are no readers here that could be waited for (DIFF-33).
 *
 * Source: spec/slab.md §6.1, §11, §25.
 */

import {
  CACHE_RCU_SLABS,
  CACHE_STATE,
  CACHE_WAITS,
  SLAB_CACHE,
  SLAB_NEXT,
  SLAB_RCU_HEAD,
  SLAB_RCU_TAIL,
} from '../state/slabSchema'
import { buryCache } from './caches'
import type { SlabAllocator } from './slabAllocator'
import { releaseSlab } from './slabs'

/**
 * Tells that a grace period has passed: slabs of SLAB_TYPESAFE_BY_RCU caches that were given up before go back
 * to the pages, in the order in which they were given up, and so do destroyed caches that waited for them.
 */
export function endGracePeriod(slabs: SlabAllocator): void {
  const c = slabs.context
  const words = c.words
  let slab = words[SLAB_RCU_HEAD]!
  words[SLAB_RCU_HEAD] = 0
  words[SLAB_RCU_TAIL] = 0
  while (slab !== 0) {
    const next = words[slab + SLAB_NEXT]!
    const cache = words[slab + SLAB_CACHE]!
    releaseSlab(c, cache, slab)
    words[cache + CACHE_RCU_SLABS]! -= 1
    const waits = (words[cache + CACHE_STATE]! & CACHE_WAITS) !== 0
    if (waits && words[cache + CACHE_RCU_SLABS] === 0) buryCache(c, cache)
    slab = next
  }
  c.debug?.settle(c)
}
