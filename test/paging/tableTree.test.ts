/** The way down to an entry: what is made, what is in the way, what others do meanwhile, what is taken over. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { ARM64 } from '../../src/paging/arm64Format'
import { PAGE_KERNEL, PAGE_SHARED, type PageTableFormat } from '../../src/paging/format'
import { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTables } from '../../src/paging/pageTables'
import { I386, X86_64 } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'

const MIB_2 = 2 * MiB
const GIB = 1024 * MiB
/** Not 0 in any index. */
const A = 5 * 512 * GIB + 6 * GIB + 7 * MIB_2 + 8 * PAGE_SIZE

function made(format: PageTableFormat, next = 0x100) {
  const frames = new TableFrames({ size: 4 * MiB, dirtyTracking: true }, next)
  const tables = tablesIn(frames, format)
  frames.asked()
  return { frames, tables }
}

/** Where the words of the entry of an address lie, at a level that its walk comes to. */
function wordOf(frames: TableFrames, tables: PageTables, address: number, level: number): number {
  return frames.ram.wordIndex(tables.walk(address).entries[level]!.entryAddress)
}

/** Calls `react` at each request for a page, before that is served. */
function atRequests(frames: TableFrames, react: (request: number) => void): void {
  const give = frames.allocPages.bind(frames)
  let requests = 0
  frames.allocPages = (...request) => {
    react(requests++)
    return give(...request)
  }
}

describe('what is in the way', () => {
  it.each([
    ['the low half', 0x200, 0],
    ['the high half', 0, 4],
    ['both halves', 0x200, 4],
  ])('is an entry with bits in %s, at any level, and is left as it is', (_, lo, hi) => {
    for (const level of [0, 1, 2, 3]) {
      const { frames, tables } = made(X86_64)
      if (level > 0) tables.populate(A, A + 1, level - 1)
      const { words } = frames.ram
      const word = wordOf(frames, tables, A, level)
      words[word] = lo
      words[word + 1] = hi
      frames.asked()
      frames.ram.clearDirty()
      expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
      expect([words[word], words[word + 1]]).toEqual([lo, hi])
      expect(frames.asked()).toEqual([])
      if (level < 3) expect(frames.ram.dirtyPages()).toEqual([])
    }
  })

  it('is a large leaf of either size', () => {
    const { tables } = made(X86_64)
    expect(tables.mapRange(0, 0, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_OK)
    expect(tables.mapRange(GIB, GIB, GIB, PAGE_KERNEL, 30)).toBe(MAP_OK)
    const { tableCount } = tables
    for (const address of [PAGE_SIZE, GIB + PAGE_SIZE]) {
      expect(tables.mapPages(address, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
      expect(tables.populate(address, address + 1, 2)).toBe(MAP_BUSY)
    }
    expect(tables.tableCount).toBe(tableCount)
    expect(tables.pfnAt(GIB + PAGE_SIZE)).toBe(GIB / PAGE_SIZE + 1)
  })
})

describe('tables', () => {
  it('may be frame 0, at any level', () => {
    for (const level of [0, 1, 2, 3]) {
      const { frames, tables } = level === 0 ? made(X86_64, 0) : made(X86_64)
      if (level > 1) tables.populate(A, A + 1, level - 2)
      frames.next = level === 0 ? 0x100 : 0
      if (level > 0) {
        tables.populate(A, A + 1, level - 1)
        frames.next = 0x200
      }
      expect(tables.levelOf(0)).toBe(level)
      expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
      expect(tables.mapPages(A + MIB_2, [10], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
      expect([tables.pfnAt(A), tables.pfnAt(A + MIB_2)]).toEqual([9, 10])
      expect(tables.walk(A)).toMatchObject({ pfn: 9, leafLevel: 3, prot: PAGE_KERNEL })
      expect(tables.protectRange(A, PAGE_SIZE, PAGE_SHARED)).toBe(MAP_OK)
      expect(tables.mappings(A, A + 1)).toHaveLength(1)
      tables.destroy()
      expect(frames.live.size).toBe(0)
    }
  })

  it('have levels, by their frames', () => {
    const { tables } = made(ARM64)
    tables.mapPages(A, [1], 0, 1, PAGE_KERNEL)
    const frames = [0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 1, -1, 0.5]
    expect(frames.map((pfn) => tables.levelOf(pfn))).toEqual([0, 0, 1, 2, 3, -1, -1, -1, -1])
    tables.destroy()
    expect(tables.levelOf(0x100)).toBe(-1)
  })

  it('of AArch64 say whose they are', () => {
    // PXN of the user's, UXN of the kernel's: bits 59 and 60.
    for (const [user, high] of [
      [true, 1 << 27],
      [false, 1 << 28],
      [undefined, 1 << 28],
      [1, 1 << 28],
    ] as const) {
      const frames = new TableFrames({ size: 4 * MiB }, 0x100)
      const tables = tablesIn(frames, ARM64, user === undefined ? {} : { user: user as boolean })
      tables.mapPages(A, [1], 0, 1, PAGE_KERNEL)
      for (const { hi } of tables.walk(A).entries.slice(0, 3)) expect(hi).toBe(high)
    }
  })

  it('are not told to memory that does not ask', () => {
    const frames = new TableFrames({ size: 4 * MiB }, 0x100)
    const tables = tablesIn(frames, X86_64)
    frames.ram.markDirty = () => {
      throw new Error('not asked for')
    }
    expect(tables.mapPages(A, [1], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    tables.unmapRange(A, PAGE_SIZE)
    expect(tables.mapRange(A - (A % GIB), 0, GIB, PAGE_KERNEL, 30)).toBe(MAP_OK)
    expect(tables.protectRange(A, PAGE_SIZE, PAGE_SHARED)).toBe(MAP_OK)
  })
})

describe('who gives a page for a table', () => {
  it('may have mapped the same page meanwhile', () => {
    for (const format of [X86_64, I386]) {
      for (const request of format === I386 ? [0] : [0, 1, 2]) {
        const { frames, tables } = made(format)
        const at = format === I386 ? 2 ** 31 + PAGE_SIZE : A
        atRequests(frames, (number) => {
          if (number === request) tables.mapPages(at + PAGE_SIZE, [8], 0, 1, PAGE_KERNEL)
        })
        expect(tables.mapPages(at, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
        expect([tables.pfnAt(at), tables.pfnAt(at + PAGE_SIZE)]).toEqual([9, 8])
        // The page that was not needed has gone back.
        expect(tables.tableCount).toBe(format.levels.length)
        expect(frames.live.size).toBe(format.levels.length)
        expect(frames.asked().filter((line) => line.startsWith('-'))).toHaveLength(1)
      }
    }
  })

  it('may have put something else into the entry, in either half', () => {
    for (const [lo, hi] of [
      [0x200, 0],
      [0, 4],
    ] as const) {
      const { frames, tables } = made(X86_64)
      const { words } = frames.ram
      const word = wordOf(frames, tables, A, 0)
      atRequests(frames, () => {
        words[word] = lo
        words[word + 1] = hi
      })
      expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
      expect([words[word], words[word + 1]]).toEqual([lo, hi])
      expect([tables.tableCount, frames.live.size]).toEqual([1, 1])
    }
  })

  it('may have taken away what leads to the entry', () => {
    const { frames, tables } = made(X86_64)
    const word = wordOf(frames, tables, A, 0)
    atRequests(frames, (number) => {
      if (number === 1) frames.ram.words[word] = 0
    })
    // The page for an entry of the lost table goes back; the call makes as many tables as it could need, and no more.
    expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
    expect(frames.asked()).toEqual(['+101 dc0', '+102 dc0', '-102', '+102 dc0', '+103 dc0'])
    expect([0x102, 0x103].map((pfn) => tables.levelOf(pfn))).toEqual([1, 2])
    expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    expect([tables.pfnAt(A), tables.levelOf(0x104)]).toEqual([9, 3])
  })

  it('does not keep a call busy for ever', () => {
    const { frames, tables } = made(X86_64)
    const word = wordOf(frames, tables, A, 0)
    atRequests(frames, (number) => {
      if (number > 0) frames.ram.words[word] = 0
    })
    expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
    expect(frames.asked().filter((line) => line.startsWith('+'))).toHaveLength(4)
    expect(frames.live.size).toBe(tables.tableCount)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })

  it('may have none: what was made stays', () => {
    for (const failIn of [0, 1, 2]) {
      const { frames, tables } = made(X86_64)
      frames.failIn = failIn
      expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_NO_MEMORY)
      expect(tables.tableCount).toBe(1 + failIn)
      expect(tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
      expect(tables.tableCount).toBe(4)
    }
  })

  it('may throw at the second top table: the first goes back', () => {
    const frames = new TableFrames({ size: 4 * MiB }, 0)
    atRequests(frames, (number) => {
      if (number === 1) throw new Error('no')
    })
    expect(() => tablesIn(frames, ARM64)).toThrow('no')
    expect(frames.asked()).toEqual(['+0 dc0', '-0'])
  })
})

describe('top tables of somebody else', () => {
  it('have to be memory, both of them', () => {
    const { frames, tables } = made(ARM64)
    const { root } = tables
    for (const bad of [-1, 0.5, 1024, Number.NaN]) {
      expect(() => tablesIn(frames, ARM64, { root: bad })).toThrow(InvalidArgument)
      expect(() => tablesIn(frames, ARM64, { root, highRoot: bad })).toThrow(InvalidArgument)
      expect(() => tablesIn(frames, X86_64, { root, highRoot: bad })).toThrow(InvalidArgument)
      expect(() => tables.readopt(root, bad)).toThrow(InvalidArgument)
      expect(() => tables.readopt(bad, root)).toThrow(InvalidArgument)
    }
    expect(frames.asked()).toEqual([])
  })

  it('are one where the format has one', () => {
    const { frames, tables } = made(X86_64)
    tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)
    const other = tablesIn(frames, X86_64)
    other.mapPages(A, [7], 0, 1, PAGE_KERNEL)
    const both = { root: tables.root, highRoot: other.root }
    const adopted = tablesIn(frames, X86_64, { ...both, adopt: true })
    expect([adopted.highRoot, adopted.tableCount]).toEqual([tables.root, 4])
    expect(adopted.levelOf(other.root)).toBe(-1)
    adopted.readopt(other.root, -1)
    expect([adopted.root, adopted.highRoot, adopted.tableCount]).toEqual([
      other.root,
      other.root,
      4,
    ])
    adopted.readopt(other.root, tables.root)
    expect([adopted.highRoot, adopted.tableCount, adopted.pfnAt(A)]).toEqual([other.root, 4, 7])
  })
})

describe('tables that are taken over', () => {
  /** Tables that take over all that there is. */
  const adopt = (frames: TableFrames, { root, highRoot, format }: PageTables) =>
    tablesIn(frames, format, { root, highRoot, adopt: true })

  it('are what was made, each in its place', () => {
    for (const format of [X86_64, ARM64, I386]) {
      const { frames, tables } = made(format)
      const at = format === I386 ? 2 ** 31 + 5 * 2 ** 22 : A
      const high = 2 ** format.vaBits - 3 * PAGE_SIZE
      for (const address of [at, high]) {
        tables.mapPages(address, [9], 0, 1, PAGE_KERNEL)
        tables.unmapRange(address, PAGE_SIZE)
      }
      const other = adopt(frames, tables)
      for (const pfn of frames.live) expect(other.levelOf(pfn)).toBe(tables.levelOf(pfn))
      expect([other.tableCount, other.pmdTables]).toEqual([tables.tableCount, tables.pmdTables])
      expect(other.pmdTables).toBe(format === I386 ? 0 : 2)
      // Each can be given back from its entry.
      const deep = format.levels.length - 1
      expect(other.freeEmptyTables(at, at + 1)).toBe(deep)
      expect(other.freeEmptyTables(high, high + 1)).toBe(deep)
      expect(other.pmdTables).toBe(0)
      other.destroy()
      expect(frames.live.size).toBe(0)
    }
  })

  it('may be frame 0', () => {
    for (const level of [0, 2]) {
      const { frames, tables } = made(X86_64, level === 0 ? 0 : 0x100)
      if (level > 0) tables.populate(A, A + 1, 0)
      frames.next = level === 0 ? 0x100 : 0
      tables.populate(A, A + 1, 1)
      expect(tables.levelOf(0)).toBe(level)
      const other = adopt(frames, tables)
      expect(other.levelOf(0)).toBe(level)
      expect(other.tableCount).toBe(3)
    }
  })

  it('are only what the processor takes for tables', () => {
    const { frames, tables } = made(X86_64)
    tables.mapPages(A, [9], 0, 1, PAGE_KERNEL)
    tables.mapPages(A + MIB_2, [10], 0, 1, PAGE_KERNEL)
    // A large leaf, of a page that is handed out; and an entry that is not present.
    frames.live.add(0x200)
    tables.mapRange(A - (A % MIB_2) + 2 * MIB_2, 0x200 * PAGE_SIZE, MIB_2, PAGE_KERNEL, 21)
    expect(tables.walk(A + 2 * MIB_2).leafLevel).toBe(2)
    frames.ram.words[wordOf(frames, tables, A + MIB_2, 2)]! &= ~1
    const other = adopt(frames, tables)
    expect(other.levelOf(0x200)).toBe(-1)
    expect(other.levelOf(0x104)).toBe(-1)
    expect(other.tableCount).toBe(4)
  })

  it('are memory, handed out, and each only once, by its first entry', () => {
    const { frames, tables } = made(X86_64)
    for (const i of [0, 1, 2, 3]) tables.populate(A + i * MIB_2, A + i * MIB_2 + 1, 2)
    const { words } = frames.ram
    const [first, second, third, fourth] = [0, 1, 2, 3].map((i) =>
      wordOf(frames, tables, A + i * MIB_2, 2),
    )
    words[second!] = words[first!]!
    // A frame that is no memory, though the allocator says that it was handed out; and one that it did not hand out.
    frames.live.add(0x500)
    words[third!] = 0x500067
    words[fourth!] = 0x300067
    const other = adopt(frames, tables)
    expect([0x103, 0x104, 0x500, 0x300].map((pfn) => other.levelOf(pfn))).toEqual([3, -1, -1, -1])
    expect([other.tableCount, other.pmdTables]).toEqual([4, 1])
    expect(other.freeEmptyTables(A + MIB_2, A + MIB_2 + 1)).toBe(0)
    words[second!] = 0
    words[third!] = 0
    words[fourth!] = 0
    expect(other.freeEmptyTables(A, A + 1)).toBe(3)
  })
})
