/**
 * Bytes that tell whose memory it is. A piece of memory in use has its owner's mark at its start, at each 4096 bytes
 * of it, and at its end:
 *
 *     | mark 0 ........ | mark 1 ........ | mark 2 .... mark 2 |
 *
 * A mark is a word that names the owner and its place in the piece, scrambled. It can be read back, so that memory
 * handed out twice is found as it is handed out, by the first owner's mark in it.
 */

import type { Machine } from '../../src/index'

/** Marks are this far apart. Bytes. */
const STEP = 4096
/** Bits of an owner's number; the others are those of the place. */
const ID_BITS = 20
/** Owners have smaller numbers. */
export const MAX_ID = 1 << ID_BITS
const SCRAMBLE = 0x9e3779b1
/** SCRAMBLE times this is 1 modulo 2^32. */
const UNSCRAMBLE = 0x0e8b2f51

/** The bytes of a machine's memory, by physical address. */
export class Content {
  private readonly bytes: Uint8Array
  private readonly words: Int32Array
  /** Where runs of memory start, end, and lie in the buffer. */
  private readonly runs: readonly { base: number; end: number; shift: number }[]

  constructor({ ram }: Machine) {
    const { buffer } = ram
    if (buffer === null) throw new RangeError('the machine has no bytes')
    this.bytes = new Uint8Array(buffer)
    this.words = new Int32Array(buffer)
    let at = 0
    this.runs = ram.ranges
      .filter(({ type }) => type !== 'device')
      .map(({ base, size }) => {
        at += size
        return { base, end: base + size, shift: at - size - base }
      })
  }

  /** Writes an owner's marks into a piece of memory; `place` is that of its first mark. */
  mark(phys: number, length: number, id: number, place: number): void {
    const at = this.at(phys, length)
    for (let done = 0, i = place; done < length; done += STEP, i++) {
      const left = Math.min(STEP, length - done)
      const word = markOf(id, i)
      this.write(at + done, Math.min(4, left), word, 0)
      if (left < STEP || done + STEP === length) {
        const tail = Math.min(4, left)
        this.write(at + done + left - tail, tail, word, left - tail)
      }
    }
  }

  /** Place in a piece where the owner's marks are gone; -1 when all are there. */
  lost(phys: number, length: number, id: number, place: number): number {
    const at = this.at(phys, length)
    for (let done = 0, i = place; done < length; done += STEP, i++) {
      const left = Math.min(STEP, length - done)
      const word = markOf(id, i)
      if (!this.has(at + done, Math.min(4, left), word, 0)) return done
      if (left < STEP || done + STEP === length) {
        const tail = Math.min(4, left)
        if (!this.has(at + done + left - tail, tail, word, left - tail)) return done + left - tail
      }
    }
    return -1
  }

  /** The number that the word at a multiple of four would name an owner by. */
  idAt(phys: number): number {
    const word = this.words[this.at(phys, 4) >> 2]!
    return Math.imul(word, UNSCRAMBLE) & (MAX_ID - 1)
  }

  /** Whether all bytes of a piece have a value; of long pieces those at the ends of each 4096. */
  allBytesAre(phys: number, length: number, value: number): boolean {
    const at = this.at(phys, length)
    const { bytes } = this
    if (length <= 8 * STEP) {
      for (let i = at; i < at + length; i++) if (bytes[i] !== value) return false
      return true
    }
    for (let i = at; i < at + length; i++) {
      if (bytes[i] !== value) return false
      if (i % STEP === 63) i += STEP - 128
    }
    return true
  }

  fill(phys: number, length: number, value: number): void {
    const at = this.at(phys, length)
    this.bytes.fill(value, at, at + length)
  }

  private write(at: number, count: number, word: number, from: number): void {
    if (count === 4 && ((at | from) & 3) === 0) {
      this.words[at >> 2] = word
      return
    }
    for (let i = 0; i < count; i++) this.bytes[at + i] = word >>> (((from + i) & 3) * 8)
  }

  private has(at: number, count: number, word: number, from: number): boolean {
    if (count === 4 && ((at | from) & 3) === 0) return this.words[at >> 2] === word
    for (let i = 0; i < count; i++) {
      if (this.bytes[at + i] !== ((word >>> (((from + i) & 3) * 8)) & 255)) return false
    }
    return true
  }

  private at(phys: number, length: number): number {
    for (const { base, end, shift } of this.runs) {
      if (phys >= base && phys < end) return phys + shift
    }
    throw new RangeError(`0x${phys.toString(16)}, ${length} bytes, is no memory`)
  }
}

function markOf(id: number, place: number): number {
  return Math.imul((place << ID_BITS) | id, SCRAMBLE)
}
