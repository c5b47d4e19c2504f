/** The fast path of allocations by itself: what it does in the ordinary case, and that it changes nothing when it refuses. */

import { describe, expect, it } from 'vitest'
import { __GFP_ZERO, GFP_KERNEL, PAGE_SIZE } from '../../src/index'
import { freeFast, takeFast } from '../../src/slab/fastPath'
import { SLAB_POISON } from '../../src/slab/flags'
import { cpuOf } from '../../src/slab/partial'
import {
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_STATE,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_LIVE,
  SLAB_PFMEMALLOC,
} from '../../src/state/slabSchema'
import {
  expectNoTake,
  IN_SLAB,
  LAYOUTS,
  pointerOf,
  SIZE,
  slabOf,
  withObjects,
} from './fastPathSetup'
import { must } from './machines'
import { TinyMachine } from './tinyMachine'

describe.each(LAYOUTS)('takeFast, addresses %s', (_name, layout) => {
  it('takes every other object of the slab, in order, with nothing but that changed', () => {
    const { c, words, record, cpu, objects } = withObjects(1, { layout })
    const first = must(objects[0])
    const slab = slabOf(c, first)
    for (let i = 1; i < IN_SLAB; i++) {
      expect(takeFast(c, record, i % 2 === 0 ? GFP_KERNEL : 0)).toBe(first + i * SIZE)
      const next = i + 1 === IN_SLAB ? 0 : (i + 1) * SIZE + 1
      expect([words[cpu + SLAB_CPU_FREE], words[cpu + SLAB_CPU_SLAB]]).toEqual([next, slab])
      const live = (2n << BigInt(i)) - 1n
      const halves = [Number(live & 0xffffffffn) | 0, Number(live >> 32n) | 0]
      expect([...words.subarray(slab + SLAB_LIVE, slab + SLAB_LIVE + 2)]).toEqual(halves)
    }
    expect(words[slab + SLAB_INUSE]).toBe(IN_SLAB)
  })

  it('refuses a free object whose pointer leads out of the slab', () => {
    const set = withObjects(1, { layout })
    const { c, record, objects } = set
    const first = must(objects[0])
    const at = pointerOf(c, first + SIZE)
    const ram = c.ram.words
    const [lo, hi] = [ram[at]!, ram[at + 1]!]
    for (const [wrongLo, wrongHi] of [
      [lo + PAGE_SIZE, hi],
      [lo - 2 * SIZE - 8, hi],
      [lo + (IN_SLAB - 2) * SIZE, hi],
      [lo, hi + 1],
      [lo, ~hi],
      [0, 1],
    ] as const) {
      ram[at] = wrongLo
      ram[at + 1] = wrongHi
      expectNoTake(set)
    }
    ram[at] = lo
    ram[at + 1] = hi
    expect(takeFast(c, record, GFP_KERNEL)).toBe(first + SIZE)
  })

  it('follows pointers to the first and the last object of the slab', () => {
    for (const index of [0, IN_SLAB - 1]) {
      const { c, words, cpu, record, objects } = withObjects(1, { layout })
      const first = must(objects[0])
      // The low half is enough: both lie in one page.
      c.ram.words[pointerOf(c, first + SIZE)]! += (index - 2) * SIZE
      expect(takeFast(c, record, GFP_KERNEL)).toBe(first + SIZE)
      expect(words[cpu + SLAB_CPU_FREE]).toBe(index * SIZE + 1)
    }
  })
})

describe('takeFast refuses, with nothing changed,', () => {
  it('while a hook is set', () => {
    const set = withObjects(1)
    set.c.plain = false
    expectNoTake(set)
  })

  it('masks that need work, or are none', () => {
    const set = withObjects(1)
    for (const mask of [__GFP_ZERO, GFP_KERNEL | __GFP_ZERO, -1, 0.5, Number.NaN, 2 ** 30, 2 ** 40])
      expectNoTake(set, mask)
  })

  it('RAM that has grown since', () => {
    const set = withObjects(1)
    const { c, objects, record } = set
    const at = pointerOf(c, must(objects[0]) + SIZE)
    for (const length of [0, at]) {
      c.ramWords = c.ram.words.subarray(0, length)
      expectNoTake(set)
    }
    c.ramWords = c.ram.words
    expect(takeFast(c, record, GFP_KERNEL)).toBe(must(objects[0]) + SIZE)
  })

  it('a first object that is in use, between places, or before the slab', () => {
    const set = withObjects(2)
    const { words, cpu } = set
    for (const offset of [0, SIZE, 2 * SIZE + 8, 3 * SIZE - 1, -2]) {
      words[cpu + SLAB_CPU_FREE] = offset + 1
      expectNoTake(set)
    }
  })

  it('a place at which no object starts', () => {
    const machine = new TinyMachine()
    const { c, words } = machine
    // Objects at multiples of 96: places are 32 bytes apart.
    const cache = machine.cache({ size: 96 })
    cache.alloc()
    const cpu = cpuOf(c, cache.record)
    words[cpu + SLAB_CPU_FREE] = 96 + 32 + 1
    expect(machine.unchanged(() => takeFast(c, cache.record, GFP_KERNEL))).toBe(0)
  })

  it('a cache that has ended, once the CPU holds nothing', () => {
    const set = withObjects(IN_SLAB)
    const { c, words, record, cache, objects } = set
    cache.free(must(objects[0]) as never)
    words[cpuOf(c, record) + SLAB_CPU_FREE] = 0
    words[slabOf(c, must(objects[0])) + SLAB_FREE] = 1
    words[record + CACHE_STATE] = CACHE_GONE
    expectNoTake(set)
    words[record + CACHE_STATE] = 0
    expect(takeFast(c, record, GFP_KERNEL)).toBe(objects[0])
  })

  it('free objects of a slab of the emergency reserve', () => {
    const set = withObjects(1)
    const { c, words, record, cpu, objects } = set
    const slab = slabOf(c, must(objects[0]))
    words[slab + SLAB_FREE] = words[cpu + SLAB_CPU_FREE]!
    words[cpu + SLAB_CPU_FREE] = 0
    words[slab + SLAB_FLAGS]! |= SLAB_PFMEMALLOC
    expectNoTake(set)
    words[slab + SLAB_FLAGS]! &= ~SLAB_PFMEMALLOC
    expect(takeFast(c, record, GFP_KERNEL)).toBe(must(objects[0]) + SIZE)
  })
})

describe('takeFast, for a CPU without free objects,', () => {
  it('takes those of its slab over, which count as in use then', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(3)
    const slab = slabOf(c, must(objects[0]))
    words[slab + SLAB_FREE] = words[cpu + SLAB_CPU_FREE]!
    words[slab + SLAB_INUSE] = 3
    words[cpu + SLAB_CPU_FREE] = 0
    expect(takeFast(c, record, GFP_KERNEL)).toBe(must(objects[0]) + 3 * SIZE)
    expect(machine.columns(slab, SLAB_FREE, SLAB_INUSE)).toEqual([0, IN_SLAB])
    expect(words[cpu + SLAB_CPU_FREE]).toBe(4 * SIZE + 1)
  })

  it('leaves a full slab, and takes the first with free objects from its list', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(4 * IN_SLAB)
    const [a, b, , d] = [0, 1, 2, 3].map((i) => slabOf(c, must(objects[i * IN_SLAB])))
    // The second slab goes on the list first, so it is the second one there.
    expect(freeFast(c, record, must(objects[IN_SLAB]))).toBe(true)
    expect(freeFast(c, record, must(objects[5]))).toBe(true)
    const names = [SLAB_CPU_FREE, SLAB_CPU_SLAB, SLAB_CPU_PARTIAL, SLAB_CPU_NR_PARTIAL]
    expect(machine.columns(cpu, ...names)).toEqual([0, d, a, 2])
    expect(takeFast(c, record, GFP_KERNEL)).toBe(objects[5])
    expect(machine.columns(cpu, ...names)).toEqual([0, a, b, 1])
    expect(words[must(d) + SLAB_FLAGS]! & SLAB_FROZEN).toBe(0)
    expect(machine.columns(must(a), SLAB_FREE, SLAB_INUSE)).toEqual([0, IN_SLAB])
    expect(takeFast(c, record, GFP_KERNEL)).toBe(objects[IN_SLAB])
    expect(machine.columns(cpu, ...names)).toEqual([0, b, 0, 0])
  })

  it('leaves its full slab when there is nothing else to be had', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(IN_SLAB)
    const slab = slabOf(c, must(objects[0]))
    expect(words[cpu + SLAB_CPU_SLAB]).toBe(slab)
    expect(takeFast(c, record, GFP_KERNEL)).toBe(0)
    expect(machine.columns(cpu, SLAB_CPU_FREE, SLAB_CPU_SLAB, SLAB_CPU_PARTIAL)).toEqual([0, 0, 0])
    expect(words[slab + SLAB_FLAGS]! & SLAB_FROZEN).toBe(0)
  })

  it('takes a slab of its node, unless it is one of a debug cache', () => {
    const set = withObjects(5)
    const { c, words, record, cpu, cache, objects } = set
    cache.shrink()
    expect(words[cpu + SLAB_CPU_SLAB]).toBe(0)
    words[record + CACHE_FLAGS]! |= SLAB_POISON
    expectNoTake(set)
    words[record + CACHE_FLAGS]! &= ~SLAB_POISON
    expect(takeFast(c, record, GFP_KERNEL)).toBe(must(objects[0]) + 5 * SIZE)
    expect(words[cpu + SLAB_CPU_SLAB]).toBe(slabOf(c, must(objects[0])))
  })

  it('refuses a slab whose first free object is outside, after taking it from the slab as the long way does', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(1)
    const slab = slabOf(c, must(objects[0]))
    words[slab + SLAB_FREE] = -1
    words[cpu + SLAB_CPU_FREE] = 0
    expect(takeFast(c, record, GFP_KERNEL)).toBe(0)
    expect(machine.columns(slab, SLAB_FREE, SLAB_INUSE)).toEqual([0, IN_SLAB])
    expect(machine.columns(cpu, SLAB_CPU_FREE, SLAB_CPU_SLAB)).toEqual([-1, slab])
  })
})
