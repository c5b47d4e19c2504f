/** Looks at every fresh block. See `page/freshBlocks.ts`. */

import { MAX_ORDER, MAX_ORDER_PAGES, PAGEBLOCK_ORDER } from '../base/units'
import { pageRecord } from '../page/memmap'
import {
  BLOCK_FRESH,
  BLOCK_MIXED,
  BLOCK_PRESENT,
  HEADER_BLOCKS,
  HEADER_MAX_PFN,
  HEADER_NR_RANGES,
  HEADER_RANGES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  RANGE_END,
  RANGE_START,
  RANGE_WORDS,
} from '../state/schema'
import { pfnText, type Violations } from './invariants'

/** Flag word of a free block of the largest order. */
const FREE_BLOCK = PAGE_BUDDY | ((MAX_ORDER - 1) << PAGE_ORDER_SHIFT)

/** Checks FRESH-1. */
export function checkFresh(words: Int32Array, v: Violations): void {
  const end = words[HEADER_MAX_PFN]!
  for (let pfn = 0; pfn < end && !v.full; pfn += MAX_ORDER_PAGES) {
    const [first, second] = [blockWord(words, pfn), blockWord(words, pfn + MAX_ORDER_PAGES / 2)]
    if (((first | second) & BLOCK_FRESH) === 0) continue
    const fault = freshFault(words, pfn, first, second)
    if (fault !== '') v.report('FRESH-1', `${pfnText(pfn)} is fresh, but ${fault}`)
  }
}

/** What is wrong with a fresh block whose pageblocks have these words; '' for nothing. */
function freshFault(words: Int32Array, pfn: number, first: number, second: number): string {
  if (first !== second) return 'one of its pageblocks is not like the other'
  if ((first & (BLOCK_PRESENT | BLOCK_MIXED)) !== BLOCK_PRESENT || !isMemory(words, pfn)) {
    return 'it is not memory of one zone'
  }
  const before = pfn - MAX_ORDER_PAGES
  if (before < 0 || !leadsTo(words, before, first)) return 'the block before it does not lead to it'
  const end = pageRecord(pfn + MAX_ORDER_PAGES)
  let any = 0
  for (let at = pageRecord(pfn); at < end; at++) any |= words[at]!
  return any === 0 ? '' : 'its records are not zero'
}

/** Whether the block before a fresh one is of the same run. */
function leadsTo(words: Int32Array, pfn: number, block: number): boolean {
  const before = blockWord(words, pfn + MAX_ORDER_PAGES / 2)
  if ((before | BLOCK_FRESH) !== block || (blockWord(words, pfn) | BLOCK_FRESH) !== block)
    return false
  return (before & BLOCK_FRESH) !== 0 || words[pageRecord(pfn) + PAGE_FLAGS] === FREE_BLOCK
}

/** Whether all frames of the block are in memory ranges, which are ascending. */
function isMemory(words: Int32Array, pfn: number): boolean {
  let next = pfn
  const ranges = words[HEADER_RANGES]!
  for (let i = 0; i < words[HEADER_NR_RANGES]!; i++) {
    const range = ranges + i * RANGE_WORDS
    if (words[range + RANGE_START]! <= next) next = Math.max(next, words[range + RANGE_END]!)
  }
  return next >= pfn + MAX_ORDER_PAGES
}

function blockWord(words: Int32Array, pfn: number): number {
  return words[words[HEADER_BLOCKS]! + (pfn >> PAGEBLOCK_ORDER)]!
}
