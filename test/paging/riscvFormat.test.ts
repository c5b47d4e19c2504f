import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  CACHE_UC,
  CACHE_UC_MINUS,
  CACHE_WB,
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
import { riscvFormat, SV39, SV48, SV57, satp } from '../../src/paging/riscvFormat'
import {
  type Effect,
  expectLeafBits,
  expectRoundTrips,
  expectTableBits,
  halves,
  type Rows,
  whole,
} from './entryBits'

const PLAIN = [SV39, SV48, SV57]
const TYPED = (['sv39', 'sv48', 'sv57'] as const).map((mode) => riscvFormat({ mode, svpbmt: true }))

/** Bits 54 to 63 by whether the type of memory is in the entry. */
function highBits(bit61: Effect, bit62: Effect): Rows {
  return [
    [54, 60, 'bad'],
    [61, 61, bit61],
    [62, 62, bit62],
    [63, 63, 'bad'],
  ]
}

/** First bit of a leaf's frame number that may be set, by levels above the last. */
const FIRST_FRAME_BIT = [10, 19, 28, 37, 46]

/** Bits 2 to 63 of a leaf, `up` levels above the last. */
function leafBits(up: number, typed: boolean): Rows {
  const first = FIRST_FRAME_BIT[up] ?? 0
  const misaligned: Rows = up === 0 ? [] : [[10, first - 1, 'bad']]
  return [
    [2, 2, PROT_WRITE],
    [3, 3, PROT_EXEC],
    [4, 4, PROT_USER],
    [5, 5, PROT_GLOBAL],
    [6, 6, PROT_ACCESSED],
    [7, 7, PROT_DIRTY],
    [8, 8, PROT_SPECIAL],
    [9, 9, '-'],
    ...misaligned,
    [first, 53, 'frame'],
    ...(typed ? highBits(CACHE_WC, CACHE_UC_MINUS) : highBits('bad', 'bad')),
  ]
}

describe('bits of an entry of RISC-V', () => {
  for (const format of [...PLAIN, ...TYPED]) {
    const typed = TYPED.includes(format)
    const last = format.levels.length - 1
    const title = `${format.name}${typed ? ' with Svpbmt' : ''}`

    it(`leaves of all levels: ${title}`, () => {
      for (let up = 0; up <= last; up++) {
        const withoutR = up === 0 ? 'bad' : 'table'
        // V, R: bits that are set one by one.
        expectLeafBits(format, last - up, 0x3n, PROT_READ, [
          [0, 0, 'none'],
          [1, 1, withoutR],
          ...leafBits(up, typed),
        ])
        // V, R, W, X, U, G, A, D: bits that are cleared one by one.
        expectLeafBits(format, last - up, 0xffn, 0x7f, [
          [0, 0, 'none'],
          [1, 1, 'bad'],
          ...leafBits(up, typed),
        ])
      }
    })

    it(`pointers, which restrict nothing: ${title}`, () => {
      for (let level = 0; level < last; level++) {
        expectTableBits(format, level, 0x1n, 0x1f, [
          [0, 0, 'none'],
          [1, 1, 'leaf'],
          [2, 2, 'bad'],
          [3, 3, 'leaf'],
          [4, 4, 'bad'],
          [5, 5, '-'],
          [6, 7, 'bad'],
          [8, 9, '-'],
          [10, 53, 'frame'],
          ...highBits('bad', 'bad'),
        ])
      }
    })
  }

  it('all of V, R, W, X: none, pointer, leaf or refused', () => {
    const kinds = ['table', 'leaf', 'bad', 'leaf', 'leaf', 'leaf', 'bad', 'leaf']
    for (const format of PLAIN) {
      const last = format.levels.length - 1
      for (let level = 0; level <= last; level++) {
        for (const [rwx, kind] of kinds.entries()) {
          expect(format.kindOf(rwx << 1, 0, level)).toBe('none')
          const wanted = level === last && kind === 'table' ? 'bad' : kind
          expect(format.kindOf((rwx << 1) | 1, 0, level)).toBe(wanted)
        }
      }
    }
  })

  it('memory type 3 is refused, in a leaf and in a pointer', () => {
    for (const format of TYPED) {
      expect(format.kindOf(...halves(0x60000000000000e7n), 1)).toBe('bad')
      expect(format.kindOf(...halves(0x6000000000000001n), 1)).toBe('bad')
    }
  })

  it('an entry that is not valid is none, whatever else it has', () => {
    for (const format of [...PLAIN, ...TYPED]) {
      for (let level = 0; level < format.levels.length; level++) {
        for (let bit = 1n; bit < 64n; bit++) {
          expect(format.kindOf(...halves(1n << bit), level)).toBe('none')
        }
        expect(format.kindOf(-2, -1, level)).toBe('none')
      }
    }
  })
})

describe('protections of RISC-V', () => {
  it('are those of the kernel, and a read-only one', () => {
    for (const format of [...PLAIN, ...TYPED]) {
      for (let level = 0; level < format.levels.length; level++) {
        const leaf = (prot: number) => whole(format.leafBits(prot, level))
        expect(leaf(PAGE_KERNEL)).toBe(0xe7n)
        expect(leaf(PAGE_KERNEL_RO)).toBe(0xe3n)
        expect(leaf(PAGE_KERNEL_EXEC)).toBe(0xefn)
        expect(leaf(PAGE_KERNEL_ROX)).toBe(0xebn)
        expect(leaf(PAGE_NONE)).toBe(0x60n)
        expect(leaf(PAGE_SHARED)).toBe(0x57n)
        expect(leaf(PAGE_SHARED_EXEC)).toBe(0x5fn)
        expect(leaf(PAGE_READONLY)).toBe(0x53n)
        expect(leaf(PAGE_READONLY_EXEC)).toBe(0x5bn)
        expect(leaf(PROT_EXEC)).toBe(0x9n)
      }
      for (let level = 0; level < format.levels.length - 1; level++) {
        for (const user of [false, true]) {
          expect(whole(format.tableBits(level, user))).toBe(0x1n)
        }
      }
    }
  })

  it('have the type of memory with Svpbmt alone', () => {
    for (const format of TYPED) {
      expect(whole(format.leafBits(PAGE_KERNEL_IO, 2))).toBe(0x40000000000000e7n)
      expect(whole(format.leafBits(PAGE_KERNEL_NOCACHE, 2))).toBe(0x40000000000000e7n)
      expect(whole(format.leafBits(PAGE_KERNEL | CACHE_WC, 2))).toBe(0x20000000000000e7n)
    }
    for (const format of PLAIN) {
      for (const prot of [PAGE_KERNEL_IO, PAGE_KERNEL_NOCACHE, PAGE_KERNEL | CACHE_WC]) {
        expect(whole(format.leafBits(prot, 2))).toBe(0xe7n)
      }
    }
  })

  it('come back as they were, where there is a bit for it', () => {
    const back = (typed: boolean) => (prot: number) => {
      const mode = prot & PROT_CACHE_MASK
      const writeOnly = (prot & PROT_WRITE) !== 0 && (prot & PROT_READ) === 0
      if (writeOnly || mode === CACHE_WT || mode === CACHE_WP) return null
      if ((prot & (PROT_READ | PROT_EXEC)) === 0) return 'none'
      const read = mode === CACHE_UC ? CACHE_UC_MINUS : mode
      return (prot & ~PROT_CACHE_MASK) | (typed ? read : CACHE_WB)
    }
    for (const format of PLAIN) expectRoundTrips(format, back(false))
    for (const format of TYPED) expectRoundTrips(format, back(true))
  })

  it('refuses what is none', () => {
    for (const bad of [-1, 0x600, 1.5, Number.NaN, Infinity, '3' as unknown as number]) {
      expect(() => SV39.leafBits(bad, 2)).toThrow(InvalidArgument)
      expect(() => SV39.leafBits(PAGE_KERNEL, bad)).toThrow(InvalidArgument)
      expect(() => SV39.tableBits(bad, false)).toThrow(InvalidArgument)
      expect(() => riscvFormat({ mode: bad as unknown as 'sv39' })).toThrow(InvalidArgument)
    }
    expect(() => SV39.tableBits(2, false)).toThrow(InvalidArgument)
  })
})

describe('geometry and faults of RISC-V', () => {
  it('levels, addresses, entries', () => {
    const names = (format: typeof SV39) => format.levels.map(({ name }) => name)
    expect(names(SV39)).toEqual(['PGD', 'PMD', 'PTE'])
    expect(names(SV48)).toEqual(['PGD', 'PUD', 'PMD', 'PTE'])
    expect(names(SV57)).toEqual(['PGD', 'P4D', 'PUD', 'PMD', 'PTE'])
    expect(SV57.levels.map(({ shift }) => shift)).toEqual([48, 39, 30, 21, 12])
    expect(SV48.levels.map(({ shift }) => shift)).toEqual([39, 30, 21, 12])
    expect(SV39.levels.map(({ shift }) => shift)).toEqual([30, 21, 12])
    expect(PLAIN.map((format) => format.vaBits)).toEqual([39, 48, 57])
    expect(PLAIN.map((format) => format.name)).toEqual(['Sv39', 'Sv48', 'Sv57'])
    for (const format of PLAIN) {
      expect(format.levels.every(({ bits, leaf }) => bits === 9 && leaf)).toBe(true)
      expect([format.physBits, format.entryBytes, format.pfnShift]).toEqual([56, 8, 10])
      expect([format.twoRoots, format.hugeLeaves]).toEqual([false, false])
    }
  })

  it('addresses end where the format does', () => {
    for (const format of PLAIN) {
      const end = 2 ** format.vaBits
      for (const address of [0, end / 2, end - 16]) expect(format.isCanonical(address)).toBe(true)
      for (const address of [end, -1, 0.5, Number.NaN]) {
        expect(format.isCanonical(address)).toBe(false)
      }
    }
  })

  it('causes depend on what was to be done', () => {
    for (const reason of ['unmapped', 'protection', 'reserved', 'access-flag'] as const) {
      for (const user of [false, true]) {
        expect(SV39.faultCode(reason, { kind: 'execute', user }, 1)).toBe(12)
        expect(SV39.faultCode(reason, { kind: 'read', user }, 1)).toBe(13)
        expect(SV39.faultCode(reason, { kind: 'write', user }, 1)).toBe(15)
      }
    }
    expect(SV57.faultCode('non-canonical', { kind: 'read', user: true }, 0)).toBe(13)
  })

  it('satp', () => {
    expect(whole(satp(SV39, 0x80200))).toBe(0x8000000000080200n)
    expect(whole(satp(SV48, 0, 1))).toBe(0x9000100000000000n)
    expect(whole(satp(SV57, 2 ** 44 - 1, 0xffff))).toBe(0xafffffffffffffffn)
    expect(whole(satp(SV39, 2 ** 43 + 5, 0x8001))).toBe(0x8800180000000005n)
    for (const bad of [-1, 2 ** 44, 0.5, Number.NaN]) {
      expect(() => satp(SV39, bad)).toThrow(InvalidArgument)
      expect(() => satp(SV39, 0, bad)).toThrow(InvalidArgument)
    }
    expect(() => satp(SV39, 0, 0x10000)).toThrow(InvalidArgument)
  })
})
