/** Checks the header, memory ranges, CPUs, nodes and zonelists: what must hold before anything else is read. */

import { InvalidArgument } from '../base/errors'
import { checkState } from '../state/checkState'
import {
  CPU_EVENTS,
  CPU_NODE,
  CPU_PLANS,
  CPU_WORDS,
  HEADER_CPUS,
  HEADER_CURRENT_CPU,
  HEADER_HIGHMEM,
  HEADER_LOWMEM_RATIO,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_MIN_FREE_KBYTES,
  HEADER_MOBILITY_DISABLED,
  HEADER_MOVABLE_ZONE,
  HEADER_NODES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_NR_RANGES,
  HEADER_ONLINE_NODES,
  HEADER_PCP_HIGH_FRACTION,
  HEADER_PCPS,
  HEADER_RANGES,
  HEADER_THP,
  HEADER_TOTAL_CMA,
  HEADER_TOTAL_RAM,
  HEADER_TOTAL_RESERVE,
  HEADER_USER_MIN_FREE_KBYTES,
  HEADER_WATERMARK_BOOST,
  HEADER_WATERMARK_SCALE,
  HEADER_ZONES,
  NODE_NR_CPUS,
  NODE_ONLINE,
  NODE_SPANNED,
  NODE_START,
  NODE_WORDS,
  NR_VM_EVENTS,
  NR_ZONES,
  PCP_LISTS,
  PCP_WORDS,
  PLAN_WORDS,
  PLANS,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
  ZONE_PRESENT,
  ZONE_SPANNED,
  ZONE_START,
  ZONE_WORDS,
} from '../state/schema'
import type { Violations } from './invariants'
import { checkZonelists } from './verifyZonelists'

const INT_MAX = 0x7fffffff

/** Header words with the least and the most that they may be, whatever the machine. */
const LIMITS: readonly (readonly [column: number, name: string, min: number, max: number])[] = [
  [HEADER_HIGHMEM, 'highmem', 0, 1],
  [HEADER_MIN_FREE_KBYTES, 'min_free_kbytes', 0, INT_MAX],
  [HEADER_USER_MIN_FREE_KBYTES, 'user min_free_kbytes', -1, INT_MAX],
  [HEADER_WATERMARK_SCALE, 'watermark_scale_factor', 1, 3000],
  [HEADER_WATERMARK_BOOST, 'watermark_boost_factor', 0, INT_MAX],
  [HEADER_LOWMEM_RATIO, 'lowmem_reserve_ratio[0]', 0, INT_MAX],
  [HEADER_LOWMEM_RATIO + 1, 'lowmem_reserve_ratio[1]', 0, INT_MAX],
  [HEADER_LOWMEM_RATIO + 2, 'lowmem_reserve_ratio[2]', 0, INT_MAX],
  [HEADER_LOWMEM_RATIO + 3, 'lowmem_reserve_ratio[3]', 0, INT_MAX],
  [HEADER_PCP_HIGH_FRACTION, 'percpu_pagelist_high_fraction', 0, INT_MAX],
  [HEADER_MOBILITY_DISABLED, 'mobility disabled', 0, 1],
  [HEADER_TOTAL_RESERVE, 'total reserve', 0, INT_MAX],
  [HEADER_THP, 'huge pages', 0, 1],
  [HEADER_TOTAL_CMA, 'total CMA', 0, INT_MAX],
  [HEADER_MOVABLE_ZONE, 'movable zone', 0, 2],
]

/** Checks these tables; false when the rest cannot be read, because tables are not where they should be. */
export function checkHeader(words: Int32Array, v: Violations): boolean {
  if (!checkGeometry(words, v)) return false
  for (const [column, name, min, max] of LIMITS) checkWord(words, v, column, name, min, max)
  checkWord(words, v, HEADER_CURRENT_CPU, 'current CPU', 0, words[HEADER_NR_CPUS]! - 1)
  checkWord(words, v, HEADER_TOTAL_RAM, 'total RAM', 0, words[HEADER_MAX_PFN]!)
  if (!checkWord(words, v, HEADER_NR_RANGES, 'ranges', 0, words[HEADER_MAX_RANGES]!)) return false
  const rangesHold = checkRanges(words, v)
  checkCpus(words, v)
  checkNodes(words, v)
  checkZonelists(words, v)
  return rangesHold
}

function checkWord(
  words: Int32Array,
  v: Violations,
  column: number,
  name: string,
  min: number,
  max: number,
): boolean {
  const value = words[column]!
  if (value >= min && value <= max) return true
  v.report('HEADER-2', `${name} is ${value}, not ${min} to ${max}`)
  return false
}

function checkGeometry(words: Int32Array, v: Violations): boolean {
  try {
    checkState(words)
    return true
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error
    v.report('HEADER-1', error.message)
    return false
  }
}

function checkRanges(words: Int32Array, v: Violations): boolean {
  const nodes = words[HEADER_NR_NODES]!
  let last = 0
  for (let i = 0; i < words[HEADER_NR_RANGES]!; i++) {
    const range = words[HEADER_RANGES]! + i * RANGE_WORDS
    const start = words[range + RANGE_START]!
    const end = words[range + RANGE_END]!
    const node = words[range + RANGE_NODE]!
    const right =
      start >= last &&
      end > start &&
      end <= words[HEADER_MAX_PFN]! &&
      node >= 0 &&
      node < nodes &&
      words[words[HEADER_NODES]! + node * NODE_WORDS + NODE_ONLINE] === 1
    if (!right) {
      v.report('RANGE-1', `range ${i} is [${start}, ${end}) on node ${node}, after ${last}`)
      return false
    }
    last = end
  }
  return true
}

function checkCpus(words: Int32Array, v: Violations): void {
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const record = words[HEADER_CPUS]! + cpu * CPU_WORDS
    const node = words[record + CPU_NODE]!
    if (node < 0 || node >= words[HEADER_NR_NODES]!)
      v.report('CPU-1', `CPU ${cpu} is on node ${node}`)
    checkPlans(words, v, cpu, record)
    for (let event = 0; event < NR_VM_EVENTS * 2; event++) {
      const value = words[record + CPU_EVENTS + event]!
      if (value < 0) v.report('EVENT-1', `CPU ${cpu} has event word ${event} at ${value}`)
    }
  }
}

/** A plan is used as it is: a wrong one would take pages from anywhere. */
function checkPlans(words: Int32Array, v: Violations, cpu: number, record: number): void {
  const node = words[record + CPU_NODE]!
  for (let i = 0; i < PLANS; i++) {
    const plan = record + CPU_PLANS + i * PLAN_WORDS
    if (words[plan] === 0) continue
    const zone = words[plan + 1]!
    const pcp = words[plan + 2]!
    const list = (words[plan + 3]! - pcp - PCP_LISTS) / 2
    const offset = zone - words[HEADER_ZONES]!
    const number = offset / ZONE_WORDS
    const right =
      Number.isInteger(number) &&
      number >= node * NR_ZONES &&
      number < (node + 1) * NR_ZONES &&
      words[zone + ZONE_PRESENT] !== 0 &&
      pcp === words[HEADER_PCPS]! + (number * words[HEADER_NR_CPUS]! + cpu) * PCP_WORDS &&
      (list === 0 || list === 1 || list === 2)
    if (right) continue
    const text = `zone at ${zone}, page lists at ${pcp}, list at ${words[plan + 3]}`
    v.report('CPU-2', `CPU ${cpu} has plan ${i} with ${text}`)
  }
}

function checkNodes(words: Int32Array, v: Violations): void {
  let online = 0
  for (let node = 0; node < words[HEADER_NR_NODES]!; node++) {
    const record = words[HEADER_NODES]! + node * NODE_WORDS
    const state = words[record + NODE_ONLINE]!
    if (state !== 0 && state !== 1) v.report('NODE-1', `node ${node} is online: ${state}`)
    online += state
    const cpus = cpusOf(words, node)
    if (words[record + NODE_NR_CPUS] !== cpus) {
      v.report('NODE-1', `node ${node} counts ${words[record + NODE_NR_CPUS]} CPUs, not ${cpus}`)
    }
    checkNodeSpan(words, v, node, record)
  }
  if (words[HEADER_ONLINE_NODES] !== online) {
    v.report('HEADER-2', `online nodes are ${words[HEADER_ONLINE_NODES]}, not ${online}`)
  }
}

function checkNodeSpan(words: Int32Array, v: Violations, node: number, record: number): void {
  const start = words[record + NODE_START]!
  const end = start + words[record + NODE_SPANNED]!
  for (let index = 0; index < NR_ZONES; index++) {
    const zone = words[HEADER_ZONES]! + (node * NR_ZONES + index) * ZONE_WORDS
    if (words[zone + ZONE_PRESENT] === 0) continue
    const from = words[zone + ZONE_START]!
    const to = from + words[zone + ZONE_SPANNED]!
    if (words[record + NODE_ONLINE] !== 1 || from < start || to > end) {
      const spans = `node ${node} spans [${start}, ${end})`
      v.report('NODE-1', `${spans}, its zone ${index} [${from}, ${to})`)
    }
  }
}

function cpusOf(words: Int32Array, node: number): number {
  let count = 0
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    if (words[words[HEADER_CPUS]! + cpu * CPU_WORDS + CPU_NODE] === node) count += 1
  }
  return count
}
