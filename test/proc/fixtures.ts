/** The recording `text-proc`, and small machines made by hand. */

import { readFileSync } from 'node:fs'
import type { ZoneState } from '../../src/buddy/nodeState'
import { loadNodeState } from '../support/loadNodeState'

/** Text of a file of test/fixtures/. */
export function fixtureText(path: string): string {
  return readFileSync(new URL(`../fixtures/${path}`, import.meta.url), 'utf8')
}

/** The zones that `text-proc.jsonl` ends with, as `/proc` was read soon after. */
function textProcZones(): ZoneState[] {
  const lines = fixtureText('text/text-proc.jsonl')
    .split('\n')
    .filter((line) => line.startsWith('{"call":"node_state"'))
  return lines.slice(-2).flatMap((line) => (JSON.parse(line) as { zones: ZoneState[] }).zones)
}

/** A state buffer with them. */
export function textProcWords(): Int32Array {
  return loadNodeState(textProcZones())
}

/** A zone of one CPU, everything not given being empty; one MOVABLE pageblock for each 512 pages. */
export function zoneOf(
  zone: Partial<ZoneState> & Pick<ZoneState, 'name' | 'startPfn' | 'spanned'>,
): ZoneState {
  const blocks = Math.ceil((zone.startPfn + zone.spanned) / 512) - Math.floor(zone.startPfn / 512)
  return {
    node: 0,
    present: zone.spanned,
    managed: zone.spanned,
    free: 0,
    watermark: { min: 0, low: 0, high: 0 },
    boost: 0,
    highatomicReserved: 0,
    lowmemReserve: [0, 0, 0, 0],
    pcp: { count: 0, high: 0, batch: 1, freeFactor: 0, lists: {} },
    freeLists: {},
    pageblocks: '1'.repeat(blocks),
    ...zone,
  }
}

/** The paragraphs of /proc/zoneinfo, one a zone. */
export function paragraphs(text: string): string[] {
  return text.split(/^(?=Node )/m)
}
