import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import {
  checkState,
  hashWords,
  isBuffer,
  stateView,
  wordsOfBuffer,
} from '../../src/state/checkState'
import { formatState, type Geometry, placeTables, stateWords } from '../../src/state/layout'
import {
  HEADER_MAGIC,
  HEADER_MAX_PFN,
  HEADER_MAX_RANGES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_VERSION,
} from '../../src/state/schema'

const SMALL: Geometry = { maxPfn: 1024, nodes: 1, cpus: 1, maxRanges: 0 }

function formatted(geometry: Geometry = SMALL): Int32Array {
  const words = new Int32Array(stateWords(geometry))
  formatState(words, geometry)
  return words
}

describe('stateView', () => {
  it('takes states of every geometry, in either kind of buffer', () => {
    for (const geometry of [SMALL, { maxPfn: 4096, nodes: 64, cpus: 3, maxRanges: 7 }]) {
      const words = formatted(geometry)
      expect(stateView(words.buffer as ArrayBuffer)).toEqual(words)
      const shared = new SharedArrayBuffer(words.byteLength)
      new Int32Array(shared).set(words)
      expect(stateView(shared).buffer).toBe(shared)
    }
  })

  it('takes a buffer with room behind the state', () => {
    const words = new Int32Array(stateWords(SMALL) + 10)
    formatState(words, SMALL)
    expect(() => checkState(words)).not.toThrow()
  })

  it('refuses what is no buffer, or not of whole words', () => {
    for (const wrong of [null, undefined, 'kmem', new Int32Array(4096), new ArrayBuffer(4097)]) {
      expect(() => wordsOfBuffer(wrong as never)).toThrow(InvalidArgument)
    }
    expect(wordsOfBuffer(new ArrayBuffer(8))).toHaveLength(2)
    expect([new ArrayBuffer(0), new SharedArrayBuffer(4), new Uint8Array(4)].map(isBuffer)).toEqual(
      [true, true, false],
    )
  })

  it('refuses a buffer that ends before the header does', () => {
    const words = formatted()
    for (const length of [0, 1, 63]) {
      expect(() => checkState(words.slice(0, length))).toThrow('a kmem state buffer')
    }
    expect(() => checkState(words.slice(0, 64))).toThrow('words of the state is 64')
    expect(() => checkState(words.slice(0, -1))).toThrow('words of the state')
  })

  it.each([
    ['magic number', HEADER_MAGIC, [0, 1], 'a kmem state buffer'],
    ['version', HEADER_VERSION, [1, 3], 'state version'],
    ['frames', HEADER_MAX_PFN, [0, -1024, 1025, 2 ** 28 + 1024], 'frames of the state'],
    ['nodes', HEADER_NR_NODES, [0, -1, 65], 'nodes of the state'],
    ['CPUs', HEADER_NR_CPUS, [0, -1, 1025], 'CPUs of the state'],
    ['ranges', HEADER_MAX_RANGES, [-1, 2 ** 20 + 1], 'ranges of the state'],
  ])('refuses a wrong %s', (_, column, values, message) => {
    for (const value of values) {
      const words = formatted()
      words[column] = value
      expect(() => checkState(words)).toThrow(message)
    }
  })

  it('tells how many frames there are, where they are too many', () => {
    const words = formatted()
    words[HEADER_MAX_PFN] = 2 ** 28 + 1024
    expect(() => checkState(words)).toThrow('frames of the state is 268436480')
  })

  it('refuses a table at another place, and says which word of the header is wrong', () => {
    const before = formatted()
    for (let at = 6; at < 14; at++) {
      const words = before.slice()
      words[at]! += 1
      expect(() => checkState(words)).toThrow(`word ${at} of the state is ${words[at]}`)
    }
  })
})

describe('formatState', () => {
  it('refuses a buffer that is a word too small', () => {
    const words = new Int32Array(stateWords(SMALL) - 1)
    expect(() => formatState(words, SMALL)).toThrow(InvalidArgument)
    expect(words.every((word) => word === 0)).toBe(true)
  })

  it('places the tables one behind the other, as the page on architecture draws them', () => {
    const place = placeTables({ maxPfn: 2048, nodes: 2, cpus: 3, maxRanges: 5 })
    expect(place).toEqual({
      blocks: 64 + 4 * 2048,
      zones: place.blocks + 4,
      pcps: place.zones + 8 * 256,
      nodes: place.pcps + 8 * 3 * 64,
      cpus: place.nodes + 2 * 8,
      distances: place.cpus + 3 * 192,
      zonelists: place.distances + 4,
      ranges: place.zonelists + 2 * 2 * 9,
      total: place.ranges + 5 * 4,
    })
  })
})

describe('hashWords', () => {
  it('depends on each word, on its place, and on nothing behind the count', () => {
    const hash = (...words: number[]) => hashWords(new Int32Array(words), 3)
    const hashes = [hash(1, 2, 3), hash(0, 2, 3), hash(1, 0, 3), hash(1, 2, 0), hash(2, 1, 3)]
    expect(new Set(hashes).size).toBe(5)
    expect(hash(1, 2, 3, 4)).toBe(hash(1, 2, 3, 5))
    for (const value of hashes) expect(value).toBe(value >>> 0)
  })

  it('is FNV-1a, a word at a time', () => {
    expect(hashWords(new Int32Array(0), 0)).toBe(0x811c9dc5)
    // 0 changes nothing before the multiplication.
    expect(hashWords(new Int32Array([0]), 1)).toBe(0x050c5d1f)
  })
})
