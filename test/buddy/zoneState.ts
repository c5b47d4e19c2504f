/** Zones as plain data, for machines that go on from them. */

import type { ZoneState } from '../../src/index'
import { zoneOf } from '../proc/fixtures'

/** A zone without free memory: eight pageblocks of type 1, from frame 0 on. */
export function zone(given: Partial<ZoneState> = {}): ZoneState {
  return zoneOf({
    name: 'Normal',
    startPfn: 0,
    spanned: 4096,
    watermark: { min: 10, low: 12, high: 14 },
    pcp: { count: 0, high: 100, batch: 7, freeFactor: 0, lists: {} },
    ...given,
  })
}
