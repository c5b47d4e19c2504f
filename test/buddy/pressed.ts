/** A machine under pressure, with a reclaimer that answers as a test says, and writes down what it was asked. */

import {
  __GFP_NORETRY,
  type BuddyAllocator,
  type BuddyOptions,
  GFP_KERNEL,
  MiB,
  PAGE_SIZE,
  type Pfn,
  type PressureOps,
  withPressure,
} from '../../src/index'
import { eventCount } from '../../src/state/counters'
import { CPU_EVENTS, ZONE_WMARK } from '../../src/state/schema'
import { flatMachine, freePagesOf, zoneOf } from './machines'

const NR_PAGES = (16 * MiB) / PAGE_SIZE

/** A machine of 16 MiB whose reclaimer writes down its calls and answers as `answers` says. */
export class Pressed {
  readonly calls: string[] = []
  readonly pages: BuddyAllocator
  /** The pages that are in use, ascending; all but those below the min mark at first. */
  taken: Pfn[] = []
  answers: Partial<PressureOps> = {}

  constructor(options: Partial<BuddyOptions> = {}) {
    this.pages = flatMachine(NR_PAGES, 0, {
      ...options,
      pressure: withPressure({
        directReclaim: (r) => this.call(`reclaim ${r.order}`, this.answers.directReclaim?.(r) ?? 0),
        directCompact: (r, priority) =>
          this.call(`compact ${priority}`, this.answers.directCompact?.(r, priority) ?? 'skipped'),
        outOfMemory: (r) => this.call(`oom ${r.order}`, this.answers.outOfMemory?.(r) ?? false),
        reclaimablePages: (zone) => this.answers.reclaimablePages?.(zone) ?? 0,
      }),
    } as Omit<BuddyOptions, 'memory' | 'ram'>)
    this.exhaust(GFP_KERNEL | __GFP_NORETRY)
  }

  /** Takes all that a mask gets. */
  exhaust(gfp: number): void {
    for (;;) {
      const pfn = this.pages.allocPages(gfp)
      if (pfn === null) break
      this.taken.push(pfn)
    }
    this.taken.sort((a, b) => a - b)
    this.pages.drainAllPages()
    this.calls.length = 0
  }

  /** Frees the lowest `count` pages that were taken: the first ones form whole blocks. */
  release(count: number): number {
    for (const pfn of this.taken.splice(0, count)) this.pages.freePages(pfn)
    this.pages.drainAllPages()
    return count
  }

  get min(): number {
    return this.pages.words[zoneOf(this.pages, 0, 2) + ZONE_WMARK]!
  }

  get free(): number {
    return freePagesOf(this.pages, zoneOf(this.pages, 0, 2))
  }

  event(event: number): number {
    const words = this.pages.words
    return eventCount(words, this.pages.context.cpuRecord + CPU_EVENTS + 2 * event)
  }

  private call<T>(name: string, answer: T): T {
    this.calls.push(name)
    return answer
  }
}

/** How often each call was made, in the order of the first ones. */
export function counted(calls: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const call of calls) counts.set(call, (counts.get(call) ?? 0) + 1)
  return Array.from(counts, ([call, count]) => `${count} × ${call}`)
}
