import { describe, expect, it } from 'vitest'
import {
  BuddyAllocator,
  freeSummary,
  GFP_HIGHUSER,
  GFP_KERNEL,
  InvalidArgument,
  MiB,
  PAGE_SIZE,
  ZONES_FLAT,
  ZONES_I386,
  ZONES_X86_64,
  type ZoneProfile,
} from '../../src/index'
import {
  HEADER_NR_RANGES,
  HEADER_RANGES,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_MANAGED,
  ZONE_PRESENT,
  ZONE_SPANNED,
  ZONE_START,
} from '../../src/state/schema'
import { movableMemory } from '../../src/zone/movableCore'
import { zoneName, zoneOfPfn } from '../../src/zone/zones'
import { sameWords } from '../zone/bootFixture'
import { faults, freePagesOf, zoneOf } from './machines'

/** A machine of 64 MiB on node 0, where memory can be added up to 2 GiB; node 1 has a CPU. */
function machine(zones: ZoneProfile = ZONES_FLAT, bytes = 64 * MiB, movablecore?: string) {
  return new BuddyAllocator({
    memory: { memory: [{ base: 0, size: bytes }], reserved: [] },
    zones,
    maxAddress: 2048 * MiB,
    cpuNodes: [0, 1],
    ...(movablecore === undefined ? {} : { movable: movableMemory({ movablecore }) }),
  })
}

/** The memory ranges, in frames. */
function ranges({ words }: BuddyAllocator): [start: number, end: number, node: number][] {
  return Array.from({ length: words[HEADER_NR_RANGES]! }, (_, i) => {
    const at = words[HEADER_RANGES]! + i * RANGE_WORDS
    return [words[at + RANGE_START]!, words[at + RANGE_END]!, words[at + RANGE_NODE]!]
  })
}

/** Start, span, and present and managed pages of a zone. */
function extent(pages: BuddyAllocator, node: number, index: number): number[] {
  const zone = zoneOf(pages, node, index)
  const columns = [ZONE_START, ZONE_SPANNED, ZONE_PRESENT, ZONE_MANAGED]
  return columns.map((column) => pages.words[zone + column]!)
}

describe('addMemory', () => {
  it('joins the last range, when it goes on from there on the same node', () => {
    const pages = machine()
    pages.addMemory(64 * MiB, 16 * MiB)
    expect(ranges(pages)).toEqual([[0, 20480, 0]])
    expect(extent(pages, 0, 2)).toEqual([0, 20480, 20480, 20480])
    expect(freeSummary(pages).freePages).toBe(20480)
    expect(faults(pages)).toEqual([])
  })

  it('is a range of its own behind a hole, whose frames nobody gets', () => {
    const pages = machine()
    pages.addMemory(80 * MiB, 16 * MiB)
    expect(ranges(pages)).toEqual([
      [0, 16384, 0],
      [20480, 24576, 0],
    ])
    expect(extent(pages, 0, 2)).toEqual([0, 24576, 20480, 20480])
    expect(freePagesOf(pages, zoneOf(pages, 0, 2))).toBe(20480)
    expect(faults(pages)).toEqual([])
    for (let i = 0; i < 19; i++) {
      const pfn = pages.allocPages(GFP_KERNEL, 10) ?? -1
      const inMemory = (pfn >= 0 && pfn < 16384) || (pfn >= 20480 && pfn < 24576)
      expect(inMemory).toBe(true)
    }
  })

  it('is a range of its own on another node, right behind the last one', () => {
    const pages = machine()
    pages.addMemory(64 * MiB, 16 * MiB, 1)
    expect(ranges(pages)).toEqual([
      [0, 16384, 0],
      [16384, 20480, 1],
    ])
    expect(extent(pages, 0, 2)).toEqual([0, 16384, 16384, 16384])
    expect(extent(pages, 1, 2)).toEqual([16384, 4096, 4096, 4096])
    const pfn = pages.allocPagesNode(1, GFP_KERNEL, 3) ?? -1
    expect(zoneOfPfn(pages.words, pfn)).toBe(zoneOf(pages, 1, 2))
    expect(faults(pages)).toEqual([])
  })

  it('takes whole frames only', () => {
    const pages = machine()
    pages.addMemory(64 * MiB + 1, 3 * PAGE_SIZE)
    expect(ranges(pages)).toEqual([
      [0, 16384, 0],
      [16385, 16387, 0],
    ])
    const before = pages.words.slice()
    pages.addMemory(65 * MiB + 1, 2 * PAGE_SIZE - 2)
    pages.addMemory(65 * MiB, 0)
    pages.addMemory(65 * MiB + 5, 4000)
    expect(sameWords(pages.words, before)).toBe(true)
    expect(faults(pages)).toEqual([])
  })

  it('ends where the state has room for it', () => {
    const pages = machine()
    expect(() => pages.addMemory(2040 * MiB, 8 * MiB + PAGE_SIZE)).toThrow(InvalidArgument)
    expect(() => pages.addMemory(2048 * MiB, PAGE_SIZE)).toThrow(InvalidArgument)
    expect(() => pages.addMemory(60 * MiB, 8 * MiB)).toThrow(InvalidArgument)
    pages.addMemory(2040 * MiB, 8 * MiB)
    expect(ranges(pages)).toEqual([
      [0, 16384, 0],
      [522240, 524288, 0],
    ])
    expect(faults(pages)).toEqual([])
  })

  it('goes to the zones that its address belongs to', () => {
    const pages = machine(ZONES_X86_64)
    pages.addMemory(64 * MiB, 64 * MiB)
    expect(extent(pages, 0, 1)).toEqual([4096, 28672, 28672, 28672])
    expect(extent(pages, 0, 0)).toEqual([0, 4096, 4096, 4096])
    const high = machine(ZONES_I386, 880 * MiB)
    high.addMemory(880 * MiB, 32 * MiB)
    expect(extent(high, 0, 1)).toEqual([4096, 225280, 225280, 225280])
    expect(extent(high, 0, 2)).toEqual([229376, 4096, 4096, 4096])
    const pfn = high.allocPages(GFP_HIGHUSER, 4) ?? -1
    expect(zoneName(high.words, zoneOfPfn(high.words, pfn))).toBe('HighMem')
    expect([...faults(pages), ...faults(high)]).toEqual([])
  })

  it('leaves a Movable zone where it starts, and makes it longer', () => {
    const pages = machine(ZONES_FLAT, 64 * MiB, '16M')
    expect(extent(pages, 0, 3)).toEqual([12288, 4096, 4096, 4096])
    pages.addMemory(64 * MiB, 32 * MiB)
    expect(extent(pages, 0, 2)).toEqual([0, 12288, 12288, 12288])
    expect(extent(pages, 0, 3)).toEqual([12288, 12288, 12288, 12288])
    expect(faults(pages)).toEqual([])
  })

  it('gives the machine its first memory', () => {
    const pages = new BuddyAllocator({
      memory: { memory: [], reserved: [] },
      zones: ZONES_FLAT,
      maxAddress: 128 * MiB,
    })
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    const first = new BuddyAllocator({
      memory: { memory: [], reserved: [] },
      zones: ZONES_FLAT,
      maxAddress: 128 * MiB,
    })
    first.addMemory(0, 16 * MiB)
    expect(ranges(first)).toEqual([[0, 4096, 0]])
    pages.addMemory(32 * MiB, 16 * MiB)
    expect(ranges(pages)).toEqual([[8192, 12288, 0]])
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
    expect(faults(pages)).toEqual([])
  })
})
