/**
 * Changing leaves that are there: their protection, their size, and whether they count as used.
 *
 * Source: spec/vmalloc.md §13.2 to §13.6.
 */

import { PAGE_SIZE } from '../base/units'
import { PROT_ACCESSED, PROT_DIRTY, PROT_WRITE } from './format'
import { nextEntry } from './tableMap'
import { type EntryChange, leafFrame } from './tablePlan'
import { MAP_NO_MEMORY, MAP_OK, type TableTree } from './tableTree'

/** ACCESSED, DIRTY, SPECIAL: what a page keeps when its protection is changed. */
const KEPT = 0xe0

/**
 * Whether an entry maps frames: a leaf, or one that the format writes for pages that nobody may use. Other
 * entries that are not valid may hold anything.
 */
function isMapping(t: TableTree, lo: number, hi: number, level: number): boolean {
  const kind = t.format.kindOf(lo, hi, level)
  if (kind !== 'none') return kind === 'leaf'
  if ((lo === 0 && hi === 0) || t.format.levels[level]?.leaf !== true) return false
  const prot = t.format.protOf(lo, hi, level)
  const bits = t.format.leafBits(prot, level)
  const { leafLow, leafHigh } = t.plan
  return (lo & ~leafLow[level]!) === bits.lo && (hi & ~leafHigh[level]!) === bits.hi
}

/**
 * Gives all pages that are mapped in a range another protection. Large leaves that are partly in it are split;
 * the tables for that are taken before anything is changed. Returns a MAP_ code.
 */
export function protectRange(t: TableTree, address: number, bytes: number, prot: number): number {
  t.format.leafBits(prot, t.plan.last)
  const end = address + bytes
  const tables = takeTables(t, splitsNeeded(t, address, end))
  if (tables === null) return MAP_NO_MEMORY
  splitAt(t, address, tables)
  splitAt(t, end, tables)
  giveBack(t, tables)
  if (rewriteRange(t, address, end, prot)) t.flush.flushTlb(address, end)
  return MAP_OK
}

/** Makes `address` a place where a leaf starts, or none is. Returns a MAP_ code. */
export function splitLeaf(t: TableTree, address: number): number {
  const tables = takeTables(t, splitsNeeded(t, address, address))
  if (tables === null) return MAP_NO_MEMORY
  splitAt(t, address, tables)
  giveBack(t, tables)
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
  return isMapping(t, t.lo, t.hi, level) ? level : last
}

function takeTables(t: TableTree, count: number): number[] | null {
  const pfns: number[] = []
  try {
    for (let pfn = 0; pfns.length < count && pfn >= 0; ) {
      pfn = t.takePage()
      if (pfn >= 0) pfns.push(pfn)
    }
  } finally {
    if (pfns.length < count) giveBack(t, pfns)
  }
  return pfns.length === count ? pfns : null
}

function giveBack(t: TableTree, pfns: number[]): void {
  for (const pfn of pfns.splice(0)) t.frames.freePages(pfn, 0)
}

/** Splits leaves until none crosses `address`, with tables from the front of `tables`. */
function splitAt(t: TableTree, address: number, tables: number[]): void {
  const { last } = t.plan
  for (let level = crossedLevel(t, address); level < last; level = crossedLevel(t, address)) {
    const table = tables.shift()
    if (table === undefined) return
    splitEntry(t, table)
  }
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

/** Rewrites the leaves that lie in a range; whether there was one. */
function rewriteRange(t: TableTree, address: number, end: number, prot: number): boolean {
  const { last, masks, spans } = t.plan
  const rewrite = new Rewrite(t, prot)
  for (let here = address; here < end; ) {
    const level = t.seek(here, last)
    if (level < last) {
      const next = nextEntry(here, spans[level]!)
      if (next <= end && next - spans[level]! >= address) rewrite.entries(1)
      here = next
      continue
    }
    const count = Math.min((end - here) / PAGE_SIZE, masks[last]! + 1 - t.index)
    rewrite.entries(count)
    here += count * PAGE_SIZE
  }
  return rewrite.changed
}

/** Gives leaves another protection. Neighbours mostly look alike: what the last one became is remembered. */
class Rewrite {
  changed = false
  private readonly t: TableTree
  private readonly prot: number
  private level = -1
  private oldLow = 0
  private oldHigh = 0
  private newLow = 0
  private newHigh = 0
  private maps = false

  constructor(t: TableTree, prot: number) {
    this.t = t
    this.prot = prot
  }

  /** Rewrites those of `count` entries from the cursor on that map something. */
  entries(count: number): void {
    const { words, level, plan } = this.t
    const { stride } = plan
    const low = plan.leafLow[level]!
    const high = plan.leafHigh[level]!
    let at = this.t.at
    let any = false
    for (let i = 0; i < count; i++, at += stride) {
      const lo = words[at]!
      const hi = stride === 2 ? words[at + 1]! : 0
      if (lo === 0 && hi === 0) continue
      if ((lo & ~low) !== this.oldLow || (hi & ~high) !== this.oldHigh || level !== this.level) {
        this.learn(lo, hi, level)
      }
      if (!this.maps) continue
      words[at] = (lo & low) | this.newLow
      if (stride === 2) words[at + 1] = (hi & high) | this.newHigh
      any = true
    }
    if (!any) return
    this.changed = true
    this.t.written(count)
  }

  private learn(lo: number, hi: number, level: number): void {
    const { format, plan } = this.t
    this.level = level
    this.oldLow = lo & ~plan.leafLow[level]!
    this.oldHigh = hi & ~plan.leafHigh[level]!
    this.maps = isMapping(this.t, lo, hi, level)
    if (!this.maps) return
    const kept = format.protOf(lo, hi, level) & KEPT
    const bits = format.leafBits(this.prot | kept, level)
    this.newLow = bits.lo
    this.newHigh = bits.hi
  }
}

/** Marks a page as used, and for a write as written, as the processor does. Whether it is mapped. */
export function markUsed(t: TableTree, address: number, write: boolean): boolean {
  const level = t.seek(address, t.plan.last)
  if (t.format.kindOf(t.lo, t.hi, level) !== 'leaf') return false
  const { accessed, dirty } = t.plan
  let lo = (t.lo & ~accessed.clearLow) | accessed.setLow
  let hi = (t.hi & ~accessed.clearHigh) | accessed.setHigh
  if (write && (t.format.protOf(t.lo, t.hi, level) & PROT_WRITE) !== 0) {
    // Where a bit is cleared by the write, what is set besides is the kernel's own note.
    const clears = (dirty.clearLow | dirty.clearHigh) !== 0
    lo = (lo & ~dirty.clearLow) | (clears ? 0 : dirty.setLow)
    hi = (hi & ~dirty.clearHigh) | (clears ? 0 : dirty.setHigh)
  }
  if (lo !== t.lo || hi !== t.hi) t.put(lo, hi)
  return true
}

/** Takes ACCESSED or DIRTY from a page; those of `bits` that it had. */
export function testAndClear(t: TableTree, address: number, bits: number): number {
  const level = t.seek(address, t.plan.last)
  if (t.format.kindOf(t.lo, t.hi, level) !== 'leaf') return 0
  const prot = t.format.protOf(t.lo, t.hi, level)
  const had = prot & bits
  if (had === 0) return 0
  let { lo, hi } = t
  if ((had & PROT_ACCESSED) !== 0) {
    lo = undo(lo, t.plan.accessed.setLow, t.plan.accessed.clearLow)
    hi = undo(hi, t.plan.accessed.setHigh, t.plan.accessed.clearHigh)
  }
  if ((had & PROT_DIRTY) !== 0) {
    const change = (prot & PROT_WRITE) !== 0 ? t.plan.dirty : withoutClears(t.plan.dirty)
    lo = undo(lo, change.setLow, change.clearLow)
    hi = undo(hi, change.setHigh, change.clearHigh)
  }
  t.put(lo, hi)
  return had
}

function undo(half: number, set: number, cleared: number): number {
  return (half & ~set) | cleared
}

/** A page that is never written has set what a write would clear already. */
function withoutClears(change: EntryChange): EntryChange {
  return { ...change, clearLow: 0, clearHigh: 0 }
}
