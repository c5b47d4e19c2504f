/**
 * Memory that a device and the CPU share: whole blocks of pages within the device's reach, as x86_64
 * gives them without an IOMMU. The address that the device sees is the physical one.
 *
 * The kernel would try a CMA area first for blocking requests of more than a page, and for a device that
 * has its own; there are none here (DIFF-38).
 *
 * Source: spec/slab.md §20.3.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { getOrder, PAGE_SIZE } from '../base/units'
import { __GFP_HIGHMEM, __GFP_ZERO, GFP_DMA, GFP_DMA32 } from '../page/gfp'
import type { SlabContext } from './context'
import { takePages } from './slabs'

/** What allocating on behalf of a device has to know of it. */
export interface Device {
  /** Its name. */
  readonly name: string
  /** Node that it is near; -1 for none. */
  readonly node: number
  /** Largest address that it can reach; see {@link dmaBitMask}. */
  readonly dmaMask: number
}

/** The largest address of `bits` bits, 1 to 64. From 54 bits on it is rounded up. */
export function dmaBitMask(bits: number): number {
  checkInteger('bits', bits, 1, 64)
  return 2 ** bits - 1
}

/** @throws InvalidArgument for a device that the machine cannot have. */
export function checkDevice(c: SlabContext, device: Device): void {
  const { node, dmaMask } = device
  checkInteger('device.node', node, -1, c.source.nrNodes - 1)
  if (node >= 0 && !c.source.isOnline(node)) {
    throw new InvalidArgument('device.node', node, 'a node that is online')
  }
  if (!(dmaMask >= 0)) throw new InvalidArgument('device.dmaMask', dmaMask, 'an address, 0 or more')
}

/** Allocates the pages of `bytes` zeroed bytes for a device; returns the first frame or -1. */
export function allocCoherent(c: SlabContext, device: Device, bytes: number, gfp: number): number {
  const order = getOrder(bytes)
  const size = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE
  const rest = gfp & ~(GFP_DMA | GFP_DMA32 | __GFP_HIGHMEM | __GFP_ZERO)
  let zone = zoneFlag(device.dmaMask)
  for (;;) {
    const pfn = takePages(c, (rest | zone) >>> 0, order, device.node)
    if (pfn < 0) return -1
    const phys = pfn * PAGE_SIZE
    if (phys + size - 1 <= device.dmaMask) {
      c.ram.fill(phys, size, 0)
      return pfn
    }
    c.source.freeBlock(pfn, order)
    if (zone === GFP_DMA) return -1
    zone = zone === 0 ? GFP_DMA32 : GFP_DMA
  }
}

/** Frees the pages of an {@link allocCoherent} of `bytes` bytes. */
export function freeCoherent(c: SlabContext, pfn: number, bytes: number): void {
  c.source.freeBlock(pfn, getOrder(bytes))
}

/** The zone whose pages a device of this mask can all reach; 0 for any. */
function zoneFlag(mask: number): number {
  if (mask <= 0xffffff) return GFP_DMA
  return mask <= 0xffffffff ? GFP_DMA32 : 0
}
