/** What is measured of the slab layer: memory by size, and objects of one cache. */

import type { Case } from './measure'
import { CACHE_OBJECT_BYTES } from './objectPeers'
import { always, type Draw, logNormal, uniform } from './random'
import { count } from './table'

/** What live objects are asked for. */
export interface Sizes {
  readonly name: string
  readonly draw: Draw
}

export const EQUAL: Sizes = { name: '64 B', draw: always(64) }
export const SMALL: Sizes = { name: 'small, 8 to 128 B', draw: uniform(8, 129) }
export const MIXED: Sizes = { name: 'mixed, 1 B to 8 KiB', draw: logNormal(100, 8192) }

/** kmalloc and kfree: a pair, and random replacement; tens of times `live` live objects. */
export function kmallocCases(live = 1000): readonly Case[] {
  return [
    {
      name: '64 B: kmalloc, kfree',
      live: 1,
      setUp: (workloads, peer) => (pairs) => workloads.allocFree(peer, 64, pairs),
    },
    replaceEqual(EQUAL.name, 64, live),
    replaceMixed(SMALL, 10 * live),
    replaceMixed(SMALL, 100 * live),
    { ...replaceMixed(MIXED, 10 * live), mostOfFloor: 4, mostOfTlsf: 1 / 2 },
    { ...replaceMixed(MIXED, 100 * live), mostOfTlsf: 1 / 3 },
  ]
}

/** A cache of one's own: a pair, and random replacement. */
export function cacheCases(live = 1000): readonly Case[] {
  const bytes = CACHE_OBJECT_BYTES
  return [
    {
      name: `cache of ${bytes} B: alloc, free`,
      live: 1,
      mostOfFloor: 3,
      setUp: (workloads, peer) => (pairs) => workloads.allocFree(peer, bytes, pairs),
    },
    replaceEqual(`cache of ${bytes} B`, bytes, 10 * live),
  ]
}

function replaceEqual(name: string, bytes: number, live: number): Case {
  return {
    name: `${name}: replaced among ${count(live)}`,
    live,
    setUp: (workloads, peer) => {
      const population = workloads.populate(peer, live, always(bytes))
      return (pairs) => workloads.replaceEqual(population, bytes, pairs)
    },
  }
}

function replaceMixed({ name, draw }: Sizes, live: number): Case {
  return {
    name: `${name}: replaced among ${count(live)}`,
    live,
    setUp: (workloads, peer) => {
      const population = workloads.populate(peer, live, draw)
      return (pairs) => workloads.replaceMixed(population, pairs)
    },
  }
}
