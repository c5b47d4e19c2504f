/** Compares what an allocator emits, event by event, with what a trace has. */

import type { PageTrace } from '../state/trace'
import {
  FTRACE_EXTFRAG,
  FTRACE_EXTFRAG_CHANGE_OWNERSHIP,
  FTRACE_EXTFRAG_TYPE_SHIFT,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
  formatFtraceEvent,
} from './ftraceEvents'

/** A call that no event tells of, inferred from the events that follow. */
export interface Inferred {
  /** The trace line that it comes before. */
  readonly line: number
  /**
   * `bulk`: a bulk allocation of `pages` single pages. `held`: `pages` blocks freed while the page
   * lists were held. `split`: a block split into `pages` single pages.
   */
  readonly kind: 'bulk' | 'held' | 'split'
  /** How many pages or blocks, see `kind`. */
  readonly pages: number
}

/** A place where the allocator did something else than the traced kernel. */
export interface Difference {
  /** Line of the trace event. */
  readonly line: number
  /** The event in the trace; `nothing` when the trace has none here. */
  readonly expected: string
  /** What the allocator did. */
  readonly actual: string
}

/** What came of a replay. */
export interface ReplayResult {
  /** Events in the trace. */
  readonly events: number
  /** Events that the allocator emitted at their place with the same fields. */
  readonly identicalEvents: number
  /** Allocations in the trace. */
  readonly allocations: number
  /** Allocations that were given the same frame. */
  readonly identicalAllocations: number
  /** Blocks freed. */
  readonly frees: number
  /** Differences in all. */
  readonly different: number
  /** The first hundred of them. */
  readonly differences: readonly Difference[]
  /** Calls that no event tells of. */
  readonly inferred: readonly Inferred[]
}

/** Differences kept in full; further ones are only counted. */
export const MAX_DIFFERENCES = 100

/** Listens to an allocator and checks that its next event is the trace's next. */
export class TraceCompare implements PageTrace {
  /** The first event that is not accounted for. */
  next = 0
  /** Events emitted at their place with the same fields. */
  identicalEvents = 0
  /** Differences so far. */
  different = 0
  /** The first of them. */
  readonly differences: Difference[] = []
  protected readonly events: FtraceEvents
  protected readonly kind: Int32Array
  protected readonly pfn: Int32Array
  protected readonly order: Int32Array
  protected readonly migratetype: Int32Array

  constructor(events: FtraceEvents) {
    this.events = events
    this.kind = events.kind
    this.pfn = events.pfn
    this.order = events.order
    this.migratetype = events.migratetype
  }

  pageAlloc(pfn: number, order: number, gfp: number, migratetype: number): void {
    const same =
      this.isNext(FTRACE_PAGE_ALLOC, pfn, order, migratetype) && this.events.gfp[this.next] === gfp
    this.account(same, 'mm_page_alloc', pfn, order)
  }

  pageFree(pfn: number, order: number): void {
    const at = this.next
    const same =
      this.kind[at] === FTRACE_PAGE_FREE && this.pfn[at] === pfn && this.order[at] === order
    this.account(same, 'mm_page_free', pfn, order)
  }

  pageFreeBatched(pfn: number): void {
    const at = this.next
    const same = this.kind[at] === FTRACE_PAGE_FREE_BATCHED && this.pfn[at] === pfn
    this.account(same, 'mm_page_free_batched', pfn, 0)
  }

  zoneLocked(pfn: number, order: number, migratetype: number, percpuRefill: boolean): void {
    const same =
      this.isNext(FTRACE_ZONE_LOCKED, pfn, order, migratetype) &&
      this.events.detail[this.next] === (percpuRefill ? 1 : 0)
    this.account(same, 'mm_page_alloc_zone_locked', pfn, order)
  }

  pcpuDrain(pfn: number, order: number, migratetype: number): void {
    const same = this.isNext(FTRACE_PCPU_DRAIN, pfn, order, migratetype)
    this.account(same, 'mm_page_pcpu_drain', pfn, order)
  }

  extfrag(
    pfn: number,
    allocOrder: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void {
    const detail = this.events.detail[this.next]!
    const same =
      this.isNext(FTRACE_EXTFRAG, pfn, allocOrder, allocType) &&
      (detail & 0xff) === fallbackOrder &&
      ((detail >> FTRACE_EXTFRAG_TYPE_SHIFT) & 0xff) === fallbackType &&
      ((detail & FTRACE_EXTFRAG_CHANGE_OWNERSHIP) !== 0) === changeOwnership
    this.account(same, 'mm_page_alloc_extfrag', pfn, allocOrder)
  }

  private isNext(kind: number, pfn: number, order: number, migratetype: number): boolean {
    const at = this.next
    return (
      this.kind[at] === kind &&
      this.pfn[at] === pfn &&
      this.order[at] === order &&
      this.migratetype[at] === migratetype
    )
  }

  private account(same: boolean, name: string, pfn: number, order: number): void {
    if (same) {
      this.identicalEvents += 1
      this.next += 1
    } else {
      this.differ(`${name}: pfn=0x${pfn.toString(16)} order=${order}`)
    }
  }

  protected differ(actual: string, at = this.next): void {
    this.different += 1
    if (this.differences.length >= MAX_DIFFERENCES) return
    const inside = at < this.events.count
    this.differences.push({
      line: inside ? this.events.line[at]! : -1,
      expected: inside ? formatFtraceEvent(this.events, at) : 'nothing',
      actual,
    })
  }
}
