import { describe, expect, it } from 'vitest'
import {
  addEvent,
  addFreePages,
  addZoneCounter,
  countOne,
  eventCount,
  pcpEventCount,
  zoneCounter,
} from '../../src/state/counters'
import {
  NR_FREE_CMA,
  NR_FREE_PAGES,
  PCP_DIFF,
  PCP_FAST_HITS,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_NUMA_MISS,
  PCP_PGALLOC,
  PCP_STAT_THRESHOLD,
  ZONE_QUIET,
  ZONE_STAT,
  ZONE_WORDS,
} from '../../src/state/schema'

const ZONE = 0
const PCP = ZONE_WORDS
const THRESHOLD = 5

/** A zone and a CPU's record of it. */
function counters(): Int32Array {
  const words = new Int32Array(2 * ZONE_WORDS)
  words[PCP + PCP_STAT_THRESHOLD] = THRESHOLD
  words[ZONE + ZONE_QUIET] = 1
  return words
}

/** What the zone shows of a counter, what is pending, and whether the zone is still quiet. */
function state(words: Int32Array, item: number): [shown: number, pending: number, quiet: number] {
  return [words[ZONE_STAT + item]!, words[PCP + PCP_DIFF + item]!, words[ZONE_QUIET]!]
}

describe('zone counters', () => {
  it.each([1, -1])(
    'stay with the CPU up to its threshold, and then move to the zone (%i)',
    (sign) => {
      const words = counters()
      const add = (delta: number) => addZoneCounter(words, ZONE, PCP, NR_FREE_PAGES, sign * delta)
      add(3)
      add(2)
      expect(state(words, NR_FREE_PAGES)).toEqual([0, sign * 5, 1])
      add(1)
      expect(state(words, NR_FREE_PAGES)).toEqual([sign * 6, 0, 0])
      add(1)
      expect(state(words, NR_FREE_PAGES)).toEqual([sign * 6, sign, 0])
      add(100)
      expect(state(words, NR_FREE_PAGES)).toEqual([sign * 107, 0, 0])
    },
  )

  it('move at once without a threshold', () => {
    const words = counters()
    words[PCP + PCP_STAT_THRESHOLD] = 0
    addZoneCounter(words, ZONE, PCP, NR_FREE_PAGES, 1)
    addZoneCounter(words, ZONE, PCP, NR_FREE_PAGES, -3)
    expect(state(words, NR_FREE_PAGES)).toEqual([-2, 0, 0])
  })

  it('count free pages of CMA twice, as free and as CMA', () => {
    const words = counters()
    addFreePages(words, ZONE, PCP, 8, true)
    addFreePages(words, ZONE, PCP, 16, false)
    expect(words[ZONE_STAT + NR_FREE_PAGES]).toBe(24)
    expect(words[ZONE_STAT + NR_FREE_CMA]).toBe(8)
  })

  it('of CMA are pending on their own', () => {
    const words = counters()
    addFreePages(words, ZONE, PCP, 2, true)
    addFreePages(words, ZONE, PCP, 1, true)
    expect(state(words, NR_FREE_CMA)).toEqual([0, 3, 1])
    expect(state(words, NR_FREE_PAGES)).toEqual([0, 3, 1])
    addFreePages(words, ZONE, PCP, -9, true)
    expect(state(words, NR_FREE_CMA)).toEqual([-6, 0, 0])
    addFreePages(words, ZONE, PCP, 9, true)
    expect(state(words, NR_FREE_CMA)).toEqual([3, 0, 0])
  })

  it('are never read as less than 0', () => {
    const words = counters()
    words[ZONE_STAT + NR_FREE_CMA] = -3
    expect(zoneCounter(words, ZONE, NR_FREE_CMA)).toBe(0)
    words[ZONE_STAT + NR_FREE_CMA] = 3
    expect(zoneCounter(words, ZONE, NR_FREE_CMA)).toBe(3)
  })
})

describe('events', () => {
  it.each([
    ['countOne', (words: Int32Array) => countOne(words, 4)],
    ['addEvent', (words: Int32Array) => addEvent(words, 4, 1)],
  ])('carry into their second word: %s', (_, add) => {
    const words = new Int32Array(8)
    add(words)
    expect([...words]).toEqual([0, 0, 0, 0, 1, 0, 0, 0])
    words[4] = 0x7ffffffe
    add(words)
    expect([words[4], words[5]]).toEqual([0x7fffffff, 0])
    add(words)
    expect([words[4], words[5]]).toEqual([0, 1])
    expect(eventCount(words, 4)).toBe(2 ** 31)
  })

  it('carry from the low word, of 31 bits, into the high one', () => {
    const words = new Int32Array(2)
    addEvent(words, 0, 2 ** 30)
    addEvent(words, 0, 2 ** 30 - 1)
    expect(Array.from(words)).toEqual([0x7fffffff, 0])
    countOne(words, 0)
    expect(Array.from(words)).toEqual([0, 1])
    expect(eventCount(words, 0)).toBe(2 ** 31)
    words[0] = 0x7ffffff0
    addEvent(words, 0, 2 ** 30)
    expect(eventCount(words, 0)).toBe(2 ** 31 + 0x7ffffff0 + 2 ** 30)
    expect(words[1]).toBe(2)
  })

  it('are what they were after an addition of nothing', () => {
    const words = new Int32Array(2)
    addEvent(words, 0, 0)
    expect(eventCount(words, 0)).toBe(0)
  })

  it('take as much as 2^30 at once', () => {
    const words = new Int32Array(2)
    for (let i = 1; i <= 9; i++) {
      addEvent(words, 0, 2 ** 30)
      expect(eventCount(words, 0)).toBe(i * 2 ** 30)
      expect(words[0]).toBeGreaterThanOrEqual(0)
    }
  })

  it('of the fast path are three at once', () => {
    const words = counters()
    for (const [event, count] of [
      [PCP_PGALLOC, 1],
      [PCP_NUMA_HIT, 2],
      [PCP_NUMA_LOCAL, 3],
      [PCP_NUMA_MISS, 4],
      [PCP_FAST_HITS, 10],
    ] as const) {
      addEvent(words, PCP + event, count)
    }
    const count = (event: number) => pcpEventCount(words, PCP, event)
    expect([PCP_PGALLOC, PCP_NUMA_HIT, PCP_NUMA_LOCAL, PCP_NUMA_MISS].map(count)).toEqual([
      11, 12, 13, 4,
    ])
  })
})
