/**
 * The address layout of i386: a gigabyte for the kernel, of which the direct map takes what it can.
 *
 *     0xC0000000                                                                            4 GiB
 *     | direct map (lowmem) | 8 MiB | vmalloc | 8 KiB | pkmap | LDT | CPU entry areas | fixmap |
 *                           ^ high_memory
 *
 * Everything above the vmalloc window has its size from the number of CPUs that the kernel is built for.
 * Of memory, what lies beyond the direct map is high memory: it has no address until it is given one
 * (`Kmap`). The numbers of fixmap slots and of pages of a CPU entry area, which depend on a kernel's
 * options, are those of a usual one (DIFF-54).
 *
 * Source: spec/vmalloc.md §14.2, §14.4, §14.5.
 */

import { checkInteger, InvalidArgument } from './errors'
import type { Layout } from './layout'
import { GiB, MiB, PAGE_SIZE } from './units'

/** Where the kernel's part of an address space begins. */
const PAGE_OFFSET = 0xc0000000
/** Address of slot 0 of the fixmap. */
const FIXADDR_TOP = 0xfffff000
/** Bytes that stay unmapped in front of the vmalloc window. */
const VMALLOC_OFFSET = 8388608
/** What is left to the vmalloc window and the gap in front of it, unless `vmalloc` says otherwise. */
const VMALLOC_RESERVE = 134217728
/** Slots of a CPU for `kmapLocal`. */
const KM_MAX_IDX = 16
/** First slot of the fixmap for `kmapLocal`; below are consoles, the local APIC and the I/O APICs. */
const FIX_KMAP_BEGIN = 160
/** Slots of the fixmap for mappings of the time of boot. */
const BOOT_SLOTS = 512
/** Pages of a CPU entry area: descriptor table, entry stack, task segment (3), stack of double faults. */
const ENTRY_AREA_PAGES = 6
/** Least memory that a machine can have, and least that must stay in the direct map. */
const LEAST_LOWMEM = 16777216

/** A layout of i386, with what it has besides. Addresses of windows that it does not have are 0. */
export interface I386Layout extends Layout {
  /** Whether page tables have three levels and entries of 8 bytes (PAE). */
  readonly pae: boolean
  /** Whether memory beyond the direct map is used. */
  readonly highmem: boolean
  /** `high_memory`: one more than the last address of the direct map. */
  readonly highMemory: number
  /** One more than the highest frame of the direct map; high memory begins there. pfn */
  readonly maxLowPfn: number
  /** CPUs that the kernel is built for. */
  readonly nrCpus: number
  /** `PKMAP_BASE`: first address of the slots of `kmap`; 0 without high memory. */
  readonly pkmapBase: number
  /** `LAST_PKMAP`: slots of `kmap`; 0 without high memory. */
  readonly lastPkmap: number
  /** First address of the area for LDTs. */
  readonly ldtBase: number
  /** First address of the CPU entry areas. */
  readonly cpuEntryArea: number
  /** First address of the fixmap without the slots of the time of boot. */
  readonly fixaddrStart: number
  /** First slot of the fixmap for `kmapLocal`. */
  readonly fixKmapBegin: number
  /** Slots of a CPU for `kmapLocal`; 0 without high memory. */
  readonly kmMaxIdx: number
}

/** Options of {@link layoutI386}. */
export interface I386LayoutOptions {
  /** One more than the highest address of RAM. Bytes, from 16 MiB to 4 GiB, with `pae` to 64 GiB. */
  readonly memory: number
  /** Page tables with three levels; false when not given. */
  readonly pae?: boolean
  /** Use of memory beyond the direct map; true when not given. Without it such memory is lost. */
  readonly highmem?: boolean
  /** Bytes of the vmalloc window when there is high memory, a multiple of 4096 (`vmalloc=`); 120 MiB when not given. */
  readonly vmalloc?: number
  /** CPUs that the kernel is built for, 1 to 64; 8 when not given. */
  readonly nrCpus?: number
}

/**
 * The layout of an i386 kernel on a machine with so much memory.
 * @throws InvalidArgument for memory or a vmalloc window that do not fit, or another number of CPUs.
 */
export function layoutI386(options: I386LayoutOptions): I386Layout {
  const { memory, pae = false, highmem = true, nrCpus = 8 } = options
  checkInteger('memory', memory, LEAST_LOWMEM, (pae ? 64 : 4) * GiB)
  checkInteger('nrCpus', nrCpus, 1, 64)
  const fixed = FIX_KMAP_BEGIN + (highmem ? KM_MAX_IDX * nrCpus : 0)
  const fixmapSlots = fixed + BOOT_SLOTS
  // Each of these begins at a multiple of what an entry of the level above the last covers.
  const unit = pae ? 2 * MiB : 4 * MiB
  const down = (end: number, bytes: number) => Math.floor((end - bytes) / unit) * unit
  const fixmapStart = FIXADDR_TOP - fixmapSlots * PAGE_SIZE
  const cpuEntryArea = down(fixmapStart, (1 + ENTRY_AREA_PAGES * nrCpus) * PAGE_SIZE)
  const ldtBase = down(cpuEntryArea, PAGE_SIZE)
  const pkmapBase = highmem ? down(ldtBase, PAGE_SIZE) : 0
  const vmallocEnd = (highmem ? pkmapBase : ldtBase) - 2 * PAGE_SIZE
  const lowmem = Math.min(
    pageFloor(memory),
    vmallocEnd - PAGE_OFFSET - reserve(options, vmallocEnd),
  )
  const highMemory = PAGE_OFFSET + lowmem
  return Object.freeze({
    name: pae ? 'i386-pae' : 'i386',
    vaBits: 32,
    signHigh: 0,
    pointerBytes: 4,
    directMap: PAGE_OFFSET,
    directMapStart: PAGE_OFFSET,
    directMapEnd: highMemory,
    vmemmap: 0xc0000000n,
    vmallocStart: highMemory + VMALLOC_OFFSET,
    vmallocEnd,
    fixmap: { top: FIXADDR_TOP, slots: fixmapSlots },
    pae,
    highmem,
    highMemory,
    maxLowPfn: lowmem / PAGE_SIZE,
    nrCpus,
    pkmapBase,
    lastPkmap: highmem ? unit / PAGE_SIZE : 0,
    ldtBase,
    cpuEntryArea,
    fixaddrStart: FIXADDR_TOP - fixed * PAGE_SIZE,
    fixKmapBegin: FIX_KMAP_BEGIN,
    kmMaxIdx: highmem ? KM_MAX_IDX : 0,
  })
}

/** Whether a layout is one of i386. */
export function isI386Layout(layout: Layout): layout is I386Layout {
  return 'pkmapBase' in layout
}

/** Bytes that the direct map has to leave to the vmalloc window and the gap in front of it. */
function reserve(options: I386LayoutOptions, vmallocEnd: number): number {
  const { vmalloc } = options
  if (vmalloc === undefined) return VMALLOC_RESERVE
  checkInteger('vmalloc', vmalloc, MiB, vmallocEnd - PAGE_OFFSET - VMALLOC_OFFSET - LEAST_LOWMEM)
  if (vmalloc % PAGE_SIZE !== 0) {
    throw new InvalidArgument('vmalloc', vmalloc, `a multiple of ${PAGE_SIZE}`)
  }
  return vmalloc + VMALLOC_OFFSET
}

function pageFloor(bytes: number): number {
  return Math.floor(bytes / PAGE_SIZE) * PAGE_SIZE
}
