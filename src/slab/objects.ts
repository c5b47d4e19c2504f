/**
 * Allocating and freeing one object, the long way: {@link ./fastPath} does what is simple.
 *
 *     allocate:  CPU's free objects -> the slab's own -> CPU's partial list -> node's list -> new slab
 *     free:      to the CPU's free objects, if it is the CPU's slab; else to the slab's own
 *
 * What is wrong is refused in all caches, not in those with checks only (DIFF-30).
 *
 * Source: spec/slab.md §7, §8.
 */

import { InvalidArgument, type KernelBug } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import { __GFP_ZERO } from '../page/gfp'
import {
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_HAS_CTOR,
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_OFFSET,
  CACHE_PAD,
  CACHE_SIZE,
  CACHE_STATE,
  SLAB_CACHE,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_OBJECTS,
  SLAB_PFN,
} from '../state/slabSchema'
import { formatName } from './cacheName'
import type { SlabContext } from './context'
import { SLAB_POISON, SLAB_TYPESAFE_BY_RCU } from './flags'
import { isLive, isPlace, OUTSIDE, readFreePointer, setLive, writeFreePointer } from './freePointer'
import {
  cpuOf,
  deactivate,
  hasEnoughPartial,
  isolate,
  mayUseSlab,
  putCpuPartial,
  removePartial,
  takePartial,
} from './partial'
import { inNodeMask } from './slabState'
import {
  countSlab,
  discardSlab,
  goneCache,
  isDebugCache,
  newSlab,
  objectAddress,
  refuse,
  slabNode,
} from './slabs'

// ---- Allocating ----

/**
 * Allocates an object: its kernel address, or 0 when there is no memory or the allocation was made to
 * fail. The mask is the caller's to check. `size` is what kmalloc was asked for, 0 elsewhere.
 */
export function allocObject(
  c: SlabContext,
  cache: number,
  gfp: number,
  node: number,
  size: number,
): number {
  if (c.faults?.failSlab(c, cache, gfp) === true) return 0
  const address = takeOne(c, cache, gfp, node, size)
  if (address !== 0) initObject(c, cache, address, gfp)
  return address
}

/** Takes one object, without setting its bytes. */
export function takeOne(
  c: SlabContext,
  cache: number,
  gfp: number,
  node: number,
  size: number,
): number {
  const words = c.words
  if ((words[cache + CACHE_STATE]! & CACHE_GONE) !== 0) throw goneCache(c)
  if (c.debug !== null && isDebugCache(words, cache)) {
    return c.debug.alloc(c, cache, gfp, node, size)
  }
  const found = findSlab(c, cache, gfp, node < 0 || inNodeMask(words, node) ? node : -1)
  if (found === 0) {
    c.log.outOfMemory(c, cache, gfp, node)
    return 0
  }
  const slab = Math.abs(found)
  const cpu = cpuOf(c, cache)
  const offset = takeFirst(c, cache, cpu, slab)
  if (found < 0) deactivate(c, cache, cpu)
  return objectAddress(c, slab, offset)
}

/**
 * The CPU's slab, with a free object that the CPU holds, wherever it has to come from; 0 for none. Negative for a new
 * slab of the emergency reserve where the request may not use that: it gives one object, and is left again.
 */
function findSlab(c: SlabContext, cache: number, gfp: number, node: number): number {
  const words = c.words
  const cpu = cpuOf(c, cache)
  for (;;) {
    const slab = words[cpu + SLAB_CPU_SLAB]!
    if (slab !== 0) {
      const wrongNode = node >= 0 && slabNode(words, slab) !== node
      // What the CPU holds goes to whoever asks, reserve or not: a kernel's fast path does not look.
      const held = words[cpu + SLAB_CPU_FREE] !== 0
      if (wrongNode || !(held || mayUseSlab(c, slab, gfp))) deactivate(c, cache, cpu)
      else if (held || takeOwnList(words, cpu, slab)) return slab
    }
    const partial = words[cpu + SLAB_CPU_PARTIAL]!
    if (partial === 0) break
    words[cpu + SLAB_CPU_PARTIAL] = words[partial + SLAB_NEXT]!
    words[cpu + SLAB_CPU_NR_PARTIAL]! -= 1
    words[cpu + SLAB_CPU_SLAB] = partial
    words[cpu + SLAB_CPU_FREE] = 0
  }
  const taken = takePartial(c, cache, gfp, node)
  if (taken !== 0) {
    words[cpu + SLAB_CPU_SLAB] = taken
    takeOwnList(words, cpu, taken)
    return taken
  }
  const fresh = newSlab(c, cache, gfp, node)
  if (fresh === 0) return 0
  words[fresh + SLAB_FLAGS]! |= SLAB_FROZEN
  countSlab(words, cache, fresh, 1)
  // A constructor, or reclaim on the way to the pages, may have allocated here meanwhile.
  if (words[cpu + SLAB_CPU_SLAB] !== 0) deactivate(c, cache, cpu)
  words[cpu + SLAB_CPU_SLAB] = fresh
  takeOwnList(words, cpu, fresh)
  return mayUseSlab(c, fresh, gfp) ? fresh : -fresh
}

/**
 * Moves a slab's own free objects to the CPU, to which they count as in use from then on. With none the CPU leaves
 * the slab: it is full, and on no list. Returns whether there were any.
 */
function takeOwnList(words: Int32Array, cpu: number, slab: number): boolean {
  const own = words[slab + SLAB_FREE]!
  if (own === 0) {
    words[slab + SLAB_FLAGS]! &= ~SLAB_FROZEN
    words[cpu + SLAB_CPU_SLAB] = 0
    return false
  }
  words[slab + SLAB_FREE] = 0
  words[slab + SLAB_INUSE] = words[slab + SLAB_OBJECTS]!
  words[cpu + SLAB_CPU_FREE] = own
  return true
}

/** Takes the CPU's first free object: its distance from the start of the slab. */
function takeFirst(c: SlabContext, cache: number, cpu: number, slab: number): number {
  const words = c.words
  const offset = words[cpu + SLAB_CPU_FREE]! - 1
  if (!isPlace(words, cache, slab, offset) || isLive(words, cache, slab, offset)) {
    throw isolate(c, cache, cpu, slab)
  }
  const next = readFreePointer(c, cache, slab, offset)
  if (next === OUTSIDE) throw isolate(c, cache, cpu, slab)
  words[cpu + SLAB_CPU_FREE] = next
  setLive(words, cache, slab, offset, true)
  return offset
}

/** Zeroes a new object where the mask or the machine wants that. */
export function initObject(c: SlabContext, cache: number, address: number, gfp: number): void {
  const words = c.words
  const at = address - c.directMap
  if (c.initOnFree && zeroedOnFree(c, cache)) {
    c.ram.fill(at + words[cache + CACHE_OFFSET]!, 8, 0)
  }
  if (zeroedOnAlloc(c, cache, gfp)) c.ram.fill(at, words[cache + CACHE_OBJECT_SIZE]!, 0)
}

function zeroedOnAlloc(c: SlabContext, cache: number, gfp: number): boolean {
  const asked = (gfp & __GFP_ZERO) !== 0
  if (!c.initOnAlloc) return asked
  if ((c.words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0) return false
  return asked || !keepsContent(c.words, cache)
}

/** Whether objects of a cache are zeroed when they are freed. */
export function zeroedOnFree(c: SlabContext, cache: number): boolean {
  const hasCtor = (c.words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0
  return c.initOnFree && !hasCtor && !keepsContent(c.words, cache)
}

function keepsContent(words: Int32Array, cache: number): boolean {
  return (words[cache + CACHE_FLAGS]! & (SLAB_TYPESAFE_BY_RCU | SLAB_POISON)) !== 0
}

// ---- Freeing ----

/** The slab that holds an address; 0 when none does. For any number. */
export function slabAt(c: SlabContext, address: number): number {
  return Math.max(0, frameWord(c, address))
}

/**
 * The word of the frame that an address lies in; 0 for addresses outside memory. For any number.
 * @throws InvalidArgument for anything else.
 */
export function frameWord(c: SlabContext, address: number): number {
  if (typeof address !== 'number') throw new InvalidArgument('address', address, 'a number')
  const pfn = Math.floor((address - c.directMap) / PAGE_SIZE)
  return pfn >= 0 && pfn < c.words[SLAB_MAX_PFN]! ? c.words[SLAB_FRAMES + pfn]! : 0
}

/** Distance of an address from the start of a slab. */
export function offsetIn(c: SlabContext, slab: number, address: number): number {
  return address - c.directMap - c.words[slab + SLAB_PFN]! * PAGE_SIZE
}

/**
 * Frees the object at an address inside `slab`.
 * @throws KernelBug, with nothing changed, when no object in use starts there.
 */
export function freeObject(c: SlabContext, slab: number, address: number): void {
  const cache = c.words[slab + SLAB_CACHE]!
  const offset = offsetIn(c, slab, address)
  if (c.debug !== null && isDebugCache(c.words, cache)) {
    c.debug.free(c, cache, slab, [offset])
    c.debug.settle(c)
    return
  }
  checkLive(c, slab, address)
  wipeFreed(c, cache, slab, offset)
  setLive(c.words, cache, slab, offset, false)
  freeChain(c, cache, slab, offset, offset, 1)
}

/** Zeroes an object that is about to be freed, where the machine wants that. */
export function wipeFreed(c: SlabContext, cache: number, slab: number, offset: number): void {
  if (!zeroedOnFree(c, cache)) return
  const words = c.words
  const at = words[slab + SLAB_PFN]! * PAGE_SIZE + offset
  const inuse = words[cache + CACHE_INUSE]!
  c.ram.fill(at, words[cache + CACHE_OBJECT_SIZE]!, 0)
  const end = words[cache + CACHE_SIZE]! - words[cache + CACHE_PAD]!
  c.ram.fill(at + inuse, end - inuse, 0)
}

/**
 * Gives a chain of free objects of one slab back: to the CPU if it is its slab, else to the slab itself.
 * The chain is linked but for its end; the objects are not in use any more.
 */
export function freeChain(
  c: SlabContext,
  cache: number,
  slab: number,
  head: number,
  tail: number,
  count: number,
): void {
  const words = c.words
  const cpu = cpuOf(c, cache)
  if (words[cpu + SLAB_CPU_SLAB] === slab) {
    writeFreePointer(c, cache, slab, tail, words[cpu + SLAB_CPU_FREE]!)
    words[cpu + SLAB_CPU_FREE] = head + 1
    return
  }
  const prior = words[slab + SLAB_FREE]!
  writeFreePointer(c, cache, slab, tail, prior)
  words[slab + SLAB_FREE] = head + 1
  const inuse = words[slab + SLAB_INUSE]! - count
  words[slab + SLAB_INUSE] = inuse
  if ((words[slab + SLAB_FLAGS]! & SLAB_FROZEN) !== 0) return
  if (prior === 0) {
    words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
    putCpuPartial(c, cache, slab)
  } else if (inuse === 0 && hasEnoughPartial(words, cache, slab)) {
    removePartial(words, cache, slab)
    discardSlab(c, cache, slab)
  }
}

/** Throws unless an object in use starts at `address`, which lies in `slab`. */
export function checkLive(c: SlabContext, slab: number, address: number): void {
  const words = c.words
  const cache = words[slab + SLAB_CACHE]!
  const offset = offsetIn(c, slab, address)
  if (isPlace(words, cache, slab, offset) && isLive(words, cache, slab, offset)) return
  throw badObject(c, cache, slab, offset, address)
}

function badObject(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  address: number,
): KernelBug {
  const name = formatName(c.words, cache)
  const text = `0x${address.toString(16)}`
  if (!isPlace(c.words, cache, slab, offset)) {
    return refuse(c, 'NOT_AN_OBJECT', `no object of cache ${name} starts at ${text}`)
  }
  return refuse(c, 'DOUBLE_FREE', `object ${text} of cache ${name} is already free`)
}
