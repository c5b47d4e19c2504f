/** What a page allocator should know, as a map: which frames are in which block; and RAM that tells on it. */

import { expect } from 'vitest'
import {
  __GFP_COMP,
  __GFP_ZERO,
  type BuddyAllocator,
  PAGE_SIZE,
  type Pfn,
  type PhysicalMemory,
  putPage,
  toPfn,
} from '../../src/index'
import { faults } from './machines'

/** What free memory holds, in every page that was ever free. */
const SENTINEL = 0x5ee15ee1
/** Bytes of a page that carry a mark: its start, its middle, its end. */
const MARKS = [0, 2044, 4092]

/** A block that somebody holds. */
export interface Block {
  readonly pfn: Pfn
  readonly order: number
  /** Pages; those of order 0 from `allocPagesExact` and the like are blocks of one page each. */
  readonly pages: number
  readonly compound: boolean
  readonly id: number
  refs: number
}

/** A run of frames, without its end. */
export interface Frames {
  readonly start: number
  readonly end: number
}

/** Live blocks by first frame, and the owner of each frame. */
export class Model {
  readonly blocks = new Map<number, Block>()
  private readonly owner = new Map<number, Block>()
  private readonly memory: Frames[]
  private lastId = 0

  /** `memory` is what the allocator may hand out: usable and not reserved. */
  constructor(
    readonly pages: BuddyAllocator,
    memory: readonly Frames[],
    readonly ram: PhysicalMemory | null = null,
  ) {
    this.memory = [...memory]
    for (const { start, end } of memory) {
      for (let pfn = start; pfn < end; pfn++) this.mark(pfn, SENTINEL)
    }
  }

  /** Tells of memory that came later. */
  grow(start: number, end: number): void {
    this.memory.push({ start, end })
  }

  inMemory(pfn: number): boolean {
    return this.memory.some(({ start, end }) => pfn >= start && pfn < end)
  }

  /** The block that holds a frame. */
  holder(pfn: number): Block | undefined {
    return this.owner.get(pfn)
  }

  /** The live block number `n`, counted round and round; undefined when there is none. */
  nth(n: number): Block | undefined {
    return [...this.blocks.values()][n % Math.max(1, this.blocks.size)]
  }

  /** Checks a block that the allocator gave out, and enters it. */
  enter(pfn: number, order: number, gfp: number): Block {
    const pages = 2 ** order
    expect(pfn % pages, `alignment of ${pfn}`).toBe(0)
    for (let page = pfn; page < pfn + pages; page++) {
      if (!this.inMemory(page)) expect.fail(`${page} of ${pfn} is no memory`)
      if (this.owner.has(page))
        expect.fail(`${page} of ${pfn} is of ${this.owner.get(page)?.pfn} too`)
      this.checkContent(page, (gfp & __GFP_ZERO) !== 0 ? 0 : SENTINEL)
    }
    return this.add(pfn, order, order > 0 && (gfp & __GFP_COMP) !== 0)
  }

  /** Checks that the allocator left a block's content alone, and forgets the block. */
  leave(block: Block): void {
    this.blocks.delete(block.pfn)
    for (let page: number = block.pfn; page < block.pfn + block.pages; page++) {
      this.owner.delete(page)
      this.checkContent(page, block.id)
      this.mark(page, SENTINEL)
    }
  }

  /** Makes a block's pages blocks of their own. */
  split(block: Block): void {
    this.leave(block)
    for (let i = 0; i < block.pages; i++) this.add(block.pfn + i, 0, false)
  }

  /** Checks pages that were zeroed and freed again, and marks them as free. */
  dropZeroed(start: number, end: number): void {
    for (let page = start; page < end; page++) {
      expect(this.owner.has(page)).toBe(false)
      this.checkContent(page, 0)
      this.mark(page, SENTINEL)
    }
  }

  /** One more than the highest frame that the allocator may hand out. */
  get top(): number {
    return Math.max(...this.memory.map(({ end }) => end))
  }

  /** True for a frame that nobody holds and the allocator may hand out. */
  isFree(pfn: number): boolean {
    return this.inMemory(pfn) && !this.owner.has(pfn)
  }

  /** True when all frames of `[start, end)` are free. */
  allFree(start: number, end: number): boolean {
    for (let pfn = start; pfn < end; pfn++) if (!this.isFree(pfn)) return false
    return true
  }

  /** True when some aligned run of 2^order frames is free and passes `test`. */
  hasFreeRun(order: number, test: (pfn: number) => boolean): boolean {
    const size = 2 ** order
    for (const { start, end } of this.memory) {
      for (let pfn = Math.ceil(start / size) * size; pfn + size <= end; pfn += size) {
        let page = pfn
        while (page < pfn + size && !this.owner.has(page) && test(page)) page += 1
        if (page === pfn + size) return true
      }
    }
    return false
  }

  /** Frames that the allocator may hand out, in use or not. */
  get frames(): number {
    return this.memory.reduce((sum, { start, end }) => sum + end - start, 0)
  }

  /** Frees everything, and checks that nothing is left in use. */
  releaseAll(): void {
    for (const block of [...this.blocks.values()]) {
      for (; block.refs > 1; block.refs--) putPage(this.pages, block.pfn)
      this.leave(block)
      this.pages.freePages(block.pfn, block.order)
    }
    this.pages.drainAllPages()
    expect(faults(this.pages)).toEqual([])
  }

  private add(pfn: number, order: number, compound: boolean): Block {
    this.lastId += 1
    const pages = 2 ** order
    const block = { pfn: toPfn(pfn), order, pages, compound, id: this.lastId, refs: 1 }
    this.blocks.set(pfn, block)
    for (let page = pfn; page < pfn + pages; page++) {
      this.owner.set(page, block)
      this.mark(page, block.id)
    }
    return block
  }

  private mark(pfn: number, value: number): void {
    if (this.ram === null || !this.ram.hasContent) return
    for (const at of MARKS) this.ram.writeU32(pfn * PAGE_SIZE + at, value)
  }

  private checkContent(pfn: number, value: number): void {
    if (this.ram === null || !this.ram.hasContent) return
    const found = MARKS.map((at) => this.ram?.readU32(pfn * PAGE_SIZE + at))
    if (found.some((word) => word !== value)) {
      expect.fail(`frame ${pfn} holds ${found.join()} instead of ${value}`)
    }
    if (value === 0) {
      const bytes = this.ram.bytes(pfn * PAGE_SIZE, PAGE_SIZE)
      if (bytes.some((byte) => byte !== 0)) expect.fail(`frame ${pfn} is not all zero`)
    }
  }
}
