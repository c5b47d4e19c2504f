/** Working on a state that exists. */

import { hashWords, stateView } from '../state/checkState'
import { HEADER_WORDS_USED } from '../state/schema'
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

/** A hash of the whole state: equal states hash equal. Cost: every word. */
export function stateHash(pages: BuddyAllocator): number {
  return hashWords(pages.context.words, pages.context.words[HEADER_WORDS_USED]!)
}
