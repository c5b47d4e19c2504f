/** Caches for tests of their state as plain data. */

import { cacheState, PAGE_SIZE, type SlabCacheOptions } from '../../src/index'
import { flushCache } from '../../src/slab/partial'
import { CACHE_CPU_PARTIAL_SLABS } from '../../src/state/slabSchema'
import { must } from './machines'
import { TinyMachine, type TinyOptions } from './tinyMachine'

/** A cache with something in every place: a CPU's slab and list, two nodes' lists. Its second CPU runs. */
export function used(options: TinyOptions = {}, slots: Partial<SlabCacheOptions> = {}) {
  const machine = new TinyMachine({ nodes: 2, ...options })
  const { pages } = machine
  const cache = machine.cache({ size: 256, ...slots })
  const inSlab = cacheState(cache).objs
  machine.words[cache.record + CACHE_CPU_PARTIAL_SLABS] = 3
  const take = (cpu: number, count: number) => {
    pages.running.cpu = cpu
    return Array.from({ length: count }, () => must(cache.alloc()))
  }
  const near = take(0, 3 * inSlab)
  const far = take(1, 8 * inSlab)
  const free = (from: typeof near, slab: number, ...objects: number[]) => {
    for (const object of objects) cache.free(must(from[slab * inSlab + object]))
  }
  free(near, 0, 1)
  free(near, 1, 3, 2)
  for (const slab of [0, 1, 2, 3, 4]) free(far, slab, slab, 5)
  flushCache(machine.c, cache.record)
  take(1, 1)
  free(far, 6, 4, 2)
  const own = must(cacheState(cache).cpu.slab)
  pages.running.cpu = 0
  const mine = far.filter((object) => Math.floor(object / PAGE_SIZE) === own.pfn)
  cache.free(must(mine[7]))
  cache.free(must(mine[9]))
  pages.running.cpu = 1
  cache.free(must(mine[3]))
  return { machine, cache, state: cacheState(cache) }
}

/** A machine whose pages are in use as those of another, and a cache without slabs. */
export function empty(
  from: TinyMachine,
  options: TinyOptions = {},
  slots: Partial<SlabCacheOptions> = {},
) {
  const machine = new TinyMachine({ nodes: 2, ...options })
  const cache = machine.cache({ size: 256, ...slots })
  machine.pages.running.cpu = from.pages.running.cpu
  machine.words[cache.record + CACHE_CPU_PARTIAL_SLABS] = 3
  machine.pages.used.set(from.pages.used)
  return { machine, cache }
}
