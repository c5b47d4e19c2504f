/**
 * Sizes a state buffer and lays its tables out.
 *
 * HEADER-1: a buffer is a whole state of this version, each table where its geometry puts it.
 * HEADER-2: every value in the header is one that it may have.
 */

import { checkInteger } from '../base/errors'
import { PAGEBLOCK_ORDER } from '../base/units'
import {
  CPU_WORDS,
  HEADER_MAX_RANGES,
  HEADER_WORDS,
  NODE_WORDS,
  NR_ZONES,
  PAGE_WORDS,
  PCP_WORDS,
  RANGE_WORDS,
  ZONE_WORDS,
} from './schema'

/** `kmem` in ASCII, little endian. */
export const MAGIC = 0x6d656d6b
/** Changes whenever the schema does. */
export const VERSION = 2

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
  checkInteger('words of the state', words.length, stateWords(geometry), 2 ** 31)
  words.set(stateHeader(geometry))
  words[HEADER_MAX_RANGES] = geometry.maxRanges
}

/** The columns from HEADER_MAGIC to HEADER_RANGES, in the order of the schema. */
export function stateHeader(geometry: Geometry): number[] {
  const { maxPfn, nodes, cpus } = geometry
  const { total, ...tables } = placeTables(geometry)
  return [MAGIC, VERSION, total, maxPfn, nodes, cpus, ...Object.values(tables)]
}

/** Where the tables of a state start, in the order of the schema, and where the last one ends. */
export function placeTables(geometry: Geometry) {
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
