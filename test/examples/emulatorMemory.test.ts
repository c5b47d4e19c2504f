/** What the emulator reads: page tables, memory behind them, and the file of the program. */

import { readFileSync } from 'node:fs'
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  AddressSpace,
  InvalidArgument,
  PAGE_SIZE,
  PROT_ACCESSED,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_READ,
  PROT_USER,
  PROT_WRITE,
} from 'kmem'
import { describe, expect, it } from 'vitest'
import { CAUSE, Trap, type Width } from '../../examples/emulator/core'
import { parseElf } from '../../examples/emulator/elf'
import { Machine } from '../../examples/emulator/machine'
import { type Access, USER_END, VirtualRam } from '../../examples/emulator/memory'
import { FORMAT } from '../../examples/emulator/process'
import { walkSv39 } from '../../examples/emulator/sv39'

const elf = readFileSync(new URL('../../examples/emulator/guest/guest.elf', import.meta.url))

describe('page tables as the core reads them', () => {
  const accesses: readonly Access[] = ['fetch', 'load', 'store']
  const kinds = { fetch: ACCESS_EXECUTE, load: ACCESS_READ, store: ACCESS_WRITE }
  const spots = [0, 0x1000, 0x1f_f000, 0x4000_0000, 0x3f_ffff_f000]
  const prots = [PROT_READ, PROT_READ | PROT_WRITE, PROT_EXEC, PROT_READ | PROT_EXEC, 7]

  /** A page at each spot, in frames that are RAM, and both readers of it. */
  function setUp(marks: number) {
    const machine = new Machine()
    const { pages, ram } = machine
    // Only what the tables say counts: nothing is marked, nothing is remembered.
    const options = { format: FORMAT, user: true, hardwareUpdates: 'fault' } as const
    const space = new AddressSpace(pages, options)
    const root = space.root * PAGE_SIZE
    spots.forEach((spot, i) => {
      const prot = (prots[i] ?? 0) | PROT_USER | marks
      expect(space.map(spot, 0x80400 + i, 1, prot)).toBe(true)
    })
    return {
      ram,
      space,
      walk: (address: number) =>
        accesses.map((access) => walked(() => walkSv39(ram, root, address, access))),
      resolve: (address: number) => accesses.map((access) => space.resolve(address, kinds[access])),
    }
  }

  it('say what the address space was told', () => {
    const { walk, space } = setUp(PROT_ACCESSED | PROT_DIRTY)
    spots.forEach((spot, i) => {
      const physical = (0x80400 + i) * PAGE_SIZE + 0xff8
      const allowed = [PROT_EXEC, PROT_READ, PROT_WRITE].map((bit) => ((prots[i] ?? 0) & bit) !== 0)
      expect(walk(spot + 0xff8)).toEqual(allowed.map((yes) => (yes ? physical : -1)))
    })
    for (const hole of [0x2000, 0x1f_e000, 0x20_0000, 0x3fff_f000, 0x8000_0000, 0x3f_ffff_e000]) {
      expect(walk(hole)).toEqual([-1, -1, -1])
    }
    space.unmap(0, PAGE_SIZE)
    expect(walk(0)).toEqual([-1, -1, -1])
    expect(space.protect(0x1000, PAGE_SIZE, PROT_READ | PROT_ACCESSED)).toBe(true)
    expect(walk(0x1000)).toEqual([-1, -1, -1])
  })

  it('need marks in advance', () => {
    expect(setUp(0).walk(0x1000)).toEqual([-1, -1, -1])
    expect(setUp(PROT_DIRTY).walk(0x1000)).toEqual([-1, -1, -1])
    expect(setUp(PROT_ACCESSED).walk(0x1000)).toEqual([-1, 0x80401000, -1])
  })

  it('mean the same to the core and to the address space, with any bit of any entry changed', () => {
    const { ram, space, walk, resolve } = setUp(PROT_ACCESSED | PROT_DIRTY)
    const changed = new Set<string>()
    for (const spot of spots) {
      for (const address of entriesOf(space, ram, spot)) {
        const before = ram.readBigU64(address)
        for (let bit = 0n; bit < 64n; bit++) {
          ram.writeBigU64(address, before ^ (1n << bit))
          const found = walk(spot)
          expect(found, `bit ${bit} of 0x${before.toString(16)}`).toEqual(resolve(spot))
          changed.add(found.map((one) => (one < 0 ? '-' : '+')).join(''))
        }
        ram.writeBigU64(address, before)
      }
    }
    expect([...changed].sort()).toEqual(['+++', '++-', '+--', '-++', '-+-', '---'].sort())
  })
})

/** Physical addresses of the three entries that translate an address. */
function entriesOf(space: AddressSpace, ram: Machine['ram'], address: number): number[] {
  let table = space.root * PAGE_SIZE
  return [30, 21, 12].map((shift) => {
    const entry = table + (Math.floor(address / 2 ** shift) % 512) * 8
    table = Number((ram.readBigU64(entry) >> 10n) & (2n ** 44n - 1n)) * PAGE_SIZE
    return entry
  })
}

/** What an access finds; -1 too where a table is no RAM, and a processor would get an error from its bus. */
function walked(translate: () => number): number {
  try {
    return translate()
  } catch (error) {
    if (error instanceof InvalidArgument) return -1
    throw error
  }
}

describe('memory as the core sees it', () => {
  const { ram } = new Machine()
  const BASE = 0x8000_0000
  /** Virtual page 0 is the start of RAM, all others fault. */
  const memory = new VirtualRam(ram, (address) => (address < PAGE_SIZE ? BASE + address : -1))
  const trapOf = (action: () => unknown): unknown => {
    try {
      action()
    } catch (error) {
      if (error instanceof Trap) return [error.cause, error.value]
      throw error
    }
    return null
  }

  it('loads and stores every width', () => {
    const value = 0xfedc_ba98_7654_3210n
    for (const bytes of [1, 2, 4, 8] as Width[]) {
      ram.fill(BASE, 32, 0xaa)
      memory.store(8n, bytes, (-1n << 64n) | value)
      expect(memory.load(8n, bytes)).toBe(BigInt.asUintN(bytes * 8, value))
      expect(ram.readU8(BASE + 7)).toBe(0xaa)
      expect(ram.readU8(BASE + 8 + bytes)).toBe(0xaa)
    }
    expect(memory.fetch(8n)).toBe(0x7654_3210)
  })

  it('traps for what is not aligned, not mapped, or not of the lower half', () => {
    expect(trapOf(() => memory.load(2n, 4))).toEqual([CAUSE.misalignedLoad, 2n])
    expect(trapOf(() => memory.store(4n, 8, 0n))).toEqual([CAUSE.misalignedStore, 4n])
    expect(trapOf(() => memory.fetch(2n))).toEqual([CAUSE.misalignedFetch, 2n])
    for (const address of [0x1000n, BigInt(USER_END), 2n ** 63n, 2n ** 64n - 8n]) {
      expect(trapOf(() => memory.load(address, 8))).toEqual([CAUSE.loadPageFault, address])
      expect(trapOf(() => memory.store(address, 1, 0n))).toEqual([CAUSE.storePageFault, address])
      expect(trapOf(() => memory.fetch(address))).toEqual([CAUSE.fetchPageFault, address])
    }
    expect(trapOf(() => memory.load(0xff8n, 8))).toBeNull()
  })
})

describe('the loader', () => {
  it('finds the segments', () => {
    const { entry, segments } = parseElf(elf)
    expect(entry).toBe(0x10000)
    const rights = segments.map((one) => [one.readable, one.writable, one.executable])
    expect(rights).toEqual([
      [true, false, true],
      [true, false, false],
      [true, true, false],
    ])
    expect(segments.map(({ address }) => address)).toEqual([0x10000, 0x11000, 0x12000])
    const data = segments[2]
    expect([...(data?.bytes ?? [])]).toEqual([42, 0, 0, 0, 0, 0, 0, 0]) // the seed
    expect(data?.size).toBeGreaterThan(3000 * 8)
  })

  it('refuses what it cannot load', () => {
    const change = (at: number, byte: number): Uint8Array => {
      const file = new Uint8Array(elf)
      file[at] = byte
      return file
    }
    expect(() => parseElf(new Uint8Array(0))).toThrow('not an ELF64 file')
    expect(() => parseElf(change(0, 0))).toThrow('not an ELF64 file')
    expect(() => parseElf(change(4, 1))).toThrow('not an ELF64 file') // 32 bits
    expect(() => parseElf(change(16, 3))).toThrow('not an executable for RISC-V') // a library
    expect(() => parseElf(change(18, 62))).toThrow('not an executable for RISC-V') // x86-64
    expect(() => parseElf(elf.subarray(0, 20))).toThrow('not an executable for RISC-V')
    expect(() => parseElf(elf.subarray(0, 0x1100))).toThrow('a segment is cut off')
    expect(() => parseElf(elf.subarray(0, 100))).toThrow('the program headers are cut off')
  })
})
