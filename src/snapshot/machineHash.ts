/** A hash of a whole machine. */

import { PAGE_SIZE } from '../base/units'
import { writtenParts } from '../page/freshBlocks'
import { VMAP_WORDS_USED } from '../state/vmapSchema'
import { hex8, mixWord } from './checksum'
import { checkMachine, isZeroPage, WORDS_PER_PAGE } from './machineView'
import type { SnapshotParts } from './parts'

/**
 * A hash of all words in use of the three states and of the bytes of RAM: machines in equal states have equal hashes,
 * whatever their buffers. Four times eight hexadecimal digits: pages, slabs, space, RAM; zeros for what there is not.
 * Cost: every word once, but for memory that was never used.
 * @throws InvalidArgument for anything but a machine between two calls.
 */
export function machineHash(m: SnapshotParts): string {
  checkMachine(m)
  const { pages, slabs, vm, ram } = m
  const space = vm?.context.space.words
  const hashes = [
    hashOf(pages.words, writtenParts(pages.words)),
    slabs === undefined ? 0 : hashOf(slabs.words, [0, slabs.wordsUsed]),
    space === undefined ? 0 : hashOf(space, [0, space[VMAP_WORDS_USED]!]),
    hashOfRam(ram.words, ram.hasContent ? ram.size / PAGE_SIZE : 0),
  ]
  return hashes.map(hex8).join('-')
}

function hashOfRam(words: Int32Array, pages: number): number {
  let hash = pages
  for (let page = 0; page < pages; page++) {
    if (isZeroPage(words, page)) continue
    const start = page * WORDS_PER_PAGE
    hash = hashWords(words, start, start + WORDS_PER_PAGE, mixWord(hash, page))
  }
  return hash
}

/** A hash of the words of `parts`, pairs of a start and an end. */
function hashOf(words: Int32Array, parts: readonly number[]): number {
  let hash = 0
  for (let i = 0; i < parts.length; i += 2) {
    hash = hashWords(words, parts[i] ?? 0, parts[i + 1] ?? 0, hash)
  }
  return hash
}

function hashWords(words: Int32Array, start: number, end: number, from: number): number {
  let hash = mixWord(from, end - start)
  for (let i = start; i < end; i++) hash = mixWord(hash, words[i]!)
  return hash
}
