/** Machines, nodes and zones without memory, where every rule has its special case. */

import { describe, expect, it } from 'vitest'
import { noLog } from '../../src/base/log'
import { formatState, stateWords } from '../../src/state/layout'
import {
  HEADER_MIN_FREE_KBYTES,
  HEADER_NR_RANGES,
  HEADER_ONLINE_NODES,
  HEADER_TOTAL_RESERVE,
  NODE_ONLINE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { memoryLog, zoneLog } from '../../src/zone/bootLog'
import { setupZones } from '../../src/zone/setup'
import { computeSpans, ZONES_FLAT, ZONES_X86_64 } from '../../src/zone/spans'
import { recomputeAll } from '../../src/zone/watermark'
import { buildZonelists, decideMobility, zonelistLog, zonelistOf } from '../../src/zone/zonelist'
import { nodeRecord, zoneOfPfn, zoneRecord } from '../../src/zone/zones'
import { setManaged, stateFor } from './bootFixture'

const NOTHING = { start: 0, spanned: 0, present: 0 }

describe('a machine without memory', () => {
  const input = { ranges: [], nodes: 1, limits: ZONES_X86_64 }

  it('has zones of nothing', () => {
    const spans = computeSpans(input)
    expect(spans.possible).toEqual([
      { start: 0, end: 0 },
      { start: 0, end: 0 },
      { start: 0, end: 0 },
    ])
    expect(spans.movableZone).toBe(0)
    const zones = [NOTHING, NOTHING, NOTHING, NOTHING]
    expect(spans.nodes).toEqual([{ start: 0, end: 0, movablePfn: 0, zones }])
  })

  it('tells a policy of Movable zones that they could start at 0', () => {
    const asked: number[] = []
    computeSpans({ ...input, movable: (_ranges, _nodes, start) => [asked.push(start)] })
    expect(asked).toEqual([0])
  })

  it('has empty zonelists, no watermarks and no frames, and logs no more than that', () => {
    const words = stateFor(input)
    buildZonelists(words, true)
    expect(words[zonelistOf(words, 0, 0)]).toBe(0)
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(128)
    expect(words[HEADER_TOTAL_RESERVE]).toBe(0)
    for (const index of [0, 1, 2, 3]) {
      const zone = zoneRecord(words, 0, index)
      expect([...words.subarray(zone + ZONE_WMARK, zone + ZONE_WMARK + 4)]).toEqual([0, 0, 0, 0])
    }
    expect(zoneOfPfn(words, 0)).toBe(-1)
    expect(decideMobility(words)).toBe(0)
    expect([...zoneLog(words, computeSpans(input)), ...zonelistLog(words, 0)]).toEqual([
      'Zone ranges:',
      '  DMA      empty',
      '  DMA32    empty',
      '  Normal   empty',
      'Movable zone start for each node',
      'Early memory node ranges',
      'Fallback order for Node 0: 0 ',
      'Built 1 zonelists, mobility grouping off.  Total pages: 0',
      'Policy zone: DMA',
    ])
    expect(memoryLog(words)).toMatch(/^Memory: 0K\/0K available .* 0K reserved, 0K cma-reserved\)$/)
  })
})

describe('a node without memory', () => {
  const ranges = [{ start: 0, end: 4096, node: 0 }]

  it('is online for its CPU, and is not said to be initialised', () => {
    const spans = { ranges, nodes: 2, limits: ZONES_FLAT }
    const words = stateFor(spans, { cpuNodes: [0, 1] })
    buildZonelists(words, true)
    expect(words[HEADER_ONLINE_NODES]).toBe(2)
    const lines = [...zoneLog(words, computeSpans(spans)), ...zonelistLog(words, 4000)]
    expect(lines.filter((line) => line.startsWith('Initmem'))).toEqual([
      'Initmem setup node 0 [mem 0x0000000000000000-0x0000000000ffffff]',
    ])
    expect(lines).toContain('Fallback order for Node 1: 1 0 ')
  })

  it('is offline without a CPU too, and not said to fall back', () => {
    const words = stateFor({ ranges, nodes: 2, limits: ZONES_FLAT }, { cpuNodes: [0] })
    buildZonelists(words, true)
    expect(words[nodeRecord(words, 1) + NODE_ONLINE]).toBe(0)
    expect(zonelistLog(words, 4000)).toEqual([
      'Fallback order for Node 0: 0 ',
      'Built 1 zonelists, mobility grouping on.  Total pages: 4000',
      'Policy zone: Normal',
    ])
  })

  it('may be one that only the buffer has room for', () => {
    const geometry = { maxPfn: 32768, nodes: 3, cpus: 1, maxRanges: 1 }
    const words = new Int32Array(stateWords(geometry))
    formatState(words, geometry)
    setupZones(words, computeSpans({ ranges, nodes: 1, limits: ZONES_FLAT }), { cpuNodes: [0] })
    expect(words[HEADER_ONLINE_NODES]).toBe(1)
    const online = [0, 1, 2].map((node) => words[nodeRecord(words, node) + NODE_ONLINE])
    expect(online).toEqual([1, 0, 0])
  })
})

describe('zones without memory to give', () => {
  it('get no share of the watermarks', () => {
    const words = stateFor({
      ranges: [{ start: 0, end: 4096, node: 0 }],
      nodes: 1,
      limits: ZONES_FLAT,
    })
    setManaged(words, [0, 0, 0, 0])
    recomputeAll(words, noLog)
    const zone = zoneRecord(words, 0, 2)
    expect([...words.subarray(zone + ZONE_WMARK, zone + ZONE_WMARK + 4)]).toEqual([0, 0, 0, 0])
  })

  it('are not found for a frame when the memory ranges are gone', () => {
    // Node 1 begins inside pageblock 2: that frame's zone is looked up in the ranges.
    const words = stateFor({
      ranges: [
        { start: 0, end: 1100, node: 0 },
        { start: 1100, end: 2048, node: 1 },
      ],
      nodes: 2,
      limits: ZONES_FLAT,
    })
    expect(zoneOfPfn(words, 1100)).toBe(zoneRecord(words, 1, 2))
    words[HEADER_NR_RANGES] = 0
    expect(zoneOfPfn(words, 1100)).toBe(-1)
  })
})
