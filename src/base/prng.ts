/**
 * Numbers that look random and are the same each time, from a seed. The state is one word of an
 * array, so that it can live in a buffer that is saved with everything else.
 *
 * The state steps through all 2^32 values by adding an odd constant; what comes out is the state,
 * scrambled by MurmurHash3's last step. Whoever sees a few of the numbers can guess the others.
 */

/** Step of the state: 2^32 divided by the golden ratio, made odd. */
const STEP = 0x9e3779b9

/** Sets the state at `words[at]` from a seed, an integer in [0, 2^32); the state is not 0 then. */
export function seedRandom(words: Int32Array, at: number, seed: number): void {
  words[at] = scramble((seed + STEP) | 0) || STEP
}

/** The next number: an integer in [0, 2^32). */
export function nextRandom(words: Int32Array, at: number): number {
  words[at]! += STEP
  return scramble(words[at]!) >>> 0
}

/**
 * The next number in [0, limit), for a limit up to 2^20: no number is rarer than another by more
 * than a 4096th.
 */
export function randomBelow(words: Int32Array, at: number, limit: number): number {
  return Math.floor((nextRandom(words, at) / 4294967296) * limit)
}

/** Spreads each bit of a word over all others; one to one. */
function scramble(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
