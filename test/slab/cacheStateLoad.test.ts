/** Loading the state of a cache: each refusal by itself, and slabs of several pages. */

import { beforeEach, describe, expect, it } from 'vitest'
import {
  type CacheState,
  cacheState,
  InvalidArgument,
  loadCache,
  PAGE_SIZE,
  SLAB_RED_ZONE,
  type SlabCache,
  type SlabState,
  slubDebug,
  type VirtAddr,
} from '../../src/index'
import { nodeCounters } from '../../src/slab/slabState'
import { NODE_SLAB_UNRECLAIMABLE, SLAB_FRAMES } from '../../src/state/slabSchema'
import { thrownBy } from '../buddy/machines'
import { empty, used } from './cacheStateSetup'
import { must } from './machines'
import { TinyMachine } from './tinyMachine'

/** Expects a state to be refused with nothing changed. */
function expectRefused(machine: TinyMachine, cache: SlabCache, state: CacheState): void {
  const error = machine.unchanged(() => thrownBy(() => loadCache(cache, state)))
  expect(error).toBeInstanceOf(InvalidArgument)
}

describe('loadCache', () => {
  let from: ReturnType<typeof used>
  let to: ReturnType<typeof empty>
  beforeEach(() => {
    from = used()
    to = empty(from.machine)
  })
  /** The state with a part of its CPU or of a node changed. */
  const withCpu = (cpu: Partial<CacheState['cpu']>) => ({
    ...from.state,
    cpu: { ...from.state.cpu, ...cpu },
  })
  const withSlab = (slab: Partial<SlabState>, freelist?: readonly string[]) =>
    withCpu({
      slab: { ...must(from.state.cpu.slab), ...slab },
      ...(freelist === undefined ? {} : { freelist }),
    })

  it('refuses other slots and other orders', () => {
    expectRefused(to.machine, to.cache, { ...from.state, size: 264 })
    expectRefused(to.machine, to.cache, { ...from.state, order: 1 })
  })

  it('refuses nodes that the machine has not got', () => {
    const node = { nrPartial: 0, slabs: 0, totalObjects: 0, partial: [] }
    for (const id of [2, 3, -1, 0.5]) {
      expectRefused(to.machine, to.cache, { ...from.state, nodes: { [id]: node } })
    }
  })

  it('refuses a cache that has slabs, on whichever node', () => {
    for (const cpu of [0, 1]) {
      const { machine, cache } = empty(from.machine)
      machine.pages.used.fill(0, 40, 64).fill(0, 100)
      machine.pages.running.cpu = cpu
      must(cache.alloc())
      machine.pages.running.cpu = 1
      expectRefused(machine, cache, {
        ...from.state,
        cpu: { freelist: [], slab: null, partial: [] },
      })
    }
  })

  it('refuses slabs that do not fit: of the CPU, of its list, and of nodes', () => {
    const bad = { ...must(from.state.cpu.slab), objects: 17, inuse: 15 }
    expectRefused(to.machine, to.cache, withSlab(bad))
    expectRefused(to.machine, to.cache, withCpu({ partial: [bad] }))
    const node = { ...must(from.state.nodes[0]), partial: [bad] }
    expectRefused(to.machine, to.cache, { ...from.state, nodes: { 0: node } })
  })

  it('refuses frames outside memory, with objects, and named twice', () => {
    const { maxPfn } = to.machine.pages
    for (const pfn of [-1, maxPfn, maxPfn + 1, 0.5]) {
      expectRefused(
        to.machine,
        to.cache,
        withCpu({ partial: [moved(must(from.state.cpu.slab), pfn)] }),
      )
    }
    const { words } = to.machine
    const taken = words.findIndex((word, i) => i >= SLAB_FRAMES && word > 0) - SLAB_FRAMES
    expectRefused(
      to.machine,
      to.cache,
      withCpu({ partial: [moved(must(from.state.cpu.slab), taken)] }),
    )
    expectRefused(to.machine, to.cache, withCpu({ partial: [must(from.state.cpu.slab)] }))
  })

  it('refuses free objects that are none, and those named twice', () => {
    const { pfn, free } = must(from.state.cpu.slab)
    const at = (offset: number) => `0x${(pfn * PAGE_SIZE + offset).toString(16)}`
    const first = must(free[0])
    for (const wrong of [at(-256), at(PAGE_SIZE), at(8), 'x', first, at(-1)]) {
      expectRefused(to.machine, to.cache, withSlab({ free: [first, wrong] }))
      expectRefused(to.machine, to.cache, withSlab({}, [wrong]))
    }
    for (const inuse of [13, 15]) expectRefused(to.machine, to.cache, withSlab({ inuse }))
  })

  it('takes what is within these limits', () => {
    loadCache(to.cache, from.state)
    expect(cacheState(to.cache)).toEqual(from.state)
  })
})

/** The same slab at other frames. */
function moved(slab: SlabState, pfn: number): SlabState {
  const by = (pfn - slab.pfn) * PAGE_SIZE
  return { ...slab, pfn, free: slab.free.map((text) => `0x${(Number(text) + by).toString(16)}`) }
}

describe('loadCache, for slabs of several pages,', () => {
  /** A cache whose slabs have two orders, and a slab of each. */
  function withOrders() {
    const machine = new TinyMachine({ nodes: 1 })
    const cache = machine.cache({ size: 700 })
    const { order, objs, minorder, minobjs, ...rest } = cacheState(cache)
    expect(order).toBeGreaterThan(minorder)
    const slab = (pfn: number, small: boolean): SlabState => ({
      pfn,
      objects: small ? minobjs : objs,
      inuse: (small ? minobjs : objs) - 1,
      frozen: 1,
      free: [`0x${(pfn * PAGE_SIZE + rest.size).toString(16)}`],
    })
    const state = (...partial: readonly SlabState[]): CacheState => ({
      ...cacheState(cache),
      cpu: { freelist: [], slab: null, partial },
    })
    return { machine, cache, order, minorder, slab, state }
  }

  it('loads those of either order', () => {
    const { machine, cache, order, minorder, slab, state } = withOrders()
    const { words } = machine
    const counter = nodeCounters(words, 0) + NODE_SLAB_UNRECLAIMABLE
    const before = words[counter]!
    const loaded = state(slab(16, false), slab(40, true))
    loadCache(cache, loaded)
    expect(cacheState(cache).cpu).toEqual(loaded.cpu)
    expect(words[counter]! - before).toBe(2 ** order + 2 ** minorder)
    // The last object of the larger one is in use.
    cache.free(
      (16 * PAGE_SIZE + (must(loaded.cpu.partial[0]).objects - 1) * cache.size) as VirtAddr,
    )
    const frames = (pfn: number) => words.subarray(SLAB_FRAMES + pfn, SLAB_FRAMES + pfn + 9)
    for (const [pfn, pages] of [
      [16, 2 ** order],
      [40, 2 ** minorder],
    ] as const) {
      const record = frames(pfn)[0]!
      expect(record).toBeGreaterThan(0)
      expect([...frames(pfn)]).toEqual(
        Array.from({ length: 9 }, (_, page) => (page < pages ? record : 0)),
      )
    }
  })

  it('refuses one whose end lies outside memory, or on frames with objects', () => {
    const { machine, cache, order, slab, state } = withOrders()
    const end = machine.pages.maxPfn
    for (const out of [1, 2 ** order - 1]) {
      expectRefused(machine, cache, state(slab(end + out - 2 ** order, false)))
    }
    machine.words[SLAB_FRAMES + 17] = 1
    expectRefused(machine, cache, state(slab(16, false)))
    expectRefused(machine, cache, state(slab(40, false), slab(41, true)))
    loadCache(cache, state(slab(end - 1, true)))
    expect(must(cacheState(cache).cpu.partial[0]).pfn).toBe(end - 1)
  })
})

describe('loadCache, for objects behind red zones,', () => {
  it('takes free objects where they begin, and nowhere else', () => {
    const options = { debug: slubDebug() }
    const slots = { flags: SLAB_RED_ZONE, size: 100 }
    const machine = new TinyMachine({ nodes: 1, ...options })
    const cache = machine.cache(slots)
    const objects = Array.from({ length: 5 }, () => must(cache.alloc()))
    cache.free(must(objects[1]))
    const state = cacheState(cache)
    const slab = must(must(state.nodes[0]).partial[0])
    expect(state.red_left_pad).toBeGreaterThan(0)
    const to = empty(machine, { nodes: 1, ...options }, slots)
    const by = (bytes: number) => ({
      ...state,
      nodes: {
        0: {
          ...must(state.nodes[0]),
          partial: [
            { ...slab, free: slab.free.map((text) => `0x${(Number(text) + bytes).toString(16)}`) },
          ],
        },
      },
    })
    for (const bytes of [-state.red_left_pad, state.red_left_pad, -8]) {
      expectRefused(to.machine, to.cache, by(bytes))
    }
    loadCache(to.cache, by(0))
    expect(cacheState(to.cache).nodes).toEqual(state.nodes)
  })
})
