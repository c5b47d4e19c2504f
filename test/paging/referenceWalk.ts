/**
 * What a processor makes of page tables that anybody may have written, after the manuals of the three
 * architectures, in integers of any length: slow, and with the code under test out of sight.
 */

import type { AccessMode } from '../../src/paging/accessMode'
import type { Geometry } from './tableReader'

/** Memory, as far as a walk needs it. */
export interface Entries {
  /** Whether a frame is memory. */
  has(pfn: bigint): boolean
  /** The entry at a physical address. */
  read(address: bigint): bigint
}

/** An access, by which mode, and whether the processor sets marks by itself. */
export interface Try {
  readonly address: bigint
  readonly kind: 'read' | 'write' | 'execute'
  readonly mode: AccessMode
  readonly updates: boolean
}

/** A frame, and the entries that have changed by then; or why not, and at which level. */
export type Outcome =
  | { readonly pfn: bigint; readonly marks: ReadonlyMap<bigint, bigint> }
  | { readonly reason: string; readonly level: number }

/** What an entry comes to: nothing yet, but the next table; a leaf with the entry as it is left; or a fault. */
type Step =
  | { readonly table: bigint; readonly marked?: bigint }
  | { readonly leaf: bigint }
  | string

/** Rules of an architecture, with what the entries above have said. */
type Rules = (entry: bigint, level: number) => Step

const bit = (word: bigint, n: number) => ((word >> BigInt(n)) & 1n) === 1n
const field = (word: bigint, low: number, bits: number) =>
  (word >> BigInt(low)) & ((1n << BigInt(bits)) - 1n)

/** Walks from the top table that an address has to its leaf. */
export function referenceWalk(
  geometry: Geometry,
  entries: Entries,
  roots: readonly [number, number],
  access: Try,
): Outcome {
  const { levels, entryBytes, twoRoots, family } = geometry
  const { address } = access
  const [topShift, topBits] = levels[0] ?? [0, 0]
  const high = twoRoots && bit(address, topShift + topBits)
  const rules = { x86: x86Rules, riscv: riscvRules, arm64: armRules }[family](geometry, access)
  const marks = new Map<bigint, bigint>()
  let table = BigInt(roots[high ? 1 : 0])
  for (const [level, [shift, bits]] of levels.entries()) {
    if (!entries.has(table)) return { reason: 'reserved', level: level - 1 }
    const at = table * 4096n + field(address, shift, bits) * BigInt(entryBytes)
    const entry = entries.read(at)
    if (!bit(entry, 0)) return { reason: 'unmapped', level }
    const step = rules(entry, level)
    if (typeof step === 'string') return { reason: step, level }
    if ('leaf' in step) {
      if (step.leaf !== entry) marks.set(at, step.leaf)
      const frame = family === 'riscv' ? field(entry, 10, 44) : frameOf(geometry, entry)
      const inside = (1n << BigInt(shift - 12)) - 1n
      return { pfn: (frame & ~inside) | ((address >> 12n) & inside), marks }
    }
    if (step.marked !== undefined && step.marked !== entry) marks.set(at, step.marked)
    table = step.table
  }
  throw new Error('the last level is one of leaves')
}

function frameOf({ family, entryBytes }: Geometry, entry: bigint): bigint {
  if (family === 'arm64') return field(entry, 12, 36)
  return field(entry, 12, entryBytes === 4 ? 20 : 40)
}

/** Whether bits of the frame number that a large leaf has no use for are set, from `low` on. */
function misplaced(geometry: Geometry, entry: bigint, level: number, low: number): boolean {
  const [shift = 12] = geometry.levels[level] ?? []
  return field(entry, low, Math.max(shift - low, 0)) !== 0n
}

function x86Rules(geometry: Geometry, { kind, mode }: Try): Rules {
  const { levels, large, entryBytes } = geometry
  const pae = levels[0]?.[1] === 2
  let [writable, user, executable] = [true, true, true]
  return (entry, level) => {
    const top = pae && level === 0
    if (top && (entry & 0xfff00000000001e6n) !== 0n) return 'reserved'
    if (pae && field(entry, 52, 11) !== 0n) return 'reserved'
    const [shift = 12] = levels[level] ?? []
    const leaf = shift === 12 || bit(entry, 7)
    if (leaf && shift > 12) {
      // Bit 12 is PAT.
      if (!large.includes(shift) || misplaced(geometry, entry, level, 13)) return 'reserved'
    }
    if (top) return { table: frameOf(geometry, entry) }
    writable &&= bit(entry, 1)
    user &&= bit(entry, 2)
    executable &&= entryBytes === 4 || !bit(entry, 63)
    if (!leaf) return { table: frameOf(geometry, entry), marked: entry | 0x20n }
    let allowed = kind === 'read' || (kind === 'write' ? writable : executable)
    if (mode.user === true) allowed &&= user
    else if (user) allowed &&= kind === 'execute' ? mode.smep !== true : mode.smap !== true
    return allowed ? { leaf: entry | (kind === 'write' ? 0x60n : 0x20n) } : 'protection'
  }
}

function riscvRules(geometry: Geometry, { kind, mode, updates }: Try): Rules {
  const last = geometry.levels.length - 1
  return (entry, level) => {
    const [readable, writable, executable, user] = [1, 2, 3, 4].map((n) => bit(entry, n))
    if (field(entry, 54, 10) !== 0n) return 'reserved'
    if (field(entry, 1, 3) === 0n) {
      return level === last || (entry & 0xd0n) !== 0n ? 'reserved' : { table: field(entry, 10, 44) }
    }
    if (writable && !readable) return 'reserved'
    const [shift = 12] = geometry.levels[level] ?? []
    if (field(entry, 10, shift - 12) !== 0n) return 'reserved'
    let allowed = kind === 'write' ? writable : executable
    if (kind === 'read') allowed = readable || (mode.mxr === true && executable)
    if (mode.user === true) allowed &&= user
    else if (user) allowed &&= kind !== 'execute' && mode.sum === true
    if (!allowed) return 'protection'
    const marked = entry | (kind === 'write' ? 0xc0n : 0x40n)
    return marked === entry || updates ? { leaf: marked } : 'access-flag'
  }
}

function armRules(geometry: Geometry, { kind, mode, updates }: Try): Rules {
  const { levels, large } = geometry
  const last = levels.length - 1
  let [kernelNever, userNever, noUser, readOnly] = [false, false, false, false]
  return (entry, level) => {
    if (level < last && bit(entry, 1)) {
      kernelNever ||= bit(entry, 59)
      userNever ||= bit(entry, 60)
      noUser ||= bit(entry, 61)
      readOnly ||= bit(entry, 62)
      return { table: frameOf(geometry, entry) }
    }
    const [shift = 12] = levels[level] ?? []
    if (level === last ? !bit(entry, 1) : !large.includes(shift)) return 'reserved'
    if (level < last && misplaced(geometry, entry, level, 12)) return 'reserved'
    if (!bit(entry, 10) && !updates) return 'access-flag'
    const writable = !readOnly && (!bit(entry, 7) || (updates && bit(entry, 51)))
    const user = bit(entry, 6) && !noUser
    let allowed = kind !== 'write' || writable
    if (kind === 'execute') {
      // What the user can write, the kernel never executes.
      allowed = mode.user === true ? !userNever : !kernelNever && !(user && writable)
      allowed &&= !bit(entry, mode.user === true ? 54 : 53)
    } else {
      allowed &&= mode.user === true ? user : !(user && mode.pan === true)
    }
    if (!allowed) return 'protection'
    const clean = kind === 'write' && bit(entry, 7)
    return { leaf: (entry | 0x400n) & ~(clean ? 0x80n : 0n) }
  }
}
