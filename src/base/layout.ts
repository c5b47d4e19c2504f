/**
 * Address layouts: where a kernel's address space has the direct map of physical memory, the window of
 * vmalloc, and the modules.
 *
 * A kernel address is kept without its sign extension, so that it is an exact integer: `0xffff888000000000`
 * is 0x888000000000 here, and printed in full.
 *
 * Source: spec/vmalloc.md §2, §14.
 */

import { VMEMMAP_BASE } from './units'

/** A run of addresses, half-open. */
export interface AddressWindow {
  /** First address. */
  readonly start: number
  /** One more than the last address. */
  readonly end: number
}

/** The slots of the fixmap, a page each. */
export interface FixmapWindow {
  /** Address of slot 0; the others go downwards. */
  readonly top: number
  /** How many there are. */
  readonly slots: number
}

/** Where kernel addresses of memory lie. All addresses are without sign extension. */
export interface Layout {
  /** Its name. */
  readonly name: string
  /** Bits of an address without its sign extension; the highest of them tells what that is. 32 to 52. */
  readonly vaBits: number
  /** What an address with its highest bit set has besides: its sign extension. Unsigned, 32 bits. */
  readonly signHigh: number
  /** Bytes of a pointer. */
  readonly pointerBytes: 4 | 8
  /** Kernel address of physical address 0: that of another is so much higher. */
  readonly directMap: number
  /** First address of the direct map. */
  readonly directMapStart: number
  /** One more than its last address. */
  readonly directMapEnd: number
  /** Kernel address of the record of page frame 0, as it is printed. */
  readonly vmemmap: bigint
  /** First address of the vmalloc window. */
  readonly vmallocStart: number
  /** VMALLOC_END: one more than its last address, but on x86_64 its last address. */
  readonly vmallocEnd: number
  /** The window of modules, if there is one. */
  readonly modules?: AddressWindow
  /** The map of the kernel image, if there is one; it starts at physical address 0. */
  readonly image?: AddressWindow
  /** The fixmap, if its place is known. */
  readonly fixmap?: FixmapWindow
}

/**
 * Addresses are offsets into memory, as a WebAssembly pointer is. The vmalloc window lies above all
 * memory that there can be.
 */
export const LAYOUT_FLAT: Layout = /* @__PURE__ */ Object.freeze({
  name: 'flat',
  vaBits: 48,
  signHigh: 0,
  pointerBytes: 8,
  directMap: 0,
  directMapStart: 0,
  directMapEnd: 0x400000000000,
  vmemmap: VMEMMAP_BASE,
  vmallocStart: 0x400000000000,
  vmallocEnd: 0x600000000000,
})

/** Linux on x86_64 with four levels of page tables and no randomisation. */
export const LAYOUT_X86_64: Layout = /* @__PURE__ */ Object.freeze({
  name: 'x86_64',
  vaBits: 48,
  signHigh: 0xffff0000,
  pointerBytes: 8,
  directMap: 0x888000000000,
  directMapStart: 0x888000000000,
  directMapEnd: 0xc88000000000,
  vmemmap: VMEMMAP_BASE,
  vmallocStart: 0xc90000000000,
  vmallocEnd: 0xe8ffffffffff,
  modules: { start: 0xffffa0000000, end: 0xffffff000000 },
  image: { start: 0xffff80000000, end: 0xffffa0000000 },
  fixmap: { top: 0xffffff7ff000, slots: 1024 },
})

/** A kernel address in full, sign extension included: for printing. */
export function fullAddress(layout: Layout, address: number): bigint {
  const high = address >= 2 ** (layout.vaBits - 1)
  return high ? BigInt(address) | (BigInt(layout.signHigh) << 32n) : BigInt(address)
}

/** VmallocTotal of /proc/meminfo: KiB of the vmalloc window, rounded down. */
export function vmallocTotalKib(layout: Layout): number {
  return Math.floor((layout.vmallocEnd - layout.vmallocStart) / 1024)
}
