/** Judging a state buffer that came from elsewhere, and hashing one. */

import { InvalidArgument } from '../base/errors'
import { MAGIC, placeTables, VERSION } from './layout'
import {
  HEADER_MAGIC,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_VERSION,
  HEADER_WORDS,
  HEADER_WORDS_USED,
} from './schema'

/**
 * Checks that `words` is a state buffer of this schema, whole and with its tables where they belong.
 * @throws InvalidArgument saying what is wrong.
 */
export function checkState(words: Int32Array): void {
  if (words.length < HEADER_WORDS || words[HEADER_MAGIC] !== MAGIC) {
    throw new InvalidArgument('state', words[HEADER_MAGIC], 'a kmem state buffer')
  }
  if (words[HEADER_VERSION] !== VERSION) {
    throw new InvalidArgument('state version', words[HEADER_VERSION], String(VERSION))
  }
  const place = placeTables({
    maxPfn: words[HEADER_MAX_PFN]!,
    nodes: words[HEADER_NR_NODES]!,
    cpus: words[HEADER_NR_CPUS]!,
    maxRanges: words[HEADER_MAX_RANGES]!,
  })
  if (words[HEADER_WORDS_USED] !== place.total || words.length < place.total) {
    throw new InvalidArgument('state', words.length, `a buffer of at least ${place.total} words`)
  }
}

/** A hash of the first `count` words (FNV-1a over words, 32 bits): equal states hash equal. */
export function hashWords(words: Int32Array, count: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193)
  return hash >>> 0
}
