/** Every recording of a real kernel must replay without a difference; and the players must notice one. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { ZoneState } from 'kmem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BootRecording, playBoot } from '../conformance/bootPlayer'
import { playCalls, type Row } from '../conformance/callPlayer'
import { firstDifference, type Outcome } from '../conformance/outcome'
import { parseRows } from '../conformance/player'
import { findRecordings, playFile, readBytes } from '../conformance/recordings'
import { runConformance } from '../conformance/run'
import { playTrace, type TraceStates } from '../conformance/tracePlayer'

const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url))
const RECORDINGS = findRecordings(FIXTURES).filter((path) => !path.includes('/text/'))

/** Recordings of calls with the kernel's reports: deliberate corruption of slabs. */
const REPORTS = [
  'text/text-slab.jsonl',
  'text/slub-reports.jsonl.gz',
  'text/slub-repairs.jsonl.gz',
  'text/slub-random-1.jsonl.gz',
  'text/slub-random-2.jsonl.gz',
  'text/slub-random-3.jsonl.gz',
]

function fixture(path: string): string {
  return join(FIXTURES, path)
}

function rowsOf(path: string): Row[] {
  return parseRows(readBytes(fixture(path)).toString('utf8'))
}

function expectIdentical(outcome: Outcome): void {
  if (outcome.different > 0) expect.fail(outcome.firstDifference?.slice(0, 20_000))
  expect(outcome.identical).toBe(outcome.calls)
}

describe('recordings of a real kernel', () => {
  it('are all found', () => {
    const folders = RECORDINGS.map((path) => relative(FIXTURES, path).split('/')[0])
    expect(folders.filter((folder) => folder === 'boot')).toHaveLength(9)
    expect(folders.filter((folder) => folder === 'calls').length).toBeGreaterThanOrEqual(19)
    expect(folders.filter((folder) => folder === 'calls-4cpu').length).toBeGreaterThanOrEqual(3)
    expect(folders.filter((folder) => folder === 'traces')).toHaveLength(2)
  })

  it.each(RECORDINGS.map((path) => relative(FIXTURES, path)))('%s', (path) => {
    const outcome = playFile(fixture(path))
    expectIdentical(outcome)
    expect(outcome.skipped.size).toBe(0)
    // Whole recordings: the header tells how many calls there are.
    if (path.includes('.jsonl')) expect(outcome.calls).toBe(rowsOf(path)[0]?.calls)
    else expect(outcome.calls).toBeGreaterThan(50)
  })

  it.each(REPORTS)('%s, with what the kernel logged', (path) => {
    const outcome = playFile(fixture(path))
    expectIdentical(outcome)
    expect(outcome.calls).toBe(rowsOf(path)[0]?.calls)
    const labels = rowsOf(path).filter((row) => Array.isArray(row.log) && row.log.length > 1)
    expect(labels.length).toBeGreaterThan(5)
  })

  // Their page calls start from the machine that all recordings of calls start from.
  it.each(['text/text-pages.jsonl', 'text/text-proc.jsonl'])('%s, its page calls', (path) => {
    const rows = rowsOf(path).filter((row) => row.call !== 'vmap_state')
    const end = rows.findIndex((row) => /vm|kmem|kmalloc/.test(String(row.call)))
    const start = rowsOf('calls/pages-thp.jsonl.gz')[1]?.zones as ZoneState[]
    const outcome = playCalls(rows.slice(0, end), start)
    expectIdentical(outcome)
    expect(outcome.calls).toBeGreaterThan(1400)
  })

  // Answers of the same kernel: pages on a CPU list are free, and no obstacle to a contiguous range.
  it('a contiguous range beside pages on a page list', () => {
    const start = rowsOf('calls/pages-thp.jsonl.gz')[1]?.zones as ZoneState[]
    const calls: Row[] = [
      { call: 'alloc_pages', slot: 0, node: 1, gfp: '0x202008', order: 0, pfn: 1048576 },
      { call: 'free_pages', slot: 0 },
      { call: 'alloc_contig_range', start: 1048700, end: 1048710, migratetype: 1, result: 0 },
    ]
    expectIdentical(playCalls(calls, start))
  })
})

describe('a difference is noticed', () => {
  const rows = rowsOf('calls/pages-thp.jsonl.gz')

  it('in the answer of a call, and told with the states around it', () => {
    const index = rows.findLastIndex((row) => row.call === 'alloc_pages' && row.pfn !== null)
    const pfn = Number(rows[index]?.pfn)
    const changed = rows.with(index, { ...rows[index], pfn: pfn + 1 })
    const outcome = playCalls(changed)
    expect(outcome.different).toBe(1)
    expect(outcome.identical).toBe(outcome.calls - 1)
    const told = outcome.firstDifference ?? ''
    expect(told).toContain(`call ${index}: {"call":"alloc_pages"`)
    expect(told).toContain(`at pfn: expected ${pfn + 1}, got ${pfn}`)
    expect(told).toContain(`our state before call ${index}:\n  {"node":1`)
    expect(told).toContain('our state after it:\n  {"node":1')
    expect(told).toMatch(/last recorded state before it, call \d+:\n {2}\{"node":1/)
    expect(told).toMatch(/first recorded state after it, call \d+:\n {2}\{"node":1/)
  })

  it('in the order of a list of a recorded state', () => {
    const index = rows.findLastIndex((row) => row.call === 'node_state')
    const [zone, ...others] = (rows[index]?.zones ?? []) as ZoneState[]
    if (zone === undefined) expect.fail('no zone')
    const [order, types] = Object.entries(zone.freeLists).find(([, lists]) =>
      Object.values(lists).some((pfns) => pfns.length > 1),
    ) ?? ['', {}]
    const turned = Object.fromEntries(
      Object.entries(types).map(([type, pfns]) => [type, [...pfns].reverse()]),
    )
    const zones = [{ ...zone, freeLists: { ...zone.freeLists, [order]: turned } }, ...others]
    const outcome = playCalls(rows.with(index, { ...rows[index], zones }))
    expect(outcome.different).toBe(1)
    expect(outcome.firstDifference).toContain(`at zones.0.freeLists.${order}.`)
  })

  it('in a call that the library refuses', () => {
    const last = { call: 'alloc_pages', slot: 1, node: 1, gfp: '0x18', order: 0, pfn: null }
    const outcome = playCalls([...rows, last])
    expect(outcome.different).toBe(1)
    expect(outcome.firstDifference).toContain('expected an answer, got InvalidArgument')
  })

  it('in a report', () => {
    const rows = rowsOf('text/text-slab.jsonl')
    const index = rows.findIndex((row) => Array.isArray(row.log) && row.log.length > 3)
    const log = [...((rows[index]?.log ?? []) as string[])].reverse()
    const outcome = playCalls(rows.with(index, { ...rows[index], log }))
    expect(outcome.different).toBe(1)
    expect(outcome.firstDifference).toContain('log before it.0: expected')
  })

  it('in each part of a boot', () => {
    const recording = JSON.parse(readFileSync(fixture('boot/1g.json'), 'utf8')) as BootRecording
    const [first, ...zones] = recording.handover
    if (first === undefined) expect.fail('no zone')
    for (const changed of [
      { handover: [{ ...first, managed: first.managed + 1 }, ...zones] },
      { handover: [...recording.handover, first] },
      { minFreeKbytes: recording.minFreeKbytes + 1 },
      { zoneinfo: recording.zoneinfo.replace(/^ {8}low .*/m, '        low      1') },
      { zoneinfo: recording.zoneinfo.replace('protection: (0, ', 'protection: (1, ') },
      { zoneinfo: recording.zoneinfo.replace('vm stats threshold: 2', 'vm stats threshold: 3') },
      { zoneinfo: recording.zoneinfo.replace('batch: 1', 'batch: 2') },
      { log: recording.log.slice(1) },
      { log: recording.log.map((line) => line.replace('grouping on', 'grouping off')) },
    ]) {
      const outcome = playBoot({ ...recording, ...changed })
      expect(outcome.different).toBeGreaterThan(0)
      expect(outcome.firstDifference).toMatch(/^call \d+, .*: .*expected/)
    }
  })

  it('in a trace, and in the state after it', () => {
    const trace = readBytes(fixture('traces/short-all-events.ftrace.gz')).toString('latin1')
    const states = JSON.parse(
      readFileSync(fixture('traces/short-all-events.state.json'), 'utf8'),
    ) as TraceStates
    const pfn = /mm_page_alloc: page=\S+ pfn=(\S+) order=0/.exec(trace)?.[1] ?? ''
    const changed = playTrace(trace.replace(`pfn=${pfn} order=0`, 'pfn=0x1000 order=0'), states)
    expect(changed.different).toBeGreaterThan(0)
    expect(changed.firstDifference).toContain('pfn=0x1000')
    const [zone, ...zones] = states.after.zones
    if (zone === undefined) expect.fail('no zone')
    const after = { zones: [{ ...zone, free: zone.free + 1 }, ...zones] }
    const other = playTrace(trace, { ...states, after })
    expect(other.different).toBe(1)
    expect(other.firstDifference).toContain('after the trace, zone DMA of node 0: at free')
  })

  it('between plain values', () => {
    expect(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] })).toBeNull()
    expect(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] })).toContain('at a.1.b')
    expect(firstDifference([1], [1, 2])).toContain('at 1: expected 2, got undefined')
    expect(firstDifference([1, 2], [1])).toContain('at 1: expected undefined, got 2')
    expect(firstDifference(null, { a: 1 })).toContain('got null')
  })
})

describe('npm run conformance', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kmem-conformance-'))
  })
  afterAll(() => {
    rmSync(folder, { recursive: true })
  })

  function run(...args: string[]): { status: number; lines: string[] } {
    const lines: string[] = []
    const status = runConformance(args, (line) => lines.push(line))
    return { status, lines }
  }

  function file(name: string, content: string | Uint8Array): string {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }

  it('prints a line a file and the totals', () => {
    const path = fixture('calls/pages-thp.jsonl.gz')
    const { status, lines } = run(path, fixture('text'))
    expect(status).toBe(0)
    expect(lines[0]).toBe(`${path}  calls 1285  identical 1285  different 0`)
    expect(lines.at(-1)).toBe('total: files 9  calls 9305  identical 9305  different 0')
  })

  it('leaves a recording out that has calls it does not know, and tells', () => {
    const path = file('unknown.jsonl', '{"scenario":"x","calls":1}\n{"call":"make_coffee"}\n')
    const { status, lines } = run(path)
    expect(status).toBe(1)
    expect(lines[0]).toMatch(/calls 0 .* skipped: has make_coffee calls, which the library lacks/)
  })

  it('fails when something differs, and tells more when asked', () => {
    const rows = rowsOf('calls/pages-thp.jsonl.gz').slice(0, 3)
    const text = rows.map((row) => JSON.stringify({ ...row, pfn: 1 })).join('\n')
    const path = file('different.jsonl', text)
    expect(run(path).status).toBe(1)
    expect(run(path).lines).toHaveLength(2)
    expect(run('--verbose', path).lines.join('\n')).toContain('our state before call 2')
  })

  it.each([
    ['a missing file', () => join(folder, 'missing.jsonl'), 'ENOENT'],
    ['a line that is no JSON', () => file('a.jsonl', '{"cpus":1}\n{"call":'), 'line 2:'],
    ['a line that is no object', () => file('b.jsonl', '5\n'), 'line 1: not an object'],
    [
      'half a gzip file',
      () => file('c.jsonl.gz', gzipSync('{}').subarray(0, 12)),
      'unexpected end',
    ],
    ['zones that contradict themselves', () => file('d.jsonl', badZones()), 'free block'],
    ['a trace without states', () => file('e.ftrace', '# tracer: nop\n'), 'e.state.json'],
    ['another kind of file', () => file('f.txt', 'text'), 'not a .jsonl, .json or .ftrace file'],
  ])('fails for %s and says why', (_, path, reason) => {
    const { status, lines } = run(path())
    expect(status).toBe(1)
    expect(lines[0]).toContain(reason)
    expect(lines.at(-1)).toBe('nothing was played')
  })

  it('fails when nothing was played', () => {
    const path = file('package.json', '{"name":"x"}')
    expect(run(path)).toMatchObject({ status: 1 })
    expect(run(path).lines[0]).toContain('skipped: has no memblock and handover')
  })

  it('explains itself', () => {
    expect(run('--help')).toMatchObject({ status: 0 })
    expect(run('--help').lines[0]).toContain('npm run conformance -- [--verbose] [PATH ...]')
    expect(run('--colour')).toMatchObject({ status: 2 })
    expect(run('--colour').lines[0]).toContain("'--colour'")
  })

  function badZones(): string {
    const [header, state] = rowsOf('calls/pages-thp.jsonl.gz')
    const [zone] = (state?.zones ?? []) as ZoneState[]
    const zones = [{ ...zone, freeLists: { 10: { 1: [1048577] } } }]
    return `${JSON.stringify(header)}\n${JSON.stringify({ ...state, zones })}\n`
  }
})
