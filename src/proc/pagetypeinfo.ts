/** `/proc/pagetypeinfo`: free blocks and pageblocks by migratetype. Source: spec/page-allocator.md §9.2. */

import { InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from '../base/units'
import { freeList } from '../buddy/freeArea'
import { blocksAt } from '../page/freshBlocks'
import { MIGRATE_TYPES, MIGRATETYPE_NAMES } from '../page/migratetype'
import { PAGE_NEXT, ZONE_NODE, ZONE_START } from '../state/schema'
import { pageblockType } from '../zone/pageblock'
import { zoneEnd, zoneName, zoneOfPfn } from '../zone/zones'
import { onlineNodes, parseCounts, parseZoneLine, populatedZones, zoneTitle } from './zoneText'

/** Free blocks of one zone and migratetype. */
export interface PagetypeFree {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone. */
  readonly name: string
  /** Name of the migratetype. */
  readonly type: string
  /** Blocks by order; 100,000 means that many or more. */
  readonly counts: readonly number[]
}

/** Pageblocks of one zone. */
export interface PagetypeBlocks {
  /** Node of the zone. */
  readonly node: number
  /** Name of the zone. */
  readonly name: string
  /** Pageblocks by the name of their migratetype. */
  readonly counts: Readonly<Record<string, number>>
}

/** The whole file, all nodes together. */
export interface Pagetypeinfo {
  /** log2 of the pages in a pageblock. */
  readonly pageblockOrder: number
  /** Pages in a pageblock. */
  readonly pagesPerBlock: number
  /** Free blocks, an entry for each zone and migratetype. */
  readonly free: readonly PagetypeFree[]
  /** Pageblocks, an entry for each zone. */
  readonly blocks: readonly PagetypeBlocks[]
}

/** The kernel counts no further on a list. */
const LIST_LIMIT = 100_000
const FREE_TITLE = 'Free pages count per migrate type at order'
const BLOCKS_TITLE = 'Number of blocks type'

/**
 * The text: a complete block for each node with memory. Costs a walk over the free lists and the
 * pageblocks.
 */
export function formatPagetypeinfo(words: Int32Array): string {
  let text = ''
  for (const node of onlineNodes(words)) {
    const zones = populatedZones(words, node)
    if (zones.length === 0) continue
    text += `Page block order: ${PAGEBLOCK_ORDER}\nPages per block:  ${PAGEBLOCK_PAGES}\n\n`
    text += `${FREE_TITLE.padEnd(43)} `
    for (let order = 0; order < MAX_ORDER; order++) text += `${String(order).padStart(6)} `
    text += '\n'
    for (const zone of zones) text += freeLines(words, zone)
    const names = MIGRATETYPE_NAMES.map((name) => `${name.padStart(12)} `)
    text += `\n${`${BLOCKS_TITLE} `.padEnd(23)}${names.join('')}\n`
    for (const zone of zones) {
      const counts = countBlocks(words, zone).map((count) => `${String(count).padStart(12)} `)
      text += `${zoneTitle(words, zone)} ${counts.join('')}\n`
    }
  }
  return text
}

/**
 * Reads the text of any kernel.
 * @throws InvalidArgument naming the line that does not belong there, or the part that is missing.
 */
export function parsePagetypeinfo(text: string): Pagetypeinfo {
  const free: PagetypeFree[] = []
  const blocks: PagetypeBlocks[] = []
  let types: readonly string[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith(BLOCKS_TITLE)) {
      types = line.slice(BLOCKS_TITLE.length).trim().split(/ +/)
    } else if (line.startsWith('Node')) {
      const { node, name, rest } = parseZoneLine(line)
      const [, type, counts] = /^type +(\S+) +(.*)$/.exec(rest) ?? []
      if (type !== undefined && counts !== undefined) {
        free.push({ node, name, type, counts: parseCounts(counts) })
      } else {
        blocks.push({ node, name, counts: byType(types, parseCounts(rest)) })
      }
    }
  }
  return {
    pageblockOrder: headNumber(text, 'Page block order'),
    pagesPerBlock: headNumber(text, 'Pages per block'),
    free,
    blocks,
  }
}

function freeLines(words: Int32Array, zone: number): string {
  const node = String(words[zone + ZONE_NODE]).padStart(4)
  const name = zoneName(words, zone).padStart(8)
  let text = ''
  for (let type = 0; type < MIGRATE_TYPES; type++) {
    text += `Node ${node}, zone ${name}, type ${MIGRATETYPE_NAMES[type]?.padStart(12)} `
    for (let order = 0; order < MAX_ORDER; order++) {
      const head = freeList(zone, order, type)
      const count = listLength(words, head)
      text += `${count === LIST_LIMIT ? '>' : ''}${String(count).padStart(6)} `
    }
    text += '\n'
  }
  return text
}

function listLength(words: Int32Array, head: number): number {
  let count = 0
  let record = words[head + PAGE_NEXT]!
  while (record !== head && count < LIST_LIMIT) {
    count += blocksAt(words, record)
    record = words[record + PAGE_NEXT]!
  }
  return Math.min(count, LIST_LIMIT)
}

/** Steps from the zone's first page, aligned or not: the kernel does, and so misses a last partial block. */
function countBlocks(words: Int32Array, zone: number): number[] {
  const counts = new Int32Array(MIGRATE_TYPES)
  const end = zoneEnd(words, zone)
  for (let pfn = words[zone + ZONE_START]!; pfn < end; pfn += PAGEBLOCK_PAGES) {
    if (zoneOfPfn(words, pfn) === zone) counts[pageblockType(words, pfn)]! += 1
  }
  return Array.from(counts)
}

function byType(types: readonly string[], counts: readonly number[]): Record<string, number> {
  if (types.length !== counts.length) {
    throw new InvalidArgument('pageblock counts', counts.length, `${types.length}, one a type`)
  }
  return Object.fromEntries(types.map((type, i) => [type, counts[i] ?? 0]))
}

function headNumber(text: string, title: string): number {
  const value = new RegExp(`^${title}: +(\\d+)$`, 'm').exec(text)?.[1]
  if (value === undefined) throw new InvalidArgument('text', text.slice(0, 40), `with "${title}:"`)
  return Number(value)
}
