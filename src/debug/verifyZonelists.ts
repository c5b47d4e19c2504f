/** Checks the zonelists: every zone where requests of a node will look for it. */

import { zonelistWords } from '../state/layout'
import {
  HEADER_NODES,
  HEADER_NR_NODES,
  HEADER_ZONELISTS,
  HEADER_ZONES,
  NODE_ONLINE,
  NODE_WORDS,
  NR_ZONES,
  ZONE_PRESENT,
  ZONE_WORDS,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { type Violations, zoneText } from './invariants'

/** Checks both zonelists of every online node. */
export function checkZonelists(words: Int32Array, v: Violations): void {
  const nodes = words[HEADER_NR_NODES]!
  const length = zonelistWords(nodes)
  for (let node = 0; node < nodes; node++) {
    if (words[words[HEADER_NODES]! + node * NODE_WORDS + NODE_ONLINE] !== 1) continue
    const fallback = words[HEADER_ZONELISTS]! + node * 2 * length
    checkList(words, v, node, fallback, length, `fallback zonelist of node ${node}`, false)
    checkList(words, v, node, fallback + length, length, `own zonelist of node ${node}`, true)
  }
}

function checkList(
  words: Int32Array,
  v: Violations,
  node: number,
  list: number,
  length: number,
  text: string,
  own: boolean,
): void {
  const nodes = words[HEADER_NR_NODES]!
  const seen = new Uint8Array(nodes * NR_ZONES)
  let before = -1
  let count = 0
  while (count < length && words[list + count] !== 0) {
    const number = zoneNumberOf(words, words[list + count]!)
    if (number < 0 || seen[number] !== 0) {
      v.report('ZONELIST-1', `${text} has ${words[list + count]} at place ${count}`)
      return
    }
    seen[number] = 1
    if (!follows(number, before, node, seen, own)) {
      v.report('ZONELIST-2', `${text} has ${zoneText(words, number)} at place ${count}`)
      return
    }
    before = number
    count += 1
  }
  if (count === length) v.report('ZONELIST-2', `${text} has no end`)
  const first = own ? node * NR_ZONES : 0
  const end = own ? first + NR_ZONES : nodes * NR_ZONES
  for (let number = first; number < end; number++) {
    if (seen[number] !== 0 || !populated(words, number)) continue
    v.report('ZONELIST-2', `${text} lacks ${zoneText(words, number)}`)
  }
}

/** True when zone `number` may come after zone `before` (-1: first): downwards in a node, node by node. */
function follows(
  number: number,
  before: number,
  node: number,
  seen: Uint8Array,
  own: boolean,
): boolean {
  const at = Math.floor(number / NR_ZONES)
  if (own && at !== node) return false
  if (before >= 0 && Math.floor(before / NR_ZONES) === at) return number < before
  // A node's first zone: nothing of the node may have come before.
  for (let index = 0; index < NR_ZONES; index++) {
    const other = at * NR_ZONES + index
    if (other !== number && seen[other] !== 0) return false
  }
  return before < 0 || at !== node
}

/** Number of the populated zone with this record; -1 when there is none. */
function zoneNumberOf(words: Int32Array, record: number): number {
  const offset = record - words[HEADER_ZONES]!
  const number = offset >> ZONE_WORDS_SHIFT
  const within = offset >= 0 && number < words[HEADER_NR_NODES]! * NR_ZONES
  return within && offset % ZONE_WORDS === 0 && populated(words, number) ? number : -1
}

function populated(words: Int32Array, number: number): boolean {
  return words[words[HEADER_ZONES]! + (number << ZONE_WORDS_SHIFT) + ZONE_PRESENT] !== 0
}
