/** What a steal that mixes types does to the watermarks, and whom it wakes; and whose stalls are counted. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOWARN,
  type BuddyAllocator,
  GFP_KERNEL,
  GFP_NOWAIT,
  onCpu,
  type Pfn,
  sysctl,
  withPressure,
} from '../../src/index'
import { eventCount } from '../../src/state/counters'
import {
  CPU_EVENTS,
  CPU_WORDS,
  EVENT_ALLOCSTALL,
  HEADER_CPUS,
  ZONE_BOOST,
  ZONE_BOOSTED_WATERMARK,
  ZONE_FLAGS,
  ZONE_QUIET,
  ZONE_WMARK,
} from '../../src/state/schema'
import { faults, flatMachine, twoNodes, zoneOf } from './machines'

/** A machine of 64 MiB in which whoever wants something unmovable has to steal a block of order 8. */
function stealing(factor?: number) {
  const woken: number[][] = []
  const pressure = withPressure({
    directReclaim: () => 0,
    directCompact: () => 'skipped',
    outOfMemory: () => false,
    reclaimablePages: () => 0,
    wakeKswapd: (...request) => woken.push(request),
  })
  const pages = flatMachine(16384, 0, { pressure })
  const zone = zoneOf(pages, 0, 2)
  const movable = __GFP_MOVABLE | __GFP_MEMALLOC
  const taken: Pfn[] = []
  for (let pfn = pages.allocPages(movable, 8); pfn !== null; ) {
    taken.push(pfn)
    pfn = pages.allocPages(movable, 8)
  }
  for (const pfn of taken) if ((pfn & 256) === 0) pages.freePages(pfn, 8)
  if (factor !== undefined) sysctl(pages, 'watermark_boost_factor', factor)
  woken.length = 0
  return { pages, zone, woken, boost: () => pages.words[zone + ZONE_BOOST]! }
}

describe('a steal that mixes types', () => {
  it('raises the marks by a pageblock each time, up to half above the high mark', () => {
    const { pages, zone, boost } = stealing()
    const high = pages.words[zone + ZONE_WMARK + 2]!
    const most = Math.floor(high * 1.5)
    expect(most).toBeGreaterThan(512)
    const raised = [0, 1, 2].map(() => {
      expect(pages.allocPages(GFP_NOWAIT, 8)).not.toBeNull()
      return boost()
    })
    expect(raised).toEqual([512, most, most])
    expect(faults(pages)).toEqual([])
  })

  it.each([20000, 40000, 1])('goes by the factor: %i', (factor) => {
    const { pages, zone, boost } = stealing(factor)
    const high = pages.words[zone + ZONE_WMARK + 2]!
    for (let i = 0; i < 6; i++) pages.allocPages(GFP_NOWAIT, 8)
    // Of a factor of 1 nothing is left.
    expect(boost()).toBe(Math.floor((high * factor) / 10000))
  })

  it('raises nothing when boosting is off', () => {
    const { pages, woken, boost } = stealing(0)
    expect(pages.allocPages(GFP_NOWAIT, 8)).not.toBeNull()
    expect(boost()).toBe(0)
    expect(woken).toEqual([])
  })

  it('wakes the background reclaimer of its node, if the request may', () => {
    const { pages, zone, woken, boost } = stealing()
    expect(pages.allocPages(GFP_NOWAIT, 8)).not.toBeNull()
    expect(woken).toEqual([[0, 0, 2, 0]])
    expect(pages.words[zone + ZONE_FLAGS]! & ZONE_BOOSTED_WATERMARK).toBe(0)
    const silent = stealing()
    expect(silent.pages.allocPages(0, 8)).not.toBeNull()
    expect(silent.woken).toEqual([])
    expect([boost(), silent.boost()]).toEqual([512, 512])
    expect(silent.pages.words[silent.zone + ZONE_FLAGS]! & ZONE_BOOSTED_WATERMARK).toBe(0)
  })

  it('ends the quiet of the zone', () => {
    const { pages, zone } = stealing()
    pages.words[zone + ZONE_QUIET] = 1
    expect(pages.allocPages(GFP_NOWAIT, 8)).not.toBeNull()
    expect(pages.words[zone + ZONE_QUIET]).toBe(0)
  })
})

describe('stalls', () => {
  function stalls(pages: BuddyAllocator, cpu: number): number[] {
    const record = pages.words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_EVENTS
    return [0, 1, 2, 3].map((index) =>
      eventCount(pages.words, record + (EVENT_ALLOCSTALL + index) * 2),
    )
  }

  it('are counted on the CPU that waits, by the highest zone that would do', () => {
    const pages = twoNodes()
    const gfp = GFP_KERNEL | __GFP_NOWARN
    while (pages.allocPages(gfp) !== null);
    const before = stalls(pages, 0)
    expect(onCpu(pages, 1, () => pages.allocPages(gfp))).toBeNull()
    expect(onCpu(pages, 1, () => pages.allocPages(gfp | __GFP_DMA))).toBeNull()
    expect(onCpu(pages, 1, () => pages.allocPages(GFP_NOWAIT | __GFP_NOWARN))).toBeNull()
    expect(stalls(pages, 0)).toEqual(before)
    expect(stalls(pages, 1)).toEqual([1, 0, 1, 0])
  })
})
