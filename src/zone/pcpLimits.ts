/** Limits of the CPUs' page lists, and of how far their counters may run ahead of a zone's. */

import {
  HEADER_NR_CPUS,
  HEADER_PCP_HIGH_FRACTION,
  NODE_NR_CPUS,
  PCP_BATCH,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_STAT_THRESHOLD,
  PCP_WORDS,
  ZONE_DRIFT_MARK,
  ZONE_FLAGS,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_RECLAIM_ACTIVE,
  ZONE_WMARK,
} from '../state/schema'
import {
  boostedMark,
  isPopulated,
  nodeRecord,
  nrZones,
  WMARK_HIGH,
  WMARK_LOW,
  zoneRecord,
} from './zones'

/**
 * Gives every populated zone page lists of its own, before there are watermarks: high 4 × batch.
 * Source: spec/page-allocator.md §1.7.
 */
export function bootPcpLimits(words: Int32Array): void {
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (!isPopulated(words, zone)) continue
    const batch = pcpBatch(words[zone + ZONE_MANAGED]!)
    writePcp(words, zone, 4 * batch, batch)
    for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
      words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_FREE_FACTOR] = 0
    }
  }
}

/** Sets the page-list limits of every populated zone, alike on all CPUs. Source: spec/page-allocator.md §5.3. */
export function setupPcpLimits(words: Int32Array): void {
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (isPopulated(words, zone)) setupZonePcp(words, zone)
  }
}

/** Sets the page-list limits of one zone. Source: spec/page-allocator.md §5.3. */
function setupZonePcp(words: Int32Array, zone: number): void {
  const managed = words[zone + ZONE_MANAGED]!
  const fraction = words[HEADER_PCP_HIGH_FRACTION]!
  const base = fraction === 0 ? boostedMark(words, zone, WMARK_LOW) : Math.floor(managed / fraction)
  // A node of memory alone is served by every CPU.
  const local = words[nodeRecord(words, words[zone + ZONE_NODE]!) + NODE_NR_CPUS]!
  const cpus = local === 0 ? words[HEADER_NR_CPUS]! : local
  const batch = pcpBatch(managed)
  writePcp(words, zone, Math.max(Math.floor(base / cpus), 4 * batch), batch)
}

/**
 * Pages that a CPU's lists take or give back at once, for a zone that manages `managed` pages: 1, 3,
 * 7 … 63. Source: spec/page-allocator.md §5.3.
 */
export function pcpBatch(managed: number): number {
  const quarter = Math.max(1, Math.min(managed >> 10, 256) >> 2)
  const power = 31 - Math.clz32(quarter + (quarter >> 1))
  return Math.max(1, (1 << power) - 1)
}

/**
 * Sets how far a CPU's counters may run ahead of each populated zone's, and the free count below
 * which that could hide a breach of the min watermark. Source: spec/page-allocator.md §9.6.
 */
export function setupStatThresholds(words: Int32Array): void {
  const cpus = words[HEADER_NR_CPUS]!
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    if (!isPopulated(words, zone)) continue
    const size = 1 + bits(words[zone + ZONE_MANAGED]! >> 15)
    const threshold = Math.min(125, 2 * bits(cpus) * size)
    for (let cpu = 0; cpu < cpus; cpu++) {
      words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_STAT_THRESHOLD] = threshold
    }
    const drift = cpus * threshold
    const room = words[zone + ZONE_WMARK + WMARK_LOW]! - words[zone + ZONE_WMARK]!
    words[zone + ZONE_DRIFT_MARK] = drift > room ? boostedMark(words, zone, WMARK_HIGH) + drift : 0
  }
}

function writePcp(words: Int32Array, zone: number, high: number, batch: number): void {
  const reclaimed = (words[zone + ZONE_FLAGS]! & ZONE_RECLAIM_ACTIVE) !== 0
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const pcp = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    words[pcp + PCP_HIGH] = high
    words[pcp + PCP_LIMIT] = reclaimed ? Math.min(high, 4 * batch) : high
    words[pcp + PCP_BATCH] = batch
  }
}

/** Bits needed to write `value`. */
function bits(value: number): number {
  return 32 - Math.clz32(value)
}
