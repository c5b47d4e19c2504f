import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { DeviceBytes } from '../../src/ram/memoryMap'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { MAP } from './fixtures'

describe('typed access', () => {
  it('is little endian at every alignment', () => {
    for (let i = 0; i < 8; i++) {
      const ram = new PhysicalMemory({ size: 0x1000, base: 0x1000 })
      const view = new DataView(ram.buffer as ArrayBuffer)
      const a = 0x1000 + i
      view.setUint32(i, 0x85f6a7b8, true)
      view.setUint32(i + 4, 0x81223344, true)
      expect([ram.readU8(a), ram.readI8(a)]).toEqual([0xb8, 0xb8 - 256])
      expect([ram.readU16(a), ram.readI16(a)]).toEqual([0xa7b8, 0xa7b8 - 65536])
      expect([ram.readU32(a), ram.readI32(a)]).toEqual([0x85f6a7b8, 0x85f6a7b8 - 2 ** 32])
      expect([ram.readU64Lo(a), ram.readU64Hi(a)]).toEqual([0x85f6a7b8, 0x81223344])
      expect(ram.readBigU64(a)).toBe(0x8122334485f6a7b8n)
      expect(ram.readF32(a)).toBe(view.getFloat32(i, true))
      expect(ram.readF64(a)).toBe(view.getFloat64(i, true))
    }
  })

  it('writes as a DataView does, out of range values too', () => {
    const values = [0, -1, 1.9, -1.9, 255, 256, 65537, 2 ** 32 + 5, -(2 ** 31), 2 ** 53, 1e300]
    values.push(Number.NaN, Number.POSITIVE_INFINITY, -0)
    const expected = new DataView(new ArrayBuffer(0x1000))
    const ram = new PhysicalMemory({ size: 0x1000, base: 0x1000 })
    const bytes = ram.bytes(0x1000, 0x1000)
    values.forEach((value, i) => {
      const at = i * 100
      const to = 0x1000 + at
      expected.setUint8(at, value)
      ram.writeU8(to, value)
      expected.setInt8(at + 1, value)
      ram.writeI8(to + 1, value)
      expected.setUint16(at + 3, value, true)
      ram.writeU16(to + 3, value)
      expected.setInt16(at + 5, value, true)
      ram.writeI16(to + 5, value)
      expected.setUint32(at + 7, value, true)
      ram.writeU32(to + 7, value)
      expected.setInt32(at + 11, value, true)
      ram.writeI32(to + 11, value)
      expected.setFloat32(at + 15, value, true)
      ram.writeF32(to + 15, value)
      expected.setFloat64(at + 19, value, true)
      ram.writeF64(to + 19, value)
      expected.setUint32(at + 27, value, true)
      expected.setUint32(at + 31, -value, true)
      ram.writeU64(to + 27, -value, value)
    })
    expect(bytes).toEqual(new Uint8Array(expected.buffer))
  })

  it('writes 64-bit words from a BigInt, cut to 64 bits', () => {
    const ram = new PhysicalMemory({ size: 0x1000 })
    ram.writeBigU64(8, -2n)
    expect([ram.readU64Hi(8), ram.readU64Lo(8)]).toEqual([0xffffffff, 0xfffffffe])
    ram.writeBigU64(8, (1n << 100n) + 0x1_0000_0002n)
    expect(ram.readBigU64(8)).toBe(0x1_0000_0002n)
    expect(() => ram.writeBigU64(8, 1 as unknown as bigint)).toThrow(InvalidArgument)
    expect(ram.readBigU64(8)).toBe(0x1_0000_0002n)
  })

  it('crosses from one RAM range into the next, and reaches the very last byte', () => {
    const ram = new PhysicalMemory({ map: MAP })
    ram.writeU64(0x1ffd, 0x11223344, 0x55667788)
    expect(ram.readU32(0x1ffe)).toBe(0x44556677)
    ram.writeU8(0x2fff, 9)
    expect(ram.readU8(0x2fff)).toBe(9)
    ram.writeU32(0x5ffc, 7)
    expect(ram.readU32(0x5ffc)).toBe(7)
  })
})

describe('devices', () => {
  function machine() {
    const calls: unknown[][] = []
    const registers = new Map<number, number>()
    const ram = new PhysicalMemory({
      dirtyTracking: true,
      map: [
        { base: 0, size: 0x1000, type: 'usable' },
        {
          base: 0x1000,
          size: 0x1000,
          type: 'device',
          read(offset: number, bytes: DeviceBytes) {
            calls.push(['read', offset, bytes])
            return registers.get(offset) ?? -1
          },
          write(offset: number, bytes: DeviceBytes, value: number) {
            calls.push(['write', offset, bytes, value])
            registers.set(offset, value)
          },
        },
        { base: 0x2000, size: 0x1000, type: 'usable' },
        { base: 0x3000, size: 0x1000, type: 'device' },
      ],
    })
    return { ram, calls, registers }
  }

  it('sees every access with its offset and width', () => {
    const { ram, calls } = machine()
    ram.writeU8(0x1000, 0x1ff)
    ram.writeI16(0x1002, -1)
    ram.writeU32(0x1004, -2)
    ram.writeF32(0x1008, 1)
    expect([ram.readU8(0x1000), ram.readI8(0x1000)]).toEqual([0xff, -1])
    expect([ram.readU16(0x1002), ram.readI16(0x1002)]).toEqual([0xffff, -1])
    expect([ram.readU32(0x1004), ram.readI32(0x1004)]).toEqual([0xfffffffe, -2])
    expect(ram.readF32(0x1008)).toBe(1)
    expect(calls).toEqual([
      ['write', 0, 1, 0xff],
      ['write', 2, 2, 0xffff],
      ['write', 4, 4, 0xfffffffe],
      ['write', 8, 4, 0x3f800000],
      ['read', 0, 1],
      ['read', 0, 1],
      ['read', 2, 2],
      ['read', 2, 2],
      ['read', 4, 4],
      ['read', 4, 4],
      ['read', 8, 4],
    ])
    expect(ram.dirtyCount).toBe(0)
  })

  it('sees 64 bits as two words, the low one first', () => {
    const { ram, calls } = machine()
    ram.writeU64(0x1ff8, -1, 7)
    ram.writeF64(0x1010, -2)
    expect([ram.readU64Lo(0x1ff8), ram.readU64Hi(0x1ff8)]).toEqual([7, 0xffffffff])
    expect(ram.readBigU64(0x1ff8)).toBe(0xffffffff00000007n)
    expect(ram.readF64(0x1010)).toBe(-2)
    expect(calls).toEqual([
      ['write', 0xff8, 4, 7],
      ['write', 0xffc, 4, 0xffffffff],
      ['write', 0x10, 4, 0],
      ['write', 0x14, 4, 0xc0000000],
      ['read', 0xff8, 4],
      ['read', 0xffc, 4],
      ['read', 0xff8, 4],
      ['read', 0xffc, 4],
      ['read', 0x10, 4],
      ['read', 0x14, 4],
    ])
  })

  it('answers are cut to the width of the access', () => {
    const { ram, registers } = machine()
    registers.set(0, 0x123456789a)
    expect([ram.readU8(0x1000), ram.readU16(0x1000), ram.readU32(0x1000)]).toEqual([
      0x9a, 0x789a, 0x3456789a,
    ])
    registers.set(0, 'no' as unknown as number)
    expect(() => ram.readU8(0x1000)).toThrow(InvalidArgument)
  })

  it('rejects accesses that cross an end of the range, before any callback', () => {
    const { ram, calls } = machine()
    for (const address of [0xfff, 0x1fff]) {
      expect(() => ram.readU16(address)).toThrow(InvalidArgument)
      expect(() => ram.writeU64(address, 1, 1)).toThrow(InvalidArgument)
      expect(() => ram.readU64Lo(address)).toThrow(InvalidArgument)
    }
    expect(calls).toEqual([])
  })

  it('rejects bulk operations and accesses without a callback', () => {
    const { ram, calls } = machine()
    const uses = [
      () => ram.fill(0x1000, 4, 0),
      () => ram.copy(0x1000, 0, 4),
      () => ram.copy(0, 0x1000, 4),
      () => ram.compare(0, 0x1000, 4),
      () => ram.bytes(0x1000, 4),
      () => ram.zeroPages(1, 1),
      () => ram.markDirty(0x1000, 4),
      () => ram.readU32(0x3000),
      () => ram.writeU64(0x3000, 1, 1),
    ]
    for (const use of uses) expect(use).toThrow(InvalidArgument)
    expect(calls).toEqual([])
    expect(() => ram.readU8(0x3004)).toThrow('read callback, and the one at 0x3004')
  })

  it('may use RAM and devices inside a callback', () => {
    let ram: PhysicalMemory | null = null
    ram = new PhysicalMemory({
      map: [
        { base: 0, size: 0x1000, type: 'usable' },
        {
          base: 0x1000,
          size: 0x1000,
          type: 'device',
          read: (offset) => {
            ram?.writeF64(0x10, 3.5)
            return offset === 0x100 ? 5 : (ram?.readU32(0x1100) ?? 0) + offset
          },
        },
      ],
    })
    expect(ram.readBigU64(0x1008)).toBe((17n << 32n) | 13n)
    expect(ram.readF64(0x10)).toBe(3.5)
  })
})
