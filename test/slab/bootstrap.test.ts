/** The first caches: on every node, with and without checks, and all their pages back when there are too few. */

import { describe, expect, it } from 'vitest'
import {
  cacheState,
  OutOfMemory,
  SLAB_HWCACHE_ALIGN,
  SLAB_RED_ZONE,
  SlabAllocator,
  type SlabOptions,
  slubDebug,
} from '../../src/index'
import { cachesOf } from '../../src/slab/hotplug'
import { CacheRecord, SlabCache } from '../../src/slab/slabCache'
import { cacheNode } from '../../src/slab/slabs'
import {
  CACHE_FLAGS,
  SLAB_CACHE_CACHE,
  SLAB_DEBUG_ON,
  SLAB_NODE_CACHE,
  SLAB_NODE_USED,
} from '../../src/state/slabSchema'
import { errorOf } from './tinyMachine'
import { TinyPages } from './tinyPages'

describe('the first caches', () => {
  it.each<[string, SlabOptions]>([
    ['slabs of a page', {}],
    ['slabs of two pages', { minOrder: 1 }],
    ['checks in force', { debug: slubDebug({ boot: 'FZP' }) }],
  ])('give all pages back when one is missing, with %s', (_name, options) => {
    let failures = 0
    for (let fails = 1; ; fails++) {
      const pages = new TinyPages(16, 2, 2)
      const { allocBlock } = pages
      let calls = 0
      // A slab is asked for twice: what fails is one slab, and no other.
      pages.allocBlock = (gfp, order, node) =>
        ++calls === fails || calls === fails + 1 ? -1 : allocBlock.call(pages, gfp, order, node)
      const thrown = errorOf(() => new SlabAllocator(pages, options))
      if (thrown === null) break
      failures += 1
      expect(thrown).toBeInstanceOf(OutOfMemory)
      expect([pages.count, pages.used[0]]).toEqual([1, 1])
      // The pages are as good as new.
      pages.allocBlock = allocBlock
      expect(new SlabAllocator(pages).wordsUsed).toBeGreaterThan(0)
      expect(fails).toBeLessThan(10)
    }
    // A slab of each node for its state, and one for the descriptors.
    expect(failures).toBe(3)
  })

  it('use the nodes that are named', () => {
    const words = (nodes?: readonly number[]) => {
      const slabs = new SlabAllocator(new TinyPages(16, 1, 3), nodes === undefined ? {} : { nodes })
      const used: number[][] = []
      for (const cache of cachesOf(slabs.words)) {
        const here = [0, 1, 2].filter(
          (id) => slabs.words[cacheNode(slabs.words, cache, id) + SLAB_NODE_USED] === 1,
        )
        used.push(here)
        const state = cacheState(new SlabCache(slabs, new CacheRecord(cache)))
        const nodeStates = [0, 1, 2].map((id) => state.nodes[id]?.slabs)
        if (state.name === 'kmem_cache_node') {
          expect(nodeStates).toEqual([0, 1, 2].map((id) => (here.includes(id) ? 1 : 0)))
        }
      }
      return used
    }
    expect(words()).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ])
    expect(words([0])).toEqual([[0], [0]])
    expect(words([0, 2])).toEqual([
      [0, 2],
      [0, 2],
    ])
  })

  it.each([
    ['without checks', {}, 0, 0],
    ['with checks for caches that ask', { debug: slubDebug() }, 0, 0],
    ['with checks in force', { debug: slubDebug({ boot: 'Z' }) }, 1, SLAB_RED_ZONE],
    ['with checks of one cache', { debug: slubDebug({ boot: 'Z,kmem_cache' }) }, 1, 0],
  ])('have the flags of the machine, %s', (_name, options, on, zones) => {
    const { words } = new SlabAllocator(new TinyPages(16, 1, 1), options)
    expect(words[SLAB_DEBUG_ON]).toBe(on)
    const flags = words[words[SLAB_NODE_CACHE]! + CACHE_FLAGS]!
    expect(flags & (SLAB_HWCACHE_ALIGN | SLAB_RED_ZONE)).toBe(SLAB_HWCACHE_ALIGN | zones)
  })

  it('are without fault where they are checked', () => {
    const lines: string[] = []
    const debug = slubDebug({ boot: 'FZPU', log: (line) => void lines.push(line) })
    const slabs = new SlabAllocator(new TinyPages(32, 2, 2), { debug })
    const { words, context } = slabs
    for (const column of [SLAB_NODE_CACHE, SLAB_CACHE_CACHE]) {
      debug.validate(context, words[column]!)
      const { nodes } = cacheState(new SlabCache(slabs, new CacheRecord(words[column]!)))
      const inuse = Object.values(nodes).flatMap(({ partial }) => partial.map((slab) => slab.inuse))
      expect(inuse).toEqual(column === SLAB_NODE_CACHE ? [2, 2] : [2])
    }
    expect([debug.errors, lines]).toEqual([0, []])
  })
})

describe('a slab allocator', () => {
  it('is the only one of its pages', () => {
    const pages = new TinyPages(16, 1, 1)
    const slabs = new SlabAllocator(pages)
    expect(() => new SlabAllocator(pages)).toThrow('without slabs')
    const cache = new SlabCache(pages, { name: 'objects', size: 64 })
    expect(cache.slabs).toBe(slabs)
    expect(new SlabCache(slabs, { name: 'others', size: 64 }).slabs).toBe(slabs)
  })

  it.each([-1, 2, 3, 0.5])('refuses node %d of two', (node) => {
    expect(() => new SlabAllocator(new TinyPages(16, 1, 2), { nodes: [node] })).toThrow('node')
  })
})
