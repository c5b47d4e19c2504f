import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  formatExtfragIndex,
  formatUnusableIndex,
  fragmentationForOrder,
  fragmentationIndex,
  unusableIndex,
} from '../../src/proc/fragmentation'
import { ZONE_NR_FREE } from '../../src/state/schema'
import { loadNodeState, zoneNamed } from '../support/loadNodeState'
import { zoneOf } from './fixtures'

/** A machine of one zone with these numbers of free blocks; and the zone's record. */
function machine(nrFree: readonly number[]): [words: Int32Array, zone: number] {
  const words = loadNodeState([zoneOf({ name: 'DMA', startPfn: 1, spanned: 4095 })])
  const zone = zoneNamed(words, 0, 'DMA')
  words.set(nrFree, zone + ZONE_NR_FREE)
  return [words, zone]
}

describe('fragmentation indices', () => {
  it('prints the measured DMA zone', () => {
    const [words] = machine([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3])
    expect(formatUnusableIndex(words)).toBe(
      `Node 0, zone      DMA ${'0.000 '.repeat(9)}0.066 0.200 \n`,
    )
    expect(formatExtfragIndex(words)).toBe(`Node 0, zone      DMA ${'-1.000 '.repeat(11)}\n`)
  })

  it('prints both halves of a negative index with their sign', () => {
    // One free block of order 9, asked for order 10: 1000 - (1000 + 500) / 1.
    expect(formatExtfragIndex(machine([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])[0])).toMatch(
      / {2}0\.-500 \n$/,
    )
    // Of order 3: 1000 - (1000 + 7) / 1 = -7 for order 10, -500 for order 4.
    expect(formatExtfragIndex(machine([0, 0, 0, 1])[0])).toMatch(
      /-1\.000 {2}0\.-500 .* {2}0\.-07 \n$/,
    )
    expect(formatExtfragIndex(machine([0, 0, 0, 4])[0])).toMatch(/ {2}0\.743 \n$/)
  })

  it('says 1000, 0 and 0 of a zone with nothing free', () => {
    const [words, zone] = machine([])
    for (const order of [0, 10]) {
      expect(unusableIndex(words, zone, order)).toBe(1000)
      expect(fragmentationIndex(words, zone, order)).toBe(0)
      expect(fragmentationForOrder(words, zone, order)).toBe(0)
    }
    expect(formatUnusableIndex(words)).toContain(' 1.000 ')
  })

  it('agrees with the definition over single pages', () => {
    const counts = fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 11, maxLength: 11 })
    fc.assert(
      fc.property(counts, fc.integer({ min: 0, max: 10 }), (nrFree, order) => {
        const [words, zone] = machine(nrFree)
        const sizes = nrFree.flatMap((count, o) => new Array<number>(count).fill(2 ** o))
        const free = sizes.reduce((a, b) => a + b, 0)
        const small = sizes.filter((size) => size < 2 ** order).reduce((a, b) => a + b, 0)
        fc.pre(free > 0)
        expect(unusableIndex(words, zone, order)).toBe(Math.floor((small * 1000) / free))
        expect(fragmentationForOrder(words, zone, order)).toBe(Math.floor((small * 100) / free))
        const index = fragmentationIndex(words, zone, order)
        if (free > small) expect(index).toBe(-1000)
        else
          expect(index).toBe(
            1000 - Math.floor((1000 + Math.floor((free * 1000) / 2 ** order)) / sizes.length),
          )
      }),
      { numRuns: 200 },
    )
  })

  it('refuses orders beyond the largest', () => {
    const [words, zone] = machine([1])
    for (const order of [-1, 11, 0.5]) {
      expect(() => unusableIndex(words, zone, order)).toThrow(InvalidArgument)
      expect(() => fragmentationIndex(words, zone, order)).toThrow(InvalidArgument)
      expect(() => fragmentationForOrder(words, zone, order)).toThrow(InvalidArgument)
    }
  })
})
