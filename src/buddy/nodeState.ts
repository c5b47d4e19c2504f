/** The state of a node's zones as plain data: everything that decides what the next call returns. */

import { InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGEBLOCK_PAGES } from '../base/units'
import {
  PAGE_BUDDY,
  PAGE_ORDER_SHIFT,
  PAGE_PCP_SHIFT,
  pageRecord,
  recordPfn,
} from '../page/memmap'
import { MIGRATE_PCPTYPES, MIGRATE_TYPES } from '../page/migratetype'
import { listAddTail } from '../state/lists'
import {
  NR_FREE_CMA,
  NR_FREE_PAGES,
  NR_PCP_LISTS,
  NR_ZONES,
  PAGE_FLAGS,
  PAGE_NEXT,
  PCP_BATCH,
  PCP_COUNT,
  PCP_DIFF,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LISTS,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_CMA_PAGES,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_MANAGED,
  ZONE_NR_FREE,
  ZONE_NR_ISOLATE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WMARK,
} from '../state/schema'
import { BLOCK_PRESENT, BLOCK_TYPE_MASK } from '../zone/pageblock'
import { type ZoneName, zoneName, zoneRecord } from '../zone/zones'
import { type BuddyContext, currentPcp } from './context'
import { freeList, zoneAt } from './freeArea'
import { pcpListOrder } from './pcp'

/** One zone. Counts are in pages; lists hold PFNs, head first. */
export interface ZoneState {
  readonly node: number
  readonly name: ZoneName
  readonly startPfn: number
  readonly spanned: number
  readonly present: number
  readonly managed: number
  /** The stored counter: it may lag behind the lists by what is pending with the CPUs. */
  readonly free: number
  readonly watermark: { readonly min: number; readonly low: number; readonly high: number }
  readonly boost: number
  readonly highatomicReserved: number
  /** By zone index. */
  readonly lowmemReserve: readonly number[]
  /** The current CPU's page lists, by list index. */
  readonly pcp: {
    readonly count: number
    readonly high: number
    readonly batch: number
    readonly freeFactor: number
    readonly lists: Readonly<Record<string, readonly number[]>>
  }
  /** By order, then by migratetype; empty lists are left out. */
  readonly freeLists: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
  /** One digit (migratetype) for each pageblock from the one that holds `startPfn` on; `x`: no memory map. */
  readonly pageblocks: string
}

/** The populated zones of `node`, lowest index first. */
export function dumpNode(c: BuddyContext, node: number): ZoneState[] {
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
      low: words[zone + ZONE_WMARK + 1]!,
      high: words[zone + ZONE_WMARK + 2]!,
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
export function listPfns(words: Int32Array, head: number): number[] {
  const pfns: number[] = []
  for (let record = words[head + PAGE_NEXT]!; record !== head; record = words[record + PAGE_NEXT]!) {
    pfns.push(recordPfn(record))
  }
  return pfns
}

/**
 * Fills a freshly set-up zone from its recorded state. Frames that are on no list count as in use, by
 * somebody whose blocks are not known.
 * @throws InvalidArgument for lists that contradict each other or the zone.
 */
export function loadZone(c: BuddyContext, zone: number, state: ZoneState): void {
  const words = c.words
  const pcp = currentPcp(c, zone)
  words[zone + ZONE_MANAGED] = state.managed
  words[zone + ZONE_WMARK] = state.watermark.min
  words[zone + ZONE_WMARK + 1] = state.watermark.low
  words[zone + ZONE_WMARK + 2] = state.watermark.high
  words[zone + ZONE_WMARK + 3] = 2 * state.watermark.high - state.watermark.low
  words[zone + ZONE_BOOST] = state.boost
  words[zone + ZONE_HIGHATOMIC] = state.highatomicReserved
  words.set(state.lowmemReserve.slice(0, NR_ZONES), zone + ZONE_RESERVE)
  words[pcp + PCP_FREE_FACTOR] = state.pcp.freeFactor
  for (let cpu = 0; cpu < c.nrCpus; cpu++) {
    const record = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    words[record + PCP_HIGH] = state.pcp.high
    words[record + PCP_BATCH] = state.pcp.batch
  }
  loadBlocks(c, zone, state)
  loadFreeLists(c, zone, pcp, state)
  loadPcp(c, zone, pcp, state)
}

function loadBlocks(c: BuddyContext, zone: number, state: ZoneState): void {
  const first = c.blocks + Math.floor(state.startPfn / PAGEBLOCK_PAGES)
  for (let i = 0; i < state.pageblocks.length; i++) {
    const type = state.pageblocks.charCodeAt(i) - 48
    if (type < 0 || type >= MIGRATE_TYPES) continue
    c.words[first + i] = (c.words[first + i]! & ~BLOCK_TYPE_MASK) | type
    if (type === 4) c.words[zone + ZONE_CMA_PAGES]! += PAGEBLOCK_PAGES
    if (type === 5) c.words[zone + ZONE_NR_ISOLATE]! += 1
  }
}

function loadFreeLists(c: BuddyContext, zone: number, pcp: number, state: ZoneState): void {
  const words = c.words
  let free = 0
  let cma = 0
  for (const [order, types] of Object.entries(state.freeLists)) {
    for (const [type, pfns] of Object.entries(types)) {
      for (const pfn of pfns) {
        place(c, zone, pfn, Number(order), PAGE_BUDDY, freeList(zone, Number(order), Number(type)))
      }
      words[zone + ZONE_NR_FREE + Number(order)]! += pfns.length
      const pages = pfns.length << Number(order)
      if (type !== '5') free += pages
      if (type === '4') cma += pages
    }
  }
  // What the stored counter lacks is pending with the CPU.
  words[zone + ZONE_FREE_PAGES] = state.free
  words[pcp + PCP_DIFF + NR_FREE_PAGES] = free - state.free
  words[zone + ZONE_FREE_CMA] = cma
  words[pcp + PCP_DIFF + NR_FREE_CMA] = 0
}

function loadPcp(c: BuddyContext, zone: number, pcp: number, state: ZoneState): void {
  for (const [key, pfns] of Object.entries(state.pcp.lists)) {
    const index = Number(key)
    const order = pcpListOrder(index)
    // The record does not tell the type a page goes back to: take that of its list.
    const type = index % MIGRATE_PCPTYPES
    const mark = (type + 1) << PAGE_PCP_SHIFT
    for (const pfn of pfns) place(c, zone, pfn, order, mark, pcp + PCP_LISTS + index * 2)
    c.words[pcp + PCP_COUNT]! += pfns.length << order
  }
}

function place(
  c: BuddyContext,
  zone: number,
  pfn: number,
  order: number,
  mark: number,
  list: number,
): void {
  const size = 1 << order
  const inside = pfn >= 0 && pfn + size <= c.maxPfn && zoneAt(c, pfn) === zone
  if (!Number.isInteger(pfn) || pfn % size !== 0 || !inside) {
    throw new InvalidArgument('free block', pfn, `an order-${order} block of the zone`)
  }
  const record = pageRecord(pfn)
  if (c.words[record + PAGE_FLAGS] !== 0) {
    throw new InvalidArgument('free block', pfn, 'on one list only')
  }
  c.words[record + PAGE_FLAGS] = mark | (order << PAGE_ORDER_SHIFT)
  listAddTail(c.words, list, record)
}
