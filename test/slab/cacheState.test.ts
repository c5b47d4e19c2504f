/** The state of a cache as plain data: what is told of it, and what a cache becomes from it. */

import { describe, expect, it } from 'vitest'
import {
  type CacheState,
  cacheState,
  InvalidArgument,
  loadCache,
  PAGE_SIZE,
  type SlabCache,
  type SlabCacheOptions,
  type SlabState,
  slabHardening,
} from '../../src/index'
import { writeFreePointer } from '../../src/slab/freePointer'
import { cpuOf } from '../../src/slab/partial'
import {
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_LIVE,
  SLAB_OBJECTS,
} from '../../src/state/slabSchema'
import { empty, used } from './cacheStateSetup'
import { must } from './machines'
import type { TinyMachine, TinyOptions } from './tinyMachine'

const slabsOf = (state: CacheState): SlabState[] => {
  const own = state.cpu.slab === null ? [] : [state.cpu.slab]
  const nodes = Object.values(state.nodes).flatMap((node) => node.partial)
  return [...own, ...state.cpu.partial, ...nodes]
}

/** Bits of the objects in use of the slab of a frame. */
function liveBits({ words }: TinyMachine, pfn: number): number[] {
  const slab = words[SLAB_FRAMES + pfn]!
  return [...words.subarray(slab + SLAB_LIVE, slab + SLAB_LIVE + 2)]
}

const KINDS: readonly (readonly [string, TinyOptions, Partial<SlabCacheOptions>])[] = [
  ['plain', {}, {}],
  ['with encoded pointers', { hardening: slabHardening({ seed: 3, shuffle: false }) }, {}],
  ['of three granules', {}, { size: 96 }],
]

describe.each(KINDS)('a cache %s', (_name, options, slots) => {
  it('goes on from its state as the one that it was taken from', () => {
    const from = used(options, slots)
    const { cpu, nodes } = from.state
    expect([cpu.freelist.length, must(cpu.slab).free.length]).toEqual([2, 2])
    expect(cpu.partial.length).toBeGreaterThan(1)
    expect(must(nodes[0]).partial.length).toBe(2)
    expect(must(nodes[1]).partial.length).toBeGreaterThan(0)
    const to = empty(from.machine, options, slots)
    loadCache(to.cache, from.state)
    expect(cacheState(to.cache)).toEqual(from.state)
    for (const { pfn } of slabsOf(from.state)) {
      expect(liveBits(to.machine, pfn)).toEqual(liveBits(from.machine, pfn))
    }
    expect(to.machine.words[cpuOf(to.machine.c, to.cache.record) + SLAB_CPU_NR_PARTIAL]).toBe(
      cpu.partial.length,
    )
    // All that is free comes out in the same order.
    const all = (cache: SlabCache) => Array.from({ length: 30 }, () => cache.alloc())
    expect(all(to.cache)).toEqual(all(from.cache))
    expect(cacheState(to.cache)).toEqual(cacheState(from.cache))
  })
})

describe('cacheState', () => {
  it('tells of the CPU that is asked for, and refuses others', () => {
    const { cache, state } = used()
    expect(cacheState(cache, 1)).toEqual(state)
    expect(cacheState(cache, 0).cpu).toEqual({ freelist: [], slab: null, partial: [] })
    for (const cpu of [-1, 2, 3, 0.5, Number.NaN]) {
      expect(() => cacheState(cache, cpu)).toThrow(InvalidArgument)
    }
  })

  it.each<[string, number, TinyOptions]>([
    ['leads out of the slab', 2 * PAGE_SIZE + 1, {}],
    ['leads between objects', 9 * 256 + 8 + 1, {}],
    ['leads between objects, encoded,', 9 * 256 + 8 + 1, KINDS[1]![1]],
  ])('tells a chain that %s as far as it can be trusted', (_name, next, options) => {
    const { machine, cache } = used(options)
    const { cpu } = cacheState(cache)
    const slab = machine.words[cpuOf(machine.c, cache.record) + SLAB_CPU_SLAB]!
    const first = Number(cpu.freelist[0]) - must(cpu.slab).pfn * PAGE_SIZE
    writeFreePointer(machine.c, cache.record, slab, first, next)
    expect(cacheState(cache).cpu.freelist).toEqual(cpu.freelist.slice(0, 1))
  })

  it('tells as many objects of a chain that ends nowhere as a slab has', () => {
    const { machine, cache } = used()
    const { cpu } = cacheState(cache)
    const slab = machine.words[cpuOf(machine.c, cache.record) + SLAB_CPU_SLAB]!
    const first = machine.words[cpuOf(machine.c, cache.record) + SLAB_CPU_FREE]!
    writeFreePointer(machine.c, cache.record, slab, first - 1, first)
    const told = cacheState(cache).cpu.freelist
    expect(told).toEqual(Array(machine.words[slab + SLAB_OBJECTS]).fill(cpu.freelist[0]))
  })

  it('tells no object for a pointer that is known to lead outside', () => {
    const { machine, cache } = used()
    machine.words[machine.words[cpuOf(machine.c, cache.record) + SLAB_CPU_SLAB]! + SLAB_FREE] = -1
    expect(must(cacheState(cache).cpu.slab).free).toEqual([])
  })
})
