/** Replays a recorded trace from the state before it, and compares every event and the state after it. */

import {
  type Difference,
  type FtraceEvents,
  loadZones,
  nodeState,
  parseFtrace,
  replay,
  type ZoneState,
} from 'kmem'
import { count, firstDifference, isObject, newOutcome, type Outcome, stateText } from './outcome'

/** States of one node around a trace. */
export interface TraceStates {
  readonly before: { readonly zones: readonly ZoneState[] }
  readonly after: { readonly zones: readonly ZoneState[] }
}

/** Differing events that are told in words. */
const TOLD = 5

/** Whether a parsed JSON file tells the states around a trace. */
export function isTraceStates(value: unknown): value is TraceStates {
  return isObject(value) && [value.before, value.after].every(hasZones)
}

/** Replays a trace; its events, and the zones after it, count as calls. */
export function playTrace(trace: string | Uint8Array, states: TraceStates): Outcome {
  const outcome = newOutcome()
  const events = parseFtrace(trace)
  const pages = loadZones(states.before.zones)
  const result = replay(events, pages)
  outcome.calls = events.count
  outcome.identical = result.identicalEvents
  outcome.different = result.different
  const told = result.differences.slice(0, TOLD).map(eventText)
  const unread = events.skipped[0]
  if (unread !== undefined) {
    const reason = `unreadable lines, first ${unread.line}: ${unread.reason}`
    outcome.skipped.set(reason, events.skippedCount)
  }
  for (const zone of states.after.zones) {
    const ours = nodeState(pages, zone.node).find((own) => own.name === zone.name)
    const difference = firstDifference(ours, zone)
    const text = `after the trace, zone ${zone.name} of node ${zone.node}: ${difference}`
    count(outcome, difference === null, () => text)
    if (difference !== null) told.push(text)
  }
  if (outcome.different === 0) return outcome
  told.push(...stateBefore(result.differences[0], events, states.before.zones))
  outcome.firstDifference = told.join('\n')
  return outcome
}

function eventText(difference: Difference): string {
  return `line ${difference.line}: expected ${difference.expected}, got ${difference.actual}`
}

/** Our state just before a differing event: the trace replayed as far as that. */
function stateBefore(
  first: Difference | undefined,
  events: FtraceEvents,
  zones: readonly ZoneState[],
): string[] {
  if (first === undefined) return []
  const at = events.line.indexOf(first.line)
  const pages = loadZones(zones)
  replay({ ...events, count: at < 0 ? events.count : at }, pages)
  return [`our state before line ${first.line}:`, stateText(nodeState(pages, zones[0]?.node))]
}

function hasZones(value: unknown): boolean {
  return isObject(value) && Array.isArray(value.zones) && value.zones.length > 0
}
