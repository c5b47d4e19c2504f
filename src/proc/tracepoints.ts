/**
 * Tracepoints: any number of listeners and rings for the events of the `kmem` trace system.
 * Source: spec/page-allocator.md §9.8, spec/slab.md §18.6.
 *
 * Each allocator has room for one listener. Tracepoints take that place while somebody wants events of
 * that allocator, and only then; so whoever wants none pays nothing, and page events cost the slab
 * allocator nothing, nor the reverse. A listener that was there before stays: it hears every event
 * first, and has its place back at the end.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { SlabAllocator } from '../slab/slabAllocator'
import { type TraceEventName, traceEventMask } from './traceEvents'
import { TraceHub, type TraceListener } from './traceHub'
import { RingColumns, TraceRing } from './traceRing'

/** The allocators to listen to: the parts of a machine, or some of them. */
export interface TracedParts {
  /** The page allocator. */
  readonly pages: BuddyAllocator
  /** The slab allocator over it. Without it there are page events only. */
  readonly slabs?: SlabAllocator
}

/** Where the time and the task of events come from. */
export interface TracepointOptions {
  /**
   * The time in seconds, from 0 to 9e9; kept in whole microseconds. Without it the `n`th event happens at
   * `n` microseconds. Called within calls of the allocators, so it must not call them.
   */
  readonly clock?: () => number
}

/** Largest size of a ring, about 1.5 GB. */
const MAX_RING = 16777216
/** Largest task number of a kernel. */
const MAX_PID = 4194304
/** Characters that a kernel keeps of a task's name. */
const MAX_TASK = 15
/** The tracepoints of a page allocator, and of a slab allocator over it. */
export class Tracepoints {
  /**
   * What listeners and the clock threw. Such a listener hears no more, and a clock gives way to the
   * count of events: an error in the middle of a call of an allocator would break the allocator.
   */
  readonly failures: readonly unknown[]
  private readonly hub: TraceHub

  /**
   * Nothing is listened to yet.
   * @throws InvalidArgument when `parts` has no page allocator, or `clock` is no function.
   */
  constructor(parts: TracedParts, options: TracepointOptions = {}) {
    const { pages, slabs } = parts
    if (typeof pages?.setTrace !== 'function') {
      throw new InvalidArgument('parts.pages', pages, 'a page allocator')
    }
    if (slabs !== undefined && typeof slabs?.setTrace !== 'function') {
      throw new InvalidArgument('parts.slabs', slabs, 'a slab allocator')
    }
    const { clock } = options
    if (clock !== undefined && typeof clock !== 'function') {
      throw new InvalidArgument('clock', clock, 'a function')
    }
    const failures: unknown[] = []
    this.failures = failures
    this.hub = new TraceHub(pages, slabs ?? null, clock ?? null, failures)
  }

  /**
   * Calls `listener` for each event, or for each of the named ones; returns what ends that. Listeners
   * hear an event in the order in which they came, and share one object.
   * @throws InvalidArgument when `listener` is no function, for a name that no event has, an empty list,
   * and slab events where there is no slab allocator.
   */
  on(listener: TraceListener, events?: readonly TraceEventName[]): () => void {
    if (typeof listener !== 'function') {
      throw new InvalidArgument('listener', listener, 'a function')
    }
    return this.hub.add({ listener, mask: traceEventMask(events, this.hub.available) })
  }

  /**
   * Keeps the last `size` events, or those of the named ones. `size` is 1 to 16,777,216; an event takes
   * up to 92 bytes, which are taken at once. Keeping one allocates nothing.
   * @throws InvalidArgument as {@link on}, and for a wrong size.
   */
  ring(size: number, events?: readonly TraceEventName[]): TraceRing {
    checkInteger('size', size, 1, MAX_RING)
    const columns = new RingColumns(size, traceEventMask(events, this.hub.available))
    return new TraceRing(columns, this.hub.addRing(columns))
  }

  /**
   * The task that runs, for the events to come. `name` null is the task that the page allocator's
   * reports name; `pid` is 0 to 4,194,304. At first null and 0.
   * @throws InvalidArgument for a name that is not 1 to 15 printed characters or that starts or ends
   * with a space, and a wrong `pid`.
   */
  setTask(name: string | null, pid: number): void {
    if (name !== null && !isTaskName(name)) {
      throw new InvalidArgument('name', name, '1 to 15 printed characters, no space at an end')
    }
    checkInteger('pid', pid, 0, MAX_PID)
    this.hub.task = name
    this.hub.pid = pid
  }

  /** Events of calls that listeners made although they must not. They were not delivered. */
  get nestedEvents(): number {
    return this.hub.nested
  }

  /** Ends all listeners and rings, and gives the allocators back to who listened before. */
  close(): void {
    this.hub.removeAll()
  }
}

function isTaskName(name: unknown): boolean {
  if (typeof name !== 'string' || name.length < 1 || name.length > MAX_TASK) return false
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return name.trim() === name && !/[\u0000-\u001f\u007f]/.test(name)
}
