/** Checks who holds each slab: CPUs, nodes, the queue of a grace period, or nobody. */

import { SLAB_STORE_USER, SLAB_TYPESAFE_BY_RCU } from '../slab/flags'
import { cacheNode, isDebugCache, slabNode } from '../slab/slabs'
import {
  CACHE_CPUS,
  CACHE_FLAGS,
  CACHE_RCU_SLABS,
  SLAB_CACHE,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_FULL,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_PARTIAL,
  SLAB_OBJECTS,
  SLAB_QUARANTINED,
  SLAB_RCU_HEAD,
  SLAB_RCU_TAIL,
} from '../state/slabSchema'
import { nodeText, slabText } from './slabInvariants'
import type { Survey } from './slabSurvey'

/** Holder of slabs that wait for a grace period. */
const QUEUE = 'in the queue'

/** True for a slab that waits for a grace period: no node counts it. */
export function isQueued(s: Survey, slab: number): boolean {
  return s.holders.get(slab) === QUEUE
}

/** Walks everything that holds slabs, and looks at those that are left over. */
export function checkHolders(s: Survey): void {
  for (const cache of s.caches) {
    if (!s.sound.has(cache)) continue
    for (let cpu = 0; cpu < s.c.source.nrCpus; cpu++) checkCpu(s, cache, cpu)
    for (let id = 0; id < s.c.source.nrNodes; id++) {
      checkPartial(s, cache, id)
      checkFull(s, cache, id)
    }
  }
  checkQueue(s)
  for (const slab of s.slabs) {
    // With a broken list, nobody knows what should be on it.
    if (s.whole && !s.holders.has(slab)) checkUnheld(s, slab)
  }
}

function isFrozen(s: Survey, slab: number): boolean {
  return (s.words[slab + SLAB_FLAGS]! & SLAB_FROZEN) !== 0
}

function isQuarantined(s: Survey, slab: number): boolean {
  return (s.words[slab + SLAB_FLAGS]! & SLAB_QUARANTINED) !== 0
}

function isFull(s: Survey, slab: number): boolean {
  const { words } = s
  return words[slab + SLAB_FREE] === 0 && words[slab + SLAB_INUSE] === words[slab + SLAB_OBJECTS]
}

// ---- CPUs ----

function checkCpu(s: Survey, cache: number, cpu: number): void {
  const { words, v } = s
  const record = words[cache + CACHE_CPUS]! + (cpu << SLAB_CPU_SHIFT)
  const slab = words[record + SLAB_CPU_SLAB]!
  const free = words[record + SLAB_CPU_FREE]!
  const first = words[record + SLAB_CPU_PARTIAL]!
  const text = `CPU ${cpu}’s slab`
  if (isDebugCache(words, cache) && (slab | first) !== 0) {
    v.report('SLAB-6', `CPU ${cpu} holds slabs of ${nodeText(words, cache, 0)}, a debug cache`)
  }
  if (slab === 0 && free !== 0) {
    v.report('PARTIAL-3', `${text} is ${slab}, its free objects ${free}`)
  }
  if (slab !== 0 && hold(s, cache, slab, text)) {
    s.cpuFree.set(slab, free)
    if (!isFrozen(s, slab)) v.report('PARTIAL-3', `${slabText(words, slab)} is not frozen: ${text}`)
  }
  const held: number[] = []
  for (let at = first; at !== 0; at = words[at + SLAB_NEXT]!) {
    // Nothing is held twice, so this ends.
    if (!hold(s, cache, at, `on CPU ${cpu}’s partial list`)) return
    held.push(at)
  }
  for (const at of held) {
    const name = slabText(words, at)
    if (!isFrozen(s, at)) v.report('PARTIAL-3', `${name}, on CPU ${cpu}’s list, is not frozen`)
    if (words[at + SLAB_FREE] === 0) {
      v.report('PARTIAL-4', `${name}, on CPU ${cpu}’s list, has no object free`)
    }
  }
  const counted = words[record + SLAB_CPU_NR_PARTIAL]
  if (counted !== held.length) {
    v.report('PARTIAL-4', `CPU ${cpu} counts ${counted} partial slabs, lists ${held.length}`)
  }
}

/** Enters the holder of a slab, which has to be one of the cache. */
function hold(s: Survey, cache: number, slab: number, holder: string): boolean {
  if (!s.hold(slab, holder)) return false
  if (s.words[slab + SLAB_CACHE] === cache) return true
  s.broken('PARTIAL-3', `${slabText(s.words, slab)} is ${holder} of ${nodeText(s.words, cache, 0)}`)
  return false
}

// ---- Nodes ----

function checkPartial(s: Survey, cache: number, id: number): void {
  const { words, v } = s
  const node = cacheNode(words, cache, id)
  const text = nodeText(words, cache, id)
  const isMember = (record: number) => s.slabs.has(record) && words[record + SLAB_CACHE] === cache
  const list = s.walk(node + SLAB_NODE_PARTIAL, isMember, `the partial list of ${text}`)
  if (list === null) return
  if (words[node + SLAB_NODE_NR_PARTIAL] !== list.length) {
    const counted = words[node + SLAB_NODE_NR_PARTIAL]
    v.report('PARTIAL-2', `${text} counts ${counted} partial slabs, lists ${list.length}`)
  }
  for (const slab of list) {
    s.hold(slab, `on the partial list of node ${id}`)
    const right =
      !isFrozen(s, slab) && words[slab + SLAB_FREE] !== 0 && slabNode(words, slab) === id
    if (right) continue
    const flags = `flags 0x${words[slab + SLAB_FLAGS]!.toString(16)}`
    const said = `${flags}, first free ${words[slab + SLAB_FREE]}`
    v.report('PARTIAL-1', `${slabText(words, slab)} with ${said} is on the partial list of ${text}`)
  }
}

function keepsTracks(s: Survey, cache: number): boolean {
  return (s.words[cache + CACHE_FLAGS]! & SLAB_STORE_USER) !== 0
}

function checkFull(s: Survey, cache: number, id: number): void {
  const { words, v } = s
  const text = nodeText(words, cache, id)
  const isMember = (record: number) => s.slabs.has(record) && words[record + SLAB_CACHE] === cache
  const list = s.walk(
    cacheNode(words, cache, id) + SLAB_NODE_FULL,
    isMember,
    `the full list of ${text}`,
  )
  if (list === null) return
  for (const slab of list) {
    s.hold(slab, `on the full list of node ${id}`)
    const full = isFull(s, slab) || isQuarantined(s, slab)
    if (keepsTracks(s, cache) && full && slabNode(words, slab) === id) continue
    v.report('SLAB-6', `${slabText(words, slab)} is on the full list of ${text}`)
  }
}

// ---- The queue, and nobody ----

function checkQueue(s: Survey): void {
  const { words, v } = s
  const counted = new Map<number, number>()
  let last = 0
  for (let slab = words[SLAB_RCU_HEAD]!; slab !== 0; slab = words[slab + SLAB_NEXT]!) {
    if (!s.slabs.has(slab) || s.holders.has(slab)) {
      s.broken('RCU-1', `the queue links to ${slab}: ${s.holders.get(slab) ?? 'no slab'}`)
      return
    }
    s.hold(slab, QUEUE)
    last = slab
    const cache = words[slab + SLAB_CACHE]!
    counted.set(cache, (counted.get(cache) ?? 0) + 1)
    const delayed = (words[cache + CACHE_FLAGS]! & SLAB_TYPESAFE_BY_RCU) !== 0
    if (!delayed || words[slab + SLAB_INUSE] !== 0 || isFrozen(s, slab)) {
      v.report('RCU-1', `${slabText(words, slab)} is in the queue`)
    }
  }
  if (words[SLAB_RCU_TAIL] !== last) {
    v.report('RCU-1', `the queue ends at ${words[SLAB_RCU_TAIL]}, not ${last}`)
  }
  for (const cache of s.caches) {
    const slabs = counted.get(cache) ?? 0
    if (words[cache + CACHE_RCU_SLABS] === slabs && (slabs > 0 || !s.waiting.has(cache))) continue
    const text = `counts ${words[cache + CACHE_RCU_SLABS]} slabs in the queue, has ${slabs}`
    v.report('RCU-1', `${nodeText(words, cache, 0)} ${text}`)
  }
}

function checkUnheld(s: Survey, slab: number): void {
  const { words, v } = s
  const cache = words[slab + SLAB_CACHE]!
  if (isQuarantined(s, slab)) return
  if (!isFull(s, slab) || isFrozen(s, slab)) {
    const counts = `${words[slab + SLAB_INUSE]} of ${words[slab + SLAB_OBJECTS]} objects in use`
    const flags = `flags 0x${words[slab + SLAB_FLAGS]!.toString(16)}`
    v.report('SLAB-5', `${slabText(words, slab)} is held by nobody: ${counts}, ${flags}`)
  }
  if (isDebugCache(words, cache) && keepsTracks(s, cache)) {
    v.report('SLAB-6', `${slabText(words, slab)} is on no list`)
  }
}
