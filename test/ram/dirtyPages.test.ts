import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { DirtyPages } from '../../src/ram/dirtyPages'

const PAGES = 100

function list(dirty: DirtyPages, page = 0, end = PAGES): number[] {
  const found: number[] = []
  for (let at = dirty.next(page, end); at !== -1; at = dirty.next(at + 1, end)) found.push(at)
  return found
}

describe('DirtyPages', () => {
  it('marks every page that a write touches, and no other', () => {
    const dirty = new DirtyPages(PAGES)
    dirty.mark(0x1fff, 1)
    dirty.mark(0x3fff, 2)
    dirty.mark(0x8000, 0x2000)
    expect(list(dirty)).toEqual([1, 3, 4, 8, 9])
    expect(dirty.count).toBe(5)
  })

  it('handles the sign bit and the ends of words', () => {
    const dirty = new DirtyPages(PAGES)
    for (const page of [0, 31, 32, 63, 64, 99]) dirty.mark(page * 4096, 4096)
    expect(list(dirty)).toEqual([0, 31, 32, 63, 64, 99])
    expect(dirty.next(1, 31)).toBe(-1)
    expect(dirty.next(1, 32)).toBe(31)
    dirty.clear(31, 64)
    expect(list(dirty)).toEqual([0, 64, 99])
    expect(dirty.count).toBe(3)
  })

  it('keeps its pages when it grows, and has room for 1 TiB', () => {
    const dirty = new DirtyPages(1)
    dirty.mark(0, 1)
    dirty.grow(2 ** 28)
    dirty.mark(2 ** 40 - 1, 1)
    expect(list(dirty, 0, 2 ** 28)).toEqual([0, 2 ** 28 - 1])
  })

  it('rejects more pages than an index can name', () => {
    expect(() => new DirtyPages(2 ** 31)).toThrow(InvalidArgument)
  })

  it('agrees with a set of page numbers', () => {
    const page = fc.nat(PAGES - 1)
    const step = fc.tuple(fc.constantFrom('mark', 'clear'), page, fc.integer({ min: 1, max: 40 }))
    const property = fc.property(fc.array(step), fc.tuple(page, page), (steps, [a, b]) => {
      const dirty = new DirtyPages(PAGES)
      const model = new Set<number>()
      for (const [kind, first, count] of steps) {
        const end = Math.min(first + count, PAGES)
        for (let at = first; at < end; at++) kind === 'mark' ? model.add(at) : model.delete(at)
        if (kind === 'mark') dirty.mark(first * 4096, (end - first) * 4096)
        else dirty.clear(first, end)
        expect(dirty.count).toBe(model.size)
      }
      const inside = [...model].filter((at) => at >= a && at < b).sort((x, y) => x - y)
      expect(list(dirty, a, b)).toEqual(inside)
    })
    fc.assert(property)
  })
})
