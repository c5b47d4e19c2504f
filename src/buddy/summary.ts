/** Free memory at a glance, from the counts of free blocks. Source: spec/page-allocator.md §9.7. */

import { checkInteger } from '../base/errors'
import { MAX_ORDER } from '../base/units'
import { zoneCounter } from '../state/counters'
import {
  NR_FREE_PAGES,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_NR_FREE,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { fragmentationIndex, unusableIndex } from '../zone/fragmentation'
import type { BuddyAllocator } from './buddyAllocator'
import { checkOrder } from './checks'

/** What {@link freeSummary} tells. */
export interface FreeSummary {
  /** Pages handed to the allocator. */
  readonly managedPages: number
  /** Free pages as the zones' counters have them: without those on CPU lists. */
  readonly freePages: number
  /** Free blocks by order. */
  readonly freeBlocks: readonly number[]
  /** Order of the largest free block; -1 when there is none. */
  readonly largestOrder: number
  /** 0 to 1000: the part of free memory that is too scattered for a block of the order. */
  readonly unusableIndex: number
  /** -1000 when a block of the order is free; else towards 0 for lack of memory, towards 1000 for fragmentation. */
  readonly fragmentationIndex: number
}

/**
 * Free memory at a glance: of all zones, or of those of `node`. The indices are about blocks of
 * `order`. Cost: the number of zones and orders.
 */
export function freeSummary(pages: BuddyAllocator, order = 0, node?: number): FreeSummary {
  const c = pages.context
  const words = c.words
  checkOrder(order)
  if (node !== undefined) checkInteger('node', node, 0, c.nrNodes - 1)
  const freeBlocks = new Array<number>(MAX_ORDER).fill(0)
  let managedPages = 0
  let freePages = 0
  for (let i = 0; i < c.nrZones; i++) {
    const zone = c.zones + (i << ZONE_WORDS_SHIFT)
    if (node !== undefined && words[zone + ZONE_NODE] !== node) continue
    managedPages += words[zone + ZONE_MANAGED]!
    freePages += zoneCounter(words, zone, NR_FREE_PAGES)
    for (let o = 0; o < MAX_ORDER; o++) freeBlocks[o]! += words[zone + ZONE_NR_FREE + o]!
  }
  return {
    managedPages,
    freePages,
    freeBlocks,
    largestOrder: freeBlocks.findLastIndex((count) => count > 0),
    unusableIndex: unusableIndex(freeBlocks, order),
    fragmentationIndex: fragmentationIndex(freeBlocks, order),
  }
}
