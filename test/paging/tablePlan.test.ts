/** The numbers of every format as walks use them, by the bit tables of spec/vmalloc.md §13.1 to §13.5. */

import { describe, expect, it } from 'vitest'
import { ARM64, ARM64_39 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_NONE,
  type PageTableFormat,
  type TableLevel,
} from '../../src/paging/format'
import { SV39, SV48 } from '../../src/paging/riscvFormat'
import { frameOf, leafFrame, mapsFrames, pageOfLeaf, tablePlan } from '../../src/paging/tablePlan'
import { I386, I386_PAE, X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { FORMATS } from './spaces'

/** A plan with its arrays as lists. */
function lists(format: PageTableFormat) {
  return Object.fromEntries(
    Object.entries(tablePlan(format)).map(([key, value]) => [
      key,
      ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value,
    ]),
  )
}

const change = (setLow: number, setHigh = 0, clearLow = 0) => ({
  setLow,
  setHigh,
  clearLow,
  clearHigh: 0,
})

describe('the plan', () => {
  it('of x86_64', () => {
    expect(lists(X86_64)).toEqual({
      last: 3,
      pmd: 2,
      stride: 2,
      end: 2 ** 48,
      half: 2 ** 47,
      frames: 2 ** 40,
      pfnShift: 12,
      frameUnit: 2 ** 20,
      lowMask: ~0xfff,
      highMask: 0xfffff,
      shifts: [39, 30, 21, 12],
      masks: [511, 511, 511, 511],
      spans: [2 ** 39, 2 ** 30, 2 ** 21, 4096],
      // Present, and no large leaf.
      tableLow: [0x81, 0x81, 0x81],
      tableLowIs: [1, 1, 1],
      tableHigh: [0, 0, 0],
      tableHighIs: [0, 0, 0],
      even: true,
      topShift: 27,
      leafLow: [0, ~0x3fffffff, ~0x1fffff, ~0xfff],
      leafHigh: [0xfff80, 0xfffff, 0xfffff, 0xfffff],
      accessed: change(0x20),
      dirty: change(0x40),
      written: change(0x40),
    })
  })

  it('of i386, with entries of 4 bytes', () => {
    expect(lists(I386)).toEqual({
      last: 1,
      pmd: -1,
      stride: 1,
      end: 2 ** 32,
      half: 2 ** 31,
      frames: 2 ** 20,
      pfnShift: 12,
      frameUnit: 2 ** 20,
      lowMask: ~0xfff,
      highMask: 0,
      shifts: [22, 12],
      masks: [1023, 1023],
      spans: [2 ** 22, 4096],
      tableLow: [0x81],
      tableLowIs: [1],
      tableHigh: [0],
      tableHighIs: [0],
      even: false,
      topShift: 10,
      leafLow: [~0x3fffff, ~0xfff],
      leafHigh: [0, 0],
      accessed: change(0x20),
      dirty: change(0x40),
      written: change(0x40),
    })
  })

  it('of i386 PAE, whose top entries have bits of their own', () => {
    expect(lists(I386_PAE)).toMatchObject({
      last: 2,
      pmd: 1,
      frames: 2 ** 40,
      masks: [3, 511, 511],
      tableLow: [0x1e7, 0x81],
      tableLowIs: [1, 1],
      tableHigh: [~0xfffff, 0x7ff00000],
      tableHighIs: [0, 0],
      even: false,
      topShift: 18,
    })
  })

  it('of RISC-V, whose frame numbers start at bit 10', () => {
    expect(lists(SV48)).toEqual({
      last: 3,
      pmd: 2,
      stride: 2,
      end: 2 ** 48,
      half: 2 ** 47,
      frames: 2 ** 44,
      pfnShift: 10,
      frameUnit: 2 ** 22,
      lowMask: ~0x3ff,
      highMask: 0x3fffff,
      shifts: [39, 30, 21, 12],
      masks: [511, 511, 511, 511],
      spans: [2 ** 39, 2 ** 30, 2 ** 21, 4096],
      // V, and none of R, W, X, U, A and D; nothing above the frame number.
      tableLow: [0xdf, 0xdf, 0xdf],
      tableLowIs: [1, 1, 1],
      tableHigh: [~0x3fffff, ~0x3fffff, ~0x3fffff],
      tableHighIs: [0, 0, 0],
      even: true,
      topShift: 27,
      leafLow: [0, ~0xfffffff, ~0x7ffff, ~0x3ff],
      leafHigh: [0x3fffe0, 0x3fffff, 0x3fffff, 0x3fffff],
      accessed: change(0x40),
      dirty: change(0x80),
      written: change(0x80),
    })
  })

  it('of AArch64, whose processor clears a bit where the kernel notes another as well', () => {
    expect(lists(ARM64)).toMatchObject({
      end: 2 ** 49,
      half: 2 ** 48,
      frames: 2 ** 36,
      highMask: 0xffff,
      tableLow: [3, 3, 3],
      tableLowIs: [3, 3, 3],
      even: true,
      leafHigh: [0xff80, 0xffff, 0xffff, 0xffff],
      accessed: change(0x400),
      dirty: change(0, 0x800000, 0x80),
      written: change(0, 0, 0x80),
    })
  })

  it('of large leaves of five levels', () => {
    expect(lists(X86_64_LA57)).toMatchObject({
      leafLow: [0, 0, ~0x3fffffff, ~0x1fffff, ~0xfff],
      leafHigh: [0xf0000, 0xfff80, 0xfffff, 0xfffff, 0xfffff],
      topShift: 36,
      even: true,
    })
  })

  it.each(FORMATS)('of %s is made once, and tells tables as the format does', (_, format) => {
    const plan = tablePlan(format)
    expect(tablePlan(format)).toBe(plan)
    for (let level = 0; level < plan.last; level++) {
      for (const user of [false, true]) {
        const { lo, hi } = format.tableBits(level, user)
        expect(lo & plan.tableLow[level]!).toBe(plan.tableLowIs[level])
        expect(hi & plan.tableHigh[level]!).toBe(plan.tableHighIs[level])
      }
    }
  })
})

describe('a format is even', () => {
  /** x86_64 with other index bits, entries or pointers. */
  const like = (change: Partial<PageTableFormat>, bits: readonly number[] = [9, 9, 9, 9]) => {
    const levels = X86_64.levels.map((level, i) => ({ ...level, bits: bits[i] }) as TableLevel)
    const { tableBits, leafBits, kindOf } = X86_64
    const format = {
      ...X86_64,
      tableBits: tableBits.bind(X86_64),
      leafBits: leafBits.bind(X86_64),
      kindOf: kindOf.bind(X86_64),
      levels,
      ...change,
    } as PageTableFormat
    return tablePlan(format).even
  }
  const tableAt =
    (special: number, low: number, high: number) => (lo: number, hi: number, level: number) =>
      level === special && ((lo & low) !== 0 || (hi & high) !== 0)
        ? 'bad'
        : X86_64.kindOf(lo, hi, level)

  it('with 512 entries a table, or fewer in the top one', () => {
    expect(like({})).toBe(true)
    expect(like({}, [8, 9, 9, 9])).toBe(true)
    expect(like({}, [2, 9, 9, 9])).toBe(true)
    expect(like({}, [10, 9, 9, 9])).toBe(false)
    expect(like({}, [9, 8, 9, 9])).toBe(false)
    expect(like({}, [9, 9, 9, 8])).toBe(false)
    expect(like({}, [9, 10, 9, 9])).toBe(false)
  })

  it('with entries of 8 bytes', () => {
    expect(like({ entryBytes: 4 })).toBe(false)
  })

  it('with the same test for a table on all levels', () => {
    expect(like({ kindOf: tableAt(1, 0, 0) })).toBe(true)
    expect(like({ kindOf: tableAt(1, 0x200, 0) })).toBe(false)
    expect(like({ kindOf: tableAt(2, 0, 1 << 30) })).toBe(false)
    const bits = (level: number) => ({
      lo: level === 1 ? 0x67 : 0x67,
      hi: level === 2 ? 1 << 30 : 0,
    })
    const strict = (lo: number, hi: number, level: number) =>
      ((hi >>> 30) & 1) === (level === 2 ? 1 : 0) ? X86_64.kindOf(lo, hi, level) : 'bad'
    expect(like({ tableBits: bits, kindOf: strict })).toBe(false)
  })
})

describe('frames of entries', () => {
  it('of a table and of a small leaf have all their bits', () => {
    const plan = tablePlan(X86_64)
    expect(frameOf(plan, 0x12345067, 0)).toBe(0x12345)
    expect(frameOf(plan, 0x12345067, 0x800abcde | 0)).toBe(0xabcde12345)
    expect(frameOf(tablePlan(SV39), 0x400 | 0xcf, 1)).toBe(2 ** 22 + 1)
  })

  it('of a large leaf leave out what lies below its size', () => {
    const plan = tablePlan(X86_64)
    expect(leafFrame(plan, 0x123ff0e3 | 0, 5, 2)).toBe(5 * 2 ** 20 + 0x12200)
    expect(leafFrame(plan, 0x7fffe0e3, 5, 1)).toBe(5 * 2 ** 20 + 0x40000)
    expect(pageOfLeaf(plan, 0x122000e3, 5, 2, 2 ** 40 + 0x1f5123)).toBe(5 * 2 ** 20 + 0x123f5)
    expect(pageOfLeaf(plan, 0x12345063, 5, 3, 2 ** 40 + 0x1f5123)).toBe(5 * 2 ** 20 + 0x12345)
  })

  /** The halves of a leaf of frame `pfn`. */
  function leaf(format: PageTableFormat, prot: number, level: number, pfn: number) {
    const { pfnShift, frameUnit } = tablePlan(format)
    const { lo, hi } = format.leafBits(prot, level)
    return [lo | (pfn << pfnShift), hi | (pfn / frameUnit)] as const
  }

  it.each(FORMATS)(
    'of %s are mapped by leaves, also those for nobody, and by nothing else',
    (_, format) => {
      const plan = tablePlan(format)
      const { last } = plan
      const maps = (lo: number, hi: number, level: number) =>
        mapsFrames(format, plan, lo, hi, level)
      const high = format.physBits > 32 ? 3 * plan.frameUnit : 0
      for (const prot of [PAGE_KERNEL, PAGE_NONE]) {
        for (let level = 0; level <= last; level++) {
          if (format.levels[level]?.leaf !== true) continue
          const pages = plan.spans[level]! / 4096
          const [lo, hi] = leaf(format, prot, level, 5 * pages + (pages < 2 ** 19 ? high : 0))
          expect(maps(lo, hi, level)).toBe(true)
        }
      }
      expect(maps(0, 0, last)).toBe(false)
      for (let level = 0; level < last; level++) {
        const { lo, hi } = format.tableBits(level, false)
        expect(maps(lo | 0x5000, hi, level)).toBe(false)
        expect(maps(0, 0, level)).toBe(false)
      }
    },
  )

  it('are not mapped by an entry that nobody may use and the format would write otherwise', () => {
    for (const [format, strange] of [
      [X86_64, 1 << 11],
      [SV39, 1 << 9],
      [ARM64_39, 1 << 9],
    ] as const) {
      const plan = tablePlan(format)
      const { last } = plan
      const [lo, hi] = leaf(format, PAGE_NONE, last, 0x1234)
      expect(format.kindOf(lo, hi, last)).toBe('none')
      expect(mapsFrames(format, plan, lo, hi, last)).toBe(true)
      // The bits of a swap entry, in either half.
      expect(mapsFrames(format, plan, 0x200, 0, last)).toBe(false)
      expect(mapsFrames(format, plan, lo, hi ^ (1 << 26), last)).toBe(false)
      expect(mapsFrames(format, plan, lo ^ strange, hi, last)).toBe(false)
      expect(mapsFrames(format, plan, 0, 1 << 26, last)).toBe(false)
    }
    // A level without leaves has none for nobody's use either.
    const plan = tablePlan(X86_64)
    const [lo, hi] = leaf(X86_64, PAGE_NONE, 1, 0)
    expect(mapsFrames(X86_64, plan, lo, hi, 1)).toBe(true)
    expect(mapsFrames(X86_64, plan, lo, hi, 0)).toBe(false)
  })
})
