/**
 * Filling an area of vmalloc: the array of its pages, the pages, and the entries that map them.
 *
 * Source: spec/vmalloc.md §6.3, §6.4, §6.5.
 */

import { OutOfMemory } from '../base/errors'
import { PAGE_SHIFT, PAGE_SIZE, type VirtAddr } from '../base/units'
import { CONTEXT_NOFS, CONTEXT_NOIO } from '../buddy/contextBits'
import {
  __GFP_COMP,
  __GFP_DMA,
  __GFP_DMA32,
  __GFP_FS,
  __GFP_HIGHMEM,
  __GFP_IO,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  __GFP_ZERO,
  GFP_RECLAIM_MASK,
} from '../page/gfp'
import { MAP_OK } from '../paging/pageTables'
import { VM_NR_PAGES, VM_PAGE_ORDER, VM_PAGES, VMAP_NR_PAGES } from '../state/vmapSchema'
import { isVmallocAddr } from './addresses'
import { writePageArray } from './pageArray'
import { finishMapping, freeVmStruct, removeVmArea, usableBytes, vmAddress } from './vmArea'
import type { VmallocContext } from './vmallocContext'
import { drainPoint } from './vmapPurge'

/** Pages that one bulk request asks for. */
const BULK_PAGES = 100

/** How an area is filled. */
export interface FillRequest {
  /** The caller's GFP mask. */
  readonly gfp: number
  /** Protection of its pages. */
  readonly prot: number
  /** Node of its pages; -1 for the current CPU's. */
  readonly node: number
}

/** Memory for page arrays that are too large for kmalloc. */
export interface ArrayMemory {
  /** Allocates memory: its address, or null. */
  alloc(c: VmallocContext, bytes: number, gfp: number, node: number): VirtAddr | null
  /** Frees it. */
  free(c: VmallocContext, address: VirtAddr): void
}

/**
 * Fills an area with pages of 2^shift bytes; false when there is no memory: the area is gone then, and so is all
 * that it had.
 */
export function fillArea(
  c: VmallocContext,
  vm: number,
  r: FillRequest,
  shift: number,
  memory: ArrayMemory,
): boolean {
  const { words, numbers } = c.space
  const count = usableBytes(c, vm) / PAGE_SIZE
  let array: VirtAddr | null = null
  const pfns: number[] = []
  try {
    array = allocArray(c, count, r, memory)
    if (array !== null) {
      words[vm + VM_PAGE_ORDER] = shift - PAGE_SHIFT
      allocPages(c, pfns, count, r, shift - PAGE_SHIFT)
      words[vm + VM_NR_PAGES] = pfns.length
      words[VMAP_NR_PAGES]! += pfns.length
      if (pfns.length === count) {
        writePageArray(c, array, pfns, count)
        numbers[(vm + VM_PAGES) >> 1] = array
        if (mapInScope(c, vmAddress(c, vm), pfns, r, shift)) return true
        if ((r.gfp & __GFP_NOFAIL) !== 0) throw new OutOfMemory('no page for a page table')
      }
    }
  } catch (error) {
    // No memory for a request that may not fail.
    undoFill(c, vm, array, pfns, memory)
    throw error
  }
  undoFill(c, vm, array, pfns, memory)
  return false
}

/** Frees the array of an area's pages. */
export function freeArray(c: VmallocContext, array: VirtAddr, memory: ArrayMemory): void {
  if (isVmallocAddr(c.layout, array)) memory.free(c, array)
  else c.heap.kfree(array)
}

/** Gives back an area that could not be filled, in the order in which `vfree` does. */
function undoFill(
  c: VmallocContext,
  vm: number,
  array: VirtAddr | null,
  pfns: readonly number[],
  memory: ArrayMemory,
): void {
  const counted = c.space.words[vm + VM_NR_PAGES]!
  removeVmArea(c, vm)
  for (const pfn of pfns) {
    c.frames.freePages(pfn, 0)
    drainPoint(c.space)
  }
  c.space.words[VMAP_NR_PAGES]! -= counted
  if (array !== null) freeArray(c, array, memory)
  freeVmStruct(c, vm)
}

function allocArray(
  c: VmallocContext,
  count: number,
  r: FillRequest,
  memory: ArrayMemory,
): VirtAddr | null {
  const bytes = count * c.layout.pointerBytes
  const gfp = (r.gfp & GFP_RECLAIM_MASK) | __GFP_ZERO
  return bytes > PAGE_SIZE
    ? memory.alloc(c, bytes, gfp, r.node)
    : c.heap.kmalloc(bytes, gfp, r.node)
}

/** Appends `count` frames to `pfns`, or as many as there are. */
function allocPages(
  c: VmallocContext,
  pfns: number[],
  count: number,
  r: FillRequest,
  order: number,
): void {
  const { frames, space } = c
  const lower = (r.gfp & (__GFP_DMA | __GFP_DMA32)) !== 0
  const gfp = r.gfp | __GFP_NOWARN | (lower ? 0 : __GFP_HIGHMEM)
  if (order === 0) {
    while (pfns.length < count) {
      const before = pfns.length
      const asked = Math.min(BULK_PAGES, count - before)
      frames.allocBulk(gfp & ~__GFP_NOFAIL, asked, r.node, pfns)
      drainPoint(space)
      if (pfns.length - before !== asked) break
    }
  }
  // Blocks are split, and may fail: small pages follow then.
  const mask = order === 0 ? gfp : gfp & ~(__GFP_NOFAIL | __GFP_COMP)
  while (pfns.length < count) {
    const first = frames.allocPages(mask, order, r.node)
    if (first < 0) break
    if (order > 0) frames.splitPages(first, order)
    for (let i = 0; i < 1 << order; i++) pfns.push(first + i)
    drainPoint(space)
  }
}

/**
 * Maps an area's pages, with page tables taken as the caller's mask allows: it may forbid I/O and filesystems.
 * False when there is no page for a table: what was written stays, to be unmapped.
 */
function mapInScope(
  c: VmallocContext,
  address: number,
  pfns: readonly number[],
  r: FillRequest,
  shift: number,
): boolean {
  const map = () => mapArea(c, address, pfns, r.prot, shift)
  if ((r.gfp & __GFP_FS) !== 0) return map()
  return c.frames.inContext((r.gfp & __GFP_IO) !== 0 ? CONTEXT_NOFS : CONTEXT_NOIO, map)
}

function mapArea(
  c: VmallocContext,
  address: number,
  pfns: readonly number[],
  prot: number,
  shift: number,
): boolean {
  const { tables } = c
  const bytes = pfns.length * PAGE_SIZE
  let code = MAP_OK
  if (shift === PAGE_SHIFT) {
    code = tables.mapPages(address, pfns, 0, pfns.length, prot)
  } else {
    const block = 1 << shift
    for (let at = 0; at < bytes && code === MAP_OK; at += block) {
      const phys = pfns[at / PAGE_SIZE]! * PAGE_SIZE
      code = tables.mapRange(address + at, phys, block, prot, shift)
    }
  }
  return finishMapping(c, address, bytes, code)
}
