/** What is known of an address space while it is being checked: which record is what. */

import {
  AREA_END,
  AREA_START,
  RECORD_KINDS,
  VMAP_CPU_WORDS,
  VMAP_HEADER_WORDS,
  VMAP_NR_CPUS,
  VMAP_RECORD_WORDS,
  VMAP_WORDS_USED,
} from '../state/vmapSchema'
import type { VmapContext } from '../vmalloc/vmapContext'
import { Violations } from './invariants'
import type { VmapInvariantId } from './vmapInvariants'

/** The survey of one address space. */
export class VmapSurvey {
  readonly c: VmapContext
  readonly words: Int32Array
  readonly numbers: Float64Array
  readonly v = new Violations<VmapInvariantId>()
  /** Records claimed of each kind; free ones last. */
  readonly counts: number[]
  /** False once something was found that keeps the rest from being read. */
  whole = true
  /** Offsets of records that are claimed. */
  private readonly claimed = new Set<number>()

  constructor(c: VmapContext) {
    this.c = c
    this.words = c.words
    this.numbers = c.numbers
    this.counts = new Array<number>(RECORD_KINDS + 1).fill(0)
  }

  /** Reports what keeps the rest from being read. */
  broken(id: VmapInvariantId, message: string): void {
    this.whole = false
    this.v.report(id, message)
  }

  /** Claims a record for what names it; false, and reported, where there is none or it is another's. */
  claim(record: number, kind: number, id: VmapInvariantId): boolean {
    const { words } = this
    const first = VMAP_HEADER_WORDS + words[VMAP_NR_CPUS]! * VMAP_CPU_WORDS
    const inside = record >= first && record < words[VMAP_WORDS_USED]!
    if (!inside || record % VMAP_RECORD_WORDS !== 0) {
      this.broken(id, `there is no record at word ${record}`)
    } else if (this.claimed.has(record)) {
      this.broken(id, `the record at word ${record} is named twice`)
    } else {
      this.claimed.add(record)
      this.counts[kind] = (this.counts[kind] ?? 0) + 1
      return true
    }
    return false
  }

  /** Offsets of the records that nothing names. */
  unclaimed(): number[] {
    const found: number[] = []
    const { words } = this
    const first = VMAP_HEADER_WORDS + words[VMAP_NR_CPUS]! * VMAP_CPU_WORDS
    for (let at = first; at < words[VMAP_WORDS_USED]!; at += VMAP_RECORD_WORDS) {
      if (!this.claimed.has(at)) found.push(at)
    }
    return found
  }

  /** First address of an area. */
  start(area: number): number {
    return this.numbers[(area + AREA_START) >> 1]!
  }

  /** One more than its last address. */
  end(area: number): number {
    return this.numbers[(area + AREA_END) >> 1]!
  }

  /** An area in messages. */
  text(area: number): string {
    return `area [0x${this.start(area).toString(16)}, 0x${this.end(area).toString(16)})`
  }
}
