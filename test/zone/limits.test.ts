/** Limits, defaults and refusals of zone initialisation, each at its edge. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseMemSize } from '../../src/base/memSize'
import {
  CPU_NODE,
  CPU_WORDS,
  HEADER_CPUS,
  HEADER_DISTANCES,
  HEADER_MIN_FREE_KBYTES,
  HEADER_USER_MIN_FREE_KBYTES,
  NODE_ONLINE,
  PCP_BATCH,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_WORDS,
  ZONE_FLAGS,
  ZONE_PCP,
  ZONE_RECLAIM_ACTIVE,
  ZONE_RESERVE,
} from '../../src/state/schema'
import { memoryLog, zoneLog } from '../../src/zone/bootLog'
import { movableMemory } from '../../src/zone/movableCore'
import { bootPcpLimits, setupPcpLimits } from '../../src/zone/pcpLimits'
import { setupZones, writeSpans } from '../../src/zone/setup'
import { computeSpans, ZONES_FLAT, ZONES_X86_64 } from '../../src/zone/spans'
import { writeHugePages, writeLowmemReserveRatio, writeMinFreeKbytes } from '../../src/zone/sysctl'
import { recomputeAll } from '../../src/zone/watermark'
import { buildZonelists } from '../../src/zone/zonelist'
import { nodeRecord, zoneRecord } from '../../src/zone/zones'
import { sameWords, setManaged, stateFor, stateOf } from './bootFixture'

const GUEST = { ranges: [{ start: 1, end: 0x3ffda, node: 0 }], nodes: 1, limits: ZONES_X86_64 }

/** A machine of 1 GiB with these CPUs, its zonelists built. */
function guest(cpuNodes: number[] = [0]): Int32Array {
  const words = stateFor(GUEST, { cpuNodes })
  buildZonelists(words, true)
  setManaged(words, [3840, 248091])
  return words
}

/** A column of each CPU's record of a zone. */
function ofCpus(words: Int32Array, zone: number, cpus: number, column: number): number[] {
  return Array.from(
    { length: cpus },
    (_, cpu) => words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + column]!,
  )
}

describe('limits of page lists', () => {
  it('start at four batches on every CPU, with nothing left of earlier use', () => {
    const words = guest([0, 0, 0])
    const zone = zoneRecord(words, 0, 1)
    for (let cpu = 0; cpu < 3; cpu++) {
      words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_FREE_FACTOR] = 5
    }
    const behind = words[zone + ZONE_PCP]! + 3 * PCP_WORDS + PCP_FREE_FACTOR
    words[behind] = 77
    bootPcpLimits(words)
    expect(ofCpus(words, zone, 3, PCP_FREE_FACTOR)).toEqual([0, 0, 0])
    expect(words[behind]).toBe(77)
    expect(ofCpus(words, zone, 3, PCP_BATCH)).toEqual([63, 63, 63])
    expect(ofCpus(words, zone, 3, PCP_HIGH)).toEqual([252, 252, 252])
  })

  it('share the low watermark between the CPUs of a node', () => {
    const words = guest([0, 0, 0, 0])
    recomputeAll(words, () => {})
    const alone = guest()
    recomputeAll(alone, () => {})
    const high = (of: Int32Array) => ofCpus(of, zoneRecord(of, 0, 1), 1, PCP_HIGH)[0] ?? 0
    expect(high(words)).toBe(Math.floor(high(alone) / 4))
  })

  it('are those of all CPUs on a node without any', () => {
    const spans = computeSpans({
      ranges: [
        { start: 0, end: 0x40000, node: 0 },
        { start: 0x40000, end: 0x80000, node: 1 },
      ],
      nodes: 2,
      limits: ZONES_FLAT,
    })
    const high = (cpuNodes: number[]) => {
      const words = stateOf(spans, { cpuNodes })
      buildZonelists(words, true)
      setManaged(words, [0, 0, 0x40000, 0, 0, 0, 0x40000, 0])
      recomputeAll(words, () => {})
      return [0, 1].map((node) => ofCpus(words, zoneRecord(words, node, 2), 1, PCP_HIGH)[0])
    }
    const [one] = high([0])
    expect(high([0, 0, 0])).toEqual([Math.floor((one ?? 0) / 3), Math.floor((one ?? 0) / 3)])
    expect(high([0, 0, 1])).toEqual([Math.floor((one ?? 0) / 2), one])
  })

  it('are never below four batches', () => {
    const words = guest([0, 0, 0, 0])
    writeMinFreeKbytes(words, 0)
    expect(ofCpus(words, zoneRecord(words, 0, 1), 4, PCP_HIGH)).toEqual([252, 252, 252, 252])
  })

  it('are at most four batches while the zone is reclaimed', () => {
    const words = guest()
    recomputeAll(words, () => {})
    const zone = zoneRecord(words, 0, 1)
    const [high = 0] = ofCpus(words, zone, 1, PCP_HIGH)
    expect(high).toBeGreaterThan(252)
    expect(ofCpus(words, zone, 1, PCP_LIMIT)).toEqual([high])
    words[zone + ZONE_FLAGS] = ZONE_RECLAIM_ACTIVE
    setupPcpLimits(words)
    expect(ofCpus(words, zone, 1, PCP_LIMIT)).toEqual([252])
    expect(ofCpus(words, zone, 1, PCP_HIGH)).toEqual([high])
  })
})

describe('tunables', () => {
  it('take every 32-bit ratio, and no reserve for one below 1', () => {
    const words = guest()
    recomputeAll(words, () => {})
    writeLowmemReserveRatio(words, [1])
    const zone = zoneRecord(words, 0, 0)
    expect(words[zone + ZONE_RESERVE + 1]).toBe(248091)
    for (const ratio of [-2147483648, -1, 0]) {
      writeLowmemReserveRatio(words, [ratio])
      expect(words[zone + ZONE_RESERVE + 1]).toBe(0)
    }
    writeLowmemReserveRatio(words, [2147483647])
    expect(words[zone + ZONE_RESERVE + 1]).toBe(0)
    for (const ratio of [-2147483649, 2147483648, 0.5]) {
      expect(() => writeLowmemReserveRatio(words, [ratio])).toThrow(InvalidArgument)
    }
  })

  it('tell of a raise for huge pages only a user who has set the value', () => {
    const words = guest()
    recomputeAll(words, () => {})
    const events: unknown[] = []
    const log = (...event: unknown[]) => events.push(event)
    expect(words[HEADER_USER_MIN_FREE_KBYTES]).toBe(-1)
    writeHugePages(words, true, log)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(45056)
    expect(events).toEqual([])
    writeHugePages(words, false, log)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBeLessThan(4096)
    writeMinFreeKbytes(words, 0)
    writeHugePages(words, true, log)
    expect(events).toEqual([['raised', 0, 45056]])
    // Nothing to raise: it is as high already.
    writeHugePages(words, true, log)
    expect(events).toHaveLength(1)
  })
})

describe('the boot log', () => {
  it('says 0K of an image that nobody describes, and how much is CMA', () => {
    const words = guest()
    expect(memoryLog(words)).toContain('(0K kernel code, 0K rwdata, 0K rodata, 0K init, 0K bss, ')
  })

  it('names each range, and the zone of each hole', () => {
    const spans = computeSpans({
      ranges: [
        { start: 16, end: 1024, node: 0 },
        { start: 1040, end: 2048, node: 1 },
      ],
      nodes: 2,
      limits: ZONES_FLAT,
    })
    const lines = zoneLog(stateOf(spans), spans)
    expect(lines).toContain('  node   0: [mem 0x0000000000010000-0x00000000003fffff]')
    expect(lines).toContain('  node   1: [mem 0x0000000000410000-0x00000000007fffff]')
    expect(lines).toContain('On node 0, zone Normal: 16 pages in unavailable ranges')
    expect(lines).toContain('On node 1, zone Normal: 16 pages in unavailable ranges')
  })
})

describe('setting up', () => {
  const input = {
    ranges: [
      { start: 0, end: 1024, node: 0 },
      { start: 1024, end: 2048, node: 1 },
    ],
    nodes: 3,
    limits: ZONES_FLAT,
  }

  it('puts nodes 10 from themselves and 20 from others, unless a table tells', () => {
    const words = stateFor(input)
    const table = (of: Int32Array) => [
      ...of.subarray(of[HEADER_DISTANCES]!, of[HEADER_DISTANCES]! + 9),
    ]
    expect(table(words)).toEqual([10, 20, 20, 20, 10, 20, 20, 20, 10])
    const distances = [
      [10, 12, 13],
      [21, 10, 23],
      [31, 32, 10],
    ]
    expect(table(stateFor(input, { cpuNodes: [0], distances }))).toEqual(distances.flat())
  })

  it('puts each CPU on its node, and a node with neither memory nor CPU offline', () => {
    const words = stateFor(input, { cpuNodes: [1, 0, 1] })
    const nodes = [0, 1, 2].map((cpu) => words[words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_NODE])
    expect(nodes).toEqual([1, 0, 1])
    const online = [0, 1, 2].map((node) => words[nodeRecord(words, node) + NODE_ONLINE])
    expect(online).toEqual([1, 1, 0])
  })

  it('writes nothing of memory that the buffer has no room for', () => {
    const spans = computeSpans(input)
    const words = stateOf(spans)
    const before = words.slice()
    const more = computeSpans({ ...input, ranges: [{ start: 0, end: 65536, node: 0 }] })
    expect(() => writeSpans(words, more, 0)).toThrow('end of memory is 65536')
    expect(() => setupZones(words, more, { cpuNodes: [0] })).toThrow(InvalidArgument)
    const pieces = Array.from({ length: 9 }, (_, i) => ({
      start: 8 * i,
      end: 8 * i + 4,
      node: 0,
    }))
    const many = computeSpans({ ...input, ranges: pieces })
    expect(() => writeSpans(words, many, 0)).toThrow('memory ranges is 9')
    expect(sameWords(words, before)).toBe(true)
  })
})

describe('spans', () => {
  const compute = (limits: number[]) =>
    computeSpans({ ...GUEST, limits: { highmem: false, limits } })

  it('need three limits, each of them a multiple of the largest block and not below the one before', () => {
    expect(() => compute([1024, 1024, Infinity])).not.toThrow()
    for (const limits of [
      [1023, 2048, Infinity],
      [1024, 2047, Infinity],
      [2048, 1024, Infinity],
      [1024, 2048, 3000],
      [1024, 2048],
      [1024, 2048, Infinity, Infinity],
      [],
      [1024, 2048, NaN],
    ]) {
      expect(() => compute(limits), String(limits)).toThrow(
        'it must be 3 ascending multiples of 1024, the last Infinity',
      )
    }
  })

  it('need ranges of at least a page, on nodes that there are', () => {
    const range = (start: number, end: number, node: number) => () =>
      computeSpans({ ...GUEST, nodes: 2, ranges: [{ start, end, node }] })
    expect(range(5, 6, 1)).not.toThrow()
    for (const wrong of [range(5, 5, 0), range(5, 4, 0), range(5, 6, 2), range(5, 6, -1)]) {
      expect(wrong).toThrow(InvalidArgument)
    }
  })
})

describe('Movable memory', () => {
  const starts = (movablecore: string | number, usableStart = 0) =>
    movableMemory({ movablecore })(
      [
        { start: 0, end: 8192, node: 0 },
        { start: 8192, end: 16384, node: 2 },
      ],
      3,
      usableStart,
    )

  it('is spread over the nodes that have memory, and no others', () => {
    expect(starts(8192 * 4096)).toEqual([4096, 0, 12288])
  })

  it('is none when it would be all, or nothing', () => {
    expect(starts('100%')).toEqual([0, 0, 0])
    expect(starts(0)).toEqual([0, 0, 0])
    expect(
      movableMemory({ kernelcore: 16384 * 4096 })([{ start: 0, end: 16384, node: 0 }], 1, 0),
    ).toEqual([0])
    expect(
      movableMemory({ kernelcore: 16383 * 4096 })([{ start: 0, end: 16384, node: 0 }], 1, 0),
    ).toEqual([0])
  })

  it('is what a percentage or a size says, and nothing that only contains one', () => {
    for (const wrong of ['x30%', '30%x', '1M30%', '', '%', '-1']) {
      expect(() => starts(wrong), wrong).toThrow(InvalidArgument)
    }
    for (const wrong of [-1, 0.5, NaN, 2 ** 53]) {
      expect(() => starts(wrong), String(wrong)).toThrow(InvalidArgument)
    }
  })

  it('counts what lies below the zone that it is carved from as kernel memory', () => {
    // All of node 0 below: it gives nothing, and node 2 is asked for the rest.
    expect(starts(4096 * 4096, 8192)).toEqual([0, 0, 12288])
    expect(starts(8192 * 4096, 4096)).toEqual([4096, 0, 12288])
  })

  it('has sizes in octal and hexadecimal, as a command line has', () => {
    expect([parseMemSize('0'), parseMemSize('017'), parseMemSize('0X1f')]).toEqual([0, 15, 31])
  })
})
