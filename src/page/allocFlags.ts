/**
 * Allocation flags: what one attempt of the page allocator may do, computed from the GFP flags.
 * Literal values, so that a bundler folds them. Source: spec/page-allocator.md §2.8.
 */

/** Test against the min watermark. */
export const ALLOC_WMARK_MIN = 0x0
/** Test against the low watermark. */
export const ALLOC_WMARK_LOW = 0x1
/** Test against the high watermark. */
export const ALLOC_WMARK_HIGH = 0x2
/** The bits that hold the index of the watermark. */
export const ALLOC_WMARK_MASK = 0x3
/** Test no watermark at all. */
export const ALLOC_NO_WATERMARKS = 0x4
/** The task is an OOM victim: may use half of what is left of the min reserve. */
export const ALLOC_OOM = 0x8
/** The caller cannot sleep: with MIN_RESERVE, may use another quarter of what that leaves. */
export const ALLOC_NON_BLOCK = 0x10
/** May use half of the min reserve (the bit of __GFP_HIGH). */
export const ALLOC_MIN_RESERVE = 0x20
/** Obey the cpuset; matters only for which nodes a retry may use. */
export const ALLOC_CPUSET = 0x40
/** May take pages of CMA areas. */
export const ALLOC_CMA = 0x80
/** Do not mix migratetypes within a pageblock. */
export const ALLOC_NOFRAGMENT = 0x100
/** May take pages of the high-atomic reserve. */
export const ALLOC_HIGHATOMIC = 0x200
/** May wake kswapd (the bit of __GFP_KSWAPD_RECLAIM). */
export const ALLOC_KSWAPD = 0x800
/** The flags that count the high-atomic reserve as usable; some also lower the watermark. */
export const ALLOC_RESERVES = 0x238
