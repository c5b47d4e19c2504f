/** Small traces: what is inferred where events are silent, and how a wrong trace is told. */

import fc from 'fast-check'
import {
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  allocPagesBulk,
  type BuddyAllocator,
  GFP_ATOMIC,
  GFP_KERNEL,
  loadZones,
  nodeState,
  type Pfn,
  parseFtrace,
  type ReplayResult,
  replay,
  splitPage,
  withPageListsHeld,
  type ZoneState,
} from 'kmem'
import { describe, expect, it } from 'vitest'
import { CallPlayer, callArbitrary, smallMachine, TraceText } from './traceText'

const GFP_MOVABLE = GFP_KERNEL | __GFP_MOVABLE

/** What a small machine does in `body`, as text, and its state then. */
function record(body: (pages: BuddyAllocator, trace: TraceText) => void) {
  const pages = smallMachine()
  const trace = new TraceText()
  pages.setTrace(trace)
  body(pages, trace)
  pages.setTrace(null)
  return { text: trace.text, lines: trace.lines, state: nodeState(pages) }
}

/** Replays a text on another small machine. */
function replayed(text: string): { result: ReplayResult; state: ZoneState[] } {
  const pages = smallMachine()
  const result = replay(parseFtrace(text), pages)
  return { result, state: nodeState(pages) }
}

/** Records, replays, expects no difference. Gives the inferred calls, with the number of the last line. */
function inferredFrom(body: (pages: BuddyAllocator, trace: TraceText) => void) {
  const recording = record(body)
  const { result, state } = replayed(recording.text)
  expect(result.differences).toEqual([])
  expect(result).toMatchObject({ different: 0, identicalEvents: recording.lines.length })
  expect(result.identicalAllocations).toBe(result.allocations)
  expect(state).toEqual(recording.state)
  return { inferred: result.inferred, last: recording.lines.length }
}

function take(pages: BuddyAllocator, gfp = GFP_KERNEL, order = 0): Pfn {
  const pfn = pages.allocPages(gfp, order)
  if (pfn === null) throw new Error('no memory')
  return pfn
}

function takeMany(pages: BuddyAllocator, count: number, gfp = GFP_KERNEL, order = 0): Pfn[] {
  return Array.from({ length: count }, () => take(pages, gfp, order))
}

describe('a small trace', () => {
  it('is replayed whatever the calls, when events tell of all of them', () => {
    fc.assert(
      fc.property(fc.array(callArbitrary, { minLength: 1, maxLength: 60 }), (calls) => {
        expect(
          inferredFrom((pages, trace) => new CallPlayer(pages, trace).play(calls)).inferred,
        ).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  it('shows a bulk allocation by the page at depth k', () => {
    for (const depth of [2, 4, 10]) {
      const { inferred, last } = inferredFrom((pages) => {
        take(pages)
        allocPagesBulk(pages, GFP_KERNEL, depth)
        take(pages)
      })
      expect(inferred).toEqual([{ line: last, kind: 'bulk', pages: depth }])
    }
  })

  it('shows a bulk allocation that emptied the list by the refill after it', () => {
    const { inferred, last } = inferredFrom((pages) => {
      takeMany(pages, 12)
      allocPagesBulk(pages, GFP_KERNEL, 3)
      take(pages)
    })
    // The refill of 15 pages and the allocation are the last 16 events.
    expect(inferred).toEqual([{ line: last - 15, kind: 'bulk', pages: 3 }])
  })

  it('shows a bulk allocation that refilled the list by the page after it', () => {
    const { inferred, last } = inferredFrom((pages) => {
      takeMany(pages, 12)
      allocPagesBulk(pages, GFP_KERNEL, 7)
      take(pages)
    })
    expect(inferred).toEqual([{ line: last - 15, kind: 'bulk', pages: 7 }])
  })

  it('shows bulk allocations of each migratetype', () => {
    for (const gfp of [GFP_KERNEL, GFP_MOVABLE, GFP_KERNEL | __GFP_RECLAIMABLE]) {
      const { inferred, last } = inferredFrom((pages) => {
        take(pages, gfp)
        allocPagesBulk(pages, gfp, 4)
        take(pages, gfp)
      })
      expect(inferred).toEqual([{ line: last, kind: 'bulk', pages: 4 }])
    }
  })

  it('shows a block that was split by the frees of its pages', () => {
    const { inferred, last } = inferredFrom((pages) => {
      const pfn = take(pages, GFP_KERNEL, 3)
      splitPage(pages, pfn, 3)
      for (let i = 7; i >= 0; i--) pages.freePages((pfn + i) as Pfn)
    })
    expect(inferred).toEqual([{ line: last - 7, kind: 'split', pages: 8 }])
  })

  it('shows frees that found the page lists held by a block that covers one of them', () => {
    const { inferred, last } = inferredFrom((pages, trace) => {
      const pfns = takeMany(pages, 40)
      trace.interrupt = 's'
      withPageListsHeld(pages, () => {
        for (const pfn of pfns.slice(10, 20)) pages.freePages(pfn)
      })
      trace.interrupt = '.'
      takeMany(pages, 20)
    })
    const line = last - 20 - 15 - 10 + 1
    expect(inferred).toEqual([{ line, kind: 'held', pages: 10 }])
  })

  it('takes frees of an interrupt for ordinary ones when their pages come back from a list', () => {
    const { inferred } = inferredFrom((pages, trace) => {
      const pfns = takeMany(pages, 20)
      trace.interrupt = 's'
      for (const pfn of pfns.slice(5, 15)) pages.freePages(pfn)
      trace.interrupt = '.'
      takeMany(pages, 40)
    })
    expect(inferred).toEqual([])
  })

  it('does not take a large block for a proof, as those go past the page lists anyhow', () => {
    const { inferred } = inferredFrom((pages, trace) => {
      const page = take(pages)
      const block = take(pages, GFP_KERNEL, 5)
      trace.interrupt = 's'
      pages.freePages(block, 5)
      pages.freePages(page)
      trace.interrupt = '.'
      take(pages, GFP_KERNEL, 5)
      take(pages)
    })
    expect(inferred).toEqual([])
  })

  it('takes frees of ksoftirqd for ordinary ones', () => {
    const { inferred } = inferredFrom((pages, trace) => {
      const pfns = takeMany(pages, 60, GFP_KERNEL, 2)
      trace.interrupt = 's'
      trace.task = 'ksoftirqd/0'
      for (const pfn of pfns) pages.freePages(pfn, 2)
      takeMany(pages, 40, GFP_KERNEL, 2)
    })
    expect(inferred).toEqual([])
  })

  it('shows an allocation of an interrupt that found the page lists held', () => {
    inferredFrom((pages, trace) => {
      take(pages)
      trace.interrupt = 's'
      withPageListsHeld(pages, () => take(pages, GFP_ATOMIC))
      trace.interrupt = '.'
      take(pages)
    })
  })

  it('may free what was allocated before it', () => {
    const pages = smallMachine()
    const pfn = take(pages, GFP_KERNEL, 2)
    const zones = nodeState(pages)
    const trace = new TraceText()
    pages.setTrace(trace)
    pages.freePages(pfn, 2)
    const again = loadZones(zones)
    expect(replay(parseFtrace(trace.text), again)).toMatchObject({
      different: 0,
      identicalEvents: 1,
    })
    expect(nodeState(again)).toEqual(nodeState(pages))
  })
})

describe('a trace that is not what the allocator does', () => {
  const sample = record((pages, trace) => {
    const player = new CallPlayer(pages, trace)
    player.play(fc.sample(callArbitrary, { seed: 7, numRuns: 40 }))
  })

  it('is told from one that is, whichever event is changed', () => {
    for (const [i, line] of sample.lines.entries()) {
      const other = line.replace(
        /pfn=0x(\w+)/,
        (_, pfn) => `pfn=0x${(Number.parseInt(pfn, 16) ^ 64).toString(16)}`,
      )
      expectTold(sample.lines.with(i, other))
    }
  })

  it('is told from one that is, whichever event is missing', () => {
    const batched = (line: string | undefined) => line?.includes('free_batched') === true
    for (const [i, line] of sample.lines.entries()) {
      // Without the first of a list, its page looks like an ordinary free before the list: that is the same.
      if (batched(line) && !batched(sample.lines[i - 1])) continue
      expectTold(sample.lines.toSpliced(i, 1))
    }
  })

  it('is told from one that is, whichever event comes twice', () => {
    for (const [i, line] of sample.lines.entries()) expectTold(sample.lines.toSpliced(i, 0, line))
  })

  it('names line, event and what happened', () => {
    const at = sample.lines.findIndex((line) => line.includes('mm_page_alloc:'))
    const pfn = /pfn=(\w+) order=(\w+)/.exec(sample.lines[at] ?? '')
    const lines = sample.lines.with(at, sample.lines[at]?.replace(/pfn=\w+/, 'pfn=0x3fff') ?? '')
    const { result } = replayed(lines.join('\n'))
    expect(result.differences[0]?.line).toBe(at + 1)
    expect(result.differences[0]?.expected).toContain('pfn=0x3fff')
    expect(result.differences[0]?.actual).toBe(`mm_page_alloc: pfn=${pfn?.[1]} order=${pfn?.[2]}`)
  })

  it('keeps the first hundred differences and counts all', () => {
    const lines = Array.from(
      { length: 250 },
      () => sample.lines.find((l) => l.includes('drain')) ?? '',
    )
    const { result } = replayed(lines.join('\n'))
    expect(result.different).toBe(250)
    expect(result.differences).toHaveLength(100)
  })

  it('is told of a free with an order that no block has', () => {
    const at = sample.lines.findIndex((line) => line.includes('mm_page_free:'))
    const line = sample.lines[at]?.replace(/order=\d+/, 'order=20') ?? ''
    const { result } = replayed(sample.lines.with(at, line).join('\n'))
    expect(result.differences.map(({ actual }) => actual)).toContain(
      'order is 20; it must be an integer from 0 to 10',
    )
  })

  it('never throws, cut and garbled as it may be', () => {
    const text = sample.text
    const cut = fc.nat(text.length)
    fc.assert(
      fc.property(
        cut,
        cut,
        fc.array(fc.tuple(cut, fc.constantFrom(...'0f9 =:\nx'))),
        (a, b, marks) => {
          const characters = [...text.slice(Math.min(a, b), Math.max(a, b))]
          for (const [at, mark] of marks) if (at < characters.length) characters[at] = mark
          replayed(characters.join(''))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('never throws, when its lines come in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(sample.lines, { minLength: 10 }), (lines) => {
        replayed(lines.join('\n'))
      }),
      { numRuns: 50 },
    )
  })

  /** A change shows as a difference, as a call that was never made, or at the latest in the end. */
  function expectTold(lines: readonly string[]): void {
    const { result, state } = replayed(lines.join('\n'))
    if (result.different > 0 || result.inferred.length > 0) return
    expect(state).not.toEqual(sample.state)
  }
})
