/**
 * What the virtual mapper tells its log. The default is silent, so that the texts are bundled with programs
 * that want them only: see `vmallocLog`. Source: spec/vmalloc.md §11.
 */

/** Receives what happens. Methods may read the mapper but must not call it. Addresses are without sign extension. */
export interface VmallocLogOps {
  /** No address space for `size` bytes, guard page included (M1). */
  noSpace(size: number, gfp: number): void
  /** An interval that was released overlaps one that is free (M2). */
  overlap(start: number, end: number, oldStart: number, oldEnd: number): void
  /** An address that starts no page was given to `vfree` or `vunmap` (M8). */
  badAddress(address: number): void
  /** An address without an area was given to `vfree` or `vunmap` (M9). */
  noArea(address: number): void
  /** `ioremap` of an address that the processor does not have (M11). */
  badPhysical(phys: number): void
  /** `ioremap` of memory in use (M12), the first time only: its first and last byte. */
  ioremapOnRam(first: number, last: number): void
  /** `iounmap` of a direct-map address of the ISA range (M13). */
  iounmapIsa(address: number): void
  /** `iounmap` of an unknown address (M14). */
  iounmapBad(address: number): void
  /** A one-time warning, by its WARN_ number; called the first time only. */
  warn(warning: number): void
}

/** WARN_ number: no memory to split a free area. Place: `adjust_va_to_fit_type`. */
export const WARN_NO_SPLIT = 0
/** WARN_ number: vmalloc of 0 bytes. */
export const WARN_VMALLOC_ZERO = 1
/** WARN_ number: vmap without a guard page. */
export const WARN_VMAP_NO_GUARD = 2
/** WARN_ number: vmapPfn of a frame with a page record. */
export const WARN_VMAP_PFN = 3
/** WARN_ number: kvmalloc of more than 2 GiB. */
export const WARN_KVMALLOC_SIZE = 4
/** WARN_ number: a page that is mapped already, or no page. */
export const WARN_MAPPED = 5
/** WARN_ number: areas of CPUs that no address space can hold. */
export const WARN_PCPU_SPACE = 6
/** WARN_ number: ioremap of an address that the processor does not have, behind the message of each. */
export const WARN_IOREMAP_PHYS = 7
/** WARN_ number: ioremap of memory in use; it is told by `ioremapOnRam`, the first time only. */
export const WARN_IOREMAP_RAM = 8
/** All WARN_ numbers, a bit each. */
export const WARN_BITS = 0x1ff

/** Says nothing. */
export const silentVmallocLog: VmallocLogOps = /* @__PURE__ */ Object.freeze({
  noSpace() {},
  overlap() {},
  badAddress() {},
  noArea() {},
  badPhysical() {},
  ioremapOnRam() {},
  iounmapIsa() {},
  iounmapBad() {},
  warn() {},
})
