/** One test for each bug that reading found: what each did before is in its comment. */

import { describe, expect, it } from 'vitest'
import { slubDebug } from '../../src/debug/slubDebug'
import { verifySlabs } from '../../src/debug/verifySlabs'
import {
  __GFP_MEMALLOC,
  __GFP_NOWARN,
  attachSlabs,
  attachState,
  BuddyAllocator,
  cacheState,
  findCache,
  GFP_ATOMIC,
  GFP_KERNEL,
  getPage,
  InvalidArgument,
  type KernelBug,
  Kmalloc,
  kfreeSensitive,
  kmemCacheAllocBulk,
  loadCache,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  pageCount,
  putPage,
  SlabAllocator,
  SlabCache,
  type VirtAddr,
  withPressure,
} from '../../src/index'
import { thrownBy } from '../buddy/machines'
import { expectSound, freePages, machineHash, must, slabMachine } from './machines'

const QUIET = GFP_KERNEL | __GFP_NOWARN
const pfnOf = (address: number) => Math.floor(address / PAGE_SIZE) as Pfn
const ctor = () => {}

function takeAllPages(pages: BuddyAllocator, gfp: number): Pfn[] {
  const taken: Pfn[] = []
  for (;;) {
    const pfn = pages.allocPages(gfp)
    if (pfn === null) return taken
    taken.push(pfn)
  }
}

describe('references to pages of slabs', () => {
  // The free threw in the middle: slabs were lost, and the pages lost their mark.
  it('keep the page, not the slab', () => {
    const m = slabMachine()
    const cache = new SlabCache(m.slabs, { name: 'held', size: 4000, ctor })
    const heap = new Kmalloc(m.slabs)
    const before = freePages(m)
    const objects = Array.from({ length: 40 }, () => must(cache.alloc()))
    const large = must(heap.kmalloc(20_000))
    const heads = new Set<Pfn>()
    for (const slab of objects.filter((_, i) => i % 8 === 0)) heads.add(pfnOf(slab))
    for (const pfn of [...heads, pfnOf(large)]) getPage(m.pages, pfn)
    for (const object of objects) cache.free(object)
    heap.kfree(large)
    expect(cache.shrink()).toBe(false)
    expectSound(m)
    expect(freePages(m)).toBeLessThan(before)
    expect(pageCount(m.pages, pfnOf(large))).toBe(1)
    for (const pfn of [...heads, pfnOf(large)]) putPage(m.pages, pfn)
    expect(freePages(m)).toBe(before)
    expectSound(m)
  })
})

describe('allocations in the middle of another', () => {
  // The CPU's slab was overwritten, and nobody held it any more.
  it('from a constructor', () => {
    const m = slabMachine()
    let calls = 0
    let inner: VirtAddr | null = null
    const cache: SlabCache = new SlabCache(m.slabs, {
      name: 'nested',
      size: 1000,
      ctor() {
        calls += 1
        if (calls === 4) inner = cache.alloc()
      },
    })
    const outer = must(cache.alloc())
    expectSound(m)
    cache.free(outer)
    cache.free(must(inner as VirtAddr | null))
    cache.destroy()
    expectSound(m)
  })

  it('from reclaim', () => {
    let waiting: Pfn[] = []
    let inner: VirtAddr | null = null
    const pressure = withPressure({
      directReclaim() {
        const freed = waiting
        waiting = []
        for (const pfn of freed) m.pages.freePages(pfn)
        if (freed.length > 0) inner = cache.alloc(GFP_ATOMIC)
        return freed.length
      },
    })
    const m = slabMachine({ mib: 2, pages: { pressure } })
    const cache = new SlabCache(m.slabs, { name: 'nested', size: 1000, ctor })
    waiting = takeAllPages(m.pages, GFP_ATOMIC | __GFP_NOWARN)
    const outer = must(cache.alloc())
    expect(inner).not.toBeNull()
    expectSound(m)
    cache.free(outer)
    cache.free(must(inner as VirtAddr | null))
    cache.destroy()
    expectSound(m)
  })
})

describe('an error in the middle', () => {
  // The objects before it were lost.
  it('of a bulk allocation gives the objects back', () => {
    const m = slabMachine()
    let calls = 0
    const failing = () => {
      calls += 1
      if (calls > 20) throw new Error('mine')
    }
    const cache = new SlabCache(m.slabs, { name: 'bulk', size: 1000, ctor: failing })
    expect(thrownBy(() => kmemCacheAllocBulk(cache, GFP_KERNEL, 100)).message).toBe('mine')
    expectSound(m)
    cache.destroy()
    expectSound(m)
  })

  // A descriptor and the record were lost; of the kmalloc caches those that were missing were taken for made.
  it.each([1, 2, 3, 4, 30, 77])('of making the kmalloc caches leaves none, at step %i', (step) => {
    const m = slabMachine({ nodes: 2 })
    const before = freePages(m)
    let calls = 0
    m.slabs.setFaults({
      failSlab() {
        calls += 1
        if (calls === step) throw new Error('mine')
        return false
      },
    })
    expect(thrownBy(() => new Kmalloc(m.slabs)).message).toBe('mine')
    m.slabs.setFaults(null)
    expectSound(m)
    expect(findCache(m.slabs, 'kmalloc-8')).toBeNull()
    expect(before - freePages(m)).toBeLessThanOrEqual(3)
    const heap = new Kmalloc(m.slabs)
    heap.kfree(must(heap.kmalloc(8192)))
    expectSound(m)
  })

  // The new block was lost.
  it('of krealloc frees the new block', () => {
    const m = slabMachine({ slabs: { debug: slubDebug({ boot: 'FZPU' }) } })
    const heap = new Kmalloc(m.slabs)
    const p = must(heap.kmalloc(100))
    m.ram.fill(p + 128, 4, 0x11)
    const error = thrownBy(() => heap.krealloc(p, 1000)) as KernelBug
    expect(error.code).toBe('REDZONE_OVERWRITTEN')
    const state = cacheState(must(findCache(m.slabs, 'kmalloc-1k')))
    expect(must(must(state.nodes[0]).partial[0]).inuse).toBe(0)
  })

  // The poison of the free object was overwritten.
  it('of kfreeSensitive changes nothing', () => {
    const m = slabMachine({ slabs: { debug: slubDebug({ boot: 'FZPU' }) } })
    const heap = new Kmalloc(m.slabs)
    must(heap.kmalloc(100))
    const p = must(heap.kmalloc(100))
    heap.kfree(p)
    const before = m.ram.bytes(p, 100).slice()
    const error = thrownBy(() => kfreeSensitive(heap, p)) as KernelBug
    expect(error.code).toBe('DOUBLE_FREE')
    expect(m.ram.bytes(p, 100).slice()).toEqual(before)
  })
})

describe('growth of a shared WebAssembly memory', () => {
  const grown = () => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 512, shared: true })
    const ram = new PhysicalMemory({ memory })
    const pages = new BuddyAllocator({ ram })
    const slabs = new SlabAllocator(pages, { shared: true })
    return { memory, ram, pages, slabs }
  }
  const OLD_END = 64 * 65536

  // Free pointers in new memory were read as 0, and not written.
  it('is seen by an allocator that is attached to the same state', () => {
    const { memory, ram, pages, slabs } = grown()
    const mine = new SlabCache(slabs, { name: 'both', size: 100, ctor })
    const theirRam = new PhysicalMemory({ memory })
    const theirPages = attachState(pages.state, { ram: theirRam })
    const theirSlabs = attachSlabs(theirPages, slabs.words.buffer as SharedArrayBuffer)
    const theirs = must(findCache(theirSlabs, 'both', ctor))
    theirs.free(must(theirs.alloc()))
    expect(ram.grow(OLD_END)).toBe(true)
    let last = 0
    while (last < OLD_END) last = must(mine.alloc())
    const objects = Array.from({ length: 4 }, () => must(theirs.alloc()))
    expect(new Set(objects.map(pfnOf))).toEqual(new Set([pfnOf(last)]))
    for (const object of objects) theirs.free(object)
    expect(verifySlabs(slabs, { pages })).toEqual([])
  })

  it('is seen when a cache is loaded', () => {
    const { ram, pages, slabs } = grown()
    const cache = new SlabCache(slabs, { name: 'loaded', size: 100, ctor })
    expect(ram.grow(OLD_END)).toBe(true)
    let pfn = 0
    while (pfn * PAGE_SIZE < OLD_END) pfn = must(pages.allocPages(GFP_KERNEL))
    const state = cacheState(cache)
    const places = Array.from({ length: state.objs }, (_, i) => pfn * PAGE_SIZE + i * state.size)
    const free = places.slice(1).map((at) => `0x${at.toString(16)}`)
    const slab = { pfn, inuse: 1, objects: state.objs, frozen: 0, free }
    const node = { nrPartial: 1, slabs: 1, totalObjects: state.objs, partial: [slab] }
    loadCache(cache, { ...state, nodes: { 0: node } })
    expect(free.map(() => cache.alloc())).toEqual(places.slice(1))
  })
})

describe('a slab of the emergency reserve', () => {
  // With a listener, or for zeroed objects, the CPU's slab was left, and there was no memory.
  it.each([false, true])('gives what the CPU holds of it to all; with hooks: %s', (hooks) => {
    const m = slabMachine({ mib: 2 })
    const cache = new SlabCache(m.slabs, { name: 'reserve', size: 1000, ctor })
    takeAllPages(m.pages, GFP_ATOMIC | __GFP_NOWARN)
    const first = must(cache.alloc(GFP_ATOMIC | __GFP_MEMALLOC))
    if (hooks) m.slabs.setFaults({ failSlab: () => false })
    const others = [cache.alloc(QUIET), cache.zalloc(QUIET), cache.alloc(QUIET)]
    expect(others).toEqual([1, 2, 3].map((i) => first + i * cache.size))
    expectSound(m)
  })
})

describe('handles and arguments', () => {
  // The words of the ended cache were those of a slab, whose places in use read as the number of the cache.
  it('a handle of an ended cache does not take a slab for it', () => {
    const m = slabMachine({ slabs: { merge: false, minOrder: 2 } })
    // Of its places only the 12th object's, 47 * 11 = 517, lies in bits 512 to 543.
    const slabs = new SlabCache(m.slabs, { name: 'slabs', size: 376 })
    const caches = Array.from({ length: 40 }, (_, i) => {
      return new SlabCache(m.slabs, { name: `ended-${i}`, size: 4096 })
    })
    for (const cache of caches) {
      const record = cache.record
      cache.destroy()
      const objects = Array.from({ length: 12 }, () => must(slabs.alloc()))
      for (const call of [() => cache.name, () => cache.alloc(), () => cache.shrink()]) {
        expect((thrownBy(call) as KernelBug).code).toBe('CACHE_DESTROYED')
      }
      expect(record).toBeGreaterThan(0)
      for (const object of objects) slabs.free(object)
      slabs.shrink()
    }
    expectSound(m)
  })

  // A numeric string was freed, and a bigint threw a TypeError of the engine's.
  it('addresses are numbers', () => {
    const m = slabMachine()
    const heap = new Kmalloc(m.slabs)
    const cache = new SlabCache(m.slabs, { name: 'numbers', size: 64, ctor })
    const p = must(heap.kmalloc(64))
    const object = must(cache.alloc())
    const before = machineHash(m)
    for (const wrong of [String(p), BigInt(p), Symbol('p'), [p]] as unknown as VirtAddr[]) {
      expect(thrownBy(() => heap.kfree(wrong))).toBeInstanceOf(InvalidArgument)
    }
    for (const wrong of [String(object), BigInt(object)] as unknown as VirtAddr[]) {
      expect(thrownBy(() => cache.free(wrong))).toBeInstanceOf(InvalidArgument)
    }
    expect(machineHash(m)).toBe(before)
  })

  // Constructors that are none threw at the first allocation; odd buffers threw a RangeError of the engine's.
  it('constructors are functions, states whole words', () => {
    const m = slabMachine()
    const before = machineHash(m)
    for (const wrong of [5, {}, 'ctor'] as unknown as (() => void)[]) {
      const call = () => new SlabCache(m.slabs, { name: 'wrong', size: 64, ctor: wrong })
      expect(thrownBy(call)).toBeInstanceOf(InvalidArgument)
    }
    expect(machineHash(m)).toBe(before)
    for (const wrong of [new ArrayBuffer(6), null, {}] as ArrayBuffer[]) {
      const pages = new BuddyAllocator({ ram: m.ram })
      expect(thrownBy(() => attachSlabs(pages, wrong))).toBeInstanceOf(InvalidArgument)
    }
  })
})

describe('constructors after attachSlabs', () => {
  // It made slabs whose objects had not been set up.
  it('have to be given again before a slab is made', () => {
    const { pages, slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'built', size: 3000, ctor })
    const object = must(cache.alloc())
    const copy = new PhysicalMemory({ map: [...(pages.context.ram as PhysicalMemory).ranges] })
    copy.words.set((pages.context.ram as PhysicalMemory).words)
    const theirs = attachState(pages.state.slice(0), { ram: copy })
    const attached = attachSlabs(theirs, (slabs.words.buffer as ArrayBuffer).slice(0))
    const unnamed = findCache(attached, 'built')
    if (unnamed === null) expect.fail('no cache')
    const before = machineHash({ pages: theirs, slabs: attached, ram: copy })
    unnamed.free(object)
    expect(unnamed.alloc()).toBe(object)
    expect(machineHash({ pages: theirs, slabs: attached, ram: copy })).toBe(before)
    const fill = () => {
      for (let i = 0; i < 50; i++) must(unnamed.alloc())
    }
    expect(fill).toThrow('given to findCache, as cache built has one')
    expectSound({ pages: theirs, slabs: attached, ram: copy })
    let built = 0
    findCache(attached, 'built', () => {
      built += 1
    })
    fill()
    expect(built).toBeGreaterThan(20)
  })
})
