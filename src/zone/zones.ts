/**
 * Zone records: where they are, what they are called, and which one a page frame belongs to.
 *
 * Every node has four zones, populated or not. A zone's *number* is node × 4 + index; its *record*
 * is the offset of its first word, and stands for the zone everywhere.
 *
 * ZONE-1: the zones of one node do not overlap; those of different nodes may, in holes.
 * ZONE-2: stored free pages, with what is pending on all CPUs, are the pages on non-ISOLATE lists.
 * ZONE-3: a record names its node, index and page lists; managed ≤ present ≤ spanned pages.
 * ZONE-4: every block lies wholly in the memory of one zone, and on lists of that zone only.
 * ZONE-5: stored free CMA pages, with what is pending on all CPUs, are the pages on CMA lists.
 * ZONE-6: a quiet zone has no flag, and is above the low mark and every reserve for a single page.
 */

import { InvalidArgument } from '../base/errors'
import { MAX_ORDER } from '../base/units'
import { listInit } from '../state/lists'
import {
  BLOCK_MIXED,
  BLOCK_PRESENT,
  BLOCK_ZONE_SHIFT,
  CPU_PLANS,
  CPU_WORDS,
  HEADER_CPUS,
  HEADER_HIGHMEM,
  HEADER_MAX_PFN,
  HEADER_MOVABLE_ZONE,
  HEADER_NODES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_NR_RANGES,
  HEADER_PCPS,
  HEADER_RANGES,
  HEADER_ZONES,
  NODE_WORDS,
  NR_PCP_LISTS,
  NR_ZONES,
  PCP_BATCH,
  PCP_LISTS,
  PCP_WORDS,
  PLAN_WORDS,
  PLANS,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_BOOST,
  ZONE_INDEX,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_QUIET,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WMARK,
  ZONE_WORDS,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { blockWord } from './pageblock'

/** Zone names as the kernel prints them, on a machine with or without high memory. */
export type ZoneName = 'DMA' | 'DMA32' | 'Normal' | 'HighMem' | 'Movable'

/** Index of the Movable zone in its node. */
export const ZONE_MOVABLE = 3
/** Place of the low watermark behind ZONE_WMARK; min is at 0. */
export const WMARK_LOW = 1
/** Place of the high watermark. */
export const WMARK_HIGH = 2
/** Place of the promo watermark. */
export const WMARK_PROMO = 3
/** Index of the high-memory zone, on a machine that has one. */
const ZONE_HIGHMEM = 2

const NAMES: readonly ZoneName[] = ['DMA', 'DMA32', 'Normal', 'Movable']
const HIGHMEM_NAMES: readonly ZoneName[] = ['DMA', 'Normal', 'HighMem', 'Movable']

/**
 * Record of the zone that page frame `pfn` belongs to; -1 when no memory map covers the frame.
 * A frame in a hole belongs to the zone of the memory that follows, after the last memory to the
 * last zone. Costs a walk over the memory ranges where a pageblock is shared by zones.
 * Source: spec/page-allocator.md §1.4.
 */
export function zoneOfPfn(words: Int32Array, pfn: number): number {
  if (pfn < 0 || pfn >= words[HEADER_MAX_PFN]!) return -1
  const block = words[blockWord(words, pfn)]!
  if ((block & BLOCK_PRESENT) === 0) return -1
  if ((block & BLOCK_MIXED) !== 0) return zoneInRanges(words, pfn)
  return words[HEADER_ZONES]! + ((block >> BLOCK_ZONE_SHIFT) << ZONE_WORDS_SHIFT)
}

/** Number of the zone at `index` of `node`. */
export function zoneNumber(node: number, index: number): number {
  return node * NR_ZONES + index
}

/** Record of the zone at `index` of `node`. */
export function zoneRecord(words: Int32Array, node: number, index: number): number {
  return words[HEADER_ZONES]! + (zoneNumber(node, index) << ZONE_WORDS_SHIFT)
}

/** Record of node `node`. */
export function nodeRecord(words: Int32Array, node: number): number {
  return words[HEADER_NODES]! + node * NODE_WORDS
}

/** Makes fast paths look again: what they have found out about requests and zones holds no longer. */
export function forgetPlans(words: Int32Array): void {
  for (let number = 0; number < nrZones(words); number++) {
    words[zoneRecord(words, 0, number) + ZONE_QUIET] = 0
  }
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const plans = words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_PLANS
    words.fill(0, plans, plans + PLANS * PLAN_WORDS)
  }
}

/** Zones with a record: four a node, populated or not. */
export function nrZones(words: Int32Array): number {
  return words[HEADER_NR_NODES]! * NR_ZONES
}

/** One more than the zone's last PFN. */
export function zoneEnd(words: Int32Array, zone: number): number {
  return words[zone + ZONE_START]! + words[zone + ZONE_SPANNED]!
}

/** True when the zone has memory, handed over or not. */
export function isPopulated(words: Int32Array, zone: number): boolean {
  return words[zone + ZONE_PRESENT] !== 0
}

/**
 * Name of the zone at `index` on this machine.
 * @throws InvalidArgument unless the index is 0 to 3.
 */
export function zoneIndexName(words: Int32Array, index: number): ZoneName {
  const name = (words[HEADER_HIGHMEM] === 0 ? NAMES : HIGHMEM_NAMES)[index]
  if (name === undefined) throw new InvalidArgument('zone index', index, 'an integer from 0 to 3')
  return name
}

/** Name of the zone. */
export function zoneName(words: Int32Array, zone: number): ZoneName {
  return zoneIndexName(words, words[zone + ZONE_INDEX]!)
}

/** Index of the Normal zone on this machine. */
export function normalIndex(words: Int32Array): number {
  return words[HEADER_HIGHMEM] === 0 ? 2 : 1
}

/**
 * True for a HighMem zone and for a Movable zone that was carved from one.
 * Source: spec/page-allocator.md §1.2.
 */
export function isHighmem(words: Int32Array, zone: number): boolean {
  if (words[HEADER_HIGHMEM] === 0) return false
  const index = words[zone + ZONE_INDEX]!
  if (index === ZONE_MOVABLE) return words[HEADER_MOVABLE_ZONE] === ZONE_HIGHMEM
  return index === ZONE_HIGHMEM
}

/** The watermark at index `mark` (min, low, high, promo) with the zone's boost. pages */
export function boostedMark(words: Int32Array, zone: number, mark: number): number {
  return words[zone + ZONE_WMARK + mark]! + words[zone + ZONE_BOOST]!
}

/**
 * Makes the record of an empty zone: no span, empty lists, and for every CPU the page lists that a
 * zone starts with (high 0, batch 1). Source: spec/page-allocator.md §1.7.
 */
export function initZoneRecord(words: Int32Array, node: number, index: number): void {
  const zone = zoneRecord(words, node, index)
  words.fill(0, zone, zone + ZONE_WORDS)
  words[zone + ZONE_NODE] = node
  words[zone + ZONE_INDEX] = index
  const listsEnd = zone + ZONE_LISTS + MAX_ORDER * ZONE_LISTS_PER_ORDER
  for (let head = zone + ZONE_LISTS; head < listsEnd; head += 2) listInit(words, head)
  const cpus = words[HEADER_NR_CPUS]!
  const pcps = words[HEADER_PCPS]! + zoneNumber(node, index) * cpus * PCP_WORDS
  words[zone + ZONE_PCP] = pcps
  for (let cpu = 0; cpu < cpus; cpu++) initPcpRecord(words, pcps + cpu * PCP_WORDS)
}

function initPcpRecord(words: Int32Array, pcp: number): void {
  words.fill(0, pcp, pcp + PCP_WORDS)
  words[pcp + PCP_BATCH] = 1
  for (let list = 0; list < NR_PCP_LISTS; list++) listInit(words, pcp + PCP_LISTS + 2 * list)
}

/** The zone by the memory ranges, which ascend. */
function zoneInRanges(words: Int32Array, pfn: number): number {
  const first = words[HEADER_RANGES]!
  const count = words[HEADER_NR_RANGES]!
  if (count === 0) return -1
  let i = 0
  while (i < count - 1 && words[first + i * RANGE_WORDS + RANGE_END]! <= pfn) i++
  const range = first + i * RANGE_WORDS
  const start = words[range + RANGE_START]!
  const last = words[range + RANGE_END]! - 1
  const inRange = Math.max(start, Math.min(pfn, last))
  const node = words[range + RANGE_NODE]!
  for (let index = 0; index < NR_ZONES; index++) {
    const zone = zoneRecord(words, node, index)
    if (inRange >= words[zone + ZONE_START]! && inRange < zoneEnd(words, zone)) return zone
  }
  return -1
}
