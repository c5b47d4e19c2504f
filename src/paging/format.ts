/**
 * What a page-table format is: the levels, and how an entry says what it maps and who may use it.
 *
 * An entry is two 32-bit halves, low and high; 4-byte formats have a high half of 0. What all formats share,
 * so that a walk needs no calls: bit 0 of an entry says whether it is valid, a leaf above the last level is
 * told from a table by a mask of the low half, and the frame number starts at one bit for all levels.
 *
 * Source: spec/vmalloc.md §13.
 */

// ---- Protections: what a mapping allows, in the same words for all formats ----

/** May be read. */
export const PROT_READ = 0x1
/** May be written. */
export const PROT_WRITE = 0x2
/** May be executed. */
export const PROT_EXEC = 0x4
/** User mode may use it; without it the kernel alone. */
export const PROT_USER = 0x8
/** Stays in the TLB when the address space changes. */
export const PROT_GLOBAL = 0x10
/** Has been used: set by the processor, or in advance. */
export const PROT_ACCESSED = 0x20
/** Has been written. */
export const PROT_DIRTY = 0x40
/** The kernel's mark for frames without a page record. */
export const PROT_SPECIAL = 0x80
/** Place of the cache mode in a protection: 0 to 5. */
export const PROT_CACHE_SHIFT = 8
/** The cache mode's bits. */
export const PROT_CACHE_MASK = 0x700
/** Cache mode: write back, ordinary memory. */
export const CACHE_WB = 0x000
/** Cache mode: write combining. */
export const CACHE_WC = 0x100
/** Cache mode: uncached, unless a range register says otherwise. */
export const CACHE_UC_MINUS = 0x200
/** Cache mode: uncached. */
export const CACHE_UC = 0x300
/** Cache mode: write through. */
export const CACHE_WT = 0x400
/** Cache mode: write protected. */
export const CACHE_WP = 0x500

/** Kernel data: READ, WRITE, GLOBAL, ACCESSED, DIRTY. */
export const PAGE_KERNEL = 0x73
/** Kernel data that is never written: READ, GLOBAL, ACCESSED, DIRTY. */
export const PAGE_KERNEL_RO = 0x71
/** Kernel code that is written: KERNEL, EXEC. */
export const PAGE_KERNEL_EXEC = 0x77
/** Kernel code: KERNEL_RO, EXEC. */
export const PAGE_KERNEL_ROX = 0x75
/** Kernel data, uncached: KERNEL, CACHE_UC. */
export const PAGE_KERNEL_NOCACHE = 0x373
/** Registers of a device: KERNEL, CACHE_UC_MINUS. */
export const PAGE_KERNEL_IO = 0x273
/** Nobody may use it. */
export const PAGE_NONE = 0x20
/** User data: READ, WRITE, USER, ACCESSED. */
export const PAGE_SHARED = 0x2b
/** User data that may be executed: SHARED, EXEC. */
export const PAGE_SHARED_EXEC = 0x2f
/** User data that is only read: READ, USER, ACCESSED. */
export const PAGE_READONLY = 0x29
/** User code: READONLY, EXEC. */
export const PAGE_READONLY_EXEC = 0x2d

/** A level of tables, the top one first. */
export interface TableLevel {
  /** Its name: PGD, P4D, PUD, PMD, PTE. */
  readonly name: string
  /** log2 of the bytes that an entry covers. */
  readonly shift: number
  /** log2 of the entries of a table. */
  readonly bits: number
  /** Whether an entry may be a leaf. */
  readonly leaf: boolean
}

/** The two halves of an entry, as signed 32-bit words. */
export interface EntryBits {
  /** Bits 0 to 31. */
  readonly lo: number
  /** Bits 32 to 63; 0 in entries of 4 bytes. */
  readonly hi: number
}

/** What an entry is: nothing, a pointer to a table, a leaf, or something that the processor refuses. */
export type EntryKind = 'none' | 'table' | 'leaf' | 'bad'

/** Why a translation ends in a fault. */
export type FaultReason =
  /** No entry. */
  | 'unmapped'
  /** An entry does not allow it. */
  | 'protection'
  /** An entry has bits set that must not be. */
  | 'reserved'
  /** The entry is not marked as accessed, or for a write as dirty, and the processor does not do that. */
  | 'access-flag'
  /** The address is not one of the format. */
  | 'non-canonical'

/** How memory is used. */
export interface Access {
  /** 'read', 'write' or 'execute'. */
  readonly kind: 'read' | 'write' | 'execute'
  /** From user mode. */
  readonly user: boolean
  /** x86 with SMEP, which tells fetches apart in the error code even without NX. */
  readonly smep?: boolean
}

/** A page-table format of an architecture. */
export interface PageTableFormat {
  /** Its name. */
  readonly name: string
  /** Bits of an address without its sign extension. */
  readonly vaBits: number
  /** Bits of a physical address that an entry has room for. */
  readonly physBits: number
  /** Bytes of an entry. */
  readonly entryBytes: 4 | 8
  /** Levels, the top one first; 2 to 5. */
  readonly levels: readonly TableLevel[]
  /** Whether the highest bit of an address selects one of two top tables (AArch64). */
  readonly twoRoots: boolean
  /** Place of the frame number's lowest bit in the low half. */
  readonly pfnShift: 10 | 12
  /** Bits of the frame number that lie in the low half, as a mask of that half. */
  readonly pfnLowMask: number
  /** Bits of the frame number that lie in the high half, as a mask of that half. */
  readonly pfnHighMask: number
  /** An entry above the last level is a leaf when `(lo & leafMask) !== leafNone`. */
  readonly leafMask: number
  /** See {@link leafMask}. */
  readonly leafNone: number
  /** Whether leaves above the last level are used for kernel mappings ({@link TableLevel.leaf} says where). */
  readonly hugeLeaves: boolean
  /** The bits of an entry that points at a table, without its frame number. */
  tableBits(level: number, user: boolean): EntryBits
  /**
   * The bits of a leaf at a level, index into {@link levels}, without its frame number.
   * @throws InvalidArgument for a protection that the format cannot say.
   */
  leafBits(prot: number, level: number): EntryBits
  /** What an entry at a level is. */
  kindOf(lo: number, hi: number, level: number): EntryKind
  /** What a leaf allows by itself: PROT_ bits and the cache mode. */
  protOf(lo: number, hi: number, level: number): number
  /**
   * What is left of an allowed protection below a table entry: its own restrictions applied to `prot`.
   * Formats without such restrictions return it as it is.
   */
  restrict(prot: number, lo: number, hi: number, level: number): number
  /** The code that the processor reports for a fault at a level: an error code, a cause, a syndrome. */
  faultCode(reason: FaultReason, access: Access, level: number): number
  /** Whether an address without sign extension, once extended, is one of the format. */
  isCanonical(address: number): boolean
}

/** Frame number of an entry. Leaves above the last level have zeros in its low bits. */
export function entryPfn(format: PageTableFormat, lo: number, hi: number): number {
  const shift = format.pfnShift
  const high = (hi & format.pfnHighMask) * 2 ** (32 - shift)
  return ((lo & format.pfnLowMask) >>> shift) + high
}
