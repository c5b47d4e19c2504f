/** The kernel's rate limit of messages. Source: spec/page-allocator.md §6.4, spec/slab.md §18.4. */

import type { Log } from './log'

/** What a limit lets through: at most so many messages within so many seconds of the first. */
export interface RateLimit {
  readonly messages: number
  readonly seconds: number
  /** The function that the line about suppressed ones names. */
  readonly caller: string
}

/**
 * Makes a function that tells, message by message, whether it may be written. How many were suppressed is
 * written before the next one. Without a clock, in seconds, nothing is suppressed.
 */
export function rateLimit(
  write: Log,
  clock: (() => number) | undefined,
  limit: RateLimit,
): () => boolean {
  if (clock === undefined) return () => true
  let began = Number.NEGATIVE_INFINITY
  let written = 0
  let missed = 0
  return () => {
    const now = clock()
    if (now - began > limit.seconds) {
      if (missed > 0) write(`${limit.caller}: ${missed} callbacks suppressed`)
      began = now
      written = 0
      missed = 0
    }
    if (written >= limit.messages) {
      missed += 1
      return false
    }
    written += 1
    return true
  }
}
