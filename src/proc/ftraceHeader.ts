/** Reads what precedes the event name in a line of ftrace text: task, CPU, flags, timestamp. */

import { ascii, type ByteScanner } from './byteScanner'
import {
  FTRACE_CONTEXT_CHAR_SHIFT,
  FTRACE_CONTEXT_INTERRUPT,
  FTRACE_CONTEXT_KSOFTIRQD,
} from './ftraceEvents'

/** Shortest flags column: kernels print 4 or 5 characters. */
const FLAGS_MIN = 4
/** Longest flags column, with room for what newer kernels add. */
const FLAGS_MAX = 8
/** Largest PID and CPU that a column can hold. */
const INT_MAX = 0x7fffffff
/** Largest timestamp: 64 bits. */
const TIME_MAX = 18446744073709552000
/** Most digits after the decimal point; kernels print 6 or 9. */
const FRACTION_MAX = 15

const SPACE = 0x20
const LEFT_PAREN = 0x28
const RIGHT_PAREN = 0x29
const DASH = 0x2d
const DOT = 0x2e
const COLON = 0x3a
const LEFT_BRACKET = 0x5b
const RIGHT_BRACKET = 0x5d
const KSOFTIRQD = /* @__PURE__ */ ascii('ksoftirqd/')

/** The columns of the line read last. */
export class FtraceHeader {
  /** As in FtraceEvents. */
  context: number
  cpu: number
  pid: number
  /** Seconds, or a raw count. */
  time: number
  /** Where the task's name starts and ends. */
  taskStart: number
  taskEnd: number
  /** Where the flags start and end; the same place when there are none. */
  flagsStart: number
  flagsEnd: number
  private readonly scanner: ByteScanner

  /** Reads through `scanner`, and leaves its `pos` at the event name. */
  constructor(scanner: ByteScanner) {
    this.context = 0
    this.cpu = 0
    this.pid = 0
    this.time = 0
    this.taskStart = 0
    this.taskEnd = 0
    this.flagsStart = 0
    this.flagsEnd = 0
    this.scanner = scanner
  }

  /** Reads up to the event name of the line that starts at `start`; false when that is garbled. */
  read(start: number): boolean {
    const { scanner } = this
    const { bytes, end } = scanner
    // Once a line: garbage may have a thousand brackets behind a thousand spaces.
    scanner.pos = start
    scanner.skipSpaces()
    this.taskStart = scanner.pos
    for (let i = start + 1; i < end; i++) {
      if (bytes[i] !== LEFT_BRACKET || bytes[i - 1] !== SPACE) continue
      if (this.readTask(start, i - 1) && this.readPlace(i + 1)) return true
    }
    return false
  }

  /** Reads the task, the PID and perhaps a thread group in [start, last], from the right. */
  private readTask(start: number, last: number): boolean {
    const { scanner } = this
    const { bytes } = scanner
    let i = last
    while (i > start && bytes[i] === SPACE) i--
    if (bytes[i] === RIGHT_PAREN) {
      do i--
      while (i > start && (isDigit(bytes[i]!) || bytes[i] === DASH || bytes[i] === SPACE))
      if (bytes[i] !== LEFT_PAREN) return false
      do i--
      while (i > start && bytes[i] === SPACE)
    }
    while (i > start && isDigit(bytes[i]!)) i--
    if (bytes[i] !== DASH) return false
    scanner.pos = i + 1
    if (!scanner.decimal() || scanner.value > INT_MAX) return false
    this.pid = scanner.value
    this.taskEnd = i
    scanner.pos = this.taskStart
    this.context = scanner.match(KSOFTIRQD) ? FTRACE_CONTEXT_KSOFTIRQD : 0
    return true
  }

  /** Reads CPU, flags and timestamp from `pos`, which follows the bracket. */
  private readPlace(pos: number): boolean {
    const { scanner } = this
    const { bytes } = scanner
    scanner.pos = pos
    if (!scanner.decimal() || scanner.value > INT_MAX) return false
    this.cpu = scanner.value
    if (!scanner.matchByte(RIGHT_BRACKET) || !scanner.skipSpaces()) return false
    this.flagsStart = scanner.pos
    this.flagsEnd = scanner.pos
    if (scanner.pos < scanner.end && !isDigit(bytes[scanner.pos]!)) {
      const flags = scanner.pos
      scanner.skipToken()
      this.flagsEnd = scanner.pos
      const length = scanner.pos - flags
      if (length < FLAGS_MIN || length > FLAGS_MAX) return false
      const char = bytes[flags + 2]!
      this.context |= char << FTRACE_CONTEXT_CHAR_SHIFT
      if (isInterrupt(char)) this.context |= FTRACE_CONTEXT_INTERRUPT
      scanner.skipSpaces()
    }
    return this.readTime() && scanner.matchByte(COLON) && scanner.skipSpaces()
  }

  private readTime(): boolean {
    const { scanner } = this
    if (!scanner.decimal() || scanner.value > TIME_MAX) return false
    this.time = scanner.value
    if (!scanner.matchByte(DOT)) return true
    const fraction = scanner.pos
    if (!scanner.decimal()) return false
    const digits = scanner.pos - fraction
    if (digits > FRACTION_MAX) return false
    // One division of exact integers: the same double as the decimal text denotes.
    const scale = 10 ** digits
    this.time = (this.time * scale + scanner.value) / scale
    return true
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** Softirq `s`, hard interrupt `h` or `H` (inside a softirq), NMI `z` or `Z`; `S` by analogy. */
function isInterrupt(char: number): boolean {
  const lower = char | 0x20
  return lower === 0x73 || lower === 0x68 || lower === 0x7a
}
