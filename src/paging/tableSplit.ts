/**
 * Splitting large leaves, so that a part of what they map can be changed or unmapped by itself.
 *
 * SPLIT-1: the tables for all splits of a call are there before the first split.
 *
 * Source: spec/vmalloc.md §13.6.
 */

import { PAGE_SIZE } from '../base/units'
import { leafFrame, mapsFrames } from './tablePlan'
import { MAP_NO_MEMORY, MAP_OK, type TableTree } from './tableTree'

/** Splits leaves until none crosses either address. Returns a MAP_ code; without a page nothing is changed. */
export function splitRange(t: TableTree, start: number, end: number): number {
  const tables = takeTables(t, splitsNeeded(t, start, end))
  if (tables === null) return MAP_NO_MEMORY
  const used = splitAt(t, end, tables, splitAt(t, start, tables, 0))
  giveBack(t, tables.subarray(used))
  return MAP_OK
}

/** Tables that it takes until no leaf crosses either address. */
function splitsNeeded(t: TableTree, start: number, end: number): number {
  const { last, spans } = t.plan
  const first = crossedLevel(t, start)
  let count = 0
  for (let level = first; level < last && start % spans[level]! !== 0; level++) count++
  if (end === start) return count
  for (let level = crossedLevel(t, end); level < last && end % spans[level]! !== 0; level++) {
    const span = spans[level]!
    // Where the start has split the same entry, the end finds it split.
    const same = Math.floor(start / span) === Math.floor(end / span)
    if (!same || level < first || start % span === 0) count++
  }
  return count
}

/** Level of the large leaf that `address` lies inside of; the last level for none. */
function crossedLevel(t: TableTree, address: number): number {
  const { last, spans } = t.plan
  if (address % spans[0]! === 0) return last
  const level = t.seek(address, last)
  if (level === last || address % spans[level]! === 0) return last
  return mapsFrames(t.format, t.plan, t.lo, t.hi, level) ? level : last
}

function takeTables(t: TableTree, count: number): Int32Array | null {
  const pfns = new Int32Array(count)
  let taken = 0
  try {
    for (let pfn = 0; taken < count && pfn >= 0; ) {
      pfn = t.takePage()
      if (pfn >= 0) pfns[taken++] = pfn
    }
  } finally {
    if (taken < count) giveBack(t, pfns.subarray(0, taken))
  }
  return taken === count ? pfns : null
}

function giveBack(t: TableTree, pfns: Int32Array): void {
  for (const pfn of pfns) t.frames.freePages(pfn, 0)
}

/** Splits leaves until none crosses `address`, with `tables` from number `first` on; the number behind the last used. */
function splitAt(t: TableTree, address: number, tables: Int32Array, first: number): number {
  const { last } = t.plan
  let used = first
  while (used < tables.length && crossedLevel(t, address) < last) splitEntry(t, tables[used++]!)
  return used
}

/** Replaces the large leaf of the cursor by a table of leaves that map the same. */
function splitEntry(t: TableTree, table: number): void {
  const { format, plan, level } = t
  const { stride, leafLow, leafHigh, spans, masks, pfnShift, frameUnit } = plan
  const below = level + 1
  const first = leafFrame(plan, t.lo, t.hi, level)
  const prot = format.protOf(t.lo, t.hi, level)
  const old = format.leafBits(prot, level)
  const bits = format.leafBits(prot, below)
  // Bits that a protection does not name stay.
  const lo = ((t.lo & ~leafLow[level]!) ^ old.lo ^ bits.lo) & ~leafLow[below]!
  const hi = ((t.hi & ~leafHigh[level]!) ^ old.hi ^ bits.hi) & ~leafHigh[below]!
  const words = t.places.allWords()
  const place = t.places.of(table)
  const pages = spans[below]! / PAGE_SIZE
  for (let i = 0; i <= masks[below]!; i++) {
    const pfn = first + i * pages
    words[place + i * stride] = lo | (pfn << pfnShift)
    if (stride === 2) words[place + i * 2 + 1] = hi | (pfn / frameUnit)
  }
  const { ram } = t.frames
  if (ram.tracksDirty) ram.markDirty(table * PAGE_SIZE, (masks[below]! + 1) * format.entryBytes)
  t.putTable(table, format.tableBits(level, t.user))
}
