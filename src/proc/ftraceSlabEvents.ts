/**
 * The slab events of a trace, as columns, and the text of one event.
 * Source: spec/slab.md §18.6.
 */

import { checkInteger } from '../base/errors'
import { formatGfpTrace } from '../page/gfpText'
import type { FtraceLines } from './ftraceEvents'

/** Kind of event: kmalloc, the end of an allocation by size. */
export const FTRACE_KMALLOC = 7
/** Kind of event: kmem_cache_alloc, the end of an allocation from a cache. */
export const FTRACE_KMEM_CACHE_ALLOC = 8
/** Kind of event: kfree, the start of a free by address alone. */
export const FTRACE_KFREE = 9
/** Kind of event: kmem_cache_free, the start of a free to a cache. */
export const FTRACE_KMEM_CACHE_FREE = 10

/** Addresses from here up to the end are printed with a sign extension of 16 bits. */
const SIGN_BIT = 0x800000000000
const SIGN_END = 0x1000000000000

/**
 * The slab events of a trace: entry `i` of each column belongs to event `i`.
 *
 * `line`, `context`, `cpu`, `pid`, `task`, `flags` and `time` are as in `FtraceEvents`, so that events of both sort into
 * one order by `line`.
 */
export interface SlabEvents extends FtraceLines {
  /** Number of events. */
  readonly count: number
  /** FTRACE_KMALLOC ... FTRACE_KMEM_CACHE_FREE: numbers apart from those of page events. */
  readonly kind: Int32Array
  /**
   * Address of the object without its sign extension: 0xffff888003a4c040 is 0x888003a4c040. 0 for an
   * allocation that failed and for a free of null.
   */
  readonly ptr: Float64Array
  /** Bytes asked for; of a kmem_cache_alloc event the cache's object size; 0 for frees. */
  readonly bytesReq: Float64Array
  /** Bytes given: the size of the slot, or of the pages of a large allocation; 0 for frees. */
  readonly bytesAlloc: Float64Array
  /** GFP mask of an allocation; 0 for frees. */
  readonly gfp: Int32Array
  /** Node that an allocation asked for; -1 when it did not, and for frees. */
  readonly node: Int32Array
  /** 1 for an allocation that was charged to a memory cgroup, 0 otherwise. */
  readonly accounted: Int32Array
  /** Index in `names` of the cache of a kmem_cache_free event; -1 for all others. */
  readonly name: Int32Array
  /** Index in `callSites` of the caller. */
  readonly callSite: Int32Array
  /** Interrupt and task, packed. */
  readonly context: Int32Array
  /** CPU on which the event happened. */
  readonly cpu: Int32Array
  /** Thread that was running. */
  readonly pid: Int32Array
  /** Index in `tasks` of the name of the task that was running. */
  readonly task: Int32Array
  /** Index in `flagTexts` of the flags in front of the timestamp. */
  readonly flags: Int32Array
  /** Line number, counted over the lines that do not start with `#`, from 1. */
  readonly line: Int32Array
  /** Seconds; the raw count if the trace clock prints no decimal point. */
  readonly time: Float64Array
  /** Names of caches, in the order of their first free. */
  readonly names: readonly string[]
  /** Callers as the trace prints them, such as `free_task+0x9/0x50`, in the order of their first event. */
  readonly callSites: readonly string[]
}

/**
 * Text of event `i` from its name on, as ftrace prints it after the timestamp, such as
 * `kfree: call_site=free_task+0x9/0x50 ptr=ffff888003a4c040`.
 * @throws InvalidArgument when `i` is not in [0, events.count).
 */
export function formatFtraceSlabEvent(events: SlabEvents, i: number): string {
  checkInteger('i', i, 0, events.count - 1)
  const kind = events.kind[i]!
  const site = events.callSites[events.callSite[i]!] ?? ''
  const ptr = events.ptr[i]!
  if (kind === FTRACE_KFREE) return slabFreeText(site, ptr, null)
  if (kind === FTRACE_KMEM_CACHE_FREE) {
    return slabFreeText(site, ptr, events.names[events.name[i]!] ?? '')
  }
  return slabAllocText(
    kind === FTRACE_KMALLOC ? 'kmalloc' : 'kmem_cache_alloc',
    site,
    ptr,
    events.bytesReq[i]!,
    events.bytesAlloc[i]!,
    events.gfp[i]!,
    events.node[i]!,
    events.accounted[i] === 1,
  )
}

/** Text of an allocation from its name on. */
export function slabAllocText(
  name: string,
  callSite: string,
  ptr: number,
  bytesReq: number,
  bytesAlloc: number,
  gfp: number,
  node: number,
  accounted: boolean,
): string {
  return (
    `${name}: call_site=${callSite} ptr=${pointer(ptr)} ` +
    `bytes_req=${bytesReq} bytes_alloc=${bytesAlloc} ` +
    `gfp_flags=${formatGfpTrace(gfp)} node=${node} accounted=${accounted}`
  )
}

/** Text of a free from its name on: of kmem_cache_free with the name of a cache, of kfree with null. */
export function slabFreeText(callSite: string, ptr: number, cache: string | null): string {
  const place = `call_site=${callSite} ptr=${pointer(ptr)}`
  return cache === null ? `kfree: ${place}` : `kmem_cache_free: ${place} name=${cache}`
}

/** Sixteen hex digits, as `%px` prints them. */
function pointer(address: number): string {
  const digits = address.toString(16)
  const upper = address >= SIGN_BIT && address < SIGN_END
  return upper ? `ffff${digits}` : digits.padStart(16, '0')
}
