/**
 * Where the frees of interrupts in a trace went: to the page lists or, when the interrupt found these held, past them.
 *
 * A free does not tell. The next event about the block often does; where none does, the replay takes the frees to be
 * ordinary, remembers the moment, and comes back to it when a difference turns up later.
 *
 * Source: spec/page-allocator-recordings.md §3.3, §3.4.
 */

import { FTRACE_ZONE_LOCKED, type FtraceEvents } from './ftraceEvents'

/** Where the frees of an interrupt went: past the held page lists, to them, or nobody knows yet. */
export type Fate = 'held' | 'listed' | 'unknown'

/** Interrupts whose fate is unknown that are remembered: a copy of the state each. */
const MAX_UNDECIDED = 8
/** Times that one replay goes back. */
const MAX_REWINDS = 32

/** The fates of one replay; `C` is a moment of it, `next` the first event that is not accounted for then. */
export class InterruptFates<C extends { readonly next: number }> {
  private readonly events: FtraceEvents
  /** Fates that were settled by going back, by the interrupt's first event. */
  private readonly settled = new Map<number, Fate>()
  /** Moments before interrupts whose fate nothing has told. */
  private readonly undecided: C[] = []
  /** The attempt that runs, and the event of the difference that it is to get past. */
  private attempt: { readonly start: C; readonly failedAt: number } | null = null
  private rewinds = 0
  /** Differences that going back did not help. */
  private accepted = 0

  constructor(events: FtraceEvents) {
    this.events = events
  }

  /**
   * What became of blocks, told by their first frames, that the interrupt at event `at` freed: as was settled or as the next event from
   * `from` on about one of them tells. A drain, or an allocation straight from a list, proves that they went to the
   * page lists; a block taken from the free areas that covers one, that they did not.
   */
  fateOf(at: number, blocks: ReadonlySet<number>, from: number): Fate {
    const settled = this.settled.get(at)
    if (settled !== undefined) return settled
    if (blocks.size === 0) return 'listed'
    const { count, kind, order, pfn: pfns } = this.events
    const first = Math.min(...blocks)
    const last = Math.max(...blocks)
    for (let i = from; i < count; i++) {
      const pfn = pfns[i]!
      if (pfn > last) continue
      if (kind[i] === FTRACE_ZONE_LOCKED) {
        const end = pfn + (1 << order[i]!)
        if (end <= first) continue
        for (const block of blocks) if (block >= pfn && block < end) return 'held'
      } else if (pfn >= first && blocks.has(pfn)) {
        return 'listed'
      }
    }
    return 'unknown'
  }

  /** Remembers the moment before the frees of an interrupt whose fate is unknown. */
  doubt(moment: C): void {
    if (this.undecided.length === MAX_UNDECIDED) this.undecided.shift()
    this.undecided.push(moment)
  }

  /**
   * After a step: where to go back to, or null to go on. A new difference leads to the last interrupt whose frees
   * nothing has told the fate of, which are then taken to have found the lists held. When that does not carry the
   * replay past the difference, they were ordinary after all, and the interrupt before is tried.
   * @param next the first event that is not accounted for.
   * @param different differences so far.
   */
  reconsider(next: number, different: number): C | null {
    if (different === this.accepted) return null
    const { attempt } = this
    if (attempt !== null && next <= attempt.failedAt) {
      this.settled.set(attempt.start.next, 'listed')
      this.attempt = null
      return attempt.start
    }
    const start = this.rewinds < MAX_REWINDS ? this.undecided.pop() : undefined
    if (start === undefined) {
      this.accepted = different
      return null
    }
    this.rewinds += 1
    this.attempt = { start, failedAt: next }
    this.settled.set(start.next, 'held')
    return start
  }
}
