/** What a machine costs by its size: RAM has no content, so only the bookkeeping counts. A process for each run. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Name and bytes of each machine. */
const SIZES: readonly (readonly [name: string, bytes: number])[] = [
  ['256 MiB', 2 ** 28],
  ['1 GiB', 2 ** 30],
  ['64 GiB', 2 ** 36],
  ['1 TiB', 2 ** 40],
]
/** The middle one of so many runs counts, for each figure. */
const RUNS = 5

/** Figures of a machine. */
export interface Scale {
  /** Milliseconds to boot. */
  readonly boot: number
  /** What the process grew by meanwhile. MiB */
  readonly bootMiB: number
  /** A free and an allocation among 16,000 live pages. ns */
  readonly pairNs: number
  /** Milliseconds to save a snapshot with 16,000 pages in use. */
  readonly save: number
  /** Size of that. bytes */
  readonly bytes: number
  /** Milliseconds to restore it on another machine. */
  readonly restore: number
}

/** What machines cost, by their size. */
export function measureScale(): readonly (readonly [name: string, figures: Scale])[] {
  return SIZES.map(([name, size]) => {
    const runs = Array.from({ length: RUNS }, () => run(size))
    const middle = (key: keyof Scale): number =>
      runs.map((one) => one[key]).sort((a, b) => a - b)[RUNS >> 1] ?? 0
    return [
      name,
      {
        boot: middle('boot'),
        bootMiB: middle('bootMiB'),
        pairNs: middle('pairNs'),
        save: middle('save'),
        bytes: middle('bytes'),
        restore: middle('restore'),
      },
    ]
  })
}

function run(size: number): Scale {
  const script = fileURLToPath(new URL('scaleChild.mjs', import.meta.url))
  const { stdout, stderr, status } = spawnSync(process.execPath, [script, String(size)], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Scale
}
