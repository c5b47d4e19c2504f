/**
 * Long random runs: `npm run fuzz -- --seed S`, for `--seconds T` or for `--ops N` calls at least, of all parts or with
 * `--part` of one: `pages`, `slabs`, `virtual`, or `machine`, which is all of them at once. `--seeds N` ends it after
 * so many seeds, `--script FILE` plays what a failure of `machine` printed. A failure prints its seed, a shrunk list of
 * calls, and ends with status 1.
 */

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { fuzzMachines, playFile } from './fuzzMachine'

const PARTS = ['pages', 'slabs', 'virtual', 'machine']

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    ops: { type: 'string' },
    seeds: { type: 'string' },
    part: { type: 'string', default: '' },
    script: { type: 'string' },
  },
})
for (const name of ['seed', 'seconds', 'ops', 'seeds'] as const) {
  const value = values[name] ?? '0'
  if (!/^\d+$/.test(value)) throw new RangeError(`--${name} is ${value}; it must be a whole number`)
}
const { seed, ops, seeds, part, script } = values
if (part !== '' && !PARTS.includes(part)) {
  throw new RangeError(`--part is ${part}; it must be one of ${PARTS.join(', ')}`)
}
// A minute, unless something else says how long.
const seconds = values.seconds ?? (ops === undefined && seeds === undefined ? '60' : undefined)
const good = script === undefined ? fuzz() : playFile(script)
process.exitCode = good ? 0 : 1

function fuzz(): boolean {
  const wanted = part === '' ? PARTS : [part]
  const layers = wanted.filter((name) => name !== 'machine')
  if (layers.length > 0 && !fuzzLayers(layers)) return false
  if (!wanted.includes('machine')) return true
  return fuzzMachines({
    seed: Number(seed),
    seconds: limit(seconds),
    ops: limit(ops),
    seeds: limit(seeds),
  })
}

function fuzzLayers(layers: readonly string[]): boolean {
  const files = layers.map((name) => `test/fuzz/${name}.fuzz.ts`)
  const run = spawnSync('npx', ['vitest', 'run', '--config', 'vitest.fuzz.config.ts', ...files], {
    stdio: 'inherit',
    env: {
      ...process.env,
      KMEM_FUZZ_SEED: seed,
      KMEM_FUZZ_SECONDS: seconds ?? '',
      KMEM_FUZZ_OPS: ops ?? '',
      KMEM_FUZZ_SEEDS: seeds ?? '',
    },
  })
  return run.status === 0
}

function limit(value: string | undefined): number {
  return value === undefined ? Number.POSITIVE_INFINITY : Number(value)
}
