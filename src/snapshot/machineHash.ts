/** A hash of a whole machine. */

import { PAGE_SIZE } from '../base/units'
import { HEADER_WORDS_USED } from '../state/schema'
import { VMAP_WORDS_USED } from '../state/vmapSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import { hex8, mixWord } from './checksum'
import { checkMachine, isZeroPage } from './machineView'

/**
 * A hash of all words in use of the three states and of the bytes of RAM: machines in equal states have equal hashes,
 * whatever their buffers. Four times eight hexadecimal digits: pages, slabs, space, RAM. Cost: every word once.
 * @throws InvalidArgument for anything but a machine between two calls.
 */
export function machineHash(m: MachineParts): string {
  checkMachine(m)
  const { pages, slabs, vm, ram } = m
  const space = vm.context.space.words
  const hashes = [
    hashOf(pages.words, 0, pages.words[HEADER_WORDS_USED]!, 0),
    hashOf(slabs.words, 0, slabs.wordsUsed, 0),
    hashOf(space, 0, space[VMAP_WORDS_USED]!, 0),
    hashOfRam(ram.words, ram.hasContent ? ram.size / PAGE_SIZE : 0),
  ]
  return hashes.map(hex8).join('-')
}

function hashOfRam(words: Int32Array, pages: number): number {
  let hash = pages
  for (let page = 0; page < pages; page++) {
    if (isZeroPage(words, page)) continue
    hash = hashOf(words, page * 1024, (page + 1) * 1024, mixWord(hash, page))
  }
  return hash
}

function hashOf(words: Int32Array, start: number, end: number, from: number): number {
  let hash = mixWord(from, end - start)
  for (let i = start; i < end; i++) hash = mixWord(hash, words[i]!)
  return hash
}
