/** The kernel's reports, word for word where there is no stack to dump. Spec §6.4, §7.7. */

import { describe, expect, it } from 'vitest'
import {
  __GFP_COMP,
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOMEMALLOC,
  __GFP_THISNODE,
  allocContigRange,
  allocPagesNodemask,
  BuddyAllocator,
  CONTEXT_ATOMIC,
  CONTEXT_INTERRUPT,
  CONTEXT_MEMALLOC,
  CONTEXT_OOM_VICTIM,
  freeContigRange,
  GFP_KERNEL,
  GFP_NOWAIT,
  inContext,
  inInterrupt,
  kernelLog,
  MIGRATE_CMA,
  MiB,
  type Pfn,
  toPfn,
  ZONES_FLAT,
} from '../../src/index'
import { freshEnd } from '../../src/page/freshBlocks'
import { pageRecord } from '../../src/page/memmap'
import { PG_LRU } from '../../src/page/pageFlags'
import { PAGE_FLAGS } from '../../src/state/schema'
import { flatMachine, thrownBy, twoNodes } from './machines'

/** The dump of the page that `free` frees wrongly, without its first line. */
function dumpOf(free: () => void): string[] {
  return (thrownBy(free) as { report: string[] } & Error).report
}

describe('the dump of a bad page', () => {
  const log = kernelLog(() => {})
  const pointer = (pfn: number) => (0xffffea0000000000n + BigInt(pfn) * 64n).toString(16)

  it('tells a free page by its mapcount, and a page without flags has no names', () => {
    const pages = flatMachine(4096, 0, { log })
    const pfn = pages.allocPages(GFP_KERNEL, 5) as Pfn
    pages.freePages(pfn, 5)
    // The whole machine is one row of free blocks of order 10.
    const head = pfn & -1024
    const report = dumpOf(() => pages.freePages(toPfn(head), 5))
    expect(report).toEqual([
      `BUG: Bad page state in process kmem  pfn:${head.toString(16).padStart(5, '0')}`,
      `page:${pointer(head)} refcount:0 mapcount:-128 mapping:0000000000000000 index:0x0 ` +
        `pfn:0x${head.toString(16)}`,
      'flags: 0x200000000000000(node=0|zone=2)',
      'raw: 0200000000000000 dead000000000100 dead000000000122 0000000000000000',
      'raw: 0000000000000000 0000000000000000 00000000ffffffff 0000000000000000',
      expect.stringMatching(/^page dumped because: \S/),
    ])
  })

  it('tells one that has never been used by it, too', () => {
    const pages = flatMachine(4096, 0, { log })
    expect(freshEnd(pages.words, 3072)).toBe(4096)
    const report = dumpOf(() => pages.freePages(toPfn(3072)))
    expect(report[1]).toBe(
      `page:${pointer(3072)} refcount:0 mapcount:-128 mapping:0000000000000000 index:0x0 pfn:0xc00`,
    )
    expect(dumpOf(() => pages.freePages(toPfn(3073)))[1]).toContain('mapcount:0')
  })

  it('names the flags, and the head of a compound page', () => {
    const pages = flatMachine(4096, 0, { log })
    const pfn = pages.allocPages(GFP_KERNEL | __GFP_COMP, 3) as Pfn
    pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_LRU
    const report = dumpOf(() => pages.freePages(pfn, 3))
    expect(report.slice(1, 5)).toEqual([
      `page:${pointer(pfn)} refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 ` +
        `pfn:0x${pfn.toString(16)}`,
      `head:${pointer(pfn)} order:3 compound_mapcount:0 compound_pincount:0`,
      'flags: 0x200000000010010(lru|head|node=0|zone=2)',
      'raw: 0200000000010010 dead000000000100 dead000000000122 0000000000000000',
    ])
    expect(report[5]).toBe(
      'raw: 0000000000000000 0000000000000000 00000001ffffffff 0000000000000000',
    )
    expect(report[6]).toBe('page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set')
    const tail = dumpOf(() => pages.freePages(toPfn(pfn + 2)))
    expect(tail[2]).toBe(report[2])
  })

  it('tells a page of CMA', () => {
    const pages = flatMachine(4096, 0, { log })
    expect(allocContigRange(pages, toPfn(1024), toPfn(1536), MIGRATE_CMA)).toBe(0)
    freeContigRange(pages, toPfn(1024), 512)
    pages.drainAllPages()
    const report = dumpOf(() => pages.freePages(toPfn(1024)))
    expect(report).toContain('flags: 0x200000000000000(node=0|zone=2) CMA')
    expect(dumpOf(() => pages.freePages(toPfn(2048)))).toContain(
      'flags: 0x200000000000000(node=0|zone=2)',
    )
  })
})

describe('the report of a failed request', () => {
  /** Four nodes of 16 MiB in one zone each. */
  function fourNodes(): { pages: BuddyAllocator; lines: string[] } {
    const lines: string[] = []
    const memory = [0, 1, 2, 3].map((node) => ({ base: node * 16 * MiB, size: 16 * MiB, node }))
    const pages = new BuddyAllocator({
      memory: { memory, reserved: [] },
      zones: ZONES_FLAT,
      log: kernelLog((line) => lines.push(line)),
    })
    return { pages, lines }
  }

  /** The first line of the report, and the nodes that it describes. */
  function failing(gfp: number, nodes: number[], bits = 0): [head: string, described: string] {
    const { pages, lines } = fourNodes()
    for (let i = 0; i < 5 * 16; i++) allocPagesNodemask(pages, 0, __GFP_MEMALLOC, 10, [0, 1, 2, 3])
    lines.length = 0
    const request = () => allocPagesNodemask(pages, nodes[0] ?? 0, gfp, 10, nodes)
    expect(inContext(pages, bits, request)).toBeNull()
    const head = lines.find((line) => line.includes('page allocation failure')) ?? ''
    const shown = lines.filter((line) => /^Node \d Normal free:/.test(line))
    return [head, shown.map((line) => line[5]).join('')]
  }

  it.each([
    [[0], '0'],
    [[0, 1, 2, 3], '0-3'],
    [[1, 3], '1,3'],
    [[0, 2, 3], '0,2-3'],
  ])('prints the nodes %j as %s, and shows them alone', (nodes, text) => {
    const [head, described] = failing(GFP_KERNEL, nodes)
    expect(head).toBe(
      `kmem: page allocation failure: order:10, mode:0xcc0(GFP_KERNEL), nodemask=${text}`,
    )
    expect(described).toBe(nodes.join(''))
  })

  it.each([
    ['one that may not wait', GFP_NOWAIT, 0, '0123'],
    ['one in an interrupt', GFP_KERNEL, CONTEXT_INTERRUPT, '0123'],
    ['one of a task that reclaims', GFP_KERNEL, CONTEXT_MEMALLOC, '0123'],
    ['one of an OOM victim', GFP_KERNEL, CONTEXT_OOM_VICTIM, '0123'],
    [
      'the same without the right to reserves',
      GFP_KERNEL | __GFP_NOMEMALLOC,
      CONTEXT_MEMALLOC,
      '2',
    ],
  ])('shows every node for %s where that may use any node', (_who, gfp, bits, nodes) => {
    expect(failing(gfp, [2], bits)[1]).toBe(nodes)
  })

  it('is not written for a DMA request where no DMA zone has pages', () => {
    const reports = (lines: string[]) =>
      lines.filter((line) => line.includes('page allocation failure')).length
    // Everything here is Normal, so DMA requests find no zone at all.
    const { pages, lines } = fourNodes()
    expect(pages.allocPages(GFP_KERNEL | __GFP_DMA)).toBeNull()
    expect(reports(lines)).toBe(0)
    const dma: string[] = []
    const small = twoNodes({ log: kernelLog((line) => dma.push(line)) })
    // Node 1 has no DMA zone, but the machine has one.
    expect(small.allocPagesNode(1, GFP_KERNEL | __GFP_DMA | __GFP_THISNODE)).toBeNull()
    expect(reports(dma)).toBe(1)
  })
})

describe('a request that may sleep where that is a bug', () => {
  it('is reported, with interrupts on or off', () => {
    const lines: string[] = []
    const pages = flatMachine(4096, 0, { log: kernelLog((line) => lines.push(line)) })
    lines.length = 0
    inContext(pages, CONTEXT_ATOMIC, () => pages.allocPages(GFP_KERNEL | __GFP_MOVABLE))
    inInterrupt(pages, () => pages.allocPages(GFP_KERNEL))
    inInterrupt(pages, () => pages.allocPages(GFP_NOWAIT))
    const where = 'BUG: sleeping function called from invalid context at alloc_pages'
    const line = (irq: number) =>
      `in_atomic(): 1, irqs_disabled(): ${irq}, non_block: 0, pid: 0, name: kmem`
    const count = 'preempt_count: 1, expected: 0'
    expect(lines).toEqual([where, line(0), count, where, line(1), count])
  })
})
