/** Checks one tree of areas of an address space: links, order, colours, sizes, list. */

import {
  AREA_FLAGS,
  AREA_LEFT,
  AREA_MAX,
  AREA_NEXT,
  AREA_PARENT,
  AREA_PREV,
  AREA_RIGHT,
  AREA_TREE_SHIFT,
  RECORD_AREA,
  TREE_BUSY,
  TREE_FREE,
  VMAP_END,
  VMAP_ROOTS,
  VMAP_START,
} from '../state/vmapSchema'
import type { VmapSurvey } from './vmapSurvey'

/** What the areas of a tree are, in messages. */
export const TREES = ['free', 'in use', 'waiting for a purge'] as const

/** Checks a tree; its areas in order, as far as they can be reached. */
export function checkTree(s: VmapSurvey, tree: number): number[] {
  const down = reach(s, tree)
  for (const area of down) checkArea(s, tree, area)
  // Where links are broken there is no order to speak of.
  if (!s.whole) return down
  checkColours(s, down)
  checkSizes(s, tree, down)
  const areas = inOrder(s, tree)
  checkOrder(s, tree, areas)
  checkList(s, areas)
  return areas
}

/** The areas of a tree, each before what is below it. */
function reach(s: VmapSurvey, tree: number): number[] {
  const { words, v } = s
  const found: number[] = []
  const waiting = [words[VMAP_ROOTS + tree]!, 0]
  while (waiting.length > 0) {
    const parent = waiting.pop() ?? 0
    const area = waiting.pop() ?? 0
    if (area === 0 || !s.claim(area, RECORD_AREA, 'VMAP-3')) continue
    if (words[area + AREA_PARENT] !== parent) {
      v.report('VMAP-3', `${s.text(area)} names parent ${words[area + AREA_PARENT]}, not ${parent}`)
    }
    found.push(area)
    waiting.push(words[area + AREA_RIGHT]!, area, words[area + AREA_LEFT]!, area)
  }
  return found
}

function checkArea(s: VmapSurvey, tree: number, area: number): void {
  const { words, numbers, v } = s
  const flags = words[area + AREA_FLAGS]!
  if (flags >> AREA_TREE_SHIFT !== tree || (flags & 2) !== 0) {
    v.report('VMAP-3', `${s.text(area)} has flags ${flags}, and is ${TREES[tree]}`)
  }
  const [first, last] = [numbers[VMAP_START >> 1]!, numbers[VMAP_END >> 1]!]
  const bound = (at: number) =>
    (at % s.c.granule === 0 && at > first && at < last) || at === first || at === last
  if (!(bound(s.start(area)) && bound(s.end(area)) && s.start(area) < s.end(area))) {
    v.report('VMAP-2', `${s.text(area)} has wrong bounds`)
  }
}

/** Colours, and the black areas on the way down. */
function checkColours(s: VmapSurvey, down: readonly number[]): void {
  const { words, v } = s
  const isRed = (area: number) => area !== 0 && (words[area + AREA_FLAGS]! & 1) !== 0
  const heights = new Map<number, number>([[0, 0]])
  if (isRed(down[0] ?? 0)) v.report('VMAP-4', `the root, ${s.text(down[0] ?? 0)}, is red`)
  for (const area of [...down].reverse()) {
    const left = words[area + AREA_LEFT]!
    const right = words[area + AREA_RIGHT]!
    if (isRed(area) && (isRed(left) || isRed(right))) {
      v.report('VMAP-4', `${s.text(area)} is red and has a red child`)
    }
    const height = heights.get(left) ?? 0
    if (height !== heights.get(right)) {
      v.report(
        'VMAP-5',
        `${s.text(area)} has ${height} and ${heights.get(right)} black areas below`,
      )
    }
    heights.set(area, height + (isRed(area) ? 0 : 1))
  }
}

function checkSizes(s: VmapSurvey, tree: number, down: readonly number[]): void {
  const { words, numbers, v } = s
  const largest = new Map<number, number>([[0, 0]])
  for (const area of [...down].reverse()) {
    const left = largest.get(words[area + AREA_LEFT]!) ?? 0
    const right = largest.get(words[area + AREA_RIGHT]!) ?? 0
    const max = Math.max(s.end(area) - s.start(area), left, right)
    largest.set(area, max)
    const kept = numbers[(area + AREA_MAX) >> 1]!
    const expected = tree === TREE_FREE ? max : 0
    if (kept !== expected)
      v.report('VMAP-6', `${s.text(area)} has AREA_MAX ${kept}, not ${expected}`)
  }
}

/** The areas of a whole tree in order. */
function inOrder(s: VmapSurvey, tree: number): number[] {
  const { words } = s
  const found: number[] = []
  const above: number[] = []
  let area = words[VMAP_ROOTS + tree]!
  while (area !== 0 || above.length > 0) {
    for (; area !== 0; area = words[area + AREA_LEFT]!) above.push(area)
    const next = above.pop() ?? 0
    found.push(next)
    area = words[next + AREA_RIGHT]!
  }
  return found
}

function checkOrder(s: VmapSurvey, tree: number, areas: readonly number[]): void {
  for (const [i, area] of areas.entries()) {
    const before = areas[i - 1]
    if (before === undefined) continue
    if (s.end(before) > s.start(area)) {
      s.v.report('VMAP-2', `${s.text(area)} is behind ${s.text(before)}`)
    } else if (tree !== TREE_BUSY && s.end(before) === s.start(area)) {
      s.v.report('VMAP-8', `${s.text(area)} touches ${s.text(before)}`)
    }
  }
}

function checkList(s: VmapSurvey, areas: readonly number[]): void {
  const { words, v } = s
  for (const [i, area] of areas.entries()) {
    const prev = words[area + AREA_PREV]!
    const next = words[area + AREA_NEXT]!
    if (prev !== (areas[i - 1] ?? 0) || next !== (areas[i + 1] ?? 0)) {
      v.report('VMAP-7', `${s.text(area)} is listed between ${prev} and ${next}`)
    }
  }
}
