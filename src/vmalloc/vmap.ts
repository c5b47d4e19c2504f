/**
 * Mapping pages that somebody has already: vmap, and vmapPfn for frames that are no memory.
 *
 * Frames have to be in use, and nothing that is mapped can be executed (DIFF-48).
 *
 * Source: spec/vmalloc.md §8.1, §8.2.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type Pfn, type VirtAddr } from '../base/units'
import { GFP_KERNEL } from '../page/gfp'
import { PAGE_KERNEL, PROT_EXEC, PROT_SPECIAL } from '../paging/format'
import { VM_NR_PAGES, VM_PAGES } from '../state/vmapSchema'
import { checkFlags, checkFrames, checkProt } from './checks'
import { VM_IOREMAP, VM_MAP, VM_MAP_PUT_PAGES, VM_NO_GUARD } from './flags'
import { kvfree, kvmalloc } from './kvmalloc'
import { writePageArray } from './pageArray'
import { dropVmArea, finishMapping, getWindowArea, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'
import { type VmallocContext, warnVmalloc } from './vmallocContext'
import { WARN_VMAP_NO_GUARD, WARN_VMAP_PFN } from './vmallocLogOps'

/**
 * Maps pages one behind the other in the kernel's address space. They stay the caller's; with
 * `VM_MAP_PUT_PAGES` one reference to each is the area's, and `vfree` drops it.
 * @param pfns frames in use, at most as many as there is memory.
 * @param flags VM_ flags; `VM_MAP` when not given. `VM_NO_GUARD` is warned of once and left out.
 * @param prot protection; it never allows execution.
 * @returns the address, or null when there is no memory or no address space.
 * @throws InvalidArgument, with nothing changed, for frames that are not in use.
 */
export function vmap(
  vm: Vmalloc,
  pfns: readonly Pfn[],
  flags: number = VM_MAP,
  prot: number = PAGE_KERNEL,
): VirtAddr | null {
  const c = vm.context
  checkFlags(flags)
  checkProt(c, prot)
  checkFrames(c, pfns)
  const put = (flags & VM_MAP_PUT_PAGES) !== 0
  if (put) checkOwned(c, pfns)
  if ((flags & VM_NO_GUARD) !== 0) warnVmalloc(c, WARN_VMAP_NO_GUARD)
  const count = pfns.length
  if (count > c.frames.totalPages() || count === 0) return null
  // The array that a kernel's caller hands over: made before the area is.
  const array = put ? kvmalloc(vm, count * c.layout.pointerBytes, GFP_KERNEL) : null
  if (put && array === null) return null
  let area = 0
  try {
    area = mappedArea(c, pfns, flags & ~VM_NO_GUARD, prot & ~PROT_EXEC)
  } finally {
    if (area === 0) kvfree(vm, array)
  }
  if (area === 0) return null
  if (array === null) return vmAddress(c, area)
  writePageArray(c, array, pfns, count)
  c.space.numbers[(area + VM_PAGES) >> 1] = array
  c.space.words[area + VM_NR_PAGES] = count
  return vmAddress(c, area)
}

/**
 * Maps frames that are no memory, such as a device's, one behind the other.
 * @returns the address, or null when there is no memory or address space, and for a frame that is memory:
 * that is warned of once.
 */
export function vmapPfn(
  vm: Vmalloc,
  pfns: readonly Pfn[],
  prot: number = PAGE_KERNEL,
): VirtAddr | null {
  const c = vm.context
  checkProt(c, prot)
  if (!Array.isArray(pfns)) throw new InvalidArgument('pfns', pfns, 'an array of frames')
  const limit = 2 ** (c.tables.format.physBits - 12)
  for (const pfn of pfns) checkInteger('pfn', pfn, 0, limit - 1)
  if (pfns.length === 0) return null
  if (pfns.some((pfn) => c.frames.isMemory(pfn))) {
    // The kernel finds out while it maps: its area has been put aside by then.
    const area = getWindowArea(c, pfns.length * PAGE_SIZE, VM_IOREMAP)
    if (area !== 0) dropVmArea(c, area)
    warnVmalloc(c, WARN_VMAP_PFN)
    return null
  }
  const area = mappedArea(c, pfns, VM_IOREMAP, (prot & ~PROT_EXEC) | PROT_SPECIAL)
  return area === 0 ? null : vmAddress(c, area)
}

/** Throws unless each frame is a block of its own, and none comes twice: each will be freed. */
function checkOwned(c: VmallocContext, pfns: readonly number[]): void {
  const seen = new Set<number>()
  for (const pfn of pfns) {
    if (seen.has(pfn) || !c.frames.isBlock(pfn, 0)) {
      throw new InvalidArgument('pfn', pfn, 'a page of its own, given once')
    }
    seen.add(pfn)
  }
}

/** An area with frames mapped; 0 when there is no memory. */
function mappedArea(
  c: VmallocContext,
  pfns: readonly number[],
  flags: number,
  prot: number,
): number {
  const bytes = pfns.length * PAGE_SIZE
  const area = getWindowArea(c, bytes, flags)
  if (area === 0) return 0
  const start = vmAddress(c, area)
  let mapped = false
  try {
    const code = c.tables.mapPages(start, pfns, 0, pfns.length, prot)
    mapped = finishMapping(c, start, bytes, code)
  } finally {
    // After an error too, which a hook may throw.
    if (!mapped) dropVmArea(c, area)
  }
  return mapped ? area : 0
}
