/**
 * Long random runs: `npm run fuzz -- --seed S --seconds T`. A failure prints its seed, a shrunk list of
 * calls, and ends with status 1.
 */

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
  },
})
for (const [name, value] of Object.entries(values)) {
  if (!/^\d+$/.test(value)) throw new RangeError(`--${name} is ${value}; it must be a whole number`)
}
const run = spawnSync('npx', ['vitest', 'run', '--config', 'vitest.fuzz.config.ts'], {
  stdio: 'inherit',
  env: { ...process.env, KMEM_FUZZ_SEED: values.seed, KMEM_FUZZ_SECONDS: values.seconds },
})
process.exitCode = run.status ?? 1
