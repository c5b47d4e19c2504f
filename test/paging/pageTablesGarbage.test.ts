/** Page tables that somebody else has written into: nothing is believed of them. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextRandom, randomBelow, seedRandom } from '../../src/base/prng'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { ARM64, ARM64_39 } from '../../src/paging/arm64Format'
import { PAGE_KERNEL, PAGE_KERNEL_RO, type PageTableFormat } from '../../src/paging/format'
import { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTables } from '../../src/paging/pageTables'
import { riscvFormat, SV39, SV57 } from '../../src/paging/riscvFormat'
import { entryIndex, frameOf, isTable, leafFrame, tablePlan } from '../../src/paging/tablePlan'
import { I386, I386_PAE, X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'

const FORMATS: [string, PageTableFormat][] = [
  X86_64,
  X86_64_LA57,
  I386,
  I386_PAE,
  SV39,
  SV57,
  riscvFormat({ mode: 'sv48', svpbmt: true }),
  ARM64,
  ARM64_39,
].map((format) => [format.name, format])

describe('the plan of a format', () => {
  const half = fc.oneof(fc.integer(), fc.nat(0xffff), fc.constant(0))

  it.each(FORMATS)('%s tells tables from the rest as the format does', (_name, format) => {
    const plan = tablePlan(format)
    const check = (lo: number, hi: number) => {
      for (let level = 0; level < plan.last; level++) {
        const kind = format.kindOf(lo, hi, level)
        if (isTable(plan, lo, hi, level) !== (kind === 'table')) {
          expect([lo, hi, level, isTable(plan, lo, hi, level)]).toEqual(kind)
        }
      }
    }
    const wide = format.entryBytes === 8
    for (let i = 0; i < 4096; i++) {
      for (let bit = 0; bit < (wide ? 32 : 1); bit++) check(i, wide ? 1 << bit : 0)
      check(i, 0)
    }
    fc.assert(fc.property(half, half, (lo, hi) => check(lo, wide ? hi : 0)))
  })

  it.each(FORMATS)('%s finds indices and frames', (_name, format) => {
    const plan = tablePlan(format)
    const { levels, pfnShift } = format
    const pages = fc.bigInt({ min: 0n, max: 2n ** BigInt(format.vaBits - 12) - 1n })
    const frames = fc.bigInt({ min: 0n, max: 2n ** BigInt(format.physBits - 12) - 1n })
    fc.assert(
      fc.property(pages, frames, (page, frame) => {
        levels.forEach(({ shift, bits }, level) => {
          const index = ((page << 12n) >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n)
          expect(entryIndex(plan, Number(page) * PAGE_SIZE + 4080, level)).toBe(Number(index))
          const whole = (frame >> BigInt(shift - 12)) << BigInt(shift - 12)
          const entry = (whole << BigInt(pfnShift)) | BigInt(2 ** (shift - 12 + pfnShift) - 1)
          const [lo, hi] = [Number(BigInt.asIntN(32, entry)), Number(entry >> 32n)]
          expect(leafFrame(plan, lo, hi, level)).toBe(Number(whole))
          if (shift === 12) expect(frameOf(plan, lo, hi)).toBe(Number(frame))
        })
      }),
    )
  })
})

/** Makes tables and writes rubbish into them: pointers anywhere, to tables, to the top, to no memory, and any bits. */
function spoiled(format: PageTableFormat, seed: number) {
  const random = new Int32Array(1)
  seedRandom(random, 0, seed)
  const below = (limit: number) => randomBelow(random, 0, limit)
  const frames = new TableFrames({ size: MiB }, 8)
  const tables = tablesIn(frames, format, {})
  const middle = 2 ** (format.vaBits - 1)
  const start = middle - 2 * MiB
  tables.mapRange(start, 0, 3 * MiB, PAGE_KERNEL, 12)
  tables.mapRange(start + 4 * MiB, 4 * MiB, 4 * MiB, PAGE_KERNEL, 64)
  const path = [start, middle - PAGE_SIZE, middle, start + 4 * MiB].flatMap((address) =>
    tables.walk(address).entries.map((entry) => entry.entryAddress),
  )
  const { words } = frames.ram
  const put = (address: number) => {
    const at = frames.ram.wordIndex(address)
    const pfn = below(3) === 0 ? 8 + below(12) : below(300)
    const bits = below(2) === 0 ? (words[at]! & 0x3ff) | 1 : below(4096)
    words[at] = below(8) === 0 ? nextRandom(random, 0) : bits | (pfn << format.pfnShift)
    if (format.entryBytes === 8) words[at + 1] = below(4) === 0 ? nextRandom(random, 0) : 0
  }
  for (let i = 0; i < 4; i++) put(path[below(path.length)] ?? 0)
  for (let i = 0; i < 400; i++) put((8 + below(12)) * PAGE_SIZE + below(512) * 8)
  return { frames, tables, start, below }
}

const CODES = [MAP_OK, MAP_BUSY, MAP_NO_MEMORY]

function callAnything(tables: PageTables, start: number, below: (limit: number) => number): void {
  const address = start + below(2048) * PAGE_SIZE
  const bytes = (1 + below(1024)) * PAGE_SIZE
  switch (below(9)) {
    case 0:
      expect(CODES).toContain(tables.mapPages(address, [1, 2, 3], 0, 3, PAGE_KERNEL))
      return
    case 1:
      expect(CODES).toContain(tables.mapRange(address, below(512) * PAGE_SIZE, bytes, 0x73, 64))
      return
    case 2:
      tables.mapRange(start + below(4) * 2 * MiB, 0, 2 * MiB, PAGE_KERNEL, 64)
      return
    case 3:
      tables.unmapRange(address, bytes, () => undefined)
      return
    case 4:
      expect(CODES).toContain(tables.protectRange(address, bytes, PAGE_KERNEL_RO))
      return
    case 5:
      expect(CODES).toContain(tables.splitAt(address))
      return
    case 6:
      tables.freeEmptyTables(0, 2 ** tables.format.vaBits)
      return
    case 7:
      expect(CODES).toContain(
        tables.populate(start, start + bytes, tables.format.levels.length - 2),
      )
      return
    default:
      tables.markUsed(address, true)
      tables.testAndClear(address, 0x60)
  }
}

describe('rubbish in tables', () => {
  it.each(FORMATS)('of %s is read as the format reads it, entry by entry', (_name, format) => {
    for (let seed = 0; seed < 20; seed++) {
      const { tables, start, below } = spoiled(format, seed)
      for (let i = 0; i < 100; i++) {
        const address = start + below(2048) * PAGE_SIZE + below(256) * 16
        expect(tables.translate(address)).toBe(tables.walk(address).physical ?? -1)
      }
    }
  })

  it.each(FORMATS)('of %s does no harm: frames are given back once, each', (_name, format) => {
    for (let seed = 100; seed < 130; seed++) {
      const { frames, tables, start, below } = spoiled(format, seed)
      for (let i = 0; i < 30; i++) {
        callAnything(tables, start, below)
        expect(tables.tableCount).toBe(frames.live.size)
      }
      tables.forEachLeaf(start, start + 8 * MiB, () => undefined)
      tables.destroy()
      expect(frames.live.size).toBe(0)
    }
  })

  it('that is adopted is adopted once', () => {
    for (let seed = 200; seed < 230; seed++) {
      const { frames, tables } = spoiled(X86_64, seed)
      const other = tablesIn(frames, X86_64, { root: tables.root, adopt: true })
      expect(other.tableCount).toBeLessThanOrEqual(frames.live.size)
      const left = frames.live.size - other.tableCount
      other.destroy()
      expect(frames.live.size).toBe(left)
    }
  })
})

describe('entries that somebody else wrote', () => {
  const S = 0xc90000000000
  const GIB = 1024 * MiB

  function made() {
    const frames = new TableFrames({ size: MiB }, 8)
    const tables = tablesIn(frames, X86_64, {})
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    const place = (level: number, index = 0) => {
      const table = tables.walk(S).entries[level]?.tablePfn ?? -1
      return frames.ram.wordIndex(table * PAGE_SIZE + index * 8)
    }
    return { frames, tables, words: frames.ram.words, place }
  }

  it('are not followed out of memory, nor written through', () => {
    const { frames, tables, words, place } = made()
    for (const pfn of [256, 0x80000]) {
      words[place(2)] = (pfn << 12) | 0x67
      expect(tables.walk(S).entries.at(-1)).toMatchObject({ level: 2, kind: 'bad' })
      expect(tables.translate(S)).toBe(-1)
      expect(tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
      expect(tables.mapRange(S, 0, 2 * MiB, PAGE_KERNEL, 64)).toBe(MAP_BUSY)
      expect(words[place(2)]! >>> 12).toBe(pfn)
      expect(frames.ram.bytes(0, 8 * PAGE_SIZE).every((byte) => byte === 0)).toBe(true)
    }
    words[place(2)] = (256 << 12) | 0x67
    tables.unmapRange(S, PAGE_SIZE)
    expect(words[place(2)]).toBe(0)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })

  it('do not give a table back by a way that it was not put there', () => {
    const { frames, tables, words, place } = made()
    tables.unmapRange(S, PAGE_SIZE)
    // The PTE table a second time, and the PMD table.
    words[place(2, 1)] = words[place(2)]!
    words[place(1, 1)] = words[place(1)]!
    const used = frames.live.size
    expect(tables.freeEmptyTables(S + 2 * MiB, S + 4 * MiB)).toBe(0)
    expect(tables.freeEmptyTables(S + GIB, S + GIB + 1)).toBe(0)
    expect(tables.mapRange(S + 2 * MiB, 0, 2 * MiB, PAGE_KERNEL, 21)).toBe(MAP_OK)
    expect(tables.walk(S + 2 * MiB).leafLevel).toBe(3)
    expect(frames.live.size).toBe(used)
  })

  it('keep frames apart from a bit that only large leaves have', () => {
    const { frames, tables } = made()
    tables.mapRange(S + 2 * MiB, 4 * MiB, 2 * MiB, PAGE_KERNEL, 21)
    const { entryAddress } = tables.walk(S + 2 * MiB).entries[2] ?? { entryAddress: -1 }
    // PAT, which means nothing in a format without it.
    frames.ram.words[frames.ram.wordIndex(entryAddress)]! |= 0x1000
    expect(tables.translate(S + 2 * MiB + 5)).toBe(4 * MiB + 5)
    expect(tables.splitAt(S + 2 * MiB + PAGE_SIZE)).toBe(MAP_OK)
    const pages = [0, 1, 2].map((page) => tables.pfnAt(S + 2 * MiB + page * PAGE_SIZE))
    expect(pages).toEqual([1024, 1025, 1026])
  })
})
