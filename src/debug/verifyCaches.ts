/** Checks the records of caches: geometry, names and descriptors. */

import {
  __CMPXCHG_DOUBLE,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_DEBUG_FLAGS,
  SLAB_NEVER_MERGE,
  SLAB_STORE_USER,
  SLAB_TRACE,
} from '../slab/flags'
import { KMALLOC_MAX_SIZE } from '../slab/kmallocClass'
import { alignUp, layOut, type ObjectLayout, objectAlign } from '../slab/objectLayout'
import { inNodeMask, recordShift } from '../slab/slabState'
import { cacheNode } from '../slab/slabs'
import {
  CACHE_ALIGN,
  CACHE_ALLOC_FLAGS,
  CACHE_CPU_PARTIAL,
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_CPUS,
  CACHE_DEFRAG_RATIO,
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_GRANULE,
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_INUSE,
  CACHE_MIN_OBJECTS,
  CACHE_MIN_ORDER,
  CACHE_MIN_PARTIAL,
  CACHE_NODES,
  CACHE_OBJECT_SIZE,
  CACHE_OBJECTS,
  CACHE_OFFSET,
  CACHE_ORDER,
  CACHE_PAD,
  CACHE_RECORD_SHIFT,
  CACHE_RED_LEFT_PAD,
  CACHE_REFCOUNT,
  CACHE_SIZE,
  CACHE_STARTS,
  CACHE_STATE,
  CACHE_USEROFFSET,
  CACHE_USERSIZE,
  CACHE_WAITS,
  CACHE_WORDS,
  SLAB_CPU_WORDS,
  SLAB_LIVE,
  SLAB_NEXT_ID,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_OBJECT,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NODE_USED,
} from '../state/slabSchema'
import { cacheText, nodeText } from './slabInvariants'
import type { Survey } from './slabSurvey'

/** Caches that all others rest on: the last of the list. */
const FIRST_CACHES = 2

/** Checks each cache, and enters those whose geometry can be relied on. */
export function checkCaches(s: Survey): void {
  const { words, v } = s
  const numbers = new Set<number>()
  let before = words[SLAB_NEXT_ID]!
  s.listed.forEach((cache, i) => {
    const id = -words[cache + CACHE_ID]!
    const first = i >= s.listed.length - FIRST_CACHES
    if (!first && id >= before) {
      v.report('CACHE-1', `${cacheText(words, cache)} has number ${id}, behind ${before}`)
    }
    before = id
    checkNames(s, cache, first)
  })
  for (const cache of s.caches) {
    const id = -words[cache + CACHE_ID]!
    if (numbers.has(id)) v.report('CACHE-1', `${cacheText(words, cache)} shares number ${id}`)
    numbers.add(id)
    const fault = geometryFault(s, cache) ?? recordFault(s, cache)
    if (fault === null) s.sound.add(cache)
    else s.broken('CACHE-1', `${cacheText(words, cache)} has ${fault}`)
    checkNodes(s, cache)
  }
  for (const id of s.c.ctors.keys()) {
    if (!numbers.has(-id)) v.report('CACHE-1', `constructor ${-id} belongs to no cache`)
  }
}

function checkNames(s: Survey, cache: number, first: boolean): void {
  const refcount = s.words[cache + CACHE_REFCOUNT]!
  const state = s.words[cache + CACHE_STATE]! & (CACHE_GONE | CACHE_WAITS)
  const gone = state === CACHE_GONE && refcount === 0 && !first
  const named = state === 0 && (first ? refcount === -1 : refcount > 0)
  if (gone || named) return
  const text = `${refcount} names, state ${s.words[cache + CACHE_STATE]}`
  s.v.report('CACHE-2', `${cacheText(s.words, cache)} has ${text}`)
}

/** What is wrong with a cache's geometry; null for nothing. */
function geometryFault(s: Survey, cache: number): string | null {
  const at = (column: number) => s.words[cache + column]!
  const objectSize = at(CACHE_OBJECT_SIZE)
  const align = at(CACHE_ALIGN)
  const offset = at(CACHE_OFFSET)
  if (!(objectSize >= 1 && objectSize <= KMALLOC_MAX_SIZE)) return `objects of ${objectSize} bytes`
  if (!(align >= 8 && align <= KMALLOC_MAX_SIZE && (align & (align - 1)) === 0)) {
    return `objects aligned to ${align}`
  }
  const flags = (at(CACHE_FLAGS) & ~__CMPXCHG_DOUBLE) >>> 0
  // A merge lets objects grow, but the free pointer stays in the middle of the first ones.
  const mergeable = (flags & SLAB_NEVER_MERGE) === 0 && (at(CACHE_STATE) & CACHE_HAS_CTOR) === 0
  const size = mergeable ? Math.min(objectSize, 2 * offset + 15) : objectSize
  const layout = size < 1 ? null : layoutOf(s, cache, flags, size, align)
  if (layout === null) return `a free pointer at ${offset}`
  const checked = SLAB_CONSISTENCY_CHECKS | SLAB_STORE_USER | SLAB_TRACE
  const exchange = (flags & checked) === 0 ? __CMPXCHG_DOUBLE : 0
  const inuse = mergeable ? Math.max(layout.inuse, alignUp(objectSize, 8)) : layout.inuse
  const expected: readonly (readonly [name: string, column: number, value: number])[] = [
    ['flags', CACHE_FLAGS, layout.flags | exchange],
    ['alignment', CACHE_ALIGN, objectAlign(flags, align, size)],
    ['slot size', CACHE_SIZE, layout.size],
    ['metadata offset', CACHE_INUSE, inuse],
    ['free pointer offset', CACHE_OFFSET, layout.offset],
    ['padding', CACHE_PAD, layout.pad],
    ['order', CACHE_ORDER, layout.order],
    ['objects', CACHE_OBJECTS, layout.objects],
    ['smallest order', CACHE_MIN_ORDER, layout.minOrder],
    ['objects of the smallest order', CACHE_MIN_OBJECTS, layout.minObjects],
    ['GFP bits', CACHE_ALLOC_FLAGS, layout.allocFlags],
    ['partial slabs', CACHE_CPU_PARTIAL_SLABS, cpuPartialSlabs(at(CACHE_CPU_PARTIAL), layout)],
  ]
  for (const [name, column, value] of expected) {
    if (at(column) !== (value | 0)) return `${name} ${at(column)}, not ${value}`
  }
  return limitFault(s, cache)
}

function layoutOf(
  s: Survey,
  cache: number,
  flags: number,
  size: number,
  align: number,
): ObjectLayout | null {
  const { c } = s
  const policy = {
    minOrder: c.minOrder,
    maxOrder: c.maxOrder,
    minObjects: c.minObjects,
    cpus: c.source.nrCpus,
  }
  const hasCtor = (s.words[cache + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0
  return layOut(flags, size, align, hasCtor, c.debug?.noHigherOrder === true, policy)
}

function cpuPartialSlabs(objects: number, layout: ObjectLayout): number {
  return Math.ceil((2 * objects) / layout.objects)
}

/** What can be set is only held to its limits. */
function limitFault(s: Survey, cache: number): string | null {
  const at = (column: number) => s.words[cache + column]!
  const cpuPartial = at(CACHE_CPU_PARTIAL)
  const debug = (at(CACHE_FLAGS) & SLAB_DEBUG_FLAGS) !== 0
  if (cpuPartial < 0 || (debug && cpuPartial !== 0)) return `${cpuPartial} objects for a CPU`
  if (at(CACHE_MIN_PARTIAL) < 0) return `${at(CACHE_MIN_PARTIAL)} partial slabs to keep`
  const ratio = at(CACHE_DEFRAG_RATIO)
  if (ratio < 0 || ratio > 1000) return `ratio ${ratio}`
  const pad = at(CACHE_RED_LEFT_PAD)
  if (pad !== at(CACHE_PAD) && s.c.debug?.noHigherOrder !== true) return `left pad ${pad}`
  const userEnd = at(CACHE_USEROFFSET) + at(CACHE_USERSIZE)
  const user = at(CACHE_USEROFFSET) >= 0 && at(CACHE_USERSIZE) >= 0
  if (!user || userEnd > at(CACHE_OBJECT_SIZE)) return `a user region up to ${userEnd}`
  return null
}

/** What is wrong with what the library adds to a cache; null for nothing. */
function recordFault(s: Survey, cache: number): string | null {
  const at = (column: number) => s.words[cache + column]!
  const bytes = 4096 * 2 ** Math.max(at(CACHE_ORDER), at(CACHE_MIN_ORDER))
  const both = at(CACHE_SIZE) | at(CACHE_PAD)
  const granule = 31 - Math.clz32(both & -both)
  const places = Math.ceil(bytes / 2 ** granule / 32)
  const shift = recordShift(SLAB_LIVE + places)
  const nodes = cache + CACHE_WORDS + s.c.source.nrCpus * SLAB_CPU_WORDS
  if (at(CACHE_GRANULE) !== granule) return `granule ${at(CACHE_GRANULE)}, not ${granule}`
  if (at(CACHE_RECORD_SHIFT) !== shift) return `slab records of 2^${at(CACHE_RECORD_SHIFT)} words`
  if (at(CACHE_CPUS) !== cache + CACHE_WORDS) return `records of CPUs at ${at(CACHE_CPUS)}`
  if (at(CACHE_NODES) !== nodes) return `records of nodes at ${at(CACHE_NODES)}`
  // On a state that was attached to, constructors are given anew, so one may be missing.
  const stray = s.c.ctors.has(at(CACHE_ID)) && (at(CACHE_STATE) & CACHE_HAS_CTOR) === 0
  if (stray || (at(CACHE_STATE) & ~(CACHE_HAS_CTOR | CACHE_GONE | CACHE_WAITS)) !== 0) {
    return `state ${at(CACHE_STATE)}${stray ? ', with a constructor' : ''}`
  }
  return startsFault(s, cache, places)
}

/** The places are the only words in which one bit is enough to hand an object out twice. */
function startsFault(s: Survey, cache: number, places: number): string | null {
  const { words } = s
  const starts = words[cache + CACHE_STARTS]!
  if (!s.isRecord(starts, 2 ** recordShift(places))) return `places at ${starts}`
  const expected = new Int32Array(places)
  const granule = words[cache + CACHE_GRANULE]!
  const size = words[cache + CACHE_SIZE]!
  const pad = words[cache + CACHE_PAD]!
  const objects = Math.max(words[cache + CACHE_OBJECTS]!, words[cache + CACHE_MIN_OBJECTS]!)
  for (let i = 0; i < objects; i++) {
    const bit = (i * size + pad) >> granule
    expected[bit >> 5]! |= 1 << (bit & 31)
  }
  for (let i = 0; i < places; i++) {
    if (words[starts + i] !== expected[i]) return `places ${words[starts + i]} in word ${i}`
  }
  return null
}

/** Checks which nodes a cache uses; what it has there is checked elsewhere. */
function checkNodes(s: Survey, cache: number): void {
  if (!s.sound.has(cache)) return
  const { words, v } = s
  const waits = s.waiting.has(cache)
  for (let id = 0; id < s.c.source.nrNodes; id++) {
    const node = cacheNode(words, cache, id)
    const used = words[node + SLAB_NODE_USED]!
    // A cache that only waits is not told of nodes that come.
    if ((used !== 0 && used !== 1) || (inNodeMask(words, id) && used === 0 && !waits)) {
      v.report('CACHE-4', `${nodeText(words, cache, id)} is used: ${used}`)
    }
    const held =
      words[node + SLAB_NODE_NR_PARTIAL]! |
      words[node + SLAB_NODE_NR_SLABS]! |
      words[node + SLAB_NODE_TOTAL_OBJECTS]! |
      words[node + SLAB_NODE_OBJECT]! |
      words[node + SLAB_NODE_OBJECT + 1]!
    if (used === 0 && held !== 0) {
      v.report('CACHE-4', `${nodeText(words, cache, id)} is not used, but has something`)
    }
  }
}
