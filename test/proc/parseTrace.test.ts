import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseFtrace } from '../../src/proc/ftrace'
import { parseFtraceSlab } from '../../src/proc/ftraceSlab'
import { parseTrace } from '../../src/proc/parseTrace'
import { TRACE_EVENTS, type TraceEvent } from '../../src/proc/traceEvents'
import { Tracepoints } from '../../src/proc/tracepoints'
import { formatTrace, formatTraceEvent } from '../../src/proc/traceText'
import { numbers, runScript, tracedMachine } from './tracepointMachine'

const HEAD = 'a-1 [000] ..... 1.5: '
const FREE = `${HEAD}mm_page_free: page=x pfn=0x1 order=0`
const KFREE = `${HEAD}kfree: call_site=f+0x1/0x2 ptr=ffff888003a4c040`

describe('parseTrace', () => {
  it('tells of what it left out, by reason and by name', () => {
    const lines = [
      FREE,
      'garbage',
      KFREE,
      `${HEAD}mm_page_free: page=x pfn=0x1`,
      `${HEAD}kfree: call_site=f+0x1/0x2 ptr=0000000012345`,
      `${HEAD}mm_page_alloc: page=x pfn=0x1 order=0 migratetype=0 gfp_flags=GFP_A`,
      `${HEAD}mm_page_alloc: page=x pfn=0x1 order=0 migratetype=0 gfp_flags=GFP_B`,
      `${HEAD}sched_switch: prev_comm=a`,
      `${HEAD}sched_switch: prev_comm=b`,
      `${HEAD}rss_stat`,
      'CPU:2 [LOST 9 EVENTS]',
      'CPU:1 [LOST 4 EVENTS]',
      FREE.slice(0, 12),
      KFREE,
    ]
    const trace = parseTrace(lines.join('\n'))
    expect(trace.events.map(({ event }) => event)).toEqual(['mm_page_free', 'kfree', 'kfree'])
    expect(trace.otherEvents).toEqual(new Map([['sched_switch', 2]]))
    expect(trace.lostEvents).toBe(13)
    expect(trace.skippedCount).toBe(9)
    expect(trace.skippedReasons).toEqual(
      new Map([
        ['no task, [CPU] and timestamp', 2],
        ['order is missing, garbled or out of range', 1],
        ['ptr is missing, garbled or out of range', 1],
        ['unknown GFP flags', 2],
        ['no event name', 1],
        ['events lost', 2],
      ]),
    )
    expect(trace.skipped).toEqual([
      { line: 2, reason: 'no task, [CPU] and timestamp' },
      { line: 4, reason: 'order is missing, garbled or out of range' },
      { line: 5, reason: 'ptr is missing, garbled or out of range' },
      { line: 6, reason: 'unknown GFP flags: GFP_A' },
      { line: 7, reason: 'unknown GFP flags: GFP_B' },
      { line: 10, reason: 'no event name' },
      { line: 11, reason: '9 events lost' },
      { line: 12, reason: '4 events lost' },
      { line: 13, reason: 'no task, [CPU] and timestamp' },
    ])
  })

  it('lists the first 100 skipped lines of both kinds', () => {
    const bad = [`${HEAD}mm_page_free: x`, `${HEAD}kfree: x`, 'x']
    const text = Array.from({ length: 300 }, (_, i) => bad[i % 3]).join('\n')
    const { skipped, skippedCount } = parseTrace(text)
    expect(skipped.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect(skippedCount).toBe(300)
  })

  it('counts names that differ only in bytes that are no text', () => {
    const line = (byte: number) => [
      ...new TextEncoder().encode(`${HEAD}ev`),
      byte,
      0x3a,
      0x20,
      0x0a,
    ]
    const { otherEvents } = parseTrace(Uint8Array.from([...line(0xfe), ...line(0xff)]))
    expect(otherEvents).toEqual(new Map([['ev\ufffd', 2]]))
  })

  it('refuses what is no text', () => {
    for (const input of [null, 5, {}, ['a']]) {
      expect(() => parseTrace(input as unknown as string)).toThrow(InvalidArgument)
    }
  })

  it('passes over a thousand brackets behind a thousand spaces in no time', () => {
    const line = `${' '.repeat(400_000)}${'-1 [1] '.repeat(60_000)}`
    const { skippedCount } = parseTrace(line)
    expect(skippedCount).toBe(1)
  }, 5000)
})

describe('garbage', () => {
  const machine = tracedMachine()
  const counts = new Map<string, number>()
  const sample: TraceEvent[] = []
  new Tracepoints(machine).on((event) => {
    const count = (counts.get(event.event) ?? 0) + 1
    counts.set(event.event, count)
    if (count <= 6) sample.push(event)
  })
  runScript(machine, 11, 300)
  const text = `${formatTrace(sample)}CPU:1 [LOST 4 EVENTS]\n${HEAD}sched_switch: x\n`
  const whole = new TextEncoder().encode(text)

  /** The text with a few bytes changed, pieces moved, and the end cut off. */
  function damaged(random: (limit: number) => number): Uint8Array {
    const bytes = whole.slice()
    for (let n = random(30); n >= 0; n--) {
      const at = random(bytes.length)
      const choice = random(4)
      if (choice === 0) bytes[at] = random(256)
      else if (choice === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
      else if (choice === 2) bytes.copyWithin(at, random(bytes.length), random(bytes.length))
      else bytes[at] = ' []-:=x0'.charCodeAt(random(8))
    }
    return bytes.subarray(0, random(4) === 0 ? random(bytes.length) : bytes.length)
  }

  /** Every line must be an event, one of another name, or skipped for a reason. */
  function accounted(bytes: Uint8Array): void {
    const lines = new TextDecoder('latin1').decode(bytes).split('\n')
    const content = lines.filter((line) => !line.startsWith('#') && line !== '' && line !== '\r')
    const sum = (counts: ReadonlyMap<string, number>) =>
      [...counts.values()].reduce((a, b) => a + b, 0)
    for (const part of [parseFtrace(bytes), parseFtraceSlab(bytes)]) {
      expect(part.count + sum(part.otherEvents) + part.skippedCount).toBe(content.length)
      expect(sum(part.skippedReasons)).toBe(part.skippedCount)
    }
    const trace = parseTrace(bytes)
    const { events, otherEvents, skippedCount, skippedReasons } = trace
    expect(events.length + sum(otherEvents) + skippedCount).toBe(content.length)
    expect(sum(skippedReasons)).toBe(skippedCount)
    // What was read can be printed, and means the same then; texts that are no text do not come back.
    const texts = events.map((event) => formatTraceEvent(event))
    const sound = texts.map((line) => !line.includes('\ufffd'))
    const again = parseTrace(texts.filter((_, i) => sound[i]).join('\n'))
    const expected = events.filter((_, i) => sound[i])
    expect(again.events.map(({ event }) => event)).toEqual(expected.map(({ event }) => event))
  }

  it('starts from a sample of every kind', () => {
    expect(new Set(counts.keys())).toEqual(new Set(TRACE_EVENTS))
    expect(sample.length).toBeGreaterThan(50)
  })

  it('of damaged captures is all accounted for, in 1,500 of them', () => {
    for (let seed = 0; seed < 1500; seed++) accounted(damaged(numbers(seed)))
  })

  it('of random bytes is all accounted for, in 2,000 texts', () => {
    const alphabet = ' \n\r#[]()-:=.x0afkmpCPU\u0000\u00ff'
    for (let seed = 0; seed < 2000; seed++) {
      const random = numbers(seed)
      const bytes = Uint8Array.from({ length: random(400) }, () =>
        seed % 2 === 0 ? random(256) : alphabet.charCodeAt(random(alphabet.length)),
      )
      accounted(bytes)
    }
  })

  it('cut at every byte is all accounted for', () => {
    const short = whole.subarray(0, 1600)
    for (let end = 0; end <= short.length; end++) accounted(short.subarray(0, end))
  })
})
