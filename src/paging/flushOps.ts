/** What a processor, or an emulator of one, is told when page tables change. Source: spec/vmalloc.md §13.8. */

/** Told which addresses to forget. Ranges are half-open, without sign extension. */
export interface FlushOps {
  /** Translations of a range may have changed: drop them from the TLB, from those of upper tables too. */
  flushTlb(start: number, end: number): void
  /** A range has been mapped that was not before. */
  flushCacheMap(start: number, end: number): void
  /** A range is about to be unmapped: write its cached data back. */
  flushCacheUnmap(start: number, end: number): void
}

/** For those who keep no translations. */
export const noFlush: FlushOps = /* @__PURE__ */ Object.freeze({
  flushTlb() {},
  flushCacheMap() {},
  flushCacheUnmap() {},
})
