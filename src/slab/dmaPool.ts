/**
 * dma_pool: small blocks of coherent memory for a device, cut from pages.
 *
 * The free blocks of a page form a chain of 32-bit offsets that is written into the blocks; what ends it
 * is an offset past the page. Blocks of 1024 bytes, the second and first freed last:
 *
 *     page.offset = 1024 -> block at 1024 holds 0 -> block at 0 holds 2048 -> block at 2048 holds 4096
 *
 * The chain is for the eyes: a device may write anywhere, so which blocks are free is kept in JavaScript
 * too, and a word that differs stops the allocation. The lists are no part of a saved state. The kernel's
 * pool structure (104 bytes) and page records (40 bytes) are allocated from the heap.
 *
 * DMAPOOL-1: the chain in RAM is the page's stack of free blocks, its top first.
 * DMAPOOL-2: a block of a page is in the stack or in use, and never both.
 *
 * With a boundary larger than the page, the kernel's last block of a page could run past its end; here there is no
 * such block. Wrong frees, and the end of a pool in use, throw (DIFF-37).
 *
 * Source: spec/slab.md §20.
 */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { fullAddress } from '../base/layout'
import { PAGE_SIZE, type PhysAddr, type VirtAddr } from '../base/units'
import { __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import { readWord32, writeWord32 } from './byteWords'
import { checkMask, zeroMask } from './checks'
import type { SlabContext } from './context'
import { allocCoherent, checkDevice, type Device, freeCoherent } from './dmaCoherent'
import type { Kmalloc } from './kmalloc'

/** Bytes of the kernel's pool structure and page record. */
const POOL_BYTES = 104
const RECORD_BYTES = 40
/** Characters of a name that are kept. */
const NAME_LENGTH = 31
const MAX_BYTES = 0x7fffffff

/** What a pool is made of. */
export interface DmaPoolOptions {
  /** Its name, of which 31 characters are kept. */
  readonly name: string
  /** The device that the memory is for. */
  readonly device: Device
  /** Bytes of a block, 0 to 2^31 - 1; less than 4 become 4. */
  readonly size: number
  /** What addresses of blocks are a multiple of: a power of two, or 0 for any. */
  readonly align?: number
  /** What no block crosses: a multiple of this power of two; 0 for none but the page's end. */
  readonly boundary?: number
}

/** A block. */
export interface DmaBlock {
  /** Its kernel address. */
  readonly address: VirtAddr
  /** The address that the device sees. */
  readonly dma: PhysAddr
}

interface DmaPage {
  readonly record: VirtAddr
  readonly pfn: number
  readonly dma: number
  /** Free blocks; beneath them, at index 0, what ends the chain. */
  readonly free: number[]
  readonly used: Set<number>
}

/**
 * A pool of blocks for one device.
 *
 * ```ts
 * const device = { name: 'nic0', node: 0, dmaMask: dmaBitMask(32) }
 * const pool = DmaPool.create(heap, { name: 'descriptors', device, size: 64, align: 64 })
 * const block = pool?.zalloc()
 * if (block != null) pool?.free(block.address, block.dma)
 * ```
 */
export class DmaPool {
  /** Its name, cut to 31 characters. */
  readonly name: string
  /** Bytes of a block. */
  readonly size: number
  /** Bytes of a page of the pool: those of a page frame, or of a larger block. */
  readonly allocation: number
  /** The device. */
  readonly device: Device
  private readonly heap: Kmalloc
  private readonly c: SlabContext
  private readonly structure: VirtAddr
  /** Offsets of a new page's blocks, ascending, and what ends the chain. */
  private readonly offsets: readonly number[]
  /** Newest first; null once the pool is destroyed. */
  private pages: DmaPage[] | null = []

  private constructor(heap: Kmalloc, options: DmaPoolOptions, size: number, structure: VirtAddr) {
    const allocation = Math.max(size, PAGE_SIZE)
    this.name = options.name.slice(0, NAME_LENGTH)
    this.size = size
    this.allocation = allocation
    this.device = options.device
    this.heap = heap
    this.c = heap.slabs.context
    this.structure = structure
    const boundary = options.boundary ?? 0
    this.offsets = layOut(size, allocation, boundary === 0 ? allocation : boundary)
  }

  /**
   * Makes a pool without pages.
   * @returns null when there is no memory for it, and for what the kernel refuses: a size of 0, an
   * alignment or a boundary that is no power of two, a boundary smaller than a block.
   * @throws InvalidArgument for what are no such numbers, and for a device that the machine cannot have.
   */
  static create(heap: Kmalloc, options: DmaPoolOptions): DmaPool | null {
    const { name, size, align = 0, boundary = 0 } = options
    if (typeof name !== 'string') throw new InvalidArgument('name', name, 'a string')
    checkInteger('size', size, 0, MAX_BYTES)
    checkInteger('align', align, 0, MAX_BYTES)
    checkInteger('boundary', boundary, 0, Number.MAX_SAFE_INTEGER)
    checkDevice(heap.slabs.context, options.device)
    const multiple = align === 0 ? 1 : align
    if (size === 0 || !isPowerOfTwo(multiple)) return null
    const bytes = Math.ceil(Math.max(size, 4) / multiple) * multiple
    if (boundary !== 0 && (boundary < bytes || !isPowerOfTwo(boundary))) return null
    const structure = heap.kmalloc(POOL_BYTES, GFP_KERNEL)
    return structure === null ? null : new DmaPool(heap, options, bytes, structure)
  }

  /** Blocks in use. */
  get inUse(): number {
    return this.list().reduce((sum, page) => sum + page.used.size, 0)
  }

  /** Pages, which are kept until the pool is destroyed. */
  get pageCount(): number {
    return this.list().length
  }

  /**
   * Allocates a block; a page is added when none has a free one.
   * @returns the block, which belongs to the caller until it is freed; null when there is no memory.
   * @throws KernelBug, with nothing changed, when a free block was written to.
   */
  alloc(gfp = GFP_KERNEL): DmaBlock | null {
    checkMask(gfp)
    const page = this.pageWithRoom() ?? this.addPage((gfp & ~__GFP_ZERO) >>> 0)
    if (page === null) return null
    const { free } = page
    const offset = free[free.length - 1]!
    const phys = page.dma + offset
    const block = { address: (phys + this.c.directMap) as VirtAddr, dma: phys as PhysAddr }
    if (readWord32(this.c.ram, phys) !== free[free.length - 2]) {
      const line = `dma_pool_alloc ${this.name}, ${this.pointer(block.address)} (corrupted)`
      throw new KernelBug('DMA_POOL_CORRUPTED', 'a free block was written to', [line])
    }
    free.pop()
    page.used.add(offset)
    if ((gfp & __GFP_ZERO) !== 0 || this.c.initOnAlloc) this.c.ram.fill(phys, this.size, 0)
    return block
  }

  /** Allocates a block of zero bytes, as {@link alloc} does. */
  zalloc(gfp = GFP_KERNEL): DmaBlock | null {
    return this.alloc(zeroMask(gfp))
  }

  /**
   * Frees a block by both of its addresses.
   * @throws KernelBug, with the kernel's line and nothing changed, for a block that is free, and for
   * addresses that are no block's or not of the same block.
   */
  free(address: VirtAddr, dma: PhysAddr): void {
    const page = this.list().find((one) => dma >= one.dma && dma < one.dma + this.allocation)
    if (page === undefined) throw this.badFree(address, `/${dmaText(dma)} (bad dma)`)
    const offset = dma - page.dma
    const known = page.used.has(offset) || this.offsets.includes(offset)
    if (address - this.c.directMap !== dma || !known) {
      throw this.badFree(address, ` (bad vaddr)/${dmaText(dma)}`)
    }
    if (!page.used.has(offset)) {
      const line = `dma_pool_free ${this.name}, dma ${dmaText(dma)} already free`
      throw new KernelBug('DOUBLE_FREE', 'the block is free already', [line])
    }
    if (this.c.initOnFree) this.c.ram.fill(dma, this.size, 0)
    writeWord32(this.c.ram, dma, page.free[page.free.length - 1]!)
    page.free.push(offset)
    page.used.delete(offset)
  }

  /**
   * Gives the pages and the pool back; it cannot be used any more.
   * @throws KernelBug, with nothing changed, while blocks are in use: the kernel would lose their pages.
   */
  destroy(): void {
    const pages = this.list()
    const busy = pages.filter((page) => page.used.size > 0)
    if (busy.length > 0) {
      const lines = busy.map((page) => {
        const address = this.pointer(page.dma + this.c.directMap)
        return `dma_pool_destroy ${this.name}, ${address} busy`
      })
      throw new KernelBug('POOL_BUSY', 'blocks of the pool are in use', lines)
    }
    this.pages = null
    for (const page of pages) {
      freeCoherent(this.c, page.pfn, this.allocation)
      this.heap.kfree(page.record)
    }
    this.heap.kfree(this.structure)
  }

  private pageWithRoom(): DmaPage | null {
    for (const page of this.list()) {
      if (page.free.length > 1) return page
    }
    return null
  }

  private addPage(gfp: number): DmaPage | null {
    const record = this.heap.kmalloc(RECORD_BYTES, gfp)
    if (record === null) return null
    let pfn = -1
    try {
      pfn = allocCoherent(this.c, this.device, this.allocation, gfp)
    } finally {
      if (pfn < 0) this.heap.kfree(record)
    }
    if (pfn < 0) return null
    const dma = pfn * PAGE_SIZE
    const { offsets } = this
    for (let i = 0; i + 1 < offsets.length; i++) {
      writeWord32(this.c.ram, dma + offsets[i]!, offsets[i + 1]!)
    }
    const page = { record, pfn, dma, free: [...offsets].reverse(), used: new Set<number>() }
    this.list().unshift(page)
    return page
  }

  private list(): DmaPage[] {
    if (this.pages === null) throw new KernelBug('POOL_DESTROYED', 'the pool was destroyed')
    return this.pages
  }

  private badFree(address: number, what: string): KernelBug {
    const line = `dma_pool_free ${this.name}, ${this.pointer(address)}${what}`
    return new KernelBug('BAD_FREE', 'the addresses are no block of the pool', [line])
  }

  private pointer(address: number): string {
    if (!Number.isSafeInteger(address)) return String(address)
    return fullAddress(this.c.layout, address).toString(16).padStart(16, '0')
  }
}

/** Where a page's blocks start, and at the end of the list what ends the chain. */
function layOut(size: number, allocation: number, boundary: number): number[] {
  const offsets: number[] = []
  let limit = boundary
  let offset = 0
  while (offset + size <= allocation) {
    offsets.push(offset)
    offset += size
    // A block that would end just at the boundary is left out too.
    if (offset + size >= limit) {
      offset = limit
      limit += boundary
    }
  }
  offsets.push(Math.max(offset, allocation))
  return offsets
}

function isPowerOfTwo(value: number): boolean {
  return 2 ** Math.round(Math.log2(value)) === value
}

function dmaText(dma: number): string {
  return Number.isSafeInteger(dma) ? `0x${dma.toString(16).padStart(16, '0')}` : String(dma)
}
