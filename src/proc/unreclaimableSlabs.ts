/**
 * The caches that no reclaim can take memory from, as the report of an out-of-memory kill lists them when
 * they hold more than user memory does. Source: spec/slab.md §18.2.
 */

import { formatName } from '../slab/cacheName'
import { SLAB_RECLAIM_ACCOUNT } from '../slab/flags'
import { cachesOf } from '../slab/hotplug'
import type { SlabAllocator } from '../slab/slabAllocator'
import { CACHE_FLAGS, CACHE_SIZE } from '../state/slabSchema'
import { cacheCounts, paddedName } from './slabCounts'

/** The lines: caches with slabs, the newest first; sizes in KiB, rounded down. The caller owns them. */
export function formatUnreclaimableSlabs(slabs: SlabAllocator): string[] {
  const { words } = slabs.context
  const lines = ['Unreclaimable slab info:', 'Name                      Used          Total']
  for (const cache of cachesOf(words)) {
    if ((words[cache + CACHE_FLAGS]! & SLAB_RECLAIM_ACCOUNT) !== 0) continue
    const { totalObjects, partialFree } = cacheCounts(words, cache)
    if (totalObjects === 0) continue
    const size = words[cache + CACHE_SIZE]!
    const used = kib((totalObjects - partialFree) * size)
    const name = paddedName(formatName(words, cache), 17)
    lines.push(`${name} ${used} ${kib(totalObjects * size)}`)
  }
  return lines
}

function kib(bytes: number): string {
  return `${String(Math.floor(bytes / 1024)).padStart(10)}KB`
}
