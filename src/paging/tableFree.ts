/**
 * Giving tables back: those of a user's space that have become empty, and all at the end. A kernel keeps the tables
 * of its own space.
 *
 * Source: spec/vmalloc.md §13.7.
 */

import { PAGE_SIZE } from '../base/units'
import { isEmpty } from './tableHuge'
import { entryIndex, frameOf, isTable } from './tablePlan'
import { nextEntry, type TableTree } from './tableTree'

/** Gives back the empty tables below the entries that a range touches, deepest first; returns how many. */
export function freeEmptyTables(t: TableTree, start: number, end: number): number {
  const { half } = t.plan
  const freed: number[] = []
  collect(t, t.root, 0, start, Math.min(end, half), freed)
  collect(t, t.highRoot, 0, Math.max(start, half), end, freed)
  if (freed.length === 0) return 0
  try {
    t.flush.flushTlb(start, end)
  } finally {
    for (const pfn of freed) t.freeTable(pfn)
  }
  return freed.length
}

/**
 * Gives back all tables that were taken, deepest first, and those of a level in the order in which they were
 * taken. Entries of tables that stay are cleared.
 */
export function destroy(t: TableTree): void {
  t.end = 0
  t.root = -1
  t.highRoot = -1
  try {
    t.flush.flushTlb(0, t.plan.end)
  } finally {
    const known = [...t.records].sort(([, a], [, b]) => b.level - a.level)
    for (const [pfn, { level, entry }] of known) {
      if (entry >= 0) clearForeign(t, pfn, level - 1, entry)
      t.freeTable(pfn)
    }
  }
}

/** Takes empty tables out of the entries of a table. Follows only tables that are known: each one once. */
function collect(
  t: TableTree,
  table: number,
  level: number,
  start: number,
  end: number,
  freed: number[],
): void {
  const { plan } = t
  if (level === plan.last) return
  let next = start
  for (let from = start; from < end; from = next) {
    next = nextEntry(from, plan.spans[level]!)
    const index = entryIndex(plan, from, level)
    const pfn = pointTo(t, table, level, index)
    if (pfn < 0) continue
    collect(t, pfn, level + 1, from, Math.min(next, end), freed)
    if (!isEmpty(t, pfn)) continue
    t.moveTo(table, level, index)
    t.put(0, 0)
    freed.push(pfn)
  }
}

/** Puts the cursor on an entry; the known table that it points at, or -1. */
function pointTo(t: TableTree, table: number, level: number, index: number): number {
  const { plan } = t
  t.moveTo(table, level, index)
  if (!isTable(plan, t.lo, t.hi, level)) return -1
  const pfn = frameOf(plan, t.lo, t.hi)
  return t.ownsTable(pfn) ? pfn : -1
}

/** Clears the entry that points at a table, when it lies in a table of somebody else's. */
function clearForeign(t: TableTree, pfn: number, level: number, entry: number): void {
  const table = Math.floor(entry / PAGE_SIZE)
  if (t.records.has(table)) return
  const index = (entry % PAGE_SIZE) / t.format.entryBytes
  if (pointTo(t, table, level, index) === pfn) t.put(0, 0)
}
