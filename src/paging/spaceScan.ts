/**
 * What is mapped in a range, pages that nobody may use included: those have entries that no processor takes
 * for valid.
 *
 * Source: spec/vmalloc.md §13.
 */

import { PAGE_SIZE } from '../base/units'
import { type PageTableFormat, PROT_ACCESSED, PROT_DIRTY, PROT_READ } from './format'
import { FramePlaces } from './framePlaces'
import type { PageTables } from './pageTables'
import { entryIndex, frameOf, isTable, leafFrame, type TablePlan, tablePlan } from './tablePlan'

/** Consecutive pages that are mapped alike to consecutive frames. */
export interface SpaceMapping {
  /** First address. */
  readonly address: number
  readonly bytes: number
  /** First frame. */
  readonly pfn: number
  /** PROT_ bits and the cache mode, without PROT_ACCESSED and PROT_DIRTY. */
  readonly prot: number
}

/** Told of an entry that is not empty and points at no table: its address, halves and level. True to end the scan. */
type EntryVisitor = (address: number, lo: number, hi: number, level: number) => boolean

/** Reads tables by themselves: nothing is believed of what they hold. */
export class SpaceScan {
  private readonly tables: PageTables
  private readonly format: PageTableFormat
  private readonly plan: TablePlan
  private readonly places: FramePlaces

  constructor(tables: PageTables) {
    this.tables = tables
    this.format = tables.format
    this.plan = tablePlan(tables.format)
    this.places = new FramePlaces(tables.frames)
  }

  /** The first address in [start, end) whose entry is not empty; -1 for none. */
  firstUsed(start: number, end: number): number {
    let found = -1
    this.scan(start, end, (address) => {
      found = Math.max(address, start)
      return true
    })
    return found
  }

  /** What is mapped in [start, end), in ascending order; a large leaf as a whole. */
  mappings(start: number, end: number): SpaceMapping[] {
    const runs: { address: number; bytes: number; pfn: number; prot: number }[] = []
    this.scan(start, end, (address, lo, hi, level) => {
      const prot = this.protOf(lo, hi, level)
      if (prot < 0) return false
      const pfn = leafFrame(this.plan, lo, hi, level)
      const bytes = this.plan.spans[level]!
      const last = runs[runs.length - 1]
      const follows =
        last !== undefined &&
        last.address + last.bytes === address &&
        last.pfn + last.bytes / PAGE_SIZE === pfn &&
        last.prot === prot
      if (follows) last.bytes += bytes
      else runs.push({ address, bytes, pfn, prot })
      return false
    })
    return runs
  }

  /** The protection of an entry that maps something; -1 for another. */
  private protOf(lo: number, hi: number, level: number): number {
    const { format, plan } = this
    const kind = format.kindOf(lo, hi, level)
    const prot = format.protOf(lo, hi, level)
    if (kind === 'none') {
      // Only what the format itself writes for pages that nobody may use: anything else is no mapping.
      if (format.levels[level]?.leaf !== true || (prot & PROT_READ) !== 0) return -1
      const bits = format.leafBits(prot, level)
      const same =
        (lo & ~plan.leafLow[level]!) === bits.lo && (hi & ~plan.leafHigh[level]!) === bits.hi
      return same ? prot & ~(PROT_ACCESSED | PROT_DIRTY) : -1
    }
    return kind === 'leaf' ? prot & ~(PROT_ACCESSED | PROT_DIRTY) : -1
  }

  private scan(start: number, end: number, visit: EntryVisitor): void {
    const { plan, places, tables } = this
    for (let here = start; here < end; ) {
      const words = places.allWords()
      let base = places.of(here >= plan.half ? tables.highRoot : tables.root)
      for (let level = 0; ; level++) {
        const at = base + entryIndex(plan, here, level) * plan.stride
        const lo = words[at]!
        const hi = plan.stride === 2 ? words[at + 1]! : 0
        const table = level < plan.last && isTable(plan, lo, hi, level)
        base = table ? places.of(frameOf(plan, lo, hi)) : -1
        if (base >= 0) continue
        const span = plan.spans[level]!
        const first = Math.floor(here / span) * span
        if ((lo !== 0 || hi !== 0) && visit(first, lo, hi, level)) return
        here = first + span
        break
      }
    }
  }
}
