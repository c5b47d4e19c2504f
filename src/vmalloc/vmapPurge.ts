/**
 * The purge: intervals that were put aside become free, and the work that does so in the background.
 *
 * Drain work runs at the first point where it may (DIFF-47).
 *
 * Source: spec/vmalloc.md §4.2 to §4.4.
 */

import { PAGE_SIZE } from '../base/units'
import {
  AREA_END,
  AREA_NEXT,
  AREA_START,
  TREE_FREE,
  TREE_PURGE,
  VMAP_COUNTS,
  VMAP_DRAIN_PENDING,
  VMAP_LAZY_BYTES,
  VMAP_NR_CPUS,
  VMAP_ROOTS,
} from '../state/vmapSchema'
import type { VmapContext } from './vmapContext'
import { mergeArea } from './vmapRelease'
import { firstArea } from './vmapTree'

/** Pages that may wait for a purge, for each doubling of the CPUs: 32 MiB. */
const LAZY_PAGES = 8192

/**
 * Frees all intervals that were put aside, in ascending order; translations of what they span are forgotten
 * first. A purge within a purge does nothing.
 * @param retire whether vmap blocks with nothing in use are retired before.
 * @param start first address to be forgotten at least; infinity for none.
 * @param end one more than the last of those; 0 for none.
 * @returns whether there were any.
 */
export function purge(
  c: VmapContext,
  retire: boolean,
  start: number = Number.POSITIVE_INFINITY,
  end = 0,
): boolean {
  if (c.purging) return false
  c.purging = true
  try {
    if (retire) c.ops.retireBlocks()
    return purgeList(c, start, end)
  } finally {
    c.purging = false
  }
}

/**
 * A point where the kernel would schedule: drain work that is due runs here, unless it is held back or a
 * purge is under way.
 */
export function drainPoint(c: VmapContext): void {
  const { words } = c
  if (words[VMAP_DRAIN_PENDING] === 0 || c.held || c.purging) return
  words[VMAP_DRAIN_PENDING] = 0
  while (purge(c, false) && lazyPages(c) > lazyMaxPages(c)) {}
}

/** `vmap_lazy_nr`: pages of the intervals that were put aside. */
export function lazyPages(c: VmapContext): number {
  return c.numbers[VMAP_LAZY_BYTES >> 1]! / PAGE_SIZE
}

/** Pages that may be put aside before drain work is due: 8192 for 1 CPU, 16384 for 2 and 3, and so on. */
export function lazyMaxPages(c: VmapContext): number {
  return (32 - Math.clz32(c.words[VMAP_NR_CPUS]!)) * LAZY_PAGES
}

function purgeList(c: VmapContext, start: number, end: number): boolean {
  const { words, numbers } = c
  const first = firstArea(c, TREE_PURGE)
  if (first === 0) return false
  let last = first
  for (let next = first; next !== 0; next = words[next + AREA_NEXT]!) last = next
  const lowest = Math.min(start, numbers[(first + AREA_START) >> 1]!)
  c.ops.flush(lowest, Math.max(end, numbers[(last + AREA_END) >> 1]!))
  // The list is taken off as a whole; from here on the links lead through areas that are in no tree.
  words[VMAP_ROOTS + TREE_PURGE] = 0
  words[VMAP_COUNTS + TREE_PURGE] = 0
  for (let area = first, next = 0; area !== 0; area = next) {
    next = words[area + AREA_NEXT]!
    const bytes = numbers[(area + AREA_END) >> 1]! - numbers[(area + AREA_START) >> 1]!
    if (mergeArea(c, TREE_FREE, area)) numbers[VMAP_LAZY_BYTES >> 1]! -= bytes
  }
  return true
}
