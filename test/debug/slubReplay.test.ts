/**
 * Reports beside those of a real kernel: deliberate corruption, double frees, leaks, and scripts
 * drawn at random.
 */

import { describe, expect, it } from 'vitest'
import { type LabelLog, type Row, readRows, replayRows, slubMachine } from './slubMachine'

/**
 * Lines that the kernel's surroundings write: the frames of warnings, a mouse, the first taint
 * (taken out of the recordings), and what its store of stacks says of tracks that were overwritten.
 */
const ENVIRONMENT = new RegExp(
  '^(-+\\[ cut here|WARNING: CPU|---\\[ end trace|input: |Disabling lock debugging|' +
    'object allocation/free stack trace missing|slab index )',
)

/**
 * What differs from machine to machine: the recording driver's function and the offset in it, which
 * is the caller; addresses in its place where the track was overwritten; jiffies, and the number of
 * the task.
 */
function masked(lines: readonly string[]): string[] {
  return lines
    .filter((line) => !ENVIRONMENT.test(line))
    .map((line) =>
      line
        .replace(/run_line(\+\S+)?/, 'CALLER')
        .replace(/(Allocated|Freed) in 0x\S+/, '$1 in OVERWRITTEN')
        .replace(/ age=\d+ /, ' age=# ')
        .replace(/ pid=\d+$/, ' pid=#'),
    )
}

/**
 * Names frames of node 0 in the order in which they come: there the kernel has other slabs than
 * ours.
 */
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

function expectSame(logs: readonly LabelLog[], change = (lines: readonly string[]) => [...lines]) {
  for (const { label, expected, found } of logs) {
    // A log of one empty line means no output.
    const lines = expected.length === 1 && expected[0] === '' ? [] : expected
    expect({ label, log: change(masked(found)) }).toEqual({ label, log: change(masked(lines)) })
  }
}

function replay(path: string, boot?: string) {
  const machine = slubMachine({ onBug: 'continue', ...(boot === undefined ? {} : { boot }) })
  machine.slabs.context.caller = 'run_line'
  return replayRows(machine, readRows(path))
}

describe('reports of a real kernel', () => {
  it('text-slab: the same lines in the same order for each deliberate corruption', () => {
    const { logs, differences, compared } = replay('text/text-slab.jsonl')
    expect(logs.length).toBe(18)
    expect(logs.filter(({ expected }) => expected.length > 1).length).toBe(12)
    expectSame(logs)
    expect(differences).toEqual([])
    expect(compared).toBe(35)
  })

  it.each([
    ['slub-reports', undefined, 18, 47],
    ['slub-repairs', undefined, 11, 38],
    ['slub-kmalloc', 'FZPU,kmalloc-*', 6, 11],
    ['slub-random-1', undefined, 66, 139],
    ['slub-random-2', undefined, 66, 122],
    ['slub-random-3', undefined, 66, 135],
  ])('%s: lines, addresses and states', (name, boot, labels, answers) => {
    const { logs, differences, compared } = replay(`text/${name}.txt.gz`, boot)
    expect(logs.length).toBe(labels)
    expectSame(logs)
    expect(differences).toEqual([])
    expect(compared).toBe(answers)
  })

  it('slub-bulk: on node 0, where the frames are other ones', () => {
    const { logs, differences, compared } = replay('text/slub-bulk.txt.gz')
    expect(logs.length).toBe(7)
    expectSame(logs, nameFrames)
    const place = (addresses: unknown) =>
      (addresses as string[]).map((address) => Number(address) % 4096)
    for (const { row, found } of differences) expect(place(found)).toEqual(place(row.addresses))
    expect(compared).toBe(5)
  })
})

describe('slab-debug', () => {
  it('has the addresses and the states of the recording', () => {
    const slabCalls = (row: Row) => row.call !== 'node_state' && row.call !== 'drain_local_pages'
    const machine = slubMachine({ onBug: 'continue' })
    const rows = readRows('calls/slab-debug.jsonl.gz').filter(slabCalls)
    const { differences, compared } = replayRows(machine, rows)
    expect(differences).toEqual([])
    expect(compared).toBe(925)
    expect(machine.log()).toEqual([])
  })
})
