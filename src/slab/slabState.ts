/**
 * The slab layer's state buffer: its size, and the records that are cut from it.
 *
 * Records are 16 words or a power of two times that. They are cut from the end of the used words, and
 * kept by size when they are given back.
 */

import type { PageSource } from '../page/pageSource'
import { listInit } from '../state/lists'
import {
  NODE_SLAB_WORDS,
  NR_RECORD_SIZES,
  SLAB_CACHES,
  SLAB_FRAMES,
  SLAB_FREE_RECORDS,
  SLAB_MAGIC,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_NEXT_ID,
  SLAB_NODE_MASK,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_VERSION,
  SLAB_WORDS_USED,
} from '../state/slabSchema'

/** What SLAB_MAGIC holds: `slub` in ASCII, little endian. */
export const MAGIC = 0x62756c73
/** What SLAB_VERSION holds. Changes whenever the schema does. */
export const VERSION = 2
/** log2 of the words of the smallest record. */
const SMALLEST_SHIFT = 4
/** Words of memory in a page. */
const PAGE_WORDS = 1024
/** Words that a slab of one page needs at most: 512 objects of 8 bytes. */
const WORDS_PER_PAGE = 32
/** Words for the records of caches: a few thousand of them. They cost nothing until they are used. */
const CACHE_SPACE = 1048576

/**
 * A new, empty state for the pages of a source. It is as large as it can ever have to be; the machine
 * beneath spends memory only on what is written.
 */
export function newSlabState(source: PageSource, shared: boolean): Int32Array {
  const pages = source.ram.growable === true ? source.maxPfn : source.ram.words.length / PAGE_WORDS
  const fixed = tablesEnd(source.maxPfn, source.nrNodes)
  const bytes = (fixed + 64 + pages * WORDS_PER_PAGE + CACHE_SPACE) * 4
  const words = new Int32Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  words[SLAB_MAGIC] = MAGIC
  words[SLAB_VERSION] = VERSION
  words[SLAB_WORDS_USED] = firstRecord(source.maxPfn, source.nrNodes)
  words[SLAB_MAX_PFN] = source.maxPfn
  words[SLAB_NR_CPUS] = source.nrCpus
  words[SLAB_NR_NODES] = source.nrNodes
  words[SLAB_NEXT_ID] = 1
  listInit(words, SLAB_CACHES)
  return words
}

/** Offset of the first record: behind the words of the frames and the counters of the nodes. */
export function firstRecord(maxPfn: number, nrNodes: number): number {
  return (tablesEnd(maxPfn, nrNodes) + 15) & -16
}

function tablesEnd(maxPfn: number, nrNodes: number): number {
  return SLAB_FRAMES + maxPfn + nrNodes * NODE_SLAB_WORDS
}

/** Offset of the counters of a node. */
export function nodeCounters(words: Int32Array, node: number): number {
  return SLAB_FRAMES + words[SLAB_MAX_PFN]! + node * NODE_SLAB_WORDS
}

/** Whether caches use the memory of a node. */
export function inNodeMask(words: Int32Array, node: number): boolean {
  return (words[SLAB_NODE_MASK + (node >> 5)]! & (1 << (node & 31))) !== 0
}

/** Lets caches use the memory of a node. */
export function setNode(words: Int32Array, node: number): void {
  words[SLAB_NODE_MASK + (node >> 5)]! |= 1 << (node & 31)
}

/** log2 of the words of the smallest record that holds `count` words. */
export function recordShift(count: number): number {
  return Math.max(SMALLEST_SHIFT, 32 - Math.clz32(count - 1))
}

/** Cuts an all-zero record of 2^shift words; 0 when the state is full. */
export function takeRecord(words: Int32Array, shift: number): number {
  const list = SLAB_FREE_RECORDS + shift - SMALLEST_SHIFT
  const free = words[list]!
  if (free !== 0) {
    words[list] = words[free + SLAB_NEXT]!
    words[free + SLAB_NEXT] = 0
    return free
  }
  const start = words[SLAB_WORDS_USED]!
  const end = start + (1 << shift)
  if (end > words.length) return 0
  words[SLAB_WORDS_USED] = end
  return start
}

/** Gives a record of 2^shift words back. */
export function giveRecord(words: Int32Array, shift: number, record: number): void {
  const list = SLAB_FREE_RECORDS + shift - SMALLEST_SHIFT
  words.fill(0, record, record + (1 << shift))
  words[record + SLAB_NEXT] = words[list]!
  words[list] = record
}

/** Sizes of records that there can be: for checks. */
export const RECORD_SHIFTS = { first: SMALLEST_SHIFT, count: NR_RECORD_SIZES } as const
