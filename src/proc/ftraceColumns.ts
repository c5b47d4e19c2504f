/** The columns of {@link FtraceEvents} while they grow. */

import type { FtraceEvents, FtraceLines } from './ftraceEvents'

/** The columns alone. */
export type FtraceColumnSet = Omit<FtraceEvents, 'count' | keyof FtraceLines>

/** Growable columns; `push` appends one event to all of them. */
export class FtraceColumns {
  count: number
  private capacity: number
  private kind: Int32Array
  private pfn: Int32Array
  private order: Int32Array
  private migratetype: Int32Array
  private gfp: Int32Array
  private detail: Int32Array
  private context: Int32Array
  private cpu: Int32Array
  private pid: Int32Array
  private task: Int32Array
  private flags: Int32Array
  private line: Int32Array
  private time: Float64Array

  /** Empty columns with room for `capacity` events. */
  constructor(capacity: number) {
    this.count = 0
    this.capacity = capacity
    this.kind = new Int32Array(capacity)
    this.pfn = new Int32Array(capacity)
    this.order = new Int32Array(capacity)
    this.migratetype = new Int32Array(capacity)
    this.gfp = new Int32Array(capacity)
    this.detail = new Int32Array(capacity)
    this.context = new Int32Array(capacity)
    this.cpu = new Int32Array(capacity)
    this.pid = new Int32Array(capacity)
    this.task = new Int32Array(capacity)
    this.flags = new Int32Array(capacity)
    this.line = new Int32Array(capacity)
    this.time = new Float64Array(capacity)
  }

  /** Appends what the event's own fields tell; {@link pushPlace} must follow. */
  pushFields(
    kind: number,
    pfn: number,
    order: number,
    migratetype: number,
    gfp: number,
    detail: number,
  ): void {
    if (this.count === this.capacity) this.resize(2 * this.capacity)
    const i = this.count
    this.kind[i] = kind
    this.pfn[i] = pfn
    this.order[i] = order
    this.migratetype[i] = migratetype
    this.gfp[i] = gfp
    this.detail[i] = detail
  }

  /** Appends where and when the event happened, and completes it. */
  pushPlace(
    context: number,
    cpu: number,
    pid: number,
    task: number,
    flags: number,
    line: number,
    time: number,
  ): void {
    const i = this.count++
    this.context[i] = context
    this.cpu[i] = cpu
    this.pid[i] = pid
    this.task[i] = task
    this.flags[i] = flags
    this.line[i] = line
    this.time[i] = time
  }

  /** The columns, cut to `count`; they no longer grow. */
  finish(): FtraceColumnSet {
    this.resize(this.count)
    const { kind, pfn, order, migratetype, gfp, detail } = this
    const { context, cpu, pid, task, flags, line, time } = this
    const fields = { kind, pfn, order, migratetype, gfp, detail }
    return { ...fields, context, cpu, pid, task, flags, line, time }
  }

  private resize(capacity: number): void {
    this.capacity = capacity
    this.kind = resized(this.kind, capacity)
    this.pfn = resized(this.pfn, capacity)
    this.order = resized(this.order, capacity)
    this.migratetype = resized(this.migratetype, capacity)
    this.gfp = resized(this.gfp, capacity)
    this.detail = resized(this.detail, capacity)
    this.context = resized(this.context, capacity)
    this.cpu = resized(this.cpu, capacity)
    this.pid = resized(this.pid, capacity)
    this.task = resized(this.task, capacity)
    this.flags = resized(this.flags, capacity)
    this.line = resized(this.line, capacity)
    const time = new Float64Array(capacity)
    time.set(this.time.subarray(0, capacity))
    this.time = time
  }
}

function resized(column: Int32Array, capacity: number): Int32Array {
  const copy = new Int32Array(capacity)
  copy.set(column.subarray(0, capacity))
  return copy
}
