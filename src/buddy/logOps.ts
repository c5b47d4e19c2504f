/**
 * What the allocator tells its log. The default is silent, so that the texts of reports are only
 * bundled with programs that want them: see `kernelLog`.
 */

import type { Spans } from '../zone/spans'
import type { BuddyContext } from './context'
import type { Nodemask } from './zonelistWalk'

/** Receives what happens in the kernel's words. Methods may read the allocator but must not call it. */
export interface LogOps {
  /** One line. */
  line(text: string): void
  /** A one-time warning, by its WARN_ number; called the first time only. */
  warn(c: BuddyContext, warning: number): void
  /** A request that may sleep, where sleeping is a bug. */
  sleepInAtomic(c: BuddyContext): void
  /** A request that failed. */
  failure(c: BuddyContext, gfp: number, order: number, highest: number, nodemask: Nodemask): void
  /** A page in a bad state; returns the lines of the report. */
  badPage(c: BuddyContext, pfn: number, reason: string): readonly string[]
  /** Zones have been set up; `totalPages` is what decided on mobility grouping. */
  zones(words: Int32Array, spans: Spans, totalPages: number): void
  /** All memory has been handed over. */
  handedOver(words: Int32Array): void
}

/** Says nothing. */
export const silentLog: LogOps = Object.freeze({
  line() {},
  warn() {},
  sleepInAtomic() {},
  failure() {},
  badPage: (c: BuddyContext, pfn: number, reason: string) => [
    `BUG: Bad page state in process ${c.taskName}  pfn:${pfn.toString(16).padStart(5, '0')}`,
    `page dumped because: ${reason}`,
  ],
  zones() {},
  handedOver() {},
})
