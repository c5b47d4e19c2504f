/**
 * What lies in the vmalloc space, window by window: areas in use, areas that wait for a purge, and what is free
 * between them.
 */

import { PAGE_SIZE } from '../base/units'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_NEXT,
  AREA_START,
  AREA_VM,
  TREE_BUSY,
  TREE_PURGE,
  VM_CALLER,
  VM_FLAGS,
} from '../state/vmapSchema'
import { formatAddress } from '../vmalloc/addresses'
import { callerName } from '../vmalloc/callers'
import { VM_ALLOC, VM_IOREMAP, VM_MAP } from '../vmalloc/flags'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { firstArea } from '../vmalloc/vmapTree'
import { sizeText } from './pictureParts'

/** What a stretch of addresses is. */
export type StripKind =
  | 'vmalloc'
  | 'vmap'
  | 'ioremap'
  | 'block'
  | 'vm_map_ram'
  | 'other'
  | 'unpurged'
  | 'free'

/** A stretch of addresses: half-open. */
export interface StripPart {
  readonly start: number
  readonly end: number
  readonly kind: StripKind
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
}

/** A window, its parts ascending and without holes between the first and the last. */
export interface Strip {
  readonly title: string
  readonly parts: readonly StripPart[]
}

/** The vmalloc window, and others that have areas. */
export function vmallocStrips(c: VmallocContext): Strip[] {
  const { layout } = c
  const areas = [...areasOf(c, TREE_BUSY), ...areasOf(c, TREE_PURGE)]
  areas.sort((a, b) => a.start - b.start)
  // On x86_64 the end is the last address itself.
  const end = Math.ceil(layout.vmallocEnd / PAGE_SIZE) * PAGE_SIZE
  const windows = [{ name: 'vmalloc window', start: layout.vmallocStart, end }]
  if (layout.modules) windows.push({ name: 'window of modules', ...layout.modules })
  const strips: Strip[] = []
  let rest = areas
  windows.forEach(({ name, start, end }, i) => {
    const inside = (area: StripPart) => area.start >= start && area.end <= end
    const members = rest.filter(inside)
    rest = rest.filter((area) => !inside(area))
    if (i > 0 && members.length === 0) return
    const range = `0x${formatAddress(layout, start)} to 0x${formatAddress(layout, end - 1)}`
    strips.push({
      title: `${name}, ${range}, ${sizeText(end - start)}`,
      parts: withGaps(members, start, end),
    })
  })
  const [first] = rest
  if (first !== undefined) {
    const last = rest[rest.length - 1] ?? first
    strips.push({ title: 'other addresses', parts: withGaps(rest, first.start, last.end) })
  }
  return strips
}

/** Where a part lies, what it is and who asked for it, as a tooltip. */
export function partText(c: VmallocContext, part: StripPart): string {
  const range = `0x${formatAddress(c.layout, part.start)}-0x${formatAddress(c.layout, part.end - 1)}`
  const caller = part.caller === '' ? '' : ` ${part.caller}`
  return `${range} ${sizeText(part.end - part.start)} ${part.kind}${caller}`
}

function withGaps(areas: readonly StripPart[], start: number, end: number): StripPart[] {
  const parts: StripPart[] = []
  let at = start
  for (const area of areas) {
    if (area.start > at) parts.push({ start: at, end: area.start, kind: 'free', caller: '' })
    parts.push(area)
    at = area.end
  }
  if (end > at) parts.push({ start: at, end, kind: 'free', caller: '' })
  return parts
}

function areasOf(c: VmallocContext, tree: number): StripPart[] {
  const { words, numbers } = c.space
  const areas: StripPart[] = []
  for (let area = firstArea(c.space, tree); area !== 0; area = words[area + AREA_NEXT]!) {
    const record = words[area + AREA_VM]!
    const busy = tree === TREE_BUSY
    areas.push({
      start: numbers[(area + AREA_START) >> 1]!,
      end: numbers[(area + AREA_END) >> 1]!,
      kind: busy ? kindOf(words, area, record) : 'unpurged',
      caller: busy && record !== 0 ? callerName(words, words[record + VM_CALLER]!) : '',
    })
  }
  return areas
}

function kindOf(words: Int32Array, area: number, record: number): StripKind {
  if (words[area + AREA_BLOCK] !== 0) return 'block'
  if (record === 0) return 'vm_map_ram'
  const flags = words[record + VM_FLAGS]!
  if ((flags & VM_IOREMAP) !== 0) return 'ioremap'
  if ((flags & VM_ALLOC) !== 0) return 'vmalloc'
  return (flags & VM_MAP) !== 0 ? 'vmap' : 'other'
}
