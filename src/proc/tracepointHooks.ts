/**
 * What tracepoints set as the listener of an allocator: a filter that knows the listener it took the
 * place of. Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 *
 * A hook whose mask is 0 is retired: it only passes events on, for a listener that was set later and still
 * refers to it. So hooks form a chain that ends, whoever sets and takes away listeners in which order.
 */

import { PAGEBLOCK_ORDER } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { SlabTrace } from '../slab/context'
import type { SlabAllocator } from '../slab/slabAllocator'
import type { PageTrace } from '../state/trace'
import {
  FTRACE_EXTFRAG,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
} from './ftraceEvents'
import {
  FTRACE_KFREE,
  FTRACE_KMALLOC,
  FTRACE_KMEM_CACHE_ALLOC,
  FTRACE_KMEM_CACHE_FREE,
} from './ftraceSlabEvents'
import { extfragDetail } from './traceObjects'
import { pageListener } from './traceTee'

/** Takes events, as the columns of parsed traces hold them. */
export interface TraceSink {
  /** A page event. */
  page(
    kind: number,
    pfn: number,
    order: number,
    migratetype: number,
    gfp: number,
    detail: number,
  ): void
  /** A slab event; `name` is that of a cache, '' for the events that do not tell it. */
  slab(
    kind: number,
    ptr: number,
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
    name: string,
  ): void
}

/** What hooks of both layers have. */
abstract class Hook<T> {
  /** Who listened before. */
  readonly before: T | null
  /** Bits of the kinds that `sink` takes; 0 for a retired hook. */
  mask: number
  protected readonly sink: TraceSink

  constructor(before: T | null, mask: number, sink: TraceSink) {
    this.before = before
    this.mask = mask
    this.sink = sink
  }
}

/** The listener of a page allocator. */
export class PageHook extends Hook<PageTrace> implements PageTrace {
  pageAlloc(pfn: number, order: number, gfp: number, migratetype: number): void {
    this.before?.pageAlloc(pfn, order, gfp, migratetype)
    this.tell(FTRACE_PAGE_ALLOC, pfn, order, migratetype, gfp | 0, 0)
  }

  pageFree(pfn: number, order: number): void {
    this.before?.pageFree(pfn, order)
    this.tell(FTRACE_PAGE_FREE, pfn, order, -1, 0, 0)
  }

  pageFreeBatched(pfn: number): void {
    this.before?.pageFreeBatched(pfn)
    this.tell(FTRACE_PAGE_FREE_BATCHED, pfn, 0, -1, 0, 0)
  }

  zoneLocked(pfn: number, order: number, migratetype: number, percpuRefill: boolean): void {
    this.before?.zoneLocked(pfn, order, migratetype, percpuRefill)
    this.tell(FTRACE_ZONE_LOCKED, pfn, order, migratetype, 0, percpuRefill ? 1 : 0)
  }

  pcpuDrain(pfn: number, order: number, migratetype: number): void {
    this.before?.pcpuDrain(pfn, order, migratetype)
    this.tell(FTRACE_PCPU_DRAIN, pfn, order, migratetype, 0, 0)
  }

  extfrag(
    pfn: number,
    allocOrder: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void {
    this.before?.extfrag(pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership)
    const fragmenting = fallbackOrder < PAGEBLOCK_ORDER
    const detail = extfragDetail(
      fallbackOrder,
      fallbackType,
      PAGEBLOCK_ORDER,
      fragmenting,
      changeOwnership,
    )
    this.tell(FTRACE_EXTFRAG, pfn, allocOrder, allocType, 0, detail)
  }

  private tell(
    kind: number,
    pfn: number,
    order: number,
    migratetype: number,
    gfp: number,
    detail: number,
  ): void {
    if ((this.mask & (1 << kind)) !== 0) this.sink.page(kind, pfn, order, migratetype, gfp, detail)
  }
}

/** The listener of a slab allocator. */
export class SlabHook extends Hook<SlabTrace> implements SlabTrace {
  kmalloc(object: number, bytesReq: number, bytesAlloc: number, gfp: number, node: number): void {
    this.before?.kmalloc(object, bytesReq, bytesAlloc, gfp, node)
    this.tell(FTRACE_KMALLOC, object, bytesReq, bytesAlloc, gfp | 0, node | 0, '')
  }

  cacheAlloc(
    object: number,
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
  ): void {
    this.before?.cacheAlloc(object, bytesReq, bytesAlloc, gfp, node)
    this.tell(FTRACE_KMEM_CACHE_ALLOC, object, bytesReq, bytesAlloc, gfp | 0, node | 0, '')
  }

  kfree(object: number): void {
    this.before?.kfree(object)
    this.tell(FTRACE_KFREE, object, 0, 0, 0, -1, '')
  }

  cacheFree(object: number, name: string): void {
    this.before?.cacheFree(object, name)
    this.tell(FTRACE_KMEM_CACHE_FREE, object, 0, 0, 0, -1, name)
  }

  private tell(
    kind: number,
    ptr: number,
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
    name: string,
  ): void {
    if ((this.mask & (1 << kind)) === 0) return
    this.sink.slab(kind, ptr, bytesReq, bytesAlloc, gfp, node, name)
  }
}

/** A hook for `mask` in front of who listens now; `old`, which no longer is, is retired. */
export function setPageHook(
  pages: BuddyAllocator,
  old: PageHook | null,
  mask: number,
  sink: TraceSink,
): PageHook {
  const current = pageListener(pages)
  if (keeps(old, current, mask)) return old
  const hook = new PageHook(firstActive(current, PageHook), mask, sink)
  pages.setTrace(hook)
  return hook
}

/** Retires the hook, and gives the place back unless somebody else has it now. */
export function dropPageHook(pages: BuddyAllocator, hook: PageHook): void {
  hook.mask = 0
  const current = pageListener(pages)
  if (current === hook) pages.setTrace(firstActive(current, PageHook))
}

/** As {@link setPageHook}. */
export function setSlabHook(
  slabs: SlabAllocator,
  old: SlabHook | null,
  mask: number,
  sink: TraceSink,
): SlabHook {
  const current = slabs.context.trace
  if (keeps(old, current, mask)) return old
  const hook = new SlabHook(firstActive(current, SlabHook), mask, sink)
  slabs.setTrace(hook)
  return hook
}

/** As {@link dropPageHook}. */
export function dropSlabHook(slabs: SlabAllocator, hook: SlabHook): void {
  hook.mask = 0
  const current = slabs.context.trace
  if (current === hook) slabs.setTrace(firstActive(current, SlabHook))
}

/** Gives a hook that still listens its new mask, and retires one that does not. */
function keeps<T, H extends T & Hook<T>>(old: H | null, current: T | null, mask: number): old is H {
  if (old === null) return false
  const listens = current === old
  old.mask = listens ? mask : 0
  return listens
}

/** The first listener of the chain that does more than pass on. */
function firstActive<T>(
  trace: T | null,
  hook: new (before: T | null, mask: number, sink: TraceSink) => Hook<T>,
): T | null {
  let active = trace
  while (active instanceof hook && active.mask === 0) active = active.before
  return active
}
