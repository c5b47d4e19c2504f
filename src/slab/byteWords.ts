/** Bytes and 32-bit little-endian words at any physical address, aligned or not. */

import type { ByteRam } from '../page/pageSource'

/** The unsigned word at `address`. */
export function readWord32(ram: ByteRam, address: number): number {
  const bytes = ram.bytes(address, 4)
  return (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0
}

/** Writes the low 32 bits of `value` at `address`. */
export function writeWord32(ram: ByteRam, address: number, value: number): void {
  const bytes = ram.bytes(address, 4)
  bytes[0] = value
  bytes[1] = value >>> 8
  bytes[2] = value >>> 16
  bytes[3] = value >>> 24
  ram.markDirty(address, 4)
}

/** Copies `source` to `address`. */
export function writeBytes(ram: ByteRam, address: number, source: Uint8Array): void {
  ram.bytes(address, source.length).set(source)
  ram.markDirty(address, source.length)
}
