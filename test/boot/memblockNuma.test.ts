/** Placement of allocations with nodes: eight nodes of the sizes of the kernel's own test. */

import { describe, expect, it } from 'vitest'
import { Memblock } from '../../src/boot/memblock'
import { END, expectReserved, MEM, reservedOf, START, stateOf } from './fixtures'

const SHARES = [4, 1, 2, 2, 1, 1, 4, 1].map((sixteenths) => (sixteenths * MEM) / 16)
const BASES = SHARES.map((_, nid) => SHARES.slice(0, nid).reduce((a, b) => a + b, START))
const base = (nid: number): number => BASES[nid] ?? Number.NaN
const size = (nid: number): number => SHARES[nid] ?? Number.NaN
const end = (nid: number): number => base(nid) + size(nid)
const A = 64

function build(bottomUp = false): Memblock {
  const m = new Memblock()
  for (let nid = 0; nid < 8; nid++) m.addNode(base(nid), size(nid), nid)
  m.bottomUp = bottomUp
  return m
}

describe.each(['allocTryNid', 'allocTryNidRaw'] as const)('%s', (method) => {
  const at = (m: Memblock, bytes: number, nid: number, min = START, max = END): number | null =>
    m[method](bytes, A, min, max, nid)

  it('takes the end (bottom-up: the start) of the node', () => {
    expect(at(build(), size(3) / 4, 3)).toBe(end(3) - size(3) / 4)
    expect(at(build(true), size(3) / 4, 3)).toBe(base(3))
    const m = build()
    expect(at(m, size(3), 3)).toBe(base(3))
    expectReserved(m, [[base(3), size(3)]])
  })

  it('falls back to any node when the node is too small', () => {
    expect(at(build(), 2 * size(1), 1)).toBe(end(6) - 2 * size(1))
    expect(at(build(true), 2 * size(1), 1)).toBe(base(0))
  })

  it('falls back when the node is reserved', () => {
    for (const bottomUp of [false, true]) {
      const m = build(bottomUp)
      m.reserve(base(2), size(2))
      const expected = bottomUp ? base(0) : end(6) - size(2)
      expect(at(m, size(2), 2)).toBe(expected)
      expectReserved(
        m,
        bottomUp
          ? [
              [base(0), size(2)],
              [base(2), size(2)],
            ]
          : [
              [base(2), size(2)],
              [end(6) - size(2), size(2)],
            ],
      )
    }
  })

  it('uses a node that is reserved in part if what is left suits', () => {
    const suits = build()
    suits.reserve(end(3) - size(3) / 4, size(3) / 4)
    expect(at(suits, size(3) / 2, 3)).toBe(base(3) + size(3) / 4)
    expect(reservedOf(suits)).toEqual([[base(3) + size(3) / 4, (size(3) * 3) / 4]])
    const unsuitable = build()
    unsuitable.reserve(base(3) + size(3) / 4, size(3) / 2)
    expect(at(unsuitable, size(3) / 2, 3)).toBe(end(7) - size(3) / 2)
    const upwards = build(true)
    upwards.reserve(base(3) + size(3) / 4, size(3) / 2)
    expect(at(upwards, size(3) / 2, 3)).toBe(base(0))
  })

  it('drops min for a range across two nodes, and stays in the requested one', () => {
    // Node 2 ends inside the range; the part of it there is too small.
    const min = end(2) - size(2) / 4
    const max = base(3) + size(3) / 2
    expect(at(build(), size(2) / 2, 2, min, max)).toBe(max - size(2) / 2)
    expect(at(build(), size(2), 2, min, max)).toBe(base(2))
    expect(at(build(true), size(2), 2, min, max)).toBe(base(2))
    expect(at(build(), size(3) / 2, 3, min, max)).toBe(base(3))
  })

  it('takes a requested node below the range only if the range cannot be met', () => {
    const min = base(5)
    expect(at(build(), size(5), 2, min, end(5))).toBe(base(5))
    expect(at(build(), 2 * size(5), 2, min, end(5))).toBe(end(2) - 2 * size(5))
    expect(at(build(true), 2 * size(5), 2, min, end(5))).toBe(base(2))
  })

  it('takes the end (start) of a range on other nodes', () => {
    expect(at(build(), size(4), 0, base(3), end(5))).toBe(end(5) - size(4))
    expect(at(build(true), size(4), 0, base(3), end(5))).toBe(base(3))
    expect(at(build(), A, 7, base(3), end(5))).toBe(end(5) - A)
    expect(at(build(true), A, 7, base(3), end(5))).toBe(base(3))
  })

  it('is null for more than any node has', () => {
    for (const m of [build(), build(true)]) {
      const before = stateOf(m)
      expect(at(m, size(0) + 1, 0)).toBeNull()
      expect(at(m, MEM / 2, -1)).toBeNull()
      expect(stateOf(m)).toBe(before)
    }
  })

  it('cannot join two half-free nodes', () => {
    for (const m of [build(), build(true)]) {
      m.reserve(START, base(2) + size(2) / 2 - START)
      m.reserve(base(3) + size(3) / 2, END - (base(3) + size(3) / 2))
      expect(at(m, size(2), 2)).toBeNull()
      expect(at(m, size(2) / 2, 2)).toBe(base(2) + size(2) / 2)
      expect(at(m, size(2) / 2, 2)).toBe(base(3))
      expectReserved(m, [[START, MEM]])
    }
  })

  it('merges reservations across nodes', () => {
    const m = build()
    m.reserve(base(0), size(0))
    m.reserve(base(2), size(2))
    expect(at(m, size(1), 1)).toBe(base(1))
    expectReserved(m, [[base(0), size(0) + size(1) + size(2)]])
  })
})

describe('other requests of a node', () => {
  it('fall back, except the exact ones', () => {
    for (const method of ['allocExactNid', 'allocExactNidRaw'] as const) {
      const m = build()
      expect(m[method](size(1), A, 0, 0, 1)).toBe(base(1))
      expect(m[method](A, A, 0, 0, 1)).toBeNull()
      expect(m[method](A, A, base(5), 0, 2)).toBe(end(2) - A)
      expectReserved(m, [
        [base(1), size(1)],
        [end(2) - A, A],
      ])
    }
    const m = build()
    expect(m.allocNode(size(1), A, 1)).toBe(base(1))
    expect(m.allocNode(A, A, 1)).toBe(END - A)
    expect(m.physAllocTryNid(size(4), A, 4)).toBe(base(4))
    expect(m.physAllocTryNid(A, A, 4)).toBe(END - 2 * A)
    expect(m.allocRangeNid(size(5), A, START, END, 5, true)).toBe(base(5))
    expect(m.allocRangeNid(A, A, START, END, 5, true)).toBeNull()
    expect(m.allocRangeNid(A, A, START, end(6), 5, false)).toBe(end(6) - A)
  })

  it('keep the node before min is dropped only within the range', () => {
    // In the range any node comes before the requested one below it.
    const m = build()
    expect(m.allocTryNid(A, A, base(5), 0, 2)).toBe(END - A)
  })

  it('take node 64 as any, with one warning', () => {
    const log: string[] = []
    const m = new Memblock({ log: (line) => log.push(line) })
    m.addNode(START, MEM, 1)
    expect(m.allocNode(A, A, 64)).toBe(END - A)
    expect(m.physAllocTryNid(A, A, 64)).toBe(END - 2 * A)
    expect([...m.freeRanges({ nid: 64 })]).toHaveLength(1)
    expect(log).toHaveLength(1)
  })
})
