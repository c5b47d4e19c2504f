/** Numbers that look random and are the same each time, from a seed. */

/** A stream of such numbers. */
export interface Stream {
  /** An integer in [0, n). */
  below(n: number): number
  /** One of the items, which may not be empty. */
  pick<T>(items: readonly T[]): T
  /** The items in another order. */
  shuffled<T>(items: readonly T[]): T[]
}

/** The stream of a seed (xorshift32). */
export function stream(seed: number): Stream {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) | 0 || 1
  const below = (n: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % n
  }
  return {
    below,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
    shuffled: (items) => {
      const left = [...items]
      return items.map(() => left.splice(below(left.length), 1)[0] as (typeof items)[number])
    },
  }
}
