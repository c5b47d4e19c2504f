import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug, OutOfMemory } from '../../src/base/errors'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import { GFP_KERNEL } from '../../src/page/gfp'
import { AddressSpace } from '../../src/paging/addressSpace'
import { ARM64 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_EXEC,
  PAGE_NONE,
  PAGE_READONLY,
  PAGE_SHARED,
  PAGE_SHARED_EXEC,
  type PageTableFormat,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_READ,
  PROT_WRITE,
} from '../../src/paging/format'
import { ACCESS_EXECUTE, ACCESS_READ, PageFault } from '../../src/paging/pageFault'
import { PageTables } from '../../src/paging/pageTables'
import { SV39, SV48 } from '../../src/paging/riscvFormat'
import type { AddressSpaceOptions } from '../../src/paging/spaceOptions'
import { I386, I386_PAE, X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { FORMATS, machine, numbers, type Source, scattered, thrown } from './spaces'

const BASE = 0x10000000
const MIB = 1048576
const DATA = PAGE_SHARED | PROT_DIRTY

/** Bytes of a large leaf of the lowest level that has one, or 0. */
function largeOf(format: PageTableFormat): number {
  const large = format.levels.filter(({ leaf, shift }) => leaf && shift > 12)
  const last = large[large.length - 1]
  return format.hugeLeaves && last !== undefined ? 2 ** last.shift : 0
}

describe.each(FORMATS)('%s', (_name, format) => {
  it('maps frames where it is told, shows them, and gives everything back', () => {
    const { pages, source } = machine()
    const space = new AddressSpace(source, { format, user: true })
    const pfns = scattered(pages, 5)
    expect(space.map(BASE, pfns[0] ?? 0, 1, DATA)).toBe(true)
    expect(space.mapPages(BASE + 0x2000, pfns.slice(1), PAGE_READONLY)).toBe(true)
    expect(space.map(0x1000, 100, 3, PAGE_SHARED)).toBe(true)
    expect(space.translate(BASE + 0x123)).toBe((pfns[0] ?? 0) * 4096 + 0x123)
    expect(space.translate(BASE + 0x1000)).toBe(null)
    expect(space.translate(BASE + 0x3004)).toBe((pfns[2] ?? 0) * 4096 + 4)
    expect(space.walk(BASE).pfn).toBe(pfns[0])
    expect(space.mappings()[0]).toMatchObject({ address: 0x1000, bytes: 0x3000, pfn: 100 })
    const total = space.mappings().reduce((sum, { bytes }) => sum + bytes, 0)
    expect(total).toBe(8 * 4096)
    expect(source.live.has(space.root)).toBe(true)
    expect(source.live.has(space.highRoot)).toBe(true)

    expect(space.unmap(BASE, 0x1000)).toBe(true)
    expect(space.translate(BASE)).toBe(null)
    expect(space.unmap(0, 0x7fff000)).toBe(true)
    expect(
      space.mappings().every(({ address }) => address === BASE + 0x2000 || address > BASE),
    ).toBe(true)
    space.unmap(BASE, 0x10000)
    expect(space.mappings()).toEqual([])
    // Only the top tables are left, and these go as well.
    expect(source.live.size).toBe(format.twoRoots ? 2 : 1)
    space.destroy()
    expect(source.live.size).toBe(0)
  })

  it('maps a device and memory by large leaves, and splits them at the edges', () => {
    const large = largeOf(format)
    if (large === 0) return
    const { source } = machine()
    const space = new AddressSpace(source, { format })
    const at = 3 * large
    expect(space.mapRange(at, 5 * large, 2 * large + 4096, PAGE_KERNEL)).toBe(true)
    expect(space.walk(at).bytes).toBe(large)
    expect(space.walk(at + 2 * large).bytes).toBe(4096)
    expect(space.mappings()).toMatchObject([{ address: at, bytes: 2 * large + 4096 }])
    expect(space.unmap(at + large - 4096, 8192)).toBe(true)
    expect(space.translate(at + large - 4097)).toBe(6 * large - 4097)
    expect(space.translate(at + large - 4096)).toBe(null)
    expect(space.translate(at + large + 4095)).toBe(null)
    expect(space.translate(at + large + 4096)).toBe(6 * large + 4096)
    expect(space.protect(at + large + 4096, 4096, PAGE_KERNEL_EXEC)).toBe(true)
    expect(space.mappings().map(({ address, bytes }) => [address - at, bytes])).toEqual(
      format === I386
        ? // Everything may be executed there.
          [
            [0, large - 4096],
            [large + 4096, large],
          ]
        : [
            [0, large - 4096],
            [large + 4096, 4096],
            [large + 8192, large - 4096],
          ],
    )
    expect(space.mapRange(8 * large, 0, large, PAGE_KERNEL, 12)).toBe(true)
    expect(space.walk(8 * large).bytes).toBe(4096)
    space.destroy()
    expect(source.live.size).toBe(0)
  })

  it('refuses to map over what is mapped, even over pages that nobody may use', () => {
    const { pages, source } = machine()
    const space = new AddressSpace(source, { format })
    const pfns = scattered(pages, 8)
    space.map(BASE + 0x3000, 9, 1, PAGE_NONE)
    const before = { tables: source.live.size, mappings: space.mappings() }
    for (const call of [
      () => space.map(BASE, 50, 8, PAGE_SHARED),
      () => space.mapPages(BASE, pfns, PAGE_SHARED),
      () => space.mapRange(BASE + 0x3000, 0x5000, 4096, PAGE_SHARED),
    ]) {
      expect(thrown(call)).toMatchObject({
        code: 'ALREADY_MAPPED',
        message: 'address 0x10003000 is mapped already',
      })
      expect({ tables: source.live.size, mappings: space.mappings() }).toEqual(before)
    }
    expect(before.mappings).toEqual([{ address: BASE + 0x3000, bytes: 4096, pfn: 9, prot: 0 }])
    expect(thrown(() => space.loadU8(BASE + 0x3000))).toMatchObject({ reason: 'unmapped' })
    expect(space.protect(BASE + 0x3000, 4096, PAGE_KERNEL)).toBe(true)
    expect(space.translate(BASE + 0x3000)).toBe(9 * 4096)
  })

  it('takes marks page by page, and sees them set again', () => {
    for (const tlb of [0, 16]) {
      const { pages, source } = machine()
      const space = new AddressSpace(source, { format, user: true, tlb })
      space.mapPages(BASE, scattered(pages, 4), PAGE_SHARED & ~PROT_ACCESSED)
      const marks = () =>
        [0, 1, 2, 3].map((page) => {
          const at = BASE + page * 4096
          return (space.accessed(at) ? 1 : 0) + (space.dirty(at) ? 2 : 0)
        })
      expect(marks()).toEqual([0, 0, 0, 0])
      space.loadU8(BASE)
      space.storeU8(BASE + 0x2000, 1)
      space.storeU16(BASE + 0x2fff, 1)
      expect(marks()).toEqual([1, 0, 3, 3])
      expect(space.harvest(BASE, 0x3000, PROT_DIRTY)).toEqual([
        { address: BASE + 0x2000, bytes: 4096, marks: PROT_DIRTY },
      ])
      expect(marks()).toEqual([1, 0, 1, 3])
      space.storeU8(BASE + 0x2000, 1)
      expect(marks()).toEqual([1, 0, 3, 3])
      expect(space.harvest(BASE, 0x4000).map(({ address }) => address - BASE)).toEqual([
        0, 0x2000, 0x3000,
      ])
      expect(marks()).toEqual([0, 0, 0, 0])
      space.loadU8(BASE + 0x3000)
      expect(marks()).toEqual([0, 0, 0, 1])
      expect(space.harvest(BASE, 0x4000)).toEqual([
        { address: BASE + 0x3000, bytes: 4096, marks: PROT_ACCESSED },
      ])
    }
  })

  it('fails without a trace when there is no page for a table, whichever one it is', () => {
    const { source } = machine()
    const space = new AddressSpace(source, { format })
    space.map(BASE, 7, 1, PAGE_KERNEL)
    const span = 2 ** (format.levels[format.levels.length - 2]?.shift ?? 0)
    const count = (3 * span) / 4096 + 2
    const pfns = Array.from({ length: count }, (_, i) => 1000 + i * 2)
    const at = 0x80000000 - span - 4096
    const calls = [
      () => space.map(at, 1001, count, PAGE_KERNEL),
      () => space.mapPages(at, pfns, PAGE_KERNEL),
      () => space.mapRange(at, 0x40000000 - 4096, count * 4096, PAGE_KERNEL),
    ]
    for (const call of calls) {
      const before = { tables: source.live.size, mappings: space.mappings() }
      let failures = 0
      for (; ; failures++) {
        source.failIn = failures
        if (call()) break
        expect({ tables: source.live.size, mappings: space.mappings() }).toEqual(before)
      }
      source.failIn = -1
      expect(failures).toBeGreaterThan(0)
      expect(space.mappings()).toHaveLength(call === calls[1] ? count + 1 : 2)
      expect(space.unmap(at, count * 4096)).toBe(true)
      expect({ tables: source.live.size, mappings: space.mappings() }).toEqual(before)
    }
  })

  it('changes nothing when there is no page to split a large leaf with', () => {
    const large = largeOf(format)
    if (large === 0) return
    const { source } = machine()
    const calls = [
      (space: AddressSpace) => space.unmap(large + 4096, 4096),
      (space: AddressSpace) => space.unmap(2 * large - 4096, 8192),
      (space: AddressSpace) => space.protect(large + 4096, 2 * large - 8192, PAGE_READONLY),
    ]
    for (const call of calls) {
      const space = new AddressSpace(source, { format })
      space.mapRange(large, large, 2 * large, PAGE_KERNEL)
      const before = space.mappings()
      let failures = 0
      for (; ; failures++) {
        source.failIn = failures
        if (call(space)) break
        expect(space.mappings()).toEqual(before)
        expect(space.translate(large + 4096)).toBe(large + 4096)
      }
      source.failIn = -1
      expect(failures).toBeGreaterThan(0)
      expect(space.mappings()).not.toEqual(before)
      space.destroy()
      expect(source.live.size).toBe(0)
    }
  })

  it('looks like a map from pages to frames, after any calls', () => {
    const { source } = machine()
    const space = new AddressSpace(source, { format, tlb: 8 })
    const model = new Map<number, { pfn: number; prot: number }>()
    const next = numbers(format.name.length * 31)
    const span = 2 ** (format.levels[format.levels.length - 2]?.shift ?? 0)
    const first = (BASE + span - 16 * 4096) / 4096
    const prots = [PAGE_KERNEL, PAGE_KERNEL & ~PROT_WRITE, PAGE_SHARED_EXEC, PAGE_READONLY]
    for (let step = 0; step < 250; step++) {
      const page = first + next(32)
      const count = 1 + next(first + 32 - page)
      const prot = prots[next(4)] ?? 0
      const pfn = 64 + next(900)
      const range = Array.from({ length: count }, (_, i) => page + i)
      source.failIn = next(8) === 0 ? next(3) : -1
      switch (next(4)) {
        case 0: {
          const used = range.some((one) => model.has(one))
          let done = false
          const fault = thrown(() => {
            done = space.map(page * 4096, pfn, count, prot)
          })
          expect(fault instanceof KernelBug).toBe(used)
          if (done) for (const [i, one] of range.entries()) model.set(one, { pfn: pfn + i, prot })
          break
        }
        case 1: {
          const used = range.some((one) => model.has(one))
          const pfns = range.map(() => 64 + next(900))
          let done = false
          const fault = thrown(() => {
            done = space.mapPages(page * 4096, pfns, prot)
          })
          expect(fault instanceof KernelBug).toBe(used)
          if (done)
            for (const [i, one] of range.entries()) model.set(one, { pfn: pfns[i] ?? 0, prot })
          break
        }
        case 2:
          expect(space.unmap(page * 4096, count * 4096)).toBe(true)
          for (const one of range) model.delete(one)
          break
        default:
          expect(space.protect(page * 4096, count * 4096, prot)).toBe(true)
          for (const one of range) {
            const known = model.get(one)
            if (known) model.set(one, { pfn: known.pfn, prot })
          }
      }
      const all = Array.from({ length: 32 }, (_, i) => first + i)
      expect(all.map((one) => space.resolve(one * 4096, ACCESS_READ))).toEqual(
        all.map((one) => {
          const known = model.get(one)
          return known !== undefined && readable(format, known.prot) ? known.pfn * 4096 : -1
        }),
      )
      expect(all.map((one) => space.translate(one * 4096))).toEqual(
        all.map((one) => {
          const known = model.get(one)
          return known === undefined ? null : known.pfn * 4096
        }),
      )
      const total = space.mappings().reduce((sum, { bytes }) => sum + bytes, 0)
      expect(total).toBe(model.size * 4096)
    }
    source.failIn = -1
    space.destroy()
    expect(source.live.size).toBe(0)
  })
})

/** Whether the kernel, with no bits of its mode set, may read a page. */
function readable(format: PageTableFormat, prot: number): boolean {
  return format.pfnShift !== 10 || (prot & 8) === 0
}

describe('a kernel’s part', () => {
  const START: readonly (readonly [PageTableFormat, number])[] = [
    [X86_64, 2 ** 47],
    [X86_64_LA57, 2 ** 56],
    [SV39, 2 ** 38],
    [SV48, 2 ** 47],
    [ARM64, 2 ** 48],
    [I386, 0xc0000000],
    [I386_PAE, 0xc0000000],
  ]

  it.each(START)('%o is shared from there on', (format, start) => {
    const { source } = machine()
    const kernel = new PageTables(source, format)
    const at = start + 0x40000000 - 2 ** 22
    expect(kernel.mapPages(at, [11, 12], 0, 2, PAGE_KERNEL)).toBe(0)
    const tables = source.live.size
    const space = new AddressSpace(source, { format, kernel, tlb: 16 })
    expect(source.live.size).toBe(tables + 1)
    expect(space.resolve(at, ACCESS_READ)).toBe(11 * 4096)
    expect(space.mappings()).toEqual([])
    // What the kernel changes below its top table is seen, and its flushes are heard.
    kernel.mapPages(at + 0x2000, [13], 0, 1, PAGE_KERNEL)
    expect(space.resolve(at + 0x2000, ACCESS_READ)).toBe(13 * 4096)
    kernel.unmapRange(at, 0x1000)
    expect(space.resolve(at, ACCESS_READ)).toBe(11 * 4096)
    kernel.flush.flushTlb(at, at + 0x1000)
    expect(space.resolve(at, ACCESS_READ)).toBe(-1)
    // It is the kernel's to change.
    expect(thrown(() => space.map(at, 9, 1, PAGE_KERNEL))).toBeInstanceOf(InvalidArgument)
    expect(thrown(() => space.unmap(at, 4096))).toBeInstanceOf(InvalidArgument)
    expect(thrown(() => space.protect(at, 4096, PAGE_KERNEL))).toBeInstanceOf(InvalidArgument)
    space.map(BASE, 14, 1, PAGE_SHARED)
    expect(Reflect.get(kernel.flush, 'listeners')).toHaveLength(1)
    space.destroy()
    expect(Reflect.get(kernel.flush, 'listeners')).toEqual([])
    expect(source.live.size).toBe(tables)
    expect(kernel.translate(at + 0x2000)).toBe(13 * 4096)
    kernel.destroy()
    expect(source.live.size).toBe(0)
  })

  it('has new top entries after a call', () => {
    const { source } = machine()
    const kernel = new PageTables(source, SV39)
    const space = new AddressSpace(source, { format: SV39, kernel, tlb: 4 })
    const at = 2 ** 38 + 2 ** 32
    kernel.mapPages(at, [11], 0, 1, PAGE_KERNEL)
    expect(space.translate(at)).toBe(null)
    space.syncKernel()
    expect(space.resolve(at, ACCESS_READ)).toBe(11 * 4096)
    kernel.unmapRange(at, 4096)
    kernel.freeEmptyTables(at, at + 4096)
    space.syncKernel()
    expect(space.resolve(at, ACCESS_READ)).toBe(-1)
    expect(space.fault.level).toBe(0)
  })

  it('is forgotten by the TLB when a top entry has gone', () => {
    const { source, ram } = machine()
    const kernel = new PageTables(source, SV39)
    const at = 2 ** 38 + 2 ** 32
    kernel.mapPages(at, [11], 0, 1, PAGE_KERNEL)
    const space = new AddressSpace(source, { format: SV39, kernel, tlb: 4 })
    expect(space.resolve(at, ACCESS_READ)).toBe(11 * 4096)
    ram.writeU32(kernel.walk(at).entries[0]?.entryAddress ?? -1, 0)
    expect(space.resolve(at, ACCESS_READ)).toBe(11 * 4096)
    space.syncKernel()
    expect(space.resolve(at, ACCESS_READ)).toBe(-1)
  })

  it('is told to memory that keeps account of what was written', () => {
    const ram = new PhysicalMemory({ size: 16 * MIB, dirtyTracking: true })
    const { source } = machine({ ram })
    const kernel = new PageTables(source, SV39)
    kernel.populate(2 ** 38, 2 ** 38 + 1, 0)
    const space = new AddressSpace(source, { format: SV39, kernel })
    ram.clearDirty()
    kernel.populate(2 ** 38 + 2 ** 30, 2 ** 38 + 2 ** 30 + 1, 0)
    ram.clearDirty()
    space.syncKernel()
    expect(ram.dirtyPages()).toEqual([space.root])
  })

  it('can start elsewhere, where an entry of the top table does', () => {
    const { source } = machine()
    const kernel = new PageTables(source, SV39)
    const kernelStart = 2 ** 38 + 2 ** 37
    const space = new AddressSpace(source, { format: SV39, kernel, kernelStart })
    expect(space.map(kernelStart - 4096, 5, 1, PAGE_KERNEL)).toBe(true)
    expect(thrown(() => space.map(kernelStart - 4096, 5, 2, PAGE_KERNEL))).toBeInstanceOf(
      InvalidArgument,
    )
  })

  it('has to fit', () => {
    const { source } = machine()
    const other = machine().source
    const kernel = new PageTables(source, SV39)
    const halves = new PageTables(source, ARM64)
    const taken = source.live.size
    const wrong: [Source, AddressSpaceOptions][] = [
      [source, { format: SV48, kernel }],
      [other, { format: SV39, kernel }],
      [source, { format: SV39, kernel: {} as unknown as PageTables }],
      [source, { format: SV39, kernel, kernelStart: 4096 }],
      [source, { format: SV39, kernel, kernelStart: 0 }],
      [source, { format: SV39, kernel, kernelStart: Number.NaN }],
      [source, { format: SV39, kernel, kernelStart: 2 ** 39 }],
      [source, { format: SV39, kernel, kernelStart: 2 ** 38 + 4096 }],
      // The second top table starts where it does.
      [source, { format: ARM64, kernel: halves, kernelStart: 2 ** 48 + 2 ** 39 }],
    ]
    for (const [from, options] of wrong) {
      expect(thrown(() => new AddressSpace(from, options))).toBeInstanceOf(InvalidArgument)
    }
    expect(source.live.size).toBe(taken)
    kernel.destroy()
    halves.destroy()
    expect(thrown(() => new AddressSpace(source, { format: SV39, kernel }))).toBeInstanceOf(
      KernelBug,
    )
    expect(source.live.size + other.live.size).toBe(0)
  })
})

describe('flushes', () => {
  it('tell the listener the exact ranges', () => {
    const { source } = machine()
    const log: string[] = []
    const note = (name: string) => (start: number, end: number) => {
      log.push(`${name} ${start.toString(16)} ${end.toString(16)}`)
    }
    const flush = {
      flushTlb: note('tlb'),
      flushCacheMap: note('map'),
      flushCacheUnmap: note('unmap'),
    }
    for (const tlb of [0, 4]) {
      const space = new AddressSpace(source, { format: SV39, flush, tlb })
      space.map(0x1000, 5, 3, PAGE_KERNEL)
      space.map(0x5000, 5, 1, PAGE_KERNEL)
      space.protect(0x2000, 0x1000, PAGE_READONLY)
      space.unmap(0x1000, 0x2000)
      space.harvest(0x3000, 0x1000)
      expect(log.splice(0)).toEqual([
        'map 1000 4000',
        'map 5000 6000',
        'tlb 2000 3000',
        'unmap 1000 3000',
        'tlb 1000 3000',
        'tlb 3000 4000',
      ])
      space.destroy()
      log.splice(0)
    }
  })
})

describe('user and kernel', () => {
  it('change places by one flag', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39 })
    const [a = 0, b = 0] = scattered(pages, 2)
    space.map(0x1000, a, 1, PAGE_SHARED_EXEC)
    space.map(0x2000, b, 1, PAGE_KERNEL_EXEC)
    const may = () => [0x1000, 0x2000].map((at) => space.resolve(at, ACCESS_EXECUTE, 4) >= 0)
    expect(space.user).toBe(false)
    expect(may()).toEqual([false, true])
    space.user = true
    expect(may()).toEqual([true, false])
    expect(space.loadU8(0x1000)).toBe(0)
    space.setMode({ user: false, sum: true })
    expect(space.loadU8(0x1000)).toBe(0)
    expect(may()).toEqual([false, true])
  })

  it('AArch64: tables say who may execute at all', () => {
    for (const kernelTables of [false, true]) {
      const { pages } = machine()
      const space = new AddressSpace(pages, { format: ARM64, kernelTables })
      const [a = 0, b = 0] = scattered(pages, 2)
      space.map(0x1000, a, 1, PAGE_SHARED_EXEC)
      space.map(0x2000, b, 1, PAGE_KERNEL_EXEC)
      expect(space.resolve(0x2000, ACCESS_EXECUTE) >= 0).toBe(kernelTables)
      space.user = true
      expect(space.resolve(0x1000, ACCESS_EXECUTE) >= 0).toBe(!kernelTables)
      expect(space.loadU8(0x1000)).toBe(0)
    }
  })
})

describe('the end', () => {
  it('leaves nothing to be used', () => {
    const { source } = machine()
    const space = new AddressSpace(source, { format: SV39, tlb: 8 })
    space.map(0x1000, 200, 1, PAGE_KERNEL)
    space.loadU8(0x1000)
    space.destroy()
    for (const call of [
      () => space.loadU8(0x1000),
      () => space.storeU8(0x1000, 1),
      () => space.resolve(0x1000, ACCESS_READ),
      () => space.read(0x1000, new Uint8Array(4)),
      () => space.map(0x2000, 5, 1, PAGE_KERNEL),
      () => space.mapPages(0x2000, [5], PAGE_KERNEL),
      () => space.mapRange(0x2000, 0, 4096, PAGE_KERNEL),
      () => space.unmap(0x1000, 4096),
      () => space.protect(0x1000, 4096, PAGE_KERNEL),
      () => space.translate(0x1000),
      () => space.walk(0x1000),
      () => space.mappings(),
      () => space.accessed(0x1000),
      () => space.dirty(0x1000),
      () => space.harvest(0x1000, 4096),
      () => space.syncKernel(),
      () => space.destroy(),
    ]) {
      expect([String(call), thrown(call)]).toEqual([
        String(call),
        expect.objectContaining({ code: 'TABLES_DESTROYED' }),
      ])
    }
    expect(source.live.size).toBe(0)
  })

  it('comes at the start with wrong options, for whoever asks for null too', () => {
    const { source } = machine()
    const options = { format: SV39, tlb: -1 }
    expect(thrown(() => AddressSpace.create(source, options))).toBeInstanceOf(InvalidArgument)
  })

  it('comes at the start without a page for a top table', () => {
    const { source } = machine()
    for (const format of [SV39, ARM64]) {
      for (let nth = 0; nth < (format.twoRoots ? 2 : 1); nth++) {
        source.failIn = nth
        expect(AddressSpace.create(source, { format })).toBe(null)
        source.failIn = nth
        expect(thrown(() => new AddressSpace(source, { format }))).toBeInstanceOf(OutOfMemory)
        expect(source.live.size).toBe(0)
      }
    }
    source.failIn = -1
    expect(AddressSpace.create(source, { format: SV39 })).toBeInstanceOf(AddressSpace)
  })
})

describe('wrong arguments', () => {
  it('of the constructor take no page', () => {
    const { source } = machine()
    const bad = (options: object) => options as AddressSpaceOptions
    for (const options of [
      bad({}),
      bad({ format: 5 }),
      bad({ format: SV39, tlb: 3 }),
      bad({ format: SV39, tlb: -1 }),
      bad({ format: SV39, tlb: Number.NaN }),
      bad({ format: SV39, tlb: 2 ** 21 }),
      bad({ format: SV39, user: 'yes' }),
      bad({ format: SV39, sum: 0 }),
      bad({ format: SV39, hardwareUpdates: 'maybe' }),
      bad({ format: X86_64, hardwareUpdates: 'fault' }),
      bad({ format: SV39, kernelTables: 1 }),
      bad({ format: SV39, flush: {} }),
      bad({ format: SV39, flush: null }),
      bad({ format: SV39, gfp: -1 }),
      bad({ format: SV39, gfp: 0.5 }),
    ]) {
      expect([options, thrown(() => new AddressSpace(source, options))]).toEqual([
        options,
        expect.any(InvalidArgument),
      ])
    }
    expect(
      thrown(() => new AddressSpace(source, undefined as unknown as AddressSpaceOptions)),
    ).toBeInstanceOf(InvalidArgument)
    expect(thrown(() => new AddressSpace(5 as unknown as Source, { format: SV39 }))).toBeInstanceOf(
      InvalidArgument,
    )
    expect(source.live.size).toBe(0)
    const ram = new PhysicalMemory({ size: 4 * MIB, content: false })
    const none = new BuddyAllocator({ ram })
    expect(thrown(() => new AddressSpace(none, { format: SV39 }))).toBeInstanceOf(InvalidArgument)
  })

  it('of every call change nothing', () => {
    const { source } = machine()
    const space = new AddressSpace(source, { format: SV39 })
    space.map(BASE, 5, 2, PAGE_KERNEL)
    const before = { tables: source.live.size, mappings: space.mappings() }
    const text = '4096' as unknown as number
    const places = [-4096, -1, 1, 4097, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 39, text]
    const sizes = [0, -4096, 1, 4097, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 39 + 4096]
    const calls: [string, () => unknown][] = []
    const add = (name: string, call: () => unknown) => calls.push([name, call])
    for (const at of places) {
      add(`map ${at}`, () => space.map(at, 5, 1, PAGE_KERNEL))
      add(`mapPages ${at}`, () => space.mapPages(at, [5], PAGE_KERNEL))
      add(`mapRange ${at}`, () => space.mapRange(at, 0, 4096, PAGE_KERNEL))
      add(`unmap ${at}`, () => space.unmap(at, 4096))
      add(`protect ${at}`, () => space.protect(at, 4096, PAGE_KERNEL))
      add(`harvest ${at}`, () => space.harvest(at, 4096))
    }
    for (const at of [-1, 0.5, Number.NaN, 2 ** 39]) {
      add(`translate ${at}`, () => space.translate(at))
      add(`walk ${at}`, () => space.walk(at))
      add(`accessed ${at}`, () => space.accessed(at))
      add(`dirty ${at}`, () => space.dirty(at))
    }
    for (const bytes of sizes) {
      add(`mapRange of ${bytes}`, () => space.mapRange(0, 0, bytes, PAGE_KERNEL))
      add(`unmap of ${bytes}`, () => space.unmap(BASE, bytes))
      add(`protect of ${bytes}`, () => space.protect(BASE, bytes, PAGE_KERNEL))
      add(`harvest of ${bytes}`, () => space.harvest(BASE, bytes))
    }
    for (const pfn of [-1, 0.5, Number.NaN, 2 ** 44]) {
      add(`map frame ${pfn}`, () => space.map(0, pfn, 1, PAGE_KERNEL))
      add(`mapPages frame ${pfn}`, () => space.mapPages(0, [5, pfn], PAGE_KERNEL))
      add(`mapRange frame ${pfn}`, () => space.mapRange(0, pfn * 4096, 4096, PAGE_KERNEL))
    }
    for (const prot of [-1, 0.5, Number.NaN, PROT_WRITE, 0x600, 0x10000, text]) {
      add(`map prot ${prot}`, () => space.map(0, 5, 1, prot))
      add(`mapPages prot ${prot}`, () => space.mapPages(0, [5], prot))
      add(`mapRange prot ${prot}`, () => space.mapRange(0, 0, 4096, prot))
      add(`protect prot ${prot}`, () => space.protect(BASE, 4096, prot))
    }
    for (const count of [0, -1, 0.5, Number.NaN, 2 ** 41]) {
      add(`map count ${count}`, () => space.map(0, 5, count, PAGE_KERNEL))
    }
    for (const pfns of [[], null, 5, {}]) {
      add(`mapPages of ${pfns}`, () => space.mapPages(0, pfns as number[], PAGE_KERNEL))
    }
    for (const shift of [11, -1, 0.5, Number.NaN, 65]) {
      add(`shift ${shift}`, () => space.mapRange(0, 0, 4096, PAGE_KERNEL, shift))
    }
    for (const marks of [0, 1, -1, Number.NaN, 0.5]) {
      add(`marks ${marks}`, () => space.harvest(BASE, 4096, marks))
    }
    // Over the middle of 64 bits.
    add('middle', () => space.map(2 ** 38 - 4096, 5, 2, PAGE_KERNEL))
    for (const [name, call] of calls) {
      expect([name, thrown(call)]).toEqual([name, expect.any(InvalidArgument)])
      expect({ tables: source.live.size, mappings: space.mappings() }).toEqual(before)
    }
    expect(calls.length).toBeGreaterThan(130)
  })
})

describe('with an allocator', () => {
  it('works as it is, without a source of frames', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: X86_64, user: true, tlb: 64 })
    expect(space.tables.frames).toBe(frameSource(pages))
    const pfn = pages.allocPages(GFP_KERNEL)
    if (pfn === null) throw new Error('no page')
    expect(space.map(0x400000, pfn, 1, PAGE_SHARED)).toBe(true)
    space.storeU32(0x400ffc, 0xcafe)
    expect(space.loadU32(0x400ffc)).toBe(0xcafe)
    expect(thrown(() => space.storeU32(0x400ffd, 1))).toBeInstanceOf(PageFault)
    expect(space.resolve(0x400000, ACCESS_READ)).toBe(pfn * 4096)
    expect(space.mappings()).toEqual([
      { address: 0x400000, bytes: 4096, pfn, prot: PAGE_SHARED & ~PROT_ACCESSED },
    ])
    expect(PROT_READ).toBe(1)
    space.destroy()
  })
})
