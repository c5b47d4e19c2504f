import { describe, expect, it } from 'vitest'
import { slubDebug } from '../../src/debug/slubDebug'
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
} from '../../src/index'
import { kmemCacheAllocBulk } from '../../src/slab/cacheBulk'
import { SLAB_KMALLOC } from '../../src/slab/flags'
import { thrownBy } from '../buddy/machines'
import { expectSound, machineHash, must, slabMachine } from './machines'
import { expectRefused, type UsedMachine, usedMachine } from './usedMachine'

/** The same machine for all tests: nothing that is refused may change it. */
const used = usedMachine()

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
const INTEGERS: readonly (readonly [
  name: string,
  call: (m: UsedMachine, value: number) => unknown,
])[] = [
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
  ['allocBulk gfp', (m, v) => kmemCacheAllocBulk(m.cache, v, 2)],
  ['allocBulk count', (m, v) => kmemCacheAllocBulk(m.cache, GFP_KERNEL, v)],
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
      const error = expectRefused(used, () => call(used, value as number), text)
      expect(error, text).toBeInstanceOf(InvalidArgument)
      expect(error.message).toMatch(/ is .+; it must be /)
    }
  })
})

/** Integers out of range. */
const RANGES: readonly (readonly [
  name: string,
  value: number,
  call: (m: UsedMachine, v: number) => unknown,
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
  ['a negative count', -1, (m, count) => kmemCacheAllocBulk(m.cache, GFP_KERNEL, count)],
  ['an absurd count', 2 ** 24 + 1, (m, count) => kmemCacheAllocBulk(m.cache, GFP_KERNEL, count)],
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
    const error = expectRefused(used, () => call(used, value), name) as InvalidArgument
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

  it('is no address of nothing with a fraction', () => {
    const p = 8.5 as VirtAddr
    for (const call of [
      () => used.heap.kfree(p),
      () => used.heap.ksize(p),
      () => used.heap.krealloc(p, 8),
    ]) {
      expect(expectRefused(used, call, '8.5')).toBeInstanceOf(KernelBug)
    }
    expect(used.heap.ksize(8 as VirtAddr)).toBe(0)
  })

  it('leaves a block alone when both mobility bits are asked for', () => {
    const both = GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE
    const error = expectRefused(used, () => used.heap.kmalloc(50_000, both), 'both mobility bits')
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
    const error = expectRefused(
      used,
      () => new SlabCache(used.slabs, options),
      what,
    ) as InvalidArgument
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

  it('turns no checks on when it cannot be', () => {
    const m = slabMachine({ slabs: { debug: slubDebug() } })
    const flags = SLAB_POISON | SLAB_RED_ZONE
    for (const wrong of [{ usersize: -1 }, { useroffset: 0.5 }, { size: 0 }, { align: 3 }]) {
      const call = () => new SlabCache(m.slabs, { ...OPTIONS, flags, ...wrong })
      expect(expectRefused(m, call, JSON.stringify(wrong))).toBeInstanceOf(InvalidArgument)
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
    expect(expectRefused(used, () => new SlabAllocator(used.pages), 'a second one')).toBeInstanceOf(
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
    expect(expectRefused(used, () => loadCache(small, state), 'other slots')).toBeInstanceOf(
      InvalidArgument,
    )
    expect(expectRefused(used, () => loadCache(used.cache, state), 'with slabs')).toBeInstanceOf(
      InvalidArgument,
    )
    const [held] = must(state.nodes[0]).partial
    const slab = must(state.cpu.slab ?? held)
    const pfn = 400
    const free = ['0x190000', '0x190080']
    const good = { ...slab, pfn, frozen: 1, inuse: slab.objects - 2, free }
    for (const wrong of [
      { ...good, objects: slab.objects + 1 },
      { ...good, pfn: -1 },
      { ...good, pfn: 2 ** 30 },
      { ...good, pfn: slab.pfn },
      { ...good, objects: slab.objects - 1, inuse: slab.objects - 3 },
      { ...good, inuse: slab.objects },
      { ...good, free: ['0x190000', '0x190000'] },
      { ...good, free: ['0x190000', '0x190081'] },
      { ...good, free: ['0x190000', '0x191000'] },
      { ...good, free: ['0x190000', 'x'] },
    ]) {
      const cpu = { freelist: [], slab: null, partial: [wrong] }
      const text = JSON.stringify(wrong)
      const call = () => loadCache(fresh, { ...state, cpu, nodes: {} })
      expect(expectRefused(used, call, text), text).toBeInstanceOf(InvalidArgument)
    }
    const twice = { freelist: [], slab: null, partial: [good, good] }
    const both = () => loadCache(fresh, { ...state, cpu: twice, nodes: {} })
    expect(expectRefused(used, both, 'the same frame twice')).toBeInstanceOf(InvalidArgument)
    const away = () => loadCache(fresh, { ...state, nodes: { 2: must(state.nodes[0]) } })
    expect(expectRefused(used, away, 'node 2')).toBeInstanceOf(InvalidArgument)
    const pages = new BuddyAllocator({ ram: used.ram, cpuNodes: [0, 0] })
    const buffer = used.slabs.words.buffer as ArrayBuffer
    expect(thrownBy(() => attachSlabs(pages, buffer))).toBeInstanceOf(InvalidArgument)
    expect(thrownBy(() => attachSlabs(pages, new ArrayBuffer(64)))).toBeInstanceOf(InvalidArgument)
    const ctor = () => {}
    expect(
      expectRefused(used, () => findCache(used.slabs, 'mine', ctor), 'no ctor'),
    ).toBeInstanceOf(InvalidArgument)
    small.destroy()
    fresh.destroy()
  })
})

it('is all in order after that', () => {
  expectSound(used)
})

describe('what is no allocator, and no options', () => {
  it.each([null, undefined, {}, 5, 'pages'])('%s in the place of pages', (value) => {
    const pages = value as unknown as BuddyAllocator
    expect(() => new Kmalloc(pages)).toThrow(InvalidArgument)
    expect(() => new SlabAllocator(pages)).toThrow(InvalidArgument)
    expect(() => new SlabCache(pages, { name: 'a', size: 8 })).toThrow(InvalidArgument)
  })

  it.each([null, undefined, {}, 5, 'options'])('%s in the place of options', (value) => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 4 * MiB }) })
    expect(() => new SlabCache(pages, value as unknown as SlabCacheOptions)).toThrow(
      InvalidArgument,
    )
  })

  it('nodes that do not exist', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 4 * MiB }) })
    for (const nodes of [[7], [-1], [0.5]]) {
      expect(() => new SlabAllocator(pages, { nodes })).toThrow(/node is .* from 0 to 0/)
    }
    expect(new SlabAllocator(pages, { nodes: [0] }).wordsUsed).toBeGreaterThan(0)
  })
})
