/** What a CPU takes from a node's partial slabs, and from which node. */

import { beforeEach, describe, expect, it } from 'vitest'
import { GFP_KERNEL } from '../../src/index'
import { takeFromNode, takeNear } from '../../src/slab/partial'
import {
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_DEFRAG_RATIO,
  CACHE_MIN_PARTIAL,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_FLAGS,
  SLAB_FROZEN,
  SLAB_NODE_USED,
  SLAB_PFMEMALLOC,
} from '../../src/state/slabSchema'
import { range, Setup } from './partialSetup'

let set: Setup
beforeEach(() => {
  set = new Setup()
})

describe('takeFromNode', () => {
  it('gives one slab, and half of what a CPU holds and one more for its list', () => {
    const slabs = range(0, 6).map(() => set.partial(1))
    set.machine.pages.running.cpu = 1
    const held = set.slab(1)
    set.words[set.cpu(1) + SLAB_CPU_PARTIAL] = held
    set.words[set.cpu(1) + SLAB_CPU_NR_PARTIAL] = 1
    set.words[set.cache + CACHE_CPU_PARTIAL_SLABS] = 5
    expect(takeFromNode(set.c, set.cache, 0, GFP_KERNEL)).toBe(slabs[0])
    expect(set.chainOf(1)).toEqual([slabs[3], slabs[2], slabs[1], held])
    expect(set.listOf(0)).toEqual(slabs.slice(4))
    const frozen = slabs.map((slab) => set.words[slab + SLAB_FLAGS]! & SLAB_FROZEN)
    expect(frozen).toEqual([1, 1, 1, 1, 0, 0])
    expect(set.chainOf(0)).toEqual([])
  })

  it('gives two at least', () => {
    const slabs = range(0, 3).map(() => set.partial(1))
    set.words[set.cache + CACHE_CPU_PARTIAL_SLABS] = 1
    expect(takeFromNode(set.c, set.cache, 0, GFP_KERNEL)).toBe(slabs[0])
    expect(set.chainOf(0)).toEqual([slabs[1]])
    expect(set.listOf(0)).toEqual([slabs[2]])
  })

  it('passes over slabs of the reserve', () => {
    const slabs = range(0, 4).map(() => set.partial(1))
    for (const i of [0, 2]) set.words[slabs[i]! + SLAB_FLAGS]! |= SLAB_PFMEMALLOC
    expect(takeFromNode(set.c, set.cache, 0, GFP_KERNEL)).toBe(slabs[1])
    expect([set.chainOf(0), set.listOf(0)]).toEqual([[slabs[3]], [slabs[0], slabs[2]]])
  })

  it('gives nothing, with nothing changed, where there is nothing for the request', () => {
    const take = (id: number) => set.machine.unchanged(() => takeFromNode(set.c, set.cache, id, 0))
    expect(take(0)).toBe(0)
    set.words[set.partial(1) + SLAB_FLAGS]! |= SLAB_PFMEMALLOC
    expect(take(0)).toBe(0)
    set.partial(1, 1)
    set.words[set.node(1) + SLAB_NODE_USED] = 0
    expect(take(1)).toBe(0)
  })
})

describe('takeNear', () => {
  /** Nodes asked, in order; each gives what `answers` has for it. */
  function ask(node: number, answers: readonly number[]): { asked: number[]; got: number } {
    const asked: number[] = []
    const got = takeNear(set.c, set.cache, GFP_KERNEL, node, (_c, _cache, id) => {
      asked.push(id)
      return answers[id]!
    })
    return { asked, got }
  }
  let counts = 0
  let cycles = 0

  beforeEach(() => {
    cycles = 0
    const counter = () => {
      counts += 1
      return cycles
    }
    set = new Setup({ nodes: 3, cpus: 3, cycles: counter })
    set.words[set.cache + CACHE_MIN_PARTIAL] = 1
    for (const node of [0, 0, 1, 1, 2, 2]) set.partial(1, node)
    // Making the cache asks it too.
    counts = 0
  })

  it('asks the node that is named, and no other', () => {
    set.machine.pages.running.cpu = 1
    for (const node of [0, 1, 2]) {
      expect(ask(node, [0, 0, 0])).toEqual({ asked: [node], got: 0 })
      expect(ask(node, [7, 8, 9])).toEqual({ asked: [node], got: 7 + node })
    }
    expect(counts).toBe(0)
  })

  it("asks the CPU's own node first, and then all in the order of its zonelist until one gives", () => {
    for (const [cpu, order] of [
      [0, [0, 0, 1, 2]],
      [1, [1, 1, 2, 0]],
      [2, [2, 2, 0, 1]],
    ] as const) {
      set.machine.pages.running.cpu = cpu
      expect(ask(-1, [0, 0, 0])).toEqual({ asked: order, got: 0 })
      expect(ask(-1, [7, 7, 7])).toEqual({ asked: [cpu], got: 7 })
      const third = [0, 0, 0]
      third[order[2]] = 5
      expect(ask(-1, third)).toEqual({ asked: order.slice(0, 3), got: 5 })
    }
  })

  it('passes over nodes with no more partial slabs than they keep', () => {
    set.words[set.cache + CACHE_MIN_PARTIAL] = 2
    set.partial(1, 2)
    expect(ask(-1, [0, 5, 6])).toEqual({ asked: [0, 2], got: 6 })
    set.words[set.cache + CACHE_MIN_PARTIAL] = 3
    expect(ask(-1, [0, 5, 6])).toEqual({ asked: [0], got: 0 })
  })

  it.each([
    [0, true],
    [999, true],
    [1000, true],
    [1001, false],
    [1023, false],
    [1024, true],
    [2024, true],
    [2025, false],
  ])('asks others or not as a cycle counter of %i has it', (value, others) => {
    cycles = value
    expect(ask(-1, [0, 5, 6]).got).toBe(others ? 5 : 0)
    expect(counts).toBe(1)
  })

  it('asks neither others nor the counter when the ratio is 0', () => {
    set.words[set.cache + CACHE_DEFRAG_RATIO] = 0
    expect(ask(-1, [0, 5, 6])).toEqual({ asked: [0], got: 0 })
    expect(counts).toBe(0)
  })

  it('asks neither on a machine of one node', () => {
    let asked = 0
    set = new Setup({ nodes: 1, cycles: () => asked++ })
    set.words[set.cache + CACHE_MIN_PARTIAL] = 0
    set.partial(1)
    expect(ask(-1, [0])).toEqual({ asked: [0], got: 0 })
    expect(asked).toBe(0)
  })
})
