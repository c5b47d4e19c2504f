/**
 * Freeing to debug caches: the checks before an object goes back, and the lists of slabs.
 *
 * A kernel ends the chain at an object that is freed before it looks at it: after a double free
 * that it found, the rest of the free list is cut off. Where bugs throw, the checks come first and
 * leave everything as it was, but for what they repair.
 *
 * Source: spec/slab.md §8.1, §8.4, §16.5.
 */

import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import { SLAB_CONSISTENCY_CHECKS, SLAB_STORE_USER, SLAB_TRACE } from '../slab/flags'
import { isPlace, OUTSIDE, setLive, writeFreePointer, writeRawPointer } from '../slab/freePointer'
import { checkLive, wipeFreed, zeroedOnFree } from '../slab/objects'
import { addPartial, hasEnoughPartial, removePartial } from '../slab/partial'
import { cacheNode, discardSlab, objectAddress, refuse, slabNode } from '../slab/slabs'
import { listRemove } from '../state/lists'
import {
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_OFFSET,
  SLAB_FREE,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_PARTIAL,
  SLAB_RAW,
} from '../state/slabSchema'
import { traceLine } from './slubAlloc'
import { checkObject, checkSlab, walkFreeList } from './slubCheck'
import type { SlubReports } from './slubReport'
import {
  hasFlags,
  markObject,
  RED_ACTIVE,
  RED_INACTIVE,
  slabByte,
  slabBytes,
  slotEnd,
} from './slubSlot'
import { hexDump, pointerAt } from './slubText'
import { type SlubTracks, TRACK_FREE } from './slubTrack'

/**
 * Frees objects of one slab of a debug cache; the first becomes the slab's first free object.
 * @throws KernelBug, with nothing freed, when a check found something and nothing is to go on; and
 * for what a kernel would not notice, as the cache does not check.
 */
export function freeChecked(
  c: SlabContext,
  r: SlubReports,
  tracks: SlubTracks,
  cache: number,
  slab: number,
  offsets: readonly number[],
): void {
  checkFree(c, r, cache, slab, offsets)
  r.begin()
  const words = c.words
  linkChain(c, cache, slab, offsets)
  const failed = processChain(c, r, tracks, cache, slab, offsets)
  if (failed >= 0) {
    r.fix(c, cache, `Object at ${pointerAt(c, slab, failed)} not freed`)
    return
  }
  const prior = words[slab + SLAB_FREE]!
  const misplaced = prior === 0 && isListed(words, cache, slab)
  if (misplaced && !r.throwing && !hasFlags(words, cache, SLAB_STORE_USER)) {
    const name = formatName(words, cache)
    throw r.fault(`a slab of cache ${name} is listed twice: a kernel hangs when it walks the list`)
  }
  const tail = offsets[offsets.length - 1]!
  if (prior !== OUTSIDE) writeFreePointer(c, cache, slab, tail, prior)
  else writeRawPointer(c, cache, slab, tail, words[slab + SLAB_RAW]!, words[slab + SLAB_RAW + 1]!)
  words[slab + SLAB_FREE] = offsets[0]! + 1
  words[slab + SLAB_INUSE]! -= offsets.length
  placeSlab(c, cache, slab, prior === 0 && !(misplaced && r.throwing))
}

/**
 * Looks at objects of one slab that are about to be freed.
 * @throws KernelBug, with nothing changed but what was repaired, when one of them may not be.
 */
export function checkFree(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offsets: readonly number[],
): void {
  const checks = hasFlags(c.words, cache, SLAB_CONSISTENCY_CHECKS)
  for (const offset of offsets) {
    if (!Number.isInteger(offset)) throw notAnObject(c, slab, offset)
  }
  if (checks && r.throwing) tryChain(c, r, cache, slab, offsets)
  if (checks && !r.throwing) return
  for (const offset of offsets) checkLive(c, slab, objectAddress(c, slab, offset))
}

/** Puts a slab that has more free objects than before where it belongs. */
function placeSlab(c: SlabContext, cache: number, slab: number, wasFull: boolean): void {
  const words = c.words
  const drop = words[slab + SLAB_INUSE] === 0 && hasEnoughPartial(words, cache, slab)
  if (wasFull) {
    if (hasFlags(words, cache, SLAB_STORE_USER)) listRemove(words, slab)
    if (!drop) addPartial(words, cache, slab, false)
  } else if (drop) {
    removePartial(words, cache, slab)
  }
  if (drop) discardSlab(c, cache, slab)
}

/**
 * Whether a slab without free objects is on the partial list all the same: its free list was cut
 * off by a double free, or by a repair. A kernel takes it for a full one, and with tracks counts it
 * twice from then on.
 */
function isListed(words: Int32Array, cache: number, slab: number): boolean {
  const head = cacheNode(words, cache, slabNode(words, slab)) + SLAB_NODE_PARTIAL
  for (let at = words[head]!; at !== head; at = words[at + SLAB_NEXT]!) {
    if (at === slab) return true
  }
  return false
}

function notAnObject(c: SlabContext, slab: number, offset: number): Error {
  return refuse(c, 'NOT_AN_OBJECT', `no object starts at ${objectAddress(c, slab, offset)}`)
}

/** Runs the checks on a chain as a kernel would, and undoes what it does before them. */
function tryChain(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offsets: readonly number[],
): void {
  r.begin()
  const saved = saveChain(c, cache, slab, offsets)
  linkChain(c, cache, slab, offsets)
  const failed = checkChain(c, r, cache, slab, offsets)
  for (const { at, bytes } of saved) {
    c.ram.bytes(at, bytes.length).set(bytes)
    c.ram.markDirty(at, bytes.length)
  }
  if (failed >= 0) r.fix(c, cache, `Object at ${pointerAt(c, slab, failed)} not freed`)
  r.raise()
}

/** Checks a chain and each object of it: the distance of the one at fault, or -1. */
function checkChain(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offsets: readonly number[],
): number {
  if (!checkCounts(c, r, cache, slab, offsets.length)) return offsets[0]!
  return offsets.find((offset) => !checkFreed(c, r, cache, slab, offset)) ?? -1
}

/**
 * Checks a chain, where that is still to do, and marks its objects as free: the distance of the one
 * at fault, or -1.
 */
function processChain(
  c: SlabContext,
  r: SlubReports,
  tracks: SlubTracks,
  cache: number,
  slab: number,
  offsets: readonly number[],
): number {
  const words = c.words
  const checks = hasFlags(words, cache, SLAB_CONSISTENCY_CHECKS) && !r.throwing
  if (checks && !checkCounts(c, r, cache, slab, offsets.length)) return offsets[0]!
  for (const offset of offsets) {
    if (checks && !checkFreed(c, r, cache, slab, offset)) return offset
    if (hasFlags(words, cache, SLAB_STORE_USER)) tracks.write(c, cache, slab, offset, TRACK_FREE)
    if (hasFlags(words, cache, SLAB_TRACE)) {
      const size = words[cache + CACHE_OBJECT_SIZE]!
      const dump = hexDump(c, 'Object ', slabByte(c, slab, offset), size)
      r.trace([traceLine(c, cache, slab, offset, 'free'), ...dump])
    }
    markObject(c, cache, slab, offset, RED_INACTIVE)
    setLive(words, cache, slab, offset, false)
  }
  return -1
}

function checkCounts(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  count: number,
): boolean {
  if (!checkSlab(c, r, cache, slab)) return false
  const inuse = c.words[slab + SLAB_INUSE]!
  if (inuse >= count) return true
  const text = `Slab has ${inuse} allocated objects but ${count} are to be freed\n`
  r.slabError(c, cache, slab, 'DOUBLE_FREE', text)
  return false
}

/** Looks at an object that is to be freed. */
function checkFreed(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offset: number,
): boolean {
  if (!isPlace(c.words, cache, slab, offset)) {
    const text = `Invalid object pointer ${pointerAt(c, slab, offset)}`
    r.slabError(c, cache, slab, 'NOT_AN_OBJECT', text)
    return false
  }
  if (walkFreeList(c, r, cache, slab, offset + 1)) {
    r.objectError(c, cache, slab, offset, 'DOUBLE_FREE', 'Object already free')
    return false
  }
  return checkObject(c, r, cache, slab, offset, RED_ACTIVE)
}

// ---- What a kernel writes before it looks ----

/** Wipes objects where the machine wants that, and links them; the last one ends the chain. */
function linkChain(c: SlabContext, cache: number, slab: number, offsets: readonly number[]): void {
  offsets.forEach((offset, i) => {
    if (isPlace(c.words, cache, slab, offset)) {
      wipeFreed(c, cache, slab, offset)
      const next = offsets[i + 1]
      writeFreePointer(c, cache, slab, offset, next === undefined ? 0 : next + 1)
    } else {
      // No object starts here: this goes wherever the pointer leads, as far as the slab reaches.
      for (const { start, length } of touched(c, cache, slab, offset)) {
        c.ram.fill(slabByte(c, slab, start), length, 0)
      }
    }
  })
}

interface SavedBytes {
  /** Physical address. */
  readonly at: number
  readonly bytes: Uint8Array
}

function saveChain(
  c: SlabContext,
  cache: number,
  slab: number,
  offsets: readonly number[],
): SavedBytes[] {
  return offsets.flatMap((offset) =>
    touched(c, cache, slab, offset).map(({ start, length }) => {
      const at = slabByte(c, slab, start)
      return { at, bytes: c.ram.bytes(at, length).slice() }
    }),
  )
}

/** What {@link linkChain} writes to, from the start of the slab. */
function touched(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
): { readonly start: number; readonly length: number }[] {
  const words = c.words
  const at = (column: number) => words[cache + column]!
  const place = isPlace(words, cache, slab, offset)
  const ranges =
    place && zeroedOnFree(c, cache)
      ? [
          [0, at(CACHE_OBJECT_SIZE)],
          [at(CACHE_INUSE), slotEnd(words, cache)],
        ]
      : [[at(CACHE_OFFSET), at(CACHE_OFFSET) + 8]]
  const end = slabBytes(words, slab)
  return ranges
    .map(([from, to]) => ({
      start: offset + from!,
      length: Math.min(offset + to!, end) - offset - from!,
    }))
    .filter(({ length }) => length > 0)
}
