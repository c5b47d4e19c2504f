/** Runs: the parts of a state or of RAM that are not all zero. See `format.ts`. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE } from '../base/units'
import type { SectionName } from './format'
import { isZeroPage } from './machineView'

/** Bytes in front of a run's content. */
const RUN_HEAD_BYTES = 8
/** So many zero words cost no more than the head of another run. */
const SHORT_GAP = 2

/** Runs by place: units from `starts[i]` on, `counts[i]` of them, and where their content lies in a file. */
export interface Runs {
  readonly starts: number[]
  readonly counts: number[]
  /** Bytes from the start of the file; empty for runs of a machine. */
  readonly offsets: number[]
}

/** The runs of the words in `parts`, pairs of a start and an end; all others are zero. */
export function wordRuns(words: Int32Array, parts: readonly number[]): Runs {
  const runs: Runs = { starts: [], counts: [], offsets: [] }
  for (let part = 0; part < parts.length; part += 2) {
    const end = parts[part + 1] ?? 0
    for (let i = parts[part] ?? 0; i < end; i++) {
      if (words[i] === 0) continue
      const start = i
      let last = i
      for (i++; i < end && i - last <= SHORT_GAP + 1; i++) if (words[i] !== 0) last = i
      runs.starts.push(start)
      runs.counts.push(last + 1 - start)
      i = last
    }
  }
  return runs
}

/** The runs of `pages` pages of RAM. Takes time with all of RAM. */
export function pageRuns(words: Int32Array, pages: number): Runs {
  const runs: Runs = { starts: [], counts: [], offsets: [] }
  for (let page = 0; page < pages; page++) {
    if (isZeroPage(words, page)) continue
    const start = page
    while (page + 1 < pages && !isZeroPage(words, page + 1)) page++
    runs.starts.push(start)
    runs.counts.push(page + 1 - start)
  }
  return runs
}

/** Bytes of a section with these runs. */
export function sectionBytes({ counts }: Runs, unit: number): number {
  return counts.reduce((sum, count) => sum + RUN_HEAD_BYTES + count * unit, 0)
}

/** Writes runs of words from byte `at` on. */
export function writeWordRuns(view: DataView, at: number, words: Int32Array, runs: Runs): void {
  let place = at
  for (const [i, start] of runs.starts.entries()) {
    const count = runs.counts[i] ?? 0
    place = writeHead(view, place, start, count)
    for (let word = start; word < start + count; word++, place += 4) {
      view.setInt32(place, words[word]!, true)
    }
  }
}

/** Writes runs of pages from byte `at` on. */
export function writePageRuns(
  view: DataView,
  file: Uint8Array,
  at: number,
  ram: Uint8Array,
  runs: Runs,
): void {
  let place = at
  for (const [i, start] of runs.starts.entries()) {
    const count = runs.counts[i] ?? 0
    place = writeHead(view, place, start, count)
    file.set(ram.subarray(start * PAGE_SIZE, (start + count) * PAGE_SIZE), place)
    place += count * PAGE_SIZE
  }
}

/**
 * Finds the runs in bytes [at, end) of a file. Takes memory with the section, whatever it says.
 * @throws InvalidArgument unless they are ascending, within `limit` units, and fill the section.
 */
export function readRuns(
  view: DataView,
  name: SectionName,
  at: number,
  end: number,
  unit: number,
  limit: number,
): Runs {
  const runs: Runs = { starts: [], counts: [], offsets: [] }
  let next = 0
  for (let place = at; place < end; ) {
    const where = `run at byte ${place}, in section ${name}, of the snapshot`
    if (end - place < RUN_HEAD_BYTES) {
      throw new InvalidArgument(where, `${end - place} bytes`, 'whole')
    }
    const start = view.getUint32(place, true)
    const count = view.getUint32(place + 4, true)
    if (start < next || count === 0 || start + count > limit) {
      const limits = `a part of [${next}, ${limit})`
      throw new InvalidArgument(where, `[${start}, ${start + count})`, limits)
    }
    const content = place + RUN_HEAD_BYTES
    if (count * unit > end - content) {
      throw new InvalidArgument(where, `${count * unit} bytes`, `at most ${end - content} bytes`)
    }
    runs.starts.push(start)
    runs.counts.push(count)
    runs.offsets.push(content)
    next = start + count
    place = content + count * unit
  }
  return runs
}

function writeHead(view: DataView, at: number, start: number, count: number): number {
  view.setUint32(at, start, true)
  view.setUint32(at + 4, count, true)
  return at + RUN_HEAD_BYTES
}
