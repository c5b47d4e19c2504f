/** The state of a node's zones as plain data: everything that decides what the next call returns. */

import { checkInteger } from '../base/errors'
import { MAX_ORDER, MAX_ORDER_PAGES, PAGEBLOCK_PAGES } from '../base/units'
import { blocksAt } from '../page/freshBlocks'
import { recordPfn } from '../page/memmap'
import { MIGRATE_TYPES } from '../page/migratetype'
import {
  BLOCK_PRESENT,
  BLOCK_TYPE_MASK,
  NR_PCP_LISTS,
  NR_ZONES,
  PAGE_NEXT,
  PCP_BATCH,
  PCP_COUNT,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LISTS,
  ZONE_BOOST,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_MANAGED,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WMARK,
} from '../state/schema'
import { WMARK_HIGH, WMARK_LOW, type ZoneName, zoneName, zoneRecord } from '../zone/zones'
import type { BuddyAllocator } from './buddyAllocator'
import { type BuddyContext, currentPcp } from './context'
import { freeList } from './freeArea'

/** One zone. Counts are in pages; lists hold PFNs, head first. */
export interface ZoneState {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone, as the kernel prints it. */
  readonly name: ZoneName
  /** First frame. */
  readonly startPfn: number
  /** From the first frame to the last, holes included. */
  readonly spanned: number
  /** Memory. */
  readonly present: number
  /** Memory that was handed to the allocator. */
  readonly managed: number
  /** The stored counter: it may lag behind the lists by what is pending with the CPUs. */
  readonly free: number
  /** The three marks, without the boost. */
  readonly watermark: {
    /** Below it only requests with reserves are served. */
    readonly min: number
    /** Below it the background reclaimer is woken. */
    readonly low: number
    /** Up to it the background reclaimer works. */
    readonly high: number
  }
  /** Added to all marks for a while after a steal. */
  readonly boost: number
  /** In pageblocks kept for high-order atomic requests. */
  readonly highatomicReserved: number
  /** By zone index. */
  readonly lowmemReserve: readonly number[]
  /** The current CPU's page lists, by list index. */
  readonly pcp: {
    /** Pages on the lists. */
    readonly count: number
    /** At this count a free overflows. */
    readonly high: number
    /** Pages taken or given back at once. */
    readonly batch: number
    /** Doubles what an overflow gives back, once for each step; 0 to 5. */
    readonly freeFactor: number
    /** By list index: 3 × order + migratetype for orders 0 to 3, then 12 and 13 for order 9. */
    readonly lists: Readonly<Record<string, readonly number[]>>
  }
  /** By order, then by migratetype; empty lists are left out. */
  readonly freeLists: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
  /** One digit (migratetype) for each pageblock from the one that holds `startPfn` on; `x`: no memory map. */
  readonly pageblocks: string
}

/**
 * The populated zones of `node` as plain data, lowest index first: what `loadZones` continues from.
 * Cost: the length of all lists.
 * @throws InvalidArgument for a node that the machine has not.
 */
export function nodeState(pages: BuddyAllocator, node = 0): ZoneState[] {
  const c = pages.context
  checkInteger('node', node, 0, c.nrNodes - 1)
  const states: ZoneState[] = []
  for (let index = 0; index < NR_ZONES; index++) {
    const zone = zoneRecord(c.words, node, index)
    if (c.words[zone + ZONE_PRESENT] !== 0) states.push(dumpZone(c, zone, node))
  }
  return states
}

function dumpZone(c: BuddyContext, zone: number, node: number): ZoneState {
  const words = c.words
  const pcp = currentPcp(c, zone)
  const lists: Record<string, number[]> = {}
  for (let index = 0; index < NR_PCP_LISTS; index++) {
    const pfns = listPfns(words, pcp + PCP_LISTS + index * 2)
    if (pfns.length > 0) lists[index] = pfns
  }
  return {
    node,
    name: zoneName(words, zone),
    startPfn: words[zone + ZONE_START]!,
    spanned: words[zone + ZONE_SPANNED]!,
    present: words[zone + ZONE_PRESENT]!,
    managed: words[zone + ZONE_MANAGED]!,
    free: Math.max(0, words[zone + ZONE_FREE_PAGES]!),
    watermark: {
      min: words[zone + ZONE_WMARK]!,
      low: words[zone + ZONE_WMARK + WMARK_LOW]!,
      high: words[zone + ZONE_WMARK + WMARK_HIGH]!,
    },
    boost: words[zone + ZONE_BOOST]!,
    highatomicReserved: words[zone + ZONE_HIGHATOMIC]!,
    lowmemReserve: Array.from(words.subarray(zone + ZONE_RESERVE, zone + ZONE_RESERVE + NR_ZONES)),
    pcp: {
      count: words[pcp + PCP_COUNT]!,
      high: words[pcp + PCP_HIGH]!,
      batch: words[pcp + PCP_BATCH]!,
      freeFactor: words[pcp + PCP_FREE_FACTOR]!,
      lists,
    },
    freeLists: dumpFreeLists(words, zone),
    pageblocks: dumpBlocks(c, zone),
  }
}

function dumpFreeLists(words: Int32Array, zone: number): Record<string, Record<string, number[]>> {
  const orders: Record<string, Record<string, number[]>> = {}
  for (let order = 0; order < MAX_ORDER; order++) {
    const types: Record<string, number[]> = {}
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      const pfns = listPfns(words, freeList(zone, order, type))
      if (pfns.length > 0) types[type] = pfns
    }
    if (Object.keys(types).length > 0) orders[order] = types
  }
  return orders
}

function dumpBlocks(c: BuddyContext, zone: number): string {
  const start = c.words[zone + ZONE_START]!
  const end = start + c.words[zone + ZONE_SPANNED]!
  let text = ''
  for (let pfn = start & -PAGEBLOCK_PAGES; pfn < end; pfn += PAGEBLOCK_PAGES) {
    const block = c.words[c.blocks + pfn / PAGEBLOCK_PAGES]!
    text += (block & BLOCK_PRESENT) === 0 ? 'x' : String(block & BLOCK_TYPE_MASK)
  }
  return text
}

/** The PFNs on a list, head first. */
function listPfns(words: Int32Array, head: number): number[] {
  const pfns: number[] = []
  for (
    let record = words[head + PAGE_NEXT]!;
    record !== head;
    record = words[record + PAGE_NEXT]!
  ) {
    const pfn = recordPfn(record)
    const blocks = blocksAt(words, record)
    for (let i = 0; i < blocks; i++) pfns.push(pfn + i * MAX_ORDER_PAGES)
  }
  return pfns
}
