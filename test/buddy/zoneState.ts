/** Zones as plain data, for machines that go on from them. */

import type { ZoneState } from '../../src/index'

/** A zone without free memory: eight pageblocks of type 1, from frame 0 on. */
export function zone(given: Partial<ZoneState> = {}): ZoneState {
  const spanned = given.spanned ?? 4096
  return {
    node: 0,
    name: 'Normal',
    startPfn: 0,
    spanned,
    present: spanned,
    managed: spanned,
    free: 0,
    watermark: { min: 10, low: 12, high: 14 },
    boost: 0,
    highatomicReserved: 0,
    lowmemReserve: [0, 0, 0, 0],
    pcp: { count: 0, high: 100, batch: 7, freeFactor: 0, lists: {} },
    freeLists: {},
    pageblocks: '1'.repeat(spanned / 512),
    ...given,
  }
}
