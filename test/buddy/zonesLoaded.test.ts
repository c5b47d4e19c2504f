/** Recorded zones that contradict themselves are refused, and what they say otherwise arrives. */

import { describe, expect, it } from 'vitest'
import {
  adjustManagedPageCount,
  BuddyAllocator,
  GFP_KERNEL,
  InvalidArgument,
  loadZones,
  MiB,
  movableMemory,
  nodeState,
  stateHash,
  toPfn,
  ZONES_FLAT,
  type ZoneState,
} from '../../src/index'
import {
  HEADER_ONLINE_NODES,
  HEADER_TOTAL_RAM,
  PCP_BATCH,
  PCP_HIGH,
  PCP_LIMIT,
  ZONE_MANAGED,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { pageblockType } from '../../src/zone/pageblock'
import { zoneOfPfn } from '../../src/zone/zones'
import { faults, pcpOf, thrownBy, zoneOf, zonesOf } from './machines'

/** 16 MiB from frame 4096 on, of which some are in use. */
function state(): ZoneState {
  const pages = new BuddyAllocator({
    memory: { memory: [{ base: 16 * MiB, size: 16 * MiB }], reserved: [] },
    zones: ZONES_FLAT,
  })
  for (let i = 0; i < 9; i++) pages.allocPages(GFP_KERNEL, i)
  const pfn = pages.allocPages(GFP_KERNEL) ?? expect.fail('no memory')
  pages.freePages(pfn)
  return nodeState(pages, 0)[0] ?? expect.fail('no zone')
}

/** A zone of one node with nothing free. */
function full(): ZoneState {
  const plain = state()
  return { ...plain, free: 0, freeLists: {}, pcp: { ...plain.pcp, count: 0, lists: {} } }
}

describe('zones are refused', () => {
  it.each<[why: string, argument: string, zones: () => ZoneState[]]>([
    ['when there are none', 'zones', () => []],
    ['with a node below 0', 'node', () => [{ ...full(), node: -1 }]],
    ['with a node above 63', 'node', () => [{ ...full(), node: 64 }]],
    ['that start below 0', 'startPfn', () => [{ ...full(), startPfn: -4 }]],
    ['that are empty at 0', 'end of a zone', () => [{ ...full(), startPfn: 0, spanned: 0 }]],
    ['of a name that there is not', 'zone name', () => [{ ...full(), name: 'Device' as 'DMA' }]],
  ])('%s', (_why, argument, zones) => {
    const error = thrownBy(() => loadZones(zones()))
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(error).toMatchObject({ argument })
  })

  it.each<[why: string, lists: Record<string, Record<string, number[]>>]>([
    ['of a type that there is not', { '0': { '6': [4096] } }],
    ['of a type that is no number', { '0': { x: [4096] } }],
    ['of an order that there is not', { '11': { '0': [4096] } }],
    ['of part of a frame', { '0': { '0': [4096.5] } }],
    ['below 0', { '0': { '0': [-1] } }],
    ['below the zone', { '0': { '0': [4095] } }],
    ['above the zone', { '0': { '0': [8192] } }],
    ['above all memory', { '10': { '0': [32768] } }],
    ['that is no multiple of its size', { '1': { '0': [4097] } }],
    ['twice', { '0': { '0': [4096, 4096] } }],
    ['inside another one', { '2': { '0': [4096] }, '1': { '0': [4098] } }],
    ['around another one', { '0': { '0': [4099] }, '2': { '0': [4096] } }],
  ])('with a free block %s', (_why, freeLists) => {
    expect(thrownBy(() => loadZones([{ ...full(), freeLists }]))).toBeInstanceOf(InvalidArgument)
  })

  it.each([
    ['that there is not', '14', 4096],
    ['for a page in a free block', '0', 4104],
    ['for a page of another zone', '0', 4095],
  ])('with a page list %s', (_why, index, pfn) => {
    const plain = full()
    const freeLists = { '3': { '0': [4104] } }
    const pcp = { ...plain.pcp, lists: { [index]: [pfn] } }
    expect(thrownBy(() => loadZones([{ ...plain, freeLists, pcp }]))).toBeInstanceOf(
      InvalidArgument,
    )
  })
})

describe('a machine that goes on from zones', () => {
  it('is as they say, for every CPU', () => {
    const zone = { ...state(), lowmemReserve: [1, 2, 3, 4, 99] }
    const pages = loadZones([zone], { cpus: 3 })
    const record = zoneOf(pages, 0, 2)
    const { words } = pages
    const { min, low, high } = zone.watermark
    expect(Array.from(words.subarray(record + ZONE_WMARK, record + ZONE_WMARK + 4))).toEqual([
      min,
      low,
      high,
      2 * high - low,
    ])
    expect(Array.from(words.subarray(record + ZONE_RESERVE, record + ZONE_RESERVE + 4))).toEqual([
      1, 2, 3, 4,
    ])
    for (const cpu of [0, 1, 2]) {
      const pcp = pcpOf(pages, record, cpu)
      expect([PCP_HIGH, PCP_LIMIT, PCP_BATCH].map((column) => words[pcp + column])).toEqual([
        zone.pcp.high,
        zone.pcp.high,
        zone.pcp.batch,
      ])
    }
    expect(words[HEADER_TOTAL_RAM]).toBe(zone.managed)
    expect(nodeState(pages, 0)).toEqual([{ ...zone, lowmemReserve: [1, 2, 3, 4] }])
    // The boot's own record of these frames is of nobody's blocks in use.
    expect(faults(pages).filter((fault) => !fault.startsWith('PAGE-4'))).toEqual([])
  })

  it.each([undefined, false, true])('has a shared state when that is asked for: %s', (shared) => {
    const pages = loadZones([full()], shared === undefined ? {} : { shared })
    expect(pages.state instanceof SharedArrayBuffer).toBe(shared === true)
  })

  it('has nodes that are online, all up to the last', () => {
    const pages = loadZones([{ ...state(), node: 2 }])
    expect(pages.words[HEADER_ONLINE_NODES]).toBe(3)
    for (const node of [0, 1, 2]) expect(pages.allocPagesNode(node, GFP_KERNEL)).not.toBeNull()
  })

  it('keeps holes, zones, and nodes apart', () => {
    const memory = [
      { base: 0, size: 6 * MiB, node: 0 },
      { base: 10 * MiB, size: 22 * MiB, node: 0 },
      { base: 32 * MiB, size: 32 * MiB, node: 1 },
    ]
    const pages = new BuddyAllocator({
      memory: { memory, reserved: [] },
      movable: movableMemory({ movablecore: 16 * MiB }),
      cpuNodes: [0, 1],
    })
    const zones = [0, 1].flatMap((node) => nodeState(pages, node))
    expect(zones.length).toBeGreaterThan(3)
    const again = loadZones(zones)
    expect([0, 1].flatMap((node) => nodeState(again, node))).toEqual(zones)
    const present = (machine: BuddyAllocator) =>
      zonesOf(machine).map((zone) => machine.words[zone + ZONE_PRESENT])
    expect(present(again)).toEqual(present(pages))
    for (let pfn = 0; pfn < 16384; pfn += 256) {
      const where = (machine: BuddyAllocator) => [
        zoneOfPfn(machine.words, pfn) - zoneOf(machine, 0, 0),
        pageblockType(machine.words, pfn),
      ]
      // Frames of a hole may count to the zone around it; frames of memory may not change.
      if (pfn < 1536 || pfn >= 2560) expect(where(again)).toEqual(where(pages))
    }
  })
})

describe('the managed pages of a zone', () => {
  it('change by a count, and those of the machine with them', () => {
    const pages = loadZones([full()])
    const record = zoneOf(pages, 0, 2)
    const { managed } = full()
    adjustManagedPageCount(pages, toPfn(4096), -100)
    const counts = () => [pages.words[record + ZONE_MANAGED], pages.words[HEADER_TOTAL_RAM]]
    expect(counts()).toEqual([managed - 100, managed - 100])
    adjustManagedPageCount(pages, toPfn(4096), 40)
    expect(counts()).toEqual([managed - 60, managed - 60])
    const before = stateHash(pages)
    const present = pages.words[record + ZONE_PRESENT]!
    for (const count of [present - managed + 61, 60 - managed - 1, 0.5]) {
      const error = thrownBy(() => adjustManagedPageCount(pages, toPfn(4096), count))
      expect(error).toMatchObject({ argument: 'count' })
    }
    expect(stateHash(pages)).toBe(before)
    adjustManagedPageCount(pages, toPfn(8191), present - managed + 60)
    expect(counts()).toEqual([present, present])
    adjustManagedPageCount(pages, toPfn(4096), -present)
    expect(counts()).toEqual([0, 0])
  })
})
