/** `/proc/zoneinfo`: all that a zone knows of itself. Source: spec/page-allocator.md §9.3, sample in §12.2. */

import { InvalidArgument } from '../base/errors'
import type { NodeCounters } from '../buddy/memInfo'
import { zoneCounter } from '../state/counters'
import {
  HEADER_NR_CPUS,
  NR_FREE_PAGES,
  NR_ZONES,
  PCP_BATCH,
  PCP_COUNT,
  PCP_HIGH,
  PCP_STAT_THRESHOLD,
  PCP_WORDS,
  ZONE_BOOST,
  ZONE_CMA_PAGES,
  ZONE_MANAGED,
  ZONE_PCP,
  ZONE_PRESENT,
  ZONE_RESERVE,
  ZONE_SPANNED,
  ZONE_START,
} from '../state/schema'
import { boostedMark, isPopulated, zoneRecord } from '../zone/zones'
import { NO_NODE_COUNTERS, NODE_COUNTERS, shownNodeCounter, zoneCounters } from './counters'
import { onlineNodes, parseZoneLine, populatedZones, zoneTitle } from './zoneText'

/** The page lists of one CPU. */
export interface ZoneinfoPageset {
  /** Number of the CPU. */
  readonly cpu: number
  /** Pages on the lists. */
  readonly count: number
  /** At this count a free overflows. pages */
  readonly high: number
  /** Taken or given back at once. pages */
  readonly batch: number
  /** 0 where the text has none. */
  readonly threshold: number
}

/** One zone of `/proc/zoneinfo`. */
export interface ZoneinfoZone {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone. */
  readonly name: string
  /** The node's counters by name; only behind the first populated zone of a node. */
  readonly nodeStats: Readonly<Record<string, number>> | null
  /** `free`, `boost`, `min`, `low`, `high`, `spanned`, `present`, `managed`, `cma`. pages */
  readonly pages: Readonly<Record<string, number>>
  /** Lowmem reserve by zone index. pages */
  readonly protection: readonly number[]
  /** Zone counters and NUMA events by name; none for an unpopulated zone. */
  readonly counters: Readonly<Record<string, number>>
  /** The page lists, by CPU; none for an unpopulated zone. */
  readonly pagesets: readonly ZoneinfoPageset[]
  /** null for an unpopulated zone. */
  readonly startPfn: number | null
}

/** The text: all zones of online nodes, populated or not. Node counters are 0 unless supplied. */
export function formatZoneinfo(
  words: Int32Array,
  nodeCounters: NodeCounters = NO_NODE_COUNTERS,
): string {
  const lines: string[] = []
  for (const node of onlineNodes(words)) {
    const firstPopulated = populatedZones(words, node)[0]
    for (let index = 0; index < NR_ZONES; index++) {
      const zone = zoneRecord(words, node, index)
      lines.push(zoneTitle(words, zone))
      if (zone === firstPopulated) {
        lines.push('  per-node stats')
        for (const name of NODE_COUNTERS) {
          lines.push(counterLine(name, shownNodeCounter(name, nodeCounters(node, name))))
        }
      }
      pushPages(lines, words, zone)
      if (!isPopulated(words, zone)) continue
      pushCounters(lines, words, zone)
      lines.push(
        `  node_unreclaimable:  ${nodeCounters(node, 'node_unreclaimable')}`,
        `  start_pfn:           ${words[zone + ZONE_START]}`,
      )
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

/**
 * Reads the text of any kernel. Lines it does not know are skipped.
 * @throws InvalidArgument for a text that does not begin with a zone.
 */
export function parseZoneinfo(text: string): ZoneinfoZone[] {
  if (text.trim() === '') return []
  if (!text.startsWith('Node')) {
    throw new InvalidArgument('text', text.slice(0, 40), 'the text of /proc/zoneinfo')
  }
  return text.split(/^(?=Node )/m).map(parseZone)
}

function pushPages(lines: string[], words: Int32Array, zone: number): void {
  const pages: [label: string, pages: number][] = [
    ['boost', words[zone + ZONE_BOOST]!],
    ['min', boostedMark(words, zone, 0)],
    ['low', boostedMark(words, zone, 1)],
    ['high', boostedMark(words, zone, 2)],
    ['spanned', words[zone + ZONE_SPANNED]!],
    ['present', words[zone + ZONE_PRESENT]!],
    ['managed', words[zone + ZONE_MANAGED]!],
    ['cma', words[zone + ZONE_CMA_PAGES]!],
  ]
  lines.push(`  pages free     ${zoneCounter(words, zone, NR_FREE_PAGES)}`)
  for (const [label, value] of pages) lines.push(`        ${label.padEnd(8)} ${value}`)
  const reserve = words.subarray(zone + ZONE_RESERVE, zone + ZONE_RESERVE + NR_ZONES)
  lines.push(`        protection: (${reserve.join(', ')})`)
}

function pushCounters(lines: string[], words: Int32Array, zone: number): void {
  for (const [name, value] of zoneCounters(words, zone)) lines.push(counterLine(name, value))
  lines.push('  pagesets')
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    const pcp = words[zone + ZONE_PCP]! + cpu * PCP_WORDS
    lines.push(
      `    cpu: ${cpu}`,
      `              count: ${words[pcp + PCP_COUNT]}`,
      `              high:  ${words[pcp + PCP_HIGH]}`,
      `              batch: ${words[pcp + PCP_BATCH]}`,
      `  vm stats threshold: ${words[pcp + PCP_STAT_THRESHOLD]}`,
    )
  }
}

function counterLine(name: string, value: number): string {
  return `      ${name.padEnd(12)} ${value}`
}

function parseZone(text: string): ZoneinfoZone {
  const { node, name } = parseZoneLine(text.slice(0, text.indexOf('\n')))
  const split = text.indexOf('  pages free')
  const head = split < 0 ? '' : text.slice(0, split)
  const body = split < 0 ? text : text.slice(split)
  const protection = /^ +protection: \((.*)\)$/m.exec(body)?.[1]
  const pagesets =
    /cpu: (\d+)\n +count: +(\d+)\n +high: +(\d+)\n +batch: +(\d+)(?:\n +vm stats threshold: +(\d+))?/g
  const startPfn = /^ +start_pfn: +(\d+)$/m.exec(body)?.[1]
  return {
    node,
    name,
    nodeStats: head.includes('per-node stats') ? values(head, /^ {6}(\w+) +(\d+)$/gm) : null,
    pages: values(body, /^(?: {2}pages| {7}) (free|[a-z]+) +(\d+)$/gm),
    protection: protection?.split(', ').map(Number) ?? [],
    counters: values(body, /^ {6}(\w+_\w+) +(\d+)$/gm),
    pagesets: [...body.matchAll(pagesets)].map(([, cpu, count, high, batch, threshold]) => ({
      cpu: Number(cpu),
      count: Number(count),
      high: Number(high),
      batch: Number(batch),
      threshold: Number(threshold ?? 0),
    })),
    startPfn: startPfn === undefined ? null : Number(startPfn),
  }
}

function values(text: string, pattern: RegExp): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [, name, value] of text.matchAll(pattern)) {
    if (name !== undefined) found[name] = Number(value)
  }
  return found
}
