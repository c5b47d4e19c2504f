/**
 * Page tables of AArch64, stage 1, 4 KiB granule: 4 levels of 48 bits, or 3 of 39 bits.
 *
 * A leaf: a page of the last level, or above it a block. High half and low half:
 *
 *      63     59 58  57 56 55  54  53 52  51 50  49 48  47                      32
 *     +---------+--+---+--+--+---+---+--+---+--+-------+-------------------------+
 *     | ignored |PN| - |SP|SD|UXN|PXN| C|DBM|GP|   0   |       frame number      |
 *     +---------+--+---+--+--+---+---+--+---+--+-------+-------------------------+
 *      31                           12 11 10  9  8   7   6   5  4        2  1  0
 *     +-------------------------------+--+--+-----+---+---+---+-----------+--+--+
 *     |         frame number          |nG|AF|  SH |AP2|AP1| NS|  AttrIndx | T| V|
 *     +-------------------------------+--+--+-----+---+---+---+-----------+--+--+
 *
 *     V    0 not there, 1 there             DBM  1 writable: a write clears AP2
 *     T    1 page or pointer, 0 block       SD   1 written, as the kernel knows it
 *     AP1  0 kernel only, 1 user too        PXN  1 not executable for the kernel
 *     AP2  0 writable, 1 not yet or never   UXN  1 not executable for the user
 *     AF   1 used                           SP   1 no page record: a mark of the kernel
 *     nG   0 stays in the TLB, 1 does not   PN   1 no access, in an entry with V = 0
 *     SH   3 inner shareable                C, GP, NS: not used here
 *     AttrIndx: 0 and 1 ordinary memory, 2 non-cacheable, 3 Device-nGnRnE, 4 Device-nGnRE
 *
 * PAGE_KERNEL at frame 0x1234: 0x00e8000001234703 is SD UXN PXN DBM, frame 0x1234, and AF SH T V.
 *
 * A pointer to a table restricts what lies below it: bit 62 to reading, bit 61 to the kernel, bits
 * 60 and 59 are UXN and PXN for all of it.
 *
 * Writable is DBM or AP2 = 0. Dirty is SD or AP2 = 0: a writable page that is not dirty has AP2
 * set, and its first write needs the bit cleared; that it is not is a permission fault to the
 * processor. Executable is UXN = 0 in a page of the user and PXN = 0 in one of the kernel. What the
 * user can execute and not read counts as the kernel's.
 *
 * An address has a bit more than each of the two top tables translates, and that highest bit says
 * whether it is TTBR1 (the kernel's): with 48 bits 0x1ffff00000000 stands for 0xffffffff00000000.
 *
 * Source: spec/vmalloc.md §13.1, §13.5, §13.6.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
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

const ENTRY_VALID = 0x1
/** Bit 1: a page or a pointer to a table, no block. */
const ENTRY_TABLE = 0x2
const ATTR_SHIFT = 2
const ATTR_MASK = 0x1c
const ATTR_NON_CACHEABLE = 2
const ATTR_NGNRNE = 3
const ATTR_NGNRE = 4
export const ENTRY_USER = 0x40
export const ENTRY_RDONLY = 0x80
const ENTRY_SHARED = 0x300
const ENTRY_AF = 0x400
const ENTRY_NG = 0x800

// In the high half.
export const ENTRY_DBM = 0x80000
export const ENTRY_PXN = 0x200000
export const ENTRY_UXN = 0x400000
const ENTRY_DIRTY = 0x800000
const ENTRY_SPECIAL = 0x1000000
const ENTRY_PROT_NONE = 0x4000000
export const TABLE_PXN = 0x8000000
export const TABLE_UXN = 0x10000000
export const TABLE_NO_USER = 0x20000000
export const TABLE_RDONLY = 0x40000000

// Syndrome of an abort: class, length of instruction, write, status, to which the level is added.
const CLASS_FETCH = 0x80000000
const CLASS_DATA = 0x90000000
const CLASS_SAME_LEVEL = 0x4000000
const SYNDROME_IL = 0x2000000
const SYNDROME_WNR = 0x40
const STATUS_TRANSLATION = 0x4
const STATUS_ACCESS_FLAG = 0x8
const STATUS_PERMISSION = 0xc

/** What a format is made of. */
export interface Arm64FormatOptions {
  /** Bits that each of the two top tables translates: 48 or 39. */
  readonly vaBits: 48 | 39
  /** Whether global entries are used: by default they are. Page-table isolation does without. */
  readonly global?: boolean
}

class Arm64Format implements PageTableFormat {
  readonly name: string
  readonly vaBits: number
  readonly physBits = 48
  readonly entryBytes = 8
  readonly levels: readonly TableLevel[]
  readonly twoRoots = true
  readonly pfnShift = 12
  readonly pfnLowMask = 0xfffff000
  readonly pfnHighMask = 0xffff
  readonly leafMask = ENTRY_TABLE
  readonly leafNone = ENTRY_TABLE
  readonly hugeLeaves = true
  private readonly last: number
  /** The architecture's number of the top level: its last one is 3. */
  private readonly firstLevel: number
  private readonly global: boolean
  /** By level: bits of a block that must be 0; all of them where there are no blocks. */
  private readonly reserved: Int32Array

  constructor(bits: 48 | 39, global: boolean) {
    const low = [tableLevel('PMD', 21, 9, true), tableLevel('PTE', 12, 9, true)]
    const high = [tableLevel('PGD', 39, 9, false), tableLevel('PUD', 30, 9, true)]
    this.name = bits === 48 ? 'arm64' : 'arm64 39-bit'
    this.vaBits = bits + 1
    this.levels = Object.freeze(
      bits === 48 ? [...high, ...low] : [tableLevel('PGD', 30, 9, true), ...low],
    )
    this.last = this.levels.length - 1
    this.firstLevel = 3 - this.last
    this.global = global
    this.reserved = Int32Array.from(this.levels, ({ shift, leaf }) =>
      leaf && shift > 12 ? 2 ** shift - 2 ** 12 : -1,
    )
  }

  tableBits(level: number, user: boolean): EntryBits {
    checkInteger('level', level, 0, this.last - 1)
    return { lo: ENTRY_TABLE | ENTRY_VALID, hi: user ? TABLE_PXN : TABLE_UXN }
  }

  leafBits(prot: number, level: number): EntryBits {
    checkLeaf(this.levels, prot, level)
    checkReadable(prot)
    const user = (prot & PROT_USER) !== 0
    const write = (prot & PROT_WRITE) !== 0
    const dirty = (prot & PROT_DIRTY) !== 0
    let lo = ENTRY_SHARED | (attributeOf(prot) << ATTR_SHIFT)
    let hi = user ? ENTRY_PXN : ENTRY_UXN
    if (level === this.last) lo |= ENTRY_TABLE
    if (user) lo |= ENTRY_USER
    if (!write || !dirty) lo |= ENTRY_RDONLY
    if ((prot & PROT_ACCESSED) !== 0) lo |= ENTRY_AF
    if ((prot & PROT_GLOBAL) === 0 || !this.global) lo |= ENTRY_NG
    if (write) hi |= ENTRY_DBM
    if ((prot & PROT_EXEC) === 0) hi |= ENTRY_PXN | ENTRY_UXN
    // Device registers are mapped dirty by AP2 alone.
    if (dirty && !(write && (prot & PROT_CACHE_MASK) === CACHE_UC_MINUS)) hi |= ENTRY_DIRTY
    if ((prot & PROT_SPECIAL) !== 0) hi |= ENTRY_SPECIAL
    if ((prot & PROT_READ) === 0) return { lo, hi: hi | ENTRY_PROT_NONE }
    return { lo: lo | ENTRY_VALID, hi }
  }

  kindOf(lo: number, _hi: number, level: number): EntryKind {
    if ((lo & ENTRY_VALID) === 0) return 'none'
    if ((lo & ENTRY_TABLE) !== 0) return level === this.last ? 'leaf' : 'table'
    return (lo & this.reserved[level]!) === 0 ? 'leaf' : 'bad'
  }

  protOf(lo: number, hi: number, _level: number): number {
    const user = (lo & ENTRY_USER) !== 0
    const hardwareDirty = (lo & ENTRY_RDONLY) === 0
    let prot = cacheMode((lo & ATTR_MASK) >>> ATTR_SHIFT)
    if (user) prot |= PROT_USER
    if ((lo & ENTRY_AF) !== 0) prot |= PROT_ACCESSED
    if (hardwareDirty || (hi & ENTRY_DIRTY) !== 0) prot |= PROT_DIRTY
    if ((hi & ENTRY_SPECIAL) !== 0) prot |= PROT_SPECIAL
    if ((lo & ENTRY_NG) === 0) prot |= PROT_GLOBAL
    if ((lo & ENTRY_VALID) === 0) return prot
    prot |= PROT_READ
    if (hardwareDirty || (hi & ENTRY_DBM) !== 0) prot |= PROT_WRITE
    if ((hi & (user ? ENTRY_UXN : ENTRY_PXN)) === 0) prot |= PROT_EXEC
    return prot
  }

  restrict(prot: number, _lo: number, hi: number, _level: number): number {
    const user = (prot & PROT_USER) !== 0
    let left = prot
    if ((hi & TABLE_RDONLY) !== 0) left &= ~PROT_WRITE
    if ((hi & (user ? TABLE_UXN : TABLE_PXN)) !== 0) left &= ~PROT_EXEC
    // Left to the kernel, which may not execute what was made for the user.
    if (user && (hi & TABLE_NO_USER) !== 0) left &= ~(PROT_USER | PROT_EXEC)
    return left
  }

  /**
   * The syndrome (ESR_EL1) of an abort. Encodings that are reserved count as not there, and so do
   * addresses that no top table translates, at level 0.
   */
  faultCode(reason: FaultReason, access: Access, level: number): number {
    let code = access.kind === 'execute' ? CLASS_FETCH : CLASS_DATA
    if (!access.user) code += CLASS_SAME_LEVEL
    code += SYNDROME_IL
    if (access.kind === 'write') code += SYNDROME_WNR
    if (reason === 'non-canonical') return code + STATUS_TRANSLATION
    code += this.firstLevel + level
    if (reason === 'protection') return code + STATUS_PERMISSION
    return code + (reason === 'access-flag' ? STATUS_ACCESS_FLAG : STATUS_TRANSLATION)
  }

  isCanonical(address: number): boolean {
    return isBelow(address, this.vaBits)
  }
}

/**
 * Makes a format of AArch64.
 * @throws InvalidArgument for a number of bits that there is not.
 */
export function arm64Format(options: Arm64FormatOptions): PageTableFormat {
  const { vaBits, global = true } = options
  if (vaBits !== 48 && vaBits !== 39) throw new InvalidArgument('vaBits', vaBits, '48 or 39')
  return Object.freeze(new Arm64Format(vaBits, global))
}

/** AArch64 with 4 levels. */
export const ARM64: PageTableFormat = /* @__PURE__ */ arm64Format({ vaBits: 48 })
/** AArch64 with 3 levels. */
export const ARM64_39: PageTableFormat = /* @__PURE__ */ arm64Format({ vaBits: 39 })

function attributeOf(prot: number): number {
  const mode = prot & PROT_CACHE_MASK
  if (mode === CACHE_WT || mode === CACHE_WP) {
    throw new InvalidArgument('prot', prot, 'of a cache mode that AArch64 has: WB, WC, UC-, UC')
  }
  if (mode === CACHE_WB) return 0
  if (mode === CACHE_WC) return ATTR_NON_CACHEABLE
  return mode === CACHE_UC ? ATTR_NGNRNE : ATTR_NGNRE
}

/** Indices above 4 are not programmed: their attribute is 0, Device-nGnRnE. */
function cacheMode(index: number): number {
  if (index <= 1) return CACHE_WB
  if (index === ATTR_NON_CACHEABLE) return CACHE_WC
  return index === ATTR_NGNRE ? CACHE_UC_MINUS : CACHE_UC
}
