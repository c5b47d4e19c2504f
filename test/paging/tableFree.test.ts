/** Which tables are given back, and what is left of the entries that pointed at them. */

import { describe, expect, it } from 'vitest'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { ARM64 } from '../../src/paging/arm64Format'
import { PAGE_KERNEL, PAGE_SHARED, type PageTableFormat } from '../../src/paging/format'
import type { PageTables } from '../../src/paging/pageTables'
import { I386, X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'

const MIB_2 = 2 * MiB
const GIB = 1024 * MiB
/** Not 0 in any index. */
const A = 5 * 512 * GIB + 6 * GIB + 7 * MIB_2 + 8 * PAGE_SIZE

/** Tables, the frames that they are in, and the flushes. */
function made(format: PageTableFormat, next = 0x100) {
  const frames = new TableFrames({ size: 4 * MiB, dirtyTracking: true }, next)
  const flushed: [number, number][] = []
  const flush = {
    flushTlb: (start: number, end: number) => flushed.push([start, end]),
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  const tables = tablesIn(frames, format, { flush, user: true })
  frames.asked()
  return { frames, tables, flushed }
}

/** Empty tables of the last level, at each of the addresses. */
function emptyAt(tables: PageTables, ...addresses: number[]): void {
  for (const address of addresses) {
    tables.mapPages(address, [1], 0, 1, PAGE_SHARED)
    tables.unmapRange(address, PAGE_SIZE)
  }
}

/** Levels of the table at which the walks to addresses end: deeper where there are more tables. */
function depths(tables: PageTables, ...addresses: number[]): number[] {
  return addresses.map((address) => tables.walk(address).entries.length - 1)
}

/** Where the low word of the entry of an address lies, at a level that its walk comes to. */
function wordOf(frames: TableFrames, tables: PageTables, address: number, level: number): number {
  return frames.ram.wordIndex(tables.walk(address).entries[level]!.entryAddress)
}

describe('freeEmptyTables', () => {
  it('looks at the tables of the range and at no others', () => {
    const { frames, tables, flushed } = made(X86_64)
    const four = [A - MIB_2, A, A + MIB_2, A + 2 * MIB_2] as const
    emptyAt(tables, ...four)
    expect(depths(tables, ...four)).toEqual([3, 3, 3, 3])
    frames.asked()
    // From the last byte of one to the first of the next.
    const start = A - (A % MIB_2)
    expect(tables.freeEmptyTables(start, start)).toBe(0)
    expect(tables.freeEmptyTables(start + MIB_2 - 1, start + MIB_2 + 1)).toBe(2)
    expect(depths(tables, ...four)).toEqual([3, 2, 2, 3])
    expect(frames.asked()).toEqual(['-104', '-105'])
    expect(flushed).toEqual([[start + MIB_2 - 1, start + MIB_2 + 1]])
    expect(tables.freeEmptyTables(start - MIB_2, start)).toBe(1)
    expect(depths(tables, ...four)).toEqual([2, 2, 2, 3])
    expect(tables.freeEmptyTables(start + 2 * MIB_2, start + 3 * MIB_2)).toBe(3)
    expect(depths(tables, ...four)).toEqual([0, 0, 0, 0])
    expect([tables.tableCount, tables.pmdTables]).toEqual([1, 0])
    expect(frames.live.size).toBe(1)
  })

  it('goes through several tables of each level', () => {
    const { frames, tables } = made(X86_64)
    const far = [A, A + GIB, A + 512 * GIB, A + 1024 * GIB]
    emptyAt(tables, ...far)
    tables.mapPages(A + GIB + MIB_2, [9], 0, 1, PAGE_SHARED)
    expect(tables.tableCount).toBe(1 + 3 + 4 + 5)
    expect(tables.freeEmptyTables(A, A + 513 * GIB)).toBe(2 + 1 + 3)
    expect(depths(tables, ...far)).toEqual([1, 2, 0, 3])
    expect(tables.pfnAt(A + GIB + MIB_2)).toBe(9)
    expect(tables.tableCount).toBe(1 + 2 + 2 + 2)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })

  it('stops at the end of a range whose last byte is no number', () => {
    const { tables } = made(X86_64_LA57)
    // From 2^56 on, numbers are 16 apart.
    const start = 2 ** 56
    emptyAt(tables, start, start + MIB_2)
    expect(tables.freeEmptyTables(start, start + MIB_2)).toBe(1)
    expect(depths(tables, start, start + MIB_2)).toEqual([3, 4])
    expect(tables.freeEmptyTables(start, 2 ** 57)).toBe(4)
    expect(tables.tableCount).toBe(1)
  })

  it('of two top tables takes each for its half', () => {
    const half = 2 ** 48
    const both = [half - PAGE_SIZE, half] as const
    const fresh = () => {
      const set = made(ARM64)
      emptyAt(set.tables, ...both)
      return set.tables
    }
    const low = fresh()
    expect(low.freeEmptyTables(0, half)).toBe(3)
    expect(depths(low, ...both)).toEqual([0, 3])
    const high = fresh()
    expect(high.freeEmptyTables(half, half + 1)).toBe(3)
    expect(depths(high, ...both)).toEqual([3, 0])
    const all = fresh()
    expect(all.freeEmptyTables(half - 1, half + 1)).toBe(6)
    expect(all.tableCount).toBe(2)
    const none = fresh()
    expect(none.freeEmptyTables(0, half - MIB_2)).toBe(0)
    expect(none.freeEmptyTables(half + MIB_2, 2 * half)).toBe(0)
    // The indices of the upper half, in the lower one.
    expect(none.freeEmptyTables(0, MIB_2)).toBe(0)
    expect(depths(none, ...both)).toEqual([3, 3])
  })

  it('takes entries of 4 bytes up to the last', () => {
    const { tables } = made(I386)
    const last = 2 ** 32 - PAGE_SIZE
    emptyAt(tables, 0, last)
    expect(tables.freeEmptyTables(0, 2 ** 32)).toBe(2)
    expect(tables.tableCount).toBe(1)
  })

  it('follows nothing that the processor would not follow', () => {
    // Not present, and a large leaf.
    for (const flip of [1, 0x80]) {
      const { frames, tables } = made(X86_64)
      emptyAt(tables, A)
      const word = wordOf(frames, tables, A, 2)
      frames.ram.words[word]! ^= flip
      const entry = frames.ram.words[word]
      frames.ram.clearDirty()
      expect(tables.freeEmptyTables(0, 2 ** 47)).toBe(0)
      expect(frames.ram.dirtyPages()).toEqual([])
      expect(frames.ram.words[word]).toBe(entry)
      expect(tables.tableCount).toBe(4)
    }
  })

  it('gives a table back from its own entry only', () => {
    const { frames, tables } = made(X86_64)
    emptyAt(tables, A, A + MIB_2)
    const [first, second] = [A, A + MIB_2].map((address) => wordOf(frames, tables, address, 2))
    // The second entry points at the first one's table as well.
    frames.ram.words[second!] = frames.ram.words[first!]!
    expect(tables.freeEmptyTables(A + MIB_2, A + 2 * MIB_2)).toBe(0)
    expect(tables.tableCount).toBe(5)
  })

  it('gives back a table that is frame 0', () => {
    const { frames, tables } = made(X86_64)
    tables.populate(A, A + 1, 1)
    frames.next = 0
    emptyAt(tables, A)
    expect(tables.levelOf(0)).toBe(3)
    expect(tables.freeEmptyTables(A, A + 1)).toBe(3)
    expect(frames.live.size).toBe(1)
  })
})

describe('destroy', () => {
  it('writes nothing into tables of its own', () => {
    const { frames, tables, flushed } = made(X86_64)
    tables.mapPages(A, [1, 2], 0, 2, PAGE_KERNEL)
    const word = wordOf(frames, tables, A, 0)
    const entry = frames.ram.words[word]
    frames.ram.clearDirty()
    tables.destroy()
    expect(frames.ram.dirtyPages()).toEqual([])
    expect(frames.ram.words[word]).toBe(entry)
    expect(flushed).toEqual([[0, 2 ** 48]])
    expect(tables.tableCount).toBe(0)
  })

  it('clears the entries in tables of somebody else, and those alone', () => {
    for (const format of [X86_64, I386]) {
      for (const root of [0, 0x80]) {
        const { frames, tables } = made(format, root)
        frames.next = 0x100
        const high = 2 ** 32 - 8 * MiB
        tables.mapPages(4 * MiB, [1], 0, 1, PAGE_SHARED)
        const other = tablesIn(frames, format, { root: tables.root })
        const { tableCount } = tables
        // The first entry of the top table, one between, and of x86_64 one that is not the top table's.
        if (format === I386) other.mapPages(0, [2], 0, 1, PAGE_SHARED)
        other.mapPages(high, [2], 0, 1, PAGE_SHARED)
        if (format === X86_64) other.mapPages(A, [3], 0, 1, PAGE_SHARED)
        expect(other.tableCount).toBeGreaterThan(0)
        other.destroy()
        expect(tables.pfnAt(4 * MiB)).toBe(1)
        expect(tables.walk(high).entries.at(-1)).toMatchObject({ kind: 'none', lo: 0, hi: 0 })
        expect(tables.walk(0).entries.at(-1)).toMatchObject({ kind: 'none', lo: 0, hi: 0 })
        if (format === X86_64) expect(depths(tables, A)).toEqual([0])
        expect(frames.live.size).toBe(tableCount)
      }
    }
  })

  it('leaves an entry of somebody else that points elsewhere by now', () => {
    const { frames, tables } = made(X86_64)
    const other = tablesIn(frames, X86_64, { root: tables.root })
    other.mapPages(A, [3], 0, 1, PAGE_SHARED)
    const word = wordOf(frames, tables, A, 0)
    frames.ram.words[word] = 0x3f0067
    other.destroy()
    expect(frames.ram.words[word]).toBe(0x3f0067)
  })

  it('can be called once', () => {
    const { tables } = made(X86_64)
    tables.destroy()
    expect(tables.root).toBe(-1)
    expect(() => tables.destroy()).toThrow(expect.objectContaining({ code: 'TABLES_DESTROYED' }))
  })
})
