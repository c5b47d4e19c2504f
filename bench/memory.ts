/** What live memory costs: RAM and state beside TLSF's heap, for the same live set. */

import type { Kmem } from './kmem'
import { EQUAL, MIXED, type Sizes, SMALL } from './objectCases'
import { type Heap, ramFor } from './objectPeers'
import type { Peer } from './peers'
import type { TlsfExports } from './tlsf'
import { populate, replaceMixed } from './workloads'

/** Sizes and number of the live objects. */
const SETS: readonly (readonly [Sizes, live: number])[] = [
  [EQUAL, 1000],
  [SMALL, 10_000],
  [SMALL, 100_000],
  [MIXED, 10_000],
  [MIXED, 100_000],
]
const PAGE_SIZE = 4096
/** State of a page: its record in the page allocator, and its word in the slab layer. Bytes. */
const STATE_PER_PAGE = 16 + 4
/** Each object is replaced so many times, so that freed memory has had time to scatter. */
const ROUNDS = 4

/** What one live set takes, in bytes per live byte. */
export interface MemoryRow {
  readonly name: string
  readonly live: number
  /** Bytes asked for and in use. */
  readonly liveBytes: number
  /** Pages that the slab layer has taken, besides what it has when nothing is live. Bytes. */
  readonly ram: number
  /** State of these pages, of their slabs and objects. Bytes. */
  readonly state: number
  /** TLSF: from the start of its memory to the end of the highest block that it ever handed out. Bytes. */
  readonly tlsf: number
}

/** A row for each live set, the same for both. */
export function measureMemory(kmem: Kmem, newTlsf: () => TlsfExports): readonly MemoryRow[] {
  return SETS.map(([sizes, live]) => {
    const { liveBytes, ram, state } = kmemMemory(kmem, sizes, live)
    const tlsf = tlsfMemory(newTlsf(), sizes, live)
    return { name: sizes.name, live, liveBytes, ram, state, tlsf }
  })
}

/** State in bytes of a machine with 64 MiB, one CPU and the kmalloc caches, with nothing live. */
export function idleState(kmem: Kmem): number {
  return newHeap(kmem, 2 ** 26).heap.slabs.wordsUsed * 4
}

function kmemMemory(
  kmem: Kmem,
  sizes: Sizes,
  live: number,
): { liveBytes: number; ram: number; state: number } {
  const { heap, taken } = newHeap(kmem, ramFor(live))
  const peer: Peer = {
    alloc: (bytes) => heap.kmalloc(bytes) ?? -1,
    free: (block) => heap.kfree(block as Parameters<Heap['kfree']>[0]),
  }
  const pages = taken()
  const words = heap.slabs.wordsUsed
  const liveBytes = settle(peer, sizes, live)
  const ram = (taken() - pages) * PAGE_SIZE
  const records = (heap.slabs.wordsUsed - words) * 4
  return { liveBytes, ram, state: records + (ram / PAGE_SIZE) * STATE_PER_PAGE }
}

/** A heap over pages that are counted: `taken` tells how many it has. */
function newHeap(kmem: Kmem, size: number): { heap: Heap; taken: () => number } {
  const ram = new kmem.PhysicalMemory({ size })
  const source = kmem.pageSource(new kmem.BuddyAllocator({ ram }))
  let pages = 0
  const counted: typeof source = {
    ...source,
    allocBlock(gfp, order, node) {
      const pfn = source.allocBlock(gfp, order, node)
      if (pfn >= 0) pages += 1 << order
      return pfn
    },
    freeBlock(pfn, order) {
      source.freeBlock(pfn, order)
      pages -= 1 << order
    },
  }
  return { heap: new kmem.Kmalloc(counted), taken: () => pages }
}

function tlsfMemory(exports: TlsfExports, sizes: Sizes, live: number): number {
  let end = 0
  const peer: Peer = {
    alloc: (bytes) => {
      const block = exports.alloc(bytes)
      end = Math.max(end, block + bytes)
      return block
    },
    free: exports.free,
  }
  settle(peer, sizes, live)
  return end - exports.base()
}

/** Brings the live set about; returns the bytes asked for. */
function settle(peer: Peer, { draw }: Sizes, live: number): number {
  const population = populate(peer, live, draw)
  replaceMixed(population, ROUNDS * live)
  return population.requests.reduce((sum, bytes) => sum + bytes, 0)
}
