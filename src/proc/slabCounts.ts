/**
 * What the texts about caches count: slabs and objects, by node and in all, as the kernel counts them.
 *
 * Objects that a CPU holds, free or not, count as in use: only those of slabs on the partial lists of nodes
 * are known to be free without stopping the CPUs.
 *
 * Source: spec/slab.md §18.1, §18.3.
 */

import { cacheNode, slabNode } from '../slab/slabs'
import {
  CACHE_CPUS,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_OBJECTS,
} from '../state/slabSchema'

/** What a cache has: on one node, or on all. */
export interface SlabCounts {
  /** Slabs. */
  slabs: number
  /** Objects that they have room for. */
  totalObjects: number
  /** Slabs on partial lists of nodes. */
  partial: number
  /** Objects in use in those. */
  partialInUse: number
  /** Free objects in those. */
  partialFree: number
}

/** What a cache has on a node. Costs a walk over the node's partial list. */
export function nodeCounts(words: Int32Array, cache: number, id: number): SlabCounts {
  const node = cacheNode(words, cache, id)
  let partialInUse = 0
  let partialFree = 0
  const head = node + SLAB_NODE_PARTIAL
  for (let slab = words[head]!; slab !== head; slab = words[slab + SLAB_NEXT]!) {
    const inUse = words[slab + SLAB_INUSE]!
    partialInUse += inUse
    partialFree += words[slab + SLAB_OBJECTS]! - inUse
  }
  return {
    slabs: words[node + SLAB_NODE_NR_SLABS]!,
    totalObjects: words[node + SLAB_NODE_TOTAL_OBJECTS]!,
    partial: words[node + SLAB_NODE_NR_PARTIAL]!,
    partialInUse,
    partialFree,
  }
}

/** What a cache has on each node. */
export function countsByNode(words: Int32Array, cache: number): SlabCounts[] {
  return Array.from({ length: words[SLAB_NR_NODES]! }, (_, id) => nodeCounts(words, cache, id))
}

/** What a cache has in all. */
export function cacheCounts(words: Int32Array, cache: number): SlabCounts {
  const total = { slabs: 0, totalObjects: 0, partial: 0, partialInUse: 0, partialFree: 0 }
  for (const counts of countsByNode(words, cache)) {
    total.slabs += counts.slabs
    total.totalObjects += counts.totalObjects
    total.partial += counts.partial
    total.partialInUse += counts.partialInUse
    total.partialFree += counts.partialFree
  }
  return total
}

/** Slabs on the partial list of each CPU. */
export function cpuPartialSlabs(words: Int32Array, cache: number): number[] {
  return Array.from(
    { length: words[SLAB_NR_CPUS]! },
    (_, cpu) => words[cpuRecord(words, cache, cpu) + SLAB_CPU_NR_PARTIAL]!,
  )
}

/**
 * Slabs that CPUs hold, by node. As in the kernel, a CPU's partial slabs count for the node of the first of
 * them, and not at all while the CPU has no slab to work with.
 */
export function cpuSlabsByNode(words: Int32Array, cache: number): number[] {
  const nodes = new Array<number>(words[SLAB_NR_NODES]!).fill(0)
  for (let cpu = 0; cpu < words[SLAB_NR_CPUS]!; cpu++) {
    const record = cpuRecord(words, cache, cpu)
    const slab = words[record + SLAB_CPU_SLAB]!
    if (slab === 0) continue
    nodes[slabNode(words, slab)]! += 1
    const head = words[record + SLAB_CPU_PARTIAL]!
    if (head !== 0) nodes[slabNode(words, head)]! += words[record + SLAB_CPU_NR_PARTIAL]!
  }
  return nodes
}

/** Sum of counts. */
export function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

/** The name of a cache, padded as the kernel does: by bytes. */
export function paddedName(name: string, width: number): string {
  return name + ' '.repeat(Math.max(0, width - new TextEncoder().encode(name).length))
}

function cpuRecord(words: Int32Array, cache: number, cpu: number): number {
  return words[cache + CACHE_CPUS]! + (cpu << SLAB_CPU_SHIFT)
}
