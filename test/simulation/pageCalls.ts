/** Operations on pages. */

import {
  __GFP_COMP,
  __GFP_NOWARN,
  allocContigPages,
  allocContigRange,
  allocPagesBulk,
  allocPagesExact,
  foldCounters,
  GFP_KERNEL,
  getDmaPages,
  getFreePages,
  getPage,
  getZeroedPage,
  PAGE_SIZE,
  PageFragCache,
  type Pfn,
  pageCount,
  putPage,
  refreshVmstat,
  reservePages,
  splitPage,
} from '../../src/index'
import { isZeroed, orderOf, pageMask } from './draws'
import { release } from './release'
import type { Call } from './script'
import type { Operation, Simulation } from './simulation'
import { Violation } from './violation'

export const PAGE_CALLS: Readonly<Record<string, Operation>> = {
  'pages.alloc': {
    weight: 12,
    inInterrupt: true,
    run(s, { at, a, b }) {
      if (s.full) return s.free(a, at, b)
      const [gfp, order] = [pageMask(a), orderOf(b)]
      enterBlock(
        s,
        at,
        gfp,
        order,
        s.attempt(() => s.machine.allocPages(gfp, order)),
      )
    },
  },
  'pages.allocSingle': {
    weight: 12,
    inInterrupt: true,
    run(s, { at, a, b }) {
      if (s.full) return s.free(a, at, b)
      const gfp = pageMask(a)
      enterBlock(
        s,
        at,
        gfp,
        0,
        s.attempt(() => s.machine.allocPages(gfp)),
      )
    },
  },
  'pages.allocNode': {
    weight: 4,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const { pages } = s.machine
      const [gfp, order] = [pageMask(a), orderOf(b)]
      const node = c % pages.context.nrNodes
      enterBlock(
        s,
        at,
        gfp,
        order,
        s.attempt(() => pages.allocPagesNode(node, gfp, order)),
      )
    },
  },
  'pages.atAddress': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const { pages } = s.machine
      const gfp = GFP_KERNEL
      const way = c % 3
      const order = way === 1 ? 0 : orderOf(b)
      const address =
        way === 0
          ? getFreePages(pages, gfp, order)
          : way === 1
            ? getZeroedPage(pages, gfp)
            : getDmaPages(pages, gfp, order)
      const pfn = address === null ? null : ((address / PAGE_SIZE) as Pfn)
      enterBlock(s, at, way === 1 ? 0x100 : gfp, order, pfn)
    },
  },
  'pages.bulk': {
    weight: 3,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const gfp = pageMask(a)
      const count = c % 70
      let pfns: Pfn[] = []
      s.attempt(() => {
        pfns = allocPagesBulk(s.machine.pages, gfp, count)
        return null
      })
      if (pfns.length > count) throw new Violation('bulk', `${pfns.length} pages for ${count}`)
      enterPages(s, at, pfns, false, isZeroed(gfp))
    },
  },
  'pages.exact': {
    weight: 2,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const gfp = pageMask(a)
      const bytes = 1 + (b % (c % 10 === 0 ? 1_000_000 : 33 * PAGE_SIZE))
      const first = s.attempt(() => allocPagesExact(s.machine.pages, bytes, gfp))
      enterRun(s, at, first, Math.ceil(bytes / PAGE_SIZE), isZeroed(gfp))
    },
  },
  'pages.contig': {
    weight: 0.3,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const count = 1 + (b % (c % 3 === 0 ? 1500 : 60))
      enterRun(s, at, allocContigPages(s.machine.pages, count, GFP_KERNEL), count, false)
    },
  },
  'pages.contigRange': {
    weight: 0.6,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const start = s.frame(a)
      const end = Math.min(
        start + 1 + (b % (c % 3 === 0 ? 1500 : 60)),
        s.machine.ram.end / PAGE_SIZE,
      )
      const result = allocContigRange(s.machine.pages, start, end as Pfn)
      s.fold(result)
      if (result === 0) enterRun(s, at, start, end - start, false)
    },
  },
  'pages.reserve': {
    weight: 1,
    run(s, { at, a, b }) {
      if (s.full) return s.free(a, at, b)
      const pfn = s.frame(a)
      const count = Math.min(1 + (b % 30), s.machine.ram.end / PAGE_SIZE - pfn)
      const got = reservePages(s.machine.pages, pfn, count)
      s.fold(got ? 1 : 0)
      if (got) enterRun(s, at, pfn, count, false)
    },
  },
  'pages.frag': {
    weight: 4,
    inInterrupt: true,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const { pages } = s.machine
      const cpu = pages.context.cpu
      let cache = s.frags.get(cpu)
      if (cache === undefined) {
        cache = new PageFragCache(pages)
        s.frags.set(cpu, cache)
      }
      const bytes = 1 + (b % (b % 7 === 0 ? 32768 : 2000))
      const align = 2 ** (c % 8)
      const address = cache.alloc(bytes, pageMask(a) & ~0x8100, align)
      s.fold(address)
      if (address === null) return
      if (address % align !== 0) throw new Violation('align', `a fragment at ${address}`)
      s.enter({ kind: 'frag', id: at, address, bytes })
    },
  },
  'pages.fragDrain': {
    weight: 0.3,
    run(s) {
      s.frags.get(s.machine.pages.context.cpu)?.drain()
    },
  },
  'pages.split': {
    weight: 1,
    run(s, { at, a }) {
      const item = s.live.pick(a, at, 'block')
      if (item?.kind !== 'block' || item.compound || item.refs > 1) return
      s.expectMarks(item)
      splitPage(s.machine.pages, item.pfn, item.order)
      const pfns = Array.from({ length: 2 ** item.order }, (_, i) => (item.pfn + i) as Pfn)
      const pages = { kind: 'pages', id: item.id, pfns, run: true } as const
      s.live.replace(pages)
      s.mark(pages)
      s.note(`splits ${item.id}`)
    },
  },
  'pages.get': {
    weight: 2,
    run(s, { at, a, b }) {
      const item = s.live.pick(a, at, 'block')
      if (item?.kind !== 'block' || item.refs > 5) return
      const inside = item.compound ? b % 2 ** item.order : 0
      getPage(s.machine.pages, (item.pfn + inside) as Pfn)
      item.refs += 1
      expectRefs(s, item.pfn, item.refs)
    },
  },
  'pages.put': {
    weight: 2,
    inInterrupt: true,
    run(s, { at, a, b }) {
      const item = s.live.pick(a, at, 'block')
      if (item?.kind !== 'block') return
      if (item.refs === 1) return release(s, item, b)
      putPage(s.machine.pages, item.pfn)
      item.refs -= 1
      expectRefs(s, item.pfn, item.refs)
    },
  },
  'pages.flood': {
    weight: 0.06,
    run(s, { at, a, b }) {
      const gfp = (pageMask(a) & ~0x8100) | __GFP_NOWARN
      const limit = b % 3 === 0 ? Number.POSITIVE_INFINITY : b % 3000
      const pfns: Pfn[] = []
      while (pfns.length < limit) {
        const pfn = s.machine.allocPages(gfp)
        if (pfn === null) break
        pfns.push(pfn)
      }
      enterPages(s, at, pfns, false, false)
    },
  },
  'pages.ebb': {
    weight: 0.3,
    run(s, { b }) {
      const floods = s.live.items.filter((item) => item.kind === 'pages' && item.pfns.length > 70)
      for (const item of floods) release(s, item, b)
    },
  },
  'pages.drainLocal': {
    weight: 0.5,
    inInterrupt: true,
    run: (s) => s.machine.pages.drainLocalPages(),
  },
  'pages.drainAll': { weight: 0.3, run: (s) => s.machine.pages.drainAllPages() },
  'pages.foldCounters': { weight: 0.2, run: (s) => foldCounters(s.machine.pages) },
  'pages.refresh': { weight: 0.3, run: (s) => refreshVmstat(s.machine.pages) },
}

function enterBlock(
  s: Simulation,
  at: Call['at'],
  gfp: number,
  order: number,
  pfn: Pfn | null,
): void {
  s.fold(pfn)
  if (pfn === null) return
  if (pfn % 2 ** order !== 0) throw new Violation('align', `pfn ${pfn} of order ${order}`)
  const compound = (gfp & __GFP_COMP) !== 0 && order > 0
  s.enter({ kind: 'block', id: at, pfn, order, compound, refs: 1 }, isZeroed(gfp))
}

function enterRun(
  s: Simulation,
  at: number,
  first: Pfn | null,
  count: number,
  zeroed: boolean,
): void {
  if (first === null) {
    s.fold(null)
    return
  }
  const pfns = Array.from({ length: count }, (_, i) => (first + i) as Pfn)
  enterPages(s, at, pfns, true, zeroed)
}

function enterPages(
  s: Simulation,
  at: number,
  pfns: readonly Pfn[],
  run: boolean,
  zeroed: boolean,
): void {
  s.fold(pfns.length)
  for (const pfn of pfns) s.fold(pfn)
  if (pfns.length > 0) s.enter({ kind: 'pages', id: at, pfns, run }, zeroed)
}

function expectRefs(s: Simulation, pfn: Pfn, refs: number): void {
  const count = pageCount(s.machine.pages, pfn)
  if (count !== refs) throw new Violation('references', `pfn ${pfn} has ${count}, not ${refs}`)
}
