/** Free ranges of a memblock in both directions, and the search for space in them. */

import { clamp, NUMA_NO_NODE } from '../base/units'
import {
  type AddressRange,
  MEMBLOCK_DRIVER_MANAGED,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  type MemblockRegion,
  PHYS_ADDR_MAX,
} from './memblockRegions'

/** Which memory regions an iteration visits. */
export interface RegionFilter {
  /** Node, or -1 for any. */
  readonly nid: number
  /** MEMBLOCK_* bits that are asked for. */
  readonly flags: number
  /** Whether hotpluggable memory must be asked for. */
  readonly movableNode: boolean
}

/** A free range `[start, end)` inside one memory region. */
export interface FreeRange extends AddressRange {
  /** Node of the memory region, 64 for none. */
  readonly nid: number
}

/** A request for space: `[start, end)` limits both ends of the result. */
export interface SpaceRequest extends AddressRange {
  /** Bytes. */
  readonly size: number
  /** A power of two. */
  readonly align: number
}

/** Page 0 is never given out: its address would read as a failure. */
const LOWEST_ADDRESS = 4096

/** Whether an iteration passes over a memory region. Source: spec/vmalloc.md §16.4. */
export function isSkipped(region: MemblockRegion, filter: RegionFilter): boolean {
  const { flags } = region
  if (filter.nid !== NUMA_NO_NODE && filter.nid !== region.nid) return true
  if (filter.movableNode && (flags & ~filter.flags & MEMBLOCK_HOTPLUG) !== 0) return true
  if ((filter.flags & ~flags & MEMBLOCK_MIRROR) !== 0) return true
  return (flags & ~filter.flags & (MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED)) !== 0
}

/**
 * The parts of the memory regions that lie in gaps between reserved regions, ascending.
 * Touching memory regions give separate ranges. O(memory + reserved) for the whole iteration.
 */
export function* eachFree(
  memory: readonly MemblockRegion[],
  reserved: readonly MemblockRegion[],
  filter: RegionFilter,
): Generator<FreeRange, void, undefined> {
  let gap = 0
  for (const region of memory) {
    const end = region.base + region.size
    if (isSkipped(region, filter) || region.size === 0) continue
    while (gapEnd(reserved, gap) <= region.base) gap++
    for (; gapStart(reserved, gap) < end; gap++) {
      const from = Math.max(region.base, gapStart(reserved, gap))
      const to = Math.min(end, gapEnd(reserved, gap))
      if (from < to) yield { start: from, end: to, nid: region.nid }
      // The gap may serve the next region too.
      if (gapEnd(reserved, gap) >= end) break
    }
  }
}

/** The ranges of {@link eachFree} in exactly the reverse order. */
export function* eachFreeReverse(
  memory: readonly MemblockRegion[],
  reserved: readonly MemblockRegion[],
  filter: RegionFilter,
): Generator<FreeRange, void, undefined> {
  let gap = reserved.length
  for (let i = memory.length - 1; i >= 0; i--) {
    const region = memory[i]
    if (region === undefined || isSkipped(region, filter) || region.size === 0) continue
    const end = region.base + region.size
    while (gapStart(reserved, gap) >= end) gap--
    for (; gapEnd(reserved, gap) > region.base; gap--) {
      const from = Math.max(region.base, gapStart(reserved, gap))
      const to = Math.min(end, gapEnd(reserved, gap))
      if (from < to) yield { start: from, end: to, nid: region.nid }
      if (gapStart(reserved, gap) <= region.base) break
    }
  }
}

/**
 * The address of free space, or null: the lowest that fits from below, or the highest from above.
 * Nothing is reserved. Source: spec/vmalloc.md §16.5.
 */
export function findSpace(
  memory: readonly MemblockRegion[],
  reserved: readonly MemblockRegion[],
  filter: RegionFilter,
  request: SpaceRequest,
  bottomUp: boolean,
): number | null {
  const { size, align } = request
  const lowest = Math.max(request.start, LOWEST_ADDRESS)
  const highest = Math.max(lowest, request.end)
  const ranges = bottomUp ? eachFree : eachFreeReverse
  for (const range of ranges(memory, reserved, filter)) {
    const start = clamp(range.start, lowest, highest)
    const end = clamp(range.end, lowest, highest)
    if (bottomUp) {
      const candidate = Math.ceil(start / align) * align
      if (candidate < end && end - candidate >= size) return candidate
    } else if (end >= size) {
      const candidate = Math.floor((end - size) / align) * align
      if (candidate >= start) return candidate
    }
  }
  return null
}

/** Gap `i` lies below reserved region `i`; the last one lies above them all. */
function gapStart(reserved: readonly MemblockRegion[], gap: number): number {
  const below = reserved[gap - 1]
  return below === undefined ? 0 : below.base + below.size
}

function gapEnd(reserved: readonly MemblockRegion[], gap: number): number {
  const above = reserved[gap]
  return above === undefined ? PHYS_ADDR_MAX : above.base
}
