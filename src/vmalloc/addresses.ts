/**
 * Addresses of memory: from physical to virtual and back by the direct map, which window an address is in,
 * and addresses as text.
 *
 * Where a kernel takes or gives a pointer to the record of a page, a frame number stands for it here:
 * `virtToPfn` is its virt_to_page, `pfnToVirt` its page_to_virt and, without high memory, page_address.
 *
 * Source: spec/vmalloc.md §2, §14.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type AddressWindow, fullAddress, type Layout } from '../base/layout'
import { PAGE_SIZE, type Pfn, type PhysAddr, type VirtAddr } from '../base/units'
import { type Frames, frameSource } from '../buddy/frameSource'

/** Bytes of the record of a page frame. */
const PAGE_RECORD_BYTES = 64
/** One more than the largest address of any format. */
const ADDRESS_LIMIT = 0x200000000000000
const ADDRESS_TEXT = /^(?:0x)?([0-9a-f]{1,16})$/i

/**
 * The address of physical address `phys` in the direct map.
 * @throws InvalidArgument for one that the direct map does not reach, such as high memory.
 */
export function physToVirt(layout: Layout, phys: number): VirtAddr {
  const { directMap, directMapStart, directMapEnd } = layout
  checkInteger('phys', phys, Math.max(directMapStart - directMap, 0), directMapEnd - directMap - 1)
  return (directMap + phys) as VirtAddr
}

/**
 * The physical address behind an address of the direct map or of the kernel image.
 * @throws InvalidArgument for any other address: one of vmalloc has to be looked up in the page tables.
 */
export function virtToPhys(layout: Layout, address: number): PhysAddr {
  const phys = linearPhys(layout, address)
  if (phys < 0) throw new InvalidArgument('address', address, windows(layout))
  return phys as PhysAddr
}

/** Frame of an address of the direct map or of the kernel image. See {@link virtToPhys}. */
export function virtToPfn(layout: Layout, address: number): Pfn {
  return Math.floor(virtToPhys(layout, address) / PAGE_SIZE) as Pfn
}

/**
 * The address of the first byte of frame `pfn` in the direct map.
 * @throws InvalidArgument for a frame that the direct map does not reach.
 */
export function pfnToVirt(layout: Layout, pfn: number): VirtAddr {
  const { directMap, directMapStart, directMapEnd } = layout
  const first = Math.max(Math.ceil((directMapStart - directMap) / PAGE_SIZE), 0)
  checkInteger('pfn', pfn, first, Math.floor((directMapEnd - directMap) / PAGE_SIZE) - 1)
  return (directMap + pfn * PAGE_SIZE) as VirtAddr
}

/**
 * Whether {@link virtToPhys} makes sense of an address and the frame there is memory of the machine. False
 * for whatever is no address, and for every address of vmalloc.
 */
export function virtAddrValid(layout: Layout, address: number, pages: Frames): boolean {
  const phys = linearPhys(layout, address)
  return phys >= 0 && frameSource(pages).isMemory(Math.floor(phys / PAGE_SIZE))
}

/**
 * Address of the record of frame `pfn`, in full: what a kernel prints for a page.
 * @throws InvalidArgument unless `pfn` is an integer in [0, 2^40).
 */
export function pageStructAddress(layout: Layout, pfn: number): bigint {
  checkInteger('pfn', pfn, 0, 2 ** 40 - 1)
  return layout.vmemmap + BigInt(pfn * PAGE_RECORD_BYTES)
}

/** Whether an address lies in the vmalloc window. On x86_64 its last byte does not. */
export function isVmallocAddr(layout: Layout, address: number): boolean {
  return address >= layout.vmallocStart && address < layout.vmallocEnd
}

/** Whether an address lies in the vmalloc window or in that of modules. */
export function isVmallocOrModuleAddr(layout: Layout, address: number): boolean {
  if (isInside(layout.modules, address)) return true
  return isVmallocAddr(layout, address)
}

/**
 * An address in full, as a kernel prints it: 16 lowercase hexadecimal digits, 8 on a 32-bit machine.
 * @throws InvalidArgument for what is no address of the layout.
 */
export function formatAddress(layout: Layout, address: number): string {
  checkInteger('address', address, 0, 2 ** layout.vaBits - 1)
  return fullAddress(layout, address)
    .toString(16)
    .padStart(2 * layout.pointerBytes, '0')
}

/**
 * The address that a text names in full: hexadecimal digits, with or without `0x`. The inverse of
 * {@link formatAddress}.
 * @throws InvalidArgument for other text, and for an address whose sign extension is wrong.
 */
export function parseAddress(layout: Layout, text: string): VirtAddr {
  const digits = typeof text === 'string' ? ADDRESS_TEXT.exec(text)?.[1] : undefined
  if (digits === undefined) {
    throw new InvalidArgument('text', text, 'up to 16 hexadecimal digits, with or without 0x')
  }
  const full = BigInt(`0x${digits}`)
  const address = Number(BigInt.asUintN(layout.vaBits, full))
  if (fullAddress(layout, address) !== full) {
    throw new InvalidArgument('text', text, `an address of ${layout.name}, sign extension included`)
  }
  return address as VirtAddr
}

/**
 * An address or a size, rounded up to whole pages.
 * @throws InvalidArgument unless it is an integer in [0, 2^57].
 */
export function pageAlign(address: number): number {
  checkInteger('address', address, 0, ADDRESS_LIMIT)
  return Math.ceil(address / PAGE_SIZE) * PAGE_SIZE
}

/** An address or a size, rounded down to whole pages. See {@link pageAlign}. */
export function pageAlignDown(address: number): number {
  checkInteger('address', address, 0, ADDRESS_LIMIT)
  return Math.floor(address / PAGE_SIZE) * PAGE_SIZE
}

/** Bytes between the start of its page and an address. See {@link pageAlign}. */
export function offsetInPage(address: number): number {
  checkInteger('address', address, 0, ADDRESS_LIMIT)
  return address % PAGE_SIZE
}

/** Physical address of an address that has one without a look at page tables; -1 for any other value. */
function linearPhys(layout: Layout, address: number): number {
  if (!Number.isInteger(address)) return -1
  if (address >= layout.directMapStart && address < layout.directMapEnd) {
    return address - layout.directMap
  }
  const { image } = layout
  return image && isInside(image, address) ? address - image.start : -1
}

function windows(layout: Layout): string {
  const range = (start: number, end: number) =>
    `from 0x${formatAddress(layout, start)} to 0x${formatAddress(layout, end - 1)}`
  const map = `an integer ${range(layout.directMapStart, layout.directMapEnd)}`
  const { image } = layout
  return image ? `${map} or ${range(image.start, image.end)}` : map
}

function isInside(window: AddressWindow | undefined, address: number): boolean {
  return window !== undefined && address >= window.start && address < window.end
}
