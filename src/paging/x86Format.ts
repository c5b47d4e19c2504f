/**
 * Page tables of x86: 64 bits with 4 or 5 levels, 32 bits with 2 levels, and with 3 (PAE).
 *
 * A leaf of the last level:
 *
 *      63  62      59  58    52  51             12  11 10  9  8   7   6  5   4   3   2  1  0
 *     +--+-----------+---------+------------------+-----+--+--+---+--+--+---+---+--+--+--+
 *     |NX|  prot key | software|   frame number   | sw  |SP| G|PAT| D| A|PCD|PWT|US|RW| P|
 *     +--+-----------+---------+------------------+-----+--+--+---+--+--+---+---+--+--+--+
 *
 * A large leaf has PS = 1 in bit 7, PAT in bit 12, and zeros from there up to its frame number:
 * 20:13 or 29:13. A pointer to a table has PS = 0; D and G mean nothing there.
 *
 *     P    0 not there, 1 there             A    1 used: the processor sets it
 *     RW   0 read only, 1 writable          D    1 written: the processor sets it
 *     US   0 kernel only, 1 user too        PS   above the last level: 0 pointer, 1 leaf
 *     G    1 stays in the TLB               SP   1 no page record: a mark of the kernel
 *     NX   0 executable, 1 not              PAT, PCD, PWT: 3 bits that pick the cache mode
 *
 * PAGE_KERNEL at frame 0x1234: 0x8000000001234163 is NX, frame 0x1234, and 0x163 = G D A RW P.
 *
 * A pointer restricts what lies below it: writable and user must be set in all entries of a walk,
 * NX in none. 32-bit entries end at bit 31, and a large leaf has zeros in 21:13. A top-level entry
 * of PAE is the address and P; other flags but PWT and PCD are reserved, as bits 52 to 62 are in
 * all its entries.
 *
 * Nothing without READ can be in a present entry: no access is P = 0 with bit 8 set, which the
 * processor takes for unmapped. Without NX everything readable can be executed.
 *
 * Source: spec/vmalloc.md §13.1 to §13.3, §13.6.
 */

import { checkInteger } from '../base/errors'
import {
  type Access,
  CACHE_UC,
  CACHE_UC_MINUS,
  CACHE_WB,
  CACHE_WC,
  CACHE_WP,
  CACHE_WT,
  type EntryBits,
  type EntryKind,
  type FaultReason,
  type PageTableFormat,
  PROT_ACCESSED,
  PROT_CACHE_MASK,
  PROT_DIRTY,
  PROT_EXEC,
  PROT_GLOBAL,
  PROT_READ,
  PROT_SPECIAL,
  PROT_USER,
  PROT_WRITE,
  type TableLevel,
} from './format'
import { checkLeaf, checkReadable, isBelow, tableLevel } from './formatParts'

const ENTRY_P = 0x1
const ENTRY_RW = 0x2
const ENTRY_US = 0x4
const ENTRY_PWT = 0x8
const ENTRY_PCD = 0x10
const ENTRY_A = 0x20
const ENTRY_D = 0x40
/** In an entry above the last level. */
const ENTRY_PS = 0x80
/** In an entry of the last level; in a large leaf it is {@link ENTRY_PAT_LARGE}. */
const ENTRY_PAT = 0x80
const ENTRY_PAT_LARGE = 0x1000
const ENTRY_G = 0x100
/** In an entry that is not present: no access. */
const ENTRY_PROT_NONE = 0x100
const ENTRY_SPECIAL = 0x200
/** Bit 63, in the high half. */
const ENTRY_NX = 0x80000000
/** P, RW, US, A, D. */
const TABLE_BITS = 0x67
/** Bits 1, 2 and 5 to 8. */
const PAE_TOP_RESERVED = 0x1e6
/** Bits 52 to 62, and with bit 63, in the high half. */
const PAE_RESERVED = 0x7ff00000
const PAE_TOP_RESERVED_HIGH = 0xfff00000

// Error code of a page fault.
const FAULT_PRESENT = 0x1
const FAULT_WRITE = 0x2
const FAULT_USER = 0x4
const FAULT_RESERVED = 0x8
const FAULT_FETCH = 0x10

/** What a format is made of. */
export interface X86FormatOptions {
  /** 4 or 5 for 64 bits; 2 for 32 bits, 3 for 32 bits with PAE. */
  readonly levels: 2 | 3 | 4 | 5
  /** Whether the kernel has set up all cache modes; by default there are WB, UC- and UC. */
  readonly pat?: boolean
  /** Whether NX is there: by default it is, but never with 2 levels. */
  readonly nx?: boolean
  /** Whether global entries are used: by default they are. Page-table isolation does without. */
  readonly global?: boolean
  /** Whether there are 1 GiB leaves, with 4 and 5 levels: by default there are. */
  readonly gbPages?: boolean
}

/** By the number of levels. */
const NAMES = { 2: 'i386', 3: 'i386 PAE', 4: 'x86_64', 5: 'x86_64 LA57' } as const

class X86Format implements PageTableFormat {
  readonly name: string
  readonly vaBits: number
  readonly physBits: number
  readonly entryBytes: 4 | 8
  readonly levels: readonly TableLevel[]
  readonly twoRoots = false
  readonly pfnShift = 12
  readonly pfnLowMask = 0xfffff000
  readonly pfnHighMask: number
  readonly leafMask = ENTRY_PS
  readonly leafNone = 0
  readonly hugeLeaves = true
  private readonly last: number
  private readonly pae: boolean
  private readonly pat: boolean
  private readonly nx: boolean
  private readonly global: boolean
  /**
   * By level: bits of the halves of an entry that must be 0, and those of the low half of a large
   * leaf.
   */
  private readonly reservedLow: Int32Array
  private readonly reservedHigh: Int32Array
  private readonly reservedLarge: Int32Array

  constructor(options: X86FormatOptions) {
    const { levels: depth, pat = false, nx = true, global = true, gbPages = true } = options
    const narrow = depth === 2
    this.pae = depth === 3
    this.pat = pat
    this.nx = nx && !narrow
    this.global = global
    this.name = NAMES[depth]
    this.vaBits = depth < 4 ? 32 : 12 + 9 * depth
    this.physBits = narrow ? 32 : 52
    this.entryBytes = narrow ? 4 : 8
    this.pfnHighMask = narrow ? 0 : 0xfffff
    this.levels = Object.freeze(levelsOf(depth, gbPages))
    this.last = depth - 1
    this.reservedLow = new Int32Array(depth)
    this.reservedHigh = new Int32Array(depth)
    this.reservedLarge = new Int32Array(depth)
    this.setReserved(narrow)
  }

  tableBits(level: number, _user: boolean): EntryBits {
    checkInteger('level', level, 0, this.last - 1)
    return { lo: this.pae && level === 0 ? ENTRY_P : TABLE_BITS, hi: 0 }
  }

  leafBits(prot: number, level: number): EntryBits {
    checkLeaf(this.levels, prot, level)
    checkReadable(prot)
    const large = level !== this.last
    let lo = this.cacheBits(prot & PROT_CACHE_MASK, large)
    if (large) lo |= ENTRY_PS
    if ((prot & PROT_USER) !== 0) lo |= ENTRY_US
    if ((prot & PROT_ACCESSED) !== 0) lo |= ENTRY_A
    if ((prot & PROT_DIRTY) !== 0) lo |= ENTRY_D
    if ((prot & PROT_SPECIAL) !== 0) lo |= ENTRY_SPECIAL
    if ((prot & PROT_READ) === 0) return { lo: lo | ENTRY_PROT_NONE, hi: 0 }
    lo |= ENTRY_P
    if ((prot & PROT_WRITE) !== 0) lo |= ENTRY_RW
    if ((prot & PROT_GLOBAL) !== 0 && this.global) lo |= ENTRY_G
    return { lo, hi: (prot & PROT_EXEC) === 0 && this.nx ? ENTRY_NX | 0 : 0 }
  }

  kindOf(lo: number, hi: number, level: number): EntryKind {
    if ((lo & ENTRY_P) === 0) return 'none'
    if ((lo & this.reservedLow[level]!) !== 0 || (hi & this.reservedHigh[level]!) !== 0)
      return 'bad'
    if (level === this.last) return 'leaf'
    if ((lo & ENTRY_PS) === 0) return 'table'
    return (lo & this.reservedLarge[level]!) === 0 ? 'leaf' : 'bad'
  }

  protOf(lo: number, hi: number, level: number): number {
    let prot = this.cacheMode(lo, level !== this.last)
    if ((lo & ENTRY_US) !== 0) prot |= PROT_USER
    if ((lo & ENTRY_A) !== 0) prot |= PROT_ACCESSED
    if ((lo & ENTRY_D) !== 0) prot |= PROT_DIRTY
    if ((lo & ENTRY_SPECIAL) !== 0) prot |= PROT_SPECIAL
    if ((lo & ENTRY_P) === 0) return prot
    prot |= PROT_READ
    if ((lo & ENTRY_RW) !== 0) prot |= PROT_WRITE
    if ((lo & ENTRY_G) !== 0 && this.global) prot |= PROT_GLOBAL
    if ((hi & ENTRY_NX) === 0 || !this.nx) prot |= PROT_EXEC
    return prot
  }

  restrict(prot: number, lo: number, hi: number, level: number): number {
    if (this.pae && level === 0) return prot
    let left = prot
    if ((lo & ENTRY_RW) === 0) left &= ~PROT_WRITE
    if ((lo & ENTRY_US) === 0) left &= ~PROT_USER
    if ((hi & ENTRY_NX) !== 0 && this.nx) left &= ~PROT_EXEC
    return left
  }

  /**
   * The error code of a page fault; 0 for an address that is none, which is a general protection
   * fault.
   */
  faultCode(reason: FaultReason, access: Access, _level: number): number {
    if (reason === 'non-canonical') return 0
    let code = reason === 'unmapped' ? 0 : FAULT_PRESENT
    if (reason === 'reserved') code |= FAULT_RESERVED
    if (access.kind === 'write') code |= FAULT_WRITE
    if (access.user) code |= FAULT_USER
    if (access.kind === 'execute' && (this.nx || access.smep === true)) code |= FAULT_FETCH
    return code
  }

  isCanonical(address: number): boolean {
    return isBelow(address, this.vaBits)
  }

  private setReserved(narrow: boolean): void {
    if (!narrow && !this.nx) this.reservedHigh.fill(ENTRY_NX)
    this.levels.forEach(({ shift, leaf }, level) => {
      if (this.pae) this.reservedHigh[level]! |= PAE_RESERVED
      if (level === this.last) return
      if (leaf) this.reservedLarge[level] = 2 ** shift - 2 * ENTRY_PAT_LARGE
      else this.reservedLow[level] = ENTRY_PS
    })
    if (this.pae) {
      this.reservedLow[0] = PAE_TOP_RESERVED
      this.reservedHigh[0] = PAE_TOP_RESERVED_HIGH
    }
  }

  /** Without PAT, modes that are not there become UC-. */
  private cacheBits(mode: number, large: boolean): number {
    switch (mode) {
      case CACHE_WB:
        return 0
      case CACHE_UC_MINUS:
        return ENTRY_PCD
      case CACHE_UC:
        return ENTRY_PCD | ENTRY_PWT
    }
    if (!this.pat) return ENTRY_PCD
    if (mode === CACHE_WC) return ENTRY_PWT
    const high = large ? ENTRY_PAT_LARGE : ENTRY_PAT
    return mode === CACHE_WP ? high | ENTRY_PWT : high | ENTRY_PCD | ENTRY_PWT
  }

  /**
   * Without PAT the processor has its modes of the reset: bit PAT changes nothing, PWT alone is
   * WT.
   */
  private cacheMode(lo: number, large: boolean): number {
    const high = (lo & (large ? ENTRY_PAT_LARGE : ENTRY_PAT)) !== 0 && this.pat
    if ((lo & ENTRY_PCD) !== 0) {
      if ((lo & ENTRY_PWT) === 0) return CACHE_UC_MINUS
      return high ? CACHE_WT : CACHE_UC
    }
    if ((lo & ENTRY_PWT) === 0) return CACHE_WB
    if (high) return CACHE_WP
    return this.pat ? CACHE_WC : CACHE_WT
  }
}

/**
 * Makes a format of x86.
 * @throws InvalidArgument for a number of levels that there is not.
 */
export function x86Format(options: X86FormatOptions): PageTableFormat {
  checkInteger('levels', options.levels, 2, 5)
  return Object.freeze(new X86Format(options))
}

/** x86_64 with 4 levels, NX, global entries and 1 GiB leaves. No PAT. */
export const X86_64: PageTableFormat = /* @__PURE__ */ x86Format({ levels: 4 })
/** {@link X86_64} with all cache modes. */
export const X86_64_PAT: PageTableFormat = /* @__PURE__ */ x86Format({ levels: 4, pat: true })
/** {@link X86_64} with 5 levels. */
export const X86_64_LA57: PageTableFormat = /* @__PURE__ */ x86Format({ levels: 5 })
/** i386 with 2 levels of 4-byte entries, 4 MiB leaves and no NX. */
export const I386: PageTableFormat = /* @__PURE__ */ x86Format({ levels: 2 })
/** i386 with PAE: 3 levels of 8-byte entries, the top table of 4 entries. */
export const I386_PAE: PageTableFormat = /* @__PURE__ */ x86Format({ levels: 3 })

function levelsOf(depth: number, gbPages: boolean): TableLevel[] {
  if (depth === 2) return [tableLevel('PGD', 22, 10, true), tableLevel('PTE', 12, 10, true)]
  const low = [tableLevel('PMD', 21, 9, true), tableLevel('PTE', 12, 9, true)]
  if (depth === 3) return [tableLevel('PGD', 30, 2, false), ...low]
  const middle = [tableLevel('PUD', 30, 9, gbPages), ...low]
  if (depth === 4) return [tableLevel('PGD', 39, 9, false), ...middle]
  return [tableLevel('PGD', 48, 9, false), tableLevel('P4D', 39, 9, false), ...middle]
}
