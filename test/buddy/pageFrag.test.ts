import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  __GFP_MEMALLOC,
  BuddyAllocator,
  freePageFrag,
  GFP_ATOMIC,
  GFP_KERNEL,
  InvalidArgument,
  KernelBug,
  MiB,
  PAGE_SIZE,
  PageFragCache,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  pageCount,
  toPfn,
} from '../../src/index'
import { faults, freePagesOf, zonesOf } from './machines'

function machine(mib = 16): BuddyAllocator {
  return new BuddyAllocator({ ram: new PhysicalMemory({ size: mib * MiB, content: false }) })
}

function free(pages: BuddyAllocator): number {
  pages.drainAllPages()
  return zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
}

function must(address: PhysAddr | null): PhysAddr {
  if (address === null) throw new Error('no fragment')
  return address
}

const frame = (address: number) => toPfn(Math.floor(address / PAGE_SIZE))

describe('PageFragCache', () => {
  it('cuts a block of eight pages from its end downwards, a reference a piece', () => {
    const pages = machine()
    const cache = new PageFragCache(pages)
    const first = must(cache.alloc(100, GFP_KERNEL))
    expect(first % 32768).toBe(32768 - 100)
    expect(must(cache.alloc(28, GFP_KERNEL))).toBe(first - 28)
    expect(must(cache.alloc(10, GFP_KERNEL, 64)) % 64).toBe(0)
    // The cache keeps what it has not handed out of 32769.
    expect(pageCount(pages, frame(first - (first % 32768)))).toBe(32769)
    expect(faults(pages)).toEqual([])
  })

  it('starts the same block over when all its pieces are free', () => {
    const pages = machine()
    const cache = new PageFragCache(pages)
    const first = must(cache.alloc(20000, GFP_KERNEL))
    freePageFrag(pages, first)
    expect(must(cache.alloc(20000, GFP_KERNEL))).toBe(first)
  })

  it('leaves a block with pieces in use; their last free gives it back', () => {
    const pages = machine()
    const before = free(pages)
    const cache = new PageFragCache(pages)
    const first = must(cache.alloc(20000, GFP_KERNEL))
    const second = must(cache.alloc(20000, GFP_KERNEL))
    expect(Math.floor(second / 32768)).not.toBe(Math.floor(first / 32768))
    expect(pageCount(pages, frame(first - (first % 32768)))).toBe(1)
    expect(free(pages)).toBe(before - 16)
    freePageFrag(pages, first)
    expect(free(pages)).toBe(before - 8)
    cache.drain()
    expect(free(pages)).toBe(before - 8)
    freePageFrag(pages, second)
    expect(free(pages)).toBe(before)
    cache.drain()
    expect(free(pages)).toBe(before)
  })

  it('falls back to single pages, which larger pieces do not fit', () => {
    const pages = machine(1)
    // Every other page in use: nothing of order 3 is left.
    const taken: Pfn[] = []
    for (let pfn = pages.allocPages(__GFP_MEMALLOC); pfn !== null; ) {
      taken.push(pfn)
      pfn = pages.allocPages(__GFP_MEMALLOC)
    }
    taken.sort((left, right) => left - right)
    for (let i = 0; i < taken.length; i += 2) pages.freePages(taken[i] ?? toPfn(0))
    pages.drainAllPages()
    const cache = new PageFragCache(pages)
    const piece = must(cache.alloc(100, GFP_ATOMIC))
    expect(piece % PAGE_SIZE).toBe(PAGE_SIZE - 100)
    expect(cache.alloc(PAGE_SIZE + 1, GFP_ATOMIC)).toBeNull()
    expect(must(cache.alloc(100, GFP_ATOMIC)) % PAGE_SIZE).toBe(PAGE_SIZE - 100)
  })

  it('gives null when there is no memory, and goes on when there is', () => {
    const pages = machine(1)
    const cache = new PageFragCache(pages)
    const first = must(cache.alloc(30000, GFP_ATOMIC))
    const taken: Pfn[] = []
    for (let pfn = pages.allocPages(__GFP_MEMALLOC); pfn !== null; ) {
      taken.push(pfn)
      pfn = pages.allocPages(__GFP_MEMALLOC)
    }
    // Its block is in use and there is no other; nor is there for a cache without one.
    expect(cache.alloc(30000, GFP_ATOMIC)).toBeNull()
    expect(new PageFragCache(pages).alloc(1, GFP_ATOMIC)).toBeNull()
    freePageFrag(pages, first)
    expect(pageCount(pages, frame(first))).toBe(0)
    for (const pfn of taken) pages.freePages(pfn)
    pages.drainAllPages()
    expect(cache.alloc(30000, GFP_ATOMIC)).not.toBeNull()
    expect(faults(pages)).toEqual([])
  })

  it('refuses wrong sizes, alignments and addresses', () => {
    const pages = machine()
    const cache = new PageFragCache(pages)
    for (const bytes of [0, -1, 1.5, 32769, Number.NaN]) {
      expect(() => cache.alloc(bytes, GFP_KERNEL)).toThrow(InvalidArgument)
    }
    for (const align of [0, 3, -4, 65536]) {
      expect(() => cache.alloc(8, GFP_KERNEL, align)).toThrow(InvalidArgument)
    }
    expect(() => freePageFrag(pages, -1 as PhysAddr)).toThrow(InvalidArgument)
    expect(() => freePageFrag(pages, (8 * MiB) as PhysAddr)).toThrow(KernelBug)
  })

  it('never lets pieces overlap, and loses nothing', () => {
    const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.boolean()), {
      minLength: 1,
      maxLength: 200,
    })
    fc.assert(
      fc.property(sizes, (list) => {
        const pages = machine()
        const before = free(pages)
        const cache = new PageFragCache(pages)
        const live = new Map<number, number>()
        for (const [bytes, drop] of list) {
          const at = must(cache.alloc(bytes, GFP_KERNEL))
          for (const [other, size] of live) {
            expect(at + bytes <= other || other + size <= at).toBe(true)
          }
          live.set(at, bytes)
          const [oldest] = live.keys()
          if (drop && oldest !== undefined) {
            live.delete(oldest)
            freePageFrag(pages, oldest as PhysAddr)
          }
          expect(faults(pages)).toEqual([])
        }
        cache.drain()
        for (const at of live.keys()) freePageFrag(pages, at as PhysAddr)
        expect(free(pages)).toBe(before)
      }),
      { numRuns: 40 },
    )
  })
})
