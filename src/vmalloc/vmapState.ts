/**
 * The areas of an address space as plain data: to compare with a kernel's, and for another one to start from.
 * Addresses are written in full, in hexadecimal. The free tree is given node for node, because its shape and
 * colours decide where aligned requests go.
 *
 * Source: spec/vmalloc.md §2.3, §2.4; spec/vmalloc-recordings.md §1.
 */

import { fullAddress, type Layout } from '../base/layout'
import {
  AREA_END,
  AREA_FLAGS,
  AREA_LEFT,
  AREA_NEXT,
  AREA_RIGHT,
  AREA_START,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VMAP_CPU_SPARE,
  VMAP_ROOTS,
} from '../state/vmapSchema'
import { thisCpu, type VmapContext } from './vmapContext'
import { lazyPages } from './vmapPurge'
import { firstArea } from './vmapTree'

/** Bounds of an area, in full: `['0xffffc90000000000', '0xffffc90000005000']`. */
export type AreaBounds = readonly [start: string, end: string]

/** A free area with what is below it in the tree; B black, R red. */
export type FreeAreaNode = readonly [
  colour: string,
  start: string,
  end: string,
  left: FreeAreaNode | null,
  right: FreeAreaNode | null,
]

/** The areas of an address space. */
export interface VmapState {
  /** `vmap_lazy_nr`: pages of the areas that wait for a purge. */
  readonly lazyPages: number
  /** Whether the CPU has a spare object: 1, or 0. */
  readonly spare: number
  /** The root of the free tree; null for an empty one. */
  readonly free: FreeAreaNode | null
  /** Areas that wait for a purge, ascending. */
  readonly unpurged: readonly AreaBounds[]
  /** Areas in use, ascending. */
  readonly busy: readonly AreaBounds[]
}

/** The areas of an address space, with addresses in the form of a layout. */
export function vmapState(c: VmapContext, layout: Layout): VmapState {
  return {
    lazyPages: lazyPages(c),
    spare: c.numbers[(thisCpu(c) + VMAP_CPU_SPARE) >> 1] === 0 ? 0 : 1,
    free: freeNode(c, layout, c.words[VMAP_ROOTS + TREE_FREE]!),
    unpurged: bounds(c, layout, TREE_PURGE),
    busy: bounds(c, layout, TREE_BUSY),
  }
}

/** A node and what is below; as deep as the tree is high, which is at most twice the log2 of its nodes. */
function freeNode(c: VmapContext, layout: Layout, area: number): FreeAreaNode | null {
  if (area === 0) return null
  const { words } = c
  const [start, end] = boundsOf(c, layout, area)
  const left = freeNode(c, layout, words[area + AREA_LEFT]!)
  const right = freeNode(c, layout, words[area + AREA_RIGHT]!)
  return [(words[area + AREA_FLAGS]! & 1) === 0 ? 'B' : 'R', start, end, left, right]
}

function bounds(c: VmapContext, layout: Layout, tree: number): AreaBounds[] {
  const found: AreaBounds[] = []
  for (let area = firstArea(c, tree); area !== 0; area = c.words[area + AREA_NEXT]!) {
    found.push(boundsOf(c, layout, area))
  }
  return found
}

function boundsOf(c: VmapContext, layout: Layout, area: number): AreaBounds {
  const start = fullAddress(layout, c.numbers[(area + AREA_START) >> 1]!)
  const end = fullAddress(layout, c.numbers[(area + AREA_END) >> 1]!)
  return [`0x${start.toString(16)}`, `0x${end.toString(16)}`]
}
