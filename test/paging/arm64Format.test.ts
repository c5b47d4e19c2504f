import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { ARM64, ARM64_39, arm64Format } from '../../src/paging/arm64Format'
import {
  CACHE_UC,
  CACHE_UC_MINUS,
  CACHE_WC,
  CACHE_WP,
  CACHE_WT,
  PAGE_KERNEL,
  PAGE_KERNEL_EXEC,
  PAGE_KERNEL_IO,
  PAGE_KERNEL_NOCACHE,
  PAGE_KERNEL_RO,
  PAGE_KERNEL_ROX,
  PAGE_NONE,
  PAGE_READONLY,
  PAGE_READONLY_EXEC,
  PAGE_SHARED,
  PAGE_SHARED_EXEC,
  PROT_ACCESSED,
  PROT_CACHE_MASK,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_GLOBAL,
  PROT_READ,
  PROT_SPECIAL,
  PROT_USER,
  PROT_WRITE,
} from '../../src/paging/format'
import {
  expectLeafBits,
  expectRoundTrips,
  expectTableBits,
  halves,
  type Rows,
  whole,
} from './entryBits'

const FORMATS = [ARM64, ARM64_39]

/** Bits 12 to 47: the frame number, of a block with low bits that must be 0. */
function frameBits(up: number): Rows {
  if (up === 0) return [[12, 47, 'frame']]
  const first = up === 1 ? 21 : 30
  return [
    [12, first - 1, 'bad'],
    [first, 47, 'frame'],
  ]
}

/** Bits 0 to 47 of a leaf, `up` levels above the last. */
function lowLeafBits(up: number): Rows {
  return [
    [0, 0, 'none'],
    [1, 1, up === 0 ? 'bad' : 'table'],
    [2, 2, '-'],
    [3, 3, CACHE_WC],
    [4, 4, CACHE_UC_MINUS],
    [5, 5, '-'],
    [6, 6, PROT_USER],
    [7, 7, PROT_WRITE | PROT_DIRTY],
    [8, 9, '-'],
    [10, 10, PROT_ACCESSED],
    [11, 11, PROT_GLOBAL],
    ...frameBits(up),
  ]
}

describe('bits of an entry of AArch64', () => {
  for (const format of FORMATS) {
    const last = format.levels.length - 1

    it(`a page, and blocks of the two levels above (${format.name})`, () => {
      for (const up of [0, 1, 2]) {
        const type = up === 0 ? 3n : 1n
        // Of the kernel, all flags 0: writable by AP2 and dirty, executable by PXN, global.
        const all = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_DIRTY | PROT_GLOBAL
        expectLeafBits(format, last - up, type, all, [
          ...lowLeafBits(up),
          [48, 52, '-'],
          [53, 53, PROT_EXEC],
          [54, 55, '-'],
          [56, 56, PROT_SPECIAL],
          [57, 63, '-'],
        ])
        // Of the user: AP1, AP2, nG; neither writable nor dirty, executable by UXN.
        expectLeafBits(format, last - up, 0x8c0n | type, PROT_READ | PROT_EXEC | PROT_USER, [
          ...lowLeafBits(up),
          [48, 50, '-'],
          [51, 51, PROT_WRITE],
          [52, 53, '-'],
          [54, 54, PROT_EXEC],
          [55, 55, PROT_DIRTY],
          [56, 56, PROT_SPECIAL],
          [57, 63, '-'],
        ])
      }
    })

    it(`pointers: what they leave to the kernel and to the user (${format.name})`, () => {
      const low: Rows = [
        [2, 11, '-'],
        [12, 47, 'frame'],
        [48, 58, '-'],
      ]
      for (let level = 0; level < last; level++) {
        const block = format === ARM64 && level === 0 ? 'bad' : 'leaf'
        const kernel = PROT_READ | PROT_WRITE | PROT_EXEC
        expectTableBits(format, level, 0x3n, kernel, [
          [0, 0, 'none'],
          [1, 1, block],
          ...low,
          [59, 59, PROT_EXEC],
          [60, 61, '-'],
          [62, 62, PROT_WRITE],
          [63, 63, '-'],
        ])
        expectTableBits(format, level, 0x3n, kernel | PROT_USER, [
          [0, 0, 'none'],
          [1, 1, block],
          ...low,
          [59, 59, '-'],
          [60, 60, PROT_EXEC],
          [61, 61, PROT_USER | PROT_EXEC],
          [62, 62, PROT_WRITE],
          [63, 63, '-'],
        ])
      }
    })
  }

  it('all 8 types of memory', () => {
    const modes = [0, 0, CACHE_WC, CACHE_UC, CACHE_UC_MINUS, CACHE_UC, CACHE_UC, CACHE_UC]
    for (const [index, mode] of modes.entries()) {
      expect(ARM64.protOf(0x703 | (index << 2), 0xe80000, 3)).toBe(PAGE_KERNEL | mode)
    }
  })

  it('an entry that is not valid is none, whatever else it has', () => {
    for (const format of FORMATS) {
      for (let level = 0; level < format.levels.length; level++) {
        for (let bit = 1n; bit < 64n; bit++) {
          expect(format.kindOf(...halves(1n << bit), level)).toBe('none')
        }
        expect(format.kindOf(-2, -1, level)).toBe('none')
      }
    }
  })
})

describe('protections of AArch64', () => {
  const leaf = (prot: number, level = 3) => whole(ARM64.leafBits(prot, level))

  it('are those of the kernel', () => {
    expect(leaf(PAGE_KERNEL)).toBe(0x00e8000000000703n)
    expect(leaf(PAGE_KERNEL_RO)).toBe(0x00e0000000000783n)
    expect(leaf(PAGE_KERNEL_ROX)).toBe(0x00c0000000000783n)
    expect(leaf(PAGE_KERNEL_EXEC)).toBe(0x00c8000000000703n)
    expect(leaf(PAGE_KERNEL_IO)).toBe(0x0068000000000713n)
    expect(leaf(PAGE_KERNEL_NOCACHE)).toBe(0x00e800000000070fn)
    expect(leaf(PAGE_KERNEL | CACHE_WC)).toBe(0x00e800000000070bn)
    expect(leaf(PAGE_NONE)).toBe(0x0460000000000f82n)
    expect(leaf(PAGE_SHARED)).toBe(0x0068000000000fc3n)
    expect(leaf(PAGE_SHARED_EXEC)).toBe(0x0028000000000fc3n)
    expect(leaf(PAGE_READONLY)).toBe(0x0060000000000fc3n)
    expect(leaf(PAGE_READONLY_EXEC)).toBe(0x0020000000000fc3n)
    for (const prot of [PAGE_KERNEL, PAGE_KERNEL_IO, PAGE_SHARED]) {
      expect(whole(ARM64_39.leafBits(prot, 2))).toBe(leaf(prot))
    }
  })

  it('of a block have another type, without global entries nG', () => {
    for (const level of [1, 2]) {
      expect(leaf(PAGE_KERNEL, level)).toBe(0x00e8000000000701n)
      expect(leaf(PAGE_NONE, level)).toBe(0x0460000000000f80n)
    }
    for (const level of [0, 1]) {
      expect(whole(ARM64_39.leafBits(PAGE_KERNEL, level))).toBe(0x00e8000000000701n)
    }
    const isolated = arm64Format({ vaBits: 48, global: false })
    expect(whole(isolated.leafBits(PAGE_KERNEL, 3))).toBe(0x00e8000000000f03n)
  })

  it('of pointers: what is for the kernel the user cannot execute, and the other way round', () => {
    for (const format of FORMATS) {
      for (let level = 0; level < format.levels.length - 1; level++) {
        expect(whole(format.tableBits(level, false))).toBe(0x1000000000000003n)
        expect(whole(format.tableBits(level, true))).toBe(0x0800000000000003n)
      }
    }
  })

  it('that are writable and not dirty become dirty when the read-only bit is cleared', () => {
    const clean = leaf(PAGE_SHARED)
    const [lo, hi] = halves(clean & ~0x80n)
    expect(ARM64.protOf(lo, hi, 3)).toBe(PAGE_SHARED | PROT_DIRTY)
  })

  it('come back as they were, where there is a bit for it', () => {
    const back = (global: boolean) => (prot: number) => {
      const mode = prot & PROT_CACHE_MASK
      const read = (prot & PROT_READ) !== 0
      if (mode === CACHE_WT || mode === CACHE_WP) return null
      if (!read) return prot & (PROT_WRITE | PROT_EXEC) ? null : 'none'
      return global ? prot : prot & ~PROT_GLOBAL
    }
    expectRoundTrips(ARM64, back(true))
    expectRoundTrips(ARM64_39, back(true))
    expectRoundTrips(arm64Format({ vaBits: 39, global: false }), back(false))
  })

  it('refuses what is none, and leaves where there are none', () => {
    expect(() => ARM64.leafBits(PAGE_KERNEL, 0)).toThrow(InvalidArgument)
    expect(() => ARM64.tableBits(3, false)).toThrow(InvalidArgument)
    for (const bad of [-1, 0x600, 1.5, Number.NaN, Infinity, '3' as unknown as number]) {
      expect(() => ARM64.leafBits(bad, 3)).toThrow(InvalidArgument)
      expect(() => ARM64.leafBits(PAGE_KERNEL, bad)).toThrow(InvalidArgument)
      expect(() => arm64Format({ vaBits: bad as 48 })).toThrow(InvalidArgument)
    }
  })
})

describe('geometry and faults of AArch64', () => {
  it('levels, addresses, entries', () => {
    const shape = (format: typeof ARM64) =>
      format.levels.map(
        ({ name, shift, bits, leaf }) => `${name} ${shift}/${bits}${leaf ? '*' : ''}`,
      )
    expect(shape(ARM64)).toEqual(['PGD 39/9', 'PUD 30/9*', 'PMD 21/9*', 'PTE 12/9*'])
    expect(shape(ARM64_39)).toEqual(['PGD 30/9*', 'PMD 21/9*', 'PTE 12/9*'])
    expect(FORMATS.map((format) => format.vaBits)).toEqual([49, 40])
    expect(FORMATS.map((format) => format.name)).toEqual(['arm64', 'arm64 39-bit'])
    for (const format of FORMATS) {
      expect([format.physBits, format.entryBytes, format.pfnShift]).toEqual([48, 8, 12])
      expect([format.twoRoots, format.hugeLeaves]).toEqual([true, true])
    }
  })

  it('addresses end where those of the second top table do', () => {
    for (const [format, end] of [
      [ARM64, 0x2000000000000],
      [ARM64_39, 0x10000000000],
    ] as const) {
      for (const address of [0, end / 2 - 1, end / 2, end - 1]) {
        expect(format.isCanonical(address)).toBe(true)
      }
      for (const address of [end, -1, 0.5, Number.NaN]) {
        expect(format.isCanonical(address)).toBe(false)
      }
    }
  })

  it('syndromes have the class, the write and the level that the architecture counts', () => {
    const code = ARM64.faultCode.bind(ARM64)
    expect(code('unmapped', { kind: 'read', user: false }, 0)).toBe(0x96000004)
    expect(code('unmapped', { kind: 'read', user: false }, 3)).toBe(0x96000007)
    expect(code('unmapped', { kind: 'write', user: true }, 2)).toBe(0x92000046)
    expect(code('unmapped', { kind: 'execute', user: true }, 3)).toBe(0x82000007)
    expect(code('unmapped', { kind: 'execute', user: false }, 1)).toBe(0x86000005)
    expect(code('access-flag', { kind: 'read', user: true }, 3)).toBe(0x9200000b)
    expect(code('access-flag', { kind: 'execute', user: false }, 1)).toBe(0x86000009)
    expect(code('protection', { kind: 'write', user: true }, 3)).toBe(0x9200004f)
    expect(code('protection', { kind: 'write', user: false }, 2)).toBe(0x9600004e)
    expect(code('reserved', { kind: 'read', user: false }, 1)).toBe(0x96000005)
    expect(code('non-canonical', { kind: 'read', user: true }, 0)).toBe(0x92000004)
    // With three levels, the top one is level 1; an address of neither table faults at level 0.
    expect(ARM64_39.faultCode('unmapped', { kind: 'read', user: false }, 0)).toBe(0x96000005)
    expect(ARM64_39.faultCode('unmapped', { kind: 'read', user: false }, 2)).toBe(0x96000007)
    expect(ARM64_39.faultCode('non-canonical', { kind: 'read', user: true }, 0)).toBe(0x92000004)
  })
})
