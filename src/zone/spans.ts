/**
 * Which page frames each zone of each node spans, from the memory map and the command line.
 *
 *     possible ranges:  | DMA | DMA32 ....... | Normal ........................ |
 *     node 0:               [================ = =====)
 *     node 1:                                         [==========|== Movable ==)
 *
 * A zone of a node is the node's first to last memory, clamped to what the zone may hold at all, and
 * cut where the node's Movable zone starts. Source: spec/page-allocator.md §1.2, §1.6.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { clamp, MAX_ORDER_PAGES } from '../base/units'
import { NR_ZONES } from '../state/schema'
import { ZONE_MOVABLE } from './zones'

/** A run of page frames `[start, end)`. */
export interface PfnSpan {
  /** First frame. */
  readonly start: number
  /** One past the last frame. */
  readonly end: number
}

/** A run of memory that belongs to one node. */
export interface PfnRange extends PfnSpan {
  /** Node of the memory. */
  readonly node: number
}

/** Which zones a machine has, and where they end. */
export interface ZoneProfile {
  /** True for the names DMA, Normal, HighMem, Movable; false for DMA, DMA32, Normal, Movable. */
  readonly highmem: boolean
  /**
   * One more than the highest PFN that zones 0, 1 and 2 may hold: ascending, multiples of 1024
   * pages, or `Infinity` for the end of memory. A limit equal to the one before leaves its zone empty.
   */
  readonly limits: readonly number[]
}

/** DMA below 16 MiB, DMA32 below 4 GiB, Normal above. */
export const ZONES_X86_64: ZoneProfile = { highmem: false, limits: [4096, 1048576, Infinity] }
/** DMA below 16 MiB, Normal below 896 MiB, HighMem above. */
export const ZONES_I386: ZoneProfile = { highmem: true, limits: [4096, 229376, Infinity] }
/** Everything is Normal. */
export const ZONES_FLAT: ZoneProfile = { highmem: false, limits: [0, 0, Infinity] }

/**
 * Decides where Movable zones start: the first PFN by node, 0 for a node without one. `usableStart` is
 * the lowest PFN that the zone they are carved from may hold. `movableMemory` makes one.
 */
export type MovablePolicy = (
  ranges: readonly PfnRange[],
  nodes: number,
  usableStart: number,
) => readonly number[]

/** What {@link computeSpans} works from. */
export interface SpanInput {
  /** Memory, PFNs rounded inwards: ascending, not empty, not overlapping. */
  readonly ranges: readonly PfnRange[]
  /** Nodes of the machine, with or without memory. */
  readonly nodes: number
  /** The zones; {@link ZONES_X86_64}, {@link ZONES_I386}, {@link ZONES_FLAT} or your own. */
  readonly limits: ZoneProfile
  /** Where Movable zones start; without it there are none. */
  readonly movable?: MovablePolicy | undefined
}

/** Span of one zone. */
export interface ZoneSpan {
  /** First PFN; 0 when nothing is spanned. */
  readonly start: number
  /** Pages from start to end, holes included. */
  readonly spanned: number
  /** Pages of memory. */
  readonly present: number
}

/** Span of one node and of its four zones. `[0, 0)` for a node without memory. */
export interface NodeSpan extends PfnSpan {
  /** First PFN of its Movable zone; 0 when it has none. */
  readonly movablePfn: number
  /** By zone index. */
  readonly zones: readonly ZoneSpan[]
}

/** All spans of a machine, with what they were computed from. */
export interface Spans {
  /** Memory, ascending. */
  readonly ranges: readonly PfnRange[]
  /** The zones that were asked for. */
  readonly limits: ZoneProfile
  /** What zones 0, 1 and 2 may hold on this machine, over all nodes; start = end for nothing. */
  readonly possible: readonly PfnSpan[]
  /** Index of the zone that Movable zones are carved from. */
  readonly movableZone: number
  /** By node id. */
  readonly nodes: readonly NodeSpan[]
}

/**
 * Computes where every zone of every node lies.
 * @throws InvalidArgument for memory out of order, zone limits that a block could straddle, or sizes
 * that cannot be read.
 */
export function computeSpans(input: SpanInput): Spans {
  const { ranges, nodes, limits } = input
  checkRanges(ranges, nodes)
  checkLimits(limits)
  const possible = possibleRanges(ranges, limits)
  let movableZone = 0
  let usableStart = 0
  possible.forEach((span, index) => {
    if (span.start === span.end) return
    movableZone = index
    usableStart = span.start
  })
  const movable = input.movable?.(ranges, nodes, usableStart) ?? []
  const spans = Array.from({ length: nodes }, (_, node) =>
    nodeSpan(ranges, node, possible, movable[node] ?? 0),
  )
  return { ranges, limits, possible, movableZone, nodes: spans }
}

function nodeSpan(
  ranges: readonly PfnRange[],
  node: number,
  possible: readonly PfnSpan[],
  movablePfn: number,
): NodeSpan {
  const own = ranges.filter((range) => range.node === node)
  const start = own[0]?.start ?? 0
  const end = own[own.length - 1]?.end ?? 0
  const zones = possible.map((limit) => {
    const from = clamp(start, limit.start, limit.end)
    const to = clamp(end, limit.start, limit.end)
    return zoneSpan(own, from, movablePfn === 0 ? to : Math.min(to, movablePfn))
  })
  zones[ZONE_MOVABLE] = zoneSpan(own, movablePfn, movablePfn === 0 ? 0 : end)
  return { start, end, movablePfn, zones }
}

function zoneSpan(own: readonly PfnRange[], start: number, end: number): ZoneSpan {
  if (start >= end) return { start: 0, spanned: 0, present: 0 }
  let present = 0
  for (const range of own) {
    present += Math.max(0, Math.min(range.end, end) - Math.max(range.start, start))
  }
  return { start, spanned: end - start, present }
}

function possibleRanges(ranges: readonly PfnRange[], limits: ZoneProfile): PfnSpan[] {
  const memoryEnd = ranges[ranges.length - 1]?.end ?? 0
  const possible: PfnSpan[] = []
  let start = ranges[0]?.start ?? 0
  for (const limit of limits.limits) {
    const end = Math.max(Math.min(limit, memoryEnd), start)
    possible.push({ start, end })
    start = end
  }
  return possible
}

function checkRanges(ranges: readonly PfnRange[], nodes: number): void {
  let last = 0
  ranges.forEach((range, i) => {
    checkInteger(`ranges[${i}].start`, range.start, last, 2 ** 28)
    checkInteger(`ranges[${i}].end`, range.end, range.start + 1, 2 ** 28)
    checkInteger(`ranges[${i}].node`, range.node, 0, nodes - 1)
    last = range.end
  })
}

/** A limit inside a block of the largest order would let a free block straddle two zones. */
function checkLimits(profile: ZoneProfile): void {
  const limits = profile.limits
  const ordered = limits.every(
    (limit, i) =>
      (limit === Infinity || limit % MAX_ORDER_PAGES === 0) && limit >= (limits[i - 1] ?? 0),
  )
  const last = limits[NR_ZONES - 2]
  if (!ordered || limits.length !== NR_ZONES - 1 || last === undefined || last < 2 ** 28) {
    const wanted = '3 ascending multiples of 1024, the last Infinity'
    throw new InvalidArgument('zone limits', String(limits), wanted)
  }
}
