/** `kmem replay`: makes the calls of a trace of page events, and compares the answers. */

import { basename } from 'node:path'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import {
  BuddyAllocator,
  formatBuddyinfo,
  loadZones,
  memoryPicturePair,
  nodeState,
  PhysicalMemory,
  parseFtrace,
  parseMemSize,
  type ReplayResult,
  replay,
  type ZoneState,
} from 'kmem'
import { readBytes, readJson, writeFile } from './files'
import { EXIT_DIFFERENT, EXIT_OK, type Io, number, UsageError } from './io'

export const REPLAY_HELP = `kmem replay FILE [--state FILE] [--ram SIZE] [--svg OUT] [--json]

Makes the page allocator calls of a trace and compares every event.

  FILE          page events as ftrace prints them (tracing/trace, trace-cmd report), possibly gzip
  --state FILE  JSON with the zones before (and after) the trace: every frame is compared.
                Without it the trace is a workload for a fresh machine
  --ram SIZE    memory of the fresh machine; 768MiB when not given
  --svg OUT     a picture of memory before and after
  --json        the result as one JSON object

Exit status: 0 when all is the same, or nothing was compared; 1 when something differs.`

/** The zones around a trace. */
interface States {
  readonly before: readonly ZoneState[]
  readonly after: readonly ZoneState[] | null
}

/** Runs the command. */
export function replayCommand(args: readonly string[], io: Io): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      ram: { type: 'string', default: '768MiB' },
      svg: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const [path, ...rest] = positionals
  if (path === undefined || rest.length > 0) throw new UsageError('replay takes one FILE')
  const states = values.state === undefined ? null : parseStates(values.state)
  const events = parseFtrace(readBytes(path))
  if (events.count === 0) throw new UsageError(`there are no page events in ${path}`)
  const pages = states === null ? freshPages(values.ram) : loadZones(states.before)
  const before = pages.words.slice()
  const result = replay(events, pages, {
    addresses: states === null ? 'own' : 'recorded',
    onProgress: (done, total) => io.progress(done / total, `${number(done)} events`),
  })
  io.endProgress()
  const sameEnd = states === null ? null : endIsSame(pages, states)
  if (values.svg !== undefined) {
    writeFile(values.svg, memoryPicturePair(before, pages.words, { title: basename(path) }))
  }
  const skipped = events.skipped.length
  if (values.json) io.out(JSON.stringify(summary(result, skipped, sameEnd)))
  else report(io, result, skipped, sameEnd, formatBuddyinfo(pages.words))
  if (states === null) return EXIT_OK
  return result.different === 0 && sameEnd !== false ? EXIT_OK : EXIT_DIFFERENT
}

function freshPages(ram: string): BuddyAllocator {
  const size = parseMemSize(ram.replace(/i?B$/, ''))
  return new BuddyAllocator({ ram: new PhysicalMemory({ size, content: false }) })
}

function parseStates(path: string): States {
  const states = readJson(path) as { before?: { zones?: unknown }; after?: { zones?: unknown } }
  const before = states?.before?.zones
  const after = states?.after?.zones
  if (!Array.isArray(before)) throw new UsageError(`${path} has no before.zones`)
  return { before, after: Array.isArray(after) ? after : null }
}

/** Whether all lists and counters are those recorded after the trace; null when none were. */
function endIsSame(pages: BuddyAllocator, { after }: States): boolean | null {
  if (after === null) return null
  return isDeepStrictEqual(nodeState(pages, after[0]?.node), after)
}

function summary(result: ReplayResult, skippedLines: number, sameEnd: boolean | null) {
  const { events, allocations, frees, identicalAllocations, identicalEvents, different } = result
  return {
    events,
    allocations,
    frees,
    identicalAllocations,
    identicalEvents,
    different,
    inferred: result.inferred.length,
    skippedLines,
    sameEnd,
    differences: result.differences.slice(0, 100),
  }
}

function report(
  io: Io,
  result: ReplayResult,
  skipped: number,
  sameEnd: boolean | null,
  buddyinfo: string,
): void {
  const row = (name: string, value: string) => io.out(`${name.padEnd(18)} ${value}`)
  row('events', number(result.events))
  row('allocations', number(result.allocations))
  row('same frame', `${number(result.identicalAllocations)} of ${number(result.allocations)}`)
  row('same event', `${number(result.identicalEvents)} of ${number(result.events)}`)
  row('different', number(result.different))
  row('inferred calls', number(result.inferred.length))
  row('lines left out', number(skipped))
  if (sameEnd !== null) row('state at the end', sameEnd ? 'the same' : 'different')
  for (const { line, expected, actual } of result.differences.slice(0, 5)) {
    io.out(`line ${line}: ${expected}\n  kmem: ${actual}`)
  }
  io.out(`\n${buddyinfo.trimEnd()}`)
}
