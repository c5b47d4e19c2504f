import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { PhysicalMemory } from '../../src/ram/physicalMemory'
import { BAD_ADDRESSES, MAP, patterned, snapshot } from './fixtures'

type Access = [name: string, bytes: number, run: (ram: PhysicalMemory, address: number) => unknown]

const ACCESSES: Access[] = [
  ['readU8', 1, (ram, a) => ram.readU8(a)],
  ['readI8', 1, (ram, a) => ram.readI8(a)],
  ['readU16', 2, (ram, a) => ram.readU16(a)],
  ['readI16', 2, (ram, a) => ram.readI16(a)],
  ['readU32', 4, (ram, a) => ram.readU32(a)],
  ['readI32', 4, (ram, a) => ram.readI32(a)],
  ['readF32', 4, (ram, a) => ram.readF32(a)],
  ['readF64', 8, (ram, a) => ram.readF64(a)],
  ['readU64Lo', 8, (ram, a) => ram.readU64Lo(a)],
  ['readU64Hi', 8, (ram, a) => ram.readU64Hi(a)],
  ['readBigU64', 8, (ram, a) => ram.readBigU64(a)],
  ['writeU8', 1, (ram, a) => ram.writeU8(a, 1)],
  ['writeI8', 1, (ram, a) => ram.writeI8(a, 1)],
  ['writeU16', 2, (ram, a) => ram.writeU16(a, 1)],
  ['writeI16', 2, (ram, a) => ram.writeI16(a, 1)],
  ['writeU32', 4, (ram, a) => ram.writeU32(a, 1)],
  ['writeI32', 4, (ram, a) => ram.writeI32(a, 1)],
  ['writeF32', 4, (ram, a) => ram.writeF32(a, 1)],
  ['writeF64', 8, (ram, a) => ram.writeF64(a, 1)],
  ['writeU64', 8, (ram, a) => ram.writeU64(a, 1, 1)],
  ['writeBigU64', 8, (ram, a) => ram.writeBigU64(a, 1n)],
  ['fill', 16, (ram, a) => ram.fill(a, 16, 1)],
  ['copy to', 16, (ram, a) => ram.copy(a, 0x1100, 16)],
  ['copy from', 16, (ram, a) => ram.copy(0x1100, a, 16)],
  ['compare a', 16, (ram, a) => ram.compare(a, 0x1100, 16)],
  ['compare b', 16, (ram, a) => ram.compare(0x1100, a, 16)],
  ['bytes', 16, (ram, a) => ram.bytes(a, 16)],
  ['markDirty', 16, (ram, a) => ram.markDirty(a, 16)],
  ['zeroPages', 4096, (ram, a) => ram.zeroPages(a / 4096, 1)],
  ['isDirty', 1, (ram, a) => ram.isDirty(a)],
]

describe.each(ACCESSES)('wrong addresses: %s', (name, bytes, run) => {
  const options = { map: MAP, dirtyTracking: true }

  it('rejects what is no address', () => {
    const ram = patterned(options)
    const before = snapshot(ram)
    for (const address of BAD_ADDRESSES) {
      // A page frame number is computed from the address here, so only numbers make sense.
      if (name === 'zeroPages' && typeof address !== 'number') continue
      expect(() => run(ram, address as number), String(address)).toThrow(InvalidArgument)
    }
    expect(snapshot(ram)).toEqual(before)
    expect(ram.dirtyCount).toBe(0)
  })

  it('rejects bytes outside RAM, wholly or in part', () => {
    const ram = patterned(options)
    const before = snapshot(ram)
    const outside = [0, 0x3000, 0x4000, 0x7000, 2 ** 40]
    const partly = [0x1000 - 1, 0x3001 - bytes, 0x5000 - 1, 0x6001 - bytes, 0x7001 - bytes]
    if (name !== 'zeroPages' && bytes > 1) outside.push(...partly)
    for (const address of outside) {
      expect(() => run(ram, address), address.toString(16)).toThrow(InvalidArgument)
      if (name !== 'zeroPages') {
        expect(() => run(ram, address)).toThrow(`0x${address.toString(16)}`)
      }
    }
    expect(snapshot(ram)).toEqual(before)
    expect(ram.dirtyCount).toBe(0)
  })

  it('still works right afterwards', () => {
    const ram = patterned(options)
    expect(() => run(ram, 0x3000)).toThrow(InvalidArgument)
    expect(() => run(ram, 0x1000)).not.toThrow()
    expect(() => run(ram, 0x5000)).not.toThrow()
  })
})

describe('wrong values and lengths', () => {
  const wrong = ['1', 1n, null, undefined, {}] as unknown as number[]
  it.each(wrong.map((value) => [value]))('rejects the value %s and changes nothing', (value) => {
    const ram = patterned()
    const before = snapshot(ram)
    const writes = [
      () => ram.writeU8(0x1000, value),
      () => ram.writeI8(0x1000, value),
      () => ram.writeU16(0x1000, value),
      () => ram.writeI16(0x1000, value),
      () => ram.writeU32(0x1000, value),
      () => ram.writeI32(0x1000, value),
      () => ram.writeF32(0x1000, value),
      () => ram.writeF64(0x1000, value),
      () => ram.writeU64(0x1000, value, 1),
      () => ram.writeU64(0x1000, 1, value),
      () => ram.fill(0x1000, 4, value),
    ]
    for (const write of writes) expect(write).toThrow(InvalidArgument)
    expect(snapshot(ram)).toEqual(before)
  })

  const lengths = [Number.NaN, -1, 0.5, 2 ** 53, '4', 4n, null, undefined] as unknown as number[]
  it.each(lengths.map((value) => [value]))('rejects the length %s', (length) => {
    const ram = patterned({ size: 0x1000, base: 0x1000, dirtyTracking: true })
    const before = snapshot(ram)
    const calls = [
      () => ram.fill(0x1000, length, 0),
      () => ram.copy(0x1000, 0x1800, length),
      () => ram.compare(0x1000, 0x1800, length),
      () => ram.bytes(0x1000, length),
      () => ram.markDirty(0x1000, length),
      () => ram.zeroPages(1, length),
      () => ram.zeroPages(length, 1),
    ]
    for (const call of calls) expect(call).toThrow(InvalidArgument)
    if (length !== undefined) {
      expect(() => ram.dirtyPages(0, length)).toThrow(InvalidArgument)
      expect(() => ram.clearDirty(0, length)).toThrow(InvalidArgument)
    }
    expect(snapshot(ram)).toEqual(before)
    expect(ram.dirtyCount).toBe(0)
  })
})
