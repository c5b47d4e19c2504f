/** Recorded zone states as a state buffer: written word by word, apart from the library's own loader. */

import { formatState, stateWords } from '../../src/state/layout'
import * as S from '../../src/state/schema'

/** One zone of a recording. */
export interface RecordedZone {
  readonly node: number
  readonly name: string
  readonly startPfn: number
  readonly spanned: number
  readonly present: number
  readonly managed: number
  readonly free: number
  readonly watermark: { readonly min: number; readonly low: number; readonly high: number }
  readonly boost: number
  readonly highatomicReserved: number
  readonly lowmemReserve: readonly number[]
  readonly pcp: {
    readonly count: number
    readonly high: number
    readonly batch: number
    readonly freeFactor: number
    readonly lists: Readonly<Record<string, readonly number[]>>
  }
  readonly freeLists: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
  readonly pageblocks: string
}

/** Memory `[start, end)` in PFNs. */
export interface RecordedRange {
  readonly start: number
  readonly end: number
  readonly node: number
}

const ZONE_NAMES = ['DMA', 'DMA32', 'Normal', 'Movable']

/**
 * A machine of one CPU whose zones are those recorded. Without `ranges` its memory is what the zones
 * span. Zones must not share a pageblock.
 */
export function loadNodeState(
  zones: readonly RecordedZone[],
  ranges: readonly RecordedRange[] = zones.map(({ startPfn, spanned, node }) => ({
    start: startPfn,
    end: startPfn + spanned,
    node,
  })),
): Int32Array {
  const end = Math.max(...zones.map((zone) => zone.startPfn + zone.spanned))
  const geometry = {
    maxPfn: Math.ceil(end / 32768) * 32768,
    nodes: Math.max(...zones.map((zone) => zone.node)) + 1,
    cpus: 1,
    maxRanges: ranges.length,
  }
  const words = new Int32Array(stateWords(geometry))
  formatState(words, geometry)
  words[S.HEADER_NR_RANGES] = ranges.length
  ranges.forEach((range, i) => {
    words.set([range.start, range.end, range.node], words[S.HEADER_RANGES]! + i * S.RANGE_WORDS)
  })
  for (let node = 0; node < geometry.nodes; node++) {
    words[words[S.HEADER_NODES]! + node * S.NODE_WORDS + S.NODE_ONLINE] = 1
    for (let index = 0; index < S.NR_ZONES; index++) emptyZone(words, node, index)
  }
  for (const zone of zones) loadZone(words, zone)
  return words
}

/** Offset of the record of the zone called `name`. */
export function zoneNamed(words: Int32Array, node: number, name: string): number {
  return words[S.HEADER_ZONES]! + (node * 4 + ZONE_NAMES.indexOf(name)) * S.ZONE_WORDS
}

function emptyZone(words: Int32Array, node: number, index: number): void {
  const zone = words[S.HEADER_ZONES]! + (node * 4 + index) * S.ZONE_WORDS
  const pcp = words[S.HEADER_PCPS]! + (node * 4 + index) * S.PCP_WORDS
  words[zone + S.ZONE_NODE] = node
  words[zone + S.ZONE_INDEX] = index
  words[zone + S.ZONE_PCP] = pcp
  words[pcp + S.PCP_BATCH] = 1
  for (let i = 0; i < 66; i++) emptyList(words, zone + S.ZONE_LISTS + 2 * i)
  for (let i = 0; i < 14; i++) emptyList(words, pcp + S.PCP_LISTS + 2 * i)
}

function emptyList(words: Int32Array, head: number): void {
  words[head] = head
  words[head + 1] = head
}

function loadZone(words: Int32Array, state: RecordedZone): void {
  const zone = zoneNamed(words, state.node, state.name)
  const pcp = words[zone + S.ZONE_PCP]!
  const { min, low, high } = state.watermark
  words[zone + S.ZONE_START] = state.startPfn
  words[zone + S.ZONE_SPANNED] = state.spanned
  words[zone + S.ZONE_PRESENT] = state.present
  words[zone + S.ZONE_MANAGED] = state.managed
  words.set([min, low, high, 2 * high - low], zone + S.ZONE_WMARK)
  words[zone + S.ZONE_BOOST] = state.boost
  words[zone + S.ZONE_HIGHATOMIC] = state.highatomicReserved
  words.set(state.lowmemReserve, zone + S.ZONE_RESERVE)
  words[zone + S.ZONE_FREE_PAGES] = state.free
  words[pcp + S.PCP_COUNT] = state.pcp.count
  words[pcp + S.PCP_HIGH] = state.pcp.high
  words[pcp + S.PCP_BATCH] = state.pcp.batch
  words[pcp + S.PCP_FREE_FACTOR] = state.pcp.freeFactor
  words[pcp + S.PCP_STAT_THRESHOLD] = 2 * (1 + 32 - Math.clz32(state.managed >> 15))
  const firstBlock = words[S.HEADER_BLOCKS]! + Math.floor(state.startPfn / 512)
  const zoneNumber = state.node * 4 + ZONE_NAMES.indexOf(state.name)
  ;[...state.pageblocks].forEach((type, i) => {
    if (type !== 'x') words[firstBlock + i] = (zoneNumber << 8) | 0x20 | Number(type)
  })
  let free = 0
  for (const [order, types] of Object.entries(state.freeLists)) {
    for (const [type, pfns] of Object.entries(types)) {
      const head = zone + S.ZONE_LISTS + Number(order) * 12 + Number(type) * 2
      for (const pfn of pfns) append(words, head, pfn, 0x800000 | (Number(order) << 24))
      words[zone + S.ZONE_NR_FREE + Number(order)]! += pfns.length
      if (type !== '5') free += pfns.length << Number(order)
    }
  }
  words[pcp + S.PCP_DIFF + S.NR_FREE_PAGES] = free - state.free
  for (const [list, pfns] of Object.entries(state.pcp.lists)) {
    const index = Number(list)
    const order = index < 12 ? Math.floor(index / 3) : 9
    const flags = (((index % 3) + 1) << 28) | (order << 24)
    for (const pfn of pfns) append(words, pcp + S.PCP_LISTS + 2 * index, pfn, flags)
  }
}

function append(words: Int32Array, head: number, pfn: number, flags: number): void {
  const record = S.HEADER_WORDS + pfn * S.PAGE_WORDS
  const last = words[head + 1]!
  words.set([head, last, flags], record)
  words[last] = record
  words[head + 1] = record
}
