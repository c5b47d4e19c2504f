/** Calls at the edges of the machine: nodes that are offline, the last frame, zones that lack everything. */

import { describe, expect, it } from 'vitest'
import { formatMemInfo } from '../../src/buddy/memInfo'
import {
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_NOFAIL,
  __GFP_THISNODE,
  allocPagesBulk,
  allocPagesExact,
  BuddyAllocator,
  frameSource,
  freePagesExact,
  freePagesList,
  GFP_KERNEL,
  getPage,
  InvalidArgument,
  type KernelBug,
  MiB,
  OutOfMemory,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  pageCount,
  pageSource,
  putPage,
  stateHash,
  toPfn,
  withPageListsHeld,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import {
  HEADER_THP,
  NR_FREE_PAGES,
  PAGE_REFS,
  PCP_DIFF,
  ZONE_FREE_PAGES,
} from '../../src/state/schema'
import {
  cachedPages,
  faults,
  flatMachine,
  freePagesOf,
  pcpOf,
  thrownBy,
  twoNodes,
  withoutWatermarks,
  zoneOf,
} from './machines'

/** Nodes 0 and 2, with a CPU each; there is no node 1. Node 2 has no memory. */
function gapMachine(): BuddyAllocator {
  const memory = [{ base: 0, size: 16 * MiB }]
  return new BuddyAllocator({ memory: { memory, reserved: [] }, cpuNodes: [0, 2] })
}

describe('a node that is offline', () => {
  it('is refused where a node is named, and not shown', () => {
    const pages = gapMachine()
    const before = stateHash(pages)
    expect(() => pages.allocPagesNode(1, GFP_KERNEL)).toThrow('node is 1')
    expect(() => pages.addMemory(64 * MiB, MiB, 1)).toThrow(InvalidArgument)
    expect(stateHash(pages)).toBe(before)
    expect(pages.allocPagesNode(2, GFP_KERNEL)).not.toBeNull()
    const asked = new Set<number>()
    formatMemInfo(pages.words, {
      highestZone: 3,
      cpu: 0,
      counters: (node) => asked.add(node).size * 0,
    })
    expect([...asked]).toEqual([0, 2])
  })
})

describe('a request that finds no zone at all', () => {
  it('fails, or throws when it must not', () => {
    const pages = twoNodes()
    const gfp = GFP_KERNEL | __GFP_DMA | __GFP_THISNODE
    const before = stateHash(pages)
    expect(pages.allocPagesNode(1, gfp)).toBeNull()
    expect(() => pages.allocPagesNode(1, gfp | __GFP_NOFAIL)).toThrow(OutOfMemory)
    expect(stateHash(pages)).toBe(before)
  })
})

describe('memory added later', () => {
  it('is nothing when no whole frame is', () => {
    const pages = flatMachine(4096, 0, { maxAddress: 256 * MiB })
    const before = stateHash(pages)
    pages.addMemory(128 * MiB + 1, PAGE_SIZE)
    pages.addMemory(128 * MiB, 0)
    expect(stateHash(pages)).toBe(before)
  })

  it('may be the first', () => {
    const pages = new BuddyAllocator({
      memory: { memory: [], reserved: [] },
      maxAddress: 128 * MiB,
      hugePages: false,
    })
    expect(pages.words[HEADER_THP]).toBe(0)
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(faults(pages)).toEqual([])
    pages.addMemory(32 * MiB, 32 * MiB)
    expect(pages.allocPages(GFP_KERNEL)).not.toBeNull()
    expect(freePagesOf(pages, zoneOf(pages, 0, 1)) + cachedPages(pages, zoneOf(pages, 0, 1))).toBe(
      (32 * MiB) / PAGE_SIZE - 1,
    )
    expect(faults(pages)).toEqual([])
  })
})

describe('many pages at once', () => {
  /** A machine whose zone has `exact` free pages, and counts three more: they are pending. */
  function lagging(exact: number): BuddyAllocator {
    const pages = withoutWatermarks(flatMachine(4096), 10)
    const taken: Pfn[] = []
    for (let pfn = pages.allocPages(__GFP_MEMALLOC); pfn !== null; ) {
      taken.push(pfn)
      pfn = pages.allocPages(__GFP_MEMALLOC)
    }
    for (const pfn of taken.splice(0, exact)) pages.freePages(pfn)
    pages.drainAllPages()
    const zone = zoneOf(pages, 0, 2)
    pages.words[zone + ZONE_FREE_PAGES] = exact + 3
    pages.words[pcpOf(pages, zone) + PCP_DIFF + NR_FREE_PAGES] = -3
    expect(freePagesOf(pages, zone)).toBe(exact)
    return pages
  }

  it('are as many as there are, when the stored counter promises more', () => {
    const pages = lagging(4)
    expect(allocPagesBulk(pages, GFP_KERNEL, 6)).toHaveLength(4)
    expect(faults(pages)).toEqual([])
  })

  it('are none when there are none', () => {
    const pages = lagging(0)
    expect(allocPagesBulk(pages, GFP_KERNEL, 2)).toEqual([])
    expect(faults(pages)).toEqual([])
  })

  it('go back one by one, past the page lists while these are held', () => {
    const pages = flatMachine(4096)
    const pfns = allocPagesBulk(pages, GFP_KERNEL, 5)
    pages.drainAllPages()
    const zone = zoneOf(pages, 0, 2)
    const free = freePagesOf(pages, zone)
    withPageListsHeld(pages, () => freePagesList(pages, pfns))
    expect(freePagesOf(pages, zone)).toBe(free + 5)
    expect(cachedPages(pages, zone)).toBe(0)
    expect(faults(pages)).toEqual([])
  })
})

describe('the end of memory', () => {
  it('ends a free of several pages, none of which is freed', () => {
    // The last frame of the machine is the last one that has a record.
    const pages = flatMachine(32768)
    let last = allocPagesExact(pages, PAGE_SIZE, GFP_KERNEL)
    while (last !== null && last !== 32767) last = pages.allocPages(__GFP_MEMALLOC)
    expect(last).toBe(32767)
    const before = stateHash(pages)
    const bug = thrownBy(() => freePagesExact(pages, toPfn(32767), 2 * PAGE_SIZE)) as KernelBug
    expect(bug.code).toBe('OUTSIDE_MEMORY')
    expect(stateHash(pages)).toBe(before)
  })

  it('is where references end', () => {
    const pages = flatMachine(4096, 0, { maxAddress: 512 * MiB })
    for (const reference of [getPage, putPage]) {
      const bug = thrownBy(() => reference(pages, toPfn(40_000))) as KernelBug
      expect(bug.code).toBe('OUTSIDE_MEMORY')
    }
  })
})

describe('the references of a page', () => {
  it('are none when it is free, on whatever list', () => {
    const pages = flatMachine(4096)
    const [first, second] = allocPagesBulk(pages, GFP_KERNEL, 2) as [Pfn, Pfn]
    expect([pageCount(pages, first), pageCount(pages, second)]).toEqual([1, 1])
    pages.freePages(second)
    expect(cachedPages(pages, zoneOf(pages, 0, 2))).toBeGreaterThan(0)
    expect(pageCount(pages, second)).toBe(0)
    pages.drainAllPages()
    expect([pageCount(pages, first), pageCount(pages, second)]).toEqual([1, 0])
  })

  it('do not overflow', () => {
    const pages = flatMachine(4096)
    const pfn = pages.allocPages(GFP_KERNEL) as Pfn
    pages.words[pageRecord(pfn) + PAGE_REFS] = 0x7ffffffd
    getPage(pages, pfn)
    const before = stateHash(pages)
    expect((thrownBy(() => getPage(pages, pfn)) as KernelBug).code).toBe('REFCOUNT_OVERFLOW')
    expect(stateHash(pages)).toBe(before)
    putPage(pages, pfn)
    expect(pages.words[pageRecord(pfn) + PAGE_REFS]).toBe(0x7ffffffd)
  })
})

describe('what the layers above see', () => {
  const pages = new BuddyAllocator({
    ram: new PhysicalMemory({
      map: [
        { base: 0, size: 32 * MiB, type: 'usable', node: 0 },
        { base: 32 * MiB, size: 16 * MiB, type: 'usable', node: 1 },
      ],
    }),
    cpuNodes: [1],
  })

  it('is the order of the nodes, from the CPU’s own, from a named one, or that one alone', () => {
    const { zonelistNodes } = pageSource(pages)
    expect(zonelistNodes(GFP_KERNEL, -1)).toEqual([1, 0, 0])
    expect(zonelistNodes(GFP_KERNEL, 0)).toEqual([0, 0, 1])
    expect(zonelistNodes(GFP_KERNEL | __GFP_THISNODE, 0)).toEqual([0, 0])
    expect(zonelistNodes(GFP_KERNEL | __GFP_THISNODE, -1)).toEqual([1])
    expect(zonelistNodes(GFP_KERNEL | __GFP_DMA, 1)).toEqual([0])
  })

  it('is no page in use where there is no frame', () => {
    const source = frameSource(pages)
    const pfn = source.allocPages(GFP_KERNEL, 2, -1)
    expect(source.isInUse(pfn + 3)).toBe(true)
    for (const other of [-1, 0.5, source.maxPfn, 2 ** 40]) expect(source.isInUse(other)).toBe(false)
  })
})
