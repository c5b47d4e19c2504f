/** Names for the words in which two moments of a machine differ. */

import { type Machine, PAGE_SIZE, type PageTables } from '../../src/index'
import { blockHead, pageRecord } from '../../src/page/memmap'
import { cachesOf } from '../../src/slab/hotplug'
import * as pages from '../../src/state/schema'
import * as slabs from '../../src/state/slabSchema'
import * as space from '../../src/state/vmapSchema'
import type { Moment } from './machines'

/** Columns of a record: name and first word, ascending. */
type Columns = readonly (readonly [name: string, at: number])[]

/** The columns among the constants of a schema with a prefix: those that are no sizes, bits or counts. */
function columnsOf(
  schema: Readonly<Record<string, number>>,
  prefix: string,
  names: string,
): Columns {
  return names.split(' ').map((name) => {
    const at = schema[`${prefix}_${name}`]
    if (at === undefined) throw new Error(`no column ${prefix}_${name}`)
    return [name, at]
  })
}

const PAGE = columnsOf(pages, 'PAGE', 'NEXT PREV FLAGS REFS')
const ZONE = columnsOf(
  pages,
  'ZONE',
  'NODE WMARK BOOST RESERVE HIGHATOMIC NR_ISOLATE FLAGS QUIET DRIFT_MARK STAT NR_FREE LISTS END',
)
const PCP = columnsOf(
  pages,
  'PCP',
  'COUNT HIGH FREE_FACTOR EXPIRE STAT_THRESHOLD DIFF EVENTS LISTS END',
)
const CPU = columnsOf(pages, 'CPU', 'NODE EVENTS PLANS')
const HEADER = columnsOf(
  pages,
  'HEADER',
  'MAGIC NR_RANGES MAX_RANGES TOTAL_RAM TOTAL_RESERVE GFP_ALLOWED ONLINE_NODES WARNED THP CURRENT_CPU MOVABLE_ZONE',
)
const SLAB_HEADER = columnsOf(
  slabs,
  'SLAB',
  'MAGIC WORDS_USED MAX_PFN NODE_MASK CACHES NR_CACHES CACHE_CACHE FREE_RECORDS KMALLOC RCU_HEAD DEBUG_ON TAINT WARNED NEXT_ID RANDOM HEADER_END',
)
const SLAB = columnsOf(slabs, 'SLAB', 'NEXT PREV CACHE PFN FREE INUSE OBJECTS FLAGS RAM RAW LIVE')
const CACHE_NODE = columnsOf(
  slabs,
  'SLAB_NODE',
  'PARTIAL NR_PARTIAL NR_SLABS TOTAL_OBJECTS FULL USED OBJECT',
)
const SPACE_HEADER = columnsOf(
  space,
  'VMAP',
  'MAGIC WORDS_USED FREE_RECORDS ROOTS COUNTS DRAIN_PENDING NR_CPUS RECORDS WARNED CALLERS ROOT_PFN NR_PAGES GRANULE START LAZY_BYTES FREE_BYTES LIMIT',
)
const SPACE_CPU = columnsOf(space, 'VMAP_CPU', 'SPARE BLOCKS LAST_BLOCK DEFERRED')

function nameIn(columns: Columns, at: number): string {
  let found = ''
  for (const [name, first] of columns) if (at >= first) found = name
  return found
}

/** The columns in which two moments differ, as `zone.STAT`; for RAM what the bytes were for. */
export function differences(
  m: Machine,
  before: Moment,
  after: Moment,
  tables: PageTables = m.vm.tables,
): Set<string> {
  const found = new Set<string>()
  eachDifference(before.pages, after.pages, (at) => found.add(pageWord(after.pages, at)))
  const records = slabRecords(before.slabs, after.slabs)
  eachDifference(before.slabs, after.slabs, (at) => found.add(slabWord(after.slabs, records, at)))
  eachDifference(before.space, after.space, (at) => found.add(spaceWord(after.space, at)))
  if (Buffer.compare(before.ram, after.ram) !== 0) ramBytes(m, tables, before, after, found)
  return found
}

/** Calls `visit` for each word that differs; what is behind the end of one counts as 0. */
function eachDifference(a: Int32Array, b: Int32Array, visit: (at: number) => void): void {
  const bytes = (words: Int32Array) =>
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
  if (a.length === b.length && Buffer.compare(bytes(a), bytes(b)) === 0) return
  const end = Math.max(a.length, b.length)
  for (let at = 0; at < end; at++) if ((a[at] ?? 0) !== (b[at] ?? 0)) visit(at)
}

function pageWord(words: Int32Array, at: number): string {
  const table = (start: number, size: number) => (at - words[start]!) % size
  if (at < pages.HEADER_WORDS) return `header.${nameIn(HEADER, at)}`
  if (at < words[pages.HEADER_BLOCKS]!) return `page.${nameIn(PAGE, (at - pages.HEADER_WORDS) % 4)}`
  if (at < words[pages.HEADER_ZONES]!) return 'block'
  if (at < words[pages.HEADER_PCPS]!) {
    return `zone.${nameIn(ZONE, table(pages.HEADER_ZONES, pages.ZONE_WORDS))}`
  }
  if (at < words[pages.HEADER_NODES]!) {
    return `pcp.${nameIn(PCP, table(pages.HEADER_PCPS, pages.PCP_WORDS))}`
  }
  if (at < words[pages.HEADER_CPUS]!) return 'node'
  if (at < words[pages.HEADER_DISTANCES]!) {
    return `cpu.${nameIn(CPU, table(pages.HEADER_CPUS, pages.CPU_WORDS))}`
  }
  return 'tables of nodes and ranges'
}

/** Where the records of caches, and of slabs, start that one of two states has; slabs with their length. */
interface Records {
  readonly caches: ReadonlySet<number>
  readonly slabs: ReadonlyMap<number, number>
}

function slabRecords(...states: readonly Int32Array[]): Records {
  const caches = new Set<number>()
  const found = new Map<number, number>()
  for (const words of states) {
    for (const cache of cachesOf(words)) caches.add(cache)
    const end = slabs.SLAB_FRAMES + words[slabs.SLAB_MAX_PFN]!
    for (let at = slabs.SLAB_FRAMES; at < end; at++) {
      const slab = words[at]!
      if (slab <= 0) continue
      const shift = words[words[slab + slabs.SLAB_CACHE]! + slabs.CACHE_RECORD_SHIFT]!
      found.set(slab, 1 << shift)
    }
  }
  return { caches, slabs: found }
}

function slabWord(words: Int32Array, records: Records, at: number): string {
  if (at < slabs.SLAB_FRAMES) return `slabs.${nameIn(SLAB_HEADER, at)}`
  const frames = slabs.SLAB_FRAMES + words[slabs.SLAB_MAX_PFN]!
  if (at < frames) return 'slabs.frames'
  if (at < frames + words[slabs.SLAB_NR_NODES]! * slabs.NODE_SLAB_WORDS) return 'slabs.node'
  for (const [slab, length] of records.slabs) {
    if (at >= slab && at < slab + length) return `slab.${nameIn(SLAB, at - slab)}`
  }
  for (const cache of records.caches) {
    if (at < cache) continue
    const cpus = cache + slabs.CACHE_WORDS
    const nodes = cpus + words[slabs.SLAB_NR_CPUS]! * slabs.SLAB_CPU_WORDS
    const end = nodes + words[slabs.SLAB_NR_NODES]! * slabs.SLAB_NODE_WORDS
    if (at >= end) continue
    if (at < cpus) return at < cache + 2 ? 'cache.list' : 'cache'
    if (at < nodes) return 'cache.cpu'
    return `cache.node.${nameIn(CACHE_NODE, (at - nodes) % slabs.SLAB_NODE_WORDS)}`
  }
  return 'slabs.record'
}

function spaceWord(words: Int32Array, at: number): string {
  if (at < space.VMAP_HEADER_WORDS) return `space.${nameIn(SPACE_HEADER, at)}`
  const cpu = at - space.VMAP_HEADER_WORDS
  if (cpu < words[space.VMAP_NR_CPUS]! * space.VMAP_CPU_WORDS) {
    return `space.cpu.${nameIn(SPACE_CPU, cpu % space.VMAP_CPU_WORDS)}`
  }
  return 'space.record'
}

/** What pages were for whose bytes changed: now free, a page table, free objects of a slab, or in use. */
function ramBytes(
  m: Machine,
  tables: PageTables,
  before: Moment,
  after: Moment,
  found: Set<string>,
): void {
  for (let at = 0; at < after.ram.length; at += PAGE_SIZE) {
    const a = before.ram.subarray(at, at + PAGE_SIZE)
    const b = after.ram.subarray(at, at + PAGE_SIZE)
    if (Buffer.compare(a, b) === 0) continue
    const pfn = (m.ram.base + at) / PAGE_SIZE
    const isTable = m.vm.tables.levelOf(pfn) >= 0 || tables.levelOf(pfn) >= 0
    found.add(isTable ? 'ram.table' : useOf(before, after, pfn, a, b))
  }
}

function useOf(before: Moment, after: Moment, pfn: number, a: Uint8Array, b: Uint8Array): string {
  const slab = after.slabs[slabs.SLAB_FRAMES + pfn]!
  if (slab > 0)
    return changesObject(before.slabs, after.slabs, slab, pfn, a, b) ? 'ram.object' : 'ram.slab'
  const head = blockHead(after.pages, pfn)
  const used = head >= 0 && after.pages[pageRecord(head) + pages.PAGE_REFS]! > 0
  return used ? 'ram.used' : 'ram.free'
}

/** Whether a byte differs of an object that was in use and is. */
function changesObject(
  before: Int32Array,
  words: Int32Array,
  slab: number,
  pfn: number,
  a: Uint8Array,
  b: Uint8Array,
): boolean {
  if (before[slabs.SLAB_FRAMES + pfn] !== slab) return false
  const cache = words[slab + slabs.SLAB_CACHE]!
  const size = words[cache + slabs.CACHE_SIZE]!
  const pad = words[cache + slabs.CACHE_PAD]!
  const granule = words[cache + slabs.CACHE_GRANULE]!
  const base = (pfn - words[slab + slabs.SLAB_PFN]!) * PAGE_SIZE
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue
    const start = Math.floor((base + i) / size) * size + pad
    const inside = base + i >= start && base + i < start + words[cache + slabs.CACHE_OBJECT_SIZE]!
    const place = start >> granule
    const at = slab + slabs.SLAB_LIVE + (place >> 5)
    const live = ((before[at]! & words[at]!) >>> (place & 31)) & 1
    if (inside && live === 1) return true
  }
  return false
}
