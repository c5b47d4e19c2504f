/**
 * Showing memory of vmalloc to a user: its pages in the user's own address space.
 *
 * Source: spec/vmalloc.md §9.2.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { AddressSpace } from '../paging/addressSpace'
import { PAGE_SHARED } from '../paging/format'
import { VM_FLAGS } from '../state/vmapSchema'
import { checkProt } from './checks'
import { VM_DMA_COHERENT, VM_USERMAP } from './flags'
import { checkAddress } from './vfree'
import { findVmArea, usableBytes, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'

const EINVAL = 22
const ENOMEM = 12

/** Where a user sees memory of vmalloc. */
export interface UserRange {
  /** First address in the user's space, a multiple of the page size. */
  readonly address: number
  /** Bytes; rounded up to whole pages. */
  readonly size: number
}

/**
 * Maps pages of an area into a user's address space, in order. They stay the area's: unmap them there before
 * it is freed.
 * @param address any page of an area with `VM_USERMAP` or `VM_DMA_COHERENT`, such as one of `vmallocUser`.
 * @param pageOffset pages of the area, from that page on, to leave out; 0 when not given.
 * @param prot protection for the user; PAGE_SHARED when not given.
 * @returns 0; -22 (EINVAL) when the area is none, not for users, or too small, with nothing mapped; -12
 * (ENOMEM) when there is no page for a table, with nothing mapped.
 */
export function remapVmallocRange(
  vm: Vmalloc,
  space: AddressSpace,
  range: UserRange,
  address: VirtAddr,
  pageOffset = 0,
  prot: number = PAGE_SHARED,
): number {
  const c = vm.context
  if (!(space instanceof AddressSpace)) {
    throw new InvalidArgument('space', space, 'an AddressSpace')
  }
  const { address: user, size } = Object(range) as UserRange
  checkInteger('address of the range', user, 0, 2 ** space.format.vaBits - 1)
  checkInteger('size of the range', size, 1, Number.MAX_SAFE_INTEGER)
  checkInteger('pageOffset', pageOffset, 0, Number.MAX_SAFE_INTEGER)
  checkAddress(c, address)
  checkProt(c, prot)
  if (user % PAGE_SIZE !== 0 || address % PAGE_SIZE !== 0) return -EINVAL
  const area = findVmArea(c, address)
  if (area === 0) return -EINVAL
  if ((c.space.words[area + VM_FLAGS]! & (VM_USERMAP | VM_DMA_COHERENT)) === 0) return -EINVAL
  const pages = Math.ceil(size / PAGE_SIZE)
  const first = (address - vmAddress(c, area)) / PAGE_SIZE + pageOffset
  if (first + pages > usableBytes(c, area) / PAGE_SIZE) return -EINVAL
  const pfns = Array.from({ length: pages }, (_, i) =>
    c.tables.pfnAt(vmAddress(c, area) + (first + i) * PAGE_SIZE),
  )
  if (pfns.includes(-1)) return -EINVAL
  return space.mapPages(user, pfns, prot) ? 0 : -ENOMEM
}
