/** What there is in a virtual mapper while it is being checked: areas, what is mapped, whose objects are whose. */

import { PAGE_SIZE } from '../base/units'
import { isLive, isPlace } from '../slab/freePointer'
import { largeSize } from '../slab/large'
import { offsetIn, slabAt } from '../slab/objects'
import { isDebugCache } from '../slab/slabs'
import { SLAB_CACHE } from '../state/slabSchema'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_NEXT,
  AREA_START,
  AREA_VM,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VM_AREA,
} from '../state/vmapSchema'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { firstArea } from '../vmalloc/vmapTree'
import { Violations } from './invariants'
import type { VmallocInvariantId } from './vmallocInvariants'
import type { VmapInvariantId } from './vmapInvariants'

/** The survey of one mapper whose address space is in order. */
export class VmallocSurvey {
  readonly v = new Violations<VmallocInvariantId | VmapInvariantId>()
  readonly words: Int32Array
  readonly numbers: Float64Array
  /** Areas in use, ascending. */
  readonly busy: number[]
  /** Areas that are free or wait for a purge. */
  readonly idle: number[]
  /** Records of vm_structs, by address. */
  readonly structs: number[]
  /** Records of blocks, by address. */
  readonly blocks: number[]
  private readonly objects = new Set<number>()

  constructor(readonly c: VmallocContext) {
    const { words, numbers } = c.space
    this.words = words
    this.numbers = numbers
    this.busy = this.areasOf(TREE_BUSY)
    this.idle = [...this.areasOf(TREE_FREE), ...this.areasOf(TREE_PURGE)]
    this.structs = this.busy.map((area) => words[area + AREA_VM]!).filter((vm) => vm !== 0)
    this.blocks = this.busy.map((area) => words[area + AREA_BLOCK]!).filter((block) => block !== 0)
  }

  /** First address of an area. */
  start(area: number): number {
    return this.numbers[(area + AREA_START) >> 1]!
  }

  /** One more than its last address. */
  end(area: number): number {
    return this.numbers[(area + AREA_END) >> 1]!
  }

  /** A vm_struct in messages. */
  text(vm: number): string {
    return this.areaText(this.words[vm + VM_AREA]!)
  }

  /** An area in messages. */
  areaText(area: number): string {
    return `area [0x${this.start(area).toString(16)}, 0x${this.end(area).toString(16)})`
  }

  /** Frames that pages of an area are mapped to, by index. */
  mapped(area: number): Map<number, number> {
    const [start, end] = [this.start(area), this.end(area)]
    const pfns = new Map<number, number>()
    const pages = (end - start) / PAGE_SIZE
    this.c.tables.forEachLeaf(start, end, (address, bytes, pfn) => {
      if (address < start || address + bytes > end) {
        const leaf = `a leaf at 0x${address.toString(16)}`
        this.v.report('VMALLOC-5', `${leaf} lies across an end of ${this.areaText(area)}`)
      }
      const from = Math.max(0, (start - address) / PAGE_SIZE)
      for (let i = from; i < bytes / PAGE_SIZE; i++) {
        const place = (address - start) / PAGE_SIZE + i
        if (place < pages) pfns.set(place, pfn + i)
      }
    })
    return pfns
  }

  /** Checks that an object, or a large block, of the slab layer is in use, and nobody else's. */
  claimObject(object: number, whose: string): void {
    const bad = this.objects.has(object) ? 'an object of another' : this.objectFault(object)
    this.objects.add(object)
    if (bad !== null) this.v.report('VMALLOC-7', `${whose}, 0x${object.toString(16)}, is ${bad}`)
  }

  private objectFault(object: number): string | null {
    const slabs = this.c.heap.slabs.context
    const slab = slabAt(slabs, object)
    if (slab === 0) return largeSize(slabs, object) > 0 ? null : 'no memory of the slab layer'
    const cache = slabs.words[slab + SLAB_CACHE]!
    const offset = offsetIn(slabs, slab, object)
    if (!isPlace(slabs.words, cache, slab, offset)) return 'no object'
    // Caches with checks keep no bits of what is in use.
    if (isDebugCache(slabs.words, cache)) return null
    return isLive(slabs.words, cache, slab, offset) ? null : 'a free object'
  }

  private areasOf(tree: number): number[] {
    const found: number[] = []
    let at = firstArea(this.c.space, tree)
    for (; at !== 0; at = this.words[at + AREA_NEXT]!) found.push(at)
    return found
  }
}
