/** What contexts forbid, which events are counted where, and what a listener hears of frees. */

import { describe, expect, it } from 'vitest'
import {
  CONTEXT_ATOMIC,
  CONTEXT_INTERRUPT,
  CONTEXT_MEMALLOC,
  CONTEXT_NOFS,
  CONTEXT_NOIO,
  CONTEXT_PIN,
} from '../../src/buddy/contextBits'
import {
  __GFP_COMP,
  __GFP_FS,
  __GFP_HIGHMEM,
  __GFP_IO,
  __GFP_MEMALLOC,
  __GFP_MOVABLE,
  __GFP_NOWARN,
  __GFP_THISNODE,
  allocPagesBulk,
  allocPagesExact,
  BuddyAllocator,
  freePagesExact,
  freePagesList,
  GFP_ATOMIC,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_NOWAIT,
  inContext,
  kernelLog,
  MiB,
  onCpu,
  type Pfn,
  reservePages,
  splitPage,
  sysctl,
  toPfn,
  withPageListsHeld,
  ZONES_FLAT,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { eventCount, pcpEventCount } from '../../src/state/counters'
import {
  PAGE_FLAGS,
  PCP_COUNT,
  PCP_NUMA_FOREIGN,
  PCP_NUMA_HIT,
  PCP_NUMA_LOCAL,
  PCP_NUMA_MISS,
  PCP_NUMA_OTHER,
  PCP_PGALLOC,
  PCP_PGFREE,
} from '../../src/state/schema'
import { noPageTrace } from '../../src/state/trace'
import { zoneOfPfn } from '../../src/zone/zones'
import {
  cachedPages,
  faults,
  flatMachine,
  freeHead,
  listed,
  pcpOf,
  thrownBy,
  twoNodes,
  zoneOf,
  zonesOf,
} from './machines'

function take(pages: BuddyAllocator, order = 0, gfp: number = GFP_KERNEL): Pfn {
  return pages.allocPages(gfp, order) ?? expect.fail('no memory')
}

/** An event of a CPU, summed over all zones. */
function events(pages: BuddyAllocator, cpu: number, event: number): number {
  return zonesOf(pages).reduce(
    (sum, zone) => sum + pcpEventCount(pages.words, pcpOf(pages, zone, cpu), event),
    0,
  )
}

/** The mask and the migratetype of the next allocation, as a listener hears them. */
function heard(pages: BuddyAllocator, bits: number, gfp: number): [gfp: number, type: number] {
  let told: [number, number] = [-1, -1]
  pages.setTrace({
    ...noPageTrace,
    pageAlloc: (_pfn, _order, mask, type) => {
      told = [mask, type]
    },
  })
  inContext(pages, bits, () => take(pages, 0, gfp))
  pages.setTrace(null)
  return told
}

describe('a context', () => {
  it.each([
    ['that may not start I/O takes I/O and filesystems', CONTEXT_NOIO, __GFP_IO | __GFP_FS],
    ['that may not enter filesystems takes these', CONTEXT_NOFS, __GFP_FS],
    ['that may do neither takes both', CONTEXT_NOIO | CONTEXT_NOFS, __GFP_IO | __GFP_FS],
    ['that pins pages takes MOVABLE', CONTEXT_PIN, __GFP_MOVABLE],
    ['with reserves takes nothing', CONTEXT_MEMALLOC, 0],
  ])('%s from a mask', (_, bits, taken) => {
    const pages = twoNodes()
    const gfp = GFP_HIGHUSER_MOVABLE
    const [mask, type] = heard(pages, bits, gfp)
    expect(mask).toBe(gfp & ~taken)
    expect(type).toBe((taken & __GFP_MOVABLE) !== 0 ? 0 : 1)
    expect(heard(pages, 0, gfp)).toEqual([gfp, 1])
  })

  it('that may not sleep is told of a mask that may', () => {
    const lines: string[] = []
    const pages = twoNodes({ log: kernelLog((line) => lines.push(line)) })
    const said = (bits: number, gfp: number) => {
      lines.length = 0
      inContext(pages, bits, () => take(pages, 0, gfp))
      return lines.some((line) => line.includes('sleeping function called from invalid context'))
    }
    expect(said(0, GFP_KERNEL)).toBe(false)
    expect(said(CONTEXT_NOIO, GFP_KERNEL)).toBe(false)
    expect(said(CONTEXT_ATOMIC, GFP_ATOMIC)).toBe(false)
    expect(said(CONTEXT_ATOMIC, GFP_KERNEL)).toBe(true)
    expect(said(CONTEXT_INTERRUPT, GFP_KERNEL)).toBe(true)
  })

  it('of an interrupt has no reserves of the task that it interrupted', () => {
    const fill = (bits: number) => {
      const pages = flatMachine(4096)
      let count = 0
      inContext(pages, bits, () => {
        while (pages.allocPages(GFP_NOWAIT | __GFP_NOWARN) !== null) count += 1
      })
      return count
    }
    const usual = fill(0)
    expect(fill(CONTEXT_MEMALLOC)).toBeGreaterThan(usual)
    expect(fill(CONTEXT_MEMALLOC | CONTEXT_INTERRUPT)).toBe(usual)
  })
})

describe('events of nodes', () => {
  it('are hits while the preferred node serves, and local on the CPU’s own', () => {
    const pages = twoNodes()
    onCpu(pages, 1, () => {
      pages.allocPagesNode(1, GFP_KERNEL, 4)
      pages.allocPagesNode(0, GFP_KERNEL, 4)
    })
    const count = (event: number) => events(pages, 1, event)
    expect([count(PCP_NUMA_HIT), count(PCP_NUMA_LOCAL), count(PCP_NUMA_OTHER)]).toEqual([2, 1, 1])
    expect([count(PCP_NUMA_MISS), count(PCP_NUMA_FOREIGN)]).toEqual([0, 0])
    expect(events(pages, 0, PCP_NUMA_HIT)).toBe(0)
  })

  it('are a miss where another node serves, and foreign at the preferred zone', () => {
    const pages = twoNodes()
    const greedy = GFP_NOWAIT | __GFP_THISNODE | __GFP_MEMALLOC | __GFP_NOWARN
    for (let order = 10; order >= 4; order--) {
      while (pages.allocPagesNode(0, greedy, order) !== null);
    }
    const pfn = onCpu(pages, 1, () => pages.allocPagesNode(0, GFP_KERNEL, 4)) ?? -1
    expect(zoneOfPfn(pages.words, pfn)).toBe(zoneOf(pages, 1, 1))
    const at = (node: number, event: number) =>
      eventCount(pages.words, pcpOf(pages, zoneOf(pages, node, 1), 1) + event)
    expect([at(1, PCP_NUMA_MISS), at(0, PCP_NUMA_FOREIGN)]).toEqual([1, 1])
    expect([at(1, PCP_NUMA_HIT), at(1, PCP_NUMA_FOREIGN), at(0, PCP_NUMA_MISS)]).toEqual([0, 0, 0])
    // Node 1 is the CPU's own, whatever was asked for.
    expect(at(1, PCP_NUMA_LOCAL)).toBe(1)
    expect(faults(pages)).toEqual([])
  })
})

describe('page lists of a CPU', () => {
  it('are emptied by that CPU alone', () => {
    const pages = twoNodes()
    const [zone = 0] = zonesOf(pages).slice(-1)
    const count = (cpu: number) => pages.words[pcpOf(pages, zone, cpu) + PCP_COUNT]!
    for (const cpu of [0, 1]) {
      onCpu(pages, cpu, () => {
        const pfn = pages.allocPagesNode(1, GFP_KERNEL) ?? expect.fail('no memory')
        pages.freePages(pfn)
      })
    }
    expect([count(0) > 0, count(1) > 0]).toEqual([true, true])
    onCpu(pages, 1, () => pages.drainLocalPages())
    expect([count(0) > 0, count(1)]).toEqual([true, 0])
    pages.drainLocalPages()
    expect([count(0), count(1)]).toEqual([0, 0])
    expect(faults(pages)).toEqual([])
  })

  it('that are held let pages go to the free lists, the last one first', () => {
    const pages = flatMachine(8192)
    const [zone = 0] = zonesOf(pages)
    const block = take(pages, 3)
    splitPage(pages, block, 3)
    pages.drainAllPages()
    // No two of them are buddies, so that they do not merge.
    const apart = [toPfn(block + 1), toPfn(block + 2), toPfn(block + 4)]
    withPageListsHeld(pages, () => {
      for (const pfn of apart) pages.freePages(pfn)
    })
    expect(listed(pages, freeHead(zone, 0, 0)).slice(0, 3)).toEqual([...apart].reverse())
    const more = [toPfn(block + 7)]
    withPageListsHeld(pages, () => freePagesList(pages, more))
    expect(listed(pages, freeHead(zone, 0, 0))[0]).toBe(block + 7)
    expect(cachedPages(pages, zone)).toBe(0)
    expect(faults(pages)).toEqual([])
  })
})

describe('a list of pages to free', () => {
  it('is untouched by a fault in its middle', () => {
    const pages = twoNodes()
    const used = [take(pages), take(pages), take(pages)]
    const free = take(pages)
    pages.freePages(free)
    const before = pages.words.slice()
    const call = () => freePagesList(pages, [used[0], used[1], free, used[2]] as Pfn[])
    expect(thrownBy(call)).toMatchObject({ code: 'DOUBLE_FREE' })
    const changed = before.findIndex((word, at) => word !== pages.words[at])
    expect(changed).toBe(-1)
    freePagesList(pages, used)
    expect(faults(pages)).toEqual([])
  })

  it('is heard page by page', () => {
    const pages = twoNodes()
    const used = [take(pages), take(pages)]
    const exact = allocPagesExact(pages, 3 * 4096, GFP_KERNEL) ?? expect.fail('no memory')
    const freed: number[] = []
    pages.setTrace({ ...noPageTrace, pageFree: (pfn) => freed.push(pfn) })
    freePagesList(pages, used)
    expect(freed).toEqual(used)
    freePagesExact(pages, exact, 3 * 4096)
    expect(freed.slice(2)).toEqual([exact, exact + 1, exact + 2])
    pages.setTrace(null)
    take(pages)
    expect(freed).toHaveLength(5)
  })
})

describe('exact pages', () => {
  it('give the rest of the block back, heard and counted on this CPU', () => {
    const pages = twoNodes()
    const freed: number[] = []
    const trace = { ...noPageTrace, pageFree: (pfn: number) => freed.push(pfn) }
    pages.setTrace(trace)
    const before = [0, 1].map((cpu) => events(pages, cpu, PCP_PGFREE))
    const pfn = onCpu(pages, 1, () => allocPagesExact(pages, 5 * 4096, GFP_KERNEL)) ?? -9
    pages.setTrace(null)
    expect(freed).toEqual([pfn + 5, pfn + 6, pfn + 7])
    const after = [0, 1].map((cpu) => events(pages, cpu, PCP_PGFREE))
    expect(after).toEqual([before[0], (before[1] ?? 0) + 3])
  })

  it('are warned of above 4 MiB, and where a flag makes no sense, and not else', () => {
    const warnings = (call: (pages: BuddyAllocator) => unknown) => {
      const lines: string[] = []
      const pages = twoNodes({ log: kernelLog((line) => lines.push(line)) })
      call(pages)
      return lines.filter((line) => line.startsWith('WARNING')).length
    }
    const exact = (bytes: number, gfp: number) =>
      warnings((pages) => allocPagesExact(pages, bytes, gfp))
    expect(exact(4 * MiB, GFP_KERNEL)).toBe(0)
    expect(exact(4 * MiB + 1, GFP_KERNEL)).toBe(1)
    expect(exact(16 * MiB, GFP_KERNEL)).toBe(1)
    expect(exact(9000, GFP_KERNEL | __GFP_COMP)).toBe(1)
    expect(exact(9000, GFP_KERNEL | __GFP_HIGHMEM)).toBe(1)
  })

  it('are refused of a compound page, by its code', () => {
    const pages = twoNodes()
    const pfn = take(pages, 2, GFP_KERNEL | __GFP_COMP)
    expect(thrownBy(() => splitPage(pages, pfn, 2))).toMatchObject({ code: 'COMPOUND_PAGE' })
  })
})

describe('bulk', () => {
  it('gives as many as asked for, also one, also when the page lists are held', () => {
    const pages = twoNodes()
    expect(allocPagesBulk(pages, GFP_KERNEL, 0)).toEqual([])
    expect(allocPagesBulk(pages, GFP_KERNEL, 1)).toHaveLength(1)
    expect(allocPagesBulk(pages, GFP_KERNEL, 7)).toHaveLength(7)
    expect(withPageListsHeld(pages, () => allocPagesBulk(pages, GFP_KERNEL, 7))).toHaveLength(1)
    expect(faults(pages)).toEqual([])
  })
})

describe('bulk on several nodes', () => {
  it('counts each page where it comes from, for the CPU that asks', () => {
    const pages = twoNodes()
    const pfns = onCpu(pages, 1, () => allocPagesBulk(pages, GFP_KERNEL, 5, 1))
    expect(pfns).toHaveLength(5)
    const count = (cpu: number, event: number) => events(pages, cpu, event)
    expect([PCP_PGALLOC, PCP_NUMA_HIT, PCP_NUMA_LOCAL].map((e) => count(1, e))).toEqual([5, 5, 5])
    expect([PCP_PGALLOC, PCP_NUMA_HIT, PCP_NUMA_LOCAL].map((e) => count(0, e))).toEqual([0, 0, 0])
    for (const pfn of pfns) expect(pages.words[pageRecord(pfn) + PAGE_FLAGS]).toBe(0)
  })

  it('is a single page where the nearest node has nothing', () => {
    const pages = twoNodes()
    const greedy = GFP_NOWAIT | __GFP_THISNODE | __GFP_MEMALLOC | __GFP_NOWARN
    for (let order = 10; order >= 0; order--) {
      while (pages.allocPagesNode(0, greedy, order) !== null);
    }
    const before = [0, 1].map((cpu) => events(pages, cpu, PCP_NUMA_FOREIGN))
    const pfns = allocPagesBulk(pages, GFP_KERNEL, 5, 0)
    expect(pfns).toHaveLength(1)
    expect(zoneOfPfn(pages.words, pfns[0] ?? -1)).toBe(zoneOf(pages, 1, 1))
    expect(events(pages, 0, PCP_NUMA_FOREIGN)).toBe((before[0] ?? 0) + 1)
    expect(allocPagesBulk(pages, greedy, 5, 0)).toEqual([])
  })
})

describe('a node', () => {
  it('that is asked for must be online', () => {
    const pages = new BuddyAllocator({
      memory: {
        memory: [
          { base: 0, size: 16 * MiB, node: 0 },
          { base: 16 * MiB, size: 16 * MiB, node: 2 },
        ],
        reserved: [],
      },
      zones: ZONES_FLAT,
    })
    for (const node of [0, 2]) {
      const pfn = pages.allocPagesNode(node, GFP_KERNEL) ?? -1
      expect(zoneOfPfn(pages.words, pfn)).toBe(zoneOf(pages, node, 2))
    }
    for (const node of [1, 3, 4, -2]) {
      expect(thrownBy(() => pages.allocPagesNode(node, GFP_KERNEL))).toMatchObject({
        argument: 'node',
        value: node,
      })
    }
  })
})

describe('a change of the watermarks', () => {
  it('is seen by the next single page, on every CPU', () => {
    const pages = twoNodes()
    for (const cpu of [0, 1]) {
      onCpu(pages, cpu, () => {
        for (let i = 0; i < 3; i++) pages.freePages(take(pages, 0, GFP_NOWAIT))
      })
    }
    const before = Number(sysctl(pages, 'min_free_kbytes'))
    sysctl(pages, 'min_free_kbytes', 1024 * 1024)
    for (const cpu of [0, 1]) {
      expect(onCpu(pages, cpu, () => pages.allocPages(GFP_NOWAIT | __GFP_NOWARN))).toBeNull()
    }
    sysctl(pages, 'min_free_kbytes', before)
    for (const cpu of [0, 1]) {
      expect(onCpu(pages, cpu, () => pages.allocPages(GFP_NOWAIT))).not.toBeNull()
    }
    expect(faults(pages)).toEqual([])
  })
})

describe('blocks at the start of memory', () => {
  it('are blocks like others: their tails are told as such', () => {
    const pages = flatMachine(1024)
    expect(reservePages(pages, toPfn(1))).toBe(true)
    // What is left of the block is frame 0, and those behind 1.
    expect(reservePages(pages, toPfn(0))).toBe(true)
    expect(reservePages(pages, toPfn(1))).toBe(false)
    expect(reservePages(pages, toPfn(1023))).toBe(true)
    expect(thrownBy(() => reservePages(pages, toPfn(1023), 40_000))).toBeInstanceOf(RangeError)
    pages.freePages(toPfn(0))
    pages.freePages(toPfn(1))
    pages.freePages(toPfn(1023))
    pages.drainAllPages()
    expect(faults(pages)).toEqual([])
    const greedy = GFP_NOWAIT | __GFP_MEMALLOC
    const block = pages.allocPages(greedy, 10)
    expect(block).toBe(0)
    expect(thrownBy(() => pages.freePages(toPfn(3)))).toMatchObject({ code: 'TAIL_PAGE' })
    expect(reservePages(pages, toPfn(3))).toBe(false)
    pages.freePages(toPfn(0), 10)
    expect(thrownBy(() => pages.freePages(toPfn(3)))).toMatchObject({ code: 'DOUBLE_FREE' })
  })
})
