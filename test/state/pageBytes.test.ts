/** What the state costs: a record of 16 bytes a page, and little besides. */

import { describe, expect, it } from 'vitest'
import { BuddyAllocator, GiB, MiB, PAGE_SIZE, PhysicalMemory } from '../../src/index'
import { PAGE_WORDS } from '../../src/state/schema'

/** Bytes of state for each page of memory. */
function bytesPerPage(size: number, cpus: number): number {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size, content: false }), cpus })
  return pages.state.byteLength / (size / PAGE_SIZE)
}

describe('bytes of state for each page', () => {
  it('are 16 in its record', () => {
    expect(PAGE_WORDS * Int32Array.BYTES_PER_ELEMENT).toBe(16)
  })

  it.each([
    [GiB, 1],
    [GiB, 64],
    [128 * MiB, 1],
  ])('are at most 24 in all, on %d bytes and %d CPUs', (size, cpus) => {
    const bytes = bytesPerPage(size, cpus)
    console.log(`${size / MiB} MiB, ${cpus} CPUs: ${bytes.toFixed(3)} bytes of state a page`)
    expect(bytes).toBeGreaterThan(16)
    expect(bytes).toBeLessThanOrEqual(24)
  })
})
