/** The grids of a memory picture: how large cells are, and where they go. */

import { PAGE_SIZE, PAGEBLOCK_PAGES } from '../base/units'
import type { ZoneBlocks } from './memoryBlocks'
import {
  type Cell,
  cellTitle,
  cellTypes,
  drawCell,
  HOLE,
  hexAddress,
  INK,
  Paths,
  tenths,
  usedPart,
  zoneCells,
} from './memoryCells'
import { escapeXml, formatBytes, text } from './memoryText'

/** One zone in the states that the picture compares: one, or before and after. */
export interface PictureZone {
  readonly states: readonly ZoneBlocks[]
}

/** What all grids of a picture have in common. */
export interface GridPlan {
  readonly blocksPerCell: number
  readonly columns: number
  /** From one cell to the next. pixels */
  readonly pitch: number
  /** Room for addresses on the left. pixels */
  readonly labelWidth: number
  /** Between panels. pixels */
  readonly gap: number
  /** Hexadecimal digits of an address. */
  readonly digits: number
}

/** What a picture may grow to before cells stand for more memory. */
const MAX_ROWS = 28
const MIN_PITCH = 9
const MAX_PITCH = 26
const ROW_TITLE = 30
const HOLE_ROW = 14

/** A run of rows: one row with memory, or any number without. */
interface Band {
  readonly firstRow: number
  rows: number
  readonly memory: boolean
}

/** Chooses the smallest cells that keep the picture readable in `width` pixels. */
export function planGrid(
  zones: readonly PictureZone[],
  width: number,
  panels: number,
  digits: number,
): GridPlan {
  const labelWidth = 6.1 * (digits + 2) + 10
  const gap = panels > 1 ? 28 : 0
  const room = (width - labelWidth - gap * (panels - 1)) / panels
  for (let blocksPerCell = 1; ; blocksPerCell *= 2) {
    for (const columns of [32, 64]) {
      const pitch = Math.min(MAX_PITCH, Math.floor(room / columns))
      const plan = { blocksPerCell, columns, pitch, labelWidth, gap, digits }
      // Bounded: at 2^19 blocks a cell, a machine of the largest size is one cell.
      if (blocksPerCell === 2 ** 19) return plan
      if (pitch < MIN_PITCH) continue
      const rows = zones.reduce((sum, zone) => sum + bandsOf(zone, plan).length, 0)
      if (rows <= MAX_ROWS + zones.length) return plan
    }
  }
}

/** Draws a panel a state, side by side, zone below zone. Tells where the next thing may start. */
export function drawPanels(
  zones: readonly PictureZone[],
  plan: GridPlan,
  labels: readonly string[],
  x: number,
  y: number,
): { svg: string; bottom: number } {
  let svg = ''
  let top = y
  let node = -1
  const left = x + plan.labelWidth
  const panelX = (panel: number) => left + panel * (plan.columns * plan.pitch + plan.gap)
  labels.forEach((label, panel) => {
    svg += text(label, panelX(panel), top + 18, 'font-size="14" font-weight="600"')
  })
  if (labels.length > 0) top += 16
  for (const zone of zones) {
    const blocks = zone.states[zone.states.length - 1]
    if (blocks === undefined) continue
    if (blocks.node !== node) {
      node = blocks.node
      svg += text(`Node ${node}`, x, top + 26, 'font-size="15" font-weight="600"')
      top += 22
    }
    svg += zoneHeading(zone, left, top + ROW_TITLE - 5)
    top += ROW_TITLE
    svg += drawAxis(
      plan,
      zone.states.map((_, panel) => panelX(panel)),
      top + 12,
    )
    top += 16
    const bands = bandsOf(zone, plan)
    svg += drawAddresses(bands, plan, left - 8, top)
    let before: readonly Cell[] = []
    zone.states.forEach((state, panel) => {
      const cells = zoneCells(state, plan.blocksPerCell)
      svg += drawGrid(cells, before, bands, plan, panelX(panel), top)
      before = cells
    })
    top += bands.reduce((sum, band) => sum + bandHeight(band, plan), 0)
  }
  return { svg, bottom: top + 4 }
}

function zoneHeading(zone: PictureZone, x: number, y: number): string {
  const last = zone.states[zone.states.length - 1]
  if (last === undefined) return ''
  const free = new Set(zone.states.map((state) => formatBytes(state.freePages * PAGE_SIZE)))
  const figures = `${[...free].join(' → ')} free of ${formatBytes(last.managedPages * PAGE_SIZE)}`
  const name = `<tspan font-weight="600">${last.name}</tspan>`
  return `<text x="${tenths(x)}" y="${tenths(y)}" font-size="13">${name} ${figures}</text>\n`
}

/** Offsets within a row, at its quarters. */
function drawAxis(plan: GridPlan, lefts: readonly number[], y: number): string {
  let svg = ''
  const cellBytes = plan.blocksPerCell * PAGEBLOCK_PAGES * PAGE_SIZE
  for (const left of lefts) {
    for (let quarter = 0; quarter < 4; quarter++) {
      const column = (plan.columns / 4) * quarter
      const label = quarter === 0 ? '+0' : `+${formatBytes(column * cellBytes)}`
      svg += text(label, left + column * plan.pitch, y, 'font-size="10" fill="#57606a"')
    }
  }
  return svg
}

function drawAddresses(bands: readonly Band[], plan: GridPlan, right: number, y: number): string {
  let svg = ''
  let top = y
  const rowBytes = plan.columns * plan.blocksPerCell * PAGEBLOCK_PAGES * PAGE_SIZE
  for (const band of bands) {
    const height = bandHeight(band, plan)
    const baseline = top + height / 2 + 3
    svg += text(hexAddress(band.firstRow * rowBytes, plan.digits), right, baseline, '')
    top += height
  }
  const font = 'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"'
  return `<g ${font} font-size="10" fill="#57606a" text-anchor="end">\n${svg}</g>\n`
}

function drawGrid(
  cells: readonly Cell[],
  before: readonly Cell[],
  bands: readonly Band[],
  plan: GridPlan,
  x: number,
  y: number,
): string {
  const paths = new Paths()
  const marks = new Paths()
  const size = plan.pitch - (plan.pitch >= 16 ? 2 : 1)
  const byRow = groupByRow(cells, plan.columns)
  let frames = ''
  let titles = ''
  let top = y
  for (const band of bands) {
    if (!band.memory) {
      paths.rect(HOLE, x, top + 1, plan.columns * plan.pitch - 1, HOLE_ROW - 3)
      const bytes = band.rows * plan.columns * plan.blocksPerCell * PAGEBLOCK_PAGES * PAGE_SIZE
      titles += `<rect ${box(x, top, plan.columns * plan.pitch, HOLE_ROW - 3)}><title>hole of ${formatBytes(bytes)}</title></rect>\n`
    }
    for (const cell of band.memory ? (byRow.get(band.firstRow) ?? []) : []) {
      const left = x + (cell.number % plan.columns) * plan.pitch
      drawCell(paths, cell, left, top, size)
      const title = escapeXml(cellTitle(cell, plan.blocksPerCell, plan.digits))
      titles += `<rect ${box(left, top, size, size)}><title>${title}</title></rect>\n`
      const old = before[cell.number - (cells[0]?.number ?? 0)]
      if (old === undefined) continue
      if (cellTypes(old) !== cellTypes(cell)) frames += `<rect ${box(left, top, size, size)}/>\n`
      if (Math.abs(usedPart(old) - usedPart(cell)) >= 1 / 32) {
        marks.rect(INK, left, top + size * (1 - usedPart(old)) - 0.75, size, 1.5)
      }
    }
    top += bandHeight(band, plan)
  }
  const outline =
    frames === '' ? '' : `<g fill="none" stroke="${INK}" stroke-width="1.6">\n${frames}</g>\n`
  return `${paths}${marks}${outline}<g fill="none" pointer-events="all">\n${titles}</g>\n`
}

function box(x: number, y: number, width: number, height: number): string {
  return `x="${tenths(x)}" y="${tenths(y)}" width="${tenths(width)}" height="${tenths(height)}"`
}

function groupByRow(cells: readonly Cell[], columns: number): Map<number, Cell[]> {
  const rows = new Map<number, Cell[]>()
  for (const cell of cells) {
    const row = Math.floor(cell.number / columns)
    const known = rows.get(row)
    if (known === undefined) rows.set(row, [cell])
    else known.push(cell)
  }
  return rows
}

/** The rows of a zone: those without memory in any state are drawn as one. */
function bandsOf(zone: PictureZone, plan: GridPlan): Band[] {
  const blocks = zone.states[0]
  if (blocks === undefined) return []
  const blocksPerRow = plan.blocksPerCell * plan.columns
  const firstRow = Math.floor(blocks.first / blocksPerRow)
  const lastRow = Math.floor((blocks.first + blocks.types.length - 1) / blocksPerRow)
  const bands: Band[] = []
  for (let row = firstRow; row <= lastRow; row++) {
    const from = Math.max(0, row * blocksPerRow - blocks.first)
    const to = (row + 1) * blocksPerRow - blocks.first
    const memory = zone.states.some((state) => state.present.subarray(from, to).some((n) => n > 0))
    const last = bands[bands.length - 1]
    if (!memory && last?.memory === false) last.rows += 1
    else bands.push({ firstRow: row, rows: 1, memory })
  }
  return bands
}

function bandHeight(band: Band, plan: GridPlan): number {
  return band.memory ? plan.pitch : HOLE_ROW
}
