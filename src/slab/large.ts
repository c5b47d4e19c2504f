/**
 * Requests that are larger than any kmalloc cache: whole blocks of pages. They are marked as slabs, so that the
 * page allocator does not free them behind our back (DIFF-32).
 *
 * Source: spec/slab.md §14.2.
 */

import type { KernelBug } from '../base/errors'
import { getOrder, MAX_ORDER, PAGE_SIZE } from '../base/units'
import { __GFP_COMP, __GFP_ZERO, GFP_SLAB_BUG_MASK } from '../page/gfp'
import { NODE_SLAB_UNRECLAIMABLE, SLAB_FRAMES } from '../state/slabSchema'
import type { SlabContext } from './context'
import { KMALLOC_MAX_SIZE } from './kmallocClass'
import { frameWord } from './objects'
import { nodeCounters } from './slabState'
import { dropBadBits, refuse, takePages } from './slabs'

/** Allocates a block that holds `size` bytes: its kernel address, or 0. */
export function allocLarge(c: SlabContext, size: number, gfp: number, node: number): number {
  const order = size > KMALLOC_MAX_SIZE ? MAX_ORDER : getOrder(size)
  let mask = (gfp & GFP_SLAB_BUG_MASK) === 0 ? gfp : dropBadBits(c, gfp)
  if (c.initOnAlloc) mask |= __GFP_ZERO
  const pfn = takePages(c, mask | __GFP_COMP, order, node)
  if (pfn < 0) return 0
  const words = c.words
  words[SLAB_FRAMES + pfn] = -1 - order
  words[nodeCounters(words, c.source.nodeOf(pfn)) + NODE_SLAB_UNRECLAIMABLE]! += 1 << order
  return pfn * PAGE_SIZE + c.directMap
}

/** Bytes of the smallest block that holds `size` bytes, however large. */
export function blockBytes(size: number): number {
  let bytes = PAGE_SIZE
  while (bytes < size) bytes *= 2
  return bytes
}

/** Bytes of the large block at `address`; 0 when none starts there. */
export function largeSize(c: SlabContext, address: number): number {
  const word = frameWord(c, address)
  return word >= 0 || (address - c.directMap) % PAGE_SIZE !== 0 ? 0 : PAGE_SIZE * 2 ** (-1 - word)
}

/**
 * Frees the large block at `address`.
 * @throws KernelBug, with nothing changed, when none starts there. A kernel would free the page at it (DIFF-29).
 */
export function freeLarge(c: SlabContext, address: number): void {
  const size = largeSize(c, address)
  if (size === 0) throw notAllocated(c, address)
  const words = c.words
  const pfn = (address - c.directMap) / PAGE_SIZE
  const counter = nodeCounters(words, c.source.nodeOf(pfn)) + NODE_SLAB_UNRECLAIMABLE
  if (c.initOnFree) c.ram.fill(pfn * PAGE_SIZE, size, 0)
  c.source.freeBlock(pfn, getOrder(size))
  words[SLAB_FRAMES + pfn] = 0
  words[counter]! -= size / PAGE_SIZE
}

/** What is thrown for an address where nothing is allocated. */
export function notAllocated(c: SlabContext, address: number): KernelBug {
  return refuse(c, 'NOT_ALLOCATED', `object pointer: 0x${address.toString(16).padStart(16, '0')}`)
}
