/**
 * Handing memory to the allocator: all that boot leaves free, and what is added later.
 *
 * Source: spec/page-allocator.md §1.5, §1.7.
 */

import { MAX_ORDER, MAX_ORDER_PAGES, PAGEBLOCK_ORDER } from '../base/units'
import {
  type BootMemory,
  type FrameRun,
  freeFrames,
  memoryFrames,
  reservedFrames,
} from '../boot/bootMemory'
import { appendFresh } from '../page/freshBlocks'
import { __GFP_BITS_MASK, __GFP_ZERO, GFP_BOOT_MASK, GFP_KERNEL } from '../page/gfp'
import { pageRecord } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import { addEvent, addFreePages } from '../state/counters'
import {
  HEADER_GFP_ALLOWED,
  HEADER_TOTAL_RAM,
  PAGE_FLAGS,
  PAGE_REFS,
  PCP_PGFREE,
  ZONE_MANAGED,
  ZONE_NR_FREE,
} from '../state/schema'
import { memoryPieces, sectionEnd } from '../zone/blocks'
import { bootPcpLimits } from '../zone/pcpLimits'
import { setupZones, type Topology } from '../zone/setup'
import { computeSpans, type MovablePolicy, type ZoneProfile } from '../zone/spans'
import { recomputeAll, startHugePages } from '../zone/watermark'
import { buildZonelists, decideMobility, estimateManaged } from '../zone/zonelist'
import { forgetPlans, zoneOfPfn } from '../zone/zones'
import { allocPages } from './allocPages'
import { type BuddyContext, currentPcp } from './context'
import { blockType, freeOnePage, zoneAt } from './freeArea'

/** PFNs below this one count as low when the memory of zone 0 is estimated: 16 MiB. */
const LOW_FRAMES = 4096

/** What boot needs to know besides memory. */
export interface BootOptions {
  readonly profile: ZoneProfile
  readonly nodes: number
  readonly topology: Topology
  readonly movable?: MovablePolicy | undefined
  /** Single pages taken for good after the hand-over. */
  readonly earlyPages: number
}

/**
 * Brings a freshly formatted state up to the point where all free memory is on the free lists and no
 * watermark is set. Logs what a kernel logs meanwhile.
 */
export function bootZones(c: BuddyContext, boot: BootMemory, options: BootOptions): void {
  const words = c.words
  const spans = computeSpans({
    ranges: memoryFrames(boot),
    nodes: options.nodes,
    limits: options.profile,
    movable: options.movable,
  })
  setupZones(words, spans, options.topology)
  words[HEADER_GFP_ALLOWED] = GFP_BOOT_MASK

  const free = freeFrames(boot)
  buildZonelists(words, true)
  const pages = decideMobility(words, estimateManaged(words, reservedLow(boot, free)))
  c.log.zones(words, spans, pages)

  markReserved(c, boot)
  for (const run of free) words[HEADER_TOTAL_RAM]! += handOver(c, run)
  takeEarlyPages(c, options.earlyPages)
}

/** Ends boot: page lists get their sizes, watermarks are set, and all GFP flags are allowed. */
export function finishBoot(c: BuddyContext, hugePages: boolean): void {
  c.log.handedOver(c.words)
  bootPcpLimits(c.words)
  recomputeAll(c.words, c.log.minFree)
  c.words[HEADER_GFP_ALLOWED] = __GFP_BITS_MASK
  forgetPlans(c.words)
  if (hugePages) startHugePages(c.words, c.log.minFree)
}

/**
 * Takes `count` single pages for good, as x86_64 does for the page tables of its vmalloc space, while
 * boot restricts the GFP flags.
 */
function takeEarlyPages(c: BuddyContext, count: number): void {
  for (let i = 0; i < count; i++) allocPages(c, GFP_KERNEL | __GFP_ZERO, 0, 0, null)
}

/** Frees a run of frames in the largest blocks that fit, each to the end of its list. Returns its pages. */
export function handOver(c: BuddyContext, run: FrameRun): number {
  const words = c.words
  let pfn = run.start
  while (pfn < run.end) {
    // The largest that pfn is a multiple of.
    const multiple = pfn | MAX_ORDER_PAGES
    let order = 31 - Math.clz32(multiple & -multiple)
    while (pfn + (1 << order) > run.end) order -= 1
    const zone = zoneAt(c, pfn)
    const type = blockType(c, pfn)
    freeOnePage(c, zone, pfn, order, type, true)
    const end = order === MAX_ORDER - 1 ? handOverFresh(c, zone, pfn, run.end) : pfn + (1 << order)
    words[zone + ZONE_MANAGED]! += end - pfn
    addEvent(words, currentPcp(c, zone) + PCP_PGFREE, end - pfn)
    pfn = end
  }
  return run.end - run.start
}

/** Hands over the blocks behind the one at `pfn`, as far as they are like it, without a write to their records. */
function handOverFresh(c: BuddyContext, zone: number, pfn: number, memoryEnd: number): number {
  const words = c.words
  const first = c.blocks + (pfn >> PAGEBLOCK_ORDER)
  const last = c.blocks + (memoryEnd >> PAGEBLOCK_ORDER)
  const pageblock = words[first]!
  let at = first
  while (at < last && words[at] === pageblock) at += 1
  const start = pfn + MAX_ORDER_PAGES
  const end = Math.max(start, pfn + ((at - first) >> 1) * MAX_ORDER_PAGES)
  appendFresh(words, start, end)
  words[zone + ZONE_NR_FREE + MAX_ORDER - 1]! += (end - start) / MAX_ORDER_PAGES
  addFreePages(words, zone, currentPcp(c, zone), end - start, false)
  return end
}

/** Pages of zone 0 below 16 MiB that are memory but not free. */
function reservedLow(boot: BootMemory, free: readonly FrameRun[]): number {
  const below = (runs: readonly FrameRun[]) =>
    runs.reduce((sum, run) => sum + Math.max(0, Math.min(run.end, LOW_FRAMES) - run.start), 0)
  return below(memoryFrames(boot)) - below(free)
}

/** Marks the frames that reserved ranges touch, and those of holes that have a memory map. */
function markReserved(c: BuddyContext, boot: BootMemory): void {
  for (const run of reservedFrames(boot)) reserveRun(c, run.start, run.end)
  let end = 0
  for (const piece of memoryPieces(c.words)) {
    reserveHole(c, piece.hole, piece.start)
    end = piece.end
  }
  reserveHole(c, end, sectionEnd(c.words, end))
}

/** Marks the frames of a hole, where a section with memory gives them a memory map. */
export function reserveHole(c: BuddyContext, start: number, end: number): void {
  for (let pfn = start; pfn < end; ) {
    const stop = Math.min(end, sectionEnd(c.words, pfn + 1))
    if (zoneOfPfn(c.words, pfn) >= 0) reserveRun(c, pfn, stop)
    pfn = stop
  }
}

function reserveRun(c: BuddyContext, start: number, end: number): void {
  const stop = Math.min(end, c.maxPfn)
  for (let pfn = start; pfn < stop; pfn++) {
    c.words[pageRecord(pfn) + PAGE_FLAGS] = PG_RESERVED
    c.words[pageRecord(pfn) + PAGE_REFS] = 1
  }
}
