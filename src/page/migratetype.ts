/**
 * Migratetypes: what kind of page a free list or a pageblock holds.
 * Source: spec/page-allocator.md §1.3.
 */

/** Pages that stay where they are. */
export const MIGRATE_UNMOVABLE = 0
/** Pages whose content can be moved elsewhere. */
export const MIGRATE_MOVABLE = 1
/** Pages that a shrinker can free. */
export const MIGRATE_RECLAIMABLE = 2
/** Pageblocks held back for high-order atomic requests. */
export const MIGRATE_HIGHATOMIC = 3
/** Pageblocks of a contiguous memory area: only movable pages may borrow from them. */
export const MIGRATE_CMA = 4
/** Pageblocks from which nothing is allocated. */
export const MIGRATE_ISOLATE = 5

/** Number of types, from 0 up, that have per-CPU lists; the same types may merge with each other. */
export const MIGRATE_PCPTYPES = 3
/** Number of types. */
export const MIGRATE_TYPES = 6

/** Names as `/proc/pagetypeinfo` prints them, indexed by type. */
export const MIGRATETYPE_NAMES: readonly string[] = [
  'Unmovable',
  'Movable',
  'Reclaimable',
  'HighAtomic',
  'CMA',
  'Isolate',
]

/** Letters as the Mem-Info block prints them, one a type, in order. */
export const MIGRATETYPE_LETTERS = 'UMEHCI'
