import { describe, expect, it } from 'vitest'
import { frameSource } from '../../src/buddy/frameSource'
import {
  __GFP_COMP,
  __GFP_MEMALLOC,
  __GFP_NOWARN,
  __GFP_ZERO,
  allocPagesExact,
  BuddyAllocator,
  freePagesAt,
  freePagesExact,
  freeReservedPages,
  freeSummary,
  GFP_HIGHUSER,
  GFP_KERNEL,
  getDmaPages,
  getFreePages,
  getPage,
  getZeroedPage,
  InvalidArgument,
  KernelBug,
  kernelLog,
  MiB,
  PAGE_SIZE,
  type Pfn,
  PhysicalMemory,
  pageCount,
  putPage,
  splitPage,
  stateHash,
  toPfn,
  ZONES_FLAT,
  ZONES_I386,
} from '../../src/index'
import { pageRecord } from '../../src/page/memmap'
import { PG_SLAB } from '../../src/page/pageFlags'
import { HEADER_TOTAL_RAM, PAGE_FLAGS, PAGE_REFS } from '../../src/state/schema'
import { zoneName, zoneOfPfn } from '../../src/zone/zones'
import { faults, flatMachine, freePagesOf, thrownBy, twoNodes, zonesOf } from './machines'

function take(pages: BuddyAllocator, order = 0, gfp: number = GFP_KERNEL): Pfn {
  return pages.allocPages(gfp, order) ?? expect.fail('no memory')
}

/** Two nodes with content: the hole of {@link twoNodes}, and frames 512 to 767 reserved. */
function withContent(): BuddyAllocator {
  const map = [
    { base: PAGE_SIZE, size: 2 * MiB - PAGE_SIZE, type: 'usable', node: 0 },
    { base: 2 * MiB, size: MiB, type: 'reserved', node: 0 },
    { base: 3 * MiB, size: 17 * MiB - 2 * PAGE_SIZE, type: 'usable', node: 0 },
    { base: 21 * MiB, size: 15 * MiB, type: 'usable', node: 0 },
    { base: 36 * MiB, size: 16 * MiB, type: 'usable', node: 1 },
  ] as const
  return new BuddyAllocator({ ram: new PhysicalMemory({ map }), cpuNodes: [0, 1] })
}

describe('references', () => {
  it('keep a page until the last one is dropped', () => {
    const pages = twoNodes()
    const before = freeSummary(pages).freePages
    const pfn = take(pages)
    getPage(pages, pfn)
    getPage(pages, pfn)
    expect(pageCount(pages, pfn)).toBe(3)
    expect(thrownBy(() => pages.freePages(pfn))).toMatchObject({ code: 'STILL_REFERENCED' })
    putPage(pages, pfn)
    putPage(pages, pfn)
    expect(pageCount(pages, pfn)).toBe(1)
    putPage(pages, pfn)
    // It is on the CPU's list now, and not in use.
    expect(pageCount(pages, pfn)).toBeLessThanOrEqual(0)
    pages.drainAllPages()
    expect(freeSummary(pages).freePages).toBe(before)
    expect(faults(pages)).toEqual([])
  })

  it('of any page of a compound page are those of its head, and free all of it', () => {
    const pages = twoNodes()
    const head = take(pages, 3, GFP_KERNEL | __GFP_COMP)
    const tail = toPfn(head + 5)
    getPage(pages, tail)
    expect([pageCount(pages, head), pageCount(pages, tail)]).toEqual([2, 0])
    putPage(pages, tail)
    putPage(pages, toPfn(head + 7))
    pages.drainAllPages()
    expect(faults(pages)).toEqual([])
    expect(thrownBy(() => putPage(pages, head))).toBeInstanceOf(KernelBug)
  })

  it('never overflow', () => {
    const pages = twoNodes()
    const pfn = take(pages)
    pages.words[pageRecord(pfn) + PAGE_REFS] = 0x7ffffffd
    getPage(pages, pfn)
    expect(pageCount(pages, pfn)).toBe(0x7ffffffe)
    expect(thrownBy(() => getPage(pages, pfn))).toMatchObject({ code: 'REFCOUNT_OVERFLOW' })
    expect(pageCount(pages, pfn)).toBe(0x7ffffffe)
  })

  it('are there for frame 0 too', () => {
    const pages = flatMachine(1024)
    const all: Pfn[] = []
    for (let pfn = pages.allocPages(GFP_KERNEL); pfn !== null; ) {
      all.push(pfn)
      pfn = pages.allocPages(GFP_KERNEL)
    }
    // The lowest frames stay free, as the reserve; the machine has no zone in front of it.
    const lowest = Math.min(...all) as Pfn
    getPage(pages, lowest)
    expect(pageCount(pages, lowest)).toBe(2)
  })

  it('outside memory are a fault', () => {
    const pages = twoNodes({ maxAddress: 1024 * MiB })
    for (const pfn of [100 * 1024, 262143]) {
      for (const call of [getPage, putPage]) {
        expect(thrownBy(() => call(pages, toPfn(pfn)))).toMatchObject({ code: 'OUTSIDE_MEMORY' })
      }
    }
    const bug = thrownBy(() => getPage(pages, toPfn(0x19000))) as KernelBug
    // The record of the frame, where the kernel has it: 64 bytes each.
    expect(bug.report[0]).toContain('address: ffffea0000640000')
  })

  it('are told in full when nobody holds the page', () => {
    const pages = twoNodes()
    const bug = thrownBy(() => putPage(pages, toPfn(9000))) as KernelBug
    expect(bug.report).toEqual(['VM_BUG_ON_PAGE(page_ref_count(page) == 0)'])
  })
})

describe('addresses in place of frames', () => {
  const machine = () =>
    new BuddyAllocator({
      ram: new PhysicalMemory({ size: 1024 * MiB, content: false }),
      zones: ZONES_I386,
    })
  const zoneAt = (pages: BuddyAllocator, address: number | null) =>
    zoneName(pages.words, zoneOfPfn(pages.words, (address ?? -1) / PAGE_SIZE))

  it('are never those of high memory', () => {
    const pages = machine()
    expect(zoneAt(pages, (pages.allocPages(GFP_HIGHUSER, 2) ?? 0) * PAGE_SIZE)).toBe('HighMem')
    const address = getFreePages(pages, GFP_HIGHUSER, 2)
    expect(zoneAt(pages, address)).toBe('Normal')
    freePagesAt(pages, address, 2)
    expect(zoneAt(pages, getDmaPages(pages, GFP_KERNEL, 2))).toBe('DMA')
  })

  it('are null when there is no memory', () => {
    const pages = flatMachine(64)
    expect(getFreePages(pages, GFP_KERNEL, 9)).toBeNull()
    expect(getDmaPages(pages, GFP_KERNEL, 9)).toBeNull()
  })

  it('give back the block that lies there', () => {
    const pages = machine()
    const before = freeSummary(pages).freePages
    const address = getFreePages(pages, GFP_KERNEL, 4)
    const page = getZeroedPage(pages, GFP_KERNEL)
    freePagesAt(pages, address, 4)
    freePagesAt(pages, page)
    pages.drainAllPages()
    expect(freeSummary(pages).freePages).toBe(before)
    expect(faults(pages)).toEqual([])
  })

  it('may be any of a page start below the end of memory, and nothing else', () => {
    const pages = machine()
    const end = 1024 * MiB
    expect(thrownBy(() => freePagesAt(pages, end - PAGE_SIZE))).toBeInstanceOf(KernelBug)
    for (const wrong of [end, end + PAGE_SIZE, -PAGE_SIZE, 5, PAGE_SIZE / 2, NaN]) {
      expect(
        thrownBy(() => freePagesAt(pages, wrong)),
        String(wrong),
      ).toBeInstanceOf(InvalidArgument)
    }
  })

  it('of a zeroed page are a page of zeros', () => {
    const ram = new PhysicalMemory({ size: 16 * MiB })
    const pages = new BuddyAllocator({ ram })
    const taken: Pfn[] = []
    for (let i = 0; i < 100; i++) taken.push(take(pages))
    for (const pfn of taken) {
      ram.fill(pfn * PAGE_SIZE, PAGE_SIZE, 0xa5)
      pages.freePages(pfn)
    }
    const address = getZeroedPage(pages, GFP_KERNEL) ?? expect.fail('no memory')
    expect(ram.readU32(address)).toBe(0)
    expect(ram.readU32(address + PAGE_SIZE - 4)).toBe(0)
    const other = getFreePages(pages, GFP_KERNEL) ?? expect.fail('no memory')
    expect(ram.readU32(other)).not.toBe(0)
  })
})

describe('frees that a kernel would report', () => {
  it('are told apart by their code', () => {
    const pages = twoNodes()
    const slab = take(pages, 2)
    pages.words[pageRecord(slab) + PAGE_FLAGS]! |= PG_SLAB
    const cases: [Pfn, number, string][] = [
      [slab, 2, 'BAD_PAGE_STATE'],
      [take(pages, 3), 2, 'WRONG_ORDER'],
      [toPfn(take(pages, 3) + 1), 0, 'TAIL_PAGE'],
      [toPfn(512), 0, 'RESERVED_PAGE'],
    ]
    for (const [pfn, order, code] of cases) {
      expect(thrownBy(() => pages.freePages(pfn, order))).toMatchObject({ code })
    }
  })

  it('name the record of a frame outside memory, where the kernel has it', () => {
    const pages = twoNodes({ maxAddress: 1024 * MiB })
    const bug = thrownBy(() => pages.freePages(toPfn(0x19000))) as KernelBug
    expect(bug.report).toEqual(['BUG: unable to handle page fault for address: ffffea0000640000'])
  })
})

describe('stateHash', () => {
  it('tells two states apart, and equal ones not', () => {
    const pages = twoNodes()
    const other = twoNodes()
    expect(stateHash(pages)).toBe(stateHash(other))
    take(pages)
    expect(stateHash(pages)).not.toBe(stateHash(other))
    take(other)
    expect(stateHash(pages)).toBe(stateHash(other))
  })
})

describe('orders above 10', () => {
  it('are warned of once, unless the request asks for silence', () => {
    const lines: string[] = []
    const pages = twoNodes({ log: kernelLog((line) => lines.push(line)) })
    lines.length = 0
    expect(pages.allocPages(GFP_KERNEL | __GFP_NOWARN, 11)).toBeNull()
    expect(allocPagesExact(pages, 5 * MiB, GFP_KERNEL | __GFP_NOWARN)).toBeNull()
    expect(lines).toEqual([])
    expect(pages.allocPages(GFP_KERNEL, 11)).toBeNull()
    expect(lines.some((line) => line.startsWith('WARNING'))).toBe(true)
    const before = lines.length
    expect(pages.allocPages(GFP_KERNEL, 11)).toBeNull()
    expect(lines).toHaveLength(before)
  })

  it('begin above 4 MiB for exact sizes', () => {
    const pages = twoNodes()
    expect(allocPagesExact(pages, 4 * MiB, GFP_KERNEL)).not.toBeNull()
    expect(allocPagesExact(pages, 4 * MiB + 1, GFP_KERNEL)).toBeNull()
    expect(faults(pages)).toEqual([])
  })
})

describe('pages one by one', () => {
  it('at the end of memory are freed up to the end, and reported beyond it', () => {
    // Memory ends where the state ends, so that there is no record behind it.
    const pages = flatMachine(32768)
    const last = toPfn(32767)
    const taken: Pfn[] = []
    while (Math.max(0, ...taken) !== 31744) {
      taken.push(take(pages, 10, GFP_KERNEL | __GFP_MEMALLOC))
    }
    const top = Math.max(...taken) as Pfn
    splitPage(pages, top, 10)
    expect(thrownBy(() => freePagesExact(pages, last, 2 * PAGE_SIZE))).toMatchObject({
      code: 'OUTSIDE_MEMORY',
    })
    freePagesExact(pages, toPfn(top), 1024 * PAGE_SIZE)
    for (const pfn of taken) if (pfn !== top) pages.freePages(pfn, 10)
    pages.drainAllPages()
    expect(zonesOf(pages).map((zone) => freePagesOf(pages, zone))).toEqual([32768])
    expect(faults(pages)).toEqual([])
  })

  it('of a compound page cannot be had, and the report says so', () => {
    const pages = twoNodes()
    const pfn = take(pages, 2, GFP_KERNEL | __GFP_COMP)
    expect((thrownBy(() => splitPage(pages, pfn, 2)) as KernelBug).report).toEqual([
      'page dumped because: VM_BUG_ON_PAGE(PageCompound(page))',
    ])
  })
})

describe('freeReservedPages', () => {
  const machine = () =>
    new BuddyAllocator({
      memory: {
        memory: [
          { base: 0, size: 8 * MiB },
          { base: 12 * MiB, size: 4 * MiB },
        ],
        reserved: [
          { base: 0, size: MiB },
          { base: 8 * MiB - 2 * PAGE_SIZE, size: 2 * PAGE_SIZE },
          { base: 12 * MiB, size: PAGE_SIZE },
        ],
      },
    })

  it('counts them as memory of the machine and of the zone, and nobody else', () => {
    const pages = machine()
    const free = () => zonesOf(pages).reduce((sum, zone) => sum + freePagesOf(pages, zone), 0)
    const before = freeSummary(pages)
    const freeBefore = free()
    freeReservedPages(pages, toPfn(2046), 2)
    freeReservedPages(pages, toPfn(3072))
    freeReservedPages(pages, toPfn(0))
    const after = freeSummary(pages)
    expect(after.managedPages).toBe(before.managedPages + 4)
    expect(pages.words[HEADER_TOTAL_RAM]).toBe(after.managedPages)
    pages.drainAllPages()
    expect(free()).toBe(freeBefore + 4)
    expect(faults(pages)).toEqual([])
  })

  it('stops at the end of a range: the hole behind it is no memory', () => {
    const pages = machine()
    const before = freeSummary(pages)
    for (const [pfn, count] of [
      [2046, 3],
      [2048, 1],
      [3071, 1],
      [3071, 2],
      [3072, 2],
    ] as const) {
      expect(thrownBy(() => freeReservedPages(pages, toPfn(pfn), count))).toMatchObject({
        code: 'NOT_RESERVED',
      })
    }
    expect(freeSummary(pages)).toEqual(before)
  })

  it('refuses to go beyond the last record', () => {
    const pages = machine()
    expect(thrownBy(() => freeReservedPages(pages, toPfn(32767), 2))).toBeInstanceOf(
      InvalidArgument,
    )
    expect(thrownBy(() => freeReservedPages(pages, toPfn(32767), 1))).toBeInstanceOf(KernelBug)
  })
})

describe('frameSource', () => {
  it('drops a reference where others hold the page, and frees it where none does', () => {
    const pages = withContent()
    const source = frameSource(pages)
    const pfn = take(pages)
    getPage(pages, pfn)
    source.freePages(pfn, 0)
    expect(pageCount(pages, pfn)).toBe(1)
    source.freePages(pfn, 0)
    expect(pageCount(pages, pfn)).toBeLessThanOrEqual(0)
    expect(thrownBy(() => source.freePages(pfn, 0))).toBeInstanceOf(KernelBug)
    expect(thrownBy(() => source.freePages(-1, 0))).toBeInstanceOf(InvalidArgument)
    expect(faults(pages)).toEqual([])
  })

  it('knows a block in use by its first frame and its order', () => {
    const pages = withContent()
    const source = frameSource(pages)
    const pfn = take(pages, 2)
    expect(source.isBlock(pfn, 2)).toBe(true)
    for (const [other, order] of [
      [pfn, 0],
      [pfn, 1],
      [pfn, 3],
      [pfn + 1, 0],
      [pfn + 0.5, 2],
      [-1, 0],
      [source.maxPfn, 0],
      [2 ** 32 + pfn, 2],
    ] as const) {
      expect(source.isBlock(other, order), `${other}, order ${order}`).toBe(false)
    }
    pages.words[pageRecord(pfn) + PAGE_FLAGS]! |= PG_SLAB
    expect(source.isBlock(pfn, 2)).toBe(false)
    pages.words[pageRecord(pfn) + PAGE_FLAGS]! &= ~PG_SLAB
    pages.freePages(pfn, 2)
    expect(source.isBlock(pfn, 2)).toBe(false)
    // The frames of a reserved range are in use, by nobody who could free them.
    expect(source.isReserved(512)).toBe(true)
    expect(source.isBlock(512, 0)).toBe(false)
  })

  it('tells frames of blocks in use, tails among them', () => {
    const pages = withContent()
    const source = frameSource(pages)
    const pfn = take(pages, 2)
    const used = (at: number) => source.isInUse(at)
    expect([pfn, pfn + 1, pfn + 3].map(used)).toEqual([true, true, true])
    expect([-1, source.maxPfn, 0.5, 9000].map(used)).toEqual([false, false, false, false])
    pages.freePages(pfn, 2)
    expect([pfn, pfn + 3].map(used)).toEqual([false, false])
  })

  it('tells memory from holes and what is reserved from what is not', () => {
    const pages = withContent()
    const source = frameSource(pages)
    const last = 5120 - 3
    expect([0, 1, last, last + 1, 5375, 5376, 13311, 13312].map(source.isMemory)).toEqual([
      false,
      true,
      true,
      false,
      false,
      true,
      true,
      false,
    ])
    expect(source.isMemory(1.5)).toBe(false)
    expect([511, 512, 767, 768, -1].map(source.isReserved)).toEqual([
      false,
      true,
      true,
      false,
      false,
    ])
    expect(source.endPfn()).toBe(13312)
  })

  it('knows which zones the machine has', () => {
    const source = frameSource(withContent())
    expect([source.hasZone(0), source.hasZone(1)]).toEqual([true, true])
    const flat = new BuddyAllocator({ ram: new PhysicalMemory({ size: MiB }), zones: ZONES_FLAT })
    expect([frameSource(flat).hasZone(0), frameSource(flat).hasZone(1)]).toEqual([false, false])
    expect(source.onlineNodes()).toBe(2)
  })

  it('is the same one each time, and takes nothing else for an allocator', () => {
    const pages = withContent()
    expect(frameSource(pages)).toBe(frameSource(pages))
    expect(frameSource(frameSource(pages))).toBe(frameSource(pages))
    for (const wrong of [null, undefined, 5, {}]) {
      expect(thrownBy(() => frameSource(wrong as never))).toBeInstanceOf(InvalidArgument)
    }
  })

  it('gives -1 for no memory, and what the node has', () => {
    const pages = withContent()
    const source = frameSource(pages)
    expect(source.allocPages(GFP_KERNEL | __GFP_NOWARN, 11, -1)).toBe(-1)
    const far = source.allocPages(GFP_KERNEL | __GFP_ZERO, 0, 1)
    expect(source.nodeOf(far)).toBe(1)
    const near = source.allocPages(GFP_KERNEL, 0, -1)
    expect(source.nodeOf(near)).toBe(0)
    const frames: number[] = []
    source.allocBulk(GFP_KERNEL, 5, 1, frames)
    expect(frames.map(source.nodeOf)).toEqual([1, 1, 1, 1, 1])
  })
})
