/** What a failed call may leave behind: each difference with its reason and the columns that it is seen in. */

interface Allowed {
  /** Why it is there. */
  readonly why: string
  /** Columns that may differ, as {@link ./columns} names them. */
  readonly columns: readonly string[]
}

/** Columns of free pages and of the lists that they are on. */
const FREE_PAGES = [
  'page.NEXT',
  'page.PREV',
  'page.FLAGS',
  'page.REFS',
  'block',
  'zone.STAT',
  'zone.NR_FREE',
  'zone.LISTS',
  'pcp.COUNT',
  'pcp.FREE_FACTOR',
  'pcp.DIFF',
  'pcp.EVENTS',
  'pcp.LISTS',
  'ram.free',
]

/** Columns of the free objects of a slab and of the lists that it is on. */
const FREE_OBJECTS = [
  'cache.cpu',
  'cache.node.PARTIAL',
  'cache.node.NR_PARTIAL',
  'cache.node.FULL',
  'slab.NEXT',
  'slab.PREV',
  'slab.FREE',
  'slab.INUSE',
  'slab.FLAGS',
  'ram.slab',
]

/** The differences, by name. */
export const DIFFERENCES = {
  pages: {
    why: 'Pages that came before the failure went back: they are free, but on page lists or in other places of the free lists, and were counted as allocated and freed. A list that was empty has been filled.',
    columns: FREE_PAGES,
  },
  objects: {
    why: 'Objects that came before the failure went back: they are free, and linked in another order. A slab may have changed its list.',
    columns: FREE_OBJECTS,
  },
  slabs: {
    why: 'A slab that was made for an object that went back is kept for the next one.',
    columns: [
      ...FREE_PAGES,
      ...FREE_OBJECTS,
      'slab.CACHE',
      'slab.PFN',
      'slab.OBJECTS',
      'slab.RAM',
      'cache.node.NR_SLABS',
      'cache.node.TOTAL_OBJECTS',
      'slabs.frames',
      'slabs.node',
      'slabs.WORDS_USED',
      'slabs.FREE_RECORDS',
      'slabs.record',
    ],
  },
  spare: {
    why: 'A CPU has taken an object to split an area with: it keeps it for the next time.',
    columns: ['space.cpu.SPARE', 'slab.LIVE', ...FREE_OBJECTS],
  },
  tables: {
    why: 'Page tables of a kernel stay once they are made, also without an entry.',
    columns: ['ram.table', ...FREE_PAGES],
  },
  areas: {
    why: 'The addresses of an area that was given up wait for the next purge, and with them its object.',
    columns: [
      'space.LAZY_BYTES',
      'space.FREE_BYTES',
      'space.COUNTS',
      'space.ROOTS',
      'space.RECORDS',
      'space.record',
      'slab.LIVE',
      ...FREE_OBJECTS,
    ],
  },
  records: {
    why: 'A record of the mapper that was given back is kept, in front of others.',
    columns: ['space.WORDS_USED', 'space.FREE_RECORDS', 'space.record'],
  },
  block: {
    why: 'The block of addresses that was made for a mapping is kept for the next one.',
    columns: ['space.cpu.BLOCKS', 'space.cpu.LAST_BLOCK', 'space.RECORDS', 'slab.LIVE'],
  },
  warned: {
    why: 'There was no memory to split a free area: that is warned of once.',
    columns: ['space.WARNED'],
  },
  numbers: {
    why: 'The number of a cache is not given to another one, and its records are kept.',
    columns: ['slabs.NEXT_ID', 'slabs.FREE_RECORDS', 'slabs.WORDS_USED'],
  },
  stalls: {
    why: 'A request before that one found no block large enough, and was counted as a stall.',
    columns: ['cpu.EVENTS'],
  },
  elements: {
    why: 'A pool that grows is filled as far as there is memory: its reserve is larger when an error comes out.',
    columns: ['slab.LIVE'],
  },
  left: {
    why: 'A cache of fragments leaves a block that it has used up before it asks for another.',
    columns: ['page.REFS'],
  },
} as const satisfies Readonly<Record<string, Allowed>>

/** A name of a difference. */
export type Difference = keyof typeof DIFFERENCES

/** What any failure may leave when memory is used up in truth, besides what its row allows. */
export const OF_PRESSURE: Allowed = {
  why: 'A request that went through the slow path is remembered, and what it got before the last page was gone has come and gone.',
  columns: ['cpu.PLANS', ...DIFFERENCES.slabs.columns],
}
