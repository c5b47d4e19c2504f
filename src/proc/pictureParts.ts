/**
 * What the pictures of lists, slabs, fragmentation and addresses share: checks of their arguments, the sheet that
 * they are drawn on, shapes, legends, and text that fits.
 *
 * A sheet stands alone: no script, no font, a background of its own. It is light; where a viewer prefers dark, the
 * classes `kmem-…` change the colours of paper, text and rules.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { KiB } from '../base/units'
import { checkState } from '../state/checkState'
import { INK, tenths } from './memoryCells'
import { escapeXml, formatBytes, text } from './memoryText'

/** What every picture can be told. */
export interface PictureOptions {
  /** Headline; each picture has one of its own. */
  readonly title?: string
  /** Width in pixels, 480 to 4096; 960 when not given. The height follows from what there is to show. */
  readonly width?: number
}

/** Pixels between the edge of a picture and what is in it. */
export const MARGIN = 24
/** Attributes of text that is less important. */
export const MUTE = 'class="kmem-mute" fill="#57606a"'
/** Attributes of what lies behind bars and lines. */
export const SOFT = 'class="kmem-soft" fill="#eff2f5"'

const FONT = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
const DARK =
  '.kmem{fill:#e6edf3}.kmem-paper{fill:#161b22;stroke:#3d444d}.kmem-mute{fill:#9ea7b3}' +
  '.kmem-soft{fill:#2a313c}.kmem-rule{stroke:#3d444d}'

/**
 * The headline and the width that options ask for.
 * @throws InvalidArgument for options that are none, and for a width out of range.
 */
export function pictureFrame(
  options: PictureOptions,
  headline: string,
): { title: string; width: number } {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgument('options', options, 'an object')
  }
  const { title = headline, width = 960 } = options
  if (typeof title !== 'string') throw new InvalidArgument('title', title, 'a string')
  checkInteger('width', width, 480, 4096)
  return { title, width }
}

/**
 * The words of a page allocator, or those given.
 * @throws InvalidArgument for what is neither.
 */
export function pageWords(pages: Int32Array | { readonly words: Int32Array }): Int32Array {
  const words: unknown = pages instanceof Int32Array ? pages : Object(pages).words
  if (!(words instanceof Int32Array)) {
    throw new InvalidArgument('pages', pages, 'a page allocator or its words')
  }
  checkState(words)
  return words
}

/** A whole picture: its headline, lines below it, and what `draw` makes from there down. */
export function pictureSheet(
  { title, width }: { title: string; width: number },
  lines: readonly string[],
  draw: (top: number) => { svg: string; bottom: number },
): string {
  const room = width - 2 * MARGIN
  let y = MARGIN + 18
  let head = text(fitText(title, 20, room), MARGIN, y, 'font-size="20" font-weight="600"')
  for (const line of lines.flatMap((line) => wrapText(line, 13, room))) {
    y += 20
    head += text(line, MARGIN, y, `font-size="13" ${MUTE}`)
  }
  const { svg, bottom } = draw(y + 14)
  const height = Math.ceil(bottom + MARGIN)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="${FONT}" class="kmem" fill="${INK}">
<title>${escapeXml(title)}</title>
<style>@media (prefers-color-scheme:dark){${DARK}}</style>
<defs><pattern id="kmem-lazy" width="6" height="6" patternUnits="userSpaceOnUse"><path fill="#c9d1d9" d="M0 0h6v6h-6z"/><path stroke="#6e7781" stroke-width="1.4" d="M-1 1l2 -2M0 6l6 -6M5 7l2 -2"/></pattern></defs>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" class="kmem-paper" fill="#ffffff" stroke="#d0d7de"/>
${head}${svg}</svg>
`
}

/** A rectangle; with a tooltip if there is one. `look` are its other attributes. */
export function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  look: string,
  tooltip = '',
): string {
  const place = `x="${tenths(x)}" y="${tenths(y)}" width="${tenths(width)}" height="${tenths(height)}"`
  const open = look === '' ? `<rect ${place}` : `<rect ${place} ${look}`
  return tooltip === '' ? `${open}/>\n` : `${open}><title>${escapeXml(tooltip)}</title></rect>\n`
}

/** An item of a legend: its words, and what draws its swatch of 14 by 14 pixels. */
export type LegendItem = readonly [label: string, swatch: (x: number, y: number) => string]

/** A swatch of one colour. */
export function swatch(label: string, fill: string): LegendItem {
  return [label, (x, y) => rect(x, y, 14, 14, `rx="2" fill="${fill}"`)]
}

/** The legend, in as many rows as it needs. Tells where it ends. */
export function pictureLegend(
  items: readonly LegendItem[],
  x: number,
  y: number,
  width: number,
): { svg: string; bottom: number } {
  let svg = ''
  let left = x
  let top = y
  for (const [label, draw] of items) {
    const size = 20 + textWidth(label, 12) + 18
    if (left + size > x + width && left > x) {
      left = x
      top += 22
    }
    svg += draw(left, top) + text(label, left + 20, top + 11.5, 'font-size="12"')
    left += size
  }
  return { svg, bottom: items.length === 0 ? y : top + 14 }
}

/** About how wide text is, in pixels: rather more than less, whatever font there is. */
export function textWidth(content: string, size: number): number {
  let width = 0
  for (const letter of content) width += letterWidth(letter.codePointAt(0) ?? 0)
  return width * size
}

/** Text that is cut, with an ellipsis, where it would be wider than `room`. */
export function fitText(content: string, size: number, room: number): string {
  if (textWidth(content, size) <= room) return content
  let width = textWidth('…', size)
  let kept = ''
  for (const letter of content) {
    width += letterWidth(letter.codePointAt(0) ?? 0) * size
    if (width > room) break
    kept += letter
  }
  return `${kept}…`
}

/** Bytes in the largest unit that keeps them at 1 or more: `96 B`, `3.8 MiB`, `32 TiB`. */
export function sizeText(bytes: number): string {
  if (bytes < KiB) return `${bytes} B`
  const tib = KiB ** 4
  return bytes < tib ? formatBytes(bytes) : `${groupDigits(tenths(bytes / tib))} TiB`
}

/** A number with commas: `1,234,567`. */
export function groupDigits(value: number): string {
  const [whole = '', fraction] = String(value).split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

/** A count and what is counted: `1 slab`, `2,000 slabs`. */
export function countText(count: number, noun: string): string {
  return `${groupDigits(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** A part of a whole in percent; `0%` of nothing. */
export function percentText(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.round((100 * part) / whole)}%`
}

/** Lines of text, none wider than `room`. */
function wrapText(content: string, size: number, room: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of content.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && textWidth(longer, size) > room) {
      lines.push(line)
      line = word
    } else {
      line = longer
    }
  }
  lines.push(line)
  return lines.map((each) => fitText(each, size, room))
}

/** Width of a character as a part of its height. */
function letterWidth(code: number): number {
  if (code >= 0x1100) return code === 0x2026 ? 0.9 : 1.05
  if (code >= 0x41 && code <= 0x5a) return 0.72
  if (code === 0x40 || code === 0x25 || code === 0x6d || code === 0x77) return 0.92
  return code > 0x7e ? 0.85 : 0.57
}
