/** Page tables: the entries and the order of pages of spec/vmalloc.md §13.6 and §13.7, and every method by hand. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug, OutOfMemory } from '../../src/base/errors'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { frameSource } from '../../src/buddy/frameSource'
import { BuddyAllocator, PhysicalMemory } from '../../src/index'
import { ARM64 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_RO,
  PAGE_KERNEL_ROX,
  PAGE_NONE,
  PAGE_READONLY,
  PAGE_SHARED,
  type PageTableFormat,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_SPECIAL,
  PROT_WRITE,
} from '../../src/paging/format'
import { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, PageTables } from '../../src/paging/pageTables'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64 } from '../../src/paging/x86Format'
import { freePagesOf, zonesOf } from '../buddy/machines'
import { TableFrames, tablesIn } from './tableFrames'

/** Where vmalloc space starts on x86_64. */
const S = 0xc90000000000
const MIB_2 = 2 * MiB
const GIB = 1024 * MiB

/** Page tables, their frames, and what was flushed. */
function made(format: PageTableFormat, next = 0x100, user = false) {
  const frames = new TableFrames({ size: 64 * MiB, dirtyTracking: true }, next)
  const flushed: [number, number][] = []
  const flush = {
    flushTlb(start: number, end: number) {
      flushed.push([start, end])
      frames.log.push('flush')
    },
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  const tables = tablesIn(frames, format, { flush, user })
  frames.asked()
  return { frames, tables, flushed }
}

/** The entries of a walk, in hexadecimal. */
function entriesOf(tables: PageTables, address: number): string[] {
  return tables.walk(address).entries.map(({ lo, hi }) => {
    const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
    return value.toString(16)
  })
}

describe('the derived examples', () => {
  /** A kernel's tables at boot: those below the top level are there for all of vmalloc space. */
  function booted() {
    const set = made(X86_64)
    set.tables.populate(S, 0xe8ffffffffff, 0)
    expect(set.frames.asked()).toHaveLength(64)
    set.frames.next = 0x2000
    return set
  }

  it('map a first page: PMD table, PTE table, and the entries of §13.7', () => {
    const { frames, tables, flushed } = booted()
    expect(tables.mapPages(S, [0x1234], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['+2000 dc0', '+2001 dc0'])
    // The PUD tables follow the top one, frame 0x100.
    expect(entriesOf(tables, S)).toEqual(['101067', '2000067', '2001067', '8000000001234163'])
    expect(entriesOf(tables, S + 4096)[3]).toBe('0')
    expect(tables.walk(S).entries.map(({ index }) => index)).toEqual([402, 0, 0, 0])
    expect(tables.pmdTables).toBe(1)
    expect(tables.translate(S + 0x123)).toBe(0x1234123)
    expect(tables.translate(S + 4096)).toBe(-1)
    expect(tables.mapPages(S + 0x2000, [0x99], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    expect(frames.asked()).toEqual([])
    expect(flushed).toEqual([])
  })

  it('unmap it: only the entry of the page changes', () => {
    const { frames, tables, flushed } = booted()
    tables.mapPages(S, [0x1234], 0, 1, PAGE_KERNEL)
    frames.asked()
    let points = 0
    tables.unmapRange(S, PAGE_SIZE, () => points++)
    expect(entriesOf(tables, S)).toEqual(['101067', '2000067', '2001067', '0'])
    expect(points).toBe(1)
    expect(frames.asked()).toEqual([])
    expect(flushed).toEqual([])
  })

  it('put a large leaf for a chunk of a huge vmalloc', () => {
    const { frames, tables } = booted()
    expect(tables.mapRange(S, 0x4000000, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['+2000 dc0'])
    expect(entriesOf(tables, S)).toEqual(['101067', '2000067', '80000000040001e3'])
    expect(tables.translate(S + 0x123456)).toBe(0x4123456)
    expect(tables.walk(S + 0x123456)).toMatchObject({
      pfn: 0x4123,
      physical: 0x4123456,
      prot: PAGE_KERNEL,
      leafLevel: 2,
      bytes: MIB_2,
    })
  })

  it('make tables in the order of addresses, from the top down', () => {
    const { frames, tables } = booted()
    // From 4 KiB below the end of a gigabyte to 4 KiB into the second 2 MiB of the next.
    const pfns = Array.from({ length: 514 }, (_, i) => 0x3000 + i)
    expect(tables.mapPages(S + GIB - PAGE_SIZE, pfns, 0, 514, PAGE_KERNEL)).toBe(MAP_OK)
    const order = ['PMD', 'PTE', 'PMD', 'PTE', 'PTE']
    expect(frames.asked()).toEqual(order.map((_, i) => `+${(0x2000 + i).toString(16)} dc0`))
    const names = (address: number) =>
      tables.walk(address).entries.map(({ name, tablePfn }) => `${name} ${tablePfn.toString(16)}`)
    expect(names(S + GIB - PAGE_SIZE)).toEqual(['PGD 100', 'PUD 101', 'PMD 2000', 'PTE 2001'])
    expect(names(S + GIB)).toEqual(['PGD 100', 'PUD 101', 'PMD 2002', 'PTE 2003'])
    expect(names(S + GIB + MIB_2)).toEqual(['PGD 100', 'PUD 101', 'PMD 2002', 'PTE 2004'])
    expect(tables.pmdTables).toBe(2)
  })
})

describe('large leaves', () => {
  it('replace a PTE table that is left over, after a flush of its first page', () => {
    const { frames, tables, flushed } = made(X86_64)
    tables.mapPages(S, [1, 2, 3], 0, 3, PAGE_KERNEL)
    const pte = tables.walk(S).entries[3]?.tablePfn ?? -1
    expect(tables.mapRange(S, 0, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_BUSY)
    tables.unmapRange(S, 3 * PAGE_SIZE)
    frames.asked()
    expect(tables.mapRange(S, 0, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['flush', `-${pte.toString(16)}`])
    expect(flushed).toEqual([[S, S + PAGE_SIZE]])
    expect(entriesOf(tables, S)[2]).toBe('80000000000001e3')
  })

  it('replace a PMD table: a page remembers the entries, PTE tables go first', () => {
    const { frames, tables, flushed } = made(X86_64)
    tables.populate(S, S + GIB, 1)
    tables.mapPages(S + 3 * MIB_2, [7], 0, 1, PAGE_KERNEL)
    tables.mapPages(S + MIB_2, [8], 0, 1, PAGE_KERNEL)
    tables.unmapRange(S, GIB)
    // Top 100, PUD 101, PMD 102, and the PTE tables in the order of their making.
    expect(frames.asked()).toEqual(['+101 dc0', '+102 dc0', '+103 dc0', '+104 dc0'])
    expect(tables.pmdTables).toBe(1)
    expect(tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 30)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['+105 cc0', 'flush', '-104', '-103', '-105', '-102'])
    expect(flushed).toEqual([[S, S + PAGE_SIZE]])
    expect(tables.pmdTables).toBe(0)
    expect(entriesOf(tables, S + 12345)).toEqual(['101067', '80000000400001e3'])
    expect(tables.translate(S + 0x12345678)).toBe(GIB + 0x12345678)
  })

  it('are smaller ones without the page that remembers, and where something is mapped', () => {
    const { frames, tables } = made(X86_64)
    tables.populate(S, S + GIB, 1)
    frames.failIn = 0
    expect(tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 64)).toBe(MAP_OK)
    expect(tables.walk(S)).toMatchObject({ leafLevel: 2, bytes: MIB_2, pfn: 0x40000 })
    expect(tables.translate(S + GIB - 1)).toBe(2 * GIB - 1)
    expect(tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 64)).toBe(MAP_BUSY)
  })

  it('are smaller ones over a table of somebody else, even an empty one', () => {
    const { frames, tables } = made(X86_64)
    tables.populate(S, S + 1, 1)
    const { entryAddress = -1 } = tables.walk(S).entries[2] ?? {}
    const foreign = 0x200
    frames.ram.writeU32(entryAddress, foreign * PAGE_SIZE + 0x67)
    const own = frames.live.size
    expect(tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 64)).toBe(MAP_OK)
    expect(tables.walk(S)).toMatchObject({ leafLevel: 3, pfn: 0x40000 })
    expect(tables.walk(S + MIB_2)).toMatchObject({ leafLevel: 2, pfn: 0x40200 })
    expect(tables.walk(S).entries[3]?.tablePfn).toBe(foreign)
    expect(frames.live.size).toBe(own)
  })

  it('obey the largest size, alignment and the range', () => {
    const { tables } = made(X86_64)
    const levelAt = (address: number) => tables.walk(address).leafLevel
    tables.mapRange(S, 0, GIB, PAGE_KERNEL, 12)
    expect(levelAt(S)).toBe(3)
    tables.mapRange(S + GIB, 0, GIB, PAGE_KERNEL, 29)
    expect(levelAt(S + GIB)).toBe(2)
    // The frames are off by a page.
    tables.mapRange(S + 2 * GIB, PAGE_SIZE, MIB_2, PAGE_KERNEL, 64)
    expect(levelAt(S + 2 * GIB)).toBe(3)
    // Pages, three large leaves, pages.
    const start = S + 3 * GIB - PAGE_SIZE
    tables.mapRange(start, MIB_2 - PAGE_SIZE, 3 * MIB_2 + 2 * PAGE_SIZE, PAGE_KERNEL, 64)
    const at = [0, 1, 2 * 512, 3 * 512, 3 * 512 + 1]
    expect(at.map((page) => levelAt(start + page * PAGE_SIZE))).toEqual([3, 2, 2, 2, 3])
    // Riscv has them, but a kernel's mappings do not use them.
    const riscv = made(SV39).tables
    riscv.mapRange(0, 0, MIB_2, PAGE_KERNEL, 64)
    expect(riscv.walk(0).leafLevel).toBe(2)
  })

  it('are refused on i386 where a table is left over', () => {
    for (const [format, bytes] of [
      [I386_PAE, MIB_2],
      [I386, 2 * MIB_2],
    ] as const) {
      const { frames, tables, flushed } = made(format)
      tables.mapRange(0xc0000000, 0, bytes, PAGE_KERNEL, 64)
      expect(tables.walk(0xc0000000).leafLevel).toBe(format.levels.length - 2)
      tables.unmapRange(0xc0000000, PAGE_SIZE)
      expect(tables.walk(0xc0000000).entries).toHaveLength(format.levels.length - 1)
      tables.mapPages(0xc0000000, [1], 0, 1, PAGE_KERNEL)
      tables.unmapRange(0xc0000000, PAGE_SIZE)
      frames.asked()
      expect(tables.mapRange(0xc0000000, 0, bytes, PAGE_KERNEL, 64)).toBe(MAP_OK)
      expect(tables.walk(0xc0000000).leafLevel).toBe(format.levels.length - 1)
      expect(frames.asked()).toEqual([])
      expect(flushed).toEqual([])
    }
  })

  it('go as a whole when a range touches them, unless they are split before', () => {
    const { tables } = made(X86_64)
    tables.mapRange(S, 0, 2 * MIB_2, PAGE_KERNEL, 21)
    tables.unmapRange(S + PAGE_SIZE, PAGE_SIZE)
    expect(tables.translate(S)).toBe(-1)
    expect(tables.translate(S + MIB_2)).toBe(MIB_2)
    expect(tables.splitAt(S + MIB_2 + PAGE_SIZE)).toBe(MAP_OK)
    expect(tables.splitAt(S + MIB_2 + 2 * PAGE_SIZE)).toBe(MAP_OK)
    tables.unmapRange(S + MIB_2 + PAGE_SIZE, PAGE_SIZE)
    const pages = [0, 1, 2].map((page) => tables.pfnAt(S + MIB_2 + page * PAGE_SIZE))
    expect(pages).toEqual([512, -1, 514])
  })
})

describe('splitting', () => {
  it('splits at both ends of a range, or not at all', () => {
    const { frames, tables } = made(X86_64)
    tables.mapRange(S, GIB, 2 * MIB_2, PAGE_KERNEL, 21)
    const before = frames.live.size
    frames.failIn = 1
    expect(tables.splitAt(S + PAGE_SIZE, MIB_2)).toBe(MAP_NO_MEMORY)
    expect(frames.live.size).toBe(before)
    expect(tables.walk(S)).toMatchObject({ bytes: MIB_2 })
    expect(tables.splitAt(S + PAGE_SIZE, MIB_2)).toBe(MAP_OK)
    expect(frames.live.size).toBe(before + 2)
    expect(tables.walk(S + 2 * MIB_2 - 1)).toMatchObject({ bytes: PAGE_SIZE })
    expect(tables.translate(S + 2 * MIB_2 - 1)).toBe(GIB + 2 * MIB_2 - 1)
  })
})

describe('unmapRange', () => {
  it('has a point behind each part with a PTE table, none for large leaves and holes', () => {
    const { tables } = made(X86_64)
    tables.mapRange(S, 0, MIB_2, PAGE_KERNEL, 21)
    tables.mapPages(S + 2 * MIB_2, [5], 0, 1, PAGE_KERNEL)
    tables.mapPages(S + 3 * MIB_2, [6], 0, 1, PAGE_KERNEL)
    const left: number[][] = []
    tables.unmapRange(S, 5 * MIB_2, () => {
      left.push([2, 3].map((part) => tables.pfnAt(S + part * MIB_2)))
    })
    expect(left).toEqual([
      [-1, 6],
      [-1, -1],
    ])
    tables.unmapRange(0, 2 ** 48, () => left.push([]))
    expect(left).toHaveLength(4)
  })
})

describe('a mapping that fails', () => {
  it('does so at an entry of which only the upper half is set', () => {
    const { frames, tables } = made(X86_64)
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    const { entryAddress = -1 } = tables.walk(S).entries[3] ?? {}
    frames.ram.writeU32(entryAddress + 2 * 8 + 4, 1)
    expect(tables.firstUsed(S + PAGE_SIZE, 4 * PAGE_SIZE)).toBe(S + 2 * PAGE_SIZE)
    expect(tables.mapPages(S + PAGE_SIZE, [2, 3, 4], 0, 3, PAGE_KERNEL)).toBe(MAP_BUSY)
    expect(tables.translate(S + PAGE_SIZE)).toBe(2 * PAGE_SIZE)
    expect(frames.ram.readU32(entryAddress + 2 * 8)).toBe(0)
    expect(frames.ram.readU32(entryAddress + 2 * 8 + 4)).toBe(1)
    expect(tables.translate(S + 3 * PAGE_SIZE)).toBe(-1)
  })

  it('has been foretold by firstUsed, for large leaves too', () => {
    const { tables } = made(X86_64)
    tables.mapRange(S + MIB_2, 0, MIB_2, PAGE_KERNEL, 21)
    expect(tables.firstUsed(S, GIB)).toBe(S + MIB_2)
    expect(tables.firstUsed(S + MIB_2 + 5 * PAGE_SIZE, PAGE_SIZE)).toBe(S + MIB_2 + 5 * PAGE_SIZE)
    expect(tables.firstUsed(S, MIB_2)).toBe(-1)
  })

  it('keeps what was written, and leaves what was there alone', () => {
    const { tables } = made(X86_64)
    tables.mapPages(S + 2 * PAGE_SIZE, [9], 0, 1, PAGE_KERNEL)
    expect(tables.mapPages(S, [1, 2, 3, 4], 0, 4, PAGE_KERNEL_RO)).toBe(MAP_BUSY)
    const found = [0, 1, 2, 3].map((page) => tables.pfnAt(S + page * PAGE_SIZE))
    expect(found).toEqual([1, 2, 9, -1])
    expect(tables.mapRange(S + 3 * PAGE_SIZE, 0, MIB_2, PAGE_KERNEL, 12)).toBe(MAP_OK)
    expect(tables.mapRange(S + PAGE_SIZE, 0, PAGE_SIZE, PAGE_KERNEL, 12)).toBe(MAP_BUSY)
    // A page that nobody may use is mapped too.
    tables.protectRange(S, PAGE_SIZE, PAGE_NONE)
    expect(tables.translate(S)).toBe(-1)
    expect(tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
    // A large leaf is in the way of pages.
    tables.mapRange(S + GIB, 0, MIB_2, PAGE_KERNEL, 21)
    expect(tables.mapPages(S + GIB, [1], 0, 1, PAGE_KERNEL)).toBe(MAP_BUSY)
    expect(tables.populate(S + GIB, S + GIB + 1, 2)).toBe(MAP_BUSY)
  })
})

describe('protectRange', () => {
  it('keeps frames and what a page has been used for, through no access at all', () => {
    for (const format of [X86_64, I386, I386_PAE, SV39, ARM64]) {
      const { tables, flushed } = made(format)
      tables.mapPages(0x400000, [1, 2, 3], 0, 3, PAGE_SHARED)
      tables.mapPages(0x404000, [4], 0, 1, PAGE_SHARED | PROT_SPECIAL | PROT_DIRTY)
      const prots = () => [0, 1, 2, 3, 4].map((page) => tables.walk(0x400000 + page * 4096).prot)
      const before = prots()
      tables.protectRange(0x401000, 4 * PAGE_SIZE, PAGE_NONE)
      expect(prots().slice(1)).toEqual([0, 0, 0, 0])
      expect(tables.pfnAt(0x401000)).toBe(-1)
      tables.protectRange(0x401000, 4 * PAGE_SIZE, PAGE_SHARED)
      expect(prots()).toEqual(before)
      expect([0, 1, 2, 3, 4].map((page) => tables.pfnAt(0x400000 + page * 4096))).toEqual([
        1, 2, 3, -1, 4,
      ])
      expect(flushed).toEqual([
        [0x401000, 0x405000],
        [0x401000, 0x405000],
      ])
      tables.protectRange(0x500000, PAGE_SIZE, PAGE_NONE)
      expect(flushed).toHaveLength(2)
    }
  })

  it('splits a gigabyte into just the tables that it takes', () => {
    const { frames, tables } = made(X86_64)
    tables.mapRange(S, GIB, GIB, PAGE_KERNEL, 30)
    frames.asked()
    // Both ends in one 2 MiB: a PMD table and one PTE table.
    expect(tables.protectRange(S + PAGE_SIZE, PAGE_SIZE, PAGE_KERNEL_ROX)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['+102 dc0', '+103 dc0', 'flush'])
    const sample = [0, 1, 2, 511, 512, 262143].map((page) => tables.walk(S + page * PAGE_SIZE))
    expect(sample.map(({ pfn }) => pfn)).toEqual(
      [0, 1, 2, 511, 512, 262143].map((page) => 262144 + page),
    )
    expect(sample.map(({ prot }) => prot === PAGE_KERNEL_ROX)).toEqual([
      false,
      true,
      false,
      false,
      false,
      false,
    ])
    expect(sample.map(({ leafLevel }) => leafLevel)).toEqual([3, 3, 3, 3, 2, 2])
    // Whole 2 MiB leaves stay as they are; the ends are in two others.
    expect(tables.protectRange(S + 3 * MIB_2 + 4096, 2 * MIB_2, PAGE_KERNEL_RO)).toBe(MAP_OK)
    expect(frames.asked()).toEqual(['+104 dc0', '+105 dc0', 'flush'])
    expect(tables.walk(S + 4 * MIB_2)).toMatchObject({ leafLevel: 2, prot: PAGE_KERNEL_RO })
    expect(tables.pmdTables).toBe(1)
  })

  it('moves the bits that lie elsewhere in a large leaf', () => {
    const { tables } = made(X86_64)
    tables.mapRange(S, 0x4000000, MIB_2, PAGE_KERNEL, 21)
    expect(tables.splitAt(S)).toBe(MAP_OK)
    expect(entriesOf(tables, S)[2]).toBe('80000000040001e3')
    expect(tables.splitAt(S + 5 * PAGE_SIZE)).toBe(MAP_OK)
    expect(entriesOf(tables, S + 5 * PAGE_SIZE)[3]).toBe('8000000004005163')
  })
})

describe('accessed and dirty', () => {
  it('are set as the processor sets them, and taken away', () => {
    for (const format of [X86_64, I386, I386_PAE, SV39, ARM64]) {
      const { frames, tables } = made(format)
      const both = PROT_ACCESSED | PROT_DIRTY
      const bits = (address: number) => tables.walk(address).prot & both
      tables.mapPages(0x400000, [1, 2], 0, 2, PAGE_SHARED & ~PROT_ACCESSED)
      tables.mapPages(0x402000, [3], 0, 1, PAGE_READONLY & ~PROT_ACCESSED)
      expect(bits(0x400000)).toBe(0)
      expect(tables.markUsed(0x400123, false)).toBe(true)
      expect(bits(0x400000)).toBe(PROT_ACCESSED)
      expect(tables.markUsed(0x401fff, true)).toBe(true)
      expect(bits(0x401000)).toBe(both)
      expect(tables.markUsed(0x402000, true)).toBe(true)
      expect(bits(0x402000)).toBe(PROT_ACCESSED)
      expect(tables.markUsed(0x403000, true)).toBe(false)
      expect(tables.testAndClear(0x401000, PROT_DIRTY)).toBe(PROT_DIRTY)
      expect(bits(0x401000)).toBe(PROT_ACCESSED)
      expect(tables.testAndClear(0x401000, both)).toBe(PROT_ACCESSED)
      expect(bits(0x401000)).toBe(0)
      expect(tables.testAndClear(0x403000, both)).toBe(0)
      // What has neither is not written.
      frames.ram.clearDirty()
      expect(tables.testAndClear(0x401000, both)).toBe(0)
      expect(frames.ram.dirtyPages()).toEqual([])
      // Without NX everything can be executed.
      const exec = format === I386 ? PROT_EXEC : 0
      expect(tables.walk(0x401000).prot & ~both).toBe((PAGE_SHARED & ~both) | exec)
      expect(tables.pfnAt(0x401000)).toBe(2)
    }
  })

  it('of AArch64: a write clears bit 7, as DBM allows, and leaves the mark of the kernel', () => {
    const { tables } = made(ARM64)
    tables.mapPages(0, [1], 0, 1, PAGE_SHARED)
    const before = entriesOf(tables, 0)[3] ?? ''
    tables.markUsed(0, true)
    const after = entriesOf(tables, 0)[3] ?? ''
    expect(BigInt(`0x${before}`) ^ BigInt(`0x${after}`)).toBe(0x80n)
  })

  it('of AArch64 without DBM: what is writable stays so, and counts as dirty', () => {
    const { frames, tables } = made(ARM64)
    tables.mapPages(0, [1], 0, 1, PAGE_SHARED | PROT_DIRTY)
    const { entryAddress = -1 } = tables.walk(0).entries[3] ?? {}
    const high = frames.ram.wordIndex(entryAddress) + 1
    frames.ram.words[high]! &= ~0x80000
    const before = entriesOf(tables, 0)[3] ?? ''
    expect(tables.testAndClear(0, PROT_DIRTY)).toBe(PROT_DIRTY)
    // The kernel's own note is gone, AP2 is not set.
    const after = entriesOf(tables, 0)[3] ?? ''
    expect(BigInt(`0x${before}`) ^ BigInt(`0x${after}`)).toBe(0x80000000000000n)
    expect(tables.walk(0).prot & (PROT_WRITE | PROT_DIRTY)).toBe(PROT_WRITE | PROT_DIRTY)
  })
})

describe('forEachLeaf', () => {
  it('visits what a range touches, in order', () => {
    for (const format of [X86_64, ARM64]) {
      const { tables } = made(format)
      const half = 2 ** (format.vaBits - 1)
      tables.mapPages(half - PAGE_SIZE, [1, 2], 0, 2, PAGE_KERNEL)
      tables.mapRange(half + MIB_2, MIB_2, MIB_2, PAGE_KERNEL_RO, 21)
      const leaves = (start: number, end: number) => {
        const found: number[][] = []
        tables.forEachLeaf(start, end, (address, bytes, pfn, prot, _lo, _hi, level) => {
          found.push([address - half, bytes, pfn, prot, level])
        })
        return found
      }
      const all = [
        [-4096, 4096, 1, PAGE_KERNEL, 3],
        [0, 4096, 2, PAGE_KERNEL, 3],
        [MIB_2, MIB_2, 512, PAGE_KERNEL_RO, 2],
      ]
      expect(leaves(0, 2 * half)).toEqual(all)
      expect(leaves(half - 1, half + MIB_2 + 1)).toEqual(all)
      expect(leaves(half, half + MIB_2)).toEqual(all.slice(1, 2))
      expect(leaves(half + MIB_2 + 5, half + MIB_2 + 5)).toEqual([])
      expect(leaves(half + MIB_2 + 5, half + MIB_2 + 6)).toEqual(all.slice(2))
    }
  })
})

describe('tables given back', () => {
  it('are those that are empty, deepest first, behind one flush', () => {
    const { frames, tables, flushed } = made(X86_64, 0x100, true)
    tables.mapPages(0x400000, [1], 0, 1, PAGE_SHARED)
    tables.mapPages(0x800000, [2], 0, 1, PAGE_SHARED)
    tables.mapPages(0x7f0000000000, [3], 0, 1, PAGE_SHARED)
    tables.unmapRange(0x400000, PAGE_SIZE)
    tables.unmapRange(0x7f0000000000, PAGE_SIZE)
    frames.asked()
    expect(tables.tableCount).toBe(8)
    expect(tables.freeEmptyTables(0, 0x600000)).toBe(1)
    expect(frames.asked()).toEqual(['flush', '-103'])
    expect(flushed).toEqual([[0, 0x600000]])
    expect(tables.freeEmptyTables(0, 2 ** 47)).toBe(3)
    expect(frames.asked()).toEqual(['flush', '-107', '-106', '-105'])
    expect(tables.translate(0x800000)).toBe(0x2000)
    expect(tables.pmdTables).toBe(1)
    expect(tables.freeEmptyTables(0, 2 ** 47)).toBe(0)
    expect(flushed).toHaveLength(2)
  })

  it('are those of the upper half, where only that is touched', () => {
    const { frames, tables } = made(ARM64)
    for (const address of [0, 2 ** 48]) {
      tables.mapPages(address, [1], 0, 1, PAGE_KERNEL)
      tables.unmapRange(address, PAGE_SIZE)
    }
    frames.asked()
    expect(tables.freeEmptyTables(2 ** 48, 2 ** 48 + MIB_2)).toBe(3)
    expect(tables.tableCount).toBe(5)
    expect(tables.freeEmptyTables(0, MIB_2)).toBe(3)
    expect(tables.tableCount).toBe(2)
  })

  it('are all of them at the end, and the tables are of no use then', () => {
    const { frames, tables, flushed } = made(ARM64)
    tables.mapPages(0x400000, [1], 0, 1, PAGE_SHARED)
    tables.mapPages(2 ** 48, [2], 0, 1, PAGE_KERNEL)
    frames.asked()
    tables.destroy()
    expect(flushed).toEqual([[0, 2 ** 49]])
    const freed = ['104', '107', '103', '106', '102', '105', '100', '101']
    expect(frames.asked()).toEqual(['flush', ...freed.map((pfn) => `-${pfn}`)])
    expect(frames.live.size).toBe(0)
    expect(tables.pmdTables).toBe(0)
    expect(() => tables.destroy()).toThrow(KernelBug)
    expect(() => tables.translate(0)).toThrow(KernelBug)
    expect(() => tables.walk(0)).toThrow(KernelBug)
    expect(() => tables.mapPages(0, [1], 0, 1, PAGE_KERNEL)).toThrow(KernelBug)
    expect(() => tables.unmapRange(0, 4096)).toThrow(KernelBug)
    expect(() => tables.forEachLeaf(0, 4096, () => undefined)).toThrow(KernelBug)
  })

  it('are given back even when a listener throws', () => {
    for (const end of ['destroy', 'freeEmptyTables'] as const) {
      const { frames, tables } = made(X86_64)
      const stop = tables.listen({
        flushTlb: () => {
          throw new Error('no')
        },
        flushCacheMap() {},
        flushCacheUnmap() {},
      })
      tables.populate(S, S + 1, 2)
      expect(() => tables[end](S, S + 1)).toThrow('no')
      expect(frames.live.size).toBe(end === 'destroy' ? 0 : 1)
      stop()
      if (end === 'freeEmptyTables') expect(tables.freeEmptyTables(S, S + 1)).toBe(0)
    }
  })

  it('leave a top table of somebody else as it was', () => {
    const { frames, tables } = made(X86_64)
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    const other = tablesIn(frames, X86_64, { root: tables.root })
    expect(other.translate(S)).toBe(0x1000)
    expect(other.tableCount).toBe(0)
    other.mapPages(0x400000, [2], 0, 1, PAGE_KERNEL)
    expect(tables.translate(0x400000)).toBe(0x2000)
    // What another made is not given back for a large leaf.
    tables.unmapRange(S, PAGE_SIZE)
    other.mapRange(S, 0, MIB_2, PAGE_KERNEL, 21)
    expect(other.walk(S).leafLevel).toBe(3)
    other.destroy()
    expect(tables.translate(0x400000)).toBe(-1)
    expect(tables.walk(0x400000).entries[0]?.lo).toBe(0)
    expect(tables.translate(S)).toBe(0)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })

  it('may have been adopted', () => {
    const { frames, tables } = made(ARM64)
    tables.mapPages(2 ** 48, [1], 0, 1, PAGE_KERNEL)
    tables.mapPages(MIB_2, [1], 0, 1, PAGE_KERNEL)
    tables.unmapRange(2 ** 48, PAGE_SIZE)
    const { root, highRoot, tableCount, pmdTables } = tables
    const other = tablesIn(frames, ARM64, { root, highRoot, adopt: true })
    expect([other.tableCount, other.pmdTables]).toEqual([tableCount, pmdTables])
    expect(other.mapRange(2 ** 48, 0, MIB_2, PAGE_KERNEL, 21)).toBe(MAP_OK)
    expect(other.walk(2 ** 48).leafLevel).toBe(2)
    other.destroy()
    expect(frames.live.size).toBe(0)
  })
})

describe('tables of another moment', () => {
  it.each([X86_64, ARM64, I386])('are gone on from: %o', (format) => {
    const { frames, tables, flushed } = made(format)
    const high = 2 ** format.vaBits - PAGE_SIZE
    tables.mapPages(high, [1], 0, 1, PAGE_KERNEL)
    tables.mapPages(0, [2], 0, 1, PAGE_KERNEL)
    const other = tablesIn(frames, format)
    expect(() => other.readopt(-1)).toThrow(InvalidArgument)
    if (format.twoRoots) expect(() => other.readopt(tables.root, -1)).toThrow(InvalidArgument)
    expect(other.translate(0)).toBe(-1)
    const forgotten = [other.root, other.highRoot]
    other.readopt(tables.root, tables.highRoot)
    expect(other.translate(high)).toBe(PAGE_SIZE)
    expect(other.translate(0)).toBe(2 * PAGE_SIZE)
    expect([other.tableCount, other.pmdTables]).toEqual([tables.tableCount, tables.pmdTables])
    tables.readopt(tables.root, tables.highRoot)
    expect(flushed).toEqual([[0, 2 ** format.vaBits]])
    tables.destroy()
    expect([...frames.live]).toEqual([...new Set(forgotten)])
  })

  it('are none to adopt where no root is named', () => {
    const frames = new TableFrames({ size: MiB })
    const tables = tablesIn(frames, X86_64, { adopt: true })
    expect(tables.tableCount).toBe(1)
    tables.destroy()
    expect(frames.live.size).toBe(0)
  })
})

describe('the mask', () => {
  it('is what the tables are asked for with, cleared pages always', () => {
    const { frames, tables } = made(X86_64)
    tables.gfp = 0xc40
    tables.mapPages(S, [1], 0, 1, PAGE_KERNEL)
    expect(frames.asked()).toEqual(['+101 d40', '+102 d40', '+103 d40'])
    expect(() => {
      tables.gfp = -1
    }).toThrow(InvalidArgument)
    expect(tables.gfp).toBe(0xc40)
  })
})

describe('memory', () => {
  it('is told what was written', () => {
    const { frames, tables } = made(X86_64)
    tables.mapRange(S, 0, 3 * MIB_2, PAGE_KERNEL, 12)
    const written = (change: () => void) => {
      frames.ram.clearDirty()
      change()
      return frames.ram.dirtyPages()
    }
    expect(written(() => tables.protectRange(S, 2 * MIB_2, PAGE_KERNEL_RO))).toEqual([0x103, 0x104])
    expect(written(() => tables.unmapRange(S + MIB_2, 2 * MIB_2))).toEqual([0x104, 0x105])
    expect(written(() => tables.mapPages(S + MIB_2, [1], 0, 1, PAGE_KERNEL))).toEqual([0x104])
    expect(written(() => tables.testAndClear(S, PROT_DIRTY))).toEqual([0x103])
    expect(written(() => tables.markUsed(S, false))).toEqual([])
  })

  it('may grow, be shared, or lie in several pieces', () => {
    for (const shared of [false, true]) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 8, shared })
      const frames = new TableFrames({ memory }, 12)
      Object.assign(frames, { maxPfn: 128 })
      const tables = tablesIn(frames, SV39)
      // The second table of the last level lies in memory that is added on demand.
      const give = frames.allocPages.bind(frames)
      frames.allocPages = (gfp, order, node) => {
        if (frames.next === 16) frames.ram.grow(65536)
        return give(gfp, order, node)
      }
      expect(tables.mapRange(MIB_2 - 4096, 4096, 2 * MIB_2, PAGE_KERNEL, 12)).toBe(MAP_OK)
      expect(frames.live.has(16)).toBe(true)
      expect(tables.translate(2 * MIB_2 + 5)).toBe(MIB_2 + 8192 + 5)
      tables.destroy()
      expect(frames.live.size).toBe(0)
    }
    const frames = new TableFrames({
      map: [
        { base: 0x3000, size: 0x3000, type: 'usable' },
        { base: 0x8000, size: 0x10000, type: 'usable' },
      ],
    })
    const order = [9, 4, 10, 3, 5, 8]
    frames.allocPages = () => order.shift() ?? -1
    frames.freePages = () => undefined
    const tables = tablesIn(frames, X86_64)
    expect(tables.mapPages(0, [77], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    expect(tables.mapPages(MIB_2, [78], 0, 1, PAGE_KERNEL)).toBe(MAP_OK)
    expect([tables.pfnAt(0), tables.pfnAt(MIB_2)]).toEqual([77, 78])
    expect(entriesOf(tables, MIB_2).slice(0, 3)).toEqual(['4067', 'a067', '5067'])
  })
})

describe('bad input', () => {
  const bad = [-4096, 1, 0.5, Number.NaN, 2 ** 48 + 4096, Number.POSITIVE_INFINITY, '4096', null]

  it('throws and changes nothing', () => {
    const { frames, tables } = made(X86_64)
    const refused = (call: () => unknown) => expect(call).toThrow(InvalidArgument)
    for (const value of bad as number[]) {
      refused(() => tables.mapPages(value, [1], 0, 1, PAGE_KERNEL))
      refused(() => tables.mapRange(value, 0, 4096, PAGE_KERNEL, 12))
      refused(() => tables.mapRange(0, 0, value, PAGE_KERNEL, 12))
      refused(() => tables.unmapRange(value, 4096))
      refused(() => tables.unmapRange(0, value))
      refused(() => tables.protectRange(value, 4096, PAGE_KERNEL))
      refused(() => tables.protectRange(0, value, PAGE_KERNEL))
      refused(() => tables.splitAt(value))
      refused(() => tables.splitAt(0, value))
      refused(() => tables.firstUsed(value, 4096))
      refused(() => tables.firstUsed(0, value))
      refused(() => tables.listen(value as never))
      if (value === 1) continue
      refused(() => tables.translate(value))
      refused(() => tables.walk(value))
      refused(() => tables.markUsed(value, true))
      refused(() => tables.populate(value, 4096, 0))
      refused(() => tables.forEachLeaf(0, value, () => undefined))
      refused(() => tables.freeEmptyTables(0, value))
      refused(() => tables.mappings(0, value))
    }
    const frame = [-1, 0.5, Number.NaN, 2 ** 40, '1', undefined] as number[]
    for (const pfn of frame) refused(() => tables.mapPages(0, [1, pfn], 0, 2, PAGE_KERNEL))
    for (const phys of [-4096, 1, 2 ** 52, Number.NaN]) {
      refused(() => tables.mapRange(0, phys, 4096, PAGE_KERNEL, 12))
    }
    refused(() => tables.mapPages(0, [1], 0, 2, PAGE_KERNEL))
    refused(() => tables.mapPages(0, [1], -1, 1, PAGE_KERNEL))
    refused(() => tables.mapPages(2 ** 48 - 4096, [1, 2], 0, 2, PAGE_KERNEL))
    refused(() => tables.mapPages(0, null as unknown as number[], 0, 1, PAGE_KERNEL))
    for (const prot of [-1, 0x602, 2 ** 32, Number.NaN]) {
      refused(() => tables.mapPages(0, [1], 0, 1, prot))
      refused(() => tables.mapRange(0, 0, 4096, prot, 12))
      refused(() => tables.protectRange(0, 4096, prot))
    }
    for (const shift of [11, 65, 12.5]) {
      refused(() => tables.mapRange(0, 0, 4096, PAGE_KERNEL, shift))
    }
    for (const level of [-1, 3, 0.5]) refused(() => tables.populate(0, 4096, level))
    for (const bits of [-1, 1, 0x61, 0x80]) refused(() => tables.testAndClear(0, bits))
    expect(frames.asked()).toEqual([])
    expect(tables.tableCount).toBe(1)
    expect(tables.mapPages(0, [1], 0, 0, PAGE_KERNEL)).toBe(MAP_OK)
    expect(tables.mapRange(2 ** 48, 0, 0, PAGE_KERNEL, 12)).toBe(MAP_OK)
    expect(tables.tableCount).toBe(1)
  })

  it('of a constructor leaks nothing', () => {
    const frames = new TableFrames({ size: MiB })
    for (const root of [-1, 0.5, 256, Number.NaN]) {
      expect(() => tablesIn(frames, X86_64, { root })).toThrow(InvalidArgument)
    }
    expect(() => tablesIn(frames, X86_64, { gfp: 0.5 })).toThrow(InvalidArgument)
    const none = new TableFrames({ size: MiB, content: false })
    expect(() => tablesIn(none, X86_64)).toThrow(InvalidArgument)
    for (const failIn of [0, 1]) {
      frames.failIn = failIn
      expect(() => tablesIn(frames, ARM64)).toThrow(OutOfMemory)
      expect(frames.live.size).toBe(0)
    }
  })
})

describe('a buddy allocator', () => {
  it('gets all pages back', () => {
    const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 16 * MiB }) })
    const free = () => {
      pages.drainAllPages()
      return zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
    }
    const before = free()
    const tables = new PageTables(frameSource(pages), X86_64)
    expect(tables.mapRange(S, 0, 64 * MiB, PAGE_KERNEL, 12)).toBe(MAP_OK)
    // 16 MiB of memory have no room for the tables of 16 GiB.
    expect(tables.mapRange(S + GIB, 0, 16 * GIB, PAGE_KERNEL, 12)).toBe(MAP_NO_MEMORY)
    tables.destroy()
    expect(free()).toBe(before)
  })
})
