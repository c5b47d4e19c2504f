import { describe, expect, it } from 'vitest'
import {
  cacheState,
  findCache,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  MiB,
  PAGE_SIZE,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type SlabCacheOptions,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { thrownBy } from '../buddy/machines'
import { expectSound, machineHash, must, slabMachine } from './machines'
import { expectRefused, type UsedMachine, usedMachine } from './usedMachine'

/** The same machine for all tests: nothing that is refused may change it. */
const used = usedMachine()

/** What is no object of `cache`: the code from a free to the cache, and from one by address. */
const POINTERS: readonly (readonly [
  name: string,
  address: (m: UsedMachine) => number,
  toCache: string,
  byAddress: string | null,
])[] = [
  ['one byte inside', (m) => must(m.objects[3]) + 1, 'NOT_AN_OBJECT', 'NOT_AN_OBJECT'],
  ['eight bytes inside', (m) => must(m.objects[3]) + 8, 'NOT_AN_OBJECT', 'NOT_AN_OBJECT'],
  ['the end of an object', (m) => must(m.objects[3]) + 99, 'NOT_AN_OBJECT', 'NOT_AN_OBJECT'],
  ['half a byte inside', (m) => must(m.objects[3]) + 0.5, 'NOT_AN_OBJECT', 'NOT_AN_OBJECT'],
  ['an object of another cache', (m) => m.stranger, 'WRONG_CACHE', null],
  ['the inside of one', (m) => m.stranger + 16, 'WRONG_CACHE', 'NOT_AN_OBJECT'],
  ['a kmalloc block', (m) => m.block, 'WRONG_CACHE', null],
  ['a large block', (m) => m.large, 'NOT_A_SLAB', null],
  ['the inside of a large block', (m) => m.large + 8, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['a later page of it', (m) => m.large + PAGE_SIZE, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['a page of somebody', (m) => m.page * PAGE_SIZE, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['a free page', () => 1000 * PAGE_SIZE, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  [
    'a place that was never handed out',
    (m) => must(m.objects[39]) + 128,
    'DOUBLE_FREE',
    'DOUBLE_FREE',
  ],
  ['an address behind memory', () => 4 * MiB, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['an address far behind', () => 2 ** 47, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['the largest address', () => 2 ** 53 - 1, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['a negative address', () => -4096, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['not a number', () => Number.NaN, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['infinity', () => Number.POSITIVE_INFINITY, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
  ['one byte', () => 1, 'NOT_A_SLAB', 'NOTHING'],
  ['null as a number', () => 0, 'NOT_A_SLAB', 'NOTHING'],
  ['the address of nothing', () => ZERO_SIZE_PTR, 'NOT_A_SLAB', 'NOTHING'],
  ['one byte behind that', () => 17, 'NOT_A_SLAB', 'NOT_ALLOCATED'],
]

function expectBug(call: () => unknown, code: string, text: string): void {
  const error = expectRefused(used, call, text) as KernelBug
  expect(error, text).toBeInstanceOf(KernelBug)
  expect(error.code, text).toBe(code)
  expect(error.report.length).toBeGreaterThan(0)
}

describe('an address that is no object', () => {
  it.each(POINTERS)('%s', (name, find, toCache, byAddress) => {
    const { cache, heap, objects } = used
    const address = find(used) as VirtAddr
    expectBug(() => cache.free(address), toCache, `free ${name}`)
    const [one, two] = [must(objects[0]), must(objects[1])]
    expectBug(() => kmemCacheFreeBulk(cache, [one, address, two]), toCache, `freeBulk ${name}`)
    expectBug(() => kmemCacheFreeBulk(cache, [address]), toCache, `freeBulk ${name} alone`)
    if (byAddress === null) {
      expect(heap.ksize(address)).toBeGreaterThanOrEqual(100)
    } else if (byAddress === 'NOTHING') {
      const before = machineHash(used)
      heap.kfree(address)
      expect(heap.ksize(address)).toBe(0)
      expect(machineHash(used)).toBe(before)
    } else {
      expectBug(() => heap.kfree(address), byAddress, `kfree ${name}`)
      expectBug(() => heap.ksize(address), byAddress, `ksize ${name}`)
      expectBug(() => heap.krealloc(address, 400), byAddress, `krealloc ${name}`)
      expectBug(() => heap.krealloc(address, 0), byAddress, `krealloc ${name} to nothing`)
    }
  })

  it('is no number', () => {
    const { cache, heap } = used
    for (const value of [undefined, {}, 'x', true, () => 1]) {
      for (const call of [
        () => cache.free(value as VirtAddr),
        () => heap.kfree(value as VirtAddr),
        () => heap.ksize(value as VirtAddr),
        () => heap.krealloc(value as VirtAddr, 10),
        () => kmemCacheFreeBulk(cache, [value as VirtAddr]),
      ]) {
        const text = `${String(value)} to ${String(call)}`
        const error = expectRefused(used, call, text)
        expect(error instanceof KernelBug || error instanceof InvalidArgument, text).toBe(true)
      }
    }
    const error = expectRefused(
      used,
      () => cache.free(null as unknown as VirtAddr),
      'null to a cache',
    )
    expect(error).toBeInstanceOf(InvalidArgument)
    for (const value of [null, undefined, 5, 'x', { length: 1, 0: 4096 }]) {
      const wrong = () => kmemCacheFreeBulk(cache, value as unknown as VirtAddr[])
      expect(expectRefused(used, wrong, String(value))).toBeInstanceOf(InvalidArgument)
    }
  })

  it('is free already, wherever it is kept', () => {
    const m = usedMachine()
    const { cache, heap, objects } = m
    const refused = (object: VirtAddr, code: string, byAddress: string, text: string) => {
      const before = machineHash(m)
      expect((thrownBy(() => cache.free(object)) as KernelBug).code, text).toBe(code)
      expect((thrownBy(() => heap.kfree(object)) as KernelBug).code, text).toBe(byAddress)
      expect((thrownBy(() => kmemCacheFreeBulk(cache, [object])) as KernelBug).code, text).toBe(
        code,
      )
      expect((thrownBy(() => heap.ksize(object)) as KernelBug).code, text).toBe(byAddress)
      expect((thrownBy(() => heap.krealloc(object, 9)) as KernelBug).code, text).toBe(byAddress)
      expect(machineHash(m), text).toBe(before)
    }
    const [first, second, last] = [must(objects[0]), must(objects[1]), must(objects[39])]
    cache.free(last)
    refused(last, 'DOUBLE_FREE', 'DOUBLE_FREE', 'with the CPU')
    cache.free(first)
    refused(first, 'DOUBLE_FREE', 'DOUBLE_FREE', 'on a CPU’s partial list')
    cache.shrink()
    refused(first, 'DOUBLE_FREE', 'DOUBLE_FREE', 'on a node’s list')
    const twice = [second, must(objects[2]), second]
    const before = machineHash(m)
    expect((thrownBy(() => kmemCacheFreeBulk(cache, twice)) as KernelBug).code).toBe('DOUBLE_FREE')
    expect(twice).toEqual([second, objects[2], second])
    expect(machineHash(m)).toBe(before)
    for (const object of objects.slice(1, 39)) cache.free(object)
    cache.shrink()
    refused(first, 'NOT_A_SLAB', 'NOT_ALLOCATED', 'in a slab that has gone back')
    heap.kfree(m.large)
    refused(m.large, 'NOT_A_SLAB', 'NOT_ALLOCATED', 'a large block')
    expectSound(m)
  })
})

describe('a cache that was destroyed', () => {
  /** Every call of a cache. */
  const calls: readonly (readonly [string, (cache: SlabCache, object: VirtAddr) => unknown])[] = [
    ['alloc', (cache) => cache.alloc()],
    ['alloc of no mask', (cache) => cache.alloc(0)],
    ['zalloc', (cache) => cache.zalloc()],
    ['allocNode', (cache) => cache.allocNode(GFP_KERNEL, 1)],
    ['allocBulk', (cache) => kmemCacheAllocBulk(cache, GFP_KERNEL, 3)],
    ['allocBulk of one', (cache) => kmemCacheAllocBulk(cache, GFP_KERNEL, 1)],
    ['free', (cache, object) => cache.free(object)],
    ['freeBulk', (cache, object) => kmemCacheFreeBulk(cache, [object])],
    ['shrink', (cache) => cache.shrink()],
    ['destroy', (cache) => cache.destroy()],
    ['name', (cache) => cache.name],
    ['objectSize', (cache) => cache.objectSize],
    ['size', (cache) => cache.size],
    ['hasCtor', (cache) => cache.hasCtor],
    ['cacheState', (cache) => cacheState(cache)],
  ]
  const options: SlabCacheOptions = { name: 'gone', size: 300, ctor: () => {} }

  it.each(calls)('refuses %s', (name, call) => {
    const m = slabMachine({ nodes: 2 })
    const cache = new SlabCache(m.slabs, options)
    const object = must(cache.alloc())
    cache.free(object)
    cache.destroy()
    const before = machineHash(m)
    const refused = thrownBy(() => call(cache, object)) as KernelBug
    expect(refused.code, name).toBe('CACHE_DESTROYED')
    expect(machineHash(m)).toBe(before)
    // Its record is another cache’s now, which is not to be mistaken for it.
    const next = new SlabCache(m.slabs, { ...options, name: 'next' })
    const theirs = must(next.alloc())
    const again = machineHash(m)
    expect((thrownBy(() => call(cache, theirs)) as KernelBug).code, name).toBe('CACHE_DESTROYED')
    expect(machineHash(m)).toBe(again)
    next.free(theirs)
    expectSound(m)
  })

  it('gives out nothing while a grace period has to pass', () => {
    for (const [name, call] of calls.slice(0, 10)) {
      const m = slabMachine({ nodes: 2 })
      const cache = new SlabCache(m.slabs, { ...options, flags: SLAB_TYPESAFE_BY_RCU })
      const object = must(cache.alloc())
      cache.free(object)
      cache.destroy()
      const before = machineHash(m)
      if (name === 'shrink') expect(call(cache, object)).toBe(false)
      else {
        const code = name.startsWith('free') ? 'DOUBLE_FREE' : 'CACHE_DESTROYED'
        expect((thrownBy(() => call(cache, object)) as KernelBug).code, name).toBe(code)
      }
      expect(machineHash(m), name).toBe(before)
    }
  })

  it('lets objects be freed, and no more, when some were left', () => {
    const m = slabMachine({ nodes: 2 })
    const heap = new Kmalloc(m.slabs)
    const cache = new SlabCache(m.slabs, options)
    const [one, two] = [must(cache.alloc()), must(cache.alloc())]
    expect((thrownBy(() => cache.destroy()) as KernelBug).code).toBe('CACHE_BUSY')
    for (const [name, call] of calls.slice(0, 6)) {
      const before = machineHash(m)
      expect((thrownBy(() => call(cache, one)) as KernelBug).code, name).toBe('CACHE_DESTROYED')
      expect(machineHash(m), name).toBe(before)
    }
    expect((thrownBy(() => cache.destroy()) as KernelBug).code).toBe('CACHE_DESTROYED')
    cache.free(one)
    heap.kfree(two)
    expectSound(m)
    expect((thrownBy(() => cache.alloc()) as KernelBug).code).toBe('CACHE_DESTROYED')
  })

  it('may live on under another name', () => {
    const m = slabMachine()
    const cache = new SlabCache(m.slabs, { name: 'new', size: 64 })
    const alias = new SlabCache(m.slabs, { name: 'alias', size: 64 })
    const object = must(alias.alloc())
    cache.destroy()
    alias.free(object)
    alias.free(must(alias.alloc()))
    alias.destroy()
    expectSound(m)
  })

  it('is one that everything rests on', () => {
    const names = ['kmem_cache', 'kmem_cache_node', 'kmalloc-64', 'kmalloc-rcl-8', 'dma-kmalloc-8k']
    for (const name of names) {
      const cache = must(findCache(used.slabs, name))
      expectBug(() => cache.destroy(), 'CACHE_NEEDED', name)
    }
    expect(must(used.heap.kmalloc(64))).toBeGreaterThan(0)
  })
})

it('is all in order after that', () => {
  expectSound(used)
})
