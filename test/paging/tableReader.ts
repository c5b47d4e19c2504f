/**
 * Reads page tables out of memory by the bit tables of spec/vmalloc.md §13.1 to §13.5, with the code under test out of
 * sight: bytes, and integers of any length.
 */

import type { PhysicalMemory } from '../../src/ram/physicalMemory'

/** Shifts and index bits of the levels, and bytes of an entry, by §13.1. */
export interface Geometry {
  readonly family: 'x86' | 'riscv' | 'arm64'
  readonly levels: readonly (readonly [shift: number, bits: number])[]
  readonly entryBytes: 4 | 8
  /** Shifts of the levels that may have large leaves. */
  readonly large: readonly number[]
  /** Whether the highest bit of an address, above all indices, picks the table. */
  readonly twoRoots: boolean
}

const LOW = [
  [21, 9],
  [12, 9],
] as const
const FOUR = [[39, 9], [30, 9], ...LOW] as const

/** Geometries by the name of the format. */
export const GEOMETRY: Record<string, Geometry> = {
  x86_64: x86(FOUR, [21, 30]),
  'x86_64 LA57': x86([[48, 9], ...FOUR], [21, 30]),
  'i386 PAE': x86([[30, 2], ...LOW], [21]),
  i386: {
    ...x86(
      [
        [22, 10],
        [12, 10],
      ],
      [22],
    ),
    entryBytes: 4,
  },
  Sv39: riscv([[30, 9], ...LOW]),
  Sv48: riscv(FOUR),
  Sv57: riscv([[48, 9], ...FOUR]),
  arm64: arm64(FOUR),
  'arm64 39-bit': arm64([[30, 9], ...LOW]),
}

function x86(levels: Geometry['levels'], large: readonly number[]): Geometry {
  return { family: 'x86', levels, entryBytes: 8, large, twoRoots: false }
}

function riscv(levels: Geometry['levels']): Geometry {
  const large = levels.map(([shift]) => shift).filter((shift) => shift > 12)
  return { family: 'riscv', levels, entryBytes: 8, large, twoRoots: false }
}

function arm64(levels: Geometry['levels']): Geometry {
  return { family: 'arm64', levels, entryBytes: 8, large: [21, 30], twoRoots: true }
}

/** What an address is mapped to. */
export interface Reading {
  readonly physical: bigint
  /** log2 of the bytes of the leaf. */
  readonly shift: number
  readonly write: boolean
  readonly exec: boolean
  readonly user: boolean
  readonly accessed: boolean
  readonly dirty: boolean
}

const bit = (value: bigint, index: number): boolean => ((value >> BigInt(index)) & 1n) === 1n

function readEntry(ram: PhysicalMemory, address: bigint, bytes: 4 | 8): bigint {
  const view = ram.bytes(Number(address), bytes)
  const data = new DataView(view.buffer, view.byteOffset, bytes)
  return bytes === 4 ? BigInt(data.getUint32(0, true)) : data.getBigUint64(0, true)
}

/** Translates an address; null when nothing is mapped there. Tables must be well formed. */
export function readTables(
  ram: PhysicalMemory,
  geometry: Geometry,
  roots: { readonly root: number; readonly highRoot: number },
  address: number,
): Reading | null {
  const { family, levels, entryBytes, large, twoRoots } = geometry
  const va = BigInt(address)
  const [topShift, topBits] = levels[0] ?? [0, 0]
  const high = twoRoots && va >> BigInt(topShift + topBits) === 1n
  let table = BigInt(high ? roots.highRoot : roots.root) << 12n
  const rights = { write: true, exec: true, userExec: true, user: true }
  for (const [shift, bits] of levels) {
    const index = (va >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n)
    const entry = readEntry(ram, table + index * BigInt(entryBytes), entryBytes)
    if (!bit(entry, 0)) return null
    const frame =
      family === 'riscv'
        ? ((entry >> 10n) & 0xfffffffffffn) << 12n
        : entry & (family === 'x86' ? 0xffffffffff000n : 0xfffffffff000n)
    if (isLeaf(family, entry, shift, large)) {
      const inside = (1n << BigInt(shift)) - 1n
      const leaf = leafRights(family, entry, entryBytes)
      return {
        ...leaf,
        write: leaf.write && rights.write,
        exec: leaf.exec && (leaf.user ? rights.userExec : rights.exec),
        user: leaf.user && rights.user,
        physical: (frame & ~inside) | (va & inside),
        shift,
      }
    }
    // The top entries of PAE restrict nothing.
    if (family === 'x86' && bits !== 2) {
      rights.write &&= bit(entry, 1)
      rights.user &&= bit(entry, 2)
      rights.exec &&= !bit(entry, 63)
      rights.userExec = rights.exec
    }
    if (family === 'arm64') {
      rights.exec &&= !bit(entry, 59)
      rights.userExec &&= !bit(entry, 60)
    }
    table = frame
  }
  return null
}

function isLeaf(
  family: Geometry['family'],
  entry: bigint,
  shift: number,
  large: readonly number[],
): boolean {
  if (family === 'riscv') return ((entry >> 1n) & 7n) !== 0n
  if (shift === 12) return family === 'x86' || bit(entry, 1)
  return large.includes(shift) && (family === 'x86' ? bit(entry, 7) : !bit(entry, 1))
}

function leafRights(family: Geometry['family'], entry: bigint, entryBytes: 4 | 8) {
  if (family === 'x86') {
    return {
      write: bit(entry, 1),
      exec: entryBytes === 4 || !bit(entry, 63),
      user: bit(entry, 2),
      accessed: bit(entry, 5),
      dirty: bit(entry, 6),
    }
  }
  if (family === 'riscv') {
    return {
      write: bit(entry, 2),
      exec: bit(entry, 3),
      user: bit(entry, 4),
      accessed: bit(entry, 6),
      dirty: bit(entry, 7),
    }
  }
  const user = bit(entry, 6)
  return {
    write: bit(entry, 51),
    exec: !bit(entry, user ? 54 : 53),
    user,
    accessed: bit(entry, 10),
    dirty: bit(entry, 55) || !bit(entry, 7),
  }
}
