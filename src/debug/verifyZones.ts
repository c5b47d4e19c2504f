/** Checks the zone records, the limits of their page lists, and the pageblock table. */

import { PAGEBLOCK_PAGES } from '../base/units'
import { MIGRATE_HIGHATOMIC, MIGRATE_ISOLATE, MIGRATE_TYPES } from '../page/migratetype'
import {
  BLOCK_FRESH,
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_SKIP,
  BLOCK_TYPE_MASK,
  BLOCK_ZONE_SHIFT,
  HEADER_BLOCKS,
  HEADER_MAX_PFN,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_PCPS,
  HEADER_ZONES,
  NR_ZONES,
  PCP_BATCH,
  PCP_EVENTS,
  PCP_EXPIRE,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_LISTS,
  PCP_STAT_THRESHOLD,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_CMA_PAGES,
  ZONE_FLAGS,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_INDEX,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_NR_ISOLATE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_QUIET,
  ZONE_RECLAIM_ACTIVE,
  ZONE_RESERVE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WMARK,
  ZONE_WORDS,
} from '../state/schema'
import { WMARK_LOW } from '../zone/zones'
import { pfnText, type Violations, zoneText } from './invariants'

/** Watermarks of a zone: min, low, high and promo. */
const NR_WMARK = 4
/** The bits of a pageblock's word below the zone number that mean something. */
const BLOCK_BITS = BLOCK_TYPE_MASK | BLOCK_SKIP | BLOCK_MIXED | BLOCK_PRESENT | BLOCK_FRESH

/** Checks all zones, then all pageblocks. */
export function checkZones(words: Int32Array, v: Violations): void {
  const zones = words[HEADER_NR_NODES]! * NR_ZONES
  for (let number = 0; number < zones; number++) {
    const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
    checkRecord(words, v, zone, number)
    checkOverlap(words, v, zone, number)
    checkWatermarks(words, v, zone, number)
    checkQuiet(words, v, zone, number)
    for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) checkPcp(words, v, number, cpu)
  }
  checkBlocks(words, v, zones)
}

function checkRecord(words: Int32Array, v: Violations, zone: number, number: number): void {
  const text = zoneText(words, number)
  const node = Math.floor(number / NR_ZONES)
  if (words[zone + ZONE_NODE] !== node || words[zone + ZONE_INDEX] !== number % NR_ZONES) {
    const said = `node ${words[zone + ZONE_NODE]} index ${words[zone + ZONE_INDEX]}`
    v.report('ZONE-3', `${text} says that it is ${said}`)
  }
  const pcps = words[HEADER_PCPS]! + number * words[HEADER_NR_CPUS]! * PCP_WORDS
  if (words[zone + ZONE_PCP] !== pcps) {
    v.report('ZONE-3', `${text} has page lists at ${words[zone + ZONE_PCP]}, not ${pcps}`)
  }
  const start = words[zone + ZONE_START]!
  const spanned = words[zone + ZONE_SPANNED]!
  const present = words[zone + ZONE_PRESENT]!
  const managed = words[zone + ZONE_MANAGED]!
  const cma = words[zone + ZONE_CMA_PAGES]!
  const ordered = managed >= 0 && managed <= present && present <= spanned
  const inside = start >= 0 && start + spanned <= words[HEADER_MAX_PFN]!
  if (!ordered || !inside || cma < 0 || cma > spanned) {
    const pages = `spans ${spanned}, has ${present}, manages ${managed}, CMA ${cma}`
    v.report('ZONE-3', `${text} starts at ${pfnText(start)}, ${pages}`)
  }
}

/** Compares a zone with those before it in its node. */
function checkOverlap(words: Int32Array, v: Violations, zone: number, number: number): void {
  const start = words[zone + ZONE_START]!
  const end = start + words[zone + ZONE_SPANNED]!
  for (let other = number - (number % NR_ZONES); other < number; other++) {
    const record = words[HEADER_ZONES]! + other * ZONE_WORDS
    const from = words[record + ZONE_START]!
    const to = from + words[record + ZONE_SPANNED]!
    if (Math.max(start, from) < Math.min(end, to)) {
      const both = `[${start}, ${end}) and ${zoneText(words, other)} [${from}, ${to})`
      v.report('ZONE-1', `${zoneText(words, number)} ${both}`)
    }
  }
}

function checkWatermarks(words: Int32Array, v: Violations, zone: number, number: number): void {
  let below = 0
  for (let mark = 0; mark < NR_WMARK; mark++) {
    const pages = words[zone + ZONE_WMARK + mark]!
    if (pages < below) {
      v.report('WMARK-1', `${zoneText(words, number)} has mark ${mark} at ${pages}, below ${below}`)
    }
    below = pages
  }
  if (words[zone + ZONE_BOOST]! < 0) {
    v.report('WMARK-1', `${zoneText(words, number)} has boost ${words[zone + ZONE_BOOST]}`)
  }
  for (let i = 0; i < NR_ZONES; i++) {
    const reserve = words[zone + ZONE_RESERVE + i]!
    if (reserve < 0)
      v.report('WMARK-1', `${zoneText(words, number)} has reserve ${i} at ${reserve}`)
  }
}

/** The fast path asks a quiet zone nothing more. */
function checkQuiet(words: Int32Array, v: Violations, zone: number, number: number): void {
  const quiet = words[zone + ZONE_QUIET]!
  if (quiet === 0) return
  let reserve = 0
  for (let i = 0; i < NR_ZONES; i++) reserve = Math.max(reserve, words[zone + ZONE_RESERVE + i]!)
  const cma = Math.max(0, words[zone + ZONE_FREE_CMA]!)
  const usable = words[zone + ZONE_FREE_PAGES]! - words[zone + ZONE_HIGHATOMIC]! - cma
  const mark = words[zone + ZONE_WMARK + WMARK_LOW]! + words[zone + ZONE_BOOST]! + reserve
  if (quiet === 1 && words[zone + ZONE_FLAGS] === 0 && usable > mark) return
  const text = `is quiet (${quiet}) with ${usable} pages for a mark of ${mark}`
  v.report('ZONE-6', `${zoneText(words, number)} ${text}`)
}

function checkPcp(words: Int32Array, v: Violations, number: number, cpu: number): void {
  const pcp = words[HEADER_PCPS]! + (number * words[HEADER_NR_CPUS]! + cpu) * PCP_WORDS
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const high = words[pcp + PCP_HIGH]!
  const limit = words[pcp + PCP_LIMIT]!
  const batch = words[pcp + PCP_BATCH]!
  const factor = words[pcp + PCP_FREE_FACTOR]!
  const expire = words[pcp + PCP_EXPIRE]!
  const threshold = words[pcp + PCP_STAT_THRESHOLD]!
  const moving = factor >= 0 && factor <= 5 && expire >= 0 && expire <= 3
  const reclaimed = (words[zone + ZONE_FLAGS]! & ZONE_RECLAIM_ACTIVE) !== 0
  const right = limit === (reclaimed ? Math.min(high, 4 * batch) : high)
  if (high < 0 || batch < 1 || !right || !moving || threshold < 0 || threshold > 125) {
    const limits = `high ${high}, limit ${limit}, batch ${batch}, free factor ${factor}`
    const rest = `expiry ${expire}, threshold ${threshold}`
    v.report('PCP-4', `${pcpText(words, number, cpu)} has ${limits}, ${rest}`)
  }
  for (let at = PCP_EVENTS; at < PCP_LISTS; at++) {
    if (words[pcp + at]! >= 0) continue
    const place = `event word ${at - PCP_EVENTS} at ${words[pcp + at]}`
    v.report('EVENT-1', `${pcpText(words, number, cpu)} has ${place}`)
  }
}

function pcpText(words: Int32Array, number: number, cpu: number): string {
  return `${zoneText(words, number)} CPU ${cpu}`
}

/** Checks each pageblock's word, and counts the special ones by zone. */
function checkBlocks(words: Int32Array, v: Violations, zones: number): void {
  const highatomic = new Int32Array(zones)
  const isolated = new Int32Array(zones)
  const shared: number[] = []
  const sharedIsolated: number[] = []
  const blocks = words[HEADER_BLOCKS]!
  const count = words[HEADER_MAX_PFN]! / PAGEBLOCK_PAGES
  for (let i = 0; i < count; i++) {
    const block = words[blocks + i]!
    if (block === 0) continue
    const type = block & BLOCK_TYPE_MASK
    const number = block >> BLOCK_ZONE_SHIFT
    const low = block & ((1 << BLOCK_ZONE_SHIFT) - 1)
    if (type >= MIGRATE_TYPES || number < 0 || number >= zones || (low & ~BLOCK_BITS) !== 0) {
      v.report('BLOCK-1', `the pageblock of ${pfnText(i * PAGEBLOCK_PAGES)} is 0x${hex(block)}`)
      continue
    }
    if ((block & BLOCK_MIXED) !== 0) {
      shared.push(i * PAGEBLOCK_PAGES)
      if (type === MIGRATE_ISOLATE) sharedIsolated.push(i * PAGEBLOCK_PAGES)
    } else if (type === MIGRATE_HIGHATOMIC) highatomic[number]! += 1
    else if (type === MIGRATE_ISOLATE) isolated[number]! += 1
  }
  for (let number = 0; number < zones; number++) {
    checkHighatomic(words, v, number, highatomic[number]!, shared)
    checkIsolated(words, v, number, isolated[number]!, sharedIsolated)
  }
}

/**
 * The reserve may count more pageblocks than are HIGHATOMIC: a steal can take the second pageblock of
 * an order-10 block over without telling. And fewer, where zones share a pageblock: one may reserve it, and
 * another give it back out of its own reserve.
 */
function checkHighatomic(
  words: Int32Array,
  v: Violations,
  number: number,
  blocks: number,
  shared: readonly number[],
): void {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const reserved = words[zone + ZONE_HIGHATOMIC]!
  const shares = shared.some((pfn) => spans(words, zone, pfn))
  const least = shares ? 0 : blocks * PAGEBLOCK_PAGES
  // Memory may have been ballooned away since: what the zone has, not what it manages, bounds it.
  const most = Math.floor(words[zone + ZONE_PRESENT]! / 100) + 2 * PAGEBLOCK_PAGES
  if (reserved >= least && reserved < most && reserved % PAGEBLOCK_PAGES === 0) return
  const counted = `reserves ${reserved} pages, has ${blocks} HIGHATOMIC pageblocks`
  v.report('HIGHATOMIC-1', `${zoneText(words, number)} ${counted}`)
}

/** A pageblock of several zones counts for the one that it was isolated by. */
function checkIsolated(
  words: Int32Array,
  v: Violations,
  number: number,
  blocks: number,
  shared: readonly number[],
): void {
  const zone = words[HEADER_ZONES]! + number * ZONE_WORDS
  const isolated = words[zone + ZONE_NR_ISOLATE]!
  const more = shared.filter((pfn) => spans(words, zone, pfn)).length
  if (isolated >= blocks && isolated <= blocks + more) return
  v.report('ISOLATE-1', `${zoneText(words, number)} counts ${isolated} isolated, has ${blocks}`)
}

/** Whether a pageblock lies in the span of a zone, with a part of it at least. */
function spans(words: Int32Array, zone: number, pfn: number): boolean {
  const start = words[zone + ZONE_START]!
  return pfn < start + words[zone + ZONE_SPANNED]! && pfn + PAGEBLOCK_PAGES > start
}

function hex(word: number): string {
  return (word >>> 0).toString(16)
}
