/** Which zones a request that finds no memory still hopes for, and by how many pages. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_DMA,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_THISNODE,
  type BuddyAllocator,
  GFP_KERNEL,
  withPressure,
} from '../../src/index'
import {
  NR_FREE_PAGES,
  PCP_DIFF,
  PCP_STAT_THRESHOLD,
  ZONE_FREE_PAGES,
  ZONE_WMARK,
} from '../../src/state/schema'
import { faults, flatMachine, freePagesOf, pcpOf, twoNodes, zoneOf } from './machines'

const GFP = GFP_KERNEL | __GFP_NOWARN

/** A reclaimer that finds nothing, and says that `reclaimable` pages of a zone could be. */
function hopeful() {
  const hope = { asked: [] as number[], reclaims: 0, reclaimable: 0 }
  const pressure = withPressure({
    directReclaim: () => {
      hope.reclaims += 1
      return 0
    },
    directCompact: () => 'skipped',
    outOfMemory: () => false,
    reclaimablePages: (zone) => {
      hope.asked.push(zone)
      return hope.reclaimable
    },
  })
  return { hope, pressure }
}

function exhaust(pages: BuddyAllocator): void {
  while (pages.allocPages(GFP | __GFP_NORETRY) !== null);
}

describe('a request without memory', () => {
  it('asks what could be reclaimed of each zone that it may use, nearest first', () => {
    const { hope, pressure } = hopeful()
    const pages = twoNodes({ pressure })
    exhaust(pages)
    const asked = (node: number, gfp: number) => {
      hope.asked = []
      expect(pages.allocPagesNode(node, gfp)).toBeNull()
      return hope.asked
    }
    // A zone's number is node times 4 plus index: DMA32 and DMA of node 0, DMA32 of node 1.
    expect(asked(0, GFP)).toEqual([1, 0, 5])
    expect(asked(1, GFP)).toEqual([5, 1, 0])
    expect(asked(1, GFP | __GFP_THISNODE)).toEqual([5])
    expect(asked(0, GFP | __GFP_DMA)).toEqual([0])
  })

  it('stops asking at the first zone that could have enough', () => {
    const { hope, pressure } = hopeful()
    const pages = twoNodes({ pressure })
    exhaust(pages)
    hope.asked = []
    hope.reclaimable = 5000
    expect(pages.allocPages(GFP)).toBeNull()
    expect(new Set(hope.asked)).toEqual(new Set([1]))
  })

  it.each([
    [0, false],
    [1, true],
  ])('goes on when the min watermark would be passed by %i pages: %s', (over, goesOn) => {
    const { hope, pressure } = hopeful()
    const pages = flatMachine(4096, 0, { cpus: 3, pressure })
    exhaust(pages)
    const zone = zoneOf(pages, 0, 2)
    // Some free pages are still pending with CPUs: they count.
    for (const [cpu, pending] of [
      [0, 3],
      [1, -5],
      [2, 7],
    ] as const) {
      const pcp = pcpOf(pages, zone, cpu)
      pages.words[pcp + PCP_STAT_THRESHOLD] = 100
      pages.words[zone + ZONE_FREE_PAGES]! -= pending
      pages.words[pcp + PCP_DIFF + NR_FREE_PAGES]! += pending
    }
    expect(faults(pages)).toEqual([])
    hope.reclaimable = pages.words[zone + ZONE_WMARK]! - freePagesOf(pages, zone) + over
    hope.reclaims = 0
    expect(pages.allocPages(GFP)).toBeNull()
    expect(hope.reclaims > 1).toBe(goesOn)
  })

  it('takes a count of free pages that lags below 0 for 0', () => {
    const { hope, pressure } = hopeful()
    const pages = flatMachine(4096, 0, { pressure })
    exhaust(pages)
    const zone = zoneOf(pages, 0, 2)
    pages.words[zone + ZONE_FREE_PAGES]! -= 10_000
    hope.reclaimable = pages.words[zone + ZONE_WMARK]! + 1
    hope.reclaims = 0
    expect(pages.allocPages(GFP)).toBeNull()
    expect(hope.reclaims).toBeGreaterThan(1)
  })
})
