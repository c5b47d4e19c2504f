/**
 * `/proc/meminfo`, written and read.
 *
 * Source: spec/page-allocator.md §9.5, spec/slab.md §18.8, spec/vmalloc.md §12.2, spec/pressure.md §10.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { vmallocTotalKib } from '../base/layout'
import type { NodeCounters } from '../buddy/memInfo'
import {
  HEADER_HIGHMEM,
  HEADER_TOTAL_CMA,
  HEADER_TOTAL_RAM,
  HEADER_TOTAL_RESERVE,
  NR_FREE_CMA,
  NR_FREE_PAGES,
  ZONE_MANAGED,
  ZONE_STAT,
} from '../state/schema'
import { VMAP_NR_PAGES } from '../state/vmapSchema'
import { directMapCounts } from '../vmalloc/directMapping'
import type { MachineParts } from '../vmalloc/machineParts'
import { boostedMark, isHighmem, nrZones, WMARK_LOW, zoneRecord } from '../zone/zones'
import { slabNodeCounters } from './slabMemory'
import { onlineNodes } from './zoneText'

/** All lines, in the kernel's order. Those of {@link OPTIONAL} are not on every machine. */
const NAMES: readonly string[] = /* @__PURE__ */ (
  'MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) ' +
  'Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked HighTotal HighFree LowTotal ' +
  'LowFree SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab ' +
  'SReclaimable SUnreclaim KernelStack PageTables SecPageTables NFS_Unstable Bounce ' +
  'WritebackTmp CommitLimit Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu ' +
  'HardwareCorrupted AnonHugePages ShmemHugePages ShmemPmdMapped FileHugePages FilePmdMapped ' +
  'CmaTotal CmaFree HugePages_Total HugePages_Free HugePages_Rsvd HugePages_Surp Hugepagesize ' +
  'Hugetlb DirectMap4k DirectMap2M DirectMap4M DirectMap1G'
).split(' ')
/** Lines that are left out unless the machine has the thing, or they are given. */
const OPTIONAL: readonly string[] = /* @__PURE__ */ (
  'HighTotal HighFree LowTotal LowFree HardwareCorrupted ' +
  'DirectMap4k DirectMap2M DirectMap4M DirectMap1G'
).split(' ')
/** Lines that are a node counter and nothing else. */
const COUNTED: Readonly<Record<string, string>> = {
  SwapCached: 'nr_swapcached',
  'Active(anon)': 'nr_active_anon',
  'Inactive(anon)': 'nr_inactive_anon',
  'Active(file)': 'nr_active_file',
  'Inactive(file)': 'nr_inactive_file',
  Unevictable: 'nr_unevictable',
  Dirty: 'nr_dirty',
  Writeback: 'nr_writeback',
  AnonPages: 'nr_anon_pages',
  Mapped: 'nr_mapped',
  Shmem: 'nr_shmem',
  SReclaimable: 'nr_slab_reclaimable',
  SUnreclaim: 'nr_slab_unreclaimable',
  KernelStack: 'nr_kernel_stack',
  SecPageTables: 'nr_sec_page_table_pages',
  WritebackTmp: 'nr_writeback_temp',
  AnonHugePages: 'nr_anon_transparent_hugepages',
  ShmemHugePages: 'nr_shmem_hugepages',
  ShmemPmdMapped: 'nr_shmem_pmdmapped',
  FileHugePages: 'nr_file_hugepages',
  FilePmdMapped: 'nr_file_pmdmapped',
}
/** Zone counters of these node counters, for machines whose node counters nobody keeps. */
const LRU: readonly string[] = [
  'nr_inactive_anon',
  'nr_active_anon',
  'nr_inactive_file',
  'nr_active_file',
  'nr_unevictable',
]
const NR_ZONE_INACTIVE_ANON = 1
const NR_MLOCK = 7
const NR_BOUNCE = 8
/** The part of memory that may be promised without swap, in percent: the kernel's default. */
const OVERCOMMIT_RATIO = 50

/** Values by the name of their line: KiB, but for the counts `HugePages_*`. */
export type Meminfo = Readonly<Record<string, number>>

/**
 * All lines by name, in the kernel's order: KiB, but for the counts `HugePages_*`. What nobody counts is 0.
 * The lines of high memory are there on machines that have it, `DirectMap*` with x86 page tables,
 * `HardwareCorrupted` when given. The caller owns the record.
 * @param given lines by name: each replaces what is counted, and sums (`Active`, `Slab`, `MemAvailable`) go by it.
 * @param nodeCounters the nodes' counters besides those of slabs; without them sums of the zones' LRU counters, and 0.
 * @throws InvalidArgument for a name that is no line, and for a value that is not an integer from 0 to below 2^53.
 */
export function readMeminfo(
  m: MachineParts,
  given: Meminfo = {},
  nodeCounters?: NodeCounters,
): Record<string, number> {
  checkGiven(given)
  const counted = count(m, given, nodeCounters)
  const stats: Record<string, number> = {}
  for (const name of NAMES) {
    const value = counted.get(name)
    if (value !== undefined || !OPTIONAL.includes(name)) stats[name] = value ?? 0
  }
  return stats
}

/** The text of {@link readMeminfo}. */
export function formatMeminfo(
  m: MachineParts,
  given?: Meminfo,
  nodeCounters?: NodeCounters,
): string {
  return Object.entries(readMeminfo(m, given, nodeCounters))
    .map(([name, value]) => line(name, value))
    .join('')
}

/**
 * Reads the text of any kernel: values by name, in KiB where the line says kB, in the order of the lines.
 * @throws InvalidArgument naming the line that is not a name and a number, or that comes twice.
 */
export function parseMeminfo(text: string): Record<string, number> {
  if (typeof text !== 'string') throw new InvalidArgument('text', text, 'a string')
  const stats = new Map<string, number>()
  for (const row of text.split('\n')) {
    if (row.trim() === '') continue
    const [, name, digits] = /^([A-Za-z]\w*(?:\(\w+\))?): *(\d+)(?: kB)?\r?$/.exec(row) ?? []
    const value = Number(digits)
    if (name === undefined || !Number.isSafeInteger(value)) {
      throw new InvalidArgument('line', row, 'a name, a colon and a number')
    }
    if (stats.has(name)) throw new InvalidArgument('line', row, 'of a name that comes once')
    stats.set(name, value)
  }
  return Object.fromEntries(stats)
}

function line(name: string, value: number): string {
  const count = name.startsWith('HugePages_')
  // Names that are too long for the usual 16 columns have 19.
  const width = count || name.length > 16 ? 19 : 16
  const unit = count ? '' : ' kB'
  return `${`${name}:`.padEnd(width)}${String(value).padStart(24 - width)}${unit}\n`
}

function checkGiven(given: Meminfo): void {
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgument('given', given, 'a record of lines and their values')
  }
  for (const [name, value] of Object.entries(given)) {
    if (!NAMES.includes(name)) {
      throw new InvalidArgument('given', name, `the name of a line: ${NAMES.join(', ')}`)
    }
    checkInteger(name, value, 0, Number.MAX_SAFE_INTEGER)
  }
}

/** What is given or counted, by name. */
function count(m: MachineParts, given: Meminfo, others?: NodeCounters): Map<string, number> {
  const { words } = m.pages
  const stats = new Map(Object.entries(given))
  const kib = (name: string): number => stats.get(name) ?? 0
  const put = (name: string, value: number): void => {
    if (!stats.has(name)) stats.set(name, Math.max(0, value))
  }
  const counters = slabNodeCounters(
    m.slabs,
    others ?? ((node, name) => lruPages(words, node, name)),
  )
  const nodes = onlineNodes(words)
  const node = (name: string): number => sum(nodes, (id) => counters(id, name))
  for (const [name, counter] of Object.entries(COUNTED)) {
    put(name, node(counter) * (name === 'KernelStack' ? 1 : 4))
  }
  putMemory(words, put, kib)
  put('Cached', node('nr_file_pages') * 4 - kib('SwapCached') - kib('Buffers'))
  put('Active', kib('Active(anon)') + kib('Active(file)'))
  put('Inactive', kib('Inactive(anon)') + kib('Inactive(file)'))
  put('KReclaimable', kib('SReclaimable') + node('nr_kernel_misc_reclaimable') * 4)
  put('Slab', kib('SReclaimable') + kib('SUnreclaim'))
  put('PageTables', (node('nr_page_table_pages') + m.vm.tables.pmdTables) * 4)
  put('MemAvailable', availablePages(words, kib) * 4)
  putMapped(m, put)
  return stats
}

type Put = (name: string, value: number) => void

/** What zones count. */
function putMemory(words: Int32Array, put: Put, kib: (name: string) => number): void {
  const zones = allZones(words)
  // Counters of the machine are sums of the stored values, shown as 0 when below.
  const stat = (item: number) => sum(zones, (zone) => words[zone + ZONE_STAT + item]!) * 4
  put('MemTotal', words[HEADER_TOTAL_RAM]! * 4)
  put('MemFree', stat(NR_FREE_PAGES))
  put('Mlocked', stat(NR_MLOCK))
  put('Bounce', stat(NR_BOUNCE))
  put('CmaTotal', words[HEADER_TOTAL_CMA]! * 4)
  put('CmaFree', stat(NR_FREE_CMA))
  const ram = Math.floor(kib('MemTotal') / 4)
  put('CommitLimit', Math.floor((ram * OVERCOMMIT_RATIO) / 100) * 4 + kib('SwapTotal'))
  if (words[HEADER_HIGHMEM] === 0) return
  const high = zones.filter((zone) => isHighmem(words, zone))
  put('HighTotal', sum(high, (zone) => words[zone + ZONE_MANAGED]!) * 4)
  put('HighFree', sum(high, (zone) => words[zone + ZONE_STAT + NR_FREE_PAGES]!) * 4)
  put('LowTotal', kib('MemTotal') - kib('HighTotal'))
  put('LowFree', kib('MemFree') - kib('HighFree'))
}

/** What page tables and the vmalloc window tell. */
function putMapped(m: MachineParts, put: Put): void {
  const { layout, space } = m.vm.context
  const { tables } = m.vm
  const { levels, name } = tables.format
  put('VmallocTotal', vmallocTotalKib(layout))
  put('VmallocUsed', space.words[VMAP_NR_PAGES]! * 4)
  // A huge page is what an entry above the last level maps.
  put('Hugepagesize', 2 ** ((levels[levels.length - 2]?.shift ?? 12) - 10))
  if (!/x86|i386/i.test(name)) return
  const counts = directMapCounts(tables, layout)
  const leaves = new Set(levels.filter(({ leaf }) => leaf).map(({ shift }) => shift))
  put('DirectMap4k', counts.directMap4k)
  if (leaves.has(21)) put('DirectMap2M', counts.directMap2M)
  if (leaves.has(22)) put('DirectMap4M', counts.directMap4M)
  if (leaves.has(30)) put('DirectMap1G', counts.directMap1G)
}

/** Pages that programs could have without swapping: free ones, and part of what can be reclaimed. */
function availablePages(words: Int32Array, kib: (name: string) => number): number {
  const zones = allZones(words)
  const low = sum(zones, (zone) => boostedMark(words, zone, WMARK_LOW))
  const part = (pages: number) => pages - Math.min(Math.floor(pages / 2), low)
  const pages = (name: string) => Math.floor(kib(name) / 4)
  const free = pages('MemFree') - words[HEADER_TOTAL_RESERVE]!
  return free + part(pages('Active(file)') + pages('Inactive(file)')) + part(pages('KReclaimable'))
}

/** Pages of a node on an LRU list, from the zones' counters; 0 for other names. */
function lruPages(words: Int32Array, node: number, name: string): number {
  const list = LRU.indexOf(name)
  if (list < 0) return 0
  const zones = [0, 1, 2, 3].map((index) => zoneRecord(words, node, index))
  return sum(zones, (zone) => words[zone + ZONE_STAT + NR_ZONE_INACTIVE_ANON + list]!)
}

function allZones(words: Int32Array): number[] {
  return Array.from({ length: nrZones(words) }, (_, number) => zoneRecord(words, 0, number))
}

function sum(items: readonly number[], value: (item: number) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
