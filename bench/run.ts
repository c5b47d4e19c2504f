/**
 * Compares kmem with its peers and prints the tables, also to `bench/out/latest.md`.
 *
 * `npm run bench`, or `npm run bench -- --quick` for a tenth of the time and figures to match.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { measureBoots } from './boot'
import { loadKmem } from './kmem'
import {
  basicCases,
  type Case,
  FULL,
  nsPerPair,
  QUICK,
  replacement,
  type Workloads,
  warmUp,
  workloadsFor,
} from './measure'
import { type PeerKind, peerKinds } from './peers'
import { measureReplays } from './replay'

const GROWTH = [1000, 16_000, 100_000, 1_000_000]
const ABSENT = '–'

type Figures = ReadonlyMap<string, number | null>

const effort = process.argv.includes('--quick') ? QUICK : FULL
const kmem = await loadKmem()
if (kmem === null) console.error('dist/ is missing: kmem is left out (npm run build)')
const kinds = await peerKinds(kmem)
const copies = new Map<PeerKind, Workloads>()
for (const kind of kinds) {
  const workloads = await workloadsFor(kind)
  warmUp(kind, workloads)
  copies.set(kind, workloads)
}

const sections = [
  `# Benchmarks\n\n${machine()}`,
  `## ns per pair of alloc and free\n\n${comparison(await figuresOf(basicCases()))}`,
  `## ns per pair as live pages grow\n\n${growth(await figuresOf(growthCases()))}`,
]
const limits = kinds.filter((kind) => kind.limit !== '')
sections.push(
  limits
    .map(({ name, maxPages, limit }) => `- ${name}: up to ${count(maxPages)} live pages; ${limit}`)
    .join('\n'),
)
if (kmem !== null) {
  const boots = await measureBoots(kmem, effort)
  const rows = boots.map(([size, ms]) => [size, ms.toFixed(2)])
  sections.push(`## ms to boot, without content\n\n${table(['RAM', 'ms'], rows)}`)
  const replays = await measureReplays(kmem)
  if (replays.length > 0) {
    const rates = replays.map(({ trace, events, seconds }) => [
      trace,
      count(events),
      count(Math.round(events / seconds)),
    ])
    sections.push(`## Replay\n\n${table(['trace', 'events', 'events per second'], rates)}`)
  }
}
const text = `${sections.join('\n\n')}\n`
const out = new URL('./out/', import.meta.url)
mkdirSync(out, { recursive: true })
writeFileSync(new URL('latest.md', out), text)
console.log(text)

function machine(): string {
  const [cpu] = cpus()
  const mode = effort === QUICK ? 'quick, ' : ''
  return `${mode}node ${process.version}, ${process.platform} ${process.arch}, ${cpu?.model.trim() ?? 'unknown CPU'}`
}

function growthCases(): readonly Case[] {
  return GROWTH.filter((live) => live <= effort.maxPages).map(replacement)
}

/** The figures of each case by the name of the peer. */
async function figuresOf(cases: readonly Case[]): Promise<readonly (readonly [Case, Figures])[]> {
  const rows: (readonly [Case, Figures])[] = []
  for (const one of cases) {
    const figures = new Map<string, number | null>()
    for (const [kind, workloads] of copies) {
      figures.set(kind.name, await nsPerPair(kind, workloads, one, effort))
    }
    console.error(
      `${one.name}: ${[...figures].map(([name, ns]) => `${name} ${show(ns)}`).join(', ')}`,
    )
    rows.push([one, figures])
  }
  return rows
}

function comparison(rows: readonly (readonly [Case, Figures])[]): string {
  const names = kinds.map((kind) => kind.name)
  const header = ['workload', ...names, 'kmem / floor', 'kmem / TLSF']
  const body = rows.map(([{ name }, figures]) => [
    name,
    ...names.map((peer) => show(figures.get(peer))),
    ratio(figures.get('kmem'), figures.get('floor')),
    ratio(figures.get('kmem'), figures.get('TLSF')),
  ])
  return table(header, body)
}

/** Each peer twice: its figure, and that over its figure for the smallest population. */
function growth(rows: readonly (readonly [Case, Figures])[]): string {
  const names = kinds.map((kind) => kind.name)
  const first = rows[0]?.[1]
  const body = rows.map(([{ pages }, figures]) => [
    count(pages),
    ...names.flatMap((peer) => [
      show(figures.get(peer)),
      ratio(figures.get(peer), first?.get(peer)),
    ]),
  ])
  return table(['live pages', ...names.flatMap((name) => [name, 'growth'])], body)
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const alignment = header.map((_, column) => (column === 0 ? '---' : '---:'))
  return [header, alignment, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function show(ns: number | null | undefined): string {
  if (ns === null || ns === undefined) return ABSENT
  return ns < 100 ? ns.toFixed(1) : count(Math.round(ns))
}

function ratio(ns: number | null | undefined, base: number | null | undefined): string {
  return ns == null || base == null ? ABSENT : `${(ns / base).toFixed(2)}×`
}

function count(number: number): string {
  return number.toLocaleString('en')
}
