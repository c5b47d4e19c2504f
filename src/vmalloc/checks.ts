/** Checks of arguments, shared by everything of the vmalloc family that users call. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE } from '../base/units'
import { GFP_MOVABLE_MASK } from '../page/gfp'
import { VM_FLAGS_MASK } from './flags'
import type { VmallocContext } from './vmallocContext'

/** The GFP bits that exist; a page allocator drops the others too. */
const GFP_BITS = 0x7ffffff

/** A GFP mask without bits that do not exist. MOVABLE and RECLAIMABLE together are refused, as by a page allocator. */
export function checkGfp(gfp: number): number {
  checkInteger('gfp', gfp, 0, 0xffffffff)
  if ((gfp & GFP_MOVABLE_MASK) === GFP_MOVABLE_MASK) {
    throw new InvalidArgument('gfp', gfp, 'not both MOVABLE and RECLAIMABLE')
  }
  return gfp & GFP_BITS
}

/** Throws unless `node` is NUMA_NO_NODE or a node of the machine that is online. */
export function checkNode(c: VmallocContext, node: number): void {
  if (node === NUMA_NO_NODE) return
  checkInteger('node', node, 0, c.frames.nrNodes - 1)
  if (!c.heap.slabs.context.source.isOnline(node)) {
    throw new InvalidArgument('node', node, 'a node that is online')
  }
}

/** Throws unless `size` is a count of bytes, 0 or more. */
export function checkSize(size: number): void {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
}

/** Throws unless `align` is a power of two below 2^52. */
export function checkAlign(align: number): void {
  checkInteger('align', align, 1, 2 ** 52)
  if (!Number.isInteger(Math.log2(align))) {
    throw new InvalidArgument('align', align, 'a power of two')
  }
}

/** Throws unless `[low, high)` is a range of kernel addresses from a page on, without any of the direct map. */
export function checkRange(c: VmallocContext, low: number, high: number): void {
  checkInteger('start', low, 0, c.space.limit - 1)
  checkInteger('end', high, low, c.space.limit)
  checkPageStart('start', low)
  if (low < c.layout.directMapEnd && high > c.layout.directMapStart && low < high) {
    throw new InvalidArgument('start', low, 'of a range outside the direct map')
  }
}

/** Throws unless `flags` are VM_ flags. */
export function checkFlags(flags: number): void {
  checkInteger('flags', flags, 0, 0xffffffff)
  if (flags - ((flags & VM_FLAGS_MASK) >>> 0) !== 0) {
    throw new InvalidArgument('flags', `0x${flags.toString(16)}`, 'within 0xfff007ff')
  }
}

/** Throws unless `prot` is a protection that the page tables can say. */
export function checkProt(c: VmallocContext, prot: number): void {
  checkInteger('prot', prot, 0, 0x7ff)
  c.tables.format.leafBits(prot, c.tables.format.levels.length - 1)
}

/** Throws unless all of `pfns` are frames in use. */
export function checkFrames(c: VmallocContext, pfns: readonly number[]): void {
  if (!Array.isArray(pfns)) throw new InvalidArgument('pfns', pfns, 'an array of frames')
  const limit = 2 ** (c.tables.format.physBits - 12)
  for (const pfn of pfns) {
    const known =
      Number.isInteger(pfn) && pfn < limit && c.frames.isMemory(pfn) && c.frames.isInUse(pfn)
    if (!known) throw new InvalidArgument('pfn', pfn, 'a frame that is in use')
  }
}

/** Throws unless `address` starts a page. */
export function checkPageStart(name: string, address: number): void {
  if (address % PAGE_SIZE !== 0) {
    throw new InvalidArgument(name, address, `a multiple of ${PAGE_SIZE}`)
  }
}
