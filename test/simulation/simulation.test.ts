/** The simulation of whole machines, on a small scale; `npm run fuzz -- --part machine` is the large one. */

import { describe, expect, it } from 'vitest'
import { stream } from '../buddy/random'
import { CALLS, drawScript } from './calls'
import { playScript } from './run'
import { formatScript, parseScript } from './script'

describe('whole machines', () => {
  it.each([1, 2])('all checkers after each call, seed %i', (seed) => {
    const { failure } = playScript(small(seed, 50), { verifyEvery: 1 })
    expect(failure).toBeNull()
  })

  it.each([11, 12])('checkers now and then, seed %i', (seed) => {
    const { failure } = playScript(small(seed, 500), { verifyEvery: 250 })
    expect(failure).toBeNull()
  })

  it('the same seed gives the same calls, answers and state', () => {
    const [one, two] = [small(21, 150), small(21, 150)]
    expect(one).toEqual(two)
    const first = playScript(one, { verifyEvery: 0 })
    expect(first.failure).toBeNull()
    expect(playScript(two, { verifyEvery: 0 })).toEqual(first)
    const other = playScript(small(22, 50), { verifyEvery: 0 })
    expect(other.answer).not.toBe(first.answer)
  })

  it('every operation is drawn sooner or later, but for faults made on purpose', () => {
    const drawn = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      for (const { name } of drawScript(stream(seed), 2000).calls) drawn.add(name)
    }
    const never = Object.keys(CALLS).filter((name) => !drawn.has(name))
    expect(never.filter((name) => !name.startsWith('sabotage.'))).toEqual([])
    expect(never.length).toBeGreaterThan(0)
  })
})

describe('a script as text', () => {
  it('says the same, with what each call came to as comments', () => {
    const script = small(31, 80)
    const { notes } = playScript(script, { verifyEvery: 0, notes: true })
    expect(notes).toHaveLength(script.calls.length)
    const text = formatScript(script, notes)
    expect(parseScript(text)).toEqual(script)
    expect(text).toMatch(/# .*pfn 0x[0-9a-f]+ of order/)
  })

  it('is refused when it is none', () => {
    expect(() => parseScript('')).toThrow(/machine/)
    expect(() => parseScript('machine {}\n1 pages.alloc cpu0 nowhere 1 2 3')).toThrow(/line 2/)
    expect(() => parseScript('machine {}\npages.alloc')).toThrow(/line 2/)
  })
})

/** A script for a machine whose state is quick to check. */
function small(seed: number, count: number) {
  const script = drawScript(stream(seed), count)
  return {
    ...script,
    machine: { ...script.machine, kind: seed % 2 === 0 ? 'flat' : 'x86_64', mib: 6 },
  }
}
