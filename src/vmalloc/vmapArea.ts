/**
 * Areas: intervals of addresses that are free, in use, or put aside until the next purge.
 *
 *     free --allocArea--> busy --releaseArea--> aside --purge--> free
 *                              --freeAreaNow----------------->
 *
 * Every address of the space is in exactly one area. Two free areas never touch, nor do two that are aside.
 * An area is named by its record; a busy one has an object of the cache `vmap_area` behind it, and so has
 * what is left of a free one.
 *
 * Source: spec/vmalloc.md §3, §4.1.
 */

import { KernelBug } from '../base/errors'
import { __GFP_NOWARN, GFP_RECLAIM_MASK } from '../page/gfp'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_OBJECT,
  AREA_START,
  AREA_VM,
  RECORD_AREA,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VMAP_CPU_SPARE,
  VMAP_DRAIN_PENDING,
  VMAP_FREE_BYTES,
  VMAP_LAZY_BYTES,
} from '../state/vmapSchema'
import { isPowerOfTwo, takeRecord, thisCpu, type VmapContext } from './vmapContext'
import { carve, dropArea, takeSpace } from './vmapFit'
import { lazyMaxPages, lazyPages, purge } from './vmapPurge'
import { mergeArea } from './vmapRelease'
import { areaAbove, areaAt, eraseArea, insertArea } from './vmapTree'

/**
 * Makes a busy area of `size` bytes in [low, high). When there is no room, everything is purged and those
 * who asked to be notified are asked to give some up.
 * @param size a multiple of the granule, guard page included.
 * @param align a power of two.
 * @returns its record, or 0 when there is no memory or no room.
 * @throws KernelBug, with nothing changed, for a size or an alignment that is not as told.
 */
export function allocArea(
  c: VmapContext,
  size: number,
  align: number,
  low: number,
  high: number,
  gfp: number,
  node: number,
): number {
  if (!(size > 0 && Number.isInteger(size / c.granule) && isPowerOfTwo(align))) {
    throw new KernelBug('BAD_AREA', `an area of ${size} bytes aligned to ${align}`, [
      'kernel BUG at alloc_vmap_area',
    ])
  }
  const mask = gfp & GFP_RECLAIM_MASK
  const area = takeArea(c, mask, node)
  if (area === 0) return 0
  let base = -1
  try {
    base = findSpace(c, size, align, low, high, mask, node)
    if (base < 0 && (mask & __GFP_NOWARN) === 0) c.ops.failed(size, gfp)
  } finally {
    if (base < 0) dropArea(c, area)
  }
  if (base < 0) return 0
  occupy(c, area, base, base + size)
  return area
}

/** An area without bounds, in no tree; 0 for no memory. */
export function takeArea(c: VmapContext, gfp: number, node: number): number {
  const area = takeRecord(c, RECORD_AREA)
  if (area === 0) return 0
  let object = 0
  try {
    object = c.ops.takeObject(gfp, node)
  } finally {
    c.numbers[(area + AREA_OBJECT) >> 1] = object
    if (object === 0) dropArea(c, area)
  }
  return object === 0 ? 0 : area
}

/**
 * Makes a busy area of exactly [start, end), multiples of the granule.
 * @returns its record, or 0 when there is no memory or not all of it is free.
 */
export function reserveArea(
  c: VmapContext,
  start: number,
  end: number,
  gfp: number,
  node: number,
): number {
  const block = areaAt(c, TREE_FREE, start)
  if (block === 0 || end > c.numbers[(block + AREA_END) >> 1]!) return 0
  const area = takeArea(c, gfp & GFP_RECLAIM_MASK, node)
  if (area === 0) return 0
  if (!carve(c, block, start, end)) {
    dropArea(c, area)
    return 0
  }
  occupy(c, area, start, end)
  return area
}

/** Makes an area that is in no tree the one in use of [start, end), which was taken out of the free tree. */
export function occupy(c: VmapContext, area: number, start: number, end: number): void {
  c.numbers[(area + AREA_START) >> 1] = start
  c.numbers[(area + AREA_END) >> 1] = end
  insertBusy(c, area)
}

/** Puts an area with bounds, in no tree, among those in use. */
export function insertBusy(c: VmapContext, area: number): void {
  insertArea(c, TREE_BUSY, area)
}

/** Frees a busy area at once: its addresses may be used again. */
export function freeAreaNow(c: VmapContext, area: number): void {
  eraseArea(c, TREE_BUSY, area)
  c.words[area + AREA_VM] = 0
  c.words[area + AREA_BLOCK] = 0
  mergeArea(c, TREE_FREE, area)
}

/** Puts a busy area aside until the next purge. When much has been put aside, drain work becomes due. */
export function releaseArea(c: VmapContext, area: number): void {
  const { words, numbers } = c
  eraseArea(c, TREE_BUSY, area)
  words[area + AREA_VM] = 0
  words[area + AREA_BLOCK] = 0
  const start = numbers[(area + AREA_START) >> 1]!
  numbers[VMAP_LAZY_BYTES >> 1]! += numbers[(area + AREA_END) >> 1]! - start
  const due = lazyPages(c) > lazyMaxPages(c)
  mergeArea(c, TREE_PURGE, area)
  if (due) words[VMAP_DRAIN_PENDING] = 1
}

/** The busy area that holds an address, guard page included; 0 for none. */
export function findArea(c: VmapContext, address: number): number {
  return areaAt(c, TREE_BUSY, address)
}

/** The first busy area that ends above an address; 0 for none. */
export function firstAreaAbove(c: VmapContext, address: number): number {
  return areaAbove(c, TREE_BUSY, address)
}

/** Takes space for an area, at the first try or at one of those that follow; -1 for none. */
function findSpace(
  c: VmapContext,
  size: number,
  align: number,
  low: number,
  high: number,
  gfp: number,
  node: number,
): number {
  const exact = align <= c.granule || high - low === size
  const length = exact ? size : size + align - 1
  let purged = false
  for (;;) {
    fillSpare(c, gfp, node)
    const base = takeSpace(c, size, length, align, low, high)
    if (base >= 0) return base
    if (!purged) {
      purge(c, true)
      purged = true
    } else {
      // Who says that something was freed where nothing was is not believed (DIFF-57).
      const before = unusedBytes(c)
      if (c.ops.notify() <= 0 || unusedBytes(c) <= before) return -1
      purged = false
    }
  }
}

/** Bytes that are free or will be after the next purge. */
function unusedBytes(c: VmapContext): number {
  return c.numbers[VMAP_FREE_BYTES >> 1]! + c.numbers[VMAP_LAZY_BYTES >> 1]!
}

/** Sees to it that the CPU has an object for a split: before every try, needed or not. */
function fillSpare(c: VmapContext, gfp: number, node: number): void {
  const spare = (thisCpu(c) + VMAP_CPU_SPARE) >> 1
  if (c.numbers[spare] === 0) c.numbers[spare] = c.ops.takeObject(gfp, node)
}
