/**
 * A picture of the vmalloc space: a strip of addresses, laid in rows like text, on which each area and each gap is as
 * wide as the logarithm of its size. So an area of one page and a gap of 30 TiB can both be seen.
 *
 * Source: spec/vmalloc.md §3, §12.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { VMAP_MAGIC } from '../state/vmapSchema'
import { formatAddress } from '../vmalloc/addresses'
import type { Vmalloc } from '../vmalloc/vmalloc'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { VMAP_STATE_MAGIC } from '../vmalloc/vmapContext'
import { Paths } from './memoryCells'
import { text } from './memoryText'
import {
  countText,
  fitText,
  groupDigits,
  type LegendItem,
  MARGIN,
  MUTE,
  type PictureOptions,
  pictureFrame,
  pictureLegend,
  pictureSheet,
  rect,
  SOFT,
  sizeText,
  textWidth,
} from './pictureParts'
import {
  partText,
  type Strip,
  type StripKind,
  type StripPart,
  vmallocStrips,
} from './vmallocStrips'

/** What {@link vmallocPicture} shows. */
export interface VmallocPictureOptions extends PictureOptions {
  /** Areas at most, 1 to 100,000, in each window: those with the lowest addresses; 10,000 when not given. */
  readonly areas?: number
}

/** How each kind is drawn: its fill, and the colour of text on it. */
const LOOKS: Readonly<Record<StripKind, readonly [fill: string, ink: string]>> = {
  vmalloc: ['#0072b2', '#ffffff'],
  vmap: ['#009e73', '#06140f'],
  ioremap: ['#d55e00', '#ffffff'],
  block: ['#cc79a7', '#1f1119'],
  vm_map_ram: ['#e69f00', '#1f1602'],
  other: ['#8b949e', '#0d1117'],
  unpurged: ['url(#kmem-lazy)', ''],
  free: ['', ''],
}
const ROW = 26
const ROW_PITCH = 48
/** Pixels that a doubling of the size adds: the largest that keeps a window within so many rows. */
const UNITS = [9, 7, 5, 4, 3, 2, 1.4, 1, 0.7, 0.5]
const WISHED_ROWS = 20
/** With more areas than this there are no tooltips, so that the picture stays small. */
const MAX_TOOLTIPS = 1000

/**
 * The vmalloc space as SVG: areas in use by kind, those that wait for a purge, and what is free. Windows without areas
 * are left out, but for that of vmalloc. Sizes include guard pages. More than 1,000 areas have no tooltips.
 * @throws InvalidArgument for what is no mapper, and for a width or a number of areas out of range.
 */
export function vmallocPicture(vm: Vmalloc, options: VmallocPictureOptions = {}): string {
  const context: unknown = Object(vm).context
  const words: unknown = Object(Object(context).space).words
  if (!(words instanceof Int32Array) || words[VMAP_MAGIC] !== VMAP_STATE_MAGIC) {
    throw new InvalidArgument('vm', vm, 'a virtual mapper')
  }
  const frame = pictureFrame(options, 'The vmalloc space')
  const { areas: most = 10_000 } = options
  checkInteger('areas', most, 1, 100_000)
  const c = vm.context
  const strips = vmallocStrips(c)
  const parts = strips.flatMap((strip) => strip.parts)
  const about = 'Widths grow with the logarithm of the size; sizes include guard pages.'
  return pictureSheet(frame, [headline(parts), about], (top) => {
    const room = frame.width - 2 * MARGIN
    const legend = pictureLegend(legendItems(parts), MARGIN, top, room)
    let svg = legend.svg
    let y = legend.bottom + 30
    for (const strip of strips) {
      const drawn = drawStrip(c, strip, most, y, room)
      svg += drawn.svg
      y = drawn.bottom + 30
    }
    return { svg, bottom: y - 30 }
  })
}

function headline(parts: readonly StripPart[]): string {
  const busy = parts.filter(({ kind }) => kind !== 'free' && kind !== 'unpurged')
  const lazy = parts.filter(({ kind }) => kind === 'unpurged')
  const used = `${countText(busy.length, 'area')} in use, ${sizeText(bytesOf(busy))}`
  return `${used}; ${groupDigits(lazy.length)} freed and waiting for a purge, ${sizeText(bytesOf(lazy))}.`
}

function legendItems(parts: readonly StripPart[]): LegendItem[] {
  const kinds = Object.keys(LOOKS) as StripKind[]
  return kinds.flatMap((kind): LegendItem[] => {
    const members = parts.filter((part) => part.kind === kind)
    if (members.length === 0) return []
    const label = `${kind} ${groupDigits(members.length)} (${sizeText(bytesOf(members))})`
    return [[label, (x, y) => rect(x, y, 14, 14, `rx="2" ${lookOf(kind)}`)]]
  })
}

function drawStrip(
  c: VmallocContext,
  strip: Strip,
  most: number,
  y: number,
  room: number,
): { svg: string; bottom: number } {
  const { parts, hidden } = firstAreas(strip.parts, most)
  const unit = chooseUnit(parts, room)
  const tooltips = parts.length <= 2 * MAX_TOOLTIPS + 1
  const paths = new Paths()
  let svg = text(fitText(strip.title, 14, room), MARGIN, y, 'font-size="14" font-weight="600"')
  svg += drawScale(unit, room, y + 10)
  let labels = ''
  let shapes = ''
  let x = MARGIN
  let top = y + 62
  const address = (part: StripPart) => {
    labels += text(`0x${formatAddress(c.layout, part.start)}`, MARGIN, top - 5, '')
  }
  parts.forEach((part, i) => {
    const width = Math.min(room, widthOf(part, unit))
    if (x + width > MARGIN + room) {
      x = MARGIN
      top += ROW_PITCH
    }
    if (x === MARGIN || i === 0) address(part)
    // A hair of paper between neighbours, where there is room for it.
    const inner = width > 3 ? width - 1 : width
    if (tooltips) shapes += rect(x, top, inner, ROW, lookOf(part.kind), partText(c, part))
    else if (part.kind !== 'free') paths.rect(LOOKS[part.kind][0], x, top, inner, ROW)
    else shapes += rect(x, top, inner, ROW, SOFT)
    shapes += drawSize(part, x, top, inner)
    x += width
  })
  const font = 'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"'
  svg += `<g ${font} font-size="10.5" ${MUTE}>\n${labels}</g>\n${shapes}${paths}`
  if (hidden > 0) {
    const line = `${countText(hidden, 'area')} more, at higher addresses`
    svg += text(line, MARGIN, top + ROW + 18, `font-size="12" ${MUTE}`)
    top += 22
  }
  return { svg, bottom: top + ROW }
}

/** How wide a few sizes are. */
function drawScale(unit: number, room: number, y: number): string {
  let svg = ''
  let x = MARGIN
  for (const pages of [1, 16, 256, 4096, 262144]) {
    const size = sizeText(pages * PAGE_SIZE)
    const width = unit * (1 + Math.log2(pages))
    const end = x + width + 6 + textWidth(size, 10.5) + 16
    if (end > MARGIN + room) break
    svg += rect(x, y + 4, width, 5, MUTE)
    svg += text(size, x + width + 6, y + 10, `font-size="10.5" ${MUTE}`)
    x = end
  }
  return svg
}

/** The size of a part on it, where it fits. */
function drawSize(part: StripPart, x: number, top: number, width: number): string {
  const size = sizeText(part.end - part.start)
  const label = part.kind === 'free' ? `${size} free` : size
  if (part.kind === 'unpurged' || textWidth(label, 10.5) + 6 > width) return ''
  const ink = part.kind === 'free' ? MUTE : `fill="${LOOKS[part.kind][1]}"`
  const look = `font-size="10.5" text-anchor="middle" pointer-events="none" ${ink}`
  return text(label, x + width / 2, top + ROW / 2 + 4, look)
}

/** The parts up to the last of so many areas, and how many areas are left out. */
function firstAreas(
  parts: readonly StripPart[],
  most: number,
): { parts: readonly StripPart[]; hidden: number } {
  let areas = 0
  const end = parts.findIndex((part) => part.kind !== 'free' && ++areas > most)
  if (end < 0) return { parts, hidden: 0 }
  const hidden = parts.slice(end).filter((part) => part.kind !== 'free').length
  return { parts: parts.slice(0, end), hidden }
}

function chooseUnit(parts: readonly StripPart[], room: number): number {
  const fits = (unit: number) =>
    parts.reduce((sum, part) => sum + widthOf(part, unit), 0) <= room * WISHED_ROWS
  return UNITS.find(fits) ?? UNITS[UNITS.length - 1] ?? 1
}

function widthOf(part: StripPart, unit: number): number {
  const pages = Math.max(1, (part.end - part.start) / PAGE_SIZE)
  return Math.max(1, unit * (1 + Math.log2(pages)))
}

function lookOf(kind: StripKind): string {
  return kind === 'free' ? SOFT : `fill="${LOOKS[kind][0]}"`
}

function bytesOf(parts: readonly StripPart[]): number {
  return parts.reduce((sum, part) => sum + part.end - part.start, 0)
}
