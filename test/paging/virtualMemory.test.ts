import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { AddressSpace } from '../../src/paging/addressSpace'
import { ARM64 } from '../../src/paging/arm64Format'
import {
  PAGE_KERNEL,
  PAGE_READONLY,
  PAGE_SHARED,
  PAGE_SHARED_EXEC,
  type PageTableFormat,
  PROT_DIRTY,
  PROT_READ,
  PROT_USER,
  PROT_WRITE,
} from '../../src/paging/format'
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, PageFault } from '../../src/paging/pageFault'
import { PageTables } from '../../src/paging/pageTables'
import { SV39 } from '../../src/paging/riscvFormat'
import { VirtualMemory } from '../../src/paging/virtualMemory'
import { X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { FORMATS, machine, numbers, scattered, thrown } from './spaces'
import { TableFrames, tablesIn } from './tableFrames'

const BASE = 0x10000000
const DATA = PAGE_SHARED | PROT_DIRTY

const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0

/** A space with scattered pages, some left out or read-only, and bytes that it must look like. */
function patchwork(format: PageTableFormat, tlb: number, pageCount = 16) {
  const { ram, pages } = machine({ mib: 4 })
  const space = new AddressSpace(pages, { format, tlb, user: true })
  const pfns = scattered(pages, pageCount)
  const bytes = new Uint8Array(pageCount * 4096)
  const next = numbers(pageCount + tlb)
  const holes = new Set([5, 11])
  const readOnly = new Set([8])
  pfns.forEach((pfn, page) => {
    for (let i = 0; i < 4096; i++) bytes[page * 4096 + i] = next(256)
    ram.bytes(pfn * 4096, 4096).set(bytes.subarray(page * 4096, page * 4096 + 4096))
    const prot = readOnly.has(page) ? PAGE_READONLY : page % 2 === 0 ? DATA : PAGE_SHARED
    if (!holes.has(page)) space.map(BASE + page * 4096, pfn, 1, prot)
  })
  /** First page in the way of an access; -1 for none. */
  const blocked = (offset: number, length: number, write: boolean) => {
    for (let page = Math.floor(offset / 4096); page * 4096 < offset + length; page++) {
      if (page >= pageCount || holes.has(page) || (write && readOnly.has(page))) return page
    }
    return -1
  }
  const same = () =>
    pfns.every((pfn, page) => {
      const there = ram.bytes(pfn * 4096, 4096)
      return equal(there, bytes.subarray(page * 4096, page * 4096 + 4096))
    })
  return { ram, space, bytes, view: new DataView(bytes.buffer), blocked, same, next, pfns }
}

/** Kinds of access: bytes, and a load and a store in memory and in the model. */
const ACCESSES: readonly {
  bytes: number
  load(memory: VirtualMemory, address: number): unknown
  model(view: DataView, at: number): unknown
  store(memory: VirtualMemory, address: number, value: number): void
  put(view: DataView, at: number, value: number): void
}[] = [
  {
    bytes: 1,
    load: (m, a) => [m.loadU8(a), m.loadI8(a)],
    model: (v, a) => [v.getUint8(a), v.getInt8(a)],
    store: (m, a, x) => m.storeU8(a, x),
    put: (v, a, x) => v.setUint8(a, x),
  },
  {
    bytes: 2,
    load: (m, a) => [m.loadU16(a), m.loadI16(a)],
    model: (v, a) => [v.getUint16(a, true), v.getInt16(a, true)],
    store: (m, a, x) => m.storeU16(a, x),
    put: (v, a, x) => v.setUint16(a, x, true),
  },
  {
    bytes: 4,
    load: (m, a) => [m.loadU32(a), m.loadI32(a)],
    model: (v, a) => [v.getUint32(a, true), v.getInt32(a, true)],
    store: (m, a, x) => m.storeU32(a, x),
    put: (v, a, x) => v.setUint32(a, x, true),
  },
  {
    bytes: 8,
    load: (m, a) => [m.loadU64Lo(a), m.loadU64Hi(a), m.loadBigU64(a)],
    model: (v, a) => [v.getUint32(a, true), v.getUint32(a + 4, true), v.getBigUint64(a, true)],
    store: (m, a, x) => m.storeU64(a, ~x, x),
    put: (v, a, x) => {
      v.setUint32(a, x, true)
      v.setUint32(a + 4, ~x, true)
    },
  },
  {
    bytes: 4,
    load: (m, a) => m.loadF32(a),
    model: (v, a) => v.getFloat32(a, true),
    store: (m, a, x) => m.storeF32(a, x / 3),
    put: (v, a, x) => v.setFloat32(a, x / 3, true),
  },
  {
    bytes: 8,
    load: (m, a) => m.loadF64(a),
    model: (v, a) => v.getFloat64(a, true),
    store: (m, a, x) => m.storeF64(a, -x / 7),
    put: (v, a, x) => v.setFloat64(a, -x / 7, true),
  },
  {
    bytes: 8,
    load: (m, a) => m.loadBigU64(a),
    model: (v, a) => v.getBigUint64(a, true),
    store: (m, a, x) => m.storeBigU64(a, BigInt(x) * 0x123456789n - 1n),
    put: (v, a, x) => v.setBigUint64(a, BigInt(x) * 0x123456789n - 1n, true),
  },
]

describe.each([0, 4, 256])('loads and stores with a TLB of %i', (tlb) => {
  it.each(FORMATS)('%s: like an array of bytes, faults where the page does', (_name, format) => {
    const { space, view, bytes, blocked, same, next } = patchwork(format, tlb)
    for (let step = 0; step < 600; step++) {
      const kind = ACCESSES[next(ACCESSES.length)] ?? ACCESSES[0]
      if (kind === undefined) return
      // A third reaches over the end of a page.
      const crossing = next(3) === 0
      const page = next(16) * 4096
      const offset = crossing ? page + 4096 - 1 - next(kind.bytes) : page + next(4096)
      const write = next(2) === 0
      const stop = blocked(offset, kind.bytes, write)
      const value = next(2 ** 32)
      const fault = thrown(() => {
        if (write) kind.store(space, BASE + offset, value)
        else {
          expect(kind.load(space, BASE + offset)).toEqual(
            offset + kind.bytes <= bytes.length ? kind.model(view, offset) : null,
          )
        }
      })
      if (stop < 0) {
        expect(fault).toBe(null)
        if (write) kind.put(view, offset, value)
        continue
      }
      expect(fault).toBeInstanceOf(PageFault)
      expect(fault).toMatchObject({
        address: BASE + Math.max(offset, stop * 4096),
        kind: write ? 'write' : 'read',
        user: true,
        reason: stop === 8 ? 'protection' : 'unmapped',
      })
    }
    expect(same()).toBe(true)
  })

  it.each(FORMATS)('%s: bulk, all or nothing', (_name, format) => {
    const { space, bytes, blocked, same, next } = patchwork(format, tlb)
    for (let step = 0; step < 120; step++) {
      const offset = next(15 * 4096)
      const length = next(3) === 0 ? next(5 * 4096) : next(100)
      const other = next(2) === 0 ? Math.min(offset + next(6000), 15 * 4096) : next(14 * 4096)
      const byte = next(256)
      const source = new Uint8Array(length).map(() => next(256))
      const target = new Uint8Array(length).fill(0xaa)
      const room = (stop: number) => (stop < 0 ? length : Math.max(stop * 4096 - offset, 0))
      const readable = blocked(offset, length, false)
      const writable = blocked(offset, length, true)
      switch (next(6)) {
        case 0: {
          const fault = thrown(() => space.read(BASE + offset, target))
          expect(fault === null).toBe(readable < 0)
          const expected = readable < 0 ? bytes.slice(offset, offset + length) : target.fill(0xaa)
          expect(equal(target, expected)).toBe(true)
          break
        }
        case 1:
          expect(space.readPartial(BASE + offset, target)).toBe(room(readable))
          expect(
            equal(
              target.subarray(0, room(readable)),
              bytes.subarray(offset, offset + room(readable)),
            ),
          ).toBe(true)
          expect(target.subarray(room(readable)).every((one) => one === 0xaa)).toBe(true)
          break
        case 2: {
          const fault = thrown(() => space.write(BASE + offset, source))
          if (writable < 0) bytes.set(source, offset)
          else expect(fault).toMatchObject({ name: 'PageFault', kind: 'write' })
          break
        }
        case 3:
          expect(space.writePartial(BASE + offset, source)).toBe(room(writable))
          bytes.set(source.subarray(0, room(writable)), offset)
          break
        case 4: {
          const fault = thrown(() => space.fill(BASE + offset, length, byte))
          if (writable < 0) bytes.fill(byte, offset, offset + length)
          else expect(fault).toMatchObject({ name: 'PageFault', kind: 'write' })
          break
        }
        default: {
          const fault = thrown(() => space.copy(BASE + other, BASE + offset, length))
          const fits = readable < 0 && blocked(other, length, true) < 0
          if (fits) bytes.copyWithin(other, offset, offset + length)
          expect(fault === null).toBe(fits)
        }
      }
    }
    expect(same()).toBe(true)
  })
})

describe('copy', () => {
  it.each([1, 100, 4095, 4096, 5000, -1, -100, -4096, -5000])('moves by %i', (distance) => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39, user: true })
    space.mapPages(BASE, scattered(pages, 8), DATA)
    const bytes = new Uint8Array(8 * 4096).map((_, i) => i % 251)
    space.write(BASE, bytes)
    space.copy(BASE + 8000 + distance, BASE + 8000, 3 * 4096)
    bytes.copyWithin(8000 + distance, 8000, 8000 + 3 * 4096)
    const found = new Uint8Array(8 * 4096)
    space.read(BASE, found)
    expect(equal(found, bytes)).toBe(true)
  })
})

describe('fetch', () => {
  it('needs the right to execute', () => {
    const { pages, ram } = machine()
    const space = new AddressSpace(pages, { format: SV39, user: true })
    const [first = 0, second = 0] = scattered(pages, 2)
    space.map(0x1000, first, 1, PAGE_SHARED_EXEC)
    space.map(0x2000, second, 1, PAGE_SHARED)
    ram.writeU32(first * 4096 + 8, 0x89abcdef)
    expect(space.fetchU32(0x1008)).toBe(0x89abcdef)
    expect(space.fetchU16(0x100a)).toBe(0x89ab)
    expect(thrown(() => space.fetchU16(0x2000))).toMatchObject({ reason: 'protection', code: 12 })
    // Over the end of the page.
    expect(thrown(() => space.fetchU32(0x1ffe))).toMatchObject({ address: 0x2000, kind: 'execute' })
    expect(space.fetchU16(0x1ffe)).toBe(0)
  })
})

describe('a fault', () => {
  it('says in words what happened, with the address in full', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: X86_64, kernelTables: true })
    const fault = thrown(() => space.storeU32(0xc90000000004, 1))
    expect(fault).toBeInstanceOf(PageFault)
    expect(fault).toMatchObject({
      name: 'PageFault',
      address: 0xc90000000004,
      kind: 'write',
      user: false,
      reason: 'unmapped',
      code: 2,
      level: 0,
      message: 'kernel write at 0xffffc90000000004: nothing is mapped there (level PGD, code 0x2)',
    })
    space.user = true
    expect(thrown(() => space.loadU8(0x1234))).toMatchObject({
      message: 'user read at 0x1234: nothing is mapped there (level PGD, code 0x4)',
    })
  })

  it('is one object each time without an error, and two that differ as errors', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39 })
    const { fault } = space
    expect(space.resolve(0x5000, ACCESS_WRITE)).toBe(-1)
    expect(space.fault).toBe(fault)
    expect(fault).toMatchObject({ address: 0x5000, kind: 'write', code: 15, level: 0 })
    expect(space.resolve(0x6000, ACCESS_EXECUTE, 4)).toBe(-1)
    expect(fault).toMatchObject({ address: 0x6000, kind: 'execute', code: 12 })
    expect(space.resolve(0x7000, ACCESS_READ | ACCESS_WRITE, 8)).toBe(-1)
    expect(fault).toMatchObject({ address: 0x7000, kind: 'write', code: 15 })
  })

  it('of two pages is that of the first, and the other is not marked', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39, user: true })
    expect(space.resolve(0x1ffe, ACCESS_WRITE, 4)).toBe(-1)
    expect(space.fault.address).toBe(0x1ffe)
    space.map(0x2000, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE | PROT_USER)
    expect(space.resolve(0x1ffe, ACCESS_WRITE, 4)).toBe(-1)
    expect(space.fault.address).toBe(0x1ffe)
    expect(space.accessed(0x2000)).toBe(false)
    space.storeU8(0x2000, 1)
    expect(space.resolve(0x1ffe, ACCESS_WRITE, 4)).toBe(-1)
    expect(space.fault.address).toBe(0x1ffe)
  })

  it('reports what is no address, and the end of each half', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: X86_64 })
    const [pfn = 0] = scattered(pages, 1)
    expect(space.resolve(2 ** 48, ACCESS_READ)).toBe(-1)
    expect(space.fault).toMatchObject({ reason: 'non-canonical', code: 0 })
    space.map(0x7ffffffff000, pfn, 1, DATA)
    expect(space.resolve(0x7fffffffffff, ACCESS_READ)).toBe(pfn * 4096 + 4095)
    expect(space.resolve(0x7fffffffffff, ACCESS_READ, 2)).toBe(-1)
    expect(space.fault).toMatchObject({ reason: 'non-canonical', address: 0x800000000000 })
    // Behind the last address comes the first.
    space.map(0xfffffffff000, pfn, 1, DATA)
    expect(space.resolve(0xffffffffffff, ACCESS_READ, 2)).toBe(-1)
    expect(space.fault).toMatchObject({ reason: 'unmapped', address: 0 })
    space.map(0, pfn, 1, DATA)
    space.storeU16(0xffffffffffff, 0x1122)
    expect([space.loadU8(0xffffffffffff), space.loadU8(0)]).toEqual([0x22, 0x11])
  })
})

describe('marks of use', () => {
  const entryOf = (space: AddressSpace, level: number) => {
    const entry = space.walk(BASE).entries[level]
    return [entry?.lo ?? 0, entry?.hi ?? 0]
  }
  const clean = PROT_READ | PROT_WRITE | PROT_USER

  it.each([
    ['x86_64', X86_64, 0x20, 0x60],
    ['Sv39', SV39, 0x40, 0xc0],
  ] as const)(
    '%s: a read sets A, a write sets D, and a fault neither',
    (_name, format, a, both) => {
      for (const tlb of [0, 16]) {
        const { pages } = machine()
        const space = new AddressSpace(pages, { format, tlb })
        space.setMode({ sum: true })
        space.map(BASE, scattered(pages, 1)[0] ?? 0, 1, clean)
        const last = format.levels.length - 1
        expect((entryOf(space, last)[0] ?? 0) & both).toBe(0)
        expect(space.resolve(BASE + 4094, ACCESS_WRITE, 4)).toBe(-1)
        expect(thrown(() => space.write(BASE, new Uint8Array(5000)))).toBeInstanceOf(PageFault)
        expect((entryOf(space, last)[0] ?? 0) & both & ~a).toBe(format === X86_64 ? 0x40 : 0x80)
        space.harvest(BASE, 4096)
        space.loadU8(BASE)
        expect((entryOf(space, last)[0] ?? 0) & both).toBe(a)
        space.storeU8(BASE, 1)
        expect((entryOf(space, last)[0] ?? 0) & both).toBe(both)
      }
    },
  )

  it('x86_64: marks the entries of tables too, and only when the access succeeds', () => {
    const { pages, ram } = machine()
    const space = new AddressSpace(pages, { format: X86_64, user: true })
    space.map(BASE, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_USER)
    const places = space.walk(BASE).entries.map(({ entryAddress }) => entryAddress)
    for (const at of places) ram.writeU32(at, ram.readU32(at) & ~0x20)
    const marks = () => places.map((at) => ram.readU32(at) & 0x20)
    expect(space.resolve(BASE, ACCESS_WRITE)).toBe(-1)
    expect(marks()).toEqual([0, 0, 0, 0])
    expect(space.resolve(BASE, ACCESS_READ)).toBeGreaterThan(0)
    expect(marks()).toEqual([0x20, 0x20, 0x20, 0x20])
  })

  it('AArch64: AF, and AP[2] where DBM allows', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: ARM64, user: true })
    space.map(BASE, scattered(pages, 1)[0] ?? 0, 1, clean)
    expect((entryOf(space, 3)[0] ?? 0) & 0x480).toBe(0x80)
    space.loadU8(BASE)
    expect((entryOf(space, 3)[0] ?? 0) & 0x480).toBe(0x480)
    space.storeU8(BASE, 1)
    expect((entryOf(space, 3)[0] ?? 0) & 0x480).toBe(0x400)
  })

  it('are software’s business on request: a fault, and nothing marked', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39, user: true, hardwareUpdates: 'fault' })
    space.map(BASE, scattered(pages, 1)[0] ?? 0, 1, clean)
    const before = entryOf(space, 2)
    expect(thrown(() => space.loadU8(BASE))).toMatchObject({ reason: 'access-flag', code: 13 })
    expect(thrown(() => space.storeU8(BASE, 1))).toMatchObject({ reason: 'access-flag', code: 15 })
    expect(entryOf(space, 2)).toEqual(before)
    space.tables.markUsed(BASE, false)
    expect(space.loadU8(BASE)).toBe(0)
    expect(thrown(() => space.storeU8(BASE, 1))).toMatchObject({ reason: 'access-flag' })
    space.tables.markUsed(BASE, true)
    space.storeU8(BASE, 1)
  })

  it('reach the memory’s own marks, with the stores', () => {
    const ram = new PhysicalMemory({ size: 4 * 1048576, dirtyTracking: true })
    const { pages } = machine({ ram })
    const space = new AddressSpace(pages, { format: SV39, user: true })
    const pfns = scattered(pages, 2)
    space.mapPages(BASE, pfns, PAGE_SHARED)
    const table = Math.floor((space.walk(BASE).entries[2]?.entryAddress ?? 0) / 4096)
    const sorted = (list: readonly number[]) => [...list].sort((a, b) => a - b)
    ram.clearDirty()
    space.loadU32(BASE)
    expect(ram.dirtyPages()).toEqual([])
    space.storeU8(BASE, 1)
    expect(ram.dirtyPages()).toEqual(sorted([table, pfns[0] ?? 0]))
    ram.clearDirty()
    space.storeU32(BASE + 4094, 1)
    expect(ram.dirtyPages()).toEqual(sorted([table, ...pfns]))
    ram.clearDirty()
    space.write(BASE + 4096, new Uint8Array(3))
    expect(ram.dirtyPages()).toEqual([pfns[1]])
  })
})

describe('a device', () => {
  function board(tlb: number) {
    const log: string[] = []
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 4 * 1048576, type: 'usable' },
        {
          base: 0x10000000,
          size: 8192,
          type: 'device',
          read: (offset, bytes) => {
            log.push(`read ${offset} ${bytes}`)
            return 0x11223300 + offset
          },
          write: (offset, bytes, value) => log.push(`write ${offset} ${bytes} ${value}`),
        },
        { base: 0x10004000, size: 4096, type: 'device', read: () => 7 },
      ],
    })
    const { pages } = machine({ ram })
    const space = new AddressSpace(pages, { format: SV39, tlb })
    space.mapRange(0x5000, 0x10000000, 8192, PROT_READ | PROT_WRITE)
    space.mapRange(0x8000, 0x10004000, 4096, PROT_READ | PROT_WRITE)
    space.map(0x4000, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE)
    return { log, space, asked: () => log.splice(0) }
  }

  it.each([0, 16])('gets accesses of the size that was asked for (TLB of %i)', (tlb) => {
    const { space, asked } = board(tlb)
    for (let round = 0; round < 2; round++) {
      expect(space.loadU8(0x5003)).toBe(3)
      expect(space.loadU16(0x5004)).toBe(0x3304)
      expect(space.loadU32(0x5008)).toBe(0x11223308)
      expect(space.loadU64Lo(0x5010)).toBe(0x11223310)
      expect(space.loadU64Hi(0x5010)).toBe(0x11223314)
      expect(asked()).toEqual(['read 3 1', 'read 4 2', 'read 8 4', 'read 16 4', 'read 20 4'])
      space.storeU8(0x5001, 0x1ff)
      space.storeU16(0x5002, 5)
      space.storeU32(0x5004, -1)
      space.storeU64(0x5008, 2, 1)
      expect(asked()).toEqual([
        'write 1 1 255',
        'write 2 2 5',
        'write 4 4 4294967295',
        'write 8 4 1',
        'write 12 4 2',
      ])
    }
  })

  it('gets single bytes of what reaches into another page, and of bulk', () => {
    const { space, asked } = board(0)
    expect(space.loadU16(0x4fff)).toBe(0)
    expect(asked()).toEqual(['read 0 1'])
    space.storeU32(0x5ffe, 0x04030201)
    expect(asked()).toEqual([
      'write 4094 1 1',
      'write 4095 1 2',
      'write 4096 1 3',
      'write 4097 1 4',
    ])
    const target = new Uint8Array(4)
    space.read(0x4ffe, target)
    expect([...target]).toEqual([0, 0, 0, 1])
    expect(asked()).toEqual(['read 0 1', 'read 1 1'])
    space.write(0x5000, Uint8Array.of(9, 8))
    space.fill(0x5002, 1, 6)
    space.copy(0x4000, 0x5000, 2)
    expect(asked()).toEqual(['write 0 1 9', 'write 1 1 8', 'write 2 1 6', 'read 0 1', 'read 1 1'])
    expect(space.loadU16(0x4000)).toBe(0x100)
  })

  it('cannot be written without a callback: an error, and nothing else written', () => {
    const { space } = board(0)
    space.map(
      0x7000,
      space.translate(0x4000) === null ? 0 : (space.translate(0x4000) ?? 0) / 4096,
      1,
      PROT_READ | PROT_WRITE,
    )
    expect(thrown(() => space.storeU8(0x8000, 1))).toBeInstanceOf(InvalidArgument)
    expect(thrown(() => space.storeU32(0x7ffe, -1))).toBeInstanceOf(InvalidArgument)
    expect(thrown(() => space.write(0x7000, new Uint8Array(4097).fill(1)))).toBeInstanceOf(
      InvalidArgument,
    )
    expect(space.loadU32(0x7ffc)).toBe(0)
    expect(space.loadU8(0x7000)).toBe(0)
    expect(space.loadU8(0x8000)).toBe(7)
  })
})

describe('the TLB', () => {
  /** Two pages whose entries are changed behind the tables' back: only a TLB still knows the old ones. */
  function stale(tlb = 64) {
    const { pages, ram } = machine()
    const space = new AddressSpace(pages, { format: SV39, tlb, user: true })
    const pfns = scattered(pages, 6)
    space.mapPages(BASE, pfns, DATA)
    pfns.forEach((pfn, page) => {
      ram.writeU32(pfn * 4096, page)
    })
    const load = () => pfns.map((_, page) => space.loadU32(BASE + page * 4096))
    load()
    const entries = pfns.map((_, page) => space.walk(BASE + page * 4096).entries[2])
    /** Lets every page be the first one. */
    const tamper = () => {
      const first = ram.readU32(entries[0]?.entryAddress ?? 0)
      for (const entry of entries) ram.writeU32(entry?.entryAddress ?? 0, first)
    }
    return { space, load, tamper, pages }
  }

  it('knows what a guest changed only after a flush, of just the range', () => {
    const { space, load, tamper } = stale()
    tamper()
    expect(load()).toEqual([0, 1, 2, 3, 4, 5])
    space.flushTlb(BASE + 2 * 4096, BASE + 2 * 4096 + 1)
    expect(load()).toEqual([0, 1, 0, 3, 4, 5])
    space.flushTlb(BASE + 4095, BASE + 4097)
    expect(load()).toEqual([0, 0, 0, 3, 4, 5])
    space.flushTlb()
    expect(load()).toEqual([0, 0, 0, 0, 0, 0])
  })

  it('without one there is nothing to flush', () => {
    const { load, tamper } = stale(0)
    tamper()
    expect(load()).toEqual([0, 0, 0, 0, 0, 0])
  })

  it('forgets what is unmapped or protected, and nothing else', () => {
    const { space, load, tamper } = stale()
    tamper()
    space.unmap(BASE + 4096, 4096)
    expect(thrown(() => space.loadU8(BASE + 4096))).toMatchObject({ reason: 'unmapped' })
    space.protect(BASE + 3 * 4096, 4096, PAGE_READONLY)
    expect(thrown(() => space.storeU8(BASE + 3 * 4096, 1))).toMatchObject({ reason: 'protection' })
    expect([0, 2, 3, 4, 5].map((page) => space.loadU32(BASE + page * 4096))).toEqual([
      0, 2, 0, 4, 5,
    ])
    space.tables.unmapRange(BASE, 6 * 4096)
    space.tables.flush.flushTlb(BASE, BASE + 6 * 4096)
    expect(thrown(load)).toBeInstanceOf(PageFault)
  })

  it('keeps rights of user and kernel apart, and marks a page before its first write', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: X86_64, tlb: 8 })
    space.map(BASE, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE)
    space.loadU8(BASE)
    space.user = true
    expect(thrown(() => space.loadU8(BASE))).toMatchObject({ user: true, code: 5 })
    space.user = false
    expect(space.dirty(BASE)).toBe(false)
    space.storeU8(BASE, 1)
    expect(space.dirty(BASE)).toBe(true)
    expect(space.harvest(BASE, 4096)).toHaveLength(1)
    space.storeU8(BASE, 1)
    expect([space.accessed(BASE), space.dirty(BASE)]).toEqual([true, true])
  })

  it('holds no more than it has room for: pages share slots', () => {
    const { space, load } = stale(1)
    expect(load()).toEqual([0, 1, 2, 3, 4, 5])
    expect(load()).toEqual([0, 1, 2, 3, 4, 5])
    space.unmap(BASE, 4096)
    expect(space.loadU32(BASE + 5 * 4096)).toBe(5)
  })

  it('keeps a page whose slot is that of one that is flushed', () => {
    const { space, load, tamper } = stale(4)
    tamper()
    // Pages 4 and 5 have taken the slots of 0 and 1.
    space.flushTlb(BASE, BASE + 2 * 4096)
    expect([space.loadU32(BASE + 4 * 4096), space.loadU32(BASE + 5 * 4096)]).toEqual([4, 5])
    space.flushTlb(BASE, BASE + 4 * 4096)
    expect([space.loadU32(BASE + 4 * 4096), space.loadU32(BASE + 3 * 4096)]).toEqual([4, 0])
    space.flushTlb(BASE + 5 * 4096, BASE + 512 * 4096)
    expect(load()).toEqual([0, 0, 0, 0, 0, 0])
  })

  it('is left by the tables when closed', () => {
    const { space, pages } = stale()
    const flush = space.tables.flush
    const second = new VirtualMemory(space.tables, { tlb: 4 })
    second.setMode({ sum: true })
    expect(second.loadU32(BASE + 4096)).toBe(1)
    second.close()
    expect(space.tables.flush).toBe(flush)
    expect(thrown(() => second.loadU32(BASE + 4096))).toBeInstanceOf(KernelBug)
    expect(thrown(() => second.resolve(BASE, ACCESS_READ))).toBeInstanceOf(KernelBug)
    expect(thrown(() => second.read(BASE, new Uint8Array(1)))).toBeInstanceOf(KernelBug)
    expect(space.loadU32(BASE + 4096)).toBe(1)
    expect(pages.allocPages(0)).not.toBe(null)
  })
})

describe('tables that are gone', () => {
  it.each([0, 16])('are of no use to a view of them, with a TLB of %i', (tlb) => {
    const { pages, source } = machine()
    const tables = new PageTables(source, X86_64)
    const memory = new VirtualMemory(tables, { tlb })
    tables.mapPages(BASE, scattered(pages, 1), 0, 1, PAGE_KERNEL)
    memory.storeU32(BASE, 5)
    expect(memory.loadU32(BASE)).toBe(5)
    tables.destroy()
    expect([tables.root, tables.highRoot]).toEqual([-1, -1])
    for (const call of [
      () => memory.loadU32(BASE),
      () => memory.storeU32(BASE, 1),
      () => memory.resolve(BASE, ACCESS_READ),
      () => memory.read(BASE, new Uint8Array(1)),
    ]) {
      expect(thrown(call)).toMatchObject({ code: 'TABLES_DESTROYED' })
    }
  })
})

describe('growing memory', () => {
  it.each([0, 16])('is followed, with a TLB of %i', (tlb) => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 128 })
    const ram = new PhysicalMemory({ memory })
    const { pages } = machine({ ram })
    const space = new AddressSpace(pages, { format: SV39, tlb, user: true })
    const [pfn = 0] = scattered(pages, 1)
    space.map(0x1000, pfn, 1, DATA)
    space.map(0x2000, (64 * 65536) / 4096, 1, DATA)
    space.storeU32(0x1000, 77)
    memory.grow(1)
    expect(space.loadU32(0x1000)).toBe(77)
    space.storeU32(0x1004, 78)
    expect(ram.readU32(pfn * 4096 + 4)).toBe(78)
    ram.writeU32(64 * 65536, 79)
    expect(space.loadU32(0x2000)).toBe(79)
    memory.grow(1)
    space.storeU32(0x2004, 80)
    expect(ram.readU32(64 * 65536 + 4)).toBe(80)
    expect(space.resolve(0x2000, ACCESS_READ)).toBe(64 * 65536)
  })
})

describe('what is no memory', () => {
  it('has a physical address, and no bytes', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39 })
    space.mapRange(0x1000, 0x90000000, 4096, PROT_READ | PROT_WRITE)
    space.map(0x2000, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE)
    expect(space.resolve(0x1234, ACCESS_READ)).toBe(0x90000234)
    for (const call of [
      () => space.loadU32(0x1000),
      () => space.storeU32(0x1000, 1),
      () => space.storeU32(0x1ffe, 1),
      () => space.fill(0x1fff, 2, 1),
      () => space.read(0x1000, new Uint8Array(1)),
      () => space.fill(0x2000, 2 ** 32 + 1, 1),
      () => space.copy(0x2000, 0x2000, 2 ** 32 + 1),
    ]) {
      expect(thrown(call)).toBeInstanceOf(InvalidArgument)
    }
    expect(space.loadU32(0x2000)).toBe(0)
  })
})

describe('garbage', () => {
  /** Flags of a table, or of a leaf, by where the frame number starts; one more with two top tables. */
  const USUAL: Readonly<Record<number, number>> = { 10: 0x01, 12: 0x67, 13: 0x443 }

  it.each(FORMATS)('%s: tables of random words end in an address or a fault', (_name, format) => {
    const frames = new TableFrames({ size: 0x40000 }, 8)
    const tables = tablesIn(frames, format)
    const next = numbers(format.name.length)
    const memory = new VirtualMemory(tables, { tlb: 8 })
    let found = 0
    for (let step = 0; step < 3000; step++) {
      if (step % 500 === 0) {
        for (let at = 0; at < 0x40000; at += format.entryBytes) {
          const frame = next(50) === 0 ? next(2 ** 20) : next(64)
          const usual = USUAL[format.pfnShift + Number(format.twoRoots)] ?? 0
          const flags = [next(1024), 1, usual, usual][next(4)] ?? 0
          const low = next(50) === 0 ? next(2 ** 32) : (frame << format.pfnShift) | flags
          frames.ram.writeU32(at, low)
          if (format.entryBytes === 8)
            frames.ram.writeU32(at + 4, next(50) === 0 ? next(2 ** 32) : 0)
        }
        memory.flushTlb()
      }
      const address = Math.floor(next(2 ** Math.min(format.vaBits, 53)) / 16) * 16
      const access = [ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE][next(3)] ?? 1
      memory.user = next(2) === 0
      const physical = memory.resolve(address, access, 8)
      if (physical >= 0) {
        found++
        expect(physical % 4096).toBe(address % 4096)
        expect(tables.translate(address)).toBe(physical)
      } else {
        expect(memory.fault.address).toBe(address)
        expect(memory.fault.level).toBeLessThan(format.levels.length)
      }
      const error = thrown(() => memory.loadU64Lo(address))
      if (error !== null && !(error instanceof InvalidArgument)) {
        expect(error).toBeInstanceOf(PageFault)
      }
    }
    expect(found).toBeGreaterThan(0)
  })
})

describe('addresses of 57 bits', () => {
  it('are exact at multiples of 16, in loads, stores and bulk', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: X86_64_LA57, tlb: 4 })
    const [first = 0, second = 0] = scattered(pages, 2)
    const high = 0x1ffffff00000000
    space.mapPages(high, [first, second], PROT_READ | PROT_WRITE)
    space.storeU64(high + 4080, 2, 1)
    space.storeU32(high + 4096, 3)
    expect([space.loadU64Lo(high + 4080), space.loadU64Hi(high + 4080)]).toEqual([1, 2])
    const bytes = new Uint8Array(32)
    space.read(high + 4080, bytes)
    expect([bytes[0], bytes[4], bytes[16]]).toEqual([1, 2, 3])
    expect(thrown(() => space.loadU8(high + 8192))).toMatchObject({
      message: expect.stringContaining('kernel read at 0xffffffff00002000'),
    })
  })
})

describe('wrong arguments', () => {
  const wrong = [Number.NaN, -1, -4096, 0.5, 4096.5, Number.POSITIVE_INFINITY, 2 ** 64]

  it('throw InvalidArgument, whatever the call', () => {
    for (const tlb of [0, 8]) {
      const { pages } = machine()
      const space = new AddressSpace(pages, { format: SV39, tlb })
      space.map(0, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE)
      space.map(0x1000, (space.translate(0) ?? 0) / 4096, 1, PROT_READ | PROT_WRITE)
      space.loadU8(0)
      space.loadU8(0x1000)
      const calls: ((address: number) => unknown)[] = [
        (a) => space.loadU8(a),
        (a) => space.loadU16(a),
        (a) => space.loadU32(a),
        (a) => space.loadI8(a),
        (a) => space.loadI16(a),
        (a) => space.loadI32(a),
        (a) => space.loadU64Lo(a),
        (a) => space.loadU64Hi(a),
        (a) => space.loadBigU64(a),
        (a) => space.loadF32(a),
        (a) => space.loadF64(a),
        (a) => space.fetchU16(a),
        (a) => space.fetchU32(a),
        (a) => space.storeU8(a, 1),
        (a) => space.storeU16(a, 1),
        (a) => space.storeU32(a, 1),
        (a) => space.storeU64(a, 1, 1),
        (a) => space.storeBigU64(a, 1n),
        (a) => space.storeF32(a, 1),
        (a) => space.storeF64(a, 1),
        (a) => space.resolve(a, ACCESS_READ),
        (a) => space.read(a, new Uint8Array(1)),
        (a) => space.read(a, new Uint8Array(0)),
        (a) => space.readPartial(a, new Uint8Array(1)),
        (a) => space.write(a, new Uint8Array(1)),
        (a) => space.writePartial(a, new Uint8Array(1)),
        (a) => space.fill(a, 1, 1),
        (a) => space.copy(a, 0, 1),
        (a) => space.copy(0, a, 1),
        (a) => space.flushTlb(a),
      ]
      for (const call of calls) {
        for (const address of wrong) {
          expect([String(call), address, thrown(() => call(address))]).toEqual([
            String(call),
            address,
            expect.any(InvalidArgument),
          ])
        }
      }
    }
  })

  it('are values of another kind, lengths, buffers and bits too', () => {
    const { pages } = machine()
    const space = new AddressSpace(pages, { format: SV39 })
    space.map(0, scattered(pages, 1)[0] ?? 0, 1, PROT_READ | PROT_WRITE)
    const text = 'x' as unknown as number
    const calls = [
      () => space.storeU8(0, text),
      () => space.storeU16(0, text),
      () => space.storeU32(0, text),
      () => space.storeU64(0, text, 0),
      () => space.storeU64(0, 0, text),
      () => space.storeF32(0, text),
      () => space.storeF64(0, text),
      () => space.storeBigU64(0, 1 as unknown as bigint),
      () => space.fill(0, 1, text),
      () => space.fill(0, -1, 0),
      () => space.fill(0, Number.NaN, 0),
      () => space.copy(0, 0, 0.5),
      () => space.read(0, [] as unknown as Uint8Array),
      () => space.write(0, 'abc' as unknown as Uint8Array),
      () => space.readPartial(0, null as unknown as Uint8Array),
      () => space.resolve(0, 0),
      () => space.resolve(0, 5),
      () => space.resolve(0, 8),
      () => space.resolve(0, Number.NaN),
      () => space.resolve(0, ACCESS_READ, 0),
      () => space.resolve(0, ACCESS_READ, -4),
      () => space.resolve(0, ACCESS_READ, 4097),
      () => space.resolve(0, ACCESS_READ, Number.NaN),
      () => space.flushTlb(4096, 0),
      () => space.flushTlb(0, 2 ** 40),
      () => space.setMode({ user: 1 as unknown as boolean }),
      () => {
        space.user = 'yes' as unknown as boolean
      },
    ]
    for (const call of calls) {
      expect([String(call), thrown(call)]).toEqual([String(call), expect.any(InvalidArgument)])
    }
    expect(space.loadU32(0)).toBe(0)
    expect(space.user).toBe(false)
  })
})
