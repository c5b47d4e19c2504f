import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_ZONE_SHIFT,
  HEADER_MOBILITY_DISABLED,
} from '../../src/state/schema'
import { initPageblocks, mappedPages } from '../../src/zone/blocks'
import { zoneLog } from '../../src/zone/bootLog'
import { movableMemory } from '../../src/zone/movableCore'
import { blockWord, pageblockType } from '../../src/zone/pageblock'
import { setupZones } from '../../src/zone/setup'
import { computeSpans, ZONES_FLAT, ZONES_I386, ZONES_X86_64 } from '../../src/zone/spans'
import { isHighmem, zoneIndexName, zoneName, zoneOfPfn, zoneRecord } from '../../src/zone/zones'
import { sameWords, stateFor, stateOf } from './bootFixture'

/** Two nodes in one section, the seam inside pageblock 2, holes inside blocks 0, 4 and 6. */
const RANGES = [
  { start: 1, end: 1100, node: 0 },
  { start: 1200, end: 2050, node: 1 },
  { start: 2300, end: 3000, node: 0 },
  { start: 3072, end: 3100, node: 0 },
]

describe('pageblocks at boot', () => {
  const words = stateFor({ ranges: RANGES, nodes: 2, limits: ZONES_FLAT })
  const normal = [zoneRecord(words, 0, 2), zoneRecord(words, 1, 2)]

  it('are MOVABLE exactly when their first page is memory', () => {
    const types = [0, 1, 2, 3, 4, 5, 6, 7].map((block) => pageblockType(words, block * 512))
    expect(types).toEqual([0, 1, 1, 1, 1, 1, 1, 0])
  })

  it('are all UNMOVABLE without mobility grouping', () => {
    const copy = words.slice()
    copy[HEADER_MOBILITY_DISABLED] = 1
    initPageblocks(copy)
    for (let pfn = 0; pfn < 4096; pfn += 512) expect(pageblockType(copy, pfn)).toBe(0)
  })

  it('give every page of the section a zone, holes that of the memory behind them', () => {
    const zoneAt = (pfn: number): number => normal.indexOf(zoneOfPfn(words, pfn))
    for (let pfn = 0; pfn < 32768; pfn++) {
      const range = RANGES.find((range) => pfn < range.end) ?? RANGES[RANGES.length - 1]
      if (zoneAt(pfn) !== range?.node) expect.fail(`PFN ${pfn} is in node ${zoneAt(pfn)}`)
    }
    expect(zoneOfPfn(words, 32768)).toBe(-1)
    expect(zoneOfPfn(words, -1)).toBe(-1)
  })

  it('are marked mixed only where two zones meet', () => {
    const mixed: number[] = []
    for (let block = 0; block < 64; block++) {
      if ((words[blockWord(words, block * 512)]! & BLOCK_MIXED) !== 0) mixed.push(block)
    }
    expect(mixed).toEqual([2, 4])
    expect(words[blockWord(words, 1024)]! >> BLOCK_ZONE_SHIFT).toBe(2)
    expect(words[blockWord(words, 1536)]! >> BLOCK_ZONE_SHIFT).toBe(6)
  })

  it('have no memory map in a section without memory', () => {
    const sparse = stateFor({
      ranges: [
        { start: 1024, end: 2048, node: 0 },
        { start: 65536, end: 65600, node: 0 },
      ],
      nodes: 1,
      limits: ZONES_X86_64,
    })
    const present = (pfn: number): boolean =>
      (sparse[blockWord(sparse, pfn)]! & BLOCK_PRESENT) !== 0
    expect([0, 32767, 32768, 65535, 65536, 98303].map(present)).toEqual([
      true,
      true,
      false,
      false,
      true,
      true,
    ])
    expect(zoneOfPfn(sparse, 40000)).toBe(-1)
    expect(mappedPages(sparse, 2048, 65536)).toBe(30720)
    // The hole behind PFN 2048 belongs to DMA32, whose memory follows.
    expect(zoneName(sparse, zoneOfPfn(sparse, 3000))).toBe('DMA32')
  })
})

describe('zones', () => {
  it('are named and counted as high memory by the profile', () => {
    const spans = computeSpans({
      ranges: [{ start: 0, end: 262144, node: 0 }],
      nodes: 1,
      limits: ZONES_I386,
      movable: movableMemory({ movablecore: '64M' }),
    })
    const words = stateOf(spans)
    const zones = [0, 1, 2, 3].map((index) => zoneRecord(words, 0, index))
    for (const index of [-1, 4]) expect(() => zoneIndexName(words, index)).toThrow(InvalidArgument)
    expect(zones.map((zone) => zoneName(words, zone))).toEqual([
      'DMA',
      'Normal',
      'HighMem',
      'Movable',
    ])
    expect(zones.map((zone) => isHighmem(words, zone))).toEqual([false, false, true, true])
    expect(zoneLog(words, spans)).toContain(
      '  HighMem  [mem 0x0000000038000000-0x000000003fffffff]',
    )
  })

  it('carve Movable from Normal when there is no high memory', () => {
    const ranges = [{ start: 0, end: 131072, node: 0 }]
    const words = stateFor({
      ranges,
      nodes: 1,
      limits: ZONES_I386,
      movable: movableMemory({ movablecore: '64M' }),
    })
    expect(isHighmem(words, zoneRecord(words, 0, 3))).toBe(false)
  })
})

describe('setupZones', () => {
  const spans = computeSpans({
    ranges: [{ start: 0, end: 4096, node: 0 }],
    nodes: 2,
    limits: ZONES_FLAT,
  })

  it.each([
    [{ cpuNodes: [0, 2] }, 'node of a CPU is 2; it must be an integer from 0 to 1'],
    [{ cpuNodes: [0, 0, 1] }, 'length of cpuNodes is 3; it must be an integer from 2 to 2'],
    [{ cpuNodes: [0, 0], distances: [[10]] }, 'distance of 0 to 1 is undefined'],
    [{ cpuNodes: [0, 0], distances: [[10, 20], [20]] }, 'distance of 1 to 1 is undefined'],
    [
      {
        cpuNodes: [0, 0],
        distances: [
          [10, 300],
          [20, 10],
        ],
      },
      'distance of 0 to 1 is 300',
    ],
    [
      {
        cpuNodes: [0, 0],
        distances: [
          [11, 20],
          [20, 10],
        ],
      },
      'distance of 0 to 0 is 11; it must be an integer from 10 to 10',
    ],
  ])('refuses %j and writes nothing', (topology, message) => {
    const words = stateOf(spans, { cpuNodes: [0, 0] })
    const before = words.slice()
    expect(() => setupZones(words, spans, topology)).toThrow(message)
    expect(sameWords(words, before)).toBe(true)
  })
})
