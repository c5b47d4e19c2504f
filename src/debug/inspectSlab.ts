/** What a slab is, and the object in it that an address lies in. */

import { formatName } from '../slab/cacheName'
import type { ObjectTrack, SlabContext, TrackKind } from '../slab/context'
import { cacheNode, isDebugCache, objectAddress, slabNode } from '../slab/slabs'
import {
  CACHE_CPUS,
  CACHE_OBJECT_SIZE,
  CACHE_PAD,
  CACHE_SIZE,
  SLAB_CACHE,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SLAB,
  SLAB_CPU_WORDS,
  SLAB_FLAGS,
  SLAB_FROZEN,
  SLAB_NEXT,
  SLAB_NODE_FULL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NR_CPUS,
  SLAB_OBJECTS,
  SLAB_QUARANTINED,
  SLAB_RCU_HEAD,
} from '../state/slabSchema'
import { type Backing, objectUse, usedPlaces } from './backing'
import type { InspectedObject, InspectedSlab, InspectedTrack } from './inspection'
import { TRACK_ALLOC, TRACK_FREE } from './slubTrack'

/** More slabs than a list has: where a walk over a broken one ends. */
const LIST_LIMIT = 1048576

/** What is known of a slab, and of the object that the byte at a distance from its start lies in. */
export function inspectSlab(
  c: SlabContext,
  backing: Backing,
  slab: number,
  at: number,
): InspectedSlab {
  const { words } = c
  const cache = words[slab + SLAB_CACHE]!
  const used = usedPlaces(c, slab)
  return {
    cache: formatName(words, cache),
    start: objectAddress(c, slab, 0),
    objectSize: words[cache + CACHE_OBJECT_SIZE]!,
    objects: words[slab + SLAB_OBJECTS]!,
    inUse: used.length,
    list: listOf(c, cache, slab),
    quarantined: isQuarantined(words, slab),
    object: inspectObject(c, backing, slab, at, used),
  }
}

/** Who allocated or freed the object at a distance from the start of a slab; null when that is not known. */
export function trackOf(
  c: SlabContext,
  slab: number,
  place: number,
  kind: TrackKind,
): InspectedTrack | null {
  const track: ObjectTrack | null =
    c.debug?.track(c, c.words[slab + SLAB_CACHE]!, slab, place, kind) ?? null
  if (track === null || track.label === '') return null
  const { label, cpu, pid, when, age, stack } = track
  return { by: label, cpu, pid, when, age, stack }
}

function inspectObject(
  c: SlabContext,
  backing: Backing,
  slab: number,
  at: number,
  used: readonly number[],
): InspectedObject | null {
  const { words } = c
  const cache = words[slab + SLAB_CACHE]!
  const index = Math.floor(at / words[cache + CACHE_SIZE]!)
  if (index >= words[slab + SLAB_OBJECTS]!) return null
  const place = index * words[cache + CACHE_SIZE]! + words[cache + CACHE_PAD]!
  const start = objectAddress(c, slab, place)
  const inUse = used.includes(place)
  const lost = inUse && isQuarantined(words, slab) && isDebugCache(words, cache)
  return {
    index,
    start,
    offset: at - place,
    state: lost ? 'unknown' : inUse ? 'in use' : 'free',
    allocated: trackOf(c, slab, place, TRACK_ALLOC),
    freed: trackOf(c, slab, place, TRACK_FREE),
    use: inUse ? objectUse(c, backing, cache, start) : '',
  }
}

function isQuarantined(words: Int32Array, slab: number): boolean {
  return (words[slab + SLAB_FLAGS]! & SLAB_QUARANTINED) !== 0
}

/** Where a slab is, in words. */
function listOf(c: SlabContext, cache: number, slab: number): string {
  const { words } = c
  for (let cpu = 0; cpu < words[SLAB_NR_CPUS]!; cpu++) {
    const record = words[cache + CACHE_CPUS]! + cpu * SLAB_CPU_WORDS
    if (words[record + SLAB_CPU_SLAB] === slab) return `slab of CPU ${cpu}`
    if (isOnChain(words, words[record + SLAB_CPU_PARTIAL]!, 0, slab)) {
      return `partial list of CPU ${cpu}`
    }
  }
  const id = slabNode(words, slab)
  const node = cacheNode(words, cache, id)
  for (const [column, name] of [
    [SLAB_NODE_PARTIAL, 'partial list'],
    [SLAB_NODE_FULL, 'list of full slabs'],
  ] as const) {
    const head = node + column
    if (isOnChain(words, words[head + SLAB_NEXT]!, head, slab)) return `${name} of node ${id}`
  }
  if (isOnChain(words, words[SLAB_RCU_HEAD]!, 0, slab)) return 'waits for a grace period'
  if ((words[slab + SLAB_FLAGS]! & SLAB_FROZEN) !== 0) return 'frozen, on no list'
  return words[node + SLAB_NODE_NR_SLABS] === 0 ? 'on no list' : 'full, on no list'
}

/** Whether a chain of slabs, linked by NEXT from `first` to `end`, leads to a slab. */
function isOnChain(words: Int32Array, first: number, end: number, slab: number): boolean {
  let at = first
  for (let n = 0; at !== end && at > 0 && n < LIST_LIMIT; n++) {
    if (at === slab) return true
    at = words[at + SLAB_NEXT]!
  }
  return false
}
