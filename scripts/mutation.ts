/**
 * Mutation testing: changes the source, a place at a time, and looks whether a test notices.
 *
 *     npm run mutation -- --part buddy                     what changed since the last run of this part
 *     npm run mutation -- --part buddy --file src/buddy/free.ts
 *     npm run mutation -- --part buddy --again             survivors once more
 *     npm run mutation -- --part buddy --force             everything
 *     npm run mutation -- --part buddy --resume            a run that was cut off goes on
 *     npm run mutation -- --report                         scores of the last runs; with --survivors, what is left
 *     npm run mutation -- --part base --vitest             by Stryker's runner for vitest, which is slow
 *
 * What is known of a part is in `scripts/mutation/state/`. docs/mutation.md tells more.
 */

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Stryker } from '@stryker-mutator/core'
import { build } from 'esbuild'
import { PARTS, type Part } from './mutation/parts'
import { report, type State } from './mutation/report'

const { values } = parseArgs({
  options: {
    part: { type: 'string', multiple: true, default: [] },
    file: { type: 'string', multiple: true, default: [] },
    again: { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
    resume: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    survivors: { type: 'boolean', default: false },
    vitest: { type: 'boolean', default: false },
    concurrency: { type: 'string', default: '2' },
    // Milliseconds of tests after which a mutant counts as one that survived.
    most: { type: 'string', default: '3000' },
  },
})
for (const name of ['concurrency', 'most'] as const) {
  const value = values[name]
  if (!/^\d+$/.test(value)) throw new RangeError(`--${name} is ${value}; it must be a whole number`)
}
const STATE = 'scripts/mutation/state'
const OUT = 'out/mutation'
const PLUGINS = resolve(OUT, 'plugins.mjs')

for (const name of values.part.length > 0 ? values.part : Object.keys(PARTS)) {
  const part = PARTS[name]
  if (part === undefined) {
    throw new RangeError(`--part is ${name}; it must be one of ${Object.keys(PARTS).join(', ')}`)
  }
  if (!values.report) await mutate(name, part)
  const kept = join(STATE, `${name}.json.gz`)
  if (values.vitest || !existsSync(kept)) continue
  const state = JSON.parse(gunzipSync(readFileSync(kept)).toString()) as State
  console.log(report(name, state, values.survivors).join('\n'))
}

async function mutate(name: string, part: Part): Promise<void> {
  mkdirSync(OUT, { recursive: true })
  const tests = part.tests.flatMap(testFiles)
  const kept = join(STATE, `${name}.json.gz`)
  const incrementalFile = `${OUT}/${name}.state.json`
  if (existsSync(kept)) writeFileSync(incrementalFile, gunzipSync(readFileSync(kept)))
  if (values.again) forgetSurvivors(incrementalFile)
  const journal = resolve(OUT, `${name}.jsonl`)
  if (!values.resume) rmSync(journal, { force: true })
  const common = {
    mutate: values.file.length > 0 ? values.file : [`src/${name}/**/*.ts`],
    ignorers: ['leftOut'],
    coverageAnalysis: 'perTest',
    concurrency: Number(values.concurrency),
    dryRunTimeoutMinutes: 60,
    reporters: ['progress-append-only', 'json'],
    allowConsoleColors: false,
  }
  if (values.vitest) {
    process.env.KMEM_MUTATION_TESTS = tests.join(' ')
    const vitest = { configFile: 'vitest.mutation.config.ts', related: false }
    const plugins = [await pluginsFile(), '@stryker-mutator/vitest-runner']
    const jsonReporter = { fileName: `${OUT}/${name}.vitest.json` }
    await run({ ...common, testRunner: 'vitest', vitest, plugins, jsonReporter })
    return
  }
  await run({
    ...common,
    testRunner: 'kmem',
    plugins: [await pluginsFile()],
    incremental: true,
    incrementalFile,
    force: values.force,
    // Only for what the runner's own limits do not end.
    timeoutMS: 120_000,
    ignorePatterns: ['bench', 'docs', 'dist', 'out', 'test/fixtures', 'coverage'],
    jsonReporter: { fileName: `${OUT}/${name}.json` },
    kmem: {
      root: process.cwd(),
      tests,
      without: part.without ?? '',
      strong: 'conformance|[mM]odel|exhaustive',
      journal,
      resume: values.resume,
      most: Number(values.most),
    },
  })
  keepState(incrementalFile, kept)
}

async function run(options: object): Promise<void> {
  // The type of the options leaves no room for those of a plugin.
  await new Stryker(options as never).runMutationTest()
}

/** Stryker starts processes that load its plugins, and knows nothing of TypeScript. */
async function pluginsFile(): Promise<string> {
  await build({
    entryPoints: ['scripts/mutation/plugins.ts'],
    outfile: PLUGINS,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
  })
  return PLUGINS
}

/** Writes what the next run needs: of a mutant that was noticed, only the test that noticed it. */
function keepState(path: string, kept: string): void {
  const state = JSON.parse(readFileSync(path, 'utf8')) as State
  for (const { mutants } of Object.values(state.files)) {
    for (const mutant of mutants) {
      delete mutant.statusReason
      if (mutant.status === 'Killed') mutant.coveredBy = mutant.killedBy ?? []
    }
  }
  mkdirSync(STATE, { recursive: true })
  writeFileSync(kept, gzipSync(JSON.stringify(state), { level: 9 }))
}

/** Takes the mutants that survived out of the state, so that they are tried again. */
function forgetSurvivors(path: string): void {
  const state = JSON.parse(readFileSync(path, 'utf8')) as State
  for (const file of Object.values(state.files)) {
    file.mutants = file.mutants.filter(({ status }) => status !== 'Survived')
  }
  writeFileSync(path, JSON.stringify(state))
}

function testFiles(path: string): string[] {
  const full = join('test', path)
  if (statSync(full).isFile()) return [full]
  return readdirSync(full)
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => join(full, file))
}
