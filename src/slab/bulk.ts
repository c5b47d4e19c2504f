/**
 * Many objects in one call. What comes out is the same as one by one; what goes in is grouped by slab, so that
 * a slab changes its list once for a group. All are freed or none (DIFF-34).
 *
 * Source: spec/slab.md §12.
 */

import { InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, type VirtAddr } from '../base/units'
import { SLAB_CACHE } from '../state/slabSchema'
import type { SlabContext } from './context'
import { setLive, writeFreePointer } from './freePointer'
import { slabOf } from './freeToCache'
import { checkLive, freeChain, initObject, offsetIn, slabAt, takeOne, wipeFreed } from './objects'
import { isDebugCache, refuse } from './slabs'

/** Objects of other slabs that end the search for more of the same. */
const LOOKAHEAD = 3

/** Allocates `count` objects; an empty array when one of them could not be had. */
export function allocBulk(c: SlabContext, cache: number, gfp: number, count: number): VirtAddr[] {
  const objects: VirtAddr[] = []
  if (c.faults?.failSlab(c, cache, gfp) === true) return objects
  for (let i = 0; i < count; i++) {
    let object = 0
    try {
      object = takeOne(c, cache, gfp, NUMA_NO_NODE, 0)
    } finally {
      // After an error too: nobody else knows of them.
      if (object === 0) freeBulk(c, cache, objects)
    }
    if (object === 0) return []
    objects.push(object as VirtAddr)
  }
  for (const object of objects) initObject(c, cache, object, gfp)
  return objects
}

/** Frees objects of `cache`; `large` frees what is no object, where the caller allows that. */
export function freeBulk(
  c: SlabContext,
  cache: number,
  objects: VirtAddr[],
  large: ((object: VirtAddr) => void) | null = null,
): void {
  checkObjects(c, cache, objects, large)
  let left = objects.length
  while (left > 0) {
    left -= 1
    const first = objects[left]!
    const slab = slabAt(c, first)
    if (slab === 0) large?.(first)
    else left = freeGroup(c, slab, objects, left)
  }
  c.debug?.settle(c)
}

/** Frees the object at `last` and those of the same slab near it. Returns how many objects are left. */
function freeGroup(c: SlabContext, slab: number, objects: VirtAddr[], last: number): number {
  const group = [offsetIn(c, slab, objects[last]!)]
  let same = last
  let lookahead = LOOKAHEAD
  for (let at = last; at > 0; ) {
    at -= 1
    const object = objects[at]!
    if (slabAt(c, object) === slab) {
      group.push(offsetIn(c, slab, object))
      same -= 1
      if (at !== same) {
        objects[at] = objects[same]!
        objects[same] = object
      }
    } else {
      lookahead -= 1
      if (lookahead === 0) break
    }
  }
  const cache = c.words[slab + SLAB_CACHE]!
  if (c.debug !== null && isDebugCache(c.words, cache)) c.debug.free(c, cache, slab, group)
  else linkGroup(c, cache, slab, group)
  return same
}

/** Links the objects of a group, the one from the highest place first, and gives them back. */
function linkGroup(c: SlabContext, cache: number, slab: number, group: readonly number[]): void {
  group.forEach((offset, i) => {
    wipeFreed(c, cache, slab, offset)
    setLive(c.words, cache, slab, offset, false)
    const next = group[i + 1]
    if (next !== undefined) writeFreePointer(c, cache, slab, offset, next + 1)
  })
  freeChain(c, cache, slab, group[0]!, group[group.length - 1]!, group.length)
}

/** Throws, with nothing freed, unless all of them are objects in use, each once. */
function checkObjects(
  c: SlabContext,
  cache: number,
  objects: readonly VirtAddr[],
  large: ((object: VirtAddr) => void) | null,
): void {
  if (!Array.isArray(objects)) throw new InvalidArgument('objects', objects, 'an array of objects')
  const seen = new Set<VirtAddr>()
  for (const object of objects) {
    if (seen.has(object)) throw refuse(c, 'DOUBLE_FREE', `object 0x${object.toString(16)} twice`)
    seen.add(object)
    const slab = cache === 0 ? slabAt(c, object) : slabOf(c, cache, object)
    if (slab !== 0) {
      const owner = c.words[slab + SLAB_CACHE]!
      if (!isDebugCache(c.words, owner)) checkLive(c, slab, object)
      else c.debug?.check(c, owner, slab, offsetIn(c, slab, object))
    } else if (large === null) throw refuse(c, 'NOT_A_SLAB', `no object at ${object}`)
  }
}
