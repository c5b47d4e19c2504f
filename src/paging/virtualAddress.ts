/**
 * Addresses as a processor sees them: any number of 64 bits, and where the addresses of a format have a gap.
 *
 * Source: spec/vmalloc.md §13.1.
 */

import { InvalidArgument } from '../base/errors'
import type { PageTableFormat } from './format'

/**
 * Throws unless `address` is an integer of 64 bits. From 2^53 on, such a number has zeros at its end.
 * @throws InvalidArgument
 */
export function checkVirtual(argument: string, address: number): void {
  if (!Number.isInteger(address) || address < 0 || address >= 2 ** 64) {
    throw new InvalidArgument(argument, address, 'an integer from 0 to 2^64 - 1')
  }
}

/**
 * The address, without sign extension, that does not follow the one below it: the first of the upper half.
 * Addresses of 32 bits are all in one piece.
 */
export function gapOf(format: PageTableFormat): number {
  return format.vaBits === 32 ? Number.POSITIVE_INFINITY : 2 ** (format.vaBits - 1)
}
