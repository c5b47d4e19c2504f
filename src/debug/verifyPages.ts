/** Scans every frame of memory once: blocks must tile it, each with the records that its state asks for. */

import { MAX_ORDER, MAX_ORDER_PAGES, PAGEBLOCK_ORDER } from '../base/units'
import { isFresh, pageRecord, recordPfn } from '../page/memmap'
import { MIGRATE_ISOLATE } from '../page/migratetype'
import { PG_HEAD, PG_RESERVED } from '../page/pageFlags'
import {
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_ZONE_SHIFT,
  HEADER_BLOCKS,
  HEADER_NR_NODES,
  HEADER_NR_RANGES,
  HEADER_RANGES,
  HEADER_ZONES,
  NR_ZONES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_MASK,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PAGE_WORDS,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_NODE,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { zoneOfPfn } from '../zone/zones'
import { pfnText, type Violations } from './invariants'

/**
 * Scans the memory ranges; `marked` receives the blocks marked free, by zone and order, and those
 * marked as on page lists. `unknown` allows frames in no block.
 */
export function checkPages(
  words: Int32Array,
  v: Violations,
  marked: Int32Array,
  unknown: boolean,
): void {
  const count = words[HEADER_NR_RANGES]!
  let i = 0
  while (i < count && !v.full) {
    const range = words[HEADER_RANGES]! + i * RANGE_WORDS
    const start = words[range + RANGE_START]!
    const node = words[range + RANGE_NODE]!
    let end = words[range + RANGE_END]!
    // Ranges of a node that touch are one run: blocks may lie across the seam.
    for (i += 1; i < count; i++) {
      const next = words[HEADER_RANGES]! + i * RANGE_WORDS
      if (words[next + RANGE_START] !== end || words[next + RANGE_NODE] !== node) break
      end = words[next + RANGE_END]!
    }
    checkPageblocks(words, v, start, end, node)
    scanRun(words, v, start, end, marked, unknown)
  }
}

/** Checks that the pageblocks of a run name zones of its node that span it. */
function checkPageblocks(
  words: Int32Array,
  v: Violations,
  start: number,
  end: number,
  node: number,
): void {
  const last = (end - 1) >> PAGEBLOCK_ORDER
  for (let i = start >> PAGEBLOCK_ORDER; i <= last && !v.full; i++) {
    const block = words[words[HEADER_BLOCKS]! + i]!
    const from = Math.max(start, i << PAGEBLOCK_ORDER)
    const to = Math.min(end, (i + 1) << PAGEBLOCK_ORDER)
    const mixed = (block & BLOCK_MIXED) !== 0
    const first = zoneOfPfn(words, from)
    const same = mixed || zoneOfPfn(words, to - 1) === first
    if ((block & BLOCK_PRESENT) === 0) {
      v.report('BLOCK-2', `${pfnText(from)} is memory in a pageblock that is not present`)
    } else if (!same || !spans(words, first, node, from, mixed ? from + 1 : to)) {
      v.report('BLOCK-2', `${pfnText(from)} is memory of node ${node}, not of its pageblock’s zone`)
    }
  }
}

function spans(words: Int32Array, zone: number, node: number, start: number, end: number): boolean {
  if (zone < 0 || words[zone + ZONE_NODE] !== node) return false
  const from = words[zone + ZONE_START]!
  return start >= from && end <= from + words[zone + ZONE_SPANNED]!
}

/**
 * Scans `[start, end)`, block by block. The common cases are told apart here, on locals alone; what
 * looks odd is looked at again, and named, by the functions below. (Measured, unbundled as in tests,
 * where each imported constant is a call: 900 to 70 us for 4,096 frames.)
 */
function scanRun(
  words: Int32Array,
  v: Violations,
  start: number,
  end: number,
  marked: Int32Array,
  unknown: boolean,
): void {
  const flagsAt = pageRecord(0) + PAGE_FLAGS
  const refsAt = pageRecord(0) + PAGE_REFS
  const freeMark = PAGE_BUDDY
  const orderShift = PAGE_ORDER_SHIFT
  const orderMask = PAGE_ORDER_MASK
  const step = PAGE_WORDS
  const orders = MAX_ORDER
  const pageblockOrder = PAGEBLOCK_ORDER
  const largest = MAX_ORDER_PAGES
  let pfn = start
  let zone = -1
  let zoneEnds = 0
  while (pfn < end) {
    const place = pfn * step
    const flags = words[flagsAt + place]!
    const refs = words[refsAt + place]!
    if (flags === 0 && refs > 0) {
      pfn += 1
      continue
    }
    if (v.full) return
    if (pfn >= zoneEnds) {
      zone = zoneNumberAt(words, pfn)
      zoneEnds = isMixed(words, pfn) ? pfn + 1 : (pfn | ((1 << pageblockOrder) - 1)) + 1
    }
    if (flags === 0 && (pfn & (largest - 1)) === 0 && isFresh(words, pfn)) {
      if (zone >= 0) marked[zone * (orders + 1) + orders - 1]! += 1
      pfn += largest
      continue
    }
    const order = (flags & orderMask) >>> orderShift
    const size = order < orders ? 1 << order : 1
    const aligned = order < orders && (pfn & (size - 1)) === 0
    if (flags === (freeMark | (order << orderShift)) && refs === 0 && aligned) {
      if (zone >= 0) marked[zone * (orders + 1) + order]! += 1
      // Of two buddies the lower one looks for the upper one.
      const lower = order < pageblockOrder && (pfn & size) === 0
      if (lower && words[flagsAt + place + size * step] === flags) {
        checkBuddies(words, v, pfn, order)
      }
    } else if ((flags & freeMark) !== 0) {
      v.report('PAGE-1', `${pfnText(pfn)} is free with flags ${hex(flags)} and ${refs} references`)
    } else if (refs < 0) {
      checkCached(v, pfn, flags, refs, aligned)
      if (zone >= 0) marked[zone * (orders + 1) + orders]! += 1
    } else if (flags !== 0 || !unknown) {
      checkUsed(v, pfn, flags, refs, order, aligned)
    }
    if (size > 1) checkTails(words, v, pfn, order, end)
    pfn += size
  }
}

/** Two free blocks side by side that make one block of the next order. */
function checkBuddies(words: Int32Array, v: Violations, pfn: number, order: number): void {
  const buddy = pfn + 2 ** order
  if (zoneOfPfn(words, pfn) !== zoneOfPfn(words, buddy)) return
  v.report('BUDDY-3', `${pfnText(pfn)} and ${pfnText(buddy)} are free buddies of order ${order}`)
}

/** A block on a CPU's list. */
function checkCached(
  v: Violations,
  pfn: number,
  flags: number,
  refs: number,
  aligned: boolean,
): void {
  if ((flags & ~PAGE_ORDER_MASK) === 0 && -1 - refs < MIGRATE_ISOLATE && aligned) return
  const text = `flags ${hex(flags)} and count ${refs}`
  v.report('PAGE-3', `${pfnText(pfn)} is on a page list with ${text}`)
}

/** A block in use, or a record that says nothing. */
function checkUsed(
  v: Violations,
  pfn: number,
  flags: number,
  refs: number,
  order: number,
  aligned: boolean,
): void {
  if (flags === 0 && refs === 0) {
    v.report('PAGE-4', `${pfnText(pfn)} is in no block and not reserved`)
    return
  }
  const compound = (flags & PG_HEAD) !== 0
  const reserved = (flags & PG_RESERVED) !== 0
  if (refs > 0 && aligned && !(compound && order === 0) && !(reserved && order !== 0)) return
  v.report('PAGE-5', `${pfnText(pfn)} is in use with flags ${hex(flags)} and ${refs} references`)
}

/** Checks the pages of a block but its first, as far as memory goes. */
function checkTails(
  words: Int32Array,
  v: Violations,
  pfn: number,
  order: number,
  memoryEnd: number,
): void {
  let end = pfn + 2 ** order
  // Blocks up to order 9 lie in one pageblock: only where that is shared can they cross a zone's end.
  const shared = order > PAGEBLOCK_ORDER || isMixed(words, pfn)
  if (end > memoryEnd || (shared && zoneNumberAt(words, end - 1) !== zoneNumberAt(words, pfn))) {
    v.report('ZONE-4', `${pfnText(pfn)} heads a block of order ${order} across the end of its zone`)
    end = Math.min(end, memoryEnd)
  }
  const [flagsAt, refsAt, step] = [PAGE_FLAGS, PAGE_REFS, PAGE_WORDS]
  const stop = pageRecord(end)
  for (let tail = pageRecord(pfn + 1); tail < stop; tail += step) {
    if ((words[tail + flagsAt]! | words[tail + refsAt]!) !== 0) nameTail(words, v, pfn, order, tail)
  }
}

function nameTail(
  words: Int32Array,
  v: Violations,
  pfn: number,
  order: number,
  tail: number,
): void {
  if (v.full) return
  const flags = words[tail + PAGE_FLAGS]!
  const heads = (flags & PAGE_BUDDY) !== 0 || words[tail + PAGE_REFS] !== 0
  const at = pfnText(recordPfn(tail))
  const block = `the block of order ${order} at ${pfnText(pfn)}`
  if (heads) v.report('BUDDY-4', `${at} heads a block inside ${block}`)
  else v.report('PAGE-2', `${at} has flags ${hex(flags)} inside ${block}`)
}

function isMixed(words: Int32Array, pfn: number): boolean {
  return (words[words[HEADER_BLOCKS]! + (pfn >> PAGEBLOCK_ORDER)]! & BLOCK_MIXED) !== 0
}

/** Number of the zone that `pfn` belongs to; -1 when there is none. */
function zoneNumberAt(words: Int32Array, pfn: number): number {
  const block = words[words[HEADER_BLOCKS]! + (pfn >> PAGEBLOCK_ORDER)]!
  if ((block & (BLOCK_MIXED | BLOCK_PRESENT)) === BLOCK_PRESENT) {
    const number = block >> BLOCK_ZONE_SHIFT
    return number >= 0 && number < words[HEADER_NR_NODES]! * NR_ZONES ? number : -1
  }
  const zone = zoneOfPfn(words, pfn)
  return zone < 0 ? -1 : (zone - words[HEADER_ZONES]!) >> ZONE_WORDS_SHIFT
}

function hex(word: number): string {
  return `0x${(word >>> 0).toString(16)}`
}
