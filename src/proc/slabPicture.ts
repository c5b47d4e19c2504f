/**
 * A picture of the slabs: a row for each cache, in it a cell for each slab, coloured by how full it is.
 *
 * Source: spec/slab.md §3, §6.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { SlabAllocator } from '../slab/slabAllocator'
import { MAGIC } from '../slab/slabState'
import { SLAB_MAGIC } from '../state/slabSchema'
import { Paths } from './memoryCells'
import { escapeXml, text } from './memoryText'
import {
  countText,
  fitText,
  type LegendItem,
  MARGIN,
  MUTE,
  type PictureOptions,
  percentText,
  pictureFrame,
  pictureLegend,
  pictureSheet,
  rect,
  SOFT,
  sizeText,
  swatch,
} from './pictureParts'
import {
  type CacheCells,
  HELD_AS_PARTIAL,
  HELD_BY_CPU,
  HELD_BY_NONE,
  type SlabCell,
  type SlabMemory,
  slabMemory,
} from './slabCells'

/** What {@link slabPicture} shows. */
export interface SlabPictureOptions extends PictureOptions {
  /** Rows at most, 1 to 10,000: the largest caches; 24 when not given. */
  readonly caches?: number
}

/** Colours by fullness: empty, up to each quarter, less than full, full. */
const FULLNESS = ['#dfe3e8', '#bcdcf0', '#8cc1e3', '#56a0d0', '#2b7fb8', '#005587']
const FULLNESS_NAMES = ['empty', 'to 25%', 'to 50%', 'to 75%', 'to 99%', 'full']
const HELD = '#d55e00'
const CELL = 10
const PITCH_X = 13
const PITCH_Y = 15
const NAME = 228
/** Lines of cells in a row; with more slabs a cell stands for several. */
const MAX_LINES = 3

/**
 * The caches and their slabs as SVG, those with the most memory first. A cell stands for one slab, or for as many as
 * its row says: then those of about the same fullness share one. Costs a walk over the frame table.
 * @throws InvalidArgument for what is no slab allocator, and for a width or a number of caches out of range.
 */
export function slabPicture(slabs: SlabAllocator, options: SlabPictureOptions = {}): string {
  const words: unknown = Object(Object(slabs).context).words
  if (!(words instanceof Int32Array) || words[SLAB_MAGIC] !== MAGIC) {
    throw new InvalidArgument('slabs', slabs, 'a slab allocator')
  }
  const frame = pictureFrame(options, 'Slabs')
  const { caches: most = 24 } = options
  checkInteger('caches', most, 1, 10_000)
  const memory = slabMemory(words)
  const filled = memory.caches.filter((cache) => cache.slabs.length > 0)
  const shown = filled.slice(0, most)
  return pictureSheet(frame, headlines(memory, filled.length - shown.length), (top) => {
    const room = frame.width - 2 * MARGIN
    const legend = pictureLegend(legendItems(), MARGIN, top, room)
    let svg = legend.svg
    let y = legend.bottom + 16
    for (const cache of shown) {
      const row = drawCache(cache, y, room)
      svg += row.svg
      y = row.bottom
    }
    const rest = filled.slice(most)
    if (rest.length > 0) {
      const bytes = sizeText(sum(rest, (cache) => cache.bytes))
      const count = countText(
        sum(rest, (cache) => cache.slabs.length),
        'slab',
      )
      const line = `${countText(rest.length, 'smaller cache')}: ${count}, ${bytes}`
      svg += text(line, MARGIN, y + 18, `font-size="12" ${MUTE}`)
      y += 24
    }
    return { svg, bottom: y }
  })
}

function headlines(memory: SlabMemory, hidden: number): string[] {
  const { caches, largeBlocks, largeBytes } = memory
  const slabs = sum(caches, (cache) => cache.slabs.length)
  const bytes = sum(caches, (cache) => cache.bytes)
  const objects = sum(caches, (cache) => cache.objects)
  const inUse = sum(caches, (cache) => cache.inUse)
  const empty = caches.filter((cache) => cache.slabs.length === 0).length
  const figures =
    `${countText(caches.length, 'cache')}, ${empty} of them without slabs; ${countText(slabs, 'slab')}, ` +
    `${sizeText(bytes)}; ${percentText(inUse, objects)} of ${countText(objects, 'object')} in use.`
  const large = `${countText(largeBlocks, 'large block')} of kmalloc besides, ${sizeText(largeBytes)}.`
  return [
    hidden === 0 ? figures : `${figures} The largest caches are shown.`,
    ...(largeBlocks === 0 ? [] : [large]),
  ]
}

function legendItems(): LegendItem[] {
  const levels = FULLNESS_NAMES.map((name, level) => swatch(name, FULLNESS[level] ?? ''))
  const cell = (x: number, y: number) => rect(x + 2, y + 2, CELL, CELL, `fill="${FULLNESS[3]}"`)
  return [
    ...levels,
    ['a CPU works with it', (x, y) => cell(x, y) + outline(x + 2, y + 2)],
    ['on a partial list of a CPU', (x, y) => cell(x, y) + underline(x + 2, y + 2)],
  ]
}

function drawCache(cache: CacheCells, y: number, room: number): { svg: string; bottom: number } {
  const columns = Math.floor((room - NAME) / PITCH_X)
  const { cells, perCell } = groupCells(cache.slabs, columns * MAX_LINES)
  const used = percentText(cache.inUse, cache.objects)
  const figures = `${countText(cache.slabs.length, 'slab')}, ${sizeText(cache.bytes)}, ${used} in use`
  const objects = `${cache.inUse} of ${countText(cache.objects, 'object')} of ${sizeText(cache.objectSize)}`
  let svg = rect(MARGIN, y, room, 1, SOFT)
  svg += `<g><title>${escapeXml(`${cache.name}: ${figures}; ${objects}`)}</title>\n`
  const name = fitText(cache.name, 12.5, NAME - 16)
  svg += text(name, MARGIN, y + 17, 'font-size="12.5" font-weight="600"')
  svg += text(fitText(figures, 11, NAME - 8), MARGIN, y + 31, `font-size="11" ${MUTE}`)
  if (perCell > 1) {
    svg += text(`a cell is ${perCell} slabs`, MARGIN, y + 44, `font-size="11" ${MUTE}`)
  }
  const paths = new Paths()
  let marks = ''
  cells.forEach((slabs, i) => {
    const x = MARGIN + NAME + (i % columns) * PITCH_X
    const top = y + 8 + Math.floor(i / columns) * PITCH_Y
    paths.rect(FULLNESS[levelOf(slabs)] ?? '', x, top, CELL, CELL)
    if (slabs[0]?.holder === HELD_BY_CPU) marks += outline(x, top)
    if (slabs[0]?.holder === HELD_AS_PARTIAL) marks += underline(x, top)
  })
  const lines = Math.ceil(cells.length / columns)
  const height = Math.max(perCell === 1 ? 38 : 51, 10 + lines * PITCH_Y)
  return { svg: `${svg}${paths}${marks}</g>\n`, bottom: y + height }
}

/** Puts slabs into at most `room` cells: as many in each as it takes, and none of different holders. */
function groupCells(
  slabs: readonly SlabCell[],
  room: number,
): { cells: SlabCell[][]; perCell: number } {
  const kinds = [HELD_BY_CPU, HELD_AS_PARTIAL, HELD_BY_NONE].map((holder) =>
    slabs.filter((slab) => slab.holder === holder),
  )
  let perCell = 1
  while (sum(kinds, (kind) => Math.ceil(kind.length / perCell)) > room) perCell *= 2
  const cells: SlabCell[][] = []
  for (const kind of kinds) {
    for (let at = 0; at < kind.length; at += perCell) cells.push(kind.slice(at, at + perCell))
  }
  return { cells, perCell }
}

/** Which colour: only the first and the last of them are exact. */
function levelOf(slabs: readonly SlabCell[]): number {
  const inUse = sum(slabs, (slab) => slab.inUse)
  const objects = sum(slabs, (slab) => slab.objects)
  if (inUse === 0) return 0
  return inUse >= objects ? 5 : Math.min(4, Math.ceil((4 * inUse) / objects))
}

function outline(x: number, y: number): string {
  const look = `fill="none" stroke="${HELD}" stroke-width="1.8"`
  return rect(x - 0.2, y - 0.2, CELL + 0.4, CELL + 0.4, look)
}

function underline(x: number, y: number): string {
  return rect(x, y + CELL + 0.8, CELL, 2, `fill="${HELD}"`)
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
