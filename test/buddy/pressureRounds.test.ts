/**
 * Which of reclaim, compaction and killing a request goes through, call by call: what each mask and order asks for, and where a
 * page that comes in between ends it. Spec §6.1, §6.2.
 */

import { describe, expect, it } from 'vitest'
import {
  __GFP_DMA,
  __GFP_IO,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  type CompactResult,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOIO,
  type PressureOps,
  withPressure,
} from '../../src/index'
import {
  EVENT_COMPACT_FAIL,
  EVENT_COMPACT_STALL,
  EVENT_COMPACT_SUCCESS,
  EVENT_OOM_KILL,
  NR_FREE_PAGES,
  PCP_DIFF,
  ZONE_HIGHATOMIC,
} from '../../src/state/schema'
import { faults, flatMachine, pcpOf, twoNodes, zoneOf } from './machines'
import { counted, Pressed } from './pressed'

const MOVABLE = GFP_KERNEL | __GFP_MOVABLE
const NORETRY = GFP_KERNEL | __GFP_NORETRY
const MAYFAIL = GFP_KERNEL | __GFP_RETRY_MAYFAIL
/** Pages that put an empty machine above all its marks; freed, they are one block, at frame 0. */
const ENOUGH = 256

/** A machine without a free page. */
function empty(answers: Partial<PressureOps>): Pressed {
  const machine = new Pressed()
  machine.exhaust(__GFP_MEMALLOC)
  expect(machine.free).toBe(0)
  machine.answers = answers
  return machine
}

describe('without a page, a request asks for', () => {
  const done = { directCompact: (): CompactResult => 'complete' }
  const progress = { ...done, directReclaim: () => 1 }
  it.each<[string, gfp: number, order: number, Partial<PressureOps>, calls: string[]]>([
    ['one page: reclaim, and a kill', GFP_KERNEL, 0, done, ['reclaim 0', 'oom 0']],
    ['one page, after progress too', GFP_KERNEL, 0, progress, ['reclaim 0', 'oom 0']],
    ['one page, once: reclaim', NORETRY, 0, done, ['reclaim 0']],
    [
      'order 3, movable: reclaim before compaction',
      MOVABLE,
      3,
      done,
      ['reclaim 3', 'compact 1', 'oom 3'],
    ],
    [
      'order 3, fixed: compaction first',
      GFP_KERNEL,
      3,
      done,
      ['compact 0', 'reclaim 3', 'compact 1', 'oom 3'],
    ],
    [
      'order 3, once: a thorough second compaction',
      NORETRY,
      3,
      done,
      ['compact 0', 'reclaim 3', 'compact 1'],
    ],
    [
      'order 4, movable: compaction first',
      MOVABLE,
      4,
      done,
      ['compact 0', 'reclaim 4', 'compact 1'],
    ],
    ['order 4, persistent: no kill', MAYFAIL, 4, done, ['compact 0', 'reclaim 4', 'compact 1']],
    ['order 2, persistent: no kill', MAYFAIL, 2, done, ['compact 0', 'reclaim 2', 'compact 1']],
    ['order 2 without I/O: no compaction', GFP_NOIO, 2, progress, ['reclaim 2']],
    ['order 4 without I/O, once: no compaction', GFP_NOIO | __GFP_NORETRY, 4, done, ['reclaim 4']],
    ['order 4 that may not wait: nothing', __GFP_IO, 4, done, []],
  ])('%s', (_what, gfp, order, answers, calls) => {
    const machine = empty(answers)
    expect(machine.pages.allocPages(gfp, order)).toBeNull()
    expect(machine.calls).toEqual(calls)
  })

  it('nothing of a reclaimer that has no methods', () => {
    const pages = flatMachine(4096, 0, { pressure: withPressure({}) })
    const machine = new Pressed()
    while (pages.allocPages(NORETRY) !== null);
    for (const order of [0, 2, 4]) expect(pages.allocPages(GFP_KERNEL, order)).toBeNull()
    for (const event of [EVENT_COMPACT_STALL, EVENT_COMPACT_FAIL, EVENT_OOM_KILL]) {
      expect(machine.event.call({ pages } as Pressed, event)).toBe(0)
    }
  })

  it('a kill only when it may use the Normal zone', () => {
    const calls: string[] = []
    const pages = twoNodes({
      pressure: withPressure({
        outOfMemory: () => {
          calls.push('oom')
          return false
        },
      }),
    })
    while (pages.allocPages(NORETRY) !== null);
    expect(pages.allocPages(GFP_KERNEL | __GFP_DMA)).toBeNull()
    expect(calls).toEqual([])
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(calls).toEqual(['oom'])
  })
})

describe('a page ends the rounds', () => {
  it.each<
    [string, gfp: number, order: number, (m: Pressed) => Partial<PressureOps>, calls: string[]]
  >([
    [
      'of the compaction before',
      GFP_KERNEL,
      4,
      (m) => ({ directCompact: () => (m.release(ENOUGH) > 0 ? 'success' : 'skipped') }),
      ['compact 0'],
    ],
    [
      'of reclaim',
      GFP_KERNEL,
      0,
      (m) => ({ directReclaim: () => m.release(ENOUGH) }),
      ['reclaim 0'],
    ],
    [
      'of reclaim, for a movable block',
      MOVABLE,
      1,
      (m) => ({ directReclaim: () => m.release(ENOUGH) }),
      ['reclaim 1'],
    ],
    [
      'of the compaction after reclaim',
      MOVABLE,
      2,
      (m) => ({ directCompact: () => (m.release(ENOUGH) > 0 ? 'success' : 'skipped') }),
      ['reclaim 2', 'compact 1'],
    ],
    [
      'that somebody frees meanwhile, while there is hope',
      GFP_KERNEL,
      0,
      (m) => ({
        directReclaim: () => (m.calls.length > 1 ? 0 : m.release(ENOUGH) * 0),
        reclaimablePages: () => 1000,
      }),
      ['reclaim 0'],
    ],
    [
      'that somebody has freed, before a kill',
      GFP_KERNEL,
      0,
      (m) => ({
        directReclaim: () => m.release(m.calls.length === 16 ? ENOUGH : 0) * 0,
        reclaimablePages: () => (m.calls.length < 17 ? 1000 : 0),
      }),
      Array.from({ length: 17 }, () => 'reclaim 0'),
    ],
    [
      'of the victim',
      GFP_KERNEL,
      0,
      (m) => ({ outOfMemory: () => m.release(ENOUGH) > 0 }),
      ['reclaim 0', 'oom 0'],
    ],
    [
      'of the second victim, for a task without a right to reserves that is none itself',
      GFP_KERNEL | __GFP_NOMEMALLOC,
      0,
      (m) => ({ outOfMemory: () => m.calls.length < 3 || m.release(ENOUGH) > 0 }),
      ['reclaim 0', 'oom 0', 'reclaim 0', 'oom 0'],
    ],
    [
      'of the victim, at once for a request that must not fail',
      GFP_KERNEL | __GFP_NOFAIL,
      0,
      (m) => ({ outOfMemory: () => m.release(1) > 0 }),
      ['reclaim 0', 'oom 0'],
    ],
    [
      'of the last resort of a request that must not fail',
      NORETRY | __GFP_NOFAIL,
      0,
      (m) => ({ directReclaim: () => m.release(ENOUGH) * 0 }),
      ['reclaim 0'],
    ],
  ])('%s', (_where, gfp, order, answers, calls) => {
    const machine = empty({})
    machine.answers = answers(machine)
    // Frame 0 is a page like any other.
    expect(machine.taken[0]).toBe(0)
    expect(machine.pages.allocPages(gfp, order)).toBe(0)
    expect(machine.calls).toEqual(calls)
    machine.pages.drainAllPages()
    const released = machine.taken[0] ?? 0
    expect(machine.free).toBe(released - (1 << order))
    const compacted = calls.some((call) => call.startsWith('compact'))
    expect(machine.event(EVENT_COMPACT_STALL)).toBe(compacted ? 1 : 0)
    expect(machine.event(EVENT_COMPACT_SUCCESS)).toBe(compacted ? 1 : 0)
    expect(machine.event(EVENT_COMPACT_FAIL)).toBe(0)
    expect(faults(machine.pages)).toEqual([])
  })

  it('not, when reclaim has freed it but tells of no progress, and one round is all there is', () => {
    const machine = empty({})
    machine.answers = { directReclaim: () => machine.release(ENOUGH) * 0 }
    expect(machine.pages.allocPages(NORETRY)).toBeNull()
    machine.release(0)
    expect(machine.free).toBe(ENOUGH)
    expect(machine.pages.allocPages(NORETRY)).toBe(0)
  })
})

describe('progress', () => {
  const hope = { reclaimablePages: () => 1000 }

  it('starts the count of fruitless rounds anew', () => {
    const machine = empty({})
    let rounds = 0
    machine.answers = {
      ...hope,
      directReclaim: () => {
        rounds += 1
        if (rounds === 40) return machine.release(ENOUGH)
        return rounds % 15 === 0 ? 1 : 0
      },
    }
    expect(machine.pages.allocPages(GFP_KERNEL)).toBe(0)
    expect(counted(machine.calls)).toEqual(['40 × reclaim 0'])
  })

  it('does not help a costly order: 16 rounds of hope, and 5 of compaction', () => {
    const machine = empty({ ...hope, directReclaim: () => 1 })
    machine.answers.reclaimablePages = () => 1000
    // A block large enough lies there, but below the mark.
    machine.release(16)
    expect(machine.pages.allocPages(MAYFAIL, 4)).toBeNull()
    const reclaims = machine.calls.filter((call) => call === 'reclaim 4')
    expect(reclaims).toHaveLength(21)
  })

  it('is looked at less what is pending with CPUs of other zones', () => {
    const machine = empty({})
    const { pages } = machine
    // Behind the zone's last CPU are the records of the next zone, which has no memory.
    pages.words[pcpOf(pages, zoneOf(pages, 0, 3)) + PCP_DIFF + NR_FREE_PAGES] = 5000
    expect(pages.allocPages(GFP_KERNEL)).toBeNull()
    expect(machine.calls).toEqual(['reclaim 0', 'oom 0'])
  })
})

describe('the high-atomic reserve', () => {
  /** A machine whose only free pages are a pageblock that an atomic request has had reserved. */
  function reserved(): Pressed {
    const machine = new Pressed()
    // Between the min mark and the low one an atomic request takes the reserve's way.
    machine.release(16)
    machine.pages.allocPages(GFP_ATOMIC, 4) ?? expect.fail('no block')
    machine.release(256)
    machine.exhaust(GFP_KERNEL | __GFP_NORETRY)
    expect(machine.pages.words[zoneOf(machine.pages, 0, 2) + ZONE_HIGHATOMIC]).toBe(512)
    return machine
  }

  it('is given up when nothing else helps, not for mere progress', () => {
    const machine = reserved()
    const seen: (number | undefined)[] = []
    const look = () => seen.push(machine.pages.words[zoneOf(machine.pages, 0, 2) + ZONE_HIGHATOMIC])
    machine.answers = {
      directReclaim: () => look() && 1,
      directCompact: () => (look() > 0 ? 'skipped' : 'deferred'),
    }
    expect(machine.pages.allocPages(MOVABLE, 2)).not.toBeNull()
    expect(seen).toEqual([512, 512])
    expect(machine.calls).toEqual(['reclaim 2', 'compact 1'])
    expect(machine.pages.words[zoneOf(machine.pages, 0, 2) + ZONE_HIGHATOMIC]).toBe(0)
    expect(faults(machine.pages)).toEqual([])
  })
})
