/** Times one workload on one peer: nanoseconds per pair of alloc and free. */

import { measure } from 'mitata'
import { MAX_BENCH_ORDER, type Peer, type PeerKind } from './peers'
import type { Population } from './workloads'

export type Workloads = typeof import('./workloads')

/** How thorough a run is. */
export interface Effort {
  /** Time spent on one figure, in nanoseconds. */
  readonly budgetNs: number
  /** The largest number of live pages in a case. */
  readonly maxPages: number
}

export const FULL: Effort = { budgetNs: 500_000_000, maxPages: 1_000_000 }
export const QUICK: Effort = { budgetNs: 50_000_000, maxPages: 100_000 }

/** One row of the table. */
export interface Case {
  readonly name: string
  /** Live pages at the most, counting those of a block each. */
  readonly pages: number
  /** Pairs that one call of the workload does; chosen by the speed of the peer when absent. */
  readonly pairs?: number
  /** Prepares a new heap and returns what is timed. */
  setUp(workloads: Workloads, peer: Peer): (pairs: number) => void
}

/** Peers slower than this, in ns per pair, get shorter samples. */
const SLOW_NS = 1000
const PAIRS = 10_000
const SLOW_PAIRS = 200

/** Orders 0 to 4, equally likely, make 6.2 pages a block; a quarter more for chance and for splits. */
const MIXED_PAGES_PER_BLOCK = 8

/** A heap settles for at most so long, in ms. */
const SETTLE_MS = 2000

/** Workloads compiled for one peer only. */
export async function workloadsFor(kind: PeerKind): Promise<Workloads> {
  const url = new URL(`./workloads.ts?peer=${encodeURIComponent(kind.name)}`, import.meta.url)
  return (await import(url.href)) as Workloads
}

/** A single-page case among `live` live pages. */
export function replacement(live: number): Case {
  return {
    name: `random replacement among ${live.toLocaleString('en')} live pages`,
    pages: live,
    setUp: (workloads, peer) => {
      const population = workloads.populate(peer, live, 1)
      return (pairs) => workloads.replacePages(population, pairs)
    },
  }
}

/** Every kind of case, with `live` live pages where it has many. */
export function basicCases(live = 16_000): readonly Case[] {
  const blocks = live >> 2
  const burst = live >> 4
  return [
    {
      name: 'one page: alloc, free',
      pages: 1,
      setUp: (workloads, peer) => (pairs) => workloads.allocFree(peer, pairs),
    },
    replacement(live),
    {
      name: `bursts of ${burst.toLocaleString('en')} among ${live.toLocaleString('en')} live pages`,
      pages: live,
      pairs: burst,
      setUp: (workloads, peer) => {
        const population = workloads.populate(peer, live, 1)
        return (pairs) => workloads.replaceBurst(population, pairs)
      },
    },
    {
      name: `orders 0 to ${MAX_BENCH_ORDER} among ${blocks.toLocaleString('en')} live blocks`,
      pages: blocks * MIXED_PAGES_PER_BLOCK,
      setUp: (workloads, peer) => {
        const population = workloads.populate(peer, blocks, MAX_BENCH_ORDER + 1)
        return (pairs) => workloads.replaceBlocks(population, pairs)
      },
    },
    {
      name: `fill and empty ${live.toLocaleString('en')} pages`,
      pages: live,
      pairs: live,
      setUp: (workloads, peer) => {
        const population: Population = workloads.populate(peer, live, 1)
        workloads.empty(population)
        return (pairs) => workloads.fillAndEmpty(population, pairs)
      },
    },
  ]
}

/**
 * Runs every case on several small heaps, untimed: with a single instance in the process, V8 would fold its fields into
 * the code, which no program with two heaps enjoys.
 */
export function warmUp(kind: PeerKind, workloads: Workloads): void {
  for (let heap = 0; heap < 3; heap++) {
    for (const { pages, pairs, setUp } of basicCases(1024)) {
      setUp(workloads, kind.create(pages + heap))(pairs ?? SLOW_PAIRS)
    }
  }
}

/** The median nanoseconds per pair, or null when the peer cannot hold that many pages. */
export async function nsPerPair(
  kind: PeerKind,
  workloads: Workloads,
  { pages, pairs, setUp }: Case,
  effort: Effort,
): Promise<number | null> {
  if (pages > kind.maxPages) return null
  const work = setUp(workloads, kind.create(pages))
  settle(work, pairs ?? SLOW_PAIRS, 4 * pages)
  const count = pairs ?? choosePairs(work)
  return (await medianNs(() => work(count), effort)) / count
}

/** The median nanoseconds of one call. */
export async function medianNs(call: () => unknown, { budgetNs }: Effort): Promise<number> {
  // A batch of mitata's would run the call 4,096 times a sample, and its stand-in for a collector allocates 1 GiB.
  const { p50 } = await measure(call, { min_cpu_time: budgetNs, batch_threshold: 0, gc: false })
  return p50
}

/**
 * Works untimed until each block has changed hands a few times: a heap that keeps its headers in memory touches most of
 * that memory for the first time only then, and the operating system's page faults are not its fault.
 */
function settle(work: (pairs: number) => void, chunk: number, pairs: number): void {
  const end = performance.now() + SETTLE_MS
  for (let done = 0; done < pairs && performance.now() < end; done += chunk) work(chunk)
}

function choosePairs(work: (pairs: number) => void): number {
  work(SLOW_PAIRS)
  const start = performance.now()
  work(SLOW_PAIRS)
  const ns = ((performance.now() - start) * 1e6) / SLOW_PAIRS
  return ns > SLOW_NS ? SLOW_PAIRS : PAIRS
}
