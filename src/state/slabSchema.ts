/**
 * The schema of the slab layer's state: every word that the object caches know, declared once.
 *
 *     header | a word for each page frame | counters of each node | records: caches, slabs
 *
 * One `Int32Array` as the page allocator's state is, and read the same way: a record is named by the
 * offset of its first word, a column is a word's place in it. Caches and slabs get their records from
 * the end, and from records given back ({@link ../slab/slabState}).
 * This file imports nothing: only then does the bundler fold constants into other files.
 *
 * Lists link records that begin with NEXT and PREV, through a head of two words, as in `state/lists`.
 *
 * Behind each column its unit; then the lock that guards it on a machine with several threads:
 *   b  written when the machine or the cache is made      s  the lock of all caches
 *   n  the node's list lock of the cache                   c  the owning CPU alone
 *   f  whoever has frozen the slab, else the node's list lock
 */

/**
 * Takes the sign off an offset that was read: V8 then adds to it, and looks it up, without tests for overflow and
 * sign (measured).
 */
export const OFFSET_MASK = 0x7fffffff

// ---- Header ----

/** Marks the buffer as ours: the letters `slub`. */
export const SLAB_MAGIC = 0
/** Version of this schema; a buffer of another version is refused. (b) */
export const SLAB_VERSION = SLAB_MAGIC + 1
/** Words in use: records are made from here on. (s) */
export const SLAB_WORDS_USED = SLAB_VERSION + 1
/** Page frames with a word: one more than the highest PFN. pages (b) */
export const SLAB_MAX_PFN = SLAB_WORDS_USED + 1
/** CPUs. (b) */
export const SLAB_NR_CPUS = SLAB_MAX_PFN + 1
/** Node ids, online or not. (b) */
export const SLAB_NR_NODES = SLAB_NR_CPUS + 1
/** Nodes whose memory caches use, a bit each: two words. (s) */
export const SLAB_NODE_MASK = SLAB_NR_NODES + 1
/** Head of the list of all caches, newest first. link (s) */
export const SLAB_CACHES = SLAB_NODE_MASK + 2
/** Caches on that list. count (s) */
export const SLAB_NR_CACHES = SLAB_CACHES + 2
/** Offset of the cache `kmem_cache`, whose objects are the descriptors of caches. (b) */
export const SLAB_CACHE_CACHE = SLAB_NR_CACHES + 1
/** Offset of the cache `kmem_cache_node`, whose objects are the caches' node states. (b) */
export const SLAB_NODE_CACHE = SLAB_CACHE_CACHE + 1
/** Offsets of free records of 2^(4+i) words, linked by NEXT; 0 for none: {@link NR_RECORD_SIZES} words. (s) */
export const SLAB_FREE_RECORDS = SLAB_NODE_CACHE + 1
/** Sizes of records: 2^4 to 2^15 words. */
export const NR_RECORD_SIZES = 12
/** The kmalloc caches: three types of {@link KMALLOC_CLASSES}, by index; 0 for none. (b) */
export const SLAB_KMALLOC = SLAB_FREE_RECORDS + NR_RECORD_SIZES
/** kmalloc caches of a type, by index 0 to 13: 1 is for 96 bytes, 2 for 192, n for 2^n. */
export const KMALLOC_CLASSES = 14
/** First and last slab of SLAB_TYPESAFE_BY_RCU caches that waits for a grace period, linked by NEXT. (s) */
export const SLAB_RCU_HEAD = SLAB_KMALLOC + 3 * KMALLOC_CLASSES
/** See {@link SLAB_RCU_HEAD}. */
export const SLAB_RCU_TAIL = SLAB_RCU_HEAD + 1
/** 1: some cache is a debug cache, so checks are in force. (s) */
export const SLAB_DEBUG_ON = SLAB_RCU_TAIL + 1
/** Taint bits that reports print: 1 << 5 after a report, 1 << 9 after a warning. (s) */
export const SLAB_TAINT = SLAB_DEBUG_ON + 1
/** One-time warnings that have fired, a bit each. (s) */
export const SLAB_WARNED = SLAB_TAINT + 1
/** Number that the next cache gets. count (s) */
export const SLAB_NEXT_ID = SLAB_WARNED + 1
/** State of the random numbers of hardened free lists; 0 before the first of them. (s) */
export const SLAB_RANDOM = SLAB_NEXT_ID + 1
/** One more than the last column in use. */
export const SLAB_HEADER_END = SLAB_RANDOM + 1
/** Words of the header: fixed, more than the columns above. */
export const SLAB_HEADER_WORDS = 128

/**
 * The frame table, behind the header: a word for each page frame.
 *   0   the frame holds no objects                > 0  offset of the record of the frame's slab
 *   < 0 the first frame of a large kmalloc block: -1 less its order
 */
export const SLAB_FRAMES = SLAB_HEADER_WORDS

// ---- Slab record: 64 bytes with up to 64 places of objects, and a bit for each more ----

/** Next record: of a node's list, of a CPU's partial list, of the queue. link (f) */
export const SLAB_NEXT = 0
/** Previous record of a node's list; means nothing on a CPU's partial list. link (f) */
export const SLAB_PREV = SLAB_NEXT + 1
/** Offset of the cache. (b) */
export const SLAB_CACHE = SLAB_PREV + 1
/** First page frame. pfn (b) */
export const SLAB_PFN = SLAB_CACHE + 1
/**
 * The slab's first free object: 1 more than its distance from the start of the slab; 0 for none; -1 when
 * a corrupted pointer leads out of the slab, and SLAB_RAW holds it. bytes (f)
 */
export const SLAB_FREE = SLAB_PFN + 1
/** Objects in use, those that a CPU holds included. count (f) */
export const SLAB_INUSE = SLAB_FREE + 1
/** Objects that the slab has room for. count (b) */
export const SLAB_OBJECTS = SLAB_INUSE + 1
/**
 * What a slab is and where:
 *
 *     28..24    21..16   11..8   3       2             1            0
 *     granule   node     order   debug   quarantined   pfmemalloc   frozen
 *
 * Example: 0x6010301 is a frozen slab of order 3 on node 1, whose places are 2^6 bytes apart. bits (f)
 */
export const SLAB_FLAGS = SLAB_OBJECTS + 1
/** Place in RAM's array of 32-bit words of the free pointer that an object at the slab's start would have. (b) */
export const SLAB_RAM = SLAB_FLAGS + 1
/** Low half of the kernel address of the slab's first byte. (b) */
export const SLAB_BASE_LO = SLAB_RAM + 1
/** High half of it. (b) */
export const SLAB_BASE_HI = SLAB_BASE_LO + 1
/** Distance of the last object from the start of the slab. bytes (b) */
export const SLAB_LAST = SLAB_BASE_HI + 1
/** A corrupted free pointer, its low half and its high half. (f) */
export const SLAB_RAW = SLAB_LAST + 1
/**
 * The places: a bit for each granule of the slab, the largest power of two that divides the distances of all
 * objects from its start. 1 where an object in use starts, 0 elsewhere. bits (f)
 */
export const SLAB_LIVE = SLAB_RAW + 2

/** Slab flag: a CPU works with the slab, or holds it on its partial list. */
export const SLAB_FROZEN = 0x1
/** Slab flag: the pages came from the emergency reserve. */
export const SLAB_PFMEMALLOC = 0x2
/** Slab flag: found corrupted. Some of its free objects are lost; a debug cache never uses it again. */
export const SLAB_QUARANTINED = 0x4
/** Slab flag: one of a debug cache. */
export const SLAB_OF_DEBUG = 0x8
/** Place of the order in a slab's flags. */
export const SLAB_ORDER_SHIFT = 8
/** The order's bits, once shifted. */
export const SLAB_ORDER_MASK = 0xf
/** Place of the node. */
export const SLAB_NODE_SHIFT = 16
/** The node's bits, once shifted. */
export const SLAB_NODE_BITS = 0x3f
/** Place of log2 of the granule: that of the cache, so that a free need not ask it (measured). */
export const SLAB_GRANULE_SHIFT = 24

// ---- Cache record ----

/** Next and previous cache of the list of all caches. link (s) */
export const CACHE_NEXT = 0
/** See {@link CACHE_NEXT}. */
export const CACHE_PREV = CACHE_NEXT + 1
/**
 * Minus the number of the cache: constructors are kept under it, and handles tell by it whether their cache has ended.
 * Here because no record of another kind, which may get the words of one that has ended, is ever the same in this
 * column: a slab's is above 0, and as bits of places it says all, none, or no two neighbours. (b)
 */
export const CACHE_ID = CACHE_PREV + 1
/** SLAB_ flags. mask (b) */
export const CACHE_FLAGS = CACHE_ID + 1
/** Distance from an object to the next: the size of a slot. bytes (b) */
export const CACHE_SIZE = CACHE_FLAGS + 1
/** Bytes that belong to the owner of an object. bytes (s) */
export const CACHE_OBJECT_SIZE = CACHE_SIZE + 1
/** Where an object's metadata starts. bytes (s) */
export const CACHE_INUSE = CACHE_OBJECT_SIZE + 1
/** Where a free object holds its free pointer. bytes (b) */
export const CACHE_OFFSET = CACHE_INUSE + 1
/** Alignment of objects. bytes (b) */
export const CACHE_ALIGN = CACHE_OFFSET + 1
/** Bytes of a slot in front of its object. (b) */
export const CACHE_PAD = CACHE_ALIGN + 1
/** The kernel's field of that meaning: it keeps its value when the red zones were given up. bytes (b) */
export const CACHE_RED_LEFT_PAD = CACHE_PAD + 1
/** Order of slabs, as long as there are blocks of it. (b) */
export const CACHE_ORDER = CACHE_RED_LEFT_PAD + 1
/** Objects in a slab of that order. count (b) */
export const CACHE_OBJECTS = CACHE_ORDER + 1
/** Order of slabs otherwise. (b) */
export const CACHE_MIN_ORDER = CACHE_OBJECTS + 1
/** Objects in a slab of that order. count (b) */
export const CACHE_MIN_OBJECTS = CACHE_MIN_ORDER + 1
/** GFP bits of each request for a slab. mask (b) */
export const CACHE_ALLOC_FLAGS = CACHE_MIN_OBJECTS + 1
/** Empty slabs go back when a node has this many partial ones. count (s) */
export const CACHE_MIN_PARTIAL = CACHE_ALLOC_FLAGS + 1
/** Objects that a CPU may hold on its partial list. count (s) */
export const CACHE_CPU_PARTIAL = CACHE_MIN_PARTIAL + 1
/** Slabs on that list at which it overflows. count (s) */
export const CACHE_CPU_PARTIAL_SLABS = CACHE_CPU_PARTIAL + 1
/** Names that the cache has; -1 for the caches that all others rest on; 0 once destroyed. count (s) */
export const CACHE_REFCOUNT = CACHE_CPU_PARTIAL_SLABS + 1
/** Part of an object that may be copied to user space: where it starts. bytes (b) */
export const CACHE_USEROFFSET = CACHE_REFCOUNT + 1
/** Its size. bytes (b) */
export const CACHE_USERSIZE = CACHE_USEROFFSET + 1
/** Other nodes are searched in so many of 1024 cases. (s) */
export const CACHE_DEFRAG_RATIO = CACHE_USERSIZE + 1
/** log2 of the granule of the places of its slabs. (b) */
export const CACHE_GRANULE = CACHE_DEFRAG_RATIO + 1
/** Offset of a bit for each place of a slab of the cache: 1 where an object starts. (b) */
export const CACHE_STARTS = CACHE_GRANULE + 1
/** log2 of the words of a slab's record. (b) */
export const CACHE_RECORD_SHIFT = CACHE_STARTS + 1
/** Offset of the first CPU's record; the others follow. (b) */
export const CACHE_CPUS = CACHE_RECORD_SHIFT + 1
/** Offset of the first node's record; the others follow. (b) */
export const CACHE_NODES = CACHE_CPUS + 1
/** The cache's descriptor, an object of `kmem_cache`: low and high half of its address; 0 for none. (b) */
export const CACHE_DESCRIPTOR = CACHE_NODES + 1
/** CACHE_HAS_CTOR, CACHE_GONE, CACHE_WAITS. bits (s) */
export const CACHE_STATE = CACHE_DESCRIPTOR + 2
/** Secret of the cache's free pointers, low and high half; 0 unless they are encoded. (b) */
export const CACHE_SECRET = CACHE_STATE + 1
/** Slabs that wait for a grace period. count (s) */
export const CACHE_RCU_SLABS = CACHE_SECRET + 2
/** The bytes of the name, UTF-8, ended by 0: {@link CACHE_NAME_WORDS} words. (b) */
export const CACHE_NAME = CACHE_RCU_SLABS + 1
/** Words of a name: 63 bytes and a 0. */
export const CACHE_NAME_WORDS = 16
/** Words of a cache record without its CPUs and nodes: a multiple of 16. */
export const CACHE_WORDS = 64

/** Cache state: the cache has a constructor. */
export const CACHE_HAS_CTOR = 1
/** Cache state: destroyed, or its destruction has begun; nothing is allocated any more. */
export const CACHE_GONE = 2
/** Cache state: a destroyed cache that waits for a grace period. */
export const CACHE_WAITS = 4

// ---- A cache's record of a CPU ----

/** First free object that the CPU holds: 1 more than its distance from the start of the slab; 0 for none. bytes (c) */
export const SLAB_CPU_FREE = 0
/** Offset of the record of the CPU's slab; 0 for none. (c) */
export const SLAB_CPU_SLAB = SLAB_CPU_FREE + 1
/** Offset of the first slab of the CPU's partial list, linked by NEXT; 0 for none. (c) */
export const SLAB_CPU_PARTIAL = SLAB_CPU_SLAB + 1
/** Slabs on that list. count (c) */
export const SLAB_CPU_NR_PARTIAL = SLAB_CPU_PARTIAL + 1
/** Words in such a record. */
export const SLAB_CPU_WORDS = 4
/** log2 of {@link SLAB_CPU_WORDS}. */
export const SLAB_CPU_SHIFT = 2

// ---- A cache's record of a node ----

/** Head of the list of partial slabs. link (n) */
export const SLAB_NODE_PARTIAL = 0
/** Slabs on it. count (n) */
export const SLAB_NODE_NR_PARTIAL = SLAB_NODE_PARTIAL + 2
/** Slabs of the cache whose pages are on the node. count (n) */
export const SLAB_NODE_NR_SLABS = SLAB_NODE_NR_PARTIAL + 1
/** Objects in them. count (n) */
export const SLAB_NODE_TOTAL_OBJECTS = SLAB_NODE_NR_SLABS + 1
/** Head of the list of full slabs: of debug caches that keep tracks only. link (n) */
export const SLAB_NODE_FULL = SLAB_NODE_TOTAL_OBJECTS + 1
/** 1 when the cache uses the node. (s) */
export const SLAB_NODE_USED = SLAB_NODE_FULL + 2
/** The node state's object of `kmem_cache_node`: low and high half of its address. (b) */
export const SLAB_NODE_OBJECT = SLAB_NODE_USED + 1
/** Words in such a record. */
export const SLAB_NODE_WORDS = 12

// ---- Counters of a node, behind the frame table ----

/** Pages of slabs that can be reclaimed. pages (n) */
export const NODE_SLAB_RECLAIMABLE = 0
/** Pages of other slabs and of large kmalloc blocks. pages (n) */
export const NODE_SLAB_UNRECLAIMABLE = NODE_SLAB_RECLAIMABLE + 1
/** Words of a node's counters. */
export const NODE_SLAB_WORDS = 2
