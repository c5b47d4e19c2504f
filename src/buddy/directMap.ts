/** Pages by address, as programs use them that reach all memory at one offset: the direct map at 0. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type Pfn, type PhysAddr } from '../base/units'
import { __GFP_DMA, __GFP_HIGHMEM, __GFP_ZERO } from '../page/gfp'
import type { BuddyAllocator } from './buddyAllocator'
import { checkRequest } from './checks'

/**
 * Allocates a block and returns the address of its first byte in the direct map, or null.
 * `__GFP_HIGHMEM` is ignored: such memory has no address there.
 */
export function getFreePages(pages: BuddyAllocator, gfp: number, order = 0): PhysAddr | null {
  checkRequest(pages.context, gfp, 0)
  const pfn = pages.allocPages((gfp & ~__GFP_HIGHMEM) >>> 0, order)
  return pfn === null ? null : ((pfn * PAGE_SIZE) as PhysAddr)
}

/** Allocates one page filled with zero and returns its address, or null. */
export function getZeroedPage(pages: BuddyAllocator, gfp: number): PhysAddr | null {
  checkRequest(pages.context, gfp, 0)
  return getFreePages(pages, (gfp | __GFP_ZERO) >>> 0, 0)
}

/** Allocates a block of the DMA zone and returns its address, or null. */
export function getDmaPages(pages: BuddyAllocator, gfp: number, order = 0): PhysAddr | null {
  checkRequest(pages.context, gfp, 0)
  return getFreePages(pages, (gfp | __GFP_DMA) >>> 0, order)
}

/**
 * Frees the block of 2^order pages at `address`; null, what a failed allocation returns, is nothing.
 * Address 0 is one like others here (DIFF-22).
 * @throws KernelBug as `freePages` does, InvalidArgument for an address inside a page.
 */
export function freePagesAt(pages: BuddyAllocator, address: number | null, order = 0): void {
  if (address === null) return
  checkInteger('address', address, 0, pages.context.maxPfn * PAGE_SIZE - 1)
  if (address % PAGE_SIZE !== 0) {
    throw new InvalidArgument('address', address, `a multiple of ${PAGE_SIZE}`)
  }
  pages.freePages((address / PAGE_SIZE) as Pfn, order)
}
