/**
 * Counters: zone counters with a pending delta on each CPU, and events that only ever grow.
 *
 * EVENT-1: both words of an event are positive or 0.
 */

import {
  NR_FREE_CMA,
  NR_FREE_PAGES,
  PCP_DIFF,
  PCP_FAST_HITS,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_PGALLOC,
  PCP_STAT_THRESHOLD,
  ZONE_QUIET,
  ZONE_STAT,
} from './schema'

/**
 * Adds `delta` to zone counter `item` on behalf of one CPU. The sum stays pending with the CPU until
 * it exceeds the CPU's threshold, so what watermark tests and `/proc` read may lag by that much.
 */
export function addZoneCounter(
  words: Int32Array,
  zone: number,
  pcp: number,
  item: number,
  delta: number,
): void {
  const sum = words[pcp + PCP_DIFF + item]! + delta
  const threshold = words[pcp + PCP_STAT_THRESHOLD]!
  if (sum > threshold || sum < -threshold) {
    words[zone + ZONE_STAT + item]! += sum
    words[zone + ZONE_QUIET] = 0
    words[pcp + PCP_DIFF + item] = 0
  } else {
    words[pcp + PCP_DIFF + item] = sum
  }
}

/** Adds `delta` free pages of a list of CMA (`cma`) or of another type to the zone's counters. */
export function addFreePages(
  words: Int32Array,
  zone: number,
  pcp: number,
  delta: number,
  cma: boolean,
): void {
  addZoneCounter(words, zone, pcp, NR_FREE_PAGES, delta)
  if (cma) addZoneCounter(words, zone, pcp, NR_FREE_CMA, delta)
}

/** The value of a stored zone counter as every reader sees it: never negative. */
export function zoneCounter(words: Int32Array, zone: number, item: number): number {
  const stored = words[zone + ZONE_STAT + item]!
  return Math.max(stored, 0)
}

/**
 * Adds 1 to the two-word event at `event`. Without a branch: a call on a cold branch would make the
 * compiler load the array anew after it (measured).
 */
export function countOne(words: Int32Array, event: number): void {
  const sum = (words[event]! + 1) | 0
  words[event] = sum & 0x7fffffff
  words[event + 1]! += sum >>> 31
}

/** Adds `count` (at most 2^30) to the two-word event at `event`. */
export function addEvent(words: Int32Array, event: number, count: number): void {
  const sum = (words[event]! + count) | 0
  if (sum >= 0) {
    words[event] = sum
  } else {
    words[event] = sum & 0x7fffffff
    words[event + 1]! += 1
  }
}

/** The value of a CPU's event of a zone, PCP_PGALLOC and so on, with what the fast path has counted. */
export function pcpEventCount(words: Int32Array, pcp: number, event: number): number {
  const fast = event === PCP_PGALLOC || event === PCP_NUMA_HIT || event === PCP_NUMA_LOCAL
  return eventCount(words, pcp + event) + (fast ? eventCount(words, pcp + PCP_FAST_HITS) : 0)
}

/** The value of the two-word event at `event`; exact below 2^53. */
export function eventCount(words: Int32Array, event: number): number {
  return words[event + 1]! * 0x80000000 + words[event]!
}
