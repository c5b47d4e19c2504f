/** What `npm run test:browser` makes of what a page tells: any failure, and any silence, is one. */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Report } from '../browser/report'
import { EXPECTED, type Expected } from '../determinism/table'
import { Results } from '../scripts/browserResults'

const rows = (JSON.parse(readFileSync(EXPECTED, 'utf8')) as Expected).map(
  ({ seed, ...hashes }) => ({ seed, hashes, different: [] as string[] }),
)

const RECORDING = {
  kind: 'recording',
  path: 'a.jsonl',
  calls: 5,
  identical: 5,
  different: 0,
  problem: null,
} as const satisfies Report

const GOOD: readonly Report[] = [
  { kind: 'check', name: 'one', problem: null },
  RECORDING,
  { kind: 'determinism', rows },
  { kind: 'end', agent: 'a browser' },
]

function concluded(reports: readonly Report[]): { status: number; lines: string[] } {
  const lines: string[] = []
  const results = new Results((line) => lines.push(line))
  results.expectRecordings(['a.jsonl'])
  for (const report of reports) results.take(report)
  return { status: results.conclude(), lines }
}

describe('what a page tells', () => {
  it('is right when all of it is', () => {
    const { status, lines } = concluded(GOOD)
    expect(status).toBe(0)
    expect(lines.at(-2)).toBe(
      'total: checks 1  files 1  calls 5  identical 5  different 0  seeds 8  failed 0',
    )
    expect(lines.at(-1)).toBe('a browser')
  })

  it.each<readonly [what: string, at: number, report: Report, told: string]>([
    ['a check', 0, { kind: 'check', name: 'one', problem: 'no' }, 'one: no'],
    ['a difference', 1, { ...RECORDING, identical: 4, different: 1, problem: 'at 3' }, 'at 3'],
    ['calls left out', 1, { ...RECORDING, identical: 4 }, 'not all calls'],
    ['an empty recording', 1, { ...RECORDING, calls: 0, identical: 0 }, 'not all calls'],
    ['another recording', 1, { ...RECORDING, path: 'b.jsonl' }, 'a.jsonl was not played'],
    ['seeds left out', 2, { kind: 'determinism', rows: rows.slice(1) }, '7 seeds, not 8'],
    ['no end', 3, { kind: 'check', name: 'two', problem: null }, 'did not come to its end'],
  ])('is wrong for %s', (_what, at, report, told) => {
    const { status, lines } = concluded(GOOD.with(at, report))
    expect(status).toBe(1)
    expect(lines.join('\n')).toContain(told)
  })

  it('is wrong without hashes', () => {
    expect(concluded(GOOD.filter(({ kind }) => kind !== 'determinism')).status).toBe(1)
  })

  it('is waited for as long as something comes', async () => {
    const results = new Results(() => {})
    await expect(results.within(0.02)).rejects.toThrow('nothing was heard')
    results.take({ kind: 'end', agent: '' })
    await results.within(60)
  })
})
