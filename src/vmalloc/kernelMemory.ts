/**
 * Bytes at kernel addresses: those of the direct map, and those that the page tables map.
 *
 * Source: spec/vmalloc.md §9.1, §14.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import type { VmallocContext } from './vmallocContext'

/**
 * The physical address behind a kernel address; -1 where there is none, or no memory of the machine.
 */
export function physicalAt(c: VmallocContext, address: number): number {
  const { directMapStart, directMapEnd, directMap } = c.layout
  const direct = address >= directMapStart && address < directMapEnd
  const phys = direct ? address - directMap : c.tables.translate(address)
  return phys >= 0 && c.frames.isMemory(Math.floor(phys / PAGE_SIZE)) ? phys : -1
}

/** Copies `bytes` bytes between kernel addresses, all or none. The two must not overlap. */
export function copyMemory(c: VmallocContext, to: number, from: number, bytes: number): void {
  checkMapped(c, 'from', from, bytes)
  checkMapped(c, 'to', to, bytes)
  for (let done = 0; done < bytes; ) {
    const piece = Math.min(bytes - done, leftInPage(to + done), leftInPage(from + done))
    c.frames.ram.copy(physicalAt(c, to + done), physicalAt(c, from + done), piece)
    done += piece
  }
}

/** Copies the bytes of a kernel range into `target`. */
export function readMemory(c: VmallocContext, address: number, target: Uint8Array): void {
  checkMapped(c, 'address', address, target.length)
  for (let done = 0; done < target.length; ) {
    const piece = Math.min(target.length - done, leftInPage(address + done))
    target.set(c.frames.ram.bytes(physicalAt(c, address + done), piece), done)
    done += piece
  }
}

/** Copies the bytes of `source` to a kernel range, all or none. */
export function writeMemory(c: VmallocContext, address: VirtAddr, source: Uint8Array): void {
  checkMapped(c, 'address', address, source.length)
  for (let done = 0; done < source.length; ) {
    const piece = Math.min(source.length - done, leftInPage(address + done))
    const phys = physicalAt(c, address + done)
    c.frames.ram.bytes(phys, piece).set(source.subarray(done, done + piece))
    c.frames.ram.markDirty(phys, piece)
    done += piece
  }
}

/** Bytes from an address to the end of its page. */
export function leftInPage(address: number): number {
  return PAGE_SIZE - (address % PAGE_SIZE)
}

/** Throws unless there is memory behind each byte of a kernel range. */
function checkMapped(c: VmallocContext, name: string, address: number, bytes: number): void {
  checkInteger(name, address, 0, c.space.limit - 1)
  checkInteger('bytes', bytes, 0, c.space.limit - address)
  for (let done = 0; done < bytes; done += leftInPage(address + done)) {
    if (physicalAt(c, address + done) >= 0) continue
    throw new InvalidArgument(name, address + done, 'an address with memory behind it')
  }
}
