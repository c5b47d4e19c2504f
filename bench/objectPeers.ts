/** The allocators of small memory under comparison behind one interface, which works in bytes. */

import { MemPool } from '@thi.ng/malloc'
import type { Kmem } from './kmem'
import { Floor, type Peer, type PeerKind } from './peers'
import type { TlsfExports } from './tlsf'

/** Bytes of an object of the custom cache. */
export const CACHE_OBJECT_BYTES = 200
/** Bytes of RAM per live object: three times the mean of the mixed sizes. */
const ROOM_PER_OBJECT = 512
/** Bytes of RAM besides, for watermarks, reserves and what each cache keeps. */
const ROOM = 2 ** 24

class Tlsf implements Peer {
  constructor(private readonly heap: TlsfExports) {}

  alloc(bytes: number): number {
    return this.heap.alloc(bytes) | 0
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

  alloc(bytes: number): number {
    const block = this.pool.malloc(bytes)
    return block === 0 ? -1 : block
  }

  free(block: number): void {
    this.pool.free(block)
  }
}

export type Heap = InstanceType<Kmem['Kmalloc']>
type Cache = InstanceType<Kmem['SlabCache']>
type Address = Parameters<Cache['free']>[0]

/** Memory by size. */
class KmemHeap implements Peer {
  constructor(private readonly heap: Heap) {}

  alloc(bytes: number): number {
    const block = this.heap.kmalloc(bytes)
    return block === null ? -1 : block
  }

  free(block: number): void {
    this.heap.kfree(block as Address)
  }
}

/** Objects of one cache. */
class KmemCache implements Peer {
  constructor(private readonly cache: Cache) {}

  alloc(): number {
    const block = this.cache.alloc()
    return block === null ? -1 : block
  }

  free(block: number): void {
    this.cache.free(block as Address)
  }
}

/** Bytes of RAM for so many live objects: whole MiB. */
export function ramFor(live: number): number {
  return Math.ceil((ROOM + live * ROOM_PER_OBJECT) / 2 ** 20) * 2 ** 20
}

/**
 * The peers in the order of the table's columns; kmem only when it was given: as `Kmalloc`, or, with `own`, as a
 * `SlabCache`, whose machine has other caches besides.
 */
export function objectPeerKinds(
  kmem: Kmem | null,
  newTlsf: () => TlsfExports,
  own: boolean,
): readonly PeerKind[] {
  const section = own ? 'cache' : 'kmalloc'
  const peers: readonly PeerKind[] = [
    {
      name: 'floor',
      copy: `${section} floor`,
      maxLive: 1 << 24,
      limit: '',
      create: (live) => new Floor(live + (live >> 1) + 16),
    },
    {
      name: 'TLSF',
      copy: `${section} TLSF`,
      maxLive: 1 << 20,
      limit: '',
      create: () => new Tlsf(newTlsf()),
    },
    {
      name: '@thi.ng/malloc',
      copy: `${section} @thi.ng/malloc`,
      maxLive: 10_000,
      limit: 'each free walks every live block',
      create: (live) => new ThingMalloc(ramFor(live)),
    },
  ]
  return kmem === null ? peers : [kmemObjects(kmem, own), ...peers]
}

/** The objects of kmem: of any size, or with `own` of one cache. */
export function kmemObjects(kmem: Kmem, own: boolean): PeerKind {
  return {
    name: 'kmem',
    copy: own ? 'cache kmem' : 'kmalloc kmem',
    maxLive: 1 << 20,
    limit: '',
    create: (live) => {
      const ram = new kmem.PhysicalMemory({ size: ramFor(live) })
      const heap = new kmem.Kmalloc(new kmem.BuddyAllocator({ ram }))
      if (!own) return new KmemHeap(heap)
      // Another before it, so that caches of several machines do not all lie at the same place.
      for (let other = 0; other < live % 4; other++) {
        new kmem.SlabCache(heap.slabs, { name: 'other', size: 1000 + 100 * other })
      }
      return new KmemCache(
        new kmem.SlabCache(heap.slabs, { name: 'bench', size: CACHE_OBJECT_BYTES }),
      )
    },
  }
}
