/** Slabs by themselves: the masks that pages are asked for with, what a new one looks like, and how it goes back. */

import { beforeEach, describe, expect, it } from 'vitest'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_DMA32,
  __GFP_HIGHMEM,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  LAYOUT_X86_64,
  PAGE_SIZE,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  type SlabCacheOptions,
  slubDebug,
} from '../../src/index'
import type { SlabHardening, SlabLogOps } from '../../src/slab/context'
import { silentSlabLog } from '../../src/slab/silentLog'
import { nodeCounters } from '../../src/slab/slabState'
import { newSlab, releaseSlab, takePages } from '../../src/slab/slabs'
import {
  CACHE_ALLOC_FLAGS,
  CACHE_MIN_ORDER,
  CACHE_ORDER,
  CACHE_PAD,
  NODE_SLAB_RECLAIMABLE,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_LAST,
  SLAB_OBJECTS,
  SLAB_ORDER_SHIFT,
  SLAB_PFN,
  SLAB_TAINT,
  SLAB_WORDS_USED,
} from '../../src/state/slabSchema'
import { TinyMachine, type TinyOptions } from './tinyMachine'

/** A machine that writes down each request for pages, and what the log is told. */
function watched(options: TinyOptions = {}) {
  const told: unknown[][] = []
  const log: SlabLogOps = {
    ...silentSlabLog,
    badGfp: (_c, bad, gfp) => void told.push(['badGfp', bad, gfp]),
    warn: (_c, place, lines) => void told.push(['warn', place, [...lines]]),
  }
  const machine = new TinyMachine({ log, ...options })
  const { pages } = machine
  const asked: [gfp: number, order: number][] = []
  const failing = new Set<number>()
  const { allocBlock } = pages
  pages.allocBlock = (gfp, order, node) => {
    asked.push([gfp, order])
    return failing.has(order) ? -1 : allocBlock.call(pages, gfp, order, node)
  }
  const make = (slots: Partial<SlabCacheOptions> = {}) => {
    const cache = machine.cache(slots).record
    asked.length = 0
    told.length = 0
    return cache
  }
  return { machine, words: machine.words, c: machine.c, pages, told, asked, failing, make }
}

let set: ReturnType<typeof watched>
beforeEach(() => {
  set = watched()
})

/** Slots of which a slab of one page holds too few. */
const LARGE = { size: 700 }

describe('the mask of a request for a slab', () => {
  it('is silent, and gives up early, at the order that all slabs of the cache have', () => {
    const cache = set.make()
    newSlab(set.c, cache, GFP_KERNEL | __GFP_NOFAIL, -1)
    newSlab(set.c, cache, GFP_ATOMIC, -1)
    const early = __GFP_NOWARN | __GFP_NORETRY
    expect(set.asked).toEqual([
      [GFP_KERNEL | early, 0],
      [GFP_ATOMIC | early, 0],
    ])
  })

  it('leaves the reserves alone and does not reclaim at a larger order, and is the own one at the smaller', () => {
    const cache = set.make(LARGE)
    const order = set.words[cache + CACHE_ORDER]!
    const least = set.words[cache + CACHE_MIN_ORDER]!
    expect(order).toBeGreaterThan(least)
    const flags = set.words[cache + CACHE_ALLOC_FLAGS]!
    set.failing.add(order)
    const small = newSlab(set.c, cache, GFP_KERNEL | __GFP_NOFAIL, -1)
    const early = flags | __GFP_NOWARN | __GFP_NORETRY
    const blocking = GFP_KERNEL & __GFP_DIRECT_RECLAIM
    expect(blocking).not.toBe(0)
    expect(set.asked).toEqual([
      [(GFP_KERNEL & ~__GFP_RECLAIM) | early | __GFP_NOMEMALLOC, order],
      [GFP_KERNEL | __GFP_NOFAIL | flags, least],
    ])
    expect((set.words[small + SLAB_FLAGS]! >> SLAB_ORDER_SHIFT) & 15).toBe(least)
    set.asked.length = 0
    newSlab(set.c, cache, GFP_ATOMIC, -1)
    expect(set.asked[0]).toEqual([GFP_ATOMIC | early, order])
  })

  it('loses bits that no slab may be asked for with, which is told', () => {
    const cache = set.make()
    const bad = __GFP_HIGHMEM | __GFP_DMA32
    newSlab(set.c, cache, GFP_KERNEL | bad, -1)
    newSlab(set.c, cache, GFP_KERNEL, -1)
    expect(set.told).toEqual([['badGfp', bad, GFP_KERNEL]])
    for (const [gfp] of set.asked) expect(gfp).toBe(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY)
  })

  it('is warned of once when it asks for zeroed objects of a cache with a constructor', () => {
    const plain = set.make()
    newSlab(set.c, plain, GFP_KERNEL | __GFP_ZERO, -1)
    const cache = set.make({ name: 'constructed', ctor: () => {} })
    newSlab(set.c, cache, GFP_KERNEL, -1)
    expect([set.told, set.words[SLAB_TAINT]]).toEqual([[], 0])
    newSlab(set.c, cache, GFP_KERNEL | __GFP_ZERO, -1)
    newSlab(set.c, cache, GFP_KERNEL | __GFP_ZERO, -1)
    expect(set.told).toEqual([['warn', 'new_slab', []]])
    expect(set.words[SLAB_TAINT]).toBe(1 << 9)
  })
})

describe('the frame at address 0', () => {
  it('is set aside where address 0 means none', () => {
    set.pages.used[0] = 0
    expect(takePages(set.c, GFP_KERNEL, 0, -1)).toBeGreaterThan(0)
    expect(set.pages.used[0]).toBe(1)
  })

  it('is as good as others where it has another address', () => {
    set = watched({ layout: LAYOUT_X86_64 })
    const cache = set.make()
    set.pages.used[0] = 0
    const slab = newSlab(set.c, cache, GFP_KERNEL, -1)
    expect([set.words[slab + SLAB_PFN], set.asked.length]).toEqual([0, 1])
  })
})

describe('a new slab', () => {
  it('links its objects in the order that the hardening wants', () => {
    const order = [5, 0, 63, ...Array.from({ length: 62 }, (_, i) => i + 1).filter((i) => i !== 5)]
    const hardening: SlabHardening = {
      secret: () => [0, 0],
      codeLow: () => 0,
      codeHigh: () => 0,
      order: (_c, _cache, objects) => (objects === order.length ? order : null),
    }
    const machine = new TinyMachine({ hardening })
    const cache = machine.cache()
    const base = (object: number | null) => (object! % PAGE_SIZE) / 64
    expect(Array.from({ length: 64 }, () => base(cache.alloc()))).toEqual(order)
  })

  it('ends where its last object begins, behind its red zone', () => {
    set = watched({ debug: slubDebug() })
    const cache = set.make({ size: 1000, flags: SLAB_RED_ZONE })
    const pad = set.words[cache + CACHE_PAD]!
    expect(pad).toBeGreaterThan(0)
    const slab = newSlab(set.c, cache, GFP_KERNEL, -1)
    const [free, objects] = set.machine.columns(slab, SLAB_FREE, SLAB_OBJECTS)
    expect(free).toBe(pad + 1)
    const size = set.machine.slabs.words[slab + SLAB_LAST]! - pad
    expect(size % (objects! - 1)).toBe(0)
    expect(size / (objects! - 1)).toBeGreaterThanOrEqual(1000 + pad)
  })

  it('counts for its node as reclaimable, if it is, until it goes back', () => {
    const { words, c } = set
    const counters = () => {
      const at = nodeCounters(words, 0) + NODE_SLAB_RECLAIMABLE
      return [...words.subarray(at, at + 2)]
    }
    const cache = set.make({ ...LARGE, flags: SLAB_RECLAIM_ACCOUNT })
    const [, other] = counters()
    const slab = newSlab(c, cache, GFP_KERNEL, -1)
    expect(counters()).toEqual([2 ** words[cache + CACHE_ORDER]!, other])
    releaseSlab(c, cache, slab)
    expect(counters()).toEqual([0, other])
  })

  it('is none when the state has no room for its record, and its pages go back', () => {
    const cache = set.make()
    set.words[SLAB_WORDS_USED] = set.words.length
    const before = set.pages.count
    expect(newSlab(set.c, cache, GFP_KERNEL, -1)).toBe(0)
    expect(set.asked.length).toBe(1)
    expect(set.pages.count).toBe(before)
  })

  it('goes back when a constructor throws, as one without objects', () => {
    const seen: number[] = []
    const debug = {
      ...slubDebug(),
      discard: (c: { words: Int32Array }, slab: number) =>
        void seen.push(c.words[slab + SLAB_OBJECTS]!),
    }
    set = watched({ debug })
    let calls = 0
    const ctor = () => {
      calls += 1
      if (calls === 3) throw new Error('no')
    }
    const cache = set.make({ ctor, flags: SLAB_RED_ZONE })
    const before = set.pages.count
    expect(() => newSlab(set.c, cache, GFP_KERNEL, -1)).toThrow('no')
    expect([seen, set.pages.count]).toEqual([[0], before])
  })

  it('is looked at when it goes back, if it is one of a debug cache', () => {
    const seen: number[] = []
    set = watched({
      debug: { ...slubDebug(), discard: (_c, slab) => void seen.push(slab) },
    })
    const plain = set.make()
    releaseSlab(set.c, plain, newSlab(set.c, plain, GFP_KERNEL, -1))
    expect(seen).toEqual([])
    const checked = set.make({ name: 'checked', flags: SLAB_RED_ZONE })
    const slab = newSlab(set.c, checked, GFP_KERNEL, -1)
    releaseSlab(set.c, checked, slab)
    expect(seen).toEqual([slab])
  })
})
