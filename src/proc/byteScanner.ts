/** Reads numbers and fixed texts from a range of ASCII bytes, without making strings. */

const SPACE = 0x20
const LOWER_X = 0x78

/** `pos` is the next byte to read; nothing at or after `end` is read. */
export class ByteScanner {
  readonly bytes: Uint8Array
  pos: number
  end: number
  /** The number that was read last; exact below 2^53. */
  value: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.pos = 0
    this.end = 0
    this.value = 0
  }

  /** True at the end of the range or before a space. */
  atGap(): boolean {
    return this.pos >= this.end || this.bytes[this.pos] === SPACE
  }

  /** Passes over spaces; false when there is none. */
  skipSpaces(): boolean {
    const { bytes, end, pos } = this
    let i = pos
    while (i < end && bytes[i] === SPACE) i++
    this.pos = i
    return i > pos
  }

  /** Passes over everything up to the next space; false when there is nothing. */
  skipToken(): boolean {
    const { bytes, end, pos } = this
    let i = pos
    while (i < end && bytes[i] !== SPACE) i++
    this.pos = i
    return i > pos
  }

  /** Passes over `byte`; false, without moving, when another one comes next. */
  matchByte(byte: number): boolean {
    if (this.pos >= this.end || this.bytes[this.pos] !== byte) return false
    this.pos++
    return true
  }

  /** Passes over `text`; false, without moving, when something else comes next. */
  match(text: Uint8Array): boolean {
    const { bytes, pos } = this
    const length = text.length
    if (pos + length > this.end) return false
    for (let i = 0; i < length; i++) if (bytes[pos + i] !== text[i]) return false
    this.pos = pos + length
    return true
  }

  /** Reads decimal digits into `value`; false, without moving, when there is none. */
  decimal(): boolean {
    const { bytes, end, pos } = this
    let value = 0
    let i = pos
    for (; i < end; i++) {
      const digit = bytes[i]! - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    this.pos = i
    this.value = value
    return i > pos
  }

  /** Reads a decimal number, or a hex number after `0x`, into `value`; false when there is none. */
  number(): boolean {
    const { bytes, end, pos } = this
    if (pos + 1 >= end || bytes[pos] !== 0x30 || bytes[pos + 1] !== LOWER_X) return this.decimal()
    let value = 0
    let i = pos + 2
    for (; i < end; i++) {
      const byte = bytes[i]!
      let digit = byte - 0x30
      if (digit > 9) digit = byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
      if (digit < 0) break
      value = value * 16 + digit
    }
    this.pos = i
    this.value = value
    return i > pos + 2
  }
}

/** The bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0))
}
