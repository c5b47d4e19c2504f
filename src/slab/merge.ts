/** Merging: a new cache whose objects fit the slots of an old one becomes another name of it. Source: spec/slab.md §4.3. */

import {
  CACHE_FLAGS,
  CACHE_HAS_CTOR,
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_PREV,
  CACHE_REFCOUNT,
  CACHE_SIZE,
  CACHE_STATE,
  CACHE_USERSIZE,
  SLAB_CACHES,
} from '../state/slabSchema'
import type { CacheRequest } from './cacheRequest'
import type { SlabContext } from './context'
import { SLAB_MERGE_SAME, SLAB_NEVER_MERGE } from './flags'
import { alignUp, objectAlign } from './objectLayout'

/** Slots of a cache may be larger than needed by less than this. Bytes. */
const WORD = 8

/** The oldest cache that can take a request in, which has one more name from now on; 0 for none. */
export function findMergeable(c: SlabContext, request: CacheRequest): number {
  const words = c.words
  const { flags } = request
  if ((flags & SLAB_NEVER_MERGE) !== 0) return 0
  const rounded = alignUp(request.size, WORD)
  const align = objectAlign(flags, request.wishedAlign, rounded)
  const size = alignUp(rounded, align)
  for (
    let cache = words[SLAB_CACHES + CACHE_PREV]!;
    cache !== SLAB_CACHES;
    cache = words[cache + CACHE_PREV]!
  ) {
    const theirs = words[cache + CACHE_FLAGS]!
    if (!takesOthersIn(words, cache) || size > words[cache + CACHE_SIZE]!) continue
    if ((flags & SLAB_MERGE_SAME) !== (theirs & SLAB_MERGE_SAME)) continue
    if (words[cache + CACHE_SIZE]! % align !== 0) continue
    if (words[cache + CACHE_SIZE]! - size >= WORD) continue
    words[cache + CACHE_REFCOUNT]! += 1
    words[cache + CACHE_OBJECT_SIZE] = Math.max(words[cache + CACHE_OBJECT_SIZE]!, request.size)
    words[cache + CACHE_INUSE] = Math.max(words[cache + CACHE_INUSE]!, rounded)
    return cache
  }
  return 0
}

/** Whether a cache may have other names; one whose destruction failed may not. */
function takesOthersIn(words: Int32Array, cache: number): boolean {
  return (
    (words[cache + CACHE_FLAGS]! & SLAB_NEVER_MERGE) === 0 &&
    (words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) === 0 &&
    words[cache + CACHE_USERSIZE] === 0 &&
    words[cache + CACHE_REFCOUNT]! > 0
  )
}
