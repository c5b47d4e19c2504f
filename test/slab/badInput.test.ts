import { describe, expect, it } from 'vitest'
import {
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  attachSlabs,
  BuddyAllocator,
  cacheState,
  findCache,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  kmallocCacheOf,
  loadCache,
  MiB,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_FAILSLAB,
  SLAB_HWCACHE_ALIGN,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SLAB_TYPESAFE_BY_RCU,
  SlabAllocator,
  SlabCache,
  type SlabCacheOptions,
  type SlabOptions,
  slabNodeOnline,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { SLAB_KMALLOC } from '../../src/slab/flags'
import { thrownBy } from '../buddy/machines'
import { expectSound, machineHash, must, type SlabMachine, slabMachine } from './machines'

/** A machine with a few objects in use, free and in between. */
interface Used extends SlabMachine {
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

function machine(): Used {
  const m = slabMachine({ mib: 2, nodes: 2, cpus: 1 })
  const heap = new Kmalloc(m.slabs)
  const cache = new SlabCache(m.slabs, { name: 'mine', size: 100, flags: SLAB_HWCACHE_ALIGN })
  const other = new SlabCache(m.slabs, { name: 'theirs', size: 200 })
  const objects = cache.allocBulk(GFP_KERNEL, 40)
  const stranger = must(other.alloc())
  const block = must(heap.kmalloc(100))
  const large = must(heap.kmalloc(20_000))
  const page = must(m.pages.allocPages(GFP_KERNEL))
  // From here on such requests take the fast path.
  cache.free(must(cache.alloc()))
  heap.kfree(must(heap.kmalloc(100)))
  return { ...m, heap, cache, other, objects, stranger, block, large, page }
}

/** The same machine for all tests: nothing that is refused may change it. */
const used = machine()

/** Expects that a call throws, and that nothing is changed by it. */
function expectRefused(call: () => unknown, text: string, m: SlabMachine = used): Error {
  const before = machineHash(m)
  const error = thrownBy(call)
  if (machineHash(m) !== before) expect.fail(`${text}: something has changed`)
  return error
}

/** What no integer argument may be. */
const NO_INTEGERS: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0.5,
  -1.5,
  2 ** 53,
  -(2 ** 53),
  1e300,
  '1',
  'x',
  true,
  null,
  {},
  [1],
  () => 1,
]

const OPTIONS: SlabCacheOptions = { name: 'new', size: 64 }

/** Every argument that is an integer: how to pass it, with all others right. */
const INTEGERS: readonly (readonly [name: string, call: (m: Used, value: number) => unknown])[] = [
  ['SlabCache size', (m, size) => new SlabCache(m.slabs, { ...OPTIONS, size })],
  ['SlabCache align', (m, align) => new SlabCache(m.slabs, { ...OPTIONS, align })],
  ['SlabCache flags', (m, flags) => new SlabCache(m.slabs, { ...OPTIONS, flags })],
  [
    'SlabCache useroffset',
    (m, useroffset) => new SlabCache(m.slabs, { ...OPTIONS, useroffset, usersize: 1 }),
  ],
  ['SlabCache usersize', (m, usersize) => new SlabCache(m.slabs, { ...OPTIONS, usersize })],
  ['alloc gfp', (m, v) => m.cache.alloc(v)],
  ['zalloc gfp', (m, v) => m.cache.zalloc(v)],
  ['allocNode gfp', (m, v) => m.cache.allocNode(v, 0)],
  ['allocNode node', (m, v) => m.cache.allocNode(GFP_KERNEL, v)],
  ['allocBulk gfp', (m, v) => m.cache.allocBulk(v, 2)],
  ['allocBulk count', (m, v) => m.cache.allocBulk(GFP_KERNEL, v)],
  ['kmalloc size', (m, v) => m.heap.kmalloc(v)],
  ['kmalloc gfp', (m, v) => m.heap.kmalloc(64, v)],
  ['kmalloc gfp, large', (m, v) => m.heap.kmalloc(64_000, v)],
  ['kmalloc node', (m, v) => m.heap.kmalloc(64, GFP_KERNEL, v)],
  ['kmalloc node, large', (m, v) => m.heap.kmalloc(64_000, GFP_KERNEL, v)],
  ['kzalloc size', (m, v) => m.heap.kzalloc(v)],
  ['kzalloc gfp', (m, v) => m.heap.kzalloc(64, v)],
  ['kzalloc node', (m, v) => m.heap.kzalloc(64, GFP_KERNEL, v)],
  ['kmallocArray count', (m, v) => m.heap.kmallocArray(v, 3)],
  ['kmallocArray size', (m, v) => m.heap.kmallocArray(3, v)],
  ['kmallocArray gfp', (m, v) => m.heap.kmallocArray(3, 8, v)],
  ['kcalloc count', (m, v) => m.heap.kcalloc(v, 3)],
  ['kcalloc size', (m, v) => m.heap.kcalloc(3, v)],
  ['kcalloc gfp', (m, v) => m.heap.kcalloc(3, 8, v)],
  ['kcalloc node', (m, v) => m.heap.kcalloc(3, 8, GFP_KERNEL, v)],
  ['krealloc size', (m, v) => m.heap.krealloc(m.block, v)],
  ['krealloc gfp', (m, v) => m.heap.krealloc(m.block, 500, v)],
  ['kmallocCacheOf size', (m, v) => kmallocCacheOf(m.heap, v)],
  ['slabNodeOnline node', (m, v) => slabNodeOnline(m.slabs, v)],
  ['cacheState cpu', (m, v) => cacheState(m.cache, v)],
]

describe('an argument that is no integer', () => {
  it.each(INTEGERS)('%s', (name, call) => {
    for (const value of NO_INTEGERS) {
      // Options may be null, and more bytes than there can be are no wrong argument.
      if (value === null && /flags|align|cacheState/.test(name)) continue
      if (value === null && /useroffset|usersize/.test(name)) continue
      if (Number(value) >= 2 ** 53 && Number.isInteger(value) && /k.alloc size/.test(name)) continue
      const text = `${name} ${String(value)}`
      const error = expectRefused(() => call(used, value as number), text)
      expect(error, text).toBeInstanceOf(InvalidArgument)
      expect(error.message).toMatch(/ is .+; it must be /)
    }
  })
})

/** Integers out of range. */
const RANGES: readonly (readonly [
  name: string,
  value: number,
  call: (m: Used, v: number) => unknown,
])[] = [
  ['a cache of no bytes', 0, (m, size) => new SlabCache(m.slabs, { ...OPTIONS, size })],
  ['a cache of fewer bytes', -8, (m, size) => new SlabCache(m.slabs, { ...OPTIONS, size })],
  ['too large a cache', 4194305, (m, size) => new SlabCache(m.slabs, { ...OPTIONS, size })],
  [
    'objects that fit into no block with what is added',
    4194304,
    (m, size) => new SlabCache(m.slabs, { ...OPTIONS, size, flags: SLAB_TYPESAFE_BY_RCU }),
  ],
  ['no power of two', 24, (m, align) => new SlabCache(m.slabs, { ...OPTIONS, align })],
  ['a negative alignment', -8, (m, align) => new SlabCache(m.slabs, { ...OPTIONS, align })],
  ['too large an alignment', 8388608, (m, align) => new SlabCache(m.slabs, { ...OPTIONS, align })],
  ['a negative mask', -1, (m, gfp) => m.cache.alloc(gfp)],
  ['a mask of 33 bits', 2 ** 32, (m, gfp) => m.heap.kmalloc(64, gfp)],
  ['a node that does not exist', 2, (m, node) => m.cache.allocNode(GFP_KERNEL, node)],
  ['node -2', -2, (m, node) => m.heap.kmalloc(64, GFP_KERNEL, node)],
  ['a negative count', -1, (m, count) => m.cache.allocBulk(GFP_KERNEL, count)],
  ['an absurd count', 2 ** 24 + 1, (m, count) => m.cache.allocBulk(GFP_KERNEL, count)],
  ['a negative size', -1, (m, size) => m.heap.kmalloc(size)],
  ['a negative count of members', -1, (m, count) => m.heap.kcalloc(count, 8)],
  ['a negative new size', -1, (m, size) => m.heap.krealloc(m.block, size)],
  ['no kmalloc cache', 8193, (m, size) => kmallocCacheOf(m.heap, size)],
  ['no kmalloc cache for nothing', 0, (m, size) => kmallocCacheOf(m.heap, size)],
  ['a CPU that does not exist', 1, (m, cpu) => cacheState(m.cache, cpu)],
  ['node 2 online', 2, (m, node) => slabNodeOnline(m.slabs, node)],
]

describe('an argument out of its range', () => {
  it.each(RANGES)('%s', (name, value, call) => {
    const error = expectRefused(() => call(used, value), name) as InvalidArgument
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(error.value).toBe(value)
  })

  it('is none for more bytes than there can be', () => {
    const before = machineHash(used)
    const { heap } = used
    const sizes = [4194305, 2 ** 31, 2 ** 32 + 1, 2 ** 44 + 1, 2 ** 44 + 4096, 2 ** 53 - 1]
    for (const size of sizes) {
      expect(heap.kmalloc(size), String(size)).toBeNull()
      expect(heap.krealloc(used.block, size)).toBeNull()
      expect(heap.kcalloc(1, size)).toBeNull()
    }
    expect(heap.kmallocArray(2 ** 40, 2 ** 30)).toBeNull()
    expect(heap.kcalloc(2 ** 53 - 1, 2 ** 53 - 1)).toBeNull()
    expect(heap.kmallocArray(2 ** 32, 2 ** 32)).toBeNull()
    // The page allocator remembers that it has warned of such an order, once.
    const [slabs, , ram] = before.split(',')
    const [slabsNow, , ramNow] = machineHash(used).split(',')
    expect([slabsNow, ramNow]).toEqual([slabs, ram])
    expectSound(used)
  })

  it('leaves a block alone when both mobility bits are asked for', () => {
    const both = GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE
    const error = expectRefused(() => used.heap.kmalloc(50_000, both), 'both mobility bits')
    expect(error).toBeInstanceOf(InvalidArgument)
  })
})

describe('a cache that cannot be', () => {
  it.each<readonly [string, string, unknown]>([
    ['a name of no bytes', 'name', ''],
    ['a name of 64 bytes', 'name', 'x'.repeat(64)],
    ['a name of 32 letters with 66 bytes', 'name', 'ä'.repeat(33)],
    ['a name of two lines', 'name', 'two\nlines'],
    ['a name with a 0', 'name', 'a\0b'],
    ['no name', 'name', undefined],
    ['a number for a name', 'name', 5],
    ['an internal flag', 'flags', SLAB_KMALLOC],
    ['the mark for faults', 'flags', SLAB_FAILSLAB],
    ['an unknown flag', 'flags', 0x1],
    ['the sign bit', 'flags', 0x80000000],
    ['__CMPXCHG_DOUBLE', 'flags', 0x40000000],
    ['checks without debug', 'flags', SLAB_CONSISTENCY_CHECKS],
    ['red zones without debug', 'flags', SLAB_RED_ZONE],
    ['poison without debug', 'flags', SLAB_POISON | SLAB_HWCACHE_ALIGN],
    ['tracks without debug', 'flags', SLAB_STORE_USER],
    ['a trace without debug', 'flags', SLAB_TRACE],
  ])('%s', (what, key, value) => {
    const options = { ...OPTIONS, [key]: value } as SlabCacheOptions
    const error = expectRefused(() => new SlabCache(used.slabs, options), what) as InvalidArgument
    expect(error).toBeInstanceOf(InvalidArgument)
    expect([error.argument, error.value]).toEqual([key, value])
  })

  it('has a region for user space that does not fit: the kernel drops it', () => {
    const m = slabMachine()
    for (const region of [{ useroffset: 8 }, { usersize: 65 }, { useroffset: 60, usersize: 5 }]) {
      const cache = new SlabCache(m.slabs, { ...OPTIONS, ...region, ctor: () => {} })
      expect(cacheState(cache).object_size).toBe(64)
      expectSound(m)
    }
  })

  it('has options that are wrong', () => {
    const ram = new PhysicalMemory({ size: MiB })
    const wrong: readonly SlabOptions[] = [
      { minOrder: -1 },
      { minOrder: 11 },
      { maxOrder: 11 },
      { maxOrder: 0.5 },
      { minObjects: -1 },
      { minObjects: 40_000 },
    ]
    for (const options of wrong) {
      const pages = new BuddyAllocator({ ram })
      expect(thrownBy(() => new SlabAllocator(pages, options))).toBeInstanceOf(InvalidArgument)
      expect(new SlabAllocator(pages)).toBeInstanceOf(SlabAllocator)
    }
    const none = new BuddyAllocator({ ram: new PhysicalMemory({ size: MiB, content: false }) })
    expect(thrownBy(() => new SlabAllocator(none))).toBeInstanceOf(InvalidArgument)
    expect(expectRefused(() => new SlabAllocator(used.pages), 'a second one')).toBeInstanceOf(
      InvalidArgument,
    )
  })

  it('is loaded from a state of another cache, or attached to a buffer of another machine', () => {
    const state = cacheState(used.cache)
    const small = new SlabCache(used.slabs, { name: 'small', size: 8, ctor: () => {} })
    const fresh = new SlabCache(used.slabs, {
      name: 'fresh',
      size: 100,
      flags: SLAB_HWCACHE_ALIGN,
      useroffset: 0,
      usersize: 1,
    })
    expect(expectRefused(() => loadCache(small, state), 'other slots')).toBeInstanceOf(
      InvalidArgument,
    )
    expect(expectRefused(() => loadCache(used.cache, state), 'with slabs')).toBeInstanceOf(
      InvalidArgument,
    )
    const pages = new BuddyAllocator({ ram: used.ram, cpuNodes: [0, 0] })
    const buffer = used.slabs.words.buffer as ArrayBuffer
    expect(thrownBy(() => attachSlabs(pages, buffer))).toBeInstanceOf(InvalidArgument)
    expect(thrownBy(() => attachSlabs(pages, new ArrayBuffer(64)))).toBeInstanceOf(InvalidArgument)
    const ctor = () => {}
    expect(expectRefused(() => findCache(used.slabs, 'mine', ctor), 'no ctor')).toBeInstanceOf(
      InvalidArgument,
    )
    small.destroy()
    fresh.destroy()
  })
})

/** What is no object of `cache`: the code from a free to the cache, and from one by address. */
const POINTERS: readonly (readonly [
  name: string,
  address: (m: Used) => number,
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
  const error = expectRefused(call, text) as KernelBug
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
    expectBug(() => cache.freeBulk([one, address, two]), toCache, `freeBulk ${name}`)
    expectBug(() => cache.freeBulk([address]), toCache, `freeBulk ${name} alone`)
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
        () => cache.freeBulk([value as VirtAddr]),
      ]) {
        const text = `${String(value)} to ${String(call)}`
        const error = expectRefused(call, text)
        expect(error instanceof KernelBug || error instanceof InvalidArgument, text).toBe(true)
      }
    }
    const error = expectRefused(() => cache.free(null as unknown as VirtAddr), 'null to a cache')
    expect(error).toBeInstanceOf(InvalidArgument)
    for (const value of [null, undefined, 5, 'x', { length: 1, 0: 4096 }]) {
      const wrong = () => cache.freeBulk(value as unknown as VirtAddr[])
      expect(expectRefused(wrong, String(value))).toBeInstanceOf(InvalidArgument)
    }
  })

  it('is free already, wherever it is kept', () => {
    const m = machine()
    const { cache, heap, objects } = m
    const refused = (object: VirtAddr, code: string, byAddress: string, text: string) => {
      const before = machineHash(m)
      expect((thrownBy(() => cache.free(object)) as KernelBug).code, text).toBe(code)
      expect((thrownBy(() => heap.kfree(object)) as KernelBug).code, text).toBe(byAddress)
      expect((thrownBy(() => cache.freeBulk([object])) as KernelBug).code, text).toBe(code)
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
    expect((thrownBy(() => cache.freeBulk(twice)) as KernelBug).code).toBe('DOUBLE_FREE')
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
    ['allocBulk', (cache) => cache.allocBulk(GFP_KERNEL, 3)],
    ['allocBulk of one', (cache) => cache.allocBulk(GFP_KERNEL, 1)],
    ['free', (cache, object) => cache.free(object)],
    ['freeBulk', (cache, object) => cache.freeBulk([object])],
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
    const cache = new SlabCache(m.slabs, OPTIONS)
    const alias = new SlabCache(m.slabs, { ...OPTIONS, name: 'alias' })
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
