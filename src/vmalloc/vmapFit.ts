/**
 * Where a request goes: the search of the free tree, and taking an interval out of a free area.
 *
 * The search is the kernel's, with what it skips. It knows the tree by AREA_MAX alone, so for a large
 * alignment it looks for a length that is enough wherever it starts, and finds a shorter area that would do
 * only on its way. With the bare size for a length it visits every area that could do, in ascending order.
 *
 * Source: spec/vmalloc.md §3.4, §3.5.
 */

import { NUMA_NO_NODE } from '../base/units'
import { GFP_NOWAIT } from '../page/gfp'
import {
  AREA_END,
  AREA_LEFT,
  AREA_MAX,
  AREA_OBJECT,
  AREA_PARENT,
  AREA_PREV,
  AREA_RIGHT,
  AREA_START,
  TREE_FREE,
  VMAP_CPU_SPARE,
  VMAP_ROOTS,
} from '../state/vmapSchema'
import { giveRecord, RECORD_AREA, takeRecord, thisCpu, type VmapContext } from './vmapContext'
import { eraseArea, insertBetween, resizeFree } from './vmapTree'

/**
 * Takes `size` bytes in [low, high) out of the first free area that the search finds for `length`.
 * @returns the address; -1, with nothing changed, when there is none.
 */
export function takeSpace(
  c: VmapContext,
  size: number,
  length: number,
  align: number,
  low: number,
  high: number,
): number {
  const block = findFree(c, size, length, align, low)
  if (block === 0) return -1
  const start = c.numbers[(block + AREA_START) >> 1]!
  const base = alignUp(Math.max(start, low), align)
  // Only the first area that fits is tried: the space above the range makes this the sign of a full one.
  if (base + size > high) return -1
  return carve(c, block, base, base + size) ? base : -1
}

/**
 * Takes [start, end) out of the free area that holds it.
 * @returns false, with nothing changed, when it takes a split and there is no memory for that.
 */
export function carve(c: VmapContext, area: number, start: number, end: number): boolean {
  const place = (area + AREA_START) >> 1
  const oldStart = c.numbers[place]!
  const oldEnd = c.numbers[place + 1]!
  if (start === oldStart) {
    if (end === oldEnd) {
      eraseArea(c, TREE_FREE, area)
      dropArea(c, area)
    } else {
      resizeFree(c, area, end, oldEnd)
    }
    return true
  }
  if (end === oldEnd) {
    resizeFree(c, area, oldStart, start)
    return true
  }
  return split(c, area, start, end)
}

/** Gives the record of an area that is in no tree back, and its object. */
export function dropArea(c: VmapContext, area: number): void {
  const object = c.numbers[(area + AREA_OBJECT) >> 1]!
  giveRecord(c, area, RECORD_AREA)
  if (object > 0) c.ops.giveObject(object)
}

/** The smallest multiple of `align`, a power of two, that is not less than `address`. */
export function alignUp(address: number, align: number): number {
  return Math.ceil(address / align) * align
}

/** The largest multiple of `align`, a power of two, that is not more than `address`. */
export function alignDown(address: number, align: number): number {
  return Math.floor(address / align) * align
}

/** The kernel's walk through the free tree: an area that holds `size` bytes from `low` on; 0 for none. */
function findFree(
  c: VmapContext,
  size: number,
  length: number,
  align: number,
  low: number,
): number {
  const { words, numbers } = c
  let bound = low
  let node = words[VMAP_ROOTS + TREE_FREE]!
  while (node !== 0) {
    const left = words[node + AREA_LEFT]!
    if (
      left !== 0 &&
      numbers[(left + AREA_MAX) >> 1]! >= length &&
      bound < numbers[(node + AREA_START) >> 1]!
    ) {
      node = left
      continue
    }
    if (fits(c, node, size, align, bound)) return node
    let right = words[node + AREA_RIGHT]!
    if (right === 0 || numbers[(right + AREA_MAX) >> 1]! < length) {
      do {
        node = words[node + AREA_PARENT]!
        if (node === 0 || fits(c, node, size, align, bound)) return node
        right = words[node + AREA_RIGHT]!
      } while (
        right === 0 ||
        numbers[(right + AREA_MAX) >> 1]! < length ||
        bound > numbers[(node + AREA_START) >> 1]!
      )
      // Nothing below is looked at twice. The kernel adds 1 to the start; no area lies in between.
      bound = numbers[(node + AREA_END) >> 1]!
    }
    node = right
  }
  return 0
}

/** Whether a free area holds `size` bytes, aligned, from `low` on. */
function fits(c: VmapContext, area: number, size: number, align: number, low: number): boolean {
  const place = (area + AREA_START) >> 1
  const start = c.numbers[place]!
  const base = alignUp(Math.max(start, low), align)
  return base + size <= c.numbers[place + 1]!
}

/** Takes a middle part: the area becomes what is right of it, a new one what is left of it. */
function split(c: VmapContext, area: number, start: number, end: number): boolean {
  const { numbers } = c
  const rest = takeRecord(c, RECORD_AREA)
  let object = 0
  try {
    if (rest !== 0) object = takeSpare(c)
  } finally {
    // After an error too, which a hook may throw.
    if (object === 0 && rest !== 0) giveRecord(c, rest, RECORD_AREA)
  }
  if (object === 0) {
    c.ops.noSplit()
    return false
  }
  const place = (rest + AREA_START) >> 1
  numbers[place] = numbers[(area + AREA_START) >> 1]!
  numbers[place + 1] = start
  numbers[(rest + AREA_OBJECT) >> 1] = object
  resizeFree(c, area, end, numbers[(area + AREA_END) >> 1]!)
  insertBetween(c, TREE_FREE, rest, c.words[area + AREA_PREV]!, area)
  return true
}

/** The CPU's spare object; else a new one, if that takes no waiting. */
function takeSpare(c: VmapContext): number {
  const spare = (thisCpu(c) + VMAP_CPU_SPARE) >> 1
  const object = c.numbers[spare]!
  c.numbers[spare] = 0
  return object !== 0 ? object : c.ops.takeObject(GFP_NOWAIT, NUMA_NO_NODE)
}
