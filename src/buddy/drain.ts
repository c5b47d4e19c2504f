/**
 * Giving the CPUs' page lists back.
 *
 * Source: spec/page-allocator.md §8.6, §9.6.
 */

import { PCP_COUNT, ZONE_PRESENT, ZONE_WORDS_SHIFT } from '../state/schema'
import { type BuddyContext, currentPcp, switchCpu } from './context'
import { drainPcp } from './pcp'

/** Empties the current CPU's page lists of `zone`; of every zone when `zone` is 0. */
export function drainLocal(c: BuddyContext, zone: number): void {
  if (zone !== 0) drainZone(c, zone)
  else for (let i = 0; i < c.nrZones; i++) drainZone(c, c.zones + (i << ZONE_WORDS_SHIFT))
}

/** Empties all CPUs' page lists of `zone`; of every zone when `zone` is 0 or not given. */
export function drainAll(c: BuddyContext, zone = 0): void {
  const current = c.cpu
  for (let cpu = 0; cpu < c.nrCpus; cpu++) {
    switchCpu(c, cpu)
    drainLocal(c, zone)
  }
  switchCpu(c, current)
}

function drainZone(c: BuddyContext, zone: number): void {
  const words = c.words
  if (words[zone + ZONE_PRESENT] === 0) return
  const pcp = currentPcp(c, zone)
  drainPcp(c, zone, pcp, words[pcp + PCP_COUNT]!, 0)
}
