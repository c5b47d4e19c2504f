/** VM_ flags: what an area of kernel address space is for. Source: spec/vmalloc.md §5.1. */

/** I/O memory; the area is aligned to its size. */
export const VM_IOREMAP = 0x1
/** Memory of vmalloc. */
export const VM_ALLOC = 0x2
/** Pages of the caller. */
export const VM_MAP = 0x4
/** May be mapped to user space. */
export const VM_USERMAP = 0x8
/** Remapped memory of DMA. */
export const VM_DMA_COHERENT = 0x10
/** Is being made. */
export const VM_UNINITIALIZED = 0x20
/** Has no guard page. */
export const VM_NO_GUARD = 0x40
/** Has a shadow; unused here. */
export const VM_KASAN = 0x80
/** Freeing it resets the direct map and flushes the TLB. */
export const VM_FLUSH_RESET_PERMS = 0x100
/** `vfree` drops a reference to each page and frees the array. */
export const VM_MAP_PUT_PAGES = 0x200
/** May be mapped with huge pages. */
export const VM_ALLOW_HUGE_VMAP = 0x400

/** All flags that a caller may give. */
export const VM_FLAGS_MASK = 0xfff007ff
