/**
 * The invariants of a memblock, checked from outside.
 *
 * - MEMBLOCK-1: every region has bytes, unless it is the sole placeholder (base 0, no flags, no node).
 * - MEMBLOCK-2: regions ascend and do not overlap.
 * - MEMBLOCK-3: numbers are in range: ends up to PHYS_ADDR_MAX, flags of 4 bits, nodes 0 to 64.
 * - MEMBLOCK-4: the total is the sum of the sizes and of what trimming left in it; only memory is trimmed.
 * - MEMBLOCK-5: no more regions than slots; slots are the initial ones times 2^n, and n > 0 iff the array has space.
 */

import { PAGE_SIZE } from '../base/units'
import {
  MAX_NUMNODES,
  MEMBLOCK_FLAGS,
  type MemblockRegion,
  PHYS_ADDR_MAX,
  type RegionArray,
} from './memblockRegions'
import type { MemblockView } from './memblockView'

/** Faults of a memblock, each beginning with the id of its invariant; empty when it is sound. O(regions). */
export function verifyMemblock(memblock: MemblockView): string[] {
  return [memblock.memoryArray, memblock.reservedArray].flatMap((array) => [
    ...array.regions.flatMap((region, index) => regionFaults(array, region, index)),
    ...totalFaults(array),
    ...slotFaults(array),
  ])
}

function regionFaults(array: RegionArray, region: MemblockRegion, index: number): string[] {
  const { base, size, flags, nid } = region
  const where = `${array.name}[${index}]`
  const faults: string[] = []
  const isPlaceholder =
    array.count === 1 && base === 0 && size === 0 && flags === 0 && nid === MAX_NUMNODES
  if (size <= 0 && !isPlaceholder) faults.push(`MEMBLOCK-1: ${where} has ${size} bytes`)
  const previous = array.regions[index - 1]
  if (previous !== undefined && previous.base + previous.size > base) {
    faults.push(`MEMBLOCK-2: ${where} starts at ${base}, below the end of the region before it`)
  }
  const isSafe = Number.isSafeInteger(base) && Number.isSafeInteger(size) && base >= 0
  if (!isSafe || size > PHYS_ADDR_MAX - base) {
    faults.push(`MEMBLOCK-3: ${where} is ${base} + ${size}`)
  }
  if ((flags & ~MEMBLOCK_FLAGS) !== 0 || !Number.isInteger(flags)) {
    faults.push(`MEMBLOCK-3: ${where} has flags ${flags}`)
  }
  if (!Number.isInteger(nid) || nid < 0 || nid > MAX_NUMNODES) {
    faults.push(`MEMBLOCK-3: ${where} has node ${nid}`)
  }
  return faults
}

function totalFaults({ name, regions, totalSize, uncountedTrim }: RegionArray): string[] {
  const sum = regions.reduce((bytes, region) => bytes + region.size, 0)
  const faults: string[] = []
  if (totalSize !== sum + uncountedTrim) {
    faults.push(`MEMBLOCK-4: ${name} counts ${totalSize} bytes, not ${sum} + ${uncountedTrim}`)
  }
  if (uncountedTrim < 0 || (name === 'reserved' && uncountedTrim !== 0)) {
    faults.push(`MEMBLOCK-4: ${name} was trimmed by ${uncountedTrim} bytes`)
  }
  return faults
}

function slotFaults({ name, count, max, initialMax, space }: RegionArray): string[] {
  const faults: string[] = []
  if (count > max || count < 1) faults.push(`MEMBLOCK-5: ${name} has ${count} of ${max} regions`)
  if (!Number.isInteger(Math.log2(max / initialMax))) {
    faults.push(`MEMBLOCK-5: ${name} has ${max} slots, not ${initialMax} doubled`)
  }
  const bytes = max === initialMax ? 0 : Math.ceil((max * 24) / PAGE_SIZE) * PAGE_SIZE
  const actual = space === null ? 0 : space.end - space.start
  if (actual !== bytes) faults.push(`MEMBLOCK-5: ${name} has an array of ${actual} bytes`)
  return faults
}
