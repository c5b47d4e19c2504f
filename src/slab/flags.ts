/** The flags of a cache. Literal values, so that a bundler folds them. Source: spec/slab.md §2.1. */

/** Checks metadata and objects at each allocation and free: letter F of `slub_debug`. */
export const SLAB_CONSISTENCY_CHECKS = 0x100
/** Red zones on both sides of an object: letter Z. */
export const SLAB_RED_ZONE = 0x400
/** Free objects are filled with a pattern: letter P. */
export const SLAB_POISON = 0x800
/** The cache is one of the kmalloc caches: internal. */
export const SLAB_KMALLOC = 0x1000
/** Aligns objects to a cache line, or to the largest fraction of one that holds them. */
export const SLAB_HWCACHE_ALIGN = 0x2000
/** Slabs come from the DMA zone. */
export const SLAB_CACHE_DMA = 0x4000
/** Slabs come from the DMA32 zone. */
export const SLAB_CACHE_DMA32 = 0x8000
/** Remembers who allocated and freed an object: letter U. */
export const SLAB_STORE_USER = 0x10000
/** Slabs are reclaimable: counted as such, and kept apart from others. */
export const SLAB_RECLAIM_ACCOUNT = 0x20000
/** Short-lived objects: the same as {@link SLAB_RECLAIM_ACCOUNT}. */
export const SLAB_TEMPORARY = 0x20000
/** Panics when the cache cannot be made. */
export const SLAB_PANIC = 0x40000
/** Slabs go back only after a grace period. */
export const SLAB_TYPESAFE_BY_RCU = 0x80000
/** Spreads over nodes in cpusets: accepted and dropped. */
export const SLAB_MEM_SPREAD = 0x100000
/** Tells of each allocation and free: letter T. */
export const SLAB_TRACE = 0x200000
/** Object life-time debugging: no bit in this configuration. */
export const SLAB_DEBUG_OBJECTS = 0
/** Objects are no leaks; the cache is never merged. */
export const SLAB_NOLEAKTRACE = 0x800000
/** Allocations may be made to fail on purpose: letter A. */
export const SLAB_FAILSLAB = 0x2000000
/** Charged to the memory cgroup: no bit in this configuration. */
export const SLAB_ACCOUNT = 0
/** KASAN only: no bit in this configuration. */
export const SLAB_KASAN = 0
/** Ignores flags of the boot parameter. */
export const SLAB_NO_USER_FLAGS = 0x10000000
/** KFENCE only: no bit in this configuration. */
export const SLAB_SKIP_KFENCE = 0
/** The machine compares and exchanges two words at once: internal, set wherever nothing is checked. */
export const __CMPXCHG_DOUBLE = 0x40000000
/** The payload itself is poisoned: internal. */
export const __OBJECT_POISON = 0x80000000

/** A cache with one of these is a debug cache: F, Z, P, U, T. */
export const SLAB_DEBUG_FLAGS = 0x210d00
/** What `slub_debug` means without letters: F, Z, P, U. */
export const SLAB_DEBUG_DEFAULT = 0x10d00
/** The flags that make objects larger: Z, P, U. */
export const SLAB_DEBUG_METADATA = 0x10c00
/** A cache with one of these is never merged. */
export const SLAB_NEVER_MERGE = 0x2a90c00
/** Caches that differ in one of these are not merged. */
export const SLAB_MERGE_SAME = 0x2c000
/** What a new cache may be asked for. */
export const SLAB_FLAGS_PERMITTED = 0x10bfed00
