/** Operations of the page allocator. */

import {
  __GFP_COMP,
  __GFP_MOVABLE,
  __GFP_NOWARN,
  __GFP_THISNODE,
  __GFP_ZERO,
  allocContigPages,
  allocContigRange,
  allocPagesBulk,
  allocPagesExact,
  allocPagesNodemask,
  frameSource,
  freeContigRange,
  freePageFrag,
  freePagesAt,
  freePagesExact,
  freePagesList,
  GFP_ATOMIC,
  GFP_KERNEL,
  getDmaPages,
  getFreePages,
  getZeroedPage,
  type Machine,
  MiB,
  PAGE_SIZE,
  PageFragCache,
  type Pfn,
  pageSource,
  reservePages,
  withPageListsHeld,
} from '../../../src/index'
import { must, of, type Row, row } from '../rows'

function block(name: string, covers: string | string[], order: number, gfp: number): Row {
  return row(name, covers, (m) =>
    of({
      call: () => m.pages.allocPages(gfp, order),
      release: (pfn) => m.pages.freePages(must(pfn), order),
    }),
  )
}

/** Whether the zones have whole pageblocks. */
const isLarge = (m: Machine): boolean => (m.ram.ranges[0]?.size ?? 0) >= 4 * MiB

/** A frame of memory that nothing lies near. */
function quietFrame(m: Machine): Pfn {
  return (m.ram.base / PAGE_SIZE + 64) as Pfn
}

export const PAGES: readonly Row[] = [
  block('allocPages', 'BuddyAllocator#allocPages', 0, GFP_KERNEL),
  block('allocPages of order 3', 'BuddyAllocator#allocPages', 3, GFP_KERNEL | __GFP_COMP),
  block('allocPages of order 7', 'BuddyAllocator#allocPages', 7, GFP_KERNEL | __GFP_MOVABLE),
  block('allocPages, atomic and zeroed', 'BuddyAllocator#allocPages', 1, GFP_ATOMIC | __GFP_ZERO),
  row('Machine.allocPages', 'Machine#allocPages', (m) =>
    of({
      call: () => m.allocPages(),
      release: (pfn) => m.freePages(must(pfn)),
    }),
  ),
  row('allocPagesNode', 'BuddyAllocator#allocPagesNode', (m) =>
    of({
      call: () => m.pages.allocPagesNode(0, GFP_KERNEL | __GFP_THISNODE, 2),
      release: (pfn) => m.freePages(must(pfn), 2),
    }),
  ),
  row('allocPagesNodemask', 'allocPagesNodemask', (m) =>
    of({
      call: () => allocPagesNodemask(m.pages, 0, GFP_KERNEL, 1, [0]),
      release: (pfn) => m.freePages(must(pfn), 1),
    }),
  ),
  row('allocPages with the page lists held', 'withPageListsHeld', (m) =>
    of({
      call: () => withPageListsHeld(m.pages, () => m.allocPages()),
      release: (pfn) => m.freePages(must(pfn)),
    }),
  ),
  row('allocPagesBulk', ['allocPagesBulk', 'freePagesList'], (m) =>
    of({
      call: () => allocPagesBulk(m.pages, GFP_KERNEL | __GFP_NOWARN, 20),
      release: (pfns) => freePagesList(m.pages, pfns),
    }),
  ),
  row('allocPagesExact', 'allocPagesExact', (m) =>
    of({
      call: () => allocPagesExact(m.pages, 5 * PAGE_SIZE, GFP_KERNEL),
      release: (pfn) => freePagesExact(m.pages, must(pfn), 5 * PAGE_SIZE),
    }),
  ),
  row('getFreePages', 'getFreePages', (m) =>
    of({
      call: () => getFreePages(m.pages, GFP_KERNEL, 2),
      release: (address) => freePagesAt(m.pages, address, 2),
    }),
  ),
  row('getZeroedPage', 'getZeroedPage', (m) =>
    of({
      call: () => getZeroedPage(m.pages, GFP_KERNEL),
      release: (address) => freePagesAt(m.pages, address),
    }),
  ),
  row('getDmaPages', 'getDmaPages', (m) =>
    of({
      call: () => getDmaPages(m.pages, GFP_KERNEL, 1),
      release: (address) => freePagesAt(m.pages, address, 1),
    }),
  ),
  row('a page fragment of a new block', 'PageFragCache#alloc', (m) => {
    const cache = new PageFragCache(m.pages)
    return of({
      call: () => cache.alloc(1000, GFP_KERNEL),
      release: (address) => {
        freePageFrag(m.pages, must(address))
        cache.drain()
      },
    })
  }),
  row(
    'a page fragment behind the end of a block in use',
    'PageFragCache#alloc',
    (m) => {
      const cache = new PageFragCache(m.pages)
      let first = must(cache.alloc(30_000, GFP_KERNEL))
      const renew = () => {
        freePageFrag(m.pages, first)
        cache.drain()
        first = must(cache.alloc(30_000, GFP_KERNEL))
      }
      return of({
        call: () => cache.alloc(4000, GFP_KERNEL),
        release: (address) => {
          freePageFrag(m.pages, must(address))
          renew()
        },
        // The cache has left its block before it asks for another one.
        undo: renew,
      })
    },
    { leaves: ['left'] },
  ),
  row('frames for a mapper, one block', 'frameSource', (m) => {
    const frames = frameSource(m.pages)
    return of({
      call: () => frames.allocPages(GFP_KERNEL, 1, -1),
      release: (pfn) => frames.freePages(pfn, 1),
    })
  }),
  row('pages for slabs', 'pageSource', (m) => {
    const source = pageSource(m.pages)
    return of({
      call: () => source.allocBlock(GFP_KERNEL, 1, 0),
      release: (pfn) => source.freeBlock(pfn, 1),
    })
  }),
  row(
    'allocContigPages',
    'allocContigPages',
    (m) =>
      of({
        call: () => allocContigPages(m.pages, 20, GFP_KERNEL),
        release: (pfn) => freeContigRange(m.pages, must(pfn), 20),
      }),
    { requests: false, on: isLarge },
  ),
  row(
    'allocContigRange',
    'allocContigRange',
    (m) => {
      const start = quietFrame(m)
      return of({
        call: () => allocContigRange(m.pages, start, (start + 12) as Pfn),
        failed: (code) => code !== 0,
        release: () => freeContigRange(m.pages, start, 12),
      })
    },
    { requests: false, on: isLarge },
  ),
  row(
    'reservePages',
    'reservePages',
    (m) => {
      const start = quietFrame(m)
      return of({
        call: () => reservePages(m.pages, start, 12),
        release: () =>
          freePagesList(
            m.pages,
            Array.from({ length: 12 }, (_, i) => (start + i) as Pfn),
          ),
      })
    },
    { requests: false },
  ),
]
