/**
 * Everything that is allocated on a machine, each thing once: blocks of pages, objects, areas of address space.
 *
 * What backs another is marked as internal: the block of a slab, page tables and descriptors of the mapper,
 * pages and page arrays of its areas. So the things that are not internal are what was asked for, and the pages of
 * all blocks together, large ones of kmalloc included, are all pages in use.
 */

import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { freshEnd } from '../page/freshBlocks'
import { flagsOrder, pageRecord } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import { formatName } from '../slab/cacheName'
import { objectAddress } from '../slab/slabs'
import {
  HEADER_NR_RANGES,
  HEADER_RANGES,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_REFS,
  RANGE_END,
  RANGE_START,
  RANGE_WORDS,
} from '../state/schema'
import { CACHE_OBJECT_SIZE, SLAB_CACHE, SLAB_FRAMES, SLAB_MAX_PFN } from '../state/slabSchema'
import {
  AREA_BLOCK,
  AREA_VM,
  TREE_BUSY,
  VM_CALLER,
  VM_FLAGS,
  VM_OBJECT,
  VM_PHYS,
} from '../state/vmapSchema'
import { callerName } from '../vmalloc/callers'
import type { MachineParts } from '../vmalloc/machineParts'
import {
  areaBounds,
  areaFrames,
  areasOf,
  Backing,
  checkParts,
  type InspectOptions,
  isSetAside,
  objectUse,
  ownerOf,
  usedPlaces,
} from './backing'
import { trackOf } from './inspectSlab'
import { TRACK_ALLOC } from './slubTrack'

/** Something that is allocated. */
export interface LiveAllocation {
  /**
   * 'pages' is a block of pages; 'object' one of a slab; 'large' a kmalloc request of more than 8192 bytes;
   * 'area' a run of address space; 'mapping' a page of it that `vmMapRam` mapped in a block that many share.
   */
  readonly kind: 'pages' | 'object' | 'large' | 'area' | 'mapping'
  /** Its first address; null for pages that the direct map does not reach. */
  readonly address: VirtAddr | null
  /** First frame of a block, large ones included; -1 for all else. */
  readonly pfn: number
  /** Bytes: of an object those that its owner may use, of an area with its guard page. */
  readonly size: number
  /** Name of the cache of an object; '' for all else. */
  readonly cache: string
  /** Who asked for it: from a track, the option `owner`, or the area; '' when nobody knows. */
  readonly caller: string
  /** Whether it is an allocator's own, or backs something else that is listed. */
  readonly internal: boolean
  /** What it is for then; '' otherwise. */
  readonly use: string
  /** What tells it from another of the same kind, address and size at another time; '' when nothing does. */
  readonly stamp: string
}

/**
 * Walks everything that is allocated: blocks by frame, the objects of a slab behind its block, then areas by
 * address. Pages that were never handed to the allocator are not allocated. The machine must not be changed
 * during the walk.
 *
 * A mapping of `vmMapRam` that shares a block counts page by page: nothing tells where one ends.
 * @throws InvalidArgument for what is no machine.
 */
export function liveAllocations(
  m: MachineParts,
  options: InspectOptions = {},
): Iterable<LiveAllocation> {
  checkParts(m, options)
  return walk(m, options)
}

function* walk(m: MachineParts, options: InspectOptions): Generator<LiveAllocation> {
  const { words } = m.pages
  const backing = new Backing(m.vm.context, words)
  const ranges = words[HEADER_RANGES]!
  const end = ranges + words[HEADER_NR_RANGES]! * RANGE_WORDS
  let pfn = 0
  for (let range = ranges; range < end; range += RANGE_WORDS) {
    // A block may lie across the seam of two ranges.
    pfn = Math.max(pfn, words[range + RANGE_START]!)
    while (pfn < words[range + RANGE_END]!) {
      pfn = freshEnd(words, pfn)
      if (pfn >= words[range + RANGE_END]!) break
      const flags = words[pageRecord(pfn) + PAGE_FLAGS]!
      const refs = words[pageRecord(pfn) + PAGE_REFS]!
      const heads = (flags & PAGE_BUDDY) !== 0 || refs !== 0
      const order = heads ? flagsOrder(flags) : 0
      const used = refs > 0 && (flags & (PAGE_BUDDY | PG_RESERVED)) === 0
      if (used) yield* block(m, backing, pfn, order, options)
      pfn += 2 ** order
    }
  }
  for (const area of areasOf(m.vm.context, TREE_BUSY)) yield* areaAllocations(m, backing, area)
}

/** A block in use, and what lies in it. */
function* block(
  m: MachineParts,
  backing: Backing,
  pfn: number,
  order: number,
  options: InspectOptions,
): Generator<LiveAllocation> {
  const c = m.slabs.context
  const { layout, tables } = m.vm.context
  const slab = pfn < c.words[SLAB_MAX_PFN]! ? c.words[SLAB_FRAMES + pfn]! : 0
  const address = layout.directMap + pfn * PAGE_SIZE
  const owner = ownerOf(options, pfn)
  const area = backing.pages.get(pfn)
  let use = ''
  if (slab > 0) use = `slab of ${formatName(c.words, c.words[slab + SLAB_CACHE]!)}`
  else if (slab < 0) use = backing.objects.get(address) ?? ''
  else if (tables.levelOf(pfn) >= 0) use = 'page table'
  else if (isSetAside(m.pages.words, pfn)) use = 'set aside'
  else if (area !== undefined) use = 'page of an area'
  yield {
    kind: slab < 0 ? 'large' : 'pages',
    address: address < layout.directMapEnd ? (address as VirtAddr) : null,
    pfn,
    size: PAGE_SIZE * 2 ** order,
    cache: '',
    caller: owner,
    internal: use !== '',
    use,
    stamp: owner,
  }
  if (slab > 0) yield* objects(m, backing, slab)
}

/** The objects in use of a slab. */
function* objects(m: MachineParts, backing: Backing, slab: number): Generator<LiveAllocation> {
  const c = m.slabs.context
  const record = c.words[slab + SLAB_CACHE]!
  const cache = formatName(c.words, record)
  const size = c.words[record + CACHE_OBJECT_SIZE]!
  for (const place of usedPlaces(c, slab)) {
    const address = objectAddress(c, slab, place) as VirtAddr
    const track = trackOf(c, slab, place, TRACK_ALLOC)
    const stamp = track === null ? '' : [track.by, track.cpu, track.pid, track.when].join(' ')
    const use = objectUse(c, backing, record, address)
    const internal = use !== ''
    const caller = track?.by ?? ''
    yield { kind: 'object', address, pfn: -1, size, cache, caller, internal, use, stamp }
  }
}

/** An area in use; of a block of small mappings the pages that are mapped besides. */
function* areaAllocations(
  m: MachineParts,
  backing: Backing,
  area: number,
): Generator<LiveAllocation> {
  const c = m.vm.context
  const { words, numbers } = c.space
  const [start, end] = areaBounds(c, area)
  const vm = words[area + AREA_VM]!
  const entry = { kind: 'area', address: start as VirtAddr, pfn: -1, size: end - start } as const
  const unknown = { cache: '', caller: '', internal: false, use: '', stamp: '' }
  if (vm !== 0) {
    const caller = callerName(words, words[vm + VM_CALLER]!)
    const use = backing.areas.get(start) ?? ''
    const frames = areaFrames(c, vm)
    const facts = [words[vm + VM_FLAGS]!, numbers[(vm + VM_PHYS) >> 1]!]
    const places = [numbers[(vm + VM_OBJECT) >> 1]!, frames[0], frames[frames.length - 1]]
    const stamp = [caller, ...facts, ...places].join(' ')
    yield { ...entry, ...unknown, caller, internal: use !== '', use, stamp }
  } else if (words[area + AREA_BLOCK] !== 0) {
    yield { ...entry, ...unknown, internal: true, use: 'block of vm_map_ram' }
    for (const [address, pfn] of mappedPages(m, start, end)) {
      const mapping = { ...unknown, stamp: String(pfn) }
      yield { ...entry, ...mapping, kind: 'mapping', address: address as VirtAddr, size: PAGE_SIZE }
    }
  } else {
    const stamp = String(mappedPages(m, start, end)[0]?.[1] ?? '')
    yield { ...entry, ...unknown, stamp }
  }
}

/** Pages that are mapped in a range: address and frame, ascending. */
function mappedPages(m: MachineParts, start: number, end: number): (readonly [number, number])[] {
  const { tables } = m.vm.context
  const found: (readonly [number, number])[] = []
  if (tables.root < 0) return found
  tables.forEachLeaf(start, end, (address, bytes, pfn) => {
    for (let at = 0; at < bytes; at += PAGE_SIZE) {
      if (address + at < start || address + at >= end) continue
      found.push([address + at, pfn + at / PAGE_SIZE])
    }
  })
  return found
}
