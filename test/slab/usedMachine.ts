/** A machine for tests of what is refused, and the expectation that refusing changes nothing. */

import { expect } from 'vitest'
import {
  GFP_KERNEL,
  Kmalloc,
  type Pfn,
  SLAB_HWCACHE_ALIGN,
  SlabCache,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk } from '../../src/slab/cacheBulk'
import { thrownBy } from '../buddy/machines'
import { machineHash, must, type SlabMachine, slabMachine } from './machines'

/** A machine with a few objects in use, free and in between. */
export interface UsedMachine extends SlabMachine {
  readonly heap: Kmalloc
  readonly cache: SlabCache
  readonly other: SlabCache
  /** Objects of `cache`, in two slabs. */
  readonly objects: readonly VirtAddr[]
  /** One of `other`. */
  readonly stranger: VirtAddr
  /** 100 bytes. */
  readonly block: VirtAddr
  /** 20,000 bytes. */
  readonly large: VirtAddr
  /** A page of the page allocator's. */
  readonly page: Pfn
}

/** Makes the machine. */
export function usedMachine(): UsedMachine {
  const m = slabMachine({ mib: 2, nodes: 2, cpus: 1 })
  const heap = new Kmalloc(m.slabs)
  const cache = new SlabCache(m.slabs, { name: 'mine', size: 100, flags: SLAB_HWCACHE_ALIGN })
  const other = new SlabCache(m.slabs, { name: 'theirs', size: 200 })
  const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 40)
  const stranger = must(other.alloc())
  const block = must(heap.kmalloc(100))
  const large = must(heap.kmalloc(20_000))
  const page = must(m.pages.allocPages(GFP_KERNEL))
  // From here on such requests take the fast path.
  cache.free(must(cache.alloc()))
  heap.kfree(must(heap.kmalloc(100)))
  return { ...m, heap, cache, other, objects, stranger, block, large, page }
}

/** Expects that a call throws, and that nothing is changed by it. */
export function expectRefused(m: SlabMachine, call: () => unknown, text: string): Error {
  const before = machineHash(m)
  const error = thrownBy(call)
  if (machineHash(m) !== before) expect.fail(`${text}: something has changed`)
  return error
}
