/** The `vm.` tunables by name. */

import { InvalidArgument } from '../base/errors'
import {
  HEADER_LOWMEM_RATIO,
  HEADER_MIN_FREE_KBYTES,
  HEADER_PCP_HIGH_FRACTION,
  HEADER_WATERMARK_BOOST,
  HEADER_WATERMARK_SCALE,
  NR_ZONES,
} from '../state/schema'
import {
  writeLowmemReserveRatio,
  writeMinFreeKbytes,
  writePcpHighFraction,
  writeWatermarkBoostFactor,
  writeWatermarkScaleFactor,
} from '../zone/sysctl'
import type { BuddyAllocator } from './buddyAllocator'

/** Tunables of the page allocator, named as under `/proc/sys/vm`. */
export type SysctlName =
  | 'min_free_kbytes'
  | 'watermark_scale_factor'
  | 'watermark_boost_factor'
  | 'lowmem_reserve_ratio'
  | 'percpu_pagelist_high_fraction'

/**
 * Reads a tunable or, with a value, writes it and recomputes what depends on it. Returns its value.
 * @throws InvalidArgument for an unknown name or a value out of range; nothing is changed.
 */
export function sysctl(
  pages: BuddyAllocator,
  name: SysctlName,
  value?: number | readonly number[],
): number | readonly number[] {
  if (value !== undefined) writeSysctl(pages.context.words, name, value)
  return readSysctl(pages.context.words, name)
}

/** The value of a tunable. */
function readSysctl(words: Int32Array, name: SysctlName): number | readonly number[] {
  switch (name) {
    case 'min_free_kbytes':
      return words[HEADER_MIN_FREE_KBYTES]!
    case 'watermark_scale_factor':
      return words[HEADER_WATERMARK_SCALE]!
    case 'watermark_boost_factor':
      return words[HEADER_WATERMARK_BOOST]!
    case 'percpu_pagelist_high_fraction':
      return words[HEADER_PCP_HIGH_FRACTION]!
    case 'lowmem_reserve_ratio':
      return Array.from(words.subarray(HEADER_LOWMEM_RATIO, HEADER_LOWMEM_RATIO + NR_ZONES))
    default:
      throw unknown(name)
  }
}

/**
 * Writes a tunable and recomputes what depends on it.
 * @throws InvalidArgument for a value out of range.
 */
function writeSysctl(words: Int32Array, name: SysctlName, value: number | readonly number[]): void {
  if (name === 'lowmem_reserve_ratio') {
    if (typeof value === 'number') throw new InvalidArgument(name, value, 'an array of ratios')
    writeLowmemReserveRatio(words, value)
    return
  }
  if (typeof value !== 'number') throw new InvalidArgument(name, value, 'an integer')
  switch (name) {
    case 'min_free_kbytes':
      writeMinFreeKbytes(words, value)
      break
    case 'watermark_scale_factor':
      writeWatermarkScaleFactor(words, value)
      break
    case 'watermark_boost_factor':
      writeWatermarkBoostFactor(words, value)
      break
    case 'percpu_pagelist_high_fraction':
      writePcpHighFraction(words, value)
      break
    default:
      throw unknown(name)
  }
}

function unknown(name: string): InvalidArgument {
  return new InvalidArgument('sysctl', name, 'the name of a tunable of the page allocator')
}
