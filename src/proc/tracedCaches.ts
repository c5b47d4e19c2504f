/**
 * Which cache each slab event of a trace is about.
 *
 * An allocation from a cache tells the cache's sizes but not its name; the free of the same object tells
 * the name. So what is freed within the trace names what was allocated, and an object that is not freed
 * belongs to the one cache that is known with its sizes, if there is one only.
 */

import { ZERO_SIZE_PTR } from '../slab/kmalloc'
import {
  KMALLOC_MAX_CACHE_SIZE,
  kmallocIndex,
  kmallocKind,
  kmallocName,
} from '../slab/kmallocClass'
import {
  FTRACE_KMALLOC,
  FTRACE_KMEM_CACHE_ALLOC,
  FTRACE_KMEM_CACHE_FREE,
  type SlabEvents,
} from './ftraceSlabEvents'

/** A cache of the traced kernel. */
export interface TracedCache {
  /** Its name; `kmalloc-large` for what comes straight from the pages; `unnamed-96-104` for sizes alone. */
  readonly name: string
  /** Whether its objects are from kmalloc. */
  readonly kmalloc: boolean
  /** Bytes of an object; 0 when the trace has only frees. */
  readonly objectSize: number
  /** Bytes of a slot; 0 when the trace has only frees, and for `kmalloc-large`. */
  readonly slotSize: number
}

/** The caches of a trace, and the events of each. */
export interface TracedCaches {
  /** The caches; several may have one name. */
  readonly caches: readonly TracedCache[]
  /** Index in `caches` for each event; -1 for one that tells of no object, or of which no cache is known. */
  readonly cacheOf: Int32Array
  /**
   * For each event that ends the life of an object allocated in the trace, that allocation; -1 for all
   * others. Mostly a free; an allocation that gives the same address proves a free without an event.
   */
  readonly endOf: Int32Array
}

/** Finds the caches of a trace, and where the life of each object ends. */
export function tracedCaches(events: SlabEvents): TracedCaches {
  const { count, kind, ptr } = events
  const endOf = new Int32Array(count).fill(-1)
  const nameOf = new Int32Array(count).fill(-1)
  const live = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const object = ptr[i]!
    if (object <= ZERO_SIZE_PTR) continue
    const allocation = live.get(object)
    if (allocation !== undefined) endOf[i] = allocation
    if (isAllocation(kind[i]!)) {
      live.set(object, i)
    } else if (allocation !== undefined) {
      live.delete(object)
      nameOf[allocation] = events.name[i]!
    }
  }
  const finder = new CacheFinder(events, nameOf)
  const cacheOf = new Int32Array(count).fill(-1)
  for (let i = 0; i < count; i++) {
    if (ptr[i]! <= ZERO_SIZE_PTR) continue
    const freed = isAllocation(kind[i]!) ? -1 : endOf[i]!
    cacheOf[i] = freed < 0 ? finder.find(i) : cacheOf[freed]!
  }
  return { caches: finder.caches, cacheOf, endOf }
}

/** Whether an event is the end of an allocation. */
export function isAllocation(kind: number): boolean {
  return kind === FTRACE_KMALLOC || kind === FTRACE_KMEM_CACHE_ALLOC
}

/** Stands for several caches where only one would tell anything. */
const SEVERAL = -1

/** Numbers the caches of a trace. */
class CacheFinder {
  readonly caches: TracedCache[] = []
  private readonly events: SlabEvents
  /** Name of the cache of each allocation, as the free tells it; -1 when there is none. */
  private readonly nameOf: Int32Array
  private readonly byNameAndSizes = new Map<string, number>()
  private readonly bySizes = new Map<string, number>()
  private readonly byName = new Map<string, number>()

  constructor(events: SlabEvents, nameOf: Int32Array) {
    this.events = events
    this.nameOf = nameOf
    for (let i = 0; i < events.count; i++) {
      if (events.kind[i] !== FTRACE_KMEM_CACHE_ALLOC || nameOf[i]! < 0) continue
      const name = events.names[nameOf[i]!] ?? ''
      const cache = this.withSizes(name, i)
      setOnly(this.byName, name, cache)
      setOnly(this.bySizes, sizesOf(events, i), cache)
    }
  }

  /** The cache of an allocation, or of a free of an object from before the trace. */
  find(i: number): number {
    const { kind, names, name, bytesAlloc, gfp } = this.events
    switch (kind[i]) {
      case FTRACE_KMALLOC:
        return this.kmalloc(bytesAlloc[i]!, gfp[i]!)
      case FTRACE_KMEM_CACHE_ALLOC: {
        const freedTo = names[this.nameOf[i]!]
        if (freedTo !== undefined) return this.withSizes(freedTo, i)
        const only = this.bySizes.get(sizesOf(this.events, i)) ?? SEVERAL
        return only === SEVERAL ? this.withSizes('', i) : only
      }
      case FTRACE_KMEM_CACHE_FREE: {
        const freedTo = names[name[i]!] ?? ''
        return this.byName.get(freedTo) ?? this.index(`${freedTo} `, freedTo, false, 0, 0)
      }
      default:
        return SEVERAL
    }
  }

  private kmalloc(bytes: number, gfp: number): number {
    if (bytes > KMALLOC_MAX_CACHE_SIZE) return this.index('', 'kmalloc-large', true, 0, 0)
    const name = kmallocName(kmallocKind(gfp), kmallocIndex(bytes))
    return this.index(`${name} kmalloc`, name, true, bytes, bytes)
  }

  /** The cache of a name and the sizes that allocation `i` tells. */
  private withSizes(name: string, i: number): number {
    const sizes = sizesOf(this.events, i)
    const { bytesReq, bytesAlloc } = this.events
    const full = name === '' ? `unnamed-${sizes}` : name
    return this.index(`${name} ${sizes}`, full, false, bytesReq[i]!, bytesAlloc[i]!)
  }

  private index(
    key: string,
    name: string,
    kmalloc: boolean,
    objectSize: number,
    slotSize: number,
  ): number {
    const known = this.byNameAndSizes.get(key)
    if (known !== undefined) return known
    this.byNameAndSizes.set(key, this.caches.length)
    return this.caches.push({ name, kmalloc, objectSize, slotSize }) - 1
  }
}

function sizesOf(events: SlabEvents, i: number): string {
  return `${events.bytesReq[i]}-${events.bytesAlloc[i]}`
}

/** Keeps a value while it is the only one of its key. */
function setOnly(map: Map<string, number>, key: string, value: number): void {
  const known = map.get(key) ?? value
  map.set(key, known === value ? value : SEVERAL)
}
