/**
 * The checks of slabs, objects and free lists. Each reports what it finds, and repairs what a
 * kernel repairs.
 *
 * What a kernel also looks at and cannot be wrong here: that a slab's pages are marked as a slab's,
 * and that they name the cache that the object is freed to.
 *
 * Source: spec/slab.md §16.4, §16.7.
 */

import type { SlabContext } from '../slab/context'
import { __OBJECT_POISON, SLAB_POISON, SLAB_RED_ZONE } from '../slab/flags'
import { isPlace, OUTSIDE, readFreePointer, writeFreePointer } from '../slab/freePointer'
import {
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_OFFSET,
  CACHE_PAD,
  CACHE_SIZE,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_OBJECTS,
} from '../state/slabSchema'
import type { SlubReports } from './slubReport'
import {
  hasFlags,
  leftoverBytes,
  POISON_END,
  POISON_FREE,
  POISON_INUSE,
  paddingStart,
  RED_ACTIVE,
  slabByte,
  slabBytes,
  slotEnd,
} from './slubSlot'
import { hexDump, pointerAt } from './slubText'

/** Objects that a slab can count; its count of those in use has one bit more. */
const MAX_OBJECTS = 32767
const INUSE_MASK = 0xffff

/**
 * Looks at a slab's counts, and at the bytes behind its objects. Returns whether it can be used.
 */
export function checkSlab(c: SlabContext, r: SlubReports, cache: number, slab: number): boolean {
  const words = c.words
  const objects = words[slab + SLAB_OBJECTS]!
  const inuse = words[slab + SLAB_INUSE]!
  const max = Math.floor(slabBytes(words, slab) / words[cache + CACHE_SIZE]!)
  let text = ''
  let code = 'OBJECT_COUNT'
  if (objects > max) {
    text = `objects ${objects} > max ${max}`
  } else if (inuse > objects) {
    text = `inuse ${inuse} > max ${objects}`
  } else if ((words[slab + SLAB_FLAGS]! & SLAB_FROZEN) !== 0) {
    text = 'Slab disabled since SLUB metadata consistency check failed'
    code = 'SLAB_DISABLED'
  }
  if (text === '') {
    checkLeftover(c, r, cache, slab)
    return true
  }
  r.slabError(c, cache, slab, code, text)
  return false
}

/** Looks at the bytes behind the last object of a slab. */
export function checkLeftover(c: SlabContext, r: SlubReports, cache: number, slab: number): void {
  const length = leftoverBytes(c.words, slab)
  if (!hasFlags(c.words, cache, SLAB_POISON) || length === 0) return
  const start = slabBytes(c.words, slab) - length
  const bad = findBad(c, slab, 'slab padding', start, length, POISON_INUSE)
  if (bad === null) return
  const range = `${pointerAt(c, slab, bad.first)}-${pointerAt(c, slab, bad.last)}`
  const text = `Padding overwritten. ${range} @offset=${bad.first}`
  const dump = hexDump(c, 'Padding ', slabByte(c, slab, start), length)
  r.slabError(c, cache, slab, 'PADDING_OVERWRITTEN', text, dump)
  r.restore(c, cache, slab, bad)
}

/**
 * Looks at the bytes of an object that should be free, or in use: what its red zones say. Returns
 * false when it can not be trusted.
 */
export function checkObject(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offset: number,
  red: number,
): boolean {
  const words = c.words
  const size = words[cache + CACHE_OBJECT_SIZE]!
  const inuse = words[cache + CACHE_INUSE]!
  const poisons = hasFlags(words, cache, SLAB_POISON)
  const check = (what: string, code: string, start: number, end: number, value: number) =>
    checkBytes(c, r, cache, slab, offset, what, code, start, end, value)
  if (hasFlags(words, cache, SLAB_RED_ZONE)) {
    const code = 'REDZONE_OVERWRITTEN'
    if (!check('Left Redzone', code, -words[cache + CACHE_PAD]!, 0, red)) return false
    if (!check('Right Redzone', code, size, inuse, red)) return false
  } else if (poisons && inuse > size) {
    check('Alignment padding', 'PADDING_OVERWRITTEN', size, inuse, POISON_INUSE)
  }
  if (poisons) {
    if (red !== RED_ACTIVE && hasFlags(words, cache, __OBJECT_POISON)) {
      const code = 'POISON_OVERWRITTEN'
      if (!check('Poison', code, 0, size - 1, POISON_FREE)) return false
      if (!check('End Poison', code, size - 1, size, POISON_END)) return false
    }
    const start = paddingStart(words, cache)
    check('Object padding', 'PADDING_OVERWRITTEN', start, slotEnd(words, cache), POISON_INUSE)
  }
  // An object in use has its own data where a free one has its pointer.
  if (words[cache + CACHE_OFFSET]! < inuse && red === RED_ACTIVE) return true
  if (leadsToPlace(c, cache, slab, readFreePointer(c, cache, slab, offset))) return true
  r.objectError(c, cache, slab, offset, 'FREELIST_CORRUPT', 'Freepointer corrupt')
  writeFreePointer(c, cache, slab, offset, 0)
  return false
}

/** Whether a free pointer, as a distance plus 1, ends the list or leads to an object's place. */
export function leadsToPlace(c: SlabContext, cache: number, slab: number, free: number): boolean {
  return free === 0 || (free !== OUTSIDE && isPlace(c.words, cache, slab, free - 1))
}

/**
 * Walks the free list of a slab, and compares its counts. For an object's distance plus 1: returns
 * whether it is on the list. For 0: returns whether the list can be trusted after what was
 * repaired.
 */
export function walkFreeList(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  search: number,
): boolean {
  const words = c.words
  const objects = words[slab + SLAB_OBJECTS]!
  let count = 0
  let before = 0
  for (let at = words[slab + SLAB_FREE]!; at !== 0 && count <= objects; count++) {
    if (at === search) return true
    if (!leadsToPlace(c, cache, slab, at)) {
      if (before === 0) {
        clearFreeList(c, r, cache, slab)
        return false
      }
      r.objectError(c, cache, slab, before - 1, 'FREELIST_CORRUPT', 'Freechain corrupt')
      writeFreePointer(c, cache, slab, before - 1, 0)
      break
    }
    before = at
    at = readFreePointer(c, cache, slab, at - 1)
  }
  compareCounts(c, r, cache, slab, count)
  return search === 0
}

function clearFreeList(c: SlabContext, r: SlubReports, cache: number, slab: number): void {
  r.slabError(c, cache, slab, 'FREELIST_CORRUPT', 'Freepointer corrupt')
  c.words[slab + SLAB_FREE] = 0
  c.words[slab + SLAB_INUSE] = c.words[slab + SLAB_OBJECTS]!
  r.fix(c, cache, 'Freelist cleared')
}

/** Sets the counts of a slab right, when `free` objects are on its list. */
function compareCounts(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  free: number,
): void {
  const words = c.words
  const found = words[slab + SLAB_OBJECTS]!
  const max = Math.min(Math.floor(slabBytes(words, slab) / words[cache + CACHE_SIZE]!), MAX_OBJECTS)
  if (found !== max) {
    const text = `Wrong number of objects. Found ${found} but should be ${max}`
    r.slabError(c, cache, slab, 'OBJECT_COUNT', text)
    words[slab + SLAB_OBJECTS] = max
    r.fix(c, cache, 'Number of objects adjusted')
  }
  const inuse = words[slab + SLAB_INUSE]!
  const counted = max - free
  if (inuse !== counted) {
    const text = `Wrong object count. Counter is ${inuse} but counted were ${counted}`
    r.slabError(c, cache, slab, 'OBJECT_COUNT', text)
    words[slab + SLAB_INUSE] = counted & INUSE_MASK
    r.fix(c, cache, 'Object count adjusted')
  }
}

/**
 * Compares bytes of an object's slot with a value; reports and restores others. Returns whether
 * there were none.
 */
function checkBytes(
  c: SlabContext,
  r: SlubReports,
  cache: number,
  slab: number,
  offset: number,
  what: string,
  code: string,
  start: number,
  end: number,
  value: number,
): boolean {
  const bad = findBad(c, slab, what, offset + start, end - start, value)
  if (bad !== null) r.byteError(c, cache, slab, offset, code, bad)
  return bad === null
}

function findBad(
  c: SlabContext,
  slab: number,
  what: string,
  start: number,
  length: number,
  expected: number,
) {
  if (length <= 0) return null
  const bytes = c.ram.bytes(slabByte(c, slab, start), length)
  let first = 0
  while (first < length && bytes[first] === expected) first++
  if (first === length) return null
  let last = length - 1
  while (bytes[last] === expected) last--
  const found = bytes[first]!
  return { what, first: start + first, last: start + last, found, expected }
}
