/**
 * The slow path: what a request tries when no zone is above its low watermark.
 *
 * It wakes the background reclaimer, tries again down to the min watermark with the reserves that the
 * request may use, then compacts, reclaims, and in the end kills, through {@link PressureOps}. On one
 * thread nobody else frees memory meanwhile: a request that must not fail and for which nothing makes
 * progress any more throws instead of looping for ever.
 *
 * Source: spec/page-allocator.md §6.
 */

import { OutOfMemory } from '../base/errors'
import { PAGE_ALLOC_COSTLY_ORDER } from '../base/units'
import {
  ALLOC_CMA,
  ALLOC_CPUSET,
  ALLOC_KSWAPD,
  ALLOC_MIN_RESERVE,
  ALLOC_NO_WATERMARKS,
  ALLOC_OOM,
  ALLOC_WMARK_HIGH,
  ALLOC_WMARK_MIN,
} from '../page/allocFlags'
import {
  __GFP_ATOMIC,
  __GFP_DIRECT_RECLAIM,
  __GFP_FS,
  __GFP_HARDWALL,
  __GFP_IO,
  __GFP_MEMALLOC,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
} from '../page/gfp'
import { gfpToAllocFlags } from '../page/gfpAllocFlags'
import { MIGRATE_MOVABLE } from '../page/migratetype'
import { addEvent } from '../state/counters'
import {
  CPU_EVENTS,
  EVENT_ALLOCSTALL,
  EVENT_COMPACT_FAIL,
  EVENT_COMPACT_STALL,
  EVENT_COMPACT_SUCCESS,
  EVENT_OOM_KILL,
  PCP_DIFF,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_FREE_PAGES,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_WMARK,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { zoneWatermarkOk } from '../zone/watermarkTest'
import type { BuddyContext } from './context'
import {
  CONTEXT_INTERRUPT,
  CONTEXT_MEMALLOC,
  CONTEXT_OOM_VICTIM,
  CONTEXT_REALTIME,
} from './contextBits'
import { drainAll } from './drain'
import { unreserveHighatomic } from './fallback'
import type { PressureRequest } from './pressureOps'
import {
  WARN_ATOMIC_RECLAIM,
  WARN_NOFAIL_COSTLY,
  WARN_NOFAIL_MEMALLOC,
  WARN_NOFAIL_NONBLOCK,
  warnOnce,
} from './warnings'
import { firstZone, mayUse, type Nodemask, takeFromZonelist } from './zonelistWalk'

/** Rounds of reclaim without progress before a request gives up. */
const MAX_RECLAIM_RETRIES = 16
/** Rounds of compaction before a request gives up; costly orders get a quarter. */
const MAX_COMPACT_RETRIES = 16
/** Compaction priorities, from quick to thorough. */
const COMPACT_ASYNC = 0
const COMPACT_SYNC_LIGHT = 1
const COMPACT_SYNC_FULL = 2
/** A bound on rounds whatever the hooks answer: more than any sane reclaimer needs. */
const MAX_ROUNDS = 100_000

/** One request's walk through the slow path. Made only here, off the fast path. */
class SlowRequest implements PressureRequest {
  readonly gfp: number
  readonly order: number
  readonly node: number
  readonly highestZone: number
  readonly type: number
  readonly list: number
  nodemask: Nodemask
  /** Place of the preferred zone in the zonelist, 0 for none. */
  start = 0
  /** Pages that the last direct reclaim freed. */
  progress = 0
  /** Rounds without progress, in a row. */
  noProgress = 0
  compactRetries = 0
  compactPriority = COMPACT_SYNC_LIGHT

  constructor(
    gfp: number,
    order: number,
    type: number,
    highest: number,
    list: number,
    node: number,
    nodemask: Nodemask,
  ) {
    this.gfp = gfp
    this.order = order
    this.type = type
    this.highestZone = highest
    this.list = list
    this.node = node
    this.nodemask = nodemask
  }

  has(flag: number): boolean {
    return (this.gfp & flag) !== 0
  }

  get costly(): boolean {
    return this.order > PAGE_ALLOC_COSTLY_ORDER
  }
}

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
  let mask = gfp
  const both = __GFP_ATOMIC | __GFP_DIRECT_RECLAIM
  if ((gfp & both) === both) {
    warnOnce(c, WARN_ATOMIC_RECLAIM)
    mask &= ~__GFP_ATOMIC
  }
  const r = new SlowRequest(mask, order, type, highest, list, node, nodemask)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const pfn = untilNoPage(c, r)
    if (pfn >= 0) return pfn
    if (!r.has(__GFP_NOFAIL)) break
    if (!r.has(__GFP_DIRECT_RECLAIM)) {
      warnOnce(c, WARN_NOFAIL_NONBLOCK)
      break
    }
    const last = lastResort(c, r)
    if (last >= 0) return last
    if (r.progress === 0) {
      throw new OutOfMemory(
        `no memory for order:${order}, mode:0x${gfp.toString(16)}, which may not fail`,
      )
    }
  }
  c.log.failure(c, gfp, order, highest, nodemask)
  return -1
}

/** Everything up to the point where the request has found nothing and may only fail or start over. */
function untilNoPage(c: BuddyContext, r: SlowRequest): number {
  const realtime = contextHas(c, CONTEXT_REALTIME) && !contextHas(c, CONTEXT_INTERRUPT)
  let flags = gfpToAllocFlags(r.gfp, r.order, realtime, r.type)
  r.start = firstZone(c, r.list, r.highestZone, r.nodemask)
  if (r.start === 0) return -1
  if ((flags & ALLOC_KSWAPD) !== 0) wakeKswapds(c, r)
  let pfn = attempt(c, r, r.gfp, flags)
  if (pfn >= 0) return pfn

  const reserve = reserveFlags(c, r.gfp)
  if (compactsFirst(r) && reserve === 0) {
    pfn = compact(c, r, flags, COMPACT_ASYNC)
    if (pfn >= 0) return pfn
    if (r.costly && r.has(__GFP_NORETRY)) {
      if (pfn === COMPACTION_PUT_OFF || r.has(__GFP_THISNODE)) return -1
      r.compactPriority = COMPACT_ASYNC
    }
  }

  for (let round = 0; round < MAX_ROUNDS; round++) {
    if ((flags & ALLOC_KSWAPD) !== 0) wakeKswapds(c, r)
    if (reserve !== 0) {
      flags = reserve | (flags & ALLOC_KSWAPD) | (r.type === MIGRATE_MOVABLE ? ALLOC_CMA : 0)
    }
    if ((flags & ALLOC_CPUSET) === 0 || reserve !== 0) {
      r.nodemask = null
      r.start = firstZone(c, r.list, r.highestZone, null)
    }
    pfn = attempt(c, r, r.gfp, flags)
    if (pfn >= 0) return pfn
    if (!r.has(__GFP_DIRECT_RECLAIM) || contextHas(c, CONTEXT_MEMALLOC)) return -1

    pfn = reclaim(c, r, flags)
    if (pfn >= 0) return pfn
    if (r.order > 0) pfn = compact(c, r, flags, r.compactPriority)
    if (pfn >= 0) return pfn
    if (r.has(__GFP_NORETRY)) return -1
    if (r.costly && (!r.has(__GFP_IO) || !r.has(__GFP_RETRY_MAYFAIL))) return -1
    if (reclaimMayHelp(c, r, flags)) continue
    if (r.progress > 0 && r.has(__GFP_IO) && compactionMayHelp(r)) continue

    pfn = killAndTry(c, r)
    if (pfn >= 0) return pfn
    if (pfn !== OOM_PROGRESS) return -1
    if (
      contextHas(c, CONTEXT_OOM_VICTIM) &&
      ((flags & ALLOC_OOM) !== 0 || r.has(__GFP_NOMEMALLOC))
    ) {
      return -1
    }
    r.noProgress = 0
  }
  return -1
}

function attempt(c: BuddyContext, r: SlowRequest, gfp: number, flags: number): number {
  if (r.start === 0) return -1
  return takeFromZonelist(c, gfp, r.order, flags, r.type, r.highestZone, r.start, r.nodemask)
}

function contextHas(c: BuddyContext, bit: number): boolean {
  return (c.contextBits & bit) !== 0
}

/** The reserves that override the watermarks altogether: 0 for most requests. */
function reserveFlags(c: BuddyContext, gfp: number): number {
  if ((gfp & __GFP_NOMEMALLOC) !== 0) return 0
  if ((gfp & __GFP_MEMALLOC) !== 0) return ALLOC_NO_WATERMARKS
  if (contextHas(c, CONTEXT_INTERRUPT)) return 0
  if (contextHas(c, CONTEXT_MEMALLOC)) return ALLOC_NO_WATERMARKS
  return contextHas(c, CONTEXT_OOM_VICTIM) ? ALLOC_OOM : 0
}

function wakeKswapds(c: BuddyContext, r: SlowRequest): void {
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

/** True when compaction is worth a try before any reclaim: memory may be there, only scattered. */
function compactsFirst(r: SlowRequest): boolean {
  if (!r.has(__GFP_DIRECT_RECLAIM) || !r.has(__GFP_IO)) return false
  return r.costly || (r.order > 0 && r.type !== MIGRATE_MOVABLE)
}

/** {@link compact}: nothing was tried. */
const COMPACTION_PUT_OFF = -2

/** Compacts and tries again. Returns a PFN, -1, or COMPACTION_PUT_OFF. */
function compact(c: BuddyContext, r: SlowRequest, flags: number, priority: number): number {
  if (!r.has(__GFP_IO)) return COMPACTION_PUT_OFF
  const result = c.pressure.directCompact(r, priority)
  if (result === 'skipped' || result === 'deferred') return COMPACTION_PUT_OFF
  countEvent(c, EVENT_COMPACT_STALL)
  const pfn = attempt(c, r, r.gfp, flags)
  countEvent(c, pfn >= 0 ? EVENT_COMPACT_SUCCESS : EVENT_COMPACT_FAIL)
  return pfn
}

/** Reclaims and, after progress, tries again; the second time with every reserve and CPU list given up. */
function reclaim(c: BuddyContext, r: SlowRequest, flags: number): number {
  countEvent(c, EVENT_ALLOCSTALL + r.highestZone)
  r.progress = c.pressure.directReclaim(r)
  if (r.progress <= 0) return -1
  const pfn = attempt(c, r, r.gfp, flags)
  if (pfn >= 0) return pfn
  unreserve(c, r, false)
  drainAll(c)
  return attempt(c, r, r.gfp, flags)
}

function unreserve(c: BuddyContext, r: SlowRequest, force: boolean): boolean {
  const words = c.words
  for (let at = r.start; at !== 0 && words[at] !== 0; at++) {
    const zone = words[at]!
    if (!mayUse(words, zone, r.highestZone, r.nodemask)) continue
    if (unreserveHighatomic(c, zone, r.type, force)) return true
  }
  return false
}

/** True when another round of reclaim could let the request pass. */
function reclaimMayHelp(c: BuddyContext, r: SlowRequest, flags: number): boolean {
  if (r.progress > 0 && !r.costly) r.noProgress = 0
  else r.noProgress += 1
  if (r.noProgress <= MAX_RECLAIM_RETRIES) {
    const words = c.words
    for (let at = r.start; at !== 0 && words[at] !== 0; at++) {
      const zone = words[at]!
      if (!mayUse(words, zone, r.highestZone, r.nodemask)) continue
      const number = (zone - c.zones) >> ZONE_WORDS_SHIFT
      const available = c.pressure.reclaimablePages(number) + exactFreePages(c, zone)
      const mark = words[zone + ZONE_WMARK]! + words[zone + ZONE_BOOST]!
      if (zoneWatermarkOk(words, zone, r.order, mark, r.highestZone, flags, available)) return true
    }
  }
  return unreserve(c, r, true)
}

/** Free pages with every CPU's pending delta. */
function exactFreePages(c: BuddyContext, zone: number): number {
  let free = c.words[zone + ZONE_FREE_PAGES]!
  const pcp = c.words[zone + ZONE_PCP]!
  for (let cpu = 0; cpu < c.nrCpus; cpu++) free += c.words[pcp + cpu * PCP_WORDS + PCP_DIFF]!
  return free < 0 ? 0 : free
}

function compactionMayHelp(r: SlowRequest): boolean {
  if (r.order === 0) return false
  r.compactRetries += 1
  const limit = r.costly ? MAX_COMPACT_RETRIES >> 2 : MAX_COMPACT_RETRIES
  if (r.compactRetries <= limit) return true
  const thorough = r.costly ? COMPACT_SYNC_LIGHT : COMPACT_SYNC_FULL
  if (r.compactPriority >= thorough) return false
  r.compactPriority += 1
  r.compactRetries = 0
  return true
}

/** {@link killAndTry}: no page, but something died. */
const OOM_PROGRESS = -2

/** One attempt at the high watermark, in case somebody freed memory; then the OOM killer. */
function killAndTry(c: BuddyContext, r: SlowRequest): number {
  const gfp = (r.gfp | __GFP_HARDWALL) & ~__GFP_DIRECT_RECLAIM
  const pfn = attempt(c, r, gfp, ALLOC_WMARK_HIGH | ALLOC_CPUSET)
  if (pfn >= 0) return pfn
  if (r.costly || r.has(__GFP_RETRY_MAYFAIL | __GFP_THISNODE)) return -1
  // Requests for low zones do not kill, and without FS the killer only pretends to help.
  if (r.highestZone < c.normalIndex || !r.has(__GFP_FS)) return -1
  if (!c.pressure.outOfMemory(r)) return -1
  countEvent(c, EVENT_OOM_KILL)
  if (!r.has(__GFP_NOFAIL)) return OOM_PROGRESS
  const saved = attempt(c, r, r.gfp, ALLOC_NO_WATERMARKS)
  return saved >= 0 ? saved : OOM_PROGRESS
}

/** What a request that may not fail tries before it starts over: half of the min reserve. */
function lastResort(c: BuddyContext, r: SlowRequest): number {
  if (contextHas(c, CONTEXT_MEMALLOC)) warnOnce(c, WARN_NOFAIL_MEMALLOC)
  if (r.costly) warnOnce(c, WARN_NOFAIL_COSTLY)
  const flags = ALLOC_WMARK_MIN | ALLOC_MIN_RESERVE
  const pfn = attempt(c, r, r.gfp, flags | ALLOC_CPUSET)
  return pfn >= 0 ? pfn : attempt(c, r, r.gfp, flags)
}

function countEvent(c: BuddyContext, event: number): void {
  addEvent(c.words, c.cpuRecord + CPU_EVENTS + event * 2, 1)
}
