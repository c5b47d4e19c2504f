/**
 * Work that a mapper puts off: purges and drain work, and frees that were put aside in an interrupt. It is done when it
 * is due, or here by hand.
 *
 * Source: spec/vmalloc.md §4, §7.3.
 */

import { InvalidArgument } from '../base/errors'
import type { VirtAddr } from '../base/units'
import { VMAP_DRAIN_PENDING } from '../state/vmapSchema'
import { checkAddress, deferFree, runDeferred } from './vfree'
import type { Vmalloc } from './vmalloc'
import type { PurgeNotifier } from './vmallocContext'
import { drainPoint, lazyPages, purge } from './vmapPurge'

/** Adds a function that is asked for address space when none is left; it tells how much it freed. */
export function registerVmapPurgeNotifier(vm: Vmalloc, notifier: PurgeNotifier): void {
  if (typeof notifier !== 'function') throw new InvalidArgument('notifier', notifier, 'a function')
  vm.context.notifiers.push(notifier)
}

/** Takes a function of {@link registerVmapPurgeNotifier} off again. Returns whether it was there. */
export function unregisterVmapPurgeNotifier(vm: Vmalloc, notifier: PurgeNotifier): boolean {
  const { notifiers } = vm.context
  const at = notifiers.indexOf(notifier)
  if (at >= 0) notifiers.splice(at, 1)
  return at >= 0
}

/** Pages of address space that wait for a purge: `vmap_lazy_nr`. */
export function vmapLazyPages(vm: Vmalloc): number {
  return lazyPages(vm.context.space)
}

/** Frees the addresses that wait for a purge, but no vmap blocks. Returns whether there were any. */
export function purgeVmapAreas(vm: Vmalloc): boolean {
  return purge(vm.context.space, false)
}

/** Holds drain work back, or lets it run where a kernel would: at the first scheduling point of a call. */
export function holdDrainWork(vm: Vmalloc, held: boolean): void {
  vm.context.space.held = held === true
}

/** Runs drain work now if it is due, held back or not. Returns whether it was. */
export function runDrainWork(vm: Vmalloc): boolean {
  const { space } = vm.context
  const due = space.words[VMAP_DRAIN_PENDING] !== 0
  const { held } = space
  space.held = false
  drainPoint(space)
  space.held = held
  return due
}

/** Frees memory later, in any context: see {@link runDeferredFrees}. Null is nothing. */
export function vfreeAtomic(vm: Vmalloc, address: VirtAddr | null): void {
  if (address === null) return
  checkAddress(vm.context, address)
  deferFree(vm.context, address)
}

/** Frees what the current CPU has put aside in interrupts and by {@link vfreeAtomic}, the last one first. */
export function runDeferredFrees(vm: Vmalloc): void {
  runDeferred(vm.context)
}
