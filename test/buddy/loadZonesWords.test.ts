/** What recorded zones become, word by word: ranges, nodes, pageblocks, page lists; and blocks that cannot be. */

import { describe, expect, it } from 'vitest'
import {
  adoptBlock,
  BuddyAllocator,
  InvalidArgument,
  KernelBug,
  loadZones,
  MiB,
  movableMemory,
  nodeState,
  stateHash,
  toPfn,
  ZONES_I386,
  type ZoneState,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import * as schema from '../../src/state/schema'
import { nodeOrder } from '../../src/zone/zonelist'
import { zoneOfPfn } from '../../src/zone/zones'
import { thrownBy, zoneOf } from './machines'
import { zone } from './zoneState'

/** Columns of a zone that boot decides. */
const COLUMNS = [
  schema.ZONE_START,
  schema.ZONE_SPANNED,
  schema.ZONE_PRESENT,
  schema.ZONE_INDEX,
  schema.ZONE_NODE,
  schema.ZONE_PCP,
]

/** The memory ranges of a machine: start, end, node. */
function ranges({ words }: BuddyAllocator): number[][] {
  return Array.from({ length: words[schema.HEADER_NR_RANGES]! }, (_, i) => {
    const range = words[schema.HEADER_RANGES]! + i * schema.RANGE_WORDS
    return [schema.RANGE_START, schema.RANGE_END, schema.RANGE_NODE].map(
      (column) => words[range + column]!,
    )
  })
}

/** The words of a table, from its place in the header to that of the next. */
function table({ words }: BuddyAllocator, from: number, to: number): number[] {
  return Array.from(words.subarray(words[from]!, words[to]!))
}

describe('memory ranges', () => {
  it.each<[what: string, zones: ZoneState[], expected: number[][]]>([
    ['one', [zone()], [[0, 4096, 0]]],
    [
      'from the middle of a pageblock to the middle of another',
      [zone({ startPfn: 700, spanned: 1500, pageblocks: '1111' })],
      [[700, 2200, 0]],
    ],
    [
      'around holes',
      [zone({ pageblocks: 'x11x1xx1' })],
      [
        [512, 1536, 0],
        [2048, 2560, 0],
        [3584, 4096, 0],
      ],
    ],
    ['up to a hole', [zone({ pageblocks: '1111xxxx' })], [[0, 2048, 0]]],
    [
      'a hole behind a part of a pageblock',
      [zone({ startPfn: 100, spanned: 1436, pageblocks: '1x1' })],
      [
        [100, 512, 0],
        [1024, 1536, 0],
      ],
    ],
    [
      'zones that meet',
      [zone(), zone({ name: 'Movable', startPfn: 4096 })],
      [
        [0, 4096, 0],
        [4096, 8192, 0],
      ],
    ],
    [
      'zones in another order',
      [zone({ name: 'Movable', startPfn: 4096 }), zone()],
      [
        [0, 4096, 0],
        [4096, 8192, 0],
      ],
    ],
    [
      'zones of a node that overlap',
      [zone(), zone({ name: 'Movable', startPfn: 2048 })],
      [[0, 6144, 0]],
    ],
    [
      'a zone inside another',
      [zone(), zone({ name: 'Movable', startPfn: 1024, spanned: 1024 })],
      [[0, 4096, 0]],
    ],
    [
      'of two nodes, each its own,',
      [zone(), zone({ node: 1, startPfn: 2048 })],
      [
        [0, 4096, 0],
        [2048, 6144, 1],
      ],
    ],
  ])('are %s', (_what, zones, expected) => {
    expect(ranges(loadZones(zones))).toEqual(expected)
  })
})

describe('a machine that is dumped and loaded', () => {
  /** The tables of a booted machine, and of one that goes on from its zones. */
  function both(pages: BuddyAllocator, nodes: number[]): [BuddyAllocator, BuddyAllocator] {
    return [pages, loadZones(nodes.flatMap((node) => nodeState(pages, node)))]
  }
  const movable = movableMemory({ movablecore: 16 * MiB })

  it.each<[what: string, pages: BuddyAllocator, nodes: number[]]>([
    [
      'two nodes with Movable zones',
      new BuddyAllocator({
        memory: {
          memory: [
            { base: 2 * MiB, size: 30 * MiB, node: 0 },
            { base: 32 * MiB, size: 32 * MiB, node: 1 },
          ],
          reserved: [],
        },
        movable,
      }),
      [0, 1],
    ],
    [
      'HighMem and Movable',
      new BuddyAllocator({
        memory: { memory: [{ base: 0, size: 1024 * MiB }], reserved: [] },
        zones: ZONES_I386,
        movable,
      }),
      [0],
    ],
  ])('has the nodes, zones and zonelists that it had: %s', (_what, booted, nodes) => {
    const [a, b] = both(booted, nodes)
    for (const [from, to] of [
      [schema.HEADER_NODES, schema.HEADER_CPUS],
      [schema.HEADER_DISTANCES, schema.HEADER_ZONELISTS],
      [schema.HEADER_ZONELISTS, schema.HEADER_RANGES],
    ] as const) {
      expect(table(b, from, to)).toEqual(table(a, from, to))
    }
    const end = a.context.maxPfn
    for (let pfn = 512; pfn < end; pfn += 512) {
      // Where a section has no memory of its own, there is nothing to load.
      if (zoneOfPfn(b.words, pfn) >= 0)
        expect(zoneOfPfn(b.words, pfn)).toBe(zoneOfPfn(a.words, pfn))
    }
    for (let number = 0; number < 4 * nodes.length; number++) {
      for (const column of COLUMNS) {
        const at = zoneOf(a, 0, number) + column
        expect([number, column, b.words[at]]).toEqual([number, column, a.words[at]])
      }
    }
    expect(nodes.flatMap((node) => nodeState(b, node))).toEqual(
      nodes.flatMap((node) => nodeState(a, node)),
    )
  })

  it('falls back to nodes without CPUs first, as a kernel whose nodes came later', () => {
    const zones = [0, 1, 2].map((node) => zone({ node, startPfn: node * 4096 }))
    expect(nodeOrder(loadZones(zones).words, 2)).toEqual([2, 1, 0])
  })

  it('spans nothing on nodes that no zone is of', () => {
    const { words } = loadZones([zone({ node: 2, startPfn: 1024 })])
    const nodes = [0, 1, 2].map((node) => {
      const record = words[schema.HEADER_NODES]! + node * schema.NODE_WORDS
      return [schema.NODE_START, schema.NODE_SPANNED].map((column) => words[record + column])
    })
    expect(nodes).toEqual([
      [0, 0],
      [0, 0],
      [1024, 4096],
    ])
  })

  it('spans a node from the lowest of its zones to the highest, and knows where its movable memory starts', () => {
    const zones = [zone({ name: 'Movable', startPfn: 8192 }), zone({ startPfn: 2048 })]
    const { words } = loadZones(zones)
    const record = words[schema.HEADER_NODES]!
    expect(words[record + schema.NODE_START]).toBe(2048)
    expect(words[record + schema.NODE_SPANNED]).toBe(12288 - 2048)
    expect(words[record + schema.NODE_MOVABLE_PFN]).toBe(8192)
  })
})

describe('pageblocks', () => {
  const word = (pages: BuddyAllocator, block: number) =>
    pages.words[pages.words[schema.HEADER_BLOCKS]! + block]!

  it('are of the types that are recorded, and as boot leaves them where none is', () => {
    const pages = loadZones([zone({ pageblocks: '0123456x' })])
    const plain = loadZones([zone({ pageblocks: '1111111x' })])
    const types = (machine: BuddyAllocator) =>
      Array.from({ length: 10 }, (_, i) => word(machine, i) & schema.BLOCK_TYPE_MASK)
    expect(types(pages)).toEqual([0, 1, 2, 3, 4, 5, 1, 0, 0, 0])
    for (const i of [6, 7, 8, 9]) expect(word(pages, i)).toBe(word(plain, i))
    expect(stateHash(loadZones([zone({ pageblocks: '1/111111' })]))).toBe(
      stateHash(loadZones([zone()])),
    )
  })

  it('of a section that two zones of a node span are those of the one with free blocks in it', () => {
    const section = 32768
    const lists = { '10': { '1': [section] } }
    const normal = zone({ spanned: 2 * section })
    const movable = zone({
      name: 'Movable',
      startPfn: section,
      spanned: 2 * section,
      freeLists: lists,
      free: 1024,
    })
    const pages = loadZones([normal, movable, zone({ node: 1, startPfn: 3 * section })])
    const where = [0, section - 1, section, 2 * section - 1].map((pfn) =>
      zoneOfPfn(pages.words, pfn),
    )
    const [low, high] = [zoneOf(pages, 0, 2), zoneOf(pages, 0, 3)]
    expect(where).toEqual([low, low, high, high])
    // Zones that only meet have no such section.
    const apart = loadZones([zone({ spanned: section }), { ...movable, freeLists: {}, free: 0 }])
    expect(zoneOfPfn(apart.words, section)).toBe(zoneOf(apart, 0, 3))
    const error = thrownBy(() =>
      loadZones([{ ...normal, freeLists: { '0': { '1': [section + 2048] } } }, movable]),
    )
    expect(error).toBeInstanceOf(InvalidArgument)
  })
})

describe('page lists', () => {
  it('hold pages that go back to the type of their list', () => {
    const lists = { '0': [0], '1': [1], '2': [2], '4': [4], '11': [8], '12': [512], '13': [1024] }
    const pages = loadZones([
      zone({ pcp: { count: 1 + 1 + 1 + 2 + 8 + 1024, high: 100, batch: 7, freeFactor: 2, lists } }),
    ])
    const types = [0, 1, 2, 4, 8, 512, 1024].map(
      (pfn) => -1 - pages.words[pageRecord(pfn) + schema.PAGE_REFS]!,
    )
    expect(types).toEqual([0, 1, 2, 1, 2, 0, 1])
    expect(nodeState(pages)[0]?.pcp).toEqual({
      count: 1037,
      high: 100,
      batch: 7,
      freeFactor: 2,
      lists,
    })
  })

  it.each<[why: string, lists: Record<string, number[]>]>([
    ['that there is not', { '14': [1024] }],
    ['with a page inside a free block', { '0': [3] }],
    ['with a page inside a free block of its own', { '0': [1], '3': [0] }],
    ['with a block around one of the list before', { '0': [513], '3': [512] }],
  ])('are refused: one %s', (_why, lists) => {
    const freeLists = { '2': { '1': [0] } }
    const pcp = { count: 0, high: 100, batch: 7, freeFactor: 0, lists }
    expect(thrownBy(() => loadZones([zone({ freeLists, pcp })]))).toMatchObject({
      argument: expect.stringMatching(/page list|free block/),
    })
  })
})

describe('blocks that become known', () => {
  it('are not inside the free block at frame 0, and are of their order', () => {
    const pages = loadZones([zone({ freeLists: { '2': { '1': [0] } } })])
    for (const pfn of [0, 2, 3]) {
      const bug = thrownBy(() => adoptBlock(pages, toPfn(pfn))) as KernelBug
      expect(bug).toMatchObject({ code: 'NOT_ADOPTABLE' })
    }
    adoptBlock(pages, toPfn(4), 2)
    expect(thrownBy(() => adoptBlock(pages, toPfn(6), 1))).toBeInstanceOf(KernelBug)
    pages.freePages(toPfn(4), 2)
    pages.drainAllPages()
    expect(nodeState(pages)[0]?.freeLists).toEqual({ '3': { '1': [0] } })
  })
})
