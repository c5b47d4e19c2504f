/**
 * The heart of vmalloc: memory that is contiguous in the kernel's address space, made of single pages. And
 * its way back.
 *
 * A free looks at its pages first, and what may not fail does not wait for ever (DIFF-44).
 *
 * Source: spec/vmalloc.md §6.2, §7.1.
 */

import { KernelBug, OutOfMemory } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SHIFT, PAGE_SIZE, type VirtAddr } from '../base/units'
import { __GFP_NOFAIL } from '../page/gfp'
import { PAGE_KERNEL } from '../paging/format'
import { VM_DEFERRED, VM_FLAGS, VM_NR_PAGES, VM_PAGES, VMAP_NR_PAGES } from '../state/vmapSchema'
import { isVmallocAddr } from './addresses'
import {
  VM_ALLOC,
  VM_ALLOW_HUGE_VMAP,
  VM_FLUSH_RESET_PERMS,
  VM_MAP_PUT_PAGES,
  VM_UNINITIALIZED,
} from './flags'
import { arrayInMemory, readPageArray } from './pageArray'
import { findVmArea, freeVmStruct, getVmArea, removeVmArea, vmAddress } from './vmArea'
import { type VmallocContext, warnVmalloc } from './vmallocContext'
import { WARN_VMALLOC_ZERO } from './vmallocLogOps'
import { type ArrayMemory, fillArea, freeArray } from './vmallocPages'
import { unmapAliases } from './vmapBlock'
import { drainPoint } from './vmapPurge'

/** log2 of the huge pages that vmalloc uses. */
const PMD_SHIFT = 21

/** What memory is asked for. */
export interface RangeRequest {
  /** Bytes. */
  readonly size: number
  /** Alignment of its address. Bytes, a power of two. */
  readonly align: number
  /** Lowest address that it may have. */
  readonly low: number
  /** One more than its highest address. */
  readonly high: number
  /** GFP mask. */
  readonly gfp: number
  /** Protection of its pages. */
  readonly prot: number
  /** VM_ flags. */
  readonly flags: number
  /** Node of its pages; -1 for the current CPU's. */
  readonly node: number
}

/** Allocates memory of vmalloc: its address, or null. */
export function allocRange(c: VmallocContext, r: RangeRequest): VirtAddr | null {
  if (r.size === 0) {
    warnVmalloc(c, WARN_VMALLOC_ZERO)
    return null
  }
  if (Math.floor(r.size / PAGE_SIZE) > c.frames.totalPages()) {
    c.frames.warnAlloc(r.gfp, `vmalloc error: size ${r.size}, exceeds total pages`)
    return null
  }
  const shift = hugeShift(c, r)
  const address = tryRange(c, r, shift)
  // A second time with small pages, when huge ones were not to be had.
  return address === null && shift !== PAGE_SHIFT ? tryRange(c, r, PAGE_SHIFT) : address
}

/** Allocates memory anywhere in the vmalloc window, with the kernel's usual protection: its address, or null. */
export function allocInWindow(
  c: VmallocContext,
  size: number,
  gfp: number,
  flags: number,
  node: number,
): VirtAddr | null {
  const { vmallocStart: low, vmallocEnd: high } = c.layout
  return allocRange(c, { size, align: 1, low, high, gfp, prot: PAGE_KERNEL, flags, node })
}

/** The memory of page arrays that kmalloc has no block for: vmalloc memory of their own, in the whole window. */
const NESTED: ArrayMemory = {
  alloc: (c, size, gfp, node) => allocInWindow(c, size, gfp, 0, node),
  free: (c, address) => freeVm(c, findVmArea(c, address)),
}

/**
 * Frees an area with all that it holds, all or nothing.
 * @throws KernelBug when one of its pages is not in use any more, or its array names pages that it does
 * not map: nothing has changed then.
 */
export function freeVm(c: VmallocContext, vm: number): void {
  const { words, numbers } = c.space
  const count = words[vm + VM_NR_PAGES]!
  const array = numbers[(vm + VM_PAGES) >> 1]! as VirtAddr
  const flags = words[vm + VM_FLAGS]!
  const pfns = checkFree(c, vm)
  removeVmArea(c, vm)
  if ((flags & VM_FLUSH_RESET_PERMS) !== 0) flushPermissions(c, pfns)
  for (const pfn of pfns) {
    c.frames.freePages(pfn, 0)
    drainPoint(c.space)
  }
  if ((flags & VM_MAP_PUT_PAGES) === 0) words[VMAP_NR_PAGES]! -= count
  if (array !== 0) freeArray(c, array, NESTED)
  freeVmStruct(c, vm)
}

/** Allocates memory with pages of one size: its address, or null. */
function tryRange(c: VmallocContext, r: RangeRequest, shift: number): VirtAddr | null {
  const vm = getVmArea(c, {
    size: r.size,
    align: shift === PAGE_SHIFT ? r.align : Math.max(r.align, 1 << shift),
    shift,
    flags: VM_ALLOC | VM_UNINITIALIZED | r.flags,
    low: r.low,
    high: r.high,
    gfp: r.gfp,
    node: r.node,
  })
  if (vm === 0) {
    warnNoArea(c, r)
    return null
  }
  if (!fillArea(c, vm, r, shift, NESTED)) return null
  c.space.words[vm + VM_FLAGS]! &= ~VM_UNINITIALIZED
  return vmAddress(c, vm)
}

/** log2 of the pages to map with: huge ones for large memory that allows them. */
function hugeShift(c: VmallocContext, r: RangeRequest): number {
  if (!c.hugeVmalloc || (r.flags & VM_ALLOW_HUGE_VMAP) === 0) return PAGE_SHIFT
  const { levels, hugeLeaves } = c.tables.format
  if (!hugeLeaves || !levels.some(({ shift, leaf }) => leaf && shift === PMD_SHIFT)) {
    return PAGE_SHIFT
  }
  const nodes = r.node === NUMA_NO_NODE ? c.frames.onlineNodes() : 1
  return Math.floor(r.size / nodes) >= 2 ** PMD_SHIFT ? PMD_SHIFT : PAGE_SHIFT
}

/** Tells that no area could be had; one that may not fail is an error. */
function warnNoArea(c: VmallocContext, r: RangeRequest): void {
  const text = `vmalloc error: size ${r.size}, vm_struct allocation failed`
  if ((r.gfp & __GFP_NOFAIL) === 0) {
    c.frames.warnAlloc(r.gfp, text)
    return
  }
  c.frames.warnAlloc(r.gfp, `${text}. Retrying.`)
  throw new OutOfMemory(text)
}

/**
 * Looks at all that will be freed with an area: what lies in memory may have been overwritten, and an array
 * of vmalloc is an area that others can free.
 * @returns the frames of its pages.
 */
function checkFree(c: VmallocContext, vm: number): readonly number[] {
  const { words, numbers } = c.space
  const count = words[vm + VM_NR_PAGES]!
  const array = numbers[(vm + VM_PAGES) >> 1]! as VirtAddr
  if (count === 0) return []
  if (isVmallocAddr(c.layout, array)) {
    const nested = findVmArea(c, array)
    const whole = nested !== 0 && vmAddress(c, nested) === array && arrayInMemory(c, array, count)
    if (!whole || words[nested + VM_DEFERRED] !== 0) throw lostArray(c, vm)
    checkFree(c, nested)
  } else if (c.heap.ksize(array) < count * c.layout.pointerBytes) {
    throw lostArray(c, vm)
  }
  const pfns = readPageArray(c, array, count)
  checkPages(c, vm, pfns)
  return pfns
}

function lostArray(c: VmallocContext, vm: number): KernelBug {
  const start = vmAddress(c, vm).toString(16)
  return new KernelBug('BAD_PAGE_ARRAY', `the page array of the area at 0x${start} was freed`)
}

/** Looks at each page: it has to be the one that is mapped, and in use. */
function checkPages(c: VmallocContext, vm: number, pfns: readonly number[]): void {
  const start = vmAddress(c, vm)
  for (let i = 0; i < pfns.length; i++) {
    const pfn = pfns[i]!
    const mapped = c.tables.pfnAt(start + i * PAGE_SIZE)
    if (mapped === pfn && c.frames.isBlock(pfn, 0)) continue
    const text = `page ${i} of the area at 0x${start.toString(16)}`
    if (mapped !== pfn) {
      throw new KernelBug('BAD_PAGE_ARRAY', `${text} is ${mapped}, and ${pfn} in its page array`)
    }
    throw new KernelBug('NOT_ALLOCATED', `${text}, pfn 0x${pfn.toString(16)}, is not in use`)
  }
}

/** Makes sure that no processor uses the pages of an area through their direct addresses or the area's. */
function flushPermissions(c: VmallocContext, pfns: readonly number[]): void {
  let start = Number.POSITIVE_INFINITY
  let end = 0
  for (const pfn of pfns) {
    const address = pfn * PAGE_SIZE + c.layout.directMap
    if (address >= c.layout.directMapEnd) continue
    start = Math.min(start, address)
    end = Math.max(end, address + PAGE_SIZE)
  }
  unmapAliases(c, start, end, end > 0)
}
