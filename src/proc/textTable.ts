/**
 * Numbers the distinct byte ranges of one buffer, so that a text that occurs many times is decoded and
 * interpreted once.
 *
 * An open hash table of 32-bit hashes. An entry remembers where its text first occurred and compares
 * bytes there: no copies, no strings.
 */
export class TextTable {
  /** Number of distinct texts; their ids are [0, count). */
  count: number
  private readonly bytes: Uint8Array
  /** Id plus 1 by hash, linear probing; 0 is an empty slot. The length is a power of two. */
  private slots: Int32Array
  /** Hash, start and length of each text, three words an id. */
  private entries: Int32Array

  /** A table over `bytes`, which must not change while the table is used. */
  constructor(bytes: Uint8Array) {
    this.count = 0
    this.bytes = bytes
    this.slots = new Int32Array(64)
    this.entries = new Int32Array(3 * 32)
  }

  /** The id of the text in [start, end); equal texts have equal ids, a new text gets id `count`. */
  intern(start: number, end: number): number {
    const { bytes, slots, entries } = this
    const length = end - start
    let hash = 0x811c9dc5 | 0
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    const mask = slots.length - 1
    let slot = (hash ^ (hash >>> 15)) & mask
    // Bounded: at most half of the slots are taken.
    while (slots[slot] !== 0) {
      const entry = 3 * (slots[slot]! - 1)
      if (
        entries[entry] === hash &&
        entries[entry + 2] === length &&
        this.equal(entries[entry + 1]!, start, length)
      ) {
        return slots[slot]! - 1
      }
      slot = (slot + 1) & mask
    }
    return this.add(slot, hash, start, length)
  }

  /** The text of `id`, decoded as UTF-8. */
  text(id: number): string {
    const start = this.entries[3 * id + 1]!
    // A copy: decoders refuse views of shared memory.
    return new TextDecoder().decode(this.bytes.slice(start, start + this.entries[3 * id + 2]!))
  }

  /** All texts, by id. */
  texts(): string[] {
    return Array.from({ length: this.count }, (_, id) => this.text(id))
  }

  private equal(a: number, b: number, length: number): boolean {
    const bytes = this.bytes
    for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false
    return true
  }

  private add(slot: number, hash: number, start: number, length: number): number {
    const id = this.count++
    this.slots[slot] = id + 1
    this.entries[3 * id] = hash
    this.entries[3 * id + 1] = start
    this.entries[3 * id + 2] = length
    if (2 * this.count === this.slots.length) this.grow()
    return id
  }

  private grow(): void {
    const slots = new Int32Array(2 * this.slots.length)
    const entries = new Int32Array(2 * this.entries.length)
    entries.set(this.entries)
    const mask = slots.length - 1
    for (let id = 0; id < this.count; id++) {
      const hash = entries[3 * id]!
      let slot = (hash ^ (hash >>> 15)) & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = id + 1
    }
    this.slots = slots
    this.entries = entries
  }
}
