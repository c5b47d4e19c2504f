/**
 * The page events of a trace, as columns, and the text of one event.
 * Source: spec/page-allocator.md §9.8, spec/page-allocator-recordings.md §3.
 */

import { checkInteger } from '../base/errors'
import { formatGfpTrace } from '../page/gfpText'

/** Kind of event: mm_page_alloc, the end of an allocation. */
export const FTRACE_PAGE_ALLOC = 1
/** Kind of event: mm_page_free, the start of a free. */
export const FTRACE_PAGE_FREE = 2
/** Kind of event: mm_page_free_batched, one page of a list free. */
export const FTRACE_PAGE_FREE_BATCHED = 3
/** Kind of event: mm_page_alloc_zone_locked, a block taken from a free list. */
export const FTRACE_ZONE_LOCKED = 4
/** Kind of event: mm_page_pcpu_drain, a page gone from a per-CPU list to the buddy lists. */
export const FTRACE_PCPU_DRAIN = 5
/** Kind of event: mm_page_alloc_extfrag, a block stolen from another migratetype. */
export const FTRACE_EXTFRAG = 6

/** Context bit: 1 the event happened in a softirq or an interrupt (third flag character `s S h H z Z`), 0 in a task. */
export const FTRACE_CONTEXT_INTERRUPT = 0x1
/** Context bit: 1 the task is a ksoftirqd, so that its softirqs interrupt nobody; 0 any other task. */
export const FTRACE_CONTEXT_KSOFTIRQD = 0x2
/** Place of the third flag character itself in the context word; 0 there when the line has no flags. */
export const FTRACE_CONTEXT_CHAR_SHIFT = 8

/** Place of the fallback migratetype in the detail word of an extfrag event; the fallback order is below it. */
export const FTRACE_EXTFRAG_TYPE_SHIFT = 8
/** Place of the pageblock order in the detail word of an extfrag event. */
export const FTRACE_EXTFRAG_PAGEBLOCK_SHIFT = 16
/** Detail bit of an extfrag event: 1 the stolen block is smaller than a pageblock. */
export const FTRACE_EXTFRAG_FRAGMENTING = 0x1000000
/** Detail bit of an extfrag event: 1 the whole pageblock changed its migratetype. */
export const FTRACE_EXTFRAG_CHANGE_OWNERSHIP = 0x2000000

/** A line that could not be read. */
export interface FtraceSkipped {
  /** Its number: lines that do not start with `#` are counted, from 1. */
  readonly line: number
  /** What is wrong with it. */
  readonly reason: string
}

/** What is told of a text besides the columns of the events that were wanted. */
export interface FtraceLines {
  /** Names of tasks, in the order of their first event. */
  readonly tasks: readonly string[]
  /** Flags as printed, such as `d.s..`, in the order of their first event; '' when a line has none. */
  readonly flagTexts: readonly string[]
  /**
   * Number of well-formed lines of other events by event name: of the slab allocator's too where page
   * events were wanted, and the reverse.
   */
  readonly otherEvents: ReadonlyMap<string, number>
  /** The first 100 lines that could not be read; blank lines and those starting with `#` are not among them. */
  readonly skipped: readonly FtraceSkipped[]
  /** How many lines could not be read. */
  readonly skippedCount: number
  /** How many lines could not be read for each reason; what differs from line to line is left out of the text. */
  readonly skippedReasons: ReadonlyMap<string, number>
  /** Sum of the numbers in `CPU:n [LOST m EVENTS]` lines, which are also in `skipped`. */
  readonly lostEvents: number
}

/**
 * The page events of a trace: entry `i` of each column belongs to event `i`.
 *
 * The `context` word:
 *
 *     15..8                          1          0
 *     third flag character, 0 none   ksoftirqd  interrupt
 *
 * Example: 0x7301 is a softirq (`s` is 0x73) inside an ordinary task.
 *
 * The `detail` word is 0 or 1 (percpu_refill) for zone_locked events, 0 for all others but extfrag:
 *
 *     25                24           23..16           15..8          7..0
 *     change_ownership  fragmenting  pageblock_order  fallback type  fallback order
 *
 * Example: 0x209010a is an order-10 block of type 1 (MOVABLE) claimed with its pageblock of order 9.
 */
export interface FtraceEvents extends FtraceLines {
  /** Number of events. */
  readonly count: number
  /** FTRACE_PAGE_ALLOC ... FTRACE_EXTFRAG. */
  readonly kind: Int32Array
  /** First frame of the block, in [0, 2^31); -1 for an allocation that failed. */
  readonly pfn: Int32Array
  /** Order of the block; of an extfrag event the order asked for. */
  readonly order: Int32Array
  /** Migratetype; of an extfrag event the type asked for; -1 for events that do not tell it. */
  readonly migratetype: Int32Array
  /** GFP mask of an allocation; 0 for all other events. */
  readonly gfp: Int32Array
  /** What only zone_locked and extfrag events tell, packed as drawn above. */
  readonly detail: Int32Array
  /** Interrupt and task, packed as drawn above. */
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
}

/**
 * Text of event `i` from its name on, as ftrace prints it after the timestamp, such as
 * `mm_page_free: page=ffffea00003bc9c0 pfn=0xef27 order=0`. The page pointer is that of a kernel without
 * address randomisation: 0xffffea0000000000 + 64 * pfn.
 * @throws InvalidArgument when `i` is not in [0, events.count).
 */
export function formatFtraceEvent(events: FtraceEvents, i: number): string {
  checkInteger('i', i, 0, events.count - 1)
  return pageEventText(
    events.kind[i]!,
    events.pfn[i]!,
    events.order[i]!,
    events.migratetype[i]!,
    events.gfp[i]!,
    events.detail[i]!,
    null,
  )
}

/** Text of a page event from its name on; `page` stands for the page pointer, null for the real one. */
export function pageEventText(
  kind: number,
  pfn: number,
  order: number,
  type: number,
  gfp: number,
  detail: number,
  page: string | null,
): string {
  const place = `page=${page ?? pagePointer(pfn)} pfn=0x${Math.max(pfn, 0).toString(16)}`
  switch (kind) {
    case FTRACE_PAGE_ALLOC:
      return `mm_page_alloc: ${place} order=${order} migratetype=${type} gfp_flags=${formatGfpTrace(gfp)}`
    case FTRACE_PAGE_FREE:
      return `mm_page_free: ${place} order=${order}`
    case FTRACE_PAGE_FREE_BATCHED:
      return `mm_page_free_batched: ${place} order=${order}`
    case FTRACE_ZONE_LOCKED:
      return `mm_page_alloc_zone_locked: ${place} order=${order} migratetype=${type} percpu_refill=${detail}`
    case FTRACE_PCPU_DRAIN:
      return `mm_page_pcpu_drain: ${place} order=${order} migratetype=${type}`
    default:
      return `mm_page_alloc_extfrag: ${place} ${formatExtfrag(order, type, detail)}`
  }
}

/** Address of a frame's record without randomisation; zeros for no frame. */
function pagePointer(pfn: number): string {
  return pfn < 0 ? '0'.repeat(16) : `ffffea${(pfn * 64).toString(16).padStart(10, '0')}`
}

function formatExtfrag(order: number, type: number, detail: number): string {
  const fallbackOrder = detail & 0xff
  const fallbackType = (detail >> FTRACE_EXTFRAG_TYPE_SHIFT) & 0xff
  const pageblockOrder = (detail >> FTRACE_EXTFRAG_PAGEBLOCK_SHIFT) & 0xff
  const fragmenting = (detail & FTRACE_EXTFRAG_FRAGMENTING) === 0 ? 0 : 1
  const changeOwnership = (detail & FTRACE_EXTFRAG_CHANGE_OWNERSHIP) === 0 ? 0 : 1
  return (
    `alloc_order=${order} fallback_order=${fallbackOrder} pageblock_order=${pageblockOrder} ` +
    `alloc_migratetype=${type} fallback_migratetype=${fallbackType} ` +
    `fragmenting=${fragmenting} change_ownership=${changeOwnership}`
  )
}
