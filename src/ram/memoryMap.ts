/** The map of physical memory: which addresses are RAM, which are devices, and where RAM lies in its buffer. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { PAGE_SIZE, PHYS_ADDR_LIMIT } from '../base/units'

/** Bytes in one access to a device. A 64-bit access is two of 4 bytes, the low word first. */
export type DeviceBytes = 1 | 2 | 4

/** RAM: `usable` belongs to the allocators, `reserved` is kept from them; both have content. */
export interface RamRange {
  /** Physical address of the first byte, a multiple of 4096. */
  readonly base: number
  /** Bytes, a multiple of 4096, at least one page. */
  readonly size: number
  /** `usable` for the allocators, `reserved` out of their reach. */
  readonly type: 'usable' | 'reserved'
  /** NUMA node, from 0 to 1023; 0 when left out. */
  readonly node?: number
}

/** Registers of a device: every access goes to a callback. An access without its callback throws. */
export interface DeviceRange {
  /** Physical address of the first byte, a multiple of 4096. */
  readonly base: number
  /** Bytes, a multiple of 4096, at least one page. */
  readonly size: number
  /** A device. */
  readonly type: 'device'
  /** NUMA node, from 0 to 1023; 0 when left out. */
  readonly node?: number
  /** Answers a read of `bytes` bytes, `offset` bytes into the range; the answer is cut to that width. */
  read?(offset: number, bytes: DeviceBytes): number
  /** Takes a write of `value`, unsigned and already cut to the width. */
  write?(offset: number, bytes: DeviceBytes, value: number): void
}

/** One range of a memory map. */
export type MemoryRange = RamRange | DeviceRange

/** A checked range: a frozen copy, its node filled in. */
export type MappedRange = MemoryRange & {
  /** NUMA node. */
  readonly node: number
}

/** A run of touching RAM ranges: contiguous in address space and in the buffer, so accesses may cross them. */
export interface RamExtent {
  readonly base: number
  size: number
  /** Byte in the buffer that holds address `base`. */
  readonly offset: number
}

const MAX_NODE = 1023

/**
 * Checks a map and returns frozen copies of its ranges in address order. Holes are allowed.
 * Methods of a device keep the object that they were given in as their `this`.
 * @throws InvalidArgument for a range that is malformed, unaligned or overlaps another, and for a map without RAM.
 */
export function resolveMap(map: readonly MemoryRange[]): readonly MappedRange[] {
  if (!Array.isArray(map)) throw new InvalidArgument('map', map, 'an array of ranges')
  const ranges = map.map((range: MemoryRange, index) => resolveRange(`map[${index}]`, range))
  ranges.sort((a, b) => a.base - b.base)
  let previous: MappedRange | null = null
  for (const range of ranges) {
    if (previous !== null && range.base < previous.base + previous.size) {
      const limit = `free of overlaps, and ${describe(previous)} overlaps ${describe(range)}`
      throw new InvalidArgument('map', map, limit)
    }
    previous = range
  }
  if (!ranges.some(isRam))
    throw new InvalidArgument('map', map, 'one with at least one range of RAM')
  return Object.freeze(ranges)
}

/**
 * The map of a machine whose RAM is one usable range.
 * @throws InvalidArgument for an unaligned base or size, or an end beyond 2^52.
 */
export function singleRange(base: number, size: number): readonly MappedRange[] {
  checkExtent('', base, size)
  return Object.freeze([Object.freeze({ base, size, type: 'usable' as const, node: 0 })])
}

/** The extents of RAM in address order, packed one after another from byte 0 of the buffer. */
export function packExtents(ranges: readonly MappedRange[]): RamExtent[] {
  const extents: RamExtent[] = []
  let offset = 0
  let last: RamExtent | null = null
  for (const range of ranges) {
    if (!isRam(range)) continue
    if (last !== null && last.base + last.size === range.base) {
      last.size += range.size
    } else {
      last = { base: range.base, size: range.size, offset }
      extents.push(last)
    }
    offset += range.size
  }
  return extents
}

/** The item of a list in address order that begins last at or below `address`; null below the first. O(log n). */
export function lastAtOrBelow<T extends { readonly base: number }>(
  items: readonly T[],
  address: number,
): T | null {
  let low = 0
  let high = items.length
  let found: T | null = null
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && item.base <= address) {
      found = item
      low = middle + 1
    } else {
      high = middle
    }
  }
  return found
}

/** Whether a range has content in the buffer. */
export function isRam(range: MemoryRange): boolean {
  return range.type !== 'device'
}

/** An address as it is printed in messages: `0x1000`. */
export function hex(address: number): string {
  return `0x${address.toString(16)}`
}

/** @throws InvalidArgument unless `address` is an exact integer in [0, 2^52). */
export function checkAddress(argument: string, address: number): void {
  if (!Number.isInteger(address) || address < 0 || address >= PHYS_ADDR_LIMIT) {
    const given = Number.isInteger(address) ? `, and ${hex(address)} is not` : ''
    throw new InvalidArgument(argument, address, `an integer from 0 to below 2^52${given}`)
  }
}

/** The error for bytes that no single extent or device range holds. */
export function notMapped(argument: string, address: number, bytes: number): InvalidArgument {
  const limit = `such that all ${bytes} bytes from ${hex(address)} on lie in RAM or in one device range`
  return new InvalidArgument(argument, address, limit)
}

/** The error for bytes of a hole or a device where only RAM will do. */
export function notRam(argument: string, address: number, bytes: number): InvalidArgument {
  const limit = `such that all ${bytes} bytes from ${hex(address)} on are RAM, without a hole or a device`
  return new InvalidArgument(argument, address, limit)
}

/** The error for an access that a device range has no callback for. */
export function noCallback(access: 'read' | 'write', address: number): InvalidArgument {
  const limit = `in a device range with a ${access} callback, and the one at ${hex(address)} has none`
  return new InvalidArgument('address', address, limit)
}

function describe(range: MemoryRange): string {
  return `${range.type} [${hex(range.base)}, ${hex(range.base + range.size)})`
}

function resolveRange(name: string, range: MemoryRange): MappedRange {
  if (typeof range !== 'object' || range === null) {
    throw new InvalidArgument(name, range, 'a memory range')
  }
  const { base, size, type, node = 0 } = range
  checkExtent(`${name}.`, base, size)
  checkInteger(`${name}.node`, node, 0, MAX_NODE)
  if (type === 'usable' || type === 'reserved') return Object.freeze({ base, size, type, node })
  if (type !== 'device') {
    throw new InvalidArgument(`${name}.type`, type, "'usable', 'reserved' or 'device'")
  }
  checkCallback(`${name}.read`, range.read)
  checkCallback(`${name}.write`, range.write)
  return Object.freeze({
    base,
    size,
    type,
    node,
    ...(range.read && { read: range.read.bind(range) }),
    ...(range.write && { write: range.write.bind(range) }),
  })
}

function checkCallback(name: string, callback: unknown): void {
  if (callback !== undefined && typeof callback !== 'function') {
    throw new InvalidArgument(name, callback, 'a function')
  }
}

function checkExtent(prefix: string, base: number, size: number): void {
  if (!Number.isInteger(base) || base < 0 || base >= PHYS_ADDR_LIMIT || base % PAGE_SIZE !== 0) {
    throw new InvalidArgument(`${prefix}base`, base, 'a multiple of 4096 from 0 to below 2^52')
  }
  if (!Number.isInteger(size) || size <= 0 || size % PAGE_SIZE !== 0) {
    throw new InvalidArgument(`${prefix}size`, size, 'a positive multiple of 4096')
  }
  if (base + size > PHYS_ADDR_LIMIT) {
    const limit = `at most ${hex(PHYS_ADDR_LIMIT - base)} from base ${hex(base)} on`
    throw new InvalidArgument(`${prefix}size`, size, limit)
  }
}
