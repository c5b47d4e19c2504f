/** Freeing a list of pages, as the kernel's batched frees do. Source: spec/page-allocator.md §7.2. */
import { InvalidArgument } from '../base/errors'
import type { Pfn } from '../base/units'
import { pageRecord } from '../page/memmap'
import { MIGRATE_ISOLATE } from '../page/migratetype'
import { PAGE_REFS, ZONE_PCP } from '../state/schema'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame } from './checks'
import type { BuddyContext } from './context'
import { checkBlock } from './free'
import { blockType, freeOnePage, zoneAt } from './freeArea'
import { putOnPcp } from './pcp'

/**
 * Frees single pages as one list: their events and list order are those of a kernel that frees a
 * list of pages. All are freed or none.
 */
export function freePagesList(pages: BuddyAllocator, pfns: readonly Pfn[]): void {
  if (!Array.isArray(pfns)) throw new InvalidArgument('pfns', pfns, 'an array of frames')
  for (const pfn of pfns) checkFrame(pages.context, pfn)
  freePageList(pages.context, pfns)
}

/**
 * Frees single pages as one list: all are prepared, then all go to the CPU's lists, in the order given.
 * @throws KernelBug when one of them cannot be freed or comes twice; then none is.
 */
function freePageList(c: BuddyContext, pfns: ArrayLike<number>): void {
  const words = c.words
  for (let i = 0; i < pfns.length; i++) {
    try {
      checkBlock(c, pfns[i]!, 0)
    } catch (bug) {
      for (let k = 0; k < i; k++) words[pageRecord(pfns[k]!) + PAGE_REFS] = 1
      throw bug
    }
    // As a page on a list has it, so that its second appearance is a double free.
    words[pageRecord(pfns[i]!) + PAGE_REFS] = -1
  }
  for (let i = 0; i < pfns.length; i++) {
    const pfn = pfns[i]!
    if (c.tracing) c.trace.pageFree(pfn, 0)
    const type = blockType(c, pfn)
    // The type is looked up now; the page goes to a list later.
    words[pageRecord(pfn) + PAGE_REFS] = -1 - type
    if (type === MIGRATE_ISOLATE) freeNow(c, pfn, type)
  }
  for (let i = 0; i < pfns.length; i++) {
    const pfn = pfns[i]!
    const type = -1 - words[pageRecord(pfn) + PAGE_REFS]!
    if (type < 0) continue
    if (c.pcpLocked) {
      freeNow(c, pfn, type)
      continue
    }
    const zone = zoneAt(c, pfn)
    if (c.tracing) c.trace.pageFreeBatched(pfn)
    putOnPcp(c, zone, words[zone + ZONE_PCP]! + c.pcpShift, pfn, 0, type)
  }
}

/** Puts a prepared page into the free areas, past the CPU's lists. */
function freeNow(c: BuddyContext, pfn: number, type: number): void {
  c.words[pageRecord(pfn) + PAGE_REFS] = 0
  freeOnePage(c, zoneAt(c, pfn), pfn, 0, type, false)
}
