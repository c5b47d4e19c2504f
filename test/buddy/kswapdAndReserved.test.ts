import { describe, expect, it } from 'vitest'
import {
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  BuddyAllocator,
  freeReservedPages,
  freeSummary,
  GFP_NOWAIT,
  InvalidArgument,
  KernelBug,
  MiB,
  nodeState,
  type Pfn,
  PhysicalMemory,
  runKswapd,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'
import { faults } from './machines'

describe('runKswapd', () => {
  it('ends the boosts of a node, which a steal raises again', () => {
    const ram = new PhysicalMemory({ size: 64 * MiB, content: false })
    const pages = new BuddyAllocator({ ram, zones: ZONES_FLAT })
    const boost = () => nodeState(pages)[0]?.boost ?? -1
    // Movable blocks below a pageblock's order are what the unmovable requests have to steal.
    const movable = __GFP_MOVABLE | __GFP_MEMALLOC
    const taken: Pfn[] = []
    for (let pfn = pages.allocPages(movable, 8); pfn !== null; ) {
      taken.push(pfn)
      pfn = pages.allocPages(movable, 8)
    }
    taken.sort((left, right) => left - right)
    for (let i = 0; i < taken.length; i += 2) pages.freePages(taken[i] ?? toPfn(0), 8)
    expect(boost()).toBe(0)
    expect(pages.allocPages(GFP_NOWAIT, 4)).not.toBeNull()
    expect(boost()).toBeGreaterThan(0)
    runKswapd(pages)
    expect(boost()).toBe(0)
    expect(faults(pages)).toEqual([])
    expect(() => runKswapd(pages, 1)).toThrow(InvalidArgument)
  })
})

describe('freeReservedPages', () => {
  const map = [
    { base: 0, size: MiB, type: 'reserved' as const },
    { base: MiB, size: 15 * MiB, type: 'usable' as const },
  ]

  it('hands reserved memory over, and counts it as managed', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ map, content: false }) })
    const before = freeSummary(pages).managedPages
    freeReservedPages(pages, toPfn(16), 32)
    expect(freeSummary(pages).managedPages).toBe(before + 32)
    expect(faults(pages)).toEqual([])
    // Single pages, through the CPU's list: the last one freed comes first.
    expect(pages.allocPages(__GFP_MOVABLE)).toBe(47)
  })

  it('frees nothing when one of the frames is not reserved memory', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ map, content: false }) })
    const before = freeSummary(pages)
    expect(() => freeReservedPages(pages, toPfn(250), 7)).toThrow(KernelBug)
    // A hole's record is reserved too, but there is no memory.
    expect(() => freeReservedPages(pages, toPfn(4096))).toThrow(KernelBug)
    expect(freeSummary(pages)).toEqual(before)
  })
})
