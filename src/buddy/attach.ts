/** Working on a state that exists. */

import { checkState, hashWords } from '../state/checkState'
import { HEADER_WORDS_USED } from '../state/schema'
import { BuddyAllocator } from './buddyAllocator'
import type { BuddyContext } from './context'
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
  return new BuddyAllocator(attachContext(state, options))
}

/** A hash of the whole state: equal states hash equal. Cost: every word. */
export function stateHash(pages: BuddyAllocator): number {
  return hashWords(pages.context.words, pages.context.words[HEADER_WORDS_USED]!)
}

/**
 * Works on a state that exists, without a copy.
 * @throws InvalidArgument for anything but a whole state buffer of this version.
 */
function attachContext(
  state: ArrayBuffer | SharedArrayBuffer,
  options: CommonOptions & { readonly ram?: RamSource },
): BuddyContext {
  const words = new Int32Array(state)
  checkState(words)
  const c = newContext(words, options, options.ram)
  return c
}
