/**
 * The schema of the state of an address space and of what is mapped in it: every word that `vmalloc/`
 * knows, declared once.
 *
 *     header | 16 words for each CPU | records of 16 words: areas, vm_structs, blocks, callers
 *
 * The buffer is seen as an `Int32Array` and, for columns of two words with the unit "address" or "bytes",
 * as a `Float64Array`: word `w` of the first is half `w & 1` of place `w >> 1` of the second. Such columns
 * start at even words, and hold exact integers below 2^53.
 * A record is named by the offset of its first word, a multiple of 16; 0 stands for none.
 * This file imports nothing: only then does the bundler fold constants into other files.
 *
 * Behind each column: its unit, then the lock that guards it on a machine with several threads.
 *   b  written at boot only     v  the address space's lock     c  the owning CPU alone
 */

// ---- Header ----

/** Marks the buffer: the letters `vmap`. */
export const VMAP_MAGIC = 0
/** Version of this schema. (b) */
export const VMAP_VERSION = VMAP_MAGIC + 1
/** Words in use: all behind are 0. (v) */
export const VMAP_WORDS_USED = VMAP_VERSION + 1
/** First of the records that were given back, linked by their first word; 0 for none. (v) */
export const VMAP_FREE_RECORDS = VMAP_WORDS_USED + 1
/** Roots of the three trees of areas; 0 for an empty one. {@link TREE_FREE} and so on tell which. (v) */
export const VMAP_ROOTS = VMAP_FREE_RECORDS + 1
/** Areas in each of them: three words. count (v) */
export const VMAP_COUNTS = VMAP_ROOTS + 3
/** Drain work is due: 1 from when the threshold is passed until the work runs. (v) */
export const VMAP_DRAIN_PENDING = VMAP_COUNTS + 3
/** CPUs that are online: they set the threshold. count (b) */
export const VMAP_NR_CPUS = VMAP_DRAIN_PENDING + 1
/** log2 of the pages of a vmap block. (b) */
export const VMAP_BLOCK_SHIFT = VMAP_NR_CPUS + 1
/** Records in use of each kind, {@link RECORD_AREA} and so on: four words. count (v) */
export const VMAP_RECORDS = VMAP_BLOCK_SHIFT + 1
/** One-time warnings that have fired, a bit each. (v) */
export const VMAP_WARNED = VMAP_RECORDS + 4
/** First caller record, linked by NEXT. (v) */
export const VMAP_CALLERS = VMAP_WARNED + 1
/** Frame of the top page table; of the lower half's, where there are two. pfn (b) */
export const VMAP_ROOT_PFN = VMAP_CALLERS + 1
/** Pages of vmalloc allocations: `nr_vmalloc_pages`. pages (v) */
export const VMAP_NR_PAGES = VMAP_ROOT_PFN + 2
/** What all bounds but the first and the last are a multiple of: the page size, or 1 for numbers. bytes (b) */
export const VMAP_GRANULE = VMAP_NR_PAGES + 1
/** 1 when ranges freed through `VmapSpace` wait for a purge; 0 when they are free at once. (b) */
export const VMAP_LAZY = VMAP_GRANULE + 1
/** Place of the record of the cache of areas in the slab layer's state; 0 for none. (b) */
export const VMAP_AREA_CACHE = VMAP_LAZY + 1
/** First address of the space. address (b) */
export const VMAP_START = 32
/** One more than its last address. address (b) */
export const VMAP_END = VMAP_START + 2
/** `vmap_lazy_nr`: bytes of the areas that wait for a purge. bytes (v) */
export const VMAP_LAZY_BYTES = VMAP_END + 2
/** Bytes of all free areas. bytes (v) */
export const VMAP_FREE_BYTES = VMAP_LAZY_BYTES + 2
/** One more than the largest address that there can be. address (b) */
export const VMAP_LIMIT = VMAP_FREE_BYTES + 2
/** Words of the header without its CPUs. */
export const VMAP_HEADER_WORDS = 64

// ---- A CPU, behind the header ----

/** Address of the spare area object: `ne_fit_preload_node`; -1 for one that has no memory; 0 for none. address (c) */
export const VMAP_CPU_SPARE = 0
/** First vmap block with free pages, linked by NEXT; 0 for none. (c) */
export const VMAP_CPU_BLOCKS = VMAP_CPU_SPARE + 2
/** Last of them. (c) */
export const VMAP_CPU_LAST_BLOCK = VMAP_CPU_BLOCKS + 1
/** vm_struct that was put aside last, to be freed later; 0 for none. (c) */
export const VMAP_CPU_DEFERRED = VMAP_CPU_LAST_BLOCK + 1
/** Words of a CPU. */
export const VMAP_CPU_WORDS = 16

/** Words of every record. */
export const VMAP_RECORD_WORDS = 16

/** Kind of a record: an area. */
export const RECORD_AREA = 0
/** Kind of a record: a vm_struct. */
export const RECORD_VM = 1
/** Kind of a record: a vmap block. */
export const RECORD_BLOCK = 2
/** Kind of a record: the name of a caller. */
export const RECORD_CALLER = 3
/** Kinds of records. */
export const RECORD_KINDS = 4

// ---- Area record: an interval of addresses ----

/** Next area of the same tree, by address; 0 behind the last. (v) */
export const AREA_NEXT = 0
/** The one before; 0 in front of the first. (v) */
export const AREA_PREV = AREA_NEXT + 1
/** Left child in the tree. (v) */
export const AREA_LEFT = AREA_PREV + 1
/** Right child. (v) */
export const AREA_RIGHT = AREA_LEFT + 1
/** Parent; 0 at the root. (v) */
export const AREA_PARENT = AREA_RIGHT + 1
/**
 * What the area is:
 *
 *     3..2   0
 *     tree   colour: 1 red, 0 black
 *
 * Tree: TREE_FREE, TREE_BUSY, TREE_PURGE. Example: 5 is a red node of the busy tree. bits (v)
 */
export const AREA_FLAGS = AREA_PARENT + 1
/** First address. address (v) */
export const AREA_START = AREA_FLAGS + 1
/** One more than the last address. address (v) */
export const AREA_END = AREA_START + 2
/** Size of the largest area below and including this one; kept in the free tree only. bytes (v) */
export const AREA_MAX = AREA_END + 2
/** Address of the area's object of the cache `vmap_area`; -1 for one that has no memory. address (v) */
export const AREA_OBJECT = AREA_MAX + 2
/** Record of the vm_struct of a busy area; 0 for none. (v) */
export const AREA_VM = AREA_OBJECT + 2
/** Record of the vmap block that a busy area is; 0 for none. (v) */
export const AREA_BLOCK = AREA_VM + 1

/** The tree of free areas. */
export const TREE_FREE = 0
/** The tree of areas in use. */
export const TREE_BUSY = 1
/** The tree of areas that wait for a purge. */
export const TREE_PURGE = 2
/** Place of the tree in {@link AREA_FLAGS}. */
export const AREA_TREE_SHIFT = 2

// ---- vm_struct record: what is mapped in a busy area ----

/** The area. (v) */
export const VM_AREA = 0
/** VM_ flags. mask (v) */
export const VM_FLAGS = VM_AREA + 1
/** Pages that belong to it. pages (v) */
export const VM_NR_PAGES = VM_FLAGS + 1
/** Order of the blocks that its pages came in. (v) */
export const VM_PAGE_ORDER = VM_NR_PAGES + 1
/** Record of the name of its caller; 0 for none. (v) */
export const VM_CALLER = VM_PAGE_ORDER + 1
/** vm_struct put aside before it, to be freed later; -1 for none, and 0 while it is not put aside. (c) */
export const VM_DEFERRED = VM_CALLER + 1
/** Bytes, guard page included. bytes (v) */
export const VM_SIZE = VM_DEFERRED + 1
/** Physical address of I/O memory; 0 for none. address (v) */
export const VM_PHYS = VM_SIZE + 2
/** Kernel address of the array of its pages; 0 for none. address (v) */
export const VM_PAGES = VM_PHYS + 2
/** Kernel address of its object of kmalloc; 0 for none. address (v) */
export const VM_OBJECT = VM_PAGES + 2
/** Marks a record of this kind: 1. */
export const VM_MARK = VM_OBJECT + 2

// ---- vmap block record: small mappings share it ----

/** Next block with free pages on the CPU's list; 0 behind the last. (c) */
export const BLOCK_NEXT = 0
/** Its busy area. (v) */
export const BLOCK_AREA = BLOCK_NEXT + 1
/** Pages never handed out. pages (v) */
export const BLOCK_FREE = BLOCK_AREA + 1
/** Pages handed out and returned. pages (v) */
export const BLOCK_DIRTY = BLOCK_FREE + 1
/** First of those since the last flush. page (v) */
export const BLOCK_DIRTY_MIN = BLOCK_DIRTY + 1
/** One more than the last of those. page (v) */
export const BLOCK_DIRTY_MAX = BLOCK_DIRTY_MIN + 1
/** CPU whose list it is on, or was. (b) */
export const BLOCK_CPU = BLOCK_DIRTY_MAX + 1
/** 1 while it is on the list. (c) */
export const BLOCK_LISTED = BLOCK_CPU + 1
/** Kernel address of its object of kmalloc; 0 for none. address (v) */
export const BLOCK_OBJECT = BLOCK_LISTED + 1

// ---- Caller record: a name ----

/** Next caller record. (v) */
export const CALLER_NEXT = 0
/** Areas that name it. count (v) */
export const CALLER_REFS = CALLER_NEXT + 1
/** The bytes of the name, UTF-8, ended by 0. (v) */
export const CALLER_NAME = CALLER_REFS + 1
/** Bytes of a name, without the 0. */
export const CALLER_NAME_BYTES = 55
