/**
 * mempool: a reserve of elements beside an allocator, for code that has to make progress without memory.
 *
 * The allocator is asked first; the reserve gives only when that fails, and is filled up by later frees.
 *
 *     alloc:  allocator -> reserve (top of the stack) -> allocator, trying harder -> reserve
 *     free:   reserve, until it holds minNr -> allocator
 *
 * The kernel's structure (72 bytes) and its array of pointers (8 bytes for each) are allocated from a
 * heap; which elements the reserve holds is kept in JavaScript, and is no part of a saved state.
 *
 * An element that the pool did not hand out is refused, and where the kernel would sleep, an error is thrown
 * (DIFF-36).
 *
 * MEMPOOL-1: an element is either in the reserve or handed out, and never both.
 *
 * Source: spec/slab.md §19.
 */

import { checkInteger, InvalidArgument, KernelBug, OutOfMemory } from '../base/errors'
import { MAX_ORDER, NUMA_NO_NODE, type Pfn, type VirtAddr } from '../base/units'
import type { Pages } from '../buddy/pageSource'
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_IO,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_ZERO,
  GFP_KERNEL,
} from '../page/gfp'
import { checkMask } from './checks'
import type { Kmalloc } from './kmalloc'
import type { SlabCache } from './slabCache'

/** Bytes of the kernel's pool structure, and of a pointer. */
const POOL_BYTES = 72
const POINTER_BYTES = 8
const MAX_NR = 0x7fffffff

/** Where elements come from, and go to. */
export interface MempoolElements<Element> {
  /** Allocates an element, no two alike at the same time; null when there is no memory. */
  alloc(gfp: number): Element | null
  /** Frees an element. */
  free(element: Element): void
}

/** What a pool is made of. */
export interface MempoolOptions<Element> extends MempoolElements<Element> {
  /** Elements in the full reserve, 0 to 2^31 - 1. */
  readonly minNr: number
  /** How the pool itself and its first elements are allocated; `GFP_KERNEL` when not given. */
  readonly gfp?: number
  /** Node of the pool's structures; -1, the default, for any. */
  readonly node?: number
}

/** The objects of a cache as elements. @throws InvalidArgument for a cache with a constructor. */
export function slabElements(cache: SlabCache): MempoolElements<VirtAddr> {
  if (cache.hasCtor) throw new InvalidArgument('cache', cache.name, 'one without a constructor')
  return { alloc: (gfp) => cache.alloc(gfp), free: (object) => cache.free(object) }
}

/** Blocks of a heap as elements, `size` bytes each. @throws InvalidArgument for a size below 1. */
export function kmallocElements(heap: Kmalloc, size: number): MempoolElements<VirtAddr> {
  checkInteger('size', size, 1, Number.MAX_SAFE_INTEGER)
  return { alloc: (gfp) => heap.kmalloc(size, gfp), free: (block) => heap.kfree(block) }
}

/** Blocks of 2^order pages as elements, by their first frames. @throws InvalidArgument for an order outside 0 to 10. */
export function pageElements(pages: Pages, order: number): MempoolElements<Pfn> {
  checkInteger('order', order, 0, MAX_ORDER - 1)
  if ('allocPages' in pages) {
    return {
      alloc: (gfp) => pages.allocPages(gfp, order),
      free: (pfn) => pages.freePages(pfn, order),
    }
  }
  return {
    alloc(gfp) {
      const pfn = pages.allocBlock(gfp, order, NUMA_NO_NODE)
      return pfn < 0 ? null : (pfn as Pfn)
    },
    free: (pfn) => pages.freeBlock(pfn, order),
  }
}

/**
 * A reserve of elements.
 *
 * ```ts
 * const pool = Mempool.create(heap, { minNr: 4, ...kmallocElements(heap, 256) })
 * const block = pool?.alloc(GFP_NOWAIT)
 * if (block != null) pool?.free(block)
 * ```
 */
export class Mempool<Element> {
  private readonly heap: Kmalloc
  private readonly elements: MempoolElements<Element>
  private readonly structure: VirtAddr
  /** Where the kernel would keep its pointers to the elements of the reserve. */
  private array: VirtAddr
  /** Elements in the full reserve. */
  private limit: number
  /** The reserve: the last one put there is given out first. */
  private readonly stack: Element[] = []
  /** What the stack holds: finds a double free in constant time. */
  private readonly reserve = new Set<Element>()
  /** What is handed out. */
  private readonly out = new Set<Element>()
  private alive = true

  private constructor(
    heap: Kmalloc,
    options: MempoolOptions<Element>,
    structure: VirtAddr,
    array: VirtAddr,
  ) {
    this.heap = heap
    this.elements = options
    this.structure = structure
    this.array = array
    this.limit = options.minNr
  }

  /**
   * Makes a pool and fills its reserve.
   * @returns null, with everything given back, when there is not enough memory.
   * @throws InvalidArgument for a wrong `minNr`.
   */
  static create<Element>(heap: Kmalloc, options: MempoolOptions<Element>): Mempool<Element> | null {
    const { minNr, gfp = GFP_KERNEL, node = NUMA_NO_NODE } = options
    checkInteger('minNr', minNr, 0, MAX_NR)
    checkMask(gfp)
    const structure = heap.kzalloc(POOL_BYTES, gfp, node)
    if (structure === null) return null
    let array: VirtAddr | null = null
    try {
      array = heap.kmallocArray(minNr, POINTER_BYTES, gfp, node)
    } finally {
      if (array === null) heap.kfree(structure)
    }
    if (array === null) return null
    const pool = new Mempool(heap, options, structure, array)
    let full = false
    try {
      full = pool.fill(gfp)
    } finally {
      if (!full) pool.destroy()
    }
    return full ? pool : null
  }

  /** Elements in the full reserve. */
  get minNr(): number {
    return this.limit
  }

  /** Elements in the reserve now. */
  get currNr(): number {
    return this.stack.length
  }

  /**
   * Takes an element, from the allocator or from the reserve.
   * @returns null when there is none and `gfp` does not allow sleeping (`__GFP_DIRECT_RECLAIM`).
   * @throws OutOfMemory where a kernel would sleep until somebody frees an element.
   * @throws InvalidArgument for `__GFP_ZERO`, which an element of the reserve cannot honour.
   */
  alloc(gfp = GFP_KERNEL): Element | null {
    this.checkAlive()
    checkMask(gfp)
    if ((gfp & __GFP_ZERO) !== 0) throw new InvalidArgument('gfp', gfp, 'a mask without __GFP_ZERO')
    const full = (gfp | __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN) >>> 0
    const light = (full & ~(__GFP_DIRECT_RECLAIM | __GFP_IO)) >>> 0
    let element = this.elements.alloc(light) ?? this.pop()
    if (element === null && light !== full) element = this.elements.alloc(full) ?? this.pop()
    if (element !== null) {
      this.checkNew(element)
      this.out.add(element)
      return element
    }
    if ((full & __GFP_DIRECT_RECLAIM) === 0) return null
    throw new OutOfMemory('mempool: a kernel would sleep here until an element is freed')
  }

  /**
   * Gives an element back: to the reserve while that is not full, else to the allocator. Null is nothing.
   * @throws KernelBug, with nothing changed, for an element that is not handed out.
   */
  free(element: Element | null): void {
    if (element === null) return
    this.checkAlive()
    if (!this.out.has(element)) {
      if (this.reserve.has(element)) {
        throw new KernelBug('DOUBLE_FREE', `element ${String(element)} is in the reserve already`)
      }
      throw new KernelBug('BAD_FREE', `element ${String(element)} was not handed out by this pool`)
    }
    if (this.stack.length < this.limit) this.push(element)
    else this.elements.free(element)
    this.out.delete(element)
  }

  /**
   * Changes the size of the reserve. A larger one is filled as far as there is memory.
   * @param minNr 1 to 2^31 - 1.
   * @returns false, with nothing changed, when there is no memory for the pointers.
   * @throws InvalidArgument for a wrong `minNr`.
   */
  resize(minNr: number): boolean {
    this.checkAlive()
    checkInteger('minNr', minNr, 1, MAX_NR)
    if (minNr <= this.limit) {
      this.shrinkTo(minNr)
      this.limit = minNr
      return true
    }
    const array = this.heap.kmallocArray(minNr, POINTER_BYTES, GFP_KERNEL)
    if (array === null) return false
    this.heap.kfree(this.array)
    this.array = array
    this.limit = minNr
    this.fill(GFP_KERNEL)
    return true
  }

  /** Frees the reserve and the pool. Elements that are handed out stay valid; their allocator frees them. */
  destroy(): void {
    this.checkAlive()
    this.shrinkTo(0)
    this.heap.kfree(this.array)
    this.heap.kfree(this.structure)
    this.alive = false
  }

  /** Fills the reserve; false when the allocator gave up. */
  private fill(gfp: number): boolean {
    while (this.stack.length < this.limit) {
      const element = this.elements.alloc(gfp)
      if (element === null) return false
      this.checkNew(element)
      this.push(element)
    }
    return true
  }

  private shrinkTo(count: number): void {
    for (let element = this.pop(count); element !== null; element = this.pop(count)) {
      this.elements.free(element)
    }
  }

  private push(element: Element): void {
    this.stack.push(element)
    this.reserve.add(element)
  }

  /** Takes an element out of the reserve; null when that would leave fewer than `keep`. */
  private pop(keep = 0): Element | null {
    const element = this.stack.length > keep ? this.stack.pop() : undefined
    if (element === undefined) return null
    this.reserve.delete(element)
    return element
  }

  /** Catches an allocator that hands out what the reserve holds. Who goes past the pool may free to it. */
  private checkNew(element: Element): void {
    if (this.reserve.has(element)) {
      throw new KernelBug('DOUBLE_ALLOC', `element ${String(element)} is in the reserve`)
    }
  }

  private checkAlive(): void {
    if (!this.alive) throw new KernelBug('POOL_DESTROYED', 'the pool was destroyed')
  }
}
