/** How fragmented each zone is at a moment: what pictures over time are made of. Source: spec/page-allocator.md §9.7. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import { ZONE_NODE, ZONE_NR_FREE } from '../state/schema'
import { zoneName } from '../zone/zones'
import { fragmentationIndex, unusableIndex } from './fragmentation'
import { pageWords } from './pictureParts'
import { onlineNodes, populatedZones } from './zoneText'

/** A zone in a sample. */
export interface FragmentationZone {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone. */
  readonly name: string
  /** Pages on its free lists. */
  readonly freePages: number
  /** By order, 0 to 1000: the part of free memory in blocks that are too small. */
  readonly unusable: readonly number[]
  /** By order: -1000 where a request succeeds, else from 0, lack of memory, to 1000, fragmentation. */
  readonly fragmentation: readonly number[]
}

/** All zones with memory at a moment. */
export interface FragmentationSample {
  /** When it was taken, in any unit: seconds, events, calls; null when that was not told. */
  readonly at: number | null
  /** The zones. */
  readonly zones: readonly FragmentationZone[]
}

/**
 * Takes a sample of an allocator, or of its words: plain data, the caller's.
 * @param at when, in any unit, -(2^53 - 1) to 2^53 - 1; a picture counts samples when it is not given.
 * @throws InvalidArgument for what is no page allocator's, and for a time that is no such number.
 */
export function fragmentationSample(
  pages: Int32Array | BuddyAllocator,
  at: number | null = null,
): FragmentationSample {
  const words = pageWords(pages)
  if (at !== null) checkMoment(at)
  const zones = onlineNodes(words).flatMap((node) => populatedZones(words, node))
  return { at, zones: zones.map((zone) => zoneSample(words, zone)) }
}

/**
 * When each sample was taken.
 * @throws InvalidArgument for what is no sample, and for times that go back.
 */
export function sampleTimes(samples: readonly FragmentationSample[]): number[] {
  if (!Array.isArray(samples)) throw new InvalidArgument('samples', samples, 'an array')
  const times: number[] = []
  samples.forEach((sample: FragmentationSample, i) => {
    const { at, zones } = Object(sample) as FragmentationSample
    const moment = at ?? i
    checkMoment(moment)
    if (moment < (times[i - 1] ?? moment)) {
      throw new InvalidArgument(`at of sample ${i}`, moment, `${times[i - 1]} or later`)
    }
    times.push(moment)
    if (!Array.isArray(zones)) throw new InvalidArgument(`sample ${i}`, sample, 'a sample')
    for (const zone of zones) checkZone(zone, i)
  })
  return times
}

function checkMoment(at: unknown): void {
  if (typeof at !== 'number' || !(Math.abs(at) <= Number.MAX_SAFE_INTEGER)) {
    throw new InvalidArgument('at', at, 'a number from -(2^53 - 1) to 2^53 - 1')
  }
}

function checkZone(zone: unknown, i: number): void {
  const { node, name, freePages, unusable, fragmentation } = Object(zone)
  checkInteger(`node of sample ${i}`, node, 0, 63)
  checkInteger(`free pages of sample ${i}`, freePages, 0, 2 ** 29)
  if (typeof name !== 'string') throw new InvalidArgument(`name of sample ${i}`, name, 'a string')
  for (const values of [unusable, fragmentation]) {
    if (!Array.isArray(values) || values.length !== MAX_ORDER) {
      throw new InvalidArgument(`index of sample ${i}`, values, `an array of ${MAX_ORDER}`)
    }
    for (const value of values) checkInteger(`index of sample ${i}`, value, -1000, 1000)
  }
}

function zoneSample(words: Int32Array, zone: number): FragmentationZone {
  const unusable: number[] = []
  const fragmentation: number[] = []
  let freePages = 0
  for (let order = 0; order < MAX_ORDER; order++) {
    freePages += words[zone + ZONE_NR_FREE + order]! * 2 ** order
    unusable.push(unusableIndex(words, zone, order))
    fragmentation.push(fragmentationIndex(words, zone, order))
  }
  return {
    node: words[zone + ZONE_NODE]!,
    name: zoneName(words, zone),
    freePages,
    unusable,
    fragmentation,
  }
}
