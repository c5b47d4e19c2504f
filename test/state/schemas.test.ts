import { describe, expect, it } from 'vitest'
import * as pages from '../../src/state/schema'
import * as slabs from '../../src/state/slabSchema'
import * as areas from '../../src/state/vmapSchema'

/** Words of the columns that have more than one. */
const WIDE: Readonly<Record<string, number>> = {
  HEADER_LOWMEM_RATIO: 4,
  HEADER_ZONE_LIMITS: 3,
  ZONE_WMARK: 4,
  ZONE_RESERVE: 4,
  ZONE_STAT: 11,
  ZONE_NR_FREE: 11,
  ZONE_LISTS: 132,
  PCP_DIFF: 11,
  PCP_LISTS: 28,
  CPU_EVENTS: 20,
  CPU_PLANS: 128,
  SLAB_NODE_MASK: 2,
  SLAB_CACHES: 2,
  SLAB_FREE_RECORDS: 12,
  SLAB_KMALLOC: 42,
  SLAB_RAW: 2,
  CACHE_DESCRIPTOR: 2,
  CACHE_SECRET: 2,
  CACHE_NAME: 16,
  SLAB_NODE_PARTIAL: 2,
  SLAB_NODE_FULL: 2,
  VMAP_ROOTS: 3,
  VMAP_COUNTS: 3,
  VMAP_RECORDS: 4,
  VMAP_ROOT_PFN: 2,
  VMAP_CPU_SPARE: 2,
}
/** Columns of two words: events, and addresses and sizes as floating-point numbers. */
const TWO =
  /^PCP_(PG|NUMA_|FAST_)|^VMAP_(START|END|LAZY_BYTES|FREE_BYTES|LIMIT)$|^AREA_(START|END|MAX|OBJECT)$|^VM_(SIZE|PHYS|PAGES|OBJECT|MARK)$|^BLOCK_OBJECT$/

/** The records: where they are defined, which names are their columns, which are not, and their words. */
const RECORDS: [string, object, RegExp, RegExp, number][] = [
  ['header of pages', pages, /^HEADER_/, /_WORDS$|_END$/, pages.HEADER_WORDS],
  ['page', pages, /^PAGE_(NEXT|PREV|FLAGS|REFS)$/, /^$/, pages.PAGE_WORDS],
  [
    'zone',
    pages,
    /^ZONE_/,
    /_WORDS|_END$|_PER_ORDER|^ZONE_(BOOSTED_WATERMARK|RECLAIM_ACTIVE|FREE_PAGES|FREE_CMA)$/,
    pages.ZONE_WORDS,
  ],
  ['CPU of a zone', pages, /^PCP_/, /_WORDS|_END$|^PCP_EVENTS$/, pages.PCP_WORDS],
  ['node', pages, /^NODE_/, /_WORDS/, pages.NODE_WORDS],
  ['CPU', pages, /^CPU_/, /_WORDS/, pages.CPU_WORDS],
  ['range', pages, /^RANGE_/, /_WORDS/, pages.RANGE_WORDS],
  [
    'header of slabs',
    slabs,
    /^SLAB_(MAGIC|VERSION|WORDS_USED|MAX_PFN|NR_|NODE_MASK|CACHES|CACHE_CACHE|NODE_CACHE|FREE_RECORDS|KMALLOC|RCU_|DEBUG_ON|TAINT|WARNED|NEXT_ID|RANDOM)/,
    /^$/,
    slabs.SLAB_HEADER_END,
  ],
  [
    'slab',
    slabs,
    /^SLAB_(NEXT|PREV|CACHE|PFN|FREE|INUSE|OBJECTS|FLAGS|RAM|BASE_LO|BASE_HI|LAST|RAW|LIVE)$/,
    /^$/,
    16,
  ],
  ['cache', slabs, /^CACHE_/, /_WORDS|^CACHE_(HAS_CTOR|GONE|WAITS)$/, slabs.CACHE_WORDS],
  ['CPU of a cache', slabs, /^SLAB_CPU_/, /_WORDS|_SHIFT/, slabs.SLAB_CPU_WORDS],
  [
    'node of a cache',
    slabs,
    /^SLAB_NODE_/,
    /_WORDS|_SHIFT|_MASK|_BITS|_CACHE$/,
    slabs.SLAB_NODE_WORDS,
  ],
  ['pages of a node', slabs, /^NODE_SLAB_/, /_WORDS/, slabs.NODE_SLAB_WORDS],
  ['header of areas', areas, /^VMAP_/, /_WORDS$|^VMAP_CPU_/, areas.VMAP_HEADER_WORDS],
  ['CPU of areas', areas, /^VMAP_CPU_/, /_WORDS/, areas.VMAP_CPU_WORDS],
  ['area', areas, /^AREA_/, /_SHIFT/, areas.VMAP_RECORD_WORDS],
  ['vm_struct', areas, /^VM_/, /^$/, areas.VMAP_RECORD_WORDS],
  ['block', areas, /^BLOCK_/, /^$/, areas.VMAP_RECORD_WORDS],
  ['caller', areas, /^CALLER_/, /_BYTES/, areas.VMAP_RECORD_WORDS],
]

describe('the columns of a record', () => {
  it.each(RECORDS)('%s: lie side by side in it', (_, schema, columns, others, words) => {
    const owner = new Array<string | null>(words).fill(null)
    let found = 0
    for (const [name, place] of Object.entries(schema)) {
      if (!columns.test(name) || others.test(name)) continue
      found += 1
      const width = WIDE[name] ?? (TWO.test(name) ? 2 : 1)
      if (TWO.test(name) && schema === areas) expect(place % 2, name).toBe(0)
      for (let at = place; at < place + width; at++) {
        if (owner[at] !== null) expect.fail(`${name} at ${at} is ${owner[at] ?? 'outside'}`)
        owner[at] = name
      }
    }
    expect(found).toBeGreaterThan(1)
    const end = Object.entries(schema).find(
      ([name]) => columns.test(name) && name.endsWith('_END') && others.test(name),
    )
    if (end !== undefined) expect(end[1]).toBe(owner.findLastIndex((name) => name !== null) + 1)
  })

  it('that stand for several are the first of them', () => {
    expect(pages.PCP_EVENTS).toBe(pages.PCP_PGALLOC)
    expect(pages.ZONE_FREE_PAGES).toBe(pages.ZONE_STAT)
    expect(pages.ZONE_FREE_CMA).toBe(pages.ZONE_STAT + 10)
    expect(slabs.SLAB_HEADER_END).toBeLessThanOrEqual(slabs.SLAB_HEADER_WORDS)
  })

  it('keep the sign bit of a page for the mark of memory without a watermark', () => {
    const bits = [pages.PAGE_KERNEL_FLAGS, pages.PAGE_BUDDY, pages.PAGE_ORDER_MASK]
    expect(pages.PAGE_PFMEMALLOC).toBe(1 << 31)
    expect(bits.reduce((all, bit) => all & ~bit, -1)).toBe(0xf0000000 | 0)
  })
})
