/** The walk over the zones: where it mixes types, where it goes to another zone or node, how a page is set up. Spec §5.1, §5.2. */

import { describe, expect, it } from 'vitest'
import { highestZone, requestType, zonelistFor } from '../../src/buddy/allocPages'
import { takeFromZonelist } from '../../src/buddy/zonelistWalk'
import {
  __GFP_COMP,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NORETRY,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  __GFP_ZEROTAGS,
  BuddyAllocator,
  GFP_DMA,
  GFP_DMA32,
  GFP_KERNEL,
  loadZones,
  PAGE_SIZE,
  PhysicalMemory,
  type ZoneState,
} from '../../src/index'
import { ALLOC_NO_WATERMARKS, ALLOC_NOFRAGMENT } from '../../src/page/allocFlags'
import { pageRecord } from '../../src/page/memmap'
import { PG_HEAD } from '../../src/page/pageFlags'
import {
  HEADER_MOBILITY_DISABLED,
  HEADER_WARNED,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_PFMEMALLOC,
} from '../../src/state/schema'
import { flatMachine } from './machines'
import { zone } from './zoneState'

/** A zone whose free memory is one block of order 8, alone of its type. */
function block(node: number, name: ZoneState['name'], startPfn: number, type: number): ZoneState {
  return zone({
    node,
    name,
    startPfn,
    free: 256,
    freeLists: { '8': { [type]: [startPfn] } },
    pageblocks: String(type).repeat(8),
  })
}

describe('a fixed page, where the preferred zone has movable blocks alone,', () => {
  const NORMAL = 8192
  it.each<[where: string, zones: ZoneState[], gfp: number, pfn: number]>([
    [
      'comes from DMA32',
      [block(0, 'DMA32', 4096, 0), block(0, 'Normal', NORMAL, 1)],
      GFP_KERNEL,
      4096,
    ],
    [
      'comes from DMA, on a machine of one node',
      [block(0, 'DMA', 0, 0), block(0, 'Normal', NORMAL, 1)],
      GFP_KERNEL,
      0,
    ],
    [
      'is mixed in before DMA, on a node without DMA32',
      [block(0, 'DMA', 0, 0), block(0, 'Normal', NORMAL, 1), zone({ node: 1, startPfn: 16384 })],
      GFP_KERNEL,
      NORMAL,
    ],
    [
      'is mixed in where the zone is DMA32',
      [block(0, 'DMA', 0, 0), block(0, 'DMA32', 4096, 1)],
      GFP_DMA32,
      4096,
    ],
    [
      'is mixed in before it leaves the node',
      [
        zone({ name: 'DMA32', startPfn: 4096 }),
        block(0, 'Normal', NORMAL, 1),
        block(1, 'Normal', 16384, 0),
      ],
      GFP_KERNEL,
      NORMAL,
    ],
    [
      'comes from DMA32, also when there is another node',
      [block(0, 'DMA32', 4096, 0), block(0, 'Normal', NORMAL, 1), block(1, 'Normal', 16384, 0)],
      GFP_KERNEL,
      4096,
    ],
    [
      'is mixed in when there is nothing else',
      [zone({ name: 'DMA32' }), block(0, 'Normal', NORMAL, 1)],
      GFP_KERNEL,
      NORMAL,
    ],
  ])('%s', (_where, zones, gfp, pfn) => {
    expect(loadZones(zones).allocPages(gfp, 1)).toBe(pfn)
  })
})

describe('a walk', () => {
  it('passes by zones that are too high for the request, on other nodes too', () => {
    const pages = loadZones([
      zone({ name: 'DMA' }),
      block(1, 'DMA32', 4096, 0),
      block(2, 'DMA', 8192, 0),
    ])
    expect(pages.allocPages(GFP_DMA | __GFP_NORETRY)).toBe(8192)
    expect(pages.allocPages(GFP_DMA | __GFP_NORETRY, 9)).toBeNull()
  })

  it('goes round once more when types may be mixed after all', () => {
    const pages = loadZones([block(0, 'Normal', 0, 1)])
    const c = pages.context
    const take = (flags: number) =>
      takeFromZonelist(c, 0, 1, flags, 0, 2, zonelistFor(c, 0, 0), null)
    expect(take(ALLOC_NOFRAGMENT)).toBe(0)
  })

  it('warns of more than two pages that must not fail, once there is a zone for them', () => {
    const pages = flatMachine(4096)
    const warned = (order: number) => {
      pages.words[HEADER_WARNED] = 0
      expect(pages.allocPages(GFP_KERNEL | __GFP_NOFAIL, order)).not.toBeNull()
      return pages.words[HEADER_WARNED]
    }
    expect([0, 1, 2, 3].map(warned)).toEqual([0, 0, 4, 4])
    expect(pages.allocPages(GFP_KERNEL, 2)).not.toBeNull()
    pages.words[HEADER_WARNED] = 0
    expect(pages.allocPages(GFP_KERNEL, 2)).not.toBeNull()
    expect(pages.words[HEADER_WARNED]).toBe(0)
  })
})

describe('a block that is found', () => {
  it('has its order, and the marks of a compound page and of one past the watermarks', () => {
    const pages = loadZones([block(0, 'Normal', 0, 0)])
    const c = pages.context
    const flagsOf = (gfp: number, order: number, flags: number) => {
      const pfn = takeFromZonelist(c, gfp, order, flags, 0, 2, zonelistFor(c, 0, 0), null)
      return pages.words[pageRecord(pfn) + PAGE_FLAGS]
    }
    const order = (order: number) => order << PAGE_ORDER_SHIFT
    expect(flagsOf(0, 2, 0)).toBe(order(2))
    expect(flagsOf(__GFP_COMP, 2, 0)).toBe(order(2) | PG_HEAD)
    expect(flagsOf(__GFP_COMP, 0, 0)).toBe(0)
    expect(flagsOf(0, 1, ALLOC_NO_WATERMARKS)).toBe(order(1) | PAGE_PFMEMALLOC)
  })

  it('is zeroed when the mask asks for that and not for tags', () => {
    const ram = new PhysicalMemory({ map: [{ base: 0, size: 4096 * PAGE_SIZE, type: 'usable' }] })
    const pages = new BuddyAllocator({ ram })
    const content = (gfp: number) => {
      const pfn = pages.allocPages(GFP_KERNEL, 1) ?? expect.fail('no memory')
      ram.fill(pfn * PAGE_SIZE, 2 * PAGE_SIZE, 7)
      pages.freePages(pfn, 1)
      expect(pages.allocPages(gfp, 1)).toBe(pfn)
      const at = [0, PAGE_SIZE, 2 * PAGE_SIZE - 1]
      return at.map((offset) => ram.readU8(pfn * PAGE_SIZE + offset))
    }
    expect(content(GFP_KERNEL)).toEqual([7, 7, 7])
    expect(content(GFP_KERNEL | __GFP_ZEROTAGS)).toEqual([7, 7, 7])
    expect(content(GFP_KERNEL | __GFP_ZERO | __GFP_ZEROTAGS)).toEqual([7, 7, 7])
    expect(content(GFP_KERNEL | __GFP_ZERO)).toEqual([0, 0, 0])
  })
})

describe('what a mask means to allocPages', () => {
  it('without mobility grouping is UNMOVABLE', () => {
    const { context: c } = flatMachine(4096)
    const types = (disabled: number) => {
      c.words[HEADER_MOBILITY_DISABLED] = disabled
      return [0, __GFP_MOVABLE, __GFP_RECLAIMABLE].map((gfp) => requestType(c, gfp))
    }
    expect(types(0)).toEqual([0, 1, 2])
    expect(types(1)).toEqual([0, 0, 0])
    expect([0, GFP_DMA, GFP_DMA32].map((gfp) => highestZone(c, gfp))).toEqual([2, 0, 1])
    expect(types(0)).toEqual([0, 1, 2])
  })

  it('past the watermarks is told to no one who asks in the ordinary way', () => {
    const pages = loadZones([block(0, 'Normal', 0, 0)])
    const pfn = pages.allocPages(__GFP_MEMALLOC) ?? expect.fail('no memory')
    expect(pages.words[pageRecord(pfn) + PAGE_FLAGS]).toBe(0)
  })
})
