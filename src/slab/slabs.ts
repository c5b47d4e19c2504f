/**
 * Slabs: blocks of pages, cut into slots. Getting one from the pages and giving it back; its free list.
 *
 * SLAB-1: a slab's free list and the objects in use are all of its objects, each once (a CPU's own free
 *         list included).
 * SLAB-2: a frame's word names the slab that holds it; a slab's frames all name it.
 *
 * Source: spec/slab.md §3, §6.
 */

import { KernelBug } from '../base/errors'
import { PAGE_ALLOC_COSTLY_ORDER, PAGE_SIZE, type VirtAddr } from '../base/units'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
  __GFP_ZERO,
  GFP_CONSTRAINT_MASK,
  GFP_RECLAIM_MASK,
  GFP_SLAB_BUG_MASK,
} from '../page/gfp'
import {
  CACHE_ALLOC_FLAGS,
  CACHE_FLAGS,
  CACHE_GRANULE,
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_MIN_OBJECTS,
  CACHE_MIN_ORDER,
  CACHE_NODES,
  CACHE_OBJECTS,
  CACHE_OFFSET,
  CACHE_ORDER,
  CACHE_PAD,
  CACHE_RCU_SLABS,
  CACHE_RECORD_SHIFT,
  CACHE_SIZE,
  CACHE_STATE,
  NODE_SLAB_RECLAIMABLE,
  NODE_SLAB_UNRECLAIMABLE,
  SLAB_CACHE,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_GRANULE_SHIFT,
  SLAB_NEXT,
  SLAB_NODE_BITS,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_SHIFT,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NODE_WORDS,
  SLAB_OBJECTS,
  SLAB_OF_DEBUG,
  SLAB_ORDER_MASK,
  SLAB_ORDER_SHIFT,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_RCU_HEAD,
  SLAB_RCU_TAIL,
  SLAB_TAINT,
  SLAB_WARNED,
} from '../state/slabSchema'
import type { SlabContext } from './context'
import { SLAB_DEBUG_FLAGS, SLAB_RECLAIM_ACCOUNT, SLAB_TYPESAFE_BY_RCU } from './flags'
import { writeFreePointer } from './freePointer'
import { giveRecord, nodeCounters, takeRecord } from './slabState'

const TWO_32 = 4294967296

/** Node of a slab's memory. */
export function slabNode(words: Int32Array, slab: number): number {
  return (words[slab + SLAB_FLAGS]! >>> SLAB_NODE_SHIFT) & SLAB_NODE_BITS
}

/** Order of a slab's block. */
export function slabOrderOf(words: Int32Array, slab: number): number {
  return (words[slab + SLAB_FLAGS]! >>> SLAB_ORDER_SHIFT) & SLAB_ORDER_MASK
}

/** A cache's record of a node. */
export function cacheNode(words: Int32Array, cache: number, node: number): number {
  return words[cache + CACHE_NODES]! + node * SLAB_NODE_WORDS
}

/** Kernel address of the object at a distance from the start of a slab. */
export function objectAddress(c: SlabContext, slab: number, offset: number): number {
  return c.words[slab + SLAB_PFN]! * PAGE_SIZE + offset + c.directMap
}

/** Whether checks are in force for a cache. */
export function isDebugCache(words: Int32Array, cache: number): boolean {
  return (words[cache + CACHE_FLAGS]! & SLAB_DEBUG_FLAGS) !== 0
}

/**
 * Gets a slab for a cache: its block, cut into objects that are all free, in ascending order. Returns its
 * record, or 0 when there is no memory. It counts for its node when it is put to use.
 */
export function newSlab(c: SlabContext, cache: number, gfp: number, node: number): number {
  const words = c.words
  let mask = gfp
  if ((mask & GFP_SLAB_BUG_MASK) !== 0) mask = dropBadBits(c, mask)
  if ((mask & __GFP_ZERO) !== 0 && (words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0) {
    warn(c, 'new_slab', [], WARNED_CTOR_ZERO)
  }
  mask = (mask & (GFP_RECLAIM_MASK | GFP_CONSTRAINT_MASK)) | words[cache + CACHE_ALLOC_FLAGS]!
  let order = words[cache + CACHE_ORDER]!
  let objects = words[cache + CACHE_OBJECTS]!
  const minOrder = words[cache + CACHE_MIN_ORDER]!
  let pfn = takePages(c, firstTry(mask, order > minOrder), order, node)
  if (pfn < 0) {
    order = minOrder
    objects = words[cache + CACHE_MIN_OBJECTS]!
    pfn = takePages(c, mask, order, node)
  }
  if (pfn < 0) return 0
  const record = takeRecord(words, words[cache + CACHE_RECORD_SHIFT]!)
  if (record === 0) {
    c.source.freeBlock(pfn, order)
    return 0
  }
  fillRecord(c, cache, record, pfn, order, objects)
  countPages(c, cache, record, 1 << order)
  try {
    setUpObjects(c, cache, record, objects)
  } catch (error) {
    // Not all of them are set up, so there is nothing that checks could look at.
    words[record + SLAB_OBJECTS] = 0
    releaseSlab(c, cache, record)
    throw error
  }
  return record
}

/** The mask of the attempt at the larger order: it gives up early and is silent. */
function firstTry(gfp: number, larger: boolean): number {
  const mask = (gfp | __GFP_NOWARN | __GFP_NORETRY) & ~__GFP_NOFAIL
  if (!larger || (mask & __GFP_DIRECT_RECLAIM) === 0) return mask
  return (mask | __GFP_NOMEMALLOC) & ~__GFP_RECLAIM
}

/**
 * A block for objects, or -1. Where address 0 means "none", nothing that is handed out may lie at it: a block at frame 0
 * is set aside for good, and one that is larger than a slab given back (DIFF-25).
 */
export function takePages(c: SlabContext, gfp: number, order: number, node: number): number {
  const pfn = c.source.allocBlock(gfp, order, node)
  if (pfn !== 0 || c.directMap !== 0) return pfn
  const other = c.source.allocBlock(gfp, order, node)
  if (order > PAGE_ALLOC_COSTLY_ORDER) c.source.freeBlock(pfn, order)
  return other
}

/** Takes the bits out of a mask that no slab may be asked for with, and tells of it. */
export function dropBadBits(c: SlabContext, gfp: number): number {
  c.log.badGfp(c, (gfp & GFP_SLAB_BUG_MASK) >>> 0, gfp & ~GFP_SLAB_BUG_MASK)
  return gfp & ~GFP_SLAB_BUG_MASK
}

/** Writes the record of a slab: all of its objects free, but on no list yet. */
export function fillRecord(
  c: SlabContext,
  cache: number,
  slab: number,
  pfn: number,
  order: number,
  objects: number,
): void {
  const words = c.words
  const address = pfn * PAGE_SIZE + c.directMap
  const size = words[cache + CACHE_SIZE]!
  const flags =
    (c.source.isReserve(pfn) ? SLAB_PFMEMALLOC : 0) |
    (isDebugCache(words, cache) ? SLAB_OF_DEBUG : 0) |
    (order << SLAB_ORDER_SHIFT) |
    (c.source.nodeOf(pfn) << SLAB_NODE_SHIFT) |
    (words[cache + CACHE_GRANULE]! << SLAB_GRANULE_SHIFT)
  // The columns from SLAB_CACHE on, in the order of the schema.
  const columns = [
    cache,
    pfn,
    0,
    0,
    objects,
    flags,
    c.ram.wordIndex(pfn * PAGE_SIZE) + (words[cache + CACHE_OFFSET]! >> 2),
    (address % TWO_32) | 0,
    Math.floor(address / TWO_32) | c.layout.signHigh,
    (objects - 1) * size + words[cache + CACHE_PAD]!,
  ]
  words.set(columns, slab + SLAB_CACHE)
  words.fill(slab, SLAB_FRAMES + pfn, SLAB_FRAMES + pfn + (1 << order))
}

/** Sets up the objects of a new slab and links them, in ascending order or as the hardening wants it. */
function setUpObjects(c: SlabContext, cache: number, slab: number, objects: number): void {
  const words = c.words
  const debug = isDebugCache(words, cache) ? c.debug : null
  const ctor = c.ctors.get(words[cache + CACHE_ID]!)
  const order = c.hardening?.order(c, cache, objects) ?? null
  const size = words[cache + CACHE_SIZE]!
  const pad = words[cache + CACHE_PAD]!
  debug?.setUpSlab(c, slab)
  c.ramWords = c.ram.words
  let before = -1
  for (let i = 0; i < objects; i++) {
    const offset = (order === null ? i : order[i]!) * size + pad
    debug?.setUpObject(c, slab, offset)
    ctor?.(objectAddress(c, slab, offset) as VirtAddr)
    if (before < 0) words[slab + SLAB_FREE] = offset + 1
    else writeFreePointer(c, cache, slab, before, offset + 1)
    before = offset
  }
  writeFreePointer(c, cache, slab, before, 0)
}

/** Adds the pages of a slab to the counters of its node, or takes them away. */
export function countPages(c: SlabContext, cache: number, slab: number, pages: number): void {
  const words = c.words
  const reclaimable = (words[cache + CACHE_FLAGS]! & SLAB_RECLAIM_ACCOUNT) !== 0
  const counter = reclaimable ? NODE_SLAB_RECLAIMABLE : NODE_SLAB_UNRECLAIMABLE
  words[nodeCounters(words, slabNode(words, slab)) + counter]! += pages
}

/** Counts a slab for its node (1), or no longer (-1). */
export function countSlab(words: Int32Array, cache: number, slab: number, step: 1 | -1): void {
  const node = cacheNode(words, cache, slabNode(words, slab))
  words[node + SLAB_NODE_NR_SLABS]! += step
  words[node + SLAB_NODE_TOTAL_OBJECTS]! += step * words[slab + SLAB_OBJECTS]!
}

/** Gives a slab back that is on no list: at once, or when a grace period has passed. */
export function discardSlab(c: SlabContext, cache: number, slab: number): void {
  countSlab(c.words, cache, slab, -1)
  freeSlab(c, cache, slab)
}

/** The same for a slab that is not counted any more. */
export function freeSlab(c: SlabContext, cache: number, slab: number): void {
  const words = c.words
  if ((words[cache + CACHE_FLAGS]! & SLAB_TYPESAFE_BY_RCU) === 0) {
    releaseSlab(c, cache, slab)
    return
  }
  words[cache + CACHE_RCU_SLABS]! += 1
  words[slab + SLAB_NEXT] = 0
  const last = words[SLAB_RCU_TAIL]!
  words[last === 0 ? SLAB_RCU_HEAD : last + SLAB_NEXT] = slab
  words[SLAB_RCU_TAIL] = slab
}

/** Gives a slab's pages back. */
export function releaseSlab(c: SlabContext, cache: number, slab: number): void {
  const words = c.words
  if (isDebugCache(words, cache)) c.debug?.discard(c, slab)
  const pfn = words[slab + SLAB_PFN]!
  const order = slabOrderOf(words, slab)
  countPages(c, cache, slab, -(1 << order))
  words.fill(0, SLAB_FRAMES + pfn, SLAB_FRAMES + pfn + (1 << order))
  giveRecord(words, words[cache + CACHE_RECORD_SHIFT]!, slab)
  c.source.freeBlock(pfn, order)
}

/** A one-time warning: a constructor and `__GFP_ZERO`. */
const WARNED_CTOR_ZERO = 1
/** A one-time warning: an object that is on no slab. */
export const WARNED_NO_SLAB = 2
/** Taint of a kernel that has warned. */
export const TAINT_WARN = 1 << 9

/** Raises a warning; with a bit only the first time. */
export function warn(c: SlabContext, place: string, lines: readonly string[], once = 0): void {
  const words = c.words
  if ((words[SLAB_WARNED]! & once) !== 0) return
  words[SLAB_WARNED]! |= once
  c.log.warn(c, place, lines)
  words[SLAB_TAINT]! |= TAINT_WARN
}

/** The error for something that is refused; the log writes what a kernel would have said. */
export function refuse(c: SlabContext, code: string, message: string): KernelBug {
  return new KernelBug(code, message, c.log.refused(c, message))
}

/** The error for a cache that has ended. */
export function goneCache(c: SlabContext): KernelBug {
  return refuse(c, 'CACHE_DESTROYED', 'the cache is destroyed')
}
