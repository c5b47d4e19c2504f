/** The same seed comes to the same hashes, whatever the machine is kept in and wherever it moves. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { SEEDS, WAYS } from '../determinism/playAll'
import { differenceOf, EXPECTED, type Expected, expectedOf } from '../determinism/table'
import { imported } from './support/bundled'

/** Each plays on a machine of its own kind. */
const KINDS = SEEDS.slice(0, 4)

const { play } = await imported<typeof import('../determinism/workload')>('determinism/workload.ts')
const expected = JSON.parse(readFileSync(EXPECTED, 'utf8')) as Expected

/**
 * What a hash other than the table's means. With the same answers and texts, the state holds the same in another form:
 * its schema changed. With other answers or texts, the library behaves otherwise than it did, and a change that
 * was not meant to do so is wrong.
 */
const MEANING =
  'pages, slabs, space, ram: the state; answers, texts: what was done. If the change is meant, ' +
  '`npm run determinism -- --write` makes the table anew'

describe('the workload', () => {
  it('has every seed in the table once, each with hashes of its own', () => {
    expect(expected.map(({ seed }) => seed)).toEqual(SEEDS)
    for (const part of ['pages', 'slabs', 'space', 'ram', 'answers', 'texts'] as const) {
      expect(new Set(expected.map((row) => row[part])).size).toBe(SEEDS.length)
    }
  })

  it.each(SEEDS)('comes to the hashes of the table, seed %i', (seed) => {
    expect({ seed, ...play(seed) }, MEANING).toEqual(expected.find((row) => row.seed === seed))
  })

  // The first way is the plain one again: the rows above are that already.
  describe.each(WAYS.slice(1))('%s', (_name, options) => {
    it.each(KINDS)('comes to the same, seed %i', (seed) => {
      expect({ seed, ...play(seed, options) }).toEqual(expected.find((row) => row.seed === seed))
    })
  })
})

describe('a run that differs from the table', () => {
  const rows = expected.map(({ seed, ...hashes }) => ({ seed, hashes, different: [] as string[] }))
  const [first, ...others] = rows
  if (first === undefined) throw new Error('the table is empty')
  const hashes = { ...first.hashes, ram: '0' }

  it('is told', () => {
    expect(expectedOf(rows)).toEqual(expected)
    expect(differenceOf(rows, expected)).toBeNull()
    expect(differenceOf([{ ...first, hashes }, ...others], expected)).toBe('different: seed 0: ram')
    expect(differenceOf([{ ...first, different: ['x: 1'] }, ...others], expected)).toContain('x: 1')
    expect(differenceOf(others, expected)).toContain('7 seeds, not 8')
  })
})
