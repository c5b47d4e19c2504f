/** The fast path of frees by itself: what it does in the ordinary case, and that it changes nothing when it refuses. */

import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  GFP_KERNEL,
  GiB,
  MiB,
  PAGE_SIZE,
  PhysicalMemory,
  SlabAllocator,
  SlabCache,
} from '../../src/index'
import { freeFast, takeFast } from '../../src/slab/fastPath'
import {
  CACHE_CPU_PARTIAL_SLABS,
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
  SLAB_RAM,
} from '../../src/state/slabSchema'
import {
  expectNoFree,
  IN_SLAB,
  LAYOUTS,
  pointerOf,
  SIZE,
  slabOf,
  withObjects,
} from './fastPathSetup'
import { must } from './machines'

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
