/** What changed between two machines, in words. */

import { PAGE_SIZE } from '../base/units'
import type { AreaChanges, UsedArea } from './compareAreas'
import type { MemoryChanges, PageChanges, UsedBlock } from './comparePages'
import type { CacheChange, SlabChanges } from './compareSlabs'
import type { Listing } from './listing'
import type { Shape } from './shape'

/** What there is to tell. */
interface Changes {
  readonly pages: PageChanges
  readonly slabs: SlabChanges
  readonly areas: AreaChanges
  readonly memory: MemoryChanges | null
}

/** A line for each kind of change, and one for each change that is listed; no lines when nothing changed. */
export function changeLines({ pages, slabs, areas, memory }: Changes, shape: Shape): string[] {
  const { allocated, freed, changed } = pages
  const [large, largeNow] = slabs.largeBlocks
  const area = (one: UsedArea) => areaText(one, shape)
  return [
    ...part(allocated, (n) => `${blocks(n, pages.allocatedPages)} allocated`, blockText),
    ...part(freed, (n) => `${blocks(n, pages.freedPages)} freed`, blockText),
    ...part(
      changed,
      (n) => `${count(n, 'block')} in use changed`,
      ({ before, after }) => `${blockText(before)} -> ${blockUse(after)}`,
    ),
    ...part(slabs.caches, (n) => `${count(n, 'cache')} changed`, cacheText),
    ...(large === largeNow ? [] : [`large kmalloc blocks: ${large} -> ${largeNow}`]),
    ...part(areas.added, (n) => `${count(n, 'area')} added`, area),
    ...part(areas.removed, (n) => `${count(n, 'area')} removed`, area),
    ...part(
      areas.changed,
      (n) => `${count(n, 'area')} changed`,
      ({ before, after }) => `${area(before)} -> ${areaUse(after)}`,
    ),
    ...(memory === null ? [] : memoryLines(memory)),
  ]
}

function memoryLines(memory: MemoryChanges): string[] {
  const title = (n: number) =>
    `${count(memory.bytes, 'byte')} of memory changed on ${count(n, 'page')}`
  return part(memory, title, ({ pfn, bytes, offset }) => {
    return `0x${(pfn * PAGE_SIZE + offset).toString(16)}: ${count(bytes, 'byte')} of its page`
  })
}

function part<T>(
  listing: Listing<T>,
  title: (count: number) => string,
  text: (item: T) => string,
): string[] {
  if (listing.count === 0) return []
  const more = listing.count - listing.first.length
  const lines = listing.first.map((item) => `  ${text(item)}`)
  if (more > 0) lines.push(`  and ${more} more`)
  return [title(listing.count), ...lines]
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function blocks(n: number, pages: number): string {
  return `${count(n, 'block')} of ${count(pages, 'page')}`
}

function blockText(block: UsedBlock): string {
  return `pfn 0x${block.pfn.toString(16)}: ${blockUse(block)}`
}

function blockUse({ order, flags, refs }: UsedBlock): string {
  return `order ${order}, flags 0x${flags.toString(16)}, ${count(refs, 'reference')}`
}

function cacheText({ name, before, after }: CacheChange): string {
  const old = before ?? { slabs: 0, objects: 0 }
  const now = after ?? { slabs: 0, objects: 0 }
  const kind = before === null ? ', a new cache' : after === null ? ', destroyed' : ''
  return `${name}: objects ${old.objects} -> ${now.objects}, slabs ${old.slabs} -> ${now.slabs}${kind}`
}

function areaText(area: UsedArea, { addressBits, signHigh }: Shape): string {
  const { address } = area
  const high = address >= 2 ** (addressBits - 1)
  const full = high ? BigInt(address) | (BigInt(signHigh) << 32n) : BigInt(address)
  return `0x${full.toString(16)}: ${areaUse(area)}`
}

function areaUse({ size, nrPages, caller, block }: UsedArea): string {
  if (block) return `${size} bytes, a block of small mappings`
  return `${size} bytes, ${count(nrPages, 'page')}${caller === '' ? '' : `, ${caller}`}`
}
