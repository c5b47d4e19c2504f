/**
 * Address layouts: where the direct map of physical memory lies in a kernel's address space.
 *
 * A kernel address is kept without its sign extension, so that it is an exact integer: `0xffff888000000000`
 * is 0x888000000000 here, and printed in full.
 */

/** Where kernel addresses of memory lie. */
export interface Layout {
  /** Its name. */
  readonly name: string
  /** Kernel address of physical address 0, without its sign extension. */
  readonly directMap: number
  /** What the high half of a kernel address has besides: its sign extension. Unsigned, 32 bits. */
  readonly signHigh: number
  /** Kernel address of the record of page frame 0, as it is printed. */
  readonly vmemmap: bigint
}

/** Addresses are offsets into memory, as a WebAssembly pointer is. */
export const LAYOUT_FLAT: Layout = /* @__PURE__ */ Object.freeze({
  name: 'flat',
  directMap: 0,
  signHigh: 0,
  vmemmap: 0xffffea0000000000n,
})

/** Linux on x86_64 with four levels of page tables and no randomisation. */
export const LAYOUT_X86_64: Layout = /* @__PURE__ */ Object.freeze({
  name: 'x86_64',
  directMap: 0x888000000000,
  signHigh: 0xffff0000,
  vmemmap: 0xffffea0000000000n,
})

/** A kernel address in full, sign extension included: for printing. */
export function fullAddress(layout: Layout, address: number): bigint {
  return BigInt(address) | (BigInt(layout.signHigh) << 32n)
}
