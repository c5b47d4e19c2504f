/**
 * What is mapped in a range, pages that nobody may use included: those have entries that no processor takes
 * for valid.
 *
 * Source: spec/vmalloc.md §13.
 */

import { PAGE_SIZE } from '../base/units'
import { PROT_ACCESSED, PROT_DIRTY } from './format'
import { leafFrame, mapsFrames } from './tablePlan'
import { nextEntry, type TableTree } from './tableTree'

/** Consecutive pages that are mapped alike to consecutive frames. */
export interface SpaceMapping {
  /** First address. */
  readonly address: number
  /** Its size. */
  readonly bytes: number
  /** First frame. */
  readonly pfn: number
  /** PROT_ bits and the cache mode, without PROT_ACCESSED and PROT_DIRTY. */
  readonly prot: number
}

/** The first address in [start, end) whose entry is not empty; -1 for none. */
export function firstUsed(t: TableTree, start: number, end: number): number {
  const { last, spans, stride } = t.plan
  for (let here = start; here < end; ) {
    const level = t.seek(here, last)
    if (level < last) {
      if (t.lo !== 0 || t.hi !== 0) return here
      here = nextEntry(here, spans[level]!)
      continue
    }
    const count = t.entriesLeft((end - here) / PAGE_SIZE)
    for (let i = 0; i < count * stride; i++) {
      if (t.words[t.at + i] !== 0) return here + Math.floor(i / stride) * PAGE_SIZE
    }
    here += count * PAGE_SIZE
  }
  return -1
}

/** What is mapped in [start, end), in ascending order; a large leaf as a whole. */
export function mappings(t: TableTree, start: number, end: number): SpaceMapping[] {
  const { last, spans } = t.plan
  const runs: { -readonly [Key in keyof SpaceMapping]: SpaceMapping[Key] }[] = []
  for (let here = start; here < end; ) {
    const level = t.seek(here, last)
    const bytes = spans[level]!
    const next = nextEntry(here, bytes)
    const address = next - bytes
    here = next
    const { lo, hi } = t
    if (!mapsFrames(t.format, t.plan, lo, hi, level)) continue
    const pfn = leafFrame(t.plan, lo, hi, level)
    const prot = t.format.protOf(lo, hi, level) & ~(PROT_ACCESSED | PROT_DIRTY)
    const run = runs[runs.length - 1]
    const follows =
      run !== undefined &&
      run.address + run.bytes === address &&
      run.pfn + run.bytes / PAGE_SIZE === pfn &&
      run.prot === prot
    if (follows) run.bytes += bytes
    else runs.push({ address, bytes, pfn, prot })
  }
  return runs
}
