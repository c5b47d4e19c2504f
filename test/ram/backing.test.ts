import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import type { PhysicalMemoryOptions } from '../../src/ram/backing'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { MAP } from './fixtures'

describe('construction', () => {
  it('makes RAM from a size', () => {
    const ram = new PhysicalMemory({ size: 0x3000 })
    expect([ram.size, ram.base, ram.end, ram.hasContent, ram.shared]).toEqual([
      0x3000,
      0,
      0x3000,
      true,
      false,
    ])
    expect(ram.buffer).toBeInstanceOf(ArrayBuffer)
    expect(ram.buffer?.byteLength).toBe(0x3000)
    expect(ram.ranges).toEqual([{ base: 0, size: 0x3000, type: 'usable', node: 0 }])
  })

  it('takes over a buffer without a copy, at a base', () => {
    const buffer = new ArrayBuffer(0x2000)
    const ram = new PhysicalMemory({ buffer, base: 0x80000000 })
    ram.writeU8(0x80000001, 0xab)
    expect(new Uint8Array(buffer)[1]).toBe(0xab)
    expect(ram.buffer).toBe(buffer)
    expect([ram.base, ram.end]).toEqual([0x80000000, 0x80002000])
  })

  it('makes RAM at the top of the address space', () => {
    const base = 2 ** 52 - 0x1000
    const ram = new PhysicalMemory({ size: 0x1000, base })
    ram.writeU64(base + 0xff8, 0x01020304, 0x05060708)
    expect(ram.readBigU64(2 ** 52 - 8)).toBe(0x0102030405060708n)
    expect(() => ram.readU8(2 ** 52)).toThrow(InvalidArgument)
  })

  it('packs the RAM of a map in address order, also into a given buffer', () => {
    const buffer = new ArrayBuffer(0x3001)
    const ram = new PhysicalMemory({ map: [...MAP].reverse(), buffer })
    ram.writeU8(0x1000, 1)
    ram.writeU8(0x2000, 2)
    ram.writeU8(0x5000, 3)
    const bytes = new Uint8Array(buffer)
    expect([bytes[0], bytes[0x1000], bytes[0x2000], bytes[0x3000]]).toEqual([1, 2, 3, 0])
    expect([ram.size, ram.base, ram.end]).toEqual([0x3000, 0x1000, 0x6000])
    expect(ram.ranges.map((range) => range.base)).toEqual([0x1000, 0x2000, 0x5000, 0x6000])
  })

  it('shares RAM between instances over one SharedArrayBuffer', () => {
    const ram = new PhysicalMemory({ size: 0x2000, shared: true, base: 0x1000 })
    const buffer = ram.buffer
    if (!(buffer instanceof SharedArrayBuffer)) throw new Error('not shared')
    const other = new PhysicalMemory({ buffer, base: 0x1000 })
    ram.writeU32(0x1ffe, 0xdeadbeef)
    expect(other.readU32(0x1ffe)).toBe(0xdeadbeef)
    other.copy(0x2000, 0x1ffe, 4)
    expect(ram.readU32(0x2000)).toBe(0xdeadbeef)
    expect([ram.shared, other.shared]).toEqual([true, true])
    expect(new PhysicalMemory({ map: MAP, shared: true }).shared).toBe(true)
  })

  const size = 0x1000
  const buffer = new ArrayBuffer(0x1000)
  const memory = new WebAssembly.Memory({ initial: 1 })
  const bad: [string, unknown, string][] = [
    ['nothing', undefined, 'options is undefined'],
    ['null', null, 'options is null'],
    ['no source', {}, 'one of size, buffer, memory and map'],
    ['no bytes', { size: 0 }, 'size is 0;'],
    ['an unaligned size', { size: 4097 }, 'size is 4097;'],
    ['a size of NaN', { size: Number.NaN }, 'size is NaN;'],
    ['a string as size', { size: '4096' }, 'size is "4096";'],
    ['an unaligned base', { size, base: 12 }, 'base is 12;'],
    ['an end beyond 2^52', { size: 0x2000, base: 2 ** 52 - 4096 }, 'size is 8192;'],
    ['a size beyond the engine', { size: 2 ** 51 }, 'content: false'],
    ['an unaligned buffer', { buffer: new ArrayBuffer(100) }, 'buffer.byteLength is 100;'],
    ['an empty buffer', { buffer: new ArrayBuffer(0) }, 'buffer.byteLength is 0;'],
    ['a view as buffer', { buffer: new Uint8Array(0x1000) }, 'buffer is an object;'],
    ['a buffer too short for its map', { map: MAP, buffer }, 'buffer.byteLength is 4096;'],
    ['something else as memory', { memory: buffer }, 'memory is an object;'],
    ['an empty memory', { memory: new WebAssembly.Memory({ initial: 0 }) }, 'byteLength is 0;'],
    ['size and buffer', { size, buffer }, 'size is 4096; it must be left out'],
    ['size and map', { size, map: MAP }, 'size is 4096; it must be left out'],
    ['base and map', { base: 0, map: MAP }, 'base is 0; it must be left out'],
    ['memory and map', { memory, map: MAP }, 'memory is an object; it must be left out'],
    ['memory and buffer', { memory, buffer }, 'buffer is an object; it must be left out'],
    ['shared and buffer', { shared: true, buffer }, 'shared is true; it must be left out'],
    ['content and buffer', { content: false, buffer }, 'content is false; it must be left out'],
    ['content and memory', { content: false, memory }, 'content is false; it must be left out'],
    ['shared without content', { size, shared: true, content: false }, 'shared is true;'],
    ['a flag that is a number', { size, shared: 1 }, 'shared is 1;'],
    ['a flag that is a string', { size, dirtyTracking: 'no' }, 'dirtyTracking is "no";'],
  ]
  it.each(bad)('rejects %s', (_, options, message) => {
    const make = () => new PhysicalMemory(options as PhysicalMemoryOptions)
    expect(make).toThrow(InvalidArgument)
    expect(make).toThrow(message)
  })

  it('rejects a buffer that could shrink', () => {
    const Resizable = ArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer
    const resizable = new Resizable(0x1000, { maxByteLength: 0x2000 })
    expect(() => new PhysicalMemory({ buffer: resizable })).toThrow('fixed length')
  })
})

describe('content: false', () => {
  const TiB = 2 ** 40
  it('knows addresses of a machine larger than any buffer', () => {
    const ram = new PhysicalMemory({ size: 4 * TiB, content: false })
    expect([ram.size, ram.end, ram.hasContent, ram.buffer, ram.shared]).toEqual([
      4 * TiB,
      4 * TiB,
      false,
      null,
      false,
    ])
    expect(ram.contains(4 * TiB - 1)).toBe(true)
    expect(() => ram.zeroPages(2 ** 30 - 1, 1)).not.toThrow()
    expect(() => ram.zeroPages(2 ** 30, 1)).toThrow(InvalidArgument)
  })

  it('throws for every access to RAM, and serves devices', () => {
    const ram = new PhysicalMemory({
      content: false,
      map: [
        { base: 0, size: TiB, type: 'usable' },
        { base: TiB, size: 0x1000, type: 'device', read: (offset) => offset },
      ],
    })
    const uses = [
      () => ram.readU8(0),
      () => ram.readU32(TiB - 4),
      () => ram.writeU64(0, 1, 1),
      () => ram.fill(0, 1, 1),
      () => ram.fill(0, 0, 1),
      () => ram.copy(0, 8, 8),
      () => ram.compare(0, 8, 8),
      () => ram.bytes(0, 0),
    ]
    for (const use of uses) {
      expect(use).toThrow(InvalidArgument)
      expect(use).toThrow('no content')
    }
    expect(ram.readU32(TiB + 8)).toBe(8)
  })

  it('can still remember dirty pages', () => {
    const ram = new PhysicalMemory({ size: TiB, content: false, dirtyTracking: true })
    ram.markDirty(TiB - 1, 1)
    ram.zeroPages(0, 1)
    expect(ram.dirtyPages()).toEqual([2 ** 28 - 1])
  })
})
