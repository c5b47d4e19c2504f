import { describe, expect, it } from 'vitest'
import {
  __GFP_COMP,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  type BuddyAllocator,
  toPfn,
  withPageListsHeld,
} from '../../src/index'
import { HEADER_BLOCKS, HEADER_WORDS, PAGE_WORDS } from '../../src/state/schema'
import {
  faults,
  flatMachine,
  freeBlocks,
  freePagesOf,
  nrFree,
  withMobility,
  withoutWatermarks,
  zoneOf,
} from './machines'
import { stream } from './random'

/** First frame of the small machines: a multiple of 16, but not of 32. */
const START = 16

/** Saves and restores what a machine with few frames can change, which is quick. */
class Restorer {
  private readonly pagesEnd: number
  private readonly tables: number

  constructor(
    private readonly words: Int32Array,
    frames: number,
  ) {
    this.pagesEnd = HEADER_WORDS + frames * PAGE_WORDS
    this.tables = words[HEADER_BLOCKS]!
  }

  save(): readonly [Int32Array, Int32Array] {
    return [this.words.slice(0, this.pagesEnd), this.words.slice(this.tables)]
  }

  restore([pages, tables]: readonly [Int32Array, Int32Array]): void {
    this.words.set(pages)
    this.words.set(tables, this.tables)
  }
}

/** Every way to cut a block of `order` into blocks: their orders from the lowest frame up. */
function partitions(order: number): number[][] {
  if (order === 0) return [[0]]
  const halves = partitions(order - 1)
  return [[order], ...halves.flatMap((low) => halves.map((high) => [...low, ...high]))]
}

/** Every order of the numbers below `n`, one after the other in the same array. */
function* permutations(n: number): Generator<readonly number[]> {
  const items = Array.from({ length: n }, (_, i) => i)
  const count = new Array<number>(n).fill(0)
  yield items
  for (let i = 1; i < n; ) {
    const done = count[i] ?? 0
    if (done < i) {
      const other = i % 2 === 0 ? 0 : done
      const swapped = items[i] ?? 0
      items[i] = items[other] ?? 0
      items[other] = swapped
      count[i] = done + 1
      yield items
      i = 1
    } else {
      count[i] = 0
      i += 1
    }
  }
}

/** A machine of one free block of `order` at START, used past the page lists. */
function oneBlock(order: number): BuddyAllocator {
  return withoutWatermarks(flatMachine(1 << order, START))
}

/** Cuts the free block into blocks of these orders; ascending ones come out at ascending frames. */
function cut(pages: BuddyAllocator, orders: readonly number[]): number[] {
  let next = START
  return orders.map((order) => {
    const pfn = pages.allocPages(__GFP_MEMALLOC, order)
    expect(pfn).toBe(next)
    next += 1 << order
    return pfn ?? -1
  })
}

describe('merging, past the page lists', () => {
  it('gives back one block of 8 pages after every cut, freed in every order', () => {
    const pages = oneBlock(3)
    const zone = zoneOf(pages, 0, 2)
    const pristine = freeBlocks(pages, zone)
    expect(pristine[3]).toEqual([START])
    const restorer = new Restorer(pages.words, 64)
    let tried = 0
    withPageListsHeld(pages, () => {
      const fresh = restorer.save()
      for (const orders of partitions(3)) {
        restorer.restore(fresh)
        const pfns = cut(pages, orders)
        const used = restorer.save()
        for (const sequence of permutations(orders.length)) {
          restorer.restore(used)
          for (const i of sequence) pages.freePages(toPfn(pfns[i] ?? -1), orders[i])
          if (nrFree(pages, zone).join() !== '0,0,0,1,0,0,0,0,0,0,0') {
            expect.fail(`${orders} freed in the order ${sequence}: ${nrFree(pages, zone)}`)
          }
          tried += 1
        }
        expect(faults(pages)).toEqual([])
        expect(freeBlocks(pages, zone)).toEqual(pristine)
      }
    })
    // 1 + 2! + 2 × 3! + 5 × 4! + 6 × 5! + 6 × 6! + 4 × 7! + 8!: cuts by their number of blocks.
    expect(tried).toBe(65_655)
  })

  it('gives back one block of 16 pages after every cut, freed up, down and in other orders', () => {
    const pages = oneBlock(4)
    const zone = zoneOf(pages, 0, 2)
    const pristine = freeBlocks(pages, zone)
    const random = stream(1)
    const restorer = new Restorer(pages.words, 64)
    withPageListsHeld(pages, () => {
      const fresh = restorer.save()
      const all = partitions(4)
      expect(all.length).toBe(677)
      for (const orders of all) {
        restorer.restore(fresh)
        const pfns = cut(pages, orders)
        const used = restorer.save()
        const up = orders.map((_, i) => i)
        const sequences = [up, [...up].reverse(), ...[1, 2, 3, 4].map(() => random.shuffled(up))]
        for (const sequence of sequences) {
          restorer.restore(used)
          for (const i of sequence) pages.freePages(toPfn(pfns[i] ?? -1), orders[i])
          if (nrFree(pages, zone)[4] !== 1) expect.fail(`${orders} freed in the order ${sequence}`)
        }
        expect(freeBlocks(pages, zone)).toEqual(pristine)
        expect(faults(pages)).toEqual([])
      }
    })
  })

  it('makes the largest aligned blocks of every set of 16 pages, freed up and down', () => {
    const pages = oneBlock(4)
    const zone = zoneOf(pages, 0, 2)
    const restorer = new Restorer(pages.words, 64)
    withPageListsHeld(pages, () => {
      cut(pages, new Array<number>(16).fill(0))
      const used = restorer.save()
      for (let set = 1; set < 1 << 16; set++) {
        const expected = largestBlocks(set).join()
        for (const down of [false, true]) {
          restorer.restore(used)
          for (let i = 0; i < 16; i++) {
            const page = down ? 15 - i : i
            if (((set >> page) & 1) !== 0) pages.freePages(toPfn(START + page), 0)
          }
          if (nrFree(pages, zone).join() !== expected) expect.fail(`set ${set}, down ${down}`)
        }
        if (set % 16 === 0) expect(faults(pages)).toEqual([])
      }
    })
  })

  it('stops at the end of the zone, wherever that is', () => {
    for (let start = 0; start < 16; start++) {
      for (let count = 1; count <= 33 - start; count++) {
        const pages = withoutWatermarks(flatMachine(count, start))
        const zone = zoneOf(pages, 0, 2)
        const pristine = freeBlocks(pages, zone)
        expect(faults(pages)).toEqual([])
        withPageListsHeld(pages, () => {
          const taken: number[] = []
          for (;;) {
            const pfn = pages.allocPages(__GFP_MEMALLOC, 0)
            if (pfn === null) break
            taken.push(pfn)
          }
          expect(taken.length).toBe(count)
          for (const pfn of taken) pages.freePages(toPfn(pfn), 0)
        })
        expect(freeBlocks(pages, zone)).toEqual(pristine)
        expect(faults(pages)).toEqual([])
      }
    }
  })
})

/** Blocks of each order that the pages of a set make: pairs of pairs, from the bottom up. */
function largestBlocks(set: number): number[] {
  const orders = new Array<number>(11).fill(0)
  let level = Array.from({ length: 16 }, (_, i) => ((set >> i) & 1) !== 0)
  for (let order = 0; order < 4; order++) {
    const next: boolean[] = []
    for (let i = 0; i < level.length; i += 2) {
      const both = level[i] === true && level[i + 1] === true
      if (!both) orders[order] = (orders[order] ?? 0) + Number(level[i]) + Number(level[i + 1])
      next.push(both)
    }
    level = next
  }
  orders[4] = Number(level[0])
  return orders
}

interface Block {
  readonly pfn: number
  readonly order: number
}

/** Tries every sequence of up to `depth` operations, and checks the state after each. */
class Explorer {
  steps = 0
  private readonly restorer: Restorer
  private readonly zone: number
  private readonly path: string[] = []

  constructor(
    private readonly pages: BuddyAllocator,
    private readonly frames: number,
    private readonly start: number,
    private readonly masks: readonly number[],
    private readonly orders: readonly number[],
  ) {
    this.restorer = new Restorer(pages.words, start + frames)
    this.zone = zoneOf(pages, 0, 2)
  }

  explore(depth: number, live: readonly Block[]): void {
    if (depth === 0) return
    const before = this.restorer.save()
    for (const gfp of this.masks) {
      for (const order of this.orders) {
        this.path.push(`alloc(0x${gfp.toString(16)}, ${order})`)
        const pfn = this.pages.allocPages(gfp, order)
        if (pfn !== null) this.checkNew({ pfn, order }, live)
        this.descend(depth, pfn === null ? live : [...live, { pfn, order }], before)
      }
    }
    for (const block of live) {
      this.path.push(`free(${block.pfn}, ${block.order})`)
      this.pages.freePages(toPfn(block.pfn), block.order)
      const rest = live.filter((other) => other !== block)
      this.descend(depth, rest, before)
    }
    if (live.length < 2) {
      this.path.push('drain()')
      this.pages.drainAllPages()
      this.descend(depth, live, before)
    }
  }

  private descend(
    depth: number,
    live: readonly Block[],
    before: readonly [Int32Array, Int32Array],
  ): void {
    this.steps += 1
    const found = faults(this.pages)
    if (found.length > 0) expect.fail(`${this.path.join(', ')}: ${found.join('; ')}`)
    this.explore(depth - 1, live)
    this.checkPristine(live)
    this.restorer.restore(before)
    this.path.pop()
  }

  private checkNew(block: Block, live: readonly Block[]): void {
    const end = block.pfn + (1 << block.order)
    const inside = block.pfn >= this.start && end <= this.start + this.frames
    const apart = live.every((b) => b.pfn >= end || b.pfn + (1 << b.order) <= block.pfn)
    if (!inside || !apart || block.pfn % (1 << block.order) !== 0) {
      expect.fail(`${this.path.join(', ')} gave ${block.pfn}`)
    }
  }

  /** Freeing all and draining brings the free pages back, wherever one stands. */
  private checkPristine(live: readonly Block[]): void {
    const here = this.restorer.save()
    for (const block of live) this.pages.freePages(toPfn(block.pfn), block.order)
    this.pages.drainAllPages()
    if (freePagesOf(this.pages, this.zone) !== this.frames) {
      expect.fail(`${this.path.join(', ')}: ${freePagesOf(this.pages, this.zone)} pages come back`)
    }
    this.restorer.restore(here)
  }
}

describe('every sequence of a few operations', () => {
  it('keeps a machine of 16 pages in order: one type, page lists that do not overflow', () => {
    const pages = flatMachine(16, START)
    const explorer = new Explorer(pages, 16, START, [__GFP_MEMALLOC], [0, 1, 2])
    explorer.explore(6, [])
    expect(explorer.steps).toBeGreaterThan(17_000)
  })

  it('keeps a machine of 12 pages in order: page lists of 4 pages, compound blocks', () => {
    const pages = withoutWatermarks(flatMachine(12, 4), 4)
    const masks = [__GFP_MEMALLOC | __GFP_COMP]
    const explorer = new Explorer(pages, 12, 4, masks, [0, 1, 2, 3])
    explorer.explore(5, [])
    expect(explorer.steps).toBeGreaterThan(7000)
  })

  it('keeps a machine of 64 pages in order: three types that steal from each other', () => {
    const pages = withMobility(withoutWatermarks(flatMachine(64, 64), 6))
    const types = [0, __GFP_MOVABLE, __GFP_RECLAIMABLE]
    const masks = types.map((type) => __GFP_MEMALLOC | type)
    const explorer = new Explorer(pages, 64, 64, masks, [0, 2])
    explorer.explore(5, [])
    expect(explorer.steps).toBeGreaterThan(36_000)
  })

  it('keeps a machine of two pageblocks in order: claims, and page lists of huge blocks', () => {
    const pages = withMobility(withoutWatermarks(flatMachine(1024), 600))
    const masks = [__GFP_MEMALLOC, __GFP_MEMALLOC | __GFP_MOVABLE]
    const explorer = new Explorer(pages, 1024, 0, masks, [0, 4, 9])
    explorer.explore(4, [])
    expect(explorer.steps).toBeGreaterThan(4000)
  })
})
