/**
 * Plays the content of a recording with the player that it is for. It opens no file: it runs wherever the library does.
 */

import { isBootRecording, playBoot } from './bootPlayer'
import { playCalls } from './callPlayer'
import { isObject, type Outcome, skippedOutcome } from './outcome'
import type { Row } from './row'
import { isTraceStates, playTrace, type TraceStates } from './tracePlayer'

/**
 * Plays one recording, unpacked: calls (`.jsonl`), a boot (`.json`) or a trace (`.ftrace`).
 * @param name its name; `.gz` at its end says nothing.
 * @param states text of the file that {@link statesOf} names, for a trace.
 * @throws Error for content that is none of these.
 */
export function playRecording(name: string, bytes: Uint8Array, states: string | null): Outcome {
  const kind = name.replace(/\.gz$/, '')
  const path = statesOf(name)
  if (path !== null) {
    if (states === null) throw new Error(`there is no ${path} with the state before and after it`)
    return playTrace(bytes, parseStates(path, states))
  }
  const text = new TextDecoder().decode(bytes)
  if (kind.endsWith('.jsonl')) return playCalls(parseRows(text))
  if (!kind.endsWith('.json')) throw new Error('not a .jsonl, .json or .ftrace file')
  const content: unknown = JSON.parse(text)
  if (isBootRecording(content)) return playBoot(content)
  return skippedOutcome('has no memblock and handover, so is no recording of a boot', 0)
}

/** The file with the states around a trace; null for a recording that is none. */
export function statesOf(name: string): string | null {
  const kind = name.replace(/\.gz$/, '')
  return kind.endsWith('.ftrace') ? kind.replace(/\.ftrace$/, '.state.json') : null
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
 * @throws Error for a text that does not tell them, naming the file.
 */
export function parseStates(path: string, text: string): TraceStates {
  const states: unknown = JSON.parse(text)
  if (!isTraceStates(states)) throw new Error(`${path} has no before.zones and after.zones`)
  return states
}
