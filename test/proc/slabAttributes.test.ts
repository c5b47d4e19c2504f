import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { VirtAddr } from '../../src/base/units'
import { onCpu } from '../../src/buddy/running'
import { slabAttribute, slabAttributes, writeSlabAttribute } from '../../src/proc/slabAttributes'
import { slabDirectory } from '../../src/proc/slabDirectory'
import type { Ctor } from '../../src/slab/context'
import {
  SLAB_CACHE_DMA,
  SLAB_CACHE_DMA32,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_HWCACHE_ALIGN,
  SLAB_NOLEAKTRACE,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_TYPESAFE_BY_RCU,
} from '../../src/slab/flags'
import { kmallocCacheOf } from '../../src/slab/kmallocCaches'
import { CacheRecord, SlabCache } from '../../src/slab/slabCache'
import { SLAB_NODE_CACHE } from '../../src/state/slabSchema'
import { slabMachine, take } from './slabMachine'

/** What the files read as that most caches have alike; those of a Linux 6.1.192 with one CPU. */
const COMMON = {
  aliases: '0\n',
  align: '8\n',
  cache_dma: '0\n',
  cpu_partial: '0\n',
  cpu_slabs: '0\n',
  ctor: '',
  destroy_by_rcu: '0\n',
  failslab: '0\n',
  hwcache_align: '0\n',
  min_partial: '5\n',
  order: '0\n',
  poison: '0\n',
  reclaim_account: '0\n',
  red_zone: '0\n',
  remote_node_defrag_ratio: '100\n',
  sanity_checks: '0\n',
  shrink: '',
  slabs_cpu_partial: '0(0)\n',
  store_user: '0\n',
  trace: '0\n',
  usersize: '0\n',
  validate: '',
}

/** A kernel's files after the calls of {@link recordedCaches}. */
const RECORDED = {
  plain: {
    ...COMMON,
    cpu_partial: '120\n',
    cpu_slabs: '3 N1=3\n',
    object_size: '64\n',
    objects: '216 N0=88 N1=128\n',
    objects_partial: '24 N0=24\n',
    objs_per_slab: '64\n',
    partial: '1 N0=1\n',
    slab_size: '64\n',
    slabs: '4 N0=2 N1=2\n',
    slabs_cpu_partial: '64(2) C0=64(2)\n',
    total_objects: '256 N0=128 N1=128\n',
  },
  red: {
    ...COMMON,
    object_size: '64\n',
    objects: '87 N0=44 N1=43\n',
    objects_partial: '87 N0=44 N1=43\n',
    objs_per_slab: '46\n',
    partial: '4 N0=2 N1=2\n',
    red_zone: '1\n',
    slab_size: '88\n',
    slabs: '4 N0=2 N1=2\n',
    total_objects: '184 N0=92 N1=92\n',
  },
  all: {
    ...COMMON,
    object_size: '100\n',
    objects: '40 N0=20 N1=20\n',
    objects_partial: '40 N0=20 N1=20\n',
    objs_per_slab: '21\n',
    partial: '4 N0=2 N1=2\n',
    poison: '1\n',
    red_zone: '1\n',
    sanity_checks: '1\n',
    slab_size: '192\n',
    slabs: '4 N0=2 N1=2\n',
    store_user: '1\n',
    total_objects: '84 N0=42 N1=42\n',
  },
  big: {
    ...COMMON,
    cpu_partial: '6\n',
    cpu_slabs: '3 N1=3\n',
    min_partial: '6\n',
    object_size: '5000\n',
    objects: '35 N0=15 N1=20\n',
    objects_partial: '17 N0=9 N1=8\n',
    objs_per_slab: '6\n',
    order: '3\n',
    partial: '5 N0=3 N1=2\n',
    slab_size: '5000\n',
    slabs: '8 N0=4 N1=4\n',
    slabs_cpu_partial: '6(2) C0=6(2)\n',
    total_objects: '48 N0=24 N1=24\n',
  },
}

/** Four caches, objects on both nodes in turn, and every third freed again. */
function recordedCaches() {
  const { slabs } = slabMachine()
  const plain = new SlabCache(slabs, { name: 'plain', size: 64 })
  const red = new SlabCache(slabs, { name: 'red', size: 64, flags: SLAB_RED_ZONE })
  const all = new SlabCache(slabs, { name: 'all', size: 100, flags: 0x10d00 })
  const big = new SlabCache(slabs, { name: 'big', size: 5000 })
  const counts: [SlabCache, number][] = [
    [plain, 200],
    [red, 130],
    [all, 60],
    [big, 40],
  ]
  const frees = counts.flatMap(([cache, count]) =>
    Array.from({ length: count }, (_, i) => {
      const object = take(cache, i % 2)
      return () => cache.free(object)
    }),
  )
  frees.forEach((free, i) => {
    if (i % 3 === 0) free()
  })
  return { slabs, plain, red, all, big }
}

describe('slab attributes', () => {
  it('read as those of a kernel after the same calls', () => {
    const caches = recordedCaches()
    for (const name of ['plain', 'red', 'all', 'big'] as const) {
      expect(slabAttributes(caches[name]), name).toEqual(RECORDED[name])
    }
    expect(slabAttribute(caches.plain, 'cpu_slabs')).toBe('3 N1=3\n')
    const names = Object.keys(slabAttributes(caches.plain))
    expect(names).toEqual([...names].sort())
  })

  it('tell flags, constructors, merged names and what may go to user space', () => {
    const { slabs, heap } = slabMachine({ merge: true })
    const rcu = new SlabCache(slabs, {
      name: 'rcu',
      size: 200,
      flags: SLAB_HWCACHE_ALIGN | SLAB_TYPESAFE_BY_RCU,
    })
    expect(slabAttributes(rcu)).toMatchObject({
      align: '64\n',
      destroy_by_rcu: '1\n',
      hwcache_align: '1\n',
      slab_size: '256\n',
    })
    const dma = new SlabCache(slabs, { name: 'dma', size: 512, flags: SLAB_CACHE_DMA })
    expect(slabAttribute(dma, 'cache_dma')).toBe('1\n')
    const first = new SlabCache(slabs, { name: 'a', size: 104, flags: SLAB_RECLAIM_ACCOUNT })
    expect(slabAttribute(first, 'reclaim_account')).toBe('1\n')
    new SlabCache(slabs, { name: 'b', size: 100, flags: SLAB_RECLAIM_ACCOUNT })
    expect(slabAttribute(first, 'aliases')).toBe('1\n')
    const made = new SlabCache(slabs, { name: 'made', size: 40, ctor: function testCtor() {} })
    expect(slabAttributes(made)).toMatchObject({ ctor: 'testCtor\n', slab_size: '48\n' })
    const [ctor] = [() => {}]
    const nameless = new SlabCache(slabs, { name: 'made', size: 40, ctor: ctor as Ctor })
    expect(slabAttribute(nameless, 'ctor')).toBe('anonymous\n')
    const kmalloc64 = kmallocCacheOf(heap, 64)
    expect(slabAttributes(kmalloc64)).toMatchObject({ usersize: '64\n', aliases: '0\n' })
    // The two caches that all others rest on have a count of names of -1.
    const descriptors = new SlabCache(
      slabs,
      new CacheRecord(slabs.words[SLAB_NODE_CACHE] as number),
    )
    expect([descriptors.name, slabAttribute(descriptors, 'aliases')]).toEqual([
      'kmem_cache_node',
      '0\n',
    ])
  })

  it('count what several CPUs hold, but not the partial slabs of one without a slab', () => {
    const { pages, slabs } = slabMachine({}, 2)
    const cache = new SlabCache(slabs, { name: 'shared', size: 1000 })
    const perSlab = Number(slabAttribute(cache, 'objs_per_slab'))
    const objects = Array.from({ length: 3 * perSlab + 1 }, () => take(cache, 1))
    const half = (slabCount: number) => Math.floor((slabCount * perSlab) / 2)
    onCpu(pages, 1, () => {
      // Full slabs that get a free object go to the partial list of the CPU that frees.
      for (const i of [0, perSlab]) cache.free(objects[i] as VirtAddr)
      expect(slabAttribute(cache, 'slabs_cpu_partial')).toBe(`${half(2)}(2) C1=${half(2)}(2)\n`)
      expect(slabAttribute(cache, 'cpu_slabs')).toBe('1 N1=1\n')
      take(cache, 1)
    })
    // The second CPU took one of its partial slabs to work with.
    expect(slabAttribute(cache, 'slabs_cpu_partial')).toBe(`${half(1)}(1) C1=${half(1)}(1)\n`)
    expect(slabAttribute(cache, 'cpu_slabs')).toBe('3 N1=3\n')
  })

  it('refuse names and caches that do not exist', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'short', size: 40 })
    for (const name of ['alloc_calls', 'skip_kfence', 'alloc_fastpath', 'toString', '']) {
      expect(() => slabAttribute(cache, name), name).toThrow(InvalidArgument)
    }
    cache.destroy()
    expect(() => slabAttribute(cache, 'slabs')).toThrow('the cache is destroyed')
    expect(() => slabAttributes(cache)).toThrow('the cache is destroyed')
    expect(() => writeSlabAttribute(cache, 'min_partial', 1)).toThrow('the cache is destroyed')
  })
})

describe('written slab attributes', () => {
  // What was written, and what the file of a Linux 6.1.192 read as after that; it began with 5.
  it.each([
    ['min_partial', '7\n', '7\n'],
    ['min_partial', 'x\n', null],
    ['min_partial', '-1\n', null],
    ['min_partial', '0x10\n', null],
    ['min_partial', '+9\n', '9\n'],
    ['min_partial', '\n', null],
    ['min_partial', '18446744073709551616\n', null],
    ['cpu_partial', '20\n', '20\n'],
    ['cpu_partial', '4294967296\n', null],
    ['cpu_partial', 'abc\n', null],
    ['cpu_partial', '010\n', '10\n'],
    ['remote_node_defrag_ratio', '50\n', '50\n'],
    ['remote_node_defrag_ratio', '101\n', null],
    ['remote_node_defrag_ratio', 'x\n', null],
    ['shrink', '0\n', null],
    ['shrink', '12\n', ''],
    ['validate', '1\n', null],
  ])('%s takes %j as a kernel does', (name, value, after) => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'plain', size: 64 })
    const before = slabAttributes(cache)
    if (after === null) {
      expect(() => writeSlabAttribute(cache, name, value)).toThrow(InvalidArgument)
      expect(slabAttributes(cache)).toEqual(before)
    } else {
      writeSlabAttribute(cache, name, value)
      expect(slabAttributes(cache)).toEqual({ ...before, [name]: after })
    }
  })

  it('are refused where a file cannot be written, or the state cannot hold the number', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'plain', size: 64 })
    expect(() => writeSlabAttribute(cache, 'order', 1)).toThrow('can be written')
    expect(() => writeSlabAttribute(cache, 'min_partial', 2 ** 31)).toThrow('2147483647')
    expect(() => writeSlabAttribute(cache, 'cpu_partial', 2 ** 30)).toThrow('1073741823')
    writeSlabAttribute(cache, 'cpu_partial', 2 ** 30 - 1)
    expect(slabAttribute(cache, 'cpu_partial')).toBe('1073741823\n')
  })

  it('min_partial decides how many empty slabs a node keeps', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'plain', size: 5000 })
    writeSlabAttribute(cache, 'min_partial', 0)
    const object = take(cache, 1)
    cache.free(object)
    writeSlabAttribute(cache, 'cpu_partial', 6)
    expect(slabAttribute(cache, 'slabs')).toBe('0\n')
  })

  it('cpu_partial recomputes the slabs of a CPU, and flushes', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'plain', size: 64 })
    take(cache, 1)
    writeSlabAttribute(cache, 'cpu_partial', 0)
    expect(slabAttributes(cache)).toMatchObject({ cpu_slabs: '0\n', partial: '1 N1=1\n' })
    const objects = Array.from({ length: 192 }, () => take(cache, 1))
    // With a limit of 0 each push drains the slab before it.
    for (const i of [0, 63, 127]) cache.free(objects[i] as VirtAddr)
    expect(slabAttribute(cache, 'slabs_cpu_partial')).toBe('32(1) C0=32(1)\n')
  })

  it('shrink gives empty slabs back', () => {
    const { slabs } = slabMachine()
    const cache = new SlabCache(slabs, { name: 'plain', size: 64 })
    cache.free(take(cache, 1))
    expect(slabAttribute(cache, 'slabs')).toBe('1 N1=1\n')
    writeSlabAttribute(cache, 'shrink', 1)
    expect(slabAttribute(cache, 'slabs')).toBe('0\n')
  })

  it('debug caches are validated, and have no CPU lists', () => {
    const machine = slabMachine()
    const { context } = machine.slabs
    const seen: number[] = []
    if (context.debug !== null) {
      context.debug = { ...context.debug, validate: (_c, cache) => seen.push(cache) }
    }
    const red = new SlabCache(machine.slabs, { name: 'red', size: 64, flags: SLAB_RED_ZONE })
    writeSlabAttribute(red, 'cpu_partial', '0\n')
    expect(() => writeSlabAttribute(red, 'cpu_partial', '3\n')).toThrow('EINVAL')
    expect(slabAttribute(red, 'cpu_partial')).toBe('0\n')
    writeSlabAttribute(red, 'validate', '1\n')
    for (const value of ['0\n', '2\n', '']) {
      expect(() => writeSlabAttribute(red, 'validate', value)).toThrow('EINVAL')
    }
    expect(seen).toEqual([red.record])
  })
})

describe('slab directories', () => {
  it('have the names that a kernel gives them', () => {
    const { slabs, heap } = slabMachine({ merge: true })
    const directory = (size: number, flags = 0, name = 'some/name') =>
      slabDirectory(new SlabCache(slabs, { name, size, flags }))
    expect(directory(64)).toBe(':0000064')
    expect(directory(5000)).toBe(':0005000')
    expect(directory(104, SLAB_RECLAIM_ACCOUNT)).toBe(':a-0000104')
    expect(directory(520, SLAB_CACHE_DMA)).toBe(':d-0000520')
    expect(directory(520, SLAB_CACHE_DMA32)).toBe(':D-0000520')
    expect(directory(712, SLAB_CONSISTENCY_CHECKS)).toBe(':F-0000712')
    expect(directory(720, SLAB_CONSISTENCY_CHECKS | SLAB_RECLAIM_ACCOUNT)).toBe(':aF-0000720')
    expect(directory(728, SLAB_RED_ZONE, 't/sl')).toBe('t!sl')
    expect(directory(736, SLAB_NOLEAKTRACE, 't_noleak')).toBe('t_noleak')
    expect(slabDirectory(kmallocCacheOf(heap, 64))).toBe('kmalloc-64')
    const made = new SlabCache(slabs, { name: 'made', size: 40, ctor: () => {} })
    expect(slabDirectory(made)).toBe('made')
  })

  it('are the names of caches where none are merged', () => {
    const { slabs } = slabMachine({ merge: false })
    expect(slabDirectory(new SlabCache(slabs, { name: 'a/b', size: 64 }))).toBe('a!b')
  })
})
