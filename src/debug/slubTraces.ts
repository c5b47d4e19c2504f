/** Who allocated the objects in use of a cache, and who freed them. Source: spec/slab.md §18.5. */

import { InvalidArgument, KernelBug } from '../base/errors'
import { readWord32 } from '../slab/byteWords'
import { formatName } from '../slab/cacheName'
import type { ObjectTrack, SlabContext, TrackKind } from '../slab/context'
import { SLAB_STORE_USER } from '../slab/flags'
import type { SlabCache } from '../slab/slabCache'
import { cacheNode } from '../slab/slabs'
import {
  CACHE_OBJECT_SIZE,
  SLAB_NEXT,
  SLAB_NODE_FULL,
  SLAB_NODE_PARTIAL,
  SLAB_NODE_USED,
  SLAB_NR_NODES,
} from '../state/slabSchema'
import { askedSizeStart, hasFlags, keepsAskedSize, slabByte } from './slubSlot'
import { TRACK_ALLOC, TRACK_FREE } from './slubTrack'
import { freeObjects, placesOf } from './slubValidate'

/** Objects that one caller allocated or freed. */
interface Entry {
  readonly track: ObjectTrack
  /** Bytes that the caller did not ask for, of each object. */
  readonly waste: number
  count: number
  ageSum: number
  minAge: number
  maxAge: number
  minPid: number
  maxPid: number
  readonly cpus: Set<number>
  readonly nodes: Set<number>
}

/**
 * The text of `/sys/kernel/debug/slab/<cache>/alloc_traces`: callers that allocated the objects in
 * use, those with most of them first.
 * @throws InvalidArgument for a cache without SLAB_STORE_USER; KernelBug for a free list that is a
 * loop.
 */
export function formatAllocTraces(cache: SlabCache): string {
  return formatTraces(cache, TRACK_ALLOC)
}

/**
 * The text of `free_traces`: callers that freed what is now in use again. Errors as in {@link
 * formatAllocTraces}.
 */
export function formatFreeTraces(cache: SlabCache): string {
  return formatTraces(cache, TRACK_FREE)
}

function formatTraces(cache: SlabCache, kind: TrackKind): string {
  const c = cache.slabs.context
  if (!hasFlags(c.words, cache.record, SLAB_STORE_USER)) {
    throw new InvalidArgument('cache', cache, 'one with SLAB_STORE_USER')
  }
  const entries = sortByCount(collect(c, cache.record, kind))
  if (entries.length === 0) return 'No data\n'
  return entries.map((entry) => formatEntry(c, entry)).join('')
}

function formatEntry(c: SlabContext, entry: Entry): string {
  const { track, waste, count, ageSum, minAge, maxAge, minPid, maxPid } = entry
  let text = `${String(count).padStart(7)} ${track.label === '' ? '<not-available>' : track.label}`
  if (waste !== 0) text += ` waste=${count * waste}/${waste}`
  text += ` age=${minAge}`
  if (ageSum !== minAge) text += `/${Math.floor(ageSum / count)}/${maxAge}`
  text += minPid === maxPid ? ` pid=${minPid}` : ` pid=${minPid}-${maxPid}`
  if (c.source.nrCpus > 1) text += ` cpus=${formatList(entry.cpus)}`
  if (onlineNodes(c) > 1) text += ` nodes=${formatList(entry.nodes)}`
  if (track.stack.length === 0) return `${text}\n`
  return `${text}\n${track.stack.map((frame) => `        ${frame}\n`).join('')}\n`
}

function onlineNodes(c: SlabContext): number {
  let count = 0
  for (let id = 0; id < c.source.nrNodes; id++) count += c.source.isOnline(id) ? 1 : 0
  return count
}

/** A set of numbers as `0-2,5`. */
function formatList(numbers: ReadonlySet<number>): string {
  const parts: string[] = []
  for (const first of [...numbers].sort((a, b) => a - b)) {
    if (numbers.has(first - 1)) continue
    let last = first
    while (numbers.has(last + 1)) last += 1
    parts.push(first === last ? `${first}` : `${first}-${last}`)
  }
  return parts.join(',')
}

/** The entries of a cache, in ascending order of what tells them apart. */
function collect(c: SlabContext, cache: number, kind: TrackKind): Entry[] {
  const words = c.words
  const entries = new Map<string, Entry>()
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, cache, id)
    if (words[node + SLAB_NODE_USED] === 0) continue
    for (const head of [node + SLAB_NODE_PARTIAL, node + SLAB_NODE_FULL]) {
      for (let slab = words[head]!; slab !== head; slab = words[slab + SLAB_NEXT]!) {
        const free = freeObjects(c, cache, slab)
        if (free === null) throw loop(words, cache)
        for (const offset of placesOf(words, cache, slab)) {
          if (!free.has(offset)) addTrack(c, entries, cache, slab, offset, kind, id)
        }
      }
    }
  }
  return [...entries.values()].sort(byIdentity)
}

function loop(words: Int32Array, cache: number): KernelBug {
  const name = formatName(words, cache)
  const text = `the free list of a slab of cache ${name} is a loop: a kernel hangs in it`
  return new KernelBug('SIMULATED_FAULT', text)
}

function byIdentity(a: Entry, b: Entry): number {
  if (a.track.address !== b.track.address) return a.track.address < b.track.address ? -1 : 1
  return a.track.handle - b.track.handle || a.waste - b.waste
}

function addTrack(
  c: SlabContext,
  entries: Map<string, Entry>,
  cache: number,
  slab: number,
  offset: number,
  kind: TrackKind,
  node: number,
): void {
  const track = c.debug?.track(c, cache, slab, offset, kind) ?? null
  if (track === null) return
  const waste = kind === TRACK_ALLOC ? wasteOf(c, cache, slab, offset) : 0
  const key = `${track.address} ${track.handle} ${waste}`
  const { age, pid } = track
  const entry = entries.get(key)
  if (entry === undefined) {
    const ages = { ageSum: age, minAge: age, maxAge: age, minPid: pid, maxPid: pid }
    const sets = { cpus: new Set([track.cpu]), nodes: new Set([node]) }
    entries.set(key, { track, waste, count: 1, ...ages, ...sets })
    return
  }
  entry.count += 1
  entry.nodes.add(node)
  // A track that was never written has no time.
  if (track.when === 0) return
  entry.ageSum += age
  entry.minAge = Math.min(entry.minAge, age)
  entry.maxAge = Math.max(entry.maxAge, age)
  entry.minPid = Math.min(entry.minPid, pid)
  entry.maxPid = Math.max(entry.maxPid, pid)
  entry.cpus.add(track.cpu)
}

function wasteOf(c: SlabContext, cache: number, slab: number, offset: number): number {
  if (!keepsAskedSize(c.words, cache)) return 0
  const asked = readWord32(c.ram, slabByte(c, slab, offset + askedSizeStart(c.words, cache)))
  return c.words[cache + CACHE_OBJECT_SIZE]! - asked
}

/**
 * Sorts by descending count as the kernel does: a heap sort whose comparison never says "equal", so
 * that the order of equal counts is its own.
 */
function sortByCount(entries: Entry[]): Entry[] {
  const after = (a: number, b: number) => entries[a]!.count <= entries[b]!.count
  const swap = (a: number, b: number) => {
    const held = entries[a]!
    entries[a] = entries[b]!
    entries[b] = held
  }
  const parent = (at: number) => (at - 1) >> 1
  let n = entries.length
  for (let a = n >> 1; n > 1; ) {
    if (a > 0) {
      a -= 1
    } else {
      n -= 1
      if (n === 0) break
      swap(0, n)
    }
    let b = a
    let d = 2 * b + 2
    for (; d < n; d = 2 * b + 2) b = after(d - 1, d) ? d - 1 : d
    if (d === n) b = d - 1
    while (b !== a && after(a, b)) b = parent(b)
    const end = b
    while (b !== a) {
      b = parent(b)
      swap(b, end)
    }
  }
  return entries
}
