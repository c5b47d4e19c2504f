/** Changes to a memblock: ranges come and go, get flags and nodes, and the arrays grow. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE } from '../base/units'
import { findSpace } from './memblockFind'
import {
  type AddressRange,
  checkAlign,
  checkedEnd,
  type IndexRun,
  MAX_NUMNODES,
  MEMBLOCK_HOTPLUG,
  MEMBLOCK_MIRROR,
  MEMBLOCK_NOMAP,
  MEMBLOCK_NONE,
  PHYS_ADDR_MAX,
  type RegionArray,
} from './memblockRegions'
import { hex64, rangeText } from './memblockText'
import { checkFlags, MemblockView } from './memblockView'

/** Bytes of one region in the kernel (64-bit, with NUMA): what a doubled array takes, and leaves as it is (DIFF-21). */
const REGION_BYTES = 24
/** Mirror warnings that a rate limit lets through in its first period, which boot does not outlast. */
const MIRROR_WARNINGS = 10

/**
 * The writing side of a memblock, without the allocations.
 *
 * Every range is capped to end at {@link PHYS_ADDR_MAX}; one of size 0 changes nothing. A method answers false,
 * and nothing was changed, when an array is full and cannot grow (the kernel's -ENOMEM). `caller` is the label in
 * the lines of `memblock=debug`. Wrong numbers throw InvalidArgument. Every change is O(regions).
 * Source: spec/vmalloc.md §16.2, §16.3, §16.7, §16.8.
 */
export class MemblockRanges extends MemblockView {
  /** Whether memory marked as mirrored is preferred from now on. */
  protected hasMirror = false
  #mirrorRequested = false
  #resizable = false
  #mirrorWarnings = 0

  /** Adds memory without a node. Where memory is already, it keeps its node and flags. */
  add(base: number, size: number, caller = ''): boolean {
    const end = checkedEnd(base, size)
    this.#traceRange('memblock_add', base, size, '', caller)
    return this.#addRange(this.memoryArray, base, end, MEMBLOCK_NONE, MAX_NUMNODES)
  }

  /** Adds memory of node `nid` (0 to 63; 64 and -1 for none) with MEMBLOCK_* `flags`. */
  addNode(
    base: number,
    size: number,
    nid: number,
    flags: number = MEMBLOCK_NONE,
    caller = '',
  ): boolean {
    const end = checkedEnd(base, size)
    const node = regionNode(nid)
    checkFlags(flags)
    const details = ` nid=${nid} flags=${flags.toString(16)}`
    this.#traceRange('memblock_add_node', base, size, details, caller)
    return this.#addRange(this.memoryArray, base, end, flags, node)
  }

  /** Reserves a range, whether it is memory or not, and reserved before or not. */
  reserve(base: number, size: number, caller = ''): boolean {
    const end = checkedEnd(base, size)
    this.#traceRange('memblock_reserve', base, size, '', caller)
    return this.#addRange(this.reservedArray, base, end, MEMBLOCK_NONE, MAX_NUMNODES)
  }

  /** Takes memory away; what is reserved there stays reserved. */
  remove(base: number, size: number, caller = ''): boolean {
    const end = checkedEnd(base, size)
    this.#traceRange('memblock_remove', base, size, '', caller)
    return this.#removeRange(this.memoryArray, base, end)
  }

  /** Ends the reservation of a range, of any part of any reservation (`memblock_phys_free`). */
  free(base: number, size: number, caller = ''): boolean {
    const end = checkedEnd(base, size)
    this.#traceRange('memblock_phys_free', base, size, '', caller)
    return this.#removeRange(this.reservedArray, base, end)
  }

  /** Marks memory as unpluggable. */
  markHotplug(base: number, size: number): boolean {
    return this.#changeFlags(base, size, MEMBLOCK_HOTPLUG, 0)
  }

  /** Takes the mark of {@link markHotplug} away. */
  clearHotplug(base: number, size: number): boolean {
    return this.#changeFlags(base, size, 0, MEMBLOCK_HOTPLUG)
  }

  /** Keeps memory out of the direct map and of every allocation. */
  markNomap(base: number, size: number): boolean {
    return this.#changeFlags(base, size, MEMBLOCK_NOMAP, 0)
  }

  /** Takes the mark of {@link markNomap} away. */
  clearNomap(base: number, size: number): boolean {
    return this.#changeFlags(base, size, 0, MEMBLOCK_NOMAP)
  }

  /** Marks memory as mirrored; changes nothing before {@link setMirroredKernelMemory}. */
  markMirror(base: number, size: number): boolean {
    checkedEnd(base, size)
    if (!this.#mirrorRequested || size === 0) return true
    if (!this.#changeFlags(base, size, MEMBLOCK_MIRROR, 0)) return false
    this.hasMirror = true
    return true
  }

  /** Asks for kernel memory in mirrored memory (boot option `kernelcore=mirror`). */
  setMirroredKernelMemory(): void {
    this.#mirrorRequested = true
  }

  /** Sets the node (0 to 63; 64 and -1 for none) of the memory or the reservations in a range. */
  setNode(base: number, size: number, type: 'memory' | 'reserved', nid: number): boolean {
    const end = checkedEnd(base, size)
    const node = regionNode(nid)
    if (type !== 'memory' && type !== 'reserved') {
      throw new InvalidArgument('type', type, "'memory' or 'reserved'")
    }
    const array = type === 'memory' ? this.memoryArray : this.reservedArray
    if (end === base) return true
    const run = this.#isolate(array, base, end)
    if (run === null) return false
    array.changeNode(run, node)
    return true
  }

  /** Shrinks every memory region to whole units of `align` bytes, a power of two; see {@link physMemSize}. */
  trimMemory(align: number): void {
    checkAlign(align)
    this.memoryArray.trim(align)
  }

  /**
   * Removes memory, and reservations, above the first `limit` bytes of memory; 0 is no limit (boot option `mem=`).
   * False when one of the arrays was full: the other may have been cut, here and in the next two.
   */
  enforceMemoryLimit(limit: number): boolean {
    const end = this.#addressOfLimit(limit)
    if (end === null) return true
    const removed = this.#removeRange(this.memoryArray, end, PHYS_ADDR_MAX)
    return this.#removeRange(this.reservedArray, end, PHYS_ADDR_MAX) && removed
  }

  /** Removes memory that is not NOMAP, and every reservation, outside a range. */
  capMemoryRange(base: number, size: number): boolean {
    const end = checkedEnd(base, size)
    if (end === base) return true
    const run = this.#isolate(this.memoryArray, base, end)
    if (run === null) return false
    for (let i = this.memoryArray.count - 1; i >= 0; i--) {
      const inside = i >= run.start && i < run.end
      const flags = this.memoryRegions[i]?.flags ?? 0
      if (inside || (flags & MEMBLOCK_NOMAP) !== 0) continue
      this.memoryArray.delete({ start: i, end: i + 1 })
    }
    const below = this.#removeRange(this.reservedArray, 0, base)
    return this.#removeRange(this.reservedArray, end, PHYS_ADDR_MAX) && below
  }

  /** Caps memory to the first `limit` bytes of it, but keeps NOMAP memory above; 0 is no limit. */
  memLimitRemoveMap(limit: number): boolean {
    const end = this.#addressOfLimit(limit)
    return end === null || this.capMemoryRange(0, end)
  }

  /** Lets the arrays grow from now on. A doubled array takes memory, and reserves it. */
  allowResize(): void {
    this.#resizable = true
  }

  /** The best memory to search first: mirrored memory if there is any. */
  protected preferredFlags(): number {
    return this.hasMirror ? MEMBLOCK_MIRROR : MEMBLOCK_NONE
  }

  protected warnOfMirror(size: number): void {
    if (this.#mirrorWarnings++ >= MIRROR_WARNINGS) return
    this.log(`Could not allocate ${hex64(size)} bytes of mirrored memory`)
  }

  protected trace(line: string, caller: string): void {
    if (this.debug) this.log(caller === '' ? line : `${line} ${caller}`)
  }

  #traceRange(name: string, base: number, size: number, details: string, caller: string): void {
    if (this.debug) this.trace(`${name}: ${rangeText(base, size)}${details}`, caller)
  }

  #addRange(array: RegionArray, base: number, end: number, flags: number, nid: number): boolean {
    if (base === end) return true
    let parts = array.uncovered(base, end)
    if (!array.isEmpty()) {
      const needed = parts.length
      if (needed > 0 && !this.#makeRoom(array, needed, base, end)) return false
      // The array's new place may itself have become a region, next to the range or far from it.
      parts = array.uncovered(base, end)
      this.#warnOfDifference(array, parts, end, flags, nid)
    }
    array.insert(parts, flags, nid)
    return true
  }

  #removeRange(array: RegionArray, base: number, end: number): boolean {
    if (base === end) return true
    const run = this.#isolate(array, base, end)
    if (run === null) return false
    array.delete(run)
    return true
  }

  #changeFlags(base: number, size: number, set: number, clear: number): boolean {
    const end = checkedEnd(base, size)
    if (base === end) return true
    const run = this.#isolate(this.memoryArray, base, end)
    if (run === null) return false
    this.memoryArray.changeFlags(run, set, clear)
    return true
  }

  #isolate(array: RegionArray, base: number, end: number): IndexRun | null {
    if (!this.#makeRoom(array, 2, base, end)) return null
    return array.isolate(base, end)
  }

  /** Doubles an array until it has `slots` to spare for `[base, end)`; false, without a change, when it cannot. */
  #makeRoom(array: RegionArray, slots: number, base: number, end: number): boolean {
    if (array.count + slots <= array.max) return true
    // A doubling that succeeds leaves a reservation behind, which a later failure must take back.
    const memory = this.memoryArray.save()
    const reserved = this.reservedArray.save()
    while (array.count + slots > array.max) {
      if (this.#double(array, base, end)) continue
      this.memoryArray.restore(memory)
      this.reservedArray.restore(reserved)
      return false
    }
    return true
  }

  /** Doubles an array once. On failure the caller puts things back. */
  #double(array: RegionArray, base: number, end: number): boolean {
    if (!this.#resizable) return false
    const { max, space } = array
    const bytes = Math.ceil((max * 2 * REGION_BYTES) / PAGE_SIZE) * PAGE_SIZE
    const found = this.#findForArray(array, bytes, base, end)
    const caller = 'memblock_double_array'
    if (found !== null) {
      array.max = max * 2
      array.space = { start: found, end: found + bytes }
      const freed = space === null || this.free(space.start, space.end - space.start, caller)
      if (freed && this.reserve(found, bytes, caller)) return true
    }
    this.log(`memblock: Failed to double ${array.name} array from ${max} to ${max * 2} entries !`)
    return false
  }

  /** Space for a doubled array. That of reservations must not lie in the range which is being reserved. */
  #findForArray(array: RegionArray, bytes: number, base: number, end: number): number | null {
    const limit = this.currentLimit
    if (array === this.memoryArray) return this.#findPages(bytes, { start: 0, end: limit })
    return (
      this.#findPages(bytes, { start: end, end: limit }) ??
      this.#findPages(bytes, { start: 0, end: Math.min(base, limit) })
    )
  }

  #findPages(size: number, { start, end }: AddressRange): number | null {
    const request = { size, align: PAGE_SIZE, start, end }
    const find = (flags: number): number | null => {
      const filter = { nid: NUMA_NO_NODE, flags, movableNode: this.movableNode }
      return findSpace(this.memoryRegions, this.reservedRegions, filter, request, this.bottomUp)
    }
    const flags = this.preferredFlags()
    const found = find(flags)
    if (found !== null || flags === MEMBLOCK_NONE) return found
    this.warnOfMirror(size)
    return find(MEMBLOCK_NONE)
  }

  /** The address below which lie `limit` bytes of memory; null when there is no limit or less memory. */
  #addressOfLimit(limit: number): number | null {
    checkInteger('limit', limit, 0, PHYS_ADDR_MAX)
    if (limit === 0) return null
    let left = limit
    for (const { base, size } of this.memoryRegions) {
      if (left <= size) return base + left
      left -= size
    }
    return null
  }

  #warnOfDifference(
    array: RegionArray,
    parts: readonly AddressRange[],
    end: number,
    flags: number,
    nid: number,
  ): void {
    for (const part of parts) {
      const above = part.end < end ? array.find(part.end) : null
      if (above === null || (above.flags === flags && above.nid === nid)) continue
      this.log(
        `memblock: ${array.name} at ${hex64(above.base)} keeps nid=${above.nid} ` +
          `flags=${above.flags.toString(16)}; nid=${nid} flags=${flags.toString(16)} was added over it`,
      )
    }
  }
}

function regionNode(nid: number): number {
  checkInteger('nid', nid, NUMA_NO_NODE, MAX_NUMNODES)
  return nid === NUMA_NO_NODE ? MAX_NUMNODES : nid
}
