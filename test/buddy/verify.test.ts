import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { INVARIANTS } from '../../src/debug/invariants'
import { verifyState } from '../../src/debug/verify'
import { pageRecord } from '../../src/page/memmap'
import * as schema from '../../src/state/schema'
import { busyMachine, CORRUPTIONS, dma32, freeBlock, usedBlock } from './corruptions'
import { freeBlocks, pageBytes } from './machines'

const { PAGE_PREV, PAGE_REFS } = schema

/** Words of two states compared, as fast as it goes. */
function sameWords(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i])
}

describe('the whole-state checker', () => {
  it('finds nothing wrong with a machine in order', () => {
    const pages = busyMachine()
    expect(pages.words[schema.HEADER_MOBILITY_DISABLED]).toBe(0)
    expect(verifyState(pages.words)).toEqual([])
    pages.drainAllPages()
    expect(verifyState(pages.words)).toEqual([])
  })

  it.each(CORRUPTIONS)('%s: names %s', (id, _what, corrupt) => {
    const pages = busyMachine()
    corrupt(pages)
    const before = pages.words.slice()
    const violations = verifyState(pages.words)
    expect(violations.map((violation) => violation.id)).toContain(id)
    for (const { message } of violations) expect(message).toMatch(/\w{3}/)
    expect(sameWords(pages.words, before)).toBe(true)
  })

  it('has a corruption for every invariant', () => {
    const covered = new Set(CORRUPTIONS.map(([id]) => id))
    expect([...covered].sort()).toEqual(Object.keys(INVARIANTS).sort())
  })

  it('has every invariant stated in the head of one file of src/', () => {
    const root = new URL('../../src/', import.meta.url)
    const heads = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.startsWith('debug'))
      .map((path) => readFileSync(new URL(path, root), 'utf8').split('*/')[0] ?? '')
    const stated = heads.flatMap((head) => [...head.matchAll(/^ \* ([A-Z]+-\d+): /gm)])
    const ids = stated.map((match) => match[1] ?? '').filter((id) => id in INVARIANTS)
    expect(ids.sort()).toEqual(Object.keys(INVARIANTS).sort())
  })

  it('names the frame and the list at fault', () => {
    const pages = busyMachine()
    const pfn = freeBlock(pages, 10)
    pages.words[pageRecord(pfn) + PAGE_PREV] = 64
    const [violation] = verifyState(pages.words)
    expect(violation?.message).toContain(`pfn 0x${pfn.toString(16)}`)
    expect(violation?.message).toMatch(/node \d zone \w+ free list order 10 type \d/)
  })

  it('knows nothing of frames in no block only when told so', () => {
    const pages = busyMachine()
    pages.words[pageRecord(usedBlock(pages, 0)) + PAGE_REFS] = 0
    expect(verifyState(pages.words)).not.toEqual([])
    expect(verifyState(pages.words, { unknownFrames: true })).toEqual([])
  })

  it('finds each frame of a lost block', () => {
    const pages = busyMachine()
    const zone = dma32(pages)
    const lost = freeBlocks(pages, zone)[10]?.[0] ?? -1
    const before = verifyState(pages.words)
    pages.words.fill(0, pageRecord(lost), pageRecord(lost + 1))
    expect(before).toEqual([])
    const messages = verifyState(pages.words).map(({ message }) => message)
    expect(messages.length).toBe(100)
    expect(messages.join()).toContain(`pfn 0x${(lost + 7).toString(16)}`)
  })

  it('ends, without throwing or writing, whatever the words say', () => {
    const start = busyMachine().words
    const end = start.length
    const interesting = fc.oneof(
      fc.integer({ min: 0, max: 63 }),
      fc.integer({ min: 64, max: 64 + 4 * 6000 }),
      fc.integer({ min: start[schema.HEADER_BLOCKS]!, max: end - 1 }),
      fc.integer({ min: start[schema.HEADER_ZONES]!, max: start[schema.HEADER_PCPS]! + 64 }),
    )
    const value = fc.oneof(
      fc.integer(),
      fc.integer({ min: -8, max: 3000 }),
      fc.integer({ min: 0, max: end }),
    )
    const words = start.slice()
    fc.assert(
      fc.property(
        fc.array(fc.tuple(interesting, value), { minLength: 1, maxLength: 12 }),
        (changes) => {
          for (const [at, to] of changes) words[at] = to
          const before = words.slice()
          expect(verifyState(words).length).toBeLessThanOrEqual(100)
          expect(sameWords(words, before)).toBe(true)
          words.set(start)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('refuses what is no state', () => {
    for (const words of [new Int32Array(0), new Int32Array(10), new Int32Array(100_000)]) {
      expect(verifyState(words).map(({ id }) => id)).toEqual(['HEADER-1'])
    }
    const whole = busyMachine().words
    const cut = whole.slice(0, whole.length - pageBytes(1) / 4)
    expect(verifyState(cut).map(({ id }) => id)).toEqual(['HEADER-1'])
  })
})
