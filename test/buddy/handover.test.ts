/** Memory that boot hands over: in which blocks and order, what is left out, what the boot says of it. Spec §1.5, §1.7, §1.8. */

import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  type BuddyOptions,
  kernelLog,
  MiB,
  nodeState,
  PAGE_SIZE,
  pageCount,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'
import { eventCount } from '../../src/state/counters'
import {
  HEADER_MIN_FREE_KBYTES,
  HEADER_TOTAL_RAM,
  PCP_PGFREE,
  ZONE_MANAGED,
} from '../../src/state/schema'
import { nodeOrder } from '../../src/zone/zonelist'
import { faults, flatMachine, freePagesOf, pageBytes, pcpOf, zoneOf } from './machines'

function machine(
  memory: [start: number, end: number, node?: number][],
  options: Partial<BuddyOptions> = {},
): BuddyAllocator {
  const ranges = memory.map(([start, end, node = 0]) => ({
    base: pageBytes(start),
    size: pageBytes(end - start),
    node,
  }))
  const reserved = options.memory?.reserved ?? []
  return new BuddyAllocator({
    zones: ZONES_FLAT,
    ...options,
    memory: { memory: ranges, reserved },
  } as BuddyOptions)
}

/** Free blocks of a machine of one zone by order, as they are on their lists. */
function blocks(pages: BuddyAllocator): Record<string, number[]> {
  const [zone] = nodeState(pages)
  return Object.fromEntries(
    Object.entries(zone?.freeLists ?? {}).map(([order, types]) => [
      order,
      Object.values(types).flat(),
    ]),
  )
}

describe('memory is handed over', () => {
  it.each<[memory: [number, number][], expected: Record<string, number[]>]>([
    [[[0, 4096]], { '10': [0, 1024, 2048, 3072] }],
    [
      [[0, 1948]],
      { '2': [1944], '3': [1936], '4': [1920], '7': [1792], '8': [1536], '9': [1024], '10': [0] },
    ],
    [
      [
        [1, 8],
        [16, 20],
        [24, 28],
      ],
      { '0': [1], '1': [2], '2': [4, 16, 24] },
    ],
    [
      [
        [1023, 2049],
        [3072, 4096],
      ],
      { '0': [1023, 2048], '10': [1024, 3072] },
    ],
  ])('in the largest blocks that fit, each to the end of its list: %j', (memory, expected) => {
    const pages = machine(memory)
    const count = memory.reduce((sum, [start, end]) => sum + end - start, 0)
    const zone = zoneOf(pages, 0, 2)
    expect(blocks(pages)).toEqual(expected)
    expect(freePagesOf(pages, zone)).toBe(count)
    expect(pages.words[zone + ZONE_MANAGED]).toBe(count)
    expect(pages.words[HEADER_TOTAL_RAM]).toBe(count)
    expect(eventCount(pages.words, pcpOf(pages, zone) + PCP_PGFREE)).toBe(count)
    // Frames of holes beside memory are reserved.
    const [last] = memory.slice(-1)
    expect(pageCount(pages, toPfn(last?.[1] ?? 0))).toBe(1)
    expect(pageCount(pages, toPfn(32767))).toBe(1)
    expect(faults(pages)).toEqual([])
  })

  it('less single pages for page tables, taken at once', () => {
    for (const earlyPages of [0, 1, 7]) {
      const pages = flatMachine(1024, 0, { earlyPages })
      pages.drainAllPages()
      expect(freePagesOf(pages, zoneOf(pages, 0, 2))).toBe(1024 - earlyPages)
      const used = Array.from({ length: 1024 }, (_, pfn) => pageCount(pages, toPfn(pfn)))
      expect(used.filter((count) => count > 0)).toHaveLength(earlyPages)
    }
  })

  it('and holes in sections without memory have no pages', () => {
    const pages = machine([
      [0, 1024],
      [65536, 66560],
    ])
    const counts = [1024, 32767, 32768, 65535, 66560, 98303].map((pfn) =>
      pageCount(pages, toPfn(pfn)),
    )
    expect(counts).toEqual([1, 1, 0, 0, 1, 1])
  })
})

describe('boot', () => {
  it('raises min_free_kbytes for huge pages, unless told not to', () => {
    const min = (hugePages: boolean) =>
      flatMachine((600 * MiB) / PAGE_SIZE, 0, { hugePages }).words[HEADER_MIN_FREE_KBYTES]
    expect(min(false)).toBe(Math.floor(Math.sqrt(600 * 1024 * 16)))
    // For one zone: two pageblocks, and one for each pair of three types.
    expect(min(true)).toBe(4 * 512 * (2 + 9))
  })

  it('orders nodes as if no CPU had come up yet', () => {
    const pages = machine([
      [0, 1024, 0],
      [32768, 33792, 1],
      [65536, 66560, 2],
    ])
    expect([0, 1, 2].map((node) => nodeOrder(pages.words, node))).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ])
  })

  it.each<[reserved: [number, number][], total: number]>([
    [[], 8192 - 64 - 64],
    [[[1, 3]], 8192 - 64 - 64 - 2],
    [[[4000, 4200]], 8192 - 64 - 64 - 96],
    [[[5000, 6000]], 8192 - 64 - 64],
  ])('counts what is reserved below 16 MiB, and a map of all: %j', (reserved, total) => {
    const lines: string[] = []
    machine([[0, 8192]], {
      zones: { highmem: false, limits: [4096, 4096, Infinity] },
      memory: {
        memory: [],
        reserved: reserved.map(([start, end]) => ({
          base: pageBytes(start),
          size: pageBytes(end - start),
        })),
      },
      log: kernelLog((line) => lines.push(line)),
    })
    expect(lines.find((line) => line.includes('Total pages'))).toMatch(
      new RegExp(`Total pages: ${total}$`),
    )
  })
})
