/** Reading states and RAM for comparisons: of a machine, or of a file without expanding it. */

import { PAGE_SIZE } from '../base/units'
import { freshEnd } from '../page/freshBlocks'
import { pageRecord, recordPfn } from '../page/memmap'
import { HEADER_BLOCKS, HEADER_WORDS, HEADER_WORDS_USED } from '../state/schema'
import { VMAP_WORDS_USED } from '../state/vmapSchema'
import type { SectionName } from './format'
import { checkMachine, isZeroPage, ramBytes } from './machineView'
import { parseSnapshot, type Snapshot } from './parseSnapshot'
import type { SnapshotParts } from './parts'
import type { Runs } from './runs'
import { machineShape, type Shape } from './shape'

/** The words of a state. */
export interface WordReader {
  /** Words in use. */
  readonly length: number
  /** A word; 0 outside the state. */
  at(place: number): number
  /** The first place from `place` on that may be other than 0; Infinity for none. */
  next(place: number): number
}

/** The pages of RAM, counted through RAM. */
export interface PageReader {
  /** The bytes of a page; null when all are zero. */
  page(page: number): Uint8Array | null
  /** The first page from `page` on that may be other than zero; Infinity for none. */
  next(page: number): number
}

/** One side of a comparison. */
export interface Side {
  readonly shape: Shape
  readonly pages: WordReader
  readonly slabs: WordReader
  readonly space: WordReader
  /** Null when the bytes of RAM are not known. */
  readonly ram: PageReader | null
}

/** The words of a state that there is not. */
const NO_WORDS: WordReader = { length: 0, at: () => 0, next: () => Number.POSITIVE_INFINITY }

/**
 * A machine, or a snapshot of one, to be read.
 * @throws InvalidArgument for anything else, and for a snapshot that is damaged.
 */
export function sideOf(from: Uint8Array | SnapshotParts): Side {
  return from instanceof Uint8Array ? fileSide(parseSnapshot(from)) : machineSide(from)
}

/** A snapshot, to be read. */
export function fileSide(snapshot: Snapshot): Side {
  const { header, bytes, runs } = snapshot
  const reader = (name: SectionName) => {
    const units = header.sections.find((section) => section.name === name)?.units ?? 0
    const known = runs[name]
    return known === null ? NO_WORDS : fileWords(snapshot.view, known, units)
  }
  return {
    shape: header.shape,
    pages: reader('pages'),
    slabs: reader('slabs'),
    space: reader('space'),
    ram: runs.ram === null ? null : filePages(bytes, runs.ram),
  }
}

function machineSide(m: SnapshotParts): Side {
  checkMachine(m)
  const { pages, slabs, vm, ram } = m
  const space = vm?.context.space.words
  return {
    shape: machineShape(m),
    pages: pageLevelWords(pages.words),
    slabs: slabs === undefined ? NO_WORDS : machineWords(slabs.words, slabs.wordsUsed),
    space: space === undefined ? NO_WORDS : machineWords(space, space[VMAP_WORDS_USED]!),
    ram: ram.hasContent ? machinePages(m) : null,
  }
}

function machineWords(words: Int32Array, length: number): WordReader {
  return {
    length,
    at: (place) => (place >= 0 && place < length ? words[place]! : 0),
    next: (place) => (place < length ? place : Number.POSITIVE_INFINITY),
  }
}

/** As those of others, but for the records of fresh blocks: they are passed over. */
function pageLevelWords(words: Int32Array): WordReader {
  const reader = machineWords(words, words[HEADER_WORDS_USED]!)
  const blocks = words[HEADER_BLOCKS]!
  // The fresh blocks that were found last.
  let [start, end] = [0, 0]
  return {
    ...reader,
    next(place) {
      if (place < HEADER_WORDS || place >= blocks) return reader.next(place)
      if (place < start || place >= end) {
        start = place
        end = pageRecord(freshEnd(words, recordPfn(place)))
      }
      return Math.max(place, end)
    },
  }
}

function machinePages(m: SnapshotParts): PageReader {
  const { words, size } = m.ram
  const bytes = ramBytes(m)
  const count = size / PAGE_SIZE
  return {
    page: (page) =>
      page >= count || isZeroPage(words, page)
        ? null
        : bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE),
    next: (page) => (page < count ? page : Number.POSITIVE_INFINITY),
  }
}

function fileWords(view: DataView, runs: Runs, length: number): WordReader {
  const finder = new RunFinder(runs)
  return {
    length,
    at(place) {
      const content = finder.find(place, 4)
      return content < 0 ? 0 : view.getInt32(content, true)
    },
    next: (place) => finder.next(place),
  }
}

function filePages(bytes: Uint8Array, runs: Runs): PageReader {
  const finder = new RunFinder(runs)
  return {
    page(page) {
      const content = finder.find(page, PAGE_SIZE)
      return content < 0 ? null : bytes.subarray(content, content + PAGE_SIZE)
    },
    next: (page) => finder.next(page),
  }
}

/** Finds the run of a place; most often it is the one that was found last. */
class RunFinder {
  private readonly runs: Runs
  private start = 0
  private end = 0
  private offset = 0

  constructor(runs: Runs) {
    this.runs = runs
  }

  /** Byte of the file that a unit's content starts at; -1 in no run. */
  find(place: number, unit: number): number {
    if (place < this.start || place >= this.end) {
      const i = this.lastAtOrBelow(place)
      if (i < 0) return -1
      const start = this.runs.starts[i] ?? 0
      const end = start + (this.runs.counts[i] ?? 0)
      if (place >= end) return -1
      this.start = start
      this.end = end
      this.offset = this.runs.offsets[i] ?? 0
    }
    return this.offset + (place - this.start) * unit
  }

  next(place: number): number {
    if (place >= this.start && place < this.end) return place
    const i = this.lastAtOrBelow(place)
    const { starts, counts } = this.runs
    if (i >= 0 && place < (starts[i] ?? 0) + (counts[i] ?? 0)) return place
    return starts[i + 1] ?? Number.POSITIVE_INFINITY
  }

  /** The last run that starts at or below a place; -1 for none. */
  private lastAtOrBelow(place: number): number {
    const { starts } = this.runs
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((starts[middle] ?? 0) <= place) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
