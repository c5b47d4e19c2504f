/**
 * Pictures of physical memory as SVG: a grid of cells a zone, each cell a pageblock or several,
 * coloured by migratetype and filled as far as it is in use.
 *
 * The text stands alone: no script, no style sheet, no font, a background of its own. Equal states
 * give equal texts.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { HEADER_MAX_PFN } from '../state/schema'
import { type ZoneBlocks, zoneBlocks } from './memoryBlocks'
import { drawPanels, type PictureZone, planGrid } from './memoryGrid'
import { describeChange, describeState, drawLegend, escapeXml, sheet, text } from './memoryText'
import { onlineNodes, populatedZones } from './zoneText'

/** What {@link memoryPicture} shows. */
export interface MemoryPictureOptions {
  /** Headline; without it `Physical memory`. */
  readonly title?: string
  /** Names of the zones shown, as `DMA32`; without it all that have memory. */
  readonly zones?: readonly string[]
  /** Numbers of the nodes shown; without it all. */
  readonly nodes?: readonly number[]
  /** Width in pixels, 480 to 4096 (800 at least for a pair); without it 960 (1080). */
  readonly width?: number
}

/** What {@link memoryPicturePair} shows. */
export interface MemoryPicturePairOptions extends MemoryPictureOptions {
  /** Headings of the two halves; without it `before` and `after`. */
  readonly labels?: readonly [before: string, after: string]
}

const MARGIN = 24

/**
 * The memory of `words` as SVG. Costs a walk over free lists and pageblocks.
 * @throws InvalidArgument when no zone with memory is asked for, or for a width out of range.
 */
export function memoryPicture(words: Int32Array, options: MemoryPictureOptions = {}): string {
  const width = options.width ?? 960
  checkInteger('width', width, 480, 4096)
  const zones = pickZones(words, options).map((blocks) => ({ states: [blocks] }))
  return draw(words, zones, options.title ?? 'Physical memory', width, [])
}

/**
 * The memory of two states side by side as SVG. In the second, a bar across a cell marks how far it was
 * in use before, and a frame marks cells whose migratetypes changed; below stands what changed in all.
 * @throws InvalidArgument when the states are not of one machine, or as {@link memoryPicture} does.
 */
export function memoryPicturePair(
  before: Int32Array,
  after: Int32Array,
  options: MemoryPicturePairOptions = {},
): string {
  const width = options.width ?? 1080
  checkInteger('width', width, 800, 4096)
  const first = pickZones(before, options)
  const second = pickZones(after, options)
  const zones = second.map((blocks, i) => ({ states: [first[i] ?? blocks, blocks] }))
  if (first.length !== second.length || zones.some((zone) => !alike(zone))) {
    throw new InvalidArgument('after', 'another machine', 'a later state of the same machine')
  }
  const labels = options.labels ?? ['before', 'after']
  return draw(after, zones, options.title ?? 'Physical memory', width, labels)
}

function draw(
  words: Int32Array,
  zones: readonly PictureZone[],
  title: string,
  width: number,
  labels: readonly string[],
): string {
  const digits = Math.max(8, (words[HEADER_MAX_PFN]! * PAGE_SIZE - 1).toString(16).length)
  const plan = planGrid(zones, width - 2 * MARGIN, Math.max(1, labels.length), digits)
  const states = zones.map((zone) => zone.states)
  let y = MARGIN + 18
  let body = text(title, MARGIN, y, 'font-size="20" font-weight="600"')
  const last = states
    .map((blocks) => blocks[blocks.length - 1])
    .filter((blocks) => blocks !== undefined)
  for (const line of describeState(last, plan.blocksPerCell)) {
    y += 20
    body += text(line, MARGIN, y, 'font-size="13" fill="#57606a"')
  }
  const legend = drawLegend(states.flat(), MARGIN, y + 16, width - 2 * MARGIN, labels.length > 1)
  body += legend.svg
  const panels = drawPanels(zones, plan, labels, MARGIN, legend.bottom + 8)
  body += panels.svg
  y = panels.bottom
  if (labels.length > 1) {
    for (const line of describeChange(states)) {
      y += 20
      body += text(line, MARGIN, y, 'font-size="13"')
    }
    y += 4
  }
  return sheet(escapeXml(title), width, y + MARGIN, body)
}

function pickZones(words: Int32Array, options: MemoryPictureOptions): ZoneBlocks[] {
  const { zones, nodes } = options
  const picked = onlineNodes(words)
    .filter((node) => nodes === undefined || nodes.includes(node))
    .flatMap((node) => populatedZones(words, node).map((zone) => zoneBlocks(words, zone)))
    .filter((blocks) => zones === undefined || zones.includes(blocks.name))
  if (picked.length === 0) {
    throw new InvalidArgument('zones', zones ?? nodes ?? 'all', 'zones with memory')
  }
  return picked
}

function alike(zone: PictureZone): boolean {
  const [before, after] = zone.states
  return (
    before !== undefined &&
    after !== undefined &&
    before.node === after.node &&
    before.name === after.name &&
    before.first === after.first &&
    before.types.length === after.types.length
  )
}
