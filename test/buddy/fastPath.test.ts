/** The fast path beside the long way: taken when it may be, refused else, the same words either way. FAST-1, CPU-2. */

import { describe, expect, it } from 'vitest'
import { freeFast, makePlan, takeFast } from '../../src/buddy/fastPath'
import {
  __GFP_DMA,
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  __GFP_THISNODE,
  __GFP_ZERO,
  BuddyAllocator,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
  getPage,
  MiB,
  onCpu,
  type Pfn,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import { pcpEventCount } from '../../src/state/counters'
import {
  BLOCK_MIXED,
  BLOCK_TYPE_MASK,
  HEADER_BLOCKS,
  NR_ZONES,
  PAGE_FLAGS,
  PCP_COUNT,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_PGALLOC,
  ZONE_BOOST,
  ZONE_FLAGS,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_QUIET,
  ZONE_RESERVE,
} from '../../src/state/schema'
import { noPageTrace } from '../../src/state/trace'
import { zoneWatermarkOk } from '../../src/zone/watermarkTest'
import { boostedMark, WMARK_LOW } from '../../src/zone/zones'
import { differences, faults, flatMachine, pcpOf, twoNodes, zoneOf, zonesOf } from './machines'

/** Fills a page list of the current CPU. Returns a page in use. */
function keepSome(pages: BuddyAllocator, gfp: number): Pfn {
  const taken = Array.from({ length: 7 }, () => pages.allocPages(gfp) ?? expect.fail('no memory'))
  for (const pfn of taken.slice(1)) pages.freePages(pfn)
  return taken[0] as Pfn
}

/** Two nodes with a CPU each, and no pageblock that is of both. */
function evenNodes(): BuddyAllocator {
  const memory = [0, 1].map((node) => ({ base: node * 32 * MiB, size: 32 * MiB, node }))
  return new BuddyAllocator({ memory: { memory, reserved: [] }, cpuNodes: [0, 1] })
}

/** True when not a word has changed. */
function unchanged(pages: BuddyAllocator, before: Int32Array): boolean {
  return before.every((word, at) => word === pages.words[at])
}

/** A machine that knows what GFP_KERNEL means, with a page in use and more on the CPU's list. */
function planned() {
  const pages = flatMachine(4096)
  const pfn = keepSome(pages, GFP_KERNEL)
  const zone = zoneOf(pages, 0, 2)
  return { pages, c: pages.context, pfn, zone, pcp: pcpOf(pages, zone) }
}

describe('a single page, the second time that its mask is used', () => {
  it.each([0, 1])('comes and goes fast on CPU %i, as the long way would have it', (cpu) => {
    const [fast, long] = [evenNodes(), evenNodes()]
    // With a listener every call takes the long way.
    long.setTrace(noPageTrace)
    for (const pages of [fast, long]) {
      for (const zone of zonesOf(pages)) {
        const pcp = pcpOf(pages, zone, cpu)
        pages.words[pcp + PCP_FREE_FACTOR] = 5
        for (const column of [PCP_HIGH, PCP_LIMIT]) pages.words[pcp + column] = 100
      }
    }
    const masks = [GFP_KERNEL, GFP_KERNEL | __GFP_MOVABLE, GFP_KERNEL | __GFP_RECLAIMABLE]
    for (const gfp of [...masks, GFP_ATOMIC, GFP_NOWAIT, GFP_KERNEL | __GFP_DMA]) {
      if (cpu === 1 && (gfp & __GFP_DMA) !== 0) continue
      for (const pages of [fast, long]) onCpu(pages, cpu, () => keepSome(pages, gfp))
      const taken = [0, 1, 2].map(() => {
        const pfn = onCpu(long, cpu, () => long.allocPages(gfp)) ?? -1
        const same = onCpu(fast, cpu, () => takeFast(fast.context, gfp))
        expect(same).toBe(pfn)
        return pfn as Pfn
      })
      expect(differences(fast, long)).toEqual([])
      for (const pfn of taken) {
        onCpu(long, cpu, () => long.freePages(pfn))
        expect(onCpu(fast, cpu, () => freeFast(fast.context, pfn))).toBe(true)
      }
      expect(differences(fast, long)).toEqual([])
    }
    expect(faults(fast)).toEqual([])
  })

  it('is counted once for each', () => {
    const { pages, c, pcp } = planned()
    const before = pcpEventCount(pages.words, pcp, PCP_PGALLOC)
    for (let i = 0; i < 4; i++) expect(takeFast(c, GFP_KERNEL)).toBeGreaterThanOrEqual(0)
    expect(pcpEventCount(pages.words, pcp, PCP_PGALLOC)).toBe(before + 4)
  })
})

describe('an allocation is left to the long way, with nothing changed,', () => {
  it.each<[why: string, prepare: (m: ReturnType<typeof planned>) => void]>([
    ['when the list is empty', ({ pages }) => pages.drainAllPages()],
    [
      'when the zone is not quiet',
      ({ pages, zone }) => pages.words.fill(0, zone + ZONE_QUIET, zone + ZONE_QUIET + 1),
    ],
    ['while every call must take that', ({ c }) => Object.assign(c, { fastLimit: 0 })],
    ['with a listener', ({ pages }) => pages.setTrace(noPageTrace)],
  ])('%s', (_why, prepare) => {
    const machine = planned()
    expect(takeFast(planned().c, GFP_KERNEL)).toBeGreaterThanOrEqual(0)
    prepare(machine)
    const before = machine.pages.words.slice()
    expect(takeFast(machine.c, GFP_KERNEL)).toBe(-1)
    expect(unchanged(machine.pages, before)).toBe(true)
  })

  it('when the mask is another one', () => {
    const { c } = planned()
    expect(takeFast(c, GFP_KERNEL | __GFP_MOVABLE)).toBe(-1)
  })
})

describe('a free is left to the long way, with nothing changed,', () => {
  it.each<[why: string, prepare: (m: ReturnType<typeof planned>) => void]>([
    ['of a page with two references', ({ pages, pfn }) => getPage(pages, pfn)],
    [
      'of a page with a flag',
      ({ pages, pfn }) =>
        pages.words.fill(PG_LRU, pageRecord(pfn) + PAGE_FLAGS, pageRecord(pfn) + PAGE_FLAGS + 1),
    ],
    [
      'of a page of the high-atomic reserve',
      ({ pages, pfn }) => changeBlock(pages, pfn, BLOCK_TYPE_MASK, 3),
    ],
    ['of a page of CMA', ({ pages, pfn }) => changeBlock(pages, pfn, BLOCK_TYPE_MASK, 4)],
    [
      'of a page of an isolated pageblock',
      ({ pages, pfn }) => changeBlock(pages, pfn, BLOCK_TYPE_MASK, 5),
    ],
    ['in a pageblock of two zones', ({ pages, pfn }) => changeBlock(pages, pfn, 0, BLOCK_MIXED)],
    ['with a listener', ({ pages }) => pages.setTrace(noPageTrace)],
    [
      'when it fills the lists',
      ({ pages, pcp }) => pages.words.set([pages.words[pcp + PCP_COUNT]! + 1], pcp + PCP_LIMIT),
    ],
  ])('%s', (_why, prepare) => {
    const machine = planned()
    prepare(machine)
    const before = machine.pages.words.slice()
    expect(freeFast(machine.c, machine.pfn)).toBe(false)
    expect(unchanged(machine.pages, before)).toBe(true)
  })

  it('of frame 0 with a listener', () => {
    const pages = flatMachine(1024)
    const taken: number[] = []
    for (let pfn = pages.allocPages(GFP_KERNEL); pfn !== null; ) {
      taken.push(pfn)
      pfn = taken.includes(0) ? null : pages.allocPages(GFP_KERNEL)
    }
    expect(taken).toContain(0)
    pages.setTrace(noPageTrace)
    expect(freeFast(pages.context, 0)).toBe(false)
    pages.setTrace(null)
    expect(freeFast(pages.context, 0)).toBe(true)
    expect(freeFast(pages.context, pages.context.maxPfn)).toBe(false)
  })

  it('but not when one more page fits', () => {
    const { pages, c, pfn, pcp } = planned()
    pages.words[pcp + PCP_LIMIT] = pages.words[pcp + PCP_COUNT]! + 2
    expect(freeFast(c, pfn)).toBe(true)
  })

  function changeBlock(pages: BuddyAllocator, pfn: number, clear: number, set: number): void {
    const at = pages.words[HEADER_BLOCKS]! + (pfn >> 9)
    pages.words[at] = (pages.words[at]! & ~clear) | set
  }
})

describe('a plan', () => {
  it.each<[why: string, gfp: number]>([
    ['without any flag', 0],
    ['that zeroes', GFP_KERNEL | __GFP_ZERO],
    ['with a bit that is no flag', 2 ** 30],
    ['without a zone', GFP_KERNEL | __GFP_DMA | __GFP_THISNODE],
    ['with its zones on another node', GFP_KERNEL | __GFP_DMA],
  ])('is not made for a mask %s', (_why, gfp) => {
    const pages = twoNodes()
    const before = pages.words.slice()
    onCpu(pages, 1, () => makePlan(pages.context, gfp))
    expect(unchanged(pages, before)).toBe(true)
  })

  it('is not made on a node without memory, nor while every call takes the long way', () => {
    const memory = [{ base: 0, size: 16 * MiB }]
    const pages = new BuddyAllocator({ memory: { memory, reserved: [] }, cpuNodes: [0, 2] })
    let before = pages.words.slice()
    onCpu(pages, 1, () => makePlan(pages.context, GFP_KERNEL))
    expect(unchanged(pages, before)).toBe(true)
    pages.setTrace(noPageTrace)
    before = pages.words.slice()
    makePlan(pages.context, GFP_KERNEL)
    expect(unchanged(pages, before)).toBe(true)
    pages.setTrace(null)
    makePlan(pages.context, GFP_KERNEL)
    expect(unchanged(pages, before)).toBe(false)
  })

  it('stays when it is there', () => {
    const { pages, c } = planned()
    const before = pages.words.slice()
    makePlan(c, GFP_KERNEL)
    expect(unchanged(pages, before)).toBe(true)
  })
})

describe('a zone is quiet', () => {
  it.each<[what: string, columns: [column: number, value: number][]]>([
    ['as it is', []],
    ['with a boost', [[ZONE_BOOST, 30]]],
    ['with a high-atomic reserve', [[ZONE_HIGHATOMIC, 512]]],
    ['with CMA pages', [[ZONE_FREE_CMA, 40]]],
    ['with a count of CMA pages that lags below 0', [[ZONE_FREE_CMA, -40]]],
    [
      'with both',
      [
        [ZONE_HIGHATOMIC, 512],
        [ZONE_FREE_CMA, 40],
      ],
    ],
    [
      'with reserves for lower zones',
      [
        [ZONE_RESERVE, 3],
        [ZONE_RESERVE + 1, 70],
        [ZONE_RESERVE + 2, 5],
        [ZONE_RESERVE + 3, 0],
      ],
    ],
    ['with a reserve that the last zone has', [[ZONE_RESERVE + 3, 90]]],
  ])('when a page of any request would leave it above its low mark: %s', (_what, columns) => {
    const { pages, c, zone } = planned()
    const { words } = pages
    for (const [column, value] of columns) words[zone + column] = value
    const passes = () =>
      Array.from({ length: NR_ZONES }, (_, highest) =>
        zoneWatermarkOk(
          words,
          zone,
          0,
          boostedMark(words, zone, WMARK_LOW),
          highest,
          0,
          words[zone + ZONE_FREE_PAGES]!,
        ),
      ).every(Boolean)
    const quiet = () => {
      words[zone + ZONE_QUIET] = 0
      makePlan(c, GFP_KERNEL)
      return words[zone + ZONE_QUIET] === 1
    }
    // From no page to more than enough: the two change their mind at the same page.
    const seen = new Set<boolean>()
    for (let free = 0; free < 1200; free++) {
      words[zone + ZONE_FREE_PAGES] = free
      if (quiet() !== passes()) expect(`${free} free pages: ${quiet()}`).toBe(`${passes()}`)
      seen.add(quiet())
    }
    expect(seen.size).toBe(2)
    words[zone + ZONE_FLAGS] = 1
    expect(quiet()).toBe(false)
  })
})
