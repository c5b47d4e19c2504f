/**
 * I/O memory in the kernel's address space.
 *
 * Cache modes are not compared with those of other mappings (DIFF-49).
 *
 * Source: spec/vmalloc.md §10.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SHIFT, PAGE_SIZE, PHYS_ADDR_LIMIT, type PhysAddr, type VirtAddr } from '../base/units'
import {
  CACHE_UC,
  CACHE_UC_MINUS,
  CACHE_WB,
  CACHE_WC,
  CACHE_WT,
  PAGE_KERNEL,
} from '../paging/format'
import { MAP_OK } from '../paging/pageTables'
import { VM_FLAGS, VM_PHYS } from '../state/vmapSchema'
import { isVmallocAddr } from './addresses'
import { checkProt, checkSize } from './checks'
import { VM_IOREMAP } from './flags'
import { checkAddress, checkNotDeferred } from './vfree'
import { dropVmArea, findVmArea, getWindowArea, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'
import { isFirst, type VmallocContext, warnVmalloc } from './vmallocContext'
import { WARN_IOREMAP_PHYS, WARN_IOREMAP_RAM } from './vmallocLogOps'

/** How I/O memory is cached. */
export type IoCache = 'uc-' | 'uc' | 'wc' | 'wt' | 'wb'

const CACHE_BITS: Readonly<Record<IoCache, number>> = {
  'uc-': CACHE_UC_MINUS,
  uc: CACHE_UC,
  wc: CACHE_WC,
  wt: CACHE_WT,
  wb: CACHE_WB,
}

/** First address of the ISA range, and one more than its last. */
const ISA_START = 0xa0000
const ISA_END = 0x100000

/**
 * Maps I/O memory, with the largest leaves that fit unless `nohugeiomap`.
 * @param phys where it is; not memory of the machine that is in use.
 * @param size bytes; 0 gives null.
 * @param cache uncached unless a range register says otherwise (`uc-`), as `ioremap` has it; `uc`, `wc`,
 * `wt` and `wb` as `ioremap_uc`, `_wc`, `_wt` and `_cache`.
 * @returns the address of the byte at `phys`, or null.
 * @throws InvalidArgument, with nothing changed, for a cache mode that the page tables cannot say, too: `wt` on
 * RISC-V and AArch64.
 */
export function ioremap(
  vm: Vmalloc,
  phys: PhysAddr,
  size: number,
  cache: IoCache = 'uc-',
): VirtAddr | null {
  const c = vm.context
  checkInteger('phys', phys, 0, PHYS_ADDR_LIMIT - 1)
  checkSize(size)
  if (!Object.hasOwn(CACHE_BITS, cache)) {
    throw new InvalidArgument('cache', cache, "'uc-', 'uc', 'wc', 'wt' or 'wb'")
  }
  const prot = PAGE_KERNEL | CACHE_BITS[cache]
  checkProt(c, prot)
  if (size === 0) return null
  const end = phys + size
  if (end > 2 ** Math.min(c.tables.format.physBits, physBits(c))) {
    c.log.badPhysical(phys)
    warnVmalloc(c, WARN_IOREMAP_PHYS)
    return null
  }
  if (touchesRam(c, phys, end)) {
    if (isFirst(c, WARN_IOREMAP_RAM)) c.log.ioremapOnRam(phys, end - 1)
    return null
  }
  const offset = phys % PAGE_SIZE
  const bytes = Math.ceil((offset + size) / PAGE_SIZE) * PAGE_SIZE
  const area = mapIo(c, phys - offset, bytes, prot)
  return area === 0 ? null : ((vmAddress(c, area) + offset) as VirtAddr)
}

/**
 * Removes a mapping of I/O memory. Addresses of the direct map are ignored; one of its ISA range is warned
 * of, and so is an address where nothing is mapped.
 */
export function iounmap(vm: Vmalloc, address: VirtAddr): void {
  const c = vm.context
  checkAddress(c, address)
  if (!isVmallocAddr(c.layout, address)) {
    const phys = address - c.layout.directMap
    const { directMap, directMapEnd } = c.layout
    if (phys <= Math.min(c.frames.endPfn() * PAGE_SIZE, directMapEnd - directMap)) return
    if (phys >= ISA_START && phys < ISA_END) c.log.iounmapIsa(address)
    else c.log.iounmapBad(address)
    return
  }
  const area = findVmArea(c, address)
  if (area === 0 || (c.space.words[area + VM_FLAGS]! & VM_IOREMAP) === 0) {
    c.log.iounmapBad(address)
    return
  }
  checkNotDeferred(c, area)
  dropVmArea(c, area)
}

/** Bits of a physical address that Linux uses. */
function physBits(c: VmallocContext): number {
  return c.tables.format.name.startsWith('x86_64') ? 46 : 52
}

function touchesRam(c: VmallocContext, phys: number, end: number): boolean {
  const last = Math.min(Math.ceil(end / PAGE_SIZE), c.frames.endPfn())
  for (let pfn = Math.floor(phys / PAGE_SIZE); pfn < last; pfn++) {
    if (c.frames.isMemory(pfn) && !c.frames.isReserved(pfn)) return true
  }
  return false
}

/** An area with I/O memory mapped; 0 when there is no memory. */
function mapIo(c: VmallocContext, phys: number, bytes: number, prot: number): number {
  const area = getWindowArea(c, bytes, VM_IOREMAP)
  if (area === 0) return 0
  c.space.numbers[(area + VM_PHYS) >> 1] = phys
  const start = vmAddress(c, area)
  const largest = c.hugeIomap && c.tables.format.hugeLeaves ? 52 : PAGE_SHIFT
  let mapped = false
  try {
    if (c.tables.mapRange(start, phys, bytes, prot, largest) === MAP_OK) {
      c.tables.flush.flushCacheMap(start, start + bytes)
      mapped = true
    }
  } finally {
    // After an error too, which a hook may throw.
    if (!mapped) dropVmArea(c, area)
  }
  return mapped ? area : 0
}
