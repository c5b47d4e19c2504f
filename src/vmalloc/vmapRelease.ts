/**
 * Releasing an interval: it joins those that it touches, in the free tree or in the tree of those that
 * wait for a purge.
 *
 * Source: spec/vmalloc.md §3.3, §3.7.
 */

import { AREA_END, AREA_NEXT, AREA_START, RECORD_AREA, TREE_FREE } from '../state/vmapSchema'
import { giveRecord, type VmapContext } from './vmapContext'
import { dropArea } from './vmapFit'
import { areaBefore, eraseArea, firstArea, insertBetween, resizeFree } from './vmapTree'

/**
 * Puts an area that is in no tree into one. Where it touches others, one of them takes its place, and
 * the objects of the rest are given back.
 * @returns false when the tree has some of its addresses already: then the area is dropped, its object lost.
 */
export function mergeArea(c: VmapContext, tree: number, area: number): boolean {
  const { words, numbers } = c
  const start = numbers[(area + AREA_START) >> 1]!
  const end = numbers[(area + AREA_END) >> 1]!
  const before = areaBefore(c, tree, start)
  const after = before === 0 ? firstArea(c, tree) : words[before + AREA_NEXT]!
  const beforeEnd = before === 0 ? -1 : numbers[(before + AREA_END) >> 1]!
  const afterStart = after === 0 ? Number.POSITIVE_INFINITY : numbers[(after + AREA_START) >> 1]!
  if (beforeEnd > start || afterStart < end) {
    const other = beforeEnd > start ? before : after
    const otherStart = numbers[(other + AREA_START) >> 1]!
    giveRecord(c, area, RECORD_AREA)
    c.ops.overlap(start, end, otherStart, numbers[(other + AREA_END) >> 1]!)
    return false
  }
  if (afterStart === end) {
    const afterEnd = numbers[(after + AREA_END) >> 1]!
    if (beforeEnd === start) {
      eraseArea(c, tree, after)
      resize(c, tree, before, numbers[(before + AREA_START) >> 1]!, afterEnd)
      dropArea(c, area)
      dropArea(c, after)
    } else {
      resize(c, tree, after, start, afterEnd)
      dropArea(c, area)
    }
  } else if (beforeEnd === start) {
    resize(c, tree, before, numbers[(before + AREA_START) >> 1]!, end)
    dropArea(c, area)
  } else {
    insertBetween(c, tree, area, before, after)
  }
  return true
}

function resize(c: VmapContext, tree: number, area: number, start: number, end: number): void {
  if (tree === TREE_FREE) {
    resizeFree(c, area, start, end)
    return
  }
  c.numbers[(area + AREA_START) >> 1] = start
  c.numbers[(area + AREA_END) >> 1] = end
}
