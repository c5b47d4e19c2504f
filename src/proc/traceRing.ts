/**
 * A ring of the last events, in columns that are made once: keeping an event allocates nothing.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { checkInteger } from '../base/errors'
import { PAGE_EVENT_MASK, type TraceEvent } from './traceEvents'
import { traceFlagsText } from './traceFlags'
import { pageTraceEvent, slabTraceEvent } from './traceObjects'

/** Integers of an event: kind, CPU, pid, flags, GFP mask, and up to four of its own. */
const ROW = 9
const KIND = 0
const CPU = 1
const PID = 2
const FLAGS = 3
const GFP = 4
/** Of a page event; a slab event has its node here. */
const PFN = 5
const ORDER = 6
const MIGRATETYPE = 7
const DETAIL = 8

/** Doubles of an event: time, and three of a slab event. */
const WIDE = 4
const TIME = 0
const PTR = 1
const BYTES_REQ = 2
const BYTES_ALLOC = 3

/** The columns of a ring; rows are reused when all are taken. */
export class RingColumns {
  readonly size: number
  /** Bits of the kinds of events that it takes. */
  mask: number
  /** Events so far. */
  written: number
  private next: number
  private readonly ints: Int32Array
  private readonly wide: Float64Array
  private readonly tasks: string[]
  private readonly callSites: string[]
  private readonly names: string[]

  constructor(size: number, mask: number) {
    this.size = size
    this.mask = mask
    this.written = 0
    this.next = 0
    this.ints = new Int32Array(size * ROW)
    this.wide = new Float64Array(size * WIDE)
    this.tasks = new Array<string>(size).fill('')
    this.callSites = new Array<string>(size).fill('')
    this.names = new Array<string>(size).fill('')
  }

  /** Starts the next row with where and when; the fields must follow. */
  place(kind: number, time: number, cpu: number, flags: number, pid: number, task: string): void {
    const row = this.next * ROW
    const { ints } = this
    ints[row + KIND] = kind
    ints[row + CPU] = cpu
    ints[row + PID] = pid
    ints[row + FLAGS] = flags
    this.wide[this.next * WIDE + TIME] = time
    this.tasks[this.next] = task
  }

  /** Ends the row of a page event. */
  page(pfn: number, order: number, migratetype: number, gfp: number, detail: number): void {
    const row = this.next * ROW
    const { ints } = this
    ints[row + GFP] = gfp
    ints[row + PFN] = pfn
    ints[row + ORDER] = order
    ints[row + MIGRATETYPE] = migratetype
    ints[row + DETAIL] = detail
    this.advance()
  }

  /** Ends the row of a slab event. */
  slab(
    ptr: number,
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
    callSite: string,
    name: string,
  ): void {
    const row = this.next * ROW
    const at = this.next * WIDE
    const { ints, wide } = this
    ints[row + GFP] = gfp
    ints[row + PFN] = node
    wide[at + PTR] = ptr
    wide[at + BYTES_REQ] = bytesReq
    wide[at + BYTES_ALLOC] = bytesAlloc
    this.callSites[this.next] = callSite
    this.names[this.next] = name
    this.advance()
  }

  /** The `i`th of the events that are there, from the oldest. */
  at(i: number): TraceEvent {
    const start = this.written > this.size ? this.next : 0
    const index = (start + i) % this.size
    const { ints, wide } = this
    const row = index * ROW
    const kind = ints[row + KIND]!
    const place = {
      task: this.tasks[index] ?? '',
      pid: ints[row + PID]!,
      cpu: ints[row + CPU]!,
      flags: traceFlagsText(ints[row + FLAGS]!),
      time: wide[index * WIDE + TIME]!,
    }
    const gfp = ints[row + GFP]!
    const pfn = ints[row + PFN]!
    if ((PAGE_EVENT_MASK & (1 << kind)) !== 0) {
      const order = ints[row + ORDER]!
      const type = ints[row + MIGRATETYPE]!
      return pageTraceEvent(place, kind, pfn, order, type, gfp, ints[row + DETAIL]!)
    }
    return slabTraceEvent(
      place,
      kind,
      this.callSites[index] ?? '',
      wide[index * WIDE + PTR]!,
      wide[index * WIDE + BYTES_REQ]!,
      wide[index * WIDE + BYTES_ALLOC]!,
      gfp,
      pfn,
      false,
      this.names[index] ?? '',
    )
  }

  clear(): void {
    this.written = 0
    this.next = 0
  }

  private advance(): void {
    this.written += 1
    this.next = this.next + 1 === this.size ? 0 : this.next + 1
  }
}

/** The last events of some tracepoints: see `Tracepoints.ring`. */
export class TraceRing {
  private readonly columns: RingColumns
  private readonly stop: () => void

  /** Made by `Tracepoints.ring`. @internal */
  constructor(columns: RingColumns, stop: () => void) {
    this.columns = columns
    this.stop = stop
  }

  /** Events that it has room for. */
  get size(): number {
    return this.columns.size
  }

  /** Events so far, since it was made or cleared. */
  get written(): number {
    return this.columns.written
  }

  /** Events that are there now. */
  get length(): number {
    return Math.min(this.columns.written, this.columns.size)
  }

  /** Events that are no longer there, because newer ones took their place. */
  get overwritten(): number {
    return this.columns.written - this.length
  }

  /**
   * Event `i` of those that are there; 0 is the oldest.
   * @throws InvalidArgument when `i` is not in [0, length).
   */
  at(i: number): TraceEvent {
    checkInteger('i', i, 0, this.length - 1)
    return this.columns.at(i)
  }

  /** What is there, from the oldest on; the ring goes on and may be read again. */
  events(): TraceEvent[] {
    return Array.from({ length: this.length }, (_, i) => this.columns.at(i))
  }

  /** Forgets all events, and the counts. */
  clear(): void {
    this.columns.clear()
  }

  /** Listens no more; what is there stays. */
  close(): void {
    this.stop()
  }
}
