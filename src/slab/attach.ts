/** Working on a state of the slab layer that exists, and finding the caches in one. */

import { InvalidArgument } from '../base/errors'
import { type Pages, pageSource } from '../buddy/pageSource'
import { hashWords, wordsOfBuffer } from '../state/checkState'
import {
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_STATE,
  SLAB_MAGIC,
  SLAB_MAX_PFN,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_VERSION,
  SLAB_WORDS_USED,
} from '../state/slabSchema'
import { formatName } from './cacheName'
import type { Ctor } from './context'
import { cachesOf } from './hotplug'
import { newSlabContext, type SlabOptions } from './options'
import { SlabAllocator } from './slabAllocator'
import { CacheRecord, SlabCache } from './slabCache'
import { MAGIC, newSlabState, VERSION } from './slabState'

/**
 * Works on the state buffer of another slab allocator, without a copy: after a copy back of a saved state, or
 * from another module. The pages and the bytes of memory must be those of the same moment. Options and hooks
 * are given anew, and so are constructors, by {@link findCache}: a cache with one makes no slab before that.
 * @throws InvalidArgument for anything but a state buffer of this version for a machine like this.
 */
export function attachSlabs(
  pages: Pages,
  state: ArrayBuffer | SharedArrayBuffer,
  options: SlabOptions = {},
): SlabAllocator {
  const source = pageSource(pages)
  const words = wordsOfBuffer(state)
  const like = newSlabState(source, false)
  const expected: readonly (readonly [string, number, number])[] = [
    ['magic word of the state', SLAB_MAGIC, MAGIC],
    ['version of the state', SLAB_VERSION, VERSION],
    ['frames of the state', SLAB_MAX_PFN, source.maxPfn],
    ['CPUs of the state', SLAB_NR_CPUS, source.nrCpus],
    ['nodes of the state', SLAB_NR_NODES, source.nrNodes],
  ]
  for (const [name, column, value] of expected) {
    if (words[column] !== value) throw new InvalidArgument(name, words[column], `${value}`)
  }
  if (words.length !== like.length) {
    throw new InvalidArgument('words of the state', words.length, `${like.length}`)
  }
  const slabs = new SlabAllocator(pages, newSlabContext(source, options, words))
  for (const cache of cachesOf(words)) {
    if ((words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) === 0) continue
    slabs.context.ctors.set(words[cache + CACHE_ID]!, missingCtor(formatName(words, cache)))
  }
  return slabs
}

/** Stands for a constructor until it is given: no slab may be made without it. */
export function missingCtor(name: string): Ctor {
  return () => {
    throw new InvalidArgument('ctor', undefined, `given to findCache, as cache ${name} has one`)
  }
}

/**
 * The newest cache of a name; null when there is none.
 * @param ctor the cache's constructor, for a state that was attached to.
 * @throws InvalidArgument for a constructor where the cache has none.
 */
export function findCache(slabs: SlabAllocator, name: string, ctor?: Ctor): SlabCache | null {
  const { words, ctors } = slabs.context
  for (const cache of cachesOf(words)) {
    if (formatName(words, cache) !== name) continue
    if (ctor !== undefined) {
      if ((words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) === 0) {
        throw new InvalidArgument('ctor', ctor, `left out: the cache ${name} has no constructor`)
      }
      ctors.set(words[cache + CACHE_ID]!, ctor)
    }
    return new SlabCache(slabs, new CacheRecord(cache))
  }
  return null
}

/** A hash of the whole state of the slab layer: equal states hash equal. Cost: every word in use. */
export function slabStateHash(slabs: SlabAllocator): number {
  return hashWords(slabs.words, slabs.words[SLAB_WORDS_USED]!)
}
