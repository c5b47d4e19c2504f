/**
 * `npm run demo`: replays what a real kernel's page allocator did under real work, compares every
 * event, and draws memory before and after. With a trace of your own: `npm run demo -- my.ftrace.gz`.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import {
  BuddyAllocator,
  formatBuddyinfo,
  formatPagetypeinfo,
  type Inferred,
  loadZones,
  memoryPicturePair,
  nodeState,
  PhysicalMemory,
  parseFtrace,
  parseMemSize,
  type ReplayResult,
  replay,
} from 'kmem'
import { number } from '../cli/io'
import { firstDifference } from '../conformance/outcome'
import { readBytes, readStates } from '../conformance/recordings'
import type { TraceStates } from '../conformance/tracePlayer'
import { startProgress } from './progress'

const FIXTURE = 'test/fixtures/traces/untar-hash-compress'
const PICTURE = 'out/memory-before-after.svg'

const HELP = `npm run demo [-- TRACE [--state FILE] [--ram SIZE]]

TRACE         page events as ftrace prints them (tracing/trace, trace-cmd report), possibly gzip;
              without it a recording of a kernel that unpacks, hashes, compresses and deletes files
--state FILE  JSON with the zones before and after the trace, as ${FIXTURE}.state.json:
              every event is compared. Without it the trace is a workload for a fresh machine
--ram SIZE    memory of the fresh machine, 768MiB when not given`

/** What the calls that no event tells of mean. */
const EXPLANATIONS: Readonly<Record<Inferred['kind'], string>> = {
  bulk: 'pages went to a bulk allocation, which emits no event: the next page handed out proves it',
  held: 'blocks were freed by an interrupt that found the page lists in use: past the lists',
  split:
    'pages were one block before: splitting it emits no event, the frees of its pages prove it',
}

try {
  process.exitCode = main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      ram: { type: 'string', default: '768MiB' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const path = positionals[0] ?? `${FIXTURE}.ftrace.gz`
  const statePath = values.state ?? (positionals.length === 0 ? `${FIXTURE}.state.json` : undefined)
  const states = statePath === undefined ? null : readStates(statePath)
  if (positionals.length === 0) {
    console.log(
      'A Linux 6.1 kernel unpacked a source tree three times, hashed and compressed its files, sorted\n' +
        'and deleted them. Its tracepoints told of each page it allocated and freed. kmem starts from the\n' +
        'same free lists, makes the same calls, and must come to the same page frame numbers.\n',
    )
  }

  const text = readBytes(path)
  const parseStart = performance.now()
  const events = parseFtrace(text)
  const parseSeconds = (performance.now() - parseStart) / 1000
  const size = (text.length / 1e6).toFixed(1)
  console.log(`Read ${basename(path)}: ${number(events.count)} page events in ${size} MB of text`)
  for (const { line, reason } of events.skipped.slice(0, 3))
    console.log(`  line ${line}: ${reason}`)
  if (events.count === 0) throw new Error('there are no page events in it: nothing to replay')

  const pages = states === null ? freshMachine(values.ram) : loadZones(states.before.zones)
  const before = pages.words.slice()
  console.log(states === null ? `Making its calls on ${values.ram}:` : 'Replaying it:')
  const progress = startProgress(events.count)
  const result = replay(events, pages, {
    addresses: states === null ? 'own' : 'recorded',
    onProgress: progress.update,
  })
  const seconds = progress.stop()

  console.log('')
  report(result, states !== null)
  row('parsing', rate(events.count, parseSeconds))
  row('replaying', rate(events.count, seconds))
  const stateDiffers = states !== null && !sameState(pages, states)

  console.log(`\n/proc/buddyinfo\n${formatBuddyinfo(pages.words)}`)
  console.log(`/proc/pagetypeinfo\n${formatPagetypeinfo(pages.words)}`)
  mkdirSync('out', { recursive: true })
  writeFileSync(PICTURE, memoryPicturePair(before, pages.words, { title: basename(path) }))
  console.log(`Picture of memory before and after: ${PICTURE}`)
  return states !== null && (result.different > 0 || stateDiffers) ? 1 : 0
}

function report(result: ReplayResult, compared: boolean): void {
  row('events', number(result.events))
  row('allocations', number(result.allocations))
  row('blocks freed', number(result.frees))
  if (!compared) {
    row(
      'answered otherwise',
      `${number(result.different)} allocations that only one of the two could serve`,
    )
    return
  }
  row(
    'same frame',
    `${number(result.identicalAllocations)} of ${number(result.allocations)} allocations`,
  )
  row('same event', `${number(result.identicalEvents)} of ${number(result.events)}`)
  row('different', number(result.different))
  for (const { line, expected, actual } of result.differences.slice(0, 5)) {
    console.log(`  line ${line}: ${expected}\n    kmem: ${actual}`)
  }
  row('inferred calls', number(result.inferred.length))
  for (const { line, kind, pages } of result.inferred) {
    console.log(`  before line ${line}: ${pages} ${EXPLANATIONS[kind]}`)
  }
}

/** Compares every list, in order, and every counter of the zones with those recorded after the trace. */
function sameState(pages: BuddyAllocator, states: TraceStates): boolean {
  const zones = nodeState(pages, states.after.zones[0]?.node)
  const difference = firstDifference(zones, states.after.zones)
  row('state at the end', difference ?? 'every list, in order, and every counter as recorded')
  return difference === null
}

function freshMachine(ram: string): BuddyAllocator {
  const size = parseMemSize(ram.replace(/iB$/, ''))
  return new BuddyAllocator({ ram: new PhysicalMemory({ size, content: false }) })
}

function rate(events: number, seconds: number): string {
  return `${seconds.toFixed(2)} s, ${number(events / seconds)} events a second`
}

function row(label: string, value: string): void {
  console.log(`${`${label}:`.padEnd(20)} ${value}`)
}
