/**
 * Random calls on each format against a Map of pages, read back by a reader of the entries' bits that knows nothing
 * of the code; and every call with every one of its allocations made to fail.
 */

import { describe, expect, it } from 'vitest'
import { nextRandom, randomBelow, seedRandom } from '../../src/base/prng'
import { MiB, PAGE_SIZE } from '../../src/base/units'
import { ARM64, ARM64_39 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_KERNEL_EXEC,
  PAGE_KERNEL_RO,
  PAGE_NONE,
  PAGE_READONLY,
  PAGE_SHARED,
  PAGE_SHARED_EXEC,
  type PageTableFormat,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_READ,
  PROT_USER,
  PROT_WRITE,
} from '../../src/paging/format'
import { MAP_BUSY, MAP_NO_MEMORY, MAP_OK, type PageTables } from '../../src/paging/pageTables'
import { riscvFormat, SV39, SV48, SV57 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64, X86_64_LA57, X86_64_PAT } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'
import { GEOMETRY, type Geometry, type Reading, readTables } from './tableReader'

const FORMATS: [string, PageTableFormat][] = [
  ['x86_64', X86_64],
  ['x86_64 with PAT', X86_64_PAT],
  ['x86_64 LA57', X86_64_LA57],
  ['i386', I386],
  ['i386 PAE', I386_PAE],
  ['Sv39', SV39],
  ['Sv48', SV48],
  ['Sv57', SV57],
  ['Sv39 with Svpbmt', riscvFormat({ mode: 'sv39', svpbmt: true })],
  ['arm64', ARM64],
  ['arm64 39-bit', ARM64_39],
]
const KERNEL_PROTS = [PAGE_KERNEL, PAGE_KERNEL_RO, PAGE_KERNEL_EXEC, PAGE_NONE]
const USER_PROTS = [PAGE_SHARED, PAGE_SHARED_EXEC, PAGE_READONLY, PAGE_NONE]
/** Pages of a window of addresses. */
const WINDOW = 2048
const GIB_PAGES = 262144

/** A page: its frame and what it allows. */
interface Page {
  readonly pfn: number
  readonly prot: number
}

function geometryOf(format: PageTableFormat): Geometry {
  const geometry = GEOMETRY[format.name]
  if (geometry === undefined) throw new Error(`no geometry of ${format.name}`)
  return geometry
}

/** What is expected to be read of a page. */
function rightsOf(format: PageTableFormat, prot: number): Omit<Reading, 'physical' | 'shift'> {
  return {
    write: (prot & PROT_WRITE) !== 0,
    exec: (prot & PROT_EXEC) !== 0 || format === I386,
    user: (prot & PROT_USER) !== 0,
    accessed: (prot & PROT_ACCESSED) !== 0,
    dirty: (prot & PROT_DIRTY) !== 0,
  }
}

class Model {
  readonly pages = new Map<number, Page>()
  readonly frames = new TableFrames({ size: 4 * MiB })
  readonly tables: PageTables
  private readonly format: PageTableFormat
  private readonly geometry: Geometry
  private readonly prots: readonly number[]
  private readonly windows: readonly number[]
  private readonly seed = new Int32Array(1)

  constructor(format: PageTableFormat, seed: number, user: boolean) {
    this.format = format
    this.geometry = geometryOf(format)
    this.prots = user ? USER_PROTS : KERNEL_PROTS
    this.tables = tablesIn(this.frames, format, { user })
    const end = 2 ** format.vaBits
    const half = (WINDOW / 2) * PAGE_SIZE
    // Across the middle, where entries of all levels change, and at the end.
    this.windows = [end / 2 - half, end - 2 * half]
    seedRandom(this.seed, 0, seed)
  }

  below(limit: number): number {
    return randomBelow(this.seed, 0, limit)
  }

  prot(): number {
    return this.prots[this.below(this.prots.length)] ?? 0
  }

  /** A frame anywhere in what the format can say. */
  frame(): number {
    const limit = 2 ** (this.format.physBits - 12) - WINDOW
    const any = nextRandom(this.seed, 0) * 4096 + this.below(4096)
    return this.below(2) === 0 ? any % limit : any % 1048576
  }

  range(): { address: number; count: number } {
    const window = this.windows[this.below(2)] ?? 0
    const first = this.below(WINDOW)
    const most = WINDOW - first
    const count = this.below(3) === 0 ? 1 + this.below(most) : 1 + this.below(Math.min(most, 8))
    return { address: window + first * PAGE_SIZE, count }
  }

  /** A range of large leaves. */
  largeRange(): { address: number; count: number } {
    const size = (this.format === I386 ? 4 : 2) * MiB
    const window = this.windows[this.below(2)] ?? 0
    const parts = (WINDOW * PAGE_SIZE) / size
    const first = this.below(parts)
    const count = ((1 + this.below(parts - first)) * size) / PAGE_SIZE
    return { address: window + first * size, count }
  }

  busy(address: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.pages.has(address + i * PAGE_SIZE)) return true
    return false
  }

  set(address: number, pfns: ArrayLike<number>, prot: number): void {
    for (let i = 0; i < pfns.length; i++) {
      this.pages.set(address + i * PAGE_SIZE, { pfn: pfns[i] ?? -1, prot })
    }
  }

  clear(address: number, count: number): void {
    for (let i = 0; i < count; i++) this.pages.delete(address + i * PAGE_SIZE)
  }

  step(): void {
    const { tables } = this
    switch (this.below(6)) {
      case 0: {
        const { address, count } = this.range()
        this.map(
          address,
          Array.from({ length: count }, () => this.frame()),
        )
        return
      }
      case 1:
      case 2:
        this.mapRange()
        return
      case 3: {
        const { address, count } = this.below(2) === 0 ? this.range() : this.largeRange()
        this.unmap(address, count)
        return
      }
      case 4: {
        const { address, count } = this.below(2) === 0 ? this.range() : this.largeRange()
        const prot = this.prot()
        expect(tables.protectRange(address, count * PAGE_SIZE, prot)).toBe(MAP_OK)
        const kept = PROT_ACCESSED | PROT_DIRTY
        for (let i = 0; i < count; i++) {
          const page = this.pages.get(address + i * PAGE_SIZE)
          if (page === undefined) continue
          this.pages.set(address + i * PAGE_SIZE, {
            pfn: page.pfn,
            prot: prot | (page.prot & kept),
          })
        }
        return
      }
      default: {
        const before = tables.tableCount
        const freed = tables.freeEmptyTables(0, 2 ** this.format.vaBits)
        expect(tables.tableCount).toBe(before - freed)
        expect(tables.freeEmptyTables(0, 2 ** this.format.vaBits)).toBe(0)
      }
    }
  }

  private map(address: number, pfns: number[]): void {
    const prot = this.prot()
    const free = pfns.findIndex((_, i) => this.pages.has(address + i * PAGE_SIZE))
    const code = this.tables.mapPages(address, pfns, 0, pfns.length, prot)
    expect(code).toBe(free < 0 ? MAP_OK : MAP_BUSY)
    this.set(address, free < 0 ? pfns : pfns.slice(0, free), prot)
  }

  private mapRange(): void {
    const { address, count } = this.below(3) === 0 ? this.range() : this.largeRange()
    const prot = this.prot()
    const pfn = this.frame()
    // Frames that large leaves fit, mostly.
    const first = this.below(4) === 0 ? pfn : pfn - (pfn % 1024)
    const bytes = count * PAGE_SIZE
    const shift = this.below(4) === 0 ? 12 : 64
    const code = this.tables.mapRange(address, first * PAGE_SIZE, bytes, prot, shift)
    if (!this.busy(address, count)) {
      expect(code).toBe(MAP_OK)
      this.set(
        address,
        Array.from({ length: count }, (_, i) => first + i),
        prot,
      )
      return
    }
    expect(code).toBe(MAP_BUSY)
    this.unmap(address, count)
  }

  /** Unmaps just the range, or lets large leaves go as a whole: the reader knows how large they are. */
  private unmap(address: number, count: number): void {
    const end = address + count * PAGE_SIZE
    if (this.below(2) === 0) {
      expect(this.tables.splitAt(address)).toBe(MAP_OK)
      expect(this.tables.splitAt(end)).toBe(MAP_OK)
      this.tables.unmapRange(address, count * PAGE_SIZE)
      this.clear(address, count)
      return
    }
    const sizes = [address, end - PAGE_SIZE].map((page) => {
      const shift = this.read(page)?.shift ?? this.tables.format.levels.at(-2)?.shift ?? 12
      // Of what nobody may use the reader sees nothing: the walk has its size.
      const size = this.read(page) === null ? this.tables.walk(page).bytes : 2 ** shift
      return { first: Math.floor(page / size) * size, size }
    })
    this.tables.unmapRange(address, count * PAGE_SIZE)
    this.clear(address, count)
    for (const { first, size } of sizes) this.clear(first, size / PAGE_SIZE)
  }

  read(address: number): Reading | null {
    return readTables(this.frames.ram, this.geometry, this.tables, address)
  }

  /** Compares everything that is mapped with the model, and some of it byte by byte. */
  check(): void {
    const { tables, pages } = this
    const found = new Map<number, Page>()
    tables.forEachLeaf(0, 2 ** this.format.vaBits, (address, bytes, pfn, prot) => {
      for (let i = 0; i < bytes / PAGE_SIZE; i++) {
        found.set(address + i * PAGE_SIZE, { pfn: pfn + i, prot })
      }
    })
    let used = 0
    for (const [address, { pfn, prot }] of pages) {
      if ((prot & PROT_READ) === 0) continue
      used++
      if (found.get(address)?.pfn !== pfn) expect([address, found.get(address)]).toEqual(pfn)
    }
    expect(found.size).toBe(used)
    for (let i = 0; i < 40; i++) this.checkPage(this.range().address)
    for (const address of [...pages.keys()].slice(0, 10)) this.checkPage(address)
    // Each table is a frame in use, and no other frame is.
    expect(tables.tableCount).toBe(this.frames.live.size)
  }

  private checkPage(address: number): void {
    const page = this.pages.get(address)
    const byte = this.below(256) * 16
    const reading = this.read(address + byte)
    const physical = this.tables.translate(address + byte)
    const walk = this.tables.walk(address)
    if (page === undefined || (page.prot & PROT_READ) === 0) {
      expect([reading, physical, walk.pfn, walk.prot]).toEqual([null, -1, null, 0])
      return
    }
    const { physical: read, shift, ...rights } = reading ?? { physical: 0n, shift: 0 }
    expect(read).toBe(BigInt(page.pfn) * 4096n + BigInt(byte))
    expect(physical).toBe(Number(read))
    expect(walk.pfn).toBe(page.pfn)
    expect(walk.bytes).toBe(2 ** shift)
    expect(rights).toEqual(rightsOf(this.format, page.prot))
    expect(rightsOf(this.format, walk.prot)).toEqual(rights)
  }
}

describe('random calls', () => {
  it.each(FORMATS)('of %s do what they do to a Map', (_name, format) => {
    for (const [seed, user] of [
      [1, false],
      [2, true],
    ] as const) {
      const model = new Model(format, seed, user)
      for (let i = 0; i < 40; i++) {
        model.step()
        model.check()
      }
      model.tables.destroy()
      expect(model.frames.live.size).toBe(0)
    }
  })
})

describe('the largest leaves', () => {
  it.each(FORMATS)('of %s map what the reader reads', (_name, format) => {
    const geometry = geometryOf(format)
    const shifts = format.hugeLeaves ? geometry.large : []
    for (const shift of shifts) {
      const frames = new TableFrames({ size: MiB })
      const tables = tablesIn(frames, format, {})
      const size = 2 ** shift
      const address = 2 ** format.vaBits - size
      const phys = format.entryBytes === 4 ? 4 * size : 5 * size + 2 ** 41
      expect(tables.mapRange(address, phys, size, PAGE_KERNEL, 64)).toBe(MAP_OK)
      for (const inside of [0, 0x12345670 % size, size - 16]) {
        const reading = readTables(frames.ram, geometry, tables, address + inside)
        expect(reading?.shift).toBe(shift)
        expect(reading?.physical).toBe(BigInt(phys) + BigInt(inside))
        expect(tables.translate(address + inside)).toBe(phys + inside)
        expect(tables.walk(address + inside).physical).toBe(phys + inside)
      }
      // Split to the last page, it still maps the same.
      expect(tables.splitAt(address + size - PAGE_SIZE)).toBe(MAP_OK)
      for (const inside of [0, size / 2, size - PAGE_SIZE, size - 16]) {
        const reading = readTables(frames.ram, geometry, tables, address + inside)
        expect(reading?.physical).toBe(BigInt(phys) + BigInt(inside))
        const { physical: _at, shift: _size, ...rights } = reading ?? {}
        expect(rights).toEqual(rightsOf(format, PAGE_KERNEL))
        expect(tables.translate(address + inside)).toBe(phys + inside)
      }
      expect(tables.walk(address + size - 16).leafLevel).toBe(format.levels.length - 1)
    }
    expect(shifts.length > 0).toBe(format.hugeLeaves)
  })
})

describe('failures half-way', () => {
  /** Everything that is mapped, by leaves. */
  const leavesOf = (tables: PageTables, end: number) => {
    const leaves: number[][] = []
    tables.forEachLeaf(0, end, (...leaf) => leaves.push(leaf))
    return leaves
  }
  const middle = (format: PageTableFormat) => 2 ** (format.vaBits - 1)
  const large = (format: PageTableFormat) => (format === I386 ? 4 : 2) * MiB

  it.each(FORMATS)('of a mapping in %s leave nothing once it is unmapped', (_name, format) => {
    const start = middle(format) - 4 * MiB - PAGE_SIZE
    const bytes = 8 * MiB + 2 * PAGE_SIZE
    const pfns = Array.from({ length: bytes / PAGE_SIZE }, (_, i) => i)
    const calls = [
      (tables: PageTables) => tables.mapPages(start, pfns, 0, pfns.length, PAGE_KERNEL),
      (tables: PageTables) => tables.mapRange(start, 0, bytes, PAGE_KERNEL, 12),
      (tables: PageTables) => tables.mapRange(start, large(format) - 4096, bytes, PAGE_KERNEL, 64),
    ]
    for (const call of calls) {
      let failed = 0
      for (let code = MAP_NO_MEMORY; code !== MAP_OK; failed++) {
        const frames = new TableFrames({ size: MiB })
        const tables = tablesIn(frames, format, {})
        frames.failIn = failed
        code = call(tables)
        expect(code).toBe(frames.failIn < 0 ? MAP_NO_MEMORY : MAP_OK)
        tables.unmapRange(start, bytes)
        expect(leavesOf(tables, 2 ** format.vaBits)).toEqual([])
        expect(tables.tableCount).toBe(frames.live.size)
        tables.freeEmptyTables(0, 2 ** format.vaBits)
        expect(tables.tableCount).toBe(format.twoRoots ? 2 : 1)
        tables.destroy()
        expect(frames.live.size).toBe(0)
      }
      expect(failed).toBeGreaterThan(2)
    }
  })

  it.each(FORMATS)('of a protection in %s change nothing', (_name, format) => {
    if (!format.hugeLeaves) return
    const size = large(format)
    const start = middle(format)
    let failed = 0
    for (let code = MAP_NO_MEMORY; code !== MAP_OK; failed++) {
      const frames = new TableFrames({ size: MiB })
      const tables = tablesIn(frames, format, {})
      tables.mapRange(start, 0, 3 * size, PAGE_KERNEL, 64)
      const before = leavesOf(tables, 2 ** format.vaBits)
      const used = frames.live.size
      frames.failIn = failed
      code = tables.protectRange(start + PAGE_SIZE, 2 * size, PAGE_KERNEL_RO)
      if (code !== MAP_OK) {
        expect(code).toBe(MAP_NO_MEMORY)
        expect(leavesOf(tables, 2 ** format.vaBits)).toEqual(before)
        expect(frames.live.size).toBe(used)
      } else {
        expect(frames.live.size).toBe(used + 2)
      }
      tables.destroy()
      expect(frames.live.size).toBe(0)
    }
    expect(failed).toBe(3)
  })

  it('of a large leaf over many tables map the same by smaller ones, or not at all', () => {
    for (let failed = 0; failed < 6; failed++) {
      const frames = new TableFrames({ size: MiB })
      const tables = tablesIn(frames, X86_64, {})
      tables.populate(0, 8 * MiB, 2)
      frames.failIn = failed
      expect(tables.mapRange(0, 0, GIB_PAGES * PAGE_SIZE, PAGE_KERNEL, 64)).toBe(MAP_OK)
      expect(tables.walk(0).leafLevel).toBe(failed === 0 ? 2 : 1)
      expect(tables.tableCount).toBe(frames.live.size)
      tables.destroy()
      expect(frames.live.size).toBe(0)
    }
  })
})
