/** From a GFP mask to allocation flags. Source: spec/page-allocator.md §2.8. */

import {
  ALLOC_CMA,
  ALLOC_CPUSET,
  ALLOC_HIGHATOMIC,
  ALLOC_MIN_RESERVE,
  ALLOC_NON_BLOCK,
  ALLOC_WMARK_MIN,
} from './allocFlags'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_HIGH,
  __GFP_KSWAPD_RECLAIM,
  __GFP_NOMEMALLOC,
  gfpMigratetype,
} from './gfp'
import { MIGRATE_MOVABLE } from './migratetype'

/**
 * Allocation flags of the slow path for `gfp` and `order` (0 to 10).
 * `realtimeTask`: the current task is a real-time task and runs in task context.
 * `migratetype`: what `gfp` means to the allocator; MIGRATE_UNMOVABLE when mobility grouping is off.
 * Source: spec/page-allocator.md §2.8.
 */
export function gfpToAllocFlags(
  gfp: number,
  order: number,
  realtimeTask: boolean,
  migratetype: number = gfpMigratetype(gfp),
): number {
  let flags = ALLOC_WMARK_MIN | ALLOC_CPUSET | (gfp & (__GFP_HIGH | __GFP_KSWAPD_RECLAIM))
  if ((gfp & __GFP_DIRECT_RECLAIM) === 0) {
    const minReserve = (flags & ALLOC_MIN_RESERVE) !== 0
    if ((gfp & __GFP_NOMEMALLOC) === 0) {
      flags |= ALLOC_NON_BLOCK
      if (order > 0 && minReserve) flags |= ALLOC_HIGHATOMIC
    }
    if (minReserve) flags &= ~ALLOC_CPUSET
  } else if (realtimeTask) {
    flags |= ALLOC_MIN_RESERVE
  }
  if (migratetype === MIGRATE_MOVABLE) flags |= ALLOC_CMA
  return flags
}
