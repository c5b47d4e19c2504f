/** Judging a state buffer that came from elsewhere, and hashing one. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER_PAGES } from '../base/units'
import { type Geometry, MAGIC, stateHeader, stateWords, VERSION } from './layout'
import {
  HEADER_MAGIC,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_VERSION,
  HEADER_WORDS,
} from './schema'

/**
 * The words of a state buffer.
 * @throws InvalidArgument for a buffer that is not one of this schema, whole and with its tables where
 * they belong.
 */
export function stateView(state: ArrayBuffer | SharedArrayBuffer): Int32Array {
  const words = wordsOfBuffer(state)
  checkState(words)
  return words
}

/** Whether `value` is a buffer, shared or not. */
export function isBuffer(value: unknown): value is ArrayBuffer | SharedArrayBuffer {
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer
}

/**
 * The words of a buffer of any schema.
 * @throws InvalidArgument for anything else.
 */
export function wordsOfBuffer(state: ArrayBuffer | SharedArrayBuffer): Int32Array {
  if (!isBuffer(state) || state.byteLength % 4 !== 0) {
    throw new InvalidArgument('state', state, 'a buffer of whole 32-bit words')
  }
  return new Int32Array(state)
}

/**
 * Checks that `words` is a state of this schema, whole and with its tables where they belong.
 * @throws InvalidArgument saying what is wrong.
 */
export function checkState(words: Int32Array): void {
  if (words.length < HEADER_WORDS || words[HEADER_MAGIC] !== MAGIC) {
    throw new InvalidArgument('state', words[HEADER_MAGIC], 'a kmem state buffer')
  }
  checkInteger('state version', words[HEADER_VERSION]!, VERSION, VERSION)
  const geometry: Geometry = {
    maxPfn: words[HEADER_MAX_PFN]!,
    nodes: words[HEADER_NR_NODES]!,
    cpus: words[HEADER_NR_CPUS]!,
    maxRanges: words[HEADER_MAX_RANGES]!,
  }
  checkInteger('frames of the state', geometry.maxPfn, MAX_ORDER_PAGES, 2 ** 28)
  if (geometry.maxPfn % MAX_ORDER_PAGES !== 0) {
    throw new InvalidArgument('frames of the state', geometry.maxPfn, 'a multiple of 1024')
  }
  checkInteger('nodes of the state', geometry.nodes, 1, 64)
  checkInteger('CPUs of the state', geometry.cpus, 1, 1024)
  checkInteger('ranges of the state', geometry.maxRanges, 0, 2 ** 20)
  checkInteger('words of the state', words.length, stateWords(geometry), 2 ** 31)
  stateHeader(geometry).forEach((word, i) => {
    if (words[i] !== word) throw new InvalidArgument(`word ${i} of the state`, words[i], `${word}`)
  })
}

/** A hash of the first `count` words: equal states hash equal. */
export function hashWords(words: Int32Array, count: number): number {
  return hashParts(words, [0, count])
}

/** A hash of the words in `parts`, pairs of a start and an end (FNV-1a over words, 32 bits). */
export function hashParts(words: Int32Array, parts: readonly number[]): number {
  let hash = 0x811c9dc5
  for (let part = 0; part < parts.length; part += 2) {
    const end = parts[part + 1]!
    for (let i = parts[part]!; i < end; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193)
  }
  return hash >>> 0
}
