/**
 * What the allocators of a machine use for themselves: which objects are their descriptors, which pages stand
 * behind areas. So nothing that backs another counts a second time.
 */

import { InvalidArgument } from '../base/errors'
import { blockHead, pageRecord } from '../page/memmap'
import { PG_SLAB } from '../page/pageFlags'
import type { SlabContext } from '../slab/context'
import { isLive } from '../slab/freePointer'
import { isDebugCache } from '../slab/slabs'
import { PAGE_FLAGS } from '../state/schema'
import { SLAB_CACHE, SLAB_CACHE_CACHE, SLAB_NODE_CACHE } from '../state/slabSchema'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_NEXT,
  AREA_OBJECT,
  AREA_START,
  AREA_VM,
  BLOCK_OBJECT,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VM_NR_PAGES,
  VM_OBJECT,
  VM_PAGES,
  VMAP_CPU_SPARE,
  VMAP_CPU_WORDS,
  VMAP_HEADER_WORDS,
  VMAP_NR_CPUS,
} from '../state/vmapSchema'
import { isVmallocAddr } from '../vmalloc/addresses'
import type { MachineParts } from '../vmalloc/machineParts'
import { arrayInMemory, readPageArray } from '../vmalloc/pageArray'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { firstArea } from '../vmalloc/vmapTree'
import { digitsOf } from './inspection'
import { freeObjects, placesOf } from './slubValidate'

/** Hooks of those who ask about a machine. */
export interface InspectOptions {
  /** Tells who allocated a page frame in use: a page owner's answer; null when it does not know. */
  readonly owner?: (pfn: number) => string | null
}

/**
 * Checks what is taken for a machine.
 * @throws InvalidArgument unless it has all parts, and options are what they should be.
 */
export function checkParts(m: MachineParts, options: InspectOptions): void {
  const { pages, slabs, vm } = Object(m) as Partial<MachineParts>
  if (!pages?.context?.words || !slabs?.context?.words || !vm?.context?.space) {
    throw new InvalidArgument('machine', m, 'an object with ram, pages, slabs, heap and vm')
  }
  const owner = (Object(options) as InspectOptions).owner
  if (owner !== undefined && typeof owner !== 'function') {
    throw new InvalidArgument('owner', owner, 'a function')
  }
}

/** Whom a page belongs to, as the option tells. */
export function ownerOf(options: InspectOptions, pfn: number): string {
  return options.owner?.(pfn) ?? ''
}

/** Whether a block that is no slab and no large block was given to the slab layer: it is set aside. */
export function isSetAside(pageWords: Int32Array, head: number): boolean {
  return (pageWords[pageRecord(head) + PAGE_FLAGS]! & PG_SLAB) !== 0
}

/** Objects and pages that stand behind the areas of a mapper, found by one walk over all of them. */
export class Backing {
  /** What an object or a large block is, by its address. */
  readonly objects = new Map<number, string>()
  /** The area that a page belongs to, by the first frame of its block. */
  readonly pages = new Map<number, number>()
  /** What an area is, by its first address: those that hold page arrays of others. */
  readonly areas = new Map<number, string>()

  constructor(
    private readonly c: VmallocContext,
    private readonly pageWords: Int32Array,
  ) {
    for (const tree of [TREE_BUSY, TREE_PURGE, TREE_FREE]) {
      for (const area of areasOf(c, tree)) this.enter(area)
    }
    const { words, numbers } = c.space
    for (let cpu = 0; cpu < words[VMAP_NR_CPUS]!; cpu++) {
      const place = VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS + VMAP_CPU_SPARE
      this.objects.set(numbers[place >> 1]!, `spare vmap_area of CPU ${cpu}`)
    }
    // What has no memory behind it stands as 0 or -1.
    this.objects.delete(0)
    this.objects.delete(-1)
  }

  private enter(area: number): void {
    const { words, numbers } = this.c.space
    const text = `the area at ${digitsOf(this.c.layout, numbers[(area + AREA_START) >> 1]!)}`
    const vm = words[area + AREA_VM]!
    const block = words[area + AREA_BLOCK]!
    this.objects.set(numbers[(area + AREA_OBJECT) >> 1]!, `vmap_area of ${text}`)
    if (block !== 0)
      this.objects.set(numbers[(block + BLOCK_OBJECT) >> 1]!, `vmap_block of ${text}`)
    if (vm === 0) return
    this.objects.set(numbers[(vm + VM_OBJECT) >> 1]!, `vm_struct of ${text}`)
    const array = numbers[(vm + VM_PAGES) >> 1]!
    if (array === 0) return
    const holder = isVmallocAddr(this.c.layout, array) ? this.areas : this.objects
    holder.set(array, `page array of ${text}`)
    for (const pfn of areaFrames(this.c, vm)) {
      const head = this.c.frames.isMemory(pfn) ? blockHead(this.pageWords, pfn) : -1
      if (head >= 0) this.pages.set(head, area)
    }
  }
}

/** Frames that belong to an area; none when its array is not in memory. */
export function areaFrames(c: VmallocContext, vm: number): readonly number[] {
  const count = c.space.words[vm + VM_NR_PAGES]!
  const array = c.space.numbers[(vm + VM_PAGES) >> 1]!
  if (count <= 0 || array === 0 || !arrayInMemory(c, array, count)) return []
  return readPageArray(c, array, count)
}

/** The areas of a tree, by address. */
export function areasOf({ space }: VmallocContext, tree: number): number[] {
  const areas: number[] = []
  for (let at = firstArea(space, tree); at !== 0; at = space.words[at + AREA_NEXT]!) areas.push(at)
  return areas
}

/** First address of an area, and one more than its last. */
export function areaBounds({ space }: VmallocContext, area: number): readonly [number, number] {
  return [space.numbers[(area + AREA_START) >> 1]!, space.numbers[(area + AREA_END) >> 1]!]
}

/** What an object is when it is an allocator's own; '' for any other. */
export function objectUse(
  c: SlabContext,
  backing: Backing,
  cache: number,
  address: number,
): string {
  if (cache === c.words[SLAB_CACHE_CACHE]) return 'descriptor of a cache'
  if (cache === c.words[SLAB_NODE_CACHE]) return 'node state of a cache'
  return backing.objects.get(address) ?? ''
}

/** Distances of the objects in use from the start of their slab, ascending. */
export function usedPlaces(c: SlabContext, slab: number): number[] {
  const { words } = c
  const cache = words[slab + SLAB_CACHE]!
  const places = placesOf(words, cache, slab)
  if (!isDebugCache(words, cache)) {
    return places.filter((offset) => isLive(words, cache, slab, offset))
  }
  // Caches with checks keep no bits of what is in use.
  const free = freeObjects(c, cache, slab)
  return places.filter((offset) => free?.has(offset) !== true)
}
