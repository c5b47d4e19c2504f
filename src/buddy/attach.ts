/** Working on a state that exists. */

import { writtenParts } from '../page/freshBlocks'
import { hashParts, stateView } from '../state/checkState'
import { BuddyAllocator } from './buddyAllocator'
import { type CommonOptions, newContext, type RamSource } from './options'

/**
 * Works on the state buffer of another allocator, without a copy: after a copy back of a saved
 * state, or from another module. Hooks are given anew. One thread at a time may use a state.
 * @throws InvalidArgument for anything but a state buffer of this version.
 */
export function attachState(
  state: ArrayBuffer | SharedArrayBuffer,
  options: CommonOptions & { readonly ram?: RamSource } = {},
): BuddyAllocator {
  return new BuddyAllocator(newContext(stateView(state), options, options.ram))
}

/** A hash of the whole state: equal states hash equal. Cost: every word, but for memory that was never used. */
export function stateHash(pages: BuddyAllocator): number {
  const { words } = pages.context
  return hashParts(words, writtenParts(words))
}
