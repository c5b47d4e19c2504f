/** What changed between two states of the page allocator: which blocks are in use. */

import { PAGE_SIZE, PAGEBLOCK_PAGES, type Pfn } from '../base/units'
import { flagsOrder } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import {
  BLOCK_FRESH,
  HEADER_BLOCKS,
  HEADER_WORDS,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_KERNEL_FLAGS,
  PAGE_REFS,
  PAGE_WORDS,
} from '../state/schema'
import { Lister, type Listing } from './listing'
import { frameOfPage } from './machineView'
import type { ShapeRange } from './shape'
import type { PageReader, WordReader } from './wordReader'

/** A block of pages that is in use. */
export interface UsedBlock {
  /** Its first frame. */
  readonly pfn: Pfn
  /** Its order. */
  readonly order: number
  /** Its PG_ flags. */
  readonly flags: number
  /** References to it. */
  readonly refs: number
}

/** A block that was in use before and is now, but not in the same way. */
export interface ChangedBlock {
  /** What it was. */
  readonly before: UsedBlock
  /** What it is. */
  readonly after: UsedBlock
}

/** What changed among pages. */
export interface PageChanges {
  /** Blocks that are in use now only. */
  readonly allocated: Listing<UsedBlock>
  /** Blocks that were in use before only. */
  readonly freed: Listing<UsedBlock>
  /** Of another order, with other flags, or more or fewer references. */
  readonly changed: Listing<ChangedBlock>
  /** Pages of the blocks that were allocated, and of those that were freed. */
  readonly allocatedPages: number
  /** Pages of those. pages */
  readonly freedPages: number
}

/** Bytes that changed on a page. */
export interface ChangedPage {
  /** Its frame. */
  readonly pfn: Pfn
  /** Bytes that differ, 1 to 4096. */
  readonly bytes: number
  /** Offset of the first of them. */
  readonly offset: number
}

/** What changed in RAM. */
export interface MemoryChanges extends Listing<ChangedPage> {
  /** Bytes that differ, on all pages. */
  readonly bytes: number
}

/** Compares the blocks in use of machines with frames [0, frames). */
export function comparePages(
  a: WordReader,
  b: WordReader,
  frames: number,
  limit: number,
): PageChanges {
  const allocated = new Lister<UsedBlock>(limit)
  const freed = new Lister<UsedBlock>(limit)
  const changed = new Lister<ChangedBlock>(limit)
  let allocatedPages = 0
  let freedPages = 0
  for (let pfn = nextFrame(a, b, 0); pfn < frames; pfn = nextFrame(a, b, pfn + 1)) {
    const before = usedBlock(a, pfn)
    const after = usedBlock(b, pfn)
    if (before === null && after !== null) {
      allocated.add(after)
      allocatedPages += 2 ** after.order
    } else if (before !== null && after === null) {
      freed.add(before)
      freedPages += 2 ** before.order
    } else if (before !== null && after !== null && !sameBlock(before, after)) {
      changed.add({ before, after })
    }
  }
  return {
    allocated: allocated.listing,
    freed: freed.listing,
    changed: changed.listing,
    allocatedPages,
    freedPages,
  }
}

/** Pages in use, reserved ones left out; and free ones, those on page lists of CPUs included. */
export function countPages(words: WordReader, frames: number): { used: number; free: number } {
  let used = 0
  let free = 0
  const blocks = words.at(HEADER_BLOCKS)
  for (let i = 0; i < frames / PAGEBLOCK_PAGES; i++) {
    if ((words.at(blocks + i) & BLOCK_FRESH) !== 0) free += PAGEBLOCK_PAGES
  }
  for (let pfn = nextFrame(words, words, 0); pfn < frames; pfn = nextFrame(words, words, pfn + 1)) {
    const record = recordOf(pfn)
    const flags = words.at(record + PAGE_FLAGS)
    const refs = words.at(record + PAGE_REFS)
    if ((flags & PAGE_BUDDY) !== 0 || refs < 0) free += 2 ** flagsOrder(flags)
    else if (refs > 0 && (flags & PG_RESERVED) === 0) used += 2 ** flagsOrder(flags)
  }
  return { used, free }
}

/** Compares the bytes of RAM. */
export function compareMemory(
  a: PageReader,
  b: PageReader,
  memory: readonly ShapeRange[],
  limit: number,
): MemoryChanges {
  const pages = memory.reduce((sum, [, size]) => sum + size / PAGE_SIZE, 0)
  const changed = new Lister<ChangedPage>(limit)
  let bytes = 0
  const next = (from: number) => Math.min(a.next(from), b.next(from))
  for (let page = next(0); page < pages; page = next(page + 1)) {
    const found = compareBytes(a.page(page), b.page(page))
    if (found.bytes === 0) continue
    bytes += found.bytes
    changed.add({ pfn: frameOfPage(memory, page), ...found })
  }
  return { ...changed.listing, bytes }
}

function compareBytes(
  a: Uint8Array | null,
  b: Uint8Array | null,
): { bytes: number; offset: number } {
  let bytes = 0
  let offset = -1
  if (a === null && b === null) return { bytes, offset }
  for (let i = 0; i < PAGE_SIZE; i++) {
    if ((a === null ? 0 : a[i]!) === (b === null ? 0 : b[i]!)) continue
    bytes += 1
    if (offset < 0) offset = i
  }
  return { bytes, offset }
}

/** The first frame from `pfn` on whose record may say something on one of the sides. */
function nextFrame(a: WordReader, b: WordReader, pfn: number): number {
  const record = recordOf(pfn)
  const place = Math.min(a.next(record), b.next(record))
  return Math.max(pfn, Math.floor((place - HEADER_WORDS) / PAGE_WORDS))
}

function usedBlock(words: WordReader, pfn: number): UsedBlock | null {
  const record = recordOf(pfn)
  const refs = words.at(record + PAGE_REFS)
  const flags = words.at(record + PAGE_FLAGS)
  if (refs <= 0 || (flags & PAGE_BUDDY) !== 0) return null
  return { pfn: pfn as Pfn, order: flagsOrder(flags), flags: flags & PAGE_KERNEL_FLAGS, refs }
}

function sameBlock(a: UsedBlock, b: UsedBlock): boolean {
  return a.order === b.order && a.flags === b.flags && a.refs === b.refs
}

function recordOf(pfn: number): number {
  return HEADER_WORDS + pfn * PAGE_WORDS
}
