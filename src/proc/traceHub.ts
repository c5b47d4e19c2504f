/**
 * The middle of tracepoints: takes events from the allocators, and hands them to rings and callbacks.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 */

import { InvalidArgument } from '../base/errors'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { SlabAllocator } from '../slab/slabAllocator'
import { PAGE_EVENT_MASK, SLAB_EVENT_MASK, type TraceEvent, type TracePlace } from './traceEvents'
import { traceFlags, traceFlagsText } from './traceFlags'
import { pageTraceEvent, slabTraceEvent } from './traceObjects'
import {
  dropPageHook,
  dropSlabHook,
  type PageHook,
  type SlabHook,
  setPageHook,
  setSlabHook,
  type TraceSink,
} from './tracepointHooks'
import type { RingColumns } from './traceRing'

/** Told of an event. Must not call the allocators: it is in the middle of one of their calls. */
export type TraceListener = (event: TraceEvent) => void

/** Up to here the microseconds of a time are exact. seconds */
const MAX_TIME = 9000000000
const MICROSECONDS = 1000000
/** What `%pS` prints for a caller that nobody told. */
const NO_CALLER = '0x0'

/** A callback and the bits of the kinds that it wants; 0 once it wants none. */
export interface Subscriber {
  readonly listener: TraceListener
  mask: number
}

/** Distributes the events: fields are plain, for the sake of rings. */
export class TraceHub implements TraceSink {
  /** Bits of the events that there can be. */
  readonly available: number
  task: string | null
  pid: number
  nested: number
  private readonly pages: BuddyAllocator
  private readonly slabs: SlabAllocator | null
  private readonly failures: unknown[]
  private clock: (() => number) | null
  /** Time of the last event. microseconds */
  private last: number
  /** True while a listener or the clock runs. */
  private busy: boolean
  private subscribers: readonly Subscriber[]
  private rings: readonly RingColumns[]
  /** What some subscriber wants. */
  private callMask: number
  private pageHook: PageHook | null
  private slabHook: SlabHook | null

  constructor(
    pages: BuddyAllocator,
    slabs: SlabAllocator | null,
    clock: (() => number) | null,
    failures: unknown[],
  ) {
    this.available = slabs === null ? PAGE_EVENT_MASK : PAGE_EVENT_MASK | SLAB_EVENT_MASK
    this.task = null
    this.pid = 0
    this.nested = 0
    this.pages = pages
    this.slabs = slabs
    this.failures = failures
    this.clock = clock
    this.last = 0
    this.busy = false
    this.subscribers = []
    this.rings = []
    this.callMask = 0
    this.pageHook = null
    this.slabHook = null
  }

  add(subscriber: Subscriber): () => void {
    this.subscribers = [...this.subscribers, subscriber]
    this.listen()
    return () => this.remove(subscriber)
  }

  addRing(ring: RingColumns): () => void {
    this.rings = [...this.rings, ring]
    this.listen()
    return () => {
      this.rings = this.rings.filter((one) => one !== ring)
      this.release()
    }
  }

  removeAll(): void {
    for (const subscriber of this.subscribers) subscriber.mask = 0
    this.subscribers = []
    this.rings = []
    this.release()
  }

  page(
    kind: number,
    pfn: number,
    order: number,
    migratetype: number,
    gfp: number,
    detail: number,
  ): void {
    if (this.busy) {
      this.nested += 1
      return
    }
    const { rings } = this
    const { context } = this.pages
    const time = this.now()
    const flags = traceFlags(kind, context.contextBits)
    const task = this.task ?? context.taskName
    const bit = 1 << kind
    for (let i = 0; i < rings.length; i++) {
      const ring = rings[i] as RingColumns
      if ((ring.mask & bit) === 0) continue
      ring.place(kind, time, context.cpu, flags, this.pid, task)
      ring.page(pfn, order, migratetype, gfp, detail)
    }
    if ((this.callMask & bit) === 0) return
    const place = this.placeOf(time, flags, task)
    this.call(bit, pageTraceEvent(place, kind, pfn, order, migratetype, gfp, detail))
  }

  slab(
    kind: number,
    ptr: number,
    bytesReq: number,
    bytesAlloc: number,
    gfp: number,
    node: number,
    name: string,
  ): void {
    if (this.busy) {
      this.nested += 1
      return
    }
    const { rings } = this
    const { context } = this.pages
    const time = this.now()
    const flags = traceFlags(kind, context.contextBits)
    const task = this.task ?? context.taskName
    const callSite = this.slabs?.context.caller || NO_CALLER
    const bit = 1 << kind
    for (let i = 0; i < rings.length; i++) {
      const ring = rings[i] as RingColumns
      if ((ring.mask & bit) === 0) continue
      ring.place(kind, time, context.cpu, flags, this.pid, task)
      ring.slab(ptr, bytesReq, bytesAlloc, gfp, node, callSite, name)
    }
    if ((this.callMask & bit) === 0) return
    const place = this.placeOf(time, flags, task)
    this.call(
      bit,
      slabTraceEvent(place, kind, callSite, ptr, bytesReq, bytesAlloc, gfp, node, false, name),
    )
  }

  private placeOf(time: number, flags: number, task: string): TracePlace {
    const { cpu } = this.pages.context
    return { task, pid: this.pid, cpu, flags: traceFlagsText(flags), time }
  }

  private call(bit: number, event: TraceEvent): void {
    this.busy = true
    for (const subscriber of this.subscribers) {
      // One that was ended by another just now has no bits left.
      if ((subscriber.mask & bit) === 0) continue
      try {
        subscriber.listener(event)
      } catch (error) {
        this.failures.push(error)
        this.remove(subscriber)
      }
    }
    this.busy = false
  }

  /** The time of the next event. seconds */
  private now(): number {
    if (this.clock === null) this.last += 1
    else this.last = this.readClock(this.clock)
    return this.last / MICROSECONDS
  }

  private readClock(clock: () => number): number {
    this.busy = true
    try {
      const time = clock()
      if (time >= 0 && time <= MAX_TIME) return Math.round(time * MICROSECONDS)
      throw new InvalidArgument('clock()', time, `a number from 0 to ${MAX_TIME}`)
    } catch (error) {
      this.failures.push(error)
      this.clock = null
      return this.last + 1
    } finally {
      this.busy = false
    }
  }

  private remove(subscriber: Subscriber): void {
    subscriber.mask = 0
    this.subscribers = this.subscribers.filter((one) => one !== subscriber)
    this.release()
  }

  /** Somebody came: takes the places that are wanted now. */
  private listen(): void {
    const wanted = this.wanted()
    const pages = wanted & PAGE_EVENT_MASK
    const slabs = wanted & SLAB_EVENT_MASK
    if (pages !== 0) this.pageHook = setPageHook(this.pages, this.pageHook, pages, this)
    if (slabs !== 0 && this.slabs !== null) {
      this.slabHook = setSlabHook(this.slabs, this.slabHook, slabs, this)
    }
  }

  /** Somebody went: gives back the places that are wanted no more. */
  private release(): void {
    const wanted = this.wanted()
    const { pageHook, slabHook } = this
    if (pageHook !== null) {
      pageHook.mask = wanted & PAGE_EVENT_MASK
      if (pageHook.mask === 0) {
        this.pageHook = null
        dropPageHook(this.pages, pageHook)
      }
    }
    if (slabHook !== null && this.slabs !== null) {
      slabHook.mask = wanted & SLAB_EVENT_MASK
      if (slabHook.mask === 0) {
        this.slabHook = null
        dropSlabHook(this.slabs, slabHook)
      }
    }
  }

  /** What anybody wants; keeps what callbacks want. */
  private wanted(): number {
    this.callMask = this.subscribers.reduce((bits, { mask }) => bits | mask, 0)
    return this.rings.reduce((bits, { mask }) => bits | mask, this.callMask)
  }
}
