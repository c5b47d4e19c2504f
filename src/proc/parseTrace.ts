/**
 * Reads a whole trace as objects: the page events and the slab events in one order.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { parseFtrace } from './ftrace'
import type { FtraceEvents, FtraceSkipped } from './ftraceEvents'
import { ftraceBytes, isGeneralReason } from './ftraceReader'
import { parseFtraceSlab } from './ftraceSlab'
import type { SlabEvents } from './ftraceSlabEvents'
import { TRACE_EVENTS, type TraceEvent } from './traceEvents'
import { ftraceEventAt, ftraceSlabEventAt } from './traceObjects'

/** A trace, read. */
export interface ParsedTrace {
  /** The events that are known, in the order of their lines. */
  readonly events: readonly TraceEvent[]
  /** Number of well-formed lines of events that are not known, by event name. */
  readonly otherEvents: ReadonlyMap<string, number>
  /** The first 100 lines that could not be read; blank lines and those starting with `#` are not among them. */
  readonly skipped: readonly FtraceSkipped[]
  /** How many lines could not be read. */
  readonly skippedCount: number
  /** How many lines could not be read for each reason. */
  readonly skippedReasons: ReadonlyMap<string, number>
  /** Sum of the numbers in `CPU:n [LOST m EVENTS]` lines, which are also in `skipped`. */
  readonly lostEvents: number
}

/** As many skipped lines are listed as each of the two readers lists. */
const SKIPPED_LIMIT = 100

/**
 * Reads ftrace text, as `parseFtrace` and `parseFtraceSlab` do, into objects. Those two take a third of
 * the memory and time; large captures are read better by them.
 * @throws InvalidArgument when `input` is neither a string nor a Uint8Array.
 */
export function parseTrace(input: string | Uint8Array): ParsedTrace {
  const bytes = ftraceBytes(input)
  const pages = parseFtrace(bytes)
  const slabs = parseFtraceSlab(bytes)
  const known = new Set<string>(TRACE_EVENTS)
  const reasons = new Map(pages.skippedReasons)
  let { skippedCount } = pages
  for (const [reason, count] of slabs.skippedReasons) {
    if (isGeneralReason(reason)) continue
    reasons.set(reason, (reasons.get(reason) ?? 0) + count)
    skippedCount += count
  }
  const ofSlabs = slabs.skipped.filter(({ reason }) => !isGeneralReason(reason))
  return {
    events: mergeEvents(pages, slabs),
    otherEvents: new Map([...pages.otherEvents].filter(([name]) => !known.has(name))),
    skipped: [...pages.skipped, ...ofSlabs].sort((a, b) => a.line - b.line).slice(0, SKIPPED_LIMIT),
    skippedCount,
    skippedReasons: reasons,
    lostEvents: pages.lostEvents,
  }
}

/** Both in the order of their lines; no line has two events. */
function mergeEvents(pages: FtraceEvents, slabs: SlabEvents): TraceEvent[] {
  const events: TraceEvent[] = []
  let page = 0
  let slab = 0
  while (page < pages.count || slab < slabs.count) {
    const fromPages =
      slab === slabs.count || (page < pages.count && pages.line[page]! < slabs.line[slab]!)
    if (fromPages) events.push(ftraceEventAt(pages, page++))
    else events.push(ftraceSlabEventAt(slabs, slab++))
  }
  return events
}
