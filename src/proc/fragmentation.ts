/** The fragmentation indices of debugfs `extfrag/`. Source: spec/page-allocator.md §9.7. */

import { checkInteger } from '../base/errors'
import { MAX_ORDER } from '../base/units'
import { ZONE_NR_FREE } from '../state/schema'
import {
  fragmentationIndex as fragmentationOf,
  unusableIndex as unusableOf,
} from '../zone/fragmentation'
import { onlineNodes, populatedZones, zoneTitle } from './zoneText'

/**
 * 0 to 1000: the part of the zone's free memory in blocks smaller than `order`; 1000 when nothing is
 * free. `zone` is a zone record.
 * @throws InvalidArgument unless the order is 0 to 10.
 */
export function unusableIndex(words: Int32Array, zone: number, order: number): number {
  checkInteger('order', order, 0, MAX_ORDER - 1)
  return unusableOf(freeBlocks(words, zone), order)
}

/**
 * Why a request of `order` would fail in the zone: -1000 when it would not, towards 0 for lack of
 * memory, towards 1000 for fragmentation. It is 0 when nothing is free, and can fall to -500.
 * @throws InvalidArgument unless the order is 0 to 10.
 */
export function fragmentationIndex(words: Int32Array, zone: number, order: number): number {
  checkInteger('order', order, 0, MAX_ORDER - 1)
  return fragmentationOf(freeBlocks(words, zone), order)
}

/**
 * 0 to 100: the percentage of the zone's free memory in blocks smaller than `order`, as proactive
 * compaction scores it; 0 when nothing is free.
 * @throws InvalidArgument unless the order is 0 to 10.
 */
export function fragmentationForOrder(words: Int32Array, zone: number, order: number): number {
  checkInteger('order', order, 0, MAX_ORDER - 1)
  const counts = freeBlocks(words, zone)
  let free = 0
  let small = 0
  for (let o = 0; o < MAX_ORDER; o++) {
    free += counts[o]! * 2 ** o
    if (o < order) small += counts[o]! * 2 ** o
  }
  return free === 0 ? 0 : Math.floor((small * 100) / free)
}

/** The text of `extfrag/unusable_index`. */
export function formatUnusableIndex(words: Int32Array): string {
  return formatIndices(words, (counts, order) => formatThousandths(unusableOf(counts, order), 1))
}

/** The text of `extfrag/extfrag_index`. */
export function formatExtfragIndex(words: Int32Array): string {
  return formatIndices(words, (counts, order) =>
    formatThousandths(fragmentationOf(counts, order), 2),
  )
}

function formatIndices(
  words: Int32Array,
  format: (counts: Int32Array, order: number) => string,
): string {
  let text = ''
  for (const node of onlineNodes(words)) {
    for (const zone of populatedZones(words, node)) {
      const counts = freeBlocks(words, zone)
      text += `${zoneTitle(words, zone)} `
      for (let order = 0; order < MAX_ORDER; order++) text += `${format(counts, order)} `
      text += '\n'
    }
  }
  return text
}

/** Both halves carry their own sign, as C divides: -1000 is `-1.000`, -500 is `0.-500`. */
function formatThousandths(value: number, width: number): string {
  const rest = value % 1000
  const digits = String(Math.abs(rest))
  const fraction = rest < 0 ? `-${digits.padStart(2, '0')}` : digits.padStart(3, '0')
  // Adding 0 turns a negative zero into a plain one.
  return `${String(Math.trunc(value / 1000) + 0).padStart(width)}.${fraction}`
}

function freeBlocks(words: Int32Array, zone: number): Int32Array {
  return words.subarray(zone + ZONE_NR_FREE, zone + ZONE_NR_FREE + MAX_ORDER)
}
