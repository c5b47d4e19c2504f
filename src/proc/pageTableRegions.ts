/**
 * The parts of an address space by name, as headers of a page-table dump: from an address layout,
 * in the words of each architecture. Parts that the layout does not have are left out.
 *
 * Source: spec/vmalloc.md §2, §14.
 */

import type { Layout } from '../base/layout'
import { isI386Layout } from '../base/layoutI386'
import { PAGE_SIZE } from '../base/units'
import type { Architecture } from '../paging/accessRights'

/** A part of an address space. */
export interface NamedRegion {
  /** Its first address, without sign extension. */
  readonly start: number
  /** Its name. */
  readonly name: string
}

/** The parts, in ascending order. */
export function namedRegions(layout: Layout, architecture: Architecture): NamedRegion[] {
  const regions = regionsOf(layout, architecture)
  return regions.sort((a, b) => a.start - b.start)
}

function regionsOf(layout: Layout, architecture: Architecture): NamedRegion[] {
  switch (architecture) {
    case 'riscv':
      return riscvRegions(layout)
    case 'arm64':
      return arm64Regions(layout)
    case 'x86':
      return layout.pointerBytes === 8 ? x86Regions(layout) : i386Regions(layout)
  }
}

function x86Regions(layout: Layout): NamedRegion[] {
  const half = 2 ** (layout.vaBits - 1)
  const regions: NamedRegion[] = []
  if (layout.directMapStart >= half) {
    regions.push({ start: 0, name: 'User Space' }, { start: half, name: 'Kernel Space' })
  }
  regions.push(
    { start: layout.directMapStart, name: 'Low Kernel Mapping' },
    { start: layout.vmallocStart, name: 'vmalloc() Area' },
    { start: recordsStart(layout), name: 'Vmemmap' },
  )
  const { image, modules } = layout
  if (image) regions.push({ start: image.start, name: 'High Kernel Mapping' })
  if (modules) {
    regions.push(
      { start: modules.start, name: 'Modules' },
      { start: modules.end, name: 'End Modules' },
    )
  }
  return [...regions, ...fixmapRegions(layout, 'Fixmap area')]
}

function i386Regions(layout: Layout): NamedRegion[] {
  const regions = [
    { start: 0, name: 'User Space' },
    { start: layout.directMapStart, name: 'Kernel Mapping' },
    { start: layout.vmallocStart, name: 'vmalloc() Area' },
    { start: layout.vmallocEnd, name: 'vmalloc() End' },
  ]
  if (isI386Layout(layout)) {
    if (layout.pkmapBase !== 0) {
      regions.push({ start: layout.pkmapBase, name: 'Persistent kmap() Area' })
    }
    regions.push(
      { start: layout.ldtBase, name: 'LDT remap' },
      { start: layout.cpuEntryArea, name: 'CPU entry Area' },
    )
  }
  return [...regions, ...fixmapRegions(layout, 'Fixmap area')]
}

function riscvRegions(layout: Layout): NamedRegion[] {
  const regions = [
    { start: recordsStart(layout), name: 'vmemmap start' },
    { start: layout.vmallocStart, name: 'vmalloc() area' },
    { start: layout.vmallocEnd, name: 'vmalloc() end' },
    { start: layout.directMapStart, name: 'Linear mapping' },
    ...fixmapRegions(layout, 'Fixmap start'),
  ]
  if (layout.modules) regions.push({ start: layout.modules.start, name: 'Modules/BPF mapping' })
  return regions
}

function arm64Regions(layout: Layout): NamedRegion[] {
  return [
    { start: layout.directMapStart, name: 'Linear Mapping start' },
    { start: layout.directMapEnd, name: 'Linear Mapping end' },
    { start: layout.modules?.start ?? 0, name: 'Modules start' },
    { start: layout.modules?.end ?? 0, name: 'Modules end' },
    { start: layout.vmallocStart, name: 'vmalloc() area' },
    { start: layout.vmallocEnd, name: 'vmalloc() end' },
    { start: recordsStart(layout), name: 'vmemmap start' },
    ...fixmapRegions(layout, 'Fixmap start'),
  ].filter(({ start }) => start !== 0)
}

/** The record of the first frame of RAM; `vmemmap` is that of frame 0. */
function recordsStart(layout: Layout): number {
  const ramBase = layout.directMapStart - layout.directMap
  return Number(BigInt.asUintN(layout.vaBits, layout.vmemmap + BigInt(ramBase) / 64n))
}

/** Slots go downwards from the top. */
function fixmapRegions(layout: Layout, name: string): NamedRegion[] {
  const { fixmap } = layout
  return fixmap ? [{ start: fixmap.top - (fixmap.slots - 1) * PAGE_SIZE, name }] : []
}
