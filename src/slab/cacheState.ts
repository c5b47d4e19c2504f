/**
 * The whole state of a cache as plain data, in the form of the recordings: reading it, and making a cache
 * continue from it.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import {
  CACHE_ALIGN,
  CACHE_CPU_PARTIAL,
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_CPUS,
  CACHE_FLAGS,
  CACHE_INUSE,
  CACHE_MIN_OBJECTS,
  CACHE_MIN_ORDER,
  CACHE_MIN_PARTIAL,
  CACHE_OBJECT_SIZE,
  CACHE_OBJECTS,
  CACHE_OFFSET,
  CACHE_ORDER,
  CACHE_PAD,
  CACHE_RECORD_SHIFT,
  CACHE_RED_LEFT_PAD,
  CACHE_REFCOUNT,
  CACHE_SIZE,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_NR_PARTIAL,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NR_NODES,
  SLAB_OBJECTS,
  SLAB_PFN,
} from '../state/slabSchema'
import { formatName } from './cacheName'
import type { SlabContext } from './context'
import { isPlace, readFreePointer, setLive, writeFreePointer } from './freePointer'
import { addPartial } from './partial'
import type { SlabCache } from './slabCache'
import { takeRecord } from './slabState'
import { cacheNode, countPages, fillRecord } from './slabs'

/** A slab: a CPU's or a partial one. */
export interface SlabState {
  /** First page frame. */
  readonly pfn: number
  /** Objects in use, those that a CPU holds included. */
  readonly inuse: number
  /** Objects that it has room for. */
  readonly objects: number
  /** 1: a CPU works with it or holds it. */
  readonly frozen: number
  /** Its own free objects, as physical addresses in hexadecimal, in the order in which they come out. */
  readonly free: readonly string[]
}

/** What a node holds of a cache. */
export interface CacheNodeState {
  /** Slabs on its partial list. */
  readonly nrPartial: number
  /** All slabs on the node. */
  readonly slabs: number
  /** Objects in them. */
  readonly totalObjects: number
  /** The partial list, first slab first. */
  readonly partial: readonly SlabState[]
}

/** The state of a cache; names and units as in {@link SlabCache} and the kernel's `struct kmem_cache`. */
export interface CacheState {
  /** Name in texts. */
  readonly name: string
  /** Distance from an object to the next. bytes */
  readonly size: number
  /** Bytes that belong to the owner of an object. */
  readonly object_size: number
  /** Where the metadata of an object starts. bytes */
  readonly inuse: number
  /** Where a free object holds its free pointer. bytes */
  readonly offset: number
  /** Alignment of objects. bytes */
  readonly align: number
  /** Order of slabs. */
  readonly order: number
  /** Objects in a slab of that order. */
  readonly objs: number
  /** Order of slabs when there are no blocks of the other. */
  readonly minorder: number
  /** Objects in such a slab. */
  readonly minobjs: number
  /** Partial slabs that a node keeps before empty ones go back. */
  readonly min_partial: number
  /** Objects that a CPU may hold in partial slabs. */
  readonly cpu_partial: number
  /** Slabs at which its list overflows. */
  readonly cpu_partial_slabs: number
  /** SLAB_ flags, internal ones included. */
  readonly flags: number
  /** Bytes of the red zone in front of an object. */
  readonly red_left_pad: number
  /** Names that the cache has; -1 for the two that all others rest on. */
  readonly refcount: number
  /** What the CPU holds: its free objects in order, its slab, its partial slabs. */
  readonly cpu: {
    /** Its free objects, as physical addresses in hexadecimal, the next one first. */
    readonly freelist: readonly string[]
    /** The slab that it works with. */
    readonly slab: SlabState | null
    /** Its partial slabs, the next one first. */
    readonly partial: readonly SlabState[]
  }
  /** What each node holds, by its number. */
  readonly nodes: Readonly<Record<string, CacheNodeState>>
}

/** The state of a cache, seen from `cpu`: the one that runs when not given. Cost: every free object. */
export function cacheState(cache: SlabCache, cpu?: number): CacheState {
  const c = cache.slabs.context
  const { words } = c
  const record = cache.record
  const at = (column: number) => words[record + column]!
  const number = cpu ?? c.running.cpu
  checkInteger('cpu', number, 0, c.source.nrCpus - 1)
  const mine = at(CACHE_CPUS) + (number << SLAB_CPU_SHIFT)
  const slab = words[mine + SLAB_CPU_SLAB]!
  const partial: SlabState[] = []
  for (let p = words[mine + SLAB_CPU_PARTIAL]!; p !== 0; p = words[p + SLAB_NEXT]!) {
    partial.push(slabState(c, record, p))
  }
  const nodes: Record<string, CacheNodeState> = {}
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) nodes[id] = nodeStateOf(c, record, id)
  return {
    name: formatName(words, record),
    size: at(CACHE_SIZE),
    object_size: at(CACHE_OBJECT_SIZE),
    inuse: at(CACHE_INUSE),
    offset: at(CACHE_OFFSET),
    align: at(CACHE_ALIGN),
    order: at(CACHE_ORDER),
    objs: at(CACHE_OBJECTS),
    minorder: at(CACHE_MIN_ORDER),
    minobjs: at(CACHE_MIN_OBJECTS),
    min_partial: at(CACHE_MIN_PARTIAL),
    cpu_partial: at(CACHE_CPU_PARTIAL),
    cpu_partial_slabs: at(CACHE_CPU_PARTIAL_SLABS),
    flags: at(CACHE_FLAGS) >>> 0,
    red_left_pad: at(CACHE_RED_LEFT_PAD),
    refcount: at(CACHE_REFCOUNT),
    cpu: {
      freelist: chainOf(c, record, slab, words[mine + SLAB_CPU_FREE]!),
      slab: slab === 0 ? null : slabState(c, record, slab),
      partial,
    },
    nodes,
  }
}

function nodeStateOf(c: SlabContext, cache: number, id: number): CacheNodeState {
  const words = c.words
  const node = cacheNode(words, cache, id)
  const partial: SlabState[] = []
  const head = node + SLAB_NODE_PARTIAL
  for (let slab = words[head]!; slab !== head; slab = words[slab + SLAB_NEXT]!) {
    partial.push(slabState(c, cache, slab))
  }
  return {
    nrPartial: words[node + SLAB_NODE_NR_PARTIAL]!,
    slabs: words[node + SLAB_NODE_NR_SLABS]!,
    totalObjects: words[node + SLAB_NODE_TOTAL_OBJECTS]!,
    partial,
  }
}

function slabState(c: SlabContext, cache: number, slab: number): SlabState {
  const words = c.words
  return {
    pfn: words[slab + SLAB_PFN]!,
    inuse: words[slab + SLAB_INUSE]!,
    objects: words[slab + SLAB_OBJECTS]!,
    frozen: words[slab + SLAB_FLAGS]! & SLAB_FROZEN,
    free: chainOf(c, cache, slab, words[slab + SLAB_FREE]!),
  }
}

/** The free objects of a chain, as far as it can be trusted. */
function chainOf(c: SlabContext, cache: number, slab: number, first: number): string[] {
  const { words } = c
  const objects: string[] = []
  const base = words[slab + SLAB_PFN]! * PAGE_SIZE
  for (let at = first; isPlace(words, cache, slab, at - 1); ) {
    if (objects.length === words[slab + SLAB_OBJECTS]) break
    objects.push(`0x${(base + at - 1).toString(16)}`)
    at = readFreePointer(c, cache, slab, at - 1)
  }
  return objects
}

/**
 * Makes a cache without slabs continue from a state: its CPU's slabs, its partial lists and counters. The pages must
 * be in use; objects that are not free count as in use. Full slabs are on no list, so they are counted but
 * not known: their objects can not be freed.
 * @throws InvalidArgument, with nothing changed, for a state of another geometry, slabs on frames that hold objects, or
 * objects that no slab of the cache has.
 */
export function loadCache(cache: SlabCache, state: CacheState): void {
  const c = cache.slabs.context
  const words = c.words
  const record = cache.record
  checkLoad(c, cache, state)
  const cpu = words[record + CACHE_CPUS]! + (c.running.cpu << SLAB_CPU_SHIFT)
  for (const [id, held] of Object.entries(state.nodes)) {
    const node = cacheNode(words, record, Number(id))
    for (const slab of held.partial) addPartial(words, record, loadSlab(c, record, slab), false)
    words[node + SLAB_NODE_NR_SLABS] = held.slabs
    words[node + SLAB_NODE_TOTAL_OBJECTS] = held.totalObjects
  }
  if (state.cpu.slab !== null) {
    const slab = loadSlab(c, record, state.cpu.slab)
    words[cpu + SLAB_CPU_SLAB] = slab
    words[cpu + SLAB_CPU_FREE] = loadChain(c, record, slab, state.cpu.freelist)
  }
  for (const held of [...state.cpu.partial].reverse()) {
    const slab = loadSlab(c, record, held)
    words[slab + SLAB_NEXT] = words[cpu + SLAB_CPU_PARTIAL]!
    words[cpu + SLAB_CPU_PARTIAL] = slab
    words[cpu + SLAB_CPU_NR_PARTIAL]! += 1
  }
}

/** Throws unless a cache has no slabs and can have those of a state. */
function checkLoad(c: SlabContext, cache: SlabCache, state: CacheState): void {
  const words = c.words
  const record = cache.record
  if (state.size !== words[record + CACHE_SIZE] || state.order !== words[record + CACHE_ORDER]) {
    throw new InvalidArgument('state', state, `one of a cache with slots of ${cache.size} bytes`)
  }
  const taken = new Set<number>()
  for (const [id, { partial }] of Object.entries(state.nodes)) {
    checkInteger('node', Number(id), 0, words[SLAB_NR_NODES]! - 1)
    for (const slab of partial) checkSlab(c, record, slab, [], taken)
  }
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    if (words[cacheNode(words, record, id) + SLAB_NODE_NR_SLABS] === 0) continue
    throw new InvalidArgument('cache', cache, 'without slabs')
  }
  const { slab, freelist, partial } = state.cpu
  if (slab !== null) checkSlab(c, record, slab, freelist, taken)
  for (const held of partial) checkSlab(c, record, held, [], taken)
}

/** Throws unless a slab fits a cache, its pages hold no objects yet, and its free objects are places, each once. */
function checkSlab(
  c: SlabContext,
  cache: number,
  slab: SlabState,
  freelist: readonly string[],
  taken: Set<number>,
): void {
  const words = c.words
  const { pfn, objects } = slab
  const small = objects === words[cache + CACHE_MIN_OBJECTS]
  if (objects !== words[cache + CACHE_OBJECTS] && !small) {
    throw new InvalidArgument('objects of a slab', objects, `${words[cache + CACHE_OBJECTS]}`)
  }
  checkInteger('pfn of a slab', pfn, 0, c.source.maxPfn - 1)
  const pages = 2 ** words[cache + (small ? CACHE_MIN_ORDER : CACHE_ORDER)]!
  for (let page = pfn; page < pfn + pages; page++) {
    const free = page < c.source.maxPfn && words[SLAB_FRAMES + page] === 0 && !taken.has(page)
    if (!free) throw new InvalidArgument('pfn of a slab', page, 'a frame that holds no objects')
    taken.add(page)
  }
  checkInteger('objects in use', slab.inuse, objects - slab.free.length, objects - slab.free.length)
  const size = words[cache + CACHE_SIZE]!
  const named = new Set<number>()
  for (const text of [...slab.free, ...freelist]) {
    const index = (Number(text) - pfn * PAGE_SIZE - words[cache + CACHE_PAD]!) / size
    if (Number.isInteger(index) && index >= 0 && index < objects && !named.has(index)) {
      named.add(index)
      continue
    }
    throw new InvalidArgument('free object', text, 'a place of its slab, named once')
  }
}

function loadSlab(c: SlabContext, cache: number, state: SlabState): number {
  const words = c.words
  const order = state.objects === words[cache + CACHE_OBJECTS] ? CACHE_ORDER : CACHE_MIN_ORDER
  const slab = takeRecord(words, words[cache + CACHE_RECORD_SHIFT]!)
  if (slab === 0) throw new InvalidArgument('state', state, 'small enough for the state buffer')
  fillRecord(c, cache, slab, state.pfn, words[cache + order]!, state.objects)
  countPages(c, cache, slab, 1 << words[cache + order]!)
  words[slab + SLAB_FLAGS]! |= state.frozen
  words[slab + SLAB_INUSE] = state.inuse
  for (let offset = 0; offset < PAGE_SIZE << words[cache + order]!; offset += 8) {
    if (isPlace(words, cache, slab, offset)) setLive(words, cache, slab, offset, true)
  }
  words[slab + SLAB_FREE] = loadChain(c, cache, slab, state.free)
  return slab
}

/** Links free objects, named by address; returns what names the first. */
function loadChain(
  c: SlabContext,
  cache: number,
  slab: number,
  objects: readonly string[],
): number {
  const words = c.words
  let next = 0
  for (const text of [...objects].reverse()) {
    const offset = Number(text) - words[slab + SLAB_PFN]! * PAGE_SIZE
    setLive(words, cache, slab, offset, false)
    writeFreePointer(c, cache, slab, offset, next)
    next = offset + 1
  }
  return next
}
