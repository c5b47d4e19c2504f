/** Owners of pages: the texts, and a model that keeps a map of blocks. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { MiB, type Pfn, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { allocContigRange } from '../../src/buddy/contig'
import {
  allocPagesBulk,
  allocPagesExact,
  freePagesExact,
  splitPage,
} from '../../src/buddy/exactPages'
import { type PageOwner, type PageOwnerOptions, pageOwner } from '../../src/debug/pageOwner'
import {
  formatPageOwner,
  formatPageOwnerTotals,
  pageOwnerTotals,
} from '../../src/debug/pageOwnerText'
import { __GFP_COMP, __GFP_MOVABLE, GFP_KERNEL } from '../../src/page/gfp'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { noPageTrace } from '../../src/state/trace'
import { must } from '../slab/machines'
import { vmMachine } from '../vmalloc/machines'

function machine(mib = 16): BuddyAllocator {
  return new BuddyAllocator({ ram: new PhysicalMemory({ size: mib * MiB, content: false }) })
}

/** What owners are known of, but for early pages: `pfn order caller`. */
function known(owner: PageOwner): string[] {
  return Array.from(
    owner.records(),
    ({ pfn, order, caller }) => `${pfn} ${order} ${caller}`,
  ).filter((line) => !line.endsWith('early'))
}

describe('the texts', () => {
  it('are those of the kernel', () => {
    const pages = machine()
    pages.context.taskName = 'a-very-long-task-name'
    let now = 100
    const clock = () => {
      now += 23
      return now
    }
    const caller = () => 'f+0x10/0x20\ng+0x1/0x2'
    const owner = pageOwner(pages, { caller, clock, pid: () => 7 })
    const first = must(pages.allocPages(GFP_KERNEL))
    pages.freePages(first)
    expect(must(pages.allocPages(GFP_KERNEL))).toBe(first)
    const movable = must(pages.allocPages(GFP_KERNEL | __GFP_COMP | __GFP_MOVABLE, 2))
    const paragraph = (pfn: Pfn, head: string, type: string, flags: string) =>
      `Page allocated via ${head} ns\n` +
      `PFN ${pfn} type ${type} Block ${pfn >> 9} type ${type} Flags ${flags}\n` +
      ' f+0x10/0x20\n g+0x1/0x2\n\n'
    const task = 'pid 7, tgid 7 (a-very-long-tas)'
    const one = paragraph(
      first,
      `order 0, mask 0xcc0(GFP_KERNEL), ${task}, ts 169 ns, free_ts 146`,
      'Unmovable',
      '0x0(node=0|zone=0)',
    )
    const four = paragraph(
      movable,
      `order 2, mask 0x40cc8(GFP_KERNEL|__GFP_COMP|__GFP_MOVABLE), ${task}, ts 192 ns, free_ts 0`,
      'Movable',
      '0x10000(head|node=0|zone=0)',
    )
    expect(formatPageOwner(owner)).toBe(first < movable ? one + four : four + one)
  })

  it('show the node and the zone in the flags, and the type of the pageblock', () => {
    const m = vmMachine({ mib: 32, nodes: 2 })
    const owner = pageOwner(m.pages)
    const pfn = must(m.pages.allocPagesNode(1, GFP_KERNEL | __GFP_MOVABLE))
    expect(formatPageOwner(owner)).toContain(
      `(kmem), ts 1 ns, free_ts 0 ns\nPFN ${pfn} type Movable Block ${pfn >> 9} type Movable ` +
        'Flags 0x500000000000000(node=1|zone=1)\n\n',
    )
  })

  it('add up what was allocated alike', () => {
    const pages = machine()
    let caller = 'f'
    const owner = pageOwner(pages, { caller: () => caller })
    for (let i = 0; i < 3; i++) must(pages.allocPages(GFP_KERNEL))
    must(pages.allocPages(GFP_KERNEL, 3))
    caller = ''
    pages.freePages(must(pages.allocPages(GFP_KERNEL, 1)), 1)
    must(pages.allocPages(GFP_KERNEL, 1))
    const line = (order: number) =>
      `Page allocated via order ${order}, mask 0xcc0(GFP_KERNEL), pid 0, tgid 0 (kmem)\n`
    const three = `3 times, 3 pages:\n${line(0)} f\n\n`
    const eight = `1 times, 8 pages:\n${line(3)} f\n\n`
    const two = `1 times, 2 pages:\n${line(1)}\n`
    expect(formatPageOwnerTotals(owner, 'pages')).toBe(eight + three + two)
    expect(formatPageOwnerTotals(owner).startsWith(three)).toBe(true)
    expect(pageOwnerTotals(owner)[0]).toEqual({
      times: 3,
      pages: 3,
      order: 0,
      gfp: GFP_KERNEL,
      pid: 0,
      task: 'kmem',
      caller: 'f',
    })
    expect(() => pageOwnerTotals(owner, 'size' as 'pages')).toThrow(InvalidArgument)
  })
})

describe('blocks that change without an event', () => {
  it('are pages of their own once split', () => {
    const pages = machine()
    const owner = pageOwner(pages, { caller: () => 'f' })
    const pfn = must(pages.allocPages(GFP_KERNEL, 2))
    expect(known(owner)).toEqual([`${pfn} 2 f`])
    expect(owner.ownerOf((pfn + 3) as Pfn)).toMatchObject({ pfn, order: 2, time: 1 })
    splitPage(pages, pfn, 2)
    pages.freePages((pfn + 1) as Pfn)
    expect(known(owner)).toEqual([0, 2, 3].map((i) => `${pfn + i} 0 f`))
    expect(owner.ownerOf((pfn + 3) as Pfn)).toMatchObject({ pfn: pfn + 3, order: 0, time: 1 })
    expect(owner.ownerOf((pfn + 1) as Pfn)).toBeNull()
  })

  it('are exactly the pages that were asked for', () => {
    const pages = machine()
    const owner = pageOwner(pages)
    const pfn = must(allocPagesExact(pages, 5 * 4096, GFP_KERNEL))
    expect(known(owner)).toEqual([0, 1, 2, 3, 4].map((i) => `${pfn + i} 0 `))
    freePagesExact(pages, pfn, 5 * 4096)
    expect(known(owner)).toEqual([])
  })

  it('come one by one from bulk requests, until it stops', () => {
    const pages = machine()
    const owner = pageOwner(pages)
    const [pfn, ...others] = allocPagesBulk(pages, GFP_KERNEL, 8)
    expect(others).toEqual([])
    expect(known(owner)).toEqual([`${pfn} 0 `])
    owner.stop()
    expect(allocPagesBulk(pages, GFP_KERNEL, 8)).toHaveLength(8)
    expect(known(owner)).toEqual([`${pfn} 0 `])
  })

  it('can be claimed', () => {
    const pages = machine()
    const owner = pageOwner(pages, { caller: () => 'cma', pid: () => 3 })
    expect(allocContigRange(pages, 2048 as Pfn, 2051 as Pfn, 1)).toBe(0)
    expect(owner.ownerOf(2048 as Pfn)).toBeNull()
    expect(() => owner.claim(2048 as Pfn, 4)).toThrow(/pfn is 2051.*in use/)
    expect(() => owner.claim(2048 as Pfn, 0)).toThrow(InvalidArgument)
    expect(() => owner.claim(2048 as Pfn, 3, 0x18)).toThrow(InvalidArgument)
    expect(() => owner.claim(9999 as Pfn, 1)).toThrow(/pfn is 9999.*in use/)
    expect(() => owner.claim(1e9 as Pfn, 1)).toThrow(KernelBug)
    expect(known(owner)).toEqual([])
    owner.claim(2048 as Pfn, 3, __GFP_MOVABLE)
    expect(known(owner)).toEqual([0, 1, 2].map((i) => `${2048 + i} 0 cma`))
    expect(owner.ownerOf(2050 as Pfn)).toMatchObject({ gfp: __GFP_MOVABLE, pid: 3 })
  })
})

describe('pageOwner', () => {
  it('knows pages of before as early ones, of order 0', () => {
    const m = vmMachine({ mib: 32, nodes: 2 })
    const block = must(m.pages.allocPagesNode(1, GFP_KERNEL, 1))
    const log: string[] = []
    const owner = pageOwner(m.pages, { caller: () => 'f', log: (line) => log.push(line) })
    const early = [...owner.records()]
    expect(early.map(({ order, caller }) => `${order} ${caller}`)).toEqual(
      early.map(() => '0 early'),
    )
    const onNode1 = early.map(({ pfn }) => Number(pfn)).filter((pfn) => pfn >= 8192)
    // The slab of its node's descriptors, and the block.
    expect(onNode1).toEqual([8192, block, block + 1])
    expect(log).toEqual([
      expect.stringMatching(/^Node 0, zone {6}DMA: page owner found early allocated \d+ pages$/),
      expect.stringMatching(/^Node 0, zone {4}DMA32: page owner found early allocated \d+ pages$/),
      'Node 1, zone    DMA32: page owner found early allocated 3 pages',
    ])
    const told = log.reduce((sum, line) => sum + Number(/(\d+) pages/.exec(line)?.[1]), 0)
    expect(told).toBe(early.length)
    expect(formatPageOwner(owner)).toContain('order 0, mask 0x0(), pid 0')
    m.pages.freePages(block, 1)
    expect([...owner.records()]).toHaveLength(early.length - 2)
  })

  it('tells the listener of before, and leaves it alone at the end', () => {
    const pages = machine()
    const seen: string[] = []
    pages.setTrace({
      ...noPageTrace,
      pageAlloc: (pfn, order) => seen.push(`alloc ${pfn} ${order}`),
      pageFree: (pfn, order) => seen.push(`free ${pfn} ${order}`),
    })
    const before = pages.context.trace
    const owner = pageOwner(pages)
    const pfn = must(pages.allocPages(GFP_KERNEL, 1))
    pages.freePages(pfn, 1)
    expect(seen).toEqual([`alloc ${pfn} 1`, `free ${pfn} 1`])
    owner.stop()
    owner.stop()
    expect(pages.context.trace).toBe(before)
    const next = pageOwner(pages)
    const inner = pages.context.trace
    pages.setTrace({ ...noPageTrace, pageAlloc: (...event) => inner.pageAlloc(...event) })
    next.stop()
    must(pages.allocPages(GFP_KERNEL))
    expect(seen).toHaveLength(3)
    expect(known(next)).toEqual([])
  })

  it('lets the fast path back in when it stops', () => {
    const pages = machine()
    const owner = pageOwner(pages)
    expect(pages.context.fastLimit).toBe(0)
    owner.stop()
    expect([pages.context.fastLimit, pages.context.tracing]).toEqual([pages.context.maxPfn, false])
  })

  it('names who asked for pages of slabs and vmalloc', () => {
    const m = vmMachine()
    const owner = pageOwner(m.pages, { caller: () => 'f' })
    const p = must(m.vm.vmalloc(20 * 4096))
    const pfns = Array.from({ length: 20 }, (_, i) =>
      must(m.vm.vmallocToPfn((p + i * 4096) as VirtAddr)),
    )
    for (const pfn of pfns) expect(owner.ownerOf(pfn)).toMatchObject({ caller: 'f', order: 0 })
    m.vm.vfree(p)
    for (const pfn of pfns) expect(owner.ownerOf(pfn)).toBeNull()
  })

  it('refuses wrong arguments, and a second one', () => {
    const pages = machine()
    const bad = { clock: 3 } as unknown as PageOwnerOptions
    expect(() => pageOwner(pages, bad)).toThrow(/^clock is 3/)
    expect(() => pageOwner(pages, null as unknown as PageOwnerOptions)).toThrow(InvalidArgument)
    expect(() => pageOwner(undefined as unknown as BuddyAllocator)).toThrow(InvalidArgument)
    const owner = pageOwner(pages)
    expect(() => pageOwner(pages)).toThrow(InvalidArgument)
    expect(() => owner.ownerOf(1.5 as Pfn)).toThrow(InvalidArgument)
    expect(owner.ownerOf(1e9 as Pfn)).toBeNull()
    owner.stop()
    pageOwner(pages)
  })

  it('agrees with a map of blocks, whatever is done', () => {
    const kinds = ['alloc', 'compound', 'bulk', 'exact', 'free', 'split', 'fail'] as const
    const step = fc.tuple(fc.constantFrom(...kinds), fc.nat(4), fc.nat(1000))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pages = machine(4)
        let name = ''
        const owner = pageOwner(pages, { caller: () => name })
        const model = new Map<number, { order: number; caller: string; whole: boolean }>()
        for (const [i, [kind, order, pick]] of steps.entries()) {
          name = `step${i}`
          const add = (pfn: number | null | undefined, of: number, whole = false) => {
            if (pfn != null) model.set(pfn, { order: of, caller: name, whole })
          }
          const [chosen, block] = [...model][pick % Math.max(1, model.size)] ?? []
          if (kind === 'alloc') add(pages.allocPages(GFP_KERNEL, order), order)
          else if (kind === 'compound') {
            add(pages.allocPages(GFP_KERNEL | __GFP_COMP, order), order, true)
          } else if (kind === 'bulk') add(allocPagesBulk(pages, GFP_KERNEL, order)[0], 0)
          else if (kind === 'exact') {
            const pfn = allocPagesExact(pages, (order + 1) * 4096, GFP_KERNEL)
            if (pfn !== null) for (let page = 0; page <= order; page++) add(pfn + page, 0)
          } else if (chosen === undefined || block === undefined) continue
          else if (kind === 'free') {
            pages.freePages(chosen as Pfn, block.order)
            model.delete(chosen)
          } else if (kind === 'split' && !(block.whole && block.order > 0)) {
            splitPage(pages, chosen as Pfn, block.order)
            for (let page = 0; page < 1 << block.order; page++) {
              model.set(chosen + page, { ...block, order: 0, whole: false })
            }
          } else if (kind === 'fail') {
            expect(() => pages.freePages(chosen as Pfn, block.order + 1)).toThrow(KernelBug)
          }
        }
        const expected = [...model].sort(([a], [b]) => a - b)
        expect(known(owner)).toEqual(
          expected.map(([pfn, { order, caller }]) => `${pfn} ${order} ${caller}`),
        )
        for (const [pfn, { order, caller }] of expected) {
          const last = (pfn + (1 << order) - 1) as Pfn
          expect(owner.ownerOf(last)).toMatchObject({ pfn, order, caller })
        }
      }),
      { numRuns: 40, seed: 5 },
    )
  })
})
