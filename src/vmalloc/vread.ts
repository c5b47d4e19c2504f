/**
 * Reading the vmalloc window as `/proc/kcore` does, over holes and all; and writing it the same way.
 *
 * Source: spec/vmalloc.md §9.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { AREA_NEXT, AREA_VM, VM_FLAGS } from '../state/vmapSchema'
import { VM_IOREMAP } from './flags'
import { leftInPage, physicalAt } from './kernelMemory'
import { usableBytes, vmAddress } from './vmArea'
import type { Vmalloc } from './vmalloc'
import type { VmallocContext } from './vmallocContext'
import { firstAreaAbove } from './vmapArea'

/** Does something with a run of addresses that is mapped (a physical address) or is not (-1). */
type Visit = (done: number, bytes: number, phys: number) => void

/**
 * Copies the bytes from `address` on into `target`. Holes, guard pages, I/O memory and areas of `vmMapRam` read
 * as zero.
 * @returns the bytes of `target`, all of them; 0 when nothing of the range is memory of an area: then
 * `target` is as it was.
 */
export function vread(vm: Vmalloc, target: Uint8Array, address: VirtAddr): number {
  const c = vm.context
  checkBuffer(c, target, address)
  const pieces: [number, number, number][] = []
  const reached = walkAreas(c, address, target.length, (done, bytes, phys) => {
    if (phys >= 0) pieces.push([done, bytes, phys])
  })
  if (!reached) return 0
  target.fill(0)
  for (const [done, bytes, phys] of pieces) target.set(c.frames.ram.bytes(phys, bytes), done)
  return target.length
}

/**
 * Copies `source` to the addresses from `address` on: the bytes that fall into memory of areas; the others
 * are left out. Kernels had it until 5.14.
 * @returns the bytes of `source`; 0 when nothing of the range is memory of an area.
 */
export function vwrite(vm: Vmalloc, source: Uint8Array, address: VirtAddr): number {
  const c = vm.context
  checkBuffer(c, source, address)
  const { ram } = c.frames
  const reached = walkAreas(c, address, source.length, (done, bytes, phys) => {
    if (phys < 0) return
    ram.bytes(phys, bytes).set(source.subarray(done, done + bytes))
    ram.markDirty(phys, bytes)
  })
  return reached ? source.length : 0
}

/** Visits what a range meets, page by page. Returns whether it met an area with a vm_struct. */
function walkAreas(c: VmallocContext, start: number, length: number, visit: Visit): boolean {
  const { words } = c.space
  const end = Math.min(start + length, c.space.limit)
  let at = start
  let reached = false
  for (let area = firstAreaAbove(c.space, start); area !== 0 && at < end; ) {
    const vm = words[area + AREA_VM]!
    area = words[area + AREA_NEXT]!
    if (vm === 0) continue
    const first = vmAddress(c, vm)
    const last = first + usableBytes(c, vm)
    if (at >= last) continue
    if (first >= end) break
    at = Math.max(at, first)
    reached = true
    const io = (words[vm + VM_FLAGS]! & VM_IOREMAP) !== 0
    for (const stop = Math.min(last, end); at < stop; ) {
      const bytes = Math.min(stop - at, leftInPage(at))
      visit(at - start, bytes, io ? -1 : physicalAt(c, at))
      at += bytes
    }
  }
  return reached
}

function checkBuffer(c: VmallocContext, buffer: Uint8Array, address: number): void {
  if (!(buffer instanceof Uint8Array)) {
    throw new InvalidArgument('buffer', buffer, 'a Uint8Array')
  }
  checkInteger('address', address, 0, c.space.limit - 1)
  checkInteger('bytes', buffer.length, 0, PAGE_SIZE * c.frames.maxPfn)
}
