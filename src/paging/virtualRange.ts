/** Checks of virtual addresses that may lie outside a format: they fault, if they are addresses at all. */

import { InvalidArgument } from '../base/errors'

/**
 * Throws unless `address` is an integer of 64 bits. From 2^53 on, such a number has zeros at its end.
 * @throws InvalidArgument
 */
export function checkVirtual(argument: string, address: number): void {
  if (!Number.isInteger(address) || address < 0 || address >= 2 ** 64) {
    throw new InvalidArgument(argument, address, 'an integer from 0 to 2^64 - 1')
  }
}
