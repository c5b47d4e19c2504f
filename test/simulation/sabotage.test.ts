/** The simulation has to find faults: machines are damaged on purpose here. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { reportFailure } from '../../scripts/fuzzMachine'
import { stream } from '../buddy/random'
import { drawScript } from './calls'
import type { MachineSpec } from './machines'
import { playScript } from './run'
import type { Call, Script } from './script'
import { shrink } from './shrink'

const MACHINE: MachineSpec = {
  kind: 'flat',
  mib: 4,
  shape: 'whole',
  cpus: 2,
  cmdline: '',
  hardening: -1,
  zones: false,
  shared: false,
  dirtyTracking: false,
  reclaims: false,
  maxLive: 60,
}

/** Calls of a seed, with others among them from the middle on. */
function damaged(...names: string[]): Script {
  const { calls } = drawScript(stream(4), 60)
  const draws = { cpu: 0, context: 0, a: 0, b: 50, c: 1 }
  const wrong = names.map((name, i): Call => ({ at: 1000 + i, name, ...draws }))
  const others = calls.filter(({ name }) => !name.startsWith('snapshot.'))
  return { machine: MACHINE, calls: [...others.slice(0, 30), ...wrong, ...others.slice(30)] }
}

/** A fault, and what it is found as. */
const FAULTS: readonly (readonly [key: RegExp, names: readonly string[]])[] = [
  [/^pages ZONE-2$/, ['sabotage.counter']],
  [/^(overlap|not zero)$/, ['sabotage.double', 'pages.allocSingle', 'pages.allocSingle']],
  [/^content$/, ['sabotage.content']],
  [/^left$/, ['sabotage.leak']],
  [/^changed$/, ['sabotage.refusal', 'hostile.foreign']],
  [/^snapshot$/, ['snapshot.twin', 'sabotage.twin']],
]

describe('a fault made on purpose', () => {
  it.each(FAULTS)('is found as %s: %s', (key, names) => {
    expect(playScript(damaged(...names), { verifyEvery: 30 }).failure?.key).toMatch(key)
  })

  it('is all that there is to be found', () => {
    expect(playScript(damaged(), { verifyEvery: 30 }).failure).toBeNull()
  })

  it('shrinks to the calls that it takes', () => {
    const script = damaged('sabotage.double')
    const { failure } = playScript(script, { verifyEvery: 0 })
    expect(failure?.key).toMatch(/^(overlap|not zero)$/)
    if (failure === null) return
    const shrunk = shrink(script, failure)
    // The two that got the same page, and what made them.
    expect(shrunk.script.calls.map(({ name }) => name)).toContain('sabotage.double')
    expect(shrunk.script.calls).toHaveLength(3)
    expect(playScript(shrunk.script, { verifyEvery: 1 }).failure?.key).toBe(failure.key)
  })
})

describe('the report of a failure', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kmem-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  it('has a command that plays the fault again, and ends with status 1', () => {
    const script = damaged('sabotage.content')
    const { failure } = playScript(script, { verifyEvery: 40 })
    expect(failure).not.toBeNull()
    if (failure === null) return
    const report = reportFailure(script, failure, 4, folder)
    expect(report).toMatch(/^seed 4, after \d+ calls: Violation: content: /)
    expect(report).toContain('npm run fuzz -- --part machine --seed 4 --seeds 1')
    const command = /^short: {2}npm run fuzz -- (.*)$/m.exec(report)?.[1] ?? ''
    const words = ['--import', 'tsx', 'scripts/fuzz.ts', ...command.split(' ')]
    const run = spawnSync(process.execPath, words, { encoding: 'utf8' })
    expect(run.stdout).toContain('Violation: content: ')
    expect(run.stdout).toContain(JSON.stringify(MACHINE))
    expect(run.status).toBe(1)
  })
})
