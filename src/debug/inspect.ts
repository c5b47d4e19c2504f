/**
 * Asking about an address: where it lies, what is there, and whose it is.
 *
 *     address --> area of address space --> page frame --> block of pages --> slab --> object
 *                                                                      \--> large block, page table, …
 *
 * Nothing is changed, and any number has an answer. Costs a walk over the areas of the mapper, and over the list that
 * a free page or a slab is on.
 */

import { InvalidArgument } from '../base/errors'
import type { Layout } from '../base/layout'
import { isI386Layout } from '../base/layoutI386'
import { PAGE_SIZE, type Pfn, type VirtAddr } from '../base/units'
import { isVmallocAddr } from '../vmalloc/addresses'
import type { MachineParts } from '../vmalloc/machineParts'
import { checkParts, type InspectOptions } from './backing'
import { inspectArea } from './inspectArea'
import type { AddressDigits, AddressPlace, Inspection } from './inspection'
import { inspectPage } from './inspectPage'

/** One more than the largest frame number that there can be. */
const PFN_LIMIT = 1099511627776

/**
 * What is known of an address.
 * @param address without its sign extension: `parseAddress` makes it of a printed one. Any number has an answer; what
 * is no address of the layout is at `none`.
 * @returns plain data; {@link describeInspection} puts it into words.
 * @throws InvalidArgument for what is no number, and for what is no machine.
 */
export function inspect(
  m: MachineParts,
  address: VirtAddr | number,
  options: InspectOptions = {},
): Inspection {
  checkParts(m, options)
  if (typeof address !== 'number') throw new InvalidArgument('address', address, 'a number')
  const { layout, tables } = m.vm.context
  const answer = { asked: 'address', value: address, digits: addressDigits(layout) } as const
  const where = placeOf(layout, address)
  if (where === 'none') return { ...answer, where, area: null, page: null }
  const linear = where === 'direct map' ? layout.directMap : layout.image?.start
  if (linear !== undefined && (where === 'direct map' || where === 'kernel image')) {
    const phys = address - linear
    return { ...answer, where, area: null, page: pageAt(m, phys, options) }
  }
  // Tables that were destroyed map nothing.
  const pfn = tables.root < 0 ? -1 : tables.pfnAt(address)
  const phys = pfn * PAGE_SIZE + (address % PAGE_SIZE)
  const page = pfn < 0 ? null : pageAt(m, phys, options)
  return { ...answer, where, area: inspectArea(m.vm.context, m.pages.words, address), page }
}

/**
 * What is known of a page frame, and of the first byte in it. See {@link inspect}.
 * @param pfn any number has an answer; what can be no frame is at `none`.
 * @throws InvalidArgument for what is no number, and for what is no machine.
 */
export function inspectPfn(
  m: MachineParts,
  pfn: Pfn | number,
  options: InspectOptions = {},
): Inspection {
  checkParts(m, options)
  if (typeof pfn !== 'number') throw new InvalidArgument('pfn', pfn, 'a number')
  const { layout } = m.vm.context
  const digits = addressDigits(layout)
  const answer = { asked: 'pfn', value: pfn, digits, area: null } as const
  if (!Number.isInteger(pfn) || pfn < 0 || pfn >= PFN_LIMIT) {
    return { ...answer, where: 'none', page: null }
  }
  const address = layout.directMap + pfn * PAGE_SIZE
  const reached = address >= layout.directMapStart && address < layout.directMapEnd
  const where = reached ? 'direct map' : 'high memory'
  return { ...answer, where, page: inspectPage(m, pfn, 0, options) }
}

function pageAt(m: MachineParts, phys: number, options: InspectOptions) {
  return inspectPage(m, Math.floor(phys / PAGE_SIZE), phys % PAGE_SIZE, options)
}

/** In which window of a layout an address lies. */
function placeOf(layout: Layout, address: number): AddressPlace {
  if (!Number.isInteger(address) || address < 0 || address >= 2 ** layout.vaBits) return 'none'
  const { directMapStart, directMapEnd, image, modules, fixmap } = layout
  const inside = (start: number, end: number) => address >= start && address < end
  if (inside(directMapStart, directMapEnd)) return 'direct map'
  if (isVmallocAddr(layout, address)) return 'vmalloc'
  if (image && inside(image.start, image.end)) return 'kernel image'
  if (modules && inside(modules.start, modules.end)) return 'modules'
  if (isI386Layout(layout)) {
    const { pkmapBase, lastPkmap } = layout
    if (inside(pkmapBase, pkmapBase + lastPkmap * PAGE_SIZE)) return 'pkmap'
  }
  if (fixmap === undefined) return 'other'
  const above = fixmap.top + PAGE_SIZE
  return inside(above - fixmap.slots * PAGE_SIZE, above) ? 'fixmap' : 'other'
}

function addressDigits({ vaBits, signHigh, pointerBytes }: Layout): AddressDigits {
  return { vaBits, signHigh, pointerBytes }
}
