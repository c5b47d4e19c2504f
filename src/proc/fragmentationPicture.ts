/**
 * A picture of fragmentation over time: a chart for each zone, in it a line for each order.
 *
 * Source: spec/page-allocator.md §9.7.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, PAGE_SIZE } from '../base/units'
import { type FragmentationSample, sampleTimes } from './fragmentationSample'
import { tenths } from './memoryCells'
import { text } from './memoryText'
import {
  countText,
  fitText,
  groupDigits,
  MARGIN,
  MUTE,
  type PictureOptions,
  pictureFrame,
  pictureSheet,
  sizeText,
  textWidth,
} from './pictureParts'

/** What {@link fragmentationPicture} shows. */
export interface FragmentationPictureOptions extends PictureOptions {
  /**
   * `unusable`, when not given: the part of free memory in blocks too small for the order. `fragmentation`: where a
   * request would fail, whether for lack of memory (0 and below) or for fragmentation (1).
   */
  readonly index?: 'unusable' | 'fragmentation'
  /** Orders with a line, each 0 to 10; 1 to 10 when not given. */
  readonly orders?: readonly number[]
  /** What the times of samples are, below the chart: `seconds`, `calls`; `samples` when not given. */
  readonly unit?: string
}

/** A zone over time. */
interface Series {
  readonly title: string
  /** Free pages at the end. */
  freePages: number
  /** An entry for each sample: the index of each order; null where the zone was not there. */
  readonly values: (readonly number[] | null)[]
}

/** A place on a chart. */
type Point = readonly [x: number, y: number]

/** Colours of the orders, small to large: as light as each other, so that they show on white and on black. */
const COLOURS = [
  '#5a7dce',
  '#008bc2',
  '#0095a5',
  '#00987c',
  '#409551',
  '#778b20',
  '#997e00',
  '#b17000',
  '#be6438',
  '#c25c5f',
  '#b55d92',
]
const ABOUT = {
  unusable: [
    'Unusable free memory over time',
    'The part of free memory that lies in blocks too small for a request of the order: 0 none, 1 all of it.',
  ],
  fragmentation: [
    'Fragmentation index over time',
    'Why a request of the order would fail: 0 for lack of memory, 1 for fragmentation. No line: it would not fail.',
  ],
} as const
const CHART = 176
const LEFT = 34
const RIGHT = 62
const SPACING = 13
/** With more samples than this, places are rounded to whole pixels. */
const MANY = 2000

/**
 * Samples as SVG, in the order given. Where a zone is missing from a sample its lines have a gap. An index below 0 is
 * drawn as 0.
 * @throws InvalidArgument for what is no sample, for times that go back, and for options out of range.
 */
export function fragmentationPicture(
  samples: readonly FragmentationSample[],
  options: FragmentationPictureOptions = {},
): string {
  const { index = 'unusable', orders, unit = 'samples' } = Object(options)
  if (index !== 'unusable' && index !== 'fragmentation') {
    throw new InvalidArgument('index', index, "'unusable' or 'fragmentation'")
  }
  if (typeof unit !== 'string') throw new InvalidArgument('unit', unit, 'a string')
  const [headline, about] = ABOUT[index as 'unusable']
  const frame = pictureFrame(options, headline)
  const shown = checkOrders(orders)
  const times = sampleTimes(samples)
  const series = readSeries(samples, index)
  const count = countText(samples.length, 'sample')
  return pictureSheet(frame, [about, samples.length === 0 ? 'No samples.' : `${count}.`], (top) => {
    let svg = ''
    let y = top
    for (const zone of series) {
      svg += drawChart(zone, times, shown, unit, frame.width - 2 * MARGIN, y + 16)
      y += 16 + CHART + 52
    }
    return { svg, bottom: y }
  })
}

function drawChart(
  zone: Series,
  times: readonly number[],
  orders: readonly number[],
  unit: string,
  room: number,
  y: number,
): string {
  const x = MARGIN + LEFT
  const width = room - LEFT - RIGHT
  const top = y + 14
  let svg = text(fitText(zone.title, 14, room - 200), MARGIN, y, 'font-size="14" font-weight="600"')
  const free = `${sizeText(zone.freePages * PAGE_SIZE)} free at the end`
  svg += text(free, MARGIN + room, y, `font-size="13" text-anchor="end" ${MUTE}`)
  svg += drawGrid(times, unit, x, top, width)
  const first = times[0] ?? 0
  const span = (times[times.length - 1] ?? 0) - first || 1
  const ends: [order: number, y: number][] = []
  for (const order of orders) {
    const place = (i: number): Point | null => {
      const value = zone.values[i]?.[order]
      if (value === undefined || value === -1000) return null
      const part = Math.min(1, Math.max(0, value / 1000))
      return [x + (((times[i] ?? 0) - first) / span) * width, top + CHART * (1 - part)]
    }
    const line = linePath(times.length, place)
    if (line.path === '') continue
    const look = `fill="none" stroke="${COLOURS[order]}" stroke-width="1.8"`
    const tooltip = `<title>order ${order}</title>`
    svg += `<path ${look} stroke-linecap="round" stroke-linejoin="round" d="${line.path}">${tooltip}</path>\n`
    ends.push([order, line.last[1]])
  }
  return svg + drawLabels(ends, x + width + 8, top)
}

/** Rules at quarters of the index, and times below. */
function drawGrid(
  times: readonly number[],
  unit: string,
  x: number,
  top: number,
  width: number,
): string {
  let rules = ''
  let svg = ''
  for (let quarter = 0; quarter <= 4; quarter++) {
    const level = top + CHART * (1 - quarter / 4)
    rules += `M${tenths(x)} ${tenths(level)}h${tenths(width)}`
    svg += text(String(quarter / 4), x - 8, level + 4, `font-size="11" text-anchor="end" ${MUTE}`)
  }
  const first = times[0] ?? 0
  const span = (times[times.length - 1] ?? 0) - first
  for (const tick of ticks(times, Math.max(1, Math.floor(width / 130)))) {
    const at = x + (span === 0 ? 0 : ((tick - first) / span) * width)
    rules += `M${tenths(at)} ${tenths(top + CHART)}v4`
    const look = `font-size="11" text-anchor="middle" ${MUTE}`
    svg += text(numberText(tick), at, top + CHART + 17, look)
  }
  const words = fitText(unit, 11, width)
  svg += text(words, x + width, top + CHART + 31, `font-size="11" text-anchor="end" ${MUTE}`)
  return `<path class="kmem-rule" fill="none" stroke="#d8dee4" d="${rules}"/>\n${svg}`
}

/** Names of the orders at the ends of their lines, moved apart where they would touch. */
function drawLabels(
  ends: readonly (readonly [order: number, y: number])[],
  x: number,
  top: number,
): string {
  const sorted = [...ends].sort((a, b) => a[1] - b[1] || b[0] - a[0])
  const places: number[] = []
  for (const [, y] of sorted) {
    places.push(Math.max(y, (places[places.length - 1] ?? top - SPACING) + SPACING))
  }
  let limit = top + CHART
  for (let i = places.length - 1; i >= 0; i--) {
    places[i] = Math.min(places[i] ?? limit, limit)
    limit = (places[i] ?? limit) - SPACING
  }
  return sorted
    .map(([order], i) => {
      const look = `font-size="11" font-weight="600" fill="${COLOURS[order]}"`
      return text(`order ${order}`, x, (places[i] ?? top) + 4, look)
    })
    .join('')
}

/**
 * The path of a line. Points that lie on it anyway are left out; so is, of many samples, what shows nothing new in a
 * column of pixels.
 */
function linePath(
  count: number,
  place: (i: number) => Point | null,
): { path: string; last: Point } {
  let path = ''
  let last: Point = [0, 0]
  let run: Point[] = []
  const flush = () => {
    for (const [i, [x, y]] of run.entries()) path += `${i === 0 ? 'M' : 'L'}${x} ${y}`
    // Nothing but a cap is drawn of a point by itself.
    if (run.length === 1) path += 'h0'
    last = run[run.length - 1] ?? last
    run = []
  }
  for (let i = 0; i < count; i++) {
    const point = place(i)
    if (point === null) flush()
    else extend(run, [count > MANY ? Math.round(point[0]) : tenths(point[0]), tenths(point[1])])
  }
  flush()
  return { path, last }
}

function extend(run: Point[], [x, y]: Point): void {
  const [first, a, b, c] = run.slice(-4)
  if (first?.[0] === x && a && b && c?.[0] === x) {
    // A column keeps where the line came in, its extremes, and where it leaves.
    run.splice(-3, 3, [x, Math.min(a[1], b[1], c[1])], [x, Math.max(a[1], b[1], c[1])])
  } else if (run[run.length - 2]?.[1] === y && run[run.length - 1]?.[1] === y) {
    run.pop()
  }
  run.push([x, y])
}

/** At most `most` + 1 round numbers among the times: integers, if those are. */
function ticks(times: readonly number[], most: number): number[] {
  const [first = 0] = times
  const span = (times[times.length - 1] ?? 0) - first
  if (span === 0) return [first]
  const rough = Math.max(span / most, times.every(Number.isInteger) ? 1 : 0)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((n) => n * power >= rough) ?? 10) * power
  const start = Math.ceil(first / step)
  const found = Array.from({ length: most + 1 }, (_, i) => (start + i) * step)
  return [...new Set(found)].filter((tick) => tick >= first && tick <= first + span)
}

function numberText(value: number): string {
  const rounded = Number(value.toPrecision(12)) + 0
  const plain = groupDigits(rounded)
  return textWidth(plain, 11) <= 90 ? plain : rounded.toExponential(3)
}

function readSeries(
  samples: readonly FragmentationSample[],
  index: 'unusable' | 'fragmentation',
): Series[] {
  const found = new Map<string, Series>()
  samples.forEach((sample, i) => {
    for (const zone of sample.zones) {
      const title = `Node ${zone.node}, ${zone.name}`
      const series = found.get(title) ?? { title, freePages: 0, values: [] }
      found.set(title, series)
      while (series.values.length < i) series.values.push(null)
      series.values[i] = zone[index]
      series.freePages = zone.freePages
    }
  })
  return [...found.values()]
}

function checkOrders(orders: unknown): readonly number[] {
  if (orders === undefined) return Array.from({ length: MAX_ORDER - 1 }, (_, i) => i + 1)
  if (!Array.isArray(orders)) throw new InvalidArgument('orders', orders, 'an array of orders')
  for (const order of orders) checkInteger('order', order, 0, MAX_ORDER - 1)
  return [...new Set<number>(orders)].sort((a, b) => a - b)
}
