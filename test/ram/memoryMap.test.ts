import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  lastAtOrBelow,
  type MemoryRange,
  packExtents,
  resolveMap,
  singleRange,
} from '../../src/ram/memoryMap'

const usable = (base: number, size: number): MemoryRange => ({ base, size, type: 'usable' })

describe('resolveMap', () => {
  it('sorts, fills in the node and freezes copies', () => {
    const given: MemoryRange[] = [{ ...usable(0x4000, 0x1000), node: 1 }, usable(0, 0x1000)]
    const ranges = resolveMap(given)
    expect(ranges).toEqual([
      { base: 0, size: 0x1000, type: 'usable', node: 0 },
      { base: 0x4000, size: 0x1000, type: 'usable', node: 1 },
    ])
    expect(Object.isFrozen(ranges)).toBe(true)
    expect(ranges.every((range) => Object.isFrozen(range))).toBe(true)
    expect(given[0]?.base).toBe(0x4000)
  })

  it('keeps the object of a device as the this of its callbacks', () => {
    class Counter {
      readonly base = 0x1000
      readonly size = 0x1000
      readonly type = 'device' as const
      reads = 0
      read(): number {
        return ++this.reads
      }
    }
    const counter = new Counter()
    const device = resolveMap([usable(0, 0x1000), counter])[1]
    if (device?.type !== 'device') throw new Error('not a device')
    expect(device.read?.(0, 4)).toBe(1)
    expect(counter.reads).toBe(1)
    expect(device.write).toBeUndefined()
  })

  it('names both ranges of an overlap', () => {
    const overlap = () => resolveMap([usable(0, 0x3000), { ...usable(0x2000, 0x1000) }])
    expect(overlap).toThrow(InvalidArgument)
    expect(overlap).toThrow('usable [0x0, 0x3000) overlaps usable [0x2000, 0x3000)')
    expect(() => resolveMap([usable(0, 0x2000), usable(0x2000, 0x1000)])).not.toThrow()
  })

  const bad: [string, unknown, string][] = [
    ['no array', 'map', 'map is "map"'],
    ['no ranges', [], 'at least one range of RAM'],
    ['devices only', [{ base: 0, size: 0x1000, type: 'device' }], 'at least one range of RAM'],
    ['a range that is null', [null], 'map[0] is null'],
    ['an unknown type', [{ base: 0, size: 0x1000, type: 'rom' }], 'map[0].type is "rom"'],
    ['an unaligned base', [usable(1, 0x1000)], 'map[0].base is 1;'],
    ['a negative base', [usable(-0x1000, 0x1000)], 'map[0].base is -4096;'],
    ['a fractional base', [usable(0.5, 0x1000)], 'map[0].base is 0.5;'],
    ['a base of NaN', [usable(Number.NaN, 0x1000)], 'map[0].base is NaN;'],
    ['a base of 2^52', [usable(2 ** 52, 0x1000)], 'map[0].base'],
    ['a base of 2^53', [usable(2 ** 53, 0x1000)], 'map[0].base'],
    ['a string as base', [{ base: '0', size: 0x1000, type: 'usable' }], 'map[0].base is "0"'],
    ['no bytes', [usable(0, 0)], 'map[0].size is 0;'],
    ['an unaligned size', [usable(0, 100)], 'map[0].size is 100;'],
    ['an infinite size', [usable(0, Number.POSITIVE_INFINITY)], 'map[0].size is Infinity;'],
    ['an end beyond 2^52', [usable(2 ** 52 - 4096, 0x2000)], 'map[0].size is 8192;'],
    ['a node that is negative', [{ ...usable(0, 0x1000), node: -1 }], 'map[0].node is -1;'],
    ['a node that is a fraction', [{ ...usable(0, 0x1000), node: 0.5 }], 'map[0].node is 0.5;'],
    ['a node that is too large', [{ ...usable(0, 0x1000), node: 1024 }], 'map[0].node is 1024;'],
    [
      'a callback that is no function',
      [usable(0, 0x1000), { base: 0x1000, size: 0x1000, type: 'device', read: 1 }],
      'map[1].read is 1;',
    ],
  ]
  it.each(bad)('rejects %s', (_, map, message) => {
    const resolve = () => resolveMap(map as MemoryRange[])
    expect(resolve).toThrow(InvalidArgument)
    expect(resolve).toThrow(message)
  })
})

describe('singleRange', () => {
  it('allows the very last page below 2^52', () => {
    expect(singleRange(2 ** 52 - 4096, 4096)[0]?.base).toBe(2 ** 52 - 4096)
  })

  it('names its arguments without a prefix', () => {
    expect(() => singleRange(8, 4096)).toThrow(/^base is 8;/)
    expect(() => singleRange(0, 8)).toThrow(/^size is 8;/)
  })
})

describe('packExtents', () => {
  it('joins touching RAM and leaves out holes and devices', () => {
    const ranges = resolveMap([
      usable(0x1000, 0x1000),
      { base: 0x2000, size: 0x2000, type: 'reserved', node: 1 },
      { base: 0x4000, size: 0x1000, type: 'device' },
      usable(0x5000, 0x1000),
      usable(0x8000, 0x3000),
    ])
    expect(packExtents(ranges)).toEqual([
      { base: 0x1000, size: 0x3000, offset: 0 },
      { base: 0x5000, size: 0x1000, offset: 0x3000 },
      { base: 0x8000, size: 0x3000, offset: 0x4000 },
    ])
  })
})

describe('lastAtOrBelow', () => {
  it('agrees with a linear search, whatever the length', () => {
    for (let length = 0; length <= 9; length++) {
      const items = Array.from({ length }, (_, i) => ({ base: 10 + i * 10 }))
      for (let address = 0; address < 115; address++) {
        const expected = items.filter((item) => item.base <= address).pop() ?? null
        expect(lastAtOrBelow(items, address)).toBe(expected)
      }
    }
  })
})
