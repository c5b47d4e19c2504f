/**
 * Marks of use in leaves: set as the processor sets them, and taken away.
 *
 * Source: spec/vmalloc.md §13.2, §13.4, §13.5.
 */

import { PROT_ACCESSED, PROT_DIRTY, PROT_WRITE } from './format'
import type { TableTree } from './tableTree'

/** Marks a page as used, and for a write as written, as the processor does. Whether it is mapped. */
export function markUsed(t: TableTree, address: number, write: boolean): boolean {
  const level = t.seek(address, t.plan.last)
  if (t.format.kindOf(t.lo, t.hi, level) !== 'leaf') return false
  const { accessed, written } = t.plan
  let lo = (t.lo & ~accessed.clearLow) | accessed.setLow
  let hi = (t.hi & ~accessed.clearHigh) | accessed.setHigh
  if (write && (t.format.protOf(t.lo, t.hi, level) & PROT_WRITE) !== 0) {
    lo = (lo & ~written.clearLow) | written.setLow
    hi = (hi & ~written.clearHigh) | written.setHigh
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
  const { accessed, dirty } = t.plan
  let { lo, hi } = t
  if ((had & PROT_ACCESSED) !== 0) {
    lo = (lo & ~accessed.setLow) | accessed.clearLow
    hi = (hi & ~accessed.setHigh) | accessed.clearHigh
  }
  if ((had & PROT_DIRTY) !== 0) {
    lo &= ~dirty.setLow
    hi &= ~dirty.setHigh
    const cleanLow = lo | dirty.clearLow
    const cleanHigh = hi | dirty.clearHigh
    // AArch64 without DBM: such an entry is writable only as long as it says dirty.
    const keeps = ((t.format.protOf(cleanLow, cleanHigh, level) ^ prot) & PROT_WRITE) === 0
    if (keeps) {
      lo = cleanLow
      hi = cleanHigh
    }
  }
  t.put(lo, hi)
  return had
}
