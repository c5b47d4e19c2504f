/** Placement of allocations without nodes: the kernel's own test cases, in both directions. */

import { describe, expect, it } from 'vitest'
import {
  MEMBLOCK_ALLOC_ACCESSIBLE,
  MEMBLOCK_ALLOC_ANYWHERE,
  Memblock,
} from '../../src/boot/memblock'
import {
  A,
  END,
  expectReserved,
  MEM,
  type Pair,
  reservedOf,
  START,
  small,
  stateOf,
} from './fixtures'

const up = (m: Memblock): Memblock => {
  m.bottomUp = true
  return m
}
const allocs = [
  ['alloc', (m: Memblock, size: number) => m.alloc(size, A)],
  ['allocRaw', (m: Memblock, size: number) => m.allocRaw(size, A)],
  ['physAlloc', (m: Memblock, size: number) => m.physAlloc(size, A)],
  ['physAllocTryNid', (m: Memblock, size: number) => m.physAllocTryNid(size, A, -1)],
  ['allocNode', (m: Memblock, size: number) => m.allocNode(size, A, -1)],
] as const

describe.each(allocs)('%s', (_name, alloc) => {
  it.each<[string, readonly Pair[], number, number, readonly Pair[]]>([
    ['2 bytes at the end', [], 2, END - A, [[END - A, 2]]],
    [
      'below a misaligned neighbour, apart from it',
      [[END - A + 1, A - 1]],
      2,
      END - 2 * A,
      [
        [END - 2 * A, 2],
        [END - A + 1, A - 1],
      ],
    ],
    [
      'exact room above: merges',
      [[END - 4 * A, 2 * A]],
      2 * A,
      END - 2 * A,
      [[END - 4 * A, 4 * A]],
    ],
    [
      'no room above: below the neighbour',
      [[END - 4 * A, 3 * A]],
      2 * A,
      END - 6 * A,
      [[END - 6 * A, 5 * A]],
    ],
    [
      'gap too small: below',
      [
        [END - 2 * A, 2 * A],
        [END - 5 * A, 2 * A],
      ],
      2 * A,
      END - 7 * A,
      [
        [END - 7 * A, 4 * A],
        [END - 2 * A, 2 * A],
      ],
    ],
    [
      'gap exactly filled: all merge',
      [
        [END - 2 * A, 2 * A],
        [END - 6 * A, 2 * A],
      ],
      2 * A,
      END - 4 * A,
      [[END - 6 * A, 6 * A]],
    ],
    ['the last 256 bytes', [[START, MEM - 256]], 256, END - 256, [[START, MEM]]],
    ['everything', [], MEM, START, [[START, MEM]]],
  ])('top-down: %s', (_case, reserved, size, address, result) => {
    const m = small(reserved)
    expect(alloc(m, size)).toBe(address)
    expectReserved(m, result)
  })

  it.each<[string, readonly Pair[], number, number, readonly Pair[]]>([
    ['2 bytes at the start', [], 2, START, [[START, 2]]],
    [
      'above a misaligned neighbour, apart from it',
      [[START, A - 1]],
      2,
      START + A,
      [
        [START, A - 1],
        [START + A, 2],
      ],
    ],
    ['exact room below: merges', [[START + 2 * A, A]], 2 * A, START, [[START, 3 * A]]],
    [
      'no room below: above the neighbour',
      [[START + A, 3 * A]],
      2 * A,
      START + 4 * A,
      [[START + A, 5 * A]],
    ],
    [
      'gap too small: above',
      [
        [START, 2 * A],
        [START + 3 * A, 2 * A],
      ],
      2 * A,
      START + 5 * A,
      [
        [START, 2 * A],
        [START + 3 * A, 4 * A],
      ],
    ],
    [
      'gap exactly filled: all merge',
      [
        [START, 2 * A],
        [START + 4 * A, 2 * A],
      ],
      2 * A,
      START + 2 * A,
      [[START, 6 * A]],
    ],
    ['the last 256 bytes', [[START + 256, MEM - 256]], 256, START, [[START, MEM]]],
    ['everything', [], MEM, START, [[START, MEM]]],
  ])('bottom-up: %s', (_case, reserved, size, address, result) => {
    const m = up(small(reserved))
    expect(alloc(m, size)).toBe(address)
    expectReserved(m, result)
  })

  const gaps: Pair[] = []
  for (let at = START; at < END; at += 4 * A) gaps.push([at, 3 * A])
  it.each<[string, () => Memblock, number]>([
    ['all gaps too small', () => small(gaps), 2 * A],
    ['everything reserved', () => small([[START, MEM]]), 1],
    ['everything but too little reserved', () => small([[START, MEM - 128]]), 129],
    ['no memory', () => new Memblock(), 1],
    ['too large', () => small(), MEM + 1],
    ['as large as can be', () => small(), Number.MAX_SAFE_INTEGER],
  ])('changes nothing and is null: %s', (_case, build, size) => {
    for (const m of [build(), up(build())]) {
      const before = stateOf(m)
      expect(alloc(m, size)).toBeNull()
      expect(stateOf(m)).toBe(before)
    }
  })
})

describe('allocFrom', () => {
  const at = (m: Memblock, size: number, min: number): number | null => m.allocFrom(size, A, min)

  it('takes the top (bottom-up: the minimum, rounded up) if there is room', () => {
    expect(at(small(), 16, END - A)).toBe(END - A)
    expect(at(up(small()), 16, START + 2 * A)).toBe(START + 2 * A)
    expect(at(small(), 32, END - 2 * A + 1)).toBe(END - A)
    expect(at(up(small()), 32, START + 2 * A + 1)).toBe(START + 3 * A)
  })

  it('falls below a minimum that is too near the end', () => {
    expect(at(small(), 2 * A, END - A)).toBe(END - 2 * A)
    expect(at(up(small()), 2 * A, END - A)).toBe(START)
    expect(at(small(), A, END - A + 1)).toBe(END - A)
    expect(at(up(small()), A, END - A + 1)).toBe(START)
  })

  it('falls below a minimum above which nothing is free', () => {
    const taken: Pair[] = [[END - 4 * A, 4 * A]]
    const m = small(taken)
    expect(at(m, 2 * A, END - 4 * A)).toBe(END - 6 * A)
    expectReserved(m, [[END - 6 * A, 6 * A]])
    expect(at(up(small(taken)), 2 * A, END - 4 * A)).toBe(START)
  })

  it('takes a minimum below memory as the start of memory', () => {
    const rest: Pair[] = [[START + 2 * A, MEM - 2 * A]]
    expect(at(small(rest), 2 * A, START - 4096)).toBe(START)
    expect(at(up(small()), 2 * A, START - 4096)).toBe(START)
    expect(at(small(), 2 * A, START - 4096)).toBe(END - 2 * A)
  })
})

const ranged = [
  ['allocTryNid', 'allocTryNid'],
  ['allocTryNidRaw', 'allocTryNidRaw'],
  ['allocExactNid', 'allocExactNid'],
  ['allocExactNidRaw', 'allocExactNidRaw'],
] as const

describe.each(ranged)('%s without a node', (_name, method) => {
  const at = (m: Memblock, size: number, min: number, max: number): number | null =>
    m[method](size, A, min, max, -1)
  const LOW = START + 2 * A
  const HIGH = START + 32 * A

  it('ends at max, rounded down', () => {
    expect(at(small(), 2 * A, LOW, HIGH)).toBe(HIGH - 2 * A)
    expect(at(small(), 2 * A, LOW, HIGH + 5)).toBe(HIGH - 2 * A)
    expect(at(small(), 2 * A, LOW, HIGH - 5)).toBe(HIGH - 3 * A)
    expect(at(small(), A + 1, LOW, HIGH - 5)).toBe(HIGH - 2 * A)
  })

  it('bottom-up starts at min, rounded up', () => {
    expect(at(up(small()), 2 * A, LOW, HIGH)).toBe(LOW)
    expect(at(up(small()), 2 * A, LOW + 1, HIGH)).toBe(LOW + A)
    expect(at(up(small()), 2 * A, LOW - 1, HIGH)).toBe(LOW)
  })

  it('fills a range exactly', () => {
    expect(at(small(), 30 * A, LOW, HIGH)).toBe(LOW)
    expect(at(up(small()), 30 * A, LOW, HIGH)).toBe(LOW)
  })

  it('drops min for a range that is too narrow, but keeps max', () => {
    expect(at(small(), 31 * A, LOW, HIGH)).toBe(HIGH - 31 * A)
    expect(at(up(small()), 31 * A, LOW, HIGH)).toBe(START)
    expect(at(small(), 2 * A, HIGH - A, HIGH)).toBe(HIGH - 2 * A)
  })

  it('is null when max is too low', () => {
    for (const m of [small(), up(small())]) {
      const before = stateOf(m)
      expect(at(m, 2 * A, START, START + A)).toBeNull()
      expect(at(m, 2 * A, LOW, START + A)).toBeNull()
      expect(at(m, 33 * A, LOW, HIGH)).toBeNull()
      expect(stateOf(m)).toBe(before)
    }
  })

  it('merges with neighbours at min or max', () => {
    const m = small([[HIGH, 2 * A]])
    expect(at(m, 2 * A, LOW, HIGH)).toBe(HIGH - 2 * A)
    expectReserved(m, [[HIGH - 2 * A, 4 * A]])
    const low = up(small([[START, 2 * A]]))
    expect(at(low, 2 * A, LOW, HIGH)).toBe(LOW)
    expectReserved(low, [[START, 4 * A]])
    const both = small([
      [START, 2 * A],
      [HIGH, 2 * A],
    ])
    expect(at(both, 30 * A, LOW, HIGH)).toBe(LOW)
    expectReserved(both, [[START, 34 * A]])
  })

  it('uses the gap between neighbours, or what lies below (bottom-up: the start)', () => {
    const wide: Pair[] = [
      [HIGH, A],
      [HIGH - 8 * A, 4 * A],
    ]
    expect(at(small(wide), 4 * A, HIGH - 4 * A, HIGH)).toBe(HIGH - 4 * A)
    const m = small(wide)
    expect(at(m, 5 * A, HIGH - 4 * A, HIGH)).toBe(HIGH - 13 * A)
    expectReserved(m, [
      [HIGH - 13 * A, 9 * A],
      [HIGH, A],
    ])
    expect(at(up(small(wide)), 5 * A, HIGH - 4 * A, HIGH)).toBe(START)
  })

  it('is null when everything else is reserved', () => {
    const outside: Pair[] = [
      [START, 4 * A],
      [START + 6 * A, MEM - 6 * A],
    ]
    for (const m of [small(outside), up(small(outside))]) {
      expect(at(m, 3 * A, START + 4 * A, START + 6 * A)).toBeNull()
      expectReserved(m, outside)
      expect(at(m, 2 * A, START + 4 * A, START + 6 * A)).toBe(START + 4 * A)
      expectReserved(m, [[START, MEM]])
    }
  })

  it('is not harmed by limits outside memory', () => {
    expect(at(small(), A, END - A, END + 4096)).toBe(END - A)
    expect(at(small(), A, 0, END + 4096)).toBe(END - A)
    expect(at(up(small()), A, START - 4096, END)).toBe(START)
    expect(at(up(small()), A, 0, 0)).toBe(START)
    expect(at(small(), A, 0, 1)).toBe(END - A)
  })

  it('obeys the current limit, which lowers max', () => {
    const m = small()
    m.currentLimit = HIGH
    expect(at(m, A, START, 0)).toBe(HIGH - A)
    expect(at(m, A, START, END)).toBe(HIGH - 2 * A)
    expect(at(m, A, END - A, END)).toBe(HIGH - 3 * A)
  })
})

describe('physAllocRange', () => {
  it('never leaves its range', () => {
    const m = small()
    const before = stateOf(m)
    expect(m.physAllocRange(2 * A, A, END - A, END)).toBeNull()
    expect(m.physAllocRange(A, A, END, 0)).toBeNull()
    expect(stateOf(m)).toBe(before)
    expect(m.physAllocRange(2 * A, A, START, START + 3 * A)).toBe(START + A)
  })

  it('passes the current limit with a limit of its own', () => {
    const m = small()
    m.currentLimit = START + A
    expect(m.physAllocRange(A, A, 0, MEMBLOCK_ALLOC_ACCESSIBLE)).toBe(START)
    expect(m.physAllocRange(A, A, 0, END)).toBe(END - A)
    expect(m.physAllocRange(A, A, 0, MEMBLOCK_ALLOC_ANYWHERE)).toBe(END - 2 * A)
  })

  it('lifts an end below its start to the start', () => {
    expect(small().physAllocRange(A, A, START + A, START)).toBeNull()
  })
})

describe('allocations', () => {
  it('stay below 4 GiB with allocLow', () => {
    const m = new Memblock()
    m.add(0x1000, 0x200000000)
    expect(m.allocLow(0x1000, 0x1000)).toBe(0xffffe000)
    expect(m.alloc(0x1000, 0x1000)).toBe(0x200000000)
  })

  it('never return page 0', () => {
    const m = new Memblock()
    m.add(0, 0x2000)
    m.bottomUp = true
    expect(m.alloc(16, 16)).toBe(0x1000)
    m.bottomUp = false
    expect(m.alloc(0xff0, 16)).toBe(0x1010)
    expect(m.alloc(1, 1)).toBeNull()
    expect(m.physAllocRange(16, 16, 0, 0x1000)).toBeNull()
  })

  it('take an alignment of 0 as a cache line', () => {
    const m = small()
    expect(m.alloc(1, 0)).toBe(END - 64)
    expect(m.alloc(1, 1)).toBe(END - 1)
  })

  it('reserve exactly their size', () => {
    const m = small()
    expect(m.alloc(100, 4096)).toBe(END - 4096)
    expectReserved(m, [[END - 4096, 100]])
    expect(m.alloc(0, 1)).toBe(END)
    expectReserved(m, [[END - 4096, 100]])
  })

  it('align in 53 bits', () => {
    const m = new Memblock()
    m.add(2 ** 40 + 5, 2 ** 45)
    expect(m.alloc(3, 2 ** 44)).toBe(2 ** 45)
    m.bottomUp = true
    expect(m.alloc(3, 2 ** 44)).toBe(2 ** 44)
    expect(m.alloc(3, 2)).toBe(2 ** 40 + 6)
    expect(m.alloc(3, 2 ** 52)).toBeNull()
  })

  it('never span two regions, though they touch', () => {
    const m = new Memblock()
    m.addNode(START, MEM / 2, 0)
    m.addNode(START + MEM / 2, MEM / 2, 1)
    expect(m.alloc(MEM / 2 + 1, 1)).toBeNull()
    expect(m.alloc(MEM / 2, 1)).toBe(START + MEM / 2)
    expect(m.alloc(MEM / 2, 1)).toBe(START)
  })

  it('clear memory unless raw or physical, exactly once', () => {
    const zeroed: number[][] = []
    const m = small([], { zero: (...range) => zeroed.push(range) })
    m.allocRaw(8, 8)
    m.physAlloc(8, 8)
    m.physAllocRange(8, 8, 0, 0)
    m.physAllocTryNid(8, 8, -1)
    m.allocTryNidRaw(8, 8, 0, 0, -1)
    m.allocExactNidRaw(8, 8, 0, 0, -1)
    m.alloc(MEM, 8)
    expect(zeroed).toEqual([])
    const expected = [
      m.alloc(8, 8),
      m.allocFrom(9, 8, START),
      m.allocLow(10, 8),
      m.allocNode(11, 8, 3),
      m.allocTryNid(12, 8, 0, 0, -1),
      m.allocExactNid(13, 8, 0, 0, -1),
    ]
    expect(zeroed).toEqual(expected.map((base, i) => [base, 8 + i]))
  })

  it('can be freed whole or in part', () => {
    const m = small()
    const base = m.alloc(256, 64)
    expect(base).toBe(END - 256)
    m.free(END - 192, 64)
    expect(reservedOf(m)).toEqual([
      [END - 256, 64],
      [END - 128, 128],
    ])
    expect(m.alloc(64, 64)).toBe(END - 192)
    m.free(END - 256, 256)
    expect(reservedOf(m)).toEqual([[0, 0]])
  })
})

describe('flags', () => {
  it('NOMAP and DRIVER_MANAGED memory is never taken', () => {
    const m = new Memblock()
    m.addNode(START, MEM, 0)
    m.addNode(0x20000, MEM, 0, 8)
    m.addNode(0x30000, MEM, 0)
    m.markNomap(0x30000, MEM)
    expect(m.alloc(A, A)).toBe(END - A)
    m.clearNomap(0x30000, MEM)
    expect(m.alloc(A, A)).toBe(0x30000 + MEM - A)
  })

  it('HOTPLUG memory is taken unless movable-node mode is on', () => {
    const m = small()
    m.add(0x20000, MEM)
    m.markHotplug(0x20000, MEM)
    expect(m.alloc(A, A)).toBe(0x20000 + MEM - A)
    m.movableNode = true
    expect(m.alloc(A, A)).toBe(END - A)
    m.clearHotplug(0x20000, MEM)
    expect(m.alloc(A, A)).toBe(0x20000 + MEM - 2 * A)
  })

  it('MIRROR memory is preferred once asked for, and its end warned of', () => {
    const log: string[] = []
    const m = small([], { log: (line) => log.push(line) })
    m.add(0x20000, MEM)
    expect(m.markMirror(START, 2 * A)).toBe(true)
    expect(m.memoryRegions.map(({ flags }) => flags)).toEqual([0, 0])
    m.setMirroredKernelMemory()
    m.markMirror(START, 0)
    expect(m.alloc(A, A)).toBe(0x20000 + MEM - A)
    m.markMirror(START, 2 * A)
    expect(m.memoryRegions.map(({ flags }) => flags)).toEqual([2, 0, 0])
    expect(m.alloc(2 * A, A)).toBe(START)
    expect(log).toEqual([])
    expect(m.alloc(A, A)).toBe(0x20000 + MEM - 2 * A)
    expect(log).toEqual(['Could not allocate 0x0000000000000040 bytes of mirrored memory'])
    for (let i = 0; i < 20; i++) m.alloc(A, A)
    expect(log).toHaveLength(10)
  })
})
