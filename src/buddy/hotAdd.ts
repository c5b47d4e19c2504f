/**
 * Memory that comes after boot. It goes to the zone that its address would have had at boot, so that a
 * machine that grew looks like one that was larger from the start (DIFF-14).
 *
 * Source: spec/page-allocator.md §1.5.
 */

import { checkInteger } from '../base/errors'
import { clamp, PAGE_SIZE } from '../base/units'
import { pageRecord } from '../page/memmap'
import {
  HEADER_HIGHMEM,
  HEADER_NR_RANGES,
  HEADER_RANGES,
  HEADER_TOTAL_RAM,
  HEADER_ZONE_LIMITS,
  NODE_MOVABLE_PFN,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  RANGE_WORDS,
} from '../state/schema'
import { sectionEnd } from '../zone/blocks'
import { writeSpans } from '../zone/setup'
import { computeSpans } from '../zone/spans'
import { recomputeAll } from '../zone/watermark'
import { buildZonelists, decideMobility } from '../zone/zonelist'
import { nodeRecord } from '../zone/zones'
import type { BuddyContext } from './context'
import { handOver, reserveHole } from './handover'

/**
 * Adds the whole frames of `[base, base + size)` to `node`, and computes watermarks anew.
 * @throws InvalidArgument for memory that does not lie above all there is, or has no records; nothing
 * is changed.
 */
export function addMemory(c: BuddyContext, base: number, size: number, node: number): void {
  const words = c.words
  checkInteger('base', base, 0, c.maxPfn * PAGE_SIZE)
  checkInteger('size', size, 0, c.maxPfn * PAGE_SIZE - base)
  const start = Math.ceil(base / PAGE_SIZE)
  const end = Math.floor((base + size) / PAGE_SIZE)
  if (start >= end) return
  const ranges = readRanges(words)
  const last = ranges[ranges.length - 1]
  const oldEnd = last?.end ?? 0
  checkInteger('first frame of added memory', start, oldEnd, c.maxPfn)
  if (last?.end === start && last.node === node) last.end = end
  else ranges.push({ start, end, node })

  const limits = words.subarray(HEADER_ZONE_LIMITS, HEADER_ZONE_LIMITS + 3)
  const spans = computeSpans({
    ranges,
    nodes: c.nrNodes,
    limits: { highmem: words[HEADER_HIGHMEM] === 1, limits: Array.from(limits) },
    // Movable zones stay where they start.
    movable: (_ranges, nodes) =>
      Array.from({ length: nodes }, (_, i) => words[nodeRecord(words, i) + NODE_MOVABLE_PFN]!),
  })
  writeSpans(words, spans, oldEnd)
  // Frames of a hole that had a memory map before are reserved ones.
  const before = clamp(sectionEnd(words, oldEnd), start, end)
  words.fill(0, pageRecord(start), pageRecord(before))
  reserveHole(c, oldEnd, start)
  reserveHole(c, end, sectionEnd(words, end))
  words[HEADER_TOTAL_RAM]! += handOver(c, { start, end })
  buildZonelists(words, false)
  decideMobility(words)
  recomputeAll(words, c.log.minFree)
}

function readRanges(words: Int32Array): { start: number; end: number; node: number }[] {
  return Array.from({ length: words[HEADER_NR_RANGES]! }, (_, i) => {
    const range = words[HEADER_RANGES]! + i * RANGE_WORDS
    return {
      start: words[range + RANGE_START]!,
      end: words[range + RANGE_END]!,
      node: words[range + RANGE_NODE]!,
    }
  })
}
