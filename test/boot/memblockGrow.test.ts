/** Doubling of the region arrays. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { PHYS_ADDR_MAX } from '../../src/boot/memblockRegions'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import { memoryOf, type Pair, reservedOf, stateOf } from './fixtures'

const MIB = 1048576
const DOUBLED = 8192

/** 16 MiB at 16 MiB, and `count` reservations of 64 bytes, 128 apart, from 1 MiB. */
function full(count: number, log?: string[]): Memblock {
  const m = new Memblock(log === undefined ? {} : { log: (line) => log.push(line) })
  m.add(16 * MIB, 16 * MIB)
  for (let i = 0; i < count; i++) m.reserve(MIB + 128 * i, 64)
  return m
}

describe('the first doubling', () => {
  it('is refused before allowResize', () => {
    const log: string[] = []
    const m = full(128, log)
    const before = stateOf(m)
    expect(m.reserve(8 * MIB, 64)).toBe(false)
    expect(m.free(MIB, 64)).toBe(false)
    expect(m.alloc(64, 64)).toBeNull()
    expect(m.setNode(MIB, 64, 'reserved', 1)).toBe(false)
    expect(stateOf(m)).toBe(before)
    expect(log).toEqual([])
  })

  it('is not needed for what covers no new slot', () => {
    const m = full(128)
    expect(m.reserve(MIB, 64)).toBe(true)
    expect(m.reserve(MIB, 1)).toBe(true)
    // A range which lies against a region needs a slot until it is merged, so it is refused too.
    expect(m.reserve(MIB + 64, 1)).toBe(false)
  })

  it('leaves 127 of 128 slots usable for freeing', () => {
    expect(full(127).free(MIB, 64)).toBe(false)
    expect(full(126).free(MIB, 64)).toBe(true)
  })

  it('takes 8192 bytes above the range, reserves them and shifts later allocations', () => {
    const m = full(128)
    m.allowResize()
    expect(m.reserve(8 * MIB, 64)).toBe(true)
    expect(m.reservedArray.max).toBe(256)
    expect(reservedOf(m).at(-1)).toEqual([32 * MIB - DOUBLED, DOUBLED])
    expect(m.reservedRegions).toHaveLength(130)
    expect(m.reservedSize()).toBe(129 * 64 + DOUBLED)
    expect(m.alloc(4096, 4096)).toBe(32 * MIB - DOUBLED - 4096)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('looks above the range first, then below it', () => {
    const m = full(128)
    m.allowResize()
    expect(m.reserve(32 * MIB - 4096, 4096)).toBe(true)
    expect(reservedOf(m).at(-1)).toEqual([32 * MIB - 4096 - DOUBLED, 4096 + DOUBLED])
    const above = full(128)
    above.allowResize()
    above.bottomUp = true
    expect(above.reserve(20 * MIB, 4096)).toBe(true)
    expect(reservedOf(above).at(-1)).toEqual([20 * MIB, 4096 + DOUBLED])
  })

  it('fails, and changes nothing, when there is no place', () => {
    const log: string[] = []
    const m = full(127, log)
    m.allowResize()
    m.reserve(16 * MIB, 16 * MIB)
    const before = stateOf(m)
    expect(m.reserve(40 * MIB, 64)).toBe(false)
    expect(m.free(16 * MIB, 4096)).toBe(false)
    expect(stateOf(m)).toBe(before)
    const line = 'memblock: Failed to double reserved array from 128 to 256 entries !'
    expect(log).toEqual([line, line])
  })

  it('does not lie in the range that is being reserved', () => {
    const m = full(128)
    m.allowResize()
    const before = stateOf(m)
    expect(m.reserve(16 * MIB, 16 * MIB)).toBe(false)
    expect(m.reserve(0, PHYS_ADDR_MAX)).toBe(false)
    expect(stateOf(m)).toBe(before)
  })

  it('stays below the current limit', () => {
    const m = full(128)
    m.allowResize()
    m.currentLimit = 20 * MIB
    expect(m.reserve(8 * MIB, 64)).toBe(true)
    expect(reservedOf(m).at(-1)).toEqual([20 * MIB - DOUBLED, DOUBLED])
  })

  it('takes mirrored memory first, and warns when there is none', () => {
    const log: string[] = []
    const m = full(128, log)
    m.allowResize()
    m.setMirroredKernelMemory()
    m.markMirror(24 * MIB, MIB)
    m.reserve(8 * MIB, 64)
    expect(reservedOf(m).at(-1)).toEqual([25 * MIB - DOUBLED, DOUBLED])
    m.reserve(24 * MIB, MIB)
    for (let i = 0; m.reservedArray.max === 256; i++) m.reserve(9 * MIB + 128 * i, 64)
    expect(reservedOf(m).at(-1)).toEqual([32 * MIB - 3 * 4096, 3 * 4096])
    expect(log).toEqual(['Could not allocate 0x0000000000003000 bytes of mirrored memory'])
    expect(verifyMemblock(m)).toEqual([])
  })
})

describe('the second doubling', () => {
  it('frees the array of the first', () => {
    const m = full(128)
    m.allowResize()
    for (let i = 128; m.reservedArray.max < 512; i++) m.reserve(MIB + 128 * i, 64)
    expect(m.reservedArray.max).toBe(512)
    // 256 to 512 entries: 12288 bytes, found below the first array, which is then free again.
    expect(reservedOf(m).at(-1)).toEqual([32 * MIB - DOUBLED - 12288, 12288])
    expect(m.alloc(4096, 4096)).toBe(32 * MIB - 4096)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('comes at once when one range needs it', () => {
    const m = new Memblock({ maxRegions: 4 })
    m.add(16 * MIB, 16 * MIB)
    m.allowResize()
    for (let i = 0; i < 4; i++) m.reserve(MIB + 128 * i, 64)
    expect(m.reserve(MIB - 64, 1024)).toBe(true)
    expect(reservedOf(m)[0]).toEqual([MIB - 64, 1024])
    expect(m.reservedArray.max).toBe(16)
    expect(reservedOf(m)).toHaveLength(2)
    expect(verifyMemblock(m)).toEqual([])
  })
})

describe('a failed second doubling', () => {
  it('takes the first one back', () => {
    const log: string[] = []
    const m = new Memblock({ maxRegions: 2, log: (line) => log.push(line) })
    // Room for one array, of a page, and for no other.
    m.add(16 * MIB, 4096)
    m.allowResize()
    m.reserve(MIB, 64)
    m.reserve(MIB + 128, 64)
    const before = stateOf(m)
    const view = m.reservedRegions
    expect(m.reserve(MIB - 64, 1024)).toBe(false)
    expect(m.reservedRegions).toBe(view)
    expect(stateOf(m)).toBe(before)
    expect(verifyMemblock(m)).toEqual([])
    expect(log).toEqual(['memblock: Failed to double reserved array from 4 to 8 entries !'])
  })
})

describe('the memory array', () => {
  it('grows into memory from the top, and reserves its place', () => {
    const m = new Memblock({ maxRegions: 4 })
    for (let i = 0; i < 4; i++) m.add(MIB + 8192 * i, 4096)
    expect(m.add(2 * MIB, 4096)).toBe(false)
    m.allowResize()
    expect(m.add(2 * MIB, 4096)).toBe(true)
    expect(m.memoryArray.max).toBe(8)
    expect(reservedOf(m)).toEqual([[MIB + 3 * 8192, 4096]])
    expect(memoryOf(m)).toHaveLength(5)
    expect(m.markNomap(MIB, 4096)).toBe(true)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('frees its old place when it grows again', () => {
    const m = new Memblock({ maxRegions: 128 })
    for (let i = 0; i < 128; i++) m.add(MIB + 32768 * i, 16384)
    m.allowResize()
    for (let i = 128; i < 256; i++) m.add(MIB + 32768 * i, 16384)
    const first = MIB + 32768 * 127 + 8192
    expect(reservedOf(m)).toEqual([[first, 8192]])
    m.add(MIB + 32768 * 256, 16384)
    // 512 entries take 12288 bytes of the highest region before the new one.
    expect(m.memoryArray.max).toBe(512)
    expect(reservedOf(m)).toEqual([[MIB + 32768 * 255 + 4096, 12288]])
    expect(verifyMemblock(m)).toEqual([])
  })

  it('is left as it was when its place cannot be reserved', () => {
    const log: string[] = []
    const m = new Memblock({ maxRegions: 4, log: (line) => log.push(line) })
    for (let i = 0; i < 4; i++) m.add(MIB + 8192 * i, 4096)
    m.allowResize()
    // Reservations fill their array, and all memory but one page apart from them.
    for (let i = 1; i < 4; i++) m.reserve(MIB + 8192 * i, 4096)
    m.reserve(8 * MIB, 1)
    const before = stateOf(m)
    expect(m.add(2 * MIB, 4096)).toBe(false)
    expect(stateOf(m)).toBe(before)
    expect(log).toEqual([
      'memblock: Failed to double reserved array from 4 to 8 entries !',
      'memblock: Failed to double memory array from 4 to 8 entries !',
    ])
    expect(verifyMemblock(m)).toEqual([])
  })
})

describe('a growing memblock', () => {
  it('keeps every reservation, its own places and its invariants', () => {
    const step = fc.record({
      free: fc.boolean(),
      at: fc.integer({ min: 0, max: 255 }),
      units: fc.integer({ min: 1, max: 20 }),
    })
    const slots = fc.integer({ min: 1, max: 6 })
    fc.assert(
      fc.property(slots, fc.array(step, { maxLength: 120 }), (maxRegions, steps) => {
        const m = new Memblock({ maxRegions })
        m.add(16 * MIB, MIB)
        m.allowResize()
        const taken = new Set<number>()
        for (const { free, at, units } of steps) {
          expect(free ? m.free(at * 64, units * 64) : m.reserve(at * 64, units * 64)).toBe(true)
          for (let i = at; i < at + units; i++) free ? taken.delete(i) : taken.add(i)
          expect(verifyMemblock(m)).toEqual([])
        }
        for (let i = 0; i < 300; i++) expect(m.isReserved(i * 64)).toBe(taken.has(i))
        const { space } = m.reservedArray
        const places = reservedOf(m).filter(([base]) => base >= 16 * MIB)
        const expected: Pair[] = space === null ? [] : [[space.start, space.end - space.start]]
        expect(places).toEqual(expected)
      }),
    )
  })
})
