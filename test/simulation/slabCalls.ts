/** Operations on caches of objects. */

import {
  endGracePeriod,
  KernelBug,
  kmemCacheAllocBulk,
  SLAB_HWCACHE_ALIGN,
  SLAB_NOLEAKTRACE,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  shrinkAllCaches,
  type VirtAddr,
} from '../../src/index'
import { alignOf, isZeroed, objectMask } from './draws'
import { release } from './release'
import { type CacheEntry, CONSTRUCTED, type Operation, type Simulation } from './simulation'
import { Violation } from './violation'

const FLAGS = [
  0,
  0,
  SLAB_HWCACHE_ALIGN,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  SLAB_TYPESAFE_BY_RCU | SLAB_RECLAIM_ACCOUNT,
  SLAB_NOLEAKTRACE,
  SLAB_HWCACHE_ALIGN | SLAB_RECLAIM_ACCOUNT,
]
const MAX_CACHES = 12
const MAX_GONE = 2

export const SLAB_CALLS: Readonly<Record<string, Operation>> = {
  'cache.create': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.caches.size >= MAX_CACHES) return
      const limit = [64, 300, 300, 2000, 9000, 40_000][a % 6]!
      const entry = {
        name: `cache-${at}`,
        size: 1 + ((a >>> 3) % limit),
        align: alignOf(b),
        flags: FLAGS[c % FLAGS.length]!,
        ctor: (c >>> 8) % 5 === 0,
      }
      const cache = s.attempt(() => new SlabCache(s.machine.slabs, cacheOptions(s, entry)))
      s.fold(cache === null ? null : cache.size)
      if (cache === null) return
      const { record } = cache
      s.caches.set(at, { ...entry, id: at, cache, record, gone: false })
      s.note(`cache ${at} of ${entry.size} bytes`)
    },
  },
  'cache.alloc': {
    weight: 14,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      const entry = cacheFor(s, at, a)
      if (entry === undefined || s.full) return s.free(a, at, b)
      const gfp = maskFor(entry, b)
      const object = s.attempt(() =>
        c % 8 === 0 && !entry.ctor ? entry.cache.zalloc(gfp) : entry.cache.alloc(gfp),
      )
      enterObjects(s, at, entry, one(object), isZeroed(gfp) || (c % 8 === 0 && !entry.ctor))
    },
  },
  'cache.allocNode': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      const entry = cacheFor(s, at, a)
      if (entry === undefined || s.full) return s.free(a, at, b)
      const gfp = maskFor(entry, b)
      const node = c % s.machine.pages.context.nrNodes
      const object = s.attempt(() => entry.cache.allocNode(gfp, node))
      enterObjects(s, at, entry, one(object), isZeroed(gfp))
    },
  },
  'cache.allocBulk': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      const entry = cacheFor(s, at, a)
      if (entry === undefined || s.full) return s.free(a, at, b)
      const count = c % 40
      const gfp = maskFor(entry, b)
      const objects = s.attempt(() => kmemCacheAllocBulk(entry.cache, gfp, count)) ?? []
      if (objects.length !== 0 && objects.length !== count) {
        throw new Violation('bulk', `${objects.length} objects for ${count}`)
      }
      enterObjects(s, at, entry, objects, isZeroed(gfp))
    },
  },
  'cache.freeAll': {
    weight: 0.3,
    run(s, { at, a, b }) {
      const entry = cacheFor(s, at, a)
      if (entry !== undefined) releaseObjectsOf(s, entry, b)
    },
  },
  'cache.shrink': {
    weight: 0.5,
    run(s, { at, a }) {
      const entry = cacheFor(s, at, a)
      if (entry !== undefined) s.fold(entry.cache.shrink() ? 1 : 0)
    },
  },
  'cache.destroy': {
    weight: 0.5,
    run(s, { at, a, b, c }) {
      const entry = cacheFor(s, at, a)
      if (entry === undefined) return
      if (c % 4 !== 0 || s.goneCaches >= MAX_GONE) releaseObjectsOf(s, entry, b)
      destroy(s, entry)
    },
  },
  'cache.shrinkAll': { weight: 0.1, run: (s) => shrinkAllCaches(s.machine.slabs) },
  'cache.endGracePeriod': { weight: 0.4, run: (s) => endGracePeriod(s.machine.slabs) },
}

/** What a cache is asked for. */
export function cacheOptions(
  s: Simulation,
  { name, size, align, flags, ctor }: Omit<CacheEntry, 'id' | 'cache' | 'record' | 'gone'>,
) {
  const construct = (object: VirtAddr) => s.construct(object, size)
  return { name, size, align, flags, ...(ctor ? { ctor: construct } : {}) }
}

/** A cache that can be allocated from. */
function cacheFor(s: Simulation, at: number, draw: number): CacheEntry | undefined {
  const wanted = draw % (at + 1)
  let found: CacheEntry | undefined
  for (const entry of s.caches.values()) {
    if (entry.gone) continue
    found = entry
    if (entry.id >= wanted) break
  }
  return found
}

/** Objects that were set up by a constructor may not be filled with zero. */
function maskFor(entry: CacheEntry, draw: number): number {
  const gfp = objectMask(draw)
  return entry.ctor ? gfp & ~0x100 : gfp
}

function one(object: VirtAddr | null): VirtAddr[] {
  return object === null ? [] : [object]
}

function enterObjects(
  s: Simulation,
  at: number,
  { id, cache, size, align, ctor }: CacheEntry,
  addresses: readonly VirtAddr[],
  zeroed: boolean,
): void {
  s.fold(addresses.length)
  for (const address of addresses) {
    s.fold(address)
    if (address % Math.max(8, align) !== 0)
      throw new Violation('align', `an object of ${cache.name}`)
    if (ctor && !s.content.allBytesAre(s.physical(address), size, CONSTRUCTED)) {
      throw new Violation('constructor', `an object of ${cache.name} is not as it was set up`)
    }
  }
  if (addresses.length === 0) return
  s.enter({ kind: 'objects', id: at, cache: id, addresses, bytes: size }, zeroed)
}

function releaseObjectsOf(s: Simulation, entry: CacheEntry, way: number): void {
  const objects = s.live.items.filter((item) => item.kind === 'objects' && item.cache === entry.id)
  for (const item of objects) release(s, item, way)
}

/** Ends a cache, which may fail while there are objects: the cache stays then, and is of no use. */
export function destroy(s: Simulation, entry: CacheEntry): void {
  try {
    entry.cache.destroy()
  } catch (error) {
    if (!(error instanceof KernelBug) || error.code !== 'CACHE_BUSY') throw error
    const busy = s.live.items.some((item) => item.kind === 'objects')
    if (!busy) throw new Violation('busy', `${entry.name} has no objects and cannot be destroyed`)
    s.caches.set(entry.id, { ...entry, gone: true })
    s.goneCaches += 1
    s.note(`cache ${entry.id} stays`)
    return
  }
  s.caches.delete(entry.id)
  s.note(`ends cache ${entry.id}`)
}
