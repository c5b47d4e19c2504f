/**
 * Making caches and ending them.
 *
 * A cache has two kinds of descriptors, which are objects of caches themselves: one of `kmem_cache`, and on
 * each node one of `kmem_cache_node`. They take memory as a kernel's do, so that the pages that are left are
 * the same; what the library knows of a cache is in the state. What else a kernel allocates for a cache, its
 * name above all, takes no memory here (DIFF-31).
 *
 * CACHE-1: all caches are on the list of caches, newest first, with the geometry that follows from their
 *          flags, sizes and alignment.
 *
 * Source: spec/slab.md §4, §11, §23.1.
 */

import { KernelBug } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE } from '../base/units'
import { __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import { listAddHead, listInit, listRemove } from '../state/lists'
import {
  CACHE_CPU_PARTIAL,
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_CPUS,
  CACHE_DESCRIPTOR,
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_GRANULE,
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_MIN_ORDER,
  CACHE_NODES,
  CACHE_OBJECTS,
  CACHE_ORDER,
  CACHE_RCU_SLABS,
  CACHE_REFCOUNT,
  CACHE_SECRET,
  CACHE_STARTS,
  CACHE_STATE,
  CACHE_WAITS,
  CACHE_WORDS,
  SLAB_CACHE_CACHE,
  SLAB_CACHES,
  SLAB_CPU_WORDS,
  SLAB_INUSE,
  SLAB_LIVE,
  SLAB_NEXT_ID,
  SLAB_NODE_CACHE,
  SLAB_NODE_FULL,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_OBJECT,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_USED,
  SLAB_NODE_WORDS,
  SLAB_NR_CACHES,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_TAINT,
} from '../state/slabSchema'
import { formatName, storeName } from './cacheName'
import type { CacheRequest } from './cacheRequest'
import type { SlabContext } from './context'
import {
  __CMPXCHG_DOUBLE,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_DEBUG_FLAGS,
  SLAB_KMALLOC,
  SLAB_STORE_USER,
  SLAB_TRACE,
} from './flags'
import { findMergeable } from './merge'
import { cpuPartial, layOut, minPartial, type ObjectLayout } from './objectLayout'
import { allocObject, freeObject, slabAt } from './objects'
import { flushCache, removePartial } from './partial'
import { giveRecord, inNodeMask, recordShift, takeRecord } from './slabState'
import { cacheNode, countSlab, freeSlab, goneCache, refuse, TAINT_WARN } from './slabs'

const TWO_32 = 4294967296
/** In how many of 1024 cases other nodes are searched. */
const DEFRAG_RATIO = 1000
/** Caches with one of these take a lock for each step. */
const CHECKED = SLAB_CONSISTENCY_CHECKS | SLAB_STORE_USER | SLAB_TRACE

/**
 * Finds a cache that takes the request in, or makes one. Returns its record; 0 when there is no memory for it, -1
 * when its objects fit into no block.
 */
export function createCache(c: SlabContext, request: CacheRequest): number {
  if (c.merging && request.ctor === null && request.usersize === 0) {
    const found = findMergeable(c, request)
    if (found !== 0) return found
  }
  const layout = layoutOf(c, request)
  if (layout === null) return -1
  const cache = makeRecord(c, request, layout)
  if (cache === 0) return 0
  const words = c.words
  let made = false
  try {
    const owner = words[SLAB_CACHE_CACHE]!
    const descriptor = allocObject(c, owner, GFP_KERNEL | __GFP_ZERO, NUMA_NO_NODE, 0)
    storeAddress(words, cache + CACHE_DESCRIPTOR, descriptor)
    made = descriptor !== 0 && takeNodeObjects(c, cache)
  } finally {
    // After an error too, which a hook may throw.
    if (!made) buryCache(c, cache)
  }
  if (!made) return 0
  enterCache(words, cache, 1)
  return cache
}

/** The layout that a request gets on this machine. */
export function layoutOf(c: SlabContext, request: CacheRequest): ObjectLayout | null {
  const { flags, size, align, ctor } = request
  const policy = {
    minOrder: c.minOrder,
    maxOrder: c.maxOrder,
    minObjects: c.minObjects,
    cpus: c.source.nrCpus,
  }
  return layOut(flags, size, align, ctor !== null, c.debug?.noHigherOrder === true, policy)
}

/** Enters a cache into the list of caches, as the newest. */
export function enterCache(words: Int32Array, cache: number, refcount: number): void {
  words[cache + CACHE_REFCOUNT] = refcount
  words[SLAB_NR_CACHES]! += 1
  listAddHead(words, SLAB_CACHES, cache)
}

/** Writes the record of a cache that is on no list and has no descriptors yet; 0 when the state is full. */
export function makeRecord(c: SlabContext, request: CacheRequest, layout: ObjectLayout): number {
  const words = c.words
  // A function of the program's: it may throw, while there is no record yet.
  const secret = c.hardening?.secret(c) ?? [0, 0]
  const bytes = PAGE_SIZE * 2 ** Math.max(layout.order, layout.minOrder)
  const granule = 31 - Math.clz32(lowestBit(layout.size | layout.pad))
  const liveWords = Math.ceil(bytes / 2 ** granule / 32)
  const starts = takeRecord(words, recordShift(liveWords))
  if (starts === 0) return 0
  const cache = takeRecord(words, cacheShift(words))
  if (cache === 0) {
    giveRecord(words, recordShift(liveWords), starts)
    return 0
  }
  const { flags, size } = layout
  // The columns from CACHE_ID on, in the order of the schema.
  const columns = [
    -words[SLAB_NEXT_ID]!,
    (flags & CHECKED) === 0 ? flags | __CMPXCHG_DOUBLE : flags,
    size,
    request.size,
    layout.inuse,
    layout.offset,
    request.align,
    layout.pad,
    layout.redLeftPad,
    layout.order,
    layout.objects,
    layout.minOrder,
    layout.minObjects,
    layout.allocFlags,
    minPartial(size),
    0,
    0,
    0,
    request.useroffset,
    request.usersize,
    DEFRAG_RATIO,
    granule,
    starts,
    recordShift(SLAB_LIVE + liveWords),
  ]
  words.set(columns, cache + CACHE_ID)
  words[SLAB_NEXT_ID]! += 1
  words[cache + CACHE_CPUS] = cache + CACHE_WORDS
  words[cache + CACHE_NODES] = cache + CACHE_WORDS + words[SLAB_NR_CPUS]! * SLAB_CPU_WORDS
  setCpuPartial(words, cache, cpuPartial(size, (flags & SLAB_DEBUG_FLAGS) !== 0))
  words.set(secret, cache + CACHE_SECRET)
  if (request.ctor !== null) {
    words[cache + CACHE_STATE] = CACHE_HAS_CTOR
    c.ctors.set(columns[0]!, request.ctor)
  }
  markStarts(words, starts, granule, size, layout)
  storeName(words, cache, request.name)
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    listInit(words, cacheNode(words, cache, id) + SLAB_NODE_PARTIAL)
    listInit(words, cacheNode(words, cache, id) + SLAB_NODE_FULL)
  }
  return cache
}

/** Sets how many objects a CPU may hold in partial slabs. */
export function setCpuPartial(words: Int32Array, cache: number, objects: number): void {
  words[cache + CACHE_CPU_PARTIAL] = objects
  words[cache + CACHE_CPU_PARTIAL_SLABS] = Math.ceil((2 * objects) / words[cache + CACHE_OBJECTS]!)
}

function lowestBit(value: number): number {
  return value & -value
}

function markStarts(
  words: Int32Array,
  starts: number,
  granule: number,
  size: number,
  layout: ObjectLayout,
): void {
  const objects = Math.max(layout.objects, layout.minObjects)
  for (let i = 0; i < objects; i++) {
    const bit = (i * size + layout.pad) / 2 ** granule
    words[starts + (bit >> 5)]! |= 1 << (bit & 31)
  }
}

/** log2 of the words of a cache's record, with those of its CPUs and nodes. */
export function cacheShift(words: Int32Array): number {
  const cpus = words[SLAB_NR_CPUS]! * SLAB_CPU_WORDS
  return recordShift(CACHE_WORDS + cpus + words[SLAB_NR_NODES]! * SLAB_NODE_WORDS)
}

function dropRecord(c: SlabContext, cache: number): void {
  const words = c.words
  giveRecord(words, startsShift(words, cache), words[cache + CACHE_STARTS]!)
  c.ctors.delete(words[cache + CACHE_ID]!)
  giveRecord(words, cacheShift(words), cache)
}

/** log2 of the words that hold the places of a cache's objects. */
export function startsShift(words: Int32Array, cache: number): number {
  const order = Math.max(words[cache + CACHE_ORDER]!, words[cache + CACHE_MIN_ORDER]!)
  return recordShift(Math.ceil((PAGE_SIZE * 2 ** order) / 2 ** words[cache + CACHE_GRANULE]! / 32))
}

// ---- Node states ----

/** Takes the descriptor of a cache on each node; false when there is no memory for one of them. */
export function takeNodeObjects(c: SlabContext, cache: number): boolean {
  const words = c.words
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    if (!inNodeMask(words, id)) continue
    const object = allocObject(c, words[SLAB_NODE_CACHE]!, GFP_KERNEL, id, 0)
    if (object === 0) return false
    useNode(words, cache, id, object)
  }
  return true
}

/** Lets a cache use a node, with its descriptor there. */
export function useNode(words: Int32Array, cache: number, id: number, object: number): void {
  const node = cacheNode(words, cache, id)
  words[node + SLAB_NODE_USED] = 1
  storeAddress(words, node + SLAB_NODE_OBJECT, object)
}

function giveNodeObjects(c: SlabContext, cache: number): void {
  const words = c.words
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, cache, id)
    if (words[node + SLAB_NODE_USED] === 0) continue
    words[node + SLAB_NODE_USED] = 0
    const object = loadAddress(words, node + SLAB_NODE_OBJECT)
    freeObject(c, slabAt(c, object), object)
  }
}

/** Writes an address into two words. */
export function storeAddress(words: Int32Array, at: number, address: number): void {
  words[at] = (address % TWO_32) | 0
  words[at + 1] = Math.floor(address / TWO_32)
}

/** The address in two words. */
export function loadAddress(words: Int32Array, at: number): number {
  return words[at + 1]! * TWO_32 + (words[at]! >>> 0)
}

// ---- Ending ----

/**
 * Drops one name of a cache; the last one ends the cache, which frees its slabs and descriptors.
 * @throws KernelBug when objects are left; then the cache stays, and nothing is allocated from it any more.
 */
export function destroyCache(c: SlabContext, cache: number): void {
  const words = c.words
  if ((words[cache + CACHE_STATE]! & CACHE_GONE) !== 0) {
    throw goneCache(c)
  }
  if (words[cache + CACHE_REFCOUNT]! < 0 || (words[cache + CACHE_FLAGS]! & SLAB_KMALLOC) !== 0) {
    throw refuse(c, 'CACHE_NEEDED', `cache ${formatName(words, cache)} cannot end`)
  }
  words[cache + CACHE_REFCOUNT]! -= 1
  if (words[cache + CACHE_REFCOUNT] !== 0) return
  words[cache + CACHE_STATE]! |= CACHE_GONE
  flushCache(c, cache)
  if (!freeEmptySlabs(c, cache)) {
    const name = formatName(words, cache)
    const report = c.log.busyCache(c, cache)
    words[SLAB_TAINT]! |= TAINT_WARN
    const text = `cache ${name} still has objects`
    const error =
      c.debug === null
        ? new KernelBug('CACHE_BUSY', text, report)
        : c.debug.stop(c, 'CACHE_BUSY', text, report)
    if (error !== null) throw error
    return
  }
  endCache(c, cache)
}

/** Takes a cache without slabs off the list, and gives its last back when no grace period is due. */
export function endCache(c: SlabContext, cache: number): void {
  const words = c.words
  listRemove(words, cache)
  words[SLAB_NR_CACHES]! -= 1
  words[cache + CACHE_STATE]! |= CACHE_WAITS
  if (words[cache + CACHE_RCU_SLABS] === 0) buryCache(c, cache)
}

/** Gives the last of a cache back: its descriptors and its record. */
export function buryCache(c: SlabContext, cache: number): void {
  giveNodeObjects(c, cache)
  const descriptor = loadAddress(c.words, cache + CACHE_DESCRIPTOR)
  dropRecord(c, cache)
  if (descriptor !== 0) freeObject(c, slabAt(c, descriptor), descriptor)
}

/** Frees the empty slabs of all nodes; false when others are left. */
function freeEmptySlabs(c: SlabContext, cache: number): boolean {
  const words = c.words
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, cache, id)
    const empty: number[] = []
    const head = node + SLAB_NODE_PARTIAL
    for (let slab = words[head]!; slab !== head; ) {
      const next = words[slab]!
      if (words[slab + SLAB_INUSE] === 0) {
        removePartial(words, cache, slab)
        countSlab(words, cache, slab, -1)
        empty.push(slab)
      }
      slab = next
    }
    for (const slab of empty.reverse()) freeSlab(c, cache, slab)
    if (words[node + SLAB_NODE_NR_PARTIAL] !== 0 || words[node + SLAB_NODE_NR_SLABS] !== 0) {
      return false
    }
  }
  return true
}
