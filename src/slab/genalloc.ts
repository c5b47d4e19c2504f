/**
 * genalloc: pools of addresses, handed out in granules of 2^minAllocOrder bytes. What the addresses
 * stand for is the caller's business: on-chip memory, ranges of a GPU's address space, or numbers.
 *
 *     pool -> chunk (newest) -> chunk -> chunk (oldest)     each: [start, start + size) and a bitmap
 *
 * The pool's structure (56 bytes) is allocated from a heap, when the pool is given one. Chunk records,
 * which the kernel takes from vmalloc space, lists and bitmaps live in JavaScript: they are no part of
 * a saved state (DIFF-35).
 *
 * GENALLOC-1: the bytes available in a chunk are its size less the granules of its set bits.
 * GENALLOC-2: chunks do not overlap.
 *
 * Source: spec/slab.md §22.
 */

import { checkInteger, InvalidArgument, KernelBug, OutOfMemory } from '../base/errors'
import { NUMA_NO_NODE, type PhysAddr, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import {
  type GenPoolAlgo,
  type GenPoolArea,
  genPoolFirstFit,
  nextClear,
  nextSet,
  writeBits,
} from './genallocSearch'
import type { Kmalloc } from './kmalloc'

/** Bytes of the kernel's pool structure. */
const POOL_BYTES = 56
/** Bits of the largest bitmap: 256 MiB of it. */
const MAX_BITS = 2147483648

/** A piece of a pool for a device. */
export interface GenPoolDma {
  /** Its address, as the pool hands it out. */
  readonly address: number
  /** The address that the device sees. */
  readonly dma: PhysAddr
}

/** What a pool is made of. */
export interface GenPoolOptions {
  /** log2 of the bytes that are handed out at least, 0 to 52. */
  readonly minAllocOrder: number
  /** Where the pool's structure is allocated. Without one nothing is. */
  readonly heap?: Kmalloc
  /** Node of the structure; -1, the default, for any. */
  readonly node?: number
}

/** A range that was added, and what is free in it. */
interface Chunk extends GenPoolArea {
  readonly size: number
  /** Physical address of `start`; -1 for none. */
  readonly phys: number
  /** Bytes that are free (GENALLOC-1). */
  avail: number
}

/**
 * A pool of addresses.
 *
 * ```ts
 * const pool = new GenPool({ minAllocOrder: 8 })
 * pool.add(0x1000_0000, 16 * MiB)
 * const address = pool.alloc(1000)
 * if (address !== null) pool.free(address, 1000)
 * ```
 *
 * Addresses are integers in [0, 2^53); address 0 is one like any other. Once the pool is destroyed, every method
 * throws KernelBug.
 */
export class GenPool {
  /** log2 of the bytes in a granule. */
  readonly minAllocOrder: number
  private readonly granule: number
  private readonly heap: Kmalloc | null
  private readonly structure: VirtAddr | null
  private algo: GenPoolAlgo = genPoolFirstFit
  private data: number | null = null
  /** Newest first; null once the pool is destroyed. */
  private list: Chunk[] | null = []

  /**
   * Makes a pool without memory.
   * @throws InvalidArgument for an order outside 0 to 52.
   * @throws OutOfMemory when the heap has no room for the structure; {@link create} gives null then.
   */
  constructor(options: GenPoolOptions) {
    checkInteger('minAllocOrder', options.minAllocOrder, 0, 52)
    this.minAllocOrder = options.minAllocOrder
    this.granule = 2 ** options.minAllocOrder
    this.heap = options.heap ?? null
    this.structure =
      this.heap?.kmalloc(POOL_BYTES, GFP_KERNEL, options.node ?? NUMA_NO_NODE) ?? null
    if (this.heap !== null && this.structure === null) {
      throw new OutOfMemory('no memory for the structure of a pool')
    }
  }

  /**
   * Makes a pool, or null when the heap has no room for its structure.
   * @throws InvalidArgument for an order outside 0 to 52.
   */
  static create(options: GenPoolOptions): GenPool | null {
    try {
      return new GenPool(options)
    } catch (error) {
      if (error instanceof OutOfMemory) return null
      throw error
    }
  }

  /**
   * Adds [start, start + size) without a physical address. See {@link addVirt}.
   * @throws InvalidArgument as {@link addVirt} does.
   */
  add(start: number, size: number): void {
    this.insert(start, -1, size)
  }

  /**
   * Adds [start, start + size), which is searched before what was added earlier. A rest that is smaller
   * than a granule is counted but never handed out.
   * @param phys the physical address of `start`.
   * @throws InvalidArgument for a range that is empty, passes 2^53, has more than 2^31 granules or
   * overlaps another.
   */
  addVirt(start: number, phys: PhysAddr, size: number): void {
    checkInteger('phys', phys, 0, Number.MAX_SAFE_INTEGER)
    this.insert(start, phys, size)
  }

  /**
   * Allocates `size` bytes, rounded up to granules, by the pool's algorithm.
   * @returns their address, or null when no chunk has room, or for 0 bytes.
   */
  alloc(size: number): number | null {
    return this.allocAlgo(size, this.algo, this.data)
  }

  /**
   * Allocates by another algorithm, this once.
   * @param data what the algorithm needs: an alignment, a distance. Null for nothing.
   * @throws KernelBug for a place of the algorithm's that is not free.
   */
  allocAlgo(size: number, algo: GenPoolAlgo, data: number | null = null): number | null {
    const chunks = this.chunks()
    checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
    if (size === 0) return null
    const nr = Math.ceil(size / this.granule)
    for (const chunk of chunks) {
      if (size > chunk.avail) continue
      const bit = algo(chunk, nr, data)
      if (bit >= chunk.bits) continue
      checkFound(chunk, bit, nr)
      writeBits(chunk.map, bit, nr, true)
      chunk.avail -= nr * this.granule
      return chunk.start + bit * this.granule
    }
    return null
  }

  /**
   * Allocates as {@link alloc} does, for a device: with the address that the device sees.
   * @returns null also when the chunk has no physical address; nothing is allocated then.
   */
  dmaAlloc(size: number): GenPoolDma | null {
    const address = this.alloc(size)
    if (address === null) return null
    const dma = this.virtToPhys(address)
    if (dma !== null) return { address, dma }
    this.free(address, size)
    return null
  }

  /**
   * Frees `size` bytes from `address` on, rounded as {@link alloc} does.
   * @throws KernelBug, with nothing changed, when they are not all in use or not all in one chunk.
   */
  free(address: number, size: number): void {
    const chunks = this.chunks()
    checkInteger('address', address, 0, Number.MAX_SAFE_INTEGER)
    checkInteger('size', size, 0, Number.MAX_SAFE_INTEGER)
    const chunk = chunkOf(chunks, address)
    if (chunk === null) {
      throw new KernelBug('BAD_FREE', `address ${address} is in no chunk of the pool`)
    }
    const nr = Math.ceil(size / this.granule)
    const bit = Math.floor((address - chunk.start) / this.granule)
    if (address + size > chunk.start + chunk.size || bit + nr > chunk.bits) {
      throw new KernelBug('BAD_FREE', `${size} bytes at ${address} pass the end of their chunk`)
    }
    const clear = nextClear(chunk.map, bit + nr, bit)
    if (clear < bit + nr) {
      const at = chunk.start + clear * this.granule
      throw new KernelBug('DOUBLE_FREE', `${size} bytes at ${address}: address ${at} is free`)
    }
    writeBits(chunk.map, bit, nr, false)
    chunk.avail += nr * this.granule
  }

  /** Bytes that are free, rests smaller than a granule included. */
  avail(): number {
    return this.chunks().reduce((sum, chunk) => sum + chunk.avail, 0)
  }

  /** Bytes of all chunks. */
  size(): number {
    return this.chunks().reduce((sum, chunk) => sum + chunk.size, 0)
  }

  /** The physical address of `address`, in use or not; null outside the pool, or when none was given. */
  virtToPhys(address: number): PhysAddr | null {
    const chunk = chunkOf(this.chunks(), address)
    if (chunk === null || chunk.phys < 0) return null
    return (chunk.phys + (address - chunk.start)) as PhysAddr
  }

  /** Whether [start, start + size) lies in one chunk. */
  hasAddr(start: number, size: number): boolean {
    const chunk = chunkOf(this.chunks(), start)
    return chunk !== null && start + size <= chunk.start + chunk.size
  }

  /**
   * Chooses the algorithm of {@link alloc}; null for first fit.
   * @param data what it needs: an alignment, a distance. Null for nothing.
   */
  setAlgo(algo: GenPoolAlgo | null, data: number | null = null): void {
    this.chunks()
    this.algo = algo ?? genPoolFirstFit
    this.data = data
  }

  /**
   * Gives the pool up; it cannot be used any more.
   * @throws KernelBug, with nothing changed, while something is allocated.
   */
  destroy(): void {
    for (const chunk of this.chunks()) {
      const used = nextSet(chunk.map, chunk.bits, 0)
      if (used < chunk.bits) {
        const at = chunk.start + used * this.granule
        throw new KernelBug('POOL_BUSY', `address ${at} of the pool is in use`)
      }
    }
    this.list = null
    this.heap?.kfree(this.structure)
  }

  private insert(start: number, phys: number, size: number): void {
    const chunks = this.chunks()
    checkInteger('start', start, 0, Number.MAX_SAFE_INTEGER)
    checkInteger('size', size, 1, Number.MAX_SAFE_INTEGER - start)
    const bits = Math.floor(size / this.granule)
    if (bits > MAX_BITS) {
      throw new InvalidArgument('size', size, `at most ${MAX_BITS} granules of ${this.granule}`)
    }
    for (const chunk of chunks) {
      if (start < chunk.start + chunk.size && chunk.start < start + size) {
        throw new InvalidArgument('start', start, 'of a range that the pool does not have yet')
      }
    }
    const map = new Int32Array(Math.ceil(bits / 32))
    chunks.unshift({ map, bits, start, granule: this.granule, size, phys, avail: size })
  }

  private chunks(): Chunk[] {
    if (this.list === null) throw new KernelBug('POOL_DESTROYED', 'the pool was destroyed')
    return this.list
  }
}

function chunkOf(chunks: readonly Chunk[], address: number): Chunk | null {
  for (const chunk of chunks) {
    if (address >= chunk.start && address < chunk.start + chunk.size) return chunk
  }
  return null
}

/** An algorithm may be anybody's: what it found must be clear bits. */
function checkFound(chunk: Chunk, bit: number, nr: number): void {
  const end = bit + nr
  const inside = Number.isInteger(bit) && bit >= 0 && end <= chunk.bits
  if (!inside || nextSet(chunk.map, end, bit) !== end) {
    throw new KernelBug('BAD_AREA', `the algorithm found ${nr} bits at ${bit}: not free ones`)
  }
}
