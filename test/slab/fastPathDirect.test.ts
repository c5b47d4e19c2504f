/** The fast paths by themselves: what they do in the ordinary case, and that they change nothing when they refuse. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_ZERO,
  BuddyAllocator,
  GFP_KERNEL,
  GiB,
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  type Layout,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
} from '../../src/index'
import type { SlabContext } from '../../src/slab/context'
import { freeFast, takeFast } from '../../src/slab/fastPath'
import { SLAB_POISON } from '../../src/slab/flags'
import { cpuOf } from '../../src/slab/partial'
import {
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_STATE,
  SLAB_BASE_LO,
  SLAB_CACHES,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_LIVE,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_OBJECTS,
  SLAB_OF_DEBUG,
  SLAB_PFMEMALLOC,
  SLAB_RAM,
} from '../../src/state/slabSchema'
import { must } from './machines'
import { TinyMachine, type TinyOptions } from './tinyMachine'

/** Bytes of an object: 64 of them fill a slab of one page, whose free pointers lie in their middle. */
const SIZE = 64
const IN_SLAB = PAGE_SIZE / SIZE

/** A machine whose second CPU runs, and a cache of which it has taken `count` objects, the long way. */
function withObjects(count: number, options: TinyOptions = {}) {
  const machine = new TinyMachine(options)
  const { c, words, pages } = machine
  pages.running.cpu = 1
  const cache = machine.cache()
  const long = { cacheAlloc() {}, cacheFree() {}, kmalloc() {}, kfree() {} }
  machine.slabs.setTrace(long)
  const objects: number[] = Array.from({ length: count }, () => must(cache.alloc()))
  machine.slabs.setTrace(null)
  const cpu = cpuOf(c, cache.record)
  return { machine, c, words, pages, cache, record: cache.record, cpu, objects }
}

/** The slab of an object of a machine that begins at address 0. */
function slabOf(c: SlabContext, object: number): number {
  return c.words[SLAB_FRAMES + Math.floor((object - c.directMap) / PAGE_SIZE)]!
}

/** Place of the free pointer of an object in RAM. */
function pointerOf(c: SlabContext, object: number): number {
  return (object - c.directMap + SIZE / 2) / 4
}

/** Expects the next allocation to be refused with nothing changed. */
function expectNoTake({ machine, c, record }: ReturnType<typeof withObjects>, gfp = GFP_KERNEL) {
  expect(machine.unchanged(() => takeFast(c, record, gfp))).toBe(0)
}

/** Expects a free to be refused with nothing changed. */
function expectNoFree(
  { machine, c, record }: ReturnType<typeof withObjects>,
  address: unknown,
  cache: number = record,
) {
  expect(machine.unchanged(() => freeFast(c, cache, address as number))).toBe(false)
}

const LAYOUTS: readonly (readonly [name: string, layout: Layout])[] = [
  ['flat', LAYOUT_FLAT],
  ["a kernel's", LAYOUT_X86_64],
]

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

describe.each(LAYOUTS)('freeFast, addresses %s', (_name, layout) => {
  it("links an object to the CPU's others", () => {
    const { machine, c, words, record, cpu, objects } = withObjects(IN_SLAB, { layout })
    const first = must(objects[0])
    const slab = slabOf(c, first)
    const ram = c.ram.words
    const pointer = (object: number) => [ram[pointerOf(c, object)], ram[pointerOf(c, object) + 1]]
    const last = must(objects[IN_SLAB - 1])
    ram.fill(7, pointerOf(c, last), pointerOf(c, last) + 2)
    expect(freeFast(c, record, last)).toBe(true)
    expect(pointer(last)).toEqual([0, 0])
    expect(machine.columns(slab, SLAB_LIVE, SLAB_LIVE + 1)).toEqual([-1, 0x7fffffff])
    expect(freeFast(c, 0, first)).toBe(true)
    const wanted = BigInt(last) | (BigInt(layout.signHigh) << 32n)
    const lowHigh = [wanted & 0xffffffffn, (wanted >> 32n) & 0xffffffffn].map((n) => Number(n) | 0)
    expect(pointer(first)).toEqual(lowHigh)
    expect(machine.columns(slab, SLAB_LIVE, SLAB_LIVE + 1)).toEqual([-2, 0x7fffffff])
    expect(machine.columns(cpu, SLAB_CPU_FREE, SLAB_CPU_SLAB)).toEqual([1, slab])
    expect(machine.columns(slab, SLAB_FREE, SLAB_INUSE)).toEqual([0, IN_SLAB])
    expect(words[slab + SLAB_OBJECTS]).toBe(IN_SLAB)
  })

  it('refuses an object in use at a place that memory has not got', () => {
    const set = withObjects(2, { layout })
    const { words, c, objects } = set
    const slab = slabOf(c, must(objects[0]))
    const frames = words[SLAB_MAX_PFN]!
    // As if the word behind those of the frames were one of them, and the slab lay there.
    words[SLAB_FRAMES + frames] = slab
    words[slab + SLAB_BASE_LO] = (frames * PAGE_SIZE - SIZE + c.directMap) | 0
    expectNoFree(set, frames * PAGE_SIZE + c.directMap)
    expectNoFree(set, frames * PAGE_SIZE + c.directMap, 0)
  })

  it('refuses addresses that are an object only to 32 bits', () => {
    const set = withObjects(2, { layout })
    for (const far of [2 ** 44, -(2 ** 44), 2 ** 32, -(2 ** 32), 2 ** 31, 0.5, 2 ** 60]) {
      expectNoFree(set, must(set.objects[1]) + far)
    }
  })
})

describe('freeFast refuses, with nothing changed,', () => {
  it('while a hook is set', () => {
    const set = withObjects(1)
    set.c.plain = false
    expectNoFree(set, set.objects[0])
  })

  it('what is no number', () => {
    const set = withObjects(1)
    const object = must(set.objects[0])
    for (const wrong of [String(object), [object], { valueOf: () => object }, null, undefined])
      expectNoFree(set, wrong)
  })

  it('the inside of an object, and one that is free', () => {
    const set = withObjects(2)
    const object = must(set.objects[1])
    for (const offset of [1, -1, 8, SIZE - 1, SIZE]) expectNoFree(set, object + offset)
    for (const wrong of [Number.NaN, Infinity, -Infinity, object + 0.5, -object])
      expectNoFree(set, wrong)
  })

  it('an object of another cache, unless any will do', () => {
    const set = withObjects(2)
    const { machine, c, objects } = set
    const other = machine.cache({ name: 'others' }).record
    expectNoFree(set, objects[0], other)
    expectNoFree(set, objects[0], other - 1)
    expect(freeFast(c, 0, must(objects[0]))).toBe(true)
  })

  it('an address in a frame without objects, whatever stands in the header', () => {
    const set = withObjects(1)
    const { words, machine } = set
    // The header read as a slab at 0 would have its base where the list of caches ends, and this as the bits in use.
    const end = words[SLAB_CACHES + 1]!
    words[SLAB_LIVE] = 1
    expect(end).toBeLessThan(PAGE_SIZE)
    expect(words[SLAB_FRAMES]).toBe(0)
    expect(machine.pages.used[0]).toBe(1)
    expectNoFree(set, end, 0)
  })

  it('an address in a large block', () => {
    const set = withObjects(1)
    set.words[SLAB_FRAMES + 40] = -3
    expectNoFree(set, 40 * PAGE_SIZE, 0)
  })

  it('RAM that has grown since', () => {
    const set = withObjects(2)
    const { c, record, objects } = set
    const object = must(objects[1])
    for (const length of [0, pointerOf(c, object)]) {
      c.ramWords = c.ram.words.subarray(0, length)
      expectNoFree(set, object)
    }
    c.ramWords = c.ram.words
    expect(freeFast(c, record, object)).toBe(true)
  })

  it('an object of a slab of a debug cache', () => {
    const set = withObjects(2 * IN_SLAB)
    const { c, words, record, objects } = set
    const slab = slabOf(c, must(objects[0]))
    words[slab + SLAB_FLAGS]! |= SLAB_OF_DEBUG
    expectNoFree(set, objects[0])
    words[slab + SLAB_FLAGS]! &= ~SLAB_OF_DEBUG
    expect(freeFast(c, record, must(objects[0]))).toBe(true)
  })

  it('the last object of a slab that its node has, which may go back', () => {
    const set = withObjects(2)
    const { c, words, record, cache, objects } = set
    cache.shrink()
    expect(freeFast(c, record, must(objects[0]))).toBe(true)
    expectNoFree(set, objects[1])
    // A CPU's slab would stay.
    words[slabOf(c, must(objects[1])) + SLAB_FLAGS]! |= SLAB_FROZEN
    expect(freeFast(c, record, must(objects[1]))).toBe(true)
    expect(words[slabOf(c, must(objects[1])) + SLAB_INUSE]).toBe(0)
  })
})

describe("freeFast, for a slab that is not the CPU's,", () => {
  it('puts a full slab on the list of the CPU, and the next object on the slab', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(3 * IN_SLAB)
    const [a, b] = [0, 1].map((i) => slabOf(c, must(objects[i * IN_SLAB])))
    const places = [SLAB_FREE, SLAB_INUSE, SLAB_NEXT, SLAB_LIVE, SLAB_RAM]
    const ram = words[must(a) + SLAB_RAM]!
    expect(freeFast(c, record, must(objects[2]))).toBe(true)
    expect(machine.columns(must(a), ...places)).toEqual([2 * SIZE + 1, IN_SLAB - 1, 0, ~4, ram])
    expect(machine.columns(cpu, SLAB_CPU_PARTIAL, SLAB_CPU_NR_PARTIAL)).toEqual([a, 1])
    expect(words[must(a) + SLAB_FLAGS]! & SLAB_FROZEN).toBe(SLAB_FROZEN)
    expect(freeFast(c, record, must(objects[1]))).toBe(true)
    expect(machine.columns(must(a), ...places)).toEqual([SIZE + 1, IN_SLAB - 2, 0, ~6, ram])
    expect(c.ram.words[pointerOf(c, must(objects[1]))]).toBe(objects[2])
    expect(freeFast(c, record, must(objects[IN_SLAB]))).toBe(true)
    expect(words[must(b) + SLAB_NEXT]).toBe(a)
    expect(machine.columns(cpu, SLAB_CPU_PARTIAL, SLAB_CPU_NR_PARTIAL)).toEqual([b, 2])
  })

  it('moves a full list to the node, and starts a new one', () => {
    const { machine, c, words, record, cpu, objects } = withObjects(4 * IN_SLAB)
    words[record + CACHE_CPU_PARTIAL_SLABS] = 2
    const [a, b, d] = [0, 1, 2].map((i) => slabOf(c, must(objects[i * IN_SLAB])))
    for (const i of [0, 1]) expect(freeFast(c, record, must(objects[i * IN_SLAB]))).toBe(true)
    expect(machine.columns(cpu, SLAB_CPU_PARTIAL, SLAB_CPU_NR_PARTIAL)).toEqual([b, 2])
    expect(freeFast(c, record, must(objects[2 * IN_SLAB]))).toBe(true)
    expect(machine.columns(cpu, SLAB_CPU_PARTIAL, SLAB_CPU_NR_PARTIAL)).toEqual([d, 1])
    expect(words[must(d) + SLAB_NEXT]).toBe(0)
    const frozen = [a, b, d].map((slab) => words[must(slab) + SLAB_FLAGS]! & SLAB_FROZEN)
    expect(frozen).toEqual([0, 0, SLAB_FROZEN])
  })
})

describe('memory above 2 GiB', () => {
  it('is taken and given back the fast way', () => {
    const base = 2 * GiB
    const ram = new PhysicalMemory({ map: [{ base, size: MiB, type: 'usable' }] })
    const slabs = new SlabAllocator(new BuddyAllocator({ ram }))
    const c = slabs.context
    const cache = new SlabCache(slabs, { name: 'objects', size: SIZE })
    const first = must(cache.alloc())
    expect(first).toBeGreaterThanOrEqual(base)
    expect(takeFast(c, cache.record, GFP_KERNEL)).toBe(first + SIZE)
    for (const wrong of [first + 0.5, first + 2 ** 44, first - 2 ** 44, first + PAGE_SIZE * 4096]) {
      expect(freeFast(c, cache.record, wrong)).toBe(false)
    }
    expect(freeFast(c, cache.record, first)).toBe(true)
    expect(takeFast(c, cache.record, GFP_KERNEL)).toBe(first)
  })
})
