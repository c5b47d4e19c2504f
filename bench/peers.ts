/** The page allocators under comparison behind one interface, which works in pages of 4 KiB. */

import { MemPool } from '@thi.ng/malloc'
import type { Kmem } from './kmem'
import type { TlsfExports } from './tlsf'

const PAGE_SIZE = 4096
/** The highest order that a workload asks for. */
export const MAX_BENCH_ORDER = 4

/**
 * One heap. Blocks are integers; what they mean is the peer's business. A request is an order, for blocks of
 * `4096 << order` bytes, or in the object peers a number of bytes.
 */
export interface Peer {
  /** A block, or a negative number when there is none. */
  alloc(request: number): number
  /** Gives back a block; the request is the one that it came from. */
  free(block: number, request: number): void
}

/** An allocator, and what it can be asked to do. */
export interface PeerKind {
  /** Heads the column. */
  readonly name: string
  /** Names its copy of the workloads. */
  readonly copy: string
  /** The largest number of live pages, or objects, worth measuring. */
  readonly maxLive: number
  /** Why not more. */
  readonly limit: string
  /** A heap with room for `live` live pages, or objects, with half as many again as slack. */
  create(live: number): Peer
}

/** What no allocator can beat: a stack of free numbers that ignores sizes and merges nothing. */
export class Floor implements Peer {
  private readonly stack: Int32Array
  private top: number

  constructor(blocks: number) {
    this.stack = Int32Array.from({ length: blocks }, (_, index) => blocks - 1 - index)
    this.top = blocks
  }

  alloc(): number {
    if (this.top === 0) return -1
    return this.stack[--this.top]!
  }

  free(block: number): void {
    this.stack[this.top++] = block
  }
}

class Tlsf implements Peer {
  constructor(private readonly heap: TlsfExports) {}

  alloc(order: number): number {
    return this.heap.alloc(PAGE_SIZE << order) | 0
  }

  free(block: number): void {
    this.heap.free(block)
  }
}

class ThingMalloc implements Peer {
  private readonly pool: MemPool

  constructor(bytes: number) {
    this.pool = new MemPool({ size: bytes })
  }

  alloc(order: number): number {
    const block = this.pool.malloc(PAGE_SIZE << order)
    return block === 0 ? -1 : block
  }

  free(block: number): void {
    this.pool.free(block)
  }
}

type Pages = InstanceType<Kmem['BuddyAllocator']>

class KmemPages implements Peer {
  constructor(
    private readonly pages: Pages,
    private readonly gfp: Kmem['GFP_KERNEL'],
  ) {}

  alloc(order: number): number {
    const pfn = this.pages.allocPages(this.gfp, order)
    return pfn === null ? -1 : pfn
  }

  free(block: number, order: number): void {
    this.pages.freePages(block as Parameters<Pages['freePages']>[0], order)
  }
}

/** The peers in the order of the table's columns; kmem only when it was given. */
export function peerKinds(kmem: Kmem | null, newTlsf: () => TlsfExports): readonly PeerKind[] {
  const floor: PeerKind = {
    name: 'floor',
    copy: 'pages floor',
    maxLive: 1 << 24,
    limit: '',
    create: (pages) => new Floor(roomFor(pages)),
  }
  const tlsf: PeerKind = {
    name: 'TLSF',
    copy: 'pages TLSF',
    maxLive: 250_000,
    limit: 'wasm32 ends at 4 GiB, and each page carries a header inside it',
    create: () => new Tlsf(newTlsf()),
  }
  const thing: PeerKind = {
    name: '@thi.ng/malloc',
    copy: 'pages @thi.ng/malloc',
    maxLive: 32_000,
    limit: 'each free walks every live block',
    create: (pages) => new ThingMalloc(roomFor(pages) * (PAGE_SIZE + 16)),
  }
  return kmem === null ? [floor, tlsf, thing] : [kmemPages(kmem), floor, tlsf, thing]
}

/** The page allocator of kmem. */
export function kmemPages(kmem: Kmem): PeerKind {
  return {
    name: 'kmem',
    copy: 'pages kmem',
    maxLive: 1 << 24,
    limit: '',
    create: (pages) => {
      const size = Math.ceil(roomFor(pages) / 256) * kmem.MiB
      const ram = new kmem.PhysicalMemory({ size, content: false })
      return new KmemPages(new kmem.BuddyAllocator({ ram }), kmem.GFP_KERNEL)
    },
  }
}

/** Half as many pages again, and 64 MiB for watermarks and reserves. */
function roomFor(pages: number): number {
  return pages + (pages >> 1) + 16384
}
