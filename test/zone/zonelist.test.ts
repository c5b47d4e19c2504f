import { describe, expect, it } from 'vitest'
import {
  HEADER_MOBILITY_DISABLED,
  HEADER_ONLINE_NODES,
  NODE_ONLINE,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { movableMemory } from '../../src/zone/movableCore'
import type { Topology } from '../../src/zone/setup'
import { ZONES_FLAT, ZONES_X86_64 } from '../../src/zone/spans'
import {
  buildZonelists,
  decideMobility,
  estimateManaged,
  nodeOrder,
  zonelistLog,
  zonelistOf,
} from '../../src/zone/zonelist'
import { nodeRecord, zoneRecord } from '../../src/zone/zones'
import { sameWords, setManaged, stateFor } from './bootFixture'

/** A machine of one MiB-sized zone a node; nodes listed in `empty` have no memory. */
function machine(nodes: number, topology?: Topology, empty: number[] = []): Int32Array {
  const ranges = Array.from({ length: nodes }, (_, node) => ({
    start: node * 1024,
    end: (node + 1) * 1024,
    node,
  })).filter((range) => !empty.includes(range.node))
  return stateFor({ ranges, nodes, limits: ZONES_FLAT }, topology)
}

function orders(words: Int32Array, nodes: number): number[][] {
  return Array.from({ length: nodes }, (_, node) => nodeOrder(words, node))
}

function entries(words: Int32Array, node: number, thisNode: number): string[] {
  const list: string[] = []
  for (let at = zonelistOf(words, node, thisNode); words[at] !== 0; at++) {
    list.push(`${words[words[at]! + ZONE_NODE]}.${words[words[at]! + ZONE_INDEX]}`)
  }
  return list
}

describe('zonelists', () => {
  it('rotate over three nodes at equal distance', () => {
    const words = machine(3)
    buildZonelists(words, true)
    expect(orders(words, 3)).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ])
    expect(zonelistLog(words, 5).slice(0, 3)).toEqual([
      'Fallback order for Node 0: 0 1 2 ',
      'Fallback order for Node 1: 1 2 0 ',
      'Fallback order for Node 2: 2 0 1 ',
    ])
  })

  it('prefer near nodes', () => {
    const distances = [
      [10, 40, 20, 40],
      [40, 10, 40, 20],
      [20, 40, 10, 40],
      [40, 20, 40, 10],
    ]
    const words = machine(4, { cpuNodes: [0], distances })
    buildZonelists(words, true)
    expect(orders(words, 4)).toEqual([
      [0, 2, 1, 3],
      [1, 3, 2, 0],
      [2, 0, 3, 1],
      [3, 1, 0, 2],
    ])
  })

  it('share the load of the first remote node', () => {
    // From nodes 0 and 1, nodes 2 and 3 are equally far: the second build sees the load of node 2.
    const distances = [
      [10, 15, 20, 20],
      [15, 10, 20, 20],
      [20, 20, 10, 15],
      [20, 20, 15, 10],
    ]
    const words = machine(4, { cpuNodes: [0], distances })
    buildZonelists(words, true)
    expect(nodeOrder(words, 0)).toEqual([0, 1, 2, 3])
    expect(nodeOrder(words, 1)).toEqual([1, 0, 3, 2])
  })

  it('avoid nodes with CPUs once these are known', () => {
    const words = machine(3, { cpuNodes: [0, 1] })
    buildZonelists(words, false)
    expect(orders(words, 3)).toEqual([
      [0, 2, 1],
      [1, 2, 0],
      [2, 0, 1],
    ])
    buildZonelists(words, true)
    expect(nodeOrder(words, 0)).toEqual([0, 1, 2])
  })

  it('hold populated zones from the highest down, and alone for the node itself', () => {
    const words = stateFor({
      ranges: [
        { start: 1, end: 65536, node: 0 },
        { start: 1048576, end: 1064960, node: 1 },
      ],
      nodes: 2,
      limits: ZONES_X86_64,
      movable: movableMemory({ movablecore: '40M' }),
    })
    buildZonelists(words, true)
    expect(entries(words, 0, 0)).toEqual(['0.1', '0.0', '1.3', '1.2'])
    expect(entries(words, 0, 1)).toEqual(['0.1', '0.0'])
    expect(entries(words, 1, 0)).toEqual(['1.3', '1.2', '0.1', '0.0'])
    expect(entries(words, 1, 1)).toEqual(['1.3', '1.2'])
    expect(zonelistLog(words, 9).slice(-2)).toEqual([
      'Built 2 zonelists, mobility grouping on.  Total pages: 9',
      'Policy zone: Normal',
    ])
  })

  it('serve a node of CPUs alone from the others, and leave an offline node without lists', () => {
    const words = machine(3, { cpuNodes: [1] }, [1, 2])
    expect(words[HEADER_ONLINE_NODES]).toBe(2)
    expect([0, 1, 2].map((node) => words[nodeRecord(words, node) + NODE_ONLINE])).toEqual([1, 1, 0])
    buildZonelists(words, true)
    expect(entries(words, 1, 0)).toEqual(['0.2'])
    expect(entries(words, 1, 1)).toEqual([])
    expect(entries(words, 2, 0)).toEqual([])
    expect(nodeOrder(words, 1)).toEqual([1, 0])
  })

  it('come out the same when built again', () => {
    const words = machine(4)
    buildZonelists(words, true)
    const first = words.slice()
    buildZonelists(words, true)
    expect(sameWords(words, first)).toBe(true)
  })
})

describe('mobility grouping', () => {
  it('is decided from the estimated counts at boot', () => {
    const words = stateFor({
      ranges: [
        { start: 1, end: 0x9f, node: 0 },
        { start: 0x100, end: 0x3ffda, node: 0 },
      ],
      nodes: 1,
      limits: ZONES_X86_64,
    })
    buildZonelists(words, true)
    const estimates = estimateManaged(words, 158)
    expect([...estimates]).toEqual([3776, 253978, 0, 0])
    expect(decideMobility(words, estimates)).toBe(257754)
    expect(words[HEADER_MOBILITY_DISABLED]).toBe(0)
  })

  it('takes the memory map of a sparse zone for its memory alone', () => {
    // 1000 of 2048 pages: present/16 is far exceeded, so the map counts 1000 × 64 bytes: 16 pages.
    const words = stateFor({
      ranges: [
        { start: 0, end: 500, node: 0 },
        { start: 1548, end: 2048, node: 0 },
      ],
      nodes: 1,
      limits: ZONES_FLAT,
    })
    expect([...estimateManaged(words, 158)]).toEqual([0, 0, 984, 0])
  })

  it('is off below 3072 pages above the high watermarks', () => {
    const words = machine(4)
    buildZonelists(words, true)
    setManaged(words, [0, 0, 1024, 0, 0, 0, 1024, 0, 0, 0, 1024, 0])
    expect(decideMobility(words)).toBe(3072)
    expect(words[HEADER_MOBILITY_DISABLED]).toBe(0)
    words[zoneRecord(words, 1, 2) + ZONE_WMARK + 2] = 1
    expect(decideMobility(words)).toBe(3071)
    expect(words[HEADER_MOBILITY_DISABLED]).toBe(1)
    // A zone below its watermark counts as nothing, not as less.
    words[zoneRecord(words, 1, 2) + ZONE_WMARK + 2] = 9999
    expect(decideMobility(words)).toBe(2048)
    expect(zonelistLog(words, 2048)).toContain(
      'Built 4 zonelists, mobility grouping off.  Total pages: 2048',
    )
  })
})
