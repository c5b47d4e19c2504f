/**
 * C's `malloc`, `calloc`, `realloc` and `free` over a heap, to be imported into a WebAssembly
 * module that lives in the same memory.
 *
 * They differ from the kernel's calls where C does: a failure is 0, sizes and addresses are 32
 * bits, and no memory is no reason to give up as long as there can be more.
 */

import { InvalidArgument } from '../base/errors'
import { getOrder, MiB, PAGE_SIZE, type VirtAddr } from '../base/units'
import { __GFP_NOWARN, __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import type { Kmalloc } from './kmalloc'
import { KMALLOC_MAX_SIZE } from './kmallocClass'

const WASM_PAGE_BYTES = 65536
/** Running out is no fault of the module's: there may be more memory. */
const GFP = GFP_KERNEL | __GFP_NOWARN
/** Page frames of 4 GiB. */
const MAX_FRAMES = 1048576

/** How a module's heap gets more memory. */
export interface WasmMallocOptions {
  /**
   * Adds `bytes` bytes, a multiple of 65536, and tells the page allocator of them; false when there
   * are none. `(bytes) => ram.grow(bytes)` with the `PhysicalMemory` beneath. Without it the heap
   * does not grow.
   */
  readonly grow?: (bytes: number) => boolean
}

/**
 * What a module imports: integers of 32 bits, with or without a sign. Addresses are returned
 * without.
 */
export interface WasmMalloc {
  /**
   * Allocates `size` bytes, 4 MiB at most; 0 when there are none. 0 bytes are as good as 1: they
   * get an address of their own, which has to be freed. Aligned to 16 bytes from 9 bytes on, to 8
   * below.
   */
  malloc(this: void, size: number): number
  /**
   * Allocates `count` times `size` bytes filled with zero; 0 also when the product has more than 32
   * bits.
   */
  calloc(this: void, count: number, size: number): number
  /**
   * Makes the memory at `p` hold `size` bytes, and keeps its content; 0 when it can not, and then
   * the memory is as it was. With 0 for `p` it is `malloc`. 0 bytes are as good as 1: nothing is
   * freed.
   */
  realloc(this: void, p: number, size: number): number
  /**
   * Frees memory; 0 is nothing. @throws KernelBug, through the module, for what is not allocated.
   */
  free(this: void, p: number): void
}

/**
 * The allocator of a WebAssembly module over `heap`, whose addresses are offsets into the module's
 * memory. It is an object to spread into the module's imports.
 *
 * ```ts
 * const env = { memory, ...wasmMalloc(heap, { grow: (bytes) => ram.grow(bytes) }) }
 * ```
 * @throws InvalidArgument for a heap whose addresses are not offsets, or not below 4 GiB.
 */
export function wasmMalloc(heap: Kmalloc, options: WasmMallocOptions = {}): WasmMalloc {
  const { layout, source } = heap.slabs.context
  if (layout.directMap !== 0) throw new InvalidArgument('layout', layout.name, 'LAYOUT_FLAT')
  if (source.maxPfn > MAX_FRAMES) {
    throw new InvalidArgument('end of memory', source.maxPfn * PAGE_SIZE, '4 GiB at most')
  }
  const grow = options.grow ?? (() => false)
  const alloc = (bytes: number, gfp: number): number => {
    const size = Math.max(bytes, 1)
    return heap.kmalloc(size, gfp) ?? afterGrowth(heap, size, grow, () => heap.kmalloc(size, gfp))
  }
  return {
    malloc: (size) => alloc(size >>> 0, GFP),
    calloc(count, size) {
      const bytes = (count >>> 0) * (size >>> 0)
      return bytes > 0xffffffff ? 0 : alloc(bytes, GFP | __GFP_ZERO)
    },
    realloc(p, size) {
      const at = p === 0 ? null : ((p >>> 0) as VirtAddr)
      const bytes = Math.max(size >>> 0, 1)
      const resize = () => heap.krealloc(at, bytes, GFP)
      return resize() ?? afterGrowth(heap, bytes, grow, resize)
    },
    free: (p) => heap.kfree(p === 0 ? null : ((p >>> 0) as VirtAddr)),
  }
}

/**
 * Grows the memory for a request of `size` bytes that found none, and tries it once more. The step
 * is an eighth of what there is, so that a heap that fills up grows seldom; when that can not be
 * had, less and less.
 */
function afterGrowth(
  heap: Kmalloc,
  size: number,
  grow: (bytes: number) => boolean,
  again: () => VirtAddr | null,
): number {
  if (size > KMALLOC_MAX_SIZE) return 0
  // Twice the block, because blocks lie at multiples of their size, and new memory starts anywhere.
  const least = Math.max(2 * PAGE_SIZE * 2 ** getOrder(size), WASM_PAGE_BYTES)
  const eighth = heap.slabs.context.ram.words.length / 2
  let step = Math.max(MiB, least, Math.floor(eighth / WASM_PAGE_BYTES) * WASM_PAGE_BYTES)
  for (; step >= least; step = Math.floor(step / 2 / WASM_PAGE_BYTES) * WASM_PAGE_BYTES) {
    if (grow(step)) return again() ?? 0
  }
  return 0
}
