/** The last hope of a machine with nothing to reclaim: the high-atomic reserve. Who gets it, and who does not. Spec §6.1. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  type BuddyAllocator,
  GFP_ATOMIC,
  GFP_KERNEL,
  loadZones,
  toPfn,
} from '../../src/index'
import { ZONE_HIGHATOMIC } from '../../src/state/schema'
import { faults, flatMachine, freePagesOf, zoneOf } from './machines'
import { zone } from './zoneState'

const NORETRY = GFP_KERNEL | __GFP_NORETRY

/** What a machine has in its reserve. */
function reserveOf(pages: BuddyAllocator, zone: number): number {
  return pages.words[zone + ZONE_HIGHATOMIC]!
}

/**
 * A machine of 16 MiB with pageblocks reserved for atomic requests: of the last one all pages are free, of one before it the
 * first 16. All other pages are in use.
 */
function reserved(blocks = [0]): { pages: BuddyAllocator; record: number } {
  const pages = flatMachine(4096)
  const record = zoneOf(pages, 0, 2)
  while (pages.allocPages(NORETRY) !== null);
  pages.drainAllPages()
  const free = (start: number, end: number) => {
    for (let pfn = start; pfn < end; pfn++) pages.freePages(toPfn(pfn))
    pages.drainAllPages()
  }
  for (const block of blocks) {
    free(block, block + 16)
    // Between the min mark and the low one an order of more than 0 takes its pageblock along.
    expect(pages.allocPages(GFP_ATOMIC, 4)).toBe(block)
  }
  for (const block of blocks) pages.freePages(toPfn(block), 4)
  const last = blocks.at(-1) ?? 0
  free(last + 16, last + 512)
  while (pages.allocPages(NORETRY | __GFP_MEMALLOC) !== null);
  expect(reserveOf(pages, record)).toBe(512 * blocks.length)
  return { pages, record }
}

describe('the high-atomic reserve of a machine with nothing to reclaim', () => {
  it.each<[who: string, gfp: number, order: number]>([
    ['an ordinary request', GFP_KERNEL, 0],
    ['one for a large block', GFP_KERNEL, 3],
    ['a costly one that persists', GFP_KERNEL | __GFP_RETRY_MAYFAIL, 4],
  ])('goes to %s, from frame 0 on', (_who, gfp, order) => {
    const { pages, record } = reserved()
    const free = freePagesOf(pages, record)
    expect(pages.allocPages(gfp, order)).toBe(0)
    expect(reserveOf(pages, record)).toBe(0)
    pages.drainAllPages()
    expect(freePagesOf(pages, record)).toBe(free - (1 << order))
    expect(faults(pages)).toEqual([])
  })

  it.each<[who: string, gfp: number, order: number]>([
    ['one that wants one round', NORETRY, 0],
    ['a costly one', GFP_KERNEL, 4],
    ['one that may not wait nor use reserves', __GFP_NOMEMALLOC, 0],
  ])('does not go to %s', (_who, gfp, order) => {
    const { pages, record } = reserved()
    expect(pages.allocPages(gfp, order)).toBeNull()
    expect(reserveOf(pages, record)).toBe(512)
    expect(faults(pages)).toEqual([])
  })

  it('is given up pageblock by pageblock, until one has what is asked for', () => {
    const { pages, record } = reserved([0, 512])
    expect(pages.allocPages(GFP_KERNEL | __GFP_RETRY_MAYFAIL, 5)).toBe(512)
    expect(reserveOf(pages, record)).toBe(0)
    expect(faults(pages)).toEqual([])
  })

  /** Zones DMA and DMA32, the latter of another node if it is the one, of which one has nothing but a reserved pageblock, the other nothing at all. */
  function lowZones(withReserve: 'DMA' | 'DMA32', high = 14): BuddyAllocator {
    const zones = (['DMA', 'DMA32'] as const).map((name, i) => {
      const startPfn = 4096 * i
      const node = withReserve === 'DMA32' ? i : 0
      const given = { node, name, startPfn, watermark: { min: 10, low: 12, high } }
      if (name !== withReserve) return zone(given)
      return zone({
        ...given,
        free: 512,
        highatomicReserved: 512,
        freeLists: { '9': { '3': [startPfn] } },
        pageblocks: '31111111',
      })
    })
    return loadZones(zones)
  }

  it('stays where the request may not use its zone', () => {
    const pages = lowZones('DMA32')
    expect(pages.allocPages(GFP_KERNEL | __GFP_DMA)).toBeNull()
    expect(reserveOf(pages, zoneOf(pages, 1, 1))).toBe(512)
  })

  it('comes from the last zone too, as soon as that is above the min mark', () => {
    const pages = lowZones('DMA', 600)
    expect(pages.allocPages(GFP_KERNEL)).toBe(0)
    expect(reserveOf(pages, zoneOf(pages, 0, 0))).toBe(0)
  })
})
