/** What is measured of the page allocator. */

import type { Case, Effort } from './measure'
import { MAX_BENCH_ORDER } from './peers'
import { always, uniform } from './random'
import { count } from './table'
import type { Population } from './workloads'

/** Orders 0 to 4, equally likely, make 6.2 pages a block; a quarter more for chance and for splits. */
const MIXED_PAGES_PER_BLOCK = 8

const GROWTH = [1000, 16_000, 100_000, 1_000_000]

/** Random replacement of single pages, more of them from case to case. */
export function growthCases({ maxLive }: Effort): readonly Case[] {
  return GROWTH.filter((live) => live <= maxLive).map(replacement)
}

/** Every kind of case, with `live` live pages where it has many. */
export function pageCases(live = 16_000): readonly Case[] {
  const blocks = live >> 2
  const burst = live >> 4
  return [
    {
      name: 'one page: alloc, free',
      live: 1,
      setUp: (workloads, peer) => (pairs) => workloads.allocFree(peer, 0, pairs),
    },
    replacement(live),
    {
      name: `bursts of ${count(burst)} among ${count(live)} live pages`,
      live,
      pairs: burst,
      setUp: (workloads, peer) => {
        const population = workloads.populate(peer, live, always(0))
        return (pairs) => workloads.replaceBurst(population, pairs)
      },
    },
    {
      name: `orders 0 to ${MAX_BENCH_ORDER} among ${count(blocks)} live blocks`,
      live: blocks * MIXED_PAGES_PER_BLOCK,
      setUp: (workloads, peer) => {
        const population = workloads.populate(peer, blocks, uniform(0, MAX_BENCH_ORDER + 1))
        return (pairs) => workloads.replaceMixed(population, pairs)
      },
    },
    {
      name: `fill and empty ${count(live)} pages`,
      live,
      pairs: live,
      setUp: (workloads, peer) => {
        const population: Population = workloads.populate(peer, live, always(0))
        workloads.empty(population)
        return (pairs) => workloads.fillAndEmpty(population, pairs)
      },
    },
  ]
}

function replacement(live: number): Case {
  return {
    name: `random replacement among ${count(live)} live pages`,
    live,
    setUp: (workloads, peer) => {
      const population = workloads.populate(peer, live, always(0))
      return (pairs) => workloads.replaceEqual(population, 0, pairs)
    },
  }
}
