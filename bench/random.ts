/** Random numbers drawn before the clock starts, the same for every peer and every run. */

/** Marsaglia's xorshift32: a full period over all non-zero words. */
export class Xorshift32 {
  constructor(private state: number) {
    if ((state | 0) === 0) throw new Error('xorshift32 needs a seed other than 0')
  }

  /** An integer in [0, limit), `limit` at most 2^31. */
  below(limit: number): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x
    return Math.floor(((x >>> 0) / 4294967296) * limit)
  }
}

/** `length` integers in [0, limit). */
export function draw(random: Xorshift32, length: number, limit: number): Int32Array {
  return Int32Array.from({ length }, () => random.below(limit))
}

/** The integers in [0, length) in random order. */
export function permutation(random: Xorshift32, length: number): Int32Array {
  const items = Int32Array.from({ length }, (_, index) => index)
  for (let last = length - 1; last > 0; last--) {
    const other = random.below(last + 1)
    const item = items[last]!
    items[last] = items[other]!
    items[other] = item
  }
  return items
}
