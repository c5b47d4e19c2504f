import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument } from '../../src/base/errors'
import { parseFtrace } from '../../src/proc/ftrace'
import { parseFtraceSlab } from '../../src/proc/ftraceSlab'
import {
  FTRACE_KFREE,
  FTRACE_KMALLOC,
  FTRACE_KMEM_CACHE_ALLOC,
  FTRACE_KMEM_CACHE_FREE,
  formatFtraceSlabEvent,
  type SlabEvents,
} from '../../src/proc/ftraceSlabEvents'

const TRACE = new URL('../fixtures/traces/short-all-events.ftrace.gz', import.meta.url)
const SLAB_NAMES = /^(kmalloc|kmem_cache_alloc|kfree|kmem_cache_free): /

const SAMPLE = [
  '# tracer: nop',
  '             cat-39      [000] .....     2.416295: kmalloc: call_site=alloc_pipe_info+0x54/0x210 ptr=ffff8880030a3e40 bytes_req=168 bytes_alloc=192 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO node=-1 accounted=false',
  '             cat-39      [000] .....     2.418689: kmem_cache_alloc: call_site=__anon_vma_prepare+0xc9/0x150 ptr=ffff88800730d208 bytes_req=96 bytes_alloc=104 gfp_flags=GFP_KERNEL node=1 accounted=true',
  '             cat-39      [000] .Ns..     2.415979: kfree: call_site=free_task+0x9/0x50 ptr=0000000000000000',
  '     ksoftirqd/0-13      [001] ..s..     2.415478: kmem_cache_free: call_site=rcu_core+0x206/0x540 ptr=ffff8880028cfe00 name=pid',
  '              rm-89      [000] ..s..    28.146994: mm_page_free: page=ffffea00006e8180 pfn=0x1ba06 order=0',
  '             cat-39      [000] .....     2.500000: kmalloc: call_site=btrfs_alloc+0x1/0x2 [btrfs] ptr=0000000000000000 bytes_req=8589934592 bytes_alloc=8589934592 gfp_flags=none node=-1 accounted=false',
  '             cat-39      [000] .....     2.500001: kfree: call_site=free_task+0x9/0x50 ptr=ffffffff81000000',
]
const SAMPLE_EVENTS = 6

/** Lines that are neither blank nor comments, each of which must be accounted for. */
function contentLines(text: string): string[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  return lines.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '')
}

function expectAccounted(events: SlabEvents, text: string): void {
  const others = [...events.otherEvents.values()].reduce((sum, count) => sum + count, 0)
  expect(events.count + others + events.skippedCount).toBe(contentLines(text).length)
  for (const column of Object.values(events)) {
    if (ArrayBuffer.isView(column)) expect(column).toHaveLength(events.count)
  }
}

function reasons(text: string): string[] {
  const events = parseFtraceSlab(`a-1 [000] .... 1.5: ${text}`)
  expect(events.count).toBe(0)
  return events.skipped.map(({ reason }) => reason)
}

describe('short-all-events', () => {
  const bytes = gunzipSync(readFileSync(TRACE))
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const events = parseFtraceSlab(bytes)

  it('has the events of the recording, and nothing is skipped', () => {
    const found = new Map<number, number>()
    for (const kind of events.kind) found.set(kind, (found.get(kind) ?? 0) + 1)
    expect(found).toEqual(
      new Map([
        [FTRACE_KMEM_CACHE_FREE, 34_761],
        [FTRACE_KFREE, 1_076],
        [FTRACE_KMALLOC, 803],
        [FTRACE_KMEM_CACHE_ALLOC, 33_180],
      ]),
    )
    expect(events.count).toBe(69_820)
    expect(events.skipped).toEqual([])
    expect(events.skippedCount).toBe(0)
    expect(events.lostEvents).toBe(0)
  })

  it('together with the page events leaves no line over', () => {
    const pages = parseFtrace(bytes)
    expect(pages.count + events.count).toBe(lines.length)
    const order = new Set([...pages.line, ...events.line])
    expect(order.size).toBe(lines.length)
    const names = ['kfree', 'kmalloc', 'kmem_cache_alloc', 'kmem_cache_free']
    expect([...pages.otherEvents.keys()].sort()).toEqual(names)
    expect([...events.otherEvents.keys()].every((name) => name.startsWith('mm_page_'))).toBe(true)
    expect(pages.skippedCount).toBe(0)
  })

  it('formats every event as its line', () => {
    let i = 0
    const differences: string[] = []
    for (const [index, line] of lines.entries()) {
      const text = line.slice(line.indexOf(': ') + 2)
      if (!SLAB_NAMES.test(text)) continue
      if (formatFtraceSlabEvent(events, i) !== text || events.line[i] !== index + 1) {
        differences.push(line)
      }
      i++
    }
    expect(differences).toEqual([])
    expect(i).toBe(events.count)
  })

  it('reads task, CPU and time of every event', () => {
    const differences: string[] = []
    for (let i = 0; i < events.count; i++) {
      const line = lines[events.line[i]! - 1] ?? ''
      const [, pid, cpu, flags, time] =
        /^ *.+-(\d+) +\[(\d+)\] (.....) +(\d+\.\d+): /.exec(line) ?? []
      const same =
        events.pid[i] === Number(pid) &&
        events.cpu[i] === Number(cpu) &&
        events.time[i] === Number(time) &&
        events.context[i]! >> 8 === flags?.charCodeAt(2)
      if (!same) differences.push(line)
    }
    expect(differences).toEqual([])
  })

  it('knows the caches and the callers', () => {
    expect(events.names).toHaveLength(new Set(events.names).size)
    expect(events.names.slice(0, 4)).toEqual(['pid', 'signal_cache', 'task_struct', 'names_cache'])
    expect(events.callSites[0]).toBe('rcu_core+0x206/0x540')
    expect(events.callSites).toHaveLength(new Set(events.callSites).size)
    // Objects of the direct map: an address and its page frame.
    for (const ptr of events.ptr) {
      if (ptr !== 0) expect(ptr - 0x888000000000).toBeLessThan(768 * 2 ** 20)
    }
  })
})

describe('parseFtraceSlab', () => {
  it('reads the fields of every kind', () => {
    const events = parseFtraceSlab(SAMPLE.join('\n'))
    expect({ ...events, otherEvents: [...events.otherEvents] }).toEqual({
      count: SAMPLE_EVENTS,
      kind: Int32Array.of(7, 8, 9, 10, 7, 9),
      ptr: Float64Array.of(0x8880030a3e40, 0x88800730d208, 0, 0x8880028cfe00, 0, 0xffff81000000),
      bytesReq: Float64Array.of(168, 96, 0, 0, 2 ** 33, 0),
      bytesAlloc: Float64Array.of(192, 104, 0, 0, 2 ** 33, 0),
      gfp: Int32Array.of(0x400dc0, 0xcc0, 0, 0, 0, 0),
      node: Int32Array.of(-1, 1, -1, -1, -1, -1),
      accounted: Int32Array.of(0, 1, 0, 0, 0, 0),
      name: Int32Array.of(-1, -1, -1, 0, -1, -1),
      callSite: Int32Array.of(0, 1, 2, 3, 4, 2),
      context: Int32Array.of(0x2e00, 0x2e00, 0x7301, 0x7303, 0x2e00, 0x2e00),
      cpu: Int32Array.of(0, 0, 0, 1, 0, 0),
      pid: Int32Array.of(39, 39, 39, 13, 39, 39),
      task: Int32Array.of(0, 0, 0, 1, 0, 0),
      flags: Int32Array.of(0, 0, 1, 2, 0, 0),
      line: Int32Array.of(1, 2, 3, 4, 6, 7),
      time: Float64Array.of(2.416295, 2.418689, 2.415979, 2.415478, 2.5, 2.500001),
      names: ['pid'],
      callSites: [
        'alloc_pipe_info+0x54/0x210',
        '__anon_vma_prepare+0xc9/0x150',
        'free_task+0x9/0x50',
        'rcu_core+0x206/0x540',
        'btrfs_alloc+0x1/0x2 [btrfs]',
      ],
      tasks: ['cat', 'ksoftirqd/0'],
      flagTexts: ['.....', '.Ns..', '..s..'],
      otherEvents: [['mm_page_free', 1]],
      skipped: [],
      skippedCount: 0,
      skippedReasons: new Map(),
      lostEvents: 0,
    })
    const texts = SAMPLE.filter((line) => !line.startsWith('#') && !line.includes('mm_page'))
    for (const [i, text] of texts.entries()) {
      expect(text.endsWith(`: ${formatFtraceSlabEvent(events, i)}`)).toBe(true)
    }
  })

  it('prints the example of the specification', () => {
    const text =
      'kmalloc: call_site=foo+0x1c/0x40 ptr=ffff888003a4c040 bytes_req=40 bytes_alloc=64 ' +
      'gfp_flags=GFP_KERNEL|__GFP_ZERO node=-1 accounted=false'
    const events = parseFtraceSlab(`a-1 [000] .... 1.5: ${text}`)
    expect(events.ptr[0]).toBe(0x888003a4c040)
    expect(formatFtraceSlabEvent(events, 0)).toBe(text)
  })

  it('reads the same from bytes, CRLF lines, and a view into a larger buffer', () => {
    const text = `${SAMPLE.join('\n')}\n`
    const expected = parseFtraceSlab(text)
    const bytes = new TextEncoder().encode(`xx${text}yy`)
    expect(parseFtraceSlab(bytes.subarray(2, bytes.length - 2))).toEqual(expected)
    expect(parseFtraceSlab(text.replaceAll('\n', '\r\n'))).toEqual(expected)
  })

  it('of nothing gives nothing', () => {
    for (const text of ['', '\n\n\r\n', '# only\n#comments']) {
      const events = parseFtraceSlab(text)
      expect(events.count).toBe(0)
      expect(events.skipped).toEqual([])
      expect(events.names).toEqual([])
    }
  })

  it('reads the layout of trace-cmd report, and further fields', () => {
    const header = '   trace-cmd-1234  [001]   124.567890: '
    const events = parseFtraceSlab(
      `${header}kmalloc:      call_site=f+0x1 ptr=0xffff888003a4c040 bytes_req=1 bytes_alloc=8 ` +
        `gfp_flags=0x80000000 node=2 accounted=false later=1\n` +
        `${header}kmem_cache_free:      call_site=f+0x1 ptr=0xffff888003a4c040 name=my cache  `,
    )
    expect(events.skipped).toEqual([])
    expect([...events.ptr]).toEqual([0x888003a4c040, 0x888003a4c040])
    expect(events.gfp[0]).toBe(-0x80000000)
    expect(events.node[0]).toBe(2)
    expect(events.names).toEqual(['my cache'])
  })

  it.each([
    ['0000000000000000', 0, '0000000000000000'],
    ['0x0', 0, '0000000000000000'],
    ['(null)', 0, '0000000000000000'],
    ['0xffff888003a4c040', 0x888003a4c040, 'ffff888003a4c040'],
    ['0x888003a4c040', 0x888003a4c040, 'ffff888003a4c040'],
    ['0000000000000010', 16, '0000000000000010'],
    ['00000000deadbeef', 0xdeadbeef, '00000000deadbeef'],
    ['00007fffffffffff', 0x7fffffffffff, '00007fffffffffff'],
    ['ffff800000000000', 0x800000000000, 'ffff800000000000'],
    ['ffffffffffffffff', 0xffffffffffff, 'ffffffffffffffff'],
  ])('reads the pointer %s', (text, ptr, printed) => {
    const events = parseFtraceSlab(`a-1 [000] .... 1.5: kfree: call_site=f ptr=${text}`)
    expect([...events.ptr]).toEqual([ptr])
    expect(formatFtraceSlabEvent(events, 0)).toBe(`kfree: call_site=f ptr=${printed}`)
  })

  const place = 'call_site=f+0x1/0x2 ptr=ffff888003a4c040'
  it.each([
    ['kfree:', 'call_site is'],
    ['kfree: ptr=ffff888003a4c040', 'call_site is'],
    ['kfree: call_site= ptr=ffff888003a4c040', 'call_site is'],
    ['kfree: call_site=f', 'ptr is'],
    ['kfree: call_site=f [m]', 'ptr is'],
    ['kfree: call_site=f ptr=', 'ptr is'],
    ['kfree: call_site=f ptr=0x', 'ptr is'],
    ['kfree: call_site=f ptr=ffff888003a4c0', 'ptr is'],
    ['kfree: call_site=f ptr=000000000000000', 'ptr is'],
    ['kfree: call_site=f ptr=0x00000000000000000', 'ptr is'],
    ['kfree: call_site=f ptr=(____ptrval____)', 'ptr is'],
    ['kfree: call_site=f ptr=ffff888003a4c04g', 'ptr is'],
    ['kfree: call_site=f ptr=ffff888003a4c04:', 'ptr is'],
    ['kfree: call_site=f ptr=fff8888003a4c040', 'ptr is'],
    ['kfree: call_site=f ptr=0ffff888003a4c040', 'ptr is'],
    [`kmem_cache_free: ${place}`, 'name is'],
    [`kmem_cache_free: ${place} name=`, 'name is'],
    [`kmalloc: ${place}`, 'bytes_req is'],
    [`kmalloc: ${place} bytes_req=9007199254740993 bytes_alloc=8`, 'bytes_req is'],
    [`kmalloc: ${place} bytes_req=1 gfp_flags=GFP_KERNEL`, 'bytes_alloc is'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 node=-1`, 'gfp_flags is'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=GFP_X`, 'unknown GFP flags: GFP_X'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=GFP_KERNEL`, 'node is'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=-2`, 'node is'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=-0`, 'node is'],
    [`kmalloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=2147483648`, 'node is'],
    [`kmem_cache_alloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=0`, 'accounted is'],
    [
      `kmem_cache_alloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=0 accounted=fals`,
      'accounted is',
    ],
    [
      `kmem_cache_alloc: ${place} bytes_req=1 bytes_alloc=8 gfp_flags=none node=0 accounted=falsehood`,
      'accounted is',
    ],
    ['kfree', 'no event name'],
  ])('reports %j', (text, reason) => {
    expect(reasons(text)).toEqual([expect.stringContaining(reason)])
  })

  it('keeps nothing of a line that it reports', () => {
    const good = 'a-1 [000] .... 1.5: kmem_cache_free: call_site=f ptr=ffff888003a4c040 name=good'
    const bad = [
      'a-1 [000] .... 1.5: kfree: call_site=bad ptr=x',
      'a-1 [000] .... 1.5: kmem_cache_free: call_site=bad ptr=ffff888003a4c040',
      'CPU:0 [LOST 7 EVENTS]',
      'garbage',
    ]
    const events = parseFtraceSlab([...bad, good, ...bad].join('\n'))
    expect(events.count).toBe(1)
    expect(events.callSites).toEqual(['f'])
    expect(events.names).toEqual(['good'])
    expect([...events.line]).toEqual([5])
    expect(events.skippedCount).toBe(8)
    expect(events.lostEvents).toBe(14)
    expect(events.skipped.slice(0, 4)).toEqual([
      { line: 1, reason: 'ptr is missing, garbled or out of range' },
      { line: 2, reason: 'name is missing, garbled or out of range' },
      { line: 3, reason: '7 events lost' },
      { line: 4, reason: 'no task, [CPU] and timestamp' },
    ])
  })

  it('survives a cut at every byte, and keeps what lies before it', () => {
    const text = SAMPLE.join('\n')
    const whole = parseFtraceSlab(text)
    for (let length = 0; length <= text.length; length++) {
      const cut = text.slice(0, length)
      const events = parseFtraceSlab(cut)
      expectAccounted(events, cut)
      const complete = parseFtraceSlab(cut.slice(0, cut.lastIndexOf('\n') + 1)).count
      expect(events.count).toBeGreaterThanOrEqual(complete)
      for (let i = 0; i < complete; i++) {
        expect(formatFtraceSlabEvent(events, i)).toBe(formatFtraceSlabEvent(whole, i))
      }
    }
  })

  it('accounts for every line of damaged text', () => {
    const bytes = new TextEncoder().encode(SAMPLE.join('\n'))
    const special = [' ', '[', ']', '-', ':', '=', '\n', '\r', '#', 'x', '(']
    const byte = fc.oneof(
      fc.nat(255),
      fc.constantFrom(...special.map((char) => char.charCodeAt(0))),
    )
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), byte), { maxLength: 12 }),
        (damages) => {
          const copy = bytes.slice()
          for (const [at, value] of damages) copy[at] = value
          const events = parseFtraceSlab(copy)
          expectAccounted(events, Buffer.from(copy).toString('latin1'))
          for (let i = 0; i < events.count; i++) {
            expect(events.ptr[i]).toBeGreaterThanOrEqual(0)
            expect(formatFtraceSlabEvent(events, i)).not.toContain('undefined')
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('refuses what is no text', () => {
    for (const input of [undefined, null, 3, {}, [1]]) {
      expect(() => parseFtraceSlab(input as unknown as string)).toThrow(InvalidArgument)
    }
  })
})

describe('formatFtraceSlabEvent', () => {
  it('refuses an event that is not there', () => {
    const events = parseFtraceSlab(SAMPLE.join('\n'))
    for (const i of [-1, SAMPLE_EVENTS, 0.5, Number.NaN]) {
      expect(() => formatFtraceSlabEvent(events, i)).toThrow(InvalidArgument)
    }
  })
})
