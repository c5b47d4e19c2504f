/** How full each slab of each cache is, and which of them CPUs hold: the figures behind a picture. */

import { PAGE_SIZE } from '../base/units'
import { formatName } from '../slab/cacheName'
import { cachesOf } from '../slab/hotplug'
import { slabOrderOf } from '../slab/slabs'
import {
  CACHE_CPUS,
  CACHE_OBJECT_SIZE,
  CACHE_RECORD_SHIFT,
  SLAB_CACHE,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FRAMES,
  SLAB_LIVE,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_NR_CPUS,
  SLAB_OBJECTS,
  SLAB_PFN,
} from '../state/slabSchema'

/** A CPU works with the slab. */
export const HELD_BY_CPU = 0
/** The slab is on the partial list of a CPU. */
export const HELD_AS_PARTIAL = 1
/** No CPU holds the slab. */
export const HELD_BY_NONE = 2

/** A slab. */
export interface SlabCell {
  /** First page frame. */
  readonly pfn: number
  /** Bytes of its pages. */
  readonly bytes: number
  /** Objects that it has room for. */
  readonly objects: number
  /** Objects in use, without those that a CPU keeps free. */
  readonly inUse: number
  /** HELD_BY_CPU and so on. */
  readonly holder: number
}

/** A cache and its slabs. */
export interface CacheCells {
  readonly name: string
  /** Bytes of an object. */
  readonly objectSize: number
  /** Held ones first, then the fullest, then by frame. */
  readonly slabs: readonly SlabCell[]
  /** Bytes of all slabs. */
  readonly bytes: number
  readonly objects: number
  readonly inUse: number
}

/** All that the slab allocator has. */
export interface SlabMemory {
  /** The largest first, then by name. */
  readonly caches: readonly CacheCells[]
  readonly largeBlocks: number
  /** Bytes of large blocks of kmalloc. */
  readonly largeBytes: number
}

/** Finds all slabs by the frame table: those of caches that wait for their end, too. */
export function slabMemory(words: Int32Array): SlabMemory {
  const byCache = new Map<number, SlabCell[]>()
  for (const cache of cachesOf(words)) byCache.set(cache, [])
  const holders = heldSlabs(words, [...byCache.keys()])
  let largeBlocks = 0
  let largeBytes = 0
  for (let pfn = 0; pfn < words[SLAB_MAX_PFN]!; pfn++) {
    const word = words[SLAB_FRAMES + pfn]!
    if (word < 0) {
      largeBlocks += 1
      largeBytes += 2 ** (-1 - word) * PAGE_SIZE
    } else if (word > 0 && words[word + SLAB_PFN] === pfn) {
      const cache = words[word + SLAB_CACHE]!
      const slabs = byCache.get(cache) ?? []
      byCache.set(cache, slabs)
      slabs.push(readSlab(words, word, cache, holders.get(word) ?? HELD_BY_NONE))
    }
  }
  const caches = Array.from(byCache, ([cache, slabs]) => readCache(words, cache, slabs))
  caches.sort((a, b) => b.bytes - a.bytes || Number(a.name > b.name) - Number(a.name < b.name))
  return { caches, largeBlocks, largeBytes }
}

function readCache(words: Int32Array, cache: number, slabs: SlabCell[]): CacheCells {
  const part = (slab: SlabCell) => slab.inUse / Math.max(1, slab.objects)
  slabs.sort((a, b) => a.holder - b.holder || part(b) - part(a) || a.pfn - b.pfn)
  return {
    name: formatName(words, cache),
    objectSize: words[cache + CACHE_OBJECT_SIZE]!,
    slabs,
    bytes: slabs.reduce((sum, slab) => sum + slab.bytes, 0),
    objects: slabs.reduce((sum, slab) => sum + slab.objects, 0),
    inUse: slabs.reduce((sum, slab) => sum + slab.inUse, 0),
  }
}

function readSlab(words: Int32Array, slab: number, cache: number, holder: number): SlabCell {
  const end = slab + (1 << words[cache + CACHE_RECORD_SHIFT]!)
  let inUse = 0
  for (let at = slab + SLAB_LIVE; at < end; at++) {
    for (let bits = words[at]!; bits !== 0; bits &= bits - 1) inUse += 1
  }
  return {
    pfn: words[slab + SLAB_PFN]!,
    bytes: 2 ** slabOrderOf(words, slab) * PAGE_SIZE,
    objects: words[slab + SLAB_OBJECTS]!,
    inUse,
    holder,
  }
}

/** Who holds which slab, of those that CPUs hold. */
function heldSlabs(words: Int32Array, caches: readonly number[]): Map<number, number> {
  const holders = new Map<number, number>()
  for (const cache of caches) {
    for (let cpu = 0; cpu < words[SLAB_NR_CPUS]!; cpu++) {
      const record = words[cache + CACHE_CPUS]! + (cpu << SLAB_CPU_SHIFT)
      const slab = words[record + SLAB_CPU_SLAB]!
      if (slab !== 0) holders.set(slab, HELD_BY_CPU)
      // A list that leads back to itself ends where it was before.
      for (let at = words[record + SLAB_CPU_PARTIAL]!; at !== 0 && !holders.has(at); ) {
        holders.set(at, HELD_AS_PARTIAL)
        at = words[at + SLAB_NEXT]!
      }
    }
  }
  return holders
}
