import { describe, expect, it } from 'vitest'
import {
  CACHE_UC,
  CACHE_UC_MINUS,
  CACHE_WB,
  CACHE_WC,
  CACHE_WP,
  CACHE_WT,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_GLOBAL,
  PROT_READ,
  PROT_SPECIAL,
  PROT_USER,
  PROT_WRITE,
} from '../../src/paging/format'
import {
  I386,
  I386_PAE,
  X86_64,
  X86_64_LA57,
  X86_64_PAT,
  x86Format,
} from '../../src/paging/x86Format'
import { type Effect, expectLeafBits, expectTableBits, halves, type Rows } from './entryBits'

const WIDE = [X86_64, X86_64_PAT, X86_64_LA57]

/** A leaf that is present and nothing else. */
const PRESENT = PROT_READ | PROT_EXEC
/** All that a pointer can take away. */
const ALL = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_USER

/** Bits 0 to 11 of a present leaf, from the table of the specification. */
function lowLeafBits(pat: boolean, bit7: Effect): Rows {
  return [
    [0, 0, 'none'],
    [1, 1, PROT_WRITE],
    [2, 2, PROT_USER],
    [3, 3, pat ? CACHE_WC : CACHE_WT],
    [4, 4, CACHE_UC_MINUS],
    [5, 5, PROT_ACCESSED],
    [6, 6, PROT_DIRTY],
    [7, 7, bit7],
    [8, 8, PROT_GLOBAL],
    [9, 9, PROT_SPECIAL],
    [10, 11, '-'],
  ]
}

/** Bits 0 to 11 of a pointer that allows everything. */
function lowTableBits(bit7: Effect): Rows {
  return [
    [0, 0, 'none'],
    [1, 1, PROT_WRITE],
    [2, 2, PROT_USER],
    [3, 6, '-'],
    [7, 7, bit7],
    [8, 11, '-'],
  ]
}

const highBits: Rows = [
  [52, 62, '-'],
  [63, 63, PROT_EXEC],
]

describe('bits of an entry of x86_64', () => {
  for (const format of WIDE) {
    const pat = format === X86_64_PAT
    const last = format.levels.length - 1

    it(`page (${format.name}${pat ? ', PAT' : ''})`, () => {
      expectLeafBits(format, last, 0x1n, PRESENT, [
        ...lowLeafBits(pat, '-'),
        [12, 51, 'frame'],
        ...highBits,
      ])
    })

    it(`2 MiB and 1 GiB leaf (${format.name}${pat ? ', PAT' : ''})`, () => {
      expectLeafBits(format, last - 1, 0x81n, PRESENT, [
        ...lowLeafBits(pat, 'table'),
        [12, 12, '-'],
        [13, 20, 'bad'],
        [21, 51, 'frame'],
        ...highBits,
      ])
      expectLeafBits(format, last - 2, 0x81n, PRESENT, [
        ...lowLeafBits(pat, 'table'),
        [12, 12, '-'],
        [13, 29, 'bad'],
        [30, 51, 'frame'],
        ...highBits,
      ])
    })

    it(`pointer (${format.name}${pat ? ', PAT' : ''})`, () => {
      for (let level = 0; level < last; level++) {
        expectTableBits(format, level, 0x7n, ALL, [
          ...lowTableBits(level >= last - 2 ? 'leaf' : 'bad'),
          [12, 51, 'frame'],
          ...highBits,
        ])
      }
    })
  }

  it('PAT in each place of it picks WP and WT; the modes 4 and 6 are WB and UC-', () => {
    const modes = [CACHE_WB, CACHE_WC, CACHE_UC_MINUS, CACHE_UC]
    modes.push(CACHE_WB, CACHE_WP, CACHE_UC_MINUS, CACHE_WT)
    for (const [index, mode] of modes.entries()) {
      const low = (index & 1 ? 0x8 : 0) + (index & 2 ? 0x10 : 0)
      expect(X86_64_PAT.protOf(0x1 + low + (index & 4 ? 0x80 : 0), 0, 3)).toBe(PRESENT | mode)
      expect(X86_64_PAT.protOf(0x81 + low + (index & 4 ? 0x1000 : 0), 0, 2)).toBe(PRESENT | mode)
    }
    const plain = [CACHE_WB, CACHE_WT, CACHE_UC_MINUS, CACHE_UC]
    for (const [index, mode] of [...plain, ...plain].entries()) {
      const low = (index & 1 ? 0x8 : 0) + (index & 2 ? 0x10 : 0)
      expect(X86_64.protOf(0x1 + low + (index & 4 ? 0x80 : 0), 0, 3)).toBe(PRESENT | mode)
      expect(X86_64.protOf(0x81 + low + (index & 4 ? 0x1000 : 0), 0, 2)).toBe(PRESENT | mode)
    }
  })

  it('without 1 GiB leaves, NX or global entries their bits are reserved, or mean nothing', () => {
    const small = x86Format({ levels: 4, gbPages: false })
    expectTableBits(small, 1, 0x7n, ALL, [...lowTableBits('bad'), [12, 51, 'frame'], ...highBits])
    const old = x86Format({ levels: 4, nx: false, global: false })
    const low = lowLeafBits(false, '-').map(([first, last, effect]) => {
      return [first, last, effect === PROT_GLOBAL ? '-' : effect] as const
    })
    expectLeafBits(old, 3, 0x1n, PRESENT, [
      ...low,
      [12, 51, 'frame'],
      [52, 62, '-'],
      [63, 63, 'bad'],
    ])
    expectTableBits(old, 2, 0x7n, ALL, [
      ...lowTableBits('leaf'),
      [12, 51, 'frame'],
      [52, 62, '-'],
      [63, 63, 'bad'],
    ])
  })
})

describe('bits of an entry of i386', () => {
  it('2 levels: 32 bits, 4 MiB leaves', () => {
    expectLeafBits(I386, 1, 0x1n, PRESENT, [...lowLeafBits(false, '-'), [12, 31, 'frame']])
    expectLeafBits(I386, 0, 0x81n, PRESENT, [
      ...lowLeafBits(false, 'table'),
      [12, 12, '-'],
      [13, 21, 'bad'],
      [22, 31, 'frame'],
    ])
    expectTableBits(I386, 0, 0x7n, ALL, [...lowTableBits('leaf'), [12, 31, 'frame']])
  })

  it('PAE: the bits above the frame number are reserved', () => {
    const high: Rows = [
      [52, 62, 'bad'],
      [63, 63, PROT_EXEC],
    ]
    expectLeafBits(I386_PAE, 2, 0x1n, PRESENT, [
      ...lowLeafBits(false, '-'),
      [12, 51, 'frame'],
      ...high,
    ])
    expectLeafBits(I386_PAE, 1, 0x81n, PRESENT, [
      ...lowLeafBits(false, 'table'),
      [12, 12, '-'],
      [13, 20, 'bad'],
      [21, 51, 'frame'],
      ...high,
    ])
    expectTableBits(I386_PAE, 1, 0x7n, ALL, [...lowTableBits('leaf'), [12, 51, 'frame'], ...high])
  })

  it('PAE: a top-level entry is an address, P, PWT and PCD', () => {
    expectTableBits(I386_PAE, 0, 0x1n, ALL, [
      [0, 0, 'none'],
      [1, 2, 'bad'],
      [3, 4, '-'],
      [5, 8, 'bad'],
      [9, 11, '-'],
      [12, 51, 'frame'],
      [52, 63, 'bad'],
    ])
  })
})

it('an entry that is not present is none, whatever else it has', () => {
  for (const format of [...WIDE, I386, I386_PAE]) {
    for (let level = 0; level < format.levels.length; level++) {
      for (let bit = 1n; bit < 64n; bit++) {
        expect(format.kindOf(...halves(1n << bit), level)).toBe('none')
      }
      expect(format.kindOf(-2, -1, level)).toBe('none')
    }
  }
})
