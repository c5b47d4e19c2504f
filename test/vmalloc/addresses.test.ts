import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_ARM64, LAYOUT_SV39, LAYOUT_SV48, layoutArm64 } from '../../src/base/layouts'
import { GiB, MiB } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import {
  formatAddress,
  isVmallocAddr,
  isVmallocOrModuleAddr,
  offsetInPage,
  pageAlign,
  pageAlignDown,
  pageStructAddress,
  parseAddress,
  pfnToVirt,
  physToVirt,
  virtAddrValid,
  virtToPfn,
  virtToPhys,
} from '../../src/vmalloc/addresses'

const I386 = layoutI386({ memory: 2 * GiB })
const LAYOUTS: readonly Layout[] = [
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  LAYOUT_SV39,
  LAYOUT_SV48,
  LAYOUT_ARM64,
  layoutArm64({ vaBits: 39 }),
  I386,
]
const JUNK = [NaN, -1, 0.5, Infinity, 2 ** 53, '0x1000' as never, null as never, undefined as never]

describe('addresses of memory', () => {
  it.each([
    [LAYOUT_FLAT, 0x1234, '0000000000001234'],
    [LAYOUT_X86_64, 0x1234567, 'ffff888001234567'],
    [LAYOUT_SV39, 0x80000000, 'ffffffd800000000'],
    [LAYOUT_SV48, 0x80001000, 'ffffaf8000001000'],
    [LAYOUT_ARM64, 0x40000010, 'ffff000000000010'],
    [I386, 0x100000, 'c0100000'],
  ])('$name: a physical address has one', (layout, phys, text) => {
    const address = physToVirt(layout, phys)
    expect(formatAddress(layout, address)).toBe(text)
    expect(virtToPhys(layout, address)).toBe(phys)
    expect(virtToPfn(layout, address)).toBe(Math.floor(phys / 4096))
    expect(parseAddress(layout, text)).toBe(address)
  })

  it('end where the direct map does', () => {
    for (const layout of LAYOUTS) {
      const first = Math.max(layout.directMapStart - layout.directMap, 0)
      const end = layout.directMapEnd - layout.directMap
      expect(physToVirt(layout, first)).toBe(layout.directMap + first)
      expect(virtToPhys(layout, physToVirt(layout, end - 1))).toBe(end - 1)
      expect(pfnToVirt(layout, Math.floor(end / 4096) - 1)).toBe(layout.directMapEnd - 4096)
      expect(pfnToVirt(layout, first / 4096)).toBe(layout.directMapStart)
      const wrong = [first - 1, end, ...JUNK]
      for (const phys of wrong) expect(() => physToVirt(layout, phys)).toThrow(InvalidArgument)
      for (const pfn of [first / 4096 - 1, end / 4096, ...JUNK]) {
        expect(() => pfnToVirt(layout, pfn)).toThrow(InvalidArgument)
      }
      for (const address of [layout.directMapEnd, layout.vmallocStart, ...JUNK]) {
        expect(() => virtToPhys(layout, address)).toThrow(InvalidArgument)
      }
    }
  })

  it('know the kernel image of x86_64', () => {
    const image = parseAddress(LAYOUT_X86_64, 'ffffffff81000000')
    expect(virtToPhys(LAYOUT_X86_64, image)).toBe(0x1000000)
    expect(virtToPfn(LAYOUT_X86_64, image + 0x1fff)).toBe(0x1001)
    const end = parseAddress(LAYOUT_X86_64, 'ffffffffa0000000')
    expect(virtToPhys(LAYOUT_X86_64, end - 1)).toBe(512 * MiB - 1)
    expect(() => virtToPhys(LAYOUT_X86_64, end)).toThrow(
      'it must be an integer from 0xffff888000000000 to 0xffffc87fffffffff ' +
        'or from 0xffffffff80000000 to 0xffffffff9fffffff',
    )
    expect(() => virtToPhys(I386, 0)).toThrow(/from 0xc0000000 to 0xf7[0-9a-f]{6}$/)
  })

  it('are valid where there is memory', () => {
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 16 * MiB, type: 'usable' },
        { base: 64 * MiB, size: 16 * MiB, type: 'usable' },
      ],
    })
    const pages = new BuddyAllocator({ ram })
    for (const source of [pages, frameSource(pages)]) {
      const valid = (text: string) =>
        virtAddrValid(LAYOUT_X86_64, parseAddress(LAYOUT_X86_64, text), source)
      expect(valid('ffff888000000000')).toBe(true)
      expect(valid('ffff888000ffffff')).toBe(true)
      expect(valid('ffff888001000000')).toBe(false)
      expect(valid('ffff888004000000')).toBe(true)
      expect(valid('ffff888005000000')).toBe(false)
      expect(valid('ffffffff80fff000')).toBe(true)
      expect(valid('ffffffff81000000')).toBe(false)
      expect(valid('ffffc90000000000')).toBe(false)
      expect(valid('ffff887fffffffff')).toBe(false)
      expect(valid('1000')).toBe(false)
      for (const address of JUNK) expect(virtAddrValid(LAYOUT_X86_64, address, source)).toBe(false)
    }
    expect(() => virtAddrValid(LAYOUT_X86_64, 0x888000000000, {} as never)).toThrow(InvalidArgument)
  })

  it('name the record of a frame', () => {
    expect(pageStructAddress(LAYOUT_X86_64, 0x1234)).toBe(0xffffea0000048d00n)
    expect(pageStructAddress(LAYOUT_SV39, 0x80000)).toBe(0xffffffc700000000n)
    expect(pageStructAddress(LAYOUT_ARM64, 0x40001)).toBe(0xfffffc0000000040n)
    for (const pfn of JUNK) {
      expect(() => pageStructAddress(LAYOUT_X86_64, pfn)).toThrow(InvalidArgument)
    }
  })
})

describe('windows', () => {
  it('of vmalloc end before the last byte of that of x86_64', () => {
    for (const layout of LAYOUTS) {
      const { vmallocStart, vmallocEnd } = layout
      const inside = [vmallocStart, vmallocStart + 5, vmallocEnd - 1]
      for (const address of inside) expect(isVmallocAddr(layout, address)).toBe(true)
      for (const address of [vmallocStart - 1, vmallocEnd, 0, NaN, -1]) {
        expect(isVmallocAddr(layout, address)).toBe(false)
      }
    }
    expect(isVmallocAddr(LAYOUT_X86_64, 0xe8ffffffffff)).toBe(false)
  })

  it('of modules count where there is one', () => {
    const { modules, vmallocStart } = LAYOUT_X86_64
    const { start: modulesStart = 0, end: modulesEnd = 0 } = modules ?? {}
    expect(isVmallocOrModuleAddr(LAYOUT_X86_64, modulesStart)).toBe(true)
    expect(isVmallocOrModuleAddr(LAYOUT_X86_64, modulesEnd - 1)).toBe(true)
    expect(isVmallocOrModuleAddr(LAYOUT_X86_64, modulesEnd)).toBe(false)
    expect(isVmallocOrModuleAddr(LAYOUT_X86_64, modulesStart - 1)).toBe(false)
    expect(isVmallocOrModuleAddr(LAYOUT_X86_64, vmallocStart)).toBe(true)
    expect(isVmallocAddr(LAYOUT_X86_64, modulesStart)).toBe(false)
    for (const layout of [LAYOUT_FLAT, I386]) {
      expect(isVmallocOrModuleAddr(layout, 0)).toBe(false)
      expect(isVmallocOrModuleAddr(layout, layout.vmallocStart)).toBe(true)
    }
  })
})

describe('addresses as text', () => {
  it('come back, whatever the layout', () => {
    for (const layout of LAYOUTS) {
      const address = fc.integer({ min: 0, max: 2 ** layout.vaBits - 1 })
      fc.assert(
        fc.property(address, (value) => {
          const text = formatAddress(layout, value)
          expect(text).toMatch(layout.pointerBytes === 8 ? /^[0-9a-f]{16}$/ : /^[0-9a-f]{8}$/)
          expect(parseAddress(layout, text)).toBe(value)
          expect(parseAddress(layout, `0x${text.toUpperCase()}`)).toBe(value)
        }),
        { numRuns: 200 },
      )
    }
  })

  it('are refused without their sign extension, and beyond their bits', () => {
    const wrong: [Layout, string][] = [
      [LAYOUT_X86_64, '888000000000'],
      [LAYOUT_X86_64, 'ffff088000000000'],
      [LAYOUT_X86_64, '0001000000000000'],
      [LAYOUT_SV39, 'ffff888000000000'],
      [LAYOUT_ARM64, 'fffe000000000000'],
      [I386, '1c0000000'],
      [I386, 'ffffffffc0000000'],
    ]
    for (const [layout, text] of wrong) {
      expect(() => parseAddress(layout, text)).toThrow(InvalidArgument)
    }
    const words = ['', '0x', 'g', ' 1', '1 ', '1n', '-1', '12345678901234567', 5, null, {}]
    for (const text of words) {
      expect(() => parseAddress(LAYOUT_X86_64, text as string)).toThrow(InvalidArgument)
    }
    expect(parseAddress(LAYOUT_X86_64, '0')).toBe(0)
    for (const address of [...JUNK, 2 ** 48]) {
      expect(() => formatAddress(LAYOUT_X86_64, address)).toThrow(InvalidArgument)
    }
  })
})

describe('pages of addresses', () => {
  it('are whole', () => {
    expect([0, 1, 4095, 4096, 4097].map(pageAlign)).toEqual([0, 4096, 4096, 4096, 8192])
    expect([0, 1, 4095, 4096, 4097].map(pageAlignDown)).toEqual([0, 0, 0, 4096, 4096])
    expect([0, 1, 4095, 4096, 4097].map(offsetInPage)).toEqual([0, 1, 4095, 0, 1])
    expect(pageAlign(0xffffffffffff)).toBe(2 ** 48)
    expect(pageAlignDown(2 ** 57 - 16)).toBe(2 ** 57 - 4096)
    for (const call of [pageAlign, pageAlignDown, offsetInPage]) {
      for (const value of [NaN, -1, 0.5, Infinity, 2 ** 58, '1' as never]) {
        expect(() => call(value)).toThrow(InvalidArgument)
      }
    }
  })
})
