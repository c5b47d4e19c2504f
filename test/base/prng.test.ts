import { describe, expect, it } from 'vitest'
import { nextRandom, randomBelow, seedRandom } from '../../src/base/prng'

function stream(seed: number): Int32Array {
  const words = new Int32Array(1)
  seedRandom(words, 0, seed)
  return words
}

describe('random numbers', () => {
  it('are the same for the same seed, and others for another', () => {
    const take = (seed: number) => {
      const words = stream(seed)
      return Array.from({ length: 5 }, () => nextRandom(words, 0))
    }
    expect(take(7)).toEqual(take(7))
    const seen = new Set<number>()
    for (let seed = 0; seed < 1000; seed++) for (const value of take(seed)) seen.add(value)
    // 5000 of 2^32: hardly any two are equal.
    expect(seen.size).toBeGreaterThan(4990)
  })

  // The states of saved machines hold such numbers: what comes after a word must not change.
  it('are these, from seed 1', () => {
    const words = stream(1)
    const state = words[0]! >>> 0
    const numbers = [nextRandom(words, 0), nextRandom(words, 0), nextRandom(words, 0)]
    expect({ state, numbers }).toEqual({
      state: 2527132011,
      numbers: [2339934983, 518083216, 1998734851],
    })
    expect((words[0]! - state) | 0).toBe((3 * 0x9e3779b9) | 0)
  })

  it('go on from a saved state, wherever it lies', () => {
    const words = new Int32Array(8)
    seedRandom(words, 5, 1)
    nextRandom(words, 5)
    const saved = words.slice()
    const ahead = [nextRandom(words, 5), nextRandom(words, 5)]
    expect([nextRandom(saved, 5), nextRandom(saved, 5)]).toEqual(ahead)
    expect([...words].filter((word) => word !== 0)).toHaveLength(1)
  })

  it('have a state that is not 0 for any seed at hand', () => {
    for (const seed of [0, 1, 0x61c88647, 0xffffffff]) expect(stream(seed)[0]).not.toBe(0)
  })

  it('are spread evenly', () => {
    const words = stream(42)
    const counts = new Array<number>(100).fill(0)
    for (let i = 0; i < 100_000; i++) counts[randomBelow(words, 0, 100)]! += 1
    // 1000 each, with a standard deviation of 31.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(160)
    for (let bit = 0; bit < 32; bit++) {
      let ones = 0
      for (let i = 0; i < 1000; i++) ones += (nextRandom(words, 0) >>> bit) & 1
      expect(Math.abs(ones - 500)).toBeLessThan(80)
    }
  })

  it('stay below a limit, and are integers', () => {
    const words = stream(3)
    for (const limit of [1, 2, 3, 1000, 1 << 20]) {
      for (let i = 0; i < 1000; i++) {
        const value = randomBelow(words, 0, limit)
        if (!(Number.isInteger(value) && value >= 0 && value < limit)) expect.fail(`${value}`)
      }
    }
  })
})
