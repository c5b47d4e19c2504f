/**
 * Areas of address space by themselves: getting and freeing them for who maps them, and what is known of all.
 *
 * Source: spec/vmalloc.md §5, §9.4.
 */

import { InvalidArgument, KernelBug } from '../base/errors'
import { fullAddress } from '../base/layout'
import { NUMA_NO_NODE, PAGE_SHIFT, PAGE_SIZE, type PhysAddr, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import {
  AREA_NEXT,
  AREA_VM,
  TREE_BUSY,
  VM_CALLER,
  VM_FLAGS,
  VM_NR_PAGES,
  VM_PAGE_ORDER,
  VM_PAGES,
  VM_PHYS,
  VM_SIZE,
  VMAP_NR_PAGES,
} from '../state/vmapSchema'
import { callerName, checkCaller } from './callers'
import { checkAlign, checkFlags, checkGfp, checkNode, checkRange, checkSize } from './checks'
import { VM_FLUSH_RESET_PERMS } from './flags'
import { arrayInMemory, readPageArray } from './pageArray'
import { areaToFree, checkAddress } from './vfree'
import { dropVmArea, findVmArea, getVmArea, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'
import type { VmallocContext } from './vmallocContext'
import { firstArea } from './vmapTree'

/** What `getVmArea` is asked for; what is left out is as in a kernel's. */
export interface VmAreaOptions {
  /** Alignment of the address. Bytes, a power of two; 1 when not given. `VM_IOREMAP` decides by itself. */
  readonly align?: number
  /** VM_ flags; 0 when not given. */
  readonly flags?: number
  /** Lowest address; that of the vmalloc window when not given. */
  readonly start?: number
  /** One more than the highest address; that of the window when not given. */
  readonly end?: number
  /** GFP mask for descriptors; GFP_KERNEL when not given. */
  readonly gfp?: number
  /** Node of the descriptors; near the current CPU when not given. */
  readonly node?: number
}

/** What is known of an area. */
export interface VmArea {
  /** First address. */
  readonly address: VirtAddr
  /** Bytes, guard page included. */
  readonly size: number
  /** VM_ flags. */
  readonly flags: number
  /** Pages that belong to it. */
  readonly nrPages: number
  /** Order of the blocks that they came in. */
  readonly pageOrder: number
  /** Physical address of I/O memory; 0 for none. */
  readonly phys: PhysAddr
  /** Who asked for it; '' when nobody is named. */
  readonly caller: string
}

/**
 * Takes `size` bytes of address space, and a guard page unless `VM_NO_GUARD`. Nothing is mapped there.
 * @returns its first address, or null when there is no memory or no address space.
 */
export function getVmAreaNode(
  vm: Vmalloc,
  size: number,
  options: VmAreaOptions = {},
): VirtAddr | null {
  const c = vm.context
  const { align = 1, flags = 0, gfp = GFP_KERNEL, node = NUMA_NO_NODE } = Object(options)
  const { start = c.layout.vmallocStart, end = c.layout.vmallocEnd } = Object(options)
  checkSize(size)
  checkAlign(align)
  checkFlags(flags)
  checkRange(c, start, end)
  checkNode(c, node)
  const mask = checkGfp(gfp)
  if (size === 0) return null
  const request = { size, align, shift: PAGE_SHIFT, flags, low: start, high: end, gfp: mask, node }
  const area = getVmArea(c, request)
  return area === 0 ? null : vmAddress(c, area)
}

/**
 * Gives an area back, at any of its addresses; what is mapped there is not any more. Pages stay whose they are.
 * @throws KernelBug when there is none.
 */
export function freeVmArea(vm: Vmalloc, address: VirtAddr): void {
  const c = vm.context
  checkAddress(c, address)
  dropVmArea(c, areaToFree(c, address))
}

/** The area that holds an address, guard page included; null for none, and for mappings of `vmMapRam`. */
export function findVmAreaAt(vm: Vmalloc, address: VirtAddr): VmArea | null {
  checkAddress(vm.context, address)
  const area = findVmArea(vm.context, address)
  return area === 0 ? null : describe(vm.context, area)
}

/** All areas, by address. */
export function vmAreas(vm: Vmalloc): VmArea[] {
  const c = vm.context
  const areas: VmArea[] = []
  const { words } = c.space
  for (let area = firstArea(c.space, TREE_BUSY); area !== 0; area = words[area + AREA_NEXT]!) {
    if (words[area + AREA_VM] !== 0) areas.push(describe(c, words[area + AREA_VM]!))
  }
  return areas
}

/**
 * Frames of the pages of an area, in the order of its page array. Whoever overwrote that gets numbers that are
 * no frames of the area.
 * @throws KernelBug when the array is not in memory any more.
 */
export function vmAreaPages(vm: Vmalloc, address: VirtAddr): number[] {
  const c = vm.context
  checkAddress(c, address)
  const area = findVmArea(c, address)
  if (area === 0) throw new InvalidArgument('address', address, 'one of an area')
  const count = c.space.words[area + VM_NR_PAGES]!
  const array = c.space.numbers[(area + VM_PAGES) >> 1]!
  if (count === 0) return []
  if (arrayInMemory(c, array, count)) return readPageArray(c, array, count)
  throw new KernelBug('BAD_PAGE_ARRAY', `the page array of the area at 0x${address.toString(16)}`)
}

/** Whether an area is mapped with huge pages. */
export function isVmAreaHugepages(vm: Vmalloc, address: VirtAddr): boolean {
  return (findVmAreaAt(vm, address)?.pageOrder ?? 0) > 0
}

/** Freeing the area at an address will reset the permissions of its pages in the direct map. */
export function setVmFlushResetPerms(vm: Vmalloc, address: VirtAddr): void {
  checkAddress(vm.context, address)
  const area = findVmArea(vm.context, address)
  if (area !== 0) vm.context.space.words[area + VM_FLAGS]! |= VM_FLUSH_RESET_PERMS
}

/** Pages of vmalloc memory: `VmallocUsed` of `/proc/meminfo` is four times as many. */
export function vmallocNrPages(vm: Vmalloc): number {
  return vm.context.space.words[VMAP_NR_PAGES]!
}

/** Records the name of what calls in all areas made from now on; '' for none. At most 55 bytes. */
export function setVmallocCaller(vm: Vmalloc, caller: string): void {
  checkCaller(caller)
  vm.context.caller = caller
}

/**
 * What a kernel says of a pointer into vmalloc memory: ` 4-page vmalloc region starting at 0x… allocated at …`;
 * null when there is no area at the page that it is in, or in front of.
 */
export function vmallocDumpObj(vm: Vmalloc, object: VirtAddr): string | null {
  const c = vm.context
  checkAddress(c, object)
  const page = Math.ceil(object / PAGE_SIZE) * PAGE_SIZE
  const area = page < c.space.limit ? findVmArea(c, page) : 0
  if (area === 0) return null
  const { address, nrPages, caller } = describe(c, area)
  const start = fullAddress(c.layout, address).toString(16)
  return ` ${nrPages}-page vmalloc region starting at 0x${start} allocated at ${caller || '0x0'}`
}

function describe(c: VmallocContext, vm: number): VmArea {
  const { words, numbers } = c.space
  return {
    address: vmAddress(c, vm),
    size: numbers[(vm + VM_SIZE) >> 1]!,
    flags: words[vm + VM_FLAGS]! >>> 0,
    nrPages: words[vm + VM_NR_PAGES]!,
    pageOrder: words[vm + VM_PAGE_ORDER]!,
    phys: numbers[(vm + VM_PHYS) >> 1]! as PhysAddr,
    caller: callerName(words, words[vm + VM_CALLER]!),
  }
}
