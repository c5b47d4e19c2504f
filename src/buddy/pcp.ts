/**
 * Per-CPU page lists: each CPU keeps some pages of every zone at hand, so that most allocations and
 * frees touch no free area.
 *
 * A zone's lists of one CPU, by list index:
 *
 *     0 1 2    3 4 5    6 7 8    9 10 11    12            13
 *     order 0  order 1  order 2  order 3    order 9       order 9
 *     U M E    U M E    U M E    U M  E     not movable   movable
 *
 * A page remembers the type of the list it came from or, when freed, of its pageblock: that is the
 * list it goes back to.
 *
 * PCP-1: count is the number of pages in the blocks on the 14 lists.
 * PCP-2: each block on a list has the order of the list and a cached type that may be there.
 * PCP-3: each page with a negative count is on a CPU's list.
 * PCP-4: batch is 1 or more, the free factor 0 to 5, expiry 0 to 3; the limit is high, or under reclaim
 *        at most four batches.
 *
 * Source: spec/page-allocator.md §5.3, §5.5, §7.2, §7.3.
 */

import { PAGEBLOCK_ORDER } from '../base/units'
import { flagsOrder, pageRecord, recordPfn } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_MOVABLE, MIGRATE_PCPTYPES } from '../page/migratetype'
import { addEvent, addZoneCounter } from '../state/counters'
import { listAddHead, listAddTail, listRemove } from '../state/lists'
import {
  NR_FREE_CMA,
  NR_FREE_PAGES,
  NR_PCP_LISTS,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PCP_BATCH,
  PCP_COUNT,
  PCP_FREE_FACTOR,
  PCP_LIMIT,
  PCP_LISTS,
  PCP_PGFREE,
  ZONE_NR_ISOLATE,
} from '../state/schema'
import type { BuddyContext } from './context'
import { removeBlock } from './fallback'
import { blockType, freeOnePage } from './freeArea'

/** The free batch grows to at most batch × 2^5. */
const BATCH_SCALE_MAX = 5

/** Index of the CPU list for blocks of an order and a type below 3. */
export function pcpListIndex(order: number, type: number): number {
  if (order === PAGEBLOCK_ORDER) return type === MIGRATE_MOVABLE ? 13 : 12
  return order * MIGRATE_PCPTYPES + type
}

/** Order of the blocks on the list of an index. */
export function pcpListOrder(index: number): number {
  return index >= 12 ? PAGEBLOCK_ORDER : (index / MIGRATE_PCPTYPES) | 0
}

/**
 * Takes a block off the CPU's list, refilled from the free areas when it is empty. Returns its PFN,
 * or -1 when the zone has nothing to refill from.
 */
export function takeFromPcp(
  c: BuddyContext,
  zone: number,
  pcp: number,
  order: number,
  type: number,
  allocFlags: number,
): number {
  const words = c.words
  const head = pcp + PCP_LISTS + (pcpListIndex(order, type) << 1)
  let record = words[head]!
  if (record === head) {
    refill(c, zone, pcp, head, order, type, allocFlags)
    record = words[head]!
    if (record === head) return -1
  }
  listRemove(words, record)
  words[pcp + PCP_COUNT]! -= 1 << order
  return recordPfn(record)
}

/** Moves a batch of blocks from the free areas to the end of the CPU's list. */
function refill(
  c: BuddyContext,
  zone: number,
  pcp: number,
  head: number,
  order: number,
  type: number,
  allocFlags: number,
): void {
  const words = c.words
  const batch = words[pcp + PCP_BATCH]!
  const wanted = batch > 1 ? Math.max(batch >> order, 2) : batch
  let taken = 0
  while (taken < wanted) {
    const pfn = removeBlock(c, zone, order, type, allocFlags)
    if (pfn < 0) break
    taken += 1
    const record = pageRecord(pfn)
    listAddTail(words, head, record)
    if (words[record + PAGE_REFS] === -1 - MIGRATE_CMA) {
      addZoneCounter(words, zone, pcp, NR_FREE_CMA, -(1 << order))
    }
  }
  // One update for the whole refill: the balance test of CMA must not see it half-way.
  addZoneCounter(words, zone, pcp, NR_FREE_PAGES, -(taken << order))
  words[pcp + PCP_COUNT]! += taken << order
}

/**
 * Puts a freed block at the front of the CPU's list; when the lists are too long, gives some of them
 * back to the free areas. `type` is that of its pageblock, not ISOLATE; the caller has checked and
 * cleared the block's records.
 */
export function putOnPcp(
  c: BuddyContext,
  zone: number,
  pcp: number,
  pfn: number,
  order: number,
  type: number,
): void {
  const words = c.words
  const record = pageRecord(pfn)
  const index = pcpListIndex(order, type < MIGRATE_PCPTYPES ? type : MIGRATE_MOVABLE)
  words[record + PAGE_FLAGS] = order << PAGE_ORDER_SHIFT
  words[record + PAGE_REFS] = -1 - type
  addEvent(words, pcp + PCP_PGFREE, 1 << order)
  listAddHead(words, pcp + PCP_LISTS + (index << 1), record)
  const count = words[pcp + PCP_COUNT]! + (1 << order)
  words[pcp + PCP_COUNT] = count
  const factor = words[pcp + PCP_FREE_FACTOR]!
  const freeAll = factor !== 0 && order !== 0 && order <= 3
  const limit = freeAll ? 0 : words[pcp + PCP_LIMIT]!
  if (count >= limit) {
    drainPcp(c, zone, pcp, freeAll ? count : overflowCount(words, pcp, limit), index)
  }
}

/** Pages to give back on an overflow: doubles from one overflow to the next, halves with each use. */
function overflowCount(words: Int32Array, pcp: number, high: number): number {
  const batch = words[pcp + PCP_BATCH]!
  if (high < batch) return 1
  const factor = words[pcp + PCP_FREE_FACTOR]!
  const most = high - batch
  const wanted = batch << factor
  if (wanted < most && factor < BATCH_SCALE_MAX) words[pcp + PCP_FREE_FACTOR] = factor + 1
  if (wanted >= most) return most
  return Math.max(wanted, batch)
}

/**
 * Gives up to `pages` pages back to the free areas, oldest first: list `first` until it is empty, then
 * the next ones that hold something, around the end.
 */
export function drainPcp(
  c: BuddyContext,
  zone: number,
  pcp: number,
  pages: number,
  first: number,
): void {
  const words = c.words
  let left = Math.min(pages, words[pcp + PCP_COUNT]!)
  // Two rounds see every list whatever the count says.
  for (let i = 0; left > 0 && i < 2 * NR_PCP_LISTS; i++) {
    const index = (first + i) % NR_PCP_LISTS
    const head = pcp + PCP_LISTS + (index << 1)
    while (left > 0 && words[head] !== head) {
      const record = words[head + 1]!
      const order = flagsOrder(words[record + PAGE_FLAGS]!)
      const cached = -1 - words[record + PAGE_REFS]!
      listRemove(words, record)
      left -= 1 << order
      words[pcp + PCP_COUNT]! -= 1 << order
      const pfn = recordPfn(record)
      const type = words[zone + ZONE_NR_ISOLATE] === 0 ? cached : blockType(c, pfn)
      words[record + PAGE_REFS] = 0
      freeOnePage(c, zone, pfn, order, type, false)
      if (c.tracing) c.trace.pcpuDrain(pfn, order, type)
    }
  }
}
