/** The page allocator's tracepoints: what a listener must offer, and a listener that does nothing. */

/**
 * Receives the page events of the `kmem` trace system, in the kernel's order. A listener must not
 * call the allocator, nor throw: it is in the middle of a call, which would end half-way. Those of
 * `Tracepoints` may throw. Source: spec/page-allocator.md §9.8.
 */
export interface PageTrace {
  /** An allocation ended; `pfn` is -1 when it failed. Bulk allocations emit none. */
  pageAlloc(pfn: number, order: number, gfp: number, migratetype: number): void
  /** A block is about to be freed. */
  pageFree(pfn: number, order: number): void
  /** A page of a list of pages goes to the CPU's lists, after the `pageFree` events of the whole list. */
  pageFreeBatched(pfn: number): void
  /** A block left the buddy lists; `percpuRefill` tells that it can fill a CPU's list. */
  zoneLocked(pfn: number, order: number, migratetype: number, percpuRefill: boolean): void
  /** A page of a CPU's list went back to the buddy lists, to the list of `migratetype`. */
  pcpuDrain(pfn: number, order: number, migratetype: number): void
  /** A block of `fallbackOrder` was stolen from `fallbackType` for a request of `allocType`. */
  extfrag(
    pfn: number,
    allocOrder: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void
}

/** A listener that ignores everything; spread it to implement a part. */
export const noPageTrace: PageTrace = /* @__PURE__ */ Object.freeze({
  pageAlloc() {},
  pageFree() {},
  pageFreeBatched() {},
  zoneLocked() {},
  pcpuDrain() {},
  extfrag() {},
})
