/** Memories and wrong addresses that several tests use. */

import type { PhysicalMemoryOptions } from '../../src/ram/backing'
import type { MemoryRange } from '../../src/ram/memoryMap'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

/** Holes below 0x1000 and at 0x3000, touching RAM at 0x2000, a device without callbacks at 0x6000. */
export const MAP: readonly MemoryRange[] = [
  { base: 0x1000, size: 0x1000, type: 'usable' },
  { base: 0x2000, size: 0x1000, type: 'reserved', node: 1 },
  { base: 0x5000, size: 0x1000, type: 'usable' },
  { base: 0x6000, size: 0x1000, type: 'device' },
]

/** RAM at 0x1000 with a hole before and after, every byte different from its neighbours. */
export function patterned(
  options: PhysicalMemoryOptions = { size: 0x1000, base: 0x1000 },
): PhysicalMemory {
  const ram = new PhysicalMemory(options)
  const buffer = ram.buffer
  if (buffer === null) throw new Error('no content')
  new Uint8Array(buffer).forEach((_, i, all) => {
    all[i] = (i * 7 + 1) & 0xff
  })
  return ram
}

/** A copy of all of RAM. */
export function snapshot(ram: PhysicalMemory): Uint8Array {
  return new Uint8Array(ram.buffer ?? new ArrayBuffer(0)).slice()
}

/** Nothing that an address may be. */
export const BAD_ADDRESSES: unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  -0x1000,
  4096.5,
  2 ** 52,
  2 ** 53,
  1e300,
  '4096',
  4096n,
  null,
  undefined,
  {},
  [4096],
  true,
]
