/**
 * A page cache, and what takes pages from it when a request finds no memory: direct reclaim, 32 pages a round, and the
 * killer, which takes all. Both happen in the middle of other calls.
 */

import {
  __GFP_NOWARN,
  GFP_HIGHUSER_MOVABLE,
  type LowMemory,
  type Machine,
  type Pfn,
  withPressure,
} from '../../src/index'
import type { Operation } from './simulation'

const ROUND = 32

/** The cached pages of a machine. */
export class Reclaimer {
  /** Oldest first. */
  cached: Pfn[] = []
  /** The machine whose pages they are; it is not there yet while that boots. */
  machine: Machine | null = null

  /** Gives back up to so many of the oldest pages. Returns how many. */
  reclaim(count: number): number {
    const { machine } = this
    if (machine === null) return 0
    const pages = this.cached.splice(0, count)
    for (const pfn of pages) machine.pages.freePages(pfn)
    return pages.length
  }

  /** For the option `pressure` of the machine. */
  get pressure(): LowMemory {
    return withPressure({
      directReclaim: () => this.reclaim(ROUND),
      outOfMemory: () => this.reclaim(this.cached.length) > 0,
      reclaimablePages: () => this.cached.length,
    })
  }
}

export const RECLAIM_CALLS: Readonly<Record<string, Operation>> = {
  'reclaim.fill': {
    weight: 1,
    run(s, { a }) {
      if (!s.spec.reclaims) return
      const { cached } = s.reclaimer
      for (let i = a % 300; i > 0 && cached.length < 4000; i--) {
        const pfn = s.machine.allocPages((GFP_HIGHUSER_MOVABLE | __GFP_NOWARN) & ~0x400)
        if (pfn === null) break
        cached.push(pfn)
      }
      s.fold(cached.length)
    },
  },
  'reclaim.some': { weight: 0.5, run: (s, { a }) => s.fold(s.reclaimer.reclaim(a % 200)) },
}
