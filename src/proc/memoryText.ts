/** The words of a memory picture: headline figures, legend, and what changed. */

import { GiB, KiB, MiB, PAGE_SIZE, PAGEBLOCK_PAGES } from '../base/units'
import { MIGRATETYPE_NAMES } from '../page/migratetype'
import type { ZoneBlocks } from './memoryBlocks'
import { HOLE, INK, LIGHT, SOLID, tenths } from './memoryCells'

const FONT = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"

/** A whole SVG document around `body`; `title` is escaped already. */
export function sheet(title: string, width: number, height: number, body: string): string {
  const size = `width="${width}" height="${tenths(height)}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${tenths(height)}" ${size} role="img" font-family="${FONT}" fill="${INK}">
<title>${title}</title>
<defs><pattern id="kmem-hole" width="4" height="4" patternUnits="userSpaceOnUse"><path fill="#f3f4f6" d="M0 0h4v4h-4z"/><path stroke="#c3c9d1" stroke-width="0.8" d="M-1 1l2 -2M0 4l4 -4M3 5l2 -2"/></pattern></defs>
<rect x="0.5" y="0.5" width="${width - 1}" height="${tenths(height - 1)}" rx="10" fill="#ffffff" stroke="#d0d7de"/>
${body}</svg>
`
}

/** One line of text. */
export function text(content: string, x: number, y: number, attributes: string): string {
  const rest = attributes === '' ? '' : ` ${attributes}`
  return `<text x="${tenths(x)}" y="${tenths(y)}"${rest}>${escapeXml(content)}</text>\n`
}

/** Text for XML: marks escaped, characters that XML forbids replaced. */
export function escapeXml(content: string): string {
  return content
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
}

/** A size in the largest unit that keeps it at 1 or more, to a tenth: `3.8 MiB`. */
export function formatBytes(bytes: number): string {
  const [unit, name] = bytes >= GiB ? [GiB, 'GiB'] : bytes >= MiB ? [MiB, 'MiB'] : [KiB, 'KiB']
  return `${tenths(bytes / unit)} ${name}`
}

/** The headline figures. */
export function describeState(zones: readonly ZoneBlocks[], blocksPerCell: number): string[] {
  const managed = sum(zones, (zone) => zone.managedPages)
  const free = sum(zones, (zone) => zone.freePages)
  const cell = formatBytes(blocksPerCell * PAGEBLOCK_PAGES * PAGE_SIZE)
  const count = blocksPerCell === 1 ? 'one pageblock' : `${blocksPerCell} pageblocks`
  return [
    `${formatBytes(managed * PAGE_SIZE)} managed, ${formatBytes(free * PAGE_SIZE)} free ` +
      `(${percent(free, managed)}). Each cell is ${cell}, ${count}.`,
  ]
}

/** What differs between the two states of each zone. */
export function describeChange(zones: readonly (readonly ZoneBlocks[])[]): string[] {
  const moves = new Map<string, number>()
  let changed = 0
  let before = 0
  let after = 0
  for (const [first, second] of zones) {
    if (first === undefined || second === undefined) continue
    before += first.freePages
    after += second.freePages
    for (let i = 0; i < first.types.length; i++) {
      const from = first.types[i]!
      const to = second.types[i]!
      if (from !== to || first.free[i] !== second.free[i]) changed += 1
      if (from === to || second.present[i] === 0) continue
      const move = `${MIGRATETYPE_NAMES[from]} to ${MIGRATETYPE_NAMES[to]}`
      moves.set(move, (moves.get(move) ?? 0) + 1)
    }
  }
  const difference = formatBytes(Math.abs(after - before) * PAGE_SIZE)
  const change = after === before ? 'unchanged' : `${after < before ? '−' : '+'}${difference}`
  const retyped = [...moves].map(([move, count]) => `${count} ${move}`).join(', ')
  return [
    `Free memory ${formatBytes(before * PAGE_SIZE)} → ${formatBytes(after * PAGE_SIZE)} ` +
      `(${change}). Pageblocks with a change: ${changed}.`,
    retyped === '' ? 'No pageblock changed its type.' : `Pageblocks of another type: ${retyped}.`,
  ]
}

/** The legend, in as many rows as it needs. Tells where it ends. */
export function drawLegend(
  zones: readonly ZoneBlocks[],
  x: number,
  y: number,
  width: number,
  compared: boolean,
): { svg: string; bottom: number } {
  const counts = new Array<number>(MIGRATETYPE_NAMES.length).fill(0)
  let holes = false
  for (const zone of zones) {
    zone.types.forEach((type, i) => {
      if (zone.present[i]! < PAGEBLOCK_PAGES) holes = true
      if (zone.present[i] !== 0) counts[type] = (counts[type] ?? 0) + 1
    })
  }
  const items: [label: string, swatch: (x: number, y: number) => string][] = []
  MIGRATETYPE_NAMES.forEach((name, type) => {
    // The three common types are always there, so that pictures of a series agree.
    if (type < 3 || counts[type] !== 0) {
      items.push([name, (left, top) => swatch(left, top, LIGHT[type] ?? '', SOLID[type] ?? '')])
    }
  })
  if (holes) items.push(['hole', (left, top) => swatch(left, top, HOLE, HOLE)])
  items.push(['solid: in use, light: free', () => ''])
  if (compared) {
    items.push(['in use before', (left, top) => mark(left, top)])
    items.push(['type changed', (left, top) => frame(left, top)])
  }
  let svg = ''
  let left = x
  let top = y
  for (const [label, draw] of items) {
    const drawn = draw(left, top)
    const labelX = drawn === '' ? 0 : 20
    const itemWidth = labelX + 6.4 * label.length + 22
    if (left + itemWidth > x + width && left > x) {
      left = x
      top += 22
    }
    svg += draw(left, top) + text(label, left + labelX, top + 11.5, 'font-size="12"')
    left += itemWidth
  }
  return { svg, bottom: top + 14 }
}

function swatch(x: number, y: number, light: string, solid: string): string {
  return (
    `<path fill="${light}" d="M${tenths(x)} ${tenths(y)}h14v7h-14z"/>` +
    `<path fill="${solid}" d="M${tenths(x)} ${tenths(y + 7)}h14v7h-14z"/>\n`
  )
}

function mark(x: number, y: number): string {
  return `<path fill="${INK}" d="M${tenths(x)} ${tenths(y + 6)}h14v1.5h-14z"/>\n`
}

function frame(x: number, y: number): string {
  const place = `x="${tenths(x + 1)}" y="${tenths(y + 1)}"`
  return `<rect ${place} width="12" height="12" fill="none" stroke="${INK}" stroke-width="1.6"/>\n`
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0%' : `${Math.round((part * 100) / whole)}%`
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
