/** What the texts about zones share: which zones they list, how a line begins, how it is read back. */

import { InvalidArgument } from '../base/errors'
import { HEADER_NR_NODES, NODE_ONLINE, NR_ZONES, ZONE_NODE } from '../state/schema'
import { isPopulated, nodeRecord, zoneName, zoneRecord } from '../zone/zones'

/** Numbers of the online nodes, ascending. */
export function onlineNodes(words: Int32Array): number[] {
  const nodes: number[] = []
  for (let node = 0; node < words[HEADER_NR_NODES]!; node++) {
    if (words[nodeRecord(words, node) + NODE_ONLINE] !== 0) nodes.push(node)
  }
  return nodes
}

/** Records of the populated zones of an online node, ascending. */
export function populatedZones(words: Int32Array, node: number): number[] {
  const zones: number[] = []
  for (let index = 0; index < NR_ZONES; index++) {
    const zone = zoneRecord(words, node, index)
    if (isPopulated(words, zone)) zones.push(zone)
  }
  return zones
}

/** The text `Node 0, zone      DMA` that begins a line about the zone. */
export function zoneTitle(words: Int32Array, zone: number): string {
  return `Node ${words[zone + ZONE_NODE]}, zone ${zoneName(words, zone).padStart(8)}`
}

/** A line about a zone, taken apart. */
export interface ZoneLine {
  readonly node: number
  readonly name: string
  /** What follows the zone's name, without blanks at either end. */
  readonly rest: string
}

/**
 * Takes a line apart that begins as {@link zoneTitle} does, however it is padded.
 * @throws InvalidArgument for any other line.
 */
export function parseZoneLine(line: string): ZoneLine {
  const [, node, name, rest] = /^Node +(\d+), zone +([^ ,]+),?(?: (.*))?$/.exec(line) ?? []
  if (node === undefined || name === undefined) {
    throw new InvalidArgument('line', line, 'of the form "Node 0, zone Normal"')
  }
  return { node: Number(node), name, rest: (rest ?? '').trim() }
}

/**
 * Counts separated by blanks; a mark `>` before a count is skipped.
 * @throws InvalidArgument for anything that is no count.
 */
export function parseCounts(text: string): number[] {
  return text.split(/ +/).map((word) => {
    if (!/^>?\d+$/.test(word)) throw new InvalidArgument('count', word, 'a decimal number')
    return Number(word.replace('>', ''))
  })
}
