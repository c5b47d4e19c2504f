/**
 * Where the words of a page frame lie in the array of all words of memory. A walk asks this at every level,
 * and the frame number comes out of memory itself: anything may be asked.
 *
 * Runs of frames whose words lie in one piece are remembered; one comparison finds the place in the run
 * used last. Frames outside memory are never remembered, so memory that was added is found.
 */

import { PAGE_SIZE } from '../base/units'
import type { FrameSource } from '../page/frameSource'

/** 32-bit words of a page. */
export const PAGE_WORDS = 1024

/** log2 of {@link PAGE_WORDS}. A shift is faster than the product (measured). */
const PAGE_WORDS_SHIFT = 10
/** Frames on either side of the one that a run is made for: so few that shifted distances are 31 bits. */
const MOST_FRAMES = 1048576

/** A run of frames. */
interface FrameRun {
  readonly start: number
  readonly end: number
  /** Place of the first frame's first word. */
  readonly place: number
}

/** Looks up places of frames; belongs to one reader of memory. */
export class FramePlaces {
  private readonly frames: FrameSource
  private words: Int32Array
  private runs: FrameRun[] = []
  // The run used last: its frames, and the place of the first one's words.
  private start = 0
  private end = 0
  private place = 0
  /** Whether memory may grow while the array of its words stays as it is: shared memory of WebAssembly. */
  private readonly growsUnseen: boolean

  constructor(frames: FrameSource) {
    const { ram } = frames
    this.frames = frames
    this.words = ram.words
    this.growsUnseen = ram.growable === true && !(this.words.buffer instanceof ArrayBuffer)
  }

  /** All words of memory; another array after each growth, so ask once a call and after each allocation. */
  allWords(): Int32Array {
    // Growth takes the words from the old array. To ask memory each time is slow (measured).
    if (this.growsUnseen || this.words.length === 0) this.renew()
    return this.words
  }

  /** Place of the first word of frame `pfn`, any integer; -1 when that is no memory. */
  of(pfn: number): number {
    const { start } = this
    if (pfn >= start && pfn < this.end) return ((pfn - start) << PAGE_WORDS_SHIFT) + this.place
    return this.find(pfn)
  }

  private renew(): void {
    const { words } = this.frames.ram
    if (words === this.words) return
    this.words = words
    this.runs = []
    this.start = 0
    this.end = 0
  }

  private find(pfn: number): number {
    let run = this.runs.find((one) => pfn >= one.start && pfn < one.end)
    if (run === undefined) {
      if (!this.isRam(pfn, 1)) return -1
      run = this.runAround(pfn)
      this.runs.push(run)
    }
    this.start = run.start
    this.end = run.end
    this.place = run.place
    return (pfn - run.start) * PAGE_WORDS + run.place
  }

  /** The longest run around a frame of memory; the frame alone where words are not laid out as bytes are. */
  private runAround(pfn: number): FrameRun {
    const { maxPfn, ram } = this.frames
    const placeOf = (frame: number) => smallInteger(ram.wordIndex(frame * PAGE_SIZE))
    const end =
      pfn + longest(Math.min(maxPfn - pfn, MOST_FRAMES), (count) => this.isRam(pfn, count))
    const start =
      pfn +
      1 -
      longest(Math.min(pfn + 1, MOST_FRAMES), (count) => this.isRam(pfn + 1 - count, count))
    const place = placeOf(start)
    const even = [pfn, end - 1].every(
      (frame) => placeOf(frame) === place + (frame - start) * PAGE_WORDS,
    )
    return even ? { start, end, place } : { start: pfn, end: pfn + 1, place: placeOf(pfn) }
  }

  /** Whether frames lie in memory, in one piece. */
  private isRam(pfn: number, count: number): boolean {
    if (!Number.isInteger(pfn) || pfn < 0 || pfn + count > this.frames.maxPfn) return false
    try {
      return this.frames.ram.bytes(pfn * PAGE_SIZE, count * PAGE_SIZE).length > 0
    } catch {
      return false
    }
  }
}

/** The largest count up to `limit` that passes, when 1 does and none does above one that does not. */
function longest(limit: number, passes: (count: number) => boolean): number {
  let low = 1
  let high = 2
  while (high <= limit && passes(high)) {
    low = high
    high *= 2
  }
  high = Math.min(high, limit + 1)
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (passes(middle)) low = middle
    else high = middle
  }
  return low
}

/** The engine keeps the result of a division as a fraction, and is slow with those as indices (measured). */
function smallInteger(value: number): number {
  return value === (value | 0) ? value | 0 : value
}
