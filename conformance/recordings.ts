/** Finds recordings among files, and opens them. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Outcome } from './outcome'
import { parseStates, playRecording, statesOf } from './player'
import type { TraceStates } from './tracePlayer'

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
  const states = statesOf(path)
  const text = states !== null && existsSync(states) ? readFileSync(states, 'utf8') : null
  return playRecording(path, readBytes(path), text)
}

/** The bytes of a file, unpacked when gzip packed them. */
export function readBytes(path: string): Buffer {
  const bytes = readFileSync(path)
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
}

/**
 * The states before and after a trace.
 * @throws Error for a file that does not tell them.
 */
export function readStates(path: string): TraceStates {
  return parseStates(path, readFileSync(path, 'utf8'))
}
