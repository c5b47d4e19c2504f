/**
 * Areas with a vm_struct: a run of addresses, what is mapped there, and who asked for it.
 *
 * The memory of descriptors is taken, and not written (DIFF-50).
 *
 * Source: spec/vmalloc.md §5, §7.2.
 */

import { KernelBug } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SHIFT, PAGE_SIZE, type VirtAddr } from '../base/units'
import { CONTEXT_INTERRUPT } from '../buddy/contextBits'
import { __GFP_ZERO, GFP_KERNEL, GFP_RECLAIM_MASK } from '../page/gfp'
import { MAP_BUSY, MAP_OK } from '../paging/pageTables'
import {
  AREA_END,
  AREA_START,
  AREA_VM,
  VM_AREA,
  VM_CALLER,
  VM_FLAGS,
  VM_MARK,
  VM_OBJECT,
  VM_SIZE,
  VMAP_DRAIN_PENDING,
} from '../state/vmapSchema'
import { dropCaller, takeCaller } from './callers'
import { VM_IOREMAP, VM_NO_GUARD } from './flags'
import { type VmallocContext, warnVmalloc } from './vmallocContext'
import { WARN_MAPPED } from './vmallocLogOps'
import { allocArea, findArea, releaseArea } from './vmapArea'
import { giveRecord, RECORD_VM, takeRecord } from './vmapContext'
import { drainPoint } from './vmapPurge'

/** Bytes of a `struct vm_struct`. */
export const VM_STRUCT_BYTES = 64

/** What an area is asked for. */
export interface AreaRequest {
  /** Bytes, without the guard page; 1 or more. */
  readonly size: number
  /** Alignment of its first address. Bytes, a power of two. */
  readonly align: number
  /** log2 of the pages that it is mapped with. */
  readonly shift: number
  /** VM_ flags. */
  readonly flags: number
  /** Lowest address that it may have. */
  readonly low: number
  /** One more than its highest address. */
  readonly high: number
  /** GFP mask for its descriptors. */
  readonly gfp: number
  /** Node of those. */
  readonly node: number
}

/** Makes an area: its vm_struct record, or 0 when there is no memory or no address space. */
export function getVmArea(c: VmallocContext, r: AreaRequest): number {
  if ((c.frames.running.contextBits & CONTEXT_INTERRUPT) !== 0) {
    throw new KernelBug('IN_INTERRUPT', 'areas cannot be made in an interrupt', [
      'kernel BUG at __get_vm_area_node',
    ])
  }
  const unit = 1 << r.shift
  const rounded = Math.ceil(r.size / unit) * unit
  const size = (r.flags & VM_NO_GUARD) === 0 ? rounded + PAGE_SIZE : rounded
  // Pages are the least that can be mapped, also where the space starts with an odd address.
  const align =
    (r.flags & VM_IOREMAP) !== 0 ? ioremapAlign(c, rounded) : Math.max(r.align, PAGE_SIZE)
  const gfp = (r.gfp & GFP_RECLAIM_MASK) | __GFP_ZERO
  const object = c.heap.kmalloc(VM_STRUCT_BYTES, gfp, r.node)
  if (object === null) return 0
  let vm = 0
  try {
    vm = makeVmStruct(c, r.flags, size, object)
    const area = vm === 0 ? 0 : allocArea(c.space, size, align, r.low, r.high, r.gfp, r.node)
    if (area !== 0) {
      c.space.words[vm + VM_AREA] = area
      c.space.words[area + AREA_VM] = vm
      return vm
    }
  } catch (error) {
    // No memory for a request that may not fail.
    dropVmStruct(c, vm, object)
    throw error
  }
  dropVmStruct(c, vm, object)
  return 0
}

/** Makes an area of `bytes` bytes anywhere in the vmalloc window, for what is there already: as {@link getVmArea}. */
export function getWindowArea(c: VmallocContext, bytes: number, flags: number): number {
  return getVmArea(c, {
    size: bytes,
    align: 1,
    shift: PAGE_SHIFT,
    flags,
    low: c.layout.vmallocStart,
    high: c.layout.vmallocEnd,
    gfp: GFP_KERNEL,
    node: NUMA_NO_NODE,
  })
}

/** A new vm_struct record; 0 when the state has no room for one. */
export function makeVmStruct(
  c: VmallocContext,
  flags: number,
  size: number,
  object: number,
): number {
  const { space } = c
  const vm = takeRecord(space, RECORD_VM)
  if (vm === 0) return 0
  const caller = takeCaller(space, c.caller)
  if (caller < 0) {
    giveRecord(space, vm, RECORD_VM)
    return 0
  }
  space.words[vm + VM_MARK] = 1
  space.words[vm + VM_FLAGS] = flags
  space.words[vm + VM_CALLER] = caller
  space.numbers[(vm + VM_SIZE) >> 1] = size
  space.numbers[(vm + VM_OBJECT) >> 1] = object
  return vm
}

/** The vm_struct of the area that holds an address, guard page included; 0 for none. */
export function findVmArea(c: VmallocContext, address: number): number {
  const area = findArea(c.space, address)
  return area === 0 ? 0 : c.space.words[area + AREA_VM]!
}

/** First address of an area. */
export function vmAddress(c: VmallocContext, vm: number): VirtAddr {
  return c.space.numbers[(c.space.words[vm + VM_AREA]! + AREA_START) >> 1]! as VirtAddr
}

/** Bytes of an area that may be used: without the guard page. */
export function usableBytes(c: VmallocContext, vm: number): number {
  const size = c.space.numbers[(vm + VM_SIZE) >> 1]!
  return (c.space.words[vm + VM_FLAGS]! & VM_NO_GUARD) !== 0 ? size : size - PAGE_SIZE
}

/**
 * Unmaps an area and puts its addresses aside until the next purge. The vm_struct is the caller's now, to be
 * given back with {@link freeVmStruct}.
 */
export function removeVmArea(c: VmallocContext, vm: number): void {
  const { words } = c.space
  const area = words[vm + VM_AREA]!
  unmapArea(c, area)
  words[area + AREA_VM] = 0
  words[vm + VM_AREA] = 0
  releaseArea(c.space, area)
}

/** Unmaps an area, puts its addresses aside, and gives its vm_struct back. */
export function dropVmArea(c: VmallocContext, vm: number): void {
  removeVmArea(c, vm)
  freeVmStruct(c, vm)
}

/**
 * What a mapping with code `code`, a MAP_ one, has come to: whether all is mapped. Then the cache is told; what was
 * mapped before it is warned of once.
 */
export function finishMapping(
  c: VmallocContext,
  start: number,
  bytes: number,
  code: number,
): boolean {
  if (code === MAP_BUSY) warnVmalloc(c, WARN_MAPPED)
  if (code !== MAP_OK) return false
  c.tables.flush.flushCacheMap(start, start + bytes)
  return true
}

/** Clears the page-table entries of a whole area. */
export function unmapArea(c: VmallocContext, area: number): void {
  const { numbers } = c.space
  const start = numbers[(area + AREA_START) >> 1]!
  unmapRange(c, start, numbers[(area + AREA_END) >> 1]! - start)
}

/** Clears the entries of a range; drain work that is due runs where the kernel would let it. */
export function unmapRange(c: VmallocContext, start: number, bytes: number): void {
  const pending = c.space.words[VMAP_DRAIN_PENDING] !== 0
  c.tables.flush.flushCacheUnmap(start, start + bytes)
  c.tables.unmapRange(start, bytes, pending ? () => drainPoint(c.space) : null)
}

/** Gives a vm_struct back, and its memory. */
export function freeVmStruct(c: VmallocContext, vm: number): void {
  const { words, numbers } = c.space
  const object = numbers[(vm + VM_OBJECT) >> 1]!
  dropCaller(c.space, words[vm + VM_CALLER]!)
  giveRecord(c.space, vm, RECORD_VM)
  c.heap.kfree(object as VirtAddr)
}

/** Takes back what a request has taken that found no address space. */
function dropVmStruct(c: VmallocContext, vm: number, object: VirtAddr): void {
  if (vm !== 0) freeVmStruct(c, vm)
  else c.heap.kfree(object)
}

/** Natural alignment of I/O memory: the power of two that is not less than its size, within limits. */
function ioremapAlign(c: VmallocContext, size: number): number {
  const largest = 2 ** ioremapMaxOrder(c)
  let align = PAGE_SIZE
  while (align < size && align < largest) align *= 2
  return align
}

/** IOREMAP_MAX_ORDER: by architecture. */
function ioremapMaxOrder(c: VmallocContext): number {
  const { name, hugeLeaves } = c.tables.format
  if (name.startsWith('i386')) return name === 'i386' ? 22 : 21
  return hugeLeaves ? 30 : 19
}
