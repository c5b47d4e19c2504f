/** A machine with slabs of every kind in it, and ways to corrupt it: at least one for each invariant. */

import type { SlabInvariantId } from '../../src/debug/slabInvariants'
import { slubDebug } from '../../src/debug/slubDebug'
import {
  GFP_KERNEL,
  Kmalloc,
  onCpu,
  pageSource,
  SLAB_HWCACHE_ALIGN,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type VirtAddr,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_SLAB } from '../../src/page/pageFlags'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { allocObject } from '../../src/slab/objects'
import { nodeCounters } from '../../src/slab/slabState'
import { cacheNode, slabOrderOf } from '../../src/slab/slabs'
import { listAddTail, listRemove } from '../../src/state/lists'
import { PAGE_FLAGS, PAGE_ORDER_SHIFT, PAGE_REFS } from '../../src/state/schema'
import * as schema from '../../src/state/slabSchema'
import { must, type SlabMachine, slabMachine } from '../slab/machines'

/** The machine, with records by what they are. */
export interface BusySlabs extends SlabMachine {
  readonly heap: Kmalloc
  /** A cache with slabs of all places: on node 0, CPU 0. */
  readonly cache: number
  /** An RCU cache, with slabs in the queue. */
  readonly delayed: number
  /** A destroyed RCU cache that waits. */
  readonly waiting: number
  /** A cache whose destruction failed. */
  readonly gone: number
  /** A cache with a constructor, and no slabs. */
  readonly empty: number
  /** A cache with red zones and tracks: of its slabs on node 0 one is full. */
  readonly checked: number
  /** First frame of a large block of order 3. */
  readonly large: number
}

/** Fills `slabs` slabs of a cache and starts another, then frees one object of each of the first. */
function spread(cache: SlabCache, slabs: number): VirtAddr[] {
  const perSlab = cache.slabs.words[cache.record + schema.CACHE_OBJECTS]!
  const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, perSlab * slabs + 5)
  for (let i = 0; i < slabs - 2; i++) cache.free(must(objects[i * perSlab + (i % perSlab)]))
  return objects
}

/** Makes the machine. */
export function busySlabs(): BusySlabs {
  const machine = slabMachine({ cpus: 2, nodes: 2, slabs: { debug: slubDebug() } })
  const { slabs } = machine
  const heap = new Kmalloc(slabs)
  for (let size = 1; size < 20_000; size = size * 2 + 1) {
    const kept = must(heap.kmalloc(size))
    onCpu(machine.pages, 1, () => heap.kfree(must(heap.kmalloc(size))))
    if (size % 3 === 0) heap.kfree(kept)
  }
  const busy = new SlabCache(slabs, { name: 'busy', size: 1024, ctor: () => {} })
  spread(busy, 12)
  busy.free(must(busy.alloc()))
  onCpu(machine.pages, 1, () => spread(busy, 3))
  const delayed = new SlabCache(slabs, { name: 'delayed', size: 72, flags: SLAB_TYPESAFE_BY_RCU })
  kmemCacheFreeBulk(delayed, kmemCacheAllocBulk(delayed, GFP_KERNEL, 300))
  delayed.shrink()
  must(delayed.alloc())
  const flags = SLAB_TYPESAFE_BY_RCU | SLAB_RECLAIM_ACCOUNT
  const waiting = new SlabCache(slabs, { name: 'waiting', size: 500, flags })
  kmemCacheFreeBulk(waiting, kmemCacheAllocBulk(waiting, GFP_KERNEL, 20))
  waiting.destroy()
  const gone = new SlabCache(slabs, { name: 'gone', size: 3000, flags: SLAB_HWCACHE_ALIGN })
  must(gone.alloc())
  try {
    gone.destroy()
  } catch {
    // It has an object.
  }
  const merged = new SlabCache(slabs, { name: 'first', size: 700 })
  new SlabCache(slabs, { name: 'second', size: 704 })
  merged.free(must(merged.alloc()))
  merged.shrink()
  const checks = SLAB_RED_ZONE | SLAB_STORE_USER
  const checked = new SlabCache(slabs, { name: 'checked', size: 64, flags: checks })
  kmemCacheAllocBulk(
    checked,
    GFP_KERNEL,
    must(slabs.words[checked.record + schema.CACHE_OBJECTS]) + 3,
  )
  const empty = new SlabCache(slabs, { name: 'empty', size: 24, ctor: () => {} })
  for (const name of ['a', 'b']) new SlabCache(slabs, { name, size: 8, ctor: () => {} }).destroy()
  const large = must(heap.kmalloc(20_000)) / 4096
  return {
    ...machine,
    heap,
    cache: busy.record,
    delayed: delayed.record,
    waiting: waiting.record,
    gone: gone.record,
    empty: empty.record,
    checked: checked.record,
    large,
  }
}

// ---- Places in it ----

type Place = (m: BusySlabs) => number

const header: Place = () => 0
const cache: Place = (m) => m.cache
const word = (m: BusySlabs, at: number) => m.slabs.words[at]!
const cpu: Place = (m) => word(m, m.cache + schema.CACHE_CPUS)
const otherCpu: Place = (m) => cpu(m) + schema.SLAB_CPU_WORDS
const node: Place = (m) => cacheNode(m.slabs.words, m.cache, 0)
const emptyNode: Place = (m) => cacheNode(m.slabs.words, m.empty, 0)
const checkedNode: Place = (m) => cacheNode(m.slabs.words, m.checked, 0)
const counters: Place = (m) => nodeCounters(m.slabs.words, 0)
const cpuSlab: Place = (m) => word(m, cpu(m) + schema.SLAB_CPU_SLAB)
const cpuPartial: Place = (m) => word(m, cpu(m) + schema.SLAB_CPU_PARTIAL)
const nodePartial: Place = (m) => word(m, node(m) + schema.SLAB_NODE_PARTIAL)
const queued: Place = (m) => word(m, schema.SLAB_RCU_HEAD)
const freeRecord: Place = (m) => word(m, schema.SLAB_FREE_RECORDS)
const frame: Place = (m) => schema.SLAB_FRAMES + word(m, cpuSlab(m) + schema.SLAB_PFN)
const largeFrame: Place = (m) => schema.SLAB_FRAMES + m.large

/** A slab of the cache that nobody holds, because it is full. */
function fullSlab(m: BusySlabs): number {
  const { words } = m.slabs
  for (let pfn = 0; pfn < words[schema.SLAB_MAX_PFN]!; pfn++) {
    const slab = words[schema.SLAB_FRAMES + pfn]!
    const mine = slab > 0 && words[slab + schema.SLAB_CACHE] === m.cache
    if (!mine || words[slab + schema.SLAB_FREE] !== 0) continue
    if ((words[slab + schema.SLAB_FLAGS]! & schema.SLAB_FROZEN) === 0) return slab
  }
  throw new Error('no full slab')
}

/** Distance of the first free object of a slab from its start. */
function firstFree(m: BusySlabs, slab: number): number {
  return word(m, slab + schema.SLAB_FREE) - 1
}

/** Where RAM holds the free pointer of the CPU's first free object. */
function freePointer(m: BusySlabs): number {
  const slab = cpuSlab(m)
  const offset = word(m, cpu(m) + schema.SLAB_CPU_FREE) - 1
  const at = word(m, slab + schema.SLAB_PFN) * 4096 + offset
  return at + word(m, m.cache + schema.CACHE_OFFSET)
}

/** A bit of a slab's live words. */
function liveBit(m: BusySlabs, slab: number, offset: number): readonly [at: number, mask: number] {
  const bit = offset >> word(m, m.cache + schema.CACHE_GRANULE)
  return [slab + schema.SLAB_LIVE + (bit >> 5), 1 << (bit & 31)]
}

// ---- Corruptions ----

type Corruption = readonly [id: SlabInvariantId, what: string, corrupt: (m: BusySlabs) => void]

/** Sets a word of a record that `place` finds. */
function set(
  place: Place,
  column: number,
  value: number | ((before: number) => number),
): (m: BusySlabs) => void {
  return (m) => {
    const { words } = m.slabs
    const at = place(m) + column
    words[at] = typeof value === 'number' ? value : value(words[at]!)
  }
}

const add = (by: number) => (before: number) => before + by
const flip = (bits: number) => (before: number) => before ^ bits

/** Sets a word of a page's record. */
function setPage(
  pfn: Place,
  column: number,
  value: (before: number) => number,
): (m: BusySlabs) => void {
  return (m) => {
    const { words } = m.pages
    const at = pageRecord(pfn(m)) + column
    words[at] = value(words[at]!)
  }
}

const slabPfn: Place = (m) => word(m, cpuSlab(m) + schema.SLAB_PFN)

const HEADERS: readonly Corruption[] = [
  ['STATE-1', 'no magic number', set(header, schema.SLAB_MAGIC, 0)],
  ['STATE-1', 'another version', set(header, schema.SLAB_VERSION, 99)],
  ['STATE-1', 'other frames', set(header, schema.SLAB_MAX_PFN, add(1))],
  ['STATE-1', 'other CPUs', set(header, schema.SLAB_NR_CPUS, 3)],
  ['STATE-1', 'other nodes', set(header, schema.SLAB_NR_NODES, 1)],
  ['STATE-1', 'more words than there are', set(header, schema.SLAB_WORDS_USED, 2 ** 30)],
  ['STATE-1', 'words used in part', set(header, schema.SLAB_WORDS_USED, add(4))],
  ['STATE-2', 'a node that does not exist', set(header, schema.SLAB_NODE_MASK, 7)],
  ['STATE-2', 'a switch that is neither on nor off', set(header, schema.SLAB_DEBUG_ON, 2)],
  [
    'STATE-2',
    'checks that are off in spite of a debug cache',
    set(header, schema.SLAB_DEBUG_ON, 0),
  ],
  ['STATE-2', 'a word of no column', set(header, schema.SLAB_HEADER_WORDS - 1, 1)],
  ['STATE-2', 'numbers that come twice', set(header, schema.SLAB_NEXT_ID, 3)],
  ['STATE-2', 'another first cache', set(header, schema.SLAB_NODE_CACHE, (_) => 0)],
  ['KMALLOC-1', 'a kmalloc cache of another size', set(header, schema.SLAB_KMALLOC + 3, kmalloc4)],
  ['KMALLOC-1', 'a missing kmalloc cache', set(header, schema.SLAB_KMALLOC + 13, 0)],
]

function kmalloc4(before: number): number {
  return before + 16
}

const CACHES: readonly Corruption[] = [
  ['LIST-1', 'a list of caches that leads nowhere', set(cache, schema.CACHE_NEXT, 4)],
  ['LIST-1', 'a list of caches with a wrong PREV', set(cache, schema.CACHE_PREV, add(16))],
  ['CACHE-1', 'a wrong count of caches', set(header, schema.SLAB_NR_CACHES, add(-1))],
  ['CACHE-1', 'another slot size', set(cache, schema.CACHE_SIZE, add(8))],
  ['CACHE-1', 'another object size', set(cache, schema.CACHE_OBJECT_SIZE, 4)],
  ['CACHE-1', 'an alignment of no power of two', set(cache, schema.CACHE_ALIGN, 24)],
  ['CACHE-1', 'another free pointer', set(cache, schema.CACHE_OFFSET, add(-8))],
  ['CACHE-1', 'more objects in a slab', set(cache, schema.CACHE_OBJECTS, add(1))],
  ['CACHE-1', 'other GFP bits', set(cache, schema.CACHE_ALLOC_FLAGS, 0)],
  ['CACHE-1', 'internal flags', set(cache, schema.CACHE_FLAGS, flip(0x40000000))],
  ['CACHE-1', 'more slabs for a CPU', set(cache, schema.CACHE_CPU_PARTIAL_SLABS, add(1))],
  [
    'CACHE-1',
    'a place too many',
    (m) => {
      m.slabs.words[word(m, m.cache + schema.CACHE_STARTS)]! |= 0x40000000
      m.slabs.words[word(m, m.empty + schema.CACHE_STARTS)]! &= ~1
    },
  ],
  ['CACHE-1', 'another granule', set(cache, schema.CACHE_GRANULE, add(-1))],
  ['CACHE-1', 'records of CPUs elsewhere', set(cache, schema.CACHE_CPUS, add(4))],
  ['CACHE-1', 'a number that is used', set(cache, schema.CACHE_ID, 1)],
  [
    'CACHE-1',
    'a constructor of a cache that has none',
    (m) => void m.slabs.context.ctors.set(word(m, m.gone + schema.CACHE_ID), () => {}),
  ],
  ['CACHE-1', 'a constructor of nobody', (m) => void m.slabs.context.ctors.set(999, () => {})],
  ['CACHE-1', 'a user region behind the object', set(cache, schema.CACHE_USERSIZE, 1025)],
  ['CACHE-2', 'no names', set(cache, schema.CACHE_REFCOUNT, 0)],
  ['CACHE-2', 'names of a destroyed cache', set((m) => m.gone, schema.CACHE_REFCOUNT, 1)],
  ['CACHE-2', 'a cache on the list that waits', set(cache, schema.CACHE_STATE, (s) => s | 6)],
  [
    'CACHE-2',
    'names of a first cache',
    set((m) => word(m, schema.SLAB_NODE_CACHE), schema.CACHE_REFCOUNT, 1),
  ],
  ['CACHE-3', 'a descriptor elsewhere', set(cache, schema.CACHE_DESCRIPTOR, add(8))],
  [
    'CACHE-3',
    'no descriptor',
    (m) =>
      m.slabs.words.fill(
        0,
        m.cache + schema.CACHE_DESCRIPTOR,
        m.cache + schema.CACHE_DESCRIPTOR + 2,
      ),
  ],
  [
    'CACHE-3',
    'a node state of another cache',
    (m) => {
      const from = emptyNode(m) + schema.SLAB_NODE_OBJECT
      m.slabs.words[node(m) + schema.SLAB_NODE_OBJECT] = word(m, from)
    },
  ],
  [
    'CACHE-3',
    'a descriptor of no cache',
    (m) => {
      allocObject(m.slabs.context, word(m, schema.SLAB_CACHE_CACHE), GFP_KERNEL, -1, 0)
    },
  ],
  ['CACHE-4', 'a node that is used no more', set(node, schema.SLAB_NODE_USED, 0)],
  ['CACHE-4', 'a node used twice over', set(node, schema.SLAB_NODE_USED, 2)],
  [
    'CACHE-4',
    'something on a node of no cache',
    (m) => {
      m.slabs.words[schema.SLAB_NODE_MASK] = 1
      m.slabs.words[emptyNode(m) + schema.SLAB_NODE_WORDS + schema.SLAB_NODE_USED] = 0
    },
  ],
]

const LISTS: readonly Corruption[] = [
  ['LIST-1', 'a partial slab with a wrong PREV', set(nodePartial, schema.SLAB_PREV, add(16))],
  ['LIST-1', 'a partial list that leads nowhere', set(nodePartial, schema.SLAB_NEXT, -5)],
  [
    'LIST-1',
    'a partial list that comes back',
    (m) => {
      m.slabs.words[nodePartial(m) + schema.SLAB_NEXT] = nodePartial(m)
    },
  ],
  ['LIST-1', 'a partial list with another end', set(node, schema.SLAB_NODE_PARTIAL + 1, add(16))],
  [
    'LIST-1',
    'a slab of another cache',
    (m) => {
      listAddTail(m.slabs.words, emptyNode(m) + schema.SLAB_NODE_PARTIAL, fullSlab(m))
    },
  ],
  ['LIST-2', 'an empty list with a last record', set(emptyNode, schema.SLAB_NODE_PARTIAL + 1, 4)],
  ['PARTIAL-1', 'a frozen slab on a node’s list', set(nodePartial, schema.SLAB_FLAGS, flip(1))],
  [
    'PARTIAL-1',
    'a full slab on a node’s list',
    (m) => {
      listAddTail(m.slabs.words, node(m) + schema.SLAB_NODE_PARTIAL, fullSlab(m))
    },
  ],
  [
    'PARTIAL-1',
    'a slab of another node',
    (m) => {
      const slab = nodePartial(m)
      listRemove(m.slabs.words, slab)
      listAddTail(m.slabs.words, node(m) + schema.SLAB_NODE_WORDS + schema.SLAB_NODE_PARTIAL, slab)
    },
  ],
  ['PARTIAL-2', 'a slab too many in the count', set(node, schema.SLAB_NODE_NR_PARTIAL, add(1))],
  ['PARTIAL-2', 'a slab that was unlinked', (m) => listRemove(m.slabs.words, nodePartial(m))],
  ['PARTIAL-3', 'a CPU’s slab that is not frozen', set(cpuSlab, schema.SLAB_FLAGS, flip(1))],
  ['PARTIAL-3', 'a thawed slab on a CPU’s list', set(cpuPartial, schema.SLAB_FLAGS, flip(1))],
  [
    'PARTIAL-3',
    'a slab of two CPUs',
    (m) => {
      m.slabs.words[otherCpu(m) + schema.SLAB_CPU_SLAB] = cpuSlab(m)
    },
  ],
  [
    'PARTIAL-3',
    'a CPU’s list that comes back',
    (m) => {
      m.slabs.words[cpuPartial(m) + schema.SLAB_NEXT] = cpuPartial(m)
    },
  ],
  ['PARTIAL-3', 'a CPU’s slab that is no record', set(cpu, schema.SLAB_CPU_SLAB, 17)],
  [
    'PARTIAL-3',
    'a CPU’s slab of another cache',
    (m) => {
      const other = word(m, word(m, m.gone + schema.CACHE_CPUS))
      const cpus = word(m, m.delayed + schema.CACHE_CPUS)
      m.slabs.words[cpu(m) + schema.SLAB_CPU_PARTIAL] = word(m, cpus + schema.SLAB_CPU_SLAB)
      m.slabs.words[cpus + schema.SLAB_CPU_SLAB] = other
    },
  ],
  [
    'PARTIAL-3',
    'free objects without a slab',
    (m) => {
      m.slabs.words[word(m, m.empty + schema.CACHE_CPUS) + schema.SLAB_CPU_FREE] = 1
    },
  ],
  ['PARTIAL-4', 'a partial slab too many on a CPU', set(cpu, schema.SLAB_CPU_NR_PARTIAL, add(1))],
  ['SLAB-5', 'a frozen slab that nobody holds', set(fullSlab, schema.SLAB_FLAGS, flip(1))],
  ['SLAB-5', 'partial slabs that a CPU lost', set(cpu, schema.SLAB_CPU_PARTIAL, 0)],
  [
    'SLAB-6',
    'a full slab on a list',
    (m) => {
      listAddTail(m.slabs.words, node(m) + schema.SLAB_NODE_FULL, fullSlab(m))
    },
  ],
  [
    'SLAB-6',
    'a full slab of a cache with tracks on no list',
    (m) => listRemove(m.slabs.words, word(m, checkedNode(m) + schema.SLAB_NODE_FULL)),
  ],
  [
    'SLAB-6',
    'a CPU’s slab of a debug cache',
    (m) => {
      const slab = word(m, checkedNode(m) + schema.SLAB_NODE_PARTIAL)
      listRemove(m.slabs.words, slab)
      m.slabs.words[word(m, m.checked + schema.CACHE_CPUS) + schema.SLAB_CPU_SLAB] = slab
    },
  ],
  ['RCU-1', 'a queue with another end', set(header, schema.SLAB_RCU_TAIL, 0)],
  ['RCU-1', 'a queue that leads nowhere', set(queued, schema.SLAB_NEXT, 3)],
  [
    'RCU-1',
    'a queue that comes back',
    (m) => {
      m.slabs.words[word(m, schema.SLAB_RCU_TAIL) + schema.SLAB_NEXT] = queued(m)
    },
  ],
  ['RCU-1', 'a slab too many in the count', set((m) => m.delayed, schema.CACHE_RCU_SLABS, add(1))],
  ['RCU-1', 'a queued slab with an object', set(queued, schema.SLAB_INUSE, 1)],
  [
    'RCU-1',
    'a slab of an ordinary cache in the queue',
    (m) => {
      const slab = nodePartial(m)
      listRemove(m.slabs.words, slab)
      m.slabs.words[slab + schema.SLAB_NEXT] = queued(m)
      m.slabs.words[schema.SLAB_RCU_HEAD] = slab
    },
  ],
]

const SLABS: readonly Corruption[] = [
  [
    'SLAB-1',
    'a free object marked as in use',
    (m) => {
      const [at, mask] = liveBit(m, nodePartial(m), firstFree(m, nodePartial(m)))
      m.slabs.words[at]! |= mask
    },
  ],
  [
    'SLAB-1',
    'an object in use marked as free',
    (m) => {
      const [at, mask] = liveBit(m, fullSlab(m), 0)
      m.slabs.words[at]! &= ~mask
    },
  ],
  [
    'SLAB-1',
    'a mark behind the last place',
    (m) => {
      const { words } = m.slabs
      words[fullSlab(m) + (1 << word(m, m.cache + schema.CACHE_RECORD_SHIFT)) - 1] = 1
    },
  ],
  ['SLAB-1', 'a free object outside the slab', set(nodePartial, schema.SLAB_FREE, 1 << 20)],
  ['SLAB-1', 'a free object between two places', set(nodePartial, schema.SLAB_FREE, add(8))],
  ['SLAB-1', 'a pointer out of the slab, kept aside', set(nodePartial, schema.SLAB_FREE, -1)],
  ['SLAB-1', 'a free list that was lost', set(cpu, schema.SLAB_CPU_FREE, 0)],
  ['SLAB-1', 'a free object that was written to', (m) => m.ram.fill(freePointer(m), 8, 0x6b)],
  [
    'SLAB-1',
    'a free list that comes back',
    (m) => {
      const object = freePointer(m) - word(m, m.cache + schema.CACHE_OFFSET)
      m.ram.writeU32(freePointer(m), object)
    },
  ],
  ['SLAB-1', 'a free list that ends early', (m) => m.ram.writeU32(freePointer(m), 0)],
  [
    'SLAB-2',
    'a frame that names nothing',
    (m) => {
      m.slabs.words[frame(m) + 1] = 0
    },
  ],
  ['SLAB-2', 'a first frame that names nothing', set(frame, 0, 0)],
  ['SLAB-2', 'a frame that names no record', set(frame, 0, 12)],
  [
    'SLAB-2',
    'a frame that names another slab',
    (m) => {
      m.slabs.words[frame(m)] = fullSlab(m)
    },
  ],
  [
    'SLAB-2',
    'a free frame that names a slab',
    (m) => {
      m.slabs.words[schema.SLAB_FRAMES + 2040] = cpuSlab(m)
    },
  ],
  ['SLAB-3', 'a slab of no cache', set(cpuSlab, schema.SLAB_CACHE, 64)],
  ['SLAB-3', 'another count of objects', set(cpuSlab, schema.SLAB_OBJECTS, add(-1))],
  ['SLAB-3', 'another last object', set(cpuSlab, schema.SLAB_LAST, add(1024))],
  ['SLAB-3', 'another place in RAM', set(cpuSlab, schema.SLAB_RAM, add(1))],
  ['SLAB-3', 'another address', set(cpuSlab, schema.SLAB_BASE_LO, add(4096))],
  ['SLAB-3', 'an address that is too high', set(cpuSlab, schema.SLAB_BASE_HI, 1)],
  ['SLAB-3', 'an unknown flag', set(cpuSlab, schema.SLAB_FLAGS, flip(0x10))],
  ['SLAB-3', 'the mark of a debug cache', set(cpuSlab, schema.SLAB_FLAGS, flip(0x8))],
  ['SLAB-3', 'another granule', set(cpuSlab, schema.SLAB_FLAGS, flip(0x1000000))],
  ['SLAB-3', 'a node that does not exist', set(cpuSlab, schema.SLAB_FLAGS, flip(0x40000))],
  ['SLAB-4', 'an object too many in use', set(nodePartial, schema.SLAB_INUSE, add(1))],
  ['SLAB-4', 'objects of the CPU that count as free', set(cpuSlab, schema.SLAB_INUSE, add(-1))],
  ['COUNT-1', 'a slab too many', set(node, schema.SLAB_NODE_NR_SLABS, add(1))],
  ['COUNT-1', 'an object too few', set(node, schema.SLAB_NODE_TOTAL_OBJECTS, add(-1))],
  ['COUNT-2', 'a page too many', set(counters, schema.NODE_SLAB_UNRECLAIMABLE, add(1))],
  ['COUNT-2', 'pages of the other kind', set(counters, schema.NODE_SLAB_RECLAIMABLE, add(4))],
  ['LARGE-1', 'a large block of no order', set(largeFrame, 0, -13)],
  [
    'LARGE-1',
    'a large block off its place',
    (m) => {
      m.slabs.words[largeFrame(m) + 1] = word(m, largeFrame(m))
      m.slabs.words[largeFrame(m)] = 0
    },
  ],
  ['LARGE-1', 'a frame inside a large block', set(largeFrame, 3, -1)],
  ['RECORD-1', 'words that nobody knows', set(header, schema.SLAB_WORDS_USED, add(16))],
  [
    'RECORD-1',
    'a free record that was lost',
    (m) => {
      m.slabs.words[schema.SLAB_FREE_RECORDS] = word(m, freeRecord(m) + schema.SLAB_NEXT)
    },
  ],
  ['RECORD-2', 'a free record that was written to', set(freeRecord, 5, 1)],
  ['RECORD-2', 'free records that lead nowhere', set(freeRecord, schema.SLAB_NEXT, 40)],
  [
    'RECORD-2',
    'free records that come back',
    (m) => {
      m.slabs.words[freeRecord(m) + schema.SLAB_NEXT] = freeRecord(m)
    },
  ],
]

const PAGES: readonly Corruption[] = [
  ['PAGES-1', 'pages without the mark', setPage(slabPfn, PAGE_FLAGS, (f) => f & ~PG_SLAB)],
  ['PAGES-1', 'pages of another order', setPage(slabPfn, PAGE_FLAGS, add(1 << PAGE_ORDER_SHIFT))],
  ['PAGES-1', 'pages without references', setPage(slabPfn, PAGE_REFS, () => 0)],
  [
    'PAGES-1',
    'pages that were freed',
    (m) => {
      const slab = fullSlab(m)
      const order = slabOrderOf(m.slabs.words, slab)
      pageSource(m.pages).freeBlock(word(m, slab + schema.SLAB_PFN), order)
    },
  ],
  ['PAGES-1', 'a large block that was freed', (m) => pageSource(m.pages).freeBlock(m.large, 3)],
  ['PAGES-2', 'a slab of the reserve', set(cpuSlab, schema.SLAB_FLAGS, flip(2))],
  ['PAGES-2', 'pages of the reserve', setPage(slabPfn, PAGE_FLAGS, flip(-0x80000000))],
  [
    'PAGES-2',
    'a slab of another node',
    (m) => {
      const { words } = m.slabs
      const slab = cpuSlab(m)
      words[slab + schema.SLAB_FLAGS]! ^= 1 << schema.SLAB_NODE_SHIFT
      const pages = 1 << slabOrderOf(words, slab)
      const objects = word(m, slab + schema.SLAB_OBJECTS)
      for (const [id, step] of [
        [0, -1],
        [1, 1],
      ] as const) {
        const at = cacheNode(words, m.cache, id)
        words[at + schema.SLAB_NODE_NR_SLABS]! += step
        words[at + schema.SLAB_NODE_TOTAL_OBJECTS]! += step * objects
        words[nodeCounters(words, id) + schema.NODE_SLAB_UNRECLAIMABLE]! += step * pages
      }
    },
  ],
]

export const CORRUPTIONS: readonly Corruption[] = [
  ...HEADERS,
  ...CACHES,
  ...LISTS,
  ...SLABS,
  ...PAGES,
]
