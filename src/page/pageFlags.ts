/**
 * Page flags: the state bits of one page frame, and the text that a page dump prints for them.
 * Literal values, so that a bundler folds them. Source: spec/page-allocator.md §7.7.
 */

/** The page is locked for I/O or a change of its owner. */
export const PG_LOCKED = 0x1
/** The page was used since the LRU last looked. */
export const PG_REFERENCED = 0x2
/** The content is valid. */
export const PG_UPTODATE = 0x4
/** The content is newer than its backing store. */
export const PG_DIRTY = 0x8
/** The page is on an LRU list. */
export const PG_LRU = 0x10
/** The page is on the active LRU list. */
export const PG_ACTIVE = 0x20
/** The page belongs to the working set: a refault of it means thrashing. */
export const PG_WORKINGSET = 0x40
/** Tasks wait for the page. */
export const PG_WAITERS = 0x80
/** An I/O error happened. */
export const PG_ERROR = 0x100
/** The page belongs to a slab. */
export const PG_SLAB = 0x200
/** For the owner of the page. */
export const PG_OWNER_PRIV_1 = 0x400
/** For the architecture. */
export const PG_ARCH_1 = 0x800
/** Not managed by the allocator: holes, firmware, boot-time reservations. */
export const PG_RESERVED = 0x1000
/** The private word holds data of the owner. */
export const PG_PRIVATE = 0x2000
/** The same for a second user. */
export const PG_PRIVATE_2 = 0x4000
/** The page is being written to its backing store. */
export const PG_WRITEBACK = 0x8000
/** First page of a compound page. */
export const PG_HEAD = 0x10000
/** The page has blocks on disk. */
export const PG_MAPPEDTODISK = 0x20000
/** To be reclaimed as soon as it is written. */
export const PG_RECLAIM = 0x40000
/** The page is backed by swap. */
export const PG_SWAPBACKED = 0x80000
/** The page is on the unevictable LRU list. */
export const PG_UNEVICTABLE = 0x100000
/** The page is locked into memory by mlock. */
export const PG_MLOCKED = 0x200000
/** For the architecture. */
export const PG_ARCH_2 = 0x400000

/** Number of page flags; higher bits of a flag word are not flags. */
export const NR_PAGEFLAGS = 23
/** A page that is freed with one of these set is bad. */
export const PAGE_FLAGS_CHECK_AT_FREE = 0x30f231
/** A page that is allocated with one of these set is bad: every flag. */
export const PAGE_FLAGS_CHECK_AT_PREP = 0x7fffff

/** Masks and names of the flags in the order in which they are printed (not that of the bits). */
export const PAGE_FLAG_NAMES: readonly (readonly [mask: number, name: string])[] = [
  [PG_LOCKED, 'locked'],
  [PG_WAITERS, 'waiters'],
  [PG_ERROR, 'error'],
  [PG_REFERENCED, 'referenced'],
  [PG_UPTODATE, 'uptodate'],
  [PG_DIRTY, 'dirty'],
  [PG_LRU, 'lru'],
  [PG_ACTIVE, 'active'],
  [PG_WORKINGSET, 'workingset'],
  [PG_SLAB, 'slab'],
  [PG_OWNER_PRIV_1, 'owner_priv_1'],
  [PG_ARCH_1, 'arch_1'],
  [PG_RESERVED, 'reserved'],
  [PG_PRIVATE, 'private'],
  [PG_PRIVATE_2, 'private_2'],
  [PG_WRITEBACK, 'writeback'],
  [PG_HEAD, 'head'],
  [PG_MAPPEDTODISK, 'mappedtodisk'],
  [PG_RECLAIM, 'reclaim'],
  [PG_SWAPBACKED, 'swapbacked'],
  [PG_UNEVICTABLE, 'unevictable'],
  [PG_MLOCKED, 'mlocked'],
  [PG_ARCH_2, 'arch_2'],
]

/**
 * Names of the flags set in `flags`, joined by `|`, as in `locked|dirty|lru`; '' when none is set.
 * Bits above the flags are ignored.
 */
export function formatPageFlags(flags: number): string {
  let text = ''
  for (const [mask, name] of PAGE_FLAG_NAMES) {
    if ((flags & mask) !== 0) text += text === '' ? name : `|${name}`
  }
  return text
}

/**
 * What a page dump prints between the parentheses of its flags line: the flag names, the node and the
 * zone index, as in `uptodate|lru|node=0|zone=1`. Source: spec/page-allocator.md §7.7.
 */
export function formatPageFlagsAndPlace(flags: number, node: number, zone: number): string {
  const names = formatPageFlags(flags)
  const place = `node=${node}|zone=${zone}`
  return names === '' ? place : `${names}|${place}`
}
