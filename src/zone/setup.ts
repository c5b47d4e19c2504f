/**
 * Zone initialisation: writes ranges, nodes, CPUs, zones and pageblocks into a fresh state buffer.
 *
 * RANGE-1: memory ranges ascend without overlaps, below the highest frame, on nodes that exist.
 * CPU-1: every CPU runs on a node with a record.
 * NODE-1: a node is online or not, counts its CPUs, and spans all of its zones.
 */

import { checkInteger } from '../base/errors'
import {
  CPU_NODE,
  CPU_WORDS,
  HEADER_CPUS,
  HEADER_DISTANCES,
  HEADER_HIGHMEM,
  HEADER_LOWMEM_RATIO,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_MOVABLE_ZONE,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_NR_RANGES,
  HEADER_ONLINE_NODES,
  HEADER_RANGES,
  HEADER_USER_MIN_FREE_KBYTES,
  HEADER_WATERMARK_BOOST,
  HEADER_WATERMARK_SCALE,
  HEADER_ZONE_LIMITS,
  NODE_MOVABLE_PFN,
  NODE_NR_CPUS,
  NODE_ONLINE,
  NODE_SPANNED,
  NODE_START,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_PRESENT,
  ZONE_SPANNED,
  ZONE_START,
} from '../state/schema'
import { initPageblocks } from './blocks'
import type { Spans } from './spans'
import { initZoneRecord, nodeRecord, nrZones, zoneRecord } from './zones'

/** Distance of a node to itself, and the smallest there is. */
const LOCAL_DISTANCE = 10
/** Distance of two nodes that no table tells. */
const REMOTE_DISTANCE = 20

/** What zone initialisation needs besides the spans. */
export interface Topology {
  /** Node of each CPU, by CPU number. */
  readonly cpuNodes: readonly number[]
  /** Distance from each node to each, row by row, 10 to 255; without it 10 to itself, else 20. */
  readonly distances?: readonly (readonly number[])[] | undefined
}

/**
 * Fills a state buffer fresh from `formatState` with everything that zone initialisation decides:
 * memory ranges, nodes (online when they have memory or a CPU), CPUs, distances, zones with empty
 * lists and nothing managed, pageblocks, and the defaults of the tunables. Nodes beyond those of
 * `spans` stay offline, with empty zones. Zonelists and the hand-over follow.
 *
 * Nothing is written when something does not fit.
 * @throws InvalidArgument for memory, nodes, CPUs or distances that do not fit the buffer's geometry.
 */
export function setupZones(words: Int32Array, spans: Spans, topology: Topology): void {
  const nodes = words[HEADER_NR_NODES]!
  checkInteger('nodes', spans.nodes.length, 1, nodes)
  checkTopology(topology, words[HEADER_NR_CPUS]!, spans.nodes.length)
  checkRoom(words, spans)

  words[HEADER_HIGHMEM] = spans.limits.highmem ? 1 : 0
  words[HEADER_MOVABLE_ZONE] = spans.movableZone
  words.set(
    spans.limits.limits.map((limit) => Math.min(limit, 2 ** 30)),
    HEADER_ZONE_LIMITS,
  )
  writeTunables(words, spans.limits.highmem)
  writeDistances(words, topology)
  for (let number = 0; number < nrZones(words); number++) {
    initZoneRecord(words, number >> 2, number & 3)
  }
  topology.cpuNodes.forEach((node, cpu) => {
    words[words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_NODE] = node
    words[nodeRecord(words, node) + NODE_NR_CPUS]! += 1
  })
  writeSpans(words, spans, 0)
}

/**
 * Writes ranges and spans into their records, and the pageblocks from PFN `from` on; what the zones
 * manage and hold stays as it is.
 * @throws InvalidArgument, with nothing written, for memory that the buffer has no room for.
 */
export function writeSpans(words: Int32Array, spans: Spans, from: number): void {
  checkRoom(words, spans)
  writeRanges(words, spans)
  words[HEADER_ONLINE_NODES] = 0
  for (let node = 0; node < words[HEADER_NR_NODES]!; node++) writeNode(words, spans, node)
  initPageblocks(words, from)
}

function checkRoom(words: Int32Array, spans: Spans): void {
  checkInteger('memory ranges', spans.ranges.length, 0, words[HEADER_MAX_RANGES]!)
  const memoryEnd = spans.ranges[spans.ranges.length - 1]?.end ?? 0
  checkInteger('end of memory', memoryEnd, 0, words[HEADER_MAX_PFN]!)
}

function writeTunables(words: Int32Array, highmem: boolean): void {
  words[HEADER_USER_MIN_FREE_KBYTES] = -1
  words[HEADER_WATERMARK_SCALE] = 10
  words[HEADER_WATERMARK_BOOST] = 15000
  // DMA, then DMA32 and Normal, or Normal and HighMem, then Movable.
  words.set(highmem ? [256, 32, 0, 0] : [256, 256, 32, 0], HEADER_LOWMEM_RATIO)
}

function writeRanges(words: Int32Array, spans: Spans): void {
  words[HEADER_NR_RANGES] = spans.ranges.length
  let record = words[HEADER_RANGES]!
  for (const range of spans.ranges) {
    words[record + RANGE_START] = range.start
    words[record + RANGE_END] = range.end
    words[record + RANGE_NODE] = range.node
    record += RANGE_WORDS
  }
}

function writeDistances(words: Int32Array, topology: Topology): void {
  const nodes = words[HEADER_NR_NODES]!
  for (let from = 0; from < nodes; from++) {
    for (let to = 0; to < nodes; to++) {
      const usual = from === to ? LOCAL_DISTANCE : REMOTE_DISTANCE
      const distance = topology.distances?.[from]?.[to] ?? usual
      words[words[HEADER_DISTANCES]! + from * nodes + to] = distance
    }
  }
}

function writeNode(words: Int32Array, spans: Spans, node: number): void {
  const record = nodeRecord(words, node)
  const span = spans.nodes[node]
  if (span !== undefined) {
    words[record + NODE_START] = span.start
    words[record + NODE_SPANNED] = span.end - span.start
    words[record + NODE_MOVABLE_PFN] = span.movablePfn
    span.zones.forEach((zoneSpan, index) => {
      const zone = zoneRecord(words, node, index)
      words[zone + ZONE_START] = zoneSpan.start
      words[zone + ZONE_SPANNED] = zoneSpan.spanned
      words[zone + ZONE_PRESENT] = zoneSpan.present
    })
  }
  const online = words[record + NODE_SPANNED] || words[record + NODE_NR_CPUS] ? 1 : 0
  words[record + NODE_ONLINE] = online
  words[HEADER_ONLINE_NODES]! += online
}

function checkTopology(topology: Topology, cpus: number, used: number): void {
  checkInteger('length of cpuNodes', topology.cpuNodes.length, cpus, cpus)
  for (const node of topology.cpuNodes) checkInteger('node of a CPU', node, 0, used - 1)
  if (topology.distances === undefined) return
  for (let from = 0; from < used; from++) {
    for (let to = 0; to < used; to++) {
      const most = from === to ? LOCAL_DISTANCE : 255
      const distance = topology.distances[from]?.[to] as number
      checkInteger(`distance of ${from} to ${to}`, distance, LOCAL_DISTANCE, most)
    }
  }
}
