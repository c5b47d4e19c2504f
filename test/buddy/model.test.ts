import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  allocContigRange,
  BuddyAllocator,
  freeContigRange,
  MIGRATE_CMA,
  MiB,
  movableMemory,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'
import { faults, freePagesOf, NODE_1, nrFree, twoNodes, zonesOf } from './machines'
import { type Frames, Model } from './model'
import { OPERATIONS, type Operation, sequences } from './operations'

/** The frames of `[base, base + size)`, in bytes. */
function frames(base: number, size: number): Frames {
  return { start: base / PAGE_SIZE, end: (base + size) / PAGE_SIZE }
}

/** Makes free memory a CMA area, as a machine has from boot on. */
function makeCma(pages: BuddyAllocator, start: Pfn, end: Pfn): void {
  expect(allocContigRange(pages, start, end, MIGRATE_CMA)).toBe(0)
  freeContigRange(pages, start, end - start)
  pages.drainAllPages()
}

/** Runs commands; afterwards frees everything and expects every frame back. */
function play(model: Model, commands: Iterable<fc.Command<Model, BuddyAllocator>>): void {
  expect(faults(model.pages)).toEqual([])
  fc.modelRun(() => ({ model, real: model.pages }), commands)
  model.releaseAll()
  const free = zonesOf(model.pages).reduce((sum, zone) => sum + freePagesOf(model.pages, zone), 0)
  expect(free).toBe(model.frames)
}

/** The limit cuts the search for a smaller failure short, which takes minutes otherwise. */
const RUNS = { numRuns: 100, interruptAfterTimeLimit: 60_000 }

describe('the page allocator against a map of live blocks', () => {
  const small = fc.record({
    mib: fc.constantFrom(4, 7, 16),
    cpus: fc.constantFrom(1, 1, 3),
    odd: fc.nat(700),
    cma: fc.boolean(),
  })

  it('keeps one zone in order, and the content of its blocks', () => {
    fc.assert(
      fc.property(small, sequences(OPERATIONS, 120), ({ mib, cpus, odd, cma }, commands) => {
        // A reserved range and an odd end: blocks of every order at either side.
        const size = mib * MiB - odd * PAGE_SIZE
        const ram = new PhysicalMemory({
          map: [
            { base: 0, size: MiB, type: 'usable' },
            { base: MiB, size: 5 * PAGE_SIZE, type: 'reserved' },
            { base: MiB + 5 * PAGE_SIZE, size: size - MiB - 5 * PAGE_SIZE, type: 'usable' },
          ],
        })
        const pages = new BuddyAllocator({ ram, zones: ZONES_FLAT, cpus })
        if (cma && mib === 16) makeCma(pages, toPfn(1024), toPfn(3072))
        const usable = [frames(0, MiB), frames(MiB + 5 * PAGE_SIZE, size - MiB - 5 * PAGE_SIZE)]
        play(new Model(pages, usable, ram), commands)
      }),
      RUNS,
    )
  })

  it('keeps many zones, two nodes and two CPUs in order, while memory grows', () => {
    const grow: Operation = (model, pages, { a, b }) => {
      const start = model.top + (b % 3 === 0 ? 100 : 0)
      const count = 1 + (a % 700)
      if (start + count > 32 * 1024) return
      pages.addMemory(start * PAGE_SIZE, count * PAGE_SIZE, 1)
      model.grow(start, start + count)
    }
    const operations = { ...OPERATIONS, grow }
    const options = fc.record({
      movablecore: fc.constantFrom(0, 8 * MiB, 24 * MiB),
      cpuNodes: fc.constantFrom([0, 1], [0, 1, 0], [0, 0]),
    })
    fc.assert(
      fc.property(options, sequences(operations, 120), ({ movablecore, cpuNodes }, commands) => {
        const pages = twoNodes({ cpuNodes, movable: movableMemory({ movablecore }) })
        const usable = [
          frames(PAGE_SIZE, 2 * MiB - PAGE_SIZE),
          { start: (3 * MiB) / PAGE_SIZE + 1, end: (20 * MiB) / PAGE_SIZE - 2 },
          frames(21 * MiB, NODE_1 - 21 * MiB),
          frames(NODE_1, 52 * MiB - NODE_1),
        ]
        play(new Model(pages, usable), commands)
      }),
      RUNS,
    )
  })
})

describe('contiguous ranges', () => {
  const shared = Math.floor(NODE_1 / PAGE_SIZE)

  /** Ranges by where they lie in the pageblock that two nodes share, at its frame 300. */
  it.each([
    ['from the shared pageblock up', shared, shared + 100],
    ['from the shared pageblock into the next', shared + 10, shared + 600],
    ['from the pageblock before into the shared one', shared - 400, shared - 200],
    ['in the shared pageblock, below the seam', shared - 100, shared],
    ['behind the shared pageblock', shared + 212, shared + 300],
    ['across the seam', shared - 1, shared + 1],
  ])('%s: taken or not, nothing is lost', (_where, start, end) => {
    const pages = twoNodes()
    const before = zonesOf(pages).map((zone) => nrFree(pages, zone))
    const result = allocContigRange(pages, toPfn(start), toPfn(end))
    expect(faults(pages)).toEqual([])
    if (result === 0) freeContigRange(pages, toPfn(start), end - start)
    pages.drainAllPages()
    expect(faults(pages)).toEqual([])
    expect(zonesOf(pages).map((zone) => nrFree(pages, zone))).toEqual(before)
  })
})
