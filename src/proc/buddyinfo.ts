/** `/proc/buddyinfo`: free blocks by zone and order. Source: spec/page-allocator.md §9.1. */

import { MAX_ORDER } from '../base/units'
import { ZONE_NR_FREE } from '../state/schema'
import { onlineNodes, parseCounts, parseZoneLine, populatedZones, zoneTitle } from './zoneText'

/** One line of `/proc/buddyinfo`. */
export interface BuddyinfoZone {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone. */
  readonly name: string
  /** Free blocks by order. */
  readonly nrFree: readonly number[]
}

/** The text: one line a populated zone, each with the blank at its end. */
export function formatBuddyinfo(words: Int32Array): string {
  let text = ''
  for (const node of onlineNodes(words)) {
    for (const zone of populatedZones(words, node)) {
      text += `${zoneTitle(words, zone)} `
      for (let order = 0; order < MAX_ORDER; order++) {
        text += `${String(words[zone + ZONE_NR_FREE + order]).padStart(6)} `
      }
      text += '\n'
    }
  }
  return text
}

/**
 * Reads the text of any kernel, of however many orders.
 * @throws InvalidArgument naming the line or the count that does not belong there.
 */
export function parseBuddyinfo(text: string): BuddyinfoZone[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const { node, name, rest } = parseZoneLine(line)
      return { node, name, nrFree: parseCounts(rest) }
    })
}
