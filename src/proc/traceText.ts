/**
 * The text of traces: single events, and the whole of the `trace` file with its header.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { pageEventText } from './ftraceEvents'
import { slabAllocText, slabFreeText } from './ftraceSlabEvents'
import { type PageTraceEvent, TRACE_EVENTS, type TraceEvent } from './traceEvents'
import { extfragDetail } from './traceObjects'

/** How events are printed. */
export interface TraceFormat {
  /**
   * `real` prints the address of the frame's record as a kernel without address randomisation does with
   * the trace option hash-ptr off; `hidden` prints `(____ptrval____)`, as kernels do early. Default `real`.
   */
  readonly pagePointers?: 'real' | 'hidden'
}

/** How a whole trace is printed. */
export interface TraceTextOptions extends TraceFormat {
  /** Events there were, with those that are no longer in the buffer. Default: as many as are printed. */
  readonly written?: number
  /** CPUs of the machine. Default: one more than the highest in the events, 1 or more. */
  readonly cpus?: number
}

/** What a kernel prints for a pointer before it can hash pointers. */
const HIDDEN = '(____ptrval____)'
const INT_MAX = 0x7fffffff

const LEGEND = `#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
`

/**
 * The line of an event as ftrace prints it, without a line feed:
 * `             cat-39      [000] .....     2.418456: kfree: call_site=free_task+0x9/0x50 ptr=ffff888003a4c040`.
 * Parsing it gives the event back, when its time is in whole microseconds.
 * @throws InvalidArgument when the event has no name that ftrace knows.
 */
export function formatTraceEvent(event: TraceEvent, format: TraceFormat = {}): string {
  if (!TRACE_EVENTS.includes(event?.event)) {
    throw new InvalidArgument('event', event, `one of ${TRACE_EVENTS.join(', ')}`)
  }
  const task = event.task.padStart(16)
  const cpu = String(event.cpu).padStart(3, '0')
  const flags = event.flags === '' ? '' : `${event.flags} `
  const place = `${task}-${String(event.pid).padEnd(7)} [${cpu}] ${flags}`
  return `${place}${event.time.toFixed(6).padStart(12)}: ${fieldsText(event, format)}`
}

/**
 * The `trace` file of these events: the header, and a line for each.
 * @throws InvalidArgument when `written` is less than the events given, or `cpus` is no count.
 */
export function formatTrace(events: readonly TraceEvent[], options: TraceTextOptions = {}): string {
  const { written = events.length } = options
  checkInteger('written', written, events.length, Number.MAX_SAFE_INTEGER)
  const cpus = options.cpus ?? events.reduce((most, { cpu }) => Math.max(most, cpu + 1), 1)
  checkInteger('cpus', cpus, 1, INT_MAX)
  const counts = `# entries-in-buffer/entries-written: ${events.length}/${written}   #P:${cpus}`
  const lines = events.map((event) => `${formatTraceEvent(event, options)}\n`)
  return `# tracer: nop\n#\n${counts}\n${LEGEND}${lines.join('')}`
}

function fieldsText(event: TraceEvent, format: TraceFormat): string {
  switch (event.event) {
    case 'kmalloc':
    case 'kmem_cache_alloc': {
      const { callSite, ptr, bytesReq, bytesAlloc, gfp, node, accounted } = event
      return slabAllocText(event.event, callSite, ptr, bytesReq, bytesAlloc, gfp, node, accounted)
    }
    case 'kfree':
      return slabFreeText(event.callSite, event.ptr, null)
    case 'kmem_cache_free':
      return slabFreeText(event.callSite, event.ptr, event.name)
    default:
      return pageText(event, event.pfn >= 0 && format.pagePointers === 'hidden' ? HIDDEN : null)
  }
}

function pageText(event: PageTraceEvent, page: string | null): string {
  const kind = TRACE_EVENTS.indexOf(event.event) + 1
  const { pfn } = event
  switch (event.event) {
    case 'mm_page_alloc':
      return pageEventText(kind, pfn, event.order, event.migratetype, event.gfp, 0, page)
    case 'mm_page_free':
    case 'mm_page_free_batched':
      return pageEventText(kind, pfn, event.order, -1, 0, 0, page)
    case 'mm_page_alloc_zone_locked': {
      const detail = event.percpuRefill ? 1 : 0
      return pageEventText(kind, pfn, event.order, event.migratetype, 0, detail, page)
    }
    case 'mm_page_pcpu_drain':
      return pageEventText(kind, pfn, event.order, event.migratetype, 0, 0, page)
    default: {
      const detail = extfragDetail(
        event.fallbackOrder,
        event.fallbackMigratetype,
        event.pageblockOrder,
        event.fragmenting,
        event.changeOwnership,
      )
      return pageEventText(kind, pfn, event.allocOrder, event.allocMigratetype, 0, detail, page)
    }
  }
}
