/**
 * Shows what V8 takes back of the code that it made: `npm run deopts`. With `--all`, that of the warm-up too.
 *
 * A process runs all scenarios of `steady.ts` in turns. Each deoptimisation after the warm-up is printed with its function
 * and reason, and makes the run fail.
 */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { table } from './table'

/** Rounds of some thousand calls of each scenario. */
const WARM = 400
const STEADY = 400

interface Deopt {
  readonly scenario: string
  readonly where: string
  readonly why: string
}

const child = spawn(
  process.execPath,
  [
    '--trace-deopt',
    '--import',
    'tsx',
    fileURLToPath(new URL('deoptsChild.ts', import.meta.url)),
    String(WARM),
    String(STEADY),
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
)
const ended = new Promise((resolve) => child.on('close', resolve))
const found = { warm: [] as Deopt[], steady: [] as Deopt[] }
const names = new Set<string>()
let phase: keyof typeof found = 'warm'
let scenario = ''
for await (const line of createInterface({ input: child.stdout })) {
  const next = /^== (?:(warm|steady): )?(.*)/.exec(line)
  if (next !== null) {
    if (next[1] !== undefined) phase = next[1] as keyof typeof found
    scenario = next[2] ?? ''
    if (next[1] !== undefined) names.add(scenario)
    continue
  }
  if (!line.startsWith('[bailout')) continue
  const [, why = line] = /reason: ([^)]*)\)/.exec(line) ?? []
  const [, where = 'a function without a name'] = /<JSFunction ([^ (>]+)/.exec(line) ?? []
  found[phase].push({ scenario, where, why })
}
const status = await ended
if (status !== 0 || scenario !== 'done') throw new Error(`the run ended early, with ${status}`)
if (found.warm.length === 0) throw new Error('V8 told nothing, not even of the warm-up')
const listed = process.argv.includes('--all') ? [...found.warm, ...found.steady] : found.steady
if (listed.length > 0) {
  const rows = listed.map(({ scenario, where, why }) => [scenario, where, why])
  console.log(table(['while', 'function', 'reason'], rows))
}
console.log(
  `${names.size} scenarios: ${found.warm.length} deoptimisations in ${WARM} rounds of warm-up, ` +
    `${found.steady.length} in ${STEADY} rounds after it`,
)
if (found.steady.length > 0) process.exitCode = 1
