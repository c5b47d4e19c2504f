/**
 * Address layouts of RISC-V and AArch64, and those of x86_64 with randomised bases.
 *
 *     RISC-V    vmemmap | vmalloc | direct map ........................ | modules | image
 *     AArch64   direct map ........................ | modules | vmalloc | vmemmap
 *     x86_64    direct map ...... | vmalloc | vmemmap | image | modules | fixmap
 *
 * The direct map begins with the first byte of RAM, so physical address 0 has its place below it.
 *
 * Source: spec/vmalloc.md §2, §14.1.
 */

import { checkInteger, InvalidArgument } from './errors'
import type { Layout } from './layout'
import { GiB, MiB } from './units'

/** Where RAM starts has to be a multiple of it, so that the direct map can have large leaves. */
const RAM_ALIGN = 2097152
/** cpu_entry_area of x86_64, without sign extension: what is randomised stays below it. */
const CPU_ENTRY_AREA = 0xfe0000000000
/** Bytes of the page records of x86_64: a tebibyte. */
const VMEMMAP_BYTES = 1099511627776

/** Options of {@link layoutRiscv}. */
export interface RiscvLayoutOptions {
  /** First physical address of RAM; 0x80000000 when not given. */
  readonly ramBase?: number
}

/** Options of {@link layoutArm64}. */
export interface Arm64LayoutOptions {
  /** Bits of an address below the one that selects the kernel's tables; 48 when not given. */
  readonly vaBits?: 48 | 39
  /** First physical address of RAM, `PHYS_OFFSET`; 0x40000000 when not given. */
  readonly physOffset?: number
}

/** By how many GiB {@link shiftLayout} moves each base; 0 when not given. */
export interface LayoutShift {
  /** GiB that the direct map is moved up. */
  readonly directMap?: number
  /** GiB that the vmalloc window is moved up. */
  readonly vmalloc?: number
  /** GiB that the records of pages are moved up. */
  readonly vmemmap?: number
}

/**
 * Linux on RISC-V with three or four levels of page tables.
 * @throws InvalidArgument for another mode, or RAM that starts at no multiple of 2 MiB or too high.
 */
export function layoutRiscv(mode: 'sv39' | 'sv48', options: RiscvLayoutOptions = {}): Layout {
  const { ramBase = 0x80000000 } = options
  if (mode === 'sv39') {
    return withRam('ramBase', ramBase, {
      name: 'riscv-sv39',
      vaBits: 39,
      signHigh: 0xffffff80,
      directMapStart: 0x5800000000,
      directMapEnd: 0x7700000000,
      vmemmap: 0xffffffc700000000n,
      vmallocStart: 0x4800000000,
      vmallocEnd: 0x5800000000,
      modules: { start: 0x7f00000000, end: 0x7f80000000 },
    })
  }
  if (mode !== 'sv48') throw new InvalidArgument('mode', mode, "'sv39' or 'sv48'")
  return withRam('ramBase', ramBase, {
    name: 'riscv-sv48',
    vaBits: 48,
    signHigh: 0xffff0000,
    directMapStart: 0xaf8000000000,
    directMapEnd: 0xef8000000000,
    vmemmap: 0xffff8d8000000000n,
    vmallocStart: 0x8f8000000000,
    vmallocEnd: 0xaf8000000000,
    modules: { start: 0xffff00000000, end: 0xffff80000000 },
  })
}

/**
 * Linux on AArch64 with pages of 4 KiB. An address has one bit more than `vaBits` here: the highest
 * selects the kernel's tables.
 * @throws InvalidArgument for other `vaBits`, or RAM that starts at no multiple of 2 MiB or too high.
 */
export function layoutArm64(options: Arm64LayoutOptions = {}): Layout {
  const { vaBits = 48, physOffset = 0x40000000 } = options
  if (vaBits === 39) {
    return withRam('physOffset', physOffset, {
      name: 'arm64-39',
      vaBits: 40,
      signHigh: 0xffffff00,
      directMapStart: 0x8000000000,
      directMapEnd: 0xc000000000,
      vmemmap: 0xfffffffe00000000n,
      vmallocStart: 0xc008000000,
      vmallocEnd: 0xfdf0000000,
      modules: { start: 0xc000000000, end: 0xc008000000 },
    })
  }
  if (vaBits !== 48) throw new InvalidArgument('vaBits', vaBits, '48 or 39')
  return withRam('physOffset', physOffset, {
    name: 'arm64',
    vaBits: 49,
    signHigh: 0xfffe0000,
    directMapStart: 0x1000000000000,
    directMapEnd: 0x1800000000000,
    vmemmap: 0xfffffc0000000000n,
    vmallocStart: 0x1800008000000,
    vmallocEnd: 0x1fbfff0000000,
    modules: { start: 0x1800000000000, end: 0x1800008000000 },
  })
}

/** RISC-V with three levels of page tables, RAM at 0x80000000. */
export const LAYOUT_SV39: Layout = /* @__PURE__ */ layoutRiscv('sv39')
/** RISC-V with four levels of page tables, RAM at 0x80000000. */
export const LAYOUT_SV48: Layout = /* @__PURE__ */ layoutRiscv('sv48')
/** AArch64 with four levels of page tables, RAM at 0x40000000. */
export const LAYOUT_ARM64: Layout = /* @__PURE__ */ layoutArm64()

/**
 * The layout of an x86_64 kernel whose bases were randomised at boot: the direct map, the vmalloc window
 * and the page records, each moved up by whole GiB. The direct map ends where the vmalloc window begins, if
 * not before.
 * @throws InvalidArgument for a layout of another machine, and for bases that come out in another order or
 * too high.
 */
export function shiftLayout(layout: Layout, shift: LayoutShift): Layout {
  if (layout.vaBits !== 48 || layout.image === undefined) {
    throw new InvalidArgument('layout', layout.name, 'one of x86_64')
  }
  const { directMap = 0, vmalloc = 0, vmemmap = 0 } = shift
  const most = (CPU_ENTRY_AREA - layout.directMapStart) / GiB
  checkInteger('shift.directMap', directMap, 0, most)
  checkInteger('shift.vmalloc', vmalloc, 0, most)
  checkInteger('shift.vmemmap', vmemmap, 0, most)
  const vmallocStart = layout.vmallocStart + vmalloc * GiB
  const vmallocEnd = layout.vmallocEnd + vmalloc * GiB
  const records = Number(BigInt.asUintN(48, layout.vmemmap)) + vmemmap * GiB
  const directMapStart = layout.directMapStart + directMap * GiB
  if (directMapStart >= vmallocStart) {
    throw new InvalidArgument('shift.directMap', directMap, 'below the vmalloc window')
  }
  if (vmallocEnd >= records) {
    throw new InvalidArgument(
      'shift.vmalloc',
      vmalloc,
      'so that the window ends below the page records',
    )
  }
  if (records > CPU_ENTRY_AREA - VMEMMAP_BYTES) {
    throw new InvalidArgument(
      'shift.vmemmap',
      vmemmap,
      'so that the records end at 0xfffffe0000000000',
    )
  }
  return Object.freeze({
    ...layout,
    directMap: layout.directMap + directMap * GiB,
    directMapStart,
    directMapEnd: Math.min(layout.directMapEnd + directMap * GiB, vmallocStart),
    vmemmap: layout.vmemmap + BigInt(vmemmap) * BigInt(GiB),
    vmallocStart,
    vmallocEnd,
  })
}

/** What {@link withRam} completes: `vmemmap` is the record of the first frame of RAM. */
type Bases = Omit<Layout, 'directMap' | 'pointerBytes' | 'image' | 'fixmap'>

function withRam(argument: string, base: number, bases: Bases): Layout {
  checkInteger(argument, base, 0, bases.directMapStart)
  if (base % RAM_ALIGN !== 0) {
    throw new InvalidArgument(argument, base, `a multiple of ${RAM_ALIGN / MiB} MiB`)
  }
  return Object.freeze({
    ...bases,
    pointerBytes: 8,
    directMap: bases.directMapStart - base,
    // 64 bytes a record of 4096 bytes.
    vmemmap: bases.vmemmap - BigInt(base) / 64n,
  })
}
