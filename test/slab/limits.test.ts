/** What the slab layer does at its limits: a full state, nodes that are not there, the emergency reserve. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_MEMALLOC,
  __GFP_ZERO,
  BuddyAllocator,
  cacheState,
  GFP_ATOMIC,
  GFP_KERNEL,
  InvalidArgument,
  type KernelBug,
  Kmalloc,
  loadCache,
  MiB,
  OutOfMemory,
  onCpu,
  type PageSource,
  PhysicalMemory,
  pageSource,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_TYPESAFE_BY_RCU,
  SlabAllocator,
  SlabCache,
  slubDebug,
  type VirtAddr,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { bootstrap } from '../../src/slab/bootstrap'
import { kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { type Device, dmaBitMask } from '../../src/slab/dmaCoherent'
import { DmaPool } from '../../src/slab/dmaPool'
import { newSlabContext } from '../../src/slab/options'
import { newSlabState } from '../../src/slab/slabState'
import { PAGE_FLAGS, PAGE_PFMEMALLOC } from '../../src/state/schema'
import { SLAB_FRAMES, SLAB_WORDS_USED } from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { smallMachine } from '../debug/slubMachine'
import {
  expectSound,
  freePages,
  machineHash,
  must,
  type SlabMachine,
  slabMachine,
  slabOf,
} from './machines'

/** Takes all of the state's words but `left` until the function is called that comes back. */
function fill(slabs: SlabAllocator, left = 0): () => void {
  const used = slabs.words[SLAB_WORDS_USED]!
  slabs.words[SLAB_WORDS_USED] = slabs.words.length - left
  return () => {
    slabs.words[SLAB_WORDS_USED] = used
  }
}

describe('a state that is full', () => {
  it('has no room for a slab: the pages go back', () => {
    const machine = slabMachine()
    const cache = new SlabCache(machine.slabs, { name: 'mine', size: 200 })
    const before = machineHash(machine)
    const free = freePages(machine)
    const restore = fill(machine.slabs)
    expect(cache.alloc()).toBeNull()
    expect(freePages(machine)).toBe(free)
    restore()
    expect(machineHash(machine).split(',')[0]).toBe(before.split(',')[0])
    expect(cache.alloc()).not.toBeNull()
    expectSound(machine)
  })

  it.each([0, 64])('has no room for a cache, when %i words are left', (left) => {
    const machine = slabMachine()
    const make = () => new SlabCache(machine.slabs, { name: 'mine', size: 200, ctor: () => {} })
    fill(machine.slabs, left)
    expect(thrownBy(make)).toBeInstanceOf(OutOfMemory)
    const before = machineHash(machine)
    // What had been taken of the state is there to be taken again.
    expect(thrownBy(make)).toBeInstanceOf(OutOfMemory)
    expect(machineHash(machine)).toBe(before)
  })

  it('has no room for the first caches', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: MiB }) })
    const source = pageSource(pages)
    const words = newSlabState(source, false)
    words[SLAB_WORDS_USED] = words.length
    expect(() => bootstrap(newSlabContext(source, {}, words))).toThrow(OutOfMemory)
  })

  it('has no room for a cache that is loaded', () => {
    const machine = slabMachine()
    const from = new SlabCache(machine.slabs, { name: 'from', size: 200, ctor: () => {} })
    from.alloc()
    const state = cacheState(from)
    const other = slabMachine()
    const slab = must(state.cpu.slab)
    for (let i = 0; i < 2 ** state.order; i++) {
      while (must(other.pages.allocPages(GFP_KERNEL)) < slab.pfn + i);
    }
    const to = new SlabCache(other.slabs, { name: 'to', size: 200, ctor: () => {} })
    const restore = fill(other.slabs)
    expect(() => loadCache(to, state)).toThrow(InvalidArgument)
    restore()
  })
})

describe('a slab of the smallest order', () => {
  it('is loaded with the others of its cache', () => {
    const options = { name: 'mine', size: 1000, ctor: () => {} }
    const scarce = slabMachine({
      between: (source) => ({
        ...source,
        allocBlock: (gfp, order, node) => (order > 0 ? -1 : source.allocBlock(gfp, order, node)),
      }),
    })
    const from = new SlabCache(scarce.slabs, options)
    const objects = [must(from.alloc()), must(from.alloc())]
    const state = cacheState(from)
    const slab = must(state.cpu.slab)
    expect([slab.objects, state.objs > slab.objects]).toEqual([state.minobjs, true])
    const machine = slabMachine()
    const to = new SlabCache(machine.slabs, options)
    while (must(machine.pages.allocPages(GFP_KERNEL)) < slab.pfn);
    loadCache(to, state)
    expect(cacheState(to)).toEqual(state)
    // Its objects that are in use can be freed, and its page goes back.
    for (const object of objects) to.free(object)
    to.shrink()
    expect(machine.slabs.words[SLAB_FRAMES + slab.pfn]).toBe(0)
    expectSound(machine)
  })
})

describe('boot without memory', () => {
  it.each([1, 2, 3, 4])('throws, whichever of the pages is missing (%i), checked or not', (n) => {
    for (const boot of ['', 'FZPU']) {
      const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: MiB }) })
      const real = pageSource(pages)
      let calls = 0
      const failing: PageSource = {
        ...real,
        allocBlock: (...request) => {
          calls += 1
          return calls >= n ? -1 : real.allocBlock(...request)
        },
      }
      const debug = boot === '' ? {} : { debug: slubDebug({ boot }) }
      const make = () => new SlabAllocator(failing, debug)
      // Frame 0 is set aside, the first slab is one for a node, the second the cache of caches.
      if (n > 3) expect(make).not.toThrow()
      else expect(make).toThrow(OutOfMemory)
    }
  })
})

describe('a node that is offline', () => {
  const machine = () => {
    const ram = new PhysicalMemory({ size: 8 * MiB })
    return new Kmalloc(new BuddyAllocator({ ram, cpuNodes: [0, 2] }))
  }

  it('is refused as one to be near', () => {
    const heap = machine()
    const before = heap.slabs.words.slice(0, heap.slabs.wordsUsed)
    expect(() => heap.kmalloc(100, GFP_KERNEL, 1)).toThrow(InvalidArgument)
    const device: Device = { name: 'nic', node: 1, dmaMask: dmaBitMask(32) }
    expect(() => DmaPool.create(heap, { name: 'p', device, size: 64 })).toThrow('device.node is 1')
    expect(heap.slabs.words.slice(0, heap.slabs.wordsUsed)).toEqual(before)
    expect(heap.kmalloc(100, GFP_KERNEL, 2)).not.toBeNull()
  })
})

describe('a node whose memory caches do not use', () => {
  it('is passed by when a cache shrinks', () => {
    const machine = slabMachine({ nodes: 2, slabs: { nodes: [0] } })
    const cache = new SlabCache(machine.slabs, { name: 'mine', size: 200, ctor: () => {} })
    cache.free(must(cache.alloc()))
    expect(cache.shrink()).toBe(false)
    expectSound(machine)
  })
})

describe('slabs of the emergency reserve', () => {
  /** A machine whose new blocks count as taken from the reserve while `reserve` is set. */
  function machineWithReserve(nodes = 1, cpus = 1) {
    const dial = { reserve: false }
    const machine: SlabMachine = slabMachine({
      nodes,
      cpus,
      between: (source) => ({
        ...source,
        allocBlock(gfp, order, node) {
          const pfn = source.allocBlock(gfp, order, node)
          const flags = pageRecord(pfn) + PAGE_FLAGS
          if (dial.reserve && pfn >= 0) machine.pages.words[flags]! |= PAGE_PFMEMALLOC
          return pfn
        },
      }),
    })
    const cache = new SlabCache(machine.slabs, { name: 'mine', size: 500, ctor: () => {} })
    return {
      machine,
      cache,
      dial,
      slab: (object: VirtAddr | null) => slabOf(machine, must(object)),
    }
  }

  it('give a request without a right to them one object each, and the rest to one that has it', () => {
    const { machine, cache, dial, slab } = machineWithReserve()
    dial.reserve = true
    const objects = [cache.alloc(), cache.alloc(), cache.alloc()]
    const slabs = objects.map(slab)
    expect(new Set(slabs).size).toBe(3)
    const more = Array.from({ length: 6 }, () => cache.alloc(GFP_ATOMIC | __GFP_MEMALLOC))
    expect(more.map(slab).every((record) => slabs.includes(record))).toBe(true)
    expectSound(machine)
  })

  it('are left by a CPU when its own objects are used up, for who has no right to more', () => {
    const { machine, cache, dial, slab } = machineWithReserve(1, 2)
    dial.reserve = true
    const first = cache.alloc(GFP_ATOMIC | __GFP_MEMALLOC)
    const count = cacheState(cache).objs
    const rest = Array.from({ length: count - 1 }, () => cache.alloc(GFP_ATOMIC | __GFP_MEMALLOC))
    expect(new Set([first, ...rest].map(slab)).size).toBe(1)
    onCpu(machine.pages, 1, () => cache.free(must(rest[3])))
    dial.reserve = false
    // The object that another CPU has freed belongs to the slab, not to the CPU.
    expect(slab(cache.alloc())).not.toBe(slab(first))
    expect(cacheState(cache).nodes[0]?.nrPartial).toBe(1)
    expectSound(machine)
  })

  it('of other nodes are no help where no slab there may be used', () => {
    const { machine, cache, dial, slab } = machineWithReserve(2)
    dial.reserve = true
    const far = Array.from({ length: 8 }, () => cache.allocNode(GFP_KERNEL, 1))
    expect(cacheState(cache).nodes[1]?.nrPartial).toBe(8)
    dial.reserve = false
    const near = cache.alloc()
    expect(far.map(slab)).not.toContain(slab(near))
    expect(cacheState(cache).nodes[0]?.slabs).toBe(1)
    // With the right, the slabs of the other node are used before a new one is made.
    onCpu(machine.pages, 0, () => {
      while (slab(cache.alloc(GFP_ATOMIC | __GFP_MEMALLOC)) === slab(near));
    })
    expect(cacheState(cache).nodes[0]?.slabs).toBe(1)
    expectSound(machine)
  })
})

describe('free pointers that were overwritten', () => {
  /** A cache of 8-byte-aligned objects, and the addresses of the next ones that it will give. */
  function machineWithChain() {
    const machine = slabMachine()
    const cache = new SlabCache(machine.slabs, { name: 'mine', size: 200, ctor: () => {} })
    const first = must(cache.alloc())
    const { cpu, offset } = cacheState(cache)
    const { freelist } = cpu
    const pointerOf = (index: number) => Number(freelist[index]) + offset
    return { machine, cache, first, freelist, pointerOf }
  }

  it.each([
    ['into an object', 8],
    ['to an object in use', 0],
  ])('lead %s: the chain is cut off before that is handed out', (_where, distance) => {
    const { machine, cache, first, freelist, pointerOf } = machineWithChain()
    machine.ram.writeU32(pointerOf(0), first + distance)
    expect(cache.alloc()).toBe(Number(freelist[0]))
    const bug = thrownBy(() => cache.alloc()) as KernelBug
    expect(bug.code).toBe('FREELIST_CORRUPT')
    expect(slabOf(machine, must(cache.alloc()))).not.toBe(slabOf(machine, first))
    cache.free(first)
    expectSound(machine)
  })

  it('are found when a CPU leaves its slab', () => {
    const { machine, cache, first, pointerOf } = machineWithChain()
    machine.ram.writeU32(pointerOf(2), first)
    expect((thrownBy(() => cache.shrink()) as KernelBug).code).toBe('FREELIST_CORRUPT')
    cache.free(first)
    expectSound(machine)
  })
})

describe('zeroed objects of a cache with a constructor', () => {
  it('are warned of once', () => {
    const { slabs, log } = smallMachine()
    const cache = new SlabCache(slabs, { name: 'mine', size: 4000, ctor: () => {} })
    log()
    const gfp = (GFP_KERNEL | __GFP_ZERO) >>> 0
    for (let i = 0; i < 30; i++) cache.alloc(gfp)
    expect(cacheState(cache).nodes[0]?.slabs).toBeGreaterThan(1)
    expect(log().filter((line) => line.startsWith('WARNING'))).toHaveLength(1)
  })
})

describe('ksize', () => {
  it('ends in front of the free pointer, where that lies behind the object', () => {
    const heap = new Kmalloc(new BuddyAllocator({ ram: new PhysicalMemory({ size: 4 * MiB }) }))
    const cache = new SlabCache(heap.slabs, {
      name: 'rcu',
      size: 100,
      flags: SLAB_TYPESAFE_BY_RCU,
    })
    expect(cacheState(cache)).toMatchObject({ inuse: 104, size: 112 })
    expect(heap.ksize(must(cache.alloc()))).toBe(104)
    expect(heap.ksize(must(heap.kmalloc(100)))).toBe(128)
  })
})

describe('a bulk of objects', () => {
  it('is not freed when one is on no slab, even where bugs are only reported', () => {
    const { slabs, pages, log, state } = smallMachine({ onBug: 'continue' })
    const options = { name: 'mine', size: 64, flags: SLAB_CONSISTENCY_CHECKS }
    const cache = new SlabCache(slabs, options)
    const object = must(cache.alloc())
    const page = (must(pages.allocPages(GFP_KERNEL)) * 4096) as VirtAddr
    log()
    const call = () => kmemCacheFreeBulk(cache, [object, page])
    expect((thrownBy(call) as KernelBug).code).toBe('NOT_A_SLAB')
    const before = state()
    expect((thrownBy(call) as KernelBug).code).toBe('NOT_A_SLAB')
    expect(state()).toBe(before)
    cache.free(object)
  })
})
