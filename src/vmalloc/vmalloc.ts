/**
 * vmalloc: memory that is contiguous in the kernel's address space only.
 *
 * Each allocation is an *area* of addresses with a guard page behind it, the array of its pages in memory, and the
 * entries in the kernel's page tables that map them. Addresses that are freed wait for a purge, so that the
 * TLB has to be flushed rarely.
 *
 *     addresses  | page 0 | page 1 | ... | guard |      the area, in the address space (`vmapArea.ts`)
 *                    |        |                         entries of the page tables (`paging/`)
 *     frames       0x4711   0x12d     ...               in the order of the page array (`pageArray.ts`)
 *
 * VMALLOC-1: the pages of an area, in its array, are those that its addresses are mapped to, in order.
 * VMALLOC-2: the pages of all areas of vmalloc, counted, are `nr_vmalloc_pages`.
 *
 * Operations that few programs need are functions that take a mapper, in files of their own, so that they are
 * bundled only where they are used: `vmap`, `ioremap`, `vmMapRam`, `kvmalloc`, `vread` and others.
 *
 * Source: spec/vmalloc.md §6, §7.
 */

import { InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE, PAGE_SIZE, type Pfn, type VirtAddr } from '../base/units'
import { type Frames, frameSource } from '../buddy/frameSource'
import { __GFP_DMA, __GFP_DMA32, __GFP_ZERO, GFP_KERNEL } from '../page/gfp'
import { PAGE_KERNEL } from '../paging/format'
import type { PageTables } from '../paging/pageTables'
import { arrayBytes } from '../slab/kmalloc'
import { isVmallocAddr } from './addresses'
import {
  checkAlign,
  checkFlags,
  checkGfp,
  checkNode,
  checkProt,
  checkRange,
  checkSize,
} from './checks'
import { VM_ALLOW_HUGE_VMAP, VM_MAP_PUT_PAGES, VM_USERMAP } from './flags'
import { checkAddress, freeMemory, unmapMemory } from './vfree'
import type { VmallocContext } from './vmallocContext'
import { createVmalloc, type VmallocOptions } from './vmallocOptions'
import { allocInWindow, allocRange } from './vmallocRange'

/** What `vmallocNodeRange` is asked for; what is left out is as for `vmalloc`. */
export interface VmallocRange {
  /** Alignment of the address. Bytes, a power of two; 1 when not given. */
  readonly align?: number
  /** Lowest address; that of the vmalloc window when not given. */
  readonly start?: number
  /** One more than the highest address; that of the window when not given. */
  readonly end?: number
  /** GFP mask of the pages; GFP_KERNEL when not given. */
  readonly gfp?: number
  /** Protection; PAGE_KERNEL when not given. */
  readonly prot?: number
  /** VM_ flags; 0 when not given. */
  readonly flags?: number
  /** Node of the pages; near the current CPU when not given. */
  readonly node?: number
}

/**
 * The virtual mapper of a machine: an address space, page tables, and memory mapped there.
 *
 * ```ts
 * const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }) })
 * const vm = new Vmalloc(pages)
 * const p = vm.vmalloc(300_000)
 * if (p !== null) vm.vfree(p)
 * ```
 */
export class Vmalloc {
  /** The mapper's inside, for the library's own layers. @internal */
  readonly context: VmallocContext

  /**
   * Makes the mapper of a machine. Its first page is the top page table; x86_64 takes 64 more.
   * @throws InvalidArgument for wrong options and pages without content; OutOfMemory when there are no pages.
   */
  constructor(pages: Frames, options: VmallocOptions = {}) {
    this.context = createVmalloc(frameSource(pages), pages, options)
  }

  /**
   * Allocates `size` bytes, in whole pages. Their content is what was there.
   * @param size bytes; 0 is warned of once, and gives null.
   * @param gfp what the caller needs and may do.
   * @returns the address, a multiple of the page size; null when there is no memory or no address space.
   */
  vmalloc(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    return this.alloc(size, gfp, 0, NUMA_NO_NODE)
  }

  /** Allocates `size` bytes filled with zero. */
  vzalloc(size: number): VirtAddr | null {
    return this.alloc(size, GFP_KERNEL | __GFP_ZERO, 0, NUMA_NO_NODE)
  }

  /** Allocates `size` bytes with memory of `node`, or near it. */
  vmallocNode(size: number, node: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    return this.alloc(size, gfp, 0, node)
  }

  /** Allocates `size` bytes filled with zero that may be mapped to user space: see `remapVmallocRange`. */
  vmallocUser(size: number): VirtAddr | null {
    return this.vmallocNodeRange(size, {
      align: PAGE_SIZE,
      gfp: GFP_KERNEL | __GFP_ZERO,
      flags: VM_USERMAP,
    })
  }

  /** Allocates `size` bytes of memory below 4 GiB. */
  vmalloc32(size: number): VirtAddr | null {
    return this.alloc(size, GFP_KERNEL | this.zone32(), 0, NUMA_NO_NODE)
  }

  /** Allocates `size` bytes as {@link vmalloc32}, zeroed, to be mapped to user space. */
  vmalloc32User(size: number): VirtAddr | null {
    return this.vmallocNodeRange(size, {
      align: PAGE_SIZE,
      gfp: GFP_KERNEL | __GFP_ZERO | this.zone32(),
      flags: VM_USERMAP,
    })
  }

  /** Allocates `size` bytes, with huge pages if that many are large enough and can be had. */
  vmallocHuge(size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    return this.alloc(size, gfp, VM_ALLOW_HUGE_VMAP, NUMA_NO_NODE)
  }

  /** Allocates `count` times `size` bytes; null also when the product has more than 64 bits. */
  vmallocArray(count: number, size: number, gfp: number = GFP_KERNEL): VirtAddr | null {
    const bytes = arrayBytes(count, size)
    // No machine has as much memory as would not be exact any more.
    return bytes === null || bytes > Number.MAX_SAFE_INTEGER ? null : this.vmalloc(bytes, gfp)
  }

  /** Allocates `count` times `size` bytes filled with zero. */
  vcalloc(count: number, size: number): VirtAddr | null {
    return this.vmallocArray(count, size, GFP_KERNEL | __GFP_ZERO)
  }

  /** Allocates `size` bytes with everything to be chosen: `__vmalloc_node_range`. */
  vmallocNodeRange(size: number, range: VmallocRange = {}): VirtAddr | null {
    const c = this.context
    const { align = 1, gfp = GFP_KERNEL, prot = PAGE_KERNEL, flags = 0 } = Object(range)
    const { start = c.layout.vmallocStart, end = c.layout.vmallocEnd } = Object(range)
    const { node = NUMA_NO_NODE } = Object(range) as VmallocRange
    checkSize(size)
    checkAlign(align)
    checkRange(c, start, end)
    checkProt(c, prot)
    checkFlags(flags)
    if ((flags & VM_MAP_PUT_PAGES) !== 0) {
      throw new InvalidArgument(
        'flags',
        flags,
        'without VM_MAP_PUT_PAGES: the pages are the area’s',
      )
    }
    checkNode(c, node)
    const mask = checkGfp(gfp)
    return allocRange(c, { size, align, low: start, high: end, gfp: mask, prot, flags, node })
  }

  /**
   * Frees memory of this family with its addresses, which become usable again with the next purge. Null is
   * nothing. In an interrupt it is put aside: see `runDeferredFrees`.
   * @throws KernelBug, with nothing changed, for an address without an area, and for memory whose page
   * array was overwritten.
   */
  vfree(address: VirtAddr | null): void {
    freeMemory(this.context, address)
  }

  /** Removes a mapping of `vmap`; its pages stay the caller's. Null is nothing. */
  vunmap(address: VirtAddr | null): void {
    unmapMemory(this.context, address)
  }

  /** Frame that an address is mapped to, of any area; null where nothing is mapped. */
  vmallocToPfn(address: VirtAddr): Pfn | null {
    checkAddress(this.context, address)
    const pfn = this.context.tables.pfnAt(address)
    return pfn < 0 ? null : (pfn as Pfn)
  }

  /** The kernel's page tables: to look addresses up, and to map areas that have nothing mapped. */
  get tables(): PageTables {
    return this.context.tables
  }

  /**
   * The buffer that all this is in, but for the memory of descriptors, pages and page tables. A copy of it is part
   * of a saved machine.
   */
  get state(): ArrayBuffer | SharedArrayBuffer {
    return this.context.space.words.buffer as ArrayBuffer | SharedArrayBuffer
  }

  /** Whether an address lies in the vmalloc window. */
  isVmallocAddr(address: VirtAddr): boolean {
    return isVmallocAddr(this.context.layout, address)
  }

  /** The zone selector of memory below 4 GiB. */
  private zone32(): number {
    const { frames, layout } = this.context
    if (frames.hasZone(1)) return __GFP_DMA32
    return layout.pointerBytes === 8 && frames.hasZone(0) ? __GFP_DMA : 0
  }

  private alloc(size: number, gfp: number, flags: number, node: number): VirtAddr | null {
    const c = this.context
    checkSize(size)
    checkNode(c, node)
    return allocInWindow(c, size, checkGfp(gfp), flags, node)
  }
}
