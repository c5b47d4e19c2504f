/**
 * A buddy allocator as the layers above see it: the way to its pages. It calls the allocator as a user
 * does, so it brings none of its code into a bundle.
 */

import { InvalidArgument } from '../base/errors'
import type { Pfn } from '../base/units'
import { ALLOC_NO_WATERMARKS } from '../page/allocFlags'
import { pageRecord } from '../page/memmap'
import { PG_SLAB } from '../page/pageFlags'
import type { ByteRam, PageSource } from '../page/pageSource'
import {
  CPU_NODE,
  CPU_WORDS,
  NODE_ONLINE,
  PAGE_FLAGS,
  PAGE_PFMEMALLOC,
  PAGE_REFS,
  ZONE_INDEX,
  ZONE_NODE,
  ZONE_PRESENT,
} from '../state/schema'
import { nodeRecord, ZONE_MOVABLE, zoneOfPfn, zoneRecord } from '../zone/zones'
import { highestZone, zonelistFor } from './allocPages'
import type { BuddyAllocator } from './buddyAllocator'
import { reserveFlags } from './reserveAccess'

/** Something that pages can be had from. */
export type Pages = BuddyAllocator | PageSource

/** The page source of an allocator, always the same; a page source is its own. */
export function pageSource(pages: Pages): PageSource {
  const { allocBlock, context: c } = Object(pages) as Partial<BuddyAllocator & PageSource>
  if (allocBlock) return pages as PageSource
  if (!c) throw new InvalidArgument('pages', pages, 'a page allocator')
  c.source ??= makeSource(pages as BuddyAllocator)
  return c.source
}

function makeSource(pages: BuddyAllocator): PageSource {
  const c = pages.context
  const { words } = c
  const ram = c.ram as Partial<ByteRam>
  if (ram.hasContent !== true) {
    throw new InvalidArgument('ram', ram, 'memory with content')
  }
  const flagsAt = (pfn: number) => pageRecord(pfn) + PAGE_FLAGS
  const here = (node: number) => (node < 0 ? words[c.cpuRecord + CPU_NODE]! : node)
  return {
    maxPfn: c.maxPfn,
    nrCpus: c.nrCpus,
    nrNodes: c.nrNodes,
    running: c,
    ram: ram as ByteRam,
    cpuNode: (cpu) => words[c.cpus + cpu * CPU_WORDS + CPU_NODE]!,
    isOnline: (node) => words[nodeRecord(words, node) + NODE_ONLINE] === 1,
    hasMemory(node) {
      for (let index = 0; index < ZONE_MOVABLE; index++) {
        if (words[zoneRecord(words, node, index) + ZONE_PRESENT] !== 0) return true
      }
      return false
    },
    allocBlock(gfp, order, node) {
      const pfn = node < 0 ? pages.allocPages(gfp, order) : pages.allocPagesNode(node, gfp, order)
      if (pfn === null) return -1
      words[flagsAt(pfn)]! |= PG_SLAB
      return pfn
    },
    freeBlock(pfn, order) {
      words[flagsAt(pfn)]! &= ~PG_SLAB
      // As a kernel does it: who still holds a reference frees the block with the last one.
      if (words[pageRecord(pfn) + PAGE_REFS]! > 1) words[pageRecord(pfn) + PAGE_REFS]! -= 1
      else pages.freePages(pfn as Pfn, order)
    },
    nodeOf: (pfn) => words[zoneOfPfn(words, pfn) + ZONE_NODE]!,
    zoneIndexOf: (pfn) => words[zoneOfPfn(words, pfn) + ZONE_INDEX]!,
    isReserve: (pfn) => (words[flagsAt(pfn)]! & PAGE_PFMEMALLOC) !== 0,
    mayUseReserve: (gfp) => reserveFlags(c, gfp) === ALLOC_NO_WATERMARKS,
    zonelistNodes(gfp, node) {
      const nodes: number[] = []
      for (let at = zonelistFor(c, here(node), gfp); words[at] !== 0; at++) {
        const zone = words[at]!
        if (words[zone + ZONE_INDEX]! <= highestZone(c, gfp)) nodes.push(words[zone + ZONE_NODE]!)
      }
      return nodes
    },
  }
}
