import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { formatGfpTrace, parseGfp } from '../../src/page/gfpText'
import { parseFtrace } from '../../src/proc/ftrace'
import {
  FTRACE_EXTFRAG,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
  formatFtraceEvent,
} from '../../src/proc/ftraceEvents'

const TRACES: [name: string, count: number, kinds: Record<number, number>][] = [
  [
    'short-all-events',
    25430,
    {
      [FTRACE_PAGE_ALLOC]: 8438,
      [FTRACE_PAGE_FREE]: 8184,
      [FTRACE_PAGE_FREE_BATCHED]: 7077,
      [FTRACE_ZONE_LOCKED]: 1731,
    },
  ],
  [
    'untar-hash-compress',
    374432,
    {
      [FTRACE_PAGE_ALLOC]: 118246,
      [FTRACE_PAGE_FREE]: 112444,
      [FTRACE_PAGE_FREE_BATCHED]: 84512,
      [FTRACE_ZONE_LOCKED]: 36996,
      [FTRACE_PCPU_DRAIN]: 22232,
      [FTRACE_EXTFRAG]: 2,
    },
  ],
]

const SAMPLE = [
  '# tracer: nop',
  '#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION',
  '             cat-39      [000] .....     2.418456: mm_page_alloc: page=ffffea00003bc9c0 pfn=0xef27 order=0 migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO',
  '             cat-39      [000] .....     2.418457: mm_page_alloc: page=0000000000000000 pfn=0x0 order=10 migratetype=1 gfp_flags=none',
  '     ksoftirqd/0-13      [001] d.s..     2.616616: mm_page_free: page=ffffea0000494840 pfn=0x12521 order=1',
  '              rm-89      [000] ..s..    28.146994: mm_page_free_batched: page=ffffea00006e8180 pfn=0x1ba06 order=0',
  '              rm-89      [000] d....    28.146995: mm_page_pcpu_drain: page=ffffea00006e8180 pfn=0x1ba06 order=0 migratetype=1',
  '             tar-40      [012] d....     2.627779: mm_page_alloc_zone_locked: page=ffffea00002aee40 pfn=0xabb9 order=3 migratetype=2 percpu_refill=1',
  '             tar-52      [000] d....     9.001399: mm_page_alloc_extfrag: page=ffffea0000550000 pfn=0x15400 alloc_order=1 fallback_order=10 pageblock_order=9 alloc_migratetype=0 fallback_migratetype=1 fragmenting=0 change_ownership=1',
  '             tar-52      [000] d....     9.001400: kfree: call_site=free_task+0x9/0x50 ptr=0000000000000000',
]
const SAMPLE_EVENTS = 7

/** Lines that are neither blank nor comments, each of which must be accounted for. */
function contentLines(text: string): string[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  return lines.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '')
}

function others(events: FtraceEvents): number {
  return [...events.otherEvents.values()].reduce((sum, count) => sum + count, 0)
}

function expectAccounted(events: FtraceEvents, text: string): void {
  const { count, skippedCount, skipped, kind } = events
  expect(count + others(events) + skippedCount).toBe(contentLines(text).length)
  expect(skipped.length).toBe(Math.min(skippedCount, 100))
  expect(kind.length).toBe(count)
}

function only(line: string): FtraceEvents {
  const events = parseFtrace(line)
  expect(events.skipped).toEqual([])
  expect(events.count).toBe(1)
  return events
}

function reasons(text: string): string[] {
  const events = parseFtrace(text)
  expect(events.count).toBe(0)
  return events.skipped.map(({ reason }) => reason)
}

describe.each(TRACES)('%s', (name, count, kinds) => {
  const bytes = gunzipSync(
    readFileSync(new URL(`../fixtures/traces/${name}.ftrace.gz`, import.meta.url)),
  )
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const events = parseFtrace(bytes)

  it('has the events of the recording, and nothing else', () => {
    expect(events.count).toBe(count)
    const found: Record<number, number> = {}
    for (const kind of events.kind) found[kind] = (found[kind] ?? 0) + 1
    expect(found).toEqual(kinds)
    expect(events.skipped).toEqual([])
    expect(events.lostEvents).toBe(0)
    expect(events.count + others(events)).toBe(lines.length)
  })

  it('formats every event as its line', () => {
    let i = 0
    const differences: string[] = []
    for (const [index, line] of lines.entries()) {
      const text = line.slice(line.indexOf(': ') + 2)
      if (!text.startsWith('mm_page_')) continue
      let formatted = formatFtraceEvent(events, i)
      if (text.includes('(____ptrval____)')) {
        formatted = formatted.replace(/page=\w+/, 'page=(____ptrval____)')
      }
      if (formatted !== text || events.line[i] !== index + 1) differences.push(line)
      i++
    }
    expect(differences).toEqual([])
    expect(i).toBe(count)
  })

  it('reads task, CPU, context and time of every event', () => {
    const differences: string[] = []
    for (let i = 0; i < count; i++) {
      const line = lines[events.line[i]! - 1] ?? ''
      const match = /^ *(.+)-(\d+) +\[(\d+)\] (.....) +(\d+\.\d+): /.exec(line)
      const [, task, pid, cpu, flags, time] = match ?? []
      const char = flags?.charCodeAt(2) ?? 0
      const context =
        (char << 8) | (task?.startsWith('ksoftirqd/') ? 2 : 0) | (char === 0x73 ? 1 : 0)
      const same =
        events.pid[i] === Number(pid) &&
        events.cpu[i] === Number(cpu) &&
        events.time[i] === Number(time) &&
        events.context[i] === context
      if (!same) differences.push(line)
    }
    expect(differences).toEqual([])
  })

  it('prints the GFP masks as the kernel did', () => {
    const texts = new Set<string>()
    for (const line of lines) {
      const text = /gfp_flags=(\S+)/.exec(line)?.[1]
      if (text !== undefined) texts.add(text)
    }
    expect(texts.size).toBeGreaterThan(11)
    for (const text of texts) expect(formatGfpTrace(parseGfp(text))).toBe(text)
  })
})

describe('parseFtrace', () => {
  it('reads the fields of every kind', () => {
    const events = parseFtrace(SAMPLE.join('\n'))
    expect({ ...events, otherEvents: [...events.otherEvents] }).toEqual({
      count: SAMPLE_EVENTS,
      kind: Int32Array.of(1, 1, 2, 3, 5, 4, 6),
      pfn: Int32Array.of(0xef27, -1, 0x12521, 0x1ba06, 0x1ba06, 0xabb9, 0x15400),
      order: Int32Array.of(0, 10, 1, 0, 0, 3, 1),
      migratetype: Int32Array.of(0, 1, -1, -1, 1, 2, 0),
      gfp: Int32Array.of(0x400dc0, 0, 0, 0, 0, 0, 0),
      detail: Int32Array.of(0, 0, 0, 0, 0, 1, 0x209010a),
      context: Int32Array.of(0x2e00, 0x2e00, 0x7303, 0x7301, 0x2e00, 0x2e00, 0x2e00),
      cpu: Int32Array.of(0, 0, 1, 0, 0, 12, 0),
      pid: Int32Array.of(39, 39, 13, 89, 89, 40, 52),
      task: Int32Array.of(0, 0, 1, 2, 2, 3, 3),
      flags: Int32Array.of(0, 0, 1, 2, 3, 3, 3),
      line: Int32Array.of(1, 2, 3, 4, 5, 6, 7),
      time: Float64Array.of(2.418456, 2.418457, 2.616616, 28.146994, 28.146995, 2.627779, 9.001399),
      tasks: ['cat', 'ksoftirqd/0', 'rm', 'tar'],
      flagTexts: ['.....', 'd.s..', '..s..', 'd....'],
      otherEvents: [['kfree', 1]],
      skipped: [],
      skippedCount: 0,
      skippedReasons: new Map(),
      lostEvents: 0,
    })
    for (let i = 0; i < SAMPLE_EVENTS; i++) {
      expect(SAMPLE[i + 2]?.endsWith(`: ${formatFtraceEvent(events, i)}`)).toBe(true)
    }
  })

  it('reads the same from bytes, CRLF lines, and a view into a larger buffer', () => {
    const text = `${SAMPLE.join('\n')}\n`
    const expected = parseFtrace(text)
    const bytes = new TextEncoder().encode(`xx${text}yy`)
    expect(parseFtrace(bytes.subarray(2, bytes.length - 2))).toEqual(expected)
    expect(parseFtrace(text.replaceAll('\n', '\r\n'))).toEqual(expected)
  })

  it('reads shared memory', () => {
    const bytes = new TextEncoder().encode(SAMPLE.join('\n'))
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
    shared.set(bytes)
    expect(parseFtrace(shared)).toEqual(parseFtrace(bytes))
  })

  it('of nothing gives nothing', () => {
    for (const text of ['', '\n\n\r\n', '# only\n#comments']) {
      const events = parseFtrace(text)
      expect(events.count).toBe(0)
      expect(events.skipped).toEqual([])
      expect(events.pfn.length).toBe(0)
    }
  })

  it('counts blank lines, but not comments, in line numbers', () => {
    const free = 'a-1 [000] ..... 1.5: mm_page_free: page=x pfn=0x1 order=0'
    const events = parseFtrace(`# c\n${free}\n\n# c\n${free}\ngarbage\n${free}`)
    expect([...events.line]).toEqual([1, 3, 5])
    expect(events.skipped).toEqual([{ line: 4, reason: 'no task, [CPU] and timestamp' }])
  })

  it.each([
    ['a space and a dash', 'my task-x-77   [003] ..... 1.5', 77, 3],
    ['brackets', 'a [001] b-12   [002] ..... 1.5', 12, 2],
    ['a column of its own look', 'a-9 [1] x-12   [002] ..... 1.5', 12, 2],
    ['a bracketed name', '[kworker/0:1]-8 [000] ..... 1.5', 8, 0],
    ['the idle task', '          <idle>-0       [000] ..s1. 1.5', 0, 0],
    ['an empty name', '-5 [000] ..... 1.5', 5, 0],
    ['a thread group', ' a-1234  (   1200) [000] ..... 1.5', 1234, 0],
    ['an unknown thread group', ' a-1234  (-------) [000] ..... 1.5', 1234, 0],
    ['a parenthesis in its name', ' (a)-1234  [000] ..... 1.5', 1234, 0],
  ])('reads past a task with %s', (_what, header, pid, cpu) => {
    const events = only(`${header}: mm_page_free: page=x pfn=0x1 order=0`)
    expect(events.pid[0]).toBe(pid)
    expect(events.cpu[0]).toBe(cpu)
    expect(events.time[0]).toBe(1.5)
  })

  it.each([
    ['5 flags', 'a-1 [000] d.s..   1.5', 0x7301],
    ['4 flags', 'a-1 [000] d.s.   1.5', 0x7301],
    ['6 flags', 'a-1 [000] d.s...   1.5', 0x7301],
    ['no flags', 'a-1 [000]   1.5', 0],
    ['a hard interrupt', 'a-1 [000] d.h1.   1.5', 0x6801],
    ['a hard interrupt inside a softirq', 'a-1 [000] d.H1.   1.5', 0x4801],
    ['the NMI', 'a-1 [000] d.Z1.   1.5', 0x5a01],
    ['a preempted task', 'a-1 [000] dN.1.   1.5', 0x2e00],
    ['ksoftirqd in a softirq', '  ksoftirqd/0-9 [000] ..s..   1.5', 0x7303],
    ['ksoftirqd without flags', 'ksoftirqd/12-9 [000]   1.5', 0x2],
    ['a task named almost so', '  xksoftirqd/0-9 [000] ..s..   1.5', 0x7301],
  ])('reads the context of a line with %s', (_what, header, context) => {
    const events = only(`${header}: mm_page_free: page=x pfn=0x1 order=0`)
    expect(events.context[0]).toBe(context)
    expect(events.time[0]).toBe(1.5)
  })

  it.each([
    ['2.418456', 2.418456],
    ['123456.789012345', 123456.789012345],
    ['987654321', 987654321],
  ])('reads the time %s', (text, time) => {
    expect(only(`a-1 [000] ${text}: mm_page_free: page=x pfn=0x1 order=0`).time[0]).toBe(time)
  })

  it('reads the layout of trace-cmd report', () => {
    const events = only(
      '   trace-cmd-1234  [001]   124.567890: mm_page_alloc:        ' +
        'page=0xffffea0000048d00 pfn=0x1234 order=2 migratetype=1 gfp_flags=GFP_NOFS|0x8000000',
    )
    expect(formatFtraceEvent(events, 0)).toBe(
      'mm_page_alloc: page=ffffea0000048d00 pfn=0x1234 order=2 migratetype=1 gfp_flags=GFP_NOFS|0x8000000',
    )
  })

  it('reads decimal PFNs and further fields, as other kernels print them', () => {
    const header = 'a-1 [000] .... 1.5: '
    const batched = only(`${header}mm_page_free_batched: page=x pfn=4660 order=0 cold=0`)
    expect(batched.pfn[0]).toBe(0x1234)
    const drain = only(`${header}mm_page_pcpu_drain: page=x pfn=10 order=0 migratetype=1 x=y`)
    expect(drain.pfn[0]).toBe(10)
  })

  it.each([
    ['0000000000000000', '0x0', -1],
    ['(null)', '0x0', -1],
    ['(nil)', '0x0', -1],
    ['0x0', '0x0', -1],
    ['ffffea0000000000', '0xffffffffffffffff', -1],
    ['(null)', '18446744073709551615', -1],
    ['ffffea0000000000', '0x0', 0],
    ['(____ptrval____)', '0x0', 0],
    ['0000000012345678', '0x7fffffff', 0x7fffffff],
  ])('page=%s pfn=%s is frame %i', (page, pfn, frame) => {
    const fields = `page=${page} pfn=${pfn} order=4 migratetype=0 gfp_flags=GFP_KERNEL`
    expect(only(`a-1 [000] .... 1.5: mm_page_alloc: ${fields}`).pfn[0]).toBe(frame)
  })

  it('reads a GFP mask of 32 bits', () => {
    const fields = 'page=x pfn=0x1 order=0 migratetype=0 gfp_flags=0x80000000'
    const events = only(`a-1 [000] .... 1.5: mm_page_alloc: ${fields}`)
    expect(events.gfp[0]).toBe(-0x80000000)
    expect(formatFtraceEvent(events, 0)).toContain('gfp_flags=0x80000000')
  })

  it.each([
    ['mm_page_free: page= pfn=0x1 order=0', 'page is'],
    ['mm_page_free: pfn=0x1 order=0', 'page is'],
    ['mm_page_free: page=x pfn=0x order=0', 'pfn is'],
    ['mm_page_free: page=x pfn=0x1g order=0', 'pfn is'],
    ['mm_page_free: page=x pfn=0x80000000 order=0', 'pfn is'],
    ['mm_page_free: page=x pfn=0x1', 'order is'],
    ['mm_page_free: page=x pfn=0x1 order=', 'order is'],
    ['mm_page_free: page=x pfn=0x1 order=-1', 'order is'],
    ['mm_page_free: page=x pfn=0x1 order=256', 'order is'],
    ['mm_page_free: page=x pfn=0x1 order=1x', 'order is'],
    ['mm_page_free:', 'page is'],
    ['mm_page_free', 'no event name'],
    [': page=x', 'no event name'],
    ['mutex_lock <-foo', 'no event name'],
    ['mm_page_alloc: page=x pfn=0x1 order=0 gfp_flags=GFP_KERNEL', 'migratetype is'],
    ['mm_page_alloc: page=x pfn=0x1 order=0 migratetype=0', 'gfp_flags is'],
    ['mm_page_alloc: page=x pfn=0x1 order=0 migratetype=0 gfp_flags=', 'gfp_flags is'],
    [
      'mm_page_alloc: page=x pfn=0x1 order=0 migratetype=0 gfp_flags=GFP_X|GFP_DMA',
      'GFP_X|GFP_DMA',
    ],
    [
      'mm_page_alloc_zone_locked: page=x pfn=0x1 order=0 migratetype=1 percpu_refill=2',
      'percpu_refill is',
    ],
    ['mm_page_pcpu_drain: page=x pfn=0x1 order=0', 'migratetype is'],
    ['mm_page_alloc_extfrag: page=x pfn=0x1 order=0', 'alloc_order is'],
    [
      'mm_page_alloc_extfrag: page=x pfn=0x1 alloc_order=0 fallback_order=10 pageblock_order=9 ' +
        'alloc_migratetype=0 fallback_migratetype=1 fragmenting=0',
      'change_ownership is',
    ],
  ])('reports %j', (text, reason) => {
    expect(reasons(`a-1 [000] .... 1.5: ${text}`)).toEqual([expect.stringContaining(reason)])
  })

  it.each([
    'a-1 000 .... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    'a-1[000] .... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    'a [000] .... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    'a-1 [000] ... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    'a-1 [000] ......... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    'a-1 [000] .... 1.: mm_page_free: page=x pfn=0x1 order=0',
    'a-1 [000] .... 1.5 mm_page_free: page=x pfn=0x1 order=0',
    'a-1 [000] .... 1.5:mm_page_free: page=x pfn=0x1 order=0',
    'a-99999999999 [000] .... 1.5: mm_page_free: page=x pfn=0x1 order=0',
    `a-1 [000] .... ${'9'.repeat(400)}: mm_page_free: page=x pfn=0x1 order=0`,
    `a-1 [000] .... 1.${'9'.repeat(400)}: mm_page_free: page=x pfn=0x1 order=0`,
    ' [',
    '[000]',
    'a-1 [000] ',
  ])('finds no header in %j', (line) => {
    expect(reasons(line)).toEqual(['no task, [CPU] and timestamp'])
  })

  it('sums up lost events', () => {
    const events = parseFtrace(
      'CPU:0 [LOST 25 EVENTS]\nCPU:3 [LOST 4 EVENTS]\nCPU:1 [EVENTS DROPPED]',
    )
    expect(events.lostEvents).toBe(29)
    expect(events.skipped).toEqual([
      { line: 1, reason: '25 events lost' },
      { line: 2, reason: '4 events lost' },
      { line: 3, reason: 'events lost' },
    ])
  })

  it('counts other events by name, however many there are', () => {
    const lines: string[] = []
    for (let i = 0; i < 300; i++) {
      for (let n = 0; n <= i % 3; n++) lines.push(`a-1 [000] .... 1.5: event_${i}: x`)
    }
    const { otherEvents, skippedCount } = parseFtrace(lines.join('\n'))
    expect(otherEvents.size).toBe(300)
    for (let i = 0; i < 300; i++) expect(otherEvents.get(`event_${i}`)).toBe(1 + (i % 3))
    expect(skippedCount).toBe(0)
  })

  it('lists the first 100 lines that it skips, and counts all', () => {
    const events = parseFtrace('garbage\n'.repeat(250))
    expect(events.skippedCount).toBe(250)
    expect(events.skipped.map(({ line }) => line)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
  })

  it('survives a cut at every byte, and keeps what lies before it', () => {
    const text = SAMPLE.join('\n')
    const whole = parseFtrace(text)
    for (let length = 0; length <= text.length; length++) {
      const cut = text.slice(0, length)
      const events = parseFtrace(cut)
      expectAccounted(events, cut)
      const complete = parseFtrace(cut.slice(0, cut.lastIndexOf('\n') + 1)).count
      expect(events.count - complete).toBeGreaterThanOrEqual(0)
      for (let i = 0; i < complete; i++) {
        expect(formatFtraceEvent(events, i)).toBe(formatFtraceEvent(whole, i))
      }
    }
  })

  it('accounts for every line of damaged text', () => {
    const bytes = new TextEncoder().encode(SAMPLE.join('\n'))
    const damage = fc.tuple(
      fc.nat(bytes.length - 1),
      fc.oneof(
        fc.nat(255),
        fc.constantFrom(
          ...[' ', '[', ']', '-', ':', '=', '\n', '\r', '#'].map((c) => c.charCodeAt(0)),
        ),
      ),
    )
    fc.assert(
      fc.property(fc.array(damage, { maxLength: 12 }), (damages) => {
        const copy = bytes.slice()
        for (const [at, byte] of damages) copy[at] = byte
        expectAccounted(parseFtrace(copy), Buffer.from(copy).toString('latin1'))
      }),
      { numRuns: 1000 },
    )
  })

  it('accounts for every line of garbage', () => {
    const pieces = fc.constantFrom(
      ...[
        'a-1 ',
        '[000]',
        ' [',
        ' .... ',
        '1.5',
        ': ',
        'mm_page_free',
        'page=x',
        ' pfn=0x',
        '\n',
        '#',
      ],
      ...['order=', '-', '(', ')', '0', 'CPU:', ' [LOST ', 'gfp_flags=', 'mm_page_alloc: ', '\r\n'],
    )
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (garbage) => expectAccounted(parseFtrace(garbage), garbage)),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (garbage) => {
        expectAccounted(parseFtrace(garbage), Buffer.from(garbage).toString('latin1'))
      }),
    )
  })

  it.each([[undefined], [null], [7], [{}], [['a']]])('refuses %j', (input) => {
    // @ts-expect-error: wrong on purpose
    expect(() => parseFtrace(input)).toThrow(InvalidArgument)
  })
})

describe('formatFtraceEvent', () => {
  it('undoes and is undone by parsing, for any fields', () => {
    const pfn = fc.oneof(fc.nat(0x7fffffff), fc.constantFrom(-1, 0, 0x7fffffff))
    const order = fc.nat(10)
    const type = fc.nat(5)
    const bit = fc.nat(1)
    const page = pfn.map((n) =>
      n < 0
        ? `page=${'0'.repeat(16)} pfn=0x0`
        : `page=${(0xffffea0000000000n + 64n * BigInt(n)).toString(16)} pfn=0x${n.toString(16)}`,
    )
    const gfp = fc.nat(0x7ffffff).map(formatGfpTrace)
    const text = fc.oneof(
      fc
        .tuple(page, order, type, gfp)
        .map(([p, o, t, g]) => `mm_page_alloc: ${p} order=${o} migratetype=${t} gfp_flags=${g}`),
      fc.tuple(page, order).map(([p, o]) => `mm_page_free: ${p} order=${o}`),
      page.map((p) => `mm_page_free_batched: ${p} order=0`),
      fc
        .tuple(page, order, type, bit)
        .map(
          ([p, o, t, b]) =>
            `mm_page_alloc_zone_locked: ${p} order=${o} migratetype=${t} percpu_refill=${b}`,
        ),
      fc
        .tuple(page, order, type)
        .map(([p, o, t]) => `mm_page_pcpu_drain: ${p} order=${o} migratetype=${t}`),
      fc
        .tuple(page, order, order, order, type, type, bit, bit)
        .map(
          ([p, a, f, b, t, u, x, y]) =>
            `mm_page_alloc_extfrag: ${p} alloc_order=${a} fallback_order=${f} pageblock_order=${b} ` +
            `alloc_migratetype=${t} fallback_migratetype=${u} fragmenting=${x} change_ownership=${y}`,
        ),
    )
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 40 }), (texts) => {
        const events = parseFtrace(texts.map((t) => `a-1 [000] .... 1.5: ${t}\n`).join(''))
        expect(texts.map((_, i) => formatFtraceEvent(events, i))).toEqual(texts)
      }),
      { numRuns: 200 },
    )
  })

  it.each([-1, 1, 0.5, Number.NaN])('refuses event %d of one', (i) => {
    const events = only('a-1 [000] .... 1.5: mm_page_free: page=x pfn=0x1 order=0')
    expect(() => formatFtraceEvent(events, i)).toThrow(InvalidArgument)
  })
})
