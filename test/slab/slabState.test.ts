/** The slab layer's state buffer: how large it is, and its records. */

import { describe, expect, it } from 'vitest'
import { MiB, type PageSource } from '../../src/index'
import {
  giveRecord,
  inNodeMask,
  newSlabState,
  nodeCounters,
  recordShift,
  setNode,
  takeRecord,
} from '../../src/slab/slabState'
import {
  SLAB_FRAMES,
  SLAB_FREE_RECORDS,
  SLAB_MAX_PFN,
  SLAB_NODE_MASK,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_WORDS_USED,
} from '../../src/state/slabSchema'
import { TinyPages } from './tinyPages'

/** 3 nodes of 32 frames each. */
function source(growable?: boolean): PageSource {
  const pages = new TinyPages(32, 2, 3)
  if (growable !== undefined) Object.defineProperty(pages.ram, 'growable', { value: growable })
  return pages
}

describe('a new state', () => {
  it('has room for records of all objects that memory can hold', () => {
    // 128 words of header, 96 frames, 2 words for each node, 64 to spare; 32 for each page, 2^20 for caches.
    const words = newSlabState(source(false), false)
    expect(words.length).toBe(128 + 96 + 6 + 64 + 96 * 32 + 2 ** 20)
    const head = [SLAB_MAX_PFN, SLAB_NR_CPUS, SLAB_NR_NODES, SLAB_WORDS_USED]
    expect(head.map((at) => words[at])).toEqual([96, 2, 3, 240])
  })

  it('has room for memory that may come', () => {
    const small = source(false)
    const words = (growable: boolean) => {
      const { ram } = small
      const part = { growable, words: ram.words.subarray(0, MiB / 32), hasContent: true }
      return newSlabState(
        { ...small, maxPfn: 96, nrNodes: 3, ram: { ...ram, ...part } } as never,
        false,
      )
    }
    expect(words(true).length - words(false).length).toBe((96 - 32) * 32)
  })

  it('is shared if that is wanted', () => {
    expect(newSlabState(source(), true).buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(newSlabState(source(), false).buffer).toBeInstanceOf(ArrayBuffer)
  })
})

describe('places in the state', () => {
  it('has the counters of nodes behind the frames', () => {
    const words = newSlabState(source(), false)
    expect([0, 1, 2].map((node) => nodeCounters(words, node) - SLAB_FRAMES)).toEqual([96, 98, 100])
  })

  it('has a bit for each of 64 nodes', () => {
    for (const node of [0, 1, 31, 32, 40, 63]) {
      const words = newSlabState(source(), false)
      setNode(words, node)
      const nodes = Array.from({ length: 64 }, (_, id) => id).filter((id) => inNodeMask(words, id))
      expect(nodes).toEqual([node])
      expect(words[SLAB_NODE_MASK + (node < 32 ? 0 : 1)]).toBe(1 << (node % 32))
    }
  })
})

describe('records', () => {
  it('have the next power of two of words, 16 at least', () => {
    const counts = [1, 15, 16, 17, 31, 32, 33, 64, 65, 32768]
    expect(counts.map(recordShift)).toEqual([4, 4, 4, 5, 5, 5, 6, 6, 7, 15])
  })

  it('come back, cleared, for the same size only', () => {
    const words = newSlabState(source(), false)
    const end = words[SLAB_WORDS_USED]!
    const [a, b] = [takeRecord(words, 4), takeRecord(words, 5)]
    expect([a, b, words[SLAB_WORDS_USED]]).toEqual([end, end + 16, end + 48])
    words.fill(9, a, a + 16)
    giveRecord(words, 4, a)
    expect(words[SLAB_FREE_RECORDS]).toBe(a)
    expect(takeRecord(words, 5)).toBe(end + 48)
    expect(words[SLAB_WORDS_USED]).toBe(end + 80)
    giveRecord(words, 5, b)
    expect(words[SLAB_FREE_RECORDS + 1]).toBe(b)
    expect([takeRecord(words, 4), takeRecord(words, 5)]).toEqual([a, b])
    expect([...words.subarray(a, a + 48)]).toEqual(new Array(48).fill(0))
    expect([words[SLAB_FREE_RECORDS], words[SLAB_FREE_RECORDS + 1]]).toEqual([0, 0])
    expect(words[SLAB_WORDS_USED]).toBe(end + 80)
  })

  it('are cut up to the end of the state, and not beyond', () => {
    const words = newSlabState(source(), false)
    words[SLAB_WORDS_USED] = words.length - 32
    expect(takeRecord(words, 6)).toBe(0)
    expect(takeRecord(words, 5)).toBe(words.length - 32)
    expect(takeRecord(words, 4)).toBe(0)
    expect(words[SLAB_WORDS_USED]).toBe(words.length)
  })
})
