/**
 * Mappings that come and go quickly: up to 64 pages share blocks of address space, more have an area.
 *
 * Unmapping what is not mapped throws (DIFF-46).
 *
 * Source: spec/vmalloc.md §8.3.
 */

import { checkInteger, KernelBug } from '../base/errors'
import { getOrder, NUMA_NO_NODE, PAGE_SIZE, type Pfn, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { PAGE_KERNEL } from '../paging/format'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_START,
  AREA_VM,
  BLOCK_DIRTY,
  BLOCK_FREE,
} from '../state/vmapSchema'
import { isVmallocAddr } from './addresses'
import { checkFrames, checkNode, checkPageStart } from './checks'
import { finishMapping, unmapArea } from './vmArea'
import type { Vmalloc } from './vmalloc'
import type { VmallocContext } from './vmallocContext'
import { allocArea, findArea, releaseArea } from './vmapArea'
import { blockPages, blockStart, giveToBlock, takeFromBlock, unmapAliases } from './vmapBlock'

/**
 * Maps pages one behind the other, for a short time. They stay the caller's.
 * @param pfns frames in use, 1 or more.
 * @param node where the descriptors should lie.
 * @returns the address, to be given to {@link vmUnmapRam} with the same count; null when there is no
 * memory or no address space.
 */
export function vmMapRam(
  vm: Vmalloc,
  pfns: readonly Pfn[],
  node: number = NUMA_NO_NODE,
): VirtAddr | null {
  const c = vm.context
  checkFrames(c, pfns)
  checkNode(c, node)
  checkInteger('pages', pfns.length, 1, c.frames.maxPfn)
  const count = pfns.length
  const address = count > maxAlloc(c) ? wholeArea(c, count, node) : takeFromBlock(c, count, node)
  if (address < 0) return null
  let mapped = false
  try {
    const code = c.tables.mapPages(address, pfns, 0, count, PAGE_KERNEL)
    mapped = finishMapping(c, address, count * PAGE_SIZE, code)
  } finally {
    // After an error too, which a hook may throw.
    if (!mapped) unmap(c, address, count)
  }
  return mapped ? (address as VirtAddr) : null
}

/**
 * Removes a mapping of {@link vmMapRam}.
 * @param count its pages, as many as were mapped.
 * @throws KernelBug, with nothing changed, for an address that is no such mapping.
 */
export function vmUnmapRam(vm: Vmalloc, address: VirtAddr, count: number): void {
  const c = vm.context
  checkInteger('address', address, 0, c.space.limit - 1)
  checkInteger('count', count, 1, c.frames.maxPfn)
  checkPageStart('address', address)
  if (!isVmallocAddr(c.layout, address)) throw noMapping(address)
  checkMapping(c, address, count)
  unmap(c, address, count)
}

/** Purges lazily freed areas, blocks with nothing in use among them, and flushes what is stale. */
export function vmUnmapAliases(vm: Vmalloc): void {
  unmapAliases(vm.context)
}

/** Pages of a mapping that shares a block at most: VMAP_MAX_ALLOC. */
function maxAlloc(c: VmallocContext): number {
  return c.layout.pointerBytes * 8
}

/** An area for more pages than blocks serve: its address, or -1. */
function wholeArea(c: VmallocContext, count: number, node: number): number {
  const { vmallocStart, vmallocEnd } = c.layout
  const bytes = count * PAGE_SIZE
  const area = allocArea(c.space, bytes, PAGE_SIZE, vmallocStart, vmallocEnd, GFP_KERNEL, node)
  return area === 0 ? -1 : c.space.numbers[(area + AREA_START) >> 1]!
}

function unmap(c: VmallocContext, address: number, count: number): void {
  const area = findArea(c.space, address)
  if (count <= maxAlloc(c)) {
    giveToBlock(c, c.space.words[area + AREA_BLOCK]!, address, count)
    return
  }
  unmapArea(c, area)
  releaseArea(c.space, area)
}

/** Throws unless `count` pages at an address are a mapping that can be removed. */
function checkMapping(c: VmallocContext, address: number, count: number): void {
  const { words, numbers } = c.space
  const area = findArea(c.space, address)
  if (area === 0 || words[area + AREA_VM] !== 0) throw noMapping(address)
  const block = words[area + AREA_BLOCK]!
  if (count > maxAlloc(c)) {
    const bytes = numbers[(area + AREA_END) >> 1]! - numbers[(area + AREA_START) >> 1]!
    if (block !== 0 || bytes !== count * PAGE_SIZE) throw noMapping(address)
    return
  }
  if (block === 0) throw noMapping(address)
  const need = 1 << getOrder(count * PAGE_SIZE)
  const first = (address - blockStart(c, block)) / PAGE_SIZE
  const used = blockPages(c) - words[block + BLOCK_FREE]!
  if (first + need > used || words[block + BLOCK_DIRTY]! + need > used) throw noMapping(address)
  for (let i = 0; i < count; i++) {
    if (c.tables.pfnAt(address + i * PAGE_SIZE) < 0) throw noMapping(address)
  }
}

function noMapping(address: number): KernelBug {
  return new KernelBug('NOT_ALLOCATED', `no mapping of that size is at 0x${address.toString(16)}`, [
    'kernel BUG at vm_unmap_ram',
  ])
}
