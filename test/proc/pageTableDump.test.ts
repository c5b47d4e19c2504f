import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_ARM64, LAYOUT_SV39 } from '../../src/base/layouts'
import { MiB } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import { ARM64 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_IO,
  PAGE_KERNEL_RO,
  PAGE_KERNEL_ROX,
  PAGE_NONE,
  PAGE_SHARED_EXEC,
  type PageTableFormat,
} from '../../src/paging/format'
import { PageTables } from '../../src/paging/pageTables'
import { riscvFormat, SV39 } from '../../src/paging/riscvFormat'
import { I386, X86_64, X86_64_PAT } from '../../src/paging/x86Format'
import { formatPageTables } from '../../src/proc/pageTableDump'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

function empty(format: PageTableFormat): PageTables {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 2 * MiB }) })
  return new PageTables(frameSource(pages), format)
}

/** Three pages of the vmalloc window, one more behind a gap, a device, and a direct map of 4 MiB. */
function usual(format: PageTableFormat, layout: Layout): PageTables {
  const tables = empty(format)
  const { vmallocStart } = layout
  tables.mapPages(vmallocStart, [0x100, 0x101, 0x80], 0, 3, PAGE_KERNEL)
  tables.mapPages(vmallocStart + 0x4000, [0x90], 0, 1, PAGE_KERNEL_ROX)
  tables.mapPages(vmallocStart + 0x5000, [0x91], 0, 1, PAGE_KERNEL_RO)
  tables.mapRange(vmallocStart + 2 * MiB, 0xfe000000, 0x3000, PAGE_KERNEL_IO, 12)
  tables.mapRange(layout.directMapStart, 0, 4 * MiB, PAGE_KERNEL, 22)
  return tables
}

const lines = (...all: string[]) => all.map((line) => `${line}\n`).join('')

describe('page tables as text', () => {
  it('x86_64: all of the address space, empty runs at their level', () => {
    expect(formatPageTables(usual(X86_64, LAYOUT_X86_64), LAYOUT_X86_64)).toBe(
      lines(
        '---[ User Space ]---',
        '0x0000000000000000-0xffff800000000000    16777088T                               pgd',
        '---[ Kernel Space ]---',
        '0xffff800000000000-0xffff888000000000        8704G                               pgd',
        '---[ Low Kernel Mapping ]---',
        '0xffff888000000000-0xffff888000400000           4M     RW         PSE     GLB NX pmd',
        '0xffff888000400000-0xffff888040000000        1020M                               pmd',
        '0xffff888040000000-0xffff890000000000         511G                               pud',
        '0xffff890000000000-0xffffc90000000000          64T                               pgd',
        '---[ vmalloc() Area ]---',
        '0xffffc90000000000-0xffffc90000003000          12K     RW                 GLB NX pte',
        '0xffffc90000003000-0xffffc90000004000           4K                               pte',
        '0xffffc90000004000-0xffffc90000005000           4K     ro                 GLB x  pte',
        '0xffffc90000005000-0xffffc90000006000           4K     ro                 GLB NX pte',
        '0xffffc90000006000-0xffffc90000200000        2024K                               pte',
        '0xffffc90000200000-0xffffc90000203000          12K     RW     PCD         GLB NX pte',
        '0xffffc90000203000-0xffffc90000400000        2036K                               pte',
        '0xffffc90000400000-0xffffc90040000000        1020M                               pmd',
        '0xffffc90040000000-0xffffc98000000000         511G                               pud',
        '0xffffc98000000000-0xffffea0000000000       33280G                               pgd',
        '---[ Vmemmap ]---',
        '0xffffea0000000000-0x0000000000000000          22T                               pgd',
      ),
    )
  })

  it('RISC-V: what is mapped, and where to', () => {
    expect(formatPageTables(usual(SV39, LAYOUT_SV39), LAYOUT_SV39)).toBe(
      lines(
        '---[ vmemmap start ]---',
        '---[ vmalloc() area ]---',
        '0xffffffc800000000-0xffffffc800002000   0x0000000000100000         8K PTE        D A G . . W R V',
        '0xffffffc800002000-0xffffffc800003000   0x0000000000080000         4K PTE        D A G . . W R V',
        '0xffffffc800004000-0xffffffc800005000   0x0000000000090000         4K PTE        D A G . X . R V',
        '0xffffffc800005000-0xffffffc800006000   0x0000000000091000         4K PTE        D A G . . . R V',
        '0xffffffc800200000-0xffffffc800203000   0x00000000fe000000        12K PTE        D A G . . W R V',
        '---[ vmalloc() end ]---',
        '---[ Linear mapping ]---',
        '0xffffffd800000000-0xffffffd800400000   0x0000000000000000         4M PTE        D A G . . W R V',
        '---[ Modules/BPF mapping ]---',
      ),
    )
    const typed = riscvFormat({ mode: 'sv39', svpbmt: true })
    const start = LAYOUT_SV39.vmallocStart + 2 * MiB
    const range = { start, end: start + 2 * MiB }
    expect(formatPageTables(usual(typed, LAYOUT_SV39), LAYOUT_SV39, range)).toBe(
      lines(
        '---[ vmalloc() area ]---',
        '0xffffffc800200000-0xffffffc800203000   0x00000000fe000000        12K PTE IO     D A G . . W R V',
      ),
    )
  })

  it('AArch64: what is mapped, blocks, and the type of memory', () => {
    expect(formatPageTables(usual(ARM64, LAYOUT_ARM64), LAYOUT_ARM64)).toBe(
      lines(
        '---[ Linear Mapping start ]---',
        '0xffff000000000000-0xffff000000400000           4M PMD       RW NX SHD AF        BLK UXN    MEM/NORMAL',
        '---[ Linear Mapping end ]---',
        '---[ Modules start ]---',
        '---[ Modules end ]---',
        '---[ vmalloc() area ]---',
        '0xffff800008000000-0xffff800008003000          12K PTE       RW NX SHD AF            UXN    MEM/NORMAL',
        '0xffff800008004000-0xffff800008005000           4K PTE       ro x  SHD AF            UXN    MEM/NORMAL',
        '0xffff800008005000-0xffff800008006000           4K PTE       ro NX SHD AF            UXN    MEM/NORMAL',
        '0xffff800008200000-0xffff800008203000          12K PTE       RW NX SHD AF            UXN    DEVICE/nGnRE',
        '---[ vmalloc() end ]---',
        '---[ vmemmap start ]---',
      ),
    )
    const user = empty(ARM64)
    user.mapPages(0x400000, [0x80], 0, 1, PAGE_SHARED_EXEC)
    expect(formatPageTables(user, LAYOUT_ARM64, { end: MiB * MiB })).toBe(
      lines(
        '0x0000000000400000-0x0000000000401000           4K PTE   USR ro NX SHD AF NG                MEM/NORMAL',
      ),
    )
  })

  it('i386: 8 digits, 4 MiB leaves, parts at the top; one inside the last entry has no header', () => {
    const layout = layoutI386({ memory: 64 * MiB })
    expect(formatPageTables(usual(I386, layout), layout)).toBe(
      lines(
        '---[ User Space ]---',
        '0x00000000-0xc0000000           3G                               pgd',
        '---[ Kernel Mapping ]---',
        '0xc0000000-0xc0400000           4M     RW         PSE     GLB x  pgd',
        '0xc0400000-0xc4800000          68M                               pgd',
        '---[ vmalloc() Area ]---',
        '0xc4800000-0xc4803000          12K     RW                 GLB x  pte',
        '0xc4803000-0xc4804000           4K                               pte',
        '0xc4804000-0xc4806000           8K     ro                 GLB x  pte',
        '0xc4806000-0xc4a00000        2024K                               pte',
        '0xc4a00000-0xc4a03000          12K     RW     PCD         GLB x  pte',
        '0xc4a03000-0xc4c00000        2036K                               pte',
        '0xc4c00000-0xff400000         936M                               pgd',
        '---[ vmalloc() End ]---',
        '---[ Persistent kmap() Area ]---',
        '0xff400000-0xff800000           4M                               pgd',
        '---[ LDT remap ]---',
        '0xff800000-0xffc00000           4M                               pgd',
        '---[ CPU entry Area ]---',
        '0xffc00000-0x00000000           4M                               pgd',
      ),
    )
  })

  it('flags that are rare: user, PWT, PCD, PAT, refused entries, and no access as nothing', () => {
    const tables = empty(X86_64_PAT)
    tables.mapPages(0x400000, [0x80], 0, 1, PAGE_SHARED_EXEC)
    tables.mapPages(0x401000, [0x80], 0, 1, PAGE_NONE)
    tables.mapPages(0x402000, [0x80], 0, 1, PAGE_KERNEL | 0x400)
    const { entries } = tables.walk(0x400000)
    const pud = entries[1]
    if (pud === undefined) throw new Error('no such entry')
    const { ram } = tables.frames
    // Entry 1 of the same table: a leaf of 1 GiB whose frame number is no multiple of its size.
    ram.words[ram.wordIndex(pud.entryAddress) + 2] = 0x200083
    const range = { start: 0x400000, end: 0x80000000 }
    expect(formatPageTables(tables, LAYOUT_X86_64, range)).toBe(
      lines(
        '---[ User Space ]---',
        '0x0000000000400000-0x0000000000401000           4K USR RW                     x  pte',
        '0x0000000000401000-0x0000000000402000           4K                               pte',
        '0x0000000000402000-0x0000000000403000           4K     RW PWT PCD     PAT GLB NX pte',
        '0x0000000000403000-0x0000000000600000        2036K                               pte',
        '0x0000000000600000-0x0000000040000000        1018M                               pmd',
        '0x0000000040000000-0x0000000080000000           1G bad                           pud',
      ),
    )
  })

  it('without a sign extension addresses are as they are', () => {
    const text = formatPageTables(empty(X86_64), LAYOUT_FLAT)
    expect(text).toBe(
      lines(
        '---[ Low Kernel Mapping ]---',
        '0x0000000000000000-0x0000400000000000          64T                               pgd',
        '---[ vmalloc() Area ]---',
        '0x0000400000000000-0x0000ea0000000000         170T                               pgd',
        '---[ Vmemmap ]---',
        '0x0000ea0000000000-0x0001000000000000          22T                               pgd',
      ),
    )
  })

  it('says what it was told of pages, one by one', () => {
    const PAGES = 24
    const prots = [PAGE_KERNEL, PAGE_KERNEL_RO, PAGE_KERNEL_ROX]
    const start = LAYOUT_X86_64.vmallocStart + MiB * 2 - 0x8000
    const words = ['    RW                 GLB NX ', '    ro                 GLB NX ']
    words.push('    ro                 GLB x  ', ' '.repeat(30))
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: PAGES, maxLength: PAGES }),
        (kinds) => {
          const tables = empty(X86_64)
          // A page behind them, so that both tables of the last level are there.
          for (const [i, kind] of [...kinds, 0].entries()) {
            const prot = prots[kind]
            if (prot !== undefined) tables.mapPages(start + i * 4096, [i], 0, 1, prot)
          }
          tables.mapPages(start - 4096, [9], 0, 1, PAGE_KERNEL)
          const range = { start, end: start + PAGES * 4096 }
          const [header, ...rows] = formatPageTables(tables, LAYOUT_X86_64, range)
            .trimEnd()
            .split('\n')
          expect(header).toBe('---[ vmalloc() Area ]---')
          const said = rows.flatMap((row) => {
            const kib = Number.parseInt(row.slice(37, 50), 10)
            return Array.from({ length: kib / 4 }, () => words.indexOf(row.slice(51, 81)))
          })
          expect(said).toEqual(kinds)
          const changes = kinds.filter((kind, i) => i === 0 || kind !== kinds[i - 1]).length
          expect(rows.length).toBe(changes)
        },
      ),
      { numRuns: 40, seed: 1 },
    )
  })

  it('refuses a layout of another format, and ranges that are none', () => {
    const tables = empty(X86_64)
    expect(() => formatPageTables(tables, LAYOUT_SV39)).toThrow(InvalidArgument)
    for (const bad of [-4096, 1, 0.5, Number.NaN, 2 ** 48 + 4096, '0' as unknown as number]) {
      expect(() => formatPageTables(tables, LAYOUT_X86_64, { start: bad })).toThrow(InvalidArgument)
      expect(() => formatPageTables(tables, LAYOUT_X86_64, { end: bad })).toThrow(InvalidArgument)
    }
    const backwards = { start: 8192, end: 4096 }
    expect(() => formatPageTables(tables, LAYOUT_X86_64, backwards)).toThrow(InvalidArgument)
    expect(formatPageTables(tables, LAYOUT_X86_64, { start: 4096, end: 4096 })).toBe('')
  })
})
