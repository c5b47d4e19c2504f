/** Traces of a real kernel must replay event by event. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import {
  BuddyAllocator,
  type FtraceEvents,
  foldCounters,
  freeSummary,
  loadZones,
  MiB,
  nodeState,
  PhysicalMemory,
  parseFtrace,
  replay,
  type ZoneState,
} from 'kmem'
import { describe, expect, it } from 'vitest'
import { FTRACE_PAGE_ALLOC, FTRACE_PAGE_FREE } from '../../src/proc/ftraceEvents'

const FOLDER = new URL('../fixtures/traces/', import.meta.url)

interface States {
  readonly before: { readonly zones: ZoneState[] }
  readonly after: { readonly zones: ZoneState[] }
}

function fixtureTrace(name: string): Uint8Array {
  return gunzipSync(readFileSync(new URL(`${name}.ftrace.gz`, FOLDER)))
}

function fixtureStates(name: string): States {
  return JSON.parse(readFileSync(new URL(`${name}.state.json`, FOLDER), 'utf8')) as States
}

describe('traces of a real kernel', () => {
  it.each([
    {
      name: 'short-all-events',
      events: 25_430,
      allocations: 8_438,
      inferred: [{ line: 53_286, kind: 'bulk', pages: 4 }],
    },
    {
      name: 'untar-hash-compress',
      events: 374_432,
      allocations: 118_246,
      inferred: [
        { line: 89_031, kind: 'bulk', pages: 4 },
        { line: 167_806, kind: 'bulk', pages: 4 },
        { line: 242_180, kind: 'bulk', pages: 4 },
        { line: 246_985, kind: 'held', pages: 10 },
      ],
    },
  ])('$name: every event and the state at the end', ({ name, events, allocations, inferred }) => {
    const states = fixtureStates(name)
    const pages = loadZones(states.before.zones)
    const result = replay(parseFtrace(fixtureTrace(name)), pages)
    expect(result).toMatchObject({
      events,
      identicalEvents: events,
      allocations,
      identicalAllocations: allocations,
      different: 0,
      differences: [],
      inferred,
    })
    expect(nodeState(pages)).toEqual(states.after.zones)
  })

  it('reports progress up to the end', () => {
    const steps: number[] = []
    const events = parseFtrace(fixtureTrace('short-all-events'))
    replay(events, loadZones(fixtureStates('short-all-events').before.zones), {
      onProgress: (done, total) => {
        expect(total).toBe(events.count)
        steps.push(done)
      },
    })
    expect(steps.length).toBeGreaterThan(2)
    expect([...steps].sort((a, b) => a - b)).toEqual(steps)
    expect(steps.at(-1)).toBe(events.count)
  })

  it('as a workload on a machine of another size', () => {
    const events = parseFtrace(fixtureTrace('short-all-events'))
    const pages = new BuddyAllocator({
      ram: new PhysicalMemory({ size: 256 * MiB, content: false }),
    })
    const before = freePagesOf(pages)
    const result = replay(events, pages, { addresses: 'own' })
    // 31 of the 8,184 frees are of blocks from before the trace.
    expect(result).toMatchObject({ events: 25_430, allocations: 8_438, frees: 8_184 - 31 })
    expect(result).toMatchObject({ different: 0, differences: [], inferred: [] })
    expect(before - freePagesOf(pages)).toBe(liveAtEnd(events))
  })

  it('as a workload on a machine that is too small', () => {
    const events = parseFtrace(fixtureTrace('untar-hash-compress'))
    const pages = new BuddyAllocator({
      ram: new PhysicalMemory({ size: 32 * MiB, content: false }),
    })
    const result = replay(events, pages, { addresses: 'own' })
    expect(result.allocations).toBe(118_246)
    expect(result.different).toBeGreaterThan(0)
  })
})

/** Free pages, those on page lists included. */
function freePagesOf(pages: BuddyAllocator): number {
  pages.drainAllPages()
  foldCounters(pages)
  return freeSummary(pages).freePages
}

/** Pages that a trace allocates and does not free. */
function liveAtEnd(events: FtraceEvents): number {
  const live = new Map<number, number>()
  for (let i = 0; i < events.count; i++) {
    const pfn = events.pfn[i] ?? -1
    if (events.kind[i] === FTRACE_PAGE_ALLOC) live.set(pfn, 1 << (events.order[i] ?? 0))
    else if (events.kind[i] === FTRACE_PAGE_FREE) live.delete(pfn)
  }
  return [...live.values()].reduce((sum, pages) => sum + pages, 0)
}
