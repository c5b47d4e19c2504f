import { describe, expect, it } from 'vitest'
import {
  adjustManagedPageCount,
  adoptBlock,
  BuddyAllocator,
  freePagesList,
  freeSummary,
  GFP_HIGHUSER,
  GFP_KERNEL,
  KernelBug,
  loadZones,
  MiB,
  nodeState,
  reservePages,
  stateHash,
  toPfn,
  ZONES_I386,
  type ZoneState,
} from '../../src/index'
import { ZONE_CMA_PAGES, ZONE_FREE_CMA, ZONE_NR_ISOLATE } from '../../src/state/schema'
import { faults, freePagesOf, thrownBy, zoneOf } from './machines'

/** Section `n` of a node whose memory starts at PFN 1048576. */
const section = (n: number) => 1048576 + n * 32768

/** A zone with free blocks of order 10 over the sections that it owns. */
function zone(name: 'Normal' | 'Movable', sections: number[], spanned: number): ZoneState {
  const first = section(sections[0] ?? 0)
  const blocks = sections.flatMap((n) =>
    Array.from({ length: 32 }, (_, i) => section(n) + i * 1024),
  )
  return {
    node: 1,
    name,
    startPfn: first,
    spanned: spanned * 32768,
    present: sections.length * 32768,
    managed: sections.length * 32768,
    free: sections.length * 32768,
    watermark: { min: 100, low: 125, high: 150 },
    boost: 0,
    highatomicReserved: 0,
    lowmemReserve: [0, 0, 0, 0],
    pcp: { count: 0, high: 125, batch: 7, freeFactor: 0, lists: {} },
    freeLists: { '10': { '1': blocks } },
    pageblocks: '1'.repeat(spanned * 64),
  }
}

describe('loadZones', () => {
  it('tells zones apart whose spans overlap', () => {
    const zones = [zone('Normal', [0, 2], 3), zone('Movable', [1, 3], 3)]
    const pages = loadZones(zones)
    expect(nodeState(pages, 1)).toEqual(zones)
    const highuserMovable = 0x300 * 0x1000 + 0x20ca
    expect(pages.allocPagesNode(1, highuserMovable, 10)).toBe(section(1))
    expect(pages.allocPagesNode(1, 0x202000, 10)).toBe(section(0))
    // Freed blocks go back to their own zone.
    const held = pages.allocPagesNode(1, highuserMovable, 9)
    expect(held).toBe(section(1) + 1024)
    if (held !== null) pages.freePages(held, 9)
    pages.drainAllPages()
    const [normal, movable] = nodeState(pages, 1)
    expect(normal?.freeLists['10']?.['0'] ?? normal?.freeLists['10']?.['1']).toHaveLength(63)
    expect(movable?.freeLists['10']?.['1']).toHaveLength(63)
  })

  it('knows the zones of a machine with HighMem', () => {
    const memory = [{ base: 0, size: 1024 * MiB }]
    const pages = new BuddyAllocator({ memory: { memory, reserved: [] }, zones: ZONES_I386 })
    const zones = nodeState(pages, 0)
    expect(zones.map((zone) => zone.name)).toEqual(['DMA', 'Normal', 'HighMem'])
    const again = loadZones(zones)
    expect(nodeState(again, 0)).toEqual(zones)
    // Kernel memory never comes from HighMem.
    expect(again.allocPages(GFP_KERNEL)).toBe(pages.allocPages(GFP_KERNEL))
    expect(again.allocPages(GFP_HIGHUSER)).toBe(pages.allocPages(GFP_HIGHUSER))
  })

  /** A zone whose first pageblock is isolated, the next one CMA; the rest is MOVABLE. */
  function special(): ZoneState {
    const plain = zone('Normal', [0], 1)
    const first = section(0)
    const movable = plain.freeLists['10']?.['1']?.slice(1) ?? []
    return {
      ...plain,
      free: plain.free - 512,
      freeLists: { '9': { '4': [first + 512], '5': [first] }, '10': { '1': movable } },
      pageblocks: `54${'1'.repeat(62)}`,
    }
  }

  it('counts pageblocks that are isolated, whose free pages are not, and those of CMA', () => {
    const state = special()
    const pages = loadZones([state])
    const record = zoneOf(pages, 1, 2)
    expect(pages.words[record + ZONE_NR_ISOLATE]).toBe(1)
    expect(pages.words[record + ZONE_CMA_PAGES]).toBe(512)
    expect(pages.words[record + ZONE_FREE_CMA]).toBe(512)
    expect(freePagesOf(pages, record)).toBe(32768 - 512)
    expect(nodeState(pages, 1)).toEqual([state])
    expect(faults(pages)).toEqual([])
  })

  it('frees pages of an isolated pageblock at once, uncounted', () => {
    const pages = loadZones([special()])
    const record = zoneOf(pages, 1, 2)
    const first = section(0)
    const free = freePagesOf(pages, record)
    expect(reservePages(pages, toPfn(first), 4)).toBe(true)
    expect(freePagesOf(pages, record)).toBe(free)
    const other = pages.allocPagesNode(1, GFP_KERNEL)
    pages.freePages(toPfn(first))
    freePagesList(pages, [toPfn(first + 2), other ?? toPfn(0), toPfn(first + 3), toPfn(first + 1)])
    // All four are one block of the ISOLATE list again; the page from elsewhere is on the CPU's list.
    expect(nodeState(pages, 1)[0]?.freeLists['9']?.['5']).toEqual([first])
    expect(Object.values(nodeState(pages, 1)[0]?.pcp.lists ?? {}).flat()).toContain(other)
    expect(faults(pages)).toEqual([])
  })

  it('takes frames on no list for in use by somebody unknown', () => {
    const plain = zone('Normal', [0], 1)
    const first = section(0)
    const blocks = plain.freeLists['10']?.['1']?.slice(1) ?? []
    const pages = loadZones([
      { ...plain, free: plain.free - 1024, freeLists: { '10': { '1': blocks } } },
    ])
    const before = stateHash(pages)
    const bug = thrownBy(() => pages.freePages(toPfn(first), 3)) as KernelBug
    expect(bug.code).toBe('NOT_ALLOCATED')
    expect(stateHash(pages)).toBe(before)
    adoptBlock(pages, toPfn(first), 3)
    // Known now, free, or no memory.
    for (const pfn of [first, first + 1024, 0]) {
      const refusal = thrownBy(() => adoptBlock(pages, toPfn(pfn))) as KernelBug
      expect(refusal.code).toBe('NOT_ADOPTABLE')
    }
    pages.freePages(toPfn(first), 3)
    expect(freeSummary(pages, 0, 1).freePages + freeSummary(pages, 0, 0).freePages).toBe(
      freeSummary(pages).freePages,
    )
    expect(freeSummary(pages, 0, 0).freePages).toBe(0)
  })
})

describe('adjustManagedPageCount', () => {
  it('refuses frames without memory', () => {
    const pages = loadZones([zone('Normal', [0], 1)])
    const before = stateHash(pages)
    for (const pfn of [0, section(1)]) {
      const bug = thrownBy(() => adjustManagedPageCount(pages, toPfn(pfn), 1))
      expect(bug).toBeInstanceOf(KernelBug)
    }
    expect(stateHash(pages)).toBe(before)
  })
})
