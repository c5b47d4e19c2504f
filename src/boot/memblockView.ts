/** What a memblock holds and what can be asked of it without changing it. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type Log, noLog } from '../base/log'
import { NUMA_NO_NODE, PAGE_SIZE } from '../base/units'
import type { BootMemory, BootRange } from './bootMemory'
import { eachFree, eachFreeReverse, type FreeRange, isSkipped } from './memblockFind'
import {
  checkedEnd,
  MAX_NUMNODES,
  MEMBLOCK_DRIVER_MANAGED,
  MEMBLOCK_FLAGS,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_NOMAP,
  MEMBLOCK_NONE,
  type MemblockRegion,
  PHYS_ADDR_MAX,
  RegionArray,
} from './memblockRegions'

/** Settings of a memblock. */
export interface MemblockOptions {
  /** Slots of the memory array, and of the reserved one unless given: 128. */
  readonly maxRegions?: number
  /** Slots of the reserved array (AArch64: 128 + CPUs + 1). */
  readonly maxReservedRegions?: number
  /** Takes the kernel's messages; silent when left out. */
  readonly log?: Log
  /** Logs every change, as the boot option `memblock=debug` does. */
  readonly debug?: boolean
  /** Clears `size` bytes at physical address `base`: what the allocations that are not raw call. */
  readonly zero?: (base: number, size: number) => void
}

/** Which free ranges to list. */
export interface FreeRangeOptions {
  /** Node from 0 to 63; any when left out. */
  readonly nid?: number
  /** MEMBLOCK_* bits that are asked for; none when left out. */
  readonly flags?: number
}

/** Whole page frames `[start, end)` of one memory region. */
export interface PfnRange {
  /** First frame. */
  readonly start: number
  /** One past the last frame. */
  readonly end: number
  /** Node from 0 to 63, or 64 for none. */
  readonly nid: number
}

/**
 * The reading side of a memblock. Regions are listed in address order; nothing may be changed during an iteration.
 * Addresses are integers from 0 to 2^53 - 1. Source: spec/vmalloc.md §16.1, §16.4, §16.8.
 */
export class MemblockView implements BootMemory {
  /** Whether space is searched from the lowest address up. The kernel searches from the top down. */
  bottomUp = false
  /** Whether hotpluggable memory is kept free (boot option `movable_node`). */
  movableNode = false
  /** @internal */
  readonly memoryArray: RegionArray
  /** @internal */
  readonly reservedArray: RegionArray
  protected readonly log: Log
  protected readonly debug: boolean
  protected readonly zero: (base: number, size: number) => void
  #currentLimit = PHYS_ADDR_MAX
  #warnedOfNode = false

  /** @throws InvalidArgument for a number of slots that is no integer from 1 to 2^20. */
  constructor(options: MemblockOptions = {}) {
    const maxMemory = options.maxRegions ?? 128
    const maxReserved = options.maxReservedRegions ?? maxMemory
    checkInteger('maxRegions', maxMemory, 1, 2 ** 20)
    checkInteger('maxReservedRegions', maxReserved, 1, 2 ** 20)
    this.memoryArray = new RegionArray('memory', maxMemory)
    this.reservedArray = new RegionArray('reserved', maxReserved)
    this.log = options.log ?? noLog
    this.debug = options.debug ?? false
    this.zero = options.zero ?? (() => {})
  }

  /** Where accessible memory ends: the end of a search that names none. All ones at first. */
  get currentLimit(): number {
    return this.#currentLimit
  }

  /** @throws InvalidArgument for a limit that is no integer from 0 to 2^53 - 1. */
  set currentLimit(limit: number) {
    checkInteger('limit', limit, 0, PHYS_ADDR_MAX)
    this.#currentLimit = limit
  }

  /** The memory regions, a live view; without any, one placeholder of size 0. */
  get memoryRegions(): readonly MemblockRegion[] {
    return this.memoryArray.regions
  }

  /** The reserved regions, a live view; without any, one placeholder of size 0. */
  get reservedRegions(): readonly MemblockRegion[] {
    return this.reservedArray.regions
  }

  /** A copy of the memory regions for the page allocator, without a placeholder. */
  get memory(): readonly BootRange[] {
    return bootRanges(this.memoryRegions)
  }

  /** A copy of the reserved regions for the page allocator, without a placeholder. */
  get reserved(): readonly BootRange[] {
    return bootRanges(this.reservedRegions)
  }

  /** Bytes of memory. As in the kernel, what {@link trimMemory} cut off a region that it kept still counts. */
  physMemSize(): number {
    return this.memoryArray.totalSize
  }

  /** Bytes reserved, whether memory or not. */
  reservedSize(): number {
    return this.reservedArray.totalSize
  }

  /** The lowest address of memory; 0 without any. */
  startOfDRAM(): number {
    return this.memoryRegions[0]?.base ?? 0
  }

  /** One past the highest address of memory; 0 without any. */
  endOfDRAM(): number {
    const last = this.memoryRegions.at(-1)
    return last === undefined ? 0 : last.base + last.size
  }

  /** Whether `address` is memory. O(log regions), as the next two. @throws InvalidArgument outside 0 to 2^53 - 1. */
  isMemory(address: number): boolean {
    return this.#find(this.memoryArray, address) !== null
  }

  /** Whether `address` is memory of the direct map: memory without NOMAP. */
  isMapMemory(address: number): boolean {
    const region = this.#find(this.memoryArray, address)
    return region !== null && (region.flags & MEMBLOCK_NOMAP) === 0
  }

  /** Whether `address` is reserved. */
  isReserved(address: number): boolean {
    return this.#find(this.reservedArray, address) !== null
  }

  /** Whether one memory region holds `[base, base + size)`, which is capped first. O(log regions). */
  isRegionMemory(base: number, size: number): boolean {
    const end = checkedEnd(base, size)
    const region = this.memoryArray.find(base)
    return region !== null && region.base + region.size >= end
  }

  /** Whether any reserved region overlaps `[base, base + size)`; touching is not overlapping. O(regions). */
  isRegionReserved(base: number, size: number): boolean {
    const end = checkedEnd(base, size)
    return this.reservedRegions.some(
      (region) => region.base < end && base < region.base + region.size,
    )
  }

  /** Node and frames, both ends rounded down, of the memory region with frame `pfn`; null outside memory. */
  searchPfnNid(pfn: number): PfnRange | null {
    checkInteger('pfn', pfn, 0, Math.floor(PHYS_ADDR_MAX / PAGE_SIZE))
    const region = this.memoryArray.find(pfn * PAGE_SIZE)
    if (region === null) return null
    const start = Math.floor(region.base / PAGE_SIZE)
    const end = Math.floor((region.base + region.size) / PAGE_SIZE)
    return { start, end, nid: region.nid }
  }

  /**
   * The free ranges, ascending: each lies in one memory region and in no reserved one.
   * Memory that is NOMAP or DRIVER_MANAGED, and in movable-node mode HOTPLUG, must be asked for; with MIRROR only
   * mirrored memory is listed. O(regions) for all. @throws InvalidArgument for a wrong node or flag.
   */
  freeRanges(options: FreeRangeOptions = {}): Generator<FreeRange, void, undefined> {
    return eachFree(this.memoryRegions, this.reservedRegions, this.#filter(options))
  }

  /** The ranges of {@link freeRanges} from the highest to the lowest. */
  freeRangesReverse(options: FreeRangeOptions = {}): Generator<FreeRange, void, undefined> {
    return eachFreeReverse(this.memoryRegions, this.reservedRegions, this.#filter(options))
  }

  /** The memory regions as address ranges, ascending; those of the direct map alone, so not NOMAP. */
  *memRanges(): Generator<FreeRange, void, undefined> {
    const filter = this.#filter({ flags: MEMBLOCK_HOTPLUG | MEMBLOCK_DRIVER_MANAGED })
    for (const region of this.memoryRegions) {
      if (region.size === 0 || isSkipped(region, filter)) continue
      yield { start: region.base, end: region.base + region.size, nid: region.nid }
    }
  }

  /**
   * The whole page frames of every memory region, ascending; regions without one are left out.
   * Of node `nid` alone, or of all for 64 and -1. @throws InvalidArgument for a node outside -1 to 64.
   */
  pfnRanges(nid = MAX_NUMNODES): Generator<PfnRange, void, undefined> {
    checkInteger('nid', nid, NUMA_NO_NODE, MAX_NUMNODES)
    return eachPfnRange(this.memoryRegions, nid === MAX_NUMNODES ? NUMA_NO_NODE : nid)
  }

  /** The node of a request, -1 for any; 64 is an old way to say so. */
  protected requestedNode(nid: number): number {
    checkInteger('nid', nid, NUMA_NO_NODE, MAX_NUMNODES)
    if (nid !== MAX_NUMNODES) return nid
    if (!this.#warnedOfNode) this.log('memblock: node 64 in a request is taken as any node (-1)')
    this.#warnedOfNode = true
    return NUMA_NO_NODE
  }

  #filter({ nid = NUMA_NO_NODE, flags = MEMBLOCK_NONE }: FreeRangeOptions) {
    checkFlags(flags)
    return { nid: this.requestedNode(nid), flags, movableNode: this.movableNode }
  }

  #find(array: RegionArray, address: number): MemblockRegion | null {
    checkInteger('address', address, 0, PHYS_ADDR_MAX)
    return array.find(address)
  }
}

/** Throws InvalidArgument unless `flags` are MEMBLOCK_* bits. */
export function checkFlags(flags: number): void {
  if (!Number.isInteger(flags) || flags < 0 || flags > MEMBLOCK_FLAGS) {
    throw new InvalidArgument('flags', flags, 'a set of MEMBLOCK_* bits, 0 to 15')
  }
}

function* eachPfnRange(
  regions: readonly MemblockRegion[],
  nid: number,
): Generator<PfnRange, void, undefined> {
  for (const region of regions) {
    if (nid !== NUMA_NO_NODE && nid !== region.nid) continue
    const start = Math.ceil(region.base / PAGE_SIZE)
    const end = Math.floor((region.base + region.size) / PAGE_SIZE)
    if (start < end) yield { start, end, nid: region.nid }
  }
}

function bootRanges(regions: readonly MemblockRegion[]): BootRange[] {
  return regions
    .filter((region) => region.size > 0)
    .map(({ base, size, flags, nid }) =>
      nid === MAX_NUMNODES ? { base, size, flags } : { base, size, flags, node: nid },
    )
}
