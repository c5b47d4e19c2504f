/**
 * The far end of the slow path: what happens when the free lists, reserves included, have nothing. The
 * default is that of a machine with nothing to reclaim, migrate or kill; `withPressure` is the rest.
 */

import { PAGE_ALLOC_COSTLY_ORDER } from '../base/units'
import { ALLOC_CPUSET, ALLOC_WMARK_HIGH } from '../page/allocFlags'
import { __GFP_IO, __GFP_NORETRY, __GFP_RETRY_MAYFAIL } from '../page/gfp'
import { addEvent } from '../state/counters'
import { CPU_EVENTS, EVENT_ALLOCSTALL } from '../state/schema'
import type { BuddyContext, LowMemory, SlowRequest } from './context'
import { unreserveHighatomic } from './fallback'
import { mayUse, takeFromZonelist } from './zonelistWalk'

/** No page, and not worth another attempt. */
export const NO_PAGE = -2

/**
 * A machine with nothing to reclaim: one round instead of up to 16 that would all end alike (DIFF-7),
 * without a compaction that could move nothing (DIFF-8).
 */
export const noPressure: LowMemory = /* @__PURE__ */ Object.freeze({
  wakeKswapd() {},
  compactFirst: () => -1,
  rescue(c: BuddyContext, r: SlowRequest, flags: number) {
    countStall(c, r)
    if (givesUpEarly(r)) return -1
    while (unreserveAny(c, r, true)) {
      const pfn = attempt(c, r, flags)
      if (pfn >= 0) return pfn
    }
    return attemptHigh(c, r)
  },
})

/** Tries the zones of the request once, with these allocation flags. */
export function attempt(c: BuddyContext, r: SlowRequest, flags: number): number {
  if (r.start === 0) return -1
  return takeFromZonelist(c, r.gfp, r.order, flags, r.type, r.highestZone, r.start, r.nodemask)
}

/** The last attempt: only well above the marks, in case that somebody freed memory. */
export function attemptHigh(c: BuddyContext, r: SlowRequest): number {
  return attempt(c, r, ALLOC_WMARK_HIGH | ALLOC_CPUSET)
}

/** Counts a direct reclaim. */
export function countStall(c: BuddyContext, r: SlowRequest): void {
  addEvent(c.words, c.cpuRecord + CPU_EVENTS + (EVENT_ALLOCSTALL + r.highestZone) * 2, 1)
}

/** True for requests that one round without success is enough for. */
export function givesUpEarly(r: SlowRequest): boolean {
  if ((r.gfp & __GFP_NORETRY) !== 0) return true
  const persists = __GFP_IO | __GFP_RETRY_MAYFAIL
  return r.order > PAGE_ALLOC_COSTLY_ORDER && (r.gfp & persists) !== persists
}

/** Gives one high-atomic pageblock of the request's zones back; true when pages became free to it. */
export function unreserveAny(c: BuddyContext, r: SlowRequest, force: boolean): boolean {
  const words = c.words
  for (let at = r.start; words[at] !== 0; at++) {
    const zone = words[at]!
    if (!mayUse(words, zone, r.highestZone, r.nodemask)) continue
    if (unreserveHighatomic(c, zone, r.type, force)) return true
  }
  return false
}
