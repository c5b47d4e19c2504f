/**
 * Large leaves: putting one where a table is left over from earlier mappings.
 *
 * A table that is left over is taken off first: cleared, flushed, given back. These are the only tables that a
 * kernel gives back. A kernel would lose what is still mapped there; here that is busy.
 *
 * A leaf never replaces a table in which something is mapped (DIFF-52).
 *
 * Source: spec/vmalloc.md §13.6, §13.8.
 */

import { PAGE_SIZE } from '../base/units'
import { __GFP_ZERO } from '../page/gfp'
import type { EntryBits } from './format'
import { PAGE_WORDS } from './framePlaces'
import { frameOf, highHalf, isTable } from './tablePlan'
import { MAP_BUSY, MAP_OK, type TableTree } from './tableTree'

/** A large leaf cannot be used here: smaller ones can. */
export const HUGE_REFUSED = 1

/** Puts a large leaf. Returns a MAP_ code, or {@link HUGE_REFUSED}. */
export function putHuge(
  t: TableTree,
  address: number,
  level: number,
  pfn: number,
  bits: EntryBits,
): number {
  const code = t.reach(address, level)
  if (code !== MAP_OK) return code
  if (t.lo !== 0 || t.hi !== 0) {
    if (!isTable(t.plan, t.lo, t.hi, level)) return MAP_BUSY
    const detached = detach(t, address)
    if (detached !== MAP_OK) return detached
    if (t.seek(address, level) !== level || t.lo !== 0 || t.hi !== 0) return MAP_BUSY
  }
  t.putFrame(pfn, bits.lo, bits.hi)
  return MAP_OK
}

/** Whether a table has no entries. */
export function isEmpty(t: TableTree, table: number): boolean {
  const words = t.places.allWords()
  const place = t.places.of(table)
  for (let at = place; at < place + PAGE_WORDS; at++) {
    if (words[at] !== 0) return false
  }
  return true
}

/** Takes off the table at the entry of the cursor. */
function detach(t: TableTree, address: number): number {
  // A kernel of 32 bits would have to change the top table of every process.
  if (t.format.vaBits === 32) return HUGE_REFUSED
  const below = t.plan.last - t.level
  const table = frameOf(t.plan, t.lo, t.hi)
  if (below > 2 || !t.ownsTable(table)) return HUGE_REFUSED
  return below === 1 ? detachLast(t, address, table) : detachTwo(t, address, table)
}

/** Takes off a table of the last level. */
function detachLast(t: TableTree, address: number, table: number): number {
  if (!isEmpty(t, table)) return MAP_BUSY
  t.put(0, 0)
  try {
    t.flush.flushTlb(address, address + PAGE_SIZE)
  } finally {
    t.freeTable(table)
  }
  return MAP_OK
}

/**
 * Takes off a table and the tables of the last level below it. A page remembers its entries meanwhile, so that
 * nothing is given back before the flush.
 */
function detachTwo(t: TableTree, address: number, table: number): number {
  const { plan, places } = t
  const { level } = t
  const below = tablesBelow(t, table, level + 1)
  if (typeof below === 'number') return below
  const saved = t.frames.allocPages((t.gfp & ~__GFP_ZERO) >>> 0, 0, -1)
  if (saved < 0) return HUGE_REFUSED
  // Who gave the page may have used these tables meanwhile.
  t.seek(address, level)
  const still = t.level === level && frameOf(plan, t.lo, t.hi) === table && t.ownsTable(table)
  if (!still || String(tablesBelow(t, table, level + 1)) !== String(below)) {
    t.frames.freePages(saved, 0)
    return HUGE_REFUSED
  }
  const { words } = t
  const from = places.of(table)
  words.copyWithin(places.of(saved), from, from + PAGE_WORDS)
  words.fill(0, from, from + PAGE_WORDS)
  t.put(0, 0)
  markPage(t, saved)
  markPage(t, table)
  try {
    t.flush.flushTlb(address, address + PAGE_SIZE)
  } finally {
    for (const pfn of below) t.freeTable(pfn)
    t.frames.freePages(saved, 0)
    t.freeTable(table)
  }
  return MAP_OK
}

/**
 * Empty tables at the entries of a table, in index order; MAP_BUSY when something is mapped there, HUGE_REFUSED when
 * a table is somebody else's.
 */
function tablesBelow(t: TableTree, table: number, level: number): number[] | number {
  const { plan, places, records } = t
  const words = places.allWords()
  const place = places.of(table)
  const found: number[] = []
  for (let index = 0; index <= plan.masks[level]!; index++) {
    const at = place + index * plan.stride
    const lo = words[at]!
    const hi = highHalf(plan, words, at)
    if (lo === 0 && hi === 0) continue
    if (!isTable(plan, lo, hi, level)) return MAP_BUSY
    const pfn = frameOf(plan, lo, hi)
    const record = records.get(pfn)
    const entry = table * PAGE_SIZE + index * t.format.entryBytes
    if (record?.level !== level + 1 || record.entry !== entry) return HUGE_REFUSED
    if (!isEmpty(t, pfn)) return MAP_BUSY
    found.push(pfn)
  }
  return found
}

function markPage(t: TableTree, pfn: number): void {
  const { ram } = t.frames
  if (ram.tracksDirty) ram.markDirty(pfn * PAGE_SIZE, PAGE_SIZE)
}
