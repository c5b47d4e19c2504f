/** Wrong numbers: each is refused with its name, and nothing is changed. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { Memblock } from '../../src/boot/memblock'
import { END, START, small, stateOf } from './fixtures'

const NOT_ADDRESSES = [
  Number.NaN,
  -1,
  0.5,
  2 ** 53,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
]
const NOT_ALIGNS = [Number.NaN, -1, -64, 0.5, 3, 48, 2 ** 53, 2 ** 52 + 1, Number.POSITIVE_INFINITY]
const NOT_NODES = [Number.NaN, -2, 0.5, 65, 2 ** 32]
const NOT_FLAGS = [Number.NaN, -1, 0.5, 16, 2 ** 32]

type Call = (m: Memblock, bad: number) => unknown

const ranges: Record<string, (m: Memblock, base: number, size: number) => unknown> = {
  add: (m, base, size) => m.add(base, size),
  addNode: (m, base, size) => m.addNode(base, size, 0, 0),
  reserve: (m, base, size) => m.reserve(base, size),
  remove: (m, base, size) => m.remove(base, size),
  free: (m, base, size) => m.free(base, size),
  markHotplug: (m, base, size) => m.markHotplug(base, size),
  clearHotplug: (m, base, size) => m.clearHotplug(base, size),
  markNomap: (m, base, size) => m.markNomap(base, size),
  clearNomap: (m, base, size) => m.clearNomap(base, size),
  markMirror: (m, base, size) => m.markMirror(base, size),
  setNode: (m, base, size) => m.setNode(base, size, 'memory', 1),
  capMemoryRange: (m, base, size) => m.capMemoryRange(base, size),
  isRegionMemory: (m, base, size) => m.isRegionMemory(base, size),
  isRegionReserved: (m, base, size) => m.isRegionReserved(base, size),
}

const sizes: Record<string, (m: Memblock, size: number, align: number) => unknown> = {
  alloc: (m, size, align) => m.alloc(size, align),
  allocRaw: (m, size, align) => m.allocRaw(size, align),
  allocFrom: (m, size, align) => m.allocFrom(size, align, START),
  allocLow: (m, size, align) => m.allocLow(size, align),
  allocNode: (m, size, align) => m.allocNode(size, align, 0),
  allocTryNid: (m, size, align) => m.allocTryNid(size, align, START, END, 0),
  allocTryNidRaw: (m, size, align) => m.allocTryNidRaw(size, align, START, END, 0),
  allocExactNid: (m, size, align) => m.allocExactNid(size, align, START, END, 0),
  allocExactNidRaw: (m, size, align) => m.allocExactNidRaw(size, align, START, END, 0),
  physAlloc: (m, size, align) => m.physAlloc(size, align),
  physAllocRange: (m, size, align) => m.physAllocRange(size, align, START, END),
  physAllocTryNid: (m, size, align) => m.physAllocTryNid(size, align, 0),
  allocRangeNid: (m, size, align) => m.allocRangeNid(size, align, START, END, 0, true),
}

const cases: [string, Call, string, readonly number[]][] = [
  ...Object.entries(ranges).flatMap(([name, call]): [string, Call, string, readonly number[]][] => [
    [name, (m, bad) => call(m, bad, 64), 'base', NOT_ADDRESSES],
    [name, (m, bad) => call(m, START, bad), 'size', NOT_ADDRESSES],
  ]),
  ...Object.entries(sizes).flatMap(([name, call]): [string, Call, string, readonly number[]][] => [
    [name, (m, bad) => call(m, bad, 64), 'size', NOT_ADDRESSES],
    [name, (m, bad) => call(m, 64, bad), 'align', NOT_ALIGNS],
  ]),
  ['allocFrom', (m, bad) => m.allocFrom(64, 64, bad), 'start', NOT_ADDRESSES],
  ['allocTryNid', (m, bad) => m.allocTryNid(64, 64, bad, 0, 0), 'start', NOT_ADDRESSES],
  ['allocTryNid', (m, bad) => m.allocTryNid(64, 64, 0, bad, 0), 'end', NOT_ADDRESSES],
  ['physAllocRange', (m, bad) => m.physAllocRange(64, 64, bad, 0), 'start', NOT_ADDRESSES],
  ['physAllocRange', (m, bad) => m.physAllocRange(64, 64, 0, bad), 'end', NOT_ADDRESSES],
  ['allocNode', (m, bad) => m.allocNode(64, 64, bad), 'nid', NOT_NODES],
  ['allocTryNidRaw', (m, bad) => m.allocTryNidRaw(64, 64, 0, 0, bad), 'nid', NOT_NODES],
  ['allocExactNid', (m, bad) => m.allocExactNid(64, 64, 0, 0, bad), 'nid', NOT_NODES],
  ['physAllocTryNid', (m, bad) => m.physAllocTryNid(64, 64, bad), 'nid', NOT_NODES],
  ['addNode', (m, bad) => m.addNode(0, 64, bad), 'nid', NOT_NODES],
  ['addNode', (m, bad) => m.addNode(0, 64, 0, bad), 'flags', NOT_FLAGS],
  ['setNode', (m, bad) => m.setNode(START, 64, 'memory', bad), 'nid', NOT_NODES],
  ['setNode of nothing', (m, bad) => m.setNode(START, 0, 'memory', bad), 'nid', NOT_NODES],
  ['trimMemory', (m, bad) => m.trimMemory(bad), 'align', [0, ...NOT_ALIGNS]],
  ['enforceMemoryLimit', (m, bad) => m.enforceMemoryLimit(bad), 'limit', NOT_ADDRESSES],
  ['memLimitRemoveMap', (m, bad) => m.memLimitRemoveMap(bad), 'limit', NOT_ADDRESSES],
  ['freeRanges', (m, bad) => m.freeRanges({ nid: bad }), 'nid', NOT_NODES],
  ['freeRangesReverse', (m, bad) => m.freeRangesReverse({ flags: bad }), 'flags', NOT_FLAGS],
  ['pfnRanges', (m, bad) => m.pfnRanges(bad), 'nid', NOT_NODES],
  ['isMemory', (m, bad) => m.isMemory(bad), 'address', NOT_ADDRESSES],
  ['isMapMemory', (m, bad) => m.isMapMemory(bad), 'address', NOT_ADDRESSES],
  ['isReserved', (m, bad) => m.isReserved(bad), 'address', NOT_ADDRESSES],
  ['searchPfnNid', (m, bad) => m.searchPfnNid(bad), 'pfn', NOT_ADDRESSES],
  [
    'currentLimit',
    (m, bad) => {
      m.currentLimit = bad
    },
    'limit',
    NOT_ADDRESSES,
  ],
]

describe('wrong input', () => {
  it.each(cases)('%s: wrong %3$s', (_name, call, argument, values) => {
    const log: string[] = []
    const m = small([[START + 128, 64]], { debug: true, log: (line) => log.push(line) })
    const before = stateOf(m)
    const logged = log.length
    for (const value of values) {
      let thrown: unknown
      try {
        call(m, value)
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(InvalidArgument)
      expect(thrown).toMatchObject({ argument, value })
    }
    expect(stateOf(m)).toBe(before)
    expect(log).toHaveLength(logged)
  })

  it('setNode: a wrong type', () => {
    const m = small()
    const type = JSON.parse('"physmem"')
    expect(() => m.setNode(START, 64, type, 1)).toThrow(InvalidArgument)
  })

  it('names the argument, the value and the limit', () => {
    expect(() => small().alloc(1, 48)).toThrow(
      'align is 48; it must be a power of two from 1 to 2^52',
    )
    expect(() => small().add(-1, 1)).toThrow('base is -1; it must be an integer from 0 to')
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 21])('new Memblock: %s slots', (slots) => {
    expect(() => new Memblock({ maxRegions: slots })).toThrow(InvalidArgument)
    expect(() => new Memblock({ maxReservedRegions: slots })).toThrow(InvalidArgument)
  })
})
