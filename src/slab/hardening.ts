/**
 * Free lists that an attacker can not foresee: free pointers that are stored encoded, and slabs
 * whose objects come out in a random order. Both are off in the kernel that the rest of the library
 * answers like, so addresses are not a real kernel's with them.
 *
 * A free pointer is stored XORed with the secret of its cache and with its own place, bytes
 * reversed, so that equal pointers look different:
 *
 *     high half: pointer's ^ secret's ^ reverse(low half of the place)
 *     low half:  pointer's ^ secret's ^ reverse(high half of the place)
 *
 * Example: the end of a list, 0, at 0xffff888000123440 with the secret 0x1111111122222222 is stored
 * as 0x1111111122222222 ^ 0x403412008088ffff = 0x51250311a2aadddd.
 *
 * Random numbers come from a seed. Their state is the word SLAB_RANDOM of the allocator's state, so
 * that a saved machine goes on like the one that was saved. Each new slab gets an order of its own;
 * a kernel keeps one order for each cache, and starts somewhere in it.
 */

import { checkInteger } from '../base/errors'
import { nextRandom, randomBelow, seedRandom } from '../base/prng'
import { SLAB_RANDOM } from '../state/slabSchema'
import type { SlabContext, SlabHardening } from './context'

/** Options of {@link slabHardening}. */
export interface HardeningOptions {
  /**
   * Seed of the random numbers, 0 to 2^32 - 1. The same seed and the same calls give the same
   * addresses.
   */
  readonly seed: number
  /** Store free pointers encoded; true when not given. */
  readonly encode?: boolean
  /** Hand the objects of a new slab out in a random order; true when not given. */
  readonly shuffle?: boolean
}

/**
 * Hardened free lists, for the option `hardening` of a `SlabAllocator`.
 * @throws InvalidArgument for a seed out of range.
 */
export function slabHardening(options: HardeningOptions): SlabHardening {
  const { seed, encode = true, shuffle = true } = options
  checkInteger('seed', seed, 0, 0xffffffff)
  const seeded = ({ words }: SlabContext) => {
    if (words[SLAB_RANDOM] === 0) seedRandom(words, SLAB_RANDOM, seed)
    return words
  }
  return {
    secret(c) {
      if (!encode) return [0, 0]
      const words = seeded(c)
      const low = nextRandom(words, SLAB_RANDOM) | 0
      return [low, nextRandom(words, SLAB_RANDOM) | 0]
    },
    codeLow: (secretLow, atHigh) => (encode ? secretLow ^ reverseBytes(atHigh) : 0),
    codeHigh: (secretHigh, atLow) => (encode ? secretHigh ^ reverseBytes(atLow) : 0),
    order: (c, _cache, objects) => (shuffle ? randomOrder(seeded(c), objects) : null),
  }
}

/** The numbers from 0 to `count` - 1, each order as likely as any other. */
function randomOrder(words: Int32Array, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let left = count; left > 1; left--) {
    const at = randomBelow(words, SLAB_RANDOM, left)
    const last = order[left - 1]!
    order[left - 1] = order[at]!
    order[at] = last
  }
  return order
}

/** The four bytes of a word in the opposite order: 0x11223344 gives 0x44332211. */
function reverseBytes(word: number): number {
  const swapped = ((word & 0xff00ff) << 8) | ((word >>> 8) & 0xff00ff)
  return (swapped << 16) | (swapped >>> 16)
}
