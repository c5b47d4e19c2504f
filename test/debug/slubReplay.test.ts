/**
 * Reports beside those of a real kernel: deliberate corruption, double frees, leaks, and scripts drawn at random.
 * The other recordings of reports are replayed by `test/conformance.test.ts`.
 */

import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseRows } from '../../conformance/player'
import { readBytes } from '../../conformance/recordings'
import { maskLines } from '../../conformance/reportLines'
import type { Row } from '../../conformance/row'
import { SlabPlayer } from '../../conformance/slabCalls'
import { slubMachine } from './slubMachine'

interface Played {
  /** What was recorded under each label, and what we logged. */
  readonly logs: readonly (readonly [recorded: readonly string[], ours: readonly string[]])[]
  /** Addresses of the recording, and ours. */
  readonly addresses: readonly (readonly [recorded: unknown, ours: unknown])[]
}

/** Plays the calls of a file, but for looks at caches that have other users in the kernel. */
function play(name: string, boot?: string): Played {
  const machine = slubMachine({ onBug: 'continue', ...(boot === undefined ? {} : { boot }) })
  machine.slabs.context.caller = 'run_line'
  const player = new SlabPlayer(machine)
  const path = fileURLToPath(new URL(`../fixtures/text/${name}`, import.meta.url))
  const logs: [readonly string[], readonly string[]][] = []
  const addresses: [unknown, unknown][] = []
  let label: Row | null = null
  for (const row of parseRows(readBytes(path).toString('utf8'))) {
    if (row.call === undefined || row.call === 'cache_state') continue
    if (row.call !== 'label') {
      const answer = player.play(row)
      for (const field of ['address', 'addresses']) {
        if (field in answer) addresses.push([row[field], answer[field]])
      }
      continue
    }
    const ours = maskLines(machine.log())
    if (Array.isArray(label?.log)) logs.push([maskLines(label.log), ours])
    label = row
  }
  return { logs, addresses }
}

/** Names frames of node 0 in the order in which they come: there the kernel has other slabs than ours. */
function nameFrames(lines: readonly string[]): string[] {
  const frames: string[] = []
  return lines.map((line) =>
    line
      .replace(/ffffea0000[0-9a-f]{6}/, 'STRUCT')
      .replace(/ffff88800([0-9a-f]{4})(?=[0-9a-f]{3})/g, (_text, frame: string) => {
        if (!frames.includes(frame)) frames.push(frame)
        return `FRAME${frames.indexOf(frame)}`
      }),
  )
}

describe('reports of a real kernel', () => {
  it('kmalloc caches with slub_debug=FZPU,kmalloc-*', () => {
    const { logs, addresses } = play('slub-kmalloc.txt.gz', 'FZPU,kmalloc-*')
    expect(logs.length).toBe(6)
    for (const [recorded, ours] of logs) expect(ours).toEqual(recorded)
    expect(addresses.length).toBeGreaterThan(5)
    for (const [recorded, ours] of addresses) expect(ours).toEqual(recorded)
  })

  it('bulk frees on node 0, where the frames are other ones', () => {
    const { logs, addresses } = play('slub-bulk.txt.gz')
    expect(logs.length).toBe(7)
    for (const [recorded, ours] of logs) expect(nameFrames(ours)).toEqual(nameFrames(recorded))
    const places = (list: unknown) => [list].flat().map((address) => Number(address) % 4096)
    expect(addresses.length).toBe(5)
    for (const [recorded, ours] of addresses) expect(places(ours)).toEqual(places(recorded))
  })
})
