/**
 * Areas for chunks of per-CPU memory: one for each group of CPUs, at fixed distances from each other.
 *
 * Source: spec/vmalloc.md §15.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { AREA_VM, VM_AREA } from '../state/vmapSchema'
import { checkAlign } from './checks'
import { VM_ALLOC } from './flags'
import { areaToFree, checkAddress } from './vfree'
import { freeVmStruct, makeVmStruct, VM_STRUCT_BYTES, vmAddress } from './vmArea'
import { freeVmArea } from './vmAreas'
import type { Vmalloc } from './vmalloc'
import { warnVmalloc } from './vmallocContext'
import { WARN_PCPU_SPACE } from './vmallocLogOps'
import { pcpuAreas } from './vmapPcpu'

/** Areas of {@link pcpuGetVmAreas}. */
export interface PcpuVmAreas {
  /** First address of each area, in the order of the offsets. */
  readonly addresses: readonly VirtAddr[]
  /** Memory of the array that a kernel keeps of them. */
  readonly array: VirtAddr
}

/** What such areas are said to come from. */
const CALLER = 'pcpu_get_vm_areas+0x0/0x6f0'

/**
 * Takes areas of address space at fixed distances, as high as the vmalloc window allows. They have no guard pages,
 * and nothing is mapped there.
 * @param offsets distance of each area from a common base. Bytes, multiples of `align`.
 * @param sizes their sizes. Bytes, multiples of `align`.
 * @param align a power of two, 4096 or more.
 * @returns the areas, or null when there is no memory or no address space; a set that is larger than the
 * window is warned of once.
 * @throws InvalidArgument, with nothing changed, for offsets and sizes that are not as told, or that overlap.
 */
export function pcpuGetVmAreas(
  vm: Vmalloc,
  offsets: readonly number[],
  sizes: readonly number[],
  align: number,
): PcpuVmAreas | null {
  const c = vm.context
  const { vmallocStart, vmallocEnd } = c.layout
  checkAlign(align)
  checkSets(offsets, sizes, align)
  const last = Math.max(...offsets.map((offset, i) => offset + sizes[i]!))
  const window = Math.floor(vmallocEnd / align) - Math.ceil(vmallocStart / align)
  if (last > window * align) {
    warnVmalloc(c, WARN_PCPU_SPACE)
    return null
  }
  const bytes = offsets.length * c.layout.pointerBytes
  const structs: number[] = []
  const ready = (i: number): boolean => {
    const made = newStruct(vm, sizes[i]!)
    if (made !== 0) structs.push(made)
    return made !== 0
  }
  let array: VirtAddr | null = null
  let temporary: VirtAddr | null = null
  let areas: number[] | null = null
  try {
    array = c.heap.kzalloc(bytes, GFP_KERNEL)
    temporary = c.heap.kzalloc(bytes, GFP_KERNEL)
    if (array !== null && temporary !== null) {
      const gfp = GFP_KERNEL
      areas = pcpuAreas(c.space, offsets, sizes, align, vmallocStart, vmallocEnd, gfp, ready)
    }
  } finally {
    // After an error too, which a hook may throw.
    if (areas === null) {
      for (const record of structs) freeVmStruct(c, record)
      c.heap.kfree(temporary)
      c.heap.kfree(array)
    }
  }
  if (areas === null || array === null) return null
  const addresses = areas.map((area, i) => {
    const record = structs[i]!
    c.space.words[area + AREA_VM] = record
    c.space.words[record + VM_AREA] = area
    return vmAddress(c, record)
  })
  c.heap.kfree(temporary)
  return { addresses, array }
}

/** Gives the areas of {@link pcpuGetVmAreas} back. Pages that are mapped there stay whose they are. */
export function pcpuFreeVmAreas(vm: Vmalloc, areas: PcpuVmAreas): void {
  const { addresses, array } = Object(areas) as PcpuVmAreas
  if (!Array.isArray(addresses)) throw new InvalidArgument('areas', areas, 'areas of CPUs')
  const c = vm.context
  const structs = addresses.map((address) => {
    checkAddress(c, address)
    return areaToFree(c, address)
  })
  if (new Set(structs).size !== structs.length) {
    throw new InvalidArgument('addresses', addresses, 'of different areas')
  }
  c.heap.ksize(array)
  for (const address of addresses) freeVmArea(vm, address)
  c.heap.kfree(array)
}

/** A vm_struct record with its memory; 0 when there is none. */
function newStruct(vm: Vmalloc, size: number): number {
  const c = vm.context
  const object = c.heap.kzalloc(VM_STRUCT_BYTES, GFP_KERNEL, NUMA_NO_NODE)
  if (object === null) return 0
  const { caller } = c
  c.caller = CALLER
  const made = makeVmStruct(c, VM_ALLOC, size, object)
  c.caller = caller
  if (made === 0) c.heap.kfree(object)
  return made
}

function checkSets(offsets: readonly number[], sizes: readonly number[], align: number): void {
  if (!Array.isArray(offsets) || offsets.length === 0) {
    throw new InvalidArgument('offsets', offsets, 'an array of distances')
  }
  if (!Array.isArray(sizes) || sizes.length !== offsets.length) {
    throw new InvalidArgument('sizes', sizes, 'an array of as many sizes')
  }
  checkInteger('align', align, 4096, 2 ** 48)
  const starts = [...offsets.keys()].sort((a, b) => offsets[a] - offsets[b])
  let end = 0
  for (const i of starts) {
    checkInteger('offset', offsets[i], end, 2 ** 48)
    checkInteger('size', sizes[i], align, 2 ** 48)
    for (const value of [offsets[i], sizes[i]]) {
      if (value % align !== 0) throw new InvalidArgument('areas', value, `a multiple of ${align}`)
    }
    end = offsets[i] + sizes[i]
  }
}
