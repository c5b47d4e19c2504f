import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { noLog } from '../../src/base/log'
import {
  HEADER_LOWMEM_RATIO,
  HEADER_MIN_FREE_KBYTES,
  HEADER_THP,
  HEADER_TOTAL_RESERVE,
  HEADER_USER_MIN_FREE_KBYTES,
  HEADER_WATERMARK_BOOST,
  PCP_BATCH,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_STAT_THRESHOLD,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_DRIFT_MARK,
  ZONE_FLAGS,
  ZONE_MANAGED,
  ZONE_PCP,
  ZONE_RECLAIM_ACTIVE,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../../src/state/schema'
import { movableMemory } from '../../src/zone/movableCore'
import { bootPcpLimits, pcpBatch, setupStatThresholds } from '../../src/zone/pcpLimits'
import { ZONES_I386, ZONES_X86_64 } from '../../src/zone/spans'
import {
  writeHugePages,
  writeLowmemReserveRatio,
  writeMinFreeKbytes,
  writePcpHighFraction,
  writeWatermarkBoostFactor,
  writeWatermarkScaleFactor,
} from '../../src/zone/sysctl'
import {
  minFreeMessage,
  recomputeAll,
  setupZoneWatermarks,
  startHugePages,
} from '../../src/zone/watermark'
import { buildZonelists } from '../../src/zone/zonelist'
import { zoneRecord } from '../../src/zone/zones'
import { sameWords, setManaged, stateFor } from './bootFixture'

/** Node 0 with DMA, DMA32 and Normal, node 1 with Normal; CPUs on the nodes given. */
function twoNodes(cpuNodes: number[] = [0]): Int32Array {
  const words = stateFor(
    {
      ranges: [
        { start: 1, end: 0xbffda, node: 0 },
        { start: 0x100000, end: 0x120000, node: 0 },
        { start: 0x120000, end: 0x130000, node: 1 },
      ],
      nodes: 2,
      limits: ZONES_X86_64,
    },
    { cpuNodes },
  )
  buildZonelists(words, true)
  setManaged(words, [3840, 500000, 100000, 0, 0, 0, 65536, 0])
  return words
}

/** The 1 GiB guest. */
function guest(cpuNodes: number[] = [0]): Int32Array {
  const words = stateFor(
    { ranges: [{ start: 1, end: 0x3ffda, node: 0 }], nodes: 1, limits: ZONES_X86_64 },
    { cpuNodes },
  )
  buildZonelists(words, true)
  setManaged(words, [3840, 248091])
  return words
}

function marks(words: Int32Array, node: number, index: number): number[] {
  const zone = zoneRecord(words, node, index)
  return [...words.subarray(zone + ZONE_WMARK, zone + ZONE_WMARK + 3)]
}

function reserve(words: Int32Array, node: number, index: number): number[] {
  const zone = zoneRecord(words, node, index)
  return [...words.subarray(zone + ZONE_RESERVE, zone + ZONE_RESERVE + 4)]
}

function pcp(words: Int32Array, node: number, index: number, cpu = 0): number[] {
  const record = words[zoneRecord(words, node, index) + ZONE_PCP]! + cpu * PCP_WORDS
  return [words[record + PCP_BATCH]!, words[record + PCP_HIGH]!]
}

function threshold(words: Int32Array, node: number, index: number, cpu = 0): number {
  const record = words[zoneRecord(words, node, index) + ZONE_PCP]! + cpu * PCP_WORDS
  return words[record + PCP_STAT_THRESHOLD]!
}

describe('full recompute', () => {
  it('gives the example of one node', () => {
    const words = guest()
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(4015)
    expect(startHugePages(words, noLog)).toBe(true)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(45056)
    expect(marks(words, 0, 0)).toEqual([171, 213, 255])
    expect(marks(words, 0, 1)).toEqual([11092, 13865, 16638])
    expect(words[zoneRecord(words, 0, 1) + ZONE_WMARK + 3]).toBe(16638 + 2773)
    expect(pcp(words, 0, 0)).toEqual([1, 213])
    expect(pcp(words, 0, 1)).toEqual([63, 13865])
    expect(reserve(words, 0, 0)).toEqual([0, 969, 969, 969])
    expect(reserve(words, 0, 1)).toEqual([0, 0, 0, 0])
    expect([threshold(words, 0, 0), threshold(words, 0, 1)]).toEqual([2, 8])
    expect(words[HEADER_TOTAL_RESERVE]).toBe(969 + 255 + 16638)
    // An unpopulated zone keeps the boot page lists.
    expect(pcp(words, 0, 2)).toEqual([1, 0])
    expect(threshold(words, 0, 2)).toBe(0)
  })

  it('gives the example of two nodes, with huge pages', () => {
    const words = twoNodes()
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(6545)
    startHugePages(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(90112)
    expect(marks(words, 0, 0)).toEqual([129, 161, 193])
    expect(reserve(words, 0, 0)).toEqual([0, 1953, 2343, 2343])
    expect(pcp(words, 0, 0)).toEqual([1, 161])
    expect(marks(words, 0, 1)).toEqual([16827, 21033, 25239])
    expect(reserve(words, 0, 1)).toEqual([0, 0, 390, 390])
    expect(pcp(words, 0, 1)).toEqual([63, 21033])
    expect(marks(words, 0, 2)).toEqual([3365, 4206, 5047])
    expect(pcp(words, 0, 2)).toEqual([31, 4206])
    expect(marks(words, 1, 2)).toEqual([2205, 2756, 3307])
    expect(pcp(words, 1, 2)).toEqual([15, 2756])
  })

  it('gives the example of two nodes, without', () => {
    const words = twoNodes()
    recomputeAll(words, noLog)
    expect(marks(words, 0, 0)).toEqual([9, 12, 15])
    expect(marks(words, 0, 1)).toEqual([1222, 1722, 2222])
    expect(marks(words, 0, 2)).toEqual([244, 344, 444])
    expect(marks(words, 1, 2)).toEqual([160, 225, 290])
  })

  it('gives the example of movablecore=256M, where a twentieth of low memory caps the raise', () => {
    const words = stateFor({
      ranges: [
        { start: 1, end: 0x9f, node: 0 },
        { start: 0x100, end: 0x3ffe0, node: 0 },
      ],
      nodes: 1,
      limits: ZONES_X86_64,
      movable: movableMemory({ movablecore: '256M' }),
    })
    buildZonelists(words, true)
    // 187280 to 187391 and 60864 to 61119 give the reserves 731 and 969, 237.
    setManaged(words, [3840, 187300, 0, 60900])
    recomputeAll(words, noLog)
    startHugePages(words, noLog)
    expect(reserve(words, 0, 0)).toEqual([0, 731, 731, 969])
    expect(reserve(words, 0, 1)).toEqual([0, 0, 0, 237])
    expect(pcp(words, 0, 3)[0]).toBe(15)
    const low = 3840 + 187300
    const high = Math.floor(Math.sqrt(16 * 4 * low)) >> 2
    expect(words[HEADER_MIN_FREE_KBYTES]).toBeLessThan(45056)
    expect(words[HEADER_MIN_FREE_KBYTES]! % 4).toBe(0)
    expect(words[HEADER_MIN_FREE_KBYTES]! / 4).toBeGreaterThan(Math.floor((low - 4 * high) / 20))
    expect(words[HEADER_MIN_FREE_KBYTES]! / 4).toBeLessThanOrEqual(Math.floor(low / 20))
  })

  it('turns huge pages off below 512 MiB', () => {
    const words = guest()
    setManaged(words, [3840, 131071 - 3840])
    recomputeAll(words, noLog)
    const before = words[HEADER_MIN_FREE_KBYTES]
    expect(startHugePages(words, noLog)).toBe(false)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(before)
    setManaged(words, [3840, 131072 - 3840])
    expect(startHugePages(words, noLog)).toBe(true)
    expect(words[HEADER_THP]).toBe(1)
  })

  it('raises again once huge pages run', () => {
    const words = guest()
    recomputeAll(words, noLog)
    startHugePages(words, noLog)
    recomputeAll(words, noLog)
    // The default (3924) is below, so the raise of the second round decides.
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(45056)
    writeHugePages(words, false, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBeLessThan(4015)
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBeLessThan(4015)
  })

  it('turns huge pages on again, without lowering what is larger already', () => {
    const words = guest()
    recomputeAll(words, noLog)
    writeHugePages(words, true, noLog)
    expect(words[HEADER_THP]).toBe(1)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(45056)
    expect(marks(words, 0, 1)).toEqual([11092, 13865, 16638])
    writeMinFreeKbytes(words, 60000)
    writeHugePages(words, true, () => expect.fail('nothing is raised'))
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(60000)
    expect(marks(words, 0, 1)[0]).toBe(Math.floor((15000 * 248091) / 251931))
  })

  it('keeps and reports what the user asked for', () => {
    const words = guest()
    const lines: string[] = []
    recomputeAll(words, noLog)
    writeMinFreeKbytes(words, 20000)
    recomputeAll(words, (...event) => lines.push(minFreeMessage(...event)))
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(20000)
    startHugePages(words, (...event) => lines.push(minFreeMessage(...event)))
    expect(lines[0]).toMatch(
      /^min_free_kbytes is not updated to 39\d\d because user defined value 20000 is preferred$/,
    )
    expect(lines.slice(1)).toEqual([
      'raising min_free_kbytes from 20000 to 45056 to help transparent hugepage allocations',
    ])
    // A value below the default does not hold.
    writeMinFreeKbytes(words, 100)
    words[HEADER_THP] = 0
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBeGreaterThan(3900)
  })

  it('keeps a user value equal to the default', () => {
    const words = guest()
    words[HEADER_USER_MIN_FREE_KBYTES] = 4014
    recomputeAll(words, () => expect.fail('4015 is more'))
    const equal = guest()
    const lines: string[] = []
    equal[HEADER_USER_MIN_FREE_KBYTES] = 4015
    recomputeAll(equal, (...event) => lines.push(minFreeMessage(...event)))
    expect(lines).toHaveLength(1)
  })

  it('counts no more of a zone into the total reserve than it manages', () => {
    const words = twoNodes()
    setManaged(words, [1000, 500000])
    recomputeAll(words, noLog)
    expect(reserve(words, 0, 0)[1]).toBe(1953)
    expect(words[HEADER_TOTAL_RESERVE]).toBe(1000 + marks(words, 0, 1)[2]!)
  })

  it('holds the default between 128 and 262144 KiB', () => {
    const words = guest()
    setManaged(words, [0, 200])
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(128)
    const large = guest()
    setManaged(large, [0, 2 ** 30])
    recomputeAll(large, noLog)
    expect(large[HEADER_MIN_FREE_KBYTES]).toBe(262144)
  })
})

describe('watermarks', () => {
  it('are exact where the product passes 2^53', () => {
    const words = twoNodes()
    const pages = fc.integer({ min: 0, max: 2 ** 27 })
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), pages, pages, pages, (kbytes, a, b, c) => {
        setManaged(words, [0, a, b, 0, 0, 0, c])
        words[HEADER_MIN_FREE_KBYTES] = kbytes
        setupZoneWatermarks(words)
        const sum = BigInt(a) + BigInt(b) + BigInt(c)
        for (const [node, index, managed] of [
          [0, 1, a],
          [0, 2, b],
          [1, 2, c],
        ] as const) {
          const min = sum === 0n ? 0n : (BigInt(kbytes >> 2) * BigInt(managed)) / sum
          const scaled = BigInt(managed) / 1000n
          const gap = min / 4n > scaled ? min / 4n : scaled
          expect(marks(words, node, index).map(BigInt)).toEqual([min, min + gap, min + gap + gap])
        }
      }),
    )
  })

  it('stay small in high memory, which does not count as low', () => {
    const words = stateFor({
      ranges: [{ start: 0, end: 524288, node: 0 }],
      nodes: 1,
      limits: ZONES_I386,
      movable: movableMemory({ movablecore: '256M' }),
    })
    buildZonelists(words, true)
    setManaged(words, [4000, 220000, 229376, 20000])
    recomputeAll(words, noLog)
    expect(words[HEADER_MIN_FREE_KBYTES]).toBe(Math.floor(Math.sqrt(16 * 4 * 224000)))
    const pagesMin = words[HEADER_MIN_FREE_KBYTES]! >> 2
    expect(marks(words, 0, 1)[0]).toBe(Math.floor((pagesMin * 220000) / 224000))
    const share = Math.floor((pagesMin * 229376) / 224000)
    const gap = Math.max(share >> 2, 229)
    expect(marks(words, 0, 2)).toEqual([128, 128 + gap, 128 + 2 * gap])
    expect(marks(words, 0, 3)[0]).toBe(32)
    expect(reserve(words, 0, 0)).toEqual([0, 859, 1755, 1833])
    expect(reserve(words, 0, 1)).toEqual([0, 0, 7168, 7793])
    expect(reserve(words, 0, 2)).toEqual([0, 0, 0, 0])
  })
})

describe('page-list limits', () => {
  it.each([
    [0, 1],
    [12287, 1],
    [12288, 3],
    [24575, 3],
    [24576, 7],
    [45055, 7],
    [45056, 15],
    [90111, 15],
    [90112, 31],
    [176127, 31],
    [176128, 63],
    [2 ** 28, 63],
  ])('take %d managed pages to batch %d', (managed, batch) => {
    expect(pcpBatch(managed)).toBe(batch)
  })

  it('start at four batches', () => {
    const words = guest([0, 0])
    expect(pcp(words, 0, 1, 1)).toEqual([1, 0])
    bootPcpLimits(words)
    for (const cpu of [0, 1]) {
      expect(pcp(words, 0, 0, cpu)).toEqual([1, 4])
      expect(pcp(words, 0, 1, cpu)).toEqual([63, 252])
      expect(pcp(words, 0, 2, cpu)).toEqual([1, 0])
    }
  })

  it('share the low watermark among the CPUs of the node, of a memory-only node among all', () => {
    const words = twoNodes([0, 0, 0, 0])
    recomputeAll(words, noLog)
    for (const cpu of [0, 3]) {
      expect(pcp(words, 0, 1, cpu)).toEqual([63, 430])
      expect(pcp(words, 1, 2, cpu)).toEqual([15, 60])
    }
    const split = twoNodes([0, 0, 0, 1])
    recomputeAll(split, noLog)
    expect(pcp(split, 0, 1)).toEqual([63, 574])
    expect(pcp(split, 1, 2)).toEqual([15, 225])
  })

  it('include the boost', () => {
    const words = guest()
    recomputeAll(words, noLog)
    const high = pcp(words, 0, 1)[1]!
    words[zoneRecord(words, 0, 1) + ZONE_BOOST] = 600
    writePcpHighFraction(words, 0)
    expect(pcp(words, 0, 1)[1]).toBe(high + 600)
  })

  it('are four batches at most while the zone is being reclaimed', () => {
    const words = guest()
    recomputeAll(words, noLog)
    const high = pcp(words, 0, 1)[1]!
    const zone = zoneRecord(words, 0, 1)
    const limit = words[zone + ZONE_PCP]! + PCP_LIMIT
    expect(words[limit]).toBe(high)
    words[zone + ZONE_FLAGS] = ZONE_RECLAIM_ACTIVE
    writePcpHighFraction(words, 0)
    expect(pcp(words, 0, 1)[1]).toBe(high)
    expect(words[limit]).toBe(4 * 63)
  })

  it('follow the fraction when there is one', () => {
    const words = guest()
    recomputeAll(words, noLog)
    const high = pcp(words, 0, 1)[1]
    writePcpHighFraction(words, 8)
    expect(pcp(words, 0, 1)).toEqual([63, 31011])
    expect(pcp(words, 0, 0)).toEqual([1, 480])
    expect(() => writePcpHighFraction(words, 7)).toThrow(InvalidArgument)
    expect(pcp(words, 0, 1)).toEqual([63, 31011])
    writePcpHighFraction(words, 0)
    expect(pcp(words, 0, 1)[1]).toBe(high)
  })
})

describe('counter thresholds', () => {
  it.each([
    [32767, 2],
    [32768, 4],
    [65536, 6],
    [131072, 8],
    [262144, 10],
  ])('take %d managed pages to %d on one CPU', (managed, expected) => {
    const words = guest()
    words[zoneRecord(words, 0, 1) + ZONE_MANAGED] = managed
    setupStatThresholds(words)
    expect(threshold(words, 0, 1)).toBe(expected)
  })

  it('grow with the CPUs, to 125 at most', () => {
    const words = guest([0, 0, 0, 0])
    setupStatThresholds(words)
    expect(threshold(words, 0, 1, 3)).toBe(2 * 3 * 4)
    const many = guest(new Array<number>(1024).fill(0))
    words[zoneRecord(words, 0, 1) + ZONE_MANAGED] = 2 ** 27
    many[zoneRecord(many, 0, 1) + ZONE_MANAGED] = 2 ** 27
    setupStatThresholds(many)
    expect(threshold(many, 0, 1, 1023)).toBe(125)
  })

  it('set a drift mark where pending counts could hide the gap below low', () => {
    const words = guest([0, 0, 0, 0])
    recomputeAll(words, noLog)
    const dma = zoneRecord(words, 0, 0)
    const [min, low, high] = marks(words, 0, 0)
    expect(4 * 6).toBeGreaterThan(low! - min!)
    expect(words[dma + ZONE_DRIFT_MARK]).toBe(high! + 24)
    expect(words[zoneRecord(words, 0, 1) + ZONE_DRIFT_MARK]).toBe(0)
    // 24 pending pages are no more than a gap of 24.
    words[dma + ZONE_WMARK + 1] = min! + 24
    setupStatThresholds(words)
    expect(words[dma + ZONE_DRIFT_MARK]).toBe(0)
  })
})

describe('tunables', () => {
  it('recompute what hangs on them and nothing else', () => {
    const words = guest()
    recomputeAll(words, noLog)
    writeMinFreeKbytes(words, 20000)
    expect(marks(words, 0, 1)[0]).toBe(Math.floor((5000 * 248091) / 251931))
    expect(pcp(words, 0, 1)[1]).toBe(marks(words, 0, 1)[1])
    writeWatermarkScaleFactor(words, 100)
    expect(marks(words, 0, 1)[1]).toBe(marks(words, 0, 1)[0]! + 2480)
    const before = words.slice()
    writeWatermarkBoostFactor(words, 0)
    before[HEADER_WATERMARK_BOOST] = 0
    expect(sameWords(words, before)).toBe(true)
  })

  it('lowmem_reserve_ratio turns reserves off at 0 and below', () => {
    const words = twoNodes()
    recomputeAll(words, noLog)
    const total = words[HEADER_TOTAL_RESERVE]!
    writeLowmemReserveRatio(words, [-5, 100])
    expect(reserve(words, 0, 0)).toEqual([0, 0, 0, 0])
    expect(reserve(words, 0, 1)).toEqual([0, 0, 1000, 1000])
    expect([...words.subarray(HEADER_LOWMEM_RATIO, HEADER_LOWMEM_RATIO + 4)]).toEqual([
      0, 100, 32, 0,
    ])
    expect(words[HEADER_TOTAL_RESERVE]).toBe(total - 2343 + 1000 - 390)
  })

  it('refuse wrong values and change nothing', () => {
    const words = guest()
    recomputeAll(words, noLog)
    const before = words.slice()
    const wrong: (() => void)[] = [
      () => writeMinFreeKbytes(words, -1),
      () => writeMinFreeKbytes(words, 1.5),
      () => writeMinFreeKbytes(words, 2 ** 31),
      () => writeWatermarkScaleFactor(words, 0),
      () => writeWatermarkScaleFactor(words, 3001),
      () => writeWatermarkBoostFactor(words, -1),
      () => writeLowmemReserveRatio(words, []),
      () => writeLowmemReserveRatio(words, [1, 2, 3, 4, 5]),
      () => writeLowmemReserveRatio(words, [1, Number.NaN]),
      () => writePcpHighFraction(words, 1),
      () => writePcpHighFraction(words, -8),
    ]
    for (const write of wrong) expect(write).toThrow(InvalidArgument)
    expect(sameWords(words, before)).toBe(true)
  })
})
