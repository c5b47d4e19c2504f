/** Adding, reserving, removing, freeing and trimming ranges, and the worked example. */

import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { MAX_NUMNODES, PHYS_ADDR_MAX } from '../../src/boot/memblockRegions'
import { verifyMemblock } from '../../src/boot/memblockVerify'
import { bootFixtures } from '../zone/bootFixture'
import { expectReserved, memoryOf, type Pair, reservedOf, stateOf } from './fixtures'

const KIB = 1024
const MIB = 1048576
const DUMMY = [{ base: 0, size: 0, flags: 0, nid: MAX_NUMNODES }]

describe('a new memblock', () => {
  it('holds placeholders and searches from the top', () => {
    const m = new Memblock()
    expect(m.memoryRegions).toEqual(DUMMY)
    expect(m.reservedRegions).toEqual(DUMMY)
    expect([m.memoryArray.max, m.reservedArray.max]).toEqual([128, 128])
    expect([m.memoryArray.name, m.reservedArray.name]).toEqual(['memory', 'reserved'])
    expect(m.bottomUp).toBe(false)
    expect(m.currentLimit).toBe(PHYS_ADDR_MAX)
    expect([m.memory, m.reserved]).toEqual([[], []])
    expect(verifyMemblock(m)).toEqual([])
  })

  it('lets the direction be set', () => {
    const m = new Memblock()
    m.bottomUp = true
    expect(m.bottomUp).toBe(true)
    m.bottomUp = false
    expect(m.bottomUp).toBe(false)
  })

  it('takes other numbers of slots', () => {
    const m = new Memblock({ maxRegions: 1024, maxReservedRegions: 133 })
    expect([m.memoryArray.max, m.reservedArray.max]).toEqual([1024, 133])
  })
})

// Adding memory and reserving are one operation on two arrays; so are removing memory and freeing.
const types = [
  {
    name: 'memory',
    put: (m: Memblock, base: number, size: number) => m.add(base, size),
    take: (m: Memblock, base: number, size: number) => m.remove(base, size),
    list: memoryOf,
    total: (m: Memblock) => m.physMemSize(),
  },
  {
    name: 'reserved',
    put: (m: Memblock, base: number, size: number) => m.reserve(base, size),
    take: (m: Memblock, base: number, size: number) => m.free(base, size),
    list: reservedOf,
    total: (m: Memblock) => m.reservedSize(),
  },
]

describe.each(types)('$name', ({ put, take, list, total }) => {
  const build = (ranges: readonly Pair[]): Memblock => {
    const m = new Memblock()
    for (const [base, size] of ranges) expect(put(m, base, size)).toBe(true)
    return m
  }
  const expectRanges = (m: Memblock, ranges: readonly Pair[]): void => {
    expect(verifyMemblock(m)).toEqual([])
    expect(list(m)).toEqual(ranges)
    expect(total(m)).toBe(ranges.reduce((sum, [, size]) => sum + size, 0))
  }
  const G = 1024 * MIB

  it.each<[string, readonly Pair[], readonly Pair[]]>([
    ['one range', [[G, 4 * MIB]], [[G, 4 * MIB]]],
    [
      'two apart',
      [
        [G, 8 * KIB],
        [G + 16 * KIB, 8 * KIB],
      ],
      [
        [G, 8 * KIB],
        [G + 16 * KIB, 8 * KIB],
      ],
    ],
    [
      'the lower one second',
      [
        [G, 8 * KIB],
        [8192, 4096],
      ],
      [
        [8192, 4096],
        [G, 8 * KIB],
      ],
    ],
    [
      'overlap at the bottom',
      [
        [512 * MIB, G],
        [256 * MIB, 512 * MIB],
      ],
      [[256 * MIB, 1280 * MIB]],
    ],
    [
      'overlap at the top',
      [
        [512 * MIB, G],
        [G, 768 * MIB],
      ],
      [[512 * MIB, 1280 * MIB]],
    ],
    [
      'contained',
      [
        [8 * MIB, 32 * MIB],
        [16 * MIB, MIB],
      ],
      [[8 * MIB, 32 * MIB]],
    ],
    [
      'containing',
      [
        [16 * MIB, MIB],
        [8 * MIB, 32 * MIB],
      ],
      [[8 * MIB, 32 * MIB]],
    ],
    [
      'the same twice',
      [
        [16 * KIB, 2 * MIB],
        [16 * KIB, 2 * MIB],
      ],
      [[16 * KIB, 2 * MIB]],
    ],
    [
      'a third that fills the gap',
      [
        [G, 8 * KIB],
        [G + 16 * KIB, 8 * KIB],
        [G + 8 * KIB, 8 * KIB],
      ],
      [[G, 24 * KIB]],
    ],
    [
      'one over several and their gaps',
      [
        [0x1000, 16],
        [0x2000, 16],
        [0x3000, 16],
        [0x800, 0x3000],
      ],
      [[0x800, 0x3000]],
    ],
    ['past the maximum', [[PHYS_ADDR_MAX - MIB, 2 * MIB]], [[PHYS_ADDR_MAX - MIB, MIB]]],
    ['everything', [[0, PHYS_ADDR_MAX]], [[0, PHYS_ADDR_MAX]]],
  ])('adds: %s', (_name, ranges, result) => {
    expectRanges(build(ranges), result)
  })

  const two: readonly Pair[] = [
    [16 * MIB, 4 * MIB],
    [32 * MIB, 8 * MIB],
  ]
  it.each<[string, readonly Pair[], Pair, readonly Pair[]]>([
    ['one of two', two, [16 * MIB, 4 * MIB], [[32 * MIB, 8 * MIB]]],
    [
      'the middle one',
      [...two, [64 * MIB, MIB]],
      [32 * MIB, 8 * MIB],
      [
        [16 * MIB, 4 * MIB],
        [64 * MIB, MIB],
      ],
    ],
    ['what is absent', two, [20 * MIB, 12 * MIB], two],
    ['below all', two, [0, 16 * MIB], two],
    ['overlap at the top', [[32 * MIB, 32 * MIB]], [16 * MIB, 32 * MIB], [[48 * MIB, 16 * MIB]]],
    ['overlap at the bottom', [[2 * MIB, 64 * MIB]], [32 * MIB, 256 * MIB], [[2 * MIB, 30 * MIB]]],
    [
      'inside: splits',
      [[MIB, 8 * MIB]],
      [3 * MIB, MIB],
      [
        [MIB, 2 * MIB],
        [4 * MIB, 5 * MIB],
      ],
    ],
    [
      'past the maximum',
      [[PHYS_ADDR_MAX - 2 * MIB, 2 * MIB]],
      [PHYS_ADDR_MAX - MIB, 2 * MIB],
      [[PHYS_ADDR_MAX - 2 * MIB, MIB]],
    ],
    [
      'across two',
      two,
      [18 * MIB, 18 * MIB],
      [
        [16 * MIB, 2 * MIB],
        [36 * MIB, 4 * MIB],
      ],
    ],
  ])('takes away: %s', (_name, ranges, [base, size], result) => {
    const m = build(ranges)
    expect(take(m, base, size)).toBe(true)
    expectRanges(m, result)
  })

  it('is left with the placeholder, which the next range replaces', () => {
    const m = build([[2048, 4096]])
    expect(take(m, 2048, 4096)).toBe(true)
    expectRanges(m, [[0, 0]])
    expect(take(m, 0, PHYS_ADDR_MAX)).toBe(true)
    expectRanges(m, [[0, 0]])
    put(m, 64, 64)
    expectRanges(m, [[64, 64]])
  })

  it('ignores ranges without bytes', () => {
    const m = build(two)
    const before = stateOf(m)
    expect([put(m, 17 * MIB, 0), take(m, 17 * MIB, 0), put(m, PHYS_ADDR_MAX, 5)]).toEqual([
      true,
      true,
      true,
    ])
    expect(stateOf(m)).toBe(before)
  })
})

describe('nodes and flags', () => {
  it('are those of the first to add a range', () => {
    const log: string[] = []
    const m = new Memblock({ log: (line) => log.push(line) })
    m.addNode(0x4000, 0x1000, 1, 1)
    m.addNode(0x2000, 0x4000, 2, 0)
    expect(m.memoryRegions).toEqual([
      { base: 0x2000, size: 0x2000, flags: 0, nid: 2 },
      { base: 0x4000, size: 0x1000, flags: 1, nid: 1 },
      { base: 0x5000, size: 0x1000, flags: 0, nid: 2 },
    ])
    expect(log).toHaveLength(1)
    expect(log[0]).toContain('0x0000000000004000 keeps nid=1 flags=1')
  })

  it('are not warned of when nothing is added below the region', () => {
    const log: string[] = []
    const m = new Memblock({ log: (line) => log.push(line) })
    m.addNode(0x4000, 0x1000, 1)
    m.addNode(0x4800, 0x4000, 2)
    m.addNode(0x1000, 0x3000, 2)
    expect(log).toEqual([])
  })

  it('keep touching regions apart until they are equal', () => {
    const m = new Memblock()
    m.addNode(0x1000, 0x1000, 0)
    m.addNode(0x2000, 0x1000, 1)
    m.addNode(0x3000, 0x1000, 1, 4)
    expect(m.memoryRegions).toHaveLength(3)
    m.clearNomap(0x3000, 0x1000)
    expect(m.memoryRegions).toHaveLength(2)
    m.setNode(0, PHYS_ADDR_MAX, 'memory', 3)
    expect(m.memoryRegions).toEqual([{ base: 0x1000, size: 0x3000, flags: 0, nid: 3 }])
  })

  it('are set in part of a region, which splits it', () => {
    const m = new Memblock()
    m.add(0x1000, 0x4000)
    m.markHotplug(0x2000, 0x1000)
    m.setNode(0x2800, 0x1000, 'memory', 5)
    expect(m.memoryRegions).toEqual([
      { base: 0x1000, size: 0x1000, flags: 0, nid: 64 },
      { base: 0x2000, size: 0x800, flags: 1, nid: 64 },
      { base: 0x2800, size: 0x800, flags: 1, nid: 5 },
      { base: 0x3000, size: 0x800, flags: 0, nid: 5 },
      { base: 0x3800, size: 0x1800, flags: 0, nid: 64 },
    ])
    m.clearHotplug(0, 0x10000)
    m.setNode(0, 0x10000, 'memory', -1)
    expect(memoryOf(m)).toEqual([[0x1000, 0x4000]])
    expect(m.memoryRegions[0]?.nid).toBe(64)
  })

  it('of reservations are set as those of memory', () => {
    const m = new Memblock()
    m.reserve(0x1000, 0x2000)
    m.setNode(0x1000, 0x1000, 'reserved', 1)
    expect(m.reservedRegions.map(({ nid }) => nid)).toEqual([1, 64])
    expect(m.memory).toEqual([])
    expect(m.reserved).toEqual([
      { base: 0x1000, size: 0x1000, flags: 0, node: 1 },
      { base: 0x2000, size: 0x1000, flags: 0 },
    ])
  })

  it('do not touch an empty array', () => {
    const m = new Memblock()
    expect(m.markNomap(0, PHYS_ADDR_MAX)).toBe(true)
    expect(m.setNode(0, PHYS_ADDR_MAX, 'memory', 1)).toBe(true)
    expect(m.memoryRegions).toEqual(DUMMY)
  })
})

describe('trimMemory', () => {
  it('leaves aligned regions alone', () => {
    const m = new Memblock()
    m.add(0x10000, 0x1000)
    m.add(0x20000, 0x8000)
    m.trimMemory(4096)
    expect(memoryOf(m)).toEqual([
      [0x10000, 0x1000],
      [0x20000, 0x8000],
    ])
  })

  it('deletes a region without a whole unit, and takes it off the total', () => {
    const m = new Memblock()
    m.add(0x10000, 0x1000)
    m.add(0x20800, 0x1000)
    m.trimMemory(4096)
    expect(memoryOf(m)).toEqual([[0x10000, 0x1000]])
    expect(m.physMemSize()).toBe(0x1000)
    expect(verifyMemblock(m)).toEqual([])
  })

  it.each<[string, Pair, Pair]>([
    ['base', [0x20010, 0x1ff0], [0x21000, 0x1000]],
    ['end', [0x20000, 0x1ff0], [0x20000, 0x1000]],
    ['base and end', [0x20010, 0x2fe0], [0x21000, 0x1000]],
  ])('shrinks an unaligned %s, and leaves the total as it was', (_name, [base, size], result) => {
    const m = new Memblock()
    m.add(base, size)
    m.trimMemory(4096)
    expect(memoryOf(m)).toEqual([result])
    expect(m.physMemSize()).toBe(size)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('forgets the excess with the last region', () => {
    const m = new Memblock()
    m.add(0x20010, 0x2000)
    m.trimMemory(4096)
    m.remove(0, PHYS_ADDR_MAX)
    expect(verifyMemblock(m)).toEqual([])
    m.add(0x1000, 0x1000)
    expect(m.physMemSize()).toBe(0x1000)
    expect(verifyMemblock(m)).toEqual([])
  })

  it('may delete everything', () => {
    const m = new Memblock()
    m.add(0x10, 0x10)
    m.add(0x110, 0x10)
    m.trimMemory(2 ** 52)
    expect(m.memoryRegions).toEqual(DUMMY)
    m.trimMemory(4096)
    expect(m.memoryRegions).toEqual(DUMMY)
  })
})

describe('the worked example', () => {
  const build = (): Memblock => {
    const m = new Memblock()
    m.add(0, 0x9fc00)
    m.add(0x100000, 0x7ee0000)
    m.trimMemory(4096)
    m.reserve(0, 0x10000)
    m.reserve(0x1000000, 0xa00000)
    return m
  }

  it('gives the addresses of the kernel', () => {
    const m = build()
    expect(memoryOf(m)).toEqual([
      [0, 0x9f000],
      [0x100000, 0x7ee0000],
    ])
    expect(m.physMemSize()).toBe(0x7f7fc00)
    expect(m.physAlloc(0x1000, 0x1000)).toBe(0x7fdf000)
    expect(m.physAlloc(0x18, 0x40)).toBe(0x7fdefc0)
    expect(m.physAlloc(0x100, 0x40)).toBe(0x7fdeec0)
    expect(m.physAllocRange(0x8000, 0x4000, 0, 0x100000)).toBe(0x94000)
    expectReserved(m, [
      [0, 0x10000],
      [0x94000, 0x8000],
      [0x1000000, 0xa00000],
      [0x7fdeec0, 0x118],
      [0x7fdf000, 0x1000],
    ])
    m.bottomUp = true
    expect(m.physAlloc(0x1000, 0x1000)).toBe(0x10000)
    expect(m.physAlloc(0x600000, 0x200000)).toBe(0x200000)
    expect(m.physAlloc(0x800000, 0x200000)).toBe(0x800000)
    m.bottomUp = false
    m.free(0x7fdef00, 0x80)
    expect(reservedOf(m).slice(-3)).toEqual([
      [0x7fdeec0, 0x40],
      [0x7fdef80, 0x58],
      [0x7fdf000, 0x1000],
    ])
    expect(m.physAlloc(0x40, 0x40)).toBe(0x7fdef40)
    expect(reservedOf(m).slice(-2)).toEqual([
      [0x7fdef40, 0x98],
      [0x7fdf000, 0x1000],
    ])
    expect(verifyMemblock(m)).toEqual([])
  })
})

describe('recorded memory maps', () => {
  it.each(bootFixtures())('%s is rebuilt from its ranges in any order', (_name, boot) => {
    const m = new Memblock()
    const memory = boot.memblock.memory.map((r) => ({ base: +r.base, size: +r.size, node: r.node }))
    const reserved = boot.memblock.reserved.map((r) => ({ base: +r.base, size: +r.size }))
    for (const r of [...memory].reverse()) m.addNode(r.base, r.size, r.node)
    const halves = [0, 1].flatMap((odd) => reserved.filter((_, i) => i % 2 === odd))
    for (const r of halves) m.reserve(r.base, r.size)
    expect(m.memory).toEqual(memory.map((r) => ({ ...r, flags: 0 })))
    // Recorded without their nodes: neighbours that the kernel kept apart for their nodes are one here.
    const joined: { base: number; size: number; flags: number }[] = []
    for (const r of reserved) {
      const last = joined.at(-1)
      if (last !== undefined && last.base + last.size === r.base) last.size += r.size
      else joined.push({ ...r, flags: 0 })
    }
    expect(m.reserved).toEqual(joined)
  })
})
