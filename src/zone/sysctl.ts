/** The `vm.` tunables: each setter checks, stores, and recomputes what hangs on it. */

import { checkInteger } from '../base/errors'
import {
  HEADER_LOWMEM_RATIO,
  HEADER_MIN_FREE_KBYTES,
  HEADER_PCP_HIGH_FRACTION,
  HEADER_THP,
  HEADER_USER_MIN_FREE_KBYTES,
  HEADER_WATERMARK_BOOST,
  HEADER_WATERMARK_SCALE,
  NR_ZONES,
} from '../state/schema'
import { setupPcpLimits } from './pcpLimits'
import {
  calculateMinFreeKbytes,
  type MinFreeLog,
  raiseForHugePages,
  setupLowmemReserve,
  setupWatermarksAndPcp,
} from './watermark'

const INT_MAX = 2147483647
/** A smaller fraction would let the page lists of a few CPUs hold most of a zone. */
const MIN_HIGH_FRACTION = 8

/**
 * Writes vm.min_free_kbytes: KiB, at least 0. Recomputes watermarks and page-list limits.
 * @throws InvalidArgument for anything else. Source: spec/page-allocator.md §3.1.
 */
export function writeMinFreeKbytes(words: Int32Array, kbytes: number): void {
  checkInteger('min_free_kbytes', kbytes, 0, INT_MAX)
  words[HEADER_MIN_FREE_KBYTES] = kbytes
  words[HEADER_USER_MIN_FREE_KBYTES] = kbytes
  setupWatermarksAndPcp(words)
}

/**
 * Writes vm.watermark_scale_factor: 1/10000 of a zone between its watermarks, 1 to 3000.
 * Recomputes watermarks and page-list limits.
 * @throws InvalidArgument for anything else. Source: spec/page-allocator.md §3.1.
 */
export function writeWatermarkScaleFactor(words: Int32Array, factor: number): void {
  checkInteger('watermark_scale_factor', factor, 1, 3000)
  words[HEADER_WATERMARK_SCALE] = factor
  setupWatermarksAndPcp(words)
}

/**
 * Writes vm.watermark_boost_factor: 1/10000 of the high watermark, 0 for no boost. Acts on the next
 * boost.
 * @throws InvalidArgument below 0. Source: spec/page-allocator.md §3.1, §3.7.
 */
export function writeWatermarkBoostFactor(words: Int32Array, factor: number): void {
  checkInteger('watermark_boost_factor', factor, 0, INT_MAX)
  words[HEADER_WATERMARK_BOOST] = factor
}

/**
 * Writes vm.lowmem_reserve_ratio: up to four ratios by zone index, the rest stay. A ratio below 1 is
 * stored as 0, no reserve. Recomputes the reserves.
 * @throws InvalidArgument for more ratios or other than 32-bit integers. Source: spec/page-allocator.md §3.5.
 */
export function writeLowmemReserveRatio(words: Int32Array, ratios: readonly number[]): void {
  checkInteger('lowmem_reserve_ratio count', ratios.length, 1, NR_ZONES)
  for (const ratio of ratios) checkInteger('lowmem_reserve_ratio', ratio, -INT_MAX - 1, INT_MAX)
  ratios.forEach((ratio, index) => {
    words[HEADER_LOWMEM_RATIO + index] = Math.max(0, ratio)
  })
  setupLowmemReserve(words)
}

/**
 * Writes vm.percpu_pagelist_high_fraction: the page lists of a zone may hold 1/fraction of it; 0 goes
 * back to the low watermark. Recomputes the page-list limits.
 * @throws InvalidArgument for 1 to 7. Source: spec/page-allocator.md §5.3.
 */
export function writePcpHighFraction(words: Int32Array, fraction: number): void {
  if (fraction !== 0) {
    checkInteger('percpu_pagelist_high_fraction', fraction, MIN_HIGH_FRACTION, INT_MAX)
  }
  words[HEADER_PCP_HIGH_FRACTION] = fraction
  setupPcpLimits(words)
}

/**
 * Turns transparent huge pages on, which raises min_free_kbytes, or off, which brings its default
 * back. Source: spec/page-allocator.md §3.3.
 */
export function writeHugePages(words: Int32Array, enabled: boolean, log: MinFreeLog): void {
  words[HEADER_THP] = enabled ? 1 : 0
  if (enabled) {
    raiseForHugePages(words, log)
  } else {
    calculateMinFreeKbytes(words, log)
    setupWatermarksAndPcp(words)
  }
}
