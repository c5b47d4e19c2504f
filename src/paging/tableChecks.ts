/**
 * What is asked of the arguments of page tables, before anything is changed. `end` is one more than the highest
 * address of the tables, and 0 once they are gone.
 */

import { checkInteger, InvalidArgument, KernelBug } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { FlushOps } from './flushOps'
import { PROT_ACCESSED, PROT_DIRTY } from './format'

/** Throws unless the range consists of pages below `end`. */
export function checkRange(end: number, address: number, bytes: number): void {
  if (end === 0) throw destroyed()
  if (!isPages(address, end)) {
    throw new InvalidArgument('address', address, `a multiple of 4096 from 0 to ${end}`)
  }
  if (!isPages(bytes, end - address)) {
    throw new InvalidArgument('bytes', bytes, `a multiple of 4096 from 0 to ${end - address}`)
  }
}

/** Throws unless physical memory from `phys` on is pages below `limit`. */
export function checkPhys(phys: number, bytes: number, limit: number): void {
  if (!isPages(phys, limit - bytes)) {
    throw new InvalidArgument('phys', phys, `a multiple of 4096 from 0 to ${limit - bytes}`)
  }
}

/** Throws unless `start` and `end` are addresses, in ascending order, up to `limit`. */
export function checkSpan(limit: number, start: number, end: number): void {
  if (limit === 0) throw destroyed()
  checkInteger('start', start, 0, limit)
  checkInteger('end', end, start, limit)
}

/** Throws unless `address` is an integer below `end`. */
export function checkAddress(end: number, address: number): void {
  if (!(address >= 0 && address < end) || !Number.isInteger(address)) {
    throw badAddress(end, address)
  }
}

/** Throws unless frames `first` to `first + count` of a list are there and below `limit`. */
export function checkFrames(
  pfns: ArrayLike<number>,
  first: number,
  count: number,
  limit: number,
): void {
  if (!(Object(pfns).length >= first + count)) {
    throw new InvalidArgument('pfns', pfns, `an array of at least ${first + count} frames`)
  }
  for (let i = first; i < first + count; i++) {
    const pfn = pfns[i]!
    if (!(pfn >= 0 && pfn < limit) || Math.floor(pfn) !== pfn) {
      throw new InvalidArgument(`pfns[${i}]`, pfn, `an integer from 0 to ${limit - 1}`)
    }
  }
}

/** Throws unless `gfp` is an unsigned integer of 32 bits. */
export function checkMask(gfp: number): void {
  checkInteger('gfp', gfp, 0, 0xffffffff)
}

/** Throws unless `marks` is PROT_ACCESSED, PROT_DIRTY or both. `least` 0 lets none at all pass. */
export function checkMarks(argument: string, marks: number, least: 0 | 1): void {
  const all = PROT_ACCESSED | PROT_DIRTY
  checkInteger(argument, marks, least, all)
  if ((marks & ~all) !== 0) {
    throw new InvalidArgument(argument, marks, 'PROT_ACCESSED, PROT_DIRTY or both')
  }
}

const FLUSHES = ['flushTlb', 'flushCacheMap', 'flushCacheUnmap'] as const

/** Throws unless `flush` has the functions of FlushOps. */
export function checkFlush(flush: FlushOps): void {
  if (!FLUSHES.every((name) => typeof Object(flush)[name] === 'function')) {
    throw new InvalidArgument('flush', flush, 'an object with the functions of FlushOps')
  }
}

/** The error for an address that is not one. */
export function badAddress(end: number, address: number): Error {
  if (end === 0) return destroyed()
  return new InvalidArgument('address', address, `an integer from 0 to ${end - 1}`)
}

/** The error for tables that are gone. */
export function destroyed(): KernelBug {
  return new KernelBug('TABLES_DESTROYED', 'the page tables were destroyed')
}

function isPages(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most && value % PAGE_SIZE === 0
}
