/** The address space beside a sorted array, which is simpler: pages are its granule. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { GFP_KERNEL } from '../../src/page/gfp'
import { TREE_BUSY, TREE_FREE, TREE_PURGE } from '../../src/state/vmapSchema'
import { allocArea, freeAreaNow, releaseArea, reserveArea } from '../../src/vmalloc/vmapArea'
import { createVmap, noVmapOps, type VmapContext } from '../../src/vmalloc/vmapContext'
import { purge } from '../../src/vmalloc/vmapPurge'
import { areasOf, endOf, objectsOf, startOf } from './vmapScript'

const PAGE = 4096

type Kind = 'free' | 'busy' | 'aside'
type Interval = [start: number, end: number, kind: Kind]

/** What every page of the space is, as intervals that follow each other. */
class Model {
  intervals: Interval[]

  constructor(end: number) {
    this.intervals = [[0, end, 'free']]
  }

  /** The lowest free place, if it ends in time: only that one is tried. Then once more after a purge. */
  alloc(size: number, low: number, high: number): number {
    for (const again of [false, true]) {
      if (again) this.purge()
      const fits = this.intervals.find(
        ([start, end, kind]) => kind === 'free' && Math.max(start, low) + size <= end,
      )
      const at = fits === undefined ? high : Math.max(fits[0], low)
      if (at + size > high) continue
      this.set(at, at + size, 'busy')
      return at
    }
    return -1
  }

  isFree(start: number, end: number): boolean {
    return this.intervals.some(([a, b, kind]) => kind === 'free' && a <= start && end <= b)
  }

  purge(): void {
    for (const interval of this.intervals) if (interval[2] === 'aside') interval[2] = 'free'
    this.join()
  }

  set(start: number, end: number, kind: Kind): void {
    const cut = this.intervals.flatMap(([a, b, k]): Interval[] => [
      [a, Math.min(b, start), k],
      [Math.max(a, end), b, k],
    ])
    this.intervals = [...cut.filter(([a, b]) => a < b), [start, end, kind]]
    this.intervals.sort((a, b) => a[0] - b[0])
    this.join()
  }

  /** Joins neighbours of a kind; areas in use stay what they are. */
  private join(): void {
    const joined: Interval[] = []
    for (const [start, end, kind] of this.intervals) {
      const last = joined[joined.length - 1]
      if (last !== undefined && last[2] === kind && kind !== 'busy') last[1] = end
      else joined.push([start, end, kind])
    }
    this.intervals = joined
  }
}

function intervalsOf(c: VmapContext): Interval[] {
  const kinds: readonly (readonly [number, Kind])[] = [
    [TREE_FREE, 'free'],
    [TREE_BUSY, 'busy'],
    [TREE_PURGE, 'aside'],
  ]
  const all = kinds.flatMap(([tree, kind]) =>
    areasOf(c, tree).map((area): Interval => [startOf(c, area), endOf(c, area), kind]),
  )
  return all.sort((a, b) => a[0] - b[0])
}

/** Two spaces in one: the state and the model, and the objects that were taken. */
class Pair {
  readonly c: VmapContext
  readonly model: Model
  readonly live = new Set<number>()
  readonly areas: number[] = []
  /** How often an object is to be had before one is not; 0 for always. */
  failAt = 0
  private next = 0
  private taken = 0
  private readonly pages: number

  constructor(pages: number) {
    this.pages = pages
    this.model = new Model(pages * PAGE)
    this.c = createVmap(
      { start: 0, end: pages * PAGE, maxRecords: 4 * pages },
      {
        ...noVmapOps,
        takeObject: () => {
          this.taken += 1
          if (this.failAt !== 0 && this.taken % this.failAt === 0) return 0
          this.next += 1
          this.live.add(this.next)
          return this.next
        },
        giveObject: (object) => expect(this.live.delete(object)).toBe(true),
      },
    )
  }

  alloc(pages: number, low: number, high: number): void {
    const [size, from, to] = [pages * PAGE, low * PAGE, high * PAGE]
    const area = allocArea(this.c, size, 1, from, to, GFP_KERNEL, -1)
    if (this.failAt === 0) expect(startOf(this.c, area)).toBe(this.model.alloc(size, from, to))
    else this.follow(area)
    if (area !== 0) this.areas.push(area)
  }

  /** An aligned request goes where it should be allowed to: the model follows. */
  allocAligned(pages: number, shift: number, low: number, high: number): void {
    const align = PAGE * 2 ** shift
    const area = allocArea(this.c, pages * PAGE, align, low * PAGE, high * PAGE, GFP_KERNEL, -1)
    if (area !== 0) {
      expect(startOf(this.c, area) % align).toBe(0)
      expect(startOf(this.c, area)).toBeGreaterThanOrEqual(low * PAGE)
      expect(endOf(this.c, area)).toBeLessThanOrEqual(high * PAGE)
      expect(endOf(this.c, area) - startOf(this.c, area)).toBe(pages * PAGE)
      this.areas.push(area)
    } else if (this.failAt === 0) {
      // Room for the size and the alignment together is always found, unless it is above the range.
      this.model.purge()
      const lowest = this.model.intervals.find(
        ([start, end, kind]) =>
          kind === 'free' && Math.max(start, low * PAGE) + pages * PAGE + align - 1 <= end,
      )
      const at = lowest === undefined ? high * PAGE : Math.max(lowest[0], low * PAGE)
      expect(Math.ceil(at / align) * align + pages * PAGE).toBeGreaterThan(high * PAGE)
    }
    this.follow(area)
  }

  /** A failed request has purged: so has one that found room at its second try. */
  private follow(area: number): void {
    if (areasOf(this.c, TREE_PURGE).length === 0) this.model.purge()
    if (area === 0) return
    expect(this.model.isFree(startOf(this.c, area), endOf(this.c, area))).toBe(true)
    this.model.set(startOf(this.c, area), endOf(this.c, area), 'busy')
  }

  reserve(page: number, pages: number): void {
    const [start, end] = [page * PAGE, (page + pages) * PAGE]
    const area = reserveArea(this.c, start, end, GFP_KERNEL, -1)
    if (area !== 0) {
      expect(this.model.isFree(start, end)).toBe(true)
      this.model.set(start, end, 'busy')
      this.areas.push(area)
    } else if (this.failAt === 0) {
      expect(this.model.isFree(start, end)).toBe(false)
    }
  }

  free(index: number, now: boolean): void {
    const [area] = this.areas.splice(index % Math.max(1, this.areas.length), 1)
    if (area === undefined) return
    this.model.set(startOf(this.c, area), endOf(this.c, area), now ? 'free' : 'aside')
    if (now) freeAreaNow(this.c, area)
    else releaseArea(this.c, area)
  }

  purge(): void {
    const any = this.model.intervals.some(([, , kind]) => kind === 'aside')
    expect(purge(this.c, true)).toBe(any)
    this.model.purge()
  }

  check(): void {
    expect(verifyVmap(this.c)).toEqual([])
    expect(intervalsOf(this.c)).toEqual(this.model.intervals)
    expect(objectsOf(this.c)).toEqual(this.live)
    expect(this.model.intervals.at(-1)?.[1]).toBe(this.pages * PAGE)
  }
}

type Step = (pair: Pair) => void

/** Steps of a space of 64 pages; how often each comes is drawn with the seed. */
const steps = fc
  .array(fc.integer({ min: 0, max: 6 }), { minLength: 6, maxLength: 6 })
  .filter((weights) => (weights[0] ?? 0) + (weights[1] ?? 0) > 0)
  .chain((weights) => {
    const size = fc.integer({ min: 1, max: 9 })
    const range = fc.tuple(fc.nat(40), fc.integer({ min: 8, max: 64 }))
    const whole = fc.constant([0, 64] as [number, number])
    const bounds = fc.oneof(whole, range).map(([low, length]) => [low, Math.min(64, low + length)])
    const step = (weight: number | undefined, arbitrary: fc.Arbitrary<Step>) => ({
      weight: 4 * (weight ?? 0),
      arbitrary,
    })
    const alloc = fc.tuple(size, bounds).map(
      ([pages, [low, high]]): Step =>
        (pair) =>
          pair.alloc(pages, low ?? 0, high ?? 0),
    )
    const aligned = fc.tuple(size, fc.integer({ min: 1, max: 5 }), bounds).map(
      ([pages, shift, [low, high]]): Step =>
        (pair) =>
          pair.allocAligned(pages, shift, low ?? 0, high ?? 0),
    )
    const free = (now: boolean) =>
      fc.nat(63).map(
        (i): Step =>
          (pair) =>
            pair.free(i, now),
      )
    const reserve = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 4 })).map(
      ([page, pages]): Step =>
        (pair) =>
          pair.reserve(page, pages),
    )
    return fc.array(
      fc.oneof(
        step(weights[0], alloc),
        step(weights[1], aligned),
        step(weights[2], free(true)),
        step(weights[3], free(false)),
        step(weights[4], reserve),
        step(
          (weights[5] ?? 0) + 1,
          fc.constant((pair: Pair) => pair.purge()),
        ),
      ),
      { maxLength: 80 },
    )
  })

describe('the address space and a sorted array', () => {
  it('agree after each step', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const pair = new Pair(64)
        for (const step of list) {
          step(pair)
          pair.check()
        }
      }),
      { numRuns: 60 },
    )
  })

  it('agree when objects are short', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (list, failAt) => {
        const pair = new Pair(64)
        pair.failAt = failAt
        for (const step of list) {
          step(pair)
          pair.check()
        }
      }),
      { numRuns: 60 },
    )
  })

  it('agree for every sequence of five of six steps on eight pages', () => {
    const small: readonly Step[] = [
      (pair) => pair.alloc(1, 0, 8),
      (pair) => pair.alloc(3, 2, 8),
      (pair) => pair.allocAligned(2, 1, 0, 8),
      (pair) => pair.free(0, false),
      (pair) => pair.free(1, true),
      (pair) => pair.purge(),
    ]
    const count = small.length ** 5
    for (let code = 0; code < count; code++) {
      const pair = new Pair(8)
      let rest = code
      for (let i = 0; i < 5; i++) {
        small[rest % small.length]?.(pair)
        rest = Math.floor(rest / small.length)
      }
      // The shorter sequences are the beginnings of these: all are seen.
      if (verifyVmap(pair.c).length > 0 || code % 16 === 0) pair.check()
    }
  })

  it('the tree stays one through thousands of areas', () => {
    const c = createVmap({ start: 0, end: 2 ** 40 })
    const areas: number[] = []
    let x = 1
    for (let i = 0; i < 12000; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0
      const grow = i < 4000 || (x >>> 20) % 2 === 0
      if (grow) {
        const align = 2 ** ((x >>> 8) % 14)
        areas.push(allocArea(c, PAGE * (1 + (x % 9)), align, 0, 2 ** 40, GFP_KERNEL, -1))
      } else {
        const [area] = areas.splice((x >>> 4) % areas.length, 1)
        freeAreaNow(c, area ?? 0)
      }
      if (i % 1000 === 999) expect(verifyVmap(c)).toEqual([])
    }
    for (const area of areas) freeAreaNow(c, area)
    expect(intervalsOf(c)).toEqual([[0, 2 ** 40, 'free']])
    expect(verifyVmap(c)).toEqual([])
  })
})
