import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { CONTEXT_ATOMIC } from '../../src/buddy/contextBits'
import { inContext } from '../../src/buddy/running'
import { GFP_KERNEL } from '../../src/page/gfp'
import { parseFtrace } from '../../src/proc/ftrace'
import { parseTrace } from '../../src/proc/parseTrace'
import { replay } from '../../src/proc/replay'
import { TRACE_EVENTS, type TraceEvent, type TraceEventName } from '../../src/proc/traceEvents'
import { Tracepoints } from '../../src/proc/tracepoints'
import { teePageTrace, teeSlabTrace } from '../../src/proc/traceTee'
import { formatTrace, formatTraceEvent } from '../../src/proc/traceText'
import { noPageTrace } from '../../src/state/trace'
import { Recorder, runScript, type TracedMachine, tracedMachine } from './tracepointMachine'
import { smallMachine } from './traceText'

const PAGE_NAMES = TRACE_EVENTS.slice(0, 6)
const SLAB_NAMES = TRACE_EVENTS.slice(6)

/** The values of an event in the order in which a listener of the allocators is told them. */
function values(e: TraceEvent): unknown[] {
  const place = [e.event, e.cpu, e.flags[2]]
  switch (e.event) {
    case 'mm_page_alloc':
      return [...place, e.pfn, e.order, e.gfp, e.migratetype]
    case 'mm_page_free':
      return [...place, e.pfn, e.order]
    case 'mm_page_free_batched':
      return [...place, e.pfn]
    case 'mm_page_alloc_zone_locked':
      return [...place, e.pfn, e.order, e.migratetype, e.percpuRefill]
    case 'mm_page_pcpu_drain':
      return [...place, e.pfn, e.order, e.migratetype]
    case 'mm_page_alloc_extfrag': {
      const { pfn, allocOrder, fallbackOrder, allocMigratetype, fallbackMigratetype } = e
      const fields = [pfn, allocOrder, fallbackOrder, allocMigratetype, fallbackMigratetype]
      return [...place, ...fields, e.changeOwnership]
    }
    case 'kmalloc':
    case 'kmem_cache_alloc':
      return [...place, e.ptr, e.bytesReq, e.bytesAlloc, e.gfp, e.node]
    case 'kfree':
      return [...place, e.ptr]
    case 'kmem_cache_free':
      return [...place, e.ptr, e.name]
  }
}

/** What a listener without tracepoints hears of the script, and the state after it. */
function heard(seed: number, steps: number): { list: unknown[][]; machine: TracedMachine } {
  const machine = tracedMachine()
  const recorder = new Recorder(machine)
  machine.pages.setTrace(recorder.page)
  machine.slabs.setTrace(recorder.slab)
  runScript(machine, seed, steps)
  return { list: recorder.list, machine }
}

function off(machine: TracedMachine): void {
  expect(machine.pages.context.tracing).toBe(false)
  expect(machine.pages.context.trace).toBe(noPageTrace)
  expect(machine.pages.context.fastLimit).toBe(machine.pages.context.maxPfn)
  expect(machine.slabs.context.trace).toBe(null)
  expect(machine.slabs.context.plain).toBe(true)
}

/** One event of pages and one of slabs. */
function one({ pages, heap }: TracedMachine): void {
  const pfn = pages.allocPages(GFP_KERNEL)
  if (pfn !== null) pages.freePages(pfn)
  heap.kfree(heap.kmalloc(64))
}

describe('events', () => {
  it.each([1, 2, 3])('of a script are those that a listener hears, seed %i', (seed) => {
    const { list, machine: other } = heard(seed, 400)
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const events: TraceEvent[] = []
    points.on((event) => events.push(event))
    const ring = points.ring(100_000)
    runScript(machine, seed, 400)
    expect(events.map(values)).toEqual(list)
    expect(ring.events()).toEqual(events)
    expect(new Set(events.map(({ event }) => event))).toEqual(new Set(TRACE_EVENTS))
    expect(events.some(({ cpu }) => cpu === 1)).toBe(true)
    // With the lock of a zone held, as the recordings have it.
    const locked = ['mm_page_alloc_zone_locked', 'mm_page_pcpu_drain', 'mm_page_alloc_extfrag']
    const wrong = events.filter(({ event, flags }) => locked.includes(event) !== (flags[0] === 'd'))
    expect(wrong).toEqual([])
    expect(events.some((e) => e.event === 'mm_page_alloc' && e.pfn === -1)).toBe(true)
    expect(machine.pages.words).toEqual(other.pages.words)
    expect(points.failures).toEqual([])
    expect(points.nestedEvents).toBe(0)
  })

  it('survive being printed and parsed', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    points.setTask('my task-1', 4_194_304)
    const ring = points.ring(100_000)
    runScript(machine, 4, 300)
    const events = ring.events()
    const text = formatTrace(events)
    const parsed = parseTrace(text)
    expect(parsed.events).toEqual(events)
    expect(parsed.skippedCount).toBe(0)
    expect(parsed.otherEvents.size).toBe(0)
    expect(text).toContain('call_site=work+0x1c/0x80 ptr=ffff8880')
    expect(text).toContain('pageblock_order=9')
    expect(new Set(events.map(({ event }) => event)).size).toBe(TRACE_EVENTS.length)
  })

  it('tell the fields of the kernel', () => {
    const machine = tracedMachine()
    const lines: string[] = []
    const points = new Tracepoints(machine)
    points.setTask('cat', 39)
    points.on((event) => lines.push(formatTraceEvent(event)), ['kmalloc', 'kfree'])
    const p = machine.heap.kmalloc(40, GFP_KERNEL)
    machine.slabs.context.caller = ''
    machine.heap.kfree(p)
    const ptr = `ffff${(p ?? 0).toString(16)}`
    expect(lines).toEqual([
      `             cat-39      [000] .....     0.000001: kmalloc: call_site=work+0x1c/0x80 ptr=${ptr} bytes_req=40 bytes_alloc=64 gfp_flags=GFP_KERNEL node=-1 accounted=false`,
      `             cat-39      [000] .....     0.000002: kfree: call_site=0x0 ptr=${ptr}`,
    ])
  })

  it('tell the task of the allocator, and its context', () => {
    const machine = tracedMachine()
    const events: TraceEvent[] = []
    new Tracepoints(machine).on((event) => events.push(event), ['kfree'])
    machine.pages.context.taskName = 'init'
    inContext(machine.pages, CONTEXT_ATOMIC, () => machine.heap.kfree(null))
    machine.heap.kfree(null)
    expect(events.map(({ task, pid, flags }) => [task, pid, flags])).toEqual([
      ['init', 0, '...1.'],
      ['init', 0, '.....'],
    ])
  })

  it('have the time of the clock, to the microsecond', () => {
    const machine = tracedMachine()
    let now = 12.3456784
    const points = new Tracepoints(machine, { clock: () => now })
    const ring = points.ring(4, ['kfree'])
    machine.heap.kfree(null)
    now = 9e9
    machine.heap.kfree(null)
    expect(ring.events().map(({ time }) => time)).toEqual([12.345678, 9e9])
    expect(parseTrace(formatTrace(ring.events())).events).toEqual(ring.events())
  })

  it.each([Number.NaN, -1, 9.1e9, Number.POSITIVE_INFINITY])(
    'go on by count after a clock says %d',
    (bad) => {
      const machine = tracedMachine()
      const times = [5, bad, 7]
      const points = new Tracepoints(machine, { clock: () => times.shift() ?? 8 })
      const ring = points.ring(4, ['kfree'])
      for (let i = 0; i < 4; i++) machine.heap.kfree(null)
      expect(ring.events().map(({ time }) => time)).toEqual([5, 5.000001, 5.000002, 5.000003])
      expect(points.failures).toEqual([expect.any(InvalidArgument)])
    },
  )
})

describe('filters', () => {
  it.each(TRACE_EVENTS)('%s alone', (name) => {
    const { list } = heard(5, 250)
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const events: TraceEvent[] = []
    points.on((event) => events.push(event), [name])
    const ring = points.ring(100_000, [name])
    expect(machine.pages.context.tracing).toBe(PAGE_NAMES.includes(name))
    expect(machine.slabs.context.trace !== null).toBe(SLAB_NAMES.includes(name))
    runScript(machine, 5, 250)
    const expected = list.filter(([event]) => event === name)
    expect(expected.length).toBeGreaterThan(0)
    expect(events.map(values)).toEqual(expected)
    expect(ring.events()).toEqual(events)
  })

  it('of several subscribers do not meet', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const told: string[] = []
    points.on(({ event }) => told.push(`a ${event}`), ['kmalloc', 'mm_page_free'])
    points.on(({ event }) => told.push(`b ${event}`), ['kfree', 'kmalloc'])
    const ring = points.ring(8, ['mm_page_alloc'])
    // A slab is made first, so that no page event of it is in the way.
    machine.heap.kmalloc(64)
    told.length = 0
    ring.clear()
    one(machine)
    expect(told).toEqual(['a mm_page_free', 'a kmalloc', 'b kmalloc', 'b kfree'])
    expect(ring.events().map(({ event }) => event)).toEqual(['mm_page_alloc'])
  })

  it('refuse what is no event', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const wrong: unknown[] = [['kmaloc'], [], 'kfree', 7, null, {}, [undefined], ['toString']]
    for (const events of wrong) {
      const names = events as readonly TraceEventName[]
      expect(() => points.on(() => {}, names)).toThrow(InvalidArgument)
      expect(() => points.ring(4, names)).toThrow(InvalidArgument)
    }
    for (const listener of [null, undefined, 'x', {}]) {
      expect(() => points.on(listener as () => void)).toThrow(InvalidArgument)
    }
    off(machine)
  })

  it('without a slab allocator are of pages only', () => {
    const machine = tracedMachine()
    const points = new Tracepoints({ pages: machine.pages })
    expect(() => points.on(() => {}, ['kfree'])).toThrow(InvalidArgument)
    const ring = points.ring(16)
    expect(machine.slabs.context.plain).toBe(true)
    machine.heap.kfree(null)
    machine.pages.allocPages(GFP_KERNEL)
    expect(ring.events().map(({ event }) => event)).toContain('mm_page_alloc')
    expect(ring.events().map(({ event }) => event)).not.toContain('kfree')
  })
})

describe('the ring', () => {
  it.each([1, 2, 7, 64])('of %i keeps the last events and counts the others', (size) => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const all: TraceEvent[] = []
    points.on((event) => all.push(event))
    const ring = points.ring(size)
    expect([ring.size, ring.length, ring.written, ring.overwritten]).toEqual([size, 0, 0, 0])
    expect(ring.events()).toEqual([])
    for (let i = 0; i < 70; i++) {
      machine.heap.kfree(i % 3 === 0 ? machine.heap.kmalloc(32) : null)
      const last = all.slice(-size)
      expect(ring.events()).toEqual(last)
      expect(ring.at(0)).toEqual(last[0])
      expect(ring.at(ring.length - 1)).toEqual(all.at(-1))
      expect(ring.length).toBe(last.length)
      expect(ring.written).toBe(all.length)
      expect(ring.overwritten).toBe(all.length - last.length)
    }
    ring.clear()
    expect([ring.length, ring.written, ring.overwritten]).toEqual([0, 0, 0])
    machine.heap.kfree(null)
    expect(ring.events()).toEqual([all.at(-1)])
  })

  it('stops when closed, and keeps what it has', () => {
    const machine = tracedMachine()
    const ring = new Tracepoints(machine).ring(4)
    machine.heap.kfree(null)
    ring.close()
    off(machine)
    machine.heap.kfree(null)
    expect(ring.events().map(({ event }) => event)).toEqual(['kfree'])
    ring.close()
    off(machine)
  })

  it('refuses wrong sizes and places', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    for (const size of [0, -1, 1.5, Number.NaN, 16_777_217, '4' as unknown as number]) {
      expect(() => points.ring(size)).toThrow(InvalidArgument)
    }
    const ring = points.ring(4)
    machine.heap.kfree(null)
    for (const i of [-1, 1, 0.5, Number.NaN]) expect(() => ring.at(i)).toThrow(InvalidArgument)
  })
})

describe('listening', () => {
  it('ends with the fast paths as they were', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    off(machine)
    const stopPages = points.on(() => {}, ['mm_page_free'])
    expect(machine.slabs.context.plain).toBe(true)
    const stopSlabs = points.on(() => {}, ['kfree'])
    expect(machine.pages.context.tracing).toBe(true)
    stopPages()
    expect(machine.pages.context.tracing).toBe(false)
    expect(machine.slabs.context.plain).toBe(false)
    stopSlabs()
    stopSlabs()
    stopPages()
    off(machine)
    points.on(() => {})
    points.ring(4)
    points.close()
    off(machine)
  })

  it('by the same function twice is two subscriptions', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    let calls = 0
    const listener = () => {
      calls += 1
    }
    const first = points.on(listener, ['kfree'])
    points.on(listener, ['kfree'])
    machine.heap.kfree(null)
    first()
    machine.heap.kfree(null)
    expect(calls).toBe(3)
  })

  it('may end while an event is told', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const told: string[] = []
    const stopFirst = points.on(() => {
      told.push('a')
      stopFirst()
      stopSecond()
    })
    const stopSecond = points.on(() => told.push('b'))
    one(machine)
    expect(told).toEqual(['a'])
    off(machine)
  })

  it('of one that throws ends, and the call of the allocator does not notice', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const error = new Error('mine')
    points.on(() => {
      throw error
    })
    const ring = points.ring(1000)
    const { list, machine: other } = heard(6, 100)
    runScript(machine, 6, 100)
    expect(points.failures).toEqual([error])
    expect(ring.written).toBe(list.length)
    expect(machine.pages.words).toEqual(other.pages.words)
  })

  it('of one that calls the allocator ends in no endless loop', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    let calls = 0
    points.on(() => {
      calls += 1
      machine.heap.kfree(null)
    }, ['kfree'])
    machine.heap.kfree(null)
    expect([calls, points.nestedEvents]).toEqual([1, 1])
  })

  it('checks what it is given', () => {
    const machine = tracedMachine()
    for (const parts of [{}, { pages: null }, { pages: machine.pages, slabs: null }]) {
      expect(() => new Tracepoints(parts as unknown as TracedMachine)).toThrow(InvalidArgument)
    }
    const clock = 5 as unknown as () => number
    expect(() => new Tracepoints(machine, { clock })).toThrow(InvalidArgument)
    const points = new Tracepoints(machine)
    for (const name of ['', ' a', 'a ', 'a\nb', 'sixteen letters!', 3 as unknown as string]) {
      expect(() => points.setTask(name, 1)).toThrow(InvalidArgument)
    }
    for (const pid of [-1, 0.5, Number.NaN, 4_194_305]) {
      expect(() => points.setTask('a', pid)).toThrow(InvalidArgument)
    }
  })
})

describe('who listened before', () => {
  it('hears everything first, and has its place back', () => {
    const { list } = heard(7, 200)
    const machine = tracedMachine()
    const recorder = new Recorder(machine)
    machine.pages.setTrace(recorder.page)
    machine.slabs.setTrace(recorder.slab)
    const points = new Tracepoints(machine)
    let late = 0
    let events = 0
    points.on(() => {
      events += 1
      if (recorder.list.length !== events) late += 1
    })
    runScript(machine, 7, 200)
    expect(recorder.list).toEqual(list)
    expect([events, late]).toEqual([list.length, 0])
    points.close()
    expect(machine.pages.context.trace).toBe(recorder.page)
    expect(machine.slabs.context.trace).toBe(recorder.slab)
  })

  it('is passed over by no order of tracepoints that come and go', () => {
    const machine = tracedMachine()
    const recorder = new Recorder(machine)
    machine.slabs.setTrace(recorder.slab)
    const all = [new Tracepoints(machine), new Tracepoints(machine), new Tracepoints(machine)]
    const rings = all.map(() => new Set<{ close(): void; length: number; clear(): void }>())
    let state = 1
    let most = 0
    for (let i = 0; i < 2000; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0
      const which = (state >>> 16) % 3
      const mine = rings[which]
      const [ring] = mine ?? []
      if (state < 0 && ring !== undefined) {
        ring.close()
        mine?.delete(ring)
      } else if (mine !== undefined && mine.size < 3) {
        mine.add(all[which]?.ring(2, ['kfree']) ?? expect.fail())
      }
      const open = rings.flatMap((set) => [...set])
      for (const one of open) one.clear()
      const before = recorder.list.length
      machine.heap.kfree(null)
      expect(open.every(({ length }) => length === 1)).toBe(true)
      expect(recorder.list.length).toBe(before + 1)
      if (open.length === 0) expect(machine.slabs.context.trace).toBe(recorder.slab)
      most = Math.max(most, open.length)
    }
    expect(most).toBeGreaterThan(6)
    for (const points of all) points.close()
    expect(machine.slabs.context.trace).toBe(recorder.slab)
  })

  it('gets no place back that a later listener has taken', () => {
    const machine = tracedMachine()
    const points = new Tracepoints(machine)
    const stop = points.on(() => {}, ['mm_page_free'])
    const later = new Recorder(machine)
    machine.pages.setTrace(later.page)
    stop()
    expect(machine.pages.context.trace).toBe(later.page)
    const ring = points.ring(4, ['mm_page_free'])
    one(machine)
    expect(ring.written).toBe(1)
    expect(later.list.length).toBeGreaterThan(1)
    ring.close()
    expect(machine.pages.context.trace).toBe(later.page)
  })

  it('of tees are two, in order', () => {
    const { list } = heard(8, 150)
    const machine = tracedMachine()
    const a = new Recorder(machine)
    const b = new Recorder(machine)
    machine.pages.setTrace(teePageTrace(a.page, b.page))
    machine.slabs.setTrace(teeSlabTrace(a.slab, b.slab))
    runScript(machine, 8, 150)
    expect(a.list).toEqual(list)
    expect(b.list).toEqual(list)
  })

  it('hears a replay', () => {
    const first = smallMachine()
    const points = new Tracepoints({ pages: first })
    const ring = points.ring(1000)
    const pfns = [0, 3, 1].map((order) => [first.allocPages(GFP_KERNEL, order), order] as const)
    for (const [pfn, order] of pfns) if (pfn !== null) first.freePages(pfn, order)
    const second = smallMachine()
    const replayed = new Tracepoints({ pages: second }).ring(1000)
    const result = replay(parseFtrace(formatTrace(ring.events())), second)
    expect(result.identicalEvents).toBe(ring.length)
    expect(replayed.events()).toEqual(ring.events())
    expect(second.context.tracing).toBe(true)
  })
})

describe('the text', () => {
  it.each([
    ['short-all-events', 'real'],
    ['untar-hash-compress', 'hidden'],
  ] as const)('of %s is what the kernel printed', (name, pagePointers) => {
    const url = new URL(`../fixtures/traces/${name}.ftrace.gz`, import.meta.url)
    const text = gunzipSync(readFileSync(url)).toString('latin1')
    // A part of the longer trace, in which every kind of event is; its header tells of all of it.
    const lines = text.split('\n')
    const extfrag = lines.findIndex((line) => line.includes('mm_page_alloc_extfrag'))
    const from = extfrag < 0 ? 12 : extfrag - 30_000
    const part = lines.slice(from, extfrag < 0 ? -1 : extfrag + 10_000)
    const { events, skippedCount, otherEvents } = parseTrace(part.join('\n'))
    expect([events.length, skippedCount, otherEvents.size]).toEqual([part.length, 0, 0])
    const format = { pagePointers }
    const wrong = events.filter((event, i) => formatTraceEvent(event, format) !== part[i])
    expect(wrong).toEqual([])
    const written = Number(/entries-written: \d+\/(\d+)/.exec(text)?.[1])
    const whole = formatTrace(events, { ...format, written })
    const header = lines.slice(0, 12).join('\n').replace(`${written}/`, `${part.length}/`)
    expect(whole).toBe(`${header}\n${part.join('\n')}\n`)
  })

  it('of trace-cmd report and of failed allocations comes back', () => {
    const alloc = 'page=0000000000000000 pfn=0x0 order=10 migratetype=1 gfp_flags=none'
    const text = `             cat-39      [001]    12.500000: mm_page_alloc: ${alloc}`
    const [event] = parseTrace(text).events
    if (event === undefined) expect.fail('no event')
    expect(event).toMatchObject({ task: 'cat', cpu: 1, flags: '', pfn: -1, time: 12.5 })
    expect(formatTraceEvent(event)).toBe(text)
    expect(formatTraceEvent(event, { pagePointers: 'hidden' })).toBe(text)
  })

  it('has the CPUs and the counts that it is told', () => {
    expect(formatTrace([])).toContain('# entries-in-buffer/entries-written: 0/0   #P:1\n')
    const text = formatTrace([], { written: 7, cpus: 4 })
    expect(text).toContain('# entries-in-buffer/entries-written: 0/7   #P:4\n')
    expect(() => formatTrace([], { written: -1 })).toThrow(InvalidArgument)
    expect(() => formatTrace([], { cpus: 0 })).toThrow(InvalidArgument)
    for (const event of [null, undefined, 5, {}, { event: 'sched_switch' }]) {
      expect(() => formatTraceEvent(event as unknown as TraceEvent)).toThrow(InvalidArgument)
    }
  })
})
