/** State buffers made from recorded zones. */

import { loadZones } from '../../src/buddy/loadZones'
import type { ZoneState } from '../../src/buddy/nodeState'
import { HEADER_NR_RANGES, HEADER_RANGES, NR_ZONES, RANGE_WORDS } from '../../src/state/schema'
import type { PfnRange } from '../../src/zone/spans'
import { zoneIndexName, zoneRecord } from '../../src/zone/zones'

/**
 * The state of a machine of one CPU whose zones are those recorded. Without `ranges` its memory is as
 * far as the zones tell.
 */
export function loadNodeState(
  zones: readonly ZoneState[],
  ranges?: readonly PfnRange[],
): Int32Array {
  const words = loadZones(zones).words
  if (ranges === undefined) return words
  words[HEADER_NR_RANGES] = ranges.length
  ranges.forEach(({ start, end, node }, i) => {
    words.set([start, end, node], words[HEADER_RANGES]! + i * RANGE_WORDS)
  })
  return words
}

/** Offset of the record of the zone called `name`. */
export function zoneNamed(words: Int32Array, node: number, name: string): number {
  for (let index = 0; index < NR_ZONES; index++) {
    if (zoneIndexName(words, index) === name) return zoneRecord(words, node, index)
  }
  throw new Error(`no zone ${name}`)
}
