/**
 * Several machines, zones and caches at once: what the other benchmarks measure of one, so that nothing that V8 fits to
 * a single instance flatters the figures.
 */

import type { Kmem } from './kmem'
import { type Case, type Effort, type Figures, figuresOf, warmCopies } from './measure'
import { EQUAL, MIXED, type Sizes } from './objectCases'
import { objectPeerKinds, ramFor } from './objectPeers'
import { type Peer, type PeerKind, peerKinds } from './peers'
import { always, type Draw, uniform } from './random'
import { count } from './table'
import type { TlsfExports } from './tlsf'

type Rows = readonly (readonly [Case, Figures])[]
type Pages = InstanceType<Kmem['BuddyAllocator']>
type Cache = InstanceType<Kmem['SlabCache']>

/** Machines at most, for the place of a block's owner in it. */
const HEAPS = 4
const CACHES = 12

/** The peers in the order of the columns, and the rows. */
export async function measureSeveral(
  kmem: Kmem,
  newTlsf: () => TlsfExports,
  effort: Effort,
): Promise<{ kinds: readonly PeerKind[]; rows: Rows }> {
  const pages = quick(peerKinds(kmem, newTlsf), 'machines')
  const objects = quick(objectPeerKinds(kmem, newTlsf, false), 'machines')
  const zones = [zonesOf(kmem), ...quick(peerKinds(null, newTlsf), 'zones')]
  const caches = [cachesOf(kmem), ...quick(objectPeerKinds(null, newTlsf, true), 'caches')]
  const parts: readonly [readonly PeerKind[], (live: number) => readonly Case[]][] = [
    [pages, pageCases],
    [zones, zoneCases],
    [objects, objectCases],
    [caches, cacheCases],
  ]
  const rows: (readonly [Case, Figures])[] = []
  for (const [kinds, cases] of parts) {
    rows.push(...(await figuresOf(cases(10_000), await warmCopies(kinds, cases(1000)), effort)))
  }
  return { kinds: pages, rows }
}

/** Those that can hold what is measured here, each with a copy of the workloads for this purpose. */
function quick(kinds: readonly PeerKind[], copy: string): readonly PeerKind[] {
  return kinds
    .filter(({ name }) => name !== '@thi.ng/malloc')
    .map((kind) => ({ ...kind, copy: `${kind.copy}, ${copy}` }))
}

function pageCases(live: number): readonly Case[] {
  return [1, HEAPS].flatMap((heaps) => [
    pair('one page', 0, heaps),
    replaced({ name: 'single pages', draw: always(0) }, live, heaps),
  ])
}

function objectCases(live: number): readonly Case[] {
  return [1, HEAPS].flatMap((heaps) => [pair(EQUAL.name, 64, heaps), replaced(MIXED, live, heaps)])
}

function zoneCases(live: number): readonly Case[] {
  return [replaced({ name: 'pages of two zones, four masks', draw: always(0) }, live)]
}

function cacheCases(live: number): readonly Case[] {
  return [replaced({ name: `objects of ${CACHES} caches`, draw: cacheSizes }, live)]
}

const cacheSizes: Draw = (random, length) =>
  uniform(0, CACHES)(random, length).map((number) => bytesOf(number))

/** Bytes of an object of the cache with a number. */
function bytesOf(number: number): number {
  return 24 + 72 * number
}

function pair(name: string, request: number, heaps: number): Case {
  return {
    name: `${name}: alloc, free, ${machines(heaps)}`,
    live: heaps,
    heaps,
    setUp: (workloads, peer) => (pairs) => workloads.allocFree(peer, request, pairs),
  }
}

function replaced({ name, draw }: Sizes, live: number, heaps?: number): Case {
  return {
    name: `${name}: replaced among ${count(live)}${heaps === undefined ? '' : `, ${machines(heaps)}`}`,
    live,
    ...(heaps === undefined ? {} : { heaps }),
    setUp: (workloads, peer) => {
      const population = workloads.populate(peer, live, draw)
      return (pairs) => workloads.replaceMixed(population, pairs)
    },
  }
}

function machines(heaps: number): string {
  return heaps === 1 ? 'one machine' : `${heaps} machines in turn`
}

/** Pages by masks of several kinds, on a machine with memory below and above 4 GiB. */
class Zones implements Peer {
  private turn = 0
  private readonly masks: readonly number[]

  constructor(
    private readonly pages: Pages,
    { GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_ATOMIC, GFP_DMA32 }: Kmem,
  ) {
    this.masks = [GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_ATOMIC, GFP_DMA32]
  }

  alloc(): number {
    const turn = this.turn
    this.turn = (turn + 1) & 3
    const pfn = this.pages.allocPages(this.masks[turn]!)
    return pfn === null ? -1 : pfn
  }

  free(block: number): void {
    this.pages.freePages(block as Parameters<Pages['freePages']>[0])
  }
}

function zonesOf(kmem: Kmem): PeerKind {
  return {
    name: 'kmem',
    copy: 'zones kmem',
    maxLive: 1 << 16,
    limit: '',
    create: () => {
      const map = [0, 4 * kmem.GiB].map(
        (base) => ({ base, size: 256 * kmem.MiB, type: 'usable' }) as const,
      )
      const ram = new kmem.PhysicalMemory({ map, content: false })
      return new Zones(new kmem.BuddyAllocator({ ram }), kmem)
    },
  }
}

/** Objects of caches, which are found by the size of theirs. */
class Caches implements Peer {
  private readonly caches: Cache[] = []

  constructor(kmem: Kmem, live: number) {
    const ram = new kmem.PhysicalMemory({ size: 2 * ramFor(live) })
    const { slabs } = new kmem.Kmalloc(new kmem.BuddyAllocator({ ram }))
    for (let number = 0; number < CACHES; number++) {
      const size = bytesOf(number)
      this.caches[size] = new kmem.SlabCache(slabs, { name: `several ${number}`, size })
    }
  }

  alloc(bytes: number): number {
    const block = this.caches[bytes]!.alloc()
    return block === null ? -1 : block
  }

  free(block: number, bytes: number): void {
    this.caches[bytes]!.free(block as Parameters<Cache['free']>[0])
  }
}

function cachesOf(kmem: Kmem): PeerKind {
  return {
    name: 'kmem',
    copy: 'caches kmem',
    maxLive: 1 << 16,
    limit: '',
    create: (live) => new Caches(kmem, live),
  }
}
