/**
 * Reclaim, compaction and the OOM killer behind the slow path: the rounds that a request makes through
 * {@link PressureOps}, which a reclaim layer implements.
 *
 * Source: spec/page-allocator.md §6.1 steps 4 and 9 to 15, §6.2.
 */

import { PAGE_ALLOC_COSTLY_ORDER } from '../base/units'
import { ALLOC_NO_WATERMARKS, ALLOC_OOM, ALLOC_WMARK_MIN } from '../page/allocFlags'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_FS,
  __GFP_IO,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
} from '../page/gfp'
import { MIGRATE_MOVABLE } from '../page/migratetype'
import { addEvent } from '../state/counters'
import {
  CPU_EVENTS,
  EVENT_COMPACT_FAIL,
  EVENT_COMPACT_STALL,
  EVENT_COMPACT_SUCCESS,
  EVENT_OOM_KILL,
  PCP_DIFF,
  PCP_WORDS,
  ZONE_FREE_PAGES,
  ZONE_PCP,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { zoneWatermarkOk } from '../zone/watermarkTest'
import { boostedMark, normalIndex } from '../zone/zones'
import type { BuddyContext, LowMemory, SlowRequest } from './context'
import { CONTEXT_OOM_VICTIM } from './contextBits'
import { drainAll } from './drain'
import { attempt, attemptHigh, countStall, givesUpEarly, NO_PAGE, unreserveAny } from './lowMemory'
import { mayUse } from './zonelistWalk'

/** Rounds of reclaim without progress before a request gives up. */
const MAX_RECLAIM_RETRIES = 16
/** Rounds of compaction before a request gives up; costly orders get a quarter. */
const MAX_COMPACT_RETRIES = 16
/** Compaction priorities, from quick to thorough. */
const COMPACT_ASYNC = 0
const COMPACT_SYNC_LIGHT = 1
const COMPACT_SYNC_FULL = 2
/** A bound on rounds whatever the hooks answer. */
const MAX_ROUNDS = 100_000

/** Result of a direct compaction: nothing done, or as far as it went. */
export type CompactResult = 'skipped' | 'deferred' | 'complete' | 'partial' | 'success'

/** What a reclaim layer offers; the methods may call the allocator's freeing functions. */
export interface PressureOps {
  /** Wakes the background reclaimer of `node` for a request of `order` and zones up to `highestZone`. */
  wakeKswapd(node: number, order: number, highestZone: number, gfp: number): void
  /** Reclaims for the request and tells how many pages it freed. */
  directReclaim(request: SlowRequest): number
  /** Compacts for the request; `priority` 0 async, 1 sync-light, 2 sync-full. */
  directCompact(request: SlowRequest, priority: number): CompactResult
  /** Kills a task or the like, and tells whether that made progress. */
  outOfMemory(request: SlowRequest): boolean
  /** Pages of a zone that reclaim could free. `zone` is node × 4 + zone index. */
  reclaimablePages(zone: number): number
}

/**
 * Puts a reclaimer behind an allocator: for its option `pressure`. Methods left out do nothing.
 */
export function withPressure(given: Partial<PressureOps>): LowMemory {
  const ops: PressureOps = {
    wakeKswapd: (...request) => given.wakeKswapd?.(...request),
    directReclaim: (request) => given.directReclaim?.(request) ?? 0,
    directCompact: (request, priority) => given.directCompact?.(request, priority) ?? 'skipped',
    outOfMemory: (request) => given.outOfMemory?.(request) ?? false,
    reclaimablePages: (zone) => given.reclaimablePages?.(zone) ?? 0,
  }
  return {
    wakeKswapd: ops.wakeKswapd,
    compactFirst: (c, r, flags) => compactFirst(ops, c, r, flags),
    rescue: (c, r, flags) => rescue(ops, c, r, flags),
  }
}

/** Memory may be there, only scattered: large and unmovable requests compact before they reclaim. */
function compactFirst(ops: PressureOps, c: BuddyContext, r: SlowRequest, flags: number): number {
  const waits = __GFP_DIRECT_RECLAIM | __GFP_IO
  const costly = r.order > PAGE_ALLOC_COSTLY_ORDER
  if ((r.gfp & waits) !== waits) return -1
  if (!costly && (r.order === 0 || r.type === MIGRATE_MOVABLE)) return -1
  const pfn = compact(ops, c, r, flags, COMPACT_ASYNC)
  if (pfn >= 0) return pfn
  if (!costly || (r.gfp & __GFP_NORETRY) === 0) return -1
  return pfn === PUT_OFF || (r.gfp & __GFP_THISNODE) !== 0 ? NO_PAGE : -1
}

/** Rounds of reclaim, compaction and killing, until there is a page or no hope. */
function rescue(ops: PressureOps, c: BuddyContext, r: SlowRequest, flags: number): number {
  const costly = r.order > PAGE_ALLOC_COSTLY_ORDER
  const onceAsync = costly && (r.gfp & __GFP_NORETRY) !== 0
  let priority = onceAsync ? COMPACT_ASYNC : COMPACT_SYNC_LIGHT
  let compactRetries = 0
  let noProgress = 0
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let pfn = round === 0 ? -1 : attempt(c, r, flags)
    if (pfn < 0) pfn = reclaim(ops, c, r, flags)
    if (pfn < 0 && r.order > 0) pfn = compact(ops, c, r, flags, priority)
    if (pfn >= 0) return pfn
    if (givesUpEarly(r)) return -1

    noProgress = r.progress > 0 && !costly ? 0 : noProgress + 1
    if (noProgress <= MAX_RECLAIM_RETRIES && couldPass(ops, c, r, flags)) continue
    if (unreserveAny(c, r, true)) continue
    if (r.progress > 0 && r.order > 0 && (r.gfp & __GFP_IO) !== 0) {
      compactRetries += 1
      if (compactRetries <= (costly ? MAX_COMPACT_RETRIES >> 2 : MAX_COMPACT_RETRIES)) continue
      if (priority < (costly ? COMPACT_SYNC_LIGHT : COMPACT_SYNC_FULL)) {
        priority += 1
        compactRetries = 0
        continue
      }
    }

    pfn = killAndTry(ops, c, r)
    if (pfn !== KILLED) return pfn
    const victim = (c.contextBits & CONTEXT_OOM_VICTIM) !== 0
    if (victim && ((flags & ALLOC_OOM) !== 0 || (r.gfp & __GFP_NOMEMALLOC) !== 0)) return -1
    noProgress = 0
  }
  return -1
}

/** {@link compact}: nothing was tried. */
const PUT_OFF = -2

/** Compacts and tries again. Returns a PFN, -1, or PUT_OFF. */
function compact(
  ops: PressureOps,
  c: BuddyContext,
  r: SlowRequest,
  flags: number,
  priority: number,
): number {
  if ((r.gfp & __GFP_IO) === 0) return PUT_OFF
  const result = ops.directCompact(r, priority)
  if (result === 'skipped' || result === 'deferred') return PUT_OFF
  countEvent(c, EVENT_COMPACT_STALL)
  const pfn = attempt(c, r, flags)
  countEvent(c, pfn >= 0 ? EVENT_COMPACT_SUCCESS : EVENT_COMPACT_FAIL)
  return pfn
}

/** Reclaims and, after progress, tries again; the second time with reserves and CPU lists given up. */
function reclaim(ops: PressureOps, c: BuddyContext, r: SlowRequest, flags: number): number {
  countStall(c, r)
  r.progress = ops.directReclaim(r)
  if (r.progress <= 0) return -1
  const pfn = attempt(c, r, flags)
  if (pfn >= 0) return pfn
  unreserveAny(c, r, false)
  drainAll(c)
  return attempt(c, r, flags)
}

/** True when a zone of the request would pass the min watermark if all was reclaimed that can be. */
function couldPass(ops: PressureOps, c: BuddyContext, r: SlowRequest, flags: number): boolean {
  const words = c.words
  for (let at = r.start; words[at] !== 0; at++) {
    const zone = words[at]!
    if (!mayUse(words, zone, r.highestZone, r.nodemask)) continue
    const number = (zone - c.zones) >> ZONE_WORDS_SHIFT
    const available = ops.reclaimablePages(number) + exactFreePages(c, zone)
    const mark = boostedMark(words, zone, ALLOC_WMARK_MIN)
    if (zoneWatermarkOk(words, zone, r.order, mark, r.highestZone, flags, available)) return true
  }
  return false
}

/** Free pages with every CPU's pending delta. */
function exactFreePages(c: BuddyContext, zone: number): number {
  let free = c.words[zone + ZONE_FREE_PAGES]!
  const pcp = c.words[zone + ZONE_PCP]!
  for (let cpu = 0; cpu < c.nrCpus; cpu++) free += c.words[pcp + cpu * PCP_WORDS + PCP_DIFF]!
  return Math.max(free, 0)
}

/** {@link killAndTry}: no page, but something died. */
const KILLED = -2

/** One attempt at the high watermark; then the OOM killer, for requests that may call it. */
function killAndTry(ops: PressureOps, c: BuddyContext, r: SlowRequest): number {
  const pfn = attemptHigh(c, r)
  if (pfn >= 0) return pfn
  // Costly orders come this far with RETRY_MAYFAIL only.
  if ((r.gfp & (__GFP_RETRY_MAYFAIL | __GFP_THISNODE)) !== 0) return -1
  // Requests for low zones do not kill, and without FS the killer only pretends to help (DIFF-10).
  if (r.highestZone < normalIndex(c.words) || (r.gfp & __GFP_FS) === 0) return -1
  if (!ops.outOfMemory(r)) return -1
  countEvent(c, EVENT_OOM_KILL)
  if ((r.gfp & __GFP_NOFAIL) === 0) return KILLED
  const saved = attempt(c, r, ALLOC_NO_WATERMARKS)
  return saved >= 0 ? saved : KILLED
}

function countEvent(c: BuddyContext, event: number): void {
  addEvent(c.words, c.cpuRecord + CPU_EVENTS + event * 2, 1)
}
