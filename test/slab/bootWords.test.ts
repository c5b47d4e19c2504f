import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  InvalidArgument,
  Kmalloc,
  kmallocCacheOf,
  MiB,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
} from '../../src/index'
import { slabOptions } from '../../src/slab/bootWords'
import { CACHE_ORDER } from '../../src/state/slabSchema'
import { must } from './machines'

function machine(commandLine: string): SlabAllocator {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 8 * MiB }) })
  return new SlabAllocator(pages, { ...slabOptions(commandLine) })
}

/** Order of the slabs of kmalloc-4k. */
function order4k(slabs: SlabAllocator): number {
  const cache = must(kmallocCacheOf(new Kmalloc(slabs), 4096))
  return must(slabs.words[cache.record + CACHE_ORDER])
}

describe('slabOptions', () => {
  it('of no words is nothing', () => {
    expect(slabOptions('')).toEqual({ unknown: [] })
    expect(slabOptions(' \n ')).toEqual({ unknown: [] })
  })

  it('reads every word', () => {
    const words = slabOptions(
      'slub_min_order=1 slub_max_order=2 slub_min_objects=8 slab_nomerge init_on_alloc=1 ' +
        'init_on_free=off slub_debug=FZ,kmalloc-*;P failslab=10,50,4096,-1',
    )
    expect(words).toEqual({
      minOrder: 1,
      maxOrder: 2,
      minObjects: 8,
      merge: false,
      initOnAlloc: true,
      initOnFree: false,
      slubDebug: 'FZ,kmalloc-*;P',
      failslab: { interval: 10, probability: 50, space: 4096, times: -1 },
      unknown: [],
    })
  })

  it.each([
    ['slub_nomerge', { merge: false }],
    ['slab_nomerge', { merge: false }],
    ['slub_merge', { merge: true }],
    ['slab_merge', { merge: true }],
    ['slab_nomerge slub_merge', { merge: true }],
    ['slab-nomerge', { merge: false }],
    ['slub_max_order=11', { maxOrder: 10 }],
    ['slub_max_order=1 slub_max_order=2', { maxOrder: 2 }],
    ['debug_guardpage_minorder=1', { maxOrder: 0 }],
    ['debug_guardpage_minorder=1 slub_max_order=3', { maxOrder: 0 }],
    ['debug_guardpage_minorder=0', {}],
    ['slub_debug', { slubDebug: '' }],
    ['slub_debug=', { slubDebug: '' }],
    ['slub_debug=-', { slubDebug: '-' }],
    ['init_on_alloc=0 init_on_free=y', { initOnAlloc: false, initOnFree: true }],
    ['init_on_alloc=on init_on_free=n', { initOnAlloc: true, initOnFree: false }],
  ])('%s', (line, options) => {
    expect(slabOptions(line)).toEqual({ ...options, unknown: [] })
  })

  it('gives back what it does not know, as it was', () => {
    const line = 'quiet  slab_debug=F root=/dev/sda slub_min_orders=1 toString slab_nomerge --'
    expect(slabOptions(line)).toEqual({
      merge: false,
      unknown: ['quiet', 'slab_debug=F', 'root=/dev/sda', 'slub_min_orders=1', 'toString', '--'],
    })
  })

  it.each([
    'slub_min_order',
    'slub_min_order=',
    'slub_min_order=x',
    'slub_min_order=-1',
    'slub_min_order=1.5',
    'slub_min_order=11',
    'slub_max_order=1x',
    'slub_min_objects=32768',
    'slab_nomerge=1',
    'init_on_alloc',
    'init_on_alloc=2',
    'init_on_free=yes',
    'debug_guardpage_minorder=',
    'failslab',
    'failslab=1,2,3',
  ])('refuses %s', (line) => {
    expect(() => slabOptions(line)).toThrow(InvalidArgument)
  })

  it.each(['slub_merge', 'slab_merge', 'slub_nomerge', 'slab_nomerge'])('names %s', (word) => {
    expect(() => slabOptions(`${word}=1`)).toThrow(`${word} is "1"`)
  })
})

describe('a machine with the words', () => {
  it('has slabs of other orders', () => {
    expect(order4k(machine(''))).toBe(3)
    expect(order4k(machine('slub_max_order=1'))).toBe(1)
    expect(order4k(machine('debug_guardpage_minorder=1'))).toBe(0)
    expect(order4k(machine('slub_min_order=4 slub_max_order=5'))).toBe(4)
  })

  it('merges caches, or not', () => {
    const records = (line: string) => {
      const slabs = machine(line)
      return [1, 2].map((i) => new SlabCache(slabs, { name: `c${i}`, size: 64 }).record)
    }
    const [a, b] = records('quiet')
    expect(a).toBe(b)
    const [c, d] = records('slub_nomerge')
    expect(c).not.toBe(d)
  })

  it('zeroes', () => {
    const slabs = machine('init_on_alloc=1')
    const heap = new Kmalloc(slabs)
    const p = must(heap.kmalloc(64))
    slabs.context.ram.fill(p, 64, 0xff)
    heap.kfree(p)
    expect(heap.kmalloc(64)).toBe(p)
    expect([...slabs.context.ram.bytes(p, 64)]).toEqual(new Array(64).fill(0))
  })
})
