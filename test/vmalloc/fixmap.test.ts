import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64 } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_SV39 } from '../../src/base/layouts'
import { GiB, MiB } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import type { FrameSource } from '../../src/page/frameSource'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_IO,
  PAGE_KERNEL_NOCACHE,
  type PageTableFormat,
  PROT_WRITE,
} from '../../src/paging/format'
import { PageTables } from '../../src/paging/pageTables'
import { I386, I386_PAE, X86_64 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { formatAddress } from '../../src/vmalloc/addresses'
import {
  clearFixmap,
  FIX_VSYSCALL,
  fixToVirt,
  setFixmap,
  virtToFix,
} from '../../src/vmalloc/fixmap'

const NARROW = layoutI386({ memory: GiB })
const PAE = layoutI386({ memory: GiB, pae: true })

function frames(): FrameSource {
  return frameSource(new BuddyAllocator({ ram: new PhysicalMemory({ size: 4 * MiB }) }))
}

function machine(format: PageTableFormat) {
  const flushes: [number, number][] = []
  const flush = {
    flushTlb: (start: number, end: number) => void flushes.push([start, end]),
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  return { tables: new PageTables(frames(), format, { flush }), flushes }
}

/** The entry of the last level as memory has it, its high half first. */
function entryAt(tables: PageTables, address: number): string {
  const { entries } = tables.walk(address)
  const entry = entries[tables.format.levels.length - 1]
  if (entry === undefined) return 'no table'
  const { ram } = tables.frames
  const bytes = [...ram.bytes(entry.entryAddress, tables.format.entryBytes)].reverse()
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

describe('slots of the fixmap', () => {
  it('go downwards from the top', () => {
    expect(formatAddress(LAYOUT_X86_64, fixToVirt(LAYOUT_X86_64, 0))).toBe('ffffffffff7ff000')
    const vsyscall = fixToVirt(LAYOUT_X86_64, FIX_VSYSCALL)
    expect(formatAddress(LAYOUT_X86_64, vsyscall)).toBe('ffffffffff600000')
    expect(fixToVirt(NARROW, 0)).toBe(0xfffff000)
    expect(fixToVirt(PAE, 3)).toBe(0xffffc000)
  })

  it('lie between the modules and the top, or above the CPU entry areas', () => {
    const lowest = fixToVirt(LAYOUT_X86_64, (LAYOUT_X86_64.fixmap?.slots ?? 0) - 1)
    expect(lowest).toBeGreaterThanOrEqual(LAYOUT_X86_64.modules?.end ?? 0)
    for (const layout of [NARROW, PAE]) {
      expect(fixToVirt(layout, (layout.fixmap?.slots ?? 0) - 1)).toBeGreaterThan(
        layout.cpuEntryArea,
      )
    }
  })

  it('come back from every address in them', () => {
    for (const layout of [LAYOUT_X86_64, NARROW, PAE]) {
      for (let index = 0; index < (layout.fixmap?.slots ?? 0); index++) {
        const address = fixToVirt(layout, index)
        expect(virtToFix(layout, address)).toBe(index)
        expect(virtToFix(layout, address + 4095)).toBe(index)
      }
      const lowest = fixToVirt(layout, (layout.fixmap?.slots ?? 0) - 1)
      for (const address of [
        lowest - 1,
        (layout.fixmap?.top ?? 0) + 4096,
        NaN,
        0.5,
        -1,
        '5' as never,
      ]) {
        expect(() => virtToFix(layout, address)).toThrow(InvalidArgument)
      }
      for (const index of [-1, layout.fixmap?.slots ?? 0, NaN, 0.5, '1' as never]) {
        expect(() => fixToVirt(layout, index)).toThrow(InvalidArgument)
      }
    }
    for (const layout of [LAYOUT_FLAT, LAYOUT_SV39]) {
      expect(() => fixToVirt(layout, 0)).toThrow('one with a fixmap')
      expect(() => virtToFix(layout, 0)).toThrow('one with a fixmap')
    }
  })
})

describe('setFixmap', () => {
  it.each([
    [LAYOUT_X86_64, X86_64, '80000000fee0017b', '80000000fec00173'],
    [PAE, I386_PAE, '80000000fee0017b', '80000000fec00173'],
    [NARROW, I386, 'fee0017b', 'fec00173'],
  ])('$name: maps a page, and another in its place', (layout, format, apic, ioApic) => {
    const { tables, flushes } = machine(format)
    const address = fixToVirt(layout, 3)
    expect(setFixmap(tables, layout, 3, 0xfee00000, PAGE_KERNEL_NOCACHE)).toBe(address)
    expect(entryAt(tables, address)).toBe(apic)
    expect(setFixmap(tables, layout, 3, 0xfec00123, PAGE_KERNEL_IO)).toBe(address + 0x123)
    expect(entryAt(tables, address)).toBe(ioApic)
    expect(tables.translate(address + 5)).toBe(0xfec00005)
    expect(entryAt(tables, fixToVirt(layout, 2))).toMatch(/^0+$/)
    expect(entryAt(tables, fixToVirt(layout, 4))).toMatch(/^0+$/)
    clearFixmap(tables, layout, 3)
    expect(entryAt(tables, address)).toMatch(/^0+$/)
    expect(tables.pfnAt(address)).toBe(-1)
    expect(flushes).toEqual(new Array(3).fill([address, address + 4096]))
  })

  it('returns null, and maps nothing, without a page for a table', () => {
    const source = frames()
    for (let left = 1; left < 4; left++) {
      let count = left
      const poor: FrameSource = {
        ...source,
        allocPages: (gfp, order, node) => (count-- > 0 ? source.allocPages(gfp, order, node) : -1),
      }
      const tables = new PageTables(poor, X86_64)
      expect(setFixmap(tables, LAYOUT_X86_64, 0, 0x1000, PAGE_KERNEL)).toBeNull()
      expect(tables.pfnAt(fixToVirt(LAYOUT_X86_64, 0))).toBe(-1)
      tables.destroy()
    }
  })

  it('refuses wrong arguments and leaves what is mapped', () => {
    const { tables } = machine(X86_64)
    const address = setFixmap(tables, LAYOUT_X86_64, 7, 0x5000, PAGE_KERNEL) ?? 0
    const set = (index: number, phys: number, prot: number) => () =>
      setFixmap(tables, LAYOUT_X86_64, index, phys, prot)
    const wrong: (() => unknown)[] = [set(-1, 0, PAGE_KERNEL), set(1024, 0, PAGE_KERNEL)]
    for (const phys of [-1, NaN, 0.5, 2 ** 52, '0' as never]) wrong.push(set(7, phys, PAGE_KERNEL))
    for (const prot of [-1, NaN, PROT_WRITE, 2 ** 32]) wrong.push(set(7, 0, prot))
    wrong.push(() => setFixmap(tables, PAE, 7, 0, PAGE_KERNEL))
    wrong.push(() => clearFixmap(tables, LAYOUT_X86_64, 1024))
    wrong.push(() => clearFixmap(tables, NARROW, 7))
    wrong.push(() => clearFixmap(null as never, LAYOUT_X86_64, 7))
    for (const call of wrong) expect(call).toThrow(InvalidArgument)
    expect(tables.translate(address)).toBe(0x5000)
    clearFixmap(tables, LAYOUT_X86_64, 8)
    expect(tables.translate(address)).toBe(0x5000)
  })
})
