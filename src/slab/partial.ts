/**
 * Partial slabs: those with some objects free, on the list of their node or of a CPU.
 *
 *     a CPU's slab  ->  its partial list (frozen: others may free to it, not allocate from it)
 *     a node's partial list (not frozen)
 *     full slabs: on no list; the next free to one puts it on the partial list of the CPU that frees
 *
 * PARTIAL-1: a node's partial slabs are not frozen, belong to the node, and have an object free.
 * PARTIAL-2: a node's count of partial slabs is the length of its list.
 * PARTIAL-3: a CPU's slab and its partial slabs are frozen, and each is held once.
 *
 * Source: spec/slab.md §7.6, §8.3, §9, §13.2.
 */

import { listAddHead, listAddTail, listRemove } from '../state/lists'
import {
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_CPUS,
  CACHE_DEFRAG_RATIO,
  CACHE_MIN_PARTIAL,
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
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_USED,
  SLAB_NR_CPUS,
  SLAB_OBJECTS,
  SLAB_PFMEMALLOC,
  SLAB_QUARANTINED,
} from '../state/slabSchema'
import { formatName } from './cacheName'
import type { SlabContext } from './context'
import { isLive, isPlace, readFreePointer, writeFreePointer } from './freePointer'
import { cacheNode, countSlab, discardSlab, freeSlab, refuse, slabNode } from './slabs'

/** A cache's record of the CPU that runs. */
export function cpuOf(c: SlabContext, cache: number): number {
  return c.words[cache + CACHE_CPUS]! + (c.running.cpu << SLAB_CPU_SHIFT)
}

/** Puts a slab on its node's partial list: in front, or at the end. */
export function addPartial(words: Int32Array, cache: number, slab: number, front: boolean): void {
  const node = cacheNode(words, cache, slabNode(words, slab))
  words[node + SLAB_NODE_NR_PARTIAL]! += 1
  if (front) listAddHead(words, node + SLAB_NODE_PARTIAL, slab)
  else listAddTail(words, node + SLAB_NODE_PARTIAL, slab)
}

/** Takes a slab off its node's partial list. */
export function removePartial(words: Int32Array, cache: number, slab: number): void {
  words[cacheNode(words, cache, slabNode(words, slab)) + SLAB_NODE_NR_PARTIAL]! -= 1
  listRemove(words, slab)
}

/** True when the node of a slab has partial slabs enough, so that an empty one goes back. */
export function hasEnoughPartial(words: Int32Array, cache: number, slab: number): boolean {
  const node = cacheNode(words, cache, slabNode(words, slab))
  return words[node + SLAB_NODE_NR_PARTIAL]! >= words[cache + CACHE_MIN_PARTIAL]!
}

/** True when a request may have objects of a slab: not everybody may use the emergency reserve. */
export function mayUseSlab(c: SlabContext, slab: number, gfp: number): boolean {
  return (c.words[slab + SLAB_FLAGS]! & SLAB_PFMEMALLOC) === 0 || c.source.mayUseReserve(gfp)
}

// ---- A CPU's partial list ----

/** Pushes a slab on the CPU's partial list. A full list moves to the nodes. */
export function putCpuPartial(c: SlabContext, cache: number, slab: number): void {
  const words = c.words
  const cpu = cpuOf(c, cache)
  const head = words[cpu + SLAB_CPU_PARTIAL]!
  const slabs = words[cpu + SLAB_CPU_NR_PARTIAL]!
  const full = head !== 0 && slabs >= words[cache + CACHE_CPU_PARTIAL_SLABS]!
  words[slab + SLAB_NEXT] = full ? 0 : head
  words[cpu + SLAB_CPU_PARTIAL] = slab
  words[cpu + SLAB_CPU_NR_PARTIAL] = full ? 1 : slabs + 1
  if (full) unfreeze(c, cache, head)
}

/** Moves a chain of partial slabs from a CPU to their nodes; empty ones go back where there are enough. */
export function unfreeze(c: SlabContext, cache: number, first: number): void {
  const words = c.words
  let discards = 0
  for (let slab = first; slab !== 0; ) {
    const next = words[slab + SLAB_NEXT]!
    const node = cacheNode(words, cache, slabNode(words, slab))
    words[slab + SLAB_FLAGS]! &= ~SLAB_FROZEN
    const partial = words[node + SLAB_NODE_NR_PARTIAL]!
    if (words[slab + SLAB_INUSE] === 0 && partial >= words[cache + CACHE_MIN_PARTIAL]!) {
      words[slab + SLAB_NEXT] = discards
      discards = slab
    } else {
      words[node + SLAB_NODE_NR_PARTIAL] = partial + 1
      listAddTail(words, node + SLAB_NODE_PARTIAL, slab)
    }
    slab = next
  }
  discardChain(c, cache, discards)
}

/** Discards slabs that are linked by NEXT. */
function discardChain(c: SlabContext, cache: number, first: number): void {
  for (let slab = first; slab !== 0; ) {
    const next = c.words[slab + SLAB_NEXT]!
    discardSlab(c, cache, slab)
    slab = next
  }
}

// ---- Leaving a slab ----

/** Takes the slab from a CPU and puts it where it belongs, with the free objects that the CPU held. */
export function deactivate(c: SlabContext, cache: number, cpu: number): void {
  const words = c.words
  const slab = words[cpu + SLAB_CPU_SLAB]!
  const chain = words[cpu + SLAB_CPU_FREE]!
  const own = words[slab + SLAB_FREE]!
  if (chain !== 0) {
    const count = checkChain(c, cache, cpu, slab)
    if (own !== 0) writeFreePointer(c, cache, slab, lastOfChain(c, cache, slab, chain), own)
    words[slab + SLAB_INUSE]! -= count
    words[slab + SLAB_FREE] = chain
  }
  words[cpu + SLAB_CPU_SLAB] = 0
  words[cpu + SLAB_CPU_FREE] = 0
  words[slab + SLAB_FLAGS]! &= ~SLAB_FROZEN
  if (words[slab + SLAB_INUSE] === 0 && hasEnoughPartial(words, cache, slab)) {
    discardSlab(c, cache, slab)
  } else if (words[slab + SLAB_FREE] !== 0) {
    addPartial(words, cache, slab, own === 0)
  }
}

/** Takes everything that CPUs hold of a cache and puts it on the nodes' lists. */
export function flushCache(c: SlabContext, cache: number): void {
  const words = c.words
  for (let i = 0; i < words[SLAB_NR_CPUS]!; i++) {
    const cpu = words[cache + CACHE_CPUS]! + (i << SLAB_CPU_SHIFT)
    if (words[cpu + SLAB_CPU_SLAB] !== 0) deactivate(c, cache, cpu)
    const partial = words[cpu + SLAB_CPU_PARTIAL]!
    words[cpu + SLAB_CPU_PARTIAL] = 0
    words[cpu + SLAB_CPU_NR_PARTIAL] = 0
    unfreeze(c, cache, partial)
  }
}

/**
 * Counts the free objects that a CPU holds.
 * @throws KernelBug when the chain is corrupted; then it has been cut off.
 */
function checkChain(c: SlabContext, cache: number, cpu: number, slab: number): number {
  const words = c.words
  const limit = words[slab + SLAB_OBJECTS]!
  let count = 0
  for (let at = words[cpu + SLAB_CPU_FREE]!; at !== 0; count++) {
    const sound = isPlace(words, cache, slab, at - 1) && count < limit
    if (!sound || isLive(words, cache, slab, at - 1)) throw isolate(c, cache, cpu, slab)
    at = readFreePointer(c, cache, slab, at - 1)
  }
  return count
}

function lastOfChain(c: SlabContext, cache: number, slab: number, first: number): number {
  let last = first
  for (;;) {
    const next = readFreePointer(c, cache, slab, last - 1)
    if (next === 0) return last - 1
    last = next
  }
}

/**
 * Cuts off a chain of free objects that cannot be trusted: they are lost. What is in use of the slab may still be
 * freed, and used again. Returns the error to throw.
 */
export function isolate(c: SlabContext, cache: number, cpu: number, slab: number): Error {
  const words = c.words
  words[cpu + SLAB_CPU_FREE] = 0
  words[slab + SLAB_FREE] = 0
  words[slab + SLAB_INUSE] = words[slab + SLAB_OBJECTS]!
  words[slab + SLAB_FLAGS]! |= SLAB_QUARANTINED
  const name = formatName(words, cache)
  return refuse(c, 'FREELIST_CORRUPT', `a free object of cache ${name} was overwritten`)
}

// ---- Taking slabs from nodes ----

/** Takes something from the partial slabs of a node: a slab, or an object's address; 0 for nothing. */
export type TakeFromNode = (c: SlabContext, cache: number, id: number, gfp: number) => number

/**
 * Takes partial slabs for the CPU that runs: the first becomes its slab, its free objects the CPU's;
 * more go on its partial list. Returns the slab, or 0 when there is none.
 */
export function takePartial(c: SlabContext, cache: number, gfp: number, node: number): number {
  return takeNear(c, cache, gfp, node, takeFromNode)
}

/** Takes from the node asked for; without one from the CPU's own, and then from others. */
export function takeNear(
  c: SlabContext,
  cache: number,
  gfp: number,
  node: number,
  take: TakeFromNode,
): number {
  const here = node < 0 ? c.source.cpuNode(c.running.cpu) : node
  const taken = take(c, cache, here, gfp)
  return taken !== 0 || node >= 0 ? taken : takeFromOthers(c, cache, gfp, take)
}

/** Takes partial slabs of one node, as {@link takePartial} does. */
export function takeFromNode(c: SlabContext, cache: number, id: number, gfp: number): number {
  const words = c.words
  const node = cacheNode(words, cache, id)
  if (words[node + SLAB_NODE_USED] === 0 || words[node + SLAB_NODE_NR_PARTIAL] === 0) return 0
  const head = node + SLAB_NODE_PARTIAL
  const cpu = cpuOf(c, cache)
  const enough = words[cache + CACHE_CPU_PARTIAL_SLABS]! >> 1
  let chain = words[cpu + SLAB_CPU_PARTIAL]!
  let taken = 0
  let more = 0
  for (let slab = words[head]!; slab !== head && more <= enough; ) {
    const next = words[slab + SLAB_NEXT]!
    if (mayUseSlab(c, slab, gfp)) {
      listRemove(words, slab)
      words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
      if (taken === 0) {
        taken = slab
      } else {
        words[slab + SLAB_NEXT] = chain
        chain = slab
        more += 1
      }
    }
    slab = next
  }
  if (taken !== 0) words[node + SLAB_NODE_NR_PARTIAL]! -= more + 1
  words[cpu + SLAB_CPU_PARTIAL] = chain
  words[cpu + SLAB_CPU_NR_PARTIAL]! += more
  return taken
}

/** Other nodes in the order of the zonelist, where there are more partial slabs than a node keeps. */
function takeFromOthers(c: SlabContext, cache: number, gfp: number, take: TakeFromNode): number {
  const words = c.words
  const ratio = words[cache + CACHE_DEFRAG_RATIO]!
  if (c.source.nrNodes === 1 || ratio === 0 || c.cycles() % 1024 > ratio) return 0
  for (const id of c.source.zonelistNodes(gfp, -1)) {
    const node = cacheNode(words, cache, id)
    if (words[node + SLAB_NODE_NR_PARTIAL]! <= words[cache + CACHE_MIN_PARTIAL]!) continue
    const taken = take(c, cache, id, gfp)
    if (taken !== 0) return taken
  }
  return 0
}

// ---- Shrinking ----

/** Gives back what the nodes hold of empty slabs, and sorts the others: the fullest first. */
export function shrinkNodes(c: SlabContext, cache: number): boolean {
  const words = c.words
  let left = false
  for (let id = 0; id < c.source.nrNodes; id++) {
    const node = cacheNode(words, cache, id)
    if (words[node + SLAB_NODE_USED] === 0) continue
    shrinkNode(c, cache, node)
    left ||= words[node + SLAB_NODE_NR_SLABS]! !== 0
  }
  return left
}

/** Free objects up to which a slab is sorted. */
const SORTED = 32

function shrinkNode(c: SlabContext, cache: number, node: number): void {
  const words = c.words
  const head = node + SLAB_NODE_PARTIAL
  const buckets: number[][] = Array.from({ length: SORTED + 1 }, () => [])
  const empty: number[] = []
  for (let slab = words[head]!; slab !== head; ) {
    const next = words[slab + SLAB_NEXT]!
    const free = words[slab + SLAB_OBJECTS]! - words[slab + SLAB_INUSE]!
    if (free === words[slab + SLAB_OBJECTS]!) {
      removePartial(words, cache, slab)
      countSlab(words, cache, slab, -1)
      empty.push(slab)
    } else if (free <= SORTED) {
      buckets[free]!.push(slab)
    }
    slab = next
  }
  // Each bucket was filled at its head, and goes in front of what came before: later ones end up first.
  for (let free = SORTED; free >= 1; free--) {
    for (const slab of buckets[free]!) {
      listRemove(words, slab)
      listAddHead(words, head, slab)
    }
  }
  for (const slab of empty.reverse()) freeSlab(c, cache, slab)
}
