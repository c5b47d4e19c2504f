/** Where the words of frames lie, and that memory is asked once for each piece of it. */

import { describe, expect, it } from 'vitest'
import { PAGE_SIZE } from '../../src/base/units'
import type { FrameSource } from '../../src/page/frameSource'
import { FramePlaces } from '../../src/paging/framePlaces'
import type { PhysicalMemoryOptions } from '../../src/ram/backing'
import { TableFrames } from './tableFrames'

/** Places in some memory, and how often that was asked. */
function made(options: PhysicalMemoryOptions) {
  const frames = new TableFrames(options)
  const { ram } = frames
  const bytes = ram.bytes.bind(ram)
  let asked = 0
  ram.bytes = (address, count) => {
    asked++
    return bytes(address, count)
  }
  const places = new FramePlaces(frames as unknown as FrameSource)
  return { frames, ram, places, asked: () => asked }
}

/** Usable memory from frame `start` to frame `end`. */
const piece = (start: number, end: number) => ({
  base: start * PAGE_SIZE,
  size: (end - start) * PAGE_SIZE,
  type: 'usable' as const,
})

describe('frames of a piece of memory', () => {
  const pieces = [
    [3, 4],
    [6, 8],
    [10, 13],
    [16, 24],
    [32, 41],
    [64, 100],
  ] as const
  const map = pieces.map(([start, end]) => piece(start, end))

  it.each(pieces)('are all found once one is: %i to %i', (start, end) => {
    for (let first = start; first < end; first++) {
      const { ram, places, asked } = made({ map })
      expect(places.of(first)).toBe(ram.wordIndex(first * PAGE_SIZE))
      const before = asked()
      for (let pfn = start; pfn < end; pfn++) {
        expect(places.of(pfn)).toBe(ram.wordIndex(pfn * PAGE_SIZE))
      }
      expect(asked()).toBe(before)
      expect([places.of(start - 1), places.of(end)]).toEqual([-1, -1])
      expect(places.of(first)).toBe(ram.wordIndex(first * PAGE_SIZE))
    }
  })

  it('are remembered beside those of others', () => {
    const { ram, places, asked } = made({ map })
    const all = pieces.flatMap(([start, end]) => [start, end - 1])
    for (const pfn of all) places.of(pfn)
    const before = asked()
    for (const pfn of [...all, ...all.toReversed()]) {
      expect(places.of(pfn)).toBe(ram.wordIndex(pfn * PAGE_SIZE))
    }
    expect(asked()).toBe(before)
  })

  it('are none below, between and behind, nor what is no frame number', () => {
    const { places } = made({ map })
    for (const pfn of [0, 2, 5, 99.5, 100, 101, -1, -100, 0.5, 2 ** 40, 2 ** 53, Number.NaN]) {
      expect(places.of(pfn)).toBe(-1)
    }
    expect(places.of(Number.POSITIVE_INFINITY)).toBe(-1)
    const whole = made({ size: 64 * PAGE_SIZE }).places
    expect([whole.of(0), whole.of(63), whole.of(64), whole.of(-1)]).toEqual([0, 63 * 1024, -1, -1])
  })
})

describe('memory that grows', () => {
  it.each([false, true])('is found, old and new (shared: %s)', (shared) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 8, shared })
    const { frames, ram, places, asked } = made({ memory })
    Object.assign(frames, { maxPfn: 128 })
    const old = places.allWords()
    expect(places.allWords()).toBe(old)
    expect([places.of(15), places.of(16)]).toEqual([15 * 1024, -1])
    ram.grow(65536)
    const words = places.allWords()
    expect(words).toBe(ram.words)
    expect(words.length).toBe(32 * 1024)
    expect([places.of(15), places.of(31), places.of(32)]).toEqual([15 * 1024, 31 * 1024, -1])
    const before = asked()
    expect([places.of(0), places.of(16)]).toEqual([0, 16 * 1024])
    expect(places.allWords()).toBe(words)
    expect(asked()).toBe(before)
  })
})
