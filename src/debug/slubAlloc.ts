/**
 * Allocating from debug caches: object by object, from the first slab of the node's partial list.
 * There is no CPU slab, so every allocation and every free goes through the checks.
 *
 * Where a kernel would fault or hang, an error is thrown (DIFF-41).
 *
 * Source: spec/slab.md §7.5, §16.4.
 */

import { KernelBug } from '../base/errors'
import { writeWord32 } from '../slab/byteWords'
import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import { SLAB_CONSISTENCY_CHECKS, SLAB_STORE_USER, SLAB_TRACE } from '../slab/flags'
import {
  isLive,
  OUTSIDE,
  rawPointerHigh,
  rawPointerLow,
  readFreePointer,
  setLive,
} from '../slab/freePointer'
import { offsetIn, slabAt } from '../slab/objects'
import { addPartial, mayUseSlab, removePartial, takeNear } from '../slab/partial'
import { inNodeMask } from '../slab/slabState'
import { cacheNode, countSlab, newSlab, objectAddress, slabNode } from '../slab/slabs'
import { listAddHead } from '../state/lists'
import {
  CACHE_OBJECT_SIZE,
  CACHE_OFFSET,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_FULL,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_USED,
  SLAB_OBJECTS,
  SLAB_QUARANTINED,
  SLAB_RAW,
} from '../state/slabSchema'
import { checkObject, checkSlab, leadsToPlace } from './slubCheck'
import type { SlubReports } from './slubReport'
import {
  askedSizeStart,
  hasFlags,
  keepsAskedSize,
  markObject,
  RED_ACTIVE,
  RED_INACTIVE,
  slabByte,
} from './slubSlot'
import { firstFree, hex16, pointerAt, pointerText } from './slubText'
import { type SlubTracks, TRACK_ALLOC } from './slubTrack'

/**
 * Allocates an object of a debug cache: its kernel address, or 0 without memory. `size` is what
 * kmalloc was asked for, 0 elsewhere.
 * @throws KernelBug, with nothing allocated, when a check found something and nothing is to go on.
 */
export function allocChecked(
  c: SlabContext,
  r: SlubReports,
  tracks: SlubTracks,
  cache: number,
  gfp: number,
  node: number,
  size: number,
): number {
  const words = c.words
  const hint = node < 0 || inNodeMask(words, node) ? node : -1
  const asked = size === 0 ? words[cache + CACHE_OBJECT_SIZE]! : size
  r.begin()
  for (;;) {
    let object = takeNear(c, cache, gfp, hint, (_c, _cache, id) =>
      takeFromNode(c, r, cache, id, gfp, asked),
    )
    if (object === 0) {
      const slab = newSlab(c, cache, gfp, hint)
      if (slab === 0) {
        c.log.outOfMemory(c, cache, gfp, node)
        return 0
      }
      object = takeFromNew(c, r, cache, slab, asked)
    }
    if (object === 0) continue
    if (hasFlags(words, cache, SLAB_STORE_USER)) {
      const slab = slabAt(c, object)
      tracks.write(c, cache, slab, offsetIn(c, slab, object), TRACK_ALLOC)
    }
    return object
  }
}

/** The line that tells of an allocation or a free. */
export function traceLine(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  what: string,
): string {
  const counts = `inuse=${c.words[slab + SLAB_INUSE]} fp=${pointerText(firstFree(c, slab))}`
  return `TRACE ${formatName(c.words, cache)} ${what} ${pointerAt(c, slab, offset)} ${counts}`
}

/** Takes an object from the first slab of a node that has a sound one; 0 for none. */
function takeFromNode(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  id: number,
  gfp: number,
  size: number,
): number {
  const words = c.words
  const node = cacheNode(words, cache, id)
  if (words[node + SLAB_NODE_USED] === 0) return 0
  const head = node + SLAB_NODE_PARTIAL
  for (let slab = words[head]!; slab !== head; ) {
    const next = words[slab + SLAB_NEXT]!
    if (mayUseSlab(c, slab, gfp)) {
      const offset = takeFirst(c, r, cache, slab, size)
      if (offset < 0) {
        removePartial(words, cache, slab)
        r.raise()
      } else {
        if (words[slab + SLAB_INUSE] === words[slab + SLAB_OBJECTS]) {
          removePartial(words, cache, slab)
          addFull(words, cache, slab)
        }
        return objectAddress(c, slab, offset)
      }
    }
    slab = next
  }
  return 0
}

/**
 * Takes the first object of a new slab, which goes on a list then; 0 when it is lost, as its object
 * is not sound.
 */
function takeFromNew(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  size: number,
): number {
  const words = c.words
  try {
    const offset = takeFirst(c, r, cache, slab, size)
    if (offset < 0) {
      r.raise()
      return 0
    }
    return objectAddress(c, slab, offset)
  } finally {
    const lost = (words[slab + SLAB_FLAGS]! & SLAB_QUARANTINED) !== 0
    if (!lost) {
      if (words[slab + SLAB_INUSE] === words[slab + SLAB_OBJECTS]) addFull(words, cache, slab)
      else addPartial(words, cache, slab, true)
    }
    // A kernel does not count a slab that is lost like that.
    if (!lost || r.throwing) countSlab(words, cache, slab, 1)
  }
}

/** Puts a slab on the list of full ones, in caches that have one. */
function addFull(words: Int32Array, cache: number, slab: number): void {
  if (!hasFlags(words, cache, SLAB_STORE_USER)) return
  listAddHead(words, cacheNode(words, cache, slabNode(words, slab)) + SLAB_NODE_FULL, slab)
}

/**
 * Takes the first free object of a slab and marks it as in use: its distance from the start, or -1
 * when the slab was put out of use because of what a check found.
 * @throws KernelBug, with nothing taken, when nothing is to go on, for what was repaired; and in
 * any case for what a kernel would not survive or not notice, with the slab put out of use.
 */
function takeFirst(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  size: number,
): number {
  const words = c.words
  const first = words[slab + SLAB_FREE]!
  const checks = hasFlags(words, cache, SLAB_CONSISTENCY_CHECKS)
  if (first === 0) throw nullObject(c, r, cache, slab)
  const sound = leadsToPlace(c, cache, slab, first)
  const usable = sound && !isLive(words, cache, slab, first - 1)
  if (!checks && !usable) throw corruptList(c, r, cache, slab)
  const pointer = sound ? '' : pointerText(firstFree(c, slab))
  const offset = first - 1
  words[slab + SLAB_FREE] = sound ? keepRaw(c, cache, slab, offset) : 0
  words[slab + SLAB_INUSE]! += 1
  if (checks) {
    if (!checkTaken(c, r, cache, slab, offset, sound, pointer)) return -1
    if (r.throwing && (r.pending || !usable)) {
      words[slab + SLAB_FREE] = first
      words[slab + SLAB_INUSE]! -= 1
      r.raise()
      throw corruptList(c, r, cache, slab)
    }
  }
  if (hasFlags(words, cache, SLAB_TRACE)) r.trace([traceLine(c, cache, slab, offset, 'alloc')])
  if (keepsAskedSize(words, cache)) {
    writeWord32(c.ram, slabByte(c, slab, offset + askedSizeStart(words, cache)), size)
  }
  markObject(c, cache, slab, offset, RED_ACTIVE)
  setLive(words, cache, slab, offset, true)
  return offset
}

/** The free pointer of an object; if it leads out of the slab, the slab keeps it as it is. */
function keepRaw(c: SlabContext, cache: number, slab: number, offset: number): number {
  const next = readFreePointer(c, cache, slab, offset)
  if (next === OUTSIDE) {
    c.words[slab + SLAB_RAW] = rawPointerLow(c, cache, slab, offset)
    c.words[slab + SLAB_RAW + 1] = rawPointerHigh(c, cache, slab, offset)
  }
  return next
}

/** Checks a slab and the object taken from it. What fails puts the slab out of use for good. */
function checkTaken(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offset: number,
  sound: boolean,
  pointer: string,
): boolean {
  const words = c.words
  if (checkSlab(c, r, cache, slab)) {
    if (!sound) {
      const text = 'Freelist Pointer check fails'
      r.pointerError(c, cache, slab, pointer, 'FREELIST_CORRUPT', text)
    } else if (checkObject(c, r, cache, slab, offset, RED_INACTIVE)) return true
  }
  r.fix(c, cache, 'Marking all objects used')
  words[slab + SLAB_INUSE] = words[slab + SLAB_OBJECTS]!
  words[slab + SLAB_FREE] = 0
  words[slab + SLAB_FLAGS]! |= SLAB_FROZEN | SLAB_QUARANTINED
  return false
}

/**
 * A listed slab without a free object: its list was cut off, and a kernel reads through a null
 * pointer. The slab leaves the list, so that the next allocation does not meet it again.
 */
function nullObject(c: SlabContext, r: SlubReports, cache: number, slab: number): KernelBug {
  giveUp(c.words, cache, slab)
  const address = hex16(BigInt(c.words[cache + CACHE_OFFSET]!))
  const name = formatName(c.words, cache)
  return r.fault(
    `the free list of a slab of cache ${name} was cut off: no object is left on it`,
    `BUG: kernel NULL pointer dereference, address: ${address}`,
  )
}

/**
 * What a kernel would hand out although it is no object, or one in use: the slab loses its free
 * objects.
 */
function corruptList(c: SlabContext, r: SlubReports, cache: number, slab: number): KernelBug {
  giveUp(c.words, cache, slab)
  const name = formatName(c.words, cache)
  const what = `a free object of cache ${name} was written to`
  const text = `${what}: its free pointer leads to no free object`
  r.begin()
  return new KernelBug('FREELIST_CORRUPT', text, c.log.refused(c, text))
}

/**
 * Makes a listed slab one without free objects; those that are freed to it later can be used again.
 */
function giveUp(words: Int32Array, cache: number, slab: number): void {
  removePartial(words, cache, slab)
  addFull(words, cache, slab)
  words[slab + SLAB_FREE] = 0
  words[slab + SLAB_INUSE] = words[slab + SLAB_OBJECTS]!
  words[slab + SLAB_FLAGS]! |= SLAB_QUARANTINED
}
