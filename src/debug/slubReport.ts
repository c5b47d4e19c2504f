/**
 * Reports of the checks: written to the log, counted, and kept for the error that the call ends
 * with.
 *
 * A kernel goes on after a report. Here a call that made one throws, unless it is told not to:
 * {@link SlubReports.begin} and {@link SlubReports.raise} enclose what has to be sound before
 * anything is done. What is found in slabs on their way back to the pages can stop nothing any
 * more; it is thrown when the call has done all of its work.
 *
 * Source: spec/slab.md §16.6, §16.8.
 */

import { KernelBug } from '../base/errors'
import type { Log } from '../base/log'
import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import { SLAB_TAINT } from '../state/slabSchema'
import { slabByte } from './slubSlot'
import { objectLines, pointerAt, reportHeader, slabLine, TAINT_BAD_PAGE } from './slubText'
import type { SlubTracks } from './slubTrack'

/** A report's text is cut to so many characters when it is about a slab. */
const SLAB_TEXT_LENGTH = 99

/** What reports are made with. */
interface ReportOptions {
  /** Whether calls end with an error after a report. */
  readonly throwing: boolean
  readonly log: Log
  /** Taint bits that the machine has besides. */
  readonly taint: number
}

/** A range of bytes that are not what they should be. */
interface BadBytes {
  /** What they are for, such as `Poison`. */
  readonly what: string
  /** The first bad one and the last, as distances from the start of the slab. */
  readonly first: number
  readonly last: number
  /** What is there, and what should be. */
  readonly found: number
  readonly expected: number
}

/** What an error is made of. */
class Pending {
  /** Code and message of the first report; '' for none. */
  code = ''
  message = ''
  lines: string[] = []

  clear(): void {
    this.code = ''
    this.lines = []
  }

  /** Throws the error of the reports, if there are any. */
  raise(): void {
    if (this.code === '') return
    const error = new KernelBug(this.code, this.message, this.lines)
    this.clear()
    throw error
  }
}

/** The reports of a slab allocator. */
export class SlubReports {
  /** Errors and repairs so far: each report counts, and each line that begins with FIX. */
  count = 0
  /** Whether calls end with an error after a report. */
  readonly throwing: boolean
  private readonly log: Log
  private readonly taint: number
  private readonly tracks: SlubTracks
  /** Of this call, and of slabs that went back. */
  private readonly current = new Pending()
  private readonly late = new Pending()
  private target = this.current

  constructor(options: ReportOptions, tracks: SlubTracks) {
    this.throwing = options.throwing
    this.log = options.log
    this.taint = options.taint
    this.tracks = tracks
  }

  /** Begins a call: nothing has been reported in it. */
  begin(): void {
    this.current.clear()
  }

  /** Whether there was a report in this call, and it is to throw. */
  get pending(): boolean {
    return this.current.code !== ''
  }

  /**
   * Ends a call.
   * @throws KernelBug of the first report in it, with the lines of all, unless nothing throws.
   */
  raise(): void {
    this.current.raise()
  }

  /** Runs checks whose reports wait for {@link settle}. */
  discard(check: () => void): void {
    this.target = this.late
    try {
      check()
    } finally {
      this.target = this.current
    }
  }

  /** Throws what waits. */
  settle(): void {
    this.late.raise()
  }

  /** The error for what a kernel would not survive, with all lines of this call. */
  fault(message: string, ...lines: string[]): KernelBug {
    this.write(lines)
    const error = new KernelBug('SIMULATED_FAULT', message, this.current.lines)
    this.current.clear()
    return error
  }

  /** The error for a bug that the log has told of, or null when nothing throws. */
  stop(code: string, message: string, report: readonly string[]): KernelBug | null {
    const lines = [...this.late.lines, ...this.current.lines, ...report]
    this.late.clear()
    this.current.clear()
    return this.throwing ? new KernelBug(code, message, lines) : null
  }

  /** Writes lines that are no report. */
  write(lines: readonly string[]): void {
    if (this.throwing) this.target.lines.push(...lines)
    for (const line of lines) this.log(line)
  }

  /** Reports something about a whole slab, with lines between the report and the repair. */
  slabError(
    c: SlabContext,
    cache: number,
    slab: number,
    code: string,
    text: string,
    after: readonly string[] = [],
  ): void {
    const cut = text.slice(0, SLAB_TEXT_LENGTH)
    this.open(c, cache, code, cut.trimEnd())
    this.write([
      ...reportHeader(c, cache, cut, this.taint),
      slabLine(c, slab),
      ...this.stackLines(),
    ])
    this.close(c)
    this.write(after)
  }

  /** Reports something about an object. */
  objectError(
    c: SlabContext,
    cache: number,
    slab: number,
    offset: number,
    code: string,
    text: string,
  ): void {
    this.objectReport(c, cache, code, text, objectLines(c, cache, slab, offset))
  }

  /** Reports a pointer that should lead to an object of a slab, and does not. */
  pointerError(
    c: SlabContext,
    cache: number,
    slab: number,
    pointer: string,
    code: string,
    text: string,
  ): void {
    const lines = [slabLine(c, slab), `Invalid pointer ${pointer}`]
    this.objectReport(c, cache, code, text, lines)
  }

  /** Reports bytes that were overwritten, and restores them. */
  byteError(
    c: SlabContext,
    cache: number,
    slab: number,
    offset: number,
    code: string,
    bad: BadBytes,
  ): void {
    const { what, first, last, expected } = bad
    const range = `${pointerAt(c, slab, first)}-${pointerAt(c, slab, last)}`
    const bytes = `First byte ${hex(bad.found)} instead of ${hex(expected)}`
    const lines = [`${range} @offset=${first}. ${bytes}`, ...objectLines(c, cache, slab, offset)]
    this.objectReport(c, cache, code, `${what} overwritten`, lines)
    this.restore(c, cache, slab, bad)
  }

  /** Restores bytes, and tells of it. */
  restore(c: SlabContext, cache: number, slab: number, bad: BadBytes): void {
    const { what, first, last, expected } = bad
    const range = `${pointerAt(c, slab, first)}-${pointerAt(c, slab, last)}`
    this.fix(c, cache, `Restoring ${what} ${range}=${hex(expected)}`)
    c.ram.fill(slabByte(c, slab, first), last - first + 1, expected)
  }

  /** Tells of a repair, or of what was not done. */
  fix(c: SlabContext, cache: number, text: string): void {
    this.count += 1
    this.write([`FIX ${formatName(c.words, cache)}: ${text}`])
  }

  /** Reports counts of slabs that do not agree. */
  slabCountError(c: SlabContext, cache: number, line: string): void {
    this.open(c, cache, 'SLAB_COUNT', line)
    this.write([line])
  }

  /** Tells of an allocation or a free. */
  trace(lines: readonly string[]): void {
    for (const line of [...lines, ...this.stackLines()]) this.log(line)
  }

  private objectReport(
    c: SlabContext,
    cache: number,
    code: string,
    text: string,
    lines: readonly string[],
  ): void {
    this.open(c, cache, code, text)
    this.write([...reportHeader(c, cache, text, this.taint), ...lines, ...this.stackLines()])
    this.close(c)
  }

  private open(c: SlabContext, cache: number, code: string, text: string): void {
    this.count += 1
    if (!this.throwing || this.target.code !== '') return
    this.target.code = code
    this.target.message = `cache ${formatName(c.words, cache)}: ${text}`
  }

  /** After the first report the kernel counts as tainted. */
  private close(c: SlabContext): void {
    if ((c.words[SLAB_TAINT]! & TAINT_BAD_PAGE) !== 0) return
    c.words[SLAB_TAINT]! |= TAINT_BAD_PAGE
    this.write(['Disabling lock debugging due to kernel taint'])
  }

  private stackLines(): string[] {
    const { stack } = this.tracks
    return stack.length === 0 ? [] : ['Call Trace:', ' <TASK>', ...stack.map(indent), ' </TASK>']
  }
}

function indent(frame: string): string {
  return ` ${frame}`
}

function hex(byte: number): string {
  return `0x${byte.toString(16)}`
}
