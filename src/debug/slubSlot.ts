/**
 * The bytes that a debug cache keeps around an object, and their patterns.
 *
 *     | left red zone | object | red zone | free pointer | allocated | freed | size | padding |
 *     -pad            0        object_size offset                                  size - pad
 *
 * The free pointer may lie in the object instead; the two tracks are there with SLAB_STORE_USER
 * only, the size that was asked for in kmalloc caches with tracks only.
 *
 * Source: spec/slab.md §16.1, §16.3.
 */

import { PAGE_SIZE } from '../base/units'
import type { SlabContext } from '../slab/context'
import {
  __OBJECT_POISON,
  SLAB_KMALLOC,
  SLAB_POISON,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
} from '../slab/flags'
import { TRACK_BYTES } from '../slab/objectLayout'
import { slabOrderOf } from '../slab/slabs'
import {
  CACHE_FLAGS,
  CACHE_INUSE,
  CACHE_OBJECT_SIZE,
  CACHE_OFFSET,
  CACHE_PAD,
  CACHE_SIZE,
  SLAB_CACHE,
  SLAB_PFN,
} from '../state/slabSchema'

/** A byte of a new slab that belongs to no object. */
export const POISON_INUSE = 0x5a
/** A byte of an object, but the last. */
export const POISON_FREE = 0x6b
/** The last byte of an object. */
export const POISON_END = 0xa5
/** A byte of a red zone of a free object. */
export const RED_INACTIVE = 0xbb
/** A byte of a red zone of an object in use. */
export const RED_ACTIVE = 0xcc

/** Whether a cache has one of these flags. */
export function hasFlags(words: Int32Array, cache: number, flags: number): boolean {
  return (words[cache + CACHE_FLAGS]! & flags) !== 0
}

/** Physical address of what lies at a distance from the start of a slab. */
export function slabByte(c: SlabContext, slab: number, offset: number): number {
  return c.words[slab + SLAB_PFN]! * PAGE_SIZE + offset
}

/** Bytes of a slab's block. */
export function slabBytes(words: Int32Array, slab: number): number {
  return PAGE_SIZE * 2 ** slabOrderOf(words, slab)
}

/** Bytes of it behind the last slot. */
export function leftoverBytes(words: Int32Array, slab: number): number {
  return slabBytes(words, slab) % words[words[slab + SLAB_CACHE]! + CACHE_SIZE]!
}

/**
 * Where an object's tracks begin, or what comes next without them. From the object on, as all that
 * follow.
 */
export function tracksStart(words: Int32Array, cache: number): number {
  const inuse = words[cache + CACHE_INUSE]!
  const outside = words[cache + CACHE_OFFSET]! >= inuse
  return outside ? words[cache + CACHE_OFFSET]! + 8 : inuse
}

/** Where the size lies that kmalloc was asked for. */
export function askedSizeStart(words: Int32Array, cache: number): number {
  return tracksStart(words, cache) + 2 * TRACK_BYTES
}

/** Whether a cache remembers that size. */
export function keepsAskedSize(words: Int32Array, cache: number): boolean {
  return hasFlags(words, cache, SLAB_STORE_USER) && hasFlags(words, cache, SLAB_KMALLOC)
}

/** Where the padding of a slot begins. */
export function paddingStart(words: Int32Array, cache: number): number {
  if (keepsAskedSize(words, cache)) return askedSizeStart(words, cache) + 4
  return hasFlags(words, cache, SLAB_STORE_USER)
    ? askedSizeStart(words, cache)
    : tracksStart(words, cache)
}

/** Where a slot ends. */
export function slotEnd(words: Int32Array, cache: number): number {
  return words[cache + CACHE_SIZE]! - words[cache + CACHE_PAD]!
}

/** Fills a new slab of a cache that poisons. */
export function poisonSlab(c: SlabContext, slab: number): void {
  if (!hasFlags(c.words, c.words[slab + SLAB_CACHE]!, SLAB_POISON)) return
  c.ram.fill(slabByte(c, slab, 0), slabBytes(c.words, slab), POISON_INUSE)
}

/**
 * Marks an object as free ({@link RED_INACTIVE}) or in use ({@link RED_ACTIVE}); its content is
 * poisoned in both cases.
 */
export function markObject(
  c: SlabContext,
  cache: number,
  slab: number,
  offset: number,
  red: number,
): void {
  const words = c.words
  const at = slabByte(c, slab, offset)
  const size = words[cache + CACHE_OBJECT_SIZE]!
  const redZones = hasFlags(words, cache, SLAB_RED_ZONE)
  const pad = words[cache + CACHE_PAD]!
  if (redZones) c.ram.fill(at - pad, pad, red)
  if (hasFlags(words, cache, __OBJECT_POISON)) {
    c.ram.fill(at, size - 1, POISON_FREE)
    c.ram.fill(at + size - 1, 1, POISON_END)
  }
  if (redZones) c.ram.fill(at + size, words[cache + CACHE_INUSE]! - size, red)
}
