/**
 * Watermarks and what follows from them: reserves, page-list limits, counter thresholds.
 *
 *     0 ── min ──── low ──── high ──── promo ───── managed
 *          └─ gap ──┴── gap ──┴── gap ──┘
 *
 * Order of a full recompute: min_free_kbytes, watermarks, page-list limits, thresholds, lowmem
 * reserves, and with huge pages the raise of min_free_kbytes. Source: spec/page-allocator.md §3.1.
 *
 * WMARK-1: watermarks ascend from min over low and high to promo; no mark, boost or reserve is negative.
 */

import { clamp, PAGEBLOCK_PAGES } from '../base/units'
import {
  HEADER_LOWMEM_RATIO,
  HEADER_MIN_FREE_KBYTES,
  HEADER_THP,
  HEADER_TOTAL_RAM,
  HEADER_TOTAL_RESERVE,
  HEADER_USER_MIN_FREE_KBYTES,
  HEADER_WATERMARK_SCALE,
  NR_ZONES,
  ZONE_BOOST,
  ZONE_INDEX,
  ZONE_MANAGED,
  ZONE_RESERVE,
  ZONE_WMARK,
} from '../state/schema'
import { setupPcpLimits, setupStatThresholds } from './pcpLimits'
import { pagesAboveHigh } from './zonelist'
import {
  boostedMark,
  forgetPlans,
  isHighmem,
  isPopulated,
  normalIndex,
  nrZones,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_PROMO,
  zoneRecord,
} from './zones'

/** Below this much memory (512 MiB) huge pages stay off. */
const THP_MIN_PAGES = 131072
/** Pageblocks that huge pages want in reserve, per zone: two free ones, and three types of three. */
const THP_BLOCKS_PER_ZONE = 11
/** No watermark may pass this; only absurd settings on a machine with high memory would. */
const WMARK_LIMIT = 0x20000000

/**
 * Told when a user's min_free_kbytes stands against the default `other` (`kept`), or was raised to
 * `other` for huge pages (`raised`). KiB. `minFreeMessage` has the kernel's words.
 */
export type MinFreeLog = (event: 'kept' | 'raised', user: number, other: number) => void

/** What a kernel logs of a {@link MinFreeLog} event. Source: spec/page-allocator.md §3.2, §3.3. */
export function minFreeMessage(event: 'kept' | 'raised', user: number, other: number): string {
  return event === 'kept'
    ? `min_free_kbytes is not updated to ${other} because user defined value ${user} is preferred`
    : `raising min_free_kbytes from ${user} to ${other} to help transparent hugepage allocations`
}

/**
 * Computes everything anew: after the hand-over, and after memory was added or removed.
 * Zonelists must have been built.
 */
export function recomputeAll(words: Int32Array, log: MinFreeLog): void {
  calculateMinFreeKbytes(words, log)
  setupWatermarksAndPcp(words)
  setupStatThresholds(words)
  setupLowmemReserve(words)
  if (words[HEADER_THP] !== 0) raiseForHugePages(words, log)
}

/** Watermarks, then the page-list limits that hang on them: what most tunables ask for. */
export function setupWatermarksAndPcp(words: Int32Array): void {
  setupZoneWatermarks(words)
  setupPcpLimits(words)
}

/**
 * Sets min_free_kbytes to its default, 4 × sqrt of the low memory in KiB, 128 to 262144, unless the
 * user asked for at least as much. Source: spec/page-allocator.md §3.2.
 */
export function calculateMinFreeKbytes(words: Int32Array, log: MinFreeLog): void {
  const lowmemKbytes = 4 * pagesAboveHigh(words, normalIndex(words))
  const wanted = Math.floor(Math.sqrt(16 * lowmemKbytes))
  const user = words[HEADER_USER_MIN_FREE_KBYTES]!
  if (wanted > user) {
    words[HEADER_MIN_FREE_KBYTES] = clamp(wanted, 128, 262144)
    return
  }
  log('kept', user, wanted)
}

/** Sets the four watermarks of every zone and clears all boosts. Source: spec/page-allocator.md §3.2. */
export function setupZoneWatermarks(words: Int32Array): void {
  forgetPlans(words)
  const pagesMin = words[HEADER_MIN_FREE_KBYTES]! >> 2
  const scale = words[HEADER_WATERMARK_SCALE]!
  const lowmem = lowmemPages(words)
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    const managed = words[zone + ZONE_MANAGED]!
    const share = Math.min(mulDiv(pagesMin, managed, lowmem), WMARK_LIMIT)
    const min = isHighmem(words, zone) ? clamp(Math.floor(managed / 1024), 32, 128) : share
    const gap = Math.max(share >> 2, Math.floor((managed * scale) / 10000))
    words[zone + ZONE_BOOST] = 0
    words[zone + ZONE_WMARK] = min
    words[zone + ZONE_WMARK + WMARK_LOW] = min + gap
    words[zone + ZONE_WMARK + WMARK_HIGH] = min + 2 * gap
    words[zone + ZONE_WMARK + WMARK_PROMO] = min + 3 * gap
  }
  calculateTotalReserve(words)
}

/** Sets every zone's pages kept from requests that could use a higher zone. Source: spec/page-allocator.md §3.5. */
export function setupLowmemReserve(words: Int32Array): void {
  forgetPlans(words)
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    const index = words[zone + ZONE_INDEX]!
    const ratio = words[HEADER_LOWMEM_RATIO + index]!
    const reserves = ratio >= 1 && words[zone + ZONE_MANAGED]! !== 0
    let higher = 0
    words.fill(0, zone + ZONE_RESERVE, zone + ZONE_RESERVE + NR_ZONES)
    for (let j = index + 1; j < NR_ZONES; j++) {
      higher += words[zoneRecord(words, 0, number - index + j) + ZONE_MANAGED]!
      words[zone + ZONE_RESERVE + j] = reserves ? Math.floor(higher / ratio) : 0
    }
  }
  calculateTotalReserve(words)
}

/** Sums what the page cache must leave alone, over all zones. Source: spec/page-allocator.md §3.4. */
export function calculateTotalReserve(words: Int32Array): void {
  let total = 0
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    let reserve = 0
    for (let j = words[zone + ZONE_INDEX]!; j < NR_ZONES; j++) {
      reserve = Math.max(reserve, words[zone + ZONE_RESERVE + j]!)
    }
    const wanted = reserve + boostedMark(words, zone, WMARK_HIGH)
    total += Math.min(words[zone + ZONE_MANAGED]!, wanted)
  }
  words[HEADER_TOTAL_RESERVE] = total
}

/**
 * Turns huge pages on at boot, unless the machine has less than 512 MiB: true when on.
 * Source: spec/page-allocator.md §1.7, §3.3.
 */
export function startHugePages(words: Int32Array, log: MinFreeLog): boolean {
  if (words[HEADER_TOTAL_RAM]! < THP_MIN_PAGES) {
    words[HEADER_THP] = 0
    return false
  }
  words[HEADER_THP] = 1
  raiseForHugePages(words, log)
  return true
}

/**
 * Raises min_free_kbytes so that huge pages find free pageblocks, to at most a twentieth of low
 * memory, then recomputes watermarks and page-list limits in any case. Source: spec/page-allocator.md §3.3.
 */
export function raiseForHugePages(words: Int32Array, log: MinFreeLog): void {
  const normal = normalIndex(words)
  let zones = 0
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (words[zone + ZONE_INDEX]! <= normal && isPopulated(words, zone)) zones++
  }
  const wanted = PAGEBLOCK_PAGES * THP_BLOCKS_PER_ZONE * zones
  const kbytes = 4 * Math.min(wanted, Math.floor(pagesAboveHigh(words, normal) / 20))
  const before = words[HEADER_MIN_FREE_KBYTES]!
  if (kbytes > before) {
    if (words[HEADER_USER_MIN_FREE_KBYTES]! >= 0) {
      log('raised', before, kbytes)
    }
    words[HEADER_MIN_FREE_KBYTES] = kbytes
  }
  setupWatermarksAndPcp(words)
}

function lowmemPages(words: Int32Array): number {
  let pages = 0
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (!isHighmem(words, zone)) pages += words[zone + ZONE_MANAGED]!
  }
  return pages
}

/**
 * floor(a × b / c), exact for a < 2^29 and b, c ≤ 2^28, where a × b may pass 2^53: b is taken in two
 * parts of 14 bits. 0 when c is 0.
 */
function mulDiv(a: number, b: number, c: number): number {
  if (c === 0) return 0
  const rest = a % c
  const whole = ((a - rest) / c) * b
  const upper = rest * (b >> 14)
  const upperRest = upper % c
  const lower = upperRest * 16384 + rest * (b & 16383)
  return whole + ((upper - upperRest) / c) * 16384 + Math.floor(lower / c)
}
