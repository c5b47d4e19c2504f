/** Names of caches, as bytes in the state: UTF-8, ended by a 0. */

import { InvalidArgument } from '../base/errors'
import { CACHE_NAME, CACHE_NAME_WORDS } from '../state/slabSchema'

/** Bytes of a name at most. */
const MAX_BYTES = CACHE_NAME_WORDS * 4 - 1

/**
 * Checks a name: kernels take any, here it has to fit into the state (DIFF-26).
 * @throws InvalidArgument unless it has 1 to 63 bytes, and no control characters.
 */
export function encodeName(name: string): Uint8Array {
  const bytes = typeof name === 'string' ? new TextEncoder().encode(name) : null
  if (bytes === null || bytes.length === 0 || bytes.length > MAX_BYTES || bytes.some(isControl)) {
    throw new InvalidArgument('name', name, `1 to ${MAX_BYTES} printable bytes`)
  }
  return bytes
}

function isControl(byte: number): boolean {
  return byte < 0x20 || byte === 0x7f
}

/** Writes a name into a cache's record. */
export function storeName(words: Int32Array, cache: number, bytes: Uint8Array): void {
  bytes.forEach((byte, i) => {
    words[cache + CACHE_NAME + (i >> 2)]! |= byte << ((i & 3) << 3)
  })
}

/** The name of a cache. */
export function formatName(words: Int32Array, cache: number): string {
  const bytes: number[] = []
  for (let i = 0; i < MAX_BYTES; i++) {
    const byte = (words[cache + CACHE_NAME + (i >> 2)]! >>> ((i & 3) << 3)) & 0xff
    if (byte === 0) break
    bytes.push(byte)
  }
  return new TextDecoder().decode(new Uint8Array(bytes))
}
