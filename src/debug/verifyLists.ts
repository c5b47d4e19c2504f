/** Walks every list of free blocks and of page lists, and compares their lengths with what is counted. */

import { MAX_ORDER } from '../base/units'
import { freeList } from '../buddy/freeArea'
import { pcpListIndex, pcpListOrder } from '../buddy/pcp'
import { blocksAt } from '../page/freshBlocks'
import { flagsOrder, pageRecord, recordPfn } from '../page/memmap'
import {
  MIGRATE_CMA,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  MIGRATE_TYPES,
} from '../page/migratetype'
import {
  HEADER_BLOCKS,
  HEADER_MAX_PFN,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_PCPS,
  HEADER_WORDS,
  HEADER_ZONES,
  NR_FREE_CMA,
  NR_FREE_PAGES,
  NR_PCP_LISTS,
  NR_ZONES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_NEXT,
  PAGE_ORDER_MASK,
  PAGE_ORDER_SHIFT,
  PAGE_PREV,
  PAGE_REFS,
  PAGE_WORDS,
  PCP_COUNT,
  PCP_DIFF,
  PCP_LISTS,
  PCP_WORDS,
  ZONE_NR_FREE,
  ZONE_STAT,
  ZONE_WORDS,
} from '../state/schema'
import { zoneOfPfn } from '../zone/zones'
import { listText, pfnText, type Violations, zoneText } from './invariants'

/** Counts kept for each zone: blocks marked free of orders 0 to 10, then blocks marked as on page lists. */
export const COUNTS_PER_ZONE = MAX_ORDER + 1

/** In place of a length: the links are broken, so nothing is known. */
const BROKEN = -1

/** Walks all lists; `listed` receives the blocks found, -1 where a list is broken. */
export function checkLists(words: Int32Array, v: Violations, listed: Int32Array): void {
  const zones = words[HEADER_NR_NODES]! * NR_ZONES
  for (let number = 0; number < zones; number++) {
    checkFreeLists(words, v, number, listed)
    let blocks = 0
    for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
      const more = checkPcpLists(words, v, number, cpu)
      blocks = more === BROKEN || blocks === BROKEN ? BROKEN : blocks + more
    }
    listed[number * COUNTS_PER_ZONE + MAX_ORDER] = blocks
  }
}

/**
 * Where more blocks are marked than listed, finds those that are on no list. Lists with whole links
 * share no record, so equal counts mean that exactly the marked blocks are listed.
 */
export function nameLostBlocks(
  words: Int32Array,
  v: Violations,
  listed: Int32Array,
  marked: Int32Array,
): void {
  for (let at = 0; at < listed.length; at++) {
    if (listed[at] === BROKEN || listed[at] === marked[at]) continue
    const number = Math.floor(at / COUNTS_PER_ZONE)
    const order = at % COUNTS_PER_ZONE
    if (order === MAX_ORDER) nameLostPcpBlocks(words, v, number)
    else nameLostFreeBlocks(words, v, number, order)
  }
}

function checkFreeLists(
  words: Int32Array,
  v: Violations,
  number: number,
  listed: Int32Array,
): void {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  let free = 0
  let cma = 0
  let whole = true
  for (let order = 0; order < MAX_ORDER; order++) {
    let blocks = 0
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      const head = freeList(zone, order, type)
      const length = checkLinks(words, v, head)
      if (length === BROKEN) {
        blocks = BROKEN
        whole = false
        break
      }
      const all = length > 0 ? length + checkFreeMembers(words, v, head, zone, order) : 0
      blocks += all
      if (type !== MIGRATE_ISOLATE) free += all * 2 ** order
      if (type === MIGRATE_CMA) cma += all * 2 ** order
    }
    listed[number * COUNTS_PER_ZONE + order] = blocks
    const counted = words[zone + ZONE_NR_FREE + order]!
    if (blocks !== BROKEN && counted !== blocks) {
      const text = `counts ${counted} free blocks of order ${order}, lists ${blocks}`
      v.report('BUDDY-2', `${zoneText(words, number)} ${text}`)
    }
  }
  if (!whole) return
  const storedFree = counterSum(words, number, NR_FREE_PAGES)
  if (storedFree !== free) {
    const text = `counts ${storedFree} free pages, lists ${free}`
    v.report('ZONE-2', `${zoneText(words, number)} ${text}`)
  }
  const storedCma = counterSum(words, number, NR_FREE_CMA)
  if (storedCma !== cma) {
    const text = `counts ${storedCma} free CMA pages, lists ${cma}`
    v.report('ZONE-5', `${zoneText(words, number)} ${text}`)
  }
}

/** A stored counter with what is pending on all CPUs. */
function counterSum(words: Int32Array, number: number, item: number): number {
  const cpus = words[HEADER_NR_CPUS]!
  const pcps = words[HEADER_PCPS]! + number * cpus * PCP_WORDS
  let sum = words[words[HEADER_ZONES]! + number * ZONE_WORDS + ZONE_STAT + item]!
  for (let cpu = 0; cpu < cpus; cpu++) sum += words[pcps + cpu * PCP_WORDS + PCP_DIFF + item]!
  return sum
}

/**
 * Length of the list, all its links consistent; else BROKEN. It ends: a record that comes a second
 * time is linked from two records, and its PREV can name but one of them.
 */
function checkLinks(words: Int32Array, v: Violations, head: number): number {
  let record = words[head + PAGE_NEXT]!
  if (record === head) {
    if (words[head + PAGE_PREV] === head) return 0
    v.report('LIST-2', `${listText(words, head)} is empty, but PREV is ${words[head + PAGE_PREV]}`)
    return BROKEN
  }
  const [start, end, step, prevAt] = [HEADER_WORDS, words[HEADER_BLOCKS]!, PAGE_WORDS, PAGE_PREV]
  let before = head
  let length = 0
  while (record !== head) {
    if (record < start || record >= end || record % step !== 0) {
      v.report('LIST-1', `${listText(words, head)} links to ${record}, no page record`)
      return BROKEN
    }
    if (words[record + prevAt] !== before) {
      const back = `goes on to ${pfnText(recordPfn(record))}, whose PREV is`
      v.report('LIST-1', `${listText(words, head)} ${back} ${words[record + prevAt]}`)
      return BROKEN
    }
    before = record
    length += 1
    record = words[record]!
  }
  if (words[head + PAGE_PREV] === before) return length
  v.report('LIST-1', `${listText(words, head)} ends at ${words[head + PAGE_PREV]}, not ${before}`)
  return BROKEN
}

/** Checks the members of a free list. Returns the fresh blocks that follow them. */
function checkFreeMembers(
  words: Int32Array,
  v: Violations,
  head: number,
  zone: number,
  order: number,
): number {
  let fresh = 0
  const mark = PAGE_BUDDY | (order << PAGE_ORDER_SHIFT)
  const mask = PAGE_BUDDY | PAGE_ORDER_MASK
  const flagsAt = PAGE_FLAGS
  for (let record = words[head]!; record !== head && !v.full; record = words[record]!) {
    const flags = words[record + flagsAt]!
    if ((flags & mask) !== mark) {
      const text = `${pfnText(recordPfn(record))} with flags 0x${(flags >>> 0).toString(16)}`
      v.report('BUDDY-1', `${listText(words, head)} has ${text}`)
    } else if (!inZone(words, zone, recordPfn(record), order)) {
      const text = `${pfnText(recordPfn(record))}, not of that zone`
      v.report('ZONE-4', `${listText(words, head)} has ${text}`)
    }
    fresh += blocksAt(words, record) - 1
  }
  return fresh
}

/** Checks one CPU's lists of a zone. Returns the blocks on them, or BROKEN. */
function checkPcpLists(words: Int32Array, v: Violations, number: number, cpu: number): number {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const pcp = words[HEADER_PCPS]! + (number * words[HEADER_NR_CPUS]! + cpu) * PCP_WORDS
  let pages = 0
  let blocks = 0
  for (let index = 0; index < NR_PCP_LISTS; index++) {
    const head = pcp + PCP_LISTS + 2 * index
    const length = checkLinks(words, v, head)
    if (length === BROKEN) return BROKEN
    if (length > 0) checkPcpMembers(words, v, head, zone, index)
    blocks += length
    pages += length * 2 ** pcpListOrder(index)
  }
  if (words[pcp + PCP_COUNT] !== pages) {
    const text = `CPU ${cpu} counts ${words[pcp + PCP_COUNT]} pages, lists ${pages}`
    v.report('PCP-1', `${zoneText(words, number)} ${text}`)
  }
  return blocks
}

function checkPcpMembers(
  words: Int32Array,
  v: Violations,
  head: number,
  zone: number,
  index: number,
): void {
  const order = pcpListOrder(index)
  for (let record = words[head]!; record !== head && !v.full; record = words[record]!) {
    const pfn = recordPfn(record)
    const flags = words[record + PAGE_FLAGS]!
    const type = -1 - words[record + PAGE_REFS]!
    // Pages of HIGHATOMIC and CMA pageblocks wait among the MOVABLE ones.
    const listType = type < MIGRATE_PCPTYPES ? type : MIGRATE_MOVABLE
    const known = type >= 0 && type < MIGRATE_ISOLATE
    if (!known || flagsOrder(flags) !== order || pcpListIndex(order, listType) !== index) {
      const text = `${pfnText(pfn)} of order ${flagsOrder(flags)} and type ${type}`
      v.report('PCP-2', `${listText(words, head)} has ${text}`)
    } else if (!inZone(words, zone, pfn, order)) {
      v.report('ZONE-4', `${listText(words, head)} has ${pfnText(pfn)}, not of that zone`)
    }
  }
}

function inZone(words: Int32Array, zone: number, pfn: number, order: number): boolean {
  if (zoneOfPfn(words, pfn) !== zone) return false
  return order === 0 || zoneOfPfn(words, pfn + 2 ** order - 1) === zone
}

function nameLostFreeBlocks(words: Int32Array, v: Violations, number: number, order: number): void {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const members = new Set<number>()
  for (let type = 0; type < MIGRATE_TYPES; type++) {
    const head = freeList(zone, order, type)
    for (let record = words[head]!; record !== head; record = words[record]!) members.add(record)
  }
  const mark = PAGE_BUDDY | (order << PAGE_ORDER_SHIFT)
  for (let pfn = 0; pfn < words[HEADER_MAX_PFN]! && !v.full; pfn++) {
    const record = pageRecord(pfn)
    if ((words[record + PAGE_FLAGS]! & (PAGE_BUDDY | PAGE_ORDER_MASK)) !== mark) continue
    if (members.has(record) || zoneOfPfn(words, pfn) !== zone) continue
    const text = `is marked free of order ${order}, but on no list of ${zoneText(words, number)}`
    v.report('BUDDY-1', `${pfnText(pfn)} ${text}`)
  }
}

function nameLostPcpBlocks(words: Int32Array, v: Violations, number: number): void {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const cpus = words[HEADER_NR_CPUS]!
  const members = new Set<number>()
  for (let list = 0; list < cpus * NR_PCP_LISTS; list++) {
    const cpu = Math.floor(list / NR_PCP_LISTS)
    const pcp = words[HEADER_PCPS]! + (number * cpus + cpu) * PCP_WORDS
    const head = pcp + PCP_LISTS + 2 * (list % NR_PCP_LISTS)
    for (let record = words[head]!; record !== head; record = words[record]!) members.add(record)
  }
  for (let pfn = 0; pfn < words[HEADER_MAX_PFN]! && !v.full; pfn++) {
    const record = pageRecord(pfn)
    if (words[record + PAGE_REFS]! >= 0) continue
    if (members.has(record) || zoneOfPfn(words, pfn) !== zone) continue
    v.report(
      'PCP-3',
      `${pfnText(pfn)} has a negative count, but is on no list of ${zoneText(words, number)}`,
    )
  }
}
