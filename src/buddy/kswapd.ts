/**
 * The part of the background reclaimer that the page allocator sees without any reclaim: a run ends the
 * watermark boosts that it found when it started. Source: spec/page-allocator.md §3.7.
 */

import { checkInteger } from '../base/errors'
import { NR_ZONES, ZONE_BOOST, ZONE_QUIET } from '../state/schema'
import { zoneRecord } from '../zone/zones'
import type { BuddyAllocator } from './buddyAllocator'

/**
 * Lets the background reclaimer of `node` run once: the boosts of its zones end. Steals raise them again.
 * @throws InvalidArgument for a node that the machine has not.
 */
export function runKswapd(pages: BuddyAllocator, node = 0): void {
  const { words, nrNodes } = pages.context
  checkInteger('node', node, 0, nrNodes - 1)
  for (let index = 0; index < NR_ZONES; index++) {
    const zone = zoneRecord(words, node, index)
    words[zone + ZONE_BOOST] = 0
    words[zone + ZONE_QUIET] = 0
  }
}
