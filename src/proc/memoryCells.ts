/**
 * The cells of a memory picture: how pageblocks share them, and how they are drawn.
 *
 * A cell stands for one pageblock or several. Inside it each migratetype has a strip as wide as its
 * share of the pageblocks; from the bottom up a strip is solid (in use), light (free), hatched (hole).
 */

import { PAGE_SIZE, PAGEBLOCK_PAGES } from '../base/units'
import { MIGRATE_TYPES, MIGRATETYPE_NAMES } from '../page/migratetype'
import type { ZoneBlocks } from './memoryBlocks'

/** Colours of memory in use by migratetype: those of Okabe and Ito, told apart by all eyes. */
export const SOLID = ['#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#555555']
/** Colours of free memory by migratetype. */
export const LIGHT = ['#f9dcc8', '#cfe4f2', '#cdeee2', '#f5e3ed', '#fbe8c0', '#dddddd']
/** Fill of what is no memory. */
export const HOLE = 'url(#kmem-hole)'
/** Colour of marks and text. */
export const INK = '#1f2328'

/** A part of a cell. */
interface Strip {
  /** Migratetype; -1 for a hole. */
  type: number
  blocks: number
  present: number
  free: number
}

/** Some neighbouring pageblocks. */
export interface Cell {
  /** Number of the cell: its first pageblock divided by the pageblocks in a cell. */
  readonly number: number
  readonly strips: readonly Strip[]
  /** Pages of memory. */
  readonly present: number
  readonly free: number
}

/** The cells of a zone, in order; holes too. */
export function zoneCells(blocks: ZoneBlocks, blocksPerCell: number): Cell[] {
  const cells: Cell[] = []
  const end = blocks.first + blocks.types.length
  for (
    let number = Math.floor(blocks.first / blocksPerCell);
    number * blocksPerCell < end;
    number++
  ) {
    const strips: Strip[] = []
    for (let type = -1; type < MIGRATE_TYPES; type++) {
      strips.push({ type, blocks: 0, present: 0, free: 0 })
    }
    const from = Math.max(number * blocksPerCell, blocks.first)
    const to = Math.min((number + 1) * blocksPerCell, end)
    for (let i = from - blocks.first; i < to - blocks.first; i++) {
      const present = blocks.present[i]!
      const strip = strips[present === 0 ? 0 : blocks.types[i]! + 1]
      if (strip === undefined) continue
      strip.blocks += 1
      strip.present += present
      strip.free += Math.min(present, blocks.free[i]!)
    }
    // A hole comes last, to the right.
    const used = [...strips.slice(1), ...strips.slice(0, 1)].filter((strip) => strip.blocks > 0)
    cells.push({
      number,
      strips: used,
      present: used.reduce((sum, strip) => sum + strip.present, 0),
      free: used.reduce((sum, strip) => sum + strip.free, 0),
    })
  }
  return cells
}

/** Gathers rectangles by colour, so that a picture has one path a colour. */
export class Paths {
  private readonly byFill = new Map<string, string>()

  rect(fill: string, x: number, y: number, width: number, height: number): void {
    if (width <= 0 || height <= 0) return
    const path = `M${tenths(x)} ${tenths(y)}h${tenths(width)}v${tenths(height)}h${tenths(-width)}z`
    this.byFill.set(fill, (this.byFill.get(fill) ?? '') + path)
  }

  toString(): string {
    let svg = ''
    for (const [fill, path] of this.byFill) svg += `<path fill="${fill}" d="${path}"/>\n`
    return svg
  }
}

/** Draws a cell as a square of `size` with its corner at (x, y). */
export function drawCell(paths: Paths, cell: Cell, x: number, y: number, size: number): void {
  const blocks = cell.strips.reduce((sum, strip) => sum + strip.blocks, 0)
  let left = x
  for (const strip of cell.strips) {
    const width = (size * strip.blocks) / blocks
    const page = size / (strip.blocks * PAGEBLOCK_PAGES)
    const used = (strip.present - strip.free) * page
    const free = strip.free * page
    paths.rect(HOLE, left, y, width, size - used - free)
    paths.rect(LIGHT[strip.type] ?? HOLE, left, y + size - used - free, width, free)
    paths.rect(SOLID[strip.type] ?? HOLE, left, y + size - used, width, used)
    left += width
  }
}

/** The part of the cell that is in use, 0 to 1. */
export function usedPart(cell: Cell): number {
  const blocks = cell.strips.reduce((sum, strip) => sum + strip.blocks, 0)
  return (cell.present - cell.free) / (blocks * PAGEBLOCK_PAGES)
}

/** Which migratetypes the cell has, and of how many pageblocks: `Movable`, `Movable 7, CMA 1`. */
export function cellTypes(cell: Cell): string {
  const name = (strip: Strip) => MIGRATETYPE_NAMES[strip.type] ?? 'hole'
  const [only, ...more] = cell.strips
  if (only !== undefined && more.length === 0) return name(only)
  return cell.strips.map((strip) => `${name(strip)} ${strip.blocks}`).join(', ')
}

/** A tooltip: addresses, migratetypes, pages. */
export function cellTitle(cell: Cell, blocksPerCell: number, digits: number): string {
  const bytes = blocksPerCell * PAGEBLOCK_PAGES * PAGE_SIZE
  const start = hexAddress(cell.number * bytes, digits)
  const end = hexAddress((cell.number + 1) * bytes - 1, digits)
  const pages = cell.present === 0 ? '' : `: ${cell.free} of ${cell.present} pages free`
  return `${start}-${end} ${cellTypes(cell)}${pages}`
}

/** An address with leading zeros, `0x00100000`. */
export function hexAddress(address: number, digits: number): string {
  return `0x${address.toString(16).padStart(digits, '0')}`
}

/** A coordinate, to a tenth of a pixel. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10
}
