/**
 * Ranges of any numbers: addresses, ids, places in a GPU's memory. The allocator of the kernel's virtual
 * addresses by itself, without pages.
 *
 * Where the kernel's search skips a place that would do, this one does not: a range goes to the lowest
 * address that fits. For alignments up to the granule both are the same.
 *
 * Source: spec/vmalloc.md §3, §4.
 */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import {
  AREA_MAX,
  AREA_START,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VMAP_COUNTS,
  VMAP_END,
  VMAP_FREE_BYTES,
  VMAP_LAZY,
  VMAP_LAZY_BYTES,
  VMAP_ROOTS,
  VMAP_START,
} from '../state/vmapSchema'
import { findArea, freeAreaNow, occupy, releaseArea, reserveArea, takeArea } from './vmapArea'
import { attachVmap, createVmap, isPowerOfTwo, VmapContext } from './vmapContext'
import { dropArea, takeSpace } from './vmapFit'
import { purge } from './vmapPurge'
import { areaAt } from './vmapTree'

/** Ranges in use when not told otherwise. */
const DEFAULT_AREAS = 65536
const MAX_AREAS = 2 ** 25
const MAX_ALIGN = 2 ** 52

/** What a space is made of. */
export interface VmapSpaceOptions {
  /** First address: 0 or more. */
  readonly start: number
  /** One more than the last address: below 2^53. */
  readonly end: number
  /**
   * What all ranges are multiples of: a power of two up to 2^30. Sizes are rounded up; the start and the end
   * are multiples too. 1 when not given.
   */
  readonly granule?: number
  /** Ranges, in use or waiting for a purge, that there is room for: 1 to 2^25; 65,536 when not given. */
  readonly maxAreas?: number
  /**
   * Whether freed ranges stay apart until {@link VmapSpace.purge}, or until there is no other room: for users
   * that may still hold an address for a while. False when not given.
   */
  readonly lazy?: boolean
  /** Whether the state is a SharedArrayBuffer. False when not given. */
  readonly shared?: boolean
}

/** A range of addresses: half-open. */
export interface VmapRange {
  /** First address. */
  readonly start: number
  /** One more than the last address. */
  readonly end: number
}

/** A range and what it is. */
export interface VmapSpaceArea extends VmapRange {
  /** `free`, in use (`busy`), or freed and waiting for a purge (`lazy`). */
  readonly state: 'free' | 'busy' | 'lazy'
}

const STATES = ['free', 'busy', 'lazy'] as const

/**
 * An allocator of ranges.
 *
 * ```ts
 * const ids = new VmapSpace({ start: 1, end: 65536 })
 * const id = ids.alloc(1)
 * if (id !== null) ids.free(id)
 * ```
 *
 * Each call takes time by the logarithm of the ranges, and `alloc` with a larger alignment also for each free
 * range that is large enough but has no aligned place. All numbers are integers in [0, 2^53).
 */
export class VmapSpace {
  /** What the ranges are kept in, for the library's own layers. @internal */
  readonly context: VmapContext
  private readonly start: number
  private readonly end: number
  private readonly lazy: boolean

  /**
   * Makes a space, all of it free.
   * @throws InvalidArgument for bounds that are no integers, not in order or no multiples of the granule, and
   * for other options out of range.
   */
  constructor(options: VmapSpaceOptions)
  /** Works on the space of a view. @internal */
  constructor(context: VmapContext)
  constructor(options: VmapSpaceOptions | VmapContext) {
    this.context = options instanceof VmapContext ? options : newContext(options)
    const { words, numbers } = this.context
    this.start = numbers[VMAP_START >> 1]!
    this.end = numbers[VMAP_END >> 1]!
    this.lazy = words[VMAP_LAZY] !== 0
  }

  /**
   * Works on the state of a space that exists: ranges in use stay so.
   * @throws InvalidArgument for a buffer that is not one.
   */
  static attach(state: ArrayBuffer | SharedArrayBuffer): VmapSpace {
    return new VmapSpace(attachVmap(state))
  }

  /** The state: all that there is to keep, or to share. */
  get state(): ArrayBuffer | SharedArrayBuffer {
    return this.context.words.buffer as ArrayBuffer | SharedArrayBuffer
  }

  /** Numbers that are free. */
  get freeBytes(): number {
    return this.context.numbers[VMAP_FREE_BYTES >> 1]!
  }

  /** Numbers that were freed and wait for a purge. */
  get lazyBytes(): number {
    return this.context.numbers[VMAP_LAZY_BYTES >> 1]!
  }

  /** Ranges in use. */
  get busyAreas(): number {
    return this.context.words[VMAP_COUNTS + TREE_BUSY]!
  }

  /** Size of the largest free range; 0 for none. */
  get largestFree(): number {
    const root = this.context.words[VMAP_ROOTS + TREE_FREE]!
    return root === 0 ? 0 : this.context.numbers[(root + AREA_MAX) >> 1]!
  }

  /**
   * Allocates `size` numbers, rounded up to granules, at the lowest place in [low, high) that is free.
   * @param align what the first one is a multiple of: a power of two up to 2^52.
   * @returns the first number; the range is the caller's until it is freed. Null when there is no such place,
   * or no room for one more range.
   */
  alloc(size: number, align = 1, low: number = this.start, high: number = this.end): number | null {
    const { granule } = this.context
    checkInteger('size', size, 1, Number.MAX_SAFE_INTEGER)
    checkInteger('align', align, 1, MAX_ALIGN)
    if (!isPowerOfTwo(align)) throw new InvalidArgument('align', align, 'a power of two')
    checkInteger('low', low, 0, Number.MAX_SAFE_INTEGER)
    checkInteger('high', high, 0, Number.MAX_SAFE_INTEGER)
    const bytes = granule === 1 ? size : Math.ceil(size / granule) * granule
    const first = Math.max(low, this.start)
    const last = Math.min(high, this.end)
    const multiple = Math.max(align, granule)
    const base = this.take(bytes, multiple, first, last)
    if (base >= 0) return base
    const again = this.purge() ? this.take(bytes, multiple, first, last) : -1
    return again < 0 ? null : again
  }

  /**
   * Allocates exactly [at, at + size), the size rounded up to granules.
   * @returns whether all of it was free, and is the caller's now.
   * @throws InvalidArgument for `at` no multiple of the granule.
   */
  reserve(at: number, size: number): boolean {
    const { granule } = this.context
    checkInteger('at', at, 0, Number.MAX_SAFE_INTEGER)
    checkInteger('size', size, 1, Number.MAX_SAFE_INTEGER)
    if (at % granule !== 0) throw new InvalidArgument('at', at, `a multiple of ${granule}`)
    const end = at + Math.ceil(size / granule) * granule
    if (reserveArea(this.context, at, end, 0, NUMA_NO_NODE) !== 0) return true
    return this.purge() && reserveArea(this.context, at, end, 0, NUMA_NO_NODE) !== 0
  }

  /**
   * Frees the range that starts at `address`.
   * @throws KernelBug, with nothing changed, when no range in use starts there.
   */
  free(address: number): void {
    checkInteger('address', address, 0, Number.MAX_SAFE_INTEGER)
    const area = findArea(this.context, address)
    if (area === 0 || this.context.numbers[(area + AREA_START) >> 1] !== address) {
      throw new KernelBug('BAD_FREE', `no range in use starts at ${address}`)
    }
    if (this.lazy) releaseArea(this.context, area)
    else freeAreaNow(this.context, area)
  }

  /** The range in use that holds `address`; null for none. */
  find(address: number): VmapRange | null {
    checkInteger('address', address, 0, Number.MAX_SAFE_INTEGER)
    const area = findArea(this.context, address)
    return area === 0 ? null : rangeOf(this.context, area)
  }

  /** Frees what waits for it; false when there was nothing. */
  purge(): boolean {
    return purge(this.context, false)
  }

  /** All ranges, ascending; of what changes on the way, what lies ahead is seen. */
  *areas(): Generator<VmapSpaceArea, void, undefined> {
    const c = this.context
    let at = this.start
    while (at < this.end) {
      let tree = TREE_FREE
      let area = areaAt(c, TREE_FREE, at)
      for (; area === 0 && tree < TREE_PURGE; area = areaAt(c, tree, at)) tree += 1
      if (area === 0) return
      const range = rangeOf(c, area)
      yield { ...range, state: STATES[tree]! }
      at = range.end
    }
  }

  /** Takes a range; -1 for no room. */
  private take(size: number, align: number, low: number, high: number): number {
    const c = this.context
    const area = takeArea(c, 0, NUMA_NO_NODE)
    if (area === 0) return -1
    // With the bare size for a length the search leaves nothing out.
    const base = takeSpace(c, size, size, align, low, high)
    if (base < 0) {
      dropArea(c, area)
      return -1
    }
    occupy(c, area, base, base + size)
    return base
  }
}

function newContext(options: VmapSpaceOptions): VmapContext {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgument('options', options, 'options of a space')
  }
  const { start, end, granule = 1, maxAreas = DEFAULT_AREAS } = options
  const { lazy = false, shared = false } = options
  checkInteger('maxAreas', maxAreas, 1, MAX_AREAS)
  checkInteger('end', end, 0, Number.MAX_SAFE_INTEGER)
  // A free range more than ranges in use, at most.
  const maxRecords = 2 * maxAreas + 1
  const c = createVmap({ start, end, granule, limit: end, maxRecords, lazy, shared })
  if (start % granule !== 0) throw new InvalidArgument('start', start, `a multiple of ${granule}`)
  if (end % granule !== 0) throw new InvalidArgument('end', end, `a multiple of ${granule}`)
  return c
}

function rangeOf(c: VmapContext, area: number): VmapRange {
  const place = (area + AREA_START) >> 1
  return { start: c.numbers[place]!, end: c.numbers[place + 1]! }
}
