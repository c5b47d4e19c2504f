/** How much of each pageblock is memory and how much of that is free: the figures behind a picture. */

import { KernelBug } from '../base/errors'
import { MAX_ORDER, PAGEBLOCK_PAGES } from '../base/units'
import { freeList } from '../buddy/freeArea'
import { blocksAt } from '../page/freshBlocks'
import { flagsOrder, recordPfn } from '../page/memmap'
import { MIGRATE_TYPES } from '../page/migratetype'
import {
  HEADER_MAX_PFN,
  HEADER_NR_CPUS,
  NR_PCP_LISTS,
  PAGE_FLAGS,
  PAGE_NEXT,
  PCP_LISTS,
  PCP_WORDS,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_PCP,
  ZONE_START,
} from '../state/schema'
import { memoryPieces } from '../zone/blocks'
import { pageblockType } from '../zone/pageblock'
import { zoneEnd, zoneName } from '../zone/zones'

/** The pageblocks of one zone, from the one that holds its first page to the one that holds its last. */
export interface ZoneBlocks {
  readonly node: number
  readonly name: string
  /** Number of the first pageblock: its first PFN divided by 512. */
  readonly first: number
  readonly managedPages: number
  readonly freePages: number
  /** Pages of the zone that are memory, by pageblock; 0 in a hole. */
  readonly present: Int32Array
  /** Pages on free lists and on the CPUs' lists, by pageblock. */
  readonly free: Int32Array
  /** Migratetype, by pageblock. */
  readonly types: Int32Array
}

/** Counts the blocks of `zone`, a populated zone's record. Costs a walk over its free lists and pageblocks. */
export function zoneBlocks(words: Int32Array, zone: number): ZoneBlocks {
  const first = Math.floor(words[zone + ZONE_START]! / PAGEBLOCK_PAGES)
  const count = Math.ceil(zoneEnd(words, zone) / PAGEBLOCK_PAGES) - first
  const free = new Int32Array(count)
  let freePages = countFreeLists(words, zone, first, free)
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const pcp = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    for (let list = 0; list < NR_PCP_LISTS; list++) {
      freePages += countList(words, pcp + PCP_LISTS + 2 * list, first, free)
    }
  }
  const types = new Int32Array(count)
  for (let i = 0; i < count; i++) types[i] = pageblockType(words, (first + i) * PAGEBLOCK_PAGES)
  return {
    node: words[zone + ZONE_NODE]!,
    name: zoneName(words, zone),
    first,
    managedPages: words[zone + ZONE_MANAGED]!,
    freePages,
    present: presentPages(words, zone, first, count),
    free,
    types,
  }
}

function countFreeLists(words: Int32Array, zone: number, first: number, free: Int32Array): number {
  let pages = 0
  for (let order = 0; order < MAX_ORDER; order++) {
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      const head = freeList(zone, order, type)
      pages += countList(words, head, first, free)
    }
  }
  return pages
}

/** Adds the blocks of a list to `free`; blocks above order 9 to several pageblocks. */
function countList(words: Int32Array, head: number, first: number, free: Int32Array): number {
  let pages = 0
  let left = words[HEADER_MAX_PFN]!
  for (
    let record = words[head + PAGE_NEXT]!;
    record !== head;
    record = words[record + PAGE_NEXT]!
  ) {
    if (left-- === 0) throw new KernelBug('LIST_LOOP', `the list at word ${head} does not end`)
    const size = blocksAt(words, record) << flagsOrder(words[record + PAGE_FLAGS]!)
    const block = Math.floor(recordPfn(record) / PAGEBLOCK_PAGES) - first
    for (let part = 0; part * PAGEBLOCK_PAGES < size; part++) {
      free[block + part]! += Math.min(size, PAGEBLOCK_PAGES)
    }
    pages += size
  }
  return pages
}

function presentPages(words: Int32Array, zone: number, first: number, count: number): Int32Array {
  const present = new Int32Array(count)
  for (const piece of memoryPieces(words)) {
    if (piece.zone !== zone) continue
    let pfn = piece.start
    while (pfn < piece.end) {
      const block = Math.floor(pfn / PAGEBLOCK_PAGES)
      const end = Math.min(piece.end, (block + 1) * PAGEBLOCK_PAGES)
      present[block - first]! += end - pfn
      pfn = end
    }
  }
  return present
}
