/**
 * Replays a captured page trace through an allocator and compares what it does with what the traced
 * kernel did, event by event.
 *
 * The trace does not tell everything: bulk allocations emit no event, and frees by an interrupt that
 * hit the CPU while it held its page lists look like any other. Where the events that follow prove
 * such a call, it is made too, and reported as inferred ({@link Inferred}).
 *
 * Source: spec/page-allocator-recordings.md §3.
 */

import type { Pfn } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import { FTRACE_PAGE_ALLOC, FTRACE_PAGE_FREE, type FtraceEvents } from './ftraceEvents'
import { Replayer } from './replayer'
import type { ReplayResult } from './traceCompare'
import { pageListener, teePageTrace } from './traceTee'

/** How to replay. */
export interface ReplayOptions {
  /**
   * `recorded`: the allocator holds the state before the trace, and every event is compared.
   * `own`: the trace is only a workload, on any allocator; frames are the allocator's own.
   */
  readonly addresses?: 'recorded' | 'own'
  /** Called now and then with the events done and the events there are. */
  readonly onProgress?: (done: number, total: number) => void
}

/** Events between two calls of `onProgress`. */
const PROGRESS_EVENTS = 8192

/**
 * Applies the events in order as calls of `pages`. The allocator must run on the CPU and node of the
 * trace. A trace listener that is there hears the events first, and has its place back afterwards.
 *
 * Cost: that of the calls.
 */
export function replay(
  events: FtraceEvents,
  pages: BuddyAllocator,
  options: ReplayOptions = {},
): ReplayResult {
  if (options.addresses === 'own') return replayWorkload(events, pages, options)
  const replayer = new Replayer(events, pages)
  const before = pageListener(pages)
  pages.setTrace(before === null ? replayer : teePageTrace(before, replayer))
  try {
    let report = PROGRESS_EVENTS
    while (replayer.next < events.count) {
      replayer.step()
      replayer.reconsider()
      if (replayer.next >= report) {
        options.onProgress?.(replayer.next, events.count)
        report = replayer.next + PROGRESS_EVENTS
      }
    }
  } finally {
    pages.setTrace(before)
  }
  options.onProgress?.(events.count, events.count)
  return replayer.result()
}

/** Makes the trace's calls on any allocator: what was allocated in the trace is freed when it was there. */
function replayWorkload(
  events: FtraceEvents,
  pages: BuddyAllocator,
  options: ReplayOptions,
): ReplayResult {
  const own = new Map<number, { pfn: Pfn; order: number }>()
  let allocations = 0
  let frees = 0
  let different = 0
  for (let i = 0; i < events.count; i++) {
    if (i % PROGRESS_EVENTS === 0) options.onProgress?.(i, events.count)
    const traced = events.pfn[i]!
    if (events.kind[i] === FTRACE_PAGE_ALLOC) {
      allocations += 1
      const order = events.order[i]!
      const pfn = pages.allocPages(events.gfp[i]! >>> 0, order)
      if (pfn === null || traced < 0) different += pfn === null && traced < 0 ? 0 : 1
      else own.set(traced, { pfn, order })
      if (pfn !== null && traced < 0) pages.freePages(pfn, order)
    } else if (events.kind[i] === FTRACE_PAGE_FREE) {
      const block = own.get(traced)
      if (block === undefined) continue
      own.delete(traced)
      frees += 1
      pages.freePages(block.pfn, block.order)
    }
  }
  options.onProgress?.(events.count, events.count)
  return {
    events: events.count,
    identicalEvents: 0,
    allocations,
    identicalAllocations: 0,
    frees,
    different,
    differences: [],
    inferred: [],
  }
}
