/**
 * The direct map as page tables: all memory at one offset, in the largest leaves that fit.
 *
 *     | 4k | 4k | 2M | 2M | 1G ............ | 2M | 4k |
 *          2 MiB ^        ^ 1 GiB
 *
 * Source: spec/vmalloc.md §13.6, §14.1, §14.2.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { Layout } from '../base/layout'
import { KiB, PAGE_SIZE, PHYS_ADDR_LIMIT } from '../base/units'
import { PAGE_KERNEL } from '../paging/format'
import { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTables } from '../paging/pageTables'
import { checkTables } from './checkTables'

/** log2 of the bytes of the largest leaf: 1 GiB. */
const MAX_LEAF_SHIFT = 30

/** A range of memory; those of a `PhysicalMemory` are. */
export interface DirectMapRange {
  /** Physical address of its first byte. */
  readonly base: number
  /** Bytes. */
  readonly size: number
  /** `device` for a range that is left out. */
  readonly type?: string
}

/** The lines DirectMap of /proc/meminfo, in KiB: how much is mapped by leaves of each size. */
export interface DirectMapCounts {
  /** KiB that are mapped by pages. */
  readonly directMap4k: number
  /** KiB that are mapped by leaves of 2 MiB. */
  readonly directMap2M: number
  /** KiB that are mapped by leaves of 4 MiB, of page tables with two levels. */
  readonly directMap4M: number
  /** KiB that are mapped by leaves of 1 GiB. */
  readonly directMap1G: number
}

/** Whole pages of memory. Bytes. */
interface Piece {
  readonly base: number
  end: number
}

/**
 * Maps memory in the direct map, for the kernel to read and write. Parts of pages are left out, and so is what
 * lies beyond the direct map: high memory.
 * @returns bytes that were mapped; null, with nothing mapped, when there is no page for a table.
 * @throws InvalidArgument for page tables of another format, ranges that are none, and memory that is mapped
 * there already.
 */
export function mapDirectMap(
  tables: PageTables,
  layout: Layout,
  ranges: readonly DirectMapRange[],
): number | null {
  checkTables(tables, layout)
  const pieces = wholePieces(layout, ranges)
  for (const { base, end } of pieces) {
    // Pages that nobody may use are in the way too.
    const used = tables.firstUsed(layout.directMap + base, end - base)
    if (used >= 0) throw mappedAlready(used)
  }
  let bytes = 0
  for (const { base, end } of pieces) {
    const at = layout.directMap + base
    let code = MAP_NO_MEMORY
    try {
      code = tables.mapRange(at, base, end - base, PAGE_KERNEL, MAX_LEAF_SHIFT)
    } finally {
      // After an error too, which whoever gives pages may throw.
      if (code !== MAP_OK) undo(tables, layout, pieces, end)
    }
    if (code === MAP_BUSY) throw mappedAlready(at)
    if (code !== MAP_OK) return null
    bytes += end - base
  }
  return bytes
}

/**
 * Counts the leaves of the direct map, for memory that is there or not.
 * @throws InvalidArgument for page tables of another format.
 */
export function directMapCounts(tables: PageTables, layout: Layout): DirectMapCounts {
  checkTables(tables, layout)
  const kib = new Map<number, number>()
  tables.forEachLeaf(layout.directMapStart, layout.directMapEnd, (_address, bytes) => {
    kib.set(bytes, (kib.get(bytes) ?? 0) + bytes / KiB)
  })
  return {
    directMap4k: kib.get(PAGE_SIZE) ?? 0,
    directMap2M: kib.get(0x200000) ?? 0,
    directMap4M: kib.get(0x400000) ?? 0,
    directMap1G: kib.get(0x40000000) ?? 0,
  }
}

/** The whole pages of ranges that the direct map reaches, ascending, those that touch as one. */
function wholePieces(layout: Layout, ranges: readonly DirectMapRange[]): Piece[] {
  const lowest = layout.directMapStart - layout.directMap
  const highest = layout.directMapEnd - layout.directMap
  const pieces: Piece[] = []
  ranges.forEach(({ base, size, type }, i) => {
    checkInteger(`ranges[${i}].base`, base, 0, PHYS_ADDR_LIMIT - 1)
    checkInteger(`ranges[${i}].size`, size, 0, PHYS_ADDR_LIMIT - base)
    if (type === 'device') return
    const start = Math.ceil(Math.max(base, lowest) / PAGE_SIZE) * PAGE_SIZE
    const end = Math.floor(Math.min(base + size, highest) / PAGE_SIZE) * PAGE_SIZE
    if (start < end) pieces.push({ base: start, end })
  })
  pieces.sort((a, b) => a.base - b.base)
  const merged: Piece[] = []
  for (const piece of pieces) {
    const last = merged[merged.length - 1]
    if (last !== undefined && piece.base <= last.end) last.end = Math.max(last.end, piece.end)
    else merged.push(piece)
  }
  return merged
}

/** Unmaps the pieces that end at `end` or before. Nothing else was mapped there. */
function undo(tables: PageTables, layout: Layout, pieces: readonly Piece[], end: number): void {
  for (const piece of pieces) {
    if (piece.end > end) return
    const at = layout.directMap + piece.base
    tables.unmapRange(at, piece.end - piece.base)
    tables.flush.flushTlb(at, at + piece.end - piece.base)
  }
}

function mappedAlready(address: number): InvalidArgument {
  return new InvalidArgument('ranges', `0x${address.toString(16)}`, 'not mapped yet')
}
