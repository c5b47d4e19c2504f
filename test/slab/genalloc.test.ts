/** genalloc pools beside rows of booleans, and the cases of the specification. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GFP_KERNEL, InvalidArgument, KernelBug, OutOfMemory, toPhysAddr } from '../../src/index'
import { GenPool } from '../../src/slab/genalloc'
import {
  type GenPoolAlgo,
  genPoolBestFit,
  genPoolFirstFit,
  genPoolFirstFitAlign,
  genPoolFirstFitOrderAlign,
  genPoolFixedAlloc,
} from '../../src/slab/genallocSearch'
import { heapMachine, thrown } from './heapMachine'

/** A pool of 16 granules of 8 bytes at 0x1000, with bits 0, 1, 6, 10 and 11 set. */
function example(): GenPool {
  const pool = new GenPool({ minAllocOrder: 3 })
  pool.add(0x1000, 128)
  for (const bit of [0, 1, 6, 10, 11]) {
    expect(pool.allocAlgo(8, genPoolFixedAlloc, bit * 8)).toBe(0x1000 + bit * 8)
  }
  return pool
}

describe('the algorithms', () => {
  it.each<[string, GenPoolAlgo, number, number]>([
    ['first fit', genPoolFirstFit, 3, 2],
    ['best fit', genPoolBestFit, 3, 7],
    ['order-aligned', genPoolFirstFitOrderAlign, 3, 12],
    ['first fit', genPoolFirstFit, 2, 2],
    ['order-aligned', genPoolFirstFitOrderAlign, 2, 2],
    ['best fit', genPoolBestFit, 2, 7],
    ['best fit', genPoolBestFit, 4, 2],
    ['order-aligned', genPoolFirstFitOrderAlign, 4, 12],
    ['order-aligned', genPoolFirstFitOrderAlign, 1, 2],
  ])('%s, case %#', (_name, algo, nr, bit) => {
    expect(example().allocAlgo(nr * 8, algo)).toBe(0x1000 + bit * 8)
  })

  it('finds nothing where nothing fits', () => {
    for (const algo of [genPoolFirstFit, genPoolBestFit, genPoolFirstFitOrderAlign]) {
      const pool = example()
      expect(pool.allocAlgo(40, algo)).toBeNull()
      expect(pool.avail()).toBe(88)
    }
  })

  it('aligns addresses, not bits', () => {
    const pool = new GenPool({ minAllocOrder: 4 })
    pool.add(0x1030, 0x200)
    expect(pool.allocAlgo(16, genPoolFirstFitAlign, 0x100)).toBe(0x1100)
    expect(pool.allocAlgo(16, genPoolFirstFitAlign, 0x100)).toBe(0x1200)
    expect(pool.allocAlgo(16, genPoolFirstFitAlign, 0x100)).toBeNull()
    expect(pool.allocAlgo(16, genPoolFirstFitAlign, 8)).toBe(0x1030)
    expect(pool.allocAlgo(0x80, genPoolFirstFitOrderAlign)).toBe(0x1030 + 16 * 16)
  })

  it('gives a fixed place once, and none between granules', () => {
    const pool = new GenPool({ minAllocOrder: 4 })
    pool.add(0x1000, 256)
    expect(pool.allocAlgo(20, genPoolFixedAlloc, 32)).toBe(0x1020)
    for (const offset of [32, 48, 16, 8, 33, 240, 256, 4096]) {
      expect(pool.allocAlgo(20, genPoolFixedAlloc, offset)).toBeNull()
    }
    expect(pool.allocAlgo(16, genPoolFixedAlloc, 240)).toBe(0x10f0)
  })

  it('refuses to work without what they need', () => {
    const pool = example()
    for (const data of [null, 0, -8, 12, 0.3, Number.NaN, 2 ** 52 + 1]) {
      expect(() => pool.allocAlgo(8, genPoolFirstFitAlign, data)).toThrow(InvalidArgument)
    }
    for (const data of [null, -8, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => pool.allocAlgo(8, genPoolFixedAlloc, data)).toThrow(InvalidArgument)
    }
    expect(pool.avail()).toBe(88)
  })

  it('are not believed', () => {
    const pool = example()
    for (const answer of [0, 5, 9, 14, -1, 1.5, Number.NaN]) {
      expect(thrown(() => pool.allocAlgo(24, () => answer)).code).toBe('BAD_AREA')
    }
    expect(pool.allocAlgo(24, () => 16)).toBeNull()
    expect(pool.allocAlgo(24, () => Number.POSITIVE_INFINITY)).toBeNull()
    expect(pool.avail()).toBe(88)
    expect(pool.allocAlgo(24, () => 13)).toBe(0x1000 + 13 * 8)
  })
})

describe('GenPool', () => {
  it('searches the newest chunk first, and skips chunks by their bytes', () => {
    const pool = new GenPool({ minAllocOrder: 5 })
    pool.add(0x1000, 100)
    pool.add(0x2000, 64)
    expect(pool.alloc(64)).toBe(0x2000)
    expect(pool.alloc(65)).toBe(0x1000)
    expect([pool.avail(), pool.size()]).toEqual([4, 164])
    // The rest of 4 bytes is smaller than a granule: counted, never handed out.
    expect(pool.alloc(4)).toBeNull()
    expect(pool.alloc(5)).toBeNull()
    pool.free(0x1000, 65)
    expect(pool.avail()).toBe(100)
    // Rounded up to 4 granules, of which there are 3.
    expect(pool.alloc(100)).toBeNull()
  })

  it('knows its addresses, and nothing is special about 0', () => {
    const pool = new GenPool({ minAllocOrder: 0 })
    pool.addVirt(0, toPhysAddr(0x8000), 16)
    pool.add(0x100, 16)
    expect(pool.alloc(16)).toBe(0x100)
    expect(pool.alloc(1)).toBe(0)
    expect(pool.alloc(0)).toBeNull()
    expect([0, 15, 16, 0x100].map((address) => pool.virtToPhys(address))).toEqual([
      0x8000,
      0x800f,
      null,
      null,
    ])
    expect(pool.hasAddr(0, 16)).toBe(true)
    expect(pool.hasAddr(4, 12)).toBe(true)
    expect(pool.hasAddr(4, 13)).toBe(false)
    expect(pool.hasAddr(16, 1)).toBe(false)
    expect(pool.dmaAlloc(3)).toEqual({ address: 1, dma: 0x8001 })
  })

  it('gives no DMA address where there is none', () => {
    const pool = new GenPool({ minAllocOrder: 0 })
    pool.add(0x100, 16)
    expect(pool.dmaAlloc(3)).toBeNull()
    expect(pool.avail()).toBe(16)
    // Nor where there is no room.
    expect(pool.dmaAlloc(17)).toBeNull()
    expect(pool.avail()).toBe(16)
  })

  it('uses the algorithm that it was told, until told otherwise', () => {
    const pool = new GenPool({ minAllocOrder: 3 })
    pool.add(0x1008, 256)
    pool.setAlgo(genPoolFirstFitAlign, 64)
    expect(pool.alloc(8)).toBe(0x1040)
    pool.setAlgo(null)
    expect(pool.alloc(8)).toBe(0x1008)
  })

  it('works up to 2^53', () => {
    const top = 2 ** 53 - 2 ** 40
    const pool = new GenPool({ minAllocOrder: 30 })
    pool.add(top, 2 ** 40 - 1)
    expect(pool.alloc(2 ** 39)).toBe(top)
    expect(pool.alloc(2 ** 39 - 2 ** 30)).toBe(top + 2 ** 39)
    expect(pool.alloc(1)).toBeNull()
    expect(pool.avail()).toBe(2 ** 30 - 1)
    pool.free(top, 2 ** 39)
    expect(pool.allocAlgo(2 ** 35, genPoolFirstFitAlign, 2 ** 38)).toBe(top)
    expect(pool.allocAlgo(2 ** 35, genPoolFirstFitAlign, 2 ** 38)).toBe(top + 2 ** 38)
  })

  it('refuses wrong numbers, and changes nothing', () => {
    for (const minAllocOrder of [-1, 53, 1.5, Number.NaN]) {
      expect(() => new GenPool({ minAllocOrder })).toThrow(InvalidArgument)
    }
    const pool = new GenPool({ minAllocOrder: 0 })
    pool.add(100, 100)
    const ranges: [number, number][] = [
      [-1, 10],
      [0.5, 10],
      [0, 0],
      [0, -5],
      [0, Number.NaN],
      [2 ** 53 - 10, 10],
      [2 ** 40, 2 ** 40],
      [0, 101],
      [150, 10],
      [199, 1],
      [50, 1000],
    ]
    for (const [start, size] of ranges) {
      expect(() => pool.add(start, size)).toThrow(InvalidArgument)
      expect(() => pool.addVirt(start, toPhysAddr(0), size)).toThrow(InvalidArgument)
    }
    expect(() => pool.addVirt(0, toPhysAddr(-1), 8)).toThrow(InvalidArgument)
    for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => pool.alloc(size)).toThrow(InvalidArgument)
      expect(() => pool.free(100, size)).toThrow(InvalidArgument)
    }
    expect([pool.avail(), pool.size()]).toEqual([100, 100])
    pool.add(0, 100)
    pool.add(200, 1)
    expect(pool.size()).toBe(201)
  })

  it('finds wrong frees', () => {
    const pool = new GenPool({ minAllocOrder: 4 })
    pool.add(0x1000, 0x100)
    pool.add(0x1100, 0x100)
    expect(pool.alloc(0x100)).toBe(0x1100)
    expect(pool.alloc(0x40)).toBe(0x1000)
    const wrong: [number, number, string][] = [
      [0x1040, 16, 'DOUBLE_FREE'],
      [0x1000, 0x50, 'DOUBLE_FREE'],
      [0x1030, 0x20, 'DOUBLE_FREE'],
      [0x0fff, 16, 'BAD_FREE'],
      [0x1200, 16, 'BAD_FREE'],
      [0x11f0, 17, 'BAD_FREE'],
      [0x11f8, 9, 'BAD_FREE'],
    ]
    for (const [address, size, code] of wrong) {
      expect(thrown(() => pool.free(address, size)).code).toBe(code)
    }
    expect(() => pool.free(-16, 16)).toThrow(InvalidArgument)
    expect(pool.avail()).toBe(0xc0)
    expect(thrown(() => pool.destroy()).code).toBe('POOL_BUSY')
    pool.free(0x1000, 0x40)
    pool.free(0x1100, 0x80)
    expect(thrown(() => pool.destroy()).code).toBe('POOL_BUSY')
    pool.free(0x1180, 0x80)
    expect(thrown(() => pool.free(0x1180, 0x80)).code).toBe('DOUBLE_FREE')
    pool.destroy()
    const calls = [
      () => pool.alloc(8),
      () => pool.free(0x1000, 8),
      () => pool.avail(),
      () => pool.add(0, 8),
      () => pool.destroy(),
    ]
    for (const call of calls) expect(thrown(call).code).toBe('POOL_DESTROYED')
  })

  it('takes its structure from a heap: 56 bytes', () => {
    const machine = heapMachine()
    const pool = new GenPool({ minAllocOrder: 4, heap: machine.heap })
    pool.add(0, 1024)
    const [call, ...rest] = machine.calls()
    expect(call).toMatch(`alloc 56 ${GFP_KERNEL.toString(16)} -> `)
    expect(rest).toEqual([])
    pool.destroy()
    expect(machine.calls()).toEqual([`free ${call?.split('-> ')[1]}`])
    expect(new GenPool({ minAllocOrder: 4, heap: machine.heap, node: 0 }).size()).toBe(0)
    expect(machine.calls()[0]).toMatch('alloc 56 cc0 node 0 -> ')
    machine.failFrom(1)
    expect(GenPool.create({ minAllocOrder: 4, heap: machine.heap })).toBeNull()
    expect(() => new GenPool({ minAllocOrder: 4, heap: machine.heap })).toThrow(OutOfMemory)
    expect(() => GenPool.create({ minAllocOrder: 99 })).toThrow(InvalidArgument)
  })
})

// ---- Beside a model ----

const GRANULE = 16

/** A chunk as a row of booleans: what is in use. */
interface Row {
  readonly start: number
  readonly size: number
  readonly used: boolean[]
}

const ROWS: readonly [number, number][] = [
  [0x30, 70 * GRANULE + 5],
  [0x10_0000, 33 * GRANULE],
  [0x990, 5 * GRANULE],
]

class Model {
  /** Newest first. */
  readonly rows: readonly Row[] = ROWS.map(([start, size]) => ({
    start,
    size,
    used: new Array<boolean>(Math.floor(size / GRANULE)).fill(false),
  })).reverse()

  available(row: Row): number {
    return row.size - row.used.filter(Boolean).length * GRANULE
  }

  /** All places where `nr` granules are free. */
  places(row: Row, nr: number): number[] {
    return row.used
      .map((_, at) => at)
      .filter((at) => at + nr <= row.used.length && !row.used.slice(at, at + nr).includes(true))
  }

  /** Free granules around `at`. */
  runLength(row: Row, at: number): number {
    let from = at
    let to = at
    while (from > 0 && row.used[from - 1] === false) from -= 1
    while (to < row.used.length && row.used[to] === false) to += 1
    return to - from
  }

  choose(row: Row, nr: number, kind: number, data: number): number | undefined {
    const places = this.places(row, nr)
    if (kind === 1) return places.find((at) => (row.start + at * GRANULE) % data === 0)
    if (kind === 2) {
      let step = 1
      while (step < nr) step *= 2
      return places.find((at) => at % step === 0)
    }
    if (kind === 3) return places.find((at) => at * GRANULE === data)
    if (kind === 4) {
      const shortest = Math.min(...places.map((at) => this.runLength(row, at)))
      return places.find((at) => this.runLength(row, at) === shortest)
    }
    return places[0]
  }

  alloc(size: number, kind: number, data: number): number | null {
    if (size === 0) return null
    const nr = Math.ceil(size / GRANULE)
    for (const row of this.rows) {
      if (size > this.available(row)) continue
      const at = this.choose(row, nr, kind, data)
      if (at === undefined) continue
      row.used.fill(true, at, at + nr)
      return row.start + at * GRANULE
    }
    return null
  }

  /** Frees, and tells whether that was right. */
  free(address: number, size: number): boolean {
    const row = this.rows.find((one) => address >= one.start && address < one.start + one.size)
    if (row === undefined || address + size > row.start + row.size) return false
    const at = Math.floor((address - row.start) / GRANULE)
    const nr = Math.ceil(size / GRANULE)
    const part = row.used.slice(at, at + nr)
    if (part.length < nr || part.includes(false)) return false
    row.used.fill(false, at, at + nr)
    return true
  }
}

const ALGOS: readonly GenPoolAlgo[] = [
  genPoolFirstFit,
  genPoolFirstFitAlign,
  genPoolFirstFitOrderAlign,
  genPoolFixedAlloc,
  genPoolBestFit,
]

/** What the algorithm of a kind is given: alignments of 8 to 512, or distances in granules. */
function dataOf(kind: number, number: number): number {
  return kind === 1 ? 8 << (number % 7) : number * GRANULE
}

const allocation = fc.record({
  size: fc.oneof(
    fc.integer({ min: 0, max: 6 * GRANULE }),
    fc.integer({ min: 0, max: 40 * GRANULE }),
  ),
  kind: fc.integer({ min: 0, max: 4 }),
  number: fc.integer({ min: 0, max: 72 }),
})
/** A free of the allocation at a place of the list, moved and resized a little now and then. */
const release = fc.record({
  at: fc.nat(1000),
  shift: fc.oneof(fc.constant(0), fc.integer({ min: -40, max: 40 })),
  more: fc.oneof(fc.constant(0), fc.integer({ min: -40, max: 40 })),
})

describe('GenPool beside a model', () => {
  it('answers each call as rows of booleans do', () => {
    const operations = fc.array(fc.oneof({ weight: 3, arbitrary: allocation }, release), {
      minLength: 1,
      maxLength: 120,
    })
    fc.assert(
      fc.property(operations, (list) => {
        const pool = new GenPool({ minAllocOrder: 4 })
        for (const [start, size] of ROWS) pool.add(start, size)
        const model = new Model()
        const blocks: [number, number][] = []
        for (const step of list) {
          if ('kind' in step) {
            const data = dataOf(step.kind, step.number)
            const expected = model.alloc(step.size, step.kind, data)
            const algo = ALGOS[step.kind] ?? genPoolFirstFit
            expect(pool.allocAlgo(step.size, algo, data)).toBe(expected)
            if (expected !== null) blocks.push([expected, step.size])
          } else {
            const place = step.at % (blocks.length + 1)
            const [address, size] = blocks[place] ?? [0x30, 16]
            const from = Math.max(0, address + step.shift)
            const bytes = Math.max(0, size + step.more)
            if (model.free(from, bytes)) pool.free(from, bytes)
            else expect(() => pool.free(from, bytes)).toThrow(KernelBug)
            if (step.shift === 0 && step.more === 0) blocks.splice(place, 1)
          }
          const available = model.rows.reduce((sum, row) => sum + model.available(row), 0)
          expect(pool.avail()).toBe(available)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('agrees on every state of 10 granules', () => {
    for (let state = 0; state < 1024; state++) {
      for (let nr = 1; nr <= 4; nr++) {
        for (const kind of [0, 1, 2, 4]) {
          const pool = new GenPool({ minAllocOrder: 4 })
          pool.add(0x20, 10 * GRANULE)
          const used = Array.from({ length: 10 }, (_, bit) => ((state >> bit) & 1) === 1)
          used.forEach((set, bit) => {
            if (set) pool.allocAlgo(GRANULE, genPoolFixedAlloc, bit * GRANULE)
          })
          const row = { start: 0x20, size: 10 * GRANULE, used }
          const at = new Model().choose(row, nr, kind, 64)
          const found = pool.allocAlgo(nr * GRANULE, ALGOS[kind] ?? genPoolFirstFit, 64)
          expect(found).toBe(at === undefined ? null : 0x20 + at * GRANULE)
        }
      }
    }
  })
})
