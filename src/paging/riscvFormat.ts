/**
 * Page tables of RISC-V, 64 bits: Sv39, Sv48, Sv57.
 *
 *      63  62 61  60      54  53                    10   9   8  7  6  5  4  3  2  1  0
 *     +--+------+-----------+-------------------------+---+--+--+--+--+--+--+--+--+--+
 *     | N| PBMT | reserved  |      frame number       | sw|SP| D| A| G| U| X| W| R| V|
 *     +--+------+-----------+-------------------------+---+--+--+--+--+--+--+--+--+--+
 *
 *     V    0 not there, 1 there             A    1 used
 *     R    1 may be read                    D    1 written
 *     W    1 may be written, R is 1 too     SP   1 no page record: a mark of the kernel
 *     X    1 may be executed                N    1 part of a contiguous range: must be 0 here
 *     U    0 kernel only, 1 user only       PBMT 0 as the memory is, 1 non-cacheable, 2 I/O,
 *     G    1 stays in the TLB                    3 reserved; must be 0 without Svpbmt
 *
 * R, W and X all 0 make a pointer to a table: D, A, U and PBMT are 0 there, and the last level has
 * none. Any other entry is a leaf, at every level; above the last its frame number is a multiple of
 * its size.
 *
 * PAGE_KERNEL at frame 0x1234: 0x48d0e7 is 0x1234 * 2^10 and 0xe7 = D A G W R V.
 *
 * No access is V = 0 with bit 5 set. The kernel's read-only protection is 0xe3 here, although Linux
 * 6.1 has no such thing on RISC-V and takes 0xe7 instead. Without Svpbmt the memory itself says how
 * it is cached, and every uncached mode is 0.
 *
 * What is read-only for the kernel is written so (DIFF-53).
 *
 * Source: spec/vmalloc.md §13.1, §13.4, §13.6.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import {
  type Access,
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
import { checkLeaf, isBelow, tableLevel } from './formatParts'

const ENTRY_V = 0x1
const ENTRY_R = 0x2
const ENTRY_W = 0x4
const ENTRY_X = 0x8
const ENTRY_U = 0x10
const ENTRY_G = 0x20
/** In an entry that is not valid: no access. */
const ENTRY_PROT_NONE = 0x20
const ENTRY_A = 0x40
const ENTRY_D = 0x80
const ENTRY_SPECIAL = 0x100
/** R, W, X. */
const LEAF_MASK = 0xe
/** U, A, D. */
const TABLE_RESERVED = 0xd0
const PFN_SHIFT = 10

// In the high half: bits 61 and 62, and what must be 0, with and without them.
const PBMT_NC = 0x20000000
const PBMT_IO = 0x40000000
const PBMT_MASK = 0x60000000
const RESERVED = 0x9fc00000
const RESERVED_PBMT = 0xffc00000

const FETCH_PAGE_FAULT = 12
const LOAD_PAGE_FAULT = 13
const STORE_PAGE_FAULT = 15

/** A format of RISC-V: what {@link satp} takes. */
export interface RiscvFormat extends PageTableFormat {
  /** What the register has in its bits 63:60. */
  readonly satpMode: 8 | 9 | 10
}

/** What a format is made of. */
export interface RiscvFormatOptions {
  /** The levels: 3, 4 or 5. */
  readonly mode: 'sv39' | 'sv48' | 'sv57'
  /** Whether entries tell how memory is cached (Svpbmt): by default they do not. */
  readonly svpbmt?: boolean
}

class RiscvTables implements RiscvFormat {
  readonly name: string
  readonly vaBits: number
  readonly physBits = 56
  readonly entryBytes = 8
  readonly levels: readonly TableLevel[]
  readonly twoRoots = false
  readonly pfnShift = PFN_SHIFT
  readonly pfnLowMask = 0xfffffc00
  readonly pfnHighMask = 0x3fffff
  readonly leafMask = LEAF_MASK
  readonly leafNone = 0
  readonly hugeLeaves = false
  readonly satpMode: 8 | 9 | 10
  private readonly last: number
  private readonly svpbmt: boolean
  /** By level: bits of a leaf's frame number that must be 0. */
  private readonly reservedLow: Int32Array
  private readonly reservedHigh: Int32Array

  constructor(name: string, satpMode: 8 | 9 | 10, svpbmt: boolean) {
    const depth = satpMode - 5
    this.name = name
    this.satpMode = satpMode
    this.vaBits = 12 + 9 * depth
    this.svpbmt = svpbmt
    this.last = depth - 1
    const names = ['PGD', ...['P4D', 'PUD', 'PMD', 'PTE'].slice(1 - depth)]
    this.levels = Object.freeze(
      names.map((levelName, level) => tableLevel(levelName, 12 + 9 * (this.last - level), 9, true)),
    )
    this.reservedLow = new Int32Array(depth)
    this.reservedHigh = new Int32Array(depth)
    this.levels.forEach(({ shift }, level) => {
      const mask = (2 ** (shift - 12) - 1) * 2 ** PFN_SHIFT
      this.reservedLow[level] = mask
      this.reservedHigh[level] = Math.floor(mask / 2 ** 32)
    })
  }

  tableBits(level: number, _user: boolean): EntryBits {
    checkInteger('level', level, 0, this.last - 1)
    return { lo: ENTRY_V, hi: 0 }
  }

  leafBits(prot: number, level: number): EntryBits {
    checkLeaf(this.levels, prot, level)
    if ((prot & PROT_WRITE) !== 0 && (prot & PROT_READ) === 0) {
      throw new InvalidArgument('prot', prot, 'readable where it is writable')
    }
    const hi = this.cacheBits(prot)
    let lo = 0
    if ((prot & PROT_USER) !== 0) lo |= ENTRY_U
    if ((prot & PROT_ACCESSED) !== 0) lo |= ENTRY_A
    if ((prot & PROT_DIRTY) !== 0) lo |= ENTRY_D
    if ((prot & PROT_SPECIAL) !== 0) lo |= ENTRY_SPECIAL
    if ((prot & (PROT_READ | PROT_EXEC)) === 0) return { lo: lo | ENTRY_PROT_NONE, hi }
    lo |= ENTRY_V
    if ((prot & PROT_READ) !== 0) lo |= ENTRY_R
    if ((prot & PROT_WRITE) !== 0) lo |= ENTRY_W
    if ((prot & PROT_EXEC) !== 0) lo |= ENTRY_X
    if ((prot & PROT_GLOBAL) !== 0) lo |= ENTRY_G
    return { lo, hi }
  }

  kindOf(lo: number, hi: number, level: number): EntryKind {
    if ((lo & ENTRY_V) === 0) return 'none'
    if ((hi & (this.svpbmt ? RESERVED : RESERVED_PBMT)) !== 0) return 'bad'
    if ((lo & LEAF_MASK) === 0) {
      const fit = level !== this.last && (lo & TABLE_RESERVED) === 0 && (hi & PBMT_MASK) === 0
      return fit ? 'table' : 'bad'
    }
    if ((lo & (ENTRY_R | ENTRY_W)) === ENTRY_W) return 'bad'
    if ((hi & PBMT_MASK) === PBMT_MASK) return 'bad'
    const low = (lo & this.reservedLow[level]!) | (hi & this.reservedHigh[level]!)
    return low === 0 ? 'leaf' : 'bad'
  }

  protOf(lo: number, hi: number, _level: number): number {
    let prot = this.svpbmt ? cacheMode(hi) : CACHE_WB
    if ((lo & ENTRY_U) !== 0) prot |= PROT_USER
    if ((lo & ENTRY_A) !== 0) prot |= PROT_ACCESSED
    if ((lo & ENTRY_D) !== 0) prot |= PROT_DIRTY
    if ((lo & ENTRY_SPECIAL) !== 0) prot |= PROT_SPECIAL
    if ((lo & ENTRY_V) === 0) return prot
    if ((lo & ENTRY_R) !== 0) prot |= PROT_READ
    if ((lo & ENTRY_W) !== 0) prot |= PROT_WRITE
    if ((lo & ENTRY_X) !== 0) prot |= PROT_EXEC
    if ((lo & ENTRY_G) !== 0) prot |= PROT_GLOBAL
    return prot
  }

  restrict(prot: number, _lo: number, _hi: number, _level: number): number {
    return prot
  }

  /** The cause (scause) of a page fault: 12 for instructions, 13 for loads, 15 for stores. */
  faultCode(_reason: FaultReason, access: Access, _level: number): number {
    if (access.kind === 'execute') return FETCH_PAGE_FAULT
    return access.kind === 'write' ? STORE_PAGE_FAULT : LOAD_PAGE_FAULT
  }

  isCanonical(address: number): boolean {
    return isBelow(address, this.vaBits)
  }

  private cacheBits(prot: number): number {
    const mode = prot & PROT_CACHE_MASK
    if (mode === CACHE_WT || mode === CACHE_WP) {
      throw new InvalidArgument('prot', prot, 'of a cache mode that RISC-V has: WB, WC, UC-, UC')
    }
    if (mode === CACHE_WB || !this.svpbmt) return 0
    return mode === CACHE_WC ? PBMT_NC : PBMT_IO
  }
}

/**
 * Makes a format of RISC-V. UC and UC- are one mode, I/O, and are read back as UC-.
 * @throws InvalidArgument for a mode that there is not.
 */
export function riscvFormat(options: RiscvFormatOptions): RiscvFormat {
  const { mode, svpbmt = false } = options
  switch (mode) {
    case 'sv39':
      return Object.freeze(new RiscvTables('Sv39', 8, svpbmt))
    case 'sv48':
      return Object.freeze(new RiscvTables('Sv48', 9, svpbmt))
    case 'sv57':
      return Object.freeze(new RiscvTables('Sv57', 10, svpbmt))
  }
  throw new InvalidArgument('mode', mode, 'sv39, sv48 or sv57')
}

/**
 * The value of register satp that makes a table the top one:
 *
 *      63     60  59       44  43                0
 *     +---------+------------+-------------------+
 *     |  mode   |    ASID    | frame of the table|
 *     +---------+------------+-------------------+
 *
 * Sv39 and frame 0x80200: 0x8000000000080200.
 * @throws InvalidArgument for a frame or an address-space id (0 to 65535) that does not fit.
 */
export function satp(format: RiscvFormat, rootPfn: number, asid = 0): EntryBits {
  checkInteger('rootPfn', rootPfn, 0, 2 ** 44 - 1)
  checkInteger('asid', asid, 0, 0xffff)
  const high = Math.floor(rootPfn / 2 ** 32)
  return { lo: rootPfn | 0, hi: (format.satpMode << 28) | (asid << 12) | high }
}

/** RISC-V with 3 levels, without Svpbmt. */
export const SV39: RiscvFormat = /* @__PURE__ */ riscvFormat({ mode: 'sv39' })
/** RISC-V with 4 levels, without Svpbmt. */
export const SV48: RiscvFormat = /* @__PURE__ */ riscvFormat({ mode: 'sv48' })
/** RISC-V with 5 levels, without Svpbmt. */
export const SV57: RiscvFormat = /* @__PURE__ */ riscvFormat({ mode: 'sv57' })

function cacheMode(hi: number): number {
  if ((hi & PBMT_IO) !== 0) return CACHE_UC_MINUS
  return (hi & PBMT_NC) !== 0 ? CACHE_WC : CACHE_WB
}
