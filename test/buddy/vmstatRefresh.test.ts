/** What the once-a-second refresh folds, and when it gives pages of other nodes back. Spec §8.6, §9.6. */

import { describe, expect, it } from 'vitest'
import { foldCounters, GFP_KERNEL, onCpu, refreshVmstat } from '../../src/index'
import {
  HEADER_CURRENT_CPU,
  NR_ZONE_COUNTERS,
  PCP_BATCH,
  PCP_COUNT,
  PCP_DIFF,
  PCP_EXPIRE,
  ZONE_QUIET,
  ZONE_STAT,
} from '../../src/state/schema'
import { faults, pcpOf, twoNodes, zoneOf, zonesOf } from './machines'

/** Two nodes, on each of which both CPUs keep some pages; their counts are pending. */
function busy() {
  const pages = twoNodes()
  for (const cpu of [0, 1]) {
    onCpu(pages, cpu, () => {
      for (const node of [0, 1]) {
        const taken = Array.from({ length: 5 }, () => pages.allocPagesNode(node, GFP_KERNEL))
        for (const pfn of taken) pages.freePages(pfn ?? expect.fail('no memory'))
      }
    })
  }
  const pcp = (node: number, cpu: number) => pcpOf(pages, zoneOf(pages, node, 1), cpu)
  const column = (column: number) =>
    [0, 1].map((node) => [0, 1].map((cpu) => pages.words[pcp(node, cpu) + column]!))
  return { pages, pcp, counts: () => column(PCP_COUNT), expiry: () => column(PCP_EXPIRE) }
}

describe.each([
  ['foldCounters', foldCounters],
  ['refreshVmstat', refreshVmstat],
])('%s', (_name, refresh) => {
  it('folds what each CPU has counted into each zone', () => {
    const { pages } = busy()
    const items = Array.from({ length: NR_ZONE_COUNTERS }, (_, item) => item)
    const zones = zonesOf(pages)
    // Also the last counter.
    pages.words[pcpOf(pages, zones[0] ?? 0) + PCP_DIFF + NR_ZONE_COUNTERS - 1] = 3
    const exact = zones.map((zone) =>
      items.map((item) =>
        [0, 1].reduce(
          (sum, cpu) => sum + pages.words[pcpOf(pages, zone, cpu) + PCP_DIFF + item]!,
          pages.words[zone + ZONE_STAT + item]!,
        ),
      ),
    )
    refresh(pages)
    expect(zones.map((zone) => items.map((item) => pages.words[zone + ZONE_STAT + item]))).toEqual(
      exact,
    )
    for (const zone of zones) {
      for (const cpu of [0, 1]) {
        const at = pcpOf(pages, zone, cpu) + PCP_DIFF
        expect(pages.words.subarray(at, at + NR_ZONE_COUNTERS).every((word) => word === 0)).toBe(
          true,
        )
      }
    }
    pages.words[(zones[0] ?? 0) + ZONE_STAT + NR_ZONE_COUNTERS - 1]! -= 3
    expect(faults(pages)).toEqual([])
  })

  it('ends the quiet of a zone whose counts change, and of no other', () => {
    const { pages } = busy()
    refresh(pages)
    const [first = 0, second = 0] = zonesOf(pages)
    for (const zone of [first, second]) pages.words[zone + ZONE_QUIET] = 1
    pages.words[pcpOf(pages, first, 1) + PCP_DIFF] = 1
    refresh(pages)
    expect([first, second].map((zone) => pages.words[zone + ZONE_QUIET])).toEqual([0, 1])
  })

  it('leaves the CPU that runs', () => {
    const { pages } = busy()
    onCpu(pages, 1, () => {
      refresh(pages)
      expect([pages.context.cpu, pages.words[HEADER_CURRENT_CPU]]).toEqual([1, 1])
      expect(pages.context.pcpShift).toBe(pcpOf(pages, 0, 1) - pcpOf(pages, 0, 0))
    })
    expect(pages.words[HEADER_CURRENT_CPU]).toBe(0)
  })
})

describe('page lists', () => {
  it('stay when counters are folded', () => {
    const { pages, pcp, counts, expiry } = busy()
    const before = counts()
    for (const node of [0, 1]) {
      for (const cpu of [0, 1]) pages.words[pcp(node, cpu) + PCP_DIFF] = 1
    }
    for (let i = 0; i < 5; i++) foldCounters(pages)
    expect(counts()).toEqual(before)
    expect(expiry()).toEqual([
      [3, 3],
      [3, 3],
    ])
  })

  it('of another node go back, a batch of them, at the third refresh that found them unused', () => {
    const { pages, pcp, counts, expiry } = busy()
    const before = counts()
    expect(before.flat().every((count) => count >= 5)).toBe(true)
    for (const node of [0, 1]) {
      for (const cpu of [0, 1]) {
        pages.words[pcp(node, cpu) + PCP_DIFF] = 1
        pages.words[pcp(node, cpu) + PCP_BATCH] = 2
      }
    }
    const left = (count: number) => [
      [0, count],
      [count, 0],
    ]
    for (const count of [2, 1]) {
      refreshVmstat(pages)
      expect(counts()).toEqual(before)
      expect(expiry()).toEqual(left(count))
    }
    refreshVmstat(pages)
    const [[own = 0, remote = 0] = [], [other = 0, near = 0] = []] = before
    expect(counts()).toEqual([
      [own, remote - 2],
      [other - 2, near],
    ])
  })

  it('that are empty do not expire', () => {
    const { pages, pcp, expiry } = busy()
    pages.drainAllPages()
    foldCounters(pages)
    pages.words[pcp(1, 0) + PCP_EXPIRE] = 1
    refreshVmstat(pages)
    expect(expiry()[1]?.[0]).toBe(1)
  })
})
