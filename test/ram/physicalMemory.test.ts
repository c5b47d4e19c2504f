import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { BAD_ADDRESSES, MAP, patterned, snapshot } from './fixtures'

describe('bulk operations', () => {
  it('fills exactly the bytes asked for', () => {
    const ram = patterned()
    const expected = snapshot(ram).fill(0xfe, 3, 3 + 100)
    ram.fill(0x1003, 100, -2)
    ram.fill(0x1800, 0, 0xaa)
    ram.fill(0x2000, 0, 0xaa)
    expect(snapshot(ram)).toEqual(expected)
  })

  it('copies overlapping bytes in both directions', () => {
    for (const [to, from] of [
      [0x1010, 0x1000],
      [0x1000, 0x1010],
    ] as const) {
      const ram = patterned()
      const expected = snapshot(ram)
      expected.set(expected.slice(from - 0x1000, from - 0x1000 + 64), to - 0x1000)
      ram.copy(to, from, 64)
      expect(snapshot(ram)).toEqual(expected)
    }
  })

  it('copies between extents', () => {
    const ram = patterned({ map: MAP })
    const expected = snapshot(ram)
    expected.set(expected.slice(0x10, 0x30), 0x2040)
    ram.copy(0x5040, 0x1010, 0x20)
    expect(snapshot(ram)).toEqual(expected)
    ram.copy(0x1010, 0x5040, 0x20)
    expect(snapshot(ram)).toEqual(expected)
    expect(ram.compare(0x1010, 0x5040, 0x20)).toBe(0)
  })

  it('compares unsigned, first difference first', () => {
    const ram = new PhysicalMemory({ map: MAP })
    ram.bytes(0x1000, 3).set([1, 0x80, 0])
    ram.bytes(0x5000, 3).set([1, 0x7f, 9])
    expect(ram.compare(0x1000, 0x5000, 3)).toBe(1)
    expect(ram.compare(0x5000, 0x1000, 3)).toBe(-1)
    expect(ram.compare(0x5000, 0x1000, 1)).toBe(0)
    expect(ram.compare(0x5000, 0x1001, 0)).toBe(0)
  })

  it('gives views, not copies, across touching ranges', () => {
    const ram = new PhysicalMemory({ map: MAP })
    const view = ram.bytes(0x1ffe, 4)
    view.set([1, 2, 3, 4])
    expect(ram.readU32(0x1ffe)).toBe(0x04030201)
    ram.writeU8(0x2000, 99)
    expect(view[2]).toBe(99)
    expect(view.length).toBe(4)
  })

  it('zeroes whole frames', () => {
    const ram = patterned({ map: MAP })
    const expected = snapshot(ram).fill(0, 0x1000, 0x2000)
    ram.zeroPages(2, 1)
    ram.zeroPages(2, 0)
    expect(snapshot(ram)).toEqual(expected)
    ram.zeroPages(1, 2)
    expect(snapshot(ram)).toEqual(expected.fill(0, 0, 0x2000))
    expect(() => ram.zeroPages(2, 2)).toThrow(InvalidArgument)
  })

  it('answers where RAM is', () => {
    const ram = new PhysicalMemory({ map: MAP })
    expect(ram.contains(0x1000, 0x2000)).toBe(true)
    expect(ram.contains(0x1000, 0x2001)).toBe(false)
    expect([ram.contains(0xfff), ram.contains(0x5fff), ram.contains(0x6000)]).toEqual([
      false,
      true,
      false,
    ])
    expect(ram.rangeOf(0x2fff)).toMatchObject({ base: 0x2000, node: 1, type: 'reserved' })
    expect(ram.rangeOf(0x6abc)).toMatchObject({ base: 0x6000, type: 'device' })
    expect([ram.rangeOf(0x3000), ram.rangeOf(0xfff), ram.rangeOf(0x7000)]).toEqual([
      null,
      null,
      null,
    ])
    for (const address of BAD_ADDRESSES as number[]) {
      if (address === undefined) continue
      expect(ram.contains(address)).toBe(false)
      expect(ram.rangeOf(address)).toBe(null)
    }
  })

  it('says so when the buffer was transferred away', () => {
    const buffer = new ArrayBuffer(0x1000)
    const ram = new PhysicalMemory({ buffer })
    structuredClone(buffer, { transfer: [buffer] })
    for (const use of [() => ram.readU8(0), () => ram.fill(0, 1, 1), () => ram.bytes(0, 0)]) {
      expect(use).toThrow('transferred away')
    }
  })
})

describe('dirty pages', () => {
  it('are marked by every kind of write, to their last byte', () => {
    const writes: [(ram: PhysicalMemory) => void, number[]][] = [
      [(ram) => ram.writeU8(0x1fff, 1), [1]],
      [(ram) => ram.writeI8(0x2000, 1), [2]],
      [(ram) => ram.writeU16(0x1fff, 1), [1, 2]],
      [(ram) => ram.writeI16(0x1ffe, 1), [1]],
      [(ram) => ram.writeU32(0x1ffd, 1), [1, 2]],
      [(ram) => ram.writeI32(0x1ffc, 1), [1]],
      [(ram) => ram.writeF32(0x1ffd, 1), [1, 2]],
      [(ram) => ram.writeF64(0x1ff9, 1), [1, 2]],
      [(ram) => ram.writeU64(0x1ff9, 1, 1), [1, 2]],
      [(ram) => ram.writeU64(0x1ff8, 1, 1), [1]],
      [(ram) => ram.writeBigU64(0x5000, 1n), [5]],
      [(ram) => ram.fill(0x1800, 0x1000, 0), [1, 2]],
      [(ram) => ram.fill(0x1800, 0, 0), []],
      [(ram) => ram.copy(0x5fff, 0x1000, 1), [5]],
      [(ram) => ram.copy(0x1000, 0x5000, 0x1000), [1]],
      [(ram) => ram.copy(0x1000, 0x5000, 0), []],
      [(ram) => ram.zeroPages(1, 2), [1, 2]],
      [(ram) => ram.markDirty(0x1fff, 2), [1, 2]],
      [(ram) => ram.markDirty(0x1fff, 0), []],
      [(ram) => ram.bytes(0x1000, 4).fill(1), []],
      [(ram) => ram.readU32(0x1000), []],
      [(ram) => ram.compare(0x1000, 0x5000, 4), []],
    ]
    for (const [write, expected] of writes) {
      const ram = new PhysicalMemory({ map: MAP, dirtyTracking: true })
      write(ram)
      expect(ram.dirtyPages(), write.toString()).toEqual(expected)
      expect(ram.dirtyCount).toBe(expected.length)
      for (const pfn of [1, 2, 5]) {
        expect(ram.isDirty(pfn * 4096 + 5)).toBe(expected.includes(pfn))
      }
    }
  })

  it('are listed and cleared by range, over holes and devices', () => {
    const ram = new PhysicalMemory({ map: MAP, dirtyTracking: true })
    ram.fill(0x1000, 0x2000, 1)
    ram.fill(0x5000, 1, 1)
    expect(ram.dirtyPages(0x2fff, 0x2001)).toEqual([2])
    expect(ram.dirtyPages(0x2fff, 0x2002)).toEqual([2, 5])
    expect(ram.dirtyPages(0x3000, 0x2000)).toEqual([])
    expect(ram.dirtyPages(0x1fff, 0)).toEqual([])
    expect(ram.dirtyPages(0x2000)).toEqual([2, 5])
    ram.clearDirty(0x2fff, 1)
    expect(ram.dirtyPages()).toEqual([1, 5])
    ram.clearDirty()
    expect([ram.dirtyCount, ram.dirtyPages().length]).toEqual([0, 0])
  })

  it('are off by default: asking throws, marking does nothing', () => {
    const ram = new PhysicalMemory({ size: 0x1000 })
    ram.writeU8(0, 1)
    ram.markDirty(0, 1)
    expect(ram.dirtyCount).toBe(0)
    for (const ask of [() => ram.isDirty(0), () => ram.dirtyPages(), () => ram.clearDirty()]) {
      expect(ask).toThrow('dirtyTracking is false')
    }
  })
})
