/** Text of a memblock as the kernel prints it: the debugfs files, the full dump and the lines of `memblock=debug`. */

import { MAX_NUMNODES, type MemblockRegion, type RegionArray } from './memblockRegions'
import type { MemblockView } from './memblockView'

/**
 * The debugfs file of one array, `memblock/memory` or `memblock/reserved`: a line per region, first and last byte.
 * Pass `memoryRegions` or `reservedRegions`. Source: spec/vmalloc.md §16.10.
 */
export function memblockFile(regions: readonly MemblockRegion[]): string {
  const lines = regions.map(
    ({ base, size }, index) =>
      `${String(index).padStart(4)}: ${hex64(base)}..${lastByte(base, size)}\n`,
  )
  return lines.join('')
}

/** The full dump that the kernel logs with `memblock=debug`, line by line. Source: spec/vmalloc.md §16.10. */
export function memblockDump(memblock: MemblockView): string[] {
  const { memoryArray, reservedArray } = memblock
  const sizes = `memory size = ${hex64(memoryArray.totalSize)} reserved size = ${hex64(reservedArray.totalSize)}`
  return [
    'MEMBLOCK configuration:',
    ` ${sizes}`,
    ...arrayLines(memoryArray),
    ...arrayLines(reservedArray),
  ]
}

/** `[first-last]` of a range as the call log shows it; nothing is capped. */
export function rangeText(base: number, size: number): string {
  return `[${hex64(base)}-${lastByte(base, size)}]`
}

/** An address as `%pa` prints it: 0x and 16 digits. */
export function hex64(value: number | bigint): string {
  return `0x${BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, '0')}`
}

function arrayLines({ name, regions }: RegionArray): string[] {
  const lines = regions.map(({ base, size, flags, nid }, index) => {
    const node = nid === MAX_NUMNODES ? '' : ` on node ${nid}`
    const range = `${rangeText(base, size)}, ${hex64(size)} bytes${node}`
    return ` ${name}[0x${index.toString(16)}]\t${range} flags: 0x${flags.toString(16)}`
  })
  return [` ${name}.cnt  = 0x${regions.length.toString(16)}`, ...lines]
}

/** An empty range at 0 wraps to all ones, as unsigned arithmetic does. */
function lastByte(base: number, size: number): string {
  return hex64(BigInt(base) + BigInt(size) - 1n)
}
