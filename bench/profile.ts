/**
 * Where the time of the hot paths goes: `npm run profile`, or `npm run profile -- PART-OF-A-NAME ...`.
 *
 * V8's sampling profiler looks ten times a millisecond which line of the source runs. Printed are the functions
 * with their shares, and the lines that take most. A line that waits for memory shows on itself or on the next one.
 */

import { readFileSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { Session } from 'node:inspector/promises'
import { SourceMap } from 'node:module'
import { basename } from 'node:path'
import { type Kmem, loadKmem } from './kmem'
import { type Case, casesNamed, heapFor, warmCopies } from './measure'
import { kmallocCases } from './objectCases'
import { kmemObjects } from './objectPeers'
import { pageCases } from './pageCases'
import { kmemPages, type PeerKind } from './peers'

const INTERVAL_US = 100
const SECONDS = 4
/** Lines and functions below this share are left out. */
const LEAST = 0.015

const kmem = await loadKmem()
if (kmem === null) throw new Error('dist/ is missing (npm run build)')
const names = process.argv.slice(2)
const built = new URL('../dist/index.js', import.meta.url)
const map = new SourceMap(JSON.parse(readFileSync(new URL('index.js.map', built), 'utf8')))
const script = readFileSync(built, 'utf8').split('\n')
const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
await profile(kmem, kmemPages, pageCases(), pageCases(1024))
await profile(kmem, (built) => kmemObjects(built, false), kmallocCases(), kmallocCases(10))
session.disconnect()

async function profile(
  kmem: Kmem,
  kindOf: (kmem: Kmem) => PeerKind,
  cases: readonly Case[],
  small: readonly Case[],
): Promise<void> {
  const wanted = casesNamed(cases, names)
  if (wanted.length === 0) return
  const kind = kindOf(kmem)
  const workloads = (await warmCopies([kind], small)).get(kind)!
  for (const one of wanted) {
    const { name, live, pairs } = one
    const work = one.setUp(workloads, heapFor(kind, workloads, one))
    const count = pairs ?? 10_000
    for (let done = 0; done < 4 * live + 1_000_000; done += count) work(count)
    await session.post('Profiler.start')
    const start = performance.now()
    let done = 0
    for (; performance.now() - start < SECONDS * 1000; done += count) work(count)
    const ns = ((performance.now() - start) * 1e6) / done
    const { profile } = await session.post('Profiler.stop')
    report(name, ns, profile.nodes)
  }
}

/** Prints the shares of functions and lines. */
function report(name: string, ns: number, nodes: readonly Profiler.ProfileNode[]): void {
  const functions = new Map<string, number>()
  const lines = new Map<string, number>()
  let total = 0
  for (const { callFrame, hitCount = 0, positionTicks = [] } of nodes) {
    total += hitCount
    for (const { line, ticks } of positionTicks) {
      const { where, within } = place(callFrame.url, line)
      add(functions, within, ticks)
      add(lines, where, ticks)
    }
  }
  console.log(`\n## ${name}: ${ns.toFixed(1)} ns a pair\n`)
  for (const shares of [functions, lines]) {
    const sorted = [...shares].sort(([, a], [, b]) => b - a)
    for (const [what, ticks] of sorted.filter(([, ticks]) => ticks >= LEAST * total)) {
      const share = ticks / total
      console.log(`${percent(share)} ${(ns * share).toFixed(1).padStart(6)} ns  ${what}`)
    }
    console.log('')
  }
}

function add(sums: Map<string, number>, key: string, ticks: number): void {
  sums.set(key, (sums.get(key) ?? 0) + ticks)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1).padStart(5)}%`
}

/** What a line of a script is in the source, and the function that it belongs to. */
function place(url: string, line: number): { where: string; within: string } {
  // Code that V8 put into its callers counts under their script, with its own line. The benchmark's are of one line each.
  if (url !== built.href && line === 1) {
    return { where: "the benchmark's loop", within: "the benchmark's loop" }
  }
  const text = script[line - 1] ?? ''
  const entry = map.findEntry(line - 1, text.search(/\S/))
  const source = 'originalSource' in entry ? basename(entry.originalSource) : ''
  const original = 'originalLine' in entry ? entry.originalLine + 1 : line
  return {
    where: `${source}:${original}  ${text.trim()}`,
    within: `${functionAt(line)}, ${source}`,
  }
}

/** The function or method around a line of the built script. */
function functionAt(line: number): string {
  for (let at = line - 1; at >= 0; at--) {
    const [, name] = /^(?:function| ) ?([\w$]+)\(.*\{$/.exec(script[at] ?? '') ?? []
    if (name !== undefined) return name
  }
  return '(top)'
}
