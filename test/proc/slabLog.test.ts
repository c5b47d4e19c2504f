import { describe, expect, it } from 'vitest'
import { KernelBug } from '../../src/base/errors'
import { type SlabLogOptions, slabBootMessage, slabLog } from '../../src/proc/slabLog'
import { SlabCache } from '../../src/slab/slabCache'
import { cacheNode } from '../../src/slab/slabs'
import { SLAB_NODE_USED } from '../../src/state/slabSchema'
import { exhaust, slabMachine, take } from './slabMachine'

const NOWAIT_HERE = 0x200800

function loggingMachine(options: SlabLogOptions = {}) {
  const lines: string[] = []
  const log = slabLog((line) => lines.push(line), options)
  const machine = slabMachine({ log })
  const take = () => lines.splice(0)
  return { ...machine, lines: take }
}

describe('reports of failed requests', () => {
  it('are those of a kernel', () => {
    const { pages, slabs, heap, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 't_high', size: 200 })
    heap.kfree(heap.kmalloc(8000, 0xcc0, 0))
    exhaust(pages, 1)
    expect(cache.allocNode(NOWAIT_HERE, 1)).toBeNull()
    expect(heap.kmalloc(8000, NOWAIT_HERE, 1)).toBeNull()
    // The second one is what a Linux 6.1.192 printed after the same calls.
    expect(lines()).toEqual([
      'SLUB: Unable to allocate memory on node 1, gfp=0x200800(GFP_NOWAIT|__GFP_THISNODE)',
      '  cache: t_high, object size: 200, buffer size: 200, default order: 0, min order: 0',
      '  node 0: slabs: 0, objs: 0, free: 0',
      '  node 1: slabs: 0, objs: 0, free: 0',
      'SLUB: Unable to allocate memory on node 1, gfp=0x200800(GFP_NOWAIT|__GFP_THISNODE)',
      '  cache: kmalloc-8k, object size: 8192, buffer size: 8192, default order: 3, min order: 1',
      '  node 0: slabs: 1, objs: 4, free: 4',
      '  node 1: slabs: 0, objs: 0, free: 0',
    ])
  })

  it('tell when what is added to objects takes a larger block', () => {
    const { pages, slabs, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 'page', size: 4096, ctor: () => {} })
    exhaust(pages, 0)
    exhaust(pages, 1)
    expect(cache.alloc(0xa20)).toBeNull()
    expect(lines().slice(0, 3)).toEqual([
      'SLUB: Unable to allocate memory on node -1, gfp=0xa20(GFP_ATOMIC)',
      '  cache: page, object size: 4096, buffer size: 4104, default order: 3, min order: 1',
      '  page debugging increased min order, use slub_debug=O to disable.',
    ])
  })

  it('leave out nodes that caches do not use, and are not for silent requests', () => {
    const lines: string[] = []
    const { pages, slabs, heap } = slabMachine({ log: slabLog((line) => lines.push(line)) })
    const other = new SlabCache(slabs, { name: 'other', size: 200 })
    // As for a node without memory: nothing of the cache is there.
    slabs.words[cacheNode(slabs.words, other.record, 1) + SLAB_NODE_USED] = 0
    exhaust(pages, 0)
    exhaust(pages, 1)
    expect(heap.kmalloc(100, 0x2000 | NOWAIT_HERE, 0)).toBeNull()
    expect(lines).toEqual([])
    expect(other.allocNode(NOWAIT_HERE, 0)).toBeNull()
    expect(lines.map((line) => line.slice(0, 9))).toEqual(['SLUB: Una', '  cache: ', '  node 0:'])
  })

  it('are ten in five seconds at most, of all caches together', () => {
    let now = 100
    const { pages, heap, lines } = loggingMachine({ clock: () => now })
    exhaust(pages, 1)
    const fail = (times: number) => {
      for (let i = 0; i < times; i++) heap.kmalloc(i % 2 === 0 ? 100 : 1000, NOWAIT_HERE, 1)
      return lines().filter((line) => !line.startsWith(' '))
    }
    expect(fail(9)).toHaveLength(9)
    now = 105
    expect(fail(4)).toHaveLength(1)
    // The window began at 100, and has to be over.
    now = 105.01
    const later = fail(12)
    expect(later).toHaveLength(11)
    expect(later[0]).toBe('slab_out_of_memory: 3 callbacks suppressed')
    expect(later[1]).toMatch(/^SLUB: Unable/)
    now = 200
    expect(fail(1)).toEqual([
      'slab_out_of_memory: 2 callbacks suppressed',
      expect.stringMatching(/^SLUB: Unable/),
    ])
    now = 300
    expect(fail(1)).toHaveLength(1)
  })

  it('are never left out without a clock', () => {
    const { pages, heap, lines } = loggingMachine()
    exhaust(pages, 1)
    for (let i = 0; i < 30; i++) heap.kmalloc(100, NOWAIT_HERE, 1)
    expect(lines().filter((line) => line.startsWith('SLUB:'))).toHaveLength(30)
  })
})

describe('other messages', () => {
  it('name the bits that a mask must not have', () => {
    const { heap, slabs, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 't_small', size: 64 })
    take(cache, 1, 0xcc4)
    heap.kmalloc(100, 0xcc6, 1)
    heap.kmalloc(20000, 0xcc6, 1)
    expect(lines()).toEqual([
      'Unexpected gfp: 0x4 (GFP_DMA32). Fixing up to gfp: 0xcc0 (GFP_KERNEL). Fix your code!',
      'Unexpected gfp: 0x6 (__GFP_HIGHMEM|GFP_DMA32). Fixing up to gfp: 0xcc0 (GFP_KERNEL). Fix your code!',
      'Unexpected gfp: 0x6 (__GFP_HIGHMEM|GFP_DMA32). Fixing up to gfp: 0xcc0 (GFP_KERNEL). Fix your code!',
    ])
    new SlabCache(slabs, { name: 'again', size: 64 }).allocNode(0x80000000 + 4, 1)
    expect(lines()).toEqual([
      'Unexpected gfp: 0x80000004 (GFP_DMA32|0x80000000). Fixing up to gfp: 0x0 (). Fix your code!',
    ])
  })

  it('frame a warning', () => {
    const { slabs, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 't_ctor', size: 40, ctor: () => {} })
    take(cache, 1, 0xdc0)
    expect(lines()).toEqual([
      '------------[ cut here ]------------',
      'WARNING: CPU: 0 PID: 0 at new_slab',
      '---[ end trace 0000000000000000 ]---',
    ])
  })

  it('tell of a cache that could not be destroyed, after the reports of its slabs', () => {
    const remaining = ['BUG leaky: Objects remaining']
    const { slabs, lines } = loggingMachine({ remaining: () => remaining })
    const cache = new SlabCache(slabs, { name: 'leaky', size: 64 })
    take(cache, 1)
    slabs.context.caller = 'run_line+0xdf2/0x1620'
    const frame = [
      '------------[ cut here ]------------',
      'kmem_cache_destroy leaky: Slab cache still has objects when called from run_line+0xdf2/0x1620',
      'WARNING: CPU: 0 PID: 0 at kmem_cache_destroy',
      '---[ end trace 0000000000000000 ]---',
    ]
    let error: unknown
    try {
      cache.destroy()
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(KernelBug)
    expect((error as KernelBug).report).toEqual([...remaining, ...frame])
    expect(lines()).toEqual([...remaining, ...frame])
  })

  it('tell of a cache that could not be made', () => {
    const lines: string[] = []
    const log = slabLog((line) => lines.push(line))
    const { context } = slabMachine().slabs
    log.createFailed(context, 'large', -22, false)
    log.createFailed(context, 'vital', -12, true)
    expect(lines).toEqual([
      'kmem_cache_create_usercopy(large) failed with error -22',
      "Kernel panic - not syncing: kmem_cache_create_usercopy: Failed to create slab 'vital'. Error -12",
    ])
  })

  it('tell of a destroyed cache without a caller, and without reports', () => {
    const { slabs, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 'leaky', size: 64 })
    take(cache, 1)
    expect(() => cache.destroy()).toThrow(KernelBug)
    expect(lines()[1]).toBe(
      'kmem_cache_destroy leaky: Slab cache still has objects when called from unknown',
    )
  })

  it('write what is refused, and give it back', () => {
    const { slabs, lines } = loggingMachine()
    const cache = new SlabCache(slabs, { name: 'once', size: 64 })
    const object = take(cache, 1)
    cache.free(object)
    expect(() => cache.free(object)).toThrow(KernelBug)
    expect(lines()).toEqual([`object 0x${object.toString(16)} of cache once is already free`])
  })

  it('begin as the boot log does', () => {
    expect(slabBootMessage(slabMachine().slabs)).toBe(
      'SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=1, Nodes=2',
    )
    const { slabs } = slabMachine({ minOrder: 1, maxOrder: 4, minObjects: 9 }, 4)
    expect(slabBootMessage(slabs)).toBe(
      'SLUB: HWalign=64, Order=1-4, MinObjects=9, CPUs=4, Nodes=2',
    )
  })
})
