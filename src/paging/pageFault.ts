/**
 * Page faults: what a processor reports when a translation fails, as plain numbers for a hot path and as
 * an error for everybody else.
 *
 * Source: spec/vmalloc.md §13.
 */

import type { FaultReason, PageTableFormat } from './format'

/** Memory is read. */
export const ACCESS_READ = 1
/** Memory is written; together with {@link ACCESS_READ} it is still one write. */
export const ACCESS_WRITE = 2
/** An instruction is fetched. */
export const ACCESS_EXECUTE = 4

/** What is known of a fault. */
export interface FaultDetails {
  /** First address that could not be used, without sign extension. */
  readonly address: number
  /** What was tried. */
  readonly kind: 'read' | 'write' | 'execute'
  /** From user mode. */
  readonly user: boolean
  /** Why it failed. */
  readonly reason: FaultReason
  /** What the processor reports: an error code (x86), a cause (RISC-V), a syndrome (AArch64). */
  readonly code: number
  /** Level of the entry where the walk ended, an index into the format's levels. */
  readonly level: number
}

const REASONS: Readonly<Record<FaultReason, string>> = /* @__PURE__ */ Object.freeze({
  unmapped: 'nothing is mapped there',
  protection: 'the mapping does not allow it',
  reserved: 'an entry is malformed',
  'access-flag': 'the entry is not marked as used that way',
  'non-canonical': 'no address of the format',
})

/** A load, store or bulk operation met an address that it may not use. */
export class PageFault extends Error implements FaultDetails {
  override readonly name = 'PageFault'
  readonly address: number
  readonly kind: 'read' | 'write' | 'execute'
  readonly user: boolean
  readonly reason: FaultReason
  readonly code: number
  readonly level: number

  constructor(format: PageTableFormat, fault: FaultDetails) {
    const { address, kind, user, reason, code, level } = fault
    const who = user ? 'user' : 'kernel'
    const where = `level ${format.levels[level]?.name}, code 0x${code.toString(16)}`
    super(`${who} ${kind} at ${fullHex(format, address)}: ${REASONS[reason]} (${where})`)
    this.address = address
    this.kind = kind
    this.user = user
    this.reason = reason
    this.code = code
    this.level = level
  }
}

/** An address as a processor shows it: with its sign extension. */
function fullHex(format: PageTableFormat, address: number): string {
  const { vaBits } = format
  const high = vaBits > 32 && address >= 2 ** (vaBits - 1) && address < 2 ** vaBits
  const sign = high ? (1n << 64n) - (1n << BigInt(vaBits)) : 0n
  return `0x${(BigInt(address) + sign).toString(16)}`
}
