/**
 * Zonelists: where a request of each node looks for pages, in order.
 *
 * Every node has two lists of zone records, each ended by a 0: list 0 for any request (own zones from
 * the highest index down, then those of the other nodes, nearest first), list 1 for requests that
 * insist on the node (own zones alone). Source: spec/page-allocator.md §4.
 *
 * ZONELIST-1: a list holds populated zones only, each once; managed or not.
 * ZONELIST-2: each list of an online node names its own zones, the highest first; the fallback list then
 *             those of all other nodes, node by node; a 0 ends both.
 */

import { PAGE_SIZE, PAGEBLOCK_PAGES } from '../base/units'
import { MIGRATE_TYPES } from '../page/migratetype'
import { zonelistWords } from '../state/layout'
import {
  HEADER_DISTANCES,
  HEADER_MOBILITY_DISABLED,
  HEADER_NR_NODES,
  HEADER_ONLINE_NODES,
  HEADER_ZONELISTS,
  NODE_LOAD,
  NODE_NR_CPUS,
  NODE_ONLINE,
  NR_ZONES,
  ZONE_INDEX,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_PRESENT,
  ZONE_SPANNED,
} from '../state/schema'
import {
  boostedMark,
  forgetPlans,
  isPopulated,
  nodeRecord,
  nrZones,
  WMARK_HIGH,
  zoneIndexName,
  zoneNumber,
  zoneRecord,
} from './zones'

/** Nodes that the kernel was built for: scales distance against load. */
const MAX_NUMNODES = 64
/** Bytes that the kernel's memory map takes for each page. */
const PAGE_STRUCT_BYTES = 64

/** Offset of the first entry of a zonelist: `thisNode` 0 for the fallback list, 1 for the node alone. */
export function zonelistOf(words: Int32Array, node: number, thisNode: number): number {
  const length = zonelistWords(words[HEADER_NR_NODES]!)
  return words[HEADER_ZONELISTS]! + (node * 2 + thisNode) * length
}

/**
 * Builds both zonelists of every online node.
 *
 * `bootTime` is true for the build at boot, when no CPU has been assigned to its node yet and nodes
 * with CPUs are not avoided. Costs nodes³.
 */
export function buildZonelists(words: Int32Array, bootTime: boolean): void {
  forgetPlans(words)
  const nodes = words[HEADER_NR_NODES]!
  for (let node = 0; node < nodes; node++) words[nodeRecord(words, node) + NODE_LOAD] = 0
  for (let node = 0; node < nodes; node++) {
    const fallback = zonelistOf(words, node, 0)
    const own = zonelistOf(words, node, 1)
    words.fill(0, fallback, fallback + 2 * zonelistWords(nodes))
    if (words[nodeRecord(words, node) + NODE_ONLINE] === 0) continue
    let end = fallback
    for (const other of orderNodes(words, node, bootTime)) end = appendZones(words, end, other)
    appendZones(words, own, node)
  }
}

/** Nodes in the order of the node's fallback list, the node itself first. */
export function nodeOrder(words: Int32Array, node: number): number[] {
  const order = [node]
  for (let entry = zonelistOf(words, node, 0); words[entry] !== 0; entry++) {
    const next = words[words[entry]! + ZONE_NODE]!
    if (!order.includes(next)) order.push(next)
  }
  return order
}

/**
 * Decides whether pageblocks are grouped by mobility, and gives the pages that decided it: what node 0
 * can reach above the high watermarks, out of `managed` (by zone number: {@link estimateManaged}) at
 * boot, else of what the zones manage. Source: spec/page-allocator.md §1.8.
 */
export function decideMobility(words: Int32Array, managed?: Int32Array): number {
  const pages = pagesAboveHigh(words, NR_ZONES - 1, managed)
  forgetPlans(words)
  words[HEADER_MOBILITY_DISABLED] = pages < PAGEBLOCK_PAGES * MIGRATE_TYPES ? 1 : 0
  return pages
}

/**
 * What each zone is thought to manage before the hand-over, by zone number: its memory less the
 * memory map, and in the zone at index 0 less `reservedLow`, the pages of memory below 16 MiB that
 * are not wholly free. Source: spec/page-allocator.md §1.8.
 */
export function estimateManaged(words: Int32Array, reservedLow: number): Int32Array {
  const estimates = new Int32Array(nrZones(words))
  for (let number = 0; number < estimates.length; number++) {
    const zone = zoneRecord(words, 0, number)
    const present = words[zone + ZONE_PRESENT]!
    const spanned = words[zone + ZONE_SPANNED]!
    const sparse = spanned > present + Math.floor(present / 16)
    const map = Math.ceil(((sparse ? present : spanned) * PAGE_STRUCT_BYTES) / PAGE_SIZE)
    // 64 bytes a frame, for at most 17/16 of the frames present: never more than these.
    let estimate = present - map
    if (number % NR_ZONES === 0 && estimate > reservedLow) estimate -= reservedLow
    estimates[number] = estimate
  }
  return estimates
}

/**
 * Pages above the high watermarks (boost included) of the zones with index up to `highestIdx` in node
 * 0's fallback list. `managed`, by zone number, stands in for what the zones manage.
 */
export function pagesAboveHigh(
  words: Int32Array,
  highestIdx: number,
  managed?: Int32Array,
): number {
  let pages = 0
  for (let entry = zonelistOf(words, 0, 0); words[entry] !== 0; entry++) {
    const zone = words[entry]!
    const index = words[zone + ZONE_INDEX]!
    if (index > highestIdx) continue
    const number = zoneNumber(words[zone + ZONE_NODE]!, index)
    const has = managed === undefined ? words[zone + ZONE_MANAGED]! : managed[number]!
    pages += Math.max(0, has - boostedMark(words, zone, WMARK_HIGH))
  }
  return pages
}

/**
 * The lines that a zonelist build logs; `totalPages` is what {@link decideMobility} gave.
 * Source: spec/page-allocator.md §1.8.
 */
export function zonelistLog(words: Int32Array, totalPages: number): string[] {
  const lines: string[] = []
  for (let node = 0; node < words[HEADER_NR_NODES]!; node++) {
    if (words[nodeRecord(words, node) + NODE_ONLINE] === 0) continue
    const order = nodeOrder(words, node).map((next) => `${next} `)
    lines.push(`Fallback order for Node ${node}: ${order.join('')}`)
  }
  const grouping = words[HEADER_MOBILITY_DISABLED] === 0 ? 'on' : 'off'
  lines.push(
    `Built ${words[HEADER_ONLINE_NODES]} zonelists, mobility grouping ${grouping}.  ` +
      `Total pages: ${totalPages}`,
    `Policy zone: ${zoneIndexName(words, policyZone(words))}`,
  )
  return lines
}

/** Index of the highest populated zone other than Movable, over all nodes. */
function policyZone(words: Int32Array): number {
  let policy = 0
  for (let number = 0; number < nrZones(words); number++) {
    const index = number % NR_ZONES
    if (index === NR_ZONES - 1 || index <= policy) continue
    if (isPopulated(words, zoneRecord(words, 0, number))) policy = index
  }
  return policy
}

function orderNodes(words: Int32Array, local: number, bootTime: boolean): number[] {
  const distances = words[HEADER_DISTANCES]! + local * words[HEADER_NR_NODES]!
  const order: number[] = []
  let previous = local
  for (let next = local; next >= 0; next = nearest(words, local, order, bootTime)) {
    // The first node of each further distance pays for it, so that equal nodes share the load.
    if (words[distances + next] !== words[distances + previous]) {
      words[nodeRecord(words, next) + NODE_LOAD]! += 1
    }
    order.push(next)
    previous = next
  }
  return order
}

/** The nearest node with memory that is not among `used`; -1 when there is none. */
function nearest(
  words: Int32Array,
  local: number,
  used: readonly number[],
  bootTime: boolean,
): number {
  const nodes = words[HEADER_NR_NODES]!
  let best = -1
  let bestCost = Infinity
  for (let node = 0; node < nodes; node++) {
    if (used.includes(node) || !hasMemory(words, node)) continue
    const record = nodeRecord(words, node)
    let cost = words[words[HEADER_DISTANCES]! + local * nodes + node]!
    if (node < local) cost += 1
    if (!bootTime && words[record + NODE_NR_CPUS] !== 0) cost += 1
    cost = cost * MAX_NUMNODES + words[record + NODE_LOAD]!
    if (cost < bestCost) {
      bestCost = cost
      best = node
    }
  }
  return best
}

function hasMemory(words: Int32Array, node: number): boolean {
  for (let index = 0; index < NR_ZONES; index++) {
    if (isPopulated(words, zoneRecord(words, node, index))) return true
  }
  return false
}

function appendZones(words: Int32Array, entry: number, node: number): number {
  let end = entry
  for (let index = NR_ZONES - 1; index >= 0; index--) {
    const zone = zoneRecord(words, node, index)
    if (isPopulated(words, zone)) words[end++] = zone
  }
  return end
}
