/** The name of a cache's directory in `/sys/kernel/slab/`. Source: spec/slab.md §4.9. */

import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import {
  SLAB_CACHE_DMA,
  SLAB_CACHE_DMA32,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_NEVER_MERGE,
  SLAB_RECLAIM_ACCOUNT,
} from '../slab/flags'
import type { SlabCache } from '../slab/slabCache'
import {
  CACHE_FLAGS,
  CACHE_HAS_CTOR,
  CACHE_REFCOUNT,
  CACHE_SIZE,
  CACHE_STATE,
  CACHE_USERSIZE,
} from '../state/slabSchema'

/** Letters of the flags that caches must share to be merged, in the order of the name. */
const LETTERS: readonly (readonly [flag: number, letter: string])[] = [
  [SLAB_CACHE_DMA, 'd'],
  [SLAB_CACHE_DMA32, 'D'],
  [SLAB_RECLAIM_ACCOUNT, 'a'],
  [SLAB_CONSISTENCY_CHECKS, 'F'],
]

/**
 * The directory of a cache: its own name, with `!` for `/`; or one that tells what may be merged into the
 * cache, such as `:a-0000104`, to which its names are links.
 */
export function slabDirectory(cache: SlabCache): string {
  return directoryName(cache.slabs.context, cache.record)
}

/** The same, of the cache with this record. */
export function directoryName(c: SlabContext, cache: number): string {
  const { words } = c
  if (!isMergeable(c, cache)) return formatName(words, cache).replaceAll('/', '!')
  const flags = words[cache + CACHE_FLAGS]!
  const letters = LETTERS.filter(([flag]) => (flags & flag) !== 0).map(([, letter]) => letter)
  const prefix = letters.length === 0 ? '' : `${letters.join('')}-`
  return `:${prefix}${String(words[cache + CACHE_SIZE]).padStart(7, '0')}`
}

/** Whether others could have been merged into the cache when it was made. */
function isMergeable(c: SlabContext, cache: number): boolean {
  const { words } = c
  return (
    c.merging &&
    (words[cache + CACHE_FLAGS]! & SLAB_NEVER_MERGE) === 0 &&
    (words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) === 0 &&
    words[cache + CACHE_USERSIZE] === 0 &&
    words[cache + CACHE_REFCOUNT]! >= 0
  )
}
