/** All seeds of the table, each in every way. */

import { type Hashes, play, type RunOptions } from './workload'

/** Seeds of the table `expected.json`. */
export const SEEDS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7]

/** Ways to run a seed, besides the plain one, which must come to the same. */
export const WAYS: readonly (readonly [name: string, options: RunOptions])[] = [
  ['a second time', {}],
  ['over SharedArrayBuffers', { shared: true }],
  ['saved, used for something else, and restored', { move: 'undo' }],
  ['going on from its file on another machine, shared', { shared: true, move: 'twin' }],
  ['going on on a machine made of its file', { move: 'file' }],
  ['going on on another machine over its buffers', { move: 'attach' }],
  ['going on on another machine over its shared buffers', { shared: true, move: 'attach' }],
]

/** What a seed came to. */
export interface SeedRow {
  readonly seed: number
  readonly hashes: Hashes
  /** Ways that came to something else, with what: none. */
  readonly different: readonly string[]
}

/** Plays all seeds. */
export function playAll(): SeedRow[] {
  return SEEDS.map((seed) => {
    const hashes = play(seed)
    const plain = JSON.stringify(hashes)
    const different = WAYS.flatMap(([name, options]) => {
      const way = JSON.stringify(play(seed, options))
      return way === plain ? [] : [`${name}: ${way}`]
    })
    return { seed, hashes, different }
  })
}
