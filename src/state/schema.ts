/**
 * The schema of the state buffer: every word that the allocators know, declared once.
 *
 *     header | page records | pageblocks | zones | per-CPU page lists | nodes | CPUs | distances | zonelists | ranges
 *
 * The buffer is one `Int32Array`. A *record* is a run of words; a *column* is a word's place in its
 * record, and the constants below are those places (a bundler folds them). A record is named by the
 * offset of its first word, so `words[zone + ZONE_MANAGED]` is a field access. Tables whose length
 * depends on the machine start where the header says ({@link ./layout}).
 * This file imports nothing: only then does the bundler fold constants into other files.
 *
 * A *link* is the offset of a record that begins with two words NEXT and PREV: a page record, or the
 * head of a list. Lists are circular through their head, so nothing is ever NIL.
 *
 * Behind each column: its unit, then the lock that guards it on a machine with several threads.
 *   b  written at boot and hot-add only     z  the zone's lock
 *   p  the owning CPU's page-list lock      c  the owning CPU alone
 *   r  whoever holds the page's last reference
 */

// ---- Header: fixed length, so that page records start at a constant offset ----

/** Marks the buffer as ours: the letters `kmem`. */
export const HEADER_MAGIC = 0
/** Version of this schema; a buffer of another version is refused. (b) */
export const HEADER_VERSION = HEADER_MAGIC + 1
/** Total words in use. (b) */
export const HEADER_WORDS_USED = HEADER_VERSION + 1
/** Page records: one more than the highest PFN the machine can ever have. pages (b) */
export const HEADER_MAX_PFN = HEADER_WORDS_USED + 1
/** Nodes with a record, online or not. (b) */
export const HEADER_NR_NODES = HEADER_MAX_PFN + 1
/** CPUs. (b) */
export const HEADER_NR_CPUS = HEADER_NR_NODES + 1
/** Offset of the pageblock table. (b) */
export const HEADER_BLOCKS = HEADER_NR_CPUS + 1
/** Offset of the zone table. (b) */
export const HEADER_ZONES = HEADER_BLOCKS + 1
/** Offset of the per-CPU page-list table. (b) */
export const HEADER_PCPS = HEADER_ZONES + 1
/** Offset of the node table. (b) */
export const HEADER_NODES = HEADER_PCPS + 1
/** Offset of the CPU table. (b) */
export const HEADER_CPUS = HEADER_NODES + 1
/** Offset of the node distance matrix. (b) */
export const HEADER_DISTANCES = HEADER_CPUS + 1
/** Offset of the zonelists: two per node. (b) */
export const HEADER_ZONELISTS = HEADER_DISTANCES + 1
/** Offset of the memory range table. (b) */
export const HEADER_RANGES = HEADER_ZONELISTS + 1
/** Memory ranges in use. (b) */
export const HEADER_NR_RANGES = HEADER_RANGES + 1
/** Memory ranges that fit. (b) */
export const HEADER_MAX_RANGES = HEADER_NR_RANGES + 1
/** 0: x86_64 zones; 1: i386 zones, with HIGHMEM. (b) */
export const HEADER_HIGHMEM = HEADER_MAX_RANGES + 1
/** vm.min_free_kbytes. KiB (b) */
export const HEADER_MIN_FREE_KBYTES = HEADER_HIGHMEM + 1
/** min_free_kbytes as the user wrote it; -1 when never written. KiB (b) */
export const HEADER_USER_MIN_FREE_KBYTES = HEADER_MIN_FREE_KBYTES + 1
/** vm.watermark_scale_factor: 1/10000 of a zone. (b) */
export const HEADER_WATERMARK_SCALE = HEADER_USER_MIN_FREE_KBYTES + 1
/** vm.watermark_boost_factor: 1/10000 of the high watermark; 0 turns boosting off. (b) */
export const HEADER_WATERMARK_BOOST = HEADER_WATERMARK_SCALE + 1
/** vm.lowmem_reserve_ratio: four words, by zone index. (b) */
export const HEADER_LOWMEM_RATIO = HEADER_WATERMARK_BOOST + 1
/** vm.percpu_pagelist_high_fraction; 0 derives the limit from the low watermark. (b) */
export const HEADER_PCP_HIGH_FRACTION = HEADER_LOWMEM_RATIO + 4
/** 1: too little memory to group pages by mobility, everything is UNMOVABLE. (b) */
export const HEADER_MOBILITY_DISABLED = HEADER_PCP_HIGH_FRACTION + 1
/** Pages handed to the page allocator so far. pages (b) */
export const HEADER_TOTAL_RAM = HEADER_MOBILITY_DISABLED + 1
/** Pages that the page cache must leave alone. pages (b) */
export const HEADER_TOTAL_RESERVE = HEADER_TOTAL_RAM + 1
/** GFP bits that callers may use at this stage of boot. mask (b) */
export const HEADER_GFP_ALLOWED = HEADER_TOTAL_RESERVE + 1
/** Nodes online. (b) */
export const HEADER_ONLINE_NODES = HEADER_GFP_ALLOWED + 1
/** One-time warnings that have already fired, a bit each. (z) */
export const HEADER_WARNED = HEADER_ONLINE_NODES + 1
/** Transparent huge pages raise min_free_kbytes: 1 when on. (b) */
export const HEADER_THP = HEADER_WARNED + 1
/** Pages in CMA areas. pages (b) */
export const HEADER_TOTAL_CMA = HEADER_THP + 1
/** The CPU that runs. (c) */
export const HEADER_CURRENT_CPU = HEADER_TOTAL_CMA + 1
/** Zone index that the Movable zones are carved from: the highest that can hold memory. (b) */
export const HEADER_MOVABLE_ZONE = HEADER_CURRENT_CPU + 1
/** One more than the highest PFN of zones 0, 1 and 2, for memory added later: three words. pfn (b) */
export const HEADER_ZONE_LIMITS = HEADER_MOVABLE_ZONE + 1
/** One more than the last column in use. */
export const HEADER_END = HEADER_ZONE_LIMITS + 3

/** Words of the header: fixed, more than the columns above. */
export const HEADER_WORDS = 64

// ---- Page record: 16 bytes a page frame ----

/** Next record of the list the page is on. link (z on a free list, p on a CPU's list) */
export const PAGE_NEXT = 0
/** Previous record of that list. link (z, p) */
export const PAGE_PREV = PAGE_NEXT + 1
/** The page's flag word, drawn in `page/memmap.ts`. bits (r; z while free) */
export const PAGE_FLAGS = PAGE_PREV + 1
/**
 * References to the page: 0 in free areas and in the tail of a block; while the page heads a block on a
 * CPU's list, -1 less the migratetype of the list that it goes back to. count (r; p while on a list)
 */
export const PAGE_REFS = PAGE_FLAGS + 1
/** Words in a page record. */
export const PAGE_WORDS = 4
/** log2 of {@link PAGE_WORDS}. */
export const PAGE_WORDS_SHIFT = 2

// ---- The page's flag word, drawn in `page/memmap.ts`; its low 23 bits are the kernel's PG_ flags ----

/** The page heads a free block on a buddy list. */
export const PAGE_BUDDY = 0x800000
/** Place of the order in the flag word. */
export const PAGE_ORDER_SHIFT = 24
/** The order's bits. */
export const PAGE_ORDER_MASK = 0x0f000000
/** The block came from reserves that ignore the watermarks. */
export const PAGE_PFMEMALLOC = -0x80000000
/** The bits that are the kernel's own page flags. */
export const PAGE_KERNEL_FLAGS = 0x7fffff

// ---- The pageblock's word, drawn in `zone/pageblock.ts` ----

/** The migratetype's bits. */
export const BLOCK_TYPE_MASK = 0x7
/** Compaction found nothing in the block. */
export const BLOCK_SKIP = 0x8
/** The block's pages belong to several zones. */
export const BLOCK_MIXED = 0x10
/** The block lies in a section with memory. */
export const BLOCK_PRESENT = 0x20
/** Part of a free block of the largest order whose records were never written; see `page/freshBlocks.ts`. */
export const BLOCK_FRESH = 0x40
/** Place of the zone number. */
export const BLOCK_ZONE_SHIFT = 8

// ---- Zone record ----

/** Node that owns the zone. (b) */
export const ZONE_NODE = 0
/** Zone index in its node: 0 DMA … 3 Movable. (b) */
export const ZONE_INDEX = ZONE_NODE + 1
/** First PFN. pfn (b) */
export const ZONE_START = ZONE_INDEX + 1
/** Pages from start to end, holes included. pages (b) */
export const ZONE_SPANNED = ZONE_START + 1
/** Pages of memory. pages (b) */
export const ZONE_PRESENT = ZONE_SPANNED + 1
/** Pages handed to the allocator. pages (b) */
export const ZONE_MANAGED = ZONE_PRESENT + 1
/** Pages of CMA areas. pages (b) */
export const ZONE_CMA_PAGES = ZONE_MANAGED + 1
/** The min, low, high and promo watermarks, without the boost. pages (b) */
export const ZONE_WMARK = ZONE_CMA_PAGES + 1
/** Raises all watermarks for a while. pages (z) */
export const ZONE_BOOST = ZONE_WMARK + 4
/** Pages kept from requests whose highest zone index is i: four words. pages (b) */
export const ZONE_RESERVE = ZONE_BOOST + 1
/** Pages in pageblocks of type HIGHATOMIC. pages (z) */
export const ZONE_HIGHATOMIC = ZONE_RESERVE + 4
/** Pageblocks of type ISOLATE. count (z) */
export const ZONE_NR_ISOLATE = ZONE_HIGHATOMIC + 1
/** ZONE_BOOSTED_WATERMARK and ZONE_RECLAIM_ACTIVE. bits (z) */
export const ZONE_FLAGS = ZONE_NR_ISOLATE + 1
/**
 * 1 while a single page of any request may be taken from, or put on, a CPU's list with no further look:
 * nothing has changed the zone's counts, marks or flags since a check found that. (z)
 */
export const ZONE_QUIET = ZONE_FLAGS + 1
/** Below this free count a reader must add the CPUs' pending deltas; 0: never. pages (b) */
export const ZONE_DRIFT_MARK = ZONE_QUIET + 1
/** Offset of CPU 0's page lists for this zone. (b) */
export const ZONE_PCP = ZONE_DRIFT_MARK + 1
/** Compaction attempts put off since the last deferral. count (z) */
export const ZONE_COMPACT_CONSIDERED = ZONE_PCP + 1
/** log2 of the attempts to put off. (z) */
export const ZONE_COMPACT_SHIFT = ZONE_COMPACT_CONSIDERED + 1
/** Smallest order whose compaction failed. order (z) */
export const ZONE_COMPACT_FAILED = ZONE_COMPACT_SHIFT + 1
/** The stored zone counters, in the order of /proc/zoneinfo: {@link NR_ZONE_COUNTERS} words. pages (z) */
export const ZONE_STAT = ZONE_COMPACT_FAILED + 1
/** Zone counters kept. */
export const NR_ZONE_COUNTERS = 11
/** Index among the zone counters: free pages. */
export const NR_FREE_PAGES = 0
/** Index among the zone counters: free pages in CMA pageblocks. */
export const NR_FREE_CMA = 10
/** Stored free pages: pages on the free lists but for ISOLATE ones. pages (z) */
export const ZONE_FREE_PAGES = ZONE_STAT + NR_FREE_PAGES
/** Stored free CMA pages. pages (z) */
export const ZONE_FREE_CMA = ZONE_STAT + NR_FREE_CMA
/** Free blocks of each order, over all migratetypes: eleven words. blocks (z) */
export const ZONE_NR_FREE = ZONE_STAT + NR_ZONE_COUNTERS
/** List heads, two words each, by order then migratetype: 11 × 6. link (z) */
export const ZONE_LISTS = ZONE_NR_FREE + 11
/** Words between the heads of one order and the next. */
export const ZONE_LISTS_PER_ORDER = 12
/** One more than the last column in use. */
export const ZONE_END = ZONE_LISTS + 132
/** Words in a zone record: a power of two. */
export const ZONE_WORDS = 256
/** log2 of {@link ZONE_WORDS}. */
export const ZONE_WORDS_SHIFT = 8

/** Zone flag: a steal has boosted the watermarks and kswapd is to be woken. */
export const ZONE_BOOSTED_WATERMARK = 1
/** Zone flag: kswapd works on the zone, so the CPUs keep short page lists. */
export const ZONE_RECLAIM_ACTIVE = 2

// ---- Per-CPU page lists of a zone ----

/** Pages on the lists. pages (p) */
export const PCP_COUNT = 0
/** At this count a free overflows into the buddy lists. pages (b) */
export const PCP_HIGH = PCP_COUNT + 1
/** The same while the zone is not under reclaim, else at most four batches: what a free looks at. pages (b) */
export const PCP_LIMIT = PCP_HIGH + 1
/** Pages taken or given back at once. pages (b) */
export const PCP_BATCH = PCP_LIMIT + 1
/** Doubles the batch given back, once for each step. (p) */
export const PCP_FREE_FACTOR = PCP_BATCH + 1
/** Counts refreshes until a remote zone's lists are drained. (p) */
export const PCP_EXPIRE = PCP_FREE_FACTOR + 1
/** A pending delta larger than this is folded into the zone. pages (b) */
export const PCP_STAT_THRESHOLD = PCP_EXPIRE + 1
/** Pending deltas of the zone counters: {@link NR_ZONE_COUNTERS} words. pages (c) */
export const PCP_DIFF = PCP_STAT_THRESHOLD + 1
/** Events, two words each: the low 31 bits, then the carries. (c) */
export const PCP_EVENTS = PCP_DIFF + NR_ZONE_COUNTERS
/** Event: pages allocated from the zone. */
export const PCP_PGALLOC = PCP_EVENTS
/** Event: pages freed to the zone. */
export const PCP_PGFREE = PCP_PGALLOC + 2
/** Event: allocations served by the preferred node. */
export const PCP_NUMA_HIT = PCP_PGFREE + 2
/** Event: allocations served here though another node was preferred. */
export const PCP_NUMA_MISS = PCP_NUMA_HIT + 2
/** Event: allocations preferred here but served by another node. */
export const PCP_NUMA_FOREIGN = PCP_NUMA_MISS + 2
/** Event: allocations placed by an interleave policy. */
export const PCP_NUMA_INTERLEAVE = PCP_NUMA_FOREIGN + 2
/** Event: allocations on the CPU's own node. */
export const PCP_NUMA_LOCAL = PCP_NUMA_INTERLEAVE + 2
/** Event: allocations on another node than the CPU's. */
export const PCP_NUMA_OTHER = PCP_NUMA_LOCAL + 2
/** Event: pages that the fast path handed out; each counts as PGALLOC, NUMA_HIT and NUMA_LOCAL. */
export const PCP_FAST_HITS = PCP_NUMA_OTHER + 2
/** List heads, two words each, by list index: 14. link (p) */
export const PCP_LISTS = PCP_FAST_HITS + 2
/** Page lists of a CPU and zone: 3 types × orders 0..3, then two of order 9. */
export const NR_PCP_LISTS = 14
/** One more than the last column in use. */
export const PCP_END = PCP_LISTS + 28
/** Words in a per-CPU record: a power of two. */
export const PCP_WORDS = 64
/** log2 of {@link PCP_WORDS}. */
export const PCP_WORDS_SHIFT = 6

// ---- Node record ----

/** 1 when the node is online. (b) */
export const NODE_ONLINE = 0
/** First PFN. pfn (b) */
export const NODE_START = NODE_ONLINE + 1
/** Pages from first to last memory, holes included. pages (b) */
export const NODE_SPANNED = NODE_START + 1
/** CPUs of the node. count (b) */
export const NODE_NR_CPUS = NODE_SPANNED + 1
/** First PFN of the node's Movable zone; 0: none. pfn (b) */
export const NODE_MOVABLE_PFN = NODE_NR_CPUS + 1
/** Load counter of the zonelist build. (b) */
export const NODE_LOAD = NODE_MOVABLE_PFN + 1
/** Words in a node record. */
export const NODE_WORDS = 8

// ---- CPU record ----

/** The CPU's node. (b) */
export const CPU_NODE = 0
/** Machine-wide events, two words each: {@link NR_VM_EVENTS} of them. (c) */
export const CPU_EVENTS = CPU_NODE + 1
/** Machine-wide events kept for each CPU. */
export const NR_VM_EVENTS = 10
/** Event: direct reclaim entered, by the request's highest zone index: four. */
export const EVENT_ALLOCSTALL = 0
/** Event: direct compaction entered. */
export const EVENT_COMPACT_STALL = 4
/** Event: direct compaction gave no page. */
export const EVENT_COMPACT_FAIL = 5
/** Event: direct compaction gave a page. */
export const EVENT_COMPACT_SUCCESS = 6
/** Event: a task was killed for memory. */
export const EVENT_OOM_KILL = 7
/** Event: mlocked pages freed. */
export const EVENT_UNEVICTABLE_CLEARED = 8
/** What the fast path knows of requests, see `buddy/fastPath.ts`: {@link PLANS} plans. (c) */
export const CPU_PLANS = 64
/** Plans of a CPU. */
export const PLANS = 32
/** Words in a plan. */
export const PLAN_WORDS = 4
/** Words in a CPU record. */
export const CPU_WORDS = 192

// ---- Memory range record ----

/** First PFN. pfn (b) */
export const RANGE_START = 0
/** One more than the last PFN. pfn (b) */
export const RANGE_END = RANGE_START + 1
/** Node of the range. (b) */
export const RANGE_NODE = RANGE_END + 1
/** Words in a range record. */
export const RANGE_WORDS = 4

/** Zones in a node, populated or not. */
export const NR_ZONES = 4
