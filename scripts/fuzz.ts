/**
 * Long random runs: `npm run fuzz -- --seed S --seconds T`, of all parts or with `--part pages`, `slabs` or
 * `virtual` of one. A failure prints its seed, a shrunk list of calls, and ends with status 1.
 */

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    part: { type: 'string', default: '' },
  },
})
for (const name of ['seed', 'seconds'] as const) {
  const value = values[name]
  if (!/^\d+$/.test(value)) throw new RangeError(`--${name} is ${value}; it must be a whole number`)
}
if (!['', 'pages', 'slabs', 'virtual'].includes(values.part)) {
  throw new RangeError(`--part is ${values.part}; it must be pages, slabs or virtual`)
}
const files = `test/fuzz/${values.part}`
const run = spawnSync('npx', ['vitest', 'run', '--config', 'vitest.fuzz.config.ts', files], {
  stdio: 'inherit',
  env: { ...process.env, KMEM_FUZZ_SEED: values.seed, KMEM_FUZZ_SECONDS: values.seconds },
})
process.exitCode = run.status ?? 1
