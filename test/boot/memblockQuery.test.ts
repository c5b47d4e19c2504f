/** Questions, iteration and memory limits. */

import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { PHYS_ADDR_MAX } from '../../src/boot/memblockRegions'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import { memoryOf, reservedOf, stateOf } from './fixtures'

function build(): Memblock {
  const m = new Memblock()
  m.addNode(0x1000, 0x3000, 0)
  m.addNode(0x4000, 0x2000, 1)
  m.addNode(0x8800, 0x2000, 1)
  m.addNode(0x10000, 0x1000, 2, 4)
  m.addNode(0x20000, 0x800, 2)
  m.reserve(0x1000, 0x800)
  m.reserve(0x3800, 0x1000)
  m.reserve(0x9000, 0x800)
  m.reserve(0x30000, 0x1000)
  return m
}

const pairs = (ranges: Iterable<{ start: number; end: number; nid: number }>): number[][] =>
  [...ranges].map(({ start, end, nid }) => [start, end, nid])

describe('queries', () => {
  it('know the extent and the sizes', () => {
    const m = build()
    expect([m.startOfDRAM(), m.endOfDRAM()]).toEqual([0x1000, 0x20800])
    expect([m.physMemSize(), m.reservedSize()]).toEqual([0x8800, 0x3000])
    const empty = new Memblock()
    expect([empty.startOfDRAM(), empty.endOfDRAM()]).toEqual([0, 0])
  })

  it('know every byte at a border', () => {
    const m = build()
    const inside = [0x1000, 0x3fff, 0x4000, 0x5fff, 0x8800, 0x10000, 0x207ff]
    const outside = [0, 0xfff, 0x6000, 0x87ff, 0xa800, 0x20800, PHYS_ADDR_MAX]
    expect(inside.map((a) => m.isMemory(a))).toEqual(inside.map(() => true))
    expect(outside.map((a) => m.isMemory(a))).toEqual(outside.map(() => false))
    expect([m.isMapMemory(0x10000), m.isMapMemory(0x4000), m.isMapMemory(0x6000)]).toEqual([
      false,
      true,
      false,
    ])
    expect([m.isReserved(0x1000), m.isReserved(0x17ff), m.isReserved(0x1800)]).toEqual([
      true,
      true,
      false,
    ])
    expect(new Memblock().isMemory(0)).toBe(false)
  })

  it('know whether a range is memory, of one region', () => {
    const m = build()
    expect(m.isRegionMemory(0x1000, 0x3000)).toBe(true)
    expect(m.isRegionMemory(0x1000, 0x3001)).toBe(false)
    expect(m.isRegionMemory(0xfff, 2)).toBe(false)
    expect(m.isRegionMemory(0x7000, 1)).toBe(false)
    m.add(PHYS_ADDR_MAX - 16, 16)
    expect(m.isRegionMemory(PHYS_ADDR_MAX - 8, 64)).toBe(true)
  })

  it('know whether a range overlaps a reservation', () => {
    const m = build()
    expect(m.isRegionReserved(0x1800, 0x2000)).toBe(false)
    expect(m.isRegionReserved(0x1800, 0x2001)).toBe(true)
    expect(m.isRegionReserved(0x17ff, 0x10)).toBe(true)
    expect(m.isRegionReserved(0, 0x1000)).toBe(false)
    expect(m.isRegionReserved(0, PHYS_ADDR_MAX)).toBe(true)
    expect(new Memblock().isRegionReserved(0, 1)).toBe(false)
  })

  it('find the region of a frame, rounded down at both ends', () => {
    const m = build()
    expect(m.searchPfnNid(2)).toEqual({ start: 1, end: 4, nid: 0 })
    expect(m.searchPfnNid(9)).toEqual({ start: 8, end: 0xa, nid: 1 })
    expect(m.searchPfnNid(8)).toBeNull()
    expect(m.searchPfnNid(0x20)).toEqual({ start: 0x20, end: 0x20, nid: 2 })
  })
})

describe('iteration', () => {
  const free = [
    [0x1800, 0x3800, 0],
    [0x4800, 0x6000, 1],
    [0x8800, 0x9000, 1],
    [0x9800, 0xa800, 1],
    [0x20000, 0x20800, 2],
  ]

  it('lists free ranges in both directions', () => {
    const m = build()
    expect(pairs(m.freeRanges())).toEqual(free)
    expect(pairs(m.freeRangesReverse())).toEqual([...free].reverse())
    expect(pairs(m.freeRanges({ nid: 1 }))).toEqual(free.slice(1, 4))
    expect(pairs(m.freeRangesReverse({ nid: 2 }))).toEqual(free.slice(4))
    expect(pairs(m.freeRanges({ flags: 4 }))[4]).toEqual([0x10000, 0x11000, 2])
    expect(pairs(m.freeRanges({ flags: 2 }))).toEqual([])
    expect(pairs(new Memblock().freeRanges())).toEqual([])
  })

  it('lists one gap in several regions and several gaps in one', () => {
    const m = build()
    m.free(0, PHYS_ADDR_MAX)
    expect(pairs(m.freeRanges())).toEqual([
      [0x1000, 0x4000, 0],
      [0x4000, 0x6000, 1],
      [0x8800, 0xa800, 1],
      [0x20000, 0x20800, 2],
    ])
    m.reserve(0, PHYS_ADDR_MAX)
    expect(pairs(m.freeRanges())).toEqual([])
    expect(pairs(m.freeRangesReverse())).toEqual([])
  })

  it('ends at the last address', () => {
    const m = new Memblock()
    m.add(0, PHYS_ADDR_MAX)
    m.reserve(0x1000, 0x1000)
    const both = [
      [0, 0x1000, 64],
      [0x2000, PHYS_ADDR_MAX, 64],
    ]
    expect(pairs(m.freeRanges())).toEqual(both)
    expect(pairs(m.freeRangesReverse())).toEqual([...both].reverse())
  })

  it('passes over empty gaps between touching reservations', () => {
    const m = build()
    m.setNode(0x3800, 0x800, 'reserved', 3)
    expect(pairs(m.freeRanges())).toEqual(free)
    expect(pairs(m.freeRangesReverse())).toEqual([...free].reverse())
  })

  it('hides hotpluggable memory in movable-node mode alone', () => {
    const m = build()
    m.markHotplug(0x8000, 0x4000)
    expect(pairs(m.freeRanges())).toHaveLength(5)
    m.movableNode = true
    expect(pairs(m.freeRanges())).toEqual([free[0], free[1], free[4]])
    expect(pairs(m.freeRanges({ flags: 1 }))).toEqual(free)
    expect(pairs(m.memRanges())).toHaveLength(4)
  })

  it('lists mapped memory', () => {
    const m = build()
    m.addNode(0x40000, 0x1000, 0, 8)
    expect(pairs(m.memRanges())).toEqual([
      [0x1000, 0x4000, 0],
      [0x4000, 0x6000, 1],
      [0x8800, 0xa800, 1],
      [0x20000, 0x20800, 2],
      [0x40000, 0x41000, 0],
    ])
    expect(pairs(new Memblock().memRanges())).toEqual([])
  })

  it('lists whole frames, rounded inwards', () => {
    const m = build()
    const all = [
      [1, 4, 0],
      [4, 6, 1],
      [9, 10, 1],
      [0x10, 0x11, 2],
    ]
    expect(pairs(m.pfnRanges())).toEqual(all)
    expect(pairs(m.pfnRanges(64))).toEqual(all)
    expect(pairs(m.pfnRanges(-1))).toEqual(all)
    expect(pairs(m.pfnRanges(1))).toEqual(all.slice(1, 3))
    expect(pairs(new Memblock().pfnRanges())).toEqual([])
  })
})

describe('limits', () => {
  it('cut memory and reservations where the running total is reached', () => {
    const m = build()
    m.enforceMemoryLimit(0x6000)
    expect(memoryOf(m)).toEqual([
      [0x1000, 0x3000],
      [0x4000, 0x2000],
      [0x8800, 0x1000],
    ])
    expect(reservedOf(m)).toEqual([
      [0x1000, 0x800],
      [0x3800, 0x1000],
      [0x9000, 0x800],
    ])
    expect(m.physMemSize()).toBe(0x6000)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('at the end of a region removes from there', () => {
    const m = build()
    m.enforceMemoryLimit(0x3000)
    expect(memoryOf(m)).toEqual([[0x1000, 0x3000]])
    expect(reservedOf(m).at(-1)).toEqual([0x3800, 0x800])
  })

  it('of zero or of more than there is do nothing', () => {
    const m = build()
    const before = stateOf(m)
    m.enforceMemoryLimit(0)
    m.enforceMemoryLimit(0x8801)
    m.memLimitRemoveMap(0)
    m.memLimitRemoveMap(0x8801)
    m.capMemoryRange(0x4000, 0)
    new Memblock().enforceMemoryLimit(1)
    expect(stateOf(m)).toBe(before)
    m.enforceMemoryLimit(0x8800)
    expect(reservedOf(m)).toHaveLength(3)
    expect(memoryOf(m)).toHaveLength(5)
  })

  it('cap to a range, except what is not mapped', () => {
    const m = build()
    expect(m.capMemoryRange(0x5000, 0x4400)).toBe(true)
    expect(memoryOf(m)).toEqual([
      [0x5000, 0x1000],
      [0x8800, 0xc00],
      [0x10000, 0x1000],
    ])
    expect(reservedOf(m)).toEqual([[0x9000, 0x400]])
    expect(verifyMemblock(m)).toEqual([])
  })

  it('cap to a range without memory', () => {
    const m = build()
    m.clearNomap(0, PHYS_ADDR_MAX)
    m.capMemoryRange(0x7000, 0x100)
    expect([memoryOf(m), reservedOf(m), m.physMemSize()]).toEqual([[[0, 0]], [[0, 0]], 0])
    expect(verifyMemblock(m)).toEqual([])
  })

  it('cap by a limit', () => {
    const m = build()
    m.memLimitRemoveMap(0x4000)
    expect(memoryOf(m)).toEqual([
      [0x1000, 0x3000],
      [0x4000, 0x1000],
      [0x10000, 0x1000],
    ])
  })

  it('answer false when an array is full', () => {
    const m = new Memblock({ maxRegions: 2 })
    m.add(0x1000, 0x1000)
    m.add(0x3000, 0x1000)
    const before = stateOf(m)
    expect([m.enforceMemoryLimit(0x800), m.capMemoryRange(0, 0x1800)]).toEqual([false, false])
    expect(memoryOf(m)).toHaveLength(2)
    expect(stateOf(m)).toBe(before)
  })
})
