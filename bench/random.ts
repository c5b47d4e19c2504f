/** Random numbers drawn before the clock starts, the same for every peer and every run. */

const TWO_32 = 4294967296

/** Marsaglia's xorshift32: a full period over all non-zero words. */
export class Xorshift32 {
  constructor(private state: number) {
    if ((state | 0) === 0) throw new Error('xorshift32 needs a seed other than 0')
  }

  /** A number in (0, 1). */
  unit(): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x
    return (x >>> 0) / TWO_32
  }

  /** An integer in [0, limit), `limit` at most 2^31. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit)
  }
}

/** Draws what `length` allocations ask for: orders, or bytes. */
export type Draw = (random: Xorshift32, length: number) => Int32Array

/** Integers in [from, to), equally likely. */
export function uniform(from: number, to: number): Draw {
  return (random, length) => Int32Array.from({ length }, () => from + random.below(to - from))
}

/** The same for all. */
export function always(request: number): Draw {
  return (_random, length) => new Int32Array(length).fill(request)
}

/**
 * Sizes whose logarithm is normal with deviation 1 around that of `median`, from 1 to `most`: many small ones and few
 * that take most of the memory, as in most programs. The mean is 1.65 times the median.
 */
export function logNormal(median: number, most: number): Draw {
  return (random, length) =>
    Int32Array.from({ length }, () => {
      const radius = Math.sqrt(-2 * Math.log(random.unit()))
      const normal = radius * Math.cos(2 * Math.PI * random.unit())
      return Math.min(most, Math.max(1, Math.round(median * Math.exp(normal))))
    })
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
