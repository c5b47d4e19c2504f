/** `/proc/vmstat`: every counter of the machine, one a line. Source: spec/page-allocator.md §9.4. */

import { InvalidArgument } from '../base/errors'
import type { NodeCounters } from '../buddy/memInfo'
import { eventCount } from '../state/counters'
import {
  CPU_EVENTS,
  CPU_WORDS,
  EVENT_ALLOCSTALL,
  EVENT_COMPACT_FAIL,
  EVENT_COMPACT_STALL,
  EVENT_COMPACT_SUCCESS,
  EVENT_OOM_KILL,
  EVENT_UNEVICTABLE_CLEARED,
  HEADER_CPUS,
  HEADER_HIGHMEM,
  HEADER_NR_CPUS,
  NR_ZONES,
  PCP_PGALLOC,
  PCP_PGFREE,
  ZONE_INDEX,
  ZONE_STAT,
} from '../state/schema'
import { nrZones, zoneRecord } from '../zone/zones'
import {
  NO_NODE_COUNTERS,
  NODE_COUNTERS,
  NUMA_EVENTS,
  shownNodeCounter,
  ZONE_COUNTERS,
  zoneEvent,
} from './counters'
import { onlineNodes } from './zoneText'

/** Names behind the zone, NUMA and node counters; `_*` stands for one name a zone index. */
const NAMES = /* @__PURE__ */ (
  'nr_dirty_threshold nr_dirty_background_threshold pgpgin pgpgout pswpin pswpout ' +
  'pgalloc_* allocstall_* pgskip_* ' +
  'pgfree pgactivate pgdeactivate pglazyfree pgfault pgmajfault pglazyfreed pgrefill ' +
  'pgreuse pgsteal_kswapd pgsteal_direct pgdemote_kswapd pgdemote_direct pgscan_kswapd ' +
  'pgscan_direct pgscan_direct_throttle pgscan_anon pgscan_file pgsteal_anon pgsteal_file ' +
  'zone_reclaim_failed pginodesteal slabs_scanned kswapd_inodesteal ' +
  'kswapd_low_wmark_hit_quickly kswapd_high_wmark_hit_quickly pageoutrun pgrotated ' +
  'drop_pagecache drop_slab oom_kill ' +
  'pgmigrate_success pgmigrate_fail thp_migration_success thp_migration_fail ' +
  'thp_migration_split ' +
  'compact_migrate_scanned compact_free_scanned compact_isolated compact_stall ' +
  'compact_fail compact_success compact_daemon_wake compact_daemon_migrate_scanned ' +
  'compact_daemon_free_scanned ' +
  'htlb_buddy_alloc_success htlb_buddy_alloc_fail cma_alloc_success cma_alloc_fail ' +
  'unevictable_pgs_culled unevictable_pgs_scanned unevictable_pgs_rescued ' +
  'unevictable_pgs_mlocked unevictable_pgs_munlocked unevictable_pgs_cleared ' +
  'unevictable_pgs_stranded ' +
  'thp_fault_alloc thp_fault_fallback thp_fault_fallback_charge thp_collapse_alloc ' +
  'thp_collapse_alloc_failed thp_file_alloc thp_file_fallback thp_file_fallback_charge ' +
  'thp_file_mapped thp_split_page thp_split_page_failed thp_deferred_split_page ' +
  'thp_split_pmd thp_scan_exceed_none_pte thp_scan_exceed_swap_pte ' +
  'thp_scan_exceed_share_pte thp_split_pud thp_zero_page_alloc ' +
  'thp_zero_page_alloc_failed thp_swpout thp_swpout_fallback ' +
  'swap_ra swap_ra_hit direct_map_level2_splits direct_map_level3_splits ' +
  'nr_unstable'
).split(' ')
/** Machine-wide events that the state keeps, by name. */
const EVENTS: readonly (readonly [name: string, event: number])[] = [
  ['compact_stall', EVENT_COMPACT_STALL],
  ['compact_fail', EVENT_COMPACT_FAIL],
  ['compact_success', EVENT_COMPACT_SUCCESS],
  ['oom_kill', EVENT_OOM_KILL],
  ['unevictable_pgs_cleared', EVENT_UNEVICTABLE_CLEARED],
]
const ZONE_SUFFIXES = ['dma', 'dma32', 'normal', 'movable']
const HIGHMEM_SUFFIXES = ['dma', 'normal', 'high', 'movable']

/**
 * All counters by name, in the kernel's order; those that nobody keeps are 0 (DIFF-18). Counters of zones are
 * the stored values, which may lag; events are exact below 2^53. The caller owns the record.
 */
export function readVmstat(
  words: Int32Array,
  nodeCounters: NodeCounters = NO_NODE_COUNTERS,
): Record<string, number> {
  const stats: Record<string, number> = {}
  const zones: number[] = []
  for (let number = 0; number < nrZones(words); number++) zones.push(zoneRecord(words, 0, number))
  const nodes = onlineNodes(words)
  for (const [name, item] of ZONE_COUNTERS) {
    stats[name] = Math.max(
      0,
      sum(zones, (zone) => words[zone + ZONE_STAT + item]!),
    )
  }
  for (const [name, event] of NUMA_EVENTS) {
    stats[name] = sum(zones, (zone) => zoneEvent(words, zone, event))
  }
  for (const name of NODE_COUNTERS) {
    stats[name] = shownNodeCounter(
      name,
      sum(nodes, (node) => nodeCounters(node, name)),
    )
  }
  const suffixes = words[HEADER_HIGHMEM] === 0 ? ZONE_SUFFIXES : HIGHMEM_SUFFIXES
  for (const name of NAMES) {
    if (name.endsWith('*')) for (const suffix of suffixes) stats[name.slice(0, -1) + suffix] = 0
    else stats[name] = 0
  }
  for (let index = 0; index < NR_ZONES; index++) {
    const alike = zones.filter((zone) => words[zone + ZONE_INDEX] === index)
    stats[`pgalloc_${suffixes[index]}`] = sum(alike, (zone) => zoneEvent(words, zone, PCP_PGALLOC))
    stats[`allocstall_${suffixes[index]}`] = machineEvent(words, EVENT_ALLOCSTALL + index)
  }
  stats.pgfree = sum(zones, (zone) => zoneEvent(words, zone, PCP_PGFREE))
  for (const [name, event] of EVENTS) stats[name] = machineEvent(words, event)
  return stats
}

/** The text of {@link readVmstat}. */
export function formatVmstat(words: Int32Array, nodeCounters?: NodeCounters): string {
  return Object.entries(readVmstat(words, nodeCounters))
    .map(([name, value]) => `${name} ${value}\n`)
    .join('')
}

/**
 * Reads the text of any kernel.
 * @throws InvalidArgument naming the line that is not a name and a number.
 */
export function parseVmstat(text: string): Record<string, number> {
  const stats: Record<string, number> = {}
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, name, value] = /^(\w+) (\d+)$/.exec(line) ?? []
    if (name === undefined) throw new InvalidArgument('line', line, 'a name and a number')
    stats[name] = Number(value)
  }
  return stats
}

/** Machine-wide event number `event`, over all CPUs. */
function machineEvent(words: Int32Array, event: number): number {
  let count = 0
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    count += eventCount(words, words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_EVENTS + 2 * event)
  }
  return count
}

function sum(items: readonly number[], value: (item: number) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
