/**
 * The allocation entry: what a GFP mask means on this machine, the walk over the zones, and the set-up
 * of the page that comes out.
 *
 * Source: spec/page-allocator.md §5.1, §5.2, §2.5.
 */

import { ALLOC_CMA, ALLOC_NOFRAGMENT, ALLOC_WMARK_LOW } from '../page/allocFlags'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_FS,
  __GFP_IO,
  __GFP_KSWAPD_RECLAIM,
  __GFP_MOVABLE,
  __GFP_THISNODE,
  GFP_ZONE_MASK,
  gfpMigratetype,
} from '../page/gfp'
import { MIGRATE_MOVABLE, MIGRATE_UNMOVABLE } from '../page/migratetype'
import {
  HEADER_GFP_ALLOWED,
  HEADER_MOBILITY_DISABLED,
  HEADER_ONLINE_NODES,
  ZONE_INDEX,
  ZONE_PRESENT,
  ZONE_WORDS,
} from '../state/schema'
import type { BuddyContext, Nodemask } from './context'
import {
  CONTEXT_ATOMIC,
  CONTEXT_INTERRUPT,
  CONTEXT_NOFS,
  CONTEXT_NOIO,
  CONTEXT_PIN,
} from './contextBits'
import { allocSlow } from './slowPath'
import { firstZone, takeFromZonelist } from './zonelistWalk'

/**
 * Allocates a block: for a request of `order` (0 to 10) that prefers `node`. Returns the PFN of its
 * first page, or -1. Arguments are the caller's to check.
 */
export function allocPages(
  c: BuddyContext,
  gfp: number,
  order: number,
  node: number,
  nodemask: Nodemask,
): number {
  const words = c.words
  const mask = scopedGfp(c, gfp)
  if (c.faults?.failPage(mask, order)) return -1
  const highest = highestZone(c, mask)
  const type = requestType(c, mask)
  const list = zonelistFor(c, node, mask)
  const start = firstZone(c, list, highest, nodemask)
  let pfn = -1
  if (start !== 0) {
    let flags = ALLOC_WMARK_LOW | (mask & __GFP_KSWAPD_RECLAIM)
    if (type === MIGRATE_MOVABLE) flags |= ALLOC_CMA
    if (keepsTypesApart(c, words[start]!)) flags |= ALLOC_NOFRAGMENT
    pfn = takeFromZonelist(c, mask, order, flags, type, highest, start, nodemask)
  }
  if (pfn < 0) pfn = allocSlow(c, mask, order, type, highest, list, node, nodemask)
  if (c.tracing) c.trace.pageAlloc(pfn, order, mask, type)
  return pfn
}

/** The mask less what the stage of boot and the calling context forbid; reports sleeping in atomic context. */
export function scopedGfp(c: BuddyContext, gfp: number): number {
  let mask = gfp & c.words[HEADER_GFP_ALLOWED]!
  const context = c.contextBits
  if (context === 0) return mask
  if ((context & CONTEXT_NOIO) !== 0) mask &= ~(__GFP_IO | __GFP_FS)
  else if ((context & CONTEXT_NOFS) !== 0) mask &= ~__GFP_FS
  if ((context & CONTEXT_PIN) !== 0) mask &= ~__GFP_MOVABLE
  if (
    (context & (CONTEXT_ATOMIC | CONTEXT_INTERRUPT)) !== 0 &&
    (mask & __GFP_DIRECT_RECLAIM) !== 0
  ) {
    c.log.sleepInAtomic(c)
  }
  return mask
}

/** The highest zone index that a mask may use on this machine. */
export function highestZone(c: BuddyContext, gfp: number): number {
  return (c.zoneTable >>> ((gfp & GFP_ZONE_MASK) << 1)) & 3
}

/** The migratetype that a mask asks for; UNMOVABLE while mobility grouping is off. */
export function requestType(c: BuddyContext, gfp: number): number {
  return c.words[HEADER_MOBILITY_DISABLED] === 0 ? gfpMigratetype(gfp) : MIGRATE_UNMOVABLE
}

/** The zonelist of `node` for a mask: all nodes by distance, or with __GFP_THISNODE only this one. */
export function zonelistFor(c: BuddyContext, node: number, gfp: number): number {
  const which = (node << 1) + ((gfp & __GFP_THISNODE) !== 0 ? 1 : 0)
  return c.zonelists + which * (c.nrZones + 1)
}

/** True when requests that prefer `zone` should rather use another zone than mix types in this one. */
function keepsTypesApart(c: BuddyContext, zone: number): boolean {
  const words = c.words
  if (words[zone + ZONE_INDEX] !== c.normalZone) return false
  const dma32 = zone - ZONE_WORDS
  return words[HEADER_ONLINE_NODES] === 1 || words[dma32 + ZONE_PRESENT] !== 0
}
