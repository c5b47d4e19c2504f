/** The worked traces of spec/slab.md, literally: §12.2, §23.1, §23.2, §24.1 to §24.4. */

import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  type CacheState,
  cacheState,
  findCache,
  GFP_KERNEL,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  PAGE_SIZE,
  type PageSource,
  PhysicalMemory,
  pageSource,
  SlabAllocator,
  SlabCache,
  type SlabState,
  slabNodeOnline,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { formatName } from '../../src/slab/cacheName'
import { loadAddress } from '../../src/slab/caches'
import { cachesOf } from '../../src/slab/hotplug'
import { cacheNode } from '../../src/slab/slabs'
import { SLAB_NODE_OBJECT } from '../../src/state/slabSchema'
import {
  expectSound,
  must,
  type SlabMachine,
  type SlabMachineOptions,
  slabMachine,
} from './machines'

/** A page source that writes down what is asked of it. */
function listened(source: PageSource, log: string[]): PageSource {
  return {
    ...source,
    allocBlock(gfp, order, node) {
      const pfn = source.allocBlock(gfp, order, node)
      log.push(`order ${order} on node ${source.nodeOf(pfn)}`)
      return pfn
    },
    freeBlock(pfn, order) {
      log.push(`free ${pfn}`)
      source.freeBlock(pfn, order)
    },
  }
}

/** A cache whose slabs are numbered in the order in which they come. */
class Traced {
  readonly machine: SlabMachine
  readonly cache: SlabCache
  /** First frames of the slabs so far. */
  readonly pfns: number[] = []
  /** Slabs that went back, by number. */
  readonly released: number[] = []
  private readonly bytes: number

  constructor(size: number, options: SlabMachineOptions = {}) {
    const between = (source: PageSource): PageSource => ({
      ...source,
      freeBlock: (pfn, order) => {
        this.released.push(this.pfns.indexOf(pfn))
        source.freeBlock(pfn, order)
      },
    })
    this.machine = slabMachine({ ...options, slabs: { merge: false, ...options.slabs }, between })
    this.cache = new SlabCache(this.machine.slabs, { name: 'traced', size })
    this.bytes = PAGE_SIZE * 2 ** this.state.order
  }

  get state(): CacheState {
    expectSound(this.machine)
    return cacheState(this.cache)
  }

  /** `Sk.i` as the specification names objects. */
  name(object: number): string {
    const base = Math.floor(object / PAGE_SIZE)
    let k = this.pfns.findIndex((pfn) => base >= pfn && base < pfn + this.bytes / PAGE_SIZE)
    if (k < 0) k = this.pfns.push(base) - 1
    return `S${k}.${(object - must(this.pfns[k]) * PAGE_SIZE) / this.cache.size}`
  }

  /** The object of a name. */
  at(name: string): VirtAddr {
    const [k = 0, i = 0] = name.slice(1).split('.').map(Number)
    return (must(this.pfns[k]) * PAGE_SIZE + i * this.cache.size) as VirtAddr
  }

  alloc(count: number): string[] {
    return Array.from({ length: count }, () => this.name(must(this.cache.alloc())))
  }

  allocNode(node: number): string {
    return this.name(must(this.cache.allocNode(GFP_KERNEL, node)))
  }

  free(...names: string[]): void {
    for (const name of names) this.cache.free(this.at(name))
  }

  private slabs(states: readonly SlabState[]): string {
    return states.map(({ pfn }) => `S${this.pfns.indexOf(pfn)}`).join()
  }

  /** The CPU's partial list. */
  get cpuPartial(): string {
    return this.slabs(this.state.cpu.partial)
  }

  /** A node's partial list. */
  partial(node = 0): string {
    return this.slabs(must(this.state.nodes[node]).partial)
  }

  /** The CPU's slab and its free objects. */
  get cpu(): string {
    const { slab, freelist } = this.state.cpu
    const slots = freelist.map((object) => this.name(Number(object)).split('.')[1])
    return `S${slab === null ? '-' : this.pfns.indexOf(slab.pfn)}: ${slots.join()}`
  }

  /** A slab's own free objects, wherever it is held. */
  freeOf(k: number): string {
    const { cpu, nodes } = this.state
    const all = [...cpu.partial, ...Object.values(nodes).flatMap(({ partial }) => partial)]
    const slab = must(all.find(({ pfn }) => pfn === this.pfns[k]))
    return slab.free.map((object) => this.name(Number(object)).split('.')[1]).join()
  }

  /** Active and all objects, as /proc/slabinfo has them. */
  get slabinfo(): string {
    let [active, total] = [0, 0]
    for (const node of Object.values(this.state.nodes)) {
      total += node.totalObjects
      active += node.totalObjects
      for (const { objects, inuse } of node.partial) active -= objects - inuse
    }
    return `${active}/${total}`
  }
}

function names(slab: number, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => `S${slab}.${first + i}`)
}

describe('§24.1: one after the other, frees to full slabs, last in first out', () => {
  it('goes as written', () => {
    const t = new Traced(1024)
    const { order, objs, cpu_partial_slabs, min_partial } = t.state
    expect([order, objs, cpu_partial_slabs, min_partial]).toEqual([1, 8, 6, 5])
    expect(t.alloc(20)).toEqual([...names(0, 0, 7), ...names(1, 0, 7), ...names(2, 0, 3)])
    expect(t.cpu).toBe('S2: 4,5,6,7')
    expect(t.slabinfo).toBe('24/24')
    t.free('S0.3')
    expect(t.cpuPartial).toBe('S0')
    t.free('S0.5')
    expect(t.freeOf(0)).toBe('5,3')
    t.free('S1.4')
    expect(t.cpuPartial).toBe('S1,S0')
    t.free('S2.1')
    expect(t.cpu).toBe('S2: 1,4,5,6,7')
    expect(t.alloc(9).join()).toBe('S2.1,S2.4,S2.5,S2.6,S2.7,S1.4,S0.5,S0.3,S3.0')
  })
})

describe('§24.2: a CPU’s partial list overflows, and empty slabs go back', () => {
  it('goes as written', () => {
    const t = new Traced(8192)
    const { order, objs, cpu_partial_slabs, min_partial } = t.state
    expect([order, objs, cpu_partial_slabs, min_partial]).toEqual([3, 4, 3, 6])
    t.alloc(48)
    expect(t.cpu).toBe('S11: ')
    t.free('S0.0', 'S1.0', 'S2.0')
    expect(t.cpuPartial).toBe('S2,S1,S0')
    t.free('S3.0')
    expect(t.partial()).toBe('S2,S1,S0')
    expect(t.cpuPartial).toBe('S3')
    expect(t.slabinfo).toBe('45/48')
    for (let k = 4; k <= 10; k++) t.free(`S${k}.0`)
    expect(t.partial()).toBe('S2,S1,S0,S5,S4,S3,S8,S7,S6')
    expect(t.cpuPartial).toBe('S10,S9')
    for (let k = 0; k <= 10; k++) {
      t.free(...names(k, 1, 3))
      expect(t.released).toEqual([0, 1, 2, 3].slice(0, k + 1))
    }
    expect(t.partial()).toBe('S5,S4,S8,S7,S6')
    expect(must(t.state.nodes[0]).partial.map(({ inuse }) => inuse)).toEqual([0, 0, 0, 0, 0])
    expect(t.cpuPartial).toBe('S10,S9')
    t.released.length = 0
    expect(t.cache.shrink()).toBe(true)
    expect(t.released).toEqual([9, 10, 6, 7, 8, 4, 5])
    expect(t.state.nodes[0]).toMatchObject({ slabs: 1, nrPartial: 0, totalObjects: 4 })
    expect(t.cpu).toBe('S-: ')
  })
})

describe('§24.3: refills from the node’s list', () => {
  it('goes as written', () => {
    const t = new Traced(4096)
    const { order, objs, cpu_partial_slabs, min_partial } = t.state
    expect([order, objs, cpu_partial_slabs, min_partial]).toEqual([3, 8, 2, 6])
    t.alloc(64)
    for (let k = 0; k <= 6; k++) t.free(`S${k}.${k}`)
    expect(t.partial()).toBe('S1,S0,S3,S2,S5,S4')
    expect(t.cpuPartial).toBe('S6')
    // Shrinking flushes; of the slabs with one free object each, it reverses the order.
    expect(t.cache.shrink()).toBe(true)
    expect(t.partial()).toBe('S6,S4,S5,S2,S3,S0,S1')
    expect(t.cache.shrink()).toBe(true)
    expect(t.partial()).toBe('S1,S0,S3,S2,S5,S4,S6')
    const got = []
    for (let i = 0; i < 8; i++) {
      got.push(...t.alloc(1))
      if (i === 0) expect(t.cpuPartial).toBe('S3,S0')
      if (i === 3) expect(t.cpuPartial).toBe('S4,S5')
    }
    expect(got.join()).toBe('S1.1,S3.3,S0.0,S2.2,S4.4,S5.5,S6.6,S8.0')
  })
})

describe('§24.4: two nodes, hints that alternate', () => {
  it('goes as written', () => {
    const t = new Traced(64, { nodes: 2 })
    const got = [0, 1, 0, 1, 0, 1].map((node) => t.allocNode(node))
    expect(got.join()).toBe('S0.0,S1.0,S0.1,S1.1,S0.2,S1.2')
    expect(t.cpu.slice(0, 2)).toBe('S1')
    expect(t.partial(0)).toBe('S0')
    expect(must(t.state.nodes[0]).partial[0]?.inuse).toBe(3)
    expect(t.partial(1)).toBe('')
    expect(t.alloc(1)).toEqual(['S1.3'])
  })
})

describe('§9.1: leaving a slab', () => {
  it('puts the CPU’s slab in front of its node’s list, one of its partial list at the end', () => {
    const t = new Traced(1024, { nodes: 2 })
    for (let i = 0; i < 24; i++) t.allocNode(1)
    for (let i = 0; i < 8; i++) t.allocNode(0)
    t.free('S0.0', 'S1.0', 'S2.0')
    expect(t.cpuPartial).toBe('S2,S1,S0')
    // All three are on the wrong node, and are left one after the other.
    expect(t.allocNode(0)).toBe('S4.0')
    expect(t.partial(1)).toBe('S2,S1,S0')
    expect(t.allocNode(1)).toBe('S2.0')
    expect(t.partial(0)).toBe('S4')
    expect(t.cpuPartial).toBe('S0,S1')
    t.free('S2.0')
    expect(t.allocNode(0)).toBe('S4.1')
    expect(t.partial(1)).toBe('S2,S0,S1')
    expect(t.cpuPartial).toBe('')
    t.free('S4.0')
    expect(t.allocNode(1)).toBe('S2.0')
    expect(t.partial(0)).toBe('S4')
  })
})

describe('§10: shrinking', () => {
  it('sorts by free objects up to 32, and turns each kind round', () => {
    const t = new Traced(64)
    t.alloc(6 * 64 + 1)
    const free = [3, 1, 40, 1, 33, 3]
    free.forEach((count, k) => {
      t.free(...names(k, 0, count - 1))
    })
    expect(t.partial()).toBe('S3,S2,S1,S0')
    expect(t.cpuPartial).toBe('S5,S4')
    expect(t.cache.shrink()).toBe(true)
    // Flushed: S6 with 63 free, S3, S2, S1, S0, S5, S4.
    expect(t.partial()).toBe('S1,S3,S5,S0,S6,S2,S4')
    t.free('S6.0', ...names(2, 40, 63))
    // Empty, with five partial slabs or more on the node: they go back at once.
    expect(t.released).toEqual([6, 2])
    expect(t.cache.shrink()).toBe(true)
    expect(t.partial()).toBe('S3,S1,S0,S5,S4')
  })
})

describe('§12.2: freeing in bulk', () => {
  it('groups by slab, and permutes the array', () => {
    const t = new Traced(256)
    expect(t.state.objs).toBe(16)
    t.alloc(34)
    const objects = ['S0.0', 'S1.1', 'S0.1', 'S2.1', 'S0.2', 'S1.2', 'S0.3'].map((o) => t.at(o))
    kmemCacheFreeBulk(t.cache, objects)
    expect(objects.map((object) => t.name(object)).join()).toBe(
      'S0.0,S1.1,S1.2,S2.1,S0.1,S0.2,S0.3',
    )
    expect(t.freeOf(0)).toBe('0,3,2,1')
    expect(t.freeOf(1)).toBe('2,1')
    expect(t.cpu.slice(0, 6)).toBe('S2: 1,')
    expect(t.cpuPartial).toBe('S1,S0')
  })
})

/** Objects of a cache in use on a node, of how many. */
function inUse(cache: SlabCache, node: number): string {
  const { cpu, nodes } = cacheState(cache)
  const { totalObjects, partial } = must(nodes[node])
  let free = partial.reduce((sum, slab) => sum + slab.objects - slab.inuse, 0)
  const { slab, freelist } = cpu
  if (slab !== null && cache.slabs.context.source.nodeOf(slab.pfn) === node) free += freelist.length
  return `${totalObjects - free} of ${totalObjects}`
}

describe('§23.1: the bootstrap', () => {
  it('takes the pages of two nodes in order, and has 41 caches then', () => {
    const log: string[] = []
    const m = slabMachine({
      nodes: 2,
      slabs: { layout: LAYOUT_X86_64 },
      between: (source) => listened(source, log),
    })
    new Kmalloc(m.slabs)
    expect(log).toEqual([
      'order 0 on node 0',
      'order 0 on node 1',
      'order 0 on node 0',
      'order 0 on node 0',
      'order 0 on node 0',
    ])
    const nodeCache = must(findCache(m.slabs, 'kmem_cache_node'))
    const cacheCache = must(findCache(m.slabs, 'kmem_cache'))
    expect([inUse(nodeCache, 0), inUse(nodeCache, 1)]).toEqual(['41 of 64', '41 of 64'])
    expect([inUse(cacheCache, 0), inUse(cacheCache, 1)]).toEqual(['41 of 48', '0 of 0'])
    expect([nodeCache.size, cacheCache.size, cacheCache.objectSize]).toEqual([64, 256, 216])
    expect([cacheState(nodeCache).refcount, cacheState(cacheCache).refcount]).toEqual([-1, -1])
    expectSound(m)
  })

  it('lists the newest cache first', () => {
    const m = slabMachine()
    new Kmalloc(m.slabs)
    const sizes = ['8k', '4k', '2k', '1k', 512, 256, 192, 128, 96, 64, 32, 16, 8]
    const listed = [...cachesOf(m.slabs.words)].map((cache) => formatName(m.slabs.words, cache))
    expect(listed).toEqual([
      ...sizes.map((size) => `dma-kmalloc-${size}`),
      ...sizes.map((size) => `kmalloc-rcl-${size}`),
      ...sizes.map((size) => `kmalloc-${size}`),
      'kmem_cache_node',
      'kmem_cache',
    ])
  })
})

/** Where the node state of a cache lies on a node. */
function nodeObject(cache: SlabCache, node: number): number {
  const { words } = cache.slabs
  return loadAddress(words, cacheNode(words, cache.record, node) + SLAB_NODE_OBJECT)
}

describe('§23.2: node states', () => {
  const options = { name: 'x', size: 40, ctor: () => {} }

  it('take slot (k - 1) mod 64 of the ceil(k / 64)th page of every node', () => {
    const m = slabMachine({ nodes: 2, slabs: { layout: LAYOUT_X86_64 } })
    const caches = [
      must(findCache(m.slabs, 'kmem_cache_node')),
      must(findCache(m.slabs, 'kmem_cache')),
    ]
    while (caches.length < 140) caches.push(new SlabCache(m.slabs, options))
    for (const node of [0, 1]) {
      const pages: number[] = []
      caches.forEach((cache, i) => {
        const object = nodeObject(cache, node)
        const page = Math.floor(object / PAGE_SIZE)
        if (i % 64 === 0) pages.push(page)
        expect([page, object % PAGE_SIZE], `cache ${i + 1} on node ${node}`).toEqual([
          pages.at(-1),
          (i % 64) * 64,
        ])
        expect(page >= 0x888000000).toBe(true)
      })
      expect(new Set(pages).size).toBe(3)
    }
    expectSound(m)
  })

  it('come back when a cache is destroyed and another made', () => {
    const m = slabMachine({ nodes: 2 })
    const caches = [0, 1, 2].map(() => new SlabCache(m.slabs, options))
    const at = caches.map((cache) => [nodeObject(cache, 0), nodeObject(cache, 1)])
    caches[1]?.destroy()
    const again = new SlabCache(m.slabs, options)
    expect([nodeObject(again, 0), nodeObject(again, 1)]).toEqual(at[1])
    again.destroy()
    caches[0]?.destroy()
    const two = [0, 1].map(() => new SlabCache(m.slabs, options))
    expect(two.map((cache) => nodeObject(cache, 0))).toEqual([at[0]?.[0], at[1]?.[0]])
    expectSound(m)
  })
})

describe('§23.3: a node that is added later', () => {
  it('holds nothing until a cache is made', () => {
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 8 * MiB, type: 'usable', node: 0 },
        { base: 8 * MiB, size: 8 * MiB, type: 'usable', node: 1 },
      ],
    })
    const pages = new BuddyAllocator({ ram })
    const log: string[] = []
    const slabs = new SlabAllocator(listened(pageSource(pages), log), { nodes: [0], merge: false })
    const first = new SlabCache(slabs, { name: 'first', size: 64 })
    expect(slabNodeOnline(slabs, 1)).toBe(true)
    expect(log.filter((line) => line.endsWith('node 1'))).toEqual([])
    expect(nodeObject(first, 1)).toBeLessThan(8 * MiB)
    expect(inUse(first, 1)).toBe('0 of 0')
    log.length = 0
    const made = new SlabCache(slabs, { name: 'second', size: 64 })
    expect(log).toEqual(['order 0 on node 1'])
    expect(nodeObject(made, 1)).toBe(8 * MiB)
    expectSound({ ram, pages, slabs })
  })
})
