/** Who listens to an allocator, and two listeners in the place of one. Source: spec/page-allocator.md §9.8, spec/slab.md §18.6. */

import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { SlabTrace } from '../slab/context'
import type { PageTrace } from '../state/trace'

/** Who listens to the page events; null for nobody. */
export function pageListener(pages: BuddyAllocator): PageTrace | null {
  const { context } = pages
  return context.tracing ? context.trace : null
}

/** A listener for page events that tells each one to `a`, then to `b`. */
export function teePageTrace(a: PageTrace, b: PageTrace): PageTrace {
  return {
    pageAlloc(pfn, order, gfp, migratetype) {
      a.pageAlloc(pfn, order, gfp, migratetype)
      b.pageAlloc(pfn, order, gfp, migratetype)
    },
    pageFree(pfn, order) {
      a.pageFree(pfn, order)
      b.pageFree(pfn, order)
    },
    pageFreeBatched(pfn) {
      a.pageFreeBatched(pfn)
      b.pageFreeBatched(pfn)
    },
    zoneLocked(pfn, order, migratetype, percpuRefill) {
      a.zoneLocked(pfn, order, migratetype, percpuRefill)
      b.zoneLocked(pfn, order, migratetype, percpuRefill)
    },
    pcpuDrain(pfn, order, migratetype) {
      a.pcpuDrain(pfn, order, migratetype)
      b.pcpuDrain(pfn, order, migratetype)
    },
    extfrag(pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership) {
      a.extfrag(pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership)
      b.extfrag(pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership)
    },
  }
}

/** A listener for slab events that tells each one to `a`, then to `b`. */
export function teeSlabTrace(a: SlabTrace, b: SlabTrace): SlabTrace {
  return {
    kmalloc(object, bytesReq, bytesAlloc, gfp, node) {
      a.kmalloc(object, bytesReq, bytesAlloc, gfp, node)
      b.kmalloc(object, bytesReq, bytesAlloc, gfp, node)
    },
    cacheAlloc(object, bytesReq, bytesAlloc, gfp, node) {
      a.cacheAlloc(object, bytesReq, bytesAlloc, gfp, node)
      b.cacheAlloc(object, bytesReq, bytesAlloc, gfp, node)
    },
    kfree(object) {
      a.kfree(object)
      b.kfree(object)
    },
    cacheFree(object, name) {
      a.cacheFree(object, name)
      b.cacheFree(object, name)
    },
  }
}
