/** What the layers above ask a page allocator: where pages are, which of them are reserves, who holds them. */

import { describe, expect, it } from 'vitest'
import { CONTEXT_INTERRUPT, CONTEXT_MEMALLOC } from '../../src/buddy/contextBits'
import {
  __GFP_DMA,
  __GFP_MEMALLOC,
  __GFP_NOMEMALLOC,
  BuddyAllocator,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
  getPage,
  InvalidArgument,
  inContext,
  kernelLog,
  MiB,
  onCpu,
  PhysicalMemory,
  pageCount,
  pageSource,
  toPfn,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_SLAB } from '../../src/page/pageFlags'
import { PAGE_FLAGS } from '../../src/state/schema'
import { zoneOfPfn } from '../../src/zone/zones'
import { faults, flatMachine, thrownBy, twoNodes, zoneOf } from './machines'

/** Nodes 0 and 1 with memory, 3 with a CPU and none; there is no node 2. */
function machine() {
  const pages = new BuddyAllocator({
    ram: new PhysicalMemory({
      map: [
        { base: 0, size: 32 * MiB, type: 'usable', node: 0 },
        { base: 32 * MiB, size: 16 * MiB, type: 'usable', node: 1 },
      ],
    }),
    cpuNodes: [1, 0, 3],
  })
  return { pages, source: pageSource(pages) }
}

describe('a page source', () => {
  it('is always the same one, and its own', () => {
    const { pages, source } = machine()
    expect(pageSource(pages)).toBe(source)
    expect(pageSource(source)).toBe(source)
  })

  it('wants an allocator, over memory with content', () => {
    for (const other of [null, undefined, {}, 7]) {
      expect(thrownBy(() => pageSource(other as never))).toMatchObject({ argument: 'pages' })
    }
    const error = thrownBy(() => pageSource(flatMachine(1024)))
    expect(error).toBeInstanceOf(InvalidArgument)
    expect(error).toMatchObject({ argument: 'ram' })
  })

  it('tells the nodes: of each CPU, online, with memory', () => {
    const { source } = machine()
    expect([source.nrCpus, source.nrNodes, source.maxPfn]).toEqual([3, 4, 32768])
    expect([0, 1, 2].map((cpu) => source.cpuNode(cpu))).toEqual([1, 0, 3])
    expect([0, 1, 2, 3].map((node) => source.isOnline(node))).toEqual([true, true, false, true])
    expect([0, 1, 2, 3].map((node) => source.hasMemory(node))).toEqual([true, true, false, false])
  })

  it('gives blocks of a node, or of the CPU’s own, marked as a slab’s until they go', () => {
    const { pages, source } = machine()
    const flags = (pfn: number) => pages.words[pageRecord(pfn) + PAGE_FLAGS]! & PG_SLAB
    for (const [node, from] of [
      [-1, 1],
      [0, 0],
      [1, 1],
    ] as const) {
      const pfn = source.allocBlock(GFP_KERNEL, 2, node)
      expect([source.nodeOf(pfn), source.zoneIndexOf(pfn)]).toEqual([from, 1])
      expect(zoneOfPfn(pages.words, pfn)).toBe(zoneOf(pages, from, 1))
      expect(flags(pfn)).toBe(PG_SLAB)
      source.freeBlock(pfn, 2)
      expect([flags(pfn), pageCount(pages, toPfn(pfn))]).toEqual([0, 0])
    }
    const low = source.allocBlock(GFP_KERNEL | __GFP_DMA, 0, 0)
    expect(source.zoneIndexOf(low)).toBe(0)
    expect(source.allocBlock(GFP_KERNEL, 11, -1)).toBe(-1)
    expect(faults(pages)).toEqual([])
  })

  it('leaves a block to who else holds it', () => {
    const { pages, source } = machine()
    const pfn = source.allocBlock(GFP_KERNEL, 0, -1)
    getPage(pages, toPfn(pfn))
    getPage(pages, toPfn(pfn))
    source.freeBlock(pfn, 0)
    expect(pageCount(pages, toPfn(pfn))).toBe(2)
    source.freeBlock(pfn, 0)
    source.freeBlock(pfn, 0)
    expect(pageCount(pages, toPfn(pfn))).toBe(0)
    expect(faults(pages)).toEqual([])
  })

  it('tells pages of the emergency reserve, and who may have some', () => {
    const { pages, source } = machine()
    const usual = source.allocBlock(GFP_KERNEL, 0, -1)
    expect(source.isReserve(usual)).toBe(false)
    while (source.allocBlock(GFP_NOWAIT, 0, -1) >= 0);
    const reserve = source.allocBlock(GFP_NOWAIT | __GFP_MEMALLOC, 0, -1)
    expect(source.isReserve(reserve)).toBe(true)
    const may = (bits: number, gfp: number) =>
      inContext(pages, bits, () => source.mayUseReserve(gfp))
    expect([GFP_KERNEL, GFP_ATOMIC].map((gfp) => may(0, gfp))).toEqual([false, false])
    expect(may(0, GFP_KERNEL | __GFP_MEMALLOC)).toBe(true)
    expect(may(0, GFP_KERNEL | __GFP_MEMALLOC | __GFP_NOMEMALLOC)).toBe(false)
    expect(may(CONTEXT_MEMALLOC, GFP_KERNEL)).toBe(true)
    expect(may(CONTEXT_MEMALLOC | CONTEXT_INTERRUPT, GFP_KERNEL)).toBe(false)
  })
})

describe('pages that boot takes for good', () => {
  it.each([0, 1, 64])('are %i', (earlyPages) => {
    const [pages, other] = [flatMachine(4096, 0, { earlyPages }), flatMachine(4096)]
    const free = (machine: BuddyAllocator) => {
      machine.drainAllPages()
      let count = 0
      while (machine.allocPages(GFP_NOWAIT | __GFP_MEMALLOC) !== null) count += 1
      return count
    }
    expect(faults(pages)).toEqual([])
    expect(free(other) - free(pages)).toBe(earlyPages)
  })
})

describe('the failure of a layer above', () => {
  it('is reported like one of pages, in its own words, if the mask lets it', () => {
    const lines: string[] = []
    const pages = twoNodes({ log: kernelLog((line) => lines.push(line)) })
    const report = (gfp: number, cpu = 0) => {
      lines.length = 0
      onCpu(pages, cpu, () => pages.context.log.warnAlloc?.(pages.context, gfp, 'no room'))
      return lines.slice()
    }
    expect(report(GFP_KERNEL)[0]).toBe('kmem: no room, mode:0xcc0(GFP_KERNEL), nodemask=(null)')
    expect(report(GFP_KERNEL).some((line) => line.startsWith('Node 1 DMA32 free:'))).toBe(true)
    // What is shown of page lists is that CPU's.
    expect(report(GFP_KERNEL, 1).length).toBe(report(GFP_KERNEL).length)
    expect(report(GFP_KERNEL | 0x2000)).toEqual([])
    expect(report(GFP_KERNEL | __GFP_DMA)).not.toEqual([])
    const flat = flatMachine(4096, 0, { log: kernelLog((line) => lines.push(line)) })
    lines.length = 0
    flat.context.log.warnAlloc?.(flat.context, GFP_KERNEL | __GFP_DMA, 'no room')
    expect(lines).toEqual([])
  })

  it('comes once in ten seconds', () => {
    let now = 100
    const lines: string[] = []
    const log = kernelLog((line) => lines.push(line), { clock: () => now })
    const pages = twoNodes({ log })
    const reports = () => {
      lines.length = 0
      log.warnAlloc?.(pages.context, GFP_KERNEL, 'no room')
      return lines.filter((line) => line.includes('no room')).length
    }
    expect([reports(), reports()]).toEqual([1, 0])
    now += 9
    expect(reports()).toBe(0)
    now += 2
    expect(reports()).toBe(1)
    expect(lines[0]).toBe('warn_alloc: 2 callbacks suppressed')
  })
})
