/** A buddy allocator as the virtual mapper sees it: single frames, many frames, blocks to be split. */

import { InvalidArgument } from '../base/errors'
import type { Pfn } from '../base/units'
import type { FrameSource } from '../page/frameSource'
import { blockHead, flagsOrder, pageRecord } from '../page/memmap'
import { PAGE_FLAGS_CHECK_AT_FREE, PG_RESERVED } from '../page/pageFlags'
import {
  HEADER_ONLINE_NODES,
  HEADER_TOTAL_RAM,
  PAGE_FLAGS,
  PAGE_REFS,
  ZONE_INDEX,
  ZONE_PRESENT,
  ZONE_WORDS_SHIFT,
} from '../state/schema'
import { inRanges, rangesEnd } from '../zone/ranges'
import type { BuddyAllocator } from './buddyAllocator'
import { allocPagesBulk, splitPage } from './exactPages'
import { pageSource } from './pageSource'
import { getPage } from './references'
import { inContext } from './running'

/** Something that frames can be had from. */
export type Frames = BuddyAllocator | FrameSource

const sources = /* @__PURE__ */ new WeakMap<object, FrameSource>()

/**
 * The frame source of an allocator, always the same; a frame source is its own.
 * @throws InvalidArgument for anything else, and for memory without content.
 */
export function frameSource(pages: Frames): FrameSource {
  if (typeof (Object(pages) as Partial<FrameSource>).splitPages === 'function') {
    return pages as FrameSource
  }
  const known = sources.get(Object(pages))
  if (known) return known
  if (!(Object(pages) as Partial<BuddyAllocator>).context) {
    throw new InvalidArgument('pages', pages, 'a page allocator')
  }
  const made = makeSource(pages as BuddyAllocator)
  sources.set(pages, made)
  return made
}

function makeSource(pages: BuddyAllocator): FrameSource {
  const c = pages.context
  const { words } = c
  const { maxPfn, nrCpus, nrNodes, running, ram, nodeOf } = pageSource(pages)
  const refs = (pfn: number) => words[pageRecord(pfn) + PAGE_REFS]!
  const isFrame = (pfn: number) => pfn >>> 0 === pfn && pfn < maxPfn
  return {
    maxPfn,
    nrCpus,
    nrNodes,
    running,
    ram,
    nodeOf,
    allocPages(gfp, order, node) {
      const pfn = node < 0 ? pages.allocPages(gfp, order) : pages.allocPagesNode(node, gfp, order)
      return pfn ?? -1
    },
    freePages(pfn, order) {
      // Whoever else holds a reference frees the page with the last one.
      if (isFrame(pfn) && refs(pfn) > 1) words[pageRecord(pfn) + PAGE_REFS]! -= 1
      else pages.freePages(pfn as Pfn, order)
    },
    splitPages: (pfn, order) => splitPage(pages, pfn as Pfn, order),
    allocBulk(gfp, count, node, pfns) {
      for (const pfn of allocPagesBulk(pages, gfp, count, node)) pfns.push(pfn)
    },
    isMemory: (pfn) => isFrame(pfn) && inRanges(words, pfn),
    isReserved: (pfn) => isFrame(pfn) && (words[pageRecord(pfn) + PAGE_FLAGS]! & PG_RESERVED) !== 0,
    endPfn: () => rangesEnd(words),
    isInUse(pfn) {
      const head = isFrame(pfn) ? blockHead(words, pfn) : -1
      return head >= 0 && refs(head) > 0
    },
    isBlock: (pfn, order) =>
      isFrame(pfn) && refs(pfn) > 0 && isFreeable(words[pageRecord(pfn) + PAGE_FLAGS]!, order),
    warnAlloc: (gfp, message) => c.log.warnAlloc?.(c, gfp, message),
    inContext: (bits, body) => inContext(pages, bits, body),
    getPage: (pfn) => getPage(pages, pfn as Pfn),
    totalPages: () => words[HEADER_TOTAL_RAM]!,
    onlineNodes: () => words[HEADER_ONLINE_NODES]!,
    hasZone(index) {
      for (let i = 0; i < c.nrZones; i++) {
        const zone = c.zones + (i << ZONE_WORDS_SHIFT)
        if (words[zone + ZONE_INDEX] === index && words[zone + ZONE_PRESENT] !== 0) return true
      }
      return false
    },
  }
}

/** Whether the flags are those of a block of `order` that may be freed: a slab may not, nor a reserved page. */
function isFreeable(flags: number, order: number): boolean {
  return (flags & PAGE_FLAGS_CHECK_AT_FREE) === 0 && flagsOrder(flags) === order
}
