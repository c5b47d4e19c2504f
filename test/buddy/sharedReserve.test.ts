/** The high-atomic reserves of two zones that share a pageblock. */

import { describe, expect, it } from 'vitest'
import { verifyState } from '../../src/debug/verify'
import {
  __GFP_NOWARN,
  __GFP_THISNODE,
  BuddyAllocator,
  GFP_ATOMIC,
  GFP_KERNEL,
  nodeState,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  reservePages,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'

/** Frame 700 is in the middle of a pageblock: the first of node 1. */
const SEAM = 700
const END = 2048

describe('a pageblock of two zones', () => {
  it('is given back by one out of its own reserve, when the other has reserved it', () => {
    const range = (start: number, end: number, node: number) => ({
      base: start * PAGE_SIZE,
      size: (end - start) * PAGE_SIZE,
      type: 'usable' as const,
      node,
    })
    const ram = new PhysicalMemory({ map: [range(0, SEAM, 0), range(SEAM, END, 1)] })
    const pages = new BuddyAllocator({ ram, cpuNodes: [0, 1], zones: ZONES_FLAT })
    const reserved = (node: number) => nodeState(pages, node)[0]?.highatomicReserved
    // Each zone reserves a pageblock, node 0 the one that both have a part in.
    expect(reservePages(pages, toPfn(SEAM), 1024 - SEAM)).toBe(true)
    for (const node of [1, 0]) {
      for (const pfn of takeAll(pages, node, GFP_ATOMIC, 1)) pages.freePages(pfn, 1)
      pages.drainAllPages()
      expect(reserved(node)).toBe(512)
    }
    // A free page of node 1 there is on the list of its reserve: what lies there is the first to be given back.
    pages.freePages(toPfn(SEAM + 1))
    pages.drainAllPages()
    const taken: Pfn[] = []
    while (reserved(1) !== 0) {
      const pfn = pages.allocPagesNode(1, GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN)
      if (pfn === null) expect.fail('no page, and nothing was given back')
      taken.push(pfn)
      expect(verifyState(pages.words)).toEqual([])
    }
    // The one that node 1 reserved is still HIGHATOMIC: no counter says so, as in a kernel.
    expect(reserved(0)).toBe(512)
    for (const pfn of taken) pages.freePages(pfn)
    expect(verifyState(pages.words)).toEqual([])
  })
})

function takeAll(pages: BuddyAllocator, node: number, gfp: number, order: number): Pfn[] {
  const taken: Pfn[] = []
  for (;;) {
    const pfn = pages.allocPagesNode(node, gfp | __GFP_THISNODE | __GFP_NOWARN, order)
    if (pfn === null) return taken
    taken.push(pfn)
  }
}
