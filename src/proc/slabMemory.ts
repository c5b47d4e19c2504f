/** The memory of slabs as `/proc/meminfo` and the nodes' counters tell it. Source: spec/slab.md §18.8. */

import type { NodeCounters } from '../buddy/memInfo'
import type { SlabAllocator } from '../slab/slabAllocator'
import { nodeCounters } from '../slab/slabState'
import { NODE_SLAB_RECLAIMABLE, NODE_SLAB_UNRECLAIMABLE, SLAB_NR_NODES } from '../state/slabSchema'

/** Counters of a node that are slabs', by the names that `/proc/vmstat` has for them. */
const COUNTERS: readonly (readonly [name: string, counter: number])[] = [
  ['nr_slab_reclaimable', NODE_SLAB_RECLAIMABLE],
  ['nr_slab_unreclaimable', NODE_SLAB_UNRECLAIMABLE],
]

/** The lines `Slab`, `SReclaimable` and `SUnreclaim` of `/proc/meminfo`. Large kmalloc blocks count, too. */
export function formatSlabMeminfo(slabs: SlabAllocator): string {
  const reclaimable = pagesOf(slabs, NODE_SLAB_RECLAIMABLE)
  const unreclaimable = pagesOf(slabs, NODE_SLAB_UNRECLAIMABLE)
  return (
    meminfoLine('Slab', reclaimable + unreclaimable) +
    meminfoLine('SReclaimable', reclaimable) +
    meminfoLine('SUnreclaim', unreclaimable)
  )
}

/**
 * The nodes' counters of slab pages, for texts that ask for them, such as `formatVmstat`; other counters
 * are those of `others`, or 0.
 */
export function slabNodeCounters(slabs: SlabAllocator, others?: NodeCounters): NodeCounters {
  return (node, name) => {
    const counter = COUNTERS.find(([own]) => own === name)?.[1]
    if (counter === undefined) return others?.(node, name) ?? 0
    return nodePages(slabs, node, counter)
  }
}

function pagesOf(slabs: SlabAllocator, counter: number): number {
  let pages = 0
  for (let node = 0; node < slabs.context.words[SLAB_NR_NODES]!; node++) {
    pages += nodePages(slabs, node, counter)
  }
  return pages
}

function nodePages(slabs: SlabAllocator, node: number, counter: number): number {
  const { words } = slabs.context
  return words[nodeCounters(words, node) + counter]!
}

function meminfoLine(name: string, pages: number): string {
  return `${`${name}:`.padEnd(16)}${String(pages * 4).padStart(8)} kB\n`
}
