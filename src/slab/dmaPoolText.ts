/** The `pools` attribute of a device: its dma_pools and how full they are. Source: spec/slab.md §20.4. */

import type { DmaPool } from './dmaPool'

/**
 * The text of a device's `pools` attribute.
 * @param pools newest first, as the kernel lists them.
 */
export function formatPools(pools: readonly DmaPool[]): string {
  let text = 'poolinfo - 0.1\n'
  for (const pool of pools) {
    const capacity = pool.pageCount * Math.floor(pool.allocation / pool.size)
    const numbers = `${number4(pool.inUse)} ${number4(capacity)} ${number4(pool.size)}`
    text += `${pool.name.padEnd(16)} ${numbers} ${String(pool.pageCount).padStart(2)}\n`
  }
  return text
}

function number4(value: number): string {
  return String(value).padStart(4)
}
