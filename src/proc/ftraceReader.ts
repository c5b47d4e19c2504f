/**
 * Reads ftrace text line by line, whatever events are wanted of it.
 *
 * One line of the text is
 *
 *     TASK-PID (TGID) [CPU] FLAGS TIMESTAMP: EVENT: key=value ...
 *
 * where `(TGID)` and FLAGS may be missing. Task names may contain anything, so a line is read from the
 * first `[CPU]` column that has a PID before it and a timestamp after it.
 *
 * The text is scanned as bytes, once and in place; no strings are made for lines. Names of events and
 * of GFP flags go through a {@link TextTable}: each distinct text is interpreted once, and recognised by
 * its bytes from then on.
 *
 * Source: spec/page-allocator.md §9.8, spec/page-allocator-recordings.md §3.
 */

import { InvalidArgument } from '../base/errors'
import { parseGfp } from '../page/gfpText'
import { ascii, ByteScanner } from './byteScanner'
import type { FtraceLines, FtraceSkipped } from './ftraceEvents'
import { FtraceHeader } from './ftraceHeader'
import { TextTable } from './textTable'

/** Lines listed in `skipped`; the rest is only counted. */
const SKIPPED_LIMIT = 100
/** A bound for a number of lost events. */
const INT_MAX = 0x7fffffff

/** Reasons that do not depend on which events are wanted. */
const NO_HEADER = 'no task, [CPU] and timestamp'
const NO_NAME = 'no event name'
const EVENTS_LOST = 'events lost'
/** Reason to skip a line with a GFP mask that means nothing; its text follows. */
const UNKNOWN_GFP = 'unknown GFP flags'

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const HASH = 0x23
const LEFT_PAREN = 0x28
const ZERO = 0x30
const COLON = 0x3a
const LOWER_N = 0x6e
const LOWER_X = 0x78

/** A `key=` of the text, and the largest value that it may have. */
export interface FtraceField {
  readonly key: Uint8Array
  readonly max: number
  readonly reason: string
}

const GFP_FLAGS = /* @__PURE__ */ ftraceField('gfp_flags', 0)
const CPU_LINE = /* @__PURE__ */ ascii('CPU:')
const LOST = /* @__PURE__ */ ascii(' [LOST ')

/** One pass over a text; a subclass reads the events that it wants. */
export abstract class FtraceReader {
  protected readonly scanner: ByteScanner
  /** Columns in front of the event of the current line. */
  protected readonly header: FtraceHeader
  /** Why the line is skipped. */
  protected reason: string
  private readonly kinds: ReadonlyMap<string, number>
  private readonly names: TextTable
  /** Kind of each event name; 0 is another event. */
  private readonly nameKinds: number[]
  /** How many lines had each event name. */
  private readonly nameCounts: number[]
  private readonly gfpTexts: TextTable
  /** Mask of each text of a GFP mask; NaN when it could not be read. */
  private readonly gfpMasks: number[]
  private readonly tasks: TextTable
  private readonly flagTexts: TextTable
  private readonly skipped: FtraceSkipped[]
  private readonly skippedReasons: Map<string, number>
  private skippedCount: number
  private lostEvents: number

  /** `kinds` are the events that are wanted, by name; no kind is 0. */
  constructor(bytes: Uint8Array, kinds: ReadonlyMap<string, number>) {
    this.scanner = new ByteScanner(bytes)
    this.header = new FtraceHeader(this.scanner)
    this.reason = ''
    this.kinds = kinds
    this.names = new TextTable(bytes)
    this.nameKinds = []
    this.nameCounts = []
    this.gfpTexts = new TextTable(bytes)
    this.gfpMasks = []
    this.tasks = new TextTable(bytes)
    this.flagTexts = new TextTable(bytes)
    this.skipped = []
    this.skippedReasons = new Map()
    this.skippedCount = 0
    this.lostEvents = 0
  }

  /**
   * Reads what follows the name of an event of `kind` in line number `line`, and keeps it; returns
   * false with a `reason`, having kept nothing, when that is garbled.
   */
  protected abstract readEvent(kind: number, line: number): boolean

  /** Reads all lines. */
  protected readLines(): FtraceLines {
    const { scanner } = this
    const { bytes } = scanner
    let line = 0
    for (let start = 0; start < bytes.length; ) {
      let lineEnd = bytes.indexOf(LF, start)
      if (lineEnd < 0) lineEnd = bytes.length
      if (bytes[start] !== HASH) {
        line++
        const end = lineEnd > start && bytes[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd
        scanner.end = end
        if (end > start && !this.readLine(start, line)) this.skip(start, line)
      }
      start = lineEnd + 1
    }
    const otherEvents = new Map<string, number>()
    for (let id = 0; id < this.names.count; id++) {
      if (this.nameKinds[id] !== 0) continue
      // Names that are no UTF-8 may differ as bytes only.
      const name = this.names.text(id)
      otherEvents.set(name, (otherEvents.get(name) ?? 0) + (this.nameCounts[id] ?? 0))
    }
    const { skipped, skippedCount, skippedReasons, lostEvents } = this
    const tasks = this.tasks.texts()
    const flagTexts = this.flagTexts.texts()
    return { tasks, flagTexts, otherEvents, skipped, skippedCount, skippedReasons, lostEvents }
  }

  private readLine(start: number, line: number): boolean {
    if (!this.header.read(start)) {
      this.reason = NO_HEADER
      return false
    }
    const kind = this.readName()
    if (kind < 0) return false
    return kind === 0 || this.readEvent(kind, line)
  }

  /** The kind of the event whose name comes next; 0 for another event, -1 when there is no name. */
  private readName(): number {
    const { scanner, names } = this
    const { bytes, end, pos } = scanner
    let i = pos
    while (i < end && bytes[i] !== SPACE) i++
    if (i < pos + 2 || bytes[i - 1] !== COLON) {
      this.reason = NO_NAME
      return -1
    }
    scanner.pos = i
    const id = names.intern(pos, i - 1)
    if (id === this.nameKinds.length) {
      this.nameKinds.push(this.kinds.get(names.text(id)) ?? 0)
      this.nameCounts.push(0)
    }
    this.nameCounts[id] = (this.nameCounts[id] ?? 0) + 1
    return this.nameKinds[id] ?? 0
  }

  /** Number of the current line's task name. */
  protected taskId(): number {
    return this.tasks.intern(this.header.taskStart, this.header.taskEnd)
  }

  /** Number of the current line's flags. */
  protected flagsId(): number {
    return this.flagTexts.intern(this.header.flagsStart, this.header.flagsEnd)
  }

  /** The value of `field`, which must come next; -1 when it does not or is out of range. */
  protected readField(field: FtraceField): number {
    const { scanner } = this
    scanner.skipSpaces()
    if (
      scanner.match(field.key) &&
      scanner.number() &&
      scanner.atGap() &&
      scanner.value <= field.max
    ) {
      return scanner.value
    }
    this.reason = field.reason
    return -1
  }

  /** The mask of the GFP flags, which must come next; NaN when there is none. */
  protected readGfp(): number {
    const { scanner, gfpTexts, gfpMasks } = this
    scanner.skipSpaces()
    const start = scanner.pos + GFP_FLAGS.key.length
    if (!scanner.match(GFP_FLAGS.key) || !scanner.skipToken()) {
      this.reason = GFP_FLAGS.reason
      return Number.NaN
    }
    const id = gfpTexts.intern(start, scanner.pos)
    if (id === gfpMasks.length) gfpMasks.push(gfpMask(gfpTexts.text(id)))
    const mask = gfpMasks[id] ?? Number.NaN
    if (Number.isNaN(mask)) this.reason = `${UNKNOWN_GFP}: ${gfpTexts.text(id)}`
    return mask
  }

  private skip(start: number, line: number): void {
    this.skippedCount++
    const { scanner } = this
    scanner.pos = start
    let general = this.reason.startsWith(UNKNOWN_GFP) ? UNKNOWN_GFP : this.reason
    if (scanner.match(CPU_LINE)) {
      this.reason = EVENTS_LOST
      general = EVENTS_LOST
      const readable = scanner.decimal() && scanner.match(LOST) && scanner.decimal()
      if (readable && scanner.value <= INT_MAX) {
        this.lostEvents += scanner.value
        this.reason = `${scanner.value} ${EVENTS_LOST}`
      }
    }
    this.skippedReasons.set(general, (this.skippedReasons.get(general) ?? 0) + 1)
    if (this.skipped.length < SKIPPED_LIMIT) this.skipped.push({ line, reason: this.reason })
  }
}

/** True for a reason that a line has whichever events are wanted. */
export function isGeneralReason(reason: string): boolean {
  return reason === NO_HEADER || reason === NO_NAME || reason.endsWith(EVENTS_LOST)
}

/**
 * The bytes of ftrace text: a Uint8Array is read in place, a string is encoded.
 * @throws InvalidArgument when `input` is neither.
 */
export function ftraceBytes(input: string | Uint8Array): Uint8Array {
  if (typeof input === 'string') return new TextEncoder().encode(input)
  if (input instanceof Uint8Array) return input
  throw new InvalidArgument('input', input, 'a string or a Uint8Array')
}

/** A field with its key and the largest value that it may have. */
export function ftraceField(key: string, max: number): FtraceField {
  return { key: ascii(`${key}=`), max, reason: `${key} is missing, garbled or out of range` }
}

/** True for `(null)`, `(nil)`, and zeros with or without `0x`. */
export function isNullPointer(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] === LEFT_PAREN) return start + 1 < end && bytes[start + 1] === LOWER_N
  if (bytes[start] !== ZERO) return false
  for (let i = start + 1; i < end; i++) {
    if (bytes[i] !== ZERO && bytes[i] !== LOWER_X) return false
  }
  return true
}

/** The mask of a GFP text; NaN when it has a name that does not exist. */
function gfpMask(text: string): number {
  try {
    return parseGfp(text)
  } catch (error) {
    if (error instanceof InvalidArgument) return Number.NaN
    throw error
  }
}
