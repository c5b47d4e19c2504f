/** Partial slabs, part by part: the order of lists, leaving a slab, and chains that cannot be trusted. */

import { beforeEach, describe, expect, it } from 'vitest'
import { GFP_KERNEL, type KernelBug, PAGE_SIZE, slabHardening } from '../../src/index'
import { setLive, writeFreePointer } from '../../src/slab/freePointer'
import {
  addPartial,
  deactivate,
  flushCache,
  hasEnoughPartial,
  mayUseSlab,
  shrinkNodes,
  unfreeze,
} from '../../src/slab/partial'
import {
  CACHE_MIN_PARTIAL,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_USED,
  SLAB_OBJECTS,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_QUARANTINED,
} from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { IN_SLAB, range, Setup, SIZE } from './partialSetup'

let set: Setup
beforeEach(() => {
  set = new Setup()
})

describe("a node's list", () => {
  it('gets slabs in front and at the end', () => {
    const [a, b, d] = [set.slab(1), set.slab(1), set.slab(1, 1)]
    addPartial(set.words, set.cache, a, false)
    addPartial(set.words, set.cache, b, true)
    addPartial(set.words, set.cache, d, true)
    const more = set.slab(1)
    addPartial(set.words, set.cache, more, false)
    expect(set.listOf(0)).toEqual([b, a, more])
    expect(set.listOf(1)).toEqual([d])
  })

  it('is long enough once it has as many as the cache keeps', () => {
    set.words[set.cache + CACHE_MIN_PARTIAL] = 2
    const [first] = [set.partial(1), set.partial(1, 1)]
    expect(hasEnoughPartial(set.words, set.cache, first)).toBe(false)
    set.partial(1)
    expect(hasEnoughPartial(set.words, set.cache, first)).toBe(true)
  })
})

describe('mayUseSlab', () => {
  it('keeps the slabs of the reserve for those who may use it', () => {
    const slab = set.slab(1)
    expect(mayUseSlab(set.c, slab, GFP_KERNEL)).toBe(true)
    set.words[slab + SLAB_FLAGS]! |= SLAB_PFMEMALLOC
    expect(mayUseSlab(set.c, slab, GFP_KERNEL)).toBe(false)
    set.machine.pages.mayUseReserve = () => true
    expect(mayUseSlab(set.c, slab, GFP_KERNEL)).toBe(true)
  })
})

describe('unfreeze', () => {
  it('moves a chain to the ends of the lists; empty slabs go back where there are enough', () => {
    set.words[set.cache + CACHE_MIN_PARTIAL] = 2
    const slabs = [set.slab(1), set.slab(0, 1), set.slab(2), set.slab(0), set.slab(0), set.slab(3)]
    slabs.forEach((slab, i) => {
      set.words[slab + SLAB_NEXT] = slabs[i + 1] ?? 0
      set.words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
    })
    const before = set.machine.pages.count
    unfreeze(set.c, set.cache, slabs[0]!)
    const [a, b, d, , , e] = slabs
    expect([set.listOf(0), set.listOf(1)]).toEqual([[a, d, e], [b]])
    for (const slab of [a, b, d, e]) expect(set.words[slab! + SLAB_FLAGS]! & SLAB_FROZEN).toBe(0)
    expect(set.words[set.node(0) + SLAB_NODE_NR_SLABS]).toBe(3)
    expect(set.machine.pages.count).toBe(before - 2)
  })
})

describe('deactivate', () => {
  it.each([
    ['plain', {}],
    ['encoded', { hardening: slabHardening({ seed: 5, shuffle: false }) }],
  ])("puts the CPU's free objects in front of the slab's own, pointers %s", (_name, options) => {
    set = new Setup(options)
    const [other, slab] = [set.partial(1), set.slab(60)]
    set.activate(1, slab)
    // Two objects that another CPU has freed.
    for (const index of [7, 3]) {
      setLive(set.words, set.cache, slab, index * SIZE, false)
      writeFreePointer(set.c, set.cache, slab, index * SIZE, set.words[slab + SLAB_FREE]!)
      set.words[slab + SLAB_FREE] = index * SIZE + 1
      set.words[slab + SLAB_INUSE]! -= 1
    }
    deactivate(set.c, set.cache, set.cpu(1))
    expect(set.freeOf(slab)).toEqual([60, 61, 62, 63, 3, 7])
    const state = set.machine.columns(slab, SLAB_INUSE, SLAB_OBJECTS)
    expect(state).toEqual([58, IN_SLAB])
    expect(set.words[slab + SLAB_FLAGS]! & SLAB_FROZEN).toBe(0)
    expect(set.machine.columns(set.cpu(1), SLAB_CPU_FREE, SLAB_CPU_SLAB)).toEqual([0, 0])
    // It had free objects of its own, so it waits behind the others.
    expect(set.listOf(0)).toEqual([other, slab])
  })

  it('puts a slab in front when only the CPU had free objects of it', () => {
    const [other, slab] = [set.partial(1), set.slab(60)]
    set.activate(0, slab)
    deactivate(set.c, set.cache, set.cpu(0))
    expect(set.freeOf(slab)).toEqual(range(60, 64))
    expect(set.words[slab + SLAB_INUSE]).toBe(60)
    expect(set.listOf(0)).toEqual([slab, other])
  })

  it('puts a full slab on no list', () => {
    const slab = set.slab(IN_SLAB)
    set.activate(0, slab)
    deactivate(set.c, set.cache, set.cpu(0))
    expect([set.freeOf(slab), set.listOf(0)]).toEqual([[], []])
    expect(set.words[slab + SLAB_FLAGS]! & SLAB_FROZEN).toBe(0)
  })

  it('gives a slab back when it is empty and there are enough, not else', () => {
    set.words[set.cache + CACHE_MIN_PARTIAL] = 2
    const kept: number[] = []
    const pages = () => set.machine.pages.count
    for (const [inuse, stays] of [
      [0, true],
      [1, true],
      [0, false],
      [1, true],
    ] as const) {
      const before = pages()
      const slab = set.slab(inuse)
      set.activate(0, slab)
      deactivate(set.c, set.cache, set.cpu(0))
      if (stays) kept.unshift(slab)
      expect(set.listOf(0)).toEqual(kept)
      expect(pages() - before).toBe(stays ? 1 : 0)
    }
  })
})

describe('flushCache', () => {
  it('empties every CPU', () => {
    const [a, b, d, e] = [set.slab(1), set.slab(2), set.slab(3), set.slab(4, 1)]
    set.activate(0, a)
    set.activate(1, b)
    for (const [cpu, slab] of [
      [0, d],
      [1, e],
    ] as const) {
      set.words[set.cpu(cpu) + SLAB_CPU_PARTIAL] = slab
      set.words[set.cpu(cpu) + SLAB_CPU_NR_PARTIAL] = 1
      set.words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
    }
    flushCache(set.c, set.cache)
    expect([set.listOf(0), set.listOf(1)]).toEqual([[b, a, d], [e]])
    for (const cpu of [0, 1]) {
      expect(set.chainOf(cpu)).toEqual([])
      expect(set.machine.columns(set.cpu(cpu), SLAB_CPU_FREE, SLAB_CPU_SLAB)).toEqual([0, 0])
    }
  })

  it.each<[string, (slab: number) => void]>([
    [
      'leads out of the slab',
      (slab) => writeFreePointer(set.c, set.cache, slab, 61 * SIZE, 2 * PAGE_SIZE + 1),
    ],
    [
      'leads into an object that is free',
      (slab) => writeFreePointer(set.c, set.cache, slab, 61 * SIZE, 63 * SIZE + 8 + 1),
    ],
    [
      'leads to an object that is in use',
      (slab) => writeFreePointer(set.c, set.cache, slab, 61 * SIZE, 3 * SIZE + 1),
    ],
    ['ends nowhere', (slab) => writeFreePointer(set.c, set.cache, slab, 63 * SIZE, 60 * SIZE + 1)],
    [
      'begins at an object that is in use',
      () => {
        set.words[set.cpu(0) + SLAB_CPU_FREE] = SIZE + 1
      },
    ],
  ])('cuts off a chain that %s, once', (_name, spoil) => {
    const slab = set.slab(60)
    set.activate(0, slab)
    set.words[slab + SLAB_FREE] = 5 * SIZE + 1
    set.words[slab + SLAB_INUSE] = 63
    spoil(slab)
    const error = thrownBy(() => flushCache(set.c, set.cache)) as KernelBug
    expect(error.code).toBe('FREELIST_CORRUPT')
    expect(set.machine.columns(slab, SLAB_FREE, SLAB_INUSE)).toEqual([0, IN_SLAB])
    expect(set.words[slab + SLAB_FLAGS]! & SLAB_QUARANTINED).not.toBe(0)
    expect(set.machine.columns(set.cpu(0), SLAB_CPU_FREE, SLAB_CPU_SLAB)).toEqual([0, slab])
    flushCache(set.c, set.cache)
    expect(set.listOf(0)).toEqual([])
    expect(set.words[set.cpu(0) + SLAB_CPU_SLAB]).toBe(0)
  })
})

describe('shrinkNodes', () => {
  it('gives empty slabs back and puts the fullest first, those with more than 32 free last', () => {
    const slabs = [31, 0, 32, 63, 10, 32, 0].map((inuse) => set.partial(inuse))
    const [a, b, d, e, f, g, h] = slabs.map((slab) => slab)
    const far = set.partial(0, 1)
    const pfns = [b, h, far].map((slab) => set.words[slab! + SLAB_PFN]!)
    expect(shrinkNodes(set.c, set.cache)).toBe(true)
    expect([set.listOf(0), set.listOf(1)]).toEqual([[e, g, d, a, f], []])
    expect(pfns.map((pfn) => set.machine.pages.used[pfn])).toEqual([0, 0, 0])
    const counts = [0, 1].map((id) => set.words[set.node(id) + SLAB_NODE_NR_SLABS])
    expect(counts).toEqual([5, 0])
  })

  it('tells when nothing is left', () => {
    set.partial(0)
    set.partial(0, 1)
    expect(shrinkNodes(set.c, set.cache)).toBe(false)
    set.partial(1, 1)
    expect(shrinkNodes(set.c, set.cache)).toBe(true)
  })

  it('leaves a node alone that the cache does not use', () => {
    set.partial(0)
    const other = set.partial(0, 1)
    set.words[set.node(1) + SLAB_NODE_USED] = 0
    expect(shrinkNodes(set.c, set.cache)).toBe(false)
    expect(set.listOf(1)).toEqual([other])
  })
})
