/**
 * Writing leaves into page tables and clearing them, in ascending order of addresses.
 *
 * Source: spec/vmalloc.md §6.5, §13.6, §13.7.
 */

import { PAGE_SIZE } from '../base/units'
import type { EntryBits } from './format'
import { HUGE_REFUSED, putHuge } from './tableHuge'
import { MAP_BUSY, MAP_OK, nextEntry, type TableTree } from './tableTree'

/** Maps frames, one each page. Arguments have been checked. Returns a MAP_ code. */
export function mapPages(
  t: TableTree,
  address: number,
  pfns: ArrayLike<number>,
  first: number,
  count: number,
  bits: EntryBits,
): number {
  for (let done = 0; done < count; ) {
    const filled = fillTable(t, address + done * PAGE_SIZE, pfns, first + done, count - done, bits)
    if (filled < 0) return filled
    done += filled
  }
  return MAP_OK
}

/** Maps consecutive frames, with leaves of up to 2^maxShift bytes. Arguments have been checked. */
export function mapRange(
  t: TableTree,
  address: number,
  pfn: number,
  pages: number,
  prot: number,
  maxShift: number,
): number {
  const small = t.format.leafBits(prot, t.plan.last)
  const huge = hugeBits(t, prot, maxShift)
  for (let done = 0; done < pages; ) {
    const here = address + done * PAGE_SIZE
    let mapped = mapHuge(t, here, pfn + done, pages - done, huge)
    if (mapped === 0) mapped = fillTable(t, here, null, pfn + done, pages - done, small)
    if (mapped < 0) return mapped
    done += mapped
  }
  return MAP_OK
}

/**
 * Clears what is mapped in a range; a large leaf as a whole, and so what the processor refuses. Calls `point`
 * behind each part of the range that has a table of the last level.
 */
export function unmapRange(
  t: TableTree,
  address: number,
  bytes: number,
  point: (() => void) | null,
): void {
  const { last, spans, stride } = t.plan
  const end = address + bytes
  for (let here = address; here < end; ) {
    const level = t.seek(here, last)
    if (level < last) {
      if (t.lo !== 0 || t.hi !== 0) t.put(0, 0)
      here = nextEntry(here, spans[level]!)
      continue
    }
    const count = t.entriesLeft((end - here) / PAGE_SIZE)
    t.words.fill(0, t.at, t.at + count * stride)
    t.written(count)
    here += count * PAGE_SIZE
    if (point !== null) point()
  }
}

/** Makes the tables below the entries of a level that a range touches. Returns a MAP_ code. */
export function populate(t: TableTree, start: number, end: number, level: number): number {
  const span = t.plan.spans[level]!
  for (let here = start; here < end; here = nextEntry(here, span)) {
    const code = t.reach(here, level + 1)
    if (code !== MAP_OK) return code
  }
  return MAP_OK
}

/**
 * Maps pages from an address to the end of its table of the last level, `most` at most, as {@link fillPages} is told.
 * Returns how many, or a MAP_ code.
 */
function fillTable(
  t: TableTree,
  address: number,
  pfns: ArrayLike<number> | null,
  first: number,
  most: number,
  bits: EntryBits,
): number {
  const code = t.reach(address, t.plan.last)
  if (code !== MAP_OK) return code
  const room = t.entriesLeft(most)
  const filled = fillPages(t, pfns, first, room, bits.lo, bits.hi)
  t.written(filled)
  return filled < room ? MAP_BUSY : room
}

/**
 * Writes leaves from the cursor on, up to the first entry that is not empty; returns how many. Frames are those of a
 * list from index `first` on, or without one consecutive ones from frame `first` on.
 */
function fillPages(
  t: TableTree,
  pfns: ArrayLike<number> | null,
  first: number,
  count: number,
  lo: number,
  hi: number,
): number {
  const { words } = t
  const { stride, pfnShift, frameUnit } = t.plan
  let at = t.at
  for (let i = 0; i < count; i++) {
    const pfn = pfns === null ? first + i : pfns[first + i]!
    if (words[at] !== 0) return i
    if (stride === 2) {
      if (words[at + 1] !== 0) return i
      words[at + 1] = hi | (pfn / frameUnit)
    }
    words[at] = lo | (pfn << pfnShift)
    at += stride
  }
  return count
}

/** By level: the bits of a large leaf; null where it may not be used. */
function hugeBits(t: TableTree, prot: number, maxShift: number): (EntryBits | null)[] {
  const { levels, hugeLeaves } = t.format
  return levels.map(({ shift, leaf }, level) => {
    const fits = hugeLeaves && leaf && shift <= maxShift && level < t.plan.last
    return fits ? t.format.leafBits(prot, level) : null
  })
}

/** Tries a large leaf, the largest first. Returns its pages, 0 when none was put, or a MAP_ code. */
function mapHuge(
  t: TableTree,
  address: number,
  pfn: number,
  pages: number,
  bits: readonly (EntryBits | null)[],
): number {
  for (let level = 0; level < t.plan.last; level++) {
    const leaf = bits[level]
    if (leaf == null) continue
    const span = t.plan.spans[level]!
    const size = span / PAGE_SIZE
    if (pages < size || address % span !== 0 || pfn % size !== 0) continue
    const code = putHuge(t, address, level, pfn, leaf)
    if (code !== HUGE_REFUSED) return code === MAP_OK ? size : code
  }
  return 0
}
