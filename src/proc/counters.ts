/** The names of the kernel's counters, in its order, and their values. Source: spec/page-allocator.md §9.4, §9.6. */

import type { NodeCounters } from '../buddy/memInfo'
import { pcpEventCount, zoneCounter } from '../state/counters'
import {
  HEADER_NR_CPUS,
  NR_FREE_CMA,
  NR_FREE_PAGES,
  PCP_NUMA_FOREIGN,
  PCP_NUMA_HIT,
  PCP_NUMA_INTERLEAVE,
  PCP_NUMA_LOCAL,
  PCP_NUMA_MISS,
  PCP_NUMA_OTHER,
  PCP_WORDS,
  ZONE_PCP,
} from '../state/schema'

/** Zone counters as printed, with their index among the stored ones. */
export const ZONE_COUNTERS: readonly (readonly [name: string, item: number])[] = [
  ['nr_free_pages', NR_FREE_PAGES],
  ['nr_zone_inactive_anon', 1],
  ['nr_zone_active_anon', 2],
  ['nr_zone_inactive_file', 3],
  ['nr_zone_active_file', 4],
  ['nr_zone_unevictable', 5],
  ['nr_zone_write_pending', 6],
  ['nr_mlock', 7],
  ['nr_bounce', 8],
  ['nr_free_cma', NR_FREE_CMA],
]

/** NUMA events as printed, with their column in a per-CPU record. */
export const NUMA_EVENTS: readonly (readonly [name: string, event: number])[] = [
  ['numa_hit', PCP_NUMA_HIT],
  ['numa_miss', PCP_NUMA_MISS],
  ['numa_foreign', PCP_NUMA_FOREIGN],
  ['numa_interleave', PCP_NUMA_INTERLEAVE],
  ['numa_local', PCP_NUMA_LOCAL],
  ['numa_other', PCP_NUMA_OTHER],
]

/** Node counters as printed. */
export const NODE_COUNTERS: readonly string[] = /* @__PURE__ */ (
  'nr_inactive_anon nr_active_anon nr_inactive_file nr_active_file nr_unevictable ' +
  'nr_slab_reclaimable nr_slab_unreclaimable nr_isolated_anon nr_isolated_file ' +
  'workingset_nodes workingset_refault_anon workingset_refault_file ' +
  'workingset_activate_anon workingset_activate_file workingset_restore_anon ' +
  'workingset_restore_file workingset_nodereclaim nr_anon_pages nr_mapped nr_file_pages ' +
  'nr_dirty nr_writeback nr_writeback_temp nr_shmem nr_shmem_hugepages ' +
  'nr_shmem_pmdmapped nr_file_hugepages nr_file_pmdmapped nr_anon_transparent_hugepages ' +
  'nr_vmscan_write nr_vmscan_immediate_reclaim nr_dirtied nr_written ' +
  'nr_throttled_written nr_kernel_misc_reclaimable nr_foll_pin_acquired ' +
  'nr_foll_pin_released nr_kernel_stack nr_page_table_pages nr_sec_page_table_pages ' +
  'nr_swapcached'
).split(' ')

/** Machines whose node counters nobody keeps: all 0. */
export const NO_NODE_COUNTERS: NodeCounters = () => 0

/** A node counter as `/proc` shows it: huge-page counters in huge pages, never negative. */
export function shownNodeCounter(name: string, value: number): number {
  const huge = /hugepages$|pmdmapped$/.test(name)
  return Math.max(0, huge ? Math.trunc(value / 512) : value)
}

/** The zone's stored counters and exact NUMA events, in the kernel's order. */
export function zoneCounters(words: Int32Array, zone: number): [name: string, value: number][] {
  return [
    ...ZONE_COUNTERS.map(([name, item]): [string, number] => [
      name,
      zoneCounter(words, zone, item),
    ]),
    ...NUMA_EVENTS.map(([name, event]): [string, number] => [name, zoneEvent(words, zone, event)]),
  ]
}

/** A per-CPU event of the zone, over all CPUs. */
export function zoneEvent(words: Int32Array, zone: number, event: number): number {
  let count = 0
  const first = words[zone + ZONE_PCP]!
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    count += pcpEventCount(words, first + cpu * PCP_WORDS, event)
  }
  return count
}
