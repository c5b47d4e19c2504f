/**
 * GFP flags: how an allocation may be satisfied, and the zone and migratetype that they select.
 * Literal values, so that a bundler folds them. Source: spec/page-allocator.md §2.1 to §2.4.
 */

/** Zone selector: DMA (below 16 MiB). */
export const __GFP_DMA = 0x1
/** Zone selector: highmem; changes nothing alone on 64 bit. */
export const __GFP_HIGHMEM = 0x2
/** Zone selector: DMA32 (below 4 GiB). */
export const __GFP_DMA32 = 0x4
/** The page can be moved; with HIGHMEM it may come from ZONE_MOVABLE. */
export const __GFP_MOVABLE = 0x8
/** The page can be reclaimed through a shrinker. */
export const __GFP_RECLAIMABLE = 0x10
/** May use half of the min reserve (slow path only). */
export const __GFP_HIGH = 0x20
/** Reclaim may start I/O; also the test for "compaction allowed". */
export const __GFP_IO = 0x40
/** Reclaim may call into filesystems. */
export const __GFP_FS = 0x80
/** Pages are returned filled with zero. */
export const __GFP_ZERO = 0x100
/** Marks atomic context: matters for a boosted min watermark, and warns with DIRECT_RECLAIM. */
export const __GFP_ATOMIC = 0x200
/** The caller may sleep: direct reclaim and compaction are allowed. */
export const __GFP_DIRECT_RECLAIM = 0x400
/** May wake kswapd. */
export const __GFP_KSWAPD_RECLAIM = 0x800
/** The page will be dirtied: spread over nodes; no effect without dirty pages. */
export const __GFP_WRITE = 0x1000
/** No failure report and no gfp warning. */
export const __GFP_NOWARN = 0x2000
/** Retry hard, but fail instead of invoking the OOM killer. */
export const __GFP_RETRY_MAYFAIL = 0x4000
/** Never fails if it may sleep. */
export const __GFP_NOFAIL = 0x8000
/** One round of reclaim and compaction, then fail. */
export const __GFP_NORETRY = 0x10000
/** Ignores the watermarks (slow path). */
export const __GFP_MEMALLOC = 0x20000
/** A result of order > 0 is one compound page. */
export const __GFP_COMP = 0x40000
/** Forbids the reserves; wins over MEMALLOC and PF_MEMALLOC. */
export const __GFP_NOMEMALLOC = 0x80000
/** Obeys the cpuset; no effect without cpusets. */
export const __GFP_HARDWALL = 0x100000
/** Only the given node: the zonelist without fallback. */
export const __GFP_THISNODE = 0x200000
/** Charged to the memory cgroup; no effect without one. */
export const __GFP_ACCOUNT = 0x400000
/** Arm64 memory tags; together with ZERO it suppresses zeroing on x86. */
export const __GFP_ZEROTAGS = 0x800000
/** KASAN only: no bit in this configuration. */
export const __GFP_SKIP_ZERO = 0
/** KASAN only: no bit in this configuration. */
export const __GFP_SKIP_KASAN_UNPOISON = 0
/** KASAN only: no bit in this configuration. */
export const __GFP_SKIP_KASAN_POISON = 0
/** Lockdep only: no bit in this configuration. */
export const __GFP_NOLOCKDEP = 0

/** DIRECT_RECLAIM and KSWAPD_RECLAIM. */
export const __GFP_RECLAIM = 0xc00
/** Cannot sleep and may use reserves: HIGH, ATOMIC, KSWAPD_RECLAIM. */
export const GFP_ATOMIC = 0xa20
/** The ordinary allocation of kernel code: RECLAIM, IO, FS. */
export const GFP_KERNEL = 0xcc0
/** KERNEL, charged to the memory cgroup. */
export const GFP_KERNEL_ACCOUNT = 0x400cc0
/** Cannot sleep, uses no reserves: KSWAPD_RECLAIM. */
export const GFP_NOWAIT = 0x800
/** May reclaim without starting I/O: RECLAIM. */
export const GFP_NOIO = 0xc00
/** May reclaim without entering filesystems: RECLAIM, IO. */
export const GFP_NOFS = 0xc40
/** For user space, directly accessible by the kernel: KERNEL, HARDWALL. */
export const GFP_USER = 0x100cc0
/** Pages below 16 MiB: the bit DMA alone. */
export const GFP_DMA = 0x1
/** Pages below 4 GiB: the bit DMA32 alone. */
export const GFP_DMA32 = 0x4
/** For user space, not necessarily mapped by the kernel: USER, HIGHMEM. */
export const GFP_HIGHUSER = 0x100cc2
/** User pages that the kernel can migrate: HIGHUSER, MOVABLE. */
export const GFP_HIGHUSER_MOVABLE = 0x100cca
/** Huge pages without reclaim: HIGHUSER_MOVABLE, COMP, NOMEMALLOC, NOWARN minus RECLAIM. */
export const GFP_TRANSHUGE_LIGHT = 0x1c20ca
/** Huge pages with reclaim: TRANSHUGE_LIGHT, DIRECT_RECLAIM. */
export const GFP_TRANSHUGE = 0x1c24ca

/** Number of flag bits. */
export const __GFP_BITS_SHIFT = 27
/** All flag bits; an allocation silently drops the others. */
export const __GFP_BITS_MASK = 0x7ffffff
/** The bits that early boot honours: no RECLAIM, IO, FS. */
export const GFP_BOOT_MASK = 0x7fff33f
/** The bits that say how hard to try and what reclaim may do. */
export const GFP_RECLAIM_MASK = 0xbeee0
/** The bits that restrict where pages come from: HARDWALL, THISNODE. */
export const GFP_CONSTRAINT_MASK = 0x300000
/** The bits that a slab must not be given: DMA32, HIGHMEM, all bits from 27 up. */
export const GFP_SLAB_BUG_MASK = 0xf8000006
/** The zone selector bits: DMA, HIGHMEM, DMA32, MOVABLE. */
export const GFP_ZONE_MASK = 0xf
/** The migratetype bits: MOVABLE, RECLAIMABLE. */
export const GFP_MOVABLE_MASK = 0x18

/**
 * Highest zone index by zone selector, 64-bit layout (0 DMA, 1 DMA32, 2 Normal, 3 Movable): entry `i`
 * is bits [2i, 2i + 2).
 *
 *     selector  f e d c  b a 9 8  7 6 5 4  3 2 1 0
 *     zone      0 0 0 1  0 3 0 2  0 0 0 1  0 2 0 2
 *
 * Example: MOVABLE | HIGHMEM is 0xa, and 0x1320122 >>> 20 & 3 is 3, Movable. The invalid
 * selectors (3, 5, 6, 7, b, d, e, f) are empty entries: zone 0.
 */
export const GFP_ZONE_TABLE = 0x1320122
/**
 * The same for the 32-bit layout (0 DMA, 1 Normal, 2 HighMem, 3 Movable). There is no DMA32 zone:
 * its selector means Normal.
 *
 *     selector  f e d c  b a 9 8  7 6 5 4  3 2 1 0
 *     zone      0 0 0 1  0 3 0 1  0 0 0 1  0 2 0 1
 */
export const GFP_ZONE_TABLE_HIGHMEM = 0x1310121

/**
 * Index of the highest zone that `gfp` allows on a 64-bit machine: 0 DMA, 1 DMA32, 2 Normal, 3 Movable.
 * Invalid selectors give 0. Source: spec/page-allocator.md §2.3.
 */
export function gfpZone(gfp: number): number {
  return (GFP_ZONE_TABLE >>> ((gfp & GFP_ZONE_MASK) << 1)) & 3
}

/**
 * Index of the highest zone that `gfp` allows on a 32-bit machine: 0 DMA, 1 Normal, 2 HighMem, 3 Movable.
 * Invalid selectors give 0. Source: spec/page-allocator.md §2.3.
 */
export function gfpZoneHighmem(gfp: number): number {
  return (GFP_ZONE_TABLE_HIGHMEM >>> ((gfp & GFP_ZONE_MASK) << 1)) & 3
}

/**
 * Migratetype that `gfp` asks for with mobility grouping on: 0 UNMOVABLE, 1 MOVABLE, 2 RECLAIMABLE.
 * MOVABLE together with RECLAIMABLE gives 3, which the caller must reject.
 * Source: spec/page-allocator.md §2.4.
 */
export function gfpMigratetype(gfp: number): number {
  return (gfp & GFP_MOVABLE_MASK) >> 3
}
