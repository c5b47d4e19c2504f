/**
 * Compares kmem with its peers and prints the tables, also to `bench/out/latest.md`.
 *
 * `npm run bench`, or `npm run bench -- --quick` for a tenth of the time and figures to match; `-- --objects` or
 * `-- --pages`, `-- --several`, `-- --virtual` or `-- --native` for that part alone.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { type Kmem, loadKmem } from './kmem'
import { type Case, type Figures, FULL, figuresOf, QUICK, warmCopies } from './measure'
import { idleState, measureMemory } from './memory'
import { measureNative, nativeName } from './native'
import { cacheCases, kmallocCases } from './objectCases'
import { objectPeerKinds } from './objectPeers'
import { growthCases, pageCases } from './pageCases'
import { type PeerKind, peerKinds } from './peers'
import { measureReplays } from './replay'
import { measureScale } from './scale'
import { measureSeveral } from './several'
import { aim, count, ratio, show, table } from './table'
import { compileTlsf } from './tlsf'
import { measureTracing } from './tracing'
import { measureAccess, measureAreas, measureTables, type VirtualRow } from './virtual'

type Rows = readonly (readonly [Case, Figures])[]

const effort = process.argv.includes('--quick') ? QUICK : FULL
const kmem = await loadKmem()
if (kmem === null) console.error('dist/ is missing: kmem is left out (npm run build)')
const newTlsf = await compileTlsf()
const sections = [`# Benchmarks\n\n${machine()}`]
const parts = ['--pages', '--objects', '--several', '--virtual', '--native']
const chosen = parts.filter((part) => process.argv.includes(part))
const wanted = (part: string): boolean => chosen.length === 0 || chosen.includes(part)
if (wanted('--pages')) sections.push(...(await pageSections()))
if (wanted('--objects')) sections.push(...(await objectSections()))
if (wanted('--several') && kmem !== null) sections.push(await several(kmem))
if (wanted('--virtual') && kmem !== null) sections.push(...(await virtualSections(kmem)))
if (wanted('--native') && kmem !== null) sections.push(...(await nativeSections(kmem)))
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

async function pageSections(): Promise<readonly string[]> {
  const kinds = peerKinds(kmem, newTlsf)
  const copies = await warmCopies(kinds, pageCases(1024))
  const basic = await figuresOf(pageCases(), copies, effort)
  const growing = await figuresOf(growthCases(effort), copies, effort)
  return [
    `## Pages: ns per pair of alloc and free\n\n${comparison(kinds, basic)}`,
    `## Pages: ns per pair as live pages grow\n\n${growth(kinds, growing)}`,
    limitsOf(kinds, 'pages'),
    ...(kmem === null ? [] : await pageCosts(kmem)),
  ]
}

async function pageCosts(kmem: Kmem): Promise<readonly string[]> {
  const rows = measureScale().map(([size, { boot, bootMiB, pairNs, save, bytes, restore }]) => [
    size,
    boot.toFixed(1),
    bootMiB.toFixed(1),
    show(pairNs),
    count(Math.round(bytes / 1024)),
    save.toFixed(1),
    restore.toFixed(1),
  ])
  const columns = [
    'RAM',
    'boot, ms',
    'boot, MiB',
    'pair, ns',
    'file, KiB',
    'save, ms',
    'restore, ms',
  ]
  const rates = measureReplays(kmem).map(({ trace, events, seconds }) => [
    trace,
    count(events),
    count(Math.round(events / seconds)),
  ])
  return [
    `## Machines without content\n\n${table(columns, rows)}`,
    `## Replay\n\n${table(['trace', 'events', 'events per second'], rates)}`,
    await tracing(kmem),
  ]
}

async function tracing(kmem: Kmem): Promise<string> {
  const rows = (await measureTracing(kmem, effort)).map(({ name, pages, objects }) => [
    name,
    show(pages),
    show(objects),
  ])
  return `## Tracing: ns per pair\n\n${table(['tracepoints', 'pages', 'objects'], rows)}`
}

async function objectSections(): Promise<readonly string[]> {
  const kinds = objectPeerKinds(kmem, newTlsf, false)
  const rows = [
    ...(await figuresOf(kmallocCases(), await warmCopies(kinds, kmallocCases(10)), effort)),
    ...(await figuresOf(
      cacheCases(),
      await warmCopies(objectPeerKinds(kmem, newTlsf, true), cacheCases(10)),
      effort,
    )),
  ]
  return [
    `## Objects: ns per pair of alloc and free\n\n${comparison(kinds, rows)}`,
    limitsOf(kinds, 'objects'),
    ...(kmem === null ? [] : [memory(kmem)]),
  ]
}

async function several(kmem: Kmem): Promise<string> {
  const { kinds, rows } = await measureSeveral(kmem, newTlsf, effort)
  return `## Several at once: ns per pair of alloc and free\n\n${comparison(kinds, rows)}`
}

async function virtualSections(kmem: Kmem): Promise<readonly string[]> {
  const areas = await measureAreas(kmem, effort)
  const tables = await measureTables(kmem, effort)
  const access = await measureAccess(kmem, effort)
  return [
    `## Virtual memory: ns for one\n\n${virtualTable('a tree of objects', areas)}`,
    `## Page tables: ns for one\n\n${virtualTable(null, tables)}`,
    `## Loads and stores: ns for one\n\n${virtualTable('DataView', access)}`,
  ]
}

async function nativeSections(kmem: Kmem): Promise<readonly string[]> {
  const rows = await measureNative(kmem, effort)
  if (rows === null) {
    console.error('no C compiler: malloc is left out')
    return []
  }
  const body = rows.map(({ name, kmem: mine, native, most }) => [
    name,
    show(mine),
    show(native),
    ratio(mine, native),
    aim(most),
  ])
  const header = ['workload', 'kmem', 'malloc', 'kmem / malloc', 'aim']
  return [
    `## Beside malloc, ${nativeName()}: ns per pair of alloc and free\n\n${table(header, body)}`,
  ]
}

function virtualTable(peer: string | null, rows: readonly VirtualRow[]): string {
  const aims = rows.some(({ most }) => most !== undefined)
  const header = [
    'what',
    'kmem',
    ...(aims ? ['aim'] : []),
    ...(peer === null ? [] : [peer, `kmem / ${peer}`]),
  ]
  const body = rows.map(({ name, ns, peer: other, most }) => [
    name,
    show(ns),
    ...(aims ? [most === undefined ? '–' : `≤ ${count(most)}`] : []),
    ...(peer === null ? [] : [show(other), ratio(ns, other)]),
  ])
  return table(header, body)
}

function memory(kmem: Kmem): string {
  const rows = measureMemory(kmem, newTlsf).map(({ name, live, liveBytes, ram, state, tlsf }) => [
    `${count(live)} × ${name}`,
    count(Math.round(liveBytes / 1024)),
    (ram / liveBytes).toFixed(3),
    (state / liveBytes).toFixed(3),
    ((ram + state) / liveBytes).toFixed(3),
    (tlsf / liveBytes).toFixed(3),
    ratio(ram + state, tlsf),
  ])
  const header = ['live objects', 'KiB live', 'RAM', 'state', 'both', 'TLSF', 'kmem / TLSF']
  const idle = count(Math.round(idleState(kmem) / 1024))
  return [
    '## Objects: bytes per live byte',
    table(header, rows),
    `Besides, with nothing live on a machine of 64 MiB: ${idle} KiB of state of the slab layer.`,
  ].join('\n\n')
}

function limitsOf(kinds: readonly PeerKind[], unit: string): string {
  return kinds
    .filter(({ limit }) => limit !== '')
    .map(({ name, maxLive, limit }) => `- ${name}: up to ${count(maxLive)} live ${unit}; ${limit}`)
    .join('\n')
}

/** Ratios, with the aims beside them where a case has some. */
function comparison(kinds: readonly PeerKind[], rows: Rows): string {
  const names = kinds.map((kind) => kind.name)
  const aims = rows.some(([one]) => one.mostOfFloor !== undefined || one.mostOfTlsf !== undefined)
  const pair = (text: string, most: string) => (aims ? [text, most] : [text])
  const header = [
    'workload',
    ...names,
    ...pair('kmem / floor', 'aim'),
    ...pair('kmem / TLSF', 'aim'),
  ]
  const body = rows.map(([{ name, mostOfFloor, mostOfTlsf }, figures]) => [
    name,
    ...names.map((peer) => show(figures.get(peer))),
    ...pair(ratio(figures.get('kmem'), figures.get('floor')), aim(mostOfFloor)),
    ...pair(ratio(figures.get('kmem'), figures.get('TLSF')), aim(mostOfTlsf)),
  ])
  return table(header, body)
}

/** Each peer twice: its figure, and that over its figure for the smallest population. */
function growth(kinds: readonly PeerKind[], rows: Rows): string {
  const names = kinds.map((kind) => kind.name)
  const first = rows[0]?.[1]
  const body = rows.map(([{ live }, figures]) => [
    count(live),
    ...names.flatMap((peer) => [
      show(figures.get(peer)),
      ratio(figures.get(peer), first?.get(peer)),
    ]),
  ])
  return table(['live pages', ...names.flatMap((name) => [name, 'growth'])], body)
}
