/**
 * Plays the workload of `determinism/` on the built library, as ESM and as CommonJS, under the newest release of every
 * major version of Node that the registry has and package.json allows: `npm run determinism`. Every hash must be the
 * one of the table `determinism/expected.json`; `npm run determinism -- --write` makes that table anew.
 *
 * Releases come from the registry's packages of Node's binaries, and are kept in `out/node`. `-- --major 22` plays under
 * that one alone.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import type { SeedRow } from '../determinism/playAll'
import { differenceOf, EXPECTED, type Expected, expectedOf } from '../determinism/table'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const OUT = join(ROOT, 'out/determinism')
const RELEASES = join(ROOT, 'out/node')
/** Windows finds `npm.cmd` through a shell only. */
const SHELL = process.platform === 'win32'
const KINDS = ['mjs', 'cjs'] as const

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    major: { type: 'string', multiple: true },
  },
})
process.exitCode = await main()

async function main(): Promise<number> {
  for (const kind of KINDS) await bundle(kind)
  const here = played(process.execPath, 'mjs')
  if (typeof here === 'string') {
    console.error(here)
    return 1
  }
  if (values.write) {
    const table = expectedOf(here)
    writeFileSync(EXPECTED, `${JSON.stringify(table, null, 2)}\n`)
    console.log(`${EXPECTED}: ${here.length} seeds, from node ${process.version}`)
    return here.every(({ different }) => different.length === 0) ? 0 : 1
  }
  const expected = JSON.parse(readFileSync(EXPECTED, 'utf8')) as Expected
  const versions = releases()
  console.log('| Node | V8 | ESM | CommonJS |\n| --- | --- | --- | --- |')
  let failed = 0
  const row = (version: string, binary: string): void => {
    const results = KINDS.map((kind) => verdict(played(binary, kind), expected))
    failed += results.filter((result) => result !== 'the same').length
    console.log(`| ${[version, v8Of(binary), ...results].join(' | ')} |`)
  }
  row(`${process.version.slice(1)} (this one)`, process.execPath)
  for (const version of versions) {
    const binary = fetched(version)
    if (binary.startsWith('cannot')) {
      failed += 1
      console.log(`| ${version} | – | ${binary} | – |`)
    } else row(version, binary)
  }
  console.log(`\n${expected.length} seeds, each in 8 ways; different or not run: ${failed}`)
  return failed === 0 ? 0 : 1
}

/** One file of the workload. It imports the library by its name: the package finds itself, as a user's would. */
async function bundle(kind: (typeof KINDS)[number]): Promise<void> {
  await build({
    entryPoints: [join(ROOT, 'determinism/main.ts')],
    outfile: join(OUT, `main.${kind}`),
    bundle: true,
    external: ['kmem'],
    format: kind === 'mjs' ? 'esm' : 'cjs',
    platform: 'neutral',
    target: 'es2022',
    logLevel: 'warning',
  })
}

/** What a Node came to, or why there is nothing. */
function played(binary: string, kind: (typeof KINDS)[number]): SeedRow[] | string {
  const run = spawnSync(binary, [join(OUT, `main.${kind}`)], { encoding: 'utf8' })
  if (run.status === 0) return JSON.parse(run.stdout) as SeedRow[]
  const lines = `${run.error ?? run.stderr}`.trim().split('\n')
  return `cannot run: ${lines.find((line) => line.includes('Error')) ?? lines[0]}`
}

function verdict(rows: SeedRow[] | string, expected: Expected): string {
  return typeof rows === 'string' ? rows : (differenceOf(rows, expected) ?? 'the same')
}

function v8Of(binary: string): string {
  return spawnSync(binary, ['-p', 'process.versions.v8'], { encoding: 'utf8' }).stdout.trim()
}

/** The newest release of each major that package.json allows, ascending. */
function releases(): string[] {
  const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    engines: { node: string }
  }
  const least = Number(/^>=(\d+)$/.exec(engines.node)?.[1])
  if (Number.isNaN(least)) throw new Error(`engines.node is ${engines.node}, not >= and a major`)
  const list = npm(['view', packageName(), 'versions', '--json'])
  const newest = new Map<number, string>()
  // Ascending in the registry; those with a dash are no releases.
  for (const version of JSON.parse(list) as string[]) {
    const major = Number.parseInt(version, 10)
    const wanted = values.major === undefined || values.major.includes(String(major))
    if (major >= least && wanted && !version.includes('-')) newest.set(major, version)
  }
  return [...newest.keys()].sort((a, b) => a - b).map((major) => newest.get(major) ?? '')
}

/** The package that has Node's binary for this platform. */
function packageName(): string {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const arch = process.arch === 'arm' ? 'armv7l' : process.arch
  return `node-${platform}-${arch}`
}

/** The binary of a release, fetched if it is not there; or why there is none. */
function fetched(version: string): string {
  const folder = join(RELEASES, version)
  const binary = join(folder, 'package/bin', process.platform === 'win32' ? 'node.exe' : 'node')
  if (existsSync(binary)) return binary
  mkdirSync(folder, { recursive: true })
  try {
    const [file = ''] = npm(['pack', `${packageName()}@${version}`, '--silent'], folder)
      .trim()
      .split('\n')
      .slice(-1)
    const unpacked = spawnSync('tar', ['-xzf', file], { cwd: folder, encoding: 'utf8' })
    if (unpacked.status !== 0) throw new Error(`tar: ${unpacked.error ?? unpacked.stderr}`)
    rmSync(join(folder, file))
    return existsSync(binary) ? binary : `cannot be fetched: no bin/node in ${file}`
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    return `cannot be fetched: ${error instanceof Error ? error.message.split('\n')[0] : error}`
  }
}

function npm(args: readonly string[], cwd = ROOT): string {
  const run = spawnSync('npm', args, { cwd, encoding: 'utf8', shell: SHELL })
  if (run.status === 0) return run.stdout
  throw new Error(
    `npm ${args.join(' ')}: ${run.error ?? run.stderr.trim().split('\n')[0]}; ` +
      `releases are in the registry's package ${packageName()}, if it has one for this platform`,
  )
}
