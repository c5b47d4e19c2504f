import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  fullAddress,
  LAYOUT_FLAT,
  LAYOUT_X86_64,
  type Layout,
  vmallocTotalKib,
} from '../../src/base/layout'
import { type I386Layout, isI386Layout, layoutI386 } from '../../src/base/layoutI386'
import {
  LAYOUT_ARM64,
  LAYOUT_SV39,
  LAYOUT_SV48,
  layoutArm64,
  layoutRiscv,
  shiftLayout,
} from '../../src/base/layouts'
import { GiB, KiB, MiB } from '../../src/base/units'

const ARM64_39 = layoutArm64({ vaBits: 39 })
const bits64: readonly Layout[] = [LAYOUT_X86_64, LAYOUT_SV39, LAYOUT_SV48, LAYOUT_ARM64, ARM64_39]

const hex = (layout: Layout, address: number) => `0x${fullAddress(layout, address).toString(16)}`

describe('layouts', () => {
  it.each([
    [LAYOUT_X86_64, '0xffffc90000000000', '0xffffe8ffffffffff', '0xffff888000000000'],
    [LAYOUT_SV39, '0xffffffc800000000', '0xffffffd800000000', '0xffffffd800000000'],
    [LAYOUT_SV48, '0xffff8f8000000000', '0xffffaf8000000000', '0xffffaf8000000000'],
    [LAYOUT_ARM64, '0xffff800008000000', '0xfffffbfff0000000', '0xffff000000000000'],
    [ARM64_39, '0xffffffc008000000', '0xfffffffdf0000000', '0xffffff8000000000'],
  ])('$name: bases, sign extension included', (layout, start, end, directMap) => {
    expect(hex(layout, layout.vmallocStart)).toBe(start)
    expect(hex(layout, layout.vmallocEnd)).toBe(end)
    expect(hex(layout, layout.directMapStart)).toBe(directMap)
  })

  it('have names', () => {
    const all = [LAYOUT_FLAT, ...bits64, layoutI386({ memory: GiB })]
    expect(all.map((layout) => layout.name)).toEqual([
      'flat',
      'x86_64',
      'riscv-sv39',
      'riscv-sv48',
      'arm64',
      'arm64-39',
      'i386',
    ])
    expect(layoutI386({ memory: GiB, pae: true }).name).toBe('i386-pae')
  })

  it('know where the image and the fixmap of x86_64 are', () => {
    const { image, fixmap } = LAYOUT_X86_64
    expect(image).toEqual({ start: 0xffff80000000, end: 0xffffa0000000 })
    expect(fixmap).toEqual({ top: 0xffffff7ff000, slots: 1024 })
  })

  it('print addresses of the lower half without a sign extension', () => {
    expect(fullAddress(LAYOUT_X86_64, 0x7fffffffffff)).toBe(0x7fffffffffffn)
    expect(fullAddress(LAYOUT_X86_64, 0x800000000000)).toBe(0xffff800000000000n)
    expect(fullAddress(LAYOUT_SV39, 0x3fffffffff)).toBe(0x3fffffffffn)
  })

  it.each([
    [LAYOUT_X86_64, 34359738367],
    [LAYOUT_SV39, 67108864],
    [LAYOUT_SV48, 34359738368],
    [LAYOUT_ARM64, 133143592960],
    [ARM64_39, 259653632],
    [LAYOUT_FLAT, 34359738368],
    [layoutI386({ memory: GiB }), 122880],
  ])('$name: VmallocTotal', (layout, kib) => {
    expect(vmallocTotalKib(layout)).toBe(kib)
  })

  it.each([
    [LAYOUT_X86_64, 64 * 1024],
    [LAYOUT_SV39, 124],
    [LAYOUT_SV48, 64 * 1024],
    // Half of what the kernel's tables translate.
    [LAYOUT_ARM64, 128 * 1024],
    [ARM64_39, 256],
  ])('$name: size of the direct map', (layout, gib) => {
    expect(layout.directMapEnd - layout.directMapStart).toBe(gib * GiB)
  })

  it('have their modules where a kernel has them', () => {
    const modules = (layout: Layout) => [
      hex(layout, layout.modules?.start ?? 0),
      hex(layout, layout.modules?.end ?? 0),
    ]
    expect(modules(LAYOUT_X86_64)).toEqual(['0xffffffffa0000000', '0xffffffffff000000'])
    expect(modules(LAYOUT_SV39)).toEqual(['0xffffffff00000000', '0xffffffff80000000'])
    expect(modules(LAYOUT_SV48)).toEqual(['0xffffffff00000000', '0xffffffff80000000'])
    expect(modules(LAYOUT_ARM64)).toEqual(['0xffff800000000000', '0xffff800008000000'])
    expect(modules(ARM64_39)).toEqual(['0xffffffc000000000', '0xffffffc008000000'])
  })

  it('keep addresses below 2^vaBits, with the sign bit set in the kernel half', () => {
    for (const layout of bits64) {
      const ends = [layout.directMapStart, layout.directMapEnd - 1, layout.vmallocStart]
      ends.push(layout.vmallocEnd - 1, layout.modules?.start ?? 0, (layout.modules?.end ?? 0) - 1)
      for (const address of ends) {
        expect(Math.floor(address / 2 ** (layout.vaBits - 1))).toBe(1)
        expect(fullAddress(layout, address) >> BigInt(layout.vaBits - 1)).toBe(
          (1n << BigInt(65 - layout.vaBits)) - 1n,
        )
      }
      expect(layout.directMap).toBeGreaterThanOrEqual(0)
      expect(Object.isFrozen(layout)).toBe(true)
    }
  })

  it('put the first byte of RAM at the start of the direct map, its record where records begin', () => {
    for (const ramBase of [0, 2 * MiB, 0x80000000, 0x80200000, 64 * GiB]) {
      const layout = layoutRiscv('sv39', { ramBase })
      expect(layout.directMap + ramBase).toBe(0x5800000000)
      expect(layout.vmemmap + BigInt((ramBase / 4096) * 64)).toBe(0xffffffc700000000n)
      const arm = layoutArm64({ physOffset: ramBase })
      expect(arm.directMap + ramBase).toBe(0x1000000000000)
      expect(arm.vmemmap + BigInt((ramBase / 4096) * 64)).toBe(0xfffffc0000000000n)
    }
    expect(layoutRiscv('sv48').vmemmap).toBe(0xffff8d8000000000n - 0x2000000n)
  })

  it('end the window of AArch64 256 MiB below the page records', () => {
    for (const vaBits of [48, 39] as const) {
      const layout = layoutArm64({ vaBits, physOffset: 0 })
      expect(layout.vmemmap - fullAddress(layout, layout.vmallocEnd)).toBe(BigInt(256 * MiB))
    }
  })

  it('refuse what they cannot be', () => {
    const wrong: (() => unknown)[] = [
      () => layoutRiscv('sv57' as never),
      () => layoutArm64({ vaBits: 52 as never }),
    ]
    for (const base of [-1, NaN, 4096, 2 ** 53, 0x5800000000 + 2 * MiB, '0' as never]) {
      wrong.push(() => layoutRiscv('sv39', { ramBase: base }))
    }
    for (const base of [-4096, 0.5, MiB, Infinity, 2 ** 49]) {
      wrong.push(() => layoutArm64({ physOffset: base }))
    }
    for (const call of wrong) expect(call).toThrow(InvalidArgument)
    expect(() => layoutRiscv('sv39', { ramBase: MiB })).toThrow('a multiple of 2 MiB')
  })
})

describe('layoutI386', () => {
  it('is a usual machine: 887 MiB of lowmem with PAE, 883 MiB without, 120 MiB for vmalloc', () => {
    const pae = layoutI386({ memory: 4 * GiB, pae: true })
    expect(pae.fixmap?.top ?? 0).toBe(0xfffff000)
    expect(pae.cpuEntryArea).toBe(0xffc00000)
    expect(pae.ldtBase).toBe(0xffa00000)
    expect(pae.pkmapBase).toBe(0xff800000)
    expect(pae.lastPkmap).toBe(512)
    expect(pae.vmallocEnd).toBe(0xff7fe000)
    expect(pae.highMemory).toBe(0xf77fe000)
    expect(pae.maxLowPfn).toBe(0x377fe)
    expect(pae.vmallocStart).toBe(0xf7ffe000)
    const narrow = layoutI386({ memory: 4 * GiB })
    expect(narrow.pkmapBase).toBe(0xff400000)
    expect(narrow.lastPkmap).toBe(1024)
    expect(narrow.maxLowPfn).toBe(0x373fe)
    for (const layout of [pae, narrow]) {
      expect(layout.vmallocEnd - layout.vmallocStart).toBe(120 * MiB)
      expect(layout.pointerBytes).toBe(4)
      expect(fullAddress(layout, layout.directMapStart)).toBe(0xc0000000n)
      expect(isI386Layout(layout)).toBe(true)
    }
    expect(isI386Layout(LAYOUT_X86_64)).toBe(false)
  })

  it('gives vmalloc what the direct map of a small machine leaves', () => {
    const layout = layoutI386({ memory: 512 * MiB + 5000 })
    expect(layout.highMemory).toBe(0xe0001000)
    expect(layout.directMapEnd).toBe(layout.highMemory)
    expect(layout.vmallocStart).toBe(0xe0801000)
    expect(layout.vmallocEnd).toBe(layout.pkmapBase - 8 * KiB)
  })

  it('sizes the window by vmalloc=, once there is high memory', () => {
    const layout = layoutI386({ memory: 2 * GiB, pae: true, vmalloc: 256 * MiB })
    expect(layout.vmallocEnd - layout.vmallocStart).toBe(256 * MiB)
    expect(layout.highMemory).toBe(0xff7fe000 - 264 * MiB)
    const small = layoutI386({ memory: 64 * MiB, vmalloc: 256 * MiB })
    expect(small.highMemory).toBe(0xc4000000)
  })

  it('has no slots for high memory without high memory, and ends the window below the LDTs', () => {
    const layout = layoutI386({ memory: 2 * GiB, pae: true, highmem: false })
    expect([layout.pkmapBase, layout.lastPkmap, layout.kmMaxIdx]).toEqual([0, 0, 0])
    expect(layout.vmallocEnd).toBe(layout.ldtBase - 8 * KiB)
    expect(layout.vmallocEnd - layout.highMemory).toBe(128 * MiB)
  })

  it('keeps its windows apart and in order for every number of CPUs', () => {
    for (const pae of [false, true]) {
      for (const highmem of [false, true]) {
        for (let nrCpus = 1; nrCpus <= 64; nrCpus++) {
          checkOrder(layoutI386({ memory: 4 * GiB, pae, highmem, nrCpus }))
        }
      }
    }
  })

  it('refuses what cannot be', () => {
    const good = { memory: GiB }
    // 16 MiB stay in the direct map, and 8 MiB in front of the window.
    const windowMost = 0xff3fe000 - 0xc0000000 - 24 * MiB
    const wrong = [
      { memory: 16 * MiB - 1 },
      { memory: 4 * GiB + 1 },
      { memory: NaN },
      { memory: 64 * GiB + 1, pae: true },
      { ...good, nrCpus: 0 },
      { ...good, nrCpus: 65 },
      { ...good, vmalloc: 4096 },
      { ...good, vmalloc: GiB },
      { ...good, vmalloc: windowMost + 4096 },
      { ...good, vmalloc: 64 * MiB + 1 },
      { ...good, vmalloc: '128M' as never },
    ]
    for (const options of wrong) expect(() => layoutI386(options)).toThrow(InvalidArgument)
    expect(layoutI386({ memory: 64 * GiB, pae: true }).maxLowPfn).toBe(0x377fe)
    expect(layoutI386({ ...good, vmalloc: windowMost }).highMemory).toBe(0xc0000000 + 16 * MiB)
  })
})

function checkOrder(layout: I386Layout): void {
  const unit = layout.pae ? 2 * MiB : 4 * MiB
  const top = [layout.ldtBase, layout.cpuEntryArea]
  if (layout.highmem) top.unshift(layout.pkmapBase)
  top.forEach((base, i) => {
    expect(base % unit).toBe(0)
    if (i > 0) expect(base - (top[i - 1] ?? 0)).toBeGreaterThanOrEqual(unit)
  })
  const fixmap = (layout.fixmap?.top ?? 0) - (layout.fixmap?.slots ?? 0) * 4096
  const areas = fixmap - layout.cpuEntryArea
  expect(areas).toBeGreaterThanOrEqual((1 + 6 * layout.nrCpus) * 4096)
  expect(layout.fixaddrStart - fixmap).toBe(512 * 4096)
  expect(layout.fixKmapBegin + layout.kmMaxIdx * layout.nrCpus).toBe(
    (layout.fixmap?.slots ?? 0) - 512,
  )
  expect(layout.vmallocEnd).toBe((top[0] ?? 0) - 8192)
  expect(layout.vmallocStart - layout.highMemory).toBe(8 * MiB)
  expect(layout.highMemory).toBe(0xc0000000 + layout.maxLowPfn * 4096)
}

describe('shiftLayout', () => {
  it('moves the three bases by whole GiB', () => {
    const layout = shiftLayout(LAYOUT_X86_64, { directMap: 5, vmalloc: 100, vmemmap: 3000 })
    expect(hex(layout, layout.directMapStart)).toBe('0xffff888140000000')
    expect(layout.directMap).toBe(layout.directMapStart)
    expect(hex(layout, layout.vmallocStart)).toBe('0xffffc91900000000')
    expect(hex(layout, layout.vmallocEnd)).toBe('0xffffe918ffffffff')
    expect(layout.vmemmap).toBe(0xffffecee00000000n)
    expect(layout.directMapEnd).toBe(LAYOUT_X86_64.directMapEnd + 5 * GiB)
    expect(layout.modules?.start ?? 0).toBe(LAYOUT_X86_64.modules?.start ?? 0)
    expect(vmallocTotalKib(layout)).toBe(34359738367)
    expect(shiftLayout(LAYOUT_X86_64, {})).toEqual(LAYOUT_X86_64)
  })

  it('ends the direct map where the window begins', () => {
    const layout = shiftLayout(LAYOUT_X86_64, { directMap: 1024 })
    expect(layout.directMapEnd).toBe(layout.vmallocStart)
  })

  it('refuses bases in another order, or too high, and other machines', () => {
    const wrong = [
      { directMap: 65 * 1024 + 512 },
      { vmalloc: 1025 },
      { vmemmap: 19 * 1024 + 1 },
      { directMap: -1 },
      { vmalloc: 0.5 },
      { vmemmap: NaN },
      { vmalloc: 2 ** 40 },
    ]
    for (const shift of wrong) {
      expect(() => shiftLayout(LAYOUT_X86_64, shift)).toThrow(InvalidArgument)
    }
    expect(shiftLayout(LAYOUT_X86_64, { vmemmap: 19 * 1024 }).vmemmap).toBe(0xfffffd0000000000n)
    expect(shiftLayout(LAYOUT_X86_64, { vmalloc: 1024 }).vmallocEnd).toBe(0xe9ffffffffff)
    for (const layout of [LAYOUT_SV39, LAYOUT_SV48, LAYOUT_ARM64, LAYOUT_FLAT]) {
      expect(() => shiftLayout(layout, {})).toThrow('one of x86_64')
    }
    expect(() => shiftLayout(LAYOUT_SV48, { vmalloc: 1 })).toThrow(InvalidArgument)
  })

  it('keeps the direct map in front of the window, and the window in front of the records', () => {
    const gap = (LAYOUT_X86_64.vmallocStart - LAYOUT_X86_64.directMapStart) / GiB
    const last = shiftLayout(LAYOUT_X86_64, { directMap: gap - 1 })
    expect(last.vmallocStart - last.directMapStart).toBe(GiB)
    expect(() => shiftLayout(LAYOUT_X86_64, { directMap: gap })).toThrow(InvalidArgument)
    // A layout whose window ends at a whole GiB: it may end below the records, not where they begin.
    const even = { ...LAYOUT_X86_64, vmallocEnd: LAYOUT_X86_64.vmallocEnd + 1 }
    const room = (0xea0000000000 - even.vmallocEnd) / GiB
    expect(shiftLayout(even, { vmalloc: room - 1 }).vmallocEnd).toBe(0xea0000000000 - GiB)
    expect(() => shiftLayout(even, { vmalloc: room })).toThrow(InvalidArgument)
  })
})
