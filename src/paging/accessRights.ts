/**
 * Who may do what with a page: the rules of each architecture, said in one word that can be combined
 * over the levels of a walk with AND.
 *
 *      10    9    8 7 6   5 4 3   2 1 0
 *     +----+----+-------+-------+-------+
 *     | UW | UP | X W R | X W R | X W R |
 *     +----+----+-------+-------+-------+
 *                kernel   user    kernel
 *             to a page  page     to a page
 *           of the user           of its own
 *
 * UP marks a page of the user: bits 2:0 mean nothing then ({@link settle}). UW marks a page that the user
 * can write, whose execution AArch64 denies to the kernel.
 * Example: 0x03b of x86 is a page of the user that all may read and write, and with NX.
 *
 * x86: writable and user must be set in all entries, NX in none; the kernel obeys read-only (CR0.WP = 1).
 * RISC-V: tables restrict nothing; the kernel never executes pages of the user.
 * AArch64: UXN and PXN are separate, so an entry can let the one execute what is the other's.
 *
 * Source: spec/vmalloc.md §13.2, §13.4, §13.5.
 */

import {
  ENTRY_DBM as ARM_DBM,
  ENTRY_PXN as ARM_PXN,
  ENTRY_RDONLY as ARM_RDONLY,
  TABLE_NO_USER as ARM_TABLE_NO_USER,
  TABLE_PXN as ARM_TABLE_PXN,
  TABLE_RDONLY as ARM_TABLE_RDONLY,
  TABLE_UXN as ARM_TABLE_UXN,
  ENTRY_USER as ARM_USER,
  ENTRY_UXN as ARM_UXN,
} from './arm64Format'
import { type PageTableFormat, PROT_ACCESSED, PROT_DIRTY, PROT_USER } from './format'
import { type EntryChange, tablePlan } from './tablePlan'

/** All rights: what a walk starts with. */
export const RIGHTS_ALL = 0x7ff
/** The page is the user's. */
export const RIGHTS_USER_PAGE = 0x200
const RIGHTS_USER_WRITES = 0x400
/** W of all three groups. */
const RIGHTS_WRITES = 0x92
const KERNEL_EXECUTES = 0x4
const USER_EXECUTES = 0x20
const KERNEL_EXECUTES_USER = 0x100
const READ_WRITE_EXECUTE = 0x7

/** The architecture of a format. */
export type Architecture = 'x86' | 'riscv' | 'arm64'

/** Tells the architecture by what only it has. */
export function architectureOf(format: PageTableFormat): Architecture {
  if (format.pfnShift === 10) return 'riscv'
  return format.twoRoots ? 'arm64' : 'x86'
}

/** What the rules say of entries, for one format and one way of marking pages as used. */
export class AccessRights {
  readonly architecture: Architecture
  /** The processor sets the marks by itself. */
  readonly updates: boolean
  private readonly format: PageTableFormat
  /** What the processor changes when a page is used, and when it is written. */
  private readonly accessed: EntryChange
  private readonly written: EntryChange

  constructor(format: PageTableFormat, updates: boolean) {
    const { accessed, written } = tablePlan(format)
    this.accessed = accessed
    this.written = written
    this.architecture = architectureOf(format)
    this.format = format
    this.updates = updates
  }

  /** What a leaf allows by itself. */
  ofLeaf(lo: number, hi: number, level: number): number {
    if (this.architecture === 'arm64') return this.ofArmLeaf(lo, hi)
    return spread(this.format.protOf(lo, hi, level))
  }

  /** What a table's entry leaves of the rights below it. */
  ofTable(lo: number, hi: number, level: number): number {
    if (this.architecture === 'arm64') return ofArmTable(hi)
    return spread(this.format.restrict(READ_WRITE_EXECUTE | PROT_USER, lo, hi, level))
  }

  /** The rights of a leaf for which nothing has to be marked first. */
  unmarked(rights: number, lo: number, hi: number): number {
    const marks = this.missing(lo, hi)
    if ((marks & PROT_ACCESSED) !== 0) return 0
    return (marks & PROT_DIRTY) !== 0 ? rights & ~RIGHTS_WRITES : rights
  }

  /** Which of PROT_ACCESSED and PROT_DIRTY the entry of a leaf lacks. */
  missing(lo: number, hi: number): number {
    const accessed = (lo & this.accessed.setLow) === 0 ? PROT_ACCESSED : 0
    const clean =
      this.architecture === 'arm64'
        ? (hi & ARM_DBM) !== 0 && (lo & ARM_RDONLY) !== 0
        : (lo & this.written.setLow) === 0
    return accessed | (clean ? PROT_DIRTY : 0)
  }

  /** Whether an x86 processor still has to mark the entry of a table as used; PAE's top entries have no mark. */
  tableUnmarked(lo: number, level: number): boolean {
    if (this.architecture !== 'x86' || (lo & this.accessed.setLow) !== 0) return false
    return level !== 0 || this.format.levels[0]?.bits !== 2
  }

  /** The low half of an entry with marks set: all of them lie there. */
  mark(lo: number, marks: number): number {
    let marked = lo
    if ((marks & PROT_ACCESSED) !== 0) marked |= this.accessed.setLow
    if ((marks & PROT_DIRTY) !== 0) {
      marked = (marked & ~this.written.clearLow) | this.written.setLow
    }
    return marked
  }

  private ofArmLeaf(lo: number, hi: number): number {
    const writable = (lo & ARM_RDONLY) === 0 || ((hi & ARM_DBM) !== 0 && this.updates)
    const data = writable ? 3 : 1
    const kernel = data | ((hi & ARM_PXN) === 0 ? 4 : 0)
    const userExecutes = (hi & ARM_UXN) === 0 ? 4 : 0
    if ((lo & ARM_USER) === 0) return kernel | (userExecutes << 3)
    const user = data | userExecutes
    const marks = RIGHTS_USER_PAGE | (writable ? RIGHTS_USER_WRITES : 0)
    return kernel | (user << 3) | (kernel << 6) | marks
  }
}

/**
 * Rights at the end of a walk: what the kernel may do to a page of its own is dropped for pages of the
 * user, as is executing what the user can write.
 */
export function settle(rights: number): number {
  let left = rights
  if ((rights & RIGHTS_USER_PAGE) !== 0) left &= ~READ_WRITE_EXECUTE
  if ((rights & RIGHTS_USER_WRITES) !== 0) left &= ~KERNEL_EXECUTES_USER
  return left
}

/** READ, WRITE, EXEC and USER of a protection as rights of x86 and RISC-V. */
function spread(protection: number): number {
  const own = protection & READ_WRITE_EXECUTE
  if ((protection & PROT_USER) === 0) return own
  return own | (own << 3) | (own << 6) | RIGHTS_USER_PAGE
}

function ofArmTable(hi: number): number {
  let rights = RIGHTS_ALL
  if ((hi & ARM_TABLE_PXN) !== 0) rights &= ~(KERNEL_EXECUTES | KERNEL_EXECUTES_USER)
  if ((hi & ARM_TABLE_UXN) !== 0) rights &= ~USER_EXECUTES
  if ((hi & ARM_TABLE_RDONLY) !== 0) rights &= ~(RIGHTS_WRITES | RIGHTS_USER_WRITES)
  // Without access for the user it is a page of the kernel; executing needs no access.
  if ((hi & ARM_TABLE_NO_USER) !== 0) rights &= READ_WRITE_EXECUTE | USER_EXECUTES
  return rights
}
