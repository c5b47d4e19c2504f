/**
 * Who may do what: every combination of the bits that matter, in the entry of the page and in the entry of a
 * table above it, against the rules of each architecture as its manual words them.
 */

import { describe, expect, it } from 'vitest'
import type { AccessMode } from '../../src/paging/accessMode'
import { ARM64 } from '../../src/paging/arm64Format'
import type { PageTableFormat } from '../../src/paging/format'
import { SV39 } from '../../src/paging/riscvFormat'
import { VirtualMemory } from '../../src/paging/virtualMemory'
import { I386, I386_PAE, X86_64 } from '../../src/paging/x86Format'
import { TableFrames, tablesIn } from './tableFrames'

const ADDRESS = 0x40201000
const KINDS = ['read', 'write', 'execute'] as const
const ACCESS = { read: 1, write: 2, execute: 4 } as const
type Kind = (typeof KINDS)[number]

interface Outcome {
  readonly reason: string
  readonly code: number
}
/** What the architecture makes of an access; null for success. */
type Rules = (leaf: bigint, table: bigint, kind: Kind, mode: AccessMode) => Outcome | null

const bit = (word: bigint, n: number) => ((word >> BigInt(n)) & 1n) === 1n

/** All words that have any of some bits besides those that are always set. */
function words(base: bigint, bits: readonly number[]): bigint[] {
  return Array.from({ length: 2 ** bits.length }, (_, pick) =>
    bits.reduce((word, n, i) => (((pick >> i) & 1) === 1 ? word | (1n << BigInt(n)) : word), base),
  )
}

function modes(bits: readonly (keyof AccessMode)[]): AccessMode[] {
  const all = ['user', ...bits] as const
  return Array.from({ length: 2 ** all.length }, (_, pick) =>
    Object.fromEntries(all.map((name, i) => [name, ((pick >> i) & 1) === 1])),
  )
}

/** Compares the outcome of every access, with an entry of the page and one of the table above. */
function compare(
  format: PageTableFormat,
  leaves: readonly bigint[],
  tables: readonly bigint[],
  given: readonly AccessMode[],
  rules: Rules,
  level = format.levels.length - 2,
  hardwareUpdates: 'set' | 'fault' = 'set',
): number {
  const frames = new TableFrames({ size: 0x100000 }, 16)
  const made = tablesIn(frames, format, { user: true })
  made.mapPages(ADDRESS, [5], 0, 1, 0x2b)
  const { entries } = made.walk(ADDRESS)
  const leafAt = entries[format.levels.length - 1]?.entryAddress ?? -1
  const tableAt = entries[level]?.entryAddress ?? -1
  const put = (at: number, word: bigint) => {
    frames.ram.writeU32(at, Number(word & 0xffffffffn))
    if (format.entryBytes === 8) frames.ram.writeU32(at + 4, Number(word >> 32n))
  }
  const read = (at: number) =>
    format.entryBytes === 8 ? frames.ram.readBigU64(at) : BigInt(frames.ram.readU32(at))
  // Pointers of AArch64 come with restrictions of their own.
  const strip = (word: bigint) => (format.twoRoots ? word & 0x0000ffffffffffffn : word)
  for (const { entryAddress } of entries) put(entryAddress, strip(read(entryAddress)))
  const pointer = read(tableAt)
  const flags = format === SV39 ? 0x3ffn : 0xfffn
  const bare = (pointer & ~flags) | 1n
  let cases = 0
  for (const mode of given) {
    const memory = new VirtualMemory(made, { ...mode, hardwareUpdates })
    for (const table of tables) {
      for (const leaf of leaves) {
        for (const kind of KINDS) {
          put(tableAt, bare | table)
          put(leafAt, leaf)
          const found = memory.resolve(ADDRESS + 0x123, ACCESS[kind])
          const expected = rules(leaf, table, kind, mode)
          const { reason, code } = memory.fault
          const outcome = found >= 0 ? null : { reason, code }
          const name = `${kind} ${JSON.stringify(mode)} leaf ${leaf.toString(16)} table ${table.toString(16)}`
          if (expected === null) expect([name, found]).toEqual([name, 0x5123])
          else expect([name, outcome]).toEqual([name, expected])
          cases++
          // Once more, now that patterns are known and marks are set.
          expect(memory.resolve(ADDRESS, ACCESS[kind]) >= 0).toBe(expected === null)
        }
      }
    }
  }
  return cases
}

describe('x86', () => {
  const rules =
    (nxUsed: boolean): Rules =>
    (leaf, table, kind, { user = false, smep, smap }) => {
      const told = kind === 'execute' && (nxUsed || smep === true)
      let code = (kind === 'write' ? 2 : 0) | (user ? 4 : 0) | (told ? 16 : 0)
      if (!bit(leaf, 0)) return { reason: 'unmapped', code }
      code |= 1
      const userPage = bit(leaf, 2) && bit(table, 2)
      const writable = bit(leaf, 1) && bit(table, 1)
      const noExecute = nxUsed && (bit(leaf, 63) || bit(table, 63))
      let allowed = kind === 'read' || (kind === 'write' ? writable : !noExecute)
      if (user) allowed &&= userPage
      else if (userPage) allowed &&= kind === 'execute' ? smep !== true : smap !== true
      return allowed ? null : { reason: 'protection', code }
    }

  it('reads, writes and executes by P, RW, US and NX of both entries, with SMEP and SMAP', () => {
    const cases = compare(
      X86_64,
      [...words(0x5001n, [1, 2, 5, 6, 63]), 0x5006n],
      words(1n, [1, 2, 5, 63]),
      modes(['smep', 'smap']),
      rules(true),
    )
    expect(cases).toBe(33 * 16 * 8 * 3)
  })

  it.each([0, 1])('obeys the entry at level %i just so', (level) => {
    const leaves = words(0x5001n, [1, 2, 63])
    compare(X86_64, leaves, words(1n, [1, 2, 63]), modes([]), rules(true), level)
  })

  it('has no NX with 2 levels, and no rights in the top table of PAE', () => {
    compare(I386, words(0x5001n, [1, 2]), words(1n, [1, 2]), modes(['smep']), rules(false))
    const ignored: Rules = (leaf, _table, kind, mode) => rules(true)(leaf, 6n, kind, mode)
    compare(I386_PAE, words(0x5001n, [1, 2, 63]), [1n], modes([]), ignored, 0)
  })

  it('reports reserved bits: PS in the top entry, the flags of a large leaf', () => {
    const reserved: Rules = (_leaf, _table, kind, { user = false }) => ({
      reason: 'reserved',
      code: 9 | (kind === 'write' ? 2 : 0) | (user ? 4 : 0) | (kind === 'execute' ? 16 : 0),
    })
    compare(X86_64, [0x5007n], [0x87n], modes([]), reserved, 0)
    compare(X86_64, [0x5007n], [0x2087n], modes([]), reserved, 2)
  })
})

describe('RISC-V', () => {
  const code = (kind: Kind) => ({ execute: 12, read: 13, write: 15 })[kind]
  const rules =
    (updates: boolean): Rules =>
    (leaf, _table, kind, { user = false, sum, mxr }) => {
      const fault = (reason: string) => ({ reason, code: code(kind) })
      if (!bit(leaf, 0)) return fault('unmapped')
      const [r, w, x, u] = [1, 2, 3, 4].map((n) => bit(leaf, n))
      if (w && !r) return fault('reserved')
      if (!r && !w && !x) return fault('reserved')
      let allowed = kind === 'execute' ? x : kind === 'write' ? w : r || (mxr === true && x)
      if (user) allowed &&= u
      else if (u) allowed &&= sum === true && kind !== 'execute'
      if (!allowed) return fault('protection')
      const marked = bit(leaf, 6) && (kind !== 'write' || bit(leaf, 7))
      return updates || marked ? null : fault('access-flag')
    }
  const leaves = words(5n << 10n, [0, 1, 2, 3, 4, 6, 7])

  it('goes by V, R, W, X and U, with SUM and MXR, and marks by itself', () => {
    const cases = compare(SV39, leaves, [1n], modes(['sum', 'mxr']), rules(true))
    expect(cases).toBe(128 * 8 * 3)
  })

  it('reports entries without A, or D for a write, when it does not mark them', () => {
    compare(SV39, leaves, [1n], modes(['sum', 'mxr']), rules(false), 1, 'fault')
  })

  it('reports pointers with A, D or U, and any reserved bit', () => {
    const reserved: Rules = (_leaf, _table, kind) => ({ reason: 'reserved', code: code(kind) })
    const leaf = [(5n << 10n) | 0xdfn]
    const pointers = [4, 6, 7, 54, 60, 61, 63].map((n) => 1n | (1n << BigInt(n)))
    compare(SV39, leaf, pointers, modes([]), reserved)
    const rights = [54, 61, 62, 63].map((n) => (5n << 10n) | 0xdfn | (1n << BigInt(n)))
    compare(SV39, rights, [1n], modes([]), reserved)
  })
})

describe('AArch64', () => {
  /** ESR of an abort: class, IL, WnR, status with the level. */
  const code = (kind: Kind, user: boolean, status: number) =>
    (kind === 'execute' ? 0x20 : 0x24) * 2 ** 26 +
    (user ? 0 : 2 ** 26) +
    2 ** 25 +
    (kind === 'write' ? 0x40 : 0) +
    status
  const rules =
    (updates: boolean): Rules =>
    (leaf, table, kind, { user = false, pan }) => {
      const fault = (reason: string, status: number) => ({ reason, code: code(kind, user, status) })
      if (!bit(leaf, 0)) return fault('unmapped', 0x7)
      if (!updates && !bit(leaf, 10)) return fault('access-flag', 0xb)
      // APTable 61: no access for the user. APTable 62: read-only.
      const userPage = bit(leaf, 6) && !bit(table, 61)
      const dirtyable = bit(leaf, 51) && updates
      const writable = (!bit(leaf, 7) || dirtyable) && !bit(table, 62)
      const uxn = bit(leaf, 54) || bit(table, 60)
      // What the user can write the kernel never executes.
      const pxn = bit(leaf, 53) || bit(table, 59) || (userPage && writable)
      let allowed: boolean
      if (kind === 'execute') allowed = user ? !uxn : !pxn
      else {
        allowed = user ? userPage : !(userPage && pan === true)
        if (kind === 'write') allowed &&= writable
      }
      return allowed ? null : fault('protection', 0xf)
    }
  const leaves = words(0x5003n, [6, 7, 10, 51, 53, 54])
  const tables = words(3n, [59, 60, 61, 62])

  it('goes by AP, PXN and UXN of both entries, with PAN, and marks by itself', () => {
    const cases = compare(ARM64, [...leaves, 0x5002n], tables, modes(['pan']), rules(true))
    expect(cases).toBe(65 * 16 * 4 * 3)
  })

  it('reports entries without AF first, and a first write as a lack of rights, without', () => {
    compare(ARM64, leaves, tables, modes(['pan']), rules(false), 2, 'fault')
  })

  it.each([0, 1])('obeys the entry at level %i just so', (level) => {
    compare(ARM64, leaves.slice(0, 64), tables, modes([]), rules(true), level)
  })
})
