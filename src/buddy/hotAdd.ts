/**
 * Memory that comes after boot.
 *
 * Added memory goes to the zone that its address would have had at boot, so that a machine that grew
 * looks like one that was larger from the start. Source: spec/page-allocator.md §1.5.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, SECTION_PAGES } from '../base/units'
import { pageRecord } from '../page/memmap'
import { MIGRATE_MOVABLE } from '../page/migratetype'
import { PG_RESERVED } from '../page/pageFlags'
import {
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_ZONE_SHIFT,
  HEADER_MAX_RANGES,
  HEADER_NR_RANGES,
  HEADER_RANGES,
  HEADER_TOTAL_RAM,
  HEADER_ZONE_LIMITS,
  NODE_MOVABLE_PFN,
  NODE_ONLINE,
  NODE_START,
  PAGE_FLAGS,
  PAGE_REFS,
  PAGE_WORDS,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_INDEX,
  ZONE_PRESENT,
  ZONE_START,
} from '../state/schema'
import { recomputeAll } from '../zone/watermark'
import { buildZonelists, decideMobility } from '../zone/zonelist'
import { nodeRecord, ZONE_MOVABLE, zoneNumber, zoneRecord } from '../zone/zones'
import type { BuddyContext } from './context'
import { setPageblockType } from './freeArea'
import { handOver } from './handover'

/**
 * Adds the whole frames of `[base, base + size)` to `node`, and computes watermarks anew.
 * @throws InvalidArgument for memory that is there already, or has no records; nothing is changed.
 */
export function addMemory(c: BuddyContext, base: number, size: number, node: number): void {
  checkInteger('base', base, 0, c.maxPfn * PAGE_SIZE)
  checkInteger('size', size, 0, c.maxPfn * PAGE_SIZE - base)
  const start = Math.ceil(base / PAGE_SIZE)
  const end = Math.floor((base + size) / PAGE_SIZE)
  if (start >= end) return
  const place = findPlace(c, start, end)
  const pieces = cutAtZones(c, node, start, end)
  insertRange(c, place, start, end, node)
  growSpan(c, nodeRecord(c.words, node) + NODE_START, start, end)
  c.words[nodeRecord(c.words, node) + NODE_ONLINE] = 1
  mapSections(c, start, end)
  for (const piece of pieces) addPiece(c, piece.zone, node, piece.start, piece.end)
  decideMobility(c.words)
  buildZonelists(c.words, false)
  recomputeAll(c.words, c.log.line)
}

/** Place of a new range in the ascending table. */
function findPlace(c: BuddyContext, start: number, end: number): number {
  const words = c.words
  const count = words[HEADER_NR_RANGES]!
  if (count >= words[HEADER_MAX_RANGES]!) {
    throw new InvalidArgument('memory ranges', count + 1, `at most ${count}`)
  }
  let place = 0
  for (; place < count; place++) {
    const range = words[HEADER_RANGES]! + place * RANGE_WORDS
    if (words[range + RANGE_START]! >= end) break
    if (words[range + RANGE_END]! > start) {
      throw new InvalidArgument('memory', start * PAGE_SIZE, 'an address where no memory is yet')
    }
  }
  return place
}

/** Enters the range; one that continues its neighbour makes that longer instead. */
function insertRange(
  c: BuddyContext,
  place: number,
  start: number,
  end: number,
  node: number,
): void {
  const words = c.words
  const range = words[HEADER_RANGES]! + place * RANGE_WORDS
  const before = range - RANGE_WORDS
  if (place > 0 && words[before + RANGE_END] === start && words[before + RANGE_NODE] === node) {
    words[before + RANGE_END] = end
    return
  }
  const last = words[HEADER_RANGES]! + words[HEADER_NR_RANGES]! * RANGE_WORDS
  words.copyWithin(range + RANGE_WORDS, range, last)
  words[range + RANGE_START] = start
  words[range + RANGE_END] = end
  words[range + RANGE_NODE] = node
  words[HEADER_NR_RANGES]! += 1
}

/** The parts of `[start, end)` by zone of `node`. */
function cutAtZones(c: BuddyContext, node: number, start: number, end: number) {
  const words = c.words
  const movable = words[nodeRecord(words, node) + NODE_MOVABLE_PFN]!
  const pieces: { zone: number; start: number; end: number }[] = []
  let at = start
  while (at < end) {
    let index = 0
    while (index < 2 && at >= words[HEADER_ZONE_LIMITS + index]!) index += 1
    let stop = Math.min(end, words[HEADER_ZONE_LIMITS + index]!)
    if (movable !== 0 && at >= movable) [index, stop] = [ZONE_MOVABLE, end]
    else if (movable !== 0) stop = Math.min(stop, movable)
    pieces.push({ zone: zoneRecord(words, node, index), start: at, end: stop })
    at = stop
  }
  return pieces
}

/** Makes the span at `record` (start, then length) cover `[start, end)`. */
function growSpan(c: BuddyContext, record: number, start: number, end: number): void {
  const words = c.words
  const length = words[record + 1]!
  const first = length === 0 ? start : Math.min(start, words[record]!)
  const last = length === 0 ? end : Math.max(end, words[record]! + length)
  words[record] = first
  words[record + 1] = last - first
}

/** Gives the sections of the range a memory map, where they have none: every frame reserved. */
function mapSections(c: BuddyContext, start: number, end: number): void {
  const words = c.words
  const from = start - (start % SECTION_PAGES)
  for (let section = from; section < end; section += SECTION_PAGES) {
    if ((words[c.blocks + (section >> PAGEBLOCK_ORDER)]! & BLOCK_PRESENT) !== 0) continue
    const stop = Math.min(section + SECTION_PAGES, c.maxPfn)
    for (let pfn = section; pfn < stop; pfn++) {
      words[pageRecord(pfn) + PAGE_FLAGS] = PG_RESERVED
      words[pageRecord(pfn) + PAGE_REFS] = 1
    }
    const last = c.blocks + (stop >> PAGEBLOCK_ORDER)
    words.fill(BLOCK_PRESENT, c.blocks + (section >> PAGEBLOCK_ORDER), last)
  }
}

/** Adds frames to one zone: its span, its pageblocks, then its free lists. */
function addPiece(c: BuddyContext, zone: number, node: number, start: number, end: number): void {
  const words = c.words
  growSpan(c, zone + ZONE_START, start, end)
  words[zone + ZONE_PRESENT]! += end - start
  const number = zoneNumber(node, words[zone + ZONE_INDEX]!)
  const first = start - (start % PAGEBLOCK_PAGES)
  for (let pfn = first; pfn < end; pfn += PAGEBLOCK_PAGES) {
    const at = c.blocks + (pfn >> PAGEBLOCK_ORDER)
    if (pfn < start) {
      if (words[at]! >> BLOCK_ZONE_SHIFT !== number) words[at]! |= BLOCK_MIXED
      continue
    }
    words[at] = BLOCK_PRESENT | (number << BLOCK_ZONE_SHIFT)
    setPageblockType(c, pfn, MIGRATE_MOVABLE)
  }
  words.fill(0, pageRecord(start), pageRecord(start) + (end - start) * PAGE_WORDS)
  words[HEADER_TOTAL_RAM]! += handOver(c, { start, end })
}
