/**
 * Memblock, the allocator of early boot: ranges of physical addresses, before there are page frames.
 *
 * Two arrays of ranges: memory is what the machine has, reserved is what is taken. Free is the one without the other:
 *
 *     memory    [======= node 0 ======][==== node 1 ====]      [== node 1 ==]
 *     reserved     [##]          [#######]                          [#######]
 *     free      [--]  [----------]       [--------------]      [----]
 *
 * An allocation is a reservation in one free range, by default at the highest address that fits; it never spans
 * two memory regions. Freeing takes any range out of the reservations.
 *
 * The read side is in memblockView, the changes in memblockRanges, one array in memblockRegions, the search in
 * memblockFind; `verifyMemblock` checks MEMBLOCK-1 to MEMBLOCK-5. Source: spec/vmalloc.md §16.
 *
 * What differs from the kernel: PHYS_ADDR_MAX is 2^53 - 1; a doubled array takes its space and writes nothing there;
 * failure is `null`, not 0; results are physical addresses throughout; the allocations do not turn to slabs later on
 * (DIFF-20).
 */

import { checkInteger } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import { findSpace, type SpaceRequest } from './memblockFind'
import { MemblockRanges } from './memblockRanges'
import { checkAlign, MEMBLOCK_MIRROR, MEMBLOCK_NONE, PHYS_ADDR_MAX } from './memblockRegions'
import { hex64 } from './memblockText'

/** As an upper limit: the current limit, at first all ones. */
export const MEMBLOCK_ALLOC_ACCESSIBLE = 0
/** As an upper limit: the same; the kernel's leak detector is told to look away. */
const MEMBLOCK_ALLOC_NOLEAKTRACE = 1
/** As an upper limit: none, even above the current limit (physAllocRange and allocRangeNid alone). */
export const MEMBLOCK_ALLOC_ANYWHERE: number = PHYS_ADDR_MAX
/** What an alignment of 0 stands for: a cache line, bytes. */
const SMP_CACHE_BYTES = 64
/** Where {@link Memblock.allocLow} ends. */
const ARCH_LOW_ADDRESS_LIMIT = 0xffffffff

/** An allocation as it was asked for: `align` may be 0, `end` one of the upper limits above. */
interface BlockRequest extends SpaceRequest {
  /** Node from 0 to 63, or -1 for any. */
  readonly nid: number
  /** Whether no other node will do. */
  readonly exact: boolean
}

/**
 * The early-boot allocator.
 *
 * Of all allocations: `size` in bytes, exactly that much is reserved (0 reserves nothing); `align` a power of
 * two, 0 for a cache line (where the kernel also dumps its stack); `nid` a node from 0 to 63, or -1 for any. The
 * result is the physical address of the first byte, or null when nothing fits or the reservations are full. It
 * belongs to the caller, who gives it back with `free(address, size)`. Page 0 is never given out.
 * O(memory + reserved regions). InvalidArgument for numbers out of range. Source: spec/vmalloc.md §16.5, §16.6.
 */
export class Memblock extends MemblockRanges {
  /** Allocates at the best place below the current limit, and clears the memory. */
  alloc(size: number, align: number, caller = ''): number | null {
    return this.allocTryNid(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE, caller)
  }

  /** As {@link alloc}, but the memory is not cleared. */
  allocRaw(size: number, align: number, caller = ''): number | null {
    return this.allocTryNidRaw(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE, caller)
  }

  /** As {@link alloc}, at `min` or above if there is room, else below. */
  allocFrom(size: number, align: number, min: number, caller = ''): number | null {
    return this.allocTryNid(size, align, min, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE, caller)
  }

  /** As {@link alloc}, below 4 GiB. */
  allocLow(size: number, align: number, caller = ''): number | null {
    return this.allocTryNid(size, align, 0, ARCH_LOW_ADDRESS_LIMIT, NUMA_NO_NODE, caller)
  }

  /** As {@link alloc}, on node `nid` if there is room, else on any. */
  allocNode(size: number, align: number, nid: number, caller = ''): number | null {
    return this.allocTryNid(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, nid, caller)
  }

  /**
   * Allocates in `[min, max)` and clears the memory. `max` 0 is the current limit, which lowers a higher one.
   * Without room the node is given up first, then `min`; never `max`.
   */
  allocTryNid(
    size: number,
    align: number,
    min: number,
    max: number,
    nid: number,
    caller = '',
  ): number | null {
    const request = { size, align, start: min, end: max, nid, exact: false }
    return this.#cleared(size, this.#allocMapped('memblock_alloc_try_nid', request, caller))
  }

  /** As {@link allocTryNid}, but the memory is not cleared. */
  allocTryNidRaw(
    size: number,
    align: number,
    min: number,
    max: number,
    nid: number,
    caller = '',
  ): number | null {
    const request = { size, align, start: min, end: max, nid, exact: false }
    return this.#allocMapped('memblock_alloc_try_nid_raw', request, caller)
  }

  /** As {@link allocTryNid}, but the node is never given up. */
  allocExactNid(
    size: number,
    align: number,
    min: number,
    max: number,
    nid: number,
    caller = '',
  ): number | null {
    return this.#cleared(size, this.allocExactNidRaw(size, align, min, max, nid, caller))
  }

  /** As {@link allocExactNid}, but the memory is not cleared: the only such call that the kernel has. */
  allocExactNidRaw(
    size: number,
    align: number,
    min: number,
    max: number,
    nid: number,
    caller = '',
  ): number | null {
    const request = { size, align, start: min, end: max, nid, exact: true }
    return this.#allocMapped('memblock_alloc_exact_nid_raw', request, caller)
  }

  /** Allocates below the current limit; the memory is not cleared, as with every physical call. */
  physAlloc(size: number, align: number, caller = ''): number | null {
    return this.physAllocRange(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, caller)
  }

  /** Allocates in `[start, end)` and nowhere else; `end` 0 is the current limit, which lowers no other. */
  physAllocRange(
    size: number,
    align: number,
    start: number,
    end: number,
    caller = '',
  ): number | null {
    const request = { size, align, start, end, nid: NUMA_NO_NODE, exact: false }
    checkRequest(request)
    this.#traceRequest('memblock_phys_alloc_range', request, '', caller)
    return this.#allocRange(request)
  }

  /** Allocates on node `nid` if there is room, else on any. */
  physAllocTryNid(size: number, align: number, nid: number): number | null {
    return this.allocRangeNid(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, nid, false)
  }

  /**
   * What every allocation comes to: on node `nid` in `[start, end)`, then unless `exact` on any node there; first in
   * mirrored memory, if any is marked, then in all.
   */
  allocRangeNid(
    size: number,
    align: number,
    start: number,
    end: number,
    nid: number,
    exact: boolean,
  ): number | null {
    const request = { size, align, start, end, nid, exact }
    checkRequest(request)
    return this.#allocRange({ ...request, nid: this.requestedNode(nid) })
  }

  /** As the kernel allocates memory that it has mapped: below the current limit, in the end below `start` too. */
  #allocMapped(name: string, asked: BlockRequest, caller: string): number | null {
    checkRequest(asked)
    const nid = this.requestedNode(asked.nid)
    this.#traceRequest(name, asked, ` nid=${asked.nid}`, caller)
    const request = { ...asked, nid, end: Math.min(asked.end, this.currentLimit) }
    const found = this.#allocRange(request)
    if (found !== null || request.start === 0) return found
    return this.#allocRange({ ...request, start: 0 })
  }

  #allocRange(request: BlockRequest): number | null {
    const flags = this.preferredFlags()
    const found = this.#allocPreferring(flags, request)
    if (found !== null || (flags & MEMBLOCK_MIRROR) === 0) return found
    this.warnOfMirror(request.size)
    return this.#allocPreferring(MEMBLOCK_NONE, request)
  }

  #allocPreferring(flags: number, request: BlockRequest): number | null {
    const { nid, exact } = request
    const found = this.#allocFiltered(flags, nid, request)
    if (found !== null || exact || nid === NUMA_NO_NODE) return found
    return this.#allocFiltered(flags, NUMA_NO_NODE, request)
  }

  #allocFiltered(flags: number, nid: number, request: BlockRequest): number | null {
    const { size, align, start, end } = request
    const accessible = end === MEMBLOCK_ALLOC_ACCESSIBLE || end === MEMBLOCK_ALLOC_NOLEAKTRACE
    const space = {
      size,
      align: align === 0 ? SMP_CACHE_BYTES : align,
      start,
      end: accessible ? this.currentLimit : end,
    }
    const filter = { nid, flags, movableNode: this.movableNode }
    const { memoryRegions, reservedRegions, bottomUp } = this
    const found = findSpace(memoryRegions, reservedRegions, filter, space, bottomUp)
    if (found === null) return null
    return this.reserve(found, size, 'memblock_alloc_range_nid') ? found : null
  }

  #cleared(size: number, found: number | null): number | null {
    if (found !== null) this.zero(found, size)
    return found
  }

  #traceRequest(name: string, request: BlockRequest, node: string, caller: string): void {
    if (!this.debug) return
    const { size, align, start, end } = request
    const asked = `${size} bytes align=0x${align.toString(16)}${node}`
    this.trace(`${name}: ${asked} from=${hex64(start)} max_addr=${hex64(end)}`, caller)
  }
}

function checkRequest({ size, align, start, end }: BlockRequest): void {
  checkInteger('size', size, 0, PHYS_ADDR_MAX)
  if (align !== 0) checkAlign(align)
  checkInteger('start', start, 0, PHYS_ADDR_MAX)
  checkInteger('end', end, 0, PHYS_ADDR_MAX)
}
