/**
 * What the makers of page-table formats share: the levels, and the checks of what callers ask for.
 *
 * Source: spec/vmalloc.md §13.1.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PROT_EXEC, PROT_READ, PROT_WRITE, type TableLevel } from './format'

/** The highest protection: all PROT_ bits, and the last cache mode. */
const MAX_PROT = 0x5ff

/** A level whose tables have 2^bits entries of 2^shift bytes. */
export function tableLevel(name: string, shift: number, bits: number, leaf: boolean): TableLevel {
  return Object.freeze({ name, shift, bits, leaf })
}

/**
 * Checks that a format has a leaf at a level, and that the protection is one.
 * @throws InvalidArgument if not.
 */
export function checkLeaf(levels: readonly TableLevel[], prot: number, level: number): void {
  checkInteger('prot', prot, 0, MAX_PROT)
  checkInteger('level', level, 0, levels.length - 1)
  if (levels[level]?.leaf !== true) throw new InvalidArgument('level', level, 'one with leaves')
}

/**
 * Checks that what may be written or executed may be read as well.
 * @throws InvalidArgument if not.
 */
export function checkReadable(prot: number): void {
  if ((prot & PROT_READ) === 0 && (prot & (PROT_WRITE | PROT_EXEC)) !== 0) {
    throw new InvalidArgument('prot', prot, 'readable where it is writable or executable')
  }
}

/** Whether an address has no bits above those of a format; NaN and fractions have. */
export function isBelow(address: number, vaBits: number): boolean {
  return Number.isInteger(address) && address >= 0 && address < 2 ** vaBits
}
