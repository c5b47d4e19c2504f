/** One sorted array of memblock regions: insertion, splitting, merging and lookup, without growth. */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'

/**
 * The largest physical address, 2^53 - 1. The kernel's is 2^64 - 1; ranges are capped to it in the same way (DIFF-19).
 * As in the kernel a capped range ends here, so the byte at this address belongs to no range.
 */
export const PHYS_ADDR_MAX = 9007199254740991
/** In a region: no node. Nodes are 0 to 63. */
export const MAX_NUMNODES = 64

/** Ordinary memory. */
export const MEMBLOCK_NONE = 0
/** May be unplugged later: kept free of allocations in movable-node mode. */
export const MEMBLOCK_HOTPLUG = 1
/** Mirrored by the hardware: preferred once any memory is marked so. */
export const MEMBLOCK_MIRROR = 2
/** Not in the direct map: never allocated. */
export const MEMBLOCK_NOMAP = 4
/** Added by a driver: never allocated. */
export const MEMBLOCK_DRIVER_MANAGED = 8
/** Every flag. */
export const MEMBLOCK_FLAGS = 15

/** A range of addresses `[base, base + size)` with one node and one set of flags. */
export interface MemblockRegion {
  /** First byte. */
  readonly base: number
  /** Bytes; 0 only in the placeholder of an empty array. */
  readonly size: number
  /** MEMBLOCK_* bits. */
  readonly flags: number
  /** Node from 0 to 63, or 64 for no node. */
  readonly nid: number
}

/** A run of array indices `[start, end)`. */
export interface IndexRun {
  readonly start: number
  readonly end: number
}

/** A range of addresses `[start, end)`. */
export interface AddressRange {
  /** First byte. */
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

interface MutableRegion {
  base: number
  size: number
  flags: number
  nid: number
}

/** All that changes in a {@link RegionArray}, to be put back when a growth fails half way. */
export interface SavedRegions {
  readonly regions: readonly MemblockRegion[]
  readonly max: number
  readonly totalSize: number
  readonly uncountedTrim: number
  readonly space: AddressRange | null
}

/**
 * The regions of one type, sorted and disjoint. An empty array holds one placeholder of size 0, as the kernel's does.
 * The caller makes room (`count` <= `max`) before it inserts or isolates. Source: spec/vmalloc.md §16.1 to §16.3.
 */
export class RegionArray {
  readonly name: 'memory' | 'reserved'
  /** Slots before the first doubling. */
  readonly initialMax: number
  /** Slots. */
  max: number
  /** Bytes as the kernel counts them: too many by `uncountedTrim`. */
  totalSize = 0
  /** Bytes that trimming took off regions without taking them off `totalSize`, as in the kernel. */
  uncountedTrim = 0
  /** Where the doubled array lies; null for the initial, static one. */
  space: AddressRange | null = null
  readonly #regions: MutableRegion[] = [placeholder()]

  constructor(name: 'memory' | 'reserved', max: number) {
    this.name = name
    this.initialMax = max
    this.max = max
  }

  /** The regions in address order: a live view, the placeholder included. */
  get regions(): readonly MemblockRegion[] {
    return this.#regions
  }

  /** Slots in use: 1 when empty. */
  get count(): number {
    return this.#regions.length
  }

  isEmpty(): boolean {
    return this.#at(0).size === 0
  }

  /** The parts of `[base, end)` that no region covers, ascending. O(regions). */
  uncovered(base: number, end: number): AddressRange[] {
    const parts: AddressRange[] = []
    let at = base
    for (const region of this.#regions) {
      if (region.base >= end) break
      const regionEnd = region.base + region.size
      if (regionEnd <= at) continue
      if (region.base > at) parts.push({ start: at, end: region.base })
      at = Math.min(regionEnd, end)
    }
    if (at < end) parts.push({ start: at, end })
    return parts
  }

  /** Puts `parts`, which no region may cover, into the array and merges it. */
  insert(parts: readonly AddressRange[], flags: number, nid: number): void {
    if (parts.length === 0) return
    if (this.isEmpty()) {
      // The placeholder becomes the region: what trimming left in the total is forgotten with it.
      this.#regions.length = 0
      this.totalSize = 0
      this.uncountedTrim = 0
    }
    let index = 0
    for (const { start, end } of parts) {
      while (index < this.#regions.length && this.#at(index).base < start) index++
      this.#regions.splice(index, 0, { base: start, size: end - start, flags, nid })
      this.totalSize += end - start
    }
    this.merge()
  }

  /** Splits regions at `base` and `end`; returns the regions that lie inside. Needs two spare slots. */
  isolate(base: number, end: number): IndexRun {
    if (this.isEmpty()) return { start: 0, end: 0 }
    this.#splitAt(base)
    this.#splitAt(end)
    let start = 0
    while (start < this.count && this.#at(start).base < base) start++
    let stop = start
    while (stop < this.count && this.#at(stop).base < end) stop++
    return { start, end: stop }
  }

  /** Deletes regions without merging the rest; the last one leaves the placeholder. */
  delete({ start, end }: IndexRun): void {
    for (let i = start; i < end; i++) this.totalSize -= this.#at(i).size
    this.#regions.splice(start, end - start)
    if (this.#regions.length === 0) this.#regions.push(placeholder())
  }

  /** Sets and clears flags of the regions of a run, then merges. */
  changeFlags({ start, end }: IndexRun, set: number, clear: number): void {
    for (let i = start; i < end; i++) {
      const region = this.#at(i)
      region.flags = (region.flags | set) & ~clear
    }
    this.merge()
  }

  /** Sets the node of the regions of a run, then merges. */
  changeNode({ start, end }: IndexRun, nid: number): void {
    for (let i = start; i < end; i++) this.#at(i).nid = nid
    this.merge()
  }

  /** Shrinks every region to whole units of `align` bytes; those without a whole unit are deleted. */
  trim(align: number): void {
    if (this.isEmpty()) return
    let index = 0
    while (index < this.count && !this.isEmpty()) {
      const region = this.#at(index)
      const start = Math.ceil(region.base / align) * align
      const end = Math.floor((region.base + region.size) / align) * align
      if (start >= end) {
        this.delete({ start: index, end: index + 1 })
        continue
      }
      this.uncountedTrim += region.size - (end - start)
      region.base = start
      region.size = end - start
      index++
    }
  }

  /** Joins neighbours that touch and have the same node and flags. */
  merge(): void {
    const regions = this.#regions
    let kept = 0
    for (let i = 1; i < regions.length; i++) {
      const last = this.#at(kept)
      const next = this.#at(i)
      if (
        last.base + last.size === next.base &&
        last.nid === next.nid &&
        last.flags === next.flags
      ) {
        last.size += next.size
      } else {
        kept++
        regions[kept] = next
      }
    }
    regions.length = kept + 1
  }

  /** The region that holds `address`, or null. O(log regions). */
  find(address: number): MemblockRegion | null {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >> 1
      const region = this.#at(middle)
      if (address < region.base) high = middle
      else if (address >= region.base + region.size) low = middle + 1
      else return region
    }
    return null
  }

  save(): SavedRegions {
    const { max, totalSize, uncountedTrim, space } = this
    const regions = this.#regions.map((region) => ({ ...region }))
    return { regions, max, totalSize, uncountedTrim, space }
  }

  restore(saved: SavedRegions): void {
    // The array stays the same object: `regions` is a live view of it.
    this.#regions.length = 0
    for (const region of saved.regions) this.#regions.push({ ...region })
    this.max = saved.max
    this.totalSize = saved.totalSize
    this.uncountedTrim = saved.uncountedTrim
    this.space = saved.space
  }

  #splitAt(address: number): void {
    const index = this.#regions.findIndex(
      ({ base, size }) => base < address && address < base + size,
    )
    if (index < 0) return
    const lower = this.#at(index)
    const upper = { ...lower, base: address, size: lower.base + lower.size - address }
    lower.size = address - lower.base
    this.#regions.splice(index + 1, 0, upper)
  }

  #at(index: number): MutableRegion {
    const region = this.#regions[index]
    if (region === undefined)
      throw new KernelBug('MEMBLOCK_INDEX', `${this.name} has no region ${index}`)
    return region
  }
}

/**
 * The end of `[base, base + size)`, capped to {@link PHYS_ADDR_MAX}.
 * @throws InvalidArgument for a base or size that is no integer from 0 to 2^53 - 1.
 */
export function checkedEnd(base: number, size: number): number {
  checkInteger('base', base, 0, PHYS_ADDR_MAX)
  checkInteger('size', size, 0, PHYS_ADDR_MAX)
  return base + Math.min(size, PHYS_ADDR_MAX - base)
}

/** Throws InvalidArgument unless `align` is a power of two (2^52 at most). */
export function checkAlign(align: number): void {
  let odd = align
  while (odd >= 2 && odd % 2 === 0) odd /= 2
  if (odd !== 1 || align > 2 ** 52) {
    throw new InvalidArgument('align', align, 'a power of two from 1 to 2^52')
  }
}

function placeholder(): MutableRegion {
  return { base: 0, size: 0, flags: MEMBLOCK_NONE, nid: MAX_NUMNODES }
}
