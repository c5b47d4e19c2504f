/** Units, page arithmetic and the branded numbers that keep frames and addresses apart. */

/** 2^10 bytes. */
export const KiB = 1024
/** 2^20 bytes. */
export const MiB = 1048576
/** 2^30 bytes. */
export const GiB = 1073741824

/** log2 of {@link PAGE_SIZE}. Never shift a PFN by it: `pfn * PAGE_SIZE` is exact, the shift overflows at 2 GiB. */
export const PAGE_SHIFT = 12
/** Bytes in a page frame. */
export const PAGE_SIZE = 4096
/** One more than the largest order: blocks are 2^0 .. 2^10 pages. */
export const MAX_ORDER = 11
/** log2 of {@link PAGEBLOCK_PAGES}. */
export const PAGEBLOCK_ORDER = 9
/** Pages in a pageblock, the unit that carries a migratetype. */
export const PAGEBLOCK_PAGES = 512
/** Pages in the largest block. */
export const MAX_ORDER_PAGES = 1024
/** Pages in a memory section (128 MiB), the unit in which a memory map is present or absent. */
export const SECTION_PAGES = 32768
/** Orders above this one are "costly": the allocator gives up on them early. */
export const PAGE_ALLOC_COSTLY_ORDER = 3

/** Address of the record (`struct page`) of frame 0 on x86_64 without randomisation, as it is printed. */
export const VMEMMAP_BASE = 0xffffea0000000000n

/** Page frame number: physical address divided by {@link PAGE_SIZE}; an integer in [0, 2^28), a tebibyte of frames. */
export type Pfn = number & { readonly __unit: 'Pfn' }
/** Physical byte address: an exact integer in [0, 2^52). */
export type PhysAddr = number & { readonly __unit: 'PhysAddr' }
/** Virtual byte address without its sign extension: an exact integer in [0, 2^52). */
export type VirtAddr = number & { readonly __unit: 'VirtAddr' }

/** Any node: a node that is near is preferred. */
export const NUMA_NO_NODE = -1

/** One more than the largest physical address. */
export const PHYS_ADDR_LIMIT = 4503599627370496

/** `value`, or the bound that it is beyond. */
export function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high))
}

/** Brands a number as a page frame number. The callee still validates it. */
export function toPfn(pfn: number): Pfn {
  return pfn as Pfn
}

/** Brands a number as a physical address. The callee still validates it. */
export function toPhysAddr(address: number): PhysAddr {
  return address as PhysAddr
}

/** The physical address of the first byte of frame `pfn`. */
export function pfnToPhys(pfn: Pfn): PhysAddr {
  return (pfn * PAGE_SIZE) as PhysAddr
}

/** Address of the record (`struct page`, 64 bytes) of a frame, as reports print it. */
export function structPageAddress(pfn: number): bigint {
  return VMEMMAP_BASE + BigInt(pfn) * 64n
}

/** The frame that holds physical address `address`. */
export function physToPfn(address: PhysAddr): Pfn {
  return Math.floor(address / PAGE_SIZE) as Pfn
}

/**
 * The order of the smallest block that holds `bytes` bytes: 0 up to one page, then ceil(log2(pages)).
 * Source: get_order.
 */
export function getOrder(bytes: number): number {
  const pages = Math.ceil(bytes / PAGE_SIZE)
  return pages <= 1 ? 0 : 32 - Math.clz32(pages - 1)
}
