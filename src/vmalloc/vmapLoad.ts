/**
 * Giving a new address space the areas that a machine has already, with the shape of its free tree or
 * without.
 *
 * Source: spec/vmalloc.md §2.3, §2.4; spec/vmalloc-recordings.md §1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { fullAddress, type Layout } from '../base/layout'
import {
  AREA_END,
  AREA_FLAGS,
  AREA_LEFT,
  AREA_MAX,
  AREA_NEXT,
  AREA_OBJECT,
  AREA_PARENT,
  AREA_PREV,
  AREA_RIGHT,
  AREA_START,
  RECORD_AREA,
  RECORD_KINDS,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VMAP_COUNTS,
  VMAP_CPU_SPARE,
  VMAP_DRAIN_PENDING,
  VMAP_END,
  VMAP_FREE_BYTES,
  VMAP_LAZY_BYTES,
  VMAP_RECORDS,
  VMAP_ROOTS,
  VMAP_START,
} from '../state/vmapSchema'
import { hasRecords, takeRecord, thisCpu, type VmapContext } from './vmapContext'
import { dropArea } from './vmapFit'
import { lazyMaxPages, lazyPages } from './vmapPurge'
import type { AreaBounds, FreeAreaNode, VmapState } from './vmapState'
import { eraseArea, firstArea, insertBetween } from './vmapTree'

/** Bounds of an area, as numbers: half-open. */
export type AreaRange = readonly [start: number, end: number]

/** A red-black tree that is higher than this has more nodes than there can be records. */
const MAX_HEIGHT = 64
const ADDRESS = /^0x[0-9a-f]{1,16}$/

interface FreeNode {
  readonly red: boolean
  readonly start: number
  readonly end: number
  left: FreeNode | null
  right: FreeNode | null
}

/**
 * Gives a new address space the areas of another one. Their objects have no memory behind them.
 * @throws InvalidArgument, with nothing changed, for a space in use, and for what is no state of one: areas
 * that overlap, touch where they would have been joined, or leave something out; a tree that is not
 * red-black; a wrong count.
 */
export function loadVmapState(c: VmapContext, state: VmapState, layout: Layout): void {
  checkNew(c)
  if (typeof state !== 'object' || state === null) {
    throw new InvalidArgument('state', state, 'the areas of an address space')
  }
  const reader = new TreeReader(layout)
  const root = reader.read(state.free, 0)
  if (root?.red === true) throw new InvalidArgument('free', 'a red root', 'a red-black tree')
  const unpurged = readBounds('unpurged', state.unpurged, layout)
  const busy = readBounds('busy', state.busy, layout)
  checkCover(c, [...reader.ranges, ...unpurged, ...busy])
  // A kernel that was read while it freed may tell another count than its areas have: theirs is taken.
  checkInteger('lazyPages', state.lazyPages, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('spare', state.spare, 0, 1)
  clear(c)
  c.words[VMAP_ROOTS + TREE_FREE] = build(c, root, 0, { last: 0 })
  fill(c, TREE_PURGE, unpurged, null)
  fill(c, TREE_BUSY, busy, null)
  setSpare(c, state.spare)
}

/**
 * Gives a new address space areas in use, and areas that wait for a purge; the rest becomes its free areas,
 * in ascending order.
 * @param takeObject takes the object of an area in use, then of a free area, in ascending order; it returns
 * the address, or -1 for none. Objects of areas that wait for a purge have no memory behind them, nor has
 * any without this function.
 * @throws InvalidArgument, with nothing changed, for a space in use, and for areas that are empty, out of
 * order, overlap, or lie outside of the space.
 */
export function populateVmap(
  c: VmapContext,
  busy: readonly AreaRange[],
  unpurged: readonly AreaRange[] = [],
  takeObject: (() => number) | null = null,
): void {
  checkNew(c)
  const taken = [...ascending('busy', busy, 0), ...ascending('unpurged', unpurged, 1)]
  taken.sort((a, b) => a[0] - b[0])
  const free: AreaRange[] = []
  let at = c.numbers[VMAP_START >> 1]!
  const end = c.numbers[VMAP_END >> 1]!
  for (const [start, stop] of [...taken, [end, end] as const]) {
    if (start > at) free.push([at, start])
    at = Math.max(at, stop)
  }
  checkCover(c, [...taken, ...free])
  clear(c)
  fill(c, TREE_PURGE, unpurged, null)
  fill(c, TREE_BUSY, busy, takeObject)
  fill(c, TREE_FREE, free, takeObject)
}

/** Throws unless nothing has been done with a space yet. */
function checkNew(c: VmapContext): void {
  const { words } = c
  let records = 0
  for (let kind = 0; kind < RECORD_KINDS; kind++) records += words[VMAP_RECORDS + kind]!
  if (records !== 1 || words[VMAP_COUNTS + TREE_FREE] !== 1) {
    throw new InvalidArgument('space', `one of ${records} records`, 'new')
  }
}

/** Reads a free tree in ascending order, and checks it on the way. */
class TreeReader {
  /** Bounds of the nodes so far. */
  readonly ranges: AreaRange[] = []
  private readonly layout: Layout
  /** Black nodes on the way to a missing child; -1 until the first. */
  private blacks = -1

  constructor(layout: Layout) {
    this.layout = layout
  }

  read(node: FreeAreaNode | null, blacks: number, height = 0): FreeNode | null {
    if (node === null) {
      if (this.blacks >= 0 && this.blacks !== blacks) this.fail(`paths of ${blacks} black nodes`)
      this.blacks = blacks
      return null
    }
    if (!Array.isArray(node) || node.length !== 5) this.fail(node)
    if (height === MAX_HEIGHT) this.fail(`higher than ${MAX_HEIGHT}`)
    const [colour, start, end, left, right] = node as FreeAreaNode
    if (colour !== 'R' && colour !== 'B') this.fail(`of colour ${String(colour)}`)
    const red = colour === 'R'
    const below = red ? blacks : blacks + 1
    const first = this.read(left, below, height + 1)
    const range = readRange('free', [start, end], this.layout)
    const previous = this.ranges[this.ranges.length - 1]
    // Two free areas that touch would have been joined.
    if (previous !== undefined && previous[1] >= range[0]) this.fail(`out of order at ${start}`)
    this.ranges.push(range)
    const second = this.read(right, below, height + 1)
    if (red && (first?.red === true || second?.red === true)) this.fail(`red below red at ${start}`)
    return { red, start: range[0], end: range[1], left: first, right: second }
  }

  private fail(value: unknown): never {
    throw new InvalidArgument(
      'free',
      value,
      'a red-black tree of nodes [colour, start, end, left, right]',
    )
  }
}

function readBounds(name: string, list: readonly AreaBounds[], layout: Layout): AreaRange[] {
  if (!Array.isArray(list)) throw new InvalidArgument(name, list, 'a list of areas')
  const ranges = list.map((entry) => readRange(name, entry, layout))
  return ascending(name, ranges, name === 'unpurged' ? 1 : 0)
}

function readRange(name: string, entry: AreaBounds, layout: Layout): AreaRange {
  if (!Array.isArray(entry) || entry.length !== 2) {
    throw new InvalidArgument(name, entry, 'a list of areas [start, end]')
  }
  return [readAddress(name, entry[0], layout), readAddress(name, entry[1], layout)]
}

/** An address in full, without its sign extension. */
function readAddress(name: string, text: unknown, layout: Layout): number {
  if (typeof text !== 'string' || !ADDRESS.test(text)) {
    throw new InvalidArgument(name, text, 'made of hexadecimal addresses in full')
  }
  const value = BigInt(text)
  const address = Number(BigInt.asUintN(layout.vaBits, value))
  if (fullAddress(layout, address) !== value) {
    throw new InvalidArgument(name, text, `made of addresses of layout ${layout.name}`)
  }
  return address
}

/** Checks that areas are in order, and at least `gap` apart. */
function ascending(name: string, ranges: readonly AreaRange[], gap: number): AreaRange[] {
  let last = -1
  for (const [start, end] of ranges) {
    checkInteger(`start of ${name}`, start, last < 0 ? 0 : last + gap, Number.MAX_SAFE_INTEGER)
    checkInteger(`end of ${name}`, end, start + 1, Number.MAX_SAFE_INTEGER)
    last = end
  }
  return [...ranges]
}

/** Checks that areas fill the space, each address once, and that there is room for their records. */
function checkCover(c: VmapContext, ranges: AreaRange[]): void {
  ranges.sort((a, b) => a[0] - b[0])
  let at = c.numbers[VMAP_START >> 1]!
  const last = c.numbers[VMAP_END >> 1]!
  for (const [start, end] of ranges) {
    if (start !== at || end <= start || (end % c.granule !== 0 && end !== last)) {
      throw new InvalidArgument(
        'area',
        `[${start}, ${end})`,
        `one that starts at ${at}, in whole pages`,
      )
    }
    at = end
  }
  if (at !== last) throw new InvalidArgument('last address', at, `${last}, the end of the space`)
  if (!hasRecords(c, ranges.length - 1)) {
    throw new InvalidArgument('number of areas', ranges.length, 'what the state has records for')
  }
}

/** Takes the free area of a new space away. */
function clear(c: VmapContext): void {
  const area = firstArea(c, TREE_FREE)
  eraseArea(c, TREE_FREE, area)
  dropArea(c, area)
}

/** Sees to it that the CPU has an object to spare, or none. */
function setSpare(c: VmapContext, count: number): void {
  const place = (thisCpu(c) + VMAP_CPU_SPARE) >> 1
  const object = c.numbers[place]!
  c.numbers[place] = count === 0 ? 0 : object || -1
  if (count === 0 && object > 0) c.ops.giveObject(object)
}

/** Appends areas to a tree. */
function fill(
  c: VmapContext,
  tree: number,
  ranges: readonly AreaRange[],
  takeObject: (() => number) | null,
): void {
  let last = 0
  for (const range of ranges) {
    const object = takeObject === null ? -1 : takeObject()
    const area = newArea(c, range[0], range[1], object > 0 ? object : -1)
    insertBetween(c, tree, area, last, 0)
    last = area
    if (tree === TREE_PURGE) c.numbers[VMAP_LAZY_BYTES >> 1]! += range[1] - range[0]
  }
  if (lazyPages(c) > lazyMaxPages(c)) c.words[VMAP_DRAIN_PENDING] = 1
}

function newArea(c: VmapContext, start: number, end: number, object: number): number {
  const area = takeRecord(c, RECORD_AREA)
  c.numbers[(area + AREA_START) >> 1] = start
  c.numbers[(area + AREA_END) >> 1] = end
  c.numbers[(area + AREA_OBJECT) >> 1] = object
  return area
}

/** Makes the free tree as it was read: no deeper than that was. Returns the record of the node. */
function build(
  c: VmapContext,
  node: FreeNode | null,
  parent: number,
  list: { last: number },
): number {
  if (node === null) return 0
  const { words, numbers } = c
  const area = newArea(c, node.start, node.end, -1)
  words[area + AREA_FLAGS] = node.red ? 1 : 0
  words[area + AREA_PARENT] = parent
  const left = build(c, node.left, area, list)
  words[area + AREA_LEFT] = left
  words[area + AREA_PREV] = list.last
  if (list.last !== 0) words[list.last + AREA_NEXT] = area
  list.last = area
  const right = build(c, node.right, area, list)
  words[area + AREA_RIGHT] = right
  let max = node.end - node.start
  if (left !== 0) max = Math.max(max, numbers[(left + AREA_MAX) >> 1]!)
  if (right !== 0) max = Math.max(max, numbers[(right + AREA_MAX) >> 1]!)
  numbers[(area + AREA_MAX) >> 1] = max
  numbers[VMAP_FREE_BYTES >> 1]! += node.end - node.start
  words[VMAP_COUNTS + TREE_FREE]! += 1
  return area
}
