/** The one-time warnings, by number. Source: spec/page-allocator.md §2.6. */

import { HEADER_WARNED } from '../state/schema'
import type { BuddyContext } from './context'

/** An order above 10. */
export const WARN_ORDER = 0
/** ATOMIC together with DIRECT_RECLAIM. */
export const WARN_ATOMIC_RECLAIM = 1
/** NOFAIL for more than two pages. */
export const WARN_NOFAIL_ORDER = 2
/** NOFAIL in a request that may not sleep. */
export const WARN_NOFAIL_NONBLOCK = 3
/** NOFAIL in a task that reclaims itself. */
export const WARN_NOFAIL_MEMALLOC = 4
/** NOFAIL for a costly order. */
export const WARN_NOFAIL_COSTLY = 5
/** COMP or HIGHMEM for an exact number of pages. */
export const WARN_EXACT_FLAGS = 6

/** Raises a warning, the first time on this machine. */
export function warnOnce(c: BuddyContext, warning: number): void {
  if ((c.words[HEADER_WARNED]! & (1 << warning)) !== 0) return
  c.words[HEADER_WARNED]! |= 1 << warning
  c.log.warn(c, warning)
}
