/** The boot log of the zones, line by line. Source: spec/page-allocator.md §1.8, §1.9. */

import { PAGE_SIZE } from '../base/units'
import {
  HEADER_NR_NODES,
  HEADER_TOTAL_CMA,
  HEADER_TOTAL_RAM,
  NODE_MOVABLE_PFN,
  NODE_SPANNED,
  NODE_START,
  RANGE_END,
  RANGE_NODE,
  RANGE_START,
  ZONE_FREE_PAGES,
  ZONE_NODE,
  ZONE_PRESENT,
} from '../state/schema'
import { mappedPages, memoryPieces, memoryRanges, sectionEnd } from './blocks'
import type { PfnSpan, Spans } from './spans'
import { nodeRecord, nrZones, zoneIndexName, zoneName, zoneRecord } from './zones'

/** Sizes of the kernel's own image, for the `Memory:` line. KiB */
export interface KernelImage {
  /** Program code. */
  readonly code: number
  /** Data that is written. */
  readonly rwdata: number
  /** Data that is only read. */
  readonly rodata: number
  /** Code and data of boot, freed later. */
  readonly init: number
  /** Data that starts as zero. */
  readonly bss: number
}

const NO_IMAGE: KernelImage = { code: 0, rwdata: 0, rodata: 0, init: 0, bss: 0 }

/**
 * What zone initialisation logs, from `Zone ranges:` to the holes. `zonelistLog` follows, then
 * {@link memoryLog} after the hand-over.
 */
export function zoneLog(words: Int32Array, spans: Spans): string[] {
  const lines = ['Zone ranges:']
  spans.possible.forEach((span, index) => {
    lines.push(`  ${zoneIndexName(words, index).padEnd(8)} ${memOrEmpty(span)}`)
  })
  lines.push('Movable zone start for each node')
  const nodes = words[HEADER_NR_NODES]!
  for (let node = 0; node < nodes; node++) {
    const movable = words[nodeRecord(words, node) + NODE_MOVABLE_PFN]!
    if (movable !== 0) lines.push(`  Node ${node}: ${hex(movable * PAGE_SIZE)}`)
  }
  lines.push('Early memory node ranges')
  for (const range of memoryRanges(words)) {
    const node = String(words[range + RANGE_NODE]).padStart(3)
    lines.push(`  node ${node}: ${mem(words[range + RANGE_START]!, words[range + RANGE_END]!)}`)
  }
  for (let node = 0; node < nodes; node++) {
    const start = words[nodeRecord(words, node) + NODE_START]!
    const spanned = words[nodeRecord(words, node) + NODE_SPANNED]!
    if (spanned !== 0) lines.push(`Initmem setup node ${node} ${mem(start, start + spanned)}`)
  }
  return lines.concat(holeLines(words))
}

/**
 * The `Memory:` line, after the hand-over. Free pages are the zones' stored counters, exact at boot.
 */
export function memoryLog(words: Int32Array, image: KernelImage = NO_IMAGE): string {
  let free = 0
  let present = 0
  for (let number = 0; number < nrZones(words); number++) {
    const zone = zoneRecord(words, 0, number)
    free += Math.max(0, words[zone + ZONE_FREE_PAGES]!)
    present += words[zone + ZONE_PRESENT]!
  }
  const cma = words[HEADER_TOTAL_CMA]!
  const reserved = present - words[HEADER_TOTAL_RAM]! - cma
  return (
    `Memory: ${free * 4}K/${present * 4}K available (${image.code}K kernel code, ` +
    `${image.rwdata}K rwdata, ${image.rodata}K rodata, ${image.init}K init, ${image.bss}K bss, ` +
    `${reserved * 4}K reserved, ${cma * 4}K cma-reserved)`
  )
}

function holeLines(words: Int32Array): string[] {
  const lines: string[] = []
  const report = (zone: number, start: number, end: number): void => {
    const pages = mappedPages(words, start, end)
    if (pages === 0) return
    const where = `On node ${words[zone + ZONE_NODE]}, zone ${zoneName(words, zone)}`
    lines.push(`${where}: ${pages} pages in unavailable ranges`)
  }
  const pieces = memoryPieces(words)
  for (const piece of pieces) report(piece.zone, piece.hole, piece.start)
  const last = pieces[pieces.length - 1]
  if (last !== undefined) report(last.zone, last.end, sectionEnd(words, last.end))
  return lines
}

function memOrEmpty(span: PfnSpan): string {
  return span.start < span.end ? mem(span.start, span.end) : 'empty'
}

function mem(start: number, end: number): string {
  return `[mem ${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}]`
}

function hex(address: number): string {
  return `0x${address.toString(16).padStart(16, '0')}`
}
