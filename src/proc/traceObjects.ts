/**
 * Makes objects of events from what columns hold: those of parsed traces, and those of rings.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { checkInteger } from '../base/errors'
import {
  FTRACE_EXTFRAG_CHANGE_OWNERSHIP,
  FTRACE_EXTFRAG_FRAGMENTING,
  FTRACE_EXTFRAG_PAGEBLOCK_SHIFT,
  FTRACE_EXTFRAG_TYPE_SHIFT,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
} from './ftraceEvents'
import {
  FTRACE_KFREE,
  FTRACE_KMALLOC,
  FTRACE_KMEM_CACHE_FREE,
  type SlabEvents,
} from './ftraceSlabEvents'
import type { PageTraceEvent, SlabTraceEvent, TracePlace } from './traceEvents'

/** The detail word of an extfrag event, as in FtraceEvents. */
export function extfragDetail(
  fallbackOrder: number,
  fallbackType: number,
  pageblockOrder: number,
  fragmenting: boolean,
  changeOwnership: boolean,
): number {
  return (
    fallbackOrder |
    (fallbackType << FTRACE_EXTFRAG_TYPE_SHIFT) |
    (pageblockOrder << FTRACE_EXTFRAG_PAGEBLOCK_SHIFT) |
    (fragmenting ? FTRACE_EXTFRAG_FRAGMENTING : 0) |
    (changeOwnership ? FTRACE_EXTFRAG_CHANGE_OWNERSHIP : 0)
  )
}

/** A page event from what its columns in FtraceEvents hold. */
export function pageTraceEvent(
  place: TracePlace,
  kind: number,
  pfn: number,
  order: number,
  migratetype: number,
  gfp: number,
  detail: number,
): PageTraceEvent {
  switch (kind) {
    case FTRACE_PAGE_ALLOC:
      return { event: 'mm_page_alloc', ...place, pfn, order, migratetype, gfp }
    case FTRACE_PAGE_FREE:
      return { event: 'mm_page_free', ...place, pfn, order }
    case FTRACE_PAGE_FREE_BATCHED:
      return { event: 'mm_page_free_batched', ...place, pfn, order }
    case FTRACE_ZONE_LOCKED: {
      const percpuRefill = detail === 1
      return { event: 'mm_page_alloc_zone_locked', ...place, pfn, order, migratetype, percpuRefill }
    }
    case FTRACE_PCPU_DRAIN:
      return { event: 'mm_page_pcpu_drain', ...place, pfn, order, migratetype }
    default:
      return {
        event: 'mm_page_alloc_extfrag',
        ...place,
        pfn,
        allocOrder: order,
        fallbackOrder: detail & 0xff,
        pageblockOrder: (detail >> FTRACE_EXTFRAG_PAGEBLOCK_SHIFT) & 0xff,
        allocMigratetype: migratetype,
        fallbackMigratetype: (detail >> FTRACE_EXTFRAG_TYPE_SHIFT) & 0xff,
        fragmenting: (detail & FTRACE_EXTFRAG_FRAGMENTING) !== 0,
        changeOwnership: (detail & FTRACE_EXTFRAG_CHANGE_OWNERSHIP) !== 0,
      }
  }
}

/** A slab event from what its columns in SlabEvents hold; `name` is that of the cache of a free. */
export function slabTraceEvent(
  place: TracePlace,
  kind: number,
  callSite: string,
  ptr: number,
  bytesReq: number,
  bytesAlloc: number,
  gfp: number,
  node: number,
  accounted: boolean,
  name: string,
): SlabTraceEvent {
  if (kind === FTRACE_KFREE) return { event: 'kfree', ...place, callSite, ptr }
  if (kind === FTRACE_KMEM_CACHE_FREE) {
    return { event: 'kmem_cache_free', ...place, callSite, ptr, name }
  }
  const event = kind === FTRACE_KMALLOC ? 'kmalloc' : 'kmem_cache_alloc'
  return { event, ...place, callSite, ptr, bytesReq, bytesAlloc, gfp, node, accounted }
}

/**
 * Event `i` of the page events of a trace, as an object.
 * @throws InvalidArgument when `i` is not in [0, events.count).
 */
export function ftraceEventAt(events: FtraceEvents, i: number): PageTraceEvent {
  checkInteger('i', i, 0, events.count - 1)
  return pageTraceEvent(
    placeOf(events, i),
    events.kind[i]!,
    events.pfn[i]!,
    events.order[i]!,
    events.migratetype[i]!,
    events.gfp[i]!,
    events.detail[i]!,
  )
}

/**
 * Event `i` of the slab events of a trace, as an object.
 * @throws InvalidArgument when `i` is not in [0, events.count).
 */
export function ftraceSlabEventAt(events: SlabEvents, i: number): SlabTraceEvent {
  checkInteger('i', i, 0, events.count - 1)
  return slabTraceEvent(
    placeOf(events, i),
    events.kind[i]!,
    events.callSites[events.callSite[i]!] ?? '',
    events.ptr[i]!,
    events.bytesReq[i]!,
    events.bytesAlloc[i]!,
    events.gfp[i]!,
    events.node[i]!,
    events.accounted[i] === 1,
    events.names[events.name[i]!] ?? '',
  )
}

function placeOf(events: FtraceEvents | SlabEvents, i: number): TracePlace {
  return {
    task: events.tasks[events.task[i]!] ?? '',
    pid: events.pid[i]!,
    cpu: events.cpu[i]!,
    flags: events.flagTexts[events.flags[i]!] ?? '',
    time: events.time[i]!,
  }
}
