/**
 * Folding what the CPUs have counted into the zones, and giving back page lists of remote zones that
 * are out of use.
 *
 * Source: spec/page-allocator.md §8.6, §9.6.
 */
import {
  CPU_NODE,
  CPU_WORDS,
  NR_ZONE_COUNTERS,
  PCP_BATCH,
  PCP_COUNT,
  PCP_DIFF,
  PCP_EXPIRE,
  PCP_WORDS,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_QUIET,
  ZONE_STAT,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import type { BuddyAllocator } from './buddyAllocator'
import { type BuddyContext, switchCpu } from './context'
import { drainPcp } from './pcp'

/** Refreshes that a remote zone's page lists outlive without use. */
const EXPIRE_AFTER = 3

/** Folds every CPU's pending counters into the zones, without touching page lists. */
export function foldCounters(pages: BuddyAllocator): void {
  const c = pages.context
  for (let cpu = 0; cpu < c.nrCpus; cpu++) refreshCpu(c, cpu, false)
}

/** What the once-a-second refresh does on every CPU: folds, and drains remote page lists out of use. */
export function refreshVmstat(pages: BuddyAllocator): void {
  const c = pages.context
  const current = c.cpu
  for (let cpu = 0; cpu < c.nrCpus; cpu++) {
    switchCpu(c, cpu)
    refreshCpu(c, cpu, true)
  }
  switchCpu(c, current)
}

function refreshCpu(c: BuddyContext, cpu: number, drains: boolean): void {
  const words = c.words
  for (let i = 0; i < c.nrZones; i++) {
    const zone = c.zones + (i << ZONE_WORDS_SHIFT)
    if (words[zone + ZONE_PRESENT] === 0) continue
    const pcp = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    if (foldZone(words, zone, pcp)) words[pcp + PCP_EXPIRE] = EXPIRE_AFTER
    if (drains) expireRemote(c, zone, pcp, cpu)
  }
}

function foldZone(words: Int32Array, zone: number, pcp: number): boolean {
  let folded = false
  for (let item = 0; item < NR_ZONE_COUNTERS; item++) {
    const pending = words[pcp + PCP_DIFF + item]!
    if (pending === 0) continue
    words[zone + ZONE_STAT + item]! += pending
    words[zone + ZONE_QUIET] = 0
    words[pcp + PCP_DIFF + item] = 0
    folded = true
  }
  return folded
}

/** Counts down to the draining of another node's pages that this CPU no longer uses. */
function expireRemote(c: BuddyContext, zone: number, pcp: number, cpu: number): void {
  const words = c.words
  if (words[pcp + PCP_EXPIRE] === 0 || words[pcp + PCP_COUNT] === 0) return
  if (words[zone + ZONE_NODE] === words[c.cpus + cpu * CPU_WORDS + CPU_NODE]) {
    words[pcp + PCP_EXPIRE] = 0
    return
  }
  words[pcp + PCP_EXPIRE]! -= 1
  if (words[pcp + PCP_EXPIRE] !== 0) return
  drainPcp(c, zone, pcp, words[pcp + PCP_BATCH]!, 0)
}
