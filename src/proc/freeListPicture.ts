/**
 * A picture of the free lists: for each zone and order the free blocks, and the memory in them, as bars stacked by
 * migratetype.
 *
 * Source: spec/page-allocator.md §9.1, §9.2.
 */

import { KernelBug } from '../base/errors'
import { MAX_ORDER, PAGE_SIZE } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import { freeList } from '../buddy/freeArea'
import { blocksAt } from '../page/freshBlocks'
import { MIGRATE_TYPES, MIGRATETYPE_NAMES } from '../page/migratetype'
import {
  HEADER_MAX_PFN,
  HEADER_NR_CPUS,
  PAGE_NEXT,
  PCP_COUNT,
  PCP_WORDS,
  ZONE_MANAGED,
  ZONE_NODE,
  ZONE_PCP,
} from '../state/schema'
import { zoneName } from '../zone/zones'
import { SOLID } from './memoryCells'
import { text } from './memoryText'
import {
  countText,
  fitText,
  groupDigits,
  MARGIN,
  MUTE,
  type PictureOptions,
  pageWords,
  pictureFrame,
  pictureLegend,
  pictureSheet,
  rect,
  SOFT,
  sizeText,
  swatch,
} from './pictureParts'
import { onlineNodes, populatedZones } from './zoneText'

/** The free lists of a zone. */
interface ZoneLists {
  readonly node: number
  readonly name: string
  readonly managedPages: number
  /** Pages on the CPUs' lists. */
  readonly cpuPages: number
  /** Free blocks by order, then by migratetype. */
  readonly counts: readonly (readonly number[])[]
}

/** One of the two columns of bars. */
interface Column {
  readonly title: string
  /** What a block of an order counts for. */
  readonly weight: (order: number) => number
  readonly show: (total: number) => string
}

const COLUMNS: readonly Column[] = [
  { title: 'free blocks', weight: () => 1, show: groupDigits },
  { title: 'memory in them', weight: (order) => 2 ** order * PAGE_SIZE, show: sizeText },
]
const ROW = 19
const BAR = 13
/** Room for the name of an order, and for the figure behind a bar. */
const LABEL = 112
const FIGURE = 66
/** A segment that stands for something is never narrower. */
const THINNEST = 1.5

/**
 * The free lists of each zone with memory as SVG, from an allocator or its words. Lists of the CPUs are told in the
 * headline of a zone. Costs a walk over the free lists.
 * @throws InvalidArgument for what is no page allocator's, and for a width out of range.
 */
export function freeListPicture(
  pages: Int32Array | BuddyAllocator,
  options: PictureOptions = {},
): string {
  const words = pageWords(pages)
  const frame = pictureFrame(options, 'Free lists')
  const zones = onlineNodes(words).flatMap((node) =>
    populatedZones(words, node).map((zone) => zoneLists(words, zone)),
  )
  const blocks = zones.reduce((sum, zone) => sum + total(zone, () => 1), 0)
  const bytes = zones.reduce((sum, zone) => sum + freeBytes(zone), 0)
  const line = `${countText(blocks, 'free block')}, ${sizeText(bytes)}, by order and migratetype.`
  return pictureSheet(frame, [zones.length === 0 ? 'No zone has memory.' : line], (top) => {
    const room = frame.width - 2 * MARGIN
    const legend = pictureLegend(legendItems(zones), MARGIN, top, room)
    let svg = legend.svg
    let y = legend.bottom
    for (const zone of zones) {
      svg += drawZone(zone, y + 34, room)
      y += 34 + 24 + MAX_ORDER * ROW
    }
    return { svg, bottom: y }
  })
}

function legendItems(zones: readonly ZoneLists[]) {
  if (zones.length === 0) return []
  // The three common types are always there, so that pictures of a series agree.
  return MIGRATETYPE_NAMES.flatMap((name, type) => {
    const seen = type < 3 || zones.some((zone) => zone.counts.some((row) => (row[type] ?? 0) > 0))
    return seen ? [swatch(name, SOLID[type] ?? '')] : []
  })
}

function drawZone(zone: ZoneLists, y: number, room: number): string {
  const free = freeBytes(zone)
  const cpus = zone.cpuPages * PAGE_SIZE
  const managed = sizeText(zone.managedPages * PAGE_SIZE)
  const heading = `Node ${zone.node}, ${zone.name}`
  const waiting = cpus === 0 ? '' : `, ${sizeText(cpus)} more on CPU lists`
  const figures = fitText(`${sizeText(free)} free of ${managed}${waiting}`, 13, room - 160)
  let svg = text(heading, MARGIN, y, 'font-size="14" font-weight="600"')
  svg += text(figures, MARGIN + room, y, `font-size="13" text-anchor="end" ${MUTE}`)
  svg += rect(MARGIN, y + 6, room, 1, SOFT)
  const width = (room - LABEL - 20) / COLUMNS.length
  COLUMNS.forEach((column, i) => {
    const x = MARGIN + LABEL + i * (width + 20)
    svg += text(column.title, x, y + 20, `font-size="11" ${MUTE}`)
    svg += drawColumn(zone, column, x, y + 26, width - FIGURE)
  })
  for (let order = 0; order < MAX_ORDER; order++) {
    const baseline = y + 26 + order * ROW + 10.5
    svg += text(`order ${order}`, MARGIN, baseline, 'font-size="12"')
    const size = sizeText(2 ** order * PAGE_SIZE)
    const end = MARGIN + LABEL - 10
    svg += text(size, end, baseline, `font-size="11" text-anchor="end" ${MUTE}`)
  }
  return svg
}

function drawColumn(zone: ZoneLists, column: Column, x: number, y: number, width: number): string {
  const sums = zone.counts.map((row, order) => sumOf(row) * column.weight(order))
  const largest = Math.max(...sums)
  const types = zone.counts.map((row) => row.filter((count) => count > 0).length)
  // Room for segments that are drawn wider than they are.
  const spare = THINNEST * Math.max(0, Math.max(...types) - 1)
  const scale = largest === 0 ? 0 : (width - spare) / largest
  let svg = ''
  zone.counts.forEach((row, order) => {
    const top = y + order * ROW
    svg += rect(x, top, width, BAR, `rx="2" ${SOFT}`)
    let left = x
    row.forEach((count, type) => {
      if (count === 0) return
      const length = Math.max(THINNEST, count * column.weight(order) * scale)
      const bytes = sizeText(count * 2 ** order * PAGE_SIZE)
      const tooltip = `order ${order} ${MIGRATETYPE_NAMES[type]}: ${countText(count, 'block')}, ${bytes}`
      svg += rect(left, top, length, BAR, `fill="${SOLID[type]}"`, tooltip)
      left += length
    })
    const sum = sums[order] ?? 0
    const look = sum === 0 ? `font-size="11" ${MUTE}` : 'font-size="11"'
    svg += text(sum === 0 ? '0' : column.show(sum), x + width + 8, top + 10.5, look)
  })
  return svg
}

function zoneLists(words: Int32Array, zone: number): ZoneLists {
  const counts: number[][] = []
  for (let order = 0; order < MAX_ORDER; order++) {
    const row: number[] = []
    for (let type = 0; type < MIGRATE_TYPES; type++) {
      row.push(listLength(words, freeList(zone, order, type)))
    }
    counts.push(row)
  }
  let cpuPages = 0
  for (let cpu = 0; cpu < words[HEADER_NR_CPUS]!; cpu++) {
    cpuPages += words[words[zone + ZONE_PCP]! + cpu * PCP_WORDS + PCP_COUNT]!
  }
  return {
    node: words[zone + ZONE_NODE]!,
    name: zoneName(words, zone),
    managedPages: words[zone + ZONE_MANAGED]!,
    cpuPages,
    counts,
  }
}

function listLength(words: Int32Array, head: number): number {
  let count = 0
  for (let at = words[head + PAGE_NEXT]!; at !== head; at = words[at + PAGE_NEXT]!) {
    if (count >= words[HEADER_MAX_PFN]!) {
      throw new KernelBug('LIST_LOOP', `the list at word ${head} does not end`)
    }
    count += blocksAt(words, at)
  }
  return count
}

function freeBytes(zone: ZoneLists): number {
  return total(zone, (order) => 2 ** order * PAGE_SIZE)
}

function total(zone: ZoneLists, weight: (order: number) => number): number {
  return zone.counts.reduce((sum, row, order) => sum + sumOf(row) * weight(order), 0)
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}
