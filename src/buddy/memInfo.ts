/** The Mem-Info block of a failure report. Source: spec/page-allocator.md §6.5, sample in §12.3. */

import { MAX_ORDER } from '../base/units'
import { MIGRATETYPE_LETTERS } from '../page/migratetype'
import { zoneCounter } from '../state/counters'
import { listEmpty } from '../state/lists'
import {
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_TOTAL_CMA,
  NODE_ONLINE,
  NR_FREE_CMA,
  NR_FREE_PAGES,
  NR_ZONES,
  PCP_COUNT,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_HIGHATOMIC,
  ZONE_INDEX,
  ZONE_LISTS,
  ZONE_LISTS_PER_ORDER,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_NR_FREE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_STAT,
} from '../state/schema'
import {
  boostedMark,
  isHighmem,
  isPopulated,
  nodeRecord,
  zoneName,
  zoneRecord,
} from '../zone/zones'

/**
 * A node's value of the counter called `name` in `/proc/vmstat` (`nr_mapped`): pages, but for
 * `nr_kernel_stack`, which is in KiB. One name is of `/proc/zoneinfo`: `node_unreclaimable` is 1
 * once kswapd has given the node up, else 0.
 */
export type NodeCounters = (node: number, name: string) => number

/** What {@link formatMemInfo} shows. */
export interface MemInfoOptions {
  /** Highest zone index shown: that of the failed request. */
  readonly highestZone: number
  /** The CPU that reports. */
  readonly cpu: number
  /** Nodes shown; all without it. */
  readonly nodes?: (node: number) => boolean
  /** The nodes' counters; without it sums of the zones' LRU counters, and 0 for all others. */
  readonly counters?: NodeCounters
  /** Sizes of huge pages in KiB, shown with none in use; 1 GiB and 2 MiB without it. */
  readonly hugePageSizes?: readonly number[]
}

const TOTALS = [
  'active_anon inactive_anon isolated_anon',
  'active_file inactive_file isolated_file',
  'unevictable dirty writeback',
  'slab_reclaimable slab_unreclaimable',
  'mapped shmem pagetables',
  'sec_pagetables bounce',
  'kernel_misc_reclaimable',
]
const PER_NODE =
  'active_anon inactive_anon active_file inactive_file unevictable isolated(anon) isolated(file) ' +
  'mapped dirty writeback shmem shmem_thp shmem_pmdmapped anon_thp writeback_tmp kernel_stack ' +
  'pagetables sec_pagetables'
/** Labels that are called otherwise in vmstat. */
const NAMES: Readonly<Record<string, string>> = {
  'isolated(anon)': 'isolated_anon',
  'isolated(file)': 'isolated_file',
  pagetables: 'page_table_pages',
  sec_pagetables: 'sec_page_table_pages',
  shmem_thp: 'shmem_hugepages',
  anon_thp: 'anon_transparent_hugepages',
  writeback_tmp: 'writeback_temp',
}
/** Node counters that the zones keep too, in the order of the zone counters from the second on. */
const LRU = ['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable']
/** Zone counters behind those. */
const NR_WRITE_PENDING = 6
const NR_MLOCK = 7
const NR_BOUNCE = 8

/** The lines of the block; sizes are those of the stored counters. The caller owns them. */
export function formatMemInfo(words: Int32Array, options: MemInfoOptions): string[] {
  const shows = (node: number) => options.nodes === undefined || options.nodes(node)
  const counters = options.counters ?? ((node, name) => lruSum(words, node, name.slice(3)))
  const online: number[] = []
  const all: number[] = []
  for (let node = 0; node < words[HEADER_NR_NODES]!; node++) {
    if (words[nodeRecord(words, node) + NODE_ONLINE] !== 0) online.push(node)
    for (let index = 0; index < NR_ZONES; index++) {
      const zone = zoneRecord(words, node, index)
      if (isPopulated(words, zone)) all.push(zone)
    }
  }
  const zones = all.filter(
    (zone) => words[zone + ZONE_INDEX]! <= options.highestZone && shows(words[zone + ZONE_NODE]!),
  )
  const nodes = online.filter(shows)
  const stat = (node: number, label: string) => counters(node, `nr_${NAMES[label] ?? label}`)
  const nodeSum = (label: string) => sum(online, (node) => stat(node, label))
  const total = (item: number) =>
    Math.max(
      0,
      sum(all, (zone) => words[zone + ZONE_STAT + item]!),
    )

  const lines = ['Mem-Info:']
  for (const labels of TOTALS) {
    const values = labels
      .split(' ')
      .map((label) => `${label}:${label === 'bounce' ? total(NR_BOUNCE) : nodeSum(label)}`)
    lines.push((lines.length > 1 ? ' ' : '') + values.join(' '))
  }
  const pcp = sum(zones, (zone) => pcpPages(words, zone))
  lines.push(` free:${total(NR_FREE_PAGES)} free_pcp:${pcp} free_cma:${total(NR_FREE_CMA)}`)
  for (const node of nodes) {
    if (
      zones.some((zone) => words[zone + ZONE_NODE] === node && words[zone + ZONE_MANAGED] !== 0)
    ) {
      lines.push(nodeLine(node, stat, counters(node, 'node_unreclaimable') > 0))
    }
  }
  for (const zone of zones) lines.push(zoneLine(words, zone, options.cpu), reserveLine(words, zone))
  for (const zone of zones) lines.push(blocksLine(words, zone))
  for (const node of nodes) {
    for (const size of options.hugePageSizes ?? [1048576, 2048]) {
      lines.push(
        `Node ${node} hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=${size}kB`,
      )
    }
  }
  const present = (zone: number) => words[zone + ZONE_PRESENT]!
  lines.push(
    `${nodeSum('file_pages')} total pagecache pages`,
    `${nodeSum('swapcached')} pages in swap cache`,
    'Free swap  = 0kB',
    'Total swap = 0kB',
    `${sum(all, present)} pages RAM`,
    `${sum(all, (zone) => (isHighmem(words, zone) ? present(zone) : 0))} pages HighMem/MovableOnly`,
    `${sum(all, (zone) => present(zone) - words[zone + ZONE_MANAGED]!)} pages reserved`,
    `${words[HEADER_TOTAL_CMA]} pages cma reserved`,
  )
  return lines
}

function nodeLine(
  node: number,
  stat: (node: number, label: string) => number,
  hopeless: boolean,
): string {
  let line = `Node ${node}`
  for (const label of PER_NODE.split(' ')) {
    const value = stat(node, label) * (label === 'kernel_stack' ? 1 : 4)
    line += ` ${label}:${/thp|pmd/.test(label) ? ' ' : ''}${value}kB`
  }
  return `${line} all_unreclaimable? ${hopeless ? 'yes' : 'no'}`
}

function zoneLine(words: Int32Array, zone: number, cpu: number): string {
  const stat = (item: number) => zoneCounter(words, zone, item)
  const sizes: [label: string, pages: number][] = [
    ['free', stat(NR_FREE_PAGES)],
    ['boost', words[zone + ZONE_BOOST]!],
    ['min', boostedMark(words, zone, 0)],
    ['low', boostedMark(words, zone, 1)],
    ['high', boostedMark(words, zone, 2)],
    ['reserved_highatomic', words[zone + ZONE_HIGHATOMIC]!],
    ['active_anon', stat(2)],
    ['inactive_anon', stat(1)],
    ['active_file', stat(4)],
    ['inactive_file', stat(3)],
    ['unevictable', stat(5)],
    ['writepending', stat(NR_WRITE_PENDING)],
    ['present', words[zone + ZONE_PRESENT]!],
    ['managed', words[zone + ZONE_MANAGED]!],
    ['mlocked', stat(NR_MLOCK)],
    ['bounce', stat(NR_BOUNCE)],
    ['free_pcp', pcpPages(words, zone)],
    ['local_pcp', words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_COUNT]!],
    ['free_cma', stat(NR_FREE_CMA)],
  ]
  const texts = sizes.map(
    // That one alone has its unit in capitals.
    ([label, pages]) => `${label}:${pages * 4}${label === 'reserved_highatomic' ? 'K' : 'k'}B`,
  )
  return `${zoneTitle(words, zone)} ${texts.join(' ')}`
}

function reserveLine(words: Int32Array, zone: number): string {
  const reserve = words.subarray(zone + ZONE_RESERVE, zone + ZONE_RESERVE + NR_ZONES)
  return `lowmem_reserve[]: ${reserve.join(' ')}`
}

function blocksLine(words: Int32Array, zone: number): string {
  let line = `${zoneTitle(words, zone)}:`
  let total = 0
  for (let order = 0; order < MAX_ORDER; order++) {
    const count = words[zone + ZONE_NR_FREE + order]!
    const size = 4 << order
    total += count * size
    line += ` ${count}*${size}kB`
    if (count === 0) continue
    const lists = zone + ZONE_LISTS + order * ZONE_LISTS_PER_ORDER
    const letters = [...MIGRATETYPE_LETTERS].filter(
      (_, type) => !listEmpty(words, lists + 2 * type),
    )
    line += ` (${letters.join('')})`
  }
  return `${line} = ${total}kB`
}

function zoneTitle(words: Int32Array, zone: number): string {
  return `Node ${words[zone + ZONE_NODE]} ${zoneName(words, zone)}`
}

function pcpPages(words: Int32Array, zone: number): number {
  let pages = 0
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    pages += words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_COUNT]!
  }
  return pages
}

function lruSum(words: Int32Array, node: number, name: string): number {
  const item = LRU.indexOf(name) + 1
  if (item === 0) return 0
  let pages = 0
  for (let i = 0; i < NR_ZONES; i++) pages += zoneCounter(words, zoneRecord(words, node, i), item)
  return pages
}

function sum(items: readonly number[], value: (item: number) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
