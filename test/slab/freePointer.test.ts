/** Free pointers and places of objects, word by word. */

import { beforeEach, describe, expect, it } from 'vitest'
import { GFP_KERNEL, LAYOUT_X86_64, PAGE_SIZE } from '../../src/index'
import {
  isPlace,
  OUTSIDE,
  readFreePointer,
  writeFreePointer,
  writeRawPointer,
} from '../../src/slab/freePointer'
import { newSlab } from '../../src/slab/slabs'
import {
  CACHE_MIN_ORDER,
  CACHE_OFFSET,
  CACHE_ORDER,
  SLAB_BASE_HI,
  SLAB_BASE_LO,
  SLAB_LAST,
  SLAB_OBJECTS,
  SLAB_PFN,
} from '../../src/state/slabSchema'
import { TinyMachine } from './tinyMachine'

/** Two orders of slabs: of the larger one, places lie where the smaller one has ended. */
const SIZE = 704

let machine: TinyMachine
let cache: number
beforeEach(() => {
  machine = new TinyMachine({ layout: LAYOUT_X86_64 })
  cache = machine.cache({ size: 700 }).record
})

/** A slab of the larger or of the smaller order. */
function slabOf(large: boolean): number {
  const { pages, words, c } = machine
  const { allocBlock } = pages
  const least = words[cache + CACHE_MIN_ORDER]!
  expect(words[cache + CACHE_ORDER]).toBeGreaterThan(least)
  pages.allocBlock = (gfp, order, node) =>
    !large && order > least ? -1 : allocBlock.call(pages, gfp, order, node)
  const slab = newSlab(c, cache, GFP_KERNEL, -1)
  pages.allocBlock = allocBlock
  return slab
}

describe('isPlace', () => {
  it.each([
    ['larger', true],
    ['smaller', false],
  ])('is true where objects of a slab of the %s order start', (_name, large) => {
    const { words } = machine
    const slab = slabOf(large)
    const found: number[] = []
    for (let offset = -2 * PAGE_SIZE; offset < 9 * PAGE_SIZE; offset++) {
      if (isPlace(words, cache, slab, offset)) found.push(offset)
    }
    const objects = words[slab + SLAB_OBJECTS]!
    expect(words[slab + SLAB_LAST]).toBe((objects - 1) * SIZE)
    expect(found).toEqual(Array.from({ length: objects }, (_, i) => i * SIZE))
    // Offsets whose bits are those of a place, at the other end of the numbers.
    for (const far of [-(2 ** 31), 2 ** 32, -(2 ** 32)]) {
      expect(isPlace(words, cache, slab, far)).toBe(false)
    }
  })
})

describe('readFreePointer', () => {
  it('gives what was written, and tells what leads out of the slab', () => {
    const { c, words } = machine
    const slab = slabOf(true)
    const [lo, hi, last] = [SLAB_BASE_LO, SLAB_BASE_HI, SLAB_LAST].map((at) => words[slab + at]!)
    const read = (low: number, high: number) => {
      writeRawPointer(c, cache, slab, SIZE, low, high)
      return readFreePointer(c, cache, slab, SIZE)
    }
    for (const offset of [0, 8, SIZE, last!]) {
      expect(read(lo! + offset, hi!)).toBe(offset + 1)
      writeFreePointer(c, cache, slab, SIZE, offset + 1)
      expect(readFreePointer(c, cache, slab, SIZE)).toBe(offset + 1)
    }
    expect(read(0, 0)).toBe(0)
    for (const offset of [-1, last! + 1, last! + SIZE, -SIZE, 2 ** 31]) {
      expect(read(lo! + offset, hi!)).toBe(OUTSIDE)
    }
    for (const high of [hi! + 1, hi! ^ 0x10000, 0]) expect(read(lo! + SIZE, high)).toBe(OUTSIDE)
  })
})

describe('a place in RAM', () => {
  it('is found anew when RAM has grown beyond the array that is known', () => {
    const { c, words } = machine
    const slab = slabOf(true)
    const at = (words[slab + SLAB_PFN]! * PAGE_SIZE + SIZE + words[cache + CACHE_OFFSET]!) / 4
    for (const length of [0, at]) {
      c.ramWords = c.ram.words.subarray(0, length)
      writeFreePointer(c, cache, slab, SIZE, 1)
      expect(c.ramWords).toBe(c.ram.words)
      expect(c.ram.words[at]).toBe(words[slab + SLAB_BASE_LO])
      c.ramWords = c.ram.words.subarray(0, length)
      expect(readFreePointer(c, cache, slab, SIZE)).toBe(1)
      expect(c.ramWords).toBe(c.ram.words)
    }
    // Long enough: it stays.
    const longer = c.ram.words.subarray(0, at + 2)
    c.ramWords = longer
    writeFreePointer(c, cache, slab, SIZE, 0)
    expect(c.ramWords).toBe(longer)
  })

  it('is told to RAM as written where RAM wants to know, not else', () => {
    const { c, words } = machine
    const slab = slabOf(true)
    const marked: number[][] = []
    Object.defineProperty(c.ram, 'markDirty', {
      value: (address: number, length: number) => void marked.push([address, length]),
    })
    writeFreePointer(c, cache, slab, SIZE, 1)
    expect(marked).toEqual([])
    Object.defineProperty(c.ram, 'tracksDirty', { value: true })
    writeFreePointer(c, cache, slab, SIZE, 1)
    const at = words[slab + SLAB_PFN]! * PAGE_SIZE + SIZE + words[cache + CACHE_OFFSET]!
    expect(marked).toEqual([[at, 8]])
  })
})
