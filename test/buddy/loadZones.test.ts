import { describe, expect, it } from 'vitest'
import { loadZones, nodeState, type ZoneState } from '../../src/index'

/** Section `n` of a node whose memory starts at PFN 1048576. */
const section = (n: number) => 1048576 + n * 32768

/** A zone with free blocks of order 10 over the sections that it owns. */
function zone(name: 'Normal' | 'Movable', sections: number[], spanned: number): ZoneState {
  const first = section(sections[0] ?? 0)
  const blocks = sections.flatMap((n) =>
    Array.from({ length: 32 }, (_, i) => section(n) + i * 1024),
  )
  return {
    node: 1,
    name,
    startPfn: first,
    spanned: spanned * 32768,
    present: sections.length * 32768,
    managed: sections.length * 32768,
    free: sections.length * 32768,
    watermark: { min: 100, low: 125, high: 150 },
    boost: 0,
    highatomicReserved: 0,
    lowmemReserve: [0, 0, 0, 0],
    pcp: { count: 0, high: 125, batch: 7, freeFactor: 0, lists: {} },
    freeLists: { '10': { '1': blocks } },
    pageblocks: '1'.repeat(spanned * 64),
  }
}

describe('loadZones', () => {
  it('tells zones apart whose spans overlap', () => {
    const zones = [zone('Normal', [0, 2], 3), zone('Movable', [1, 3], 3)]
    const pages = loadZones(zones)
    expect(nodeState(pages, 1)).toEqual(zones)
    const highuserMovable = 0x300 * 0x1000 + 0x20ca
    expect(pages.allocPagesNode(1, highuserMovable, 10)).toBe(section(1))
    expect(pages.allocPagesNode(1, 0x202000, 10)).toBe(section(0))
    // Freed blocks go back to their own zone.
    const held = pages.allocPagesNode(1, highuserMovable, 9)
    expect(held).toBe(section(1) + 1024)
    if (held !== null) pages.freePages(held, 9)
    pages.drainAllPages()
    const [normal, movable] = nodeState(pages, 1)
    expect(normal?.freeLists['10']?.['0'] ?? normal?.freeLists['10']?.['1']).toHaveLength(63)
    expect(movable?.freeLists['10']?.['1']).toHaveLength(63)
  })
})
