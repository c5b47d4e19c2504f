/**
 * Giving leaves that are there another protection.
 *
 * Source: spec/vmalloc.md §13.2 to §13.6.
 */

import { PAGE_SIZE } from '../base/units'
import { PROT_ACCESSED, PROT_DIRTY, PROT_SPECIAL } from './format'
import { mapsFrames } from './tablePlan'
import { splitRange } from './tableSplit'
import { MAP_OK, nextEntry, type TableTree } from './tableTree'

/** What a page keeps when its protection is changed. */
const KEPT = PROT_ACCESSED | PROT_DIRTY | PROT_SPECIAL

/**
 * Gives all pages that are mapped in a range another protection. Large leaves that are partly in it are split;
 * the tables for that are taken before anything is changed. Returns a MAP_ code.
 */
export function protectRange(t: TableTree, address: number, bytes: number, prot: number): number {
  t.format.leafBits(prot, t.plan.last)
  const end = address + bytes
  const code = splitRange(t, address, end)
  if (code !== MAP_OK) return code
  if (rewriteRange(t, address, end, prot)) t.flush.flushTlb(address, end)
  return MAP_OK
}

/** Rewrites the leaves that lie in a range; whether there was one. */
function rewriteRange(t: TableTree, address: number, end: number, prot: number): boolean {
  const { last, spans } = t.plan
  const rewrite = new Rewrite(t, prot)
  for (let here = address; here < end; ) {
    const level = t.seek(here, last)
    if (level < last) {
      const next = nextEntry(here, spans[level]!)
      if (next <= end && next - spans[level]! >= address) rewrite.entries(1)
      here = next
      continue
    }
    const count = t.entriesLeft((end - here) / PAGE_SIZE)
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
    this.maps = mapsFrames(format, plan, lo, hi, level)
    if (!this.maps) return
    const kept = format.protOf(lo, hi, level) & KEPT
    const bits = format.leafBits(this.prot | kept, level)
    this.newLow = bits.lo
    this.newHigh = bits.hi
  }
}
