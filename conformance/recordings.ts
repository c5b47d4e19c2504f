/** Finds recordings among files and plays each with the player that it is for. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { isBootRecording, playBoot } from './bootPlayer'
import { playCalls, type Row } from './callPlayer'
import { isObject, type Outcome, skippedOutcome } from './outcome'
import { isTraceStates, playTrace, type TraceStates } from './tracePlayer'

/** Names of files that may be recordings; the states beside a trace belong to it. */
const RECORDING = /\.(jsonl|json|ftrace)(\.gz)?$/
const STATES = /\.state\.json$/

/** The recordings in a file or folder, as paths, sorted. A file is taken whatever its name. */
export function findRecordings(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .sort()
    .flatMap((name) => {
      const inside = join(path, name)
      if (statSync(inside).isDirectory()) return findRecordings(inside)
      return RECORDING.test(name) && !STATES.test(name) ? [inside] : []
    })
}

/**
 * Plays one recording: calls (`.jsonl`), a boot (`.json`) or a trace (`.ftrace` with the states around
 * it in a `.state.json` beside it), each possibly compressed with gzip.
 * @throws Error for a file that cannot be read, or that is none of these.
 */
export function playFile(path: string): Outcome {
  const name = path.replace(/\.gz$/, '')
  if (name.endsWith('.ftrace')) return playTrace(readBytes(path), readStates(name))
  const text = readBytes(path).toString('utf8')
  if (name.endsWith('.jsonl')) return playCalls(parseRows(text))
  if (!name.endsWith('.json')) throw new Error('not a .jsonl, .json or .ftrace file')
  const content: unknown = JSON.parse(text)
  if (isBootRecording(content)) return playBoot(content)
  return skippedOutcome('has no memblock and handover, so is no recording of a boot', 0)
}

/** The bytes of a file, unpacked when gzip packed them. */
export function readBytes(path: string): Buffer {
  const bytes = readFileSync(path)
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
}

/** The rows of a recording of calls, its header first. */
export function parseRows(text: string): Row[] {
  const rows: Row[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    try {
      const row: unknown = JSON.parse(line)
      if (!isObject(row)) throw new SyntaxError('not an object')
      rows.push(row)
    } catch (error) {
      throw new Error(`line ${i + 1}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return rows
}

/**
 * The states before and after a trace.
 * @throws Error for a file that does not tell them.
 */
export function parseStates(path: string): TraceStates {
  const states: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (!isTraceStates(states)) throw new Error(`${path} has no before.zones and after.zones`)
  return states
}

/** The states around the trace `name`, which are in a file beside it. */
function readStates(name: string): TraceStates {
  const path = name.replace(/\.ftrace$/, '.state.json')
  if (!existsSync(path)) throw new Error(`there is no ${path} with the state before and after it`)
  return parseStates(path)
}
