/**
 * The trees of areas: red-black trees by address over the state's columns, as in the textbook (Cormen et al.),
 * each threaded by a list of its areas in ascending order.
 *
 * The shape of the free tree decides where aligned requests go, so insertion and deletion have to end in the
 * same tree as the kernel's, node for node; see the numbered rules of the specification.
 *
 * AREA_MAX of an area in the free tree is the size of the largest area in its subtree, itself included.
 *
 * Source: spec/vmalloc.md §3.2, §3.3.
 */

import {
  AREA_END,
  AREA_FLAGS,
  AREA_LEFT,
  AREA_MAX,
  AREA_NEXT,
  AREA_PARENT,
  AREA_PREV,
  AREA_RIGHT,
  AREA_START,
  AREA_TREE_SHIFT,
  TREE_FREE,
  VMAP_COUNTS,
  VMAP_FREE_BYTES,
  VMAP_ROOTS,
} from '../state/vmapSchema'
import type { VmapContext } from './vmapContext'

/** The colour bit of AREA_FLAGS. A missing child is black. */
const RED = 1
/** A column of children and its opposite add up to this. */
const BOTH_SIDES = 5

/** The area of a tree with the largest start that is not above `address`; 0 for none. */
export function areaBefore(c: VmapContext, tree: number, address: number): number {
  const { words, numbers } = c
  let node = words[VMAP_ROOTS + tree]!
  let found = 0
  while (node !== 0) {
    if (numbers[(node + AREA_START) >> 1]! <= address) {
      found = node
      node = words[node + AREA_RIGHT]!
    } else {
      node = words[node + AREA_LEFT]!
    }
  }
  return found
}

/** The area of a tree that holds `address`; 0 for none. */
export function areaAt(c: VmapContext, tree: number, address: number): number {
  const area = areaBefore(c, tree, address)
  return area !== 0 && address < c.numbers[(area + AREA_END) >> 1]! ? area : 0
}

/** The first area of a tree that ends above `address`; 0 for none. */
export function areaAbove(c: VmapContext, tree: number, address: number): number {
  const area = areaBefore(c, tree, address)
  if (area === 0) return firstArea(c, tree)
  return address < c.numbers[(area + AREA_END) >> 1]! ? area : c.words[area + AREA_NEXT]!
}

/** The area of a tree with the lowest addresses; 0 for none. */
export function firstArea(c: VmapContext, tree: number): number {
  const { words } = c
  let node = words[VMAP_ROOTS + tree]!
  if (node === 0) return 0
  for (let left = words[node + AREA_LEFT]!; left !== 0; left = words[node + AREA_LEFT]!) node = left
  return node
}

/** Puts an area, with its bounds, into a tree. */
export function insertArea(c: VmapContext, tree: number, area: number): void {
  const before = areaBefore(c, tree, c.numbers[(area + AREA_START) >> 1]!)
  const after = before === 0 ? firstArea(c, tree) : c.words[before + AREA_NEXT]!
  insertBetween(c, tree, area, before, after)
}

/** Puts an area into a tree, between two that follow each other there; 0 stands for none. */
export function insertBetween(
  c: VmapContext,
  tree: number,
  area: number,
  before: number,
  after: number,
): void {
  const { words, numbers } = c
  words[area + AREA_PREV] = before
  words[area + AREA_NEXT] = after
  if (before !== 0) words[before + AREA_NEXT] = area
  if (after !== 0) words[after + AREA_PREV] = area
  words[area + AREA_LEFT] = 0
  words[area + AREA_RIGHT] = 0
  words[area + AREA_FLAGS] = (tree << AREA_TREE_SHIFT) | RED
  words[VMAP_COUNTS + tree]! += 1
  // Of two neighbours one is above the other, so exactly one has no child where the new leaf belongs.
  let parent = after
  if (before !== 0 && words[before + AREA_RIGHT] === 0) {
    parent = before
    words[before + AREA_RIGHT] = area
  } else if (after !== 0) {
    words[after + AREA_LEFT] = area
  } else {
    words[VMAP_ROOTS + tree] = area
  }
  words[area + AREA_PARENT] = parent
  if (tree === TREE_FREE) {
    const size = numbers[(area + AREA_END) >> 1]! - numbers[(area + AREA_START) >> 1]!
    numbers[(area + AREA_MAX) >> 1] = size
    numbers[VMAP_FREE_BYTES >> 1]! += size
    propagateMax(c, parent)
  }
  fixInsertion(c, tree, area)
}

/** Takes an area out of its tree. Its bounds stay, its links are meaningless. */
export function eraseArea(c: VmapContext, tree: number, area: number): void {
  const { words, numbers } = c
  const prev = words[area + AREA_PREV]!
  const next = words[area + AREA_NEXT]!
  if (prev !== 0) words[prev + AREA_NEXT] = next
  if (next !== 0) words[next + AREA_PREV] = prev
  words[VMAP_COUNTS + tree]! -= 1
  const left = words[area + AREA_LEFT]!
  const right = words[area + AREA_RIGHT]!
  let colour = words[area + AREA_FLAGS]! & RED
  let parent = words[area + AREA_PARENT]!
  let child = left === 0 ? right : left
  if (left === 0 || right === 0) {
    replaceChild(words, tree, parent, area, child)
    if (child !== 0) words[child + AREA_PARENT] = parent
  } else {
    // The next one takes the place, and leaves its own to its right child.
    child = words[next + AREA_RIGHT]!
    colour = words[next + AREA_FLAGS]! & RED
    replaceChild(words, tree, parent, area, next)
    parent = next
    if (next !== right) {
      parent = words[next + AREA_PARENT]!
      words[parent + AREA_LEFT] = child
      if (child !== 0) words[child + AREA_PARENT] = parent
      words[next + AREA_RIGHT] = right
      words[right + AREA_PARENT] = next
    }
    words[next + AREA_LEFT] = left
    words[left + AREA_PARENT] = next
    words[next + AREA_PARENT] = words[area + AREA_PARENT]!
    words[next + AREA_FLAGS] = words[area + AREA_FLAGS]!
    // What is above has been computed with this.
    numbers[(next + AREA_MAX) >> 1] = numbers[(area + AREA_MAX) >> 1]!
  }
  if (tree === TREE_FREE) {
    numbers[VMAP_FREE_BYTES >> 1]! -=
      numbers[(area + AREA_END) >> 1]! - numbers[(area + AREA_START) >> 1]!
    if (parent !== 0) propagateMax(c, parent)
    if (left !== 0 && right !== 0) propagateMax(c, next)
  }
  if (colour !== RED) fixDeletion(c, tree, child, parent)
}

/** Gives an area of the free tree other bounds, between its neighbours. Its place stays. */
export function resizeFree(c: VmapContext, area: number, start: number, end: number): void {
  const { numbers } = c
  const place = (area + AREA_START) >> 1
  numbers[VMAP_FREE_BYTES >> 1]! += end - start - (numbers[place + 1]! - numbers[place]!)
  numbers[place] = start
  numbers[place + 1] = end
  propagateMax(c, area)
}

/** Computes AREA_MAX from `area` upwards, as far as it changes. */
function propagateMax(c: VmapContext, area: number): void {
  const { words, numbers } = c
  for (let node = area; node !== 0; node = words[node + AREA_PARENT]!) {
    const max = largestBelow(c, node)
    if (numbers[(node + AREA_MAX) >> 1] === max) return
    numbers[(node + AREA_MAX) >> 1] = max
  }
}

/** What AREA_MAX has to be. */
function largestBelow(c: VmapContext, node: number): number {
  const { words, numbers } = c
  let max = numbers[(node + AREA_END) >> 1]! - numbers[(node + AREA_START) >> 1]!
  const left = words[node + AREA_LEFT]!
  if (left !== 0 && numbers[(left + AREA_MAX) >> 1]! > max) max = numbers[(left + AREA_MAX) >> 1]!
  const right = words[node + AREA_RIGHT]!
  return right !== 0 && numbers[(right + AREA_MAX) >> 1]! > max
    ? numbers[(right + AREA_MAX) >> 1]!
    : max
}

/** Restores the colours above a new red leaf. */
function fixInsertion(c: VmapContext, tree: number, leaf: number): void {
  const { words } = c
  let node = leaf
  let parent = words[node + AREA_PARENT]!
  while (parent !== 0 && (words[parent + AREA_FLAGS]! & RED) !== 0) {
    const grand = words[parent + AREA_PARENT]!
    const side = words[grand + AREA_LEFT] === parent ? AREA_LEFT : AREA_RIGHT
    const uncle = words[grand + BOTH_SIDES - side]!
    if (uncle === 0 || (words[uncle + AREA_FLAGS]! & RED) === 0) {
      if (words[parent + BOTH_SIDES - side] === node) {
        rotate(c, tree, parent, side)
        parent = node
      }
      words[parent + AREA_FLAGS]! &= ~RED
      words[grand + AREA_FLAGS]! |= RED
      rotate(c, tree, grand, BOTH_SIDES - side)
      return
    }
    words[parent + AREA_FLAGS]! &= ~RED
    words[uncle + AREA_FLAGS]! &= ~RED
    words[grand + AREA_FLAGS]! |= RED
    node = grand
    parent = words[node + AREA_PARENT]!
  }
  if (parent === 0) words[node + AREA_FLAGS]! &= ~RED
}

/** Restores the black heights where a black node was taken out above `vacated`, which may be 0. */
function fixDeletion(c: VmapContext, tree: number, vacated: number, above: number): void {
  const { words } = c
  let node = vacated
  let parent = above
  while (parent !== 0 && (node === 0 || (words[node + AREA_FLAGS]! & RED) === 0)) {
    const side = words[parent + AREA_LEFT] === node ? AREA_LEFT : AREA_RIGHT
    const other = BOTH_SIDES - side
    let sibling = words[parent + other]!
    if ((words[sibling + AREA_FLAGS]! & RED) !== 0) {
      words[sibling + AREA_FLAGS]! &= ~RED
      words[parent + AREA_FLAGS]! |= RED
      rotate(c, tree, parent, side)
      sibling = words[parent + other]!
    }
    const near = words[sibling + side]!
    const far = words[sibling + other]!
    const farRed = far !== 0 && (words[far + AREA_FLAGS]! & RED) !== 0
    if (farRed || (near !== 0 && (words[near + AREA_FLAGS]! & RED) !== 0)) {
      let outer = far
      if (!farRed) {
        words[near + AREA_FLAGS]! &= ~RED
        words[sibling + AREA_FLAGS]! |= RED
        rotate(c, tree, sibling, other)
        outer = sibling
        sibling = near
      }
      words[sibling + AREA_FLAGS]! = words[parent + AREA_FLAGS]!
      words[parent + AREA_FLAGS]! &= ~RED
      words[outer + AREA_FLAGS]! &= ~RED
      rotate(c, tree, parent, side)
      return
    }
    words[sibling + AREA_FLAGS]! |= RED
    node = parent
    parent = words[node + AREA_PARENT]!
  }
  if (node !== 0) words[node + AREA_FLAGS]! &= ~RED
}

/** Turns `node` down to `side`, AREA_LEFT or AREA_RIGHT: its child on the other side takes its place. */
function rotate(c: VmapContext, tree: number, node: number, side: number): void {
  const { words, numbers } = c
  const other = BOTH_SIDES - side
  const child = words[node + other]!
  const inner = words[child + side]!
  const parent = words[node + AREA_PARENT]!
  words[node + other] = inner
  if (inner !== 0) words[inner + AREA_PARENT] = node
  replaceChild(words, tree, parent, node, child)
  words[child + AREA_PARENT] = parent
  words[child + side] = node
  words[node + AREA_PARENT] = child
  if (tree === TREE_FREE) {
    numbers[(child + AREA_MAX) >> 1] = numbers[(node + AREA_MAX) >> 1]!
    numbers[(node + AREA_MAX) >> 1] = largestBelow(c, node)
  }
}

/** Makes `child` what `node` is to `parent`; to the tree itself, where that is 0. */
function replaceChild(
  words: Int32Array,
  tree: number,
  parent: number,
  node: number,
  child: number,
): void {
  if (parent === 0) words[VMAP_ROOTS + tree] = child
  else if (words[parent + AREA_LEFT] === node) words[parent + AREA_LEFT] = child
  else words[parent + AREA_RIGHT] = child
}
