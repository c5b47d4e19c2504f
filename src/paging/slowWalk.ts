/**
 * A walk that says what is wrong, and sets the marks that a processor sets: the slow way of a translation.
 *
 * Marks are set only after everything else is known to be right, so a fault changes nothing. x86 marks the
 * entries of tables as well as the leaf.
 *
 * Source: spec/vmalloc.md §13.2, §13.4, §13.5.
 */

import { PAGE_SIZE } from '../base/units'
import type { ByteRam } from '../page/pageSource'
import { type AccessRights, RIGHTS_ALL, settle } from './accessRights'
import { type FaultReason, type PageTableFormat, PROT_ACCESSED, PROT_DIRTY } from './format'
import { ACCESS_EXECUTE, ACCESS_WRITE, type FaultDetails } from './pageFault'
import { entryIndex, frameOf, pageOfLeaf } from './tablePlan'
import type { Walker } from './walker'

/** One access to one page. */
export interface PageAccess {
  /** Address of the first byte. */
  readonly address: number
  /** ACCESS_ bits. */
  readonly access: number
  /** From user mode. */
  readonly user: boolean
  /** x86, CR4.SMEP. */
  readonly smep: boolean
  /** RIGHTS_ bits, one of which must be there. */
  readonly need: number
  /** Whether marks are to be set. */
  readonly mark: boolean
}

/** An entry on the way: its place, the frame of its table, its halves and level. */
interface Entry {
  readonly at: number
  readonly table: number
  readonly lo: number
  readonly hi: number
  readonly level: number
}

/** Walks slowly. */
export class SlowWalk {
  /** The last fault. */
  readonly fault: { -readonly [Key in keyof FaultDetails]: FaultDetails[Key] } = {
    address: 0,
    kind: 'read',
    user: false,
    reason: 'unmapped',
    code: 0,
    level: 0,
  }
  private readonly walker: Walker
  private readonly rules: AccessRights
  private readonly format: PageTableFormat
  private readonly ram: ByteRam

  constructor(walker: Walker, rules: AccessRights, format: PageTableFormat, ram: ByteRam) {
    this.walker = walker
    this.rules = rules
    this.format = format
    this.ram = ram
  }

  /** Page frame of an access; -1 when it may not be, with the reason in {@link fault}. */
  check(request: PageAccess): number {
    const { address } = request
    const { format, walker, rules } = this
    const { plan } = walker
    if (!format.isCanonical(address)) return this.fail(request, 'non-canonical', 0)
    let rights = RIGHTS_ALL
    let pfn = walker.rootFor(address)
    const tables: Entry[] = []
    for (let level = 0; level <= plan.last; level++) {
      const entry = this.entryAt(pfn, address, level)
      // A pointer to what is no memory.
      if (entry === null) return this.fail(request, 'reserved', Math.max(level - 1, 0))
      const { lo, hi } = entry
      const kind = format.kindOf(lo, hi, level)
      if (kind === 'none') return this.fail(request, 'unmapped', level)
      if (kind === 'bad') return this.fail(request, 'reserved', level)
      if (kind === 'leaf') return this.atLeaf(request, tables, entry, rights)
      rights &= rules.ofTable(lo, hi, level)
      if (rules.tableUnmarked(lo, level)) tables.push(entry)
      pfn = frameOf(plan, lo, hi)
    }
    return this.fail(request, 'reserved', plan.last)
  }

  /** Records a fault; -1. */
  fail(request: PageAccess, reason: FaultReason, level: number): -1 {
    const { access, user, smep, address } = request
    const { fault } = this
    fault.address = address
    fault.user = user
    fault.kind = 'read'
    if ((access & ACCESS_EXECUTE) !== 0) fault.kind = 'execute'
    if ((access & ACCESS_WRITE) !== 0) fault.kind = 'write'
    fault.reason = reason
    fault.level = level
    fault.code = this.format.faultCode(reason, { kind: fault.kind, user, smep }, level)
    return -1
  }

  private atLeaf(
    request: PageAccess,
    tables: readonly Entry[],
    leaf: Entry,
    rights: number,
  ): number {
    const { rules, walker } = this
    const { lo, hi, level } = leaf
    const unused = rules.missing(lo, hi) & PROT_ACCESSED
    // AArch64 looks at the access flag first.
    if (!rules.updates && rules.architecture === 'arm64' && unused !== 0) {
      return this.fail(request, 'access-flag', level)
    }
    const allowed = settle(rights & rules.ofLeaf(lo, hi, level))
    if ((allowed & request.need) === 0) return this.fail(request, 'protection', level)
    const dirty = (request.access & ACCESS_WRITE) !== 0 ? PROT_DIRTY : 0
    const missing = rules.missing(lo, hi) & (PROT_ACCESSED | dirty)
    if (missing !== 0 && !rules.updates) return this.fail(request, 'access-flag', level)
    if (request.mark) {
      for (const table of tables) this.write(table, rules.mark(table.lo, PROT_ACCESSED))
      if (missing !== 0) this.write(leaf, rules.mark(lo, missing))
    }
    return pageOfLeaf(walker.plan, lo, hi, level, request.address)
  }

  private entryAt(table: number, address: number, level: number): Entry | null {
    const { walker } = this
    const place = walker.places.of(table)
    if (place < 0) return null
    const { words, plan } = walker
    const at = place + entryIndex(plan, address, level) * plan.stride
    const lo = words[at]!
    return { at, table, lo, hi: plan.stride === 2 ? words[at + 1]! : 0, level }
  }

  private write(entry: Entry, lo: number): void {
    const { walker, ram } = this
    walker.words[entry.at] = lo
    if (!ram.tracksDirty) return
    const offset = (entry.at - walker.places.of(entry.table)) * 4
    ram.markDirty(entry.table * PAGE_SIZE + offset, 4)
  }
}
