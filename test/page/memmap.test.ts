import { describe, expect, it } from 'vitest'
import type { Pfn } from '../../src/base/units'
import { blockHead, compoundHead, flagsOrder, pageRecord, recordPfn } from '../../src/page/memmap'
import { badPageReport } from '../../src/page/pageDump'
import { PG_HEAD, PG_LOCKED, PG_REFERENCED } from '../../src/page/pageFlags'
import {
  HEADER_WORDS,
  PAGE_BUDDY,
  PAGE_FLAGS,
  PAGE_ORDER_SHIFT,
  PAGE_REFS,
  PAGE_WORDS,
} from '../../src/state/schema'

function memmap(): Int32Array {
  return new Int32Array(HEADER_WORDS + 2048 * PAGE_WORDS)
}

/** Makes `pfn` head a block. */
function head(words: Int32Array, pfn: number, order: number, flags: number, refs = 0): void {
  words[pageRecord(pfn) + PAGE_FLAGS] = flags | (order << PAGE_ORDER_SHIFT)
  words[pageRecord(pfn) + PAGE_REFS] = refs
}

describe('page records', () => {
  it('lie one behind the other, after the header', () => {
    for (const pfn of [0, 1, 2047, 2 ** 20]) {
      expect(pageRecord(pfn)).toBe(64 + 4 * pfn)
      expect(recordPfn(pageRecord(pfn))).toBe(pfn)
    }
  })

  it('have the order in bits 24 to 27', () => {
    expect(flagsOrder(0x03800000)).toBe(3)
    expect(flagsOrder(0x8a7fffff | 0)).toBe(10)
    expect(flagsOrder(0xf0ffffff | 0)).toBe(0)
  })
})

describe('blockHead', () => {
  it('is the head for each page of a block, free, in use, or on a list of a CPU', () => {
    for (const [flags, refs] of [
      [PAGE_BUDDY, 0],
      [0, 1],
      [0, -2],
    ] as const) {
      for (const order of [0, 1, 3, 10]) {
        const words = memmap()
        head(words, 1024, order, flags, refs)
        for (let pfn = 1024; pfn < 2048; pfn++) {
          const expected = pfn < 1024 + 2 ** order ? 1024 : -1
          if (blockHead(words, pfn) !== expected) expect.fail(`order ${order}, pfn ${pfn}`)
        }
        expect(blockHead(words, 1023)).toBe(-1)
      }
    }
  })

  it('is -1 where no block is, flags or not', () => {
    const words = memmap()
    head(words, 8, 0, PG_LOCKED)
    expect(blockHead(words, 8)).toBe(-1)
  })

  it('passes over a smaller block in front', () => {
    const words = memmap()
    head(words, 0, 1, PAGE_BUDDY)
    expect([0, 1, 2, 3].map((pfn) => blockHead(words, pfn))).toEqual([0, 0, -1, -1])
  })
})

describe('compoundHead', () => {
  it('is the head of a compound page, and the page itself in other blocks', () => {
    const words = memmap()
    head(words, 8, 2, PG_HEAD, 1)
    head(words, 16, 2, 0, 1)
    expect(compoundHead(words, 11 as Pfn)).toBe(8)
    expect(compoundHead(words, 19 as Pfn)).toBe(19)
    expect(compoundHead(words, 30 as Pfn)).toBe(30)
  })

  it('is frame 0 for a compound page at the start of memory', () => {
    const words = memmap()
    head(words, 0, 3, PG_HEAD, 1)
    expect(compoundHead(words, 7 as Pfn)).toBe(0)
  })
})

describe('badPageReport', () => {
  const place = { node: 1, zoneIndex: 2, cma: false }

  it('dumps a page in use', () => {
    const words = memmap()
    head(words, 0x20, 0, PG_LOCKED | PG_REFERENCED, 3)
    expect(badPageReport(words, 0x20, 'nonzero _refcount', place, 'init')).toEqual([
      'BUG: Bad page state in process init  pfn:00020',
      'page:ffffea0000000800 refcount:3 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x20',
      'flags: 0x600000000000003(locked|referenced|node=1|zone=2)',
      'raw: 0600000000000003 dead000000000100 dead000000000122 0000000000000000',
      'raw: 0000000000000000 0000000000000000 00000003ffffffff 0000000000000000',
      'page dumped because: nonzero _refcount',
    ])
  })

  it('tells a free page by its mapcount', () => {
    const words = memmap()
    head(words, 0x123, 0, PAGE_BUDDY)
    const first = { node: 0, zoneIndex: 1, cma: false }
    const [, page, flags] = badPageReport(words, 0x123, 'x', first, 'init')
    expect(page).toMatch(/^page:ffffea00000048c0 refcount:0 mapcount:-128 .* pfn:0x123$/)
    expect(flags).toBe('flags: 0x100000000000000(node=0|zone=1)')
  })

  it('says so of a page of CMA', () => {
    const lines = badPageReport(memmap(), 0x20, 'x', { ...place, cma: true }, 'init')
    expect(lines[2]).toMatch(/^flags: .* CMA$/)
  })

  it('names the head of a compound page', () => {
    const words = memmap()
    head(words, 0x40, 3, PG_HEAD, 1)
    const lines = badPageReport(words, 0x43, 'x', place, 'init')
    expect(lines[2]).toBe('head:ffffea0000001000 order:3 compound_mapcount:0 compound_pincount:0')
    expect(lines).toHaveLength(7)
  })
})
