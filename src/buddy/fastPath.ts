/**
 * The fast path: a single page from, or to, a page list that needs no refill and does not overflow.
 *
 * It does what the long way does in that case, and nothing else; whatever is out of the ordinary (a
 * listener, a context, flags that need work, an empty or full list, a watermark near) is left to the
 * long way, with nothing changed. Three things make it fast:
 *
 * - A *plan* remembers what a GFP mask means on a CPU, four words found by a hash of the mask:
 *
 *       mask | zone | the CPU's record of the zone | head of the page list
 *
 *   Plans are forgotten when zonelists, mobility grouping, marks or allowed flags change, and while
 *   every call must take the long way.
 * - A *quiet* zone (ZONE_QUIET) has been found far enough above every mark, and nothing that could
 *   change the answer has happened since.
 * - An allocation counts once, as PCP_FAST_HITS, for three events.
 *
 * CPU-2: a plan names a populated zone of the CPU's node, the CPU's record of the zone, and a list of
 *        single pages there.
 * FAST-1: with and without the fast path the state is the same word for word, but for ZONE_QUIET and
 *         for how those events are split.
 */

import { PAGEBLOCK_ORDER } from '../base/units'
import { __GFP_BITS_MASK, __GFP_ZERO } from '../page/gfp'
import { pageRecord, recordPfn } from '../page/memmap'
import { MIGRATE_PCPTYPES } from '../page/migratetype'
import { countOne } from '../state/counters'
import { listAddHead } from '../state/lists'
import {
  BLOCK_MIXED,
  BLOCK_TYPE_MASK,
  BLOCK_ZONE_SHIFT,
  CPU_NODE,
  CPU_PLANS,
  NR_ZONES,
  PAGE_FLAGS,
  PAGE_NEXT,
  PAGE_PREV,
  PAGE_REFS,
  PCP_COUNT,
  PCP_FAST_HITS,
  PCP_FREE_FACTOR,
  PCP_LIMIT,
  PCP_LISTS,
  PCP_PGFREE,
  PLAN_WORDS,
  ZONE_FLAGS,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_QUIET,
  ZONE_RESERVE,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { boostedMark, WMARK_LOW } from '../zone/zones'
import { highestZone, requestType, scopedGfp, zonelistFor } from './allocPages'
import { type BuddyContext, currentPcp } from './context'
import { pcpListIndex } from './pcp'
import { firstZone } from './zonelistWalk'

/** Takes the first page of the list that a plan names. Returns its PFN, or -1 for the long way. */
export function takeFast(c: BuddyContext, gfp: number): number {
  const words = c.words
  const plan = planOf(c, gfp)
  if (words[plan] !== gfp || c.fastLimit === 0) return -1
  if (words[words[plan + 1]! + ZONE_QUIET] !== 1) return -1
  const pcp = words[plan + 2]!
  const head = words[plan + 3]!
  const record = words[head]!
  if (record === head) return -1
  const factor = words[pcp + PCP_FREE_FACTOR]!
  if (factor !== 0) words[pcp + PCP_FREE_FACTOR] = factor >> 1
  const next = words[record + PAGE_NEXT]!
  words[head + PAGE_NEXT] = next
  words[next + PAGE_PREV] = head
  words[pcp + PCP_COUNT]! -= 1
  countOne(words, pcp + PCP_FAST_HITS)
  words[record + PAGE_REFS] = 1
  return recordPfn(record)
}

/** Puts a page back on its list. Returns false, with nothing changed, when that is not all there is to do. */
export function freeFast(c: BuddyContext, pfn: number): boolean {
  if (pfn >>> 0 !== pfn || pfn >= c.fastLimit) return false
  const words = c.words
  const record = pageRecord(pfn)
  if (words[record + PAGE_REFS] !== 1 || words[record + PAGE_FLAGS] !== 0) return false
  const block = words[c.blocks + (pfn >> PAGEBLOCK_ORDER)]!
  const type = block & BLOCK_TYPE_MASK
  if (type >= MIGRATE_PCPTYPES || (block & BLOCK_MIXED) !== 0) return false
  const zone = c.zones + ((block >> BLOCK_ZONE_SHIFT) << ZONE_WORDS_SHIFT)
  const pcp = words[zone + ZONE_PCP]! + c.pcpShift
  const count = words[pcp + PCP_COUNT]! + 1
  if (count >= words[pcp + PCP_LIMIT]!) return false
  words[pcp + PCP_COUNT] = count
  countOne(words, pcp + PCP_PGFREE)
  words[record + PAGE_REFS] = -1 - type
  listAddHead(words, pcp + PCP_LISTS + (type << 1), record)
  return true
}

/**
 * Remembers what a mask means for a single page, when the fast path may serve it at all, and whether
 * its zone is quiet. To be called after the long way.
 */
export function makePlan(c: BuddyContext, gfp: number): void {
  if (c.fastLimit === 0) return
  const words = c.words
  const plan = planOf(c, gfp)
  if (words[plan] !== gfp && !writePlan(c, plan, gfp)) return
  const zone = words[plan + 1]!
  if (isQuiet(words, zone)) words[zone + ZONE_QUIET] = 1
}

function writePlan(c: BuddyContext, plan: number, gfp: number): boolean {
  const words = c.words
  if (gfp === 0 || gfp > __GFP_BITS_MASK || (gfp & __GFP_ZERO) !== 0) return false
  const mask = scopedGfp(c, gfp)
  const node = words[c.cpuRecord + CPU_NODE]!
  const start = firstZone(c, zonelistFor(c, node, mask), highestZone(c, mask), null)
  if (start === 0 || words[words[start]! + ZONE_NODE] !== node) return false
  const zone = words[start]!
  const pcp = currentPcp(c, zone)
  words[plan] = gfp
  words[plan + 1] = zone
  words[plan + 2] = pcp
  words[plan + 3] = pcp + PCP_LISTS + (pcpListIndex(0, requestType(c, mask)) << 1)
  return true
}

/** True when the zone passes the low watermark test for a single page of any request. */
function isQuiet(words: Int32Array, zone: number): boolean {
  if (words[zone + ZONE_FLAGS] !== 0) return false
  let reserve = 0
  for (let i = 0; i < NR_ZONES; i++) reserve = Math.max(reserve, words[zone + ZONE_RESERVE + i]!)
  const unusable = words[zone + ZONE_HIGHATOMIC]! + Math.max(0, words[zone + ZONE_FREE_CMA]!)
  const mark = boostedMark(words, zone, WMARK_LOW)
  return words[zone + ZONE_FREE_PAGES]! - unusable > mark + reserve
}

/** A plan's place, by Fibonacci hashing: the upper five bits of a product spread well. */
function planOf(c: BuddyContext, gfp: number): number {
  return c.cpuRecord + CPU_PLANS + (Math.imul(gfp, 0x9e3779b1) >>> 27) * PLAN_WORDS
}
