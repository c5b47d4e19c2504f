import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_ARM64, LAYOUT_SV39 } from '../../src/base/layouts'
import { GiB, KiB, MiB } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import type { FrameSource } from '../../src/page/frameSource'
import { ARM64 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_RO,
  PAGE_NONE,
  type PageTableFormat,
} from '../../src/paging/format'
import { PageTables } from '../../src/paging/pageTables'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64, x86Format } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { directMapCounts, mapDirectMap } from '../../src/vmalloc/directMapping'

const frames = frameSource(new BuddyAllocator({ ram: new PhysicalMemory({ size: 16 * MiB }) }))

function withTables<T>(format: PageTableFormat, use: (tables: PageTables) => T): T {
  const tables = new PageTables(frames, format)
  try {
    return use(tables)
  } finally {
    tables.destroy()
  }
}

/** The leaf of a physical address: its bytes, and its low half without a frame number. */
function leafAt(tables: PageTables, layout: Layout, phys: number): [number, string] {
  const { bytes, entries } = tables.walk(layout.directMap + phys)
  const last = entries[entries.length - 1]
  return [bytes, ((last?.lo ?? 0) & 0x1fff).toString(16)]
}

describe('mapDirectMap', () => {
  it('uses the largest leaves that fit on x86_64', () => {
    withTables(X86_64, (tables) => {
      const ranges = [
        { base: 0, size: 0x9fc00 },
        { base: MiB, size: 3 * GiB - MiB - 12 * KiB },
        { base: 4 * GiB, size: GiB },
      ]
      expect(mapDirectMap(tables, LAYOUT_X86_64, ranges)).toBe(4 * GiB - MiB - 12 * KiB + 0x9f000)
      expect(leafAt(tables, LAYOUT_X86_64, 0x9e000)).toEqual([4096, '163'])
      expect(tables.pfnAt(LAYOUT_X86_64.directMap + 0x9f000)).toBe(-1)
      expect(leafAt(tables, LAYOUT_X86_64, MiB)).toEqual([4096, '163'])
      expect(leafAt(tables, LAYOUT_X86_64, 2 * MiB)).toEqual([2 * MiB, '1e3'])
      expect(leafAt(tables, LAYOUT_X86_64, GiB)).toEqual([GiB, '1e3'])
      expect(leafAt(tables, LAYOUT_X86_64, 3 * GiB - 2 * MiB)).toEqual([4096, '163'])
      expect(tables.translate(0x888000000000 + 5 * GiB - 1)).toBe(5 * GiB - 1)
      expect(tables.translate(0x888000000000 + 5 * GiB)).toBe(-1)
      expect(directMapCounts(tables, LAYOUT_X86_64)).toEqual({
        directMap4k: 636 + 1024 + 2036,
        directMap2M: (2 * GiB) / KiB - 4096,
        directMap4M: 0,
        directMap1G: (2 * GiB) / KiB,
      })
    })
  })

  it('uses 2 MiB where there are no leaves of 1 GiB', () => {
    withTables(x86Format({ levels: 4, gbPages: false }), (tables) => {
      mapDirectMap(tables, LAYOUT_X86_64, [{ base: 0, size: 2 * GiB }])
      const { directMap2M, directMap1G } = directMapCounts(tables, LAYOUT_X86_64)
      expect([directMap2M, directMap1G]).toEqual([2097152, 0])
    })
  })

  it.each([
    [I386, layoutI386({ memory: 2 * GiB }), 4 * MiB],
    [I386_PAE, layoutI386({ memory: 2 * GiB, pae: true }), 2 * MiB],
  ])('leaves high memory out on $name', (format, layout, leaf) => {
    withTables(format, (tables) => {
      const low = layout.highMemory - 0xc0000000
      expect(mapDirectMap(tables, layout, [{ base: 0, size: 2 * GiB }])).toBe(low)
      expect(leafAt(tables, layout, 0)).toEqual([leaf, '1e3'])
      const counts = directMapCounts(tables, layout)
      const large = Math.floor(low / leaf) * (leaf / KiB)
      expect(leaf === 4 * MiB ? counts.directMap4M : counts.directMap2M).toBe(large)
      expect(counts.directMap4k).toBe(low / KiB - large)
      expect(tables.translate(layout.highMemory - 1)).toBe(low - 1)
      expect(tables.pfnAt(layout.highMemory)).toBe(-1)
    })
  })

  it('begins with RAM, wherever that begins', () => {
    withTables(ARM64, (tables) => {
      expect(mapDirectMap(tables, LAYOUT_ARM64, [{ base: 0, size: 3 * GiB }])).toBe(2 * GiB)
      expect(tables.translate(0x1000000000000)).toBe(0x40000000)
      expect(directMapCounts(tables, LAYOUT_ARM64).directMap1G).toBe(2097152)
    })
    withTables(SV39, (tables) => {
      mapDirectMap(tables, LAYOUT_SV39, [{ base: 0x80000000, size: 4 * MiB }])
      expect(tables.translate(0x5800000000)).toBe(0x80000000)
      expect(tables.translate(0x5800000000 + 4 * MiB)).toBe(-1)
    })
  })

  it('takes the ranges of a machine, and joins those that touch', () => {
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 3 * MiB, type: 'usable' },
        { base: 3 * MiB, size: MiB, type: 'reserved' },
        { base: 8 * MiB, size: MiB, type: 'device', read: () => 0, write() {} },
      ] as never,
      content: false,
    })
    withTables(X86_64, (tables) => {
      expect(mapDirectMap(tables, LAYOUT_X86_64, ram.ranges)).toBe(4 * MiB)
      expect(directMapCounts(tables, LAYOUT_X86_64).directMap2M).toBe(4096)
      expect(tables.pfnAt(0x888000800000)).toBe(-1)
    })
  })

  it('maps exactly the whole pages of any ranges, each at its place', () => {
    const edge = fc.integer({ min: 0, max: 6 * MiB })
    const range = fc.record({ base: edge, size: edge })
    fc.assert(
      fc.property(fc.array(range, { maxLength: 4 }), (ranges) => {
        withTables(X86_64, (tables) => {
          const whole = (page: number) =>
            ranges.some(({ base, size }) => page * 4096 >= base && (page + 1) * 4096 <= base + size)
          let count = 0
          const bytes = mapDirectMap(tables, LAYOUT_X86_64, ranges)
          for (let page = 0; page < 3100; page++) {
            const expected = whole(page) ? page : -1
            if (expected >= 0) count++
            if (tables.pfnAt(0x888000000000 + page * 4096) !== expected) {
              expect(`page ${page}`).toBe('right')
            }
          }
          expect(bytes).toBe(count * 4096)
        })
      }),
      { numRuns: 60 },
    )
  })

  it('leaves nothing mapped when there is no page for a table', () => {
    const ranges = [
      { base: 0, size: 64 * KiB },
      { base: 2 * MiB, size: 6 * MiB + 4096 },
    ]
    for (let left = 1; left < 6; left++) {
      let count = left
      const poor: FrameSource = {
        ...frames,
        allocPages: (gfp, order, node) => (count-- > 0 ? frames.allocPages(gfp, order, node) : -1),
      }
      const tables = new PageTables(poor, X86_64)
      const bytes = mapDirectMap(tables, LAYOUT_X86_64, ranges)
      // The top table, one of each level below, and one more for the last page.
      expect(bytes).toBe(left < 5 ? null : 64 * KiB + 6 * MiB + 4096)
      const { directMap4k, directMap2M } = directMapCounts(tables, LAYOUT_X86_64)
      expect([directMap4k, directMap2M]).toEqual(left < 5 ? [0, 0] : [68, 6144])
      tables.destroy()
    }
  })

  it('refuses memory that is mapped already, and leaves that', () => {
    withTables(X86_64, (tables) => {
      tables.mapPages(0x888000300000, [0x300], 0, 1, PAGE_KERNEL_RO)
      const ranges = [{ base: 0, size: 4 * MiB }]
      expect(() => mapDirectMap(tables, LAYOUT_X86_64, ranges)).toThrow('not mapped yet')
      expect(directMapCounts(tables, LAYOUT_X86_64).directMap4k).toBe(4)
      tables.unmapRange(0x888000300000, 4096)
      expect(mapDirectMap(tables, LAYOUT_X86_64, ranges)).toBe(4 * MiB)
      expect(tables.walk(0x888000300000).prot & 0xff).toBe(PAGE_KERNEL)
    })
  })

  it('refuses memory where a page is mapped that nobody may use, and leaves that', () => {
    withTables(X86_64, (tables) => {
      const at = 0x888000300000
      tables.mapPages(at, [0x300], 0, 1, PAGE_NONE)
      const ranges = [{ base: 0, size: 4 * MiB }]
      expect(() => mapDirectMap(tables, LAYOUT_X86_64, ranges)).toThrow('not mapped yet')
      expect(tables.firstUsed(at, 4096)).toBe(at)
      expect(directMapCounts(tables, LAYOUT_X86_64).directMap4k).toBe(0)
    })
  })

  it('takes its part back when something else was mapped meanwhile', () => {
    let tables: PageTables | null = null
    let requests = 0
    const hooked: FrameSource = {
      ...frames,
      allocPages(...request) {
        requests += 1
        if (requests === 3) tables?.mapPages(0x888000300000, [5], 0, 1, PAGE_KERNEL)
        return frames.allocPages(...request)
      },
    }
    tables = new PageTables(hooked, X86_64)
    const ranges = [{ base: 0, size: 8 * MiB - 4096 }]
    expect(() => mapDirectMap(tables as PageTables, LAYOUT_X86_64, ranges)).toThrow(
      'not mapped yet',
    )
    expect(directMapCounts(tables, LAYOUT_X86_64).directMap2M).toBe(0)
    tables.destroy()
  })

  it('refuses wrong arguments', () => {
    withTables(X86_64, (tables) => {
      const wrong = [
        { base: -1, size: 4096 },
        { base: 0, size: NaN },
        { base: 0.5, size: 4096 },
        { base: 0, size: 2 ** 53 },
        { base: '0' as never, size: 4096 },
      ]
      for (const range of wrong) {
        const ranges = [{ base: 0, size: 4096 }, range]
        expect(() => mapDirectMap(tables, LAYOUT_X86_64, ranges)).toThrow(InvalidArgument)
      }
      expect(() => mapDirectMap(tables, LAYOUT_SV39, [])).toThrow(InvalidArgument)
      expect(() => directMapCounts(tables, LAYOUT_SV39)).toThrow(InvalidArgument)
      expect(directMapCounts(tables, LAYOUT_X86_64).directMap4k).toBe(0)
      expect(mapDirectMap(tables, LAYOUT_X86_64, [])).toBe(0)
    })
  })
})
