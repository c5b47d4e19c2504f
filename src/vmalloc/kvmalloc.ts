/**
 * Memory from kmalloc, or from vmalloc when that has no block large enough.
 *
 * Source: spec/vmalloc.md §9.3.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE, type VirtAddr } from '../base/units'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RETRY_MAYFAIL,
  __GFP_ZERO,
  GFP_KERNEL,
} from '../page/gfp'
import { arrayBytes } from '../slab/kmalloc'
import { isVmallocAddr } from './addresses'
import { checkGfp, checkNode, checkSize } from './checks'
import { VM_ALLOW_HUGE_VMAP } from './flags'
import { copyMemory } from './kernelMemory'
import { areaToFree, checkAddress, freeMemory } from './vfree'
import { usableBytes, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'
import { type VmallocContext, warnVmalloc } from './vmallocContext'
import { WARN_KVMALLOC_SIZE } from './vmallocLogOps'
import { allocInWindow } from './vmallocRange'

/** The largest size that vmalloc is asked for. */
const INT_MAX = 0x7fffffff

/**
 * Allocates `size` bytes: contiguous in memory if they can be had so, else in the kernel's address space
 * only. To be freed with {@link kvfree}.
 * @param node where the memory should lie; anywhere near when not given.
 * @returns the address, or null.
 */
export function kvmalloc(
  vm: Vmalloc,
  size: number,
  gfp: number = GFP_KERNEL,
  node: number = NUMA_NO_NODE,
): VirtAddr | null {
  const c = vm.context
  checkSize(size)
  const mask = checkGfp(gfp)
  checkNode(c, node)
  const small = size <= PAGE_SIZE
  const retry = (mask & __GFP_RETRY_MAYFAIL) !== 0 ? 0 : __GFP_NORETRY
  const kmask = small ? mask : (mask | __GFP_NOWARN | retry) & ~__GFP_NOFAIL
  const p = c.heap.kmalloc(size, kmask, node)
  if (p !== null || small || (mask & __GFP_DIRECT_RECLAIM) === 0) return p
  if (size > INT_MAX) {
    if ((mask & __GFP_NOWARN) === 0) warnVmalloc(c, WARN_KVMALLOC_SIZE)
    return null
  }
  return allocInWindow(c, size, mask, VM_ALLOW_HUGE_VMAP, node)
}

/** Allocates `size` bytes filled with zero, as {@link kvmalloc} does. */
export function kvzalloc(
  vm: Vmalloc,
  size: number,
  gfp: number = GFP_KERNEL,
  node: number = NUMA_NO_NODE,
): VirtAddr | null {
  return kvmalloc(vm, size, checkGfp(gfp) | __GFP_ZERO, node)
}

/** Allocates `count` times `size` bytes, as {@link kvmalloc} does; null also when the product has more than 64 bits. */
export function kvmallocArray(
  vm: Vmalloc,
  count: number,
  size: number,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  const bytes = arrayBytes(count, size)
  return bytes === null || bytes > Number.MAX_SAFE_INTEGER ? null : kvmalloc(vm, bytes, gfp)
}

/** Allocates `count` times `size` bytes filled with zero, as {@link kvmallocArray} does. */
export function kvcalloc(
  vm: Vmalloc,
  count: number,
  size: number,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  return kvmallocArray(vm, count, size, checkGfp(gfp) | __GFP_ZERO)
}

/** Frees memory of kmalloc or of vmalloc. Null is nothing. */
export function kvfree(vm: Vmalloc, p: VirtAddr | null): void {
  const c = vm.context
  if (p !== null) checkAddress(c, p)
  if (p !== null && isVmallocAddr(c.layout, p)) freeMemory(c, p)
  else c.heap.kfree(p)
}

/**
 * Makes memory of the kvmalloc family hold `size` bytes; `oldSize` of them are copied when it has to move.
 * Memory that is large enough stays as it is.
 * @returns where the memory is now; null when there is none, and then `p` is as it was.
 */
export function kvrealloc(
  vm: Vmalloc,
  p: VirtAddr | null,
  oldSize: number,
  size: number,
  gfp: number = GFP_KERNEL,
): VirtAddr | null {
  const c = vm.context
  checkSize(size)
  checkInteger('oldSize', oldSize, 0, Number.MAX_SAFE_INTEGER)
  if (p !== null) checkAddress(c, p)
  checkGfp(gfp)
  if (oldSize >= size) return p
  if (p !== null && oldSize > usable(c, p)) {
    throw new InvalidArgument('oldSize', oldSize, 'at most the size of the memory')
  }
  const moved = kvmalloc(vm, size, gfp)
  if (moved === null) return null
  try {
    if (p !== null) copyMemory(c, moved, p, oldSize)
    kvfree(vm, p)
  } catch (error) {
    // Its pages or its bytes were overwritten: it stays as it is.
    kvfree(vm, moved)
    throw error
  }
  return moved
}

/**
 * Bytes that memory of the kvmalloc family has.
 * @throws KernelBug for an address where nothing of it starts.
 */
function usable(c: VmallocContext, p: VirtAddr): number {
  if (!isVmallocAddr(c.layout, p)) return c.heap.ksize(p)
  const area = areaToFree(c, p)
  return usableBytes(c, area) - (p - vmAddress(c, area))
}
