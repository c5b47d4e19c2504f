/** A hash of a sequence of numbers and texts, and numbers from a seed: the same on every machine. */

/** Takes numbers and texts in; two lanes of 32 bits. */
export class Mixer {
  private high = 0x243f6a88
  private low = 0x13198a2e

  /** Takes a number in: any integer up to 2^53, or null. */
  number(value: number | null): void {
    if (value === null) {
      this.word(0x6e756c6c)
      return
    }
    this.word(value | 0)
    this.word(Math.floor(value / 4294967296) | 0)
  }

  /** Takes a text in, and its length. */
  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.word(text.charCodeAt(i))
    this.word(text.length)
  }

  /** Sixteen hexadecimal digits. */
  hex(): string {
    return [this.high, this.low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
  }

  private word(word: number): void {
    this.low = Math.imul(this.low ^ word, 0x01000193)
    this.high = Math.imul(this.high ^ (word + this.low), 0x85ebca6b)
    this.high ^= this.high >>> 15
  }
}

/** Numbers from a seed. */
export class Numbers {
  private state: number

  constructor(seed: number) {
    this.state = (seed * 2 + 1) | 0
  }

  /** The next number in [0, limit), for a limit up to 2^20. */
  below(limit: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) | 0
    return Math.floor(((this.state >>> 0) / 4294967296) * limit)
  }
}
