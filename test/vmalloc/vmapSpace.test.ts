import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { verifyVmap } from '../../src/debug/verifyVmap'
import { VmapSpace, type VmapSpaceArea } from '../../src/vmalloc/vmapSpace'

describe('VmapSpace', () => {
  it('hands the lowest numbers out, 0 among them, until there are none', () => {
    const space = new VmapSpace({ start: 0, end: 4 })
    expect([1, 2, 3, 4, 5].map(() => space.alloc(1))).toEqual([0, 1, 2, 3, null])
    expect([space.freeBytes, space.largestFree, space.busyAreas]).toEqual([0, 0, 4])
    space.free(2)
    space.free(1)
    expect([space.freeBytes, space.largestFree, space.busyAreas]).toEqual([2, 2, 2])
    expect(space.alloc(3)).toBeNull()
    expect(space.alloc(2)).toBe(1)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('finds aligned places that a search by size and alignment together skips', () => {
    const space = new VmapSpace({ start: 0, end: 64 })
    for (const at of [0, 17, 33]) expect(space.reserve(at, at === 0 ? 16 : 15)).toBe(true)
    // Free are 16, 32, and 48 to 64.
    expect(space.alloc(1, 16)).toBe(16)
    expect(space.alloc(1, 32)).toBe(32)
    expect(space.alloc(16, 16)).toBe(48)
    expect(space.alloc(1)).toBeNull()
  })

  it('keeps to [low, high)', () => {
    const space = new VmapSpace({ start: 100, end: 200 })
    expect(space.alloc(10, 1, 150)).toBe(150)
    expect(space.alloc(10, 1, 0, 110)).toBe(100)
    expect(space.alloc(10, 1, 0, 119)).toBeNull()
    expect(space.alloc(10, 1, 145, 165)).toBeNull()
    expect(space.alloc(10, 1, 145)).toBe(160)
    expect(space.alloc(10, 16, 101, 1000)).toBe(112)
    expect(space.alloc(1, 1, 300, 400)).toBeNull()
    expect(space.alloc(1, 1, 150, 140)).toBeNull()
  })

  it('rounds to granules', () => {
    const space = new VmapSpace({ start: 4096, end: 65536, granule: 4096 })
    expect(space.alloc(1)).toBe(4096)
    expect(space.alloc(4097, 1, 8193)).toBe(12288)
    expect(space.find(12288 + 8191)).toEqual({ start: 12288, end: 20480 })
    expect(space.reserve(8192, 1)).toBe(true)
    expect(space.reserve(65536 - 4096, 4097)).toBe(false)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('reaches up to 2^53', () => {
    const end = 2 ** 53 - 1
    const space = new VmapSpace({ start: 0, end })
    expect(space.alloc(1, 2 ** 52)).toBe(0)
    expect(space.alloc(1, 2 ** 52)).toBe(2 ** 52)
    expect(space.alloc(1, 2 ** 52)).toBeNull()
    expect(space.alloc(2 ** 52 - 1, 1)).toBe(1)
    expect(space.alloc(2 ** 52 - 3)).toBe(2 ** 52 + 1)
    expect([...space.areas()].at(-1)).toEqual({ start: end - 1, end, state: 'free' })
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('lists its ranges', () => {
    const space = new VmapSpace({ start: 10, end: 20, lazy: true })
    space.reserve(12, 2)
    space.alloc(1)
    space.free(12)
    const areas: VmapSpaceArea[] = [
      { start: 10, end: 11, state: 'busy' },
      { start: 11, end: 12, state: 'free' },
      { start: 12, end: 14, state: 'lazy' },
      { start: 14, end: 20, state: 'free' },
    ]
    expect([...space.areas()]).toEqual(areas)
    expect(space.find(12)).toBeNull()
    expect([space.freeBytes, space.lazyBytes]).toEqual([7, 2])
  })

  it('lazy: freed ranges wait for a purge, or for a need', () => {
    const space = new VmapSpace({ start: 0, end: 8, lazy: true })
    expect([space.alloc(2), space.alloc(2)]).toEqual([0, 2])
    space.free(0)
    expect(space.alloc(2)).toBe(4)
    expect(space.purge()).toBe(true)
    expect(space.purge()).toBe(false)
    expect(space.alloc(2)).toBe(0)
    space.free(0)
    space.free(4)
    expect(space.alloc(4)).toBe(4)
    space.free(2)
    expect(space.reserve(0, 4)).toBe(true)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('a full state is room that is missing, until ranges are joined', () => {
    const space = new VmapSpace({ start: 0, end: 1000, maxAreas: 3, lazy: true })
    const all: number[] = []
    for (let id = space.alloc(1); id !== null; id = space.alloc(1)) all.push(id)
    expect(all.length).toBeGreaterThanOrEqual(3)
    expect(space.reserve(500, 1)).toBe(false)
    space.free(all[1] ?? 0)
    space.free(all[3] ?? 0)
    space.free(all[2] ?? 0)
    expect(space.reserve(500, 1)).toBe(true)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('goes on with a state', () => {
    const space = new VmapSpace({ start: 0, end: 100, shared: true, lazy: true })
    expect(space.state).toBeInstanceOf(SharedArrayBuffer)
    space.alloc(10)
    space.free(0)
    const other = VmapSpace.attach(space.state)
    expect(other.alloc(10)).toBe(10)
    other.free(10)
    expect(space.lazyBytes).toBe(20)
    expect(() => VmapSpace.attach(new ArrayBuffer(65536))).toThrow(InvalidArgument)
  })

  it('what is freed has to start a range in use', () => {
    const space = new VmapSpace({ start: 0, end: 100 })
    space.alloc(10)
    for (const address of [1, 9, 10, 99, 100, 2 ** 53 - 1]) {
      expect(() => space.free(address)).toThrow(KernelBug)
    }
    space.free(0)
    expect(() => space.free(0)).toThrow(KernelBug)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('wrong arguments throw, and nothing changes', () => {
    const space = new VmapSpace({ start: 0, end: 65536, granule: 16 })
    space.alloc(32)
    const before = space.context.words.slice(0, 512)
    const values = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', null, {}, 1n]
    for (const value of values) {
      const bad = value as number
      for (const call of [
        () => space.alloc(bad),
        () => space.alloc(1, bad),
        () => space.alloc(1, 1, bad),
        () => space.alloc(1, 1, 0, bad),
        () => space.reserve(bad, 1),
        () => space.reserve(0, bad),
        () => space.free(bad),
        () => space.find(bad),
        () => new VmapSpace({ start: bad, end: 100 }),
        () => new VmapSpace({ start: 0, end: bad }),
        () => new VmapSpace({ start: 0, end: 100, granule: bad }),
        () => new VmapSpace({ start: 0, end: 100, maxAreas: bad }),
      ]) {
        expect(call).toThrow(InvalidArgument)
      }
    }
    for (const call of [
      () => space.alloc(0),
      () => space.alloc(1, 0),
      () => space.alloc(1, 3),
      () => space.alloc(1, 2 ** 52 + 2),
      () => space.reserve(8, 8),
      () => new VmapSpace(null as never),
      () => new VmapSpace({ start: 1, end: 100, granule: 4 }),
      () => new VmapSpace({ start: 4, end: 102, granule: 4 }),
      () => new VmapSpace({ start: 4, end: 104, granule: 3 }),
    ]) {
      expect(call).toThrow(InvalidArgument)
    }
    expect(space.context.words.slice(0, 512)).toEqual(before)
    expect(space.alloc(2 ** 53 - 1)).toBeNull()
    expect(space.reserve(2 ** 53 - 16, 2 ** 53 - 1)).toBe(false)
    expect(verifyVmap(space.context)).toEqual([])
  })

  it('agrees with a list of numbers, for every alignment', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.tuple(fc.constant('alloc'), fc.nat(9), fc.nat(5), fc.nat(60)) },
      { weight: 4, arbitrary: fc.tuple(fc.constant('free'), fc.nat(40), fc.nat(0), fc.nat(0)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('reserve'), fc.nat(5), fc.nat(0), fc.nat(64)) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.nat(20), (list, start) => {
        const space = new VmapSpace({ start, end: start + 64, maxAreas: 64 })
        const used = new Map<number, number>()
        const isFree = (from: number, size: number) =>
          from >= start &&
          from + size <= start + 64 &&
          ![...used].some(([at, length]) => at < from + size && from < at + length)
        for (const [what, a, b, c] of list) {
          if (what === 'alloc') {
            const [size, align, low] = [a + 1, 2 ** b, start + c]
            let at = Math.ceil(low / align) * align
            while (at < start + 64 && !isFree(at, size)) at += align
            expect(space.alloc(size, align, low)).toBe(at < start + 64 ? at : null)
            if (at < start + 64) used.set(at, size)
          } else if (what === 'free') {
            const at = [...used.keys()][a % Math.max(1, used.size)]
            if (at !== undefined) {
              space.free(at)
              used.delete(at)
            }
          } else {
            expect(space.reserve(start + c, a + 1)).toBe(isFree(start + c, a + 1))
            if (isFree(start + c, a + 1)) used.set(start + c, a + 1)
          }
          expect(verifyVmap(space.context)).toEqual([])
        }
        const busy = [...space.areas()].filter(({ state }) => state === 'busy')
        const expected = [...used].sort((x, y) => x[0] - y[0])
        expect(busy.map((range) => [range.start, range.end - range.start])).toEqual(expected)
        expect(space.busyAreas).toBe(used.size)
        expect(space.freeBytes).toBe(64 - expected.reduce((sum, [, size]) => sum + size, 0))
      }),
      { numRuns: 100 },
    )
  })
})
