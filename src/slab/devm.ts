/**
 * Managed memory, pages and actions of a device: freed or called when the device's resources are
 * released, or before by hand.
 *
 * Memory is the data of a record, 40 bytes into its object. Strings of the kernel image, which the kernel
 * would neither copy nor free, do not exist here; for a formatted string, copy a template string. Memory that is
 * not the device's is refused (DIFF-39).
 *
 * Source: spec/slab.md §21.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE, type VirtAddr } from '../base/units'
import { __GFP_HIGHMEM, __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import { writeBytes } from './byteWords'
import { checkMask, zeroMask } from './checks'
import type { Devres } from './devres'
import {
  DEVRES_HEADER_BYTES,
  type DevresList,
  type DevresRecord,
  type DevresRelease,
  notManaged,
} from './devresList'
import { arrayBytes, isNothing, ZERO_SIZE_PTR } from './kmalloc'
import { takePages } from './slabs'

/** Bytes of the records of pages and of actions: two words each. */
const PAIR_BYTES = 16

interface Blocks {
  readonly list: DevresList
  readonly pfn: number
  readonly order: number
}

interface Action {
  readonly action: (data: never) => void
  readonly data: unknown
}

// ---- Memory ----

/**
 * Allocates `size` bytes, near the device.
 * @param size 0 gives `ZERO_SIZE_PTR`, for which nothing is registered.
 * @returns their address, which the device owns; null when there is no memory.
 */
export function devmKmalloc(devres: Devres, size: number, gfp = GFP_KERNEL): VirtAddr | null {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  if (size === 0) return ZERO_SIZE_PTR
  const { list } = devres
  const record = list.make(releaseMemory, size, gfp, devres.device.node, undefined)
  if (record === null) return null
  list.entries.push(record)
  return record.data
}

/** Allocates `size` zero bytes, as {@link devmKmalloc} does. */
export function devmKzalloc(devres: Devres, size: number, gfp = GFP_KERNEL): VirtAddr | null {
  return devmKmalloc(devres, size, zeroMask(gfp))
}

/** Allocates `n` times `size` bytes; null also when the product is too large. */
export function devmKmallocArray(
  devres: Devres,
  n: number,
  size: number,
  gfp = GFP_KERNEL,
): VirtAddr | null {
  const bytes = arrayBytes(n, size)
  if (bytes === null || bytes > Number.MAX_SAFE_INTEGER) return null
  return devmKmalloc(devres, bytes, gfp)
}

/** Allocates `n` times `size` zero bytes, as {@link devmKmallocArray} does. */
export function devmKcalloc(
  devres: Devres,
  n: number,
  size: number,
  gfp = GFP_KERNEL,
): VirtAddr | null {
  return devmKmallocArray(devres, n, size, zeroMask(gfp))
}

/** Allocates a copy of bytes; null when there is no memory. */
export function devmKmemdup(devres: Devres, source: Uint8Array, gfp = GFP_KERNEL): VirtAddr | null {
  const copy = devmKmalloc(devres, source.length, gfp)
  if (copy !== null && source.length > 0) {
    const { ram, directMap } = devres.list.c
    writeBytes(ram, copy - directMap, source)
  }
  return copy
}

/** Allocates a copy of a string in UTF-8, with a 0 byte behind it; null for null, or without memory. */
export function devmKstrdup(
  devres: Devres,
  text: string | null,
  gfp = GFP_KERNEL,
): VirtAddr | null {
  return text === null ? null : devmKmemdup(devres, new TextEncoder().encode(`${text}\0`), gfp)
}

/**
 * Frees memory of the device before its time; null and `ZERO_SIZE_PTR` are nothing.
 * @throws KernelBug, with nothing changed, for memory that is not the device's.
 */
export function devmKfree(devres: Devres, address: VirtAddr | null): void {
  if (isNothing(address)) return
  devres.list.drop(memoryAt(devres.list, address))
}

/**
 * Makes memory of the device `size` bytes large. It moves only to become larger than its object, and
 * keeps its turn among the device's resources.
 * @param size 0 frees it and gives `ZERO_SIZE_PTR`.
 * @returns its address, or null when there is no memory; the old one is still valid then.
 * @throws KernelBug, with nothing changed, for memory that is not the device's.
 */
export function devmKrealloc(
  devres: Devres,
  address: VirtAddr | null,
  size: number,
  gfp = GFP_KERNEL,
): VirtAddr | null {
  checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
  if (size === 0) {
    devmKfree(devres, address)
    return ZERO_SIZE_PTR
  }
  if (isNothing(address)) return devmKmalloc(devres, size, gfp)
  const { list } = devres
  const old = memoryAt(list, address)
  const oldTotal = list.heap.ksize(old.object)
  if (size + DEVRES_HEADER_BYTES <= oldTotal) return address
  const record = list.make(releaseMemory, size, gfp, devres.device.node, undefined)
  if (record === null) return null
  list.replace(old, record)
  const { ram, directMap } = list.c
  ram.copy(record.data - directMap, old.data - directMap, oldTotal - DEVRES_HEADER_BYTES)
  list.heap.kfree(old.object)
  return record.data
}

// ---- Pages ----

/**
 * Allocates a block of 2^order pages.
 * @returns its address, which the device owns; null when there is no memory.
 */
export function devmGetFreePages(devres: Devres, gfp: number, order: number): VirtAddr | null {
  const { list } = devres
  checkMask(gfp)
  const pfn = takePages(list.c, (gfp & ~__GFP_HIGHMEM) >>> 0, order, NUMA_NO_NODE)
  if (pfn < 0) return null
  const blocks: Blocks = { list, pfn, order }
  let record: DevresRecord | null = null
  try {
    record = list.make(releasePages, PAIR_BYTES, PAIR_GFP, NUMA_NO_NODE, blocks)
  } finally {
    // After an error too, which a hook may throw.
    if (record === null) list.c.source.freeBlock(pfn, order)
  }
  if (record === null) return null
  list.entries.push(record)
  return (pfn * PAGE_SIZE + list.c.directMap) as VirtAddr
}

/** Frees a block of the device before its time. @throws KernelBug when it is not the device's. */
export function devmFreePages(devres: Devres, address: VirtAddr): void {
  const { list } = devres
  const pfn = (address - list.c.directMap) / PAGE_SIZE
  const record = list.find(releasePages, (_data, payload) => (payload as Blocks).pfn === pfn)
  if (record === null) throw notManaged(address, 'no block')
  list.letGo(record)
}

// ---- Actions ----

/**
 * Has `action(data)` called when the device's resources are released.
 * @returns false when there is no memory to remember it.
 */
export function devmAddAction<T>(devres: Devres, action: (data: T) => void, data: T): boolean {
  if (typeof action !== 'function') throw new InvalidArgument('action', action, 'a function')
  const payload: Action = { action, data }
  const record = devres.list.make(releaseAction, PAIR_BYTES, PAIR_GFP, NUMA_NO_NODE, payload)
  if (record === null) return false
  devres.list.entries.push(record)
  return true
}

/** Like {@link devmAddAction}, but calls the action at once when there is no memory. */
export function devmAddActionOrReset<T>(
  devres: Devres,
  action: (data: T) => void,
  data: T,
): boolean {
  const added = devmAddAction(devres, action, data)
  if (!added) action(data)
  return added
}

/** Forgets an action without calling it. @throws KernelBug when the device has no such action. */
export function devmRemoveAction<T>(devres: Devres, action: (data: T) => void, data: T): void {
  devres.list.drop(actionOf(devres.list, action, data))
}

/** Calls an action now, and forgets it. @throws KernelBug when the device has no such action. */
export function devmReleaseAction<T>(devres: Devres, action: (data: T) => void, data: T): void {
  devres.list.letGo(actionOf(devres.list, action, data))
}

/** How records of pages and actions are allocated: zeroed. */
const PAIR_GFP = GFP_KERNEL | __GFP_ZERO

const releaseMemory: DevresRelease = () => {}

const releasePages: DevresRelease = (_data, payload) => {
  const { list, pfn, order } = payload as Blocks
  list.c.source.freeBlock(pfn, order)
}

const releaseAction: DevresRelease = (_data, payload) => {
  const { action, data } = payload as Action
  action(data as never)
}

function memoryAt(list: DevresList, address: VirtAddr): DevresRecord {
  const record = list.findAt(releaseMemory, address)
  if (record === null) throw notManaged(address, 'no memory')
  return record
}

function actionOf<T>(list: DevresList, action: (data: T) => void, data: T): DevresRecord {
  const record = list.find(releaseAction, (_data, payload) => {
    const known = payload as Action
    return known.action === action && Object.is(known.data, data)
  })
  if (record === null) throw notManaged('the action', 'no action')
  return record
}
