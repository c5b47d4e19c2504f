/**
 * What every part of the slab layer is handed: its state, the pages beneath, the hooks, and what cannot
 * live in a buffer.
 */

import type { KernelBug } from '../base/errors'
import type { Layout } from '../base/layout'
import type { VirtAddr } from '../base/units'
import type { ByteRam, PageSource, Running } from '../page/pageSource'

/** Sets an object up once, when its slab is made. */
export type Ctor = (object: VirtAddr) => void

/** Receives what happens in the kernel's words. Methods may read the allocator but must not call it. */
export interface SlabLogOps {
  /** A request found no memory for a slab. */
  outOfMemory(c: SlabContext, cache: number, gfp: number, node: number): void
  /** Bits were taken out of a request's mask that no slab may be asked for with. */
  badGfp(c: SlabContext, bad: number, gfp: number): void
  /** A warning with these lines in its frame; `once` ones come only the first time. */
  warn(c: SlabContext, place: string, lines: readonly string[]): void
  /** A cache could not be made. */
  createFailed(c: SlabContext, name: string, errno: number, panic: boolean): void
  /** A cache with objects could not be destroyed; returns the lines of the reports. */
  busyCache(c: SlabContext, cache: number): readonly string[]
  /** Something was refused that a kernel would not have noticed, or only with checks; returns the report. */
  refused(c: SlabContext, text: string): readonly string[]
}

/**
 * Receives the slab events of the `kmem` trace system. A listener must not call the allocator, nor throw: it is in the
 * middle of a call, which would end half-way. Those of `Tracepoints` may throw.
 */
export interface SlabTrace {
  /** An allocation from a kmalloc cache, or a large one. `object` is 0 when it failed. */
  kmalloc(object: number, bytesReq: number, bytesAlloc: number, gfp: number, node: number): void
  /** An allocation from another cache. */
  cacheAlloc(object: number, bytesReq: number, bytesAlloc: number, gfp: number, node: number): void
  /** A free by address alone; 0 for null. */
  kfree(object: number): void
  /** A free to a cache, by name. */
  cacheFree(object: number, name: string): void
}

/** Decides whether an allocation is made to fail. */
export interface SlabFaults {
  /** True to fail a request for an object of the cache, before anything is touched. */
  failSlab(c: SlabContext, cache: number, gfp: number): boolean
}

/**
 * Keeps free pointers from being guessed: how they are stored, and the order of a new slab's objects.
 * Halves are signed 32-bit integers.
 */
export interface SlabHardening {
  /** The secret of a new cache: two words. */
  secret(c: SlabContext): readonly [lo: number, hi: number]
  /** Low half of what is stored for a pointer; applied twice it gives the pointer back. */
  codeLow(secretLow: number, atHigh: number): number
  /** High half of the same. */
  codeHigh(secretHigh: number, atLow: number): number
  /** Order in which a new slab's objects come out, or null for ascending. */
  order(c: SlabContext, cache: number, objects: number): readonly number[] | null
}

/** Who allocated or freed an object, as a debug cache remembers it. */
export interface ObjectTrack {
  /** Address that stands for the caller, as it lies in memory; 0 when nobody was remembered. */
  readonly address: bigint
  /** Its name; '' for address 0. */
  readonly label: string
  /** Number of its stack; 0 for none. */
  readonly handle: number
  /** The stack, innermost frame first. */
  readonly stack: readonly string[]
  /** When it was; 0 for never. jiffies */
  readonly when: number
  /** How long ago that is. jiffies */
  readonly age: number
  /** The CPU that did it. */
  readonly cpu: number
  /** The task that did it. */
  readonly pid: number
}

/** Which track of an object: that of its allocation, or that of its last free. */
export type TrackKind = 0 | 1

/**
 * What debug caches do otherwise than others: those with one of SLAB_DEBUG_FLAGS. Objects are named by
 * their distance from the start of their slab.
 */
export interface SlabDebugOps {
  /** The flags of a new cache: those asked for, and those that the boot parameter adds. */
  cacheFlags(c: SlabContext, name: string, flags: number): number
  /** True when slabs may not become larger for debugging: the letter O. */
  readonly noHigherOrder: boolean
  /** True when debugging is in force from the start. */
  readonly onAtBoot: boolean
  /** Marks the bytes of a new slab, before its objects are set up. */
  setUpSlab(c: SlabContext, slab: number): void
  /** Marks the bytes of an object of a new slab, before its constructor. */
  setUpObject(c: SlabContext, slab: number, offset: number): void
  /**
   * Allocates from a debug cache: kernel address of the object, or 0. `size` is what kmalloc was asked
   * for, 0 elsewhere.
   */
  alloc(c: SlabContext, cache: number, gfp: number, node: number, size: number): number
  /** Throws, with nothing changed, when freeing the object would throw. */
  check(c: SlabContext, cache: number, slab: number, offset: number): void
  /** Frees objects of one slab of a debug cache: the first becomes the slab's first free object. */
  free(c: SlabContext, cache: number, slab: number, offsets: readonly number[]): void
  /** Looks at a slab that is about to go back. */
  discard(c: SlabContext, slab: number): void
  /** Throws what was found in slabs that went back: the end of each call that may give some back. */
  settle(c: SlabContext): void
  /** Checks a whole cache; returns the slabs looked at. */
  validate(c: SlabContext, cache: number): number
  /** What to throw for a bug that the log has told of; null to go on as the kernel would. */
  stop(c: SlabContext, code: string, message: string, report: readonly string[]): KernelBug | null
  /** Writes who allocated and freed the object at an address, if it is one and that is known. */
  printTracks(c: SlabContext, slab: number, address: number): void
  /** Who allocated or freed an object; null in caches that do not remember. */
  track(
    c: SlabContext,
    cache: number,
    slab: number,
    offset: number,
    kind: TrackKind,
  ): ObjectTrack | null
}

/** The slab layer's view of its state. Offsets that change are in `words`; fields are copies or hooks. */
export class SlabContext {
  /** The state. */
  readonly words: Int32Array
  /** The pages beneath. */
  readonly source: PageSource
  /** Which CPU runs. */
  readonly running: Running
  /** The bytes of the pages. */
  readonly ram: ByteRam
  /** Where kernel addresses lie. */
  readonly layout: Layout
  /** Kernel address of physical address 0. */
  readonly directMap: number
  /** The sign extension of the layout's addresses, as a signed word. */
  readonly signHigh: number
  /** The bytes as 32-bit words; too short for all of them, or of length 0, once a WebAssembly memory has grown. */
  ramWords: Int32Array
  /** True when nothing but the allocation itself is to be done: no listener, no injected faults, no zeroing. */
  plain: boolean
  /** Receives the kernel's messages. */
  log: SlabLogOps
  /** Receives the events; null when nobody listens. */
  trace: SlabTrace | null
  /** Makes allocations fail; null when none are to. */
  faults: SlabFaults | null
  /** Debug caches; null when there can be none. */
  debug: SlabDebugOps | null
  /** Encoding of free pointers; null for none. */
  hardening: SlabHardening | null
  /** Zero objects when they are allocated. */
  readonly initOnAlloc: boolean
  /** Zero objects when they are freed. */
  readonly initOnFree: boolean
  /** Whether caches may share slabs at all. */
  readonly merging: boolean
  /** Smallest order of slabs. */
  readonly minOrder: number
  /** Largest order of slabs, as long as an object fits. */
  readonly maxOrder: number
  /** Objects that a slab should have room for; 0 to let the number of CPUs decide. */
  readonly minObjects: number
  /** Tells whether a search of other nodes is worth it: the kernel asks a cycle counter, 0 to 1023. */
  readonly cycles: () => number
  /** Constructors by the CACHE_ID of their cache. */
  readonly ctors = new Map<number, Ctor>()
  /** Name of what calls, for tracks and warnings; '' when not given. */
  caller: string

  constructor(words: Int32Array, source: PageSource, options: ContextOptions) {
    this.words = words
    this.source = source
    this.running = source.running
    this.ram = source.ram
    this.layout = options.layout
    // 0 as a small integer, which that of a layout is not: sums with it stay integers (measured: 5 ns a pair).
    this.directMap = options.layout.directMap === 0 ? 0 : options.layout.directMap
    this.signHigh = options.layout.signHigh | 0
    this.ramWords = source.ram.words
    this.plain = true
    this.log = options.log
    this.trace = null
    this.faults = null
    this.debug = options.debug
    this.hardening = options.hardening
    this.initOnAlloc = options.initOnAlloc
    this.initOnFree = options.initOnFree
    this.merging = options.merging
    this.minOrder = options.minOrder
    this.maxOrder = options.maxOrder
    this.minObjects = options.minObjects
    this.cycles = options.cycles
    this.caller = ''
    decidePlain(this)
  }
}

/** What a context is made of, besides the state and the pages. */
export type ContextOptions = Pick<
  SlabContext,
  | 'layout'
  | 'log'
  | 'debug'
  | 'hardening'
  | 'initOnAlloc'
  | 'initOnFree'
  | 'merging'
  | 'minOrder'
  | 'maxOrder'
  | 'minObjects'
  | 'cycles'
>

/** The fast paths are for the ordinary case; to be called when a hook has changed. */
export function decidePlain(c: SlabContext): void {
  c.plain =
    c.trace === null &&
    c.faults === null &&
    c.hardening === null &&
    !c.initOnAlloc &&
    !c.initOnFree &&
    !c.ram.tracksDirty
}
