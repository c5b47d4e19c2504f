/** The slow path: whom it wakes, which marks and nodes a request gets to, what it warns of. Spec §6.1, §6.2, §2.6. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_ATOMIC,
  __GFP_DIRECT_RECLAIM,
  __GFP_HIGH,
  __GFP_KSWAPD_RECLAIM,
  __GFP_MEMALLOC,
  __GFP_NOFAIL,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_THISNODE,
  allocPagesNodemask,
  type BuddyAllocator,
  CONTEXT_INTERRUPT,
  CONTEXT_REALTIME,
  GFP_ATOMIC,
  GFP_DMA,
  GFP_KERNEL,
  inContext,
  kernelLog,
  OutOfMemory,
  withPressure,
} from '../../src/index'
import { HEADER_WARNED, ZONE_BOOST, ZONE_MANAGED, ZONE_WMARK } from '../../src/state/schema'
import { faults, freePagesOf, thrownBy, twoNodes, zoneOf } from './machines'
import { Pressed } from './pressed'

const NORETRY = GFP_KERNEL | __GFP_NORETRY

/** Two nodes without a free page, and the calls of their background reclaimers: node, order, highest zone, mask. */
function emptyNodes(): { pages: BuddyAllocator; wakes: number[][] } {
  const wakes: number[][] = []
  const pages = twoNodes({
    pressure: withPressure({ wakeKswapd: (...request) => void wakes.push(request) }),
  })
  for (const node of [0, 1]) while (pages.allocPagesNode(node, __GFP_MEMALLOC) !== null);
  wakes.length = 0
  return { pages, wakes }
}

describe('the background reclaimer', () => {
  it('is woken on each node of the request, once before and once after the first attempt', () => {
    const { pages, wakes } = emptyNodes()
    const gfp = __GFP_KSWAPD_RECLAIM
    expect(pages.allocPagesNode(0, gfp, 2)).toBeNull()
    const both = [
      [0, 2, 2, gfp],
      [1, 2, 2, gfp],
    ]
    expect(wakes).toEqual([...both, ...both])
    wakes.length = 0
    expect(pages.allocPagesNode(1, gfp, 2)).toBeNull()
    both.reverse()
    expect(wakes).toEqual([...both, ...both])
  })

  it('is woken for zones that the request may use alone, and only when asked for', () => {
    const { pages, wakes } = emptyNodes()
    expect(pages.allocPagesNode(1, GFP_DMA | __GFP_KSWAPD_RECLAIM)).toBeNull()
    expect(wakes).toEqual([
      [0, 0, 0, 0x801],
      [0, 0, 0, 0x801],
    ])
    wakes.length = 0
    expect(allocPagesNodemask(pages, 0, __GFP_KSWAPD_RECLAIM, 0, [1])).toBeNull()
    expect(wakes).toEqual([
      [1, 0, 2, 0x800],
      [1, 0, 2, 0x800],
    ])
    wakes.length = 0
    expect(pages.allocPages(__GFP_NOWARN)).toBeNull()
    expect(wakes).toEqual([])
  })

  it('is not woken for a zone without managed pages', () => {
    const { pages, wakes } = emptyNodes()
    pages.words[zoneOf(pages, 1, 1) + ZONE_MANAGED] = 0
    expect(pages.allocPagesNode(1, __GFP_KSWAPD_RECLAIM)).toBeNull()
    expect(wakes.map(([node]) => node)).toEqual([0, 0])
  })
})

describe('a request below the marks', () => {
  /** Pages that `gfp` still gets out of a machine that an ordinary request gets no more of. */
  function reserve(gfp: number, bits = 0): number {
    const machine = new Pressed()
    const before = machine.taken.length
    inContext(machine.pages, bits, () => machine.exhaust(gfp))
    expect(faults(machine.pages)).toEqual([])
    return machine.taken.length - before
  }

  it('gets as much of the reserve as it has a right to', () => {
    const { min } = new Pressed()
    expect(min).toBe(128)
    // The counter lags by less than the threshold of a CPU.
    const about = (pages: number) => expect.closeTo(pages, -0.6)
    expect(reserve(NORETRY)).toBe(0)
    expect(reserve(NORETRY, CONTEXT_REALTIME)).toEqual(about(64))
    expect(reserve(NORETRY, CONTEXT_REALTIME | CONTEXT_INTERRUPT)).toBe(0)
    expect(reserve(NORETRY | __GFP_HIGH)).toEqual(about(64))
    expect(reserve(GFP_ATOMIC)).toEqual(about(80))
    expect(reserve(__GFP_MEMALLOC)).toEqual(about(128))
  })

  it('ignores a boost when it is atomic, unless it says that it may wait', () => {
    const boosted = (gfp: number) => {
      const machine = new Pressed()
      machine.release(128)
      machine.pages.words[zoneOf(machine.pages, 0, 2) + ZONE_BOOST] = 2000
      return machine.pages.allocPages(gfp) !== null
    }
    expect(boosted(NORETRY)).toBe(false)
    expect(boosted(__GFP_HIGH | __GFP_KSWAPD_RECLAIM)).toBe(false)
    expect(boosted(GFP_ATOMIC)).toBe(true)
    expect(boosted(NORETRY | __GFP_ATOMIC)).toBe(false)
  })

  it('may leave the nodes that it was given when it is atomic', () => {
    const pages = twoNodes()
    while (pages.allocPagesNode(1, __GFP_MEMALLOC | __GFP_THISNODE) !== null);
    const before = freePagesOf(pages, zoneOf(pages, 0, 1))
    expect(allocPagesNodemask(pages, 1, NORETRY, 4, [1])).toBeNull()
    expect(freePagesOf(pages, zoneOf(pages, 0, 1))).toBe(before)
    expect(allocPagesNodemask(pages, 1, GFP_ATOMIC, 4, [1])).not.toBeNull()
    expect(freePagesOf(pages, zoneOf(pages, 0, 1))).toBe(before - 16)
  })
})

describe('a request that must not fail', () => {
  /** The WARNING lines and reports that a request of a machine without a page leaves, or its error. */
  function warned(gfp: number, order: number, bits = 0): [number, string[]] {
    const lines: string[] = []
    const machine = new Pressed({ log: kernelLog((line) => lines.push(line)) })
    machine.exhaust(__GFP_MEMALLOC)
    lines.length = 0
    machine.pages.words[HEADER_WARNED] = 0
    const request = () => inContext(machine.pages, bits, () => machine.pages.allocPages(gfp, order))
    if ((gfp & __GFP_DIRECT_RECLAIM) === 0) expect(request()).toBeNull()
    else expect(thrownBy(request)).toBeInstanceOf(OutOfMemory)
    const told = lines.filter((line) => /^WARNING|failure/.test(line))
    return [machine.pages.words[HEADER_WARNED]!, told.map((line) => line.split(',')[0] ?? '')]
  }
  const SLOW = 'WARNING: CPU: 0 PID: 0 at __alloc_pages_slowpath'

  it('warns where it may not wait, unless asked not to, and fails', () => {
    expect(warned(__GFP_NOFAIL, 0)).toEqual([
      1 << 3,
      [SLOW, 'kmem: page allocation failure: order:0'],
    ])
    expect(warned(__GFP_NOFAIL | __GFP_NOWARN, 0)).toEqual([0, []])
  })

  it('warns of a costly order, from 4 on', () => {
    const gfp = GFP_KERNEL | __GFP_NOFAIL
    expect(warned(gfp, 3)).toEqual([0, []])
    expect(warned(gfp, 4)).toEqual([1 << 5, [SLOW]])
  })

  it('gets half of the reserve when all else has failed, frame 0 if that is what there is', () => {
    const machine = new Pressed()
    machine.exhaust(__GFP_MEMALLOC)
    machine.release(128)
    const { words } = machine.pages
    expect(words[zoneOf(machine.pages, 0, 2) + ZONE_WMARK]).toBe(128)
    expect(machine.pages.allocPages(NORETRY)).toBeNull()
    expect(machine.pages.allocPages(NORETRY | __GFP_NOFAIL)).toBe(0)
    expect(machine.free).toBeLessThan(128)
    machine.pages.drainAllPages()
    expect(machine.free).toBe(127)
  })

  it('throws where there is no zone for it', () => {
    const machine = new Pressed()
    const request = () => machine.pages.allocPages(GFP_DMA | NORETRY | __GFP_NOFAIL)
    expect(thrownBy(request)).toBeInstanceOf(OutOfMemory)
    expect(machine.calls).toEqual([])
  })
})
