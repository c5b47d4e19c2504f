import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug, OutOfMemory } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { type I386Layout, layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_SV39 } from '../../src/base/layouts'
import { GiB, MiB, PAGE_SIZE } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import { onCpu } from '../../src/buddy/running'
import { verifyState } from '../../src/debug/verify'
import { __GFP_HIGHMEM, GFP_KERNEL } from '../../src/page/gfp'
import { PAGE_KERNEL, PAGE_KERNEL_RO, PROT_WRITE } from '../../src/paging/format'
import { PageTables } from '../../src/paging/pageTables'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { highmemZones, Kmap } from '../../src/vmalloc/kmap'
import { warning } from './machines'

/** Low memory, and high memory at 1 GiB. */
const HIGH = GiB / PAGE_SIZE

interface Machine {
  readonly layout: I386Layout
  readonly pages: BuddyAllocator
  readonly tables: PageTables
  readonly kmap: Kmap
  readonly flushes: [number, number][]
  readonly log: string[]
}

function machine(pae: boolean, cpus = 2): Machine {
  const ram = new PhysicalMemory({
    map: [
      { base: 0, size: 8 * MiB, type: 'usable' },
      { base: GiB, size: 8 * MiB, type: 'usable' },
    ],
  })
  const layout = layoutI386({ memory: GiB + 8 * MiB, pae, nrCpus: 4 })
  const pages = new BuddyAllocator({ ram, cpus, zones: highmemZones(layout) })
  const flushes: [number, number][] = []
  const flush = {
    flushTlb: (start: number, end: number) => void flushes.push([start, end]),
    flushCacheMap() {},
    flushCacheUnmap() {},
  }
  const tables = new PageTables(frameSource(pages), pae ? I386_PAE : I386, { flush })
  const log: string[] = []
  const kmap = new Kmap(pages, tables, layout, { log: (line) => log.push(line) })
  return { layout, pages, tables, kmap, flushes, log }
}

/** The entry of an address, as the processor reads it: high and low half as one. */
function entryAt({ pages, tables }: Machine, address: number): string {
  const last = tables.format.levels.length - 1
  const entry = tables.walk(address).entries[last]
  if (entry === undefined) return 'no table'
  const { ram } = frameSource(pages)
  const bytes = tables.format.entryBytes
  const digits = [...ram.bytes(entry.entryAddress, bytes)].reverse()
  return digits.map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function code(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (error instanceof KernelBug) return error.code
    throw error
  }
  return 'no bug'
}

describe.each([
  [true, 512, 0xff800000],
  [false, 1024, 0xff400000],
] as const)('kmap with PAE: %s', (pae, slots, base) => {
  const entry = (pfn: number) =>
    pae ? `80000000${(pfn * 4096 + 0x163).toString(16)}` : (pfn * 4096 + 0x163).toString(16)
  const none = pae ? '0000000000000000' : '00000000'

  it('takes slots in turn, the second one first, and writes their entries', () => {
    const m = machine(pae)
    expect(m.layout.pkmapBase).toBe(base)
    for (let i = 0; i < 5; i++) {
      expect(m.kmap.kmap(HIGH + i)).toBe(base + (i + 1) * PAGE_SIZE)
      expect(entryAt(m, base + (i + 1) * PAGE_SIZE)).toBe(entry(HIGH + i))
    }
    expect(entryAt(m, base)).toBe(none)
    expect(entryAt(m, base + 6 * PAGE_SIZE)).toBe(none)
    expect(m.kmap.kmap(HIGH + 2)).toBe(base + 3 * PAGE_SIZE)
    expect(m.kmap.pageAddress(HIGH + 2)).toBe(base + 3 * PAGE_SIZE)
    expect(m.kmap.pageAddress(HIGH + 5)).toBeNull()
    expect(m.kmap.kmapToPage(base + 3 * PAGE_SIZE + 77)).toBe(HIGH + 2)
    expect(m.kmap.kmapToPage(base)).toBeNull()
    expect(m.flushes).toEqual([])
  })

  it('leaves pages of low memory where they are', () => {
    const m = machine(pae)
    const words = m.kmap.state.slice()
    expect(m.kmap.kmap(5)).toBe(0xc0005000)
    m.kmap.kunmap(5)
    m.kmap.kunmap(5)
    expect(m.kmap.pageAddress(5)).toBe(0xc0005000)
    expect(m.kmap.kmapToPage(0xc0005fff)).toBe(5)
    const local = m.kmap.kmapLocal(5)
    expect(local).toBe(0xc0005000)
    m.kmap.kunmapLocal(local)
    m.kmap.kunmapLocal(local)
    expect(m.kmap.state).toEqual(words)
    expect(m.kmap.kmap(m.layout.maxLowPfn - 1)).toBe(m.layout.highMemory - PAGE_SIZE)
    expect(m.kmap.kmap(m.layout.maxLowPfn)).toBe(base + PAGE_SIZE)
  })

  it('keeps a page mapped after its last user, and gives it back to the next', () => {
    const m = machine(pae)
    const at = m.kmap.kmap(HIGH) ?? 0
    m.kmap.kmap(HIGH)
    m.kmap.kunmap(HIGH)
    m.kmap.kunmap(HIGH)
    expect(m.kmap.pageAddress(HIGH)).toBe(at)
    expect(m.tables.pfnAt(at)).toBe(HIGH)
    expect(m.kmap.kmap(HIGH)).toBe(at)
    m.kmap.kunmap(HIGH)
    expect(code(() => m.kmap.kunmap(HIGH))).toBe('KUNMAP_UNUSED')
    expect(code(() => m.kmap.kunmap(HIGH + 1))).toBe('KUNMAP_UNUSED')
    expect(m.kmap.pageAddress(HIGH)).toBe(at)
  })

  it('clears slots without users when it has been round, with one flush of the window', () => {
    const m = machine(pae)
    for (let i = 0; i < slots - 1; i++) m.kmap.kmap(HIGH + i)
    expect(m.kmap.pageAddress(HIGH + slots - 2)).toBe(base + (slots - 1) * PAGE_SIZE)
    for (const i of [10, 20, 30]) m.kmap.kunmap(HIGH + i)
    // Slot 0 was never used, and comes after the flush.
    expect(m.kmap.kmap(HIGH + slots)).toBe(base)
    expect(m.flushes).toEqual([[base, base + slots * PAGE_SIZE]])
    expect(m.kmap.pageAddress(HIGH + 20)).toBeNull()
    expect(entryAt(m, base + 21 * PAGE_SIZE)).toBe(none)
    expect(m.kmap.kmap(HIGH + slots + 1)).toBe(base + 11 * PAGE_SIZE)
    expect(m.kmap.kmap(HIGH + 30)).toBe(base + 21 * PAGE_SIZE)
    expect(m.kmap.kmap(HIGH + slots + 2)).toBe(base + 31 * PAGE_SIZE)
    expect(m.flushes).toHaveLength(1)
  })

  it('returns null when all slots are in use, until one is given back', () => {
    const m = machine(pae)
    for (let i = 0; i < slots; i++) expect(m.kmap.kmap(HIGH + i)).not.toBeNull()
    expect(m.kmap.kmap(HIGH + slots)).toBeNull()
    expect(m.kmap.kmap(HIGH + slots)).toBeNull()
    expect(m.kmap.pageAddress(HIGH + slots)).toBeNull()
    expect(m.flushes).toEqual([])
    expect(m.kmap.kmap(HIGH + 7)).toBe(base + 8 * PAGE_SIZE)
    m.kmap.kunmap(HIGH + 7)
    m.kmap.kunmap(HIGH + 7)
    expect(m.kmap.kmap(HIGH + slots)).toBe(base + 8 * PAGE_SIZE)
    expect(m.flushes).toHaveLength(1)
    // The last slot of all: a search has to pass every other one.
    m.kmap.kunmap(HIGH + slots - 2)
    expect(m.kmap.kmap(HIGH + slots + 1)).toBe(base + (slots - 1) * PAGE_SIZE)
    m.kmap.kunmap(HIGH + slots + 1)
    expect(m.kmap.kmap(HIGH + slots - 2)).toBe(base + (slots - 1) * PAGE_SIZE)
  })

  it('flushes at once when asked to, and only if there is something', () => {
    const m = machine(pae)
    m.kmap.kmapFlushUnused()
    m.kmap.kmap(HIGH)
    m.kmap.kmapFlushUnused()
    expect(m.flushes).toEqual([])
    m.kmap.kunmap(HIGH)
    m.kmap.kmapFlushUnused()
    expect(m.flushes).toEqual([[base, base + slots * PAGE_SIZE]])
    expect(m.kmap.pageAddress(HIGH)).toBeNull()
    expect(m.kmap.kmap(HIGH)).toBe(base + 2 * PAGE_SIZE)
  })

  it('needs no page once it is made', () => {
    const m = machine(pae)
    const made = m.tables.tableCount
    for (let i = 0; i < slots; i++) m.kmap.kmap(HIGH + i)
    for (let i = 0; i < 16; i++) m.kmap.kmapLocal(HIGH + i)
    expect(m.tables.tableCount).toBe(made)
  })

  it('does what a simple model does, in any order', () => {
    const step = fc.tuple(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 0, max: slots + 40 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.boolean(), (steps, full) => {
        const m = machine(pae)
        const model = new Model(slots)
        const check = (page: number) => {
          expect(m.kmap.kmap(HIGH + page)).toBe(model.address(model.kmap(page), base))
        }
        // Nearly all slots are taken first, or the search would never be long.
        if (full) for (let page = 0; page < slots - 5; page++) check(page)
        for (const [kind, page] of steps) {
          if (kind < 7) check(page)
          else if (kind < 11) {
            const bug = code(() => m.kmap.kunmap(HIGH + page))
            expect(bug).toBe(model.kunmap(page) ? 'no bug' : 'KUNMAP_UNUSED')
          } else {
            m.kmap.kmapFlushUnused()
            model.flush()
          }
          expect(m.kmap.pageAddress(HIGH + page)).toBe(model.address(model.slotOf(page), base))
        }
        for (let slot = 0; slot < slots; slot++) {
          const page = model.pages[slot] ?? -1
          expect(m.tables.pfnAt(base + slot * PAGE_SIZE)).toBe(page < 0 ? -1 : HIGH + page)
        }
        expect(m.flushes).toHaveLength(model.flushes)
        expect(new Kmap(m.pages, m.tables, m.layout, { state: m.kmap.state }).state).toBe(
          m.kmap.state,
        )
      }),
      { numRuns: 15 },
    )
  })
})

/** Slots as arrays, searched from end to end. */
class Model {
  readonly counts: number[]
  readonly pages: number[]
  cursor = 0
  flushes = 0

  constructor(slots: number) {
    this.counts = new Array<number>(slots).fill(0)
    this.pages = new Array<number>(slots).fill(-1)
  }

  slotOf(page: number): number {
    return this.pages.indexOf(page)
  }

  address(slot: number, base: number): number | null {
    return slot < 0 ? null : base + slot * PAGE_SIZE
  }

  kmap(page: number): number {
    if (this.slotOf(page) < 0 && !this.find(page)) return -1
    const slot = this.slotOf(page)
    this.counts[slot] = (this.counts[slot] ?? 0) + 1
    return slot
  }

  kunmap(page: number): boolean {
    const slot = this.slotOf(page)
    if ((this.counts[slot] ?? 0) < 2) return false
    this.counts[slot] = (this.counts[slot] ?? 0) - 1
    return true
  }

  flush(): void {
    if (!this.counts.includes(1)) return
    this.flushes += 1
    this.pages.forEach((_page, slot) => {
      if (this.counts[slot] !== 1) return
      this.counts[slot] = 0
      this.pages[slot] = -1
    })
  }

  private find(page: number): boolean {
    const length = this.counts.length
    for (let wrapped = false; ; ) {
      this.cursor = (this.cursor + 1) % length
      if (this.cursor === 0) {
        this.flush()
        wrapped = true
      }
      if (this.counts[this.cursor] === 0) {
        this.counts[this.cursor] = 1
        this.pages[this.cursor] = page
        return true
      }
      if (wrapped && this.cursor === length - 1) return false
    }
  }
}

describe('kmapLocal', () => {
  const slot = (m: Machine, depth: number, cpu = 0) =>
    (m.layout.fixmap?.top ?? 0) - (m.layout.fixKmapBegin + depth + 16 * cpu) * PAGE_SIZE

  it('goes downwards, 16 deep, and back up in reverse', () => {
    const m = machine(true)
    const addresses: number[] = []
    for (let depth = 0; depth < 16; depth++) {
      addresses.push(m.kmap.kmapLocal(HIGH + 3))
      expect(addresses[depth]).toBe(slot(m, depth))
      expect(entryAt(m, slot(m, depth))).toBe('8000000040003163')
      expect(m.kmap.kmapToPage(slot(m, depth) + 4095)).toBe(HIGH + 3)
    }
    const state = m.kmap.state.slice()
    expect(code(() => m.kmap.kmapLocal(HIGH))).toBe('KMAP_LOCAL_FULL')
    expect(m.kmap.state).toEqual(state)
    for (const address of addresses.reverse()) {
      m.kmap.kunmapLocal(address + 5)
      expect(entryAt(m, address)).toBe('0000000000000000')
      expect(m.kmap.kmapToPage(address)).toBeNull()
      expect(m.flushes.pop()).toEqual([address, address + PAGE_SIZE])
    }
    expect(m.flushes).toEqual([])
    expect(m.log).toEqual([])
    expect(code(() => m.kmap.kunmapLocal(slot(m, 0)))).toBe('KUNMAP_EMPTY')
  })

  it('has a stack for each CPU', () => {
    const m = machine(false)
    const first = m.kmap.kmapLocal(HIGH)
    const other = onCpu(m.pages, 1, () => {
      expect(code(() => m.kmap.kunmapLocal(first))).toBe('KUNMAP_EMPTY')
      return m.kmap.kmapLocal(HIGH + 1)
    })
    expect(other).toBe(slot(m, 0, 1))
    expect(m.kmap.kmapToPage(first)).toBe(HIGH)
    expect(m.kmap.kmapToPage(other)).toBe(HIGH + 1)
    expect(entryAt(m, other)).toBe('40001163')
    onCpu(m.pages, 1, () => m.kmap.kunmapLocal(other))
    m.kmap.kunmapLocal(first)
    expect(m.log).toEqual([])
  })

  it('warns once of the wrong order, and undoes the last mapping', () => {
    const m = machine(true)
    const first = m.kmap.kmapLocal(HIGH)
    const second = m.kmap.kmapLocal(HIGH + 1)
    m.kmap.kunmapLocal(first)
    const told = warning('kunmap_local_indexed')
    expect(m.log).toEqual(told)
    expect(m.tables.pfnAt(second)).toBe(-1)
    expect(m.tables.pfnAt(first)).toBe(HIGH)
    m.kmap.kunmapLocal(second)
    expect(m.log).toEqual(told)
    expect(m.tables.pfnAt(first)).toBe(-1)
  })

  it('maps with another protection', () => {
    const m = machine(true)
    const address = m.kmap.kmapLocal(HIGH, PAGE_KERNEL_RO)
    expect(entryAt(m, address)).toBe('8000000040000161')
    expect(() => m.kmap.kmapLocal(HIGH, PROT_WRITE)).toThrow(InvalidArgument)
    expect(() => m.kmap.kmapLocal(HIGH, NaN)).toThrow(InvalidArgument)
    m.kmap.kunmapLocal(address)
    expect(m.log).toEqual([])
  })

  it('refuses addresses that are none of its', () => {
    const m = machine(true)
    const at = m.kmap.kmap(HIGH) ?? 0
    m.kmap.kmapLocal(HIGH)
    const state = m.kmap.state.slice()
    // Two CPUs have 32 slots.
    for (const address of [0, at, slot(m, 0) + PAGE_SIZE, slot(m, 32) + 4095]) {
      expect(code(() => m.kmap.kunmapLocal(address))).toBe('KUNMAP_ADDRESS')
      if (address !== at) expect(m.kmap.kmapToPage(address)).toBeNull()
    }
    for (const address of [-1, 0.5, NaN, 2 ** 32, '1' as never]) {
      expect(() => m.kmap.kunmapLocal(address)).toThrow(InvalidArgument)
      expect(m.kmap.kmapToPage(address)).toBeNull()
    }
    expect(m.kmap.state).toEqual(state)
  })

  it('counts the mappings of kmapAtomic', () => {
    const m = machine(true)
    const local = m.kmap.kmapLocal(HIGH)
    expect(code(() => m.kmap.kunmapAtomic(local))).toBe('KUNMAP_EMPTY')
    const low = m.kmap.kmapAtomic(5)
    const high = m.kmap.kmapAtomic(HIGH + 1)
    expect([low, high]).toEqual([0xc0005000, slot(m, 1)])
    expect(m.kmap.atomicDepth()).toBe(2)
    expect(onCpu(m.pages, 1, () => m.kmap.atomicDepth())).toBe(0)
    m.kmap.kunmapAtomic(high)
    m.kmap.kunmapAtomic(low)
    expect(m.kmap.atomicDepth()).toBe(0)
    m.kmap.kunmapLocal(local)
    expect(m.log).toEqual([])
  })
})

describe('Kmap', () => {
  it('maps what was written through another address', () => {
    const m = machine(true)
    const { ram } = frameSource(m.pages)
    const pfn = m.pages.allocPages((GFP_KERNEL | __GFP_HIGHMEM) >>> 0, 0) ?? 0
    expect(pfn).toBeGreaterThanOrEqual(HIGH)
    const at = m.kmap.kmap(pfn) ?? 0
    const local = m.kmap.kmapLocal(pfn)
    ram.bytes(m.tables.translate(at + 100), 1)[0] = 42
    expect(ram.bytes(m.tables.translate(local + 100), 1)[0]).toBe(42)
    expect(verifyState(m.pages.words)).toEqual([])
  })

  it('goes on from a saved state', () => {
    const m = machine(true)
    for (let i = 0; i < 20; i++) m.kmap.kmap(HIGH + i)
    for (let i = 0; i < 10; i++) m.kmap.kunmap(HIGH + i)
    const local = m.kmap.kmapLocal(HIGH + 100)
    const state = m.kmap.state.slice()
    const later = new Kmap(m.pages, m.tables, m.layout, { state })
    expect(later.pageAddress(HIGH + 3)).toBe(0xff804000)
    expect(later.kmap(HIGH + 50)).toBe(0xff815000)
    expect(later.kmap(HIGH + 3)).toBe(0xff804000)
    later.kunmapLocal(local)
    expect(code(() => later.kunmapLocal(local))).toBe('KUNMAP_EMPTY')
  })

  it('refuses a state that is none', () => {
    const m = machine(true)
    m.kmap.kmap(HIGH)
    m.kmap.kmapLocal(HIGH + 1)
    const good = m.kmap.state
    const attach = (state: Int32Array) => new Kmap(m.pages, m.tables, m.layout, { state })
    expect(attach(good.slice()).pageAddress(HIGH)).toBe(0xff801000)
    for (const state of [new Int32Array(good.length), good.slice(1), [...good] as never]) {
      expect(() => attach(state)).toThrow(InvalidArgument)
    }
    const cpu = 8 + 512 * 2
    const faults: [number, number][] = [
      [0, 0],
      [1, 1024],
      [2, 1],
      [3, 512],
      [3, -1],
      [4, 2],
      [8, 1],
      [9, HIGH],
      [10, -1],
      [10, 0],
      [11, 5],
      [11, -1],
      [11, 2 ** 30],
      [cpu, 17],
      [cpu, 0],
      [cpu, 2],
      [cpu + 1, -1],
      [cpu + 2, 5],
      [cpu + 18, 1],
    ]
    for (const [word, value] of faults) {
      const state = good.slice()
      state[word] = value
      expect(() => attach(state), `word ${word}`).toThrow(InvalidArgument)
    }
    const twice = good.slice()
    twice.set([1, HIGH], 12)
    expect(() => attach(twice)).toThrow('a right slot 2')
  })

  it('refuses frames that there are not', () => {
    const m = machine(false)
    const state = m.kmap.state.slice()
    const end = frameSource(m.pages).maxPfn
    for (const pfn of [-1, 0.5, NaN, Infinity, end, 2 ** 32, '5' as never, null as never]) {
      expect(() => m.kmap.kmap(pfn)).toThrow(InvalidArgument)
      expect(() => m.kmap.kunmap(pfn)).toThrow(InvalidArgument)
      expect(() => m.kmap.pageAddress(pfn)).toThrow(InvalidArgument)
      expect(() => m.kmap.kmapLocal(pfn)).toThrow(InvalidArgument)
      expect(() => m.kmap.kmapAtomic(pfn)).toThrow(InvalidArgument)
    }
    expect(m.kmap.state).toEqual(state)
  })

  it('refuses page tables of another machine, and more CPUs than the layout has', () => {
    const m = machine(true)
    const frames = frameSource(m.pages)
    const wrong = [new PageTables(frames, I386), new PageTables(frames, X86_64), null as never]
    for (const tables of wrong) {
      expect(() => new Kmap(m.pages, tables, m.layout)).toThrow(InvalidArgument)
    }
    const one = layoutI386({ memory: GiB, pae: true, nrCpus: 1 })
    expect(() => new Kmap(m.pages, m.tables, one)).toThrow('CPUs of pages is 2')
  })

  it('throws when there is no page for the tables of its windows', () => {
    const m = machine(true)
    const frames = frameSource(m.pages)
    for (let left = 0; left < 3; left++) {
      let count = left
      const poor = {
        ...frames,
        allocPages: (gfp: number, order: number, node: number) =>
          count-- > 0 ? frames.allocPages(gfp, order, node) : -1,
      }
      const tables = () => new PageTables(poor, I386_PAE)
      expect(() => new Kmap(poor, tables(), m.layout)).toThrow(OutOfMemory)
    }
  })

  it('tells of a window that somebody else wrote to', () => {
    const m = machine(true)
    m.tables.mapPages(0xff801000, [7], 0, 1, PAGE_KERNEL)
    expect(code(() => m.kmap.kmap(HIGH))).toBe('KMAP_TABLES')
    expect(m.kmap.pageAddress(HIGH)).toBeNull()
    expect(m.kmap.kmap(HIGH)).toBe(0xff802000)
  })

  it('maps nothing without high memory', () => {
    const ram = new PhysicalMemory({ size: 4 * MiB })
    const pages = new BuddyAllocator({ ram })
    const tables = new PageTables(frameSource(pages), X86_64)
    const kmap = new Kmap(pages, tables, LAYOUT_X86_64)
    expect(kmap.kmap(0x123)).toBe(0x888000123000)
    kmap.kunmap(0x123)
    kmap.kunmapLocal(kmap.kmapLocal(0x124))
    kmap.kunmapAtomic(kmap.kmapAtomic(0x124))
    kmap.kmapFlushUnused()
    expect(kmap.kmapToPage(0x888000123456)).toBe(0x123)
    expect(kmap.kmapToPage(0xc90000000000)).toBeNull()
    expect(tables.tableCount).toBe(1)
    expect(code(() => kmap.kunmapLocal(0xffffff7ff000))).toBe('KUNMAP_ADDRESS')
    expect(() => kmap.kmap(2 ** 29)).toThrow(InvalidArgument)
    const flat = layoutI386({ memory: GiB, highmem: false })
    const narrow = new Kmap(pages, new PageTables(frameSource(pages), I386), flat)
    expect(narrow.kmap(1)).toBe(0xc0001000)
    expect(() => narrow.kmap(flat.maxLowPfn)).toThrow(InvalidArgument)
  })

  it('knows memory that does not start at 0', () => {
    const ram = new PhysicalMemory({ map: [{ base: 0x80000000, size: 4 * MiB, type: 'usable' }] })
    const pages = new BuddyAllocator({ ram })
    const kmap = new Kmap(pages, new PageTables(frameSource(pages), SV39), LAYOUT_SV39)
    expect(kmap.kmap(0x80001)).toBe(0x5800001000)
    expect(kmap.kmapToPage(0x5800001000)).toBe(0x80001)
    expect(() => kmap.kmap(0x7ffff)).toThrow(InvalidArgument)
  })
})

it('zones end where the direct map does, at a block of the largest order', () => {
  for (const pae of [false, true]) {
    const layout = layoutI386({ memory: 4 * GiB, pae })
    expect(highmemZones(layout)).toEqual({
      highmem: true,
      limits: [4096, 0x37000 + 0x400 * (pae ? 1 : 0), Infinity],
    })
  }
  const small = layoutI386({ memory: 32 * MiB })
  expect(highmemZones(small).limits).toEqual([4096, 8192, Infinity])
})
