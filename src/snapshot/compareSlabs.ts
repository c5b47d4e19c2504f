/** What changed between two states of the slab layer: slabs and objects in use of each cache. */

import { PAGE_SIZE } from '../base/units'
import { formatName } from '../slab/cacheName'
import {
  CACHE_GRANULE,
  CACHE_ID,
  CACHE_WORDS,
  SLAB_CACHE,
  SLAB_CACHES,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_LIVE,
  SLAB_NR_CACHES,
  SLAB_ORDER_MASK,
  SLAB_ORDER_SHIFT,
  SLAB_PFN,
} from '../state/slabSchema'
import { Lister, type Listing } from './listing'
import type { WordReader } from './wordReader'

/** What a cache has. */
export interface CacheUse {
  /** Slabs that it has. */
  readonly slabs: number
  /** Objects in use. */
  readonly objects: number
}

/** A cache that has other slabs or objects than before. */
export interface CacheChange {
  /** Name of the cache. */
  readonly name: string
  /** Null when there was no such cache. */
  readonly before: CacheUse | null
  /** Null when there is no such cache any more. */
  readonly after: CacheUse | null
}

/** What changed among slabs. */
export interface SlabChanges {
  /** Caches, by name and number: one that was made anew is another. */
  readonly caches: Listing<CacheChange>
  /** Blocks of pages of large kmalloc requests, before and after. */
  readonly largeBlocks: readonly [before: number, after: number]
}

interface Use {
  /** Name of the cache. */
  readonly name: string
  slabs: number
  objects: number
}

/** Compares the caches of machines with frames [0, frames). */
export function compareSlabs(
  a: WordReader,
  b: WordReader,
  frames: number,
  limit: number,
): SlabChanges {
  const before = surveySlabs(a, frames)
  const after = surveySlabs(b, frames)
  const caches = new Lister<CacheChange>(limit)
  for (const key of new Set([...before.caches.keys(), ...after.caches.keys()])) {
    const old = before.caches.get(key)
    const now = after.caches.get(key)
    if (old?.slabs === now?.slabs && old?.objects === now?.objects) continue
    caches.add({ name: (now ?? old)?.name ?? '', before: useOf(old), after: useOf(now) })
  }
  return { caches: caches.listing, largeBlocks: [before.large, after.large] }
}

function useOf(use: Use | undefined): CacheUse | null {
  return use === undefined ? null : { slabs: use.slabs, objects: use.objects }
}

function surveySlabs(
  words: WordReader,
  frames: number,
): { caches: Map<string, Use>; large: number } {
  const caches = new Map<string, Use>()
  const useAt = new Map<number, Use>()
  const enter = (record: number): Use => {
    const known = useAt.get(record)
    if (known !== undefined) return known
    const name = cacheName(words, record)
    const use = { name, slabs: 0, objects: 0 }
    useAt.set(record, use)
    caches.set(`${words.at(record + CACHE_ID)} ${name}`, use)
    return use
  }
  let record = words.at(SLAB_CACHES)
  // As many as the list says, and none twice, whatever the links say.
  for (let i = words.at(SLAB_NR_CACHES); i > 0 && record !== SLAB_CACHES; i--) {
    if (record <= 0 || record >= words.length || useAt.has(record)) break
    enter(record)
    record = words.at(record)
  }
  let large = 0
  for (let pfn = nextFrame(words, 0); pfn < frames; pfn = nextFrame(words, pfn + 1)) {
    const slab = words.at(SLAB_FRAMES + pfn)
    if (slab < 0) large += 1
    if (slab <= 0 || words.at(slab + SLAB_PFN) !== pfn) continue
    const use = enter(words.at(slab + SLAB_CACHE))
    use.slabs += 1
    use.objects += liveObjects(words, slab)
  }
  return { caches, large }
}

/** The first frame from `pfn` on that may hold objects. */
function nextFrame(words: WordReader, pfn: number): number {
  return words.next(SLAB_FRAMES + pfn) - SLAB_FRAMES
}

/** Objects in use of a slab: the places whose bit is set. */
function liveObjects(words: WordReader, slab: number): number {
  const granule = words.at(words.at(slab + SLAB_CACHE) + CACHE_GRANULE)
  const order = (words.at(slab + SLAB_FLAGS) >> SLAB_ORDER_SHIFT) & SLAB_ORDER_MASK
  const places = (PAGE_SIZE * 2 ** order) / 2 ** granule
  const end = Math.min(slab + SLAB_LIVE + Math.ceil(places / 32), words.length)
  let objects = 0
  for (let at = slab + SLAB_LIVE; at < end; at++) objects += bitsOf(words.at(at))
  return objects
}

/** How many bits of a word are 1. */
function bitsOf(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1
  return count
}

function cacheName(words: WordReader, record: number): string {
  return formatName(
    Int32Array.from({ length: CACHE_WORDS }, (_, i) => words.at(record + i)),
    0,
  )
}
