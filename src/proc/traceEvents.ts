/**
 * One event of the `kmem` trace system as an object: what tracepoints hand out, and what a parsed trace has.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { InvalidArgument } from '../base/errors'

/** Where and when an event happened. */
export interface TracePlace {
  /** Name of the task that was running. */
  readonly task: string
  /** Its number. */
  readonly pid: number
  /** The CPU. */
  readonly cpu: number
  /**
   * The flags as printed, such as `d.s..`: interrupts off, reschedule needed, in an interrupt, preemption
   * depth, migration off; a dot where nothing is to tell. '' when a line has none.
   */
  readonly flags: string
  /** Seconds, in whole microseconds when ftrace printed them. */
  readonly time: number
}

/** An allocation of pages ended. */
export interface PageAllocEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'mm_page_alloc'
  /** First frame of the block; -1 when the allocation failed. */
  readonly pfn: number
  /** log2 of the pages. */
  readonly order: number
  /** Migratetype that was asked for. */
  readonly migratetype: number
  /** GFP mask, as a signed 32-bit integer. */
  readonly gfp: number
}

/** A block is about to be freed; or a page of a list of pages, which has order 0, goes to the CPU's lists. */
export interface PageFreeEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'mm_page_free' | 'mm_page_free_batched'
  /** First frame. */
  readonly pfn: number
  /** log2 of the pages. */
  readonly order: number
}

/** A block left the buddy lists. */
export interface ZoneLockedEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'mm_page_alloc_zone_locked'
  /** First frame. */
  readonly pfn: number
  /** log2 of the pages. */
  readonly order: number
  /** Migratetype of the list. */
  readonly migratetype: number
  /** True when the block can fill a CPU's list. */
  readonly percpuRefill: boolean
}

/** A page of a CPU's list went back to the buddy lists. */
export interface PcpuDrainEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'mm_page_pcpu_drain'
  /** First frame. */
  readonly pfn: number
  /** log2 of the pages. */
  readonly order: number
  /** Migratetype of the list that it went to. */
  readonly migratetype: number
}

/** A block was stolen from another migratetype. */
export interface ExtfragEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'mm_page_alloc_extfrag'
  /** First frame. */
  readonly pfn: number
  /** Order that was asked for. */
  readonly allocOrder: number
  /** Order of the block. */
  readonly fallbackOrder: number
  /** Order of a pageblock. */
  readonly pageblockOrder: number
  /** Migratetype that was asked for. */
  readonly allocMigratetype: number
  /** Migratetype that the block had. */
  readonly fallbackMigratetype: number
  /** True when the block is smaller than a pageblock. */
  readonly fragmenting: boolean
  /** True when the whole pageblock changed its migratetype. */
  readonly changeOwnership: boolean
}

/** An allocation of an object ended: by size, or from a cache by name. */
export interface SlabAllocEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'kmalloc' | 'kmem_cache_alloc'
  /** The caller, such as `free_task+0x9/0x50`. */
  readonly callSite: string
  /** Address of the object without its sign extension; 0 when the allocation failed. */
  readonly ptr: number
  /** Bytes asked for; of a cache the size of its objects. */
  readonly bytesReq: number
  /** Bytes given. */
  readonly bytesAlloc: number
  /** GFP mask, as a signed 32-bit integer. */
  readonly gfp: number
  /** Node asked for; -1 for none. */
  readonly node: number
  /** True when it was charged to a memory cgroup. */
  readonly accounted: boolean
}

/** An object is about to be freed by address alone. */
export interface KfreeEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'kfree'
  /** The caller, such as `free_task+0x9/0x50`. */
  readonly callSite: string
  /** Address without its sign extension; 0 for null. */
  readonly ptr: number
}

/** An object is about to be freed to its cache. */
export interface CacheFreeEvent extends TracePlace {
  /** The kernel's name of the event. */
  readonly event: 'kmem_cache_free'
  /** The caller, such as `free_task+0x9/0x50`. */
  readonly callSite: string
  /** Address of the object without its sign extension. */
  readonly ptr: number
  /** Name of the cache. */
  readonly name: string
}

/** An event of the page allocator. */
export type PageTraceEvent =
  | PageAllocEvent
  | PageFreeEvent
  | ZoneLockedEvent
  | PcpuDrainEvent
  | ExtfragEvent

/** An event of the slab allocator. */
export type SlabTraceEvent = SlabAllocEvent | KfreeEvent | CacheFreeEvent

/** An event; `event` tells which one, and with it which fields there are. */
export type TraceEvent = PageTraceEvent | SlabTraceEvent

/** The kernel's name of an event. */
export type TraceEventName = TraceEvent['event']

/** The names of all events: that of kind `k`, FTRACE_PAGE_ALLOC to FTRACE_KMEM_CACHE_FREE, is at `k - 1`. */
export const TRACE_EVENTS: readonly TraceEventName[] = /* @__PURE__ */ Object.freeze([
  'mm_page_alloc',
  'mm_page_free',
  'mm_page_free_batched',
  'mm_page_alloc_zone_locked',
  'mm_page_pcpu_drain',
  'mm_page_alloc_extfrag',
  'kmalloc',
  'kmem_cache_alloc',
  'kfree',
  'kmem_cache_free',
] as const)

/** Bits of the page events: bit `k` stands for kind `k`. */
export const PAGE_EVENT_MASK = 0x7e
/** Bits of the slab events. */
export const SLAB_EVENT_MASK = 0x780

/**
 * The bits of some events, or of all that `available` has.
 * @throws InvalidArgument for what is no list of names, an empty list, and an event that is not available.
 */
export function traceEventMask(
  events: readonly TraceEventName[] | undefined,
  available: number,
): number {
  if (events === undefined) return available
  if (!Array.isArray(events) || events.length === 0) {
    throw new InvalidArgument('events', events, 'a list of one or more names of events')
  }
  let mask = 0
  for (const name of events) {
    const kind = TRACE_EVENTS.indexOf(name) + 1
    if (kind === 0) throw new InvalidArgument('event', name, `one of ${TRACE_EVENTS.join(', ')}`)
    mask |= 1 << kind
  }
  if ((mask & ~available) !== 0) {
    throw new InvalidArgument(
      'events',
      events.join(),
      'page events where there is no slab allocator',
    )
  }
  return mask
}
