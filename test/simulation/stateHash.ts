/** A hash of a machine for calls that may not change anything. */

import type { Machine } from '../../src/index'
import { hashWords } from '../../src/state/checkState'
import { HEADER_WORDS_USED } from '../../src/state/schema'
import { SLAB_TAINT, SLAB_WARNED } from '../../src/state/slabSchema'
import { VMAP_WORDS_USED } from '../../src/state/vmapSchema'

/**
 * Of all words in use, and with `bytes` of all bytes of memory, which takes longer. Reports leave taint bits, and marks
 * that they were written: these are left out.
 */
export function stateHash(machine: Machine, bytes = false): string {
  const { words } = machine.slabs
  const [taint, warned] = [words[SLAB_TAINT]!, words[SLAB_WARNED]!]
  words[SLAB_TAINT] = 0
  words[SLAB_WARNED] = 0
  const hash = bytes ? machine.hash() : hashOfWords(machine)
  words[SLAB_TAINT] = taint
  words[SLAB_WARNED] = warned
  return hash
}

function hashOfWords({ pages, slabs, vm }: Machine): string {
  const space = vm.context.space.words
  const hashes = [
    hashWords(pages.words, pages.words[HEADER_WORDS_USED]!),
    hashWords(slabs.words, slabs.wordsUsed),
    hashWords(space, space[VMAP_WORDS_USED]!),
  ]
  return hashes.join('-')
}
