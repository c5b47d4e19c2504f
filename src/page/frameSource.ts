/**
 * What the virtual mapper needs of a page allocator: page frames that belong to whoever asked for them, one
 * by one and many at once. Page tables and vmalloc know no other way to pages.
 */

import type { PageSource } from './pageSource'

/** A page allocator, as page tables and vmalloc see it. -1 stands for no page. */
export interface FrameSource
  extends Pick<PageSource, 'maxPfn' | 'nrCpus' | 'nrNodes' | 'running' | 'ram' | 'nodeOf'> {
  /** Allocates a block of 2^order pages near `node` (-1: near the current CPU). */
  allocPages(gfp: number, order: number, node: number): number
  /** Drops a reference to a block of {@link allocPages}; the last one frees it. */
  freePages(pfn: number, order: number): void
  /** Makes each page of a block a page of its own. */
  splitPages(pfn: number, order: number): void
  /** Appends up to `count` single pages to `pfns`, all from one zone; possibly fewer. */
  allocBulk(gfp: number, count: number, node: number, pfns: number[]): void
  /** Whether frame `pfn` is memory of the machine, in use or not. */
  isMemory(pfn: number): boolean
  /** Whether frame `pfn` is memory that was never handed to the allocator. */
  isReserved(pfn: number): boolean
  /** One more than the highest frame of memory. */
  endPfn(): number
  /** Whether frame `pfn` is in use, in a block of any order. */
  isInUse(pfn: number): boolean
  /** Whether a block of 2^order pages that is in use starts at frame `pfn`: it can be freed. */
  isBlock(pfn: number, order: number): boolean
  /** Takes another reference to a page that is in use. */
  getPage(pfn: number): void
  /** Pages that were handed to the allocator. */
  totalPages(): number
  /** Nodes that are online. */
  onlineNodes(): number
  /** Whether there is memory in the zone DMA (0) or DMA32 (1). */
  hasZone(index: 0 | 1): boolean
  /** Runs `body` with CONTEXT_ bits set besides those of now. */
  inContext<T>(bits: number, body: () => T): T
  /** Logs that a request failed, in the form and under the limit of failed page allocations. */
  warnAlloc(gfp: number, message: string): void
}
