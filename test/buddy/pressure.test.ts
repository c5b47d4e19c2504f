/** What the slow path asks of a reclaimer, in which order, and what it makes of the answers. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_ATOMIC,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
  CONTEXT_MEMALLOC,
  CONTEXT_OOM_VICTIM,
  CONTEXT_PIN,
  GFP_ATOMIC,
  GFP_KERNEL,
  inContext,
  kernelLog,
  OutOfMemory,
} from '../../src/index'
import {
  EVENT_COMPACT_FAIL,
  EVENT_COMPACT_STALL,
  EVENT_COMPACT_SUCCESS,
  EVENT_OOM_KILL,
} from '../../src/state/schema'
import { faults } from './machines'
import { counted, Pressed } from './pressed'

describe('compaction before reclaim', () => {
  it('is enough when it makes a block', () => {
    const machine = new Pressed()
    machine.answers = {
      directCompact: () => (machine.release(1024) > 0 ? 'success' : 'skipped'),
    }
    expect(machine.pages.allocPages(GFP_KERNEL, 4)).not.toBeNull()
    expect(machine.calls).toEqual(['compact 0'])
    expect(machine.event(EVENT_COMPACT_STALL)).toBe(1)
    expect(machine.event(EVENT_COMPACT_SUCCESS)).toBe(1)
    expect(machine.event(EVENT_COMPACT_FAIL)).toBe(0)
    expect(faults(machine.pages)).toEqual([])
  })

  it.each(['skipped', 'deferred'] as const)(
    'ends a costly request that will not retry, when it was %s',
    (result) => {
      const machine = new Pressed()
      machine.answers = { directCompact: () => result }
      expect(machine.pages.allocPages(GFP_KERNEL | __GFP_NORETRY, 4)).toBeNull()
      expect(machine.calls).toEqual(['compact 0'])
      expect(machine.event(EVENT_COMPACT_STALL)).toBe(0)
    },
  )

  it('that was tried ends one only when it keeps to its node; the other compacts quickly again', () => {
    const machine = new Pressed()
    machine.answers = { directCompact: () => 'complete' }
    const gfp = GFP_KERNEL | __GFP_NORETRY
    expect(machine.pages.allocPages(gfp | __GFP_THISNODE, 4)).toBeNull()
    expect(machine.calls).toEqual(['compact 0'])
    expect(machine.event(EVENT_COMPACT_FAIL)).toBe(1)
    machine.calls.length = 0
    expect(machine.pages.allocPages(gfp, 4)).toBeNull()
    expect(machine.calls).toEqual(['compact 0', 'reclaim 4', 'compact 0'])
    expect(machine.event(EVENT_COMPACT_FAIL)).toBe(3)
    expect(machine.event(EVENT_COMPACT_SUCCESS)).toBe(0)
  })
})

describe('rounds of reclaim that make progress, but no block', () => {
  it('compact 17 times lightly, 17 times in full, and then kill', () => {
    const machine = new Pressed()
    machine.answers = { directReclaim: () => 1, directCompact: () => 'partial' }
    expect(machine.pages.allocPages(GFP_KERNEL | __GFP_MOVABLE, 2)).toBeNull()
    expect(machine.calls.at(-1)).toBe('oom 2')
    expect(counted(machine.calls)).toEqual([
      '34 × reclaim 2',
      '17 × compact 1',
      '17 × compact 2',
      '1 × oom 2',
    ])
  })

  it('come before compaction only when the request is movable', () => {
    const machine = new Pressed()
    machine.answers = { directReclaim: () => 1, directCompact: () => 'partial' }
    expect(machine.pages.allocPages(GFP_KERNEL | __GFP_MOVABLE, 2)).toBeNull()
    expect(machine.calls[0]).toBe('reclaim 2')
    machine.calls.length = 0
    // Pages to be pinned must not be movable, whatever the mask says.
    const pinned = () => machine.pages.allocPages(GFP_KERNEL | __GFP_MOVABLE, 2)
    expect(inContext(machine.pages, CONTEXT_PIN, pinned)).toBeNull()
    expect(machine.calls[0]).toBe('compact 0')
  })

  it('compact 5 times lightly for a costly order, which does not kill', () => {
    const machine = new Pressed()
    machine.answers = { directReclaim: () => 1, directCompact: () => 'partial' }
    expect(machine.pages.allocPages(GFP_KERNEL | __GFP_RETRY_MAYFAIL, 4)).toBeNull()
    expect(counted(machine.calls)).toEqual(['1 × compact 0', '5 × reclaim 4', '5 × compact 1'])
  })

  it('go on for ever with a request that must not fail', () => {
    // A page a round, out of a machine that has none: the last resort needs more than half of the mark.
    const machine = new Pressed()
    machine.answers = { directReclaim: () => machine.release(1) }
    machine.exhaust(__GFP_MEMALLOC)
    expect(machine.free).toBe(0)
    const needed = machine.min - (machine.min >> 1) + 1
    expect(machine.pages.allocPages(GFP_KERNEL | __GFP_NOFAIL | __GFP_NORETRY)).not.toBeNull()
    // The stored counter, which the mark is compared with, may lag by the CPU's threshold of 2.
    expect(machine.calls.length).toBeGreaterThanOrEqual(needed)
    expect(machine.calls.length).toBeLessThanOrEqual(needed + 2)
    expect(new Set(machine.calls)).toEqual(new Set(['reclaim 0']))
    expect(faults(machine.pages)).toEqual([])
  })
})

describe('the last attempt before the killer', () => {
  it('finds what others have freed, and nobody dies', () => {
    let rounds = 0
    const machine = new Pressed()
    machine.answers = {
      reclaimablePages: () => 1000,
      directReclaim: () => {
        rounds += 1
        if (rounds === 17) machine.release(500)
        return 0
      },
    }
    expect(machine.pages.allocPages(GFP_KERNEL)).not.toBeNull()
    expect(counted(machine.calls)).toEqual(['17 × reclaim 0'])
  })
})

describe('the killer', () => {
  it('ends the request of a task that it has chosen, when that has had its reserve', () => {
    const machine = new Pressed()
    machine.answers = { outOfMemory: () => true }
    machine.exhaust(__GFP_MEMALLOC)
    const request = (gfp: number) => () => machine.pages.allocPages(gfp)
    expect(inContext(machine.pages, CONTEXT_OOM_VICTIM, request(GFP_KERNEL))).toBeNull()
    expect(machine.calls).toEqual(['reclaim 0', 'oom 0'])
    expect(machine.event(EVENT_OOM_KILL)).toBe(1)
    machine.calls.length = 0
    const plain = request(GFP_KERNEL | __GFP_NOMEMALLOC)
    expect(inContext(machine.pages, CONTEXT_OOM_VICTIM, plain)).toBeNull()
    expect(machine.calls).toEqual(['reclaim 0', 'oom 0'])
  })

  it('lets a request that must not fail take the last page at once', () => {
    let kills = 0
    const machine = new Pressed()
    machine.answers = {
      outOfMemory: () => {
        kills += 1
        // The first victim has nothing to give.
        if (kills === 2) machine.release(1)
        return true
      },
    }
    machine.exhaust(__GFP_MEMALLOC)
    expect(machine.free).toBe(0)
    const last = machine.taken[0]
    expect(machine.pages.allocPages(GFP_KERNEL | __GFP_NOFAIL)).toBe(last)
    expect(machine.calls).toEqual(['reclaim 0', 'oom 0', 'reclaim 0', 'oom 0'])
    expect(machine.event(EVENT_OOM_KILL)).toBe(2)
    expect(faults(machine.pages)).toEqual([])
  })
})

describe('wrong uses', () => {
  const warned = (lines: string[]) => lines.filter((line) => line.startsWith('WARNING'))

  it('ATOMIC with DIRECT_RECLAIM warns once, and counts as a request that waits', () => {
    const lines: string[] = []
    const machine = new Pressed({ log: kernelLog((line) => lines.push(line)) })
    lines.length = 0
    const gfp = (GFP_KERNEL | __GFP_ATOMIC) & 0xffffffff
    for (let i = 0; i < 2; i++) expect(machine.pages.allocPages(gfp | __GFP_NORETRY)).toBeNull()
    expect(warned(lines)).toEqual(['WARNING: CPU: 0 PID: 0 at __alloc_pages_slowpath'])
    expect(machine.calls).toEqual(['reclaim 0', 'reclaim 0'])
    // An atomic request has a reserve that this one has not.
    expect(machine.pages.allocPages(GFP_ATOMIC)).not.toBeNull()
  })

  it('a request that must not fail, of a task that reclaims, warns before it is given up', () => {
    const lines: string[] = []
    const machine = new Pressed({ log: kernelLog((line) => lines.push(line)) })
    machine.exhaust(__GFP_MEMALLOC)
    lines.length = 0
    const request = () => machine.pages.allocPages(GFP_KERNEL | __GFP_NOFAIL)
    expect(() => inContext(machine.pages, CONTEXT_MEMALLOC, request)).toThrow(OutOfMemory)
    expect(warned(lines)).toHaveLength(1)
    expect(machine.calls).toEqual([])
  })
})
