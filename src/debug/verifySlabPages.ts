/** Checks slabs and large blocks against the page allocator beneath: they are blocks in use, and marked. */

import { flagsOrder, pageRecord } from '../page/memmap'
import { PG_HEAD, PG_SLAB } from '../page/pageFlags'
import { slabNode, slabOrderOf } from '../slab/slabs'
import {
  HEADER_MAX_PFN,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_PFMEMALLOC,
  PAGE_REFS,
  ZONE_NODE,
} from '../state/schema'
import { SLAB_FLAGS, SLAB_FRAMES, SLAB_PFMEMALLOC, SLAB_PFN } from '../state/slabSchema'
import { zoneOfPfn } from '../zone/zones'
import { pfnText } from './invariants'
import { slabText } from './slabInvariants'
import type { Survey } from './slabSurvey'

/** Checks what `pages`, the words of the page allocator, say of each block. */
export function checkBlocks(s: Survey, pages: Int32Array): void {
  for (const slab of s.slabs) {
    const pfn = s.words[slab + SLAB_PFN]!
    const flags = s.words[slab + SLAB_FLAGS]!
    if (!checkBlock(s, pages, pfn, slabOrderOf(s.words, slab))) continue
    const reserve = (pages[pageRecord(pfn) + PAGE_FLAGS]! & PAGE_PFMEMALLOC) !== 0
    const node = pages[zoneOfPfn(pages, pfn) + ZONE_NODE]!
    if (reserve === ((flags & SLAB_PFMEMALLOC) !== 0) && node === slabNode(s.words, slab)) continue
    const there = `its pages are on node ${node}, ${reserve ? '' : 'not '}of the reserve`
    s.v.report('PAGES-2', `${slabText(s.words, slab)} has flags 0x${flags.toString(16)}; ${there}`)
  }
  for (const pfn of s.large) checkBlock(s, pages, pfn, -1 - s.words[SLAB_FRAMES + pfn]!)
}

function checkBlock(s: Survey, pages: Int32Array, pfn: number, order: number): boolean {
  const record = pageRecord(pfn)
  const flags = pages[record + PAGE_FLAGS]!
  const inMemory = pfn < pages[HEADER_MAX_PFN]! && zoneOfPfn(pages, pfn) >= 0
  const marks = PAGE_BUDDY | PG_SLAB | PG_HEAD
  const right =
    inMemory &&
    pages[record + PAGE_REFS]! > 0 &&
    flagsOrder(flags) === order &&
    (flags & marks) === (order > 0 ? PG_SLAB | PG_HEAD : PG_SLAB)
  if (right) return true
  const said = `flags 0x${(flags >>> 0).toString(16)}, ${pages[record + PAGE_REFS]} references`
  s.v.report('PAGES-1', `${pfnText(pfn)} heads a block of order ${order}, with ${said}`)
  return false
}
