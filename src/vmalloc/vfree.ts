/**
 * Freeing memory of vmalloc and mappings, now or later.
 *
 * What is no area throws, and deferred frees run when they are told to (DIFF-43).
 *
 * Source: spec/vmalloc.md §7.
 */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { fullAddress } from '../base/layout'
import { PAGE_SIZE, type VirtAddr } from '../base/units'
import { CONTEXT_INTERRUPT } from '../buddy/contextBits'
import { VM_DEFERRED, VM_FLAGS, VMAP_CPU_DEFERRED } from '../state/vmapSchema'
import { VM_FLUSH_RESET_PERMS } from './flags'
import { findVmArea, freeVmStruct, removeVmArea, vmAddress } from './vmArea'
import type { VmallocContext } from './vmallocContext'
import { freeVm } from './vmallocRange'
import { unmapAliases } from './vmapBlock'
import { thisCpu } from './vmapContext'

/** Frees memory of vmalloc; in an interrupt it is only put aside, until {@link runDeferred}. */
export function freeMemory(c: VmallocContext, address: VirtAddr | null): void {
  if (address === null) return
  checkAddress(c, address)
  if ((c.frames.running.contextBits & CONTEXT_INTERRUPT) !== 0) deferFree(c, address)
  else freeVm(c, areaToFree(c, address))
}

/** Removes a mapping; the pages stay the caller's. */
export function unmapMemory(c: VmallocContext, address: VirtAddr | null): void {
  if ((c.frames.running.contextBits & CONTEXT_INTERRUPT) !== 0) {
    throw new KernelBug('IN_INTERRUPT', 'vunmap was called in an interrupt', [
      'kernel BUG at vunmap',
    ])
  }
  if (address === null) return
  checkAddress(c, address)
  const vm = areaToFree(c, address)
  removeVmArea(c, vm)
  if ((c.space.words[vm + VM_FLAGS]! & VM_FLUSH_RESET_PERMS) !== 0) {
    unmapAliases(c)
  }
  freeVmStruct(c, vm)
}

/** Throws unless `address` may be one of the layout. */
export function checkAddress(c: VmallocContext, address: number): void {
  if (address === null || typeof address !== 'number') {
    throw new InvalidArgument('address', address, 'an address')
  }
  checkInteger('address', address, 0, c.space.limit - 1)
}

/**
 * The area that holds an address, at whichever of its pages.
 * @throws KernelBug when there is none, in the words of the kernel's warning.
 */
export function areaToFree(c: VmallocContext, address: number): number {
  if (address % PAGE_SIZE !== 0) {
    c.log.badAddress(address)
    throw badFree(c, 'BAD_ADDRESS', 'bad address', address)
  }
  const vm = findVmArea(c, address)
  if (vm !== 0) {
    checkNotDeferred(c, vm)
    return vm
  }
  c.log.noArea(address)
  throw badFree(c, 'NOT_ALLOCATED', 'nonexistent vm area', address)
}

/** Throws when an area was put aside, to be freed later. */
export function checkNotDeferred(c: VmallocContext, vm: number): void {
  if (c.space.words[vm + VM_DEFERRED] === 0) return
  throw badFree(c, 'DOUBLE_FREE', 'deferred vm area', vmAddress(c, vm))
}

/**
 * Puts memory aside to be freed later, in any context. As a kernel does it, the memory itself holds the link
 * to what was put aside before it.
 */
export function deferFree(c: VmallocContext, address: VirtAddr): void {
  const vm = areaToFree(c, address)
  const { words } = c.space
  const head = thisCpu(c.space) + VMAP_CPU_DEFERRED
  const before = words[head]!
  words[vm + VM_DEFERRED] = before === 0 ? -1 : before
  words[head] = vm
  writeLink(c, vmAddress(c, vm), before === 0 ? 0 : vmAddress(c, before))
}

/** Frees what the current CPU has put aside, the last one first. */
export function runDeferred(c: VmallocContext): void {
  const { words } = c.space
  const head = thisCpu(c.space) + VMAP_CPU_DEFERRED
  while (words[head] !== 0) {
    const vm = words[head]!
    const next = words[vm + VM_DEFERRED]!
    words[head] = Math.max(next, 0)
    words[vm + VM_DEFERRED] = 0
    freeVm(c, vm)
  }
}

function badFree(c: VmallocContext, code: string, what: string, address: number): KernelBug {
  const text = fullAddress(c.layout, address).toString(16).padStart(16, '0')
  const report = `Trying to vfree() ${what} (${text})`
  return new KernelBug(code, `0x${text} cannot be freed`, [report])
}

/** Writes a pointer into the first bytes of an area, if anything is mapped there. */
function writeLink(c: VmallocContext, at: number, address: number): void {
  const phys = c.tables.translate(at)
  if (phys < 0 || !c.frames.isMemory(Math.floor(phys / PAGE_SIZE))) return
  const { ram } = c.frames
  const index = ram.wordIndex(phys)
  const full = address === 0 ? 0n : fullAddress(c.layout, address)
  ram.words[index] = Number(BigInt.asIntN(32, full))
  if (c.layout.pointerBytes === 8) ram.words[index + 1] = Number(BigInt.asIntN(32, full >> 32n))
  if (ram.tracksDirty) ram.markDirty(phys, c.layout.pointerBytes)
}
