/** Sizes a state buffer, lays its tables out, and attaches to one that exists. */

import { InvalidArgument } from '../base/errors'
import { PAGEBLOCK_ORDER } from '../base/units'
import {
  CPU_WORDS,
  HEADER_BLOCKS,
  HEADER_CPUS,
  HEADER_DISTANCES,
  HEADER_MAGIC,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_NODES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_PCPS,
  HEADER_RANGES,
  HEADER_VERSION,
  HEADER_WORDS,
  HEADER_WORDS_USED,
  HEADER_ZONELISTS,
  HEADER_ZONES,
  NODE_WORDS,
  NR_ZONES,
  PAGE_WORDS,
  PCP_WORDS,
  RANGE_WORDS,
  ZONE_WORDS,
} from './schema'

/** `kmem` in ASCII, little endian. */
const MAGIC = 0x6d656d6b
/** Changes whenever the schema does. */
const VERSION = 1

/** What decides the size of a state buffer. */
export interface Geometry {
  /** One more than the highest PFN; a multiple of 1024, at most 2^28 (a tebibyte). */
  readonly maxPfn: number
  /** Node records, 1 to 64. */
  readonly nodes: number
  /** CPUs, 1 to 1024. */
  readonly cpus: number
  /** Memory ranges that fit. */
  readonly maxRanges: number
}

/** Words in one zonelist of a machine with `nodes` nodes: every zone once, then a 0. */
export function zonelistWords(nodes: number): number {
  return nodes * NR_ZONES + 1
}

/** Words that a state buffer of this geometry needs. */
export function stateWords(geometry: Geometry): number {
  return placeTables(geometry).total
}

/**
 * Writes the header of an all-zero state buffer. List heads and records are still zero.
 * @throws InvalidArgument when the buffer is too small.
 */
export function formatState(words: Int32Array, geometry: Geometry): void {
  const place = placeTables(geometry)
  if (words.length < place.total) {
    throw new InvalidArgument('state', words.length, `a buffer of at least ${place.total} words`)
  }
  words[HEADER_MAGIC] = MAGIC
  words[HEADER_VERSION] = VERSION
  words[HEADER_WORDS_USED] = place.total
  words[HEADER_MAX_PFN] = geometry.maxPfn
  words[HEADER_NR_NODES] = geometry.nodes
  words[HEADER_NR_CPUS] = geometry.cpus
  words[HEADER_MAX_RANGES] = geometry.maxRanges
  words[HEADER_BLOCKS] = place.blocks
  words[HEADER_ZONES] = place.zones
  words[HEADER_PCPS] = place.pcps
  words[HEADER_NODES] = place.nodes
  words[HEADER_CPUS] = place.cpus
  words[HEADER_DISTANCES] = place.distances
  words[HEADER_ZONELISTS] = place.zonelists
  words[HEADER_RANGES] = place.ranges
}

/**
 * Checks that `words` is a state buffer of this schema, whole and with its tables where they belong.
 * @throws InvalidArgument saying what is wrong.
 */
export function checkState(words: Int32Array): void {
  if (words.length < HEADER_WORDS || words[HEADER_MAGIC] !== MAGIC) {
    throw new InvalidArgument('state', words[HEADER_MAGIC], 'a kmem state buffer')
  }
  if (words[HEADER_VERSION] !== VERSION) {
    throw new InvalidArgument('state version', words[HEADER_VERSION], String(VERSION))
  }
  const place = placeTables({
    maxPfn: words[HEADER_MAX_PFN]!,
    nodes: words[HEADER_NR_NODES]!,
    cpus: words[HEADER_NR_CPUS]!,
    maxRanges: words[HEADER_MAX_RANGES]!,
  })
  if (words[HEADER_WORDS_USED] !== place.total || words.length < place.total) {
    throw new InvalidArgument('state', words.length, `a buffer of at least ${place.total} words`)
  }
}

/** A hash of the first `count` words (FNV-1a over words, 32 bits): equal states hash equal. */
export function hashWords(words: Int32Array, count: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193)
  return hash >>> 0
}

function placeTables(geometry: Geometry) {
  const blocks = HEADER_WORDS + geometry.maxPfn * PAGE_WORDS
  const zones = blocks + geometry.maxPfn / (1 << PAGEBLOCK_ORDER)
  const nrZones = geometry.nodes * NR_ZONES
  const pcps = zones + nrZones * ZONE_WORDS
  const nodes = pcps + nrZones * geometry.cpus * PCP_WORDS
  const cpus = nodes + geometry.nodes * NODE_WORDS
  const distances = cpus + geometry.cpus * CPU_WORDS
  const zonelists = distances + geometry.nodes * geometry.nodes
  const ranges = zonelists + geometry.nodes * 2 * zonelistWords(geometry.nodes)
  const total = ranges + geometry.maxRanges * RANGE_WORDS
  return { blocks, zones, pcps, nodes, cpus, distances, zonelists, ranges, total }
}
