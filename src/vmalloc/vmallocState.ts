/** The areas of a mapper as plain data, and giving them to a new one. Source: spec/vmalloc.md §2.3. */

import type { Vmalloc } from './vmalloc'
import { loadVmapState } from './vmapLoad'
import { type VmapState, vmapState } from './vmapState'

/**
 * The areas of a mapper, addresses in full: the free tree node for node, the areas that wait for a purge, and
 * those in use.
 */
export function vmallocState(vm: Vmalloc): VmapState {
  return vmapState(vm.context.space, vm.context.layout)
}

/**
 * Gives a new mapper the areas that a machine has already. Nothing is known of what is mapped in those in use,
 * so they stay for ever.
 * @throws InvalidArgument, with nothing changed, for a mapper in use, and for what is no such state.
 */
export function loadVmallocState(vm: Vmalloc, state: VmapState): void {
  loadVmapState(vm.context.space, state, vm.context.layout)
}
