/** kmalloc call by call: the cache of each request, what is refused, what the fast path leaves to the long way. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_DMA,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  Kmalloc,
  LAYOUT_X86_64,
  OutOfMemory,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_POISON,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
  SlabAllocator,
  SlabCache,
  slubDebug,
  type VirtAddr,
  ZERO_SIZE_PTR,
} from '../../src/index'
import { formatName } from '../../src/slab/cacheName'
import { isNothing, kmallocCache } from '../../src/slab/kmalloc'
import {
  KMALLOC_DMA,
  KMALLOC_INDEXES,
  KMALLOC_NORMAL,
  KMALLOC_RECLAIM,
  kmallocIndex,
  kmallocKind,
  kmallocName,
} from '../../src/slab/kmallocClass'
import { kfreeSensitive, kmallocSizeRoundup } from '../../src/slab/kmallocMore'
import { slabAt } from '../../src/slab/objects'
import { SLAB_CACHE, SLAB_NR_CACHES } from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { machineHash, must, type SlabMachine, slabMachine } from './machines'
import { expectRefused } from './usedMachine'

const SIZES = ['8', '16', '32', '64', '96', '128', '192', '256', '512', '1k', '2k', '4k', '8k']

/** A heap whose CPU has a free object of each normal class: such requests take the fast path. */
function warmHeap(options: Parameters<typeof slabMachine>[0] = {}) {
  const machine = slabMachine({ mib: 2, ...options })
  const heap = new Kmalloc(machine.slabs)
  const { context } = machine.slabs
  for (const index of KMALLOC_INDEXES) {
    const size = index === 1 ? 96 : index === 2 ? 192 : 2 ** index
    // Nothing that is handed out later is zero by chance.
    const objects = [must(heap.kmalloc(size)), must(heap.kmalloc(size))]
    for (const p of objects) machine.ram.fill(p - context.directMap, size, 0x55)
    for (const p of objects) heap.kfree(p)
  }
  const cacheOf = (p: VirtAddr) => {
    const slab = slabAt(context, p)
    return slab === 0 ? '' : formatName(context.words, context.words[slab + SLAB_CACHE]!)
  }
  const bytes = (p: VirtAddr, length: number) => [
    ...machine.ram.bytes(p - context.directMap, length),
  ]
  return { ...machine, heap, context, cacheOf, bytes }
}

describe('the cache of a request', () => {
  it.each([
    [KMALLOC_NORMAL, 'kmalloc-', GFP_KERNEL],
    [KMALLOC_RECLAIM, 'kmalloc-rcl-', GFP_KERNEL | __GFP_RECLAIMABLE],
    [KMALLOC_DMA, 'dma-kmalloc-', GFP_KERNEL | __GFP_DMA],
    [KMALLOC_DMA, 'dma-kmalloc-', GFP_KERNEL | __GFP_DMA | __GFP_RECLAIMABLE],
  ])('kind %i: %s…', (kind, prefix, gfp) => {
    expect(kmallocKind(gfp)).toBe(kind)
    expect(KMALLOC_INDEXES.map((index) => kmallocName(kind, index))).toEqual(
      SIZES.map((size) => prefix + size),
    )
    const { heap, cacheOf, context } = warmHeap()
    for (const text of SIZES) {
      const size = text.endsWith('k') ? Number.parseInt(text, 10) * 1024 : Number(text)
      expect(cacheOf(must(heap.kmalloc(size, gfp)))).toBe(prefix + text)
      expect(formatName(context.words, kmallocCache(context.words, size, gfp))).toBe(prefix + text)
    }
  })

  it('is the same whichever way a request takes', () => {
    const { heap, cacheOf, context } = warmHeap()
    const { words } = context
    for (const size of [1, 7, 8, 9, 64, 65, 96, 97, 192, 193, 1023, 1024, 1025, 8191, 8192]) {
      const name = formatName(words, kmallocCache(words, size, GFP_KERNEL))
      expect(cacheOf(must(heap.kmalloc(size)))).toBe(name)
      expect(cacheOf(must(heap.kmalloc(size, GFP_KERNEL, 0)))).toBe(name)
    }
    expect(kmallocIndex(8)).toBe(3)
    expect(kmallocIndex(1)).toBe(3)
    expect(kmallocSizeRoundup(8192)).toBe(8192)
    expect(kmallocSizeRoundup(8193)).toBe(16384)
  })

  it('is none above 8192 bytes, and there is nothing for 0', () => {
    const { heap, cacheOf } = warmHeap()
    expect(cacheOf(must(heap.kmalloc(8192)))).toBe('kmalloc-8k')
    const large = must(heap.kmalloc(8193))
    expect(cacheOf(large)).toBe('')
    expect(heap.ksize(large)).toBe(16384)
    expect(heap.kmalloc(0)).toBe(ZERO_SIZE_PTR)
    expect(heap.kmalloc(0, GFP_KERNEL | __GFP_DMA)).toBe(ZERO_SIZE_PTR)
  })
})

describe('requests for zeroed memory', () => {
  it.each([8, 100, 8192])('%i bytes, on a warm heap', (size) => {
    const { heap, bytes } = warmHeap()
    const room = heap.ksize(must(heap.kmalloc(size)))
    const p = must(heap.kmalloc(size, GFP_KERNEL | __GFP_ZERO))
    expect(bytes(p, room).every((byte) => byte === 0)).toBe(true)
  })
})

describe('a request for a node', () => {
  it('is answered there, though the CPU holds objects of another', () => {
    const { heap, context } = warmHeap({ nodes: 2, mib: 4 })
    const nodeOf = (p: VirtAddr) => Math.floor((p - context.directMap) / (4 * 1024 * 1024))
    expect(nodeOf(must(heap.kmalloc(100, GFP_KERNEL, 1)))).toBe(1)
    expect(nodeOf(must(heap.kmalloc(100, GFP_KERNEL, 0)))).toBe(0)
    expect(nodeOf(must(heap.kmalloc(9000, GFP_KERNEL, 1)))).toBe(1)
  })
})

describe('the fast path', () => {
  /** On a warm heap it asks no hook, here hooks that it was not told of. */
  function deafHeap() {
    const machine = warmHeap()
    let asked = 0
    machine.context.faults = {
      failSlab: () => {
        asked++
        return false
      },
    } as never
    let frees = 0
    machine.context.trace = {
      kmalloc() {},
      cacheAlloc() {},
      cacheFree: () => frees++,
      kfree: () => frees++,
    } as never
    return { ...machine, asked: () => asked, frees: () => frees }
  }

  it.each([1, 8, 9, 100, 8191, 8192])('answers a request for %i bytes', (size) => {
    const { heap, asked } = deafHeap()
    heap.kmalloc(size)
    expect(asked()).toBe(0)
  })

  it.each([
    ['a node', 100, GFP_KERNEL, 0],
    ['the reclaimable class', 100, GFP_KERNEL | __GFP_RECLAIMABLE, undefined],
    ['the DMA class', 100, GFP_KERNEL | __GFP_DMA, undefined],
    ['zeroed memory', 100, GFP_KERNEL | __GFP_ZERO, undefined],
  ])('leaves a request for %s to the long way', (_name, size, gfp, node) => {
    const { heap, asked } = deafHeap()
    heap.kmalloc(size, gfp, node)
    expect(asked()).toBe(1)
  })

  it('frees what a CPU holds, and leaves what is nothing', () => {
    const { heap, frees } = deafHeap()
    heap.kfree(must(heap.kmalloc(100)))
    expect(frees()).toBe(0)
    heap.kfree(null)
    expect(frees()).toBe(1)
    heap.kfree(ZERO_SIZE_PTR)
    expect(frees()).toBe(2)
  })

  it('frees an object of a cache', () => {
    const { slabs, frees } = deafHeap()
    const cache = new SlabCache(slabs, { name: 'mine', size: 100 })
    const object = must(cache.alloc())
    cache.free(object)
    expect(frees()).toBe(0)
  })
})

describe('refused', () => {
  it.each([
    ['a size below 0', -1],
    ['half a byte', 0.5],
    ['100 and a half', 100.5],
    ['no number', Number.NaN],
    ['without end', Number.POSITIVE_INFINITY],
    ['2^32 and a half', 2 ** 32 + 0.5],
    ['a text', '100' as never],
    ['null', null as never],
  ])('%s', (_name, size) => {
    const m = warmHeap()
    const error = expectRefused(m, () => m.heap.kmalloc(size), 'kmalloc')
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(expectRefused(m, () => m.heap.kmalloc(size, GFP_KERNEL, 0), 'node')).toBeInstanceOf(
      InvalidArgument,
    )
  })

  it.each([-2, 1, 2, 0.5])('node %d', (node) => {
    const m = warmHeap()
    const error = expectRefused(m, () => m.heap.kmalloc(100, GFP_KERNEL, node), 'node')
    expect(error).toBeInstanceOf(InvalidArgument)
  })

  it.each([-1, 0.5, 2 ** 32, 2 ** 32 + GFP_KERNEL])('mask %d', (gfp) => {
    const m = warmHeap()
    expect(expectRefused(m, () => m.heap.kmalloc(100, gfp), 'mask')).toBeInstanceOf(InvalidArgument)
  })

  it('a free and the size of what is not allocated: -1, 17, behind the end, no number', () => {
    const m = warmHeap()
    const end = m.ram.words.length * 4
    for (const p of [-1, -8, 0.5, 15.5, 17, 24, end, end + 8, Number.NaN]) {
      for (const call of [m.heap.kfree, m.heap.ksize]) {
        const error = expectRefused(m, () => call.call(m.heap, p as VirtAddr), `${p}`)
        expect(error).toBeInstanceOf(KernelBug)
      }
    }
    for (const p of ['8', undefined, {}, 8n]) {
      expect(thrownBy(() => m.heap.kfree(p as never))).toBeInstanceOf(InvalidArgument)
      expect(isNothing(p as never)).toBe(false)
    }
  })
})

describe('what is nothing', () => {
  it('is null, and the integers from 0 to 16', () => {
    for (const p of [null, 0, 1, 8, 15, 16]) expect(isNothing(p)).toBe(true)
    for (const p of [-1, -0.5, 0.5, 15.5, 16.5, 17, 4096, Number.NaN, '0' as never])
      expect(isNothing(p)).toBe(false)
    const { heap } = warmHeap()
    expect([null, 0, 16].map((p) => heap.ksize(p as VirtAddr | null))).toEqual([0, 0, 0])
  })
})

describe('ksize of a cache with', () => {
  const machine = () => slabMachine({ slabs: { debug: slubDebug({ onBug: 'throw' }) } })
  it.each([
    ['RCU and a constructor', { flags: SLAB_TYPESAFE_BY_RCU, ctor: () => {} }, 104],
    ['RCU', { flags: SLAB_TYPESAFE_BY_RCU }, 104],
    ['an owner', { flags: SLAB_STORE_USER }, 104],
    ['poison', { flags: SLAB_POISON }, 100],
    ['a red zone', { flags: 0x400 }, 100],
    ['a constructor alone', { ctor: () => {} }, 112],
    ['nothing', { usersize: 8 }, 104],
  ])('%s', (_name, options, size) => {
    const { slabs } = machine()
    const heap = new Kmalloc(slabs)
    const cache = new SlabCache(slabs, { name: 'mine', size: 100, ...options })
    expect(heap.ksize(must(cache.alloc()))).toBe(size)
  })

  it('checks alone, of any word: they look only at a free', () => {
    const { slabs } = machine()
    const heap = new Kmalloc(slabs)
    const cache = new SlabCache(slabs, { name: 'c', size: 100, flags: SLAB_CONSISTENCY_CHECKS })
    const object = must(cache.alloc())
    expect(heap.ksize((object + 4) as VirtAddr)).toBe(heap.ksize(object))
  })
})

describe.each([undefined, LAYOUT_X86_64])('memory that moves, of layout %#', (layout) => {
  const options = layout === undefined ? {} : { slabs: { layout } }
  const numbers = (length: number) => Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff)
  function write(m: SlabMachine, p: VirtAddr, bytes: number[]) {
    for (const [i, byte] of bytes.entries()) m.ram.fill(p - m.slabs.context.directMap + i, 1, byte)
  }

  it('keeps all that could be used', () => {
    const m = warmHeap(options)
    const p = must(m.heap.kmalloc(90))
    write(m, p, numbers(96))
    const moved = must(m.heap.krealloc(p, 97))
    expect(moved).not.toBe(p)
    expect(m.bytes(moved, 96)).toEqual(numbers(96))
    expect(
      m
        .bytes(moved, 128)
        .slice(96)
        .every((byte) => byte === 0x55),
    ).toBe(true)
    expect(() => m.heap.ksize(p)).toThrow(KernelBug)
  })

  it('stays where it fits; the rest is zeroed where that is asked for', () => {
    const m = warmHeap(options)
    const p = must(m.heap.kmalloc(96))
    write(m, p, numbers(96))
    expect(m.heap.krealloc(p, 96)).toBe(p)
    expect(m.heap.krealloc(p, 50)).toBe(p)
    expect(m.bytes(p, 96)).toEqual(numbers(96))
    expect(m.heap.krealloc(p, 50, GFP_KERNEL | __GFP_ZERO)).toBe(p)
    expect(m.bytes(p, 96)).toEqual([...numbers(50), ...Array(46).fill(0)])
  })

  it('from nothing: null and the address of 0 bytes', () => {
    const m = warmHeap(options)
    expect(m.cacheOf(must(m.heap.krealloc(null, 100)))).toBe('kmalloc-128')
    expect(m.cacheOf(must(m.heap.krealloc(ZERO_SIZE_PTR, 100)))).toBe('kmalloc-128')
    expect(m.heap.krealloc(null, 0)).toBe(ZERO_SIZE_PTR)
  })

  it('is wiped before it is freed, if it held a secret', () => {
    const m = warmHeap(options)
    const p = must(m.heap.kmalloc(8192))
    const next = must(m.heap.kmalloc(8192))
    write(m, next, [1, 2, 3])
    m.ram.fill(p - m.slabs.context.directMap, 8192, 0x77)
    kfreeSensitive(m.heap, p)
    const bytes = m.bytes(p, 8192)
    expect(bytes.filter((byte) => byte === 0x77)).toEqual([])
    expect(bytes.filter((byte) => byte !== 0).length).toBeLessThanOrEqual(8)
    expect(m.bytes(next, 3)).toEqual([1, 2, 3])
    const before = machineHash(m)
    kfreeSensitive(m.heap, null)
    kfreeSensitive(m.heap, ZERO_SIZE_PTR)
    expect(machineHash(m)).toBe(before)
  })
})

describe('the kmalloc caches', () => {
  it('are made once, and go again when one of them can not be made', () => {
    const { slabs, pages } = slabMachine()
    const few = slabs.words[SLAB_NR_CACHES]!
    expect(few).toBe(2)
    const { context } = slabs
    let left = 20
    slabs.setFaults({ failSlab: () => left-- === 0 } as never)
    expect(thrownBy(() => new Kmalloc(slabs))).toBeInstanceOf(OutOfMemory)
    expect(slabs.words[SLAB_NR_CACHES]).toBe(few)
    for (const index of KMALLOC_INDEXES) {
      const size = index === 1 ? 96 : index === 2 ? 192 : 2 ** index
      for (const gfp of [GFP_KERNEL, __GFP_DMA, __GFP_RECLAIMABLE])
        expect(kmallocCache(context.words, size, gfp)).toBe(0)
    }
    slabs.setFaults(null)
    new Kmalloc(slabs)
    expect(slabs.words[SLAB_NR_CACHES]).toBe(few + 3 * KMALLOC_INDEXES.length)
    new Kmalloc(pages)
    expect(slabs.words[SLAB_NR_CACHES]).toBe(few + 3 * KMALLOC_INDEXES.length)
    expect(thrownBy(() => new SlabAllocator(pages))).toBeInstanceOf(InvalidArgument)
  })
})
