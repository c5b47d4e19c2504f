/** Contiguous ranges: which pages stand in the way, and what is left behind. Spec §8.7. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_COMP,
  __GFP_DMA,
  __GFP_HIGHMEM,
  __GFP_MOVABLE,
  __GFP_THISNODE,
  allocContigPages,
  allocContigRange,
  BuddyAllocator,
  EBUSY,
  EINVAL,
  freeContigRange,
  GFP_KERNEL,
  MiB,
  movableMemory,
  PAGE_SIZE,
  type Pfn,
  pageCount,
  reservePages,
  stateHash,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import { PAGE_FLAGS, ZONE_NR_ISOLATE } from '../../src/state/schema'
import { pageblockType } from '../../src/zone/pageblock'
import { faults, flatMachine, freePagesOf, twoNodes, zoneOf } from './machines'

const MOVABLE = GFP_KERNEL | __GFP_HIGHMEM | __GFP_MOVABLE

/** Zones DMA, DMA32 and Movable, the last from 32 MiB to 64 MiB. */
function withMovable(): BuddyAllocator {
  return new BuddyAllocator({
    memory: { memory: [{ base: 0, size: 64 * MiB }], reserved: [] },
    movable: movableMemory({ movablecore: 32 * MiB }),
  })
}

/** A compound block of order 10 in use in the Movable zone. */
function compound(pages: BuddyAllocator): number {
  const pfn = pages.allocPages(MOVABLE | __GFP_COMP, 10) as Pfn
  expect(pfn).toBeGreaterThanOrEqual((32 * MiB) / PAGE_SIZE)
  return pfn
}

describe('allocContigRange', () => {
  it('refuses what is empty, without memory, or of two zones, and changes nothing', () => {
    const pages = twoNodes({ maxAddress: 1024 * MiB })
    const before = stateHash(pages)
    const range = (start: number, end: number) => allocContigRange(pages, toPfn(start), toPfn(end))
    expect(range(3000, 3000)).toBe(EINVAL)
    expect(range(3001, 3000)).toBe(EINVAL)
    expect(range(100_000, 100_010)).toBe(EINVAL)
    expect(range(4090, 4100)).toBe(EINVAL)
    expect(stateHash(pages)).toBe(before)
  })

  it.each([
    ['at the lower edge of the first pageblock', 512, 1],
    ['at the upper edge of the only pageblock', 0, 1],
    ['at the upper edge of the last pageblock', -512, 2],
  ])('is in the way of a compound page in use %s', (_where, offset, blocks) => {
    // In a Movable zone compound pages do not count as unmovable; but nothing migrates them.
    const pages = withMovable()
    const zone = zoneOf(pages, 0, 3)
    const other = compound(pages)
    const head = compound(pages)
    pages.freePages(toPfn(other), 10)
    expect(Math.abs(other - head)).toBe(1024)
    const start = head + offset
    const free = freePagesOf(pages, zone)
    const end = start + 512 * blocks - (offset === 512 ? 100 : 0)
    expect(allocContigRange(pages, toPfn(start), toPfn(end))).toBe(EBUSY)
    expect(pages.words[zone + ZONE_NR_ISOLATE]).toBe(0)
    expect(freePagesOf(pages, zone)).toBe(free)
    for (let pfn = start; pfn < end; pfn += 512) expect(pageblockType(pages.words, pfn)).toBe(1)
    expect(faults(pages)).toEqual([])
    pages.freePages(toPfn(head), 10)
    expect(allocContigRange(pages, toPfn(start), toPfn(end))).toBe(0)
    freeContigRange(pages, toPfn(start), end - start)
    expect(faults(pages)).toEqual([])
  })

  it('takes compound pages on an LRU list for movable, and skips them whole', () => {
    const pages = flatMachine(4096)
    const head = pages.allocPages(MOVABLE | __GFP_COMP, 3) as Pfn
    const block = head & -512
    const range = () => allocContigRange(pages, toPfn(block), toPfn(block + 512))
    // Unmovable: the pageblock is not isolated, and keeps its type.
    const before = stateHash(pages)
    expect(range()).toBe(EBUSY)
    expect(stateHash(pages)).toBe(before)
    // Movable: it is isolated, but the page is in use, and nobody migrates it.
    pages.words[pageRecord(head) + PAGE_FLAGS]! |= PG_LRU
    expect(range()).toBe(EBUSY)
    expect(stateHash(pages)).not.toBe(before)
    expect(pages.words[zoneOf(pages, 0, 2) + ZONE_NR_ISOLATE]).toBe(0)
  })
})

describe('allocContigPages', () => {
  it('gives frames in a row, at a multiple of the next power of two, each a page of its own', () => {
    const pages = flatMachine(4096)
    const zone = zoneOf(pages, 0, 2)
    const free = freePagesOf(pages, zone)
    const pfn = allocContigPages(pages, 1500, GFP_KERNEL) as Pfn
    expect(pfn % 2048).toBe(0)
    for (let i = 0; i < 1500; i++) expect(pageCount(pages, toPfn(pfn + i))).toBe(1)
    expect(freePagesOf(pages, zone)).toBe(free - 1500)
    expect(faults(pages)).toEqual([])
    freeContigRange(pages, pfn, 1500)
    pages.drainAllPages()
    expect(freePagesOf(pages, zone)).toBe(free)
    expect(faults(pages)).toEqual([])
  })

  it('passes by ranges in use, and gives null when there is no other', () => {
    const pages = flatMachine(4096)
    expect(reservePages(pages, toPfn(5))).toBe(true)
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBe(1024)
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBe(2048)
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBe(3072)
    expect(allocContigPages(pages, 1024, GFP_KERNEL)).toBeNull()
    expect(faults(pages)).toEqual([])
  })

  it('does not take frames of another node between those of one', () => {
    const range = (mib: number, node: number) => ({ base: mib * MiB, size: 16 * MiB, node })
    const memory = [range(0, 0), range(16, 1), range(32, 0)]
    const pages = new BuddyAllocator({ memory: { memory, reserved: [] }, zones: ZONES_FLAT })
    const gfp = GFP_KERNEL | __GFP_THISNODE
    expect(allocContigPages(pages, 8192, gfp, 0)).toBeNull()
    expect(allocContigPages(pages, 4096, gfp, 0)).toBe(0)
    expect(allocContigPages(pages, 4096, gfp, 0)).toBe(8192)
    expect(allocContigPages(pages, 4096, gfp, 0)).toBeNull()
    expect(allocContigPages(pages, 4096, gfp, 1)).toBe(4096)
    expect(faults(pages)).toEqual([])
  })

  it('keeps to the zones that the mask allows, and clear of reserved pages and of other zones', () => {
    // Node 0 of this machine: DMA with a reserved range from 2 to 3 MiB, and a hole up to 21 MiB.
    const pages = twoNodes()
    expect(allocContigPages(pages, 1024, GFP_KERNEL | __GFP_DMA, 1)).toBe(1024)
    expect(allocContigPages(pages, 512, GFP_KERNEL | __GFP_DMA, 0)).toBe(2048)
    // A run of 4096 frames from 4096 on would go through the hole, and into node 1.
    expect(allocContigPages(pages, 4096, GFP_KERNEL, 0)).toBeNull()
    expect(faults(pages)).toEqual([])
  })
})
