/**
 * What the allocator asks of memory reclaim, when the free lists alone cannot serve a request. The
 * default does what a kernel does that has nothing to reclaim, migrate or kill.
 */

/** Result of a direct compaction: nothing done, or as far as it went. */
export type CompactResult = 'skipped' | 'deferred' | 'complete' | 'partial' | 'success'

/** Implemented by a reclaim layer; all methods may call the allocator's freeing functions. */
export interface PressureOps {
  /** Wakes the background reclaimer of `node` for a request of `order` and zones up to `highestZone`. */
  wakeKswapd(node: number, order: number, highestZone: number, gfp: number): void
  /** Reclaims for the request and tells how many pages it freed. */
  directReclaim(request: PressureRequest): number
  /** Compacts for the request; `priority` 0 async, 1 sync-light, 2 sync-full. */
  directCompact(request: PressureRequest, priority: number): CompactResult
  /** Kills a task or the like, and tells whether that made progress. */
  outOfMemory(request: PressureRequest): boolean
  /** Pages of a zone that reclaim could free. `zone` is node × 4 + zone index. */
  reclaimablePages(zone: number): number
}

/** A request in trouble. */
export interface PressureRequest {
  /** Its GFP mask. */
  readonly gfp: number
  /** Its order, 0 to 10. */
  readonly order: number
  /** The node it prefers. */
  readonly node: number
  /** The highest zone index it may use. */
  readonly highestZone: number
}

/** A machine with nothing to reclaim. */
export const noPressure: PressureOps = Object.freeze({
  wakeKswapd() {},
  directReclaim: () => 0,
  directCompact: () => 'skipped' as const,
  outOfMemory: () => false,
  reclaimablePages: () => 0,
})
