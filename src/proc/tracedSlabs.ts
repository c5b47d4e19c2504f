/**
 * What a trace tells of the traced kernel's slabs: the blocks of pages that became slabs, and the slabs
 * that went back to the pages.
 *
 * No event says so. But the page events of the same trace name blocks, the slab events name objects, and a
 * block is nothing else while it is a slab: a block with an object inside is a slab of the object's cache
 * from its mm_page_alloc to its mm_page_free.
 */

import { LAYOUT_X86_64, type Layout } from '../base/layout'
import { PAGE_SIZE } from '../base/units'
import { FTRACE_PAGE_ALLOC, FTRACE_PAGE_FREE, type FtraceEvents } from './ftraceEvents'
import type { SlabEvents } from './ftraceSlabEvents'
import { type TracedCaches, tracedCaches } from './tracedCaches'

/** Slabs of one cache of the traced kernel. */
export interface TracedSlabs {
  /** Name of the cache, as in `SlabWorkload`. */
  readonly name: string
  /** Blocks that became slabs. */
  readonly made: number
  /** Slabs that went back, those from before the trace included. */
  readonly returned: number
  /** Pages of the blocks that became slabs. */
  readonly pagesMade: number
  /** Pages of the slabs that went back. */
  readonly pagesReturned: number
}

/** A block of pages that came up in the trace. */
interface Block {
  /** Index of the cache that it is a slab of; -1 as long as no object in it came up. */
  cache: number
  /** Its pages; 0 for one page of a block from before the trace, whose size is not known. */
  pages: number
}

/**
 * Finds the slabs that the traced kernel made and gave back, by cache; caches with neither are left out.
 * The two hold the events of one trace. A slab is seen when an event names an object in it: one that is
 * filled and emptied without events, as bulk calls do, is not. Cost: the events of both.
 */
export function tracedSlabs(
  slabEvents: SlabEvents,
  pageEvents: FtraceEvents,
  layout: Layout = LAYOUT_X86_64,
): TracedSlabs[] {
  const traced = tracedCaches(slabEvents)
  const counter = new SlabCounter(traced)
  let page = 0
  for (let i = 0; i < slabEvents.count; i++) {
    const line = slabEvents.line[i]!
    for (; page < pageEvents.count && pageEvents.line[page]! < line; page++) {
      counter.pageEvent(pageEvents, page)
    }
    const frame = Math.floor((slabEvents.ptr[i]! - layout.directMap) / PAGE_SIZE)
    if (traced.cacheOf[i]! >= 0) counter.object(frame, traced.cacheOf[i]!)
  }
  for (; page < pageEvents.count; page++) counter.pageEvent(pageEvents, page)
  return counter.result()
}

class SlabCounter {
  private readonly blocks = new Map<number, Block>()
  private readonly counts: { -readonly [key in keyof TracedSlabs]: TracedSlabs[key] }[]

  constructor(traced: TracedCaches) {
    this.counts = traced.caches.map(({ name }) => {
      return { name, made: 0, returned: 0, pagesMade: 0, pagesReturned: 0 }
    })
  }

  result(): TracedSlabs[] {
    return this.counts.filter(({ made, returned }) => made > 0 || returned > 0)
  }

  /** An object of a cache came up: its block is a slab. */
  object(frame: number, cache: number): void {
    const block = this.blocks.get(frame)
    if (block === undefined) {
      this.blocks.set(frame, { cache, pages: 0 })
      return
    }
    const counts = this.counts[cache]
    if (block.cache < 0 && counts !== undefined) {
      counts.made += 1
      counts.pagesMade += block.pages
    }
    block.cache = cache
  }

  pageEvent(events: FtraceEvents, i: number): void {
    const pfn = events.pfn[i]!
    if (pfn < 0) return
    const pages = 2 ** events.order[i]!
    if (events.kind[i] === FTRACE_PAGE_ALLOC) {
      const block = { cache: -1, pages }
      for (let frame = pfn; frame < pfn + pages; frame++) this.blocks.set(frame, block)
    } else if (events.kind[i] === FTRACE_PAGE_FREE) {
      this.free(pfn, pages)
    }
  }

  private free(pfn: number, pages: number): void {
    let cache = -1
    for (let frame = pfn; frame < pfn + pages; frame++) {
      // Of a slab from before the trace, only the pages with objects that came up are known.
      cache = Math.max(cache, this.blocks.get(frame)?.cache ?? -1)
      this.blocks.delete(frame)
    }
    const counts = this.counts[cache]
    if (counts === undefined) return
    counts.returned += 1
    counts.pagesReturned += pages
  }
}
