/** An allocator that continues from recorded zones. */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { PAGEBLOCK_PAGES, type Pfn, SECTION_PAGES } from '../base/units'
import { __GFP_BITS_MASK } from '../page/gfp'
import { blockHead, pageRecord } from '../page/memmap'
import { MIGRATE_CMA, MIGRATE_ISOLATE, MIGRATE_PCPTYPES, MIGRATE_TYPES } from '../page/migratetype'
import { listAddTail } from '../state/lists'
import {
  BLOCK_PRESENT,
  BLOCK_TYPE_MASK,
  BLOCK_ZONE_SHIFT,
  HEADER_GFP_ALLOWED,
  HEADER_HIGHMEM,
  HEADER_ONLINE_NODES,
  HEADER_TOTAL_RAM,
  NODE_ONLINE,
  NR_FREE_CMA,
  NR_FREE_PAGES,
  NR_PCP_LISTS,
  NR_ZONES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PAGE_WORDS,
  PCP_BATCH,
  PCP_COUNT,
  PCP_DIFF,
  PCP_FREE_FACTOR,
  PCP_HIGH,
  PCP_LIMIT,
  PCP_LISTS,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_CMA_PAGES,
  ZONE_FREE_CMA,
  ZONE_FREE_PAGES,
  ZONE_HIGHATOMIC,
  ZONE_MANAGED,
  ZONE_NR_FREE,
  ZONE_NR_ISOLATE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_START,
  ZONE_WMARK,
} from '../state/schema'
import { setupStatThresholds } from '../zone/pcpLimits'
import { setupZones } from '../zone/setup'
import type { PfnRange } from '../zone/spans'
import { type Spans, ZONES_I386, ZONES_X86_64 } from '../zone/spans'
import { calculateTotalReserve } from '../zone/watermark'
import { buildZonelists } from '../zone/zonelist'
import {
  nodeRecord,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_PROMO,
  zoneEnd,
  zoneIndexName,
  zoneNumber,
  zoneOfPfn,
  zoneRecord,
} from '../zone/zones'
import { BuddyAllocator } from './buddyAllocator'
import { checkFrame, checkOrder } from './checks'
import { type BuddyContext, currentPcp } from './context'
import { outsideMemory } from './free'
import { freeList, zoneAt } from './freeArea'
import type { ZoneState } from './nodeState'
import {
  type CommonOptions,
  MAX_PFN_LIMIT,
  newContext,
  newState,
  type RamSource,
  SPARE_RANGES,
} from './options'
import { pcpListOrder } from './pcp'

/** Options of an allocator that continues from recorded zones. */
export interface LoadOptions extends CommonOptions {
  /** CPUs; 1 when not given. */
  readonly cpus?: number
  /** RAM whose frames the zones describe. */
  readonly ram?: RamSource
  /** Keep the state in a SharedArrayBuffer. */
  readonly shared?: boolean
}

/**
 * Makes an allocator that continues from recorded zones, such as `nodeState` returns.
 * Frames that are on no list count as in use; {@link adoptBlock} names such blocks.
 * @throws InvalidArgument for zones that contradict themselves or each other.
 */
export function loadZones(zones: readonly ZoneState[], options: LoadOptions = {}): BuddyAllocator {
  if (zones.length === 0) throw new InvalidArgument('zones', zones, 'at least one zone')
  const ends = zones.map((zone) => zone.startPfn + zone.spanned)
  for (const end of ends) checkInteger('end of a zone', end, 1, MAX_PFN_LIMIT)
  for (const zone of zones) {
    checkInteger('node', zone.node, 0, 63)
    checkInteger('startPfn', zone.startPfn, 0, MAX_PFN_LIMIT)
  }
  const cpus = options.cpus ?? 1
  checkInteger('cpus', cpus, 1, 1024)
  const nodes = Math.max(...zones.map((zone) => zone.node)) + 1
  const spans = recordedSpans(zones, nodes)
  const geometry = {
    maxPfn: Math.ceil(Math.max(...ends) / SECTION_PAGES) * SECTION_PAGES,
    nodes,
    cpus,
    maxRanges: spans.ranges.length + SPARE_RANGES,
  }
  const words = newState(geometry, options.shared === true)
  // A view takes the zones that masks mean from here.
  words[HEADER_HIGHMEM] = spans.limits.highmem ? 1 : 0
  const c = newContext(words, options, options.ram)
  setupZones(c.words, spans, { cpuNodes: new Array<number>(cpus).fill(0) })
  // Nodes that are not described are online all the same: the CPUs' own is one of them.
  for (let node = 0; node < nodes; node++) c.words[nodeRecord(c.words, node) + NODE_ONLINE] = 1
  c.words[HEADER_ONLINE_NODES] = nodes
  c.words[HEADER_GFP_ALLOWED] = __GFP_BITS_MASK
  if (overlap(zones)) nameSections(c, zones)
  for (const zone of zones) {
    loadZone(c, zoneRecord(c.words, zone.node, zoneIndex(c.words, zone)), zone)
  }
  calculateTotalReserve(c.words)
  buildZonelists(c.words, false)
  setupStatThresholds(c.words)
  return new BuddyAllocator(c)
}

function zoneIndex(words: Int32Array, zone: ZoneState): number {
  for (let index = 0; index < NR_ZONES; index++) {
    if (zoneIndexName(words, index) === zone.name) return index
  }
  throw new InvalidArgument('zone name', zone.name, 'one of this machine’s zones')
}

/** Spans and memory ranges as far as the recorded zones tell: a range for each run of mapped blocks. */
function recordedSpans(zones: readonly ZoneState[], nodes: number): Spans {
  const highmem = zones.some((zone) => zone.name === 'HighMem')
  const names = highmem
    ? ['DMA', 'Normal', 'HighMem', 'Movable']
    : ['DMA', 'DMA32', 'Normal', 'Movable']
  const ranges = joinRuns(zones.flatMap(mappedRuns).sort((a, b) => a.start - b.start))
  const spans = Array.from({ length: nodes }, (_, node) => {
    const own = zones.filter((zone) => zone.node === node)
    const movable = own.find((zone) => zone.name === 'Movable')
    return {
      start: own.length === 0 ? 0 : Math.min(...own.map((zone) => zone.startPfn)),
      end: Math.max(0, ...own.map((zone) => zone.startPfn + zone.spanned)),
      movablePfn: movable?.startPfn ?? 0,
      zones: names.map((name) => {
        const zone = own.find((candidate) => candidate.name === name)
        if (zone === undefined) return { start: 0, spanned: 0, present: 0 }
        return { start: zone.startPfn, spanned: zone.spanned, present: zone.present }
      }),
    }
  })
  const limits = highmem ? ZONES_I386 : ZONES_X86_64
  return { ranges, limits, possible: [], movableZone: 2, nodes: spans }
}

/** Makes runs that overlap, where the spans of a node's zones do, one. */
function joinRuns(runs: readonly PfnRange[]): PfnRange[] {
  const joined: PfnRange[] = []
  for (const run of runs) {
    const last = joined[joined.length - 1]
    if (last === undefined || run.start >= last.end || run.node !== last.node) joined.push(run)
    else joined[joined.length - 1] = { ...last, end: Math.max(last.end, run.end) }
  }
  return joined
}

/**
 * Memory that was added piece by piece can leave zones of one node whose spans overlap. Each section then
 * belongs to the zone that has free blocks in it.
 */
function nameSections(c: BuddyContext, zones: readonly ZoneState[]): void {
  for (const zone of zones) {
    const number = zoneNumber(zone.node, zoneIndex(c.words, zone))
    const lists = [
      ...Object.values(zone.freeLists).flatMap(Object.values),
      ...Object.values(zone.pcp.lists),
    ]
    for (const section of new Set(lists.flat().map((pfn) => Math.floor(pfn / SECTION_PAGES)))) {
      const first = c.blocks + (section * SECTION_PAGES) / PAGEBLOCK_PAGES
      for (let block = first; block < first + SECTION_PAGES / PAGEBLOCK_PAGES; block++) {
        const type = c.words[block]! & (BLOCK_TYPE_MASK | BLOCK_PRESENT)
        c.words[block] = type | (number << BLOCK_ZONE_SHIFT)
      }
    }
  }
}

/** True when two zones of one node span the same frames. */
function overlap(zones: readonly ZoneState[]): boolean {
  return zones.some((a) =>
    zones.some(
      (b) =>
        a !== b &&
        a.node === b.node &&
        a.startPfn < b.startPfn + b.spanned &&
        b.startPfn < a.startPfn + a.spanned,
    ),
  )
}

function mappedRuns(zone: ZoneState): PfnRange[] {
  const runs: PfnRange[] = []
  const end = zone.startPfn + zone.spanned
  let start = -1
  const first = zone.startPfn - (zone.startPfn % PAGEBLOCK_PAGES)
  for (let i = 0; i <= zone.pageblocks.length; i++) {
    const mapped = i < zone.pageblocks.length && zone.pageblocks[i] !== 'x'
    const pfn = Math.max(zone.startPfn, first + i * PAGEBLOCK_PAGES)
    if (mapped && start < 0) start = pfn
    if (!mapped && start >= 0) {
      runs.push({ start, end: Math.min(end, pfn), node: zone.node })
      start = -1
    }
  }
  return runs
}

/**
 * Fills a freshly set-up zone from its recorded state. Frames that are on no list count as in use, by
 * somebody whose blocks are not known.
 * @throws InvalidArgument for lists that contradict each other or the zone.
 */
function loadZone(c: BuddyContext, zone: number, state: ZoneState): void {
  const words = c.words
  const pcp = currentPcp(c, zone)
  words[zone + ZONE_MANAGED] = state.managed
  words[HEADER_TOTAL_RAM]! += state.managed
  words[zone + ZONE_WMARK] = state.watermark.min
  words[zone + ZONE_WMARK + WMARK_LOW] = state.watermark.low
  words[zone + ZONE_WMARK + WMARK_HIGH] = state.watermark.high
  words[zone + ZONE_WMARK + WMARK_PROMO] = 2 * state.watermark.high - state.watermark.low
  words[zone + ZONE_BOOST] = state.boost
  words[zone + ZONE_HIGHATOMIC] = state.highatomicReserved
  words.set(state.lowmemReserve.slice(0, NR_ZONES), zone + ZONE_RESERVE)
  words[pcp + PCP_FREE_FACTOR] = state.pcp.freeFactor
  for (let cpu = 0; cpu < c.nrCpus; cpu++) {
    const record = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    words[record + PCP_HIGH] = state.pcp.high
    words[record + PCP_LIMIT] = state.pcp.high
    words[record + PCP_BATCH] = state.pcp.batch
  }
  loadBlocks(c, zone, state)
  loadFreeLists(c, zone, pcp, state)
  loadPcp(c, zone, pcp, state)
}

function loadBlocks(c: BuddyContext, zone: number, state: ZoneState): void {
  const first = c.blocks + Math.floor(state.startPfn / PAGEBLOCK_PAGES)
  for (let i = 0; i < state.pageblocks.length; i++) {
    const type = state.pageblocks.charCodeAt(i) - 48
    if (type < 0 || type >= MIGRATE_TYPES) continue
    c.words[first + i] = (c.words[first + i]! & ~BLOCK_TYPE_MASK) | type
    if (type === MIGRATE_CMA) c.words[zone + ZONE_CMA_PAGES]! += PAGEBLOCK_PAGES
    if (type === MIGRATE_ISOLATE) c.words[zone + ZONE_NR_ISOLATE]! += 1
  }
}

function loadFreeLists(c: BuddyContext, zone: number, pcp: number, state: ZoneState): void {
  const words = c.words
  let free = 0
  let cma = 0
  for (const [order, types] of Object.entries(state.freeLists)) {
    for (const [type, pfns] of Object.entries(types)) {
      checkInteger('migratetype', Number(type), 0, MIGRATE_TYPES - 1)
      for (const pfn of pfns) {
        place(c, zone, pfn, Number(order), PAGE_BUDDY, freeList(zone, Number(order), Number(type)))
      }
      words[zone + ZONE_NR_FREE + Number(order)]! += pfns.length
      const pages = pfns.length << Number(order)
      if (Number(type) !== MIGRATE_ISOLATE) free += pages
      if (Number(type) === MIGRATE_CMA) cma += pages
    }
  }
  // What the stored counter lacks is pending with the CPU.
  words[zone + ZONE_FREE_PAGES] = state.free
  words[pcp + PCP_DIFF + NR_FREE_PAGES] = free - state.free
  words[zone + ZONE_FREE_CMA] = cma
  words[pcp + PCP_DIFF + NR_FREE_CMA] = 0
}

function loadPcp(c: BuddyContext, zone: number, pcp: number, state: ZoneState): void {
  for (const [key, pfns] of Object.entries(state.pcp.lists)) {
    const index = Number(key)
    checkInteger('page list', index, 0, NR_PCP_LISTS - 1)
    const order = pcpListOrder(index)
    // The record does not tell the type a page goes back to: take that of its list.
    const type = index % MIGRATE_PCPTYPES
    for (const pfn of pfns) {
      place(c, zone, pfn, order, 0, pcp + PCP_LISTS + index * 2)
      c.words[pageRecord(pfn) + PAGE_REFS] = -1 - type
    }
    c.words[pcp + PCP_COUNT]! += pfns.length << order
  }
}

function place(
  c: BuddyContext,
  zone: number,
  pfn: number,
  order: number,
  mark: number,
  list: number,
): void {
  checkOrder(order)
  const size = 1 << order
  const spanned = pfn >= c.words[zone + ZONE_START]! && pfn + size <= zoneEnd(c.words, zone)
  const inside = spanned && zoneAt(c, pfn) === zone
  if (!Number.isInteger(pfn) || pfn % size !== 0 || !inside) {
    throw new InvalidArgument('free block', pfn, `an order-${order} block of the zone`)
  }
  const record = pageRecord(pfn)
  let apart = blockHead(c.words, pfn) < 0
  for (let page = record; page < record + size * PAGE_WORDS && apart; page += PAGE_WORDS) {
    apart = c.words[page + PAGE_FLAGS] === 0 && c.words[page + PAGE_REFS] === 0
  }
  if (!apart) throw new InvalidArgument('free block', pfn, 'apart from all others')
  c.words[record + PAGE_FLAGS] = mark | (order << PAGE_ORDER_SHIFT)
  listAddTail(c.words, list, record)
}

/**
 * Changes the managed pages of the zone that holds `pfn`, as for boot memory that is released or
 * ballooned away. Watermarks follow at the next recomputation, not now.
 */
export function adjustManagedPageCount(pages: BuddyAllocator, pfn: Pfn, count: number): void {
  const c = pages.context
  checkFrame(c, pfn)
  const zone = zoneOfPfn(c.words, pfn)
  if (zone < 0) throw outsideMemory(pfn)
  const managed = c.words[zone + ZONE_MANAGED]!
  checkInteger('count', count, -managed, c.words[zone + ZONE_PRESENT]! - managed)
  c.words[zone + ZONE_MANAGED] = managed + count
  c.words[HEADER_TOTAL_RAM]! += count
}

/**
 * Tells the allocator of a block of `order` in use that it does not know: after {@link loadZones},
 * frames on no list are such. From then on the block can be freed.
 * @throws KernelBug when one of the frames is free, reserved, known already, or outside memory.
 */
export function adoptBlock(pages: BuddyAllocator, pfn: Pfn, order = 0): void {
  const c = pages.context
  checkFrame(c, pfn)
  checkOrder(order)
  const end = pfn + (1 << order)
  if (pfn % (1 << order) !== 0) {
    throw new InvalidArgument(
      'pfn',
      pfn,
      `a multiple of ${1 << order}, as blocks of order ${order} are`,
    )
  }
  for (let page = pfn; page < end; page++) {
    if (zoneOfPfn(c.words, page) >= 0 && blockHead(c.words, page) < 0) continue
    throw new KernelBug('NOT_ADOPTABLE', `pfn 0x${page.toString(16)} is free, known or no memory`)
  }
  c.words[pageRecord(pfn) + PAGE_FLAGS] = order << PAGE_ORDER_SHIFT
  c.words[pageRecord(pfn) + PAGE_REFS] = 1
}
