/**
 * The fixmap: virtual addresses that are known when the kernel is compiled, a page each, for whatever has to
 * be mapped at a fixed place.
 *
 *     slot   n ... 2        1        0
 *            | page | page  | page   |
 *                                    ^ FIXADDR_TOP, the first byte of slot 0
 *
 * Slots are not allocated, and nothing of them is in the tree of vmalloc areas.
 *
 * Source: spec/vmalloc.md §14.5.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { FixmapWindow, Layout } from '../base/layout'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { MAP_OK, type PageTables } from '../paging/pageTables'
import { checkTables } from './checkTables'

/** Slot of the page of vsyscalls on x86_64. */
export const FIX_VSYSCALL = 511

/**
 * Address of a slot.
 * @throws InvalidArgument for a layout without a fixmap and for a slot that it does not have.
 */
export function fixToVirt(layout: Layout, index: number): VirtAddr {
  const { top, slots } = fixmapOf(layout)
  checkInteger('index', index, 0, slots - 1)
  return (top - index * PAGE_SIZE) as VirtAddr
}

/**
 * Slot that an address lies in.
 * @throws InvalidArgument for a layout without a fixmap and for an address outside it.
 */
export function virtToFix(layout: Layout, address: number): number {
  const { top, slots } = fixmapOf(layout)
  checkInteger('address', address, top - (slots - 1) * PAGE_SIZE, top + PAGE_SIZE - 1)
  return Math.floor((top + PAGE_SIZE - 1 - address) / PAGE_SIZE)
}

/**
 * Maps the page of a physical address in a slot, in place of what was mapped there, and flushes the slot's page.
 * @param prot a PROT_ mask, such as PAGE_KERNEL_IO.
 * @returns the virtual address of `phys`; null when there is no page for a table.
 * @throws InvalidArgument for a wrong slot, a physical address or a protection that the format cannot say.
 */
export function setFixmap(
  tables: PageTables,
  layout: Layout,
  index: number,
  phys: number,
  prot: number,
): VirtAddr | null {
  const address = fixToVirt(layout, index)
  checkTables(tables, layout)
  checkInteger('phys', phys, 0, 2 ** Math.min(tables.format.physBits, 52) - 1)
  tables.format.leafBits(prot, tables.format.levels.length - 1)
  const pfn = Math.floor(phys / PAGE_SIZE)
  tables.unmapRange(address, PAGE_SIZE)
  if (tables.mapPages(address, [pfn], 0, 1, prot) !== MAP_OK) return null
  tables.flush.flushTlb(address, address + PAGE_SIZE)
  return (address + (phys % PAGE_SIZE)) as VirtAddr
}

/**
 * Clears a slot and flushes its page; a slot that is clear stays so.
 * @throws InvalidArgument for a wrong slot.
 */
export function clearFixmap(tables: PageTables, layout: Layout, index: number): void {
  const address = fixToVirt(layout, index)
  checkTables(tables, layout)
  tables.unmapRange(address, PAGE_SIZE)
  tables.flush.flushTlb(address, address + PAGE_SIZE)
}

function fixmapOf(layout: Layout): FixmapWindow {
  if (layout.fixmap) return layout.fixmap
  throw new InvalidArgument('layout', layout.name, 'one with a fixmap')
}
