/**
 * The slow path: what a request tries when no zone is above its low watermark.
 *
 * It wakes the background reclaimer and tries again, down to the min watermark, with the reserves that
 * the request may use. What comes then, compaction, reclaim and killing, is {@link LowMemory}'s. On one
 * thread nobody else frees memory meanwhile: a request that must not fail, and for which nothing makes
 * progress any more, throws instead of looping for ever (DIFF-9).
 *
 * Source: spec/page-allocator.md §6.1.
 */

import { OutOfMemory } from '../base/errors'
import { PAGE_ALLOC_COSTLY_ORDER } from '../base/units'
import {
  ALLOC_CMA,
  ALLOC_CPUSET,
  ALLOC_KSWAPD,
  ALLOC_MIN_RESERVE,
  ALLOC_WMARK_MIN,
} from '../page/allocFlags'
import {
  __GFP_ATOMIC,
  __GFP_DIRECT_RECLAIM,
  __GFP_KSWAPD_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NOWARN,
} from '../page/gfp'
import { gfpToAllocFlags } from '../page/gfpAllocFlags'
import { ZONE_MANAGED, ZONE_NODE } from '../state/schema'
import type { BuddyContext, Nodemask, SlowRequest } from './context'
import { CONTEXT_INTERRUPT, CONTEXT_MEMALLOC, CONTEXT_REALTIME } from './contextBits'
import { attempt, NO_PAGE } from './lowMemory'
import { reserveFlags } from './reserveAccess'
import {
  WARN_ATOMIC_RECLAIM,
  WARN_NOFAIL_COSTLY,
  WARN_NOFAIL_MEMALLOC,
  WARN_NOFAIL_NONBLOCK,
  warnOnce,
} from './warnings'
import { firstZone, mayUse } from './zonelistWalk'

/** A bound on rounds whatever a reclaimer answers: more than any sane one needs. */
const MAX_ROUNDS = 100_000

/**
 * Goes on with a request for which the fast path found nothing. Returns a PFN or -1; a failure has
 * been reported.
 * @throws OutOfMemory when the request has __GFP_NOFAIL and nothing helps any more.
 */
export function allocSlow(
  c: BuddyContext,
  gfp: number,
  order: number,
  type: number,
  highest: number,
  list: number,
  node: number,
  nodemask: Nodemask,
): number {
  const both = __GFP_ATOMIC | __GFP_DIRECT_RECLAIM
  if ((gfp & both) === both) warnOnce(c, WARN_ATOMIC_RECLAIM)
  // Somebody else may have grown the memory: what is there must not be missed.
  c.ram.refresh()
  const r: SlowRequest = {
    gfp: (gfp & both) === both ? gfp & ~__GFP_ATOMIC : gfp,
    order,
    node,
    highestZone: highest,
    type,
    list,
    nodemask,
    start: 0,
    progress: 0,
  }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const pfn = untilNoPage(c, r)
    if (pfn >= 0) return pfn
    if ((gfp & __GFP_NOFAIL) === 0) break
    if ((gfp & __GFP_DIRECT_RECLAIM) === 0) {
      if ((gfp & __GFP_NOWARN) === 0) warnOnce(c, WARN_NOFAIL_NONBLOCK)
      break
    }
    const last = lastResort(c, r)
    if (last >= 0) return last
    if (r.progress === 0) throw new OutOfMemory(`no memory for order ${order}`)
  }
  c.log.failure(c, gfp, order, highest, nodemask)
  return -1
}

/** Everything up to the point where the request has found nothing and may only fail or start over. */
function untilNoPage(c: BuddyContext, r: SlowRequest): number {
  const context = c.contextBits
  const realtime = (context & (CONTEXT_REALTIME | CONTEXT_INTERRUPT)) === CONTEXT_REALTIME
  let flags = gfpToAllocFlags(r.gfp, r.order, realtime, r.type)
  r.start = firstZone(c, r.list, r.highestZone, r.nodemask)
  if (r.start === 0) return -1
  wakeKswapds(c, r)
  let pfn = attempt(c, r, flags)
  if (pfn >= 0) return pfn

  const reserve = reserveFlags(c, r.gfp)
  if (reserve === 0) {
    pfn = c.pressure.compactFirst(c, r, flags)
    if (pfn >= 0) return pfn
    if (pfn === NO_PAGE) return -1
  } else {
    flags = reserve | (flags & (ALLOC_KSWAPD | ALLOC_CMA))
  }
  if ((flags & ALLOC_CPUSET) === 0) {
    r.nodemask = null
    r.start = firstZone(c, r.list, r.highestZone, null)
  }
  wakeKswapds(c, r)
  pfn = attempt(c, r, flags)
  if (pfn >= 0 || (r.gfp & __GFP_DIRECT_RECLAIM) === 0) return pfn
  return (context & CONTEXT_MEMALLOC) !== 0 ? -1 : c.pressure.rescue(c, r, flags)
}

/** Wakes the background reclaimer of each node that the request may use, when it asks for that. */
function wakeKswapds(c: BuddyContext, r: SlowRequest): void {
  if ((r.gfp & __GFP_KSWAPD_RECLAIM) === 0) return
  const words = c.words
  let last = -1
  for (let at = r.start; words[at] !== 0; at++) {
    const zone = words[at]!
    if (!mayUse(words, zone, r.highestZone, r.nodemask) || words[zone + ZONE_MANAGED] === 0)
      continue
    const node = words[zone + ZONE_NODE]!
    if (node !== last) c.pressure.wakeKswapd(node, r.order, r.highestZone, r.gfp)
    last = node
  }
}

/** What a request that may not fail tries before it starts over: half of the min reserve. */
function lastResort(c: BuddyContext, r: SlowRequest): number {
  if ((c.contextBits & CONTEXT_MEMALLOC) !== 0) warnOnce(c, WARN_NOFAIL_MEMALLOC)
  if (r.order > PAGE_ALLOC_COSTLY_ORDER) warnOnce(c, WARN_NOFAIL_COSTLY)
  // Without cpusets, a second attempt that ignores them would be the same.
  return attempt(c, r, ALLOC_WMARK_MIN | ALLOC_MIN_RESERVE | ALLOC_CPUSET)
}
