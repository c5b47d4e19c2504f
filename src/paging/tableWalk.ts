/**
 * Reading page tables: what an address is mapped to, entry by entry, and what is mapped in a range.
 *
 * Source: spec/vmalloc.md §13.
 */

import { PAGE_SIZE } from '../base/units'
import type { EntryKind } from './format'
import {
  entryIndex,
  frameOf,
  HIGH_UNIT,
  highHalf,
  isTable,
  leafFrame,
  pageOfLeaf,
} from './tablePlan'
import type { TableTree } from './tableTree'

/** An entry that a walk came through. */
export interface PageWalkEntry {
  /** Its level, 0 for the top one. */
  readonly level: number
  /** Name of the level. */
  readonly name: string
  /** Frame of the table that it lies in. */
  readonly tablePfn: number
  /** Its index there. */
  readonly index: number
  /** Its physical address. */
  readonly entryAddress: number
  /** Its low half, signed. */
  readonly lo: number
  /** Its high half, signed; 0 for entries of 4 bytes. */
  readonly hi: number
  /** What it is; 'bad' also for a table outside memory. */
  readonly kind: EntryKind
  /** Frame that it points at or maps first; null for none. */
  readonly pfn: number | null
  /** What a leaf allows, or what a table leaves of read, write, execute and user; 0 for others. */
  readonly prot: number
}

/** How an address is translated. */
export interface PageWalk {
  /** What was looked up. */
  readonly address: number
  /** From the top table to where the walk ends. */
  readonly entries: readonly PageWalkEntry[]
  /** Frame that the address is mapped to; null for none. */
  readonly pfn: number | null
  /** Physical address; null for none. */
  readonly physical: number | null
  /** What all entries together allow; 0 when nothing is mapped. */
  readonly prot: number
  /** Level of the leaf; -1 for none. */
  readonly leafLevel: number
  /** Bytes that the last entry covers. */
  readonly bytes: number
}

/** Told of a leaf: its first address, bytes, first frame, what it allows, its halves and level. */
export type LeafVisitor = (
  address: number,
  bytes: number,
  pfn: number,
  prot: number,
  lo: number,
  hi: number,
  level: number,
) => void

/** Read, write, execute, user. */
const ALL_RIGHTS = 0xf

/** Frame that a byte address is mapped to; -1 for none. */
export function frameAt(t: TableTree, address: number): number {
  const { plan, places } = t
  if (!plan.even) return lookUp(t, address)
  // Numbers of the plan in locals, and no arrays but memory: half the time of the general way (measured).
  const words = places.allWords()
  const low = (address / PAGE_SIZE) >>> 0
  const high = (address / HIGH_UNIT) >>> 0
  const { lowMask, pfnShift, highMask, frameUnit } = plan
  const isLow = plan.tableLowIs[0]!
  const isHigh = plan.tableHighIs[0]!
  const testLow = plan.tableLow[0]!
  const testHigh = plan.tableHigh[0]!
  let base = places.of(address < plan.half ? t.root : t.highRoot)
  for (let shift = plan.topShift; ; shift -= 9) {
    const index = (shift < 27 ? low >>> shift : high >>> (shift - 27)) & 511
    const at = base + 2 * index
    const lo = words[at]!
    const hi = words[at + 1]!
    const above = hi & highMask
    const below = (lo & lowMask) >>> pfnShift
    const pfn = above === 0 ? below : below + above * frameUnit
    if (shift === 0) return isLeaf(t, lo & ~lowMask, hi & ~highMask) ? pfn : -1
    // Nothing there, or a large leaf.
    if ((lo & testLow) !== isLow || (hi & testHigh) !== isHigh) return lookUp(t, address)
    base = places.of(pfn)
    if (base < 0) return -1
  }
}

/** Walks to the leaf of an address. */
export function walk(t: TableTree, address: number): PageWalk {
  const { format, plan, places } = t
  const words = places.allWords()
  const entries: PageWalkEntry[] = []
  let table = address >= plan.half ? t.highRoot : t.root
  for (const [level, { name }] of format.levels.entries()) {
    const index = entryIndex(plan, address, level)
    const at = places.of(table) + index * plan.stride
    const entry = readEntry(t, level, name, table, index, words[at]!, highHalf(plan, words, at))
    entries.push(entry)
    if (entry.kind !== 'table' || entry.pfn === null) break
    table = entry.pfn
  }
  const end = entries[entries.length - 1]
  const level = entries.length - 1
  const bytes = plan.spans[level]!
  if (end?.kind !== 'leaf' || end.pfn === null) {
    return { address, entries, pfn: null, physical: null, prot: 0, leafLevel: -1, bytes }
  }
  const physical = end.pfn * PAGE_SIZE + (address % bytes)
  const prot = entries.reduceRight(
    (left, { lo, hi, level: at }) => (at === level ? left : format.restrict(left, lo, hi, at)),
    end.prot,
  )
  const pfn = Math.floor(physical / PAGE_SIZE)
  return { address, entries, pfn, physical, prot, leafLevel: level, bytes }
}

/** Visits the leaves that a range touches, in ascending order, each as a whole. */
export function forEachLeaf(t: TableTree, start: number, end: number, visit: LeafVisitor): void {
  if (start >= end) return
  const { half } = t.plan
  const visitor = new Visitor(t, visit)
  if (t.root === t.highRoot) {
    visitor.table(t.root, 0, 0, start, end)
    return
  }
  if (start < half) visitor.table(t.root, 0, 0, start, Math.min(end, half))
  if (end > half) visitor.table(t.highRoot, 0, half, Math.max(start, half), end)
}

/** Whether an entry of the last level, without its frame number, is a leaf; neighbours mostly look alike. */
function isLeaf(t: TableTree, low: number, high: number): boolean {
  if (low === t.leafLow && high === t.leafHigh) return true
  if (t.format.kindOf(low, high, t.plan.last) !== 'leaf') return false
  t.leafLow = low
  t.leafHigh = high
  return true
}

/** Frame that an address is mapped to, in any format and by a leaf of any size; -1 for none. */
function lookUp(t: TableTree, address: number): number {
  const { plan, places, format } = t
  const { stride, last } = plan
  const words = places.allWords()
  let base = places.of(address < plan.half ? t.root : t.highRoot)
  for (let level = 0; base >= 0; level++) {
    const at = base + entryIndex(plan, address, level) * stride
    const lo = words[at]!
    const hi = stride === 2 ? words[at + 1]! : 0
    if (level === last || !isTable(plan, lo, hi, level)) {
      return format.kindOf(lo, hi, level) === 'leaf' ? pageOfLeaf(plan, lo, hi, level, address) : -1
    }
    base = places.of(frameOf(plan, lo, hi))
  }
  return -1
}

function readEntry(
  t: TableTree,
  level: number,
  name: string,
  tablePfn: number,
  index: number,
  lo: number,
  hi: number,
): PageWalkEntry {
  const { format, plan } = t
  let kind = format.kindOf(lo, hi, level)
  let pfn: number | null = null
  let prot = 0
  if (kind === 'leaf') {
    pfn = leafFrame(plan, lo, hi, level)
    prot = format.protOf(lo, hi, level)
  } else if (kind === 'table') {
    pfn = frameOf(plan, lo, hi)
    prot = format.restrict(ALL_RIGHTS, lo, hi, level)
    if (t.places.of(pfn) < 0) kind = 'bad'
  }
  const entryAddress = tablePfn * PAGE_SIZE + index * format.entryBytes
  return { level, name, tablePfn, index, entryAddress, lo, hi, kind, pfn, prot }
}

class Visitor {
  private readonly t: TableTree
  private readonly visit: LeafVisitor
  /** Halves of the entries on the way down, by level. */
  private readonly path = new Int32Array(16)

  constructor(t: TableTree, visit: LeafVisitor) {
    this.t = t
    this.visit = visit
  }

  /** Visits what [start, end) touches in a table whose first entry is that of address `base`. */
  table(pfn: number, level: number, base: number, start: number, end: number): void {
    const { plan, places, format } = this.t
    const { stride } = plan
    const span = plan.spans[level]!
    const first = Math.max(Math.floor((start - base) / span), 0)
    const behind = Math.min(Math.ceil((end - base) / span), plan.masks[level]! + 1)
    for (let index = first; index < behind; index++) {
      // The visitor may have made memory grow.
      const words = places.allWords()
      const at = places.of(pfn) + index * stride
      const lo = words[at]!
      const hi = stride === 2 ? words[at + 1]! : 0
      if (lo === 0 && hi === 0) continue
      const kind = format.kindOf(lo, hi, level)
      const address = base + index * span
      if (kind === 'leaf') this.leaf(address, lo, hi, level)
      if (kind !== 'table') continue
      const below = frameOf(plan, lo, hi)
      if (places.of(below) < 0) continue
      this.path[2 * level] = lo
      this.path[2 * level + 1] = hi
      this.table(below, level + 1, address, start, end)
    }
  }

  private leaf(address: number, lo: number, hi: number, level: number): void {
    const { plan, format } = this.t
    let prot = format.protOf(lo, hi, level)
    for (let above = level - 1; above >= 0; above--) {
      prot = format.restrict(prot, this.path[2 * above]!, this.path[2 * above + 1]!, above)
    }
    const pfn = leafFrame(plan, lo, hi, level)
    this.visit(address, plan.spans[level]!, pfn, prot, lo, hi, level)
  }
}
