/** Times one workload on one peer: nanoseconds per pair of alloc and free. */

import { measure } from 'mitata'
import type { Peer, PeerKind } from './peers'

type Workloads = typeof import('./workloads')

/** How thorough a run is. */
export interface Effort {
  /** Time spent on one figure, in nanoseconds. */
  readonly budgetNs: number
  /** The largest number of live blocks in a case. */
  readonly maxLive: number
}

export const FULL: Effort = { budgetNs: 500_000_000, maxLive: 1_000_000 }
export const QUICK: Effort = { budgetNs: 50_000_000, maxLive: 100_000 }

/** One row of the table. */
export interface Case {
  readonly name: string
  /** What the heap is made for: live pages, or live objects, at the most. */
  readonly live: number
  /** Heaps that serve the calls in turn and share the live blocks; a single heap, without turns, when absent. */
  readonly heaps?: number
  /** Pairs that one call of the workload does; chosen by the speed of the peer when absent. */
  readonly pairs?: number
  /** What the time is to be at most, in times the floor's. */
  readonly mostOfFloor?: number
  /** What the time is to be at most, in times TLSF's. */
  readonly mostOfTlsf?: number
  /** Prepares a new heap and returns what is timed. */
  setUp(workloads: Workloads, peer: Peer): (pairs: number) => void
}

/** A peer, and the copy of the workloads that only it has run. */
export type Copies = ReadonlyMap<PeerKind, Workloads>

/** Nanoseconds by the name of the peer; null for what it cannot do. */
export type Figures = ReadonlyMap<string, number | null>

/** Peers slower than this, in ns per pair, get shorter samples. */
const SLOW_NS = 1000
const PAIRS = 10_000
const SLOW_PAIRS = 200

/** A heap settles for at most so long, in ms. */
const SETTLE_MS = 2000

/**
 * Workloads compiled for each peer alone, and warm: `cases`, small ones, were run on several heaps of each, untimed. With
 * a single instance in the process V8 would fold its fields into the code, which no program with two heaps enjoys.
 */
export async function warmCopies(
  kinds: readonly PeerKind[],
  cases: readonly Case[],
): Promise<Copies> {
  const copies = new Map<PeerKind, Workloads>()
  for (const kind of kinds) {
    const url = new URL(`./workloads.ts?peer=${encodeURIComponent(kind.copy)}`, import.meta.url)
    const workloads = (await import(url.href)) as Workloads
    for (let heap = 0; heap < 3; heap++) {
      for (const one of cases) {
        one.setUp(workloads, heapFor(kind, workloads, one, heap))(one.pairs ?? SLOW_PAIRS)
      }
    }
    copies.set(kind, workloads)
  }
  return copies
}

/** The cases whose names have one of `parts`; all without any. */
export function casesNamed(cases: readonly Case[], parts: readonly string[]): readonly Case[] {
  return cases.filter(({ name }) => !parts.length || parts.some((part) => name.includes(part)))
}

/** The figures of each case on each peer. */
export async function figuresOf(
  cases: readonly Case[],
  copies: Copies,
  effort: Effort,
): Promise<readonly (readonly [Case, Figures])[]> {
  const rows: (readonly [Case, Figures])[] = []
  for (const one of cases) {
    const figures = new Map<string, number | null>()
    for (const [kind, workloads] of copies) {
      figures.set(kind.name, await nsPerPair(kind, workloads, one, effort))
    }
    console.error(`${one.name}: ${[...figures].map((figure) => figure.join(' ')).join(', ')}`)
    rows.push([one, figures])
  }
  return rows
}

/** The median nanoseconds of one call. */
export async function medianNs(call: () => unknown, { budgetNs }: Effort): Promise<number> {
  // A batch of mitata's would run the call 4,096 times a sample, and its stand-in for a collector allocates 1 GiB.
  const { p50 } = await measure(call, { min_cpu_time: budgetNs, batch_threshold: 0, gc: false })
  return p50
}

/** The heap of a case, with room for `more` live blocks besides. */
export function heapFor(kind: PeerKind, workloads: Workloads, one: Case, more = 0): Peer {
  const { live, heaps } = one
  if (heaps === undefined) return kind.create(live + more)
  return workloads.inTurn(Array.from({ length: heaps }, () => kind.create(live / heaps + more)))
}

/** The median nanoseconds per pair, or null when the peer cannot hold that much. */
async function nsPerPair(
  kind: PeerKind,
  workloads: Workloads,
  one: Case,
  effort: Effort,
): Promise<number | null> {
  const { live, pairs, setUp } = one
  if (live > kind.maxLive) return null
  const work = setUp(workloads, heapFor(kind, workloads, one))
  settle(work, pairs ?? SLOW_PAIRS, 4 * live)
  const count = pairs ?? choosePairs(work)
  return (await medianNs(() => work(count), effort)) / count
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
