/** Sizes as a kernel's command line has them. */

import { InvalidArgument } from './errors'

/** Number, then a suffix. The number is hexadecimal after 0x, octal after 0, else decimal. */
const MEM_SIZE = /^(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)([kmgtpe]?)$/i
const SUFFIXES = 'KMGTPE'

/**
 * Reads a size as on a kernel command line: `256M`, `0x100000`, `1g`. Gives bytes.
 *
 * Suffixes K, M, G, T, P and E, of either case, stand for powers of 1024.
 * @throws InvalidArgument for anything else, or above 2^53 - 1.
 */
export function parseMemSize(text: string): number {
  const [, digits, letter] = MEM_SIZE.exec(text) ?? []
  if (digits === undefined || letter === undefined) {
    throw new InvalidArgument('size', text, 'such as 256M or 0x10000000')
  }
  const octal = digits.length > 1 && digits[0] === '0' && !/^0x/i.test(digits)
  const value = octal ? Number.parseInt(digits, 8) : Number(digits)
  const power = letter === '' ? 0 : SUFFIXES.indexOf(letter.toUpperCase()) + 1
  const bytes = value * 1024 ** power
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgument('size', text, 'below 2^53 bytes')
  return bytes
}
