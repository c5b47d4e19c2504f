/** Memory that boot had reserved and releases later, page by page. Source: spec/page-allocator.md §1.5, §8.3. */

import { checkInteger, KernelBug } from '../base/errors'
import type { Pfn } from '../base/units'
import { pageRecord } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import { HEADER_TOTAL_RAM, PAGE_FLAGS, ZONE_MANAGED } from '../state/schema'
import { inRanges } from '../zone/ranges'
import type { BuddyAllocator } from './buddyAllocator'
import { checkFrame } from './checks'
import { freeChecked } from './free'
import { zoneAt } from './freeArea'

/**
 * Frees `count` reserved frames of memory from `pfn` on, ascending, through the CPU's lists. They become
 * managed; watermarks and limits stay as they are.
 * @throws KernelBug, with nothing freed, when one of them is not reserved memory.
 */
export function freeReservedPages(pages: BuddyAllocator, pfn: Pfn, count = 1): void {
  const c = pages.context
  const words = c.words
  checkFrame(c, pfn)
  checkInteger('count', count, 1, c.maxPfn - pfn)
  for (let page: number = pfn; page < pfn + count; page++) {
    const reserved = (words[pageRecord(page) + PAGE_FLAGS]! & PG_RESERVED) !== 0
    if (reserved && inRanges(words, page)) continue
    throw new KernelBug('NOT_RESERVED', `pfn 0x${page.toString(16)} is not reserved memory`)
  }
  for (let page: number = pfn; page < pfn + count; page++) {
    freeChecked(c, page, 0)
    words[zoneAt(c, page) + ZONE_MANAGED]! += 1
    words[HEADER_TOTAL_RAM]! += 1
  }
}
