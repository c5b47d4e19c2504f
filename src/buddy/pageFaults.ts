/** Makes page allocations fail on purpose: see `failPageAlloc`. Source: spec/pressure.md §13.2. */

import type { BuddyAllocator } from './buddyAllocator'
import { decideFast, type PageFaults } from './context'

/**
 * Makes requests for pages fail on purpose; null stops that. Each request is asked about once,
 * before anything is touched: one that is to fail gives null at once, without reclaim, a report or
 * an event.
 */
export function setPageFaults(pages: BuddyAllocator, faults: PageFaults | null): void {
  pages.context.faults = faults
  decideFast(pages.context)
}
