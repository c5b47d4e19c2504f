/**
 * Page fragments: small pieces cut one after the other from a block, from its end downwards, each with
 * a reference to the block. The block goes back when the last piece does.
 *
 * So that cutting a piece costs no reference, a cache takes many at once when it gets a block, its
 * *bias*, and gives back what it has not handed out when it leaves the block.
 *
 * FRAG-1: the references to the cache's block are its bias, plus one for each piece in use.
 *
 * Source: spec/page-allocator.md §8.5.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type Pfn, type PhysAddr } from '../base/units'
import { __GFP_COMP, __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN } from '../page/gfp'
import { flagsOrder, pageRecord } from '../page/memmap'
import { PAGE_FLAGS, PAGE_PFMEMALLOC, PAGE_REFS } from '../state/schema'
import type { BuddyAllocator } from './buddyAllocator'
import { putPage } from './references'

/** Order of the blocks that are cut; single pages are, when there are none. */
const FRAG_ORDER = 3
/** References that a cache takes of a new block, the allocation's own included. */
const BIAS = 32769

/**
 * Cuts fragments from blocks of an allocator. A cache belongs to one CPU and one kind of request; it
 * holds a block until {@link drain}.
 */
export class PageFragCache {
  private readonly pages: BuddyAllocator
  /** First frame of the block that is cut; -1 for none. */
  private pfn = -1
  /** Bytes of that block. */
  private size = 0
  /** Where in it the last fragment starts. */
  private offset = 0
  /** References that belong to the cache. */
  private bias = 0

  constructor(pages: BuddyAllocator) {
    this.pages = pages
  }

  /**
   * Cuts a fragment of `bytes` bytes.
   * @param bytes 1 to 32768, or to 4096 while only single pages can be had.
   * @param align a power of two; fragments start on a multiple of it.
   * @returns the fragment's address, for {@link freePageFrag}; null when there is no memory, or the
   * fragment is too large for the block.
   * @throws InvalidArgument for other numbers.
   */
  alloc(bytes: number, gfp: number, align = 1): PhysAddr | null {
    checkInteger('bytes', bytes, 1, PAGE_SIZE << FRAG_ORDER)
    checkInteger('align', align, 1, PAGE_SIZE << FRAG_ORDER)
    if ((align & (align - 1)) !== 0) throw new InvalidArgument('align', align, 'a power of two')
    if (this.pfn < 0 && !this.refill(gfp)) return null
    let offset = this.offset - bytes
    if (offset < 0) {
      if (!this.startOver(gfp)) return null
      offset = this.size - bytes
      if (offset < 0) return null
    }
    this.bias -= 1
    this.offset = offset & -align
    return (this.pfn * PAGE_SIZE + this.offset) as PhysAddr
  }

  /** Gives the block back, as soon as its fragments are freed. */
  drain(): void {
    if (this.pfn >= 0) this.leave()
  }

  /** Takes a new block. */
  private refill(gfp: number): boolean {
    const special = __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY | __GFP_NOMEMALLOC
    const block = this.pages.allocPages((gfp | special) >>> 0, FRAG_ORDER)
    const pfn = block ?? this.pages.allocPages(gfp, 0)
    if (pfn === null) return false
    this.pfn = pfn
    this.size = block === null ? PAGE_SIZE : PAGE_SIZE << FRAG_ORDER
    this.takeAll()
    return true
  }

  private takeAll(): void {
    this.pages.words[this.record + PAGE_REFS] = BIAS
    this.bias = BIAS
    this.offset = this.size
  }

  /** Cuts the same block again when all its fragments are free, else another. */
  private startOver(gfp: number): boolean {
    const words = this.pages.words
    const idle = words[this.record + PAGE_REFS] === this.bias
    if (idle && (words[this.record + PAGE_FLAGS]! & PAGE_PFMEMALLOC) === 0) {
      this.takeAll()
      return true
    }
    this.leave()
    return this.refill(gfp)
  }

  /** Drops what references the cache has left. */
  private leave(): void {
    const words = this.pages.words
    const record = this.record
    const pfn = this.pfn as Pfn
    this.pfn = -1
    const others = words[record + PAGE_REFS]! - this.bias
    if (others > 0) {
      words[record + PAGE_REFS] = others
      return
    }
    words[record + PAGE_REFS] = 1
    this.pages.freePages(pfn, flagsOrder(words[record + PAGE_FLAGS]!))
  }

  private get record(): number {
    return pageRecord(this.pfn)
  }
}

/**
 * Frees a fragment by its address; the last one of a block that the cache has left frees the block.
 * @throws KernelBug for an address in a page that nobody holds.
 */
export function freePageFrag(pages: BuddyAllocator, address: PhysAddr): void {
  checkInteger('address', address, 0, pages.context.maxPfn * PAGE_SIZE - 1)
  putPage(pages, Math.floor(address / PAGE_SIZE) as Pfn)
}
