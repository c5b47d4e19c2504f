/**
 * Turns the events of a trace back into calls, those that no event tells of included.
 *
 * Source: spec/page-allocator-recordings.md §3.2 to §3.4.
 */

import { InvalidArgument, KernelBug } from '../base/errors'
import type { Pfn } from '../base/units'
import type { BuddyAllocator } from '../buddy/buddyAllocator'
import { currentPcp } from '../buddy/context'
import { allocPagesBulk, splitPage } from '../buddy/exactPages'
import { pcpAllowed, zoneAt } from '../buddy/freeArea'
import { freePagesList } from '../buddy/freeList'
import { adoptBlock } from '../buddy/loadZones'
import { pcpListIndex } from '../buddy/pcp'
import { withPageListsHeld } from '../buddy/running'
import { __GFP_RECLAIM } from '../page/gfp'
import { blockHead, flagsOrder, pageRecord, recordPfn } from '../page/memmap'
import { PAGE_FLAGS, PAGE_NEXT, PAGE_REFS, PCP_LISTS } from '../state/schema'
import {
  FTRACE_CONTEXT_INTERRUPT,
  FTRACE_CONTEXT_KSOFTIRQD,
  FTRACE_EXTFRAG,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
} from './ftraceEvents'
import { InterruptFates } from './interruptFates'
import { type Inferred, MAX_DIFFERENCES, type ReplayResult, TraceCompare } from './traceCompare'

/** How deep a page is looked for in a page list before the trace is taken to differ. */
const MAX_DEPTH = 512
/** Context of an interrupt inside a task, as opposed to one that ksoftirqd runs. */
const CONTEXT_MASK = FTRACE_CONTEXT_INTERRUPT | FTRACE_CONTEXT_KSOFTIRQD

/** A replay at one moment. */
interface Checkpoint {
  readonly words: Int32Array
  readonly next: number
  readonly moved: ReadonlyMap<number, number>
  /** Identical events, allocations, identical allocations, frees. */
  readonly counts: readonly [number, number, number, number]
  readonly different: number
  readonly inferred: number
}

/** One replay: makes the calls; what they emit is compared with the trace at `next`. */
export class Replayer extends TraceCompare {
  private readonly pages: BuddyAllocator
  /** End of the run of frees that `next` is in, and where in it the list free starts. */
  private runEnd = 0
  private listStart = 0
  /** Until this event, frees of an interrupt share the fate `held`. */
  private burstEnd = 0
  private held = false
  /** Fates of interrupts' frees, and where to go back to when one was taken wrongly. */
  private readonly fates: InterruptFates<Checkpoint>
  /** Frames that the trace calls otherwise than we do, since a difference. */
  private readonly moved = new Map<number, number>()
  private allocations = 0
  private identicalAllocations = 0
  private frees = 0
  private readonly inferred: Inferred[] = []

  constructor(events: FtraceEvents, pages: BuddyAllocator) {
    super(events)
    this.pages = pages
    this.fates = new InterruptFates(events)
  }

  result(): ReplayResult {
    return {
      events: this.events.count,
      identicalEvents: this.identicalEvents,
      allocations: this.allocations,
      identicalAllocations: this.identicalAllocations,
      frees: this.frees,
      different: this.different,
      differences: this.differences,
      inferred: this.inferred,
    }
  }

  /** Makes the call that the event at `next` belongs to. */
  step(): void {
    switch (this.kind[this.next]) {
      case FTRACE_PAGE_ALLOC:
      case FTRACE_ZONE_LOCKED:
      case FTRACE_EXTFRAG:
        this.allocate()
        break
      case FTRACE_PAGE_FREE:
        this.free()
        break
      default:
        this.differ('nothing')
        this.next += 1
    }
  }

  // ---- Allocations ----

  private allocate(): void {
    const first = this.next
    let at = first
    while (this.kind[at] === FTRACE_ZONE_LOCKED || this.kind[at] === FTRACE_EXTFRAG) at += 1
    if (this.kind[at] !== FTRACE_PAGE_ALLOC) {
      this.refillAlone(first)
      for (; this.next < at; this.next++) this.differ('nothing')
      return
    }
    this.allocations += 1
    const gfp = this.events.gfp[at]! >>> 0
    const order = this.order[at]!
    const expected = this.pfn[at]!
    const held = expected >= 0 && pcpAllowed(order) && this.inferBulk(first, at, expected, order)
    const pfn = held
      ? withPageListsHeld(this.pages, () => this.pages.allocPages(gfp, order))
      : this.pages.allocPages(gfp, order)
    const actual = pfn === null ? -1 : pfn
    if (actual === expected) this.identicalAllocations += 1
    else if (expected >= 0 && actual >= 0) this.moved.set(expected, actual)
    // What the trace has of this call beyond what we emitted.
    for (; this.next <= at; this.next++) this.differ('nothing')
  }

  /** A refill with no allocation behind it is a bulk one's: it took what the list had, and one page more. */
  private refillAlone(first: number): void {
    if (this.kind[first] !== FTRACE_ZONE_LOCKED || this.order[first] !== 0) return
    if (this.events.detail[first] === 0) return
    const type = this.migratetype[first]!
    const c = this.pages.context
    const list = PCP_LISTS + pcpListIndex(0, type) * 2
    const head = currentPcp(c, zoneAt(c, this.pfn[first]!)) + list
    this.takeBulk(first, type, lengthOfList(c.words, head) + 1)
  }

  /**
   * Makes the bulk allocations that the recorded answer proves: pages before it on the list are gone.
   * Returns true when the allocation was made while the page lists were held.
   */
  private inferBulk(first: number, at: number, expected: number, order: number): boolean {
    const c = this.pages.context
    const words = c.words
    const type = this.migratetype[at]!
    const index = pcpListIndex(order, type)
    const head = currentPcp(c, zoneAt(c, expected)) + PCP_LISTS + index * 2
    const record = words[head + PAGE_NEXT]!
    if (first === at) {
      if (record === head || recordPfn(record) === expected || order !== 0) return false
      const depth = depthInList(words, head, expected)
      if (depth > 0) this.takeBulk(at, type, depth)
      return false
    }
    let depth = 0
    let found = false
    for (let i = first; i < at && !found; i++) {
      if (this.kind[i] !== FTRACE_ZONE_LOCKED) continue
      if (this.pfn[i] === expected) found = true
      else depth += 1
    }
    if (record !== head && order !== 0) return this.isSoftirq(at)
    const left = record === head ? 0 : lengthOfList(words, head)
    if (left > 0 && this.isSoftirq(at) && at === first + 1) return true
    // The bulk took what the list still had and, when the answer is not the refill's first, more.
    if (left + depth > 0 && found) this.takeBulk(first, type, left + depth)
    return false
  }

  private takeBulk(at: number, type: number, count: number): void {
    this.inferred.push({ line: this.events.line[at]!, kind: 'bulk', pages: count })
    // Any mask of that type will do: a bulk allocation only looks at the low watermark.
    allocPagesBulk(this.pages, __GFP_RECLAIM | (type << 3), count)
  }

  private isSoftirq(at: number): boolean {
    return (this.events.context[at]! & CONTEXT_MASK) === FTRACE_CONTEXT_INTERRUPT
  }

  // ---- Frees ----

  private free(): void {
    const at = this.next
    if (at >= this.runEnd) this.findRun(at)
    if (at === this.listStart) {
      this.freeList(at)
    } else {
      const pfn = this.ourFrame(this.pfn[at]!)
      const order = this.order[at]!
      const held = this.isSoftirq(at) && this.isHeld(at)
      this.frees += 1
      this.guarded(at, () => {
        this.makeFreeable(at, pfn, order)
        if (held) withPageListsHeld(this.pages, () => this.pages.freePages(pfn, order))
        else this.pages.freePages(pfn, order)
      })
      if (this.next === at) this.next += 1
    }
    // Drains that the kernel made and we did not.
    for (; this.kind[this.next] === FTRACE_PCPU_DRAIN; this.next++) this.differ('nothing')
  }

  /** Finds the run of frees that starts at `at`, and which of them are one list free at its end. */
  private findRun(at: number): void {
    let end = at
    while (this.kind[end] === FTRACE_PAGE_FREE) end += 1
    this.runEnd = end
    this.listStart = -1
    if (this.kind[end] !== FTRACE_PAGE_FREE_BATCHED) return
    const first = this.pfn[end]!
    for (let i = end - 1; i >= at; i--) {
      if (this.pfn[i] === first) {
        this.listStart = i
        return
      }
    }
  }

  private freeList(at: number): void {
    const list: Pfn[] = []
    this.guarded(at, () => {
      for (let i = at; i < this.runEnd; i++) {
        const pfn = this.ourFrame(this.pfn[i]!)
        this.makeFreeable(i, pfn, 0)
        list.push(pfn)
      }
      this.frees += list.length
      freePagesList(this.pages, list)
    })
    if (this.next < this.runEnd) this.next = this.runEnd
    for (;;) {
      const kind = this.kind[this.next]
      if (kind !== FTRACE_PAGE_FREE_BATCHED && kind !== FTRACE_PCPU_DRAIN) break
      this.differ('nothing')
      this.next += 1
    }
  }

  private ourFrame(traced: number): Pfn {
    if (this.moved.size === 0) return traced as Pfn
    const moved = this.moved.get(traced)
    if (moved === undefined) return traced as Pfn
    this.moved.delete(traced)
    return moved as Pfn
  }

  /** Lets a block be freed that was in use before the trace, or that was split without an event. */
  private makeFreeable(at: number, pfn: Pfn, order: number): void {
    const words = this.pages.words
    const record = pageRecord(pfn)
    if (words[record + PAGE_REFS] === 1 && flagsOrder(words[record + PAGE_FLAGS]!) === order) return
    const head = blockHead(words, pfn)
    if (head < 0) {
      adoptBlock(this.pages, pfn, order)
    } else if (words[pageRecord(head) + PAGE_REFS] === 1) {
      const own = flagsOrder(words[pageRecord(head) + PAGE_FLAGS]!)
      if (own <= order) return
      splitPage(this.pages, head as Pfn, own)
      this.inferred.push({ line: this.events.line[at]!, kind: 'split', pages: 1 << own })
    }
  }

  /**
   * True when the frees of this interrupt found the page lists held. All frees of one interrupt share
   * their fate. Where no later event tells it, they count as ordinary until a difference comes up.
   */
  private isHeld(at: number): boolean {
    if (at < this.burstEnd) return this.held
    const blocks = new Set<number>()
    let end = at
    while (this.kind[end] === FTRACE_PAGE_FREE && this.isSoftirq(end)) {
      // Blocks of other orders never go to the page lists, so they prove nothing.
      if (pcpAllowed(this.order[end]!)) blocks.add(this.pfn[end]!)
      end += 1
    }
    const fate = this.fates.fateOf(at, blocks, end)
    if (fate === 'unknown') this.fates.doubt(this.checkpoint())
    this.burstEnd = end
    this.held = fate === 'held'
    if (this.held) {
      this.inferred.push({ line: this.events.line[at]!, kind: 'held', pages: end - at })
    }
    return this.held
  }

  // ---- Going back ----

  /** After a new difference: goes back to where taking frees of an interrupt otherwise may avoid it. */
  reconsider(): void {
    const checkpoint = this.fates.reconsider(this.next, this.different)
    if (checkpoint !== null) this.restore(checkpoint)
  }

  private checkpoint(): Checkpoint {
    return {
      words: this.pages.words.slice(),
      next: this.next,
      moved: new Map(this.moved),
      counts: [this.identicalEvents, this.allocations, this.identicalAllocations, this.frees],
      different: this.different,
      inferred: this.inferred.length,
    }
  }

  private restore(checkpoint: Checkpoint): void {
    this.pages.words.set(checkpoint.words)
    this.next = checkpoint.next
    this.runEnd = 0
    this.burstEnd = 0
    this.moved.clear()
    for (const [traced, own] of checkpoint.moved) this.moved.set(traced, own)
    const [events, allocations, identical, frees] = checkpoint.counts
    this.identicalEvents = events
    this.allocations = allocations
    this.identicalAllocations = identical
    this.frees = frees
    this.different = checkpoint.different
    this.differences.length = Math.min(checkpoint.different, MAX_DIFFERENCES)
    this.inferred.length = checkpoint.inferred
  }

  /** Makes a call that a difference before, or a number of the trace that cannot be, may have made impossible. */
  private guarded(at: number, call: () => void): void {
    try {
      call()
    } catch (error) {
      if (!(error instanceof KernelBug || error instanceof InvalidArgument)) throw error
      this.differ(error.message.split('\n', 1).join(), at)
    }
  }
}

/** Position of a frame in a page list; -1 when it is not among the first. */
function depthInList(words: Int32Array, head: number, pfn: number): number {
  let record = words[head + PAGE_NEXT]!
  for (let depth = 0; depth < MAX_DEPTH && record !== head; depth++) {
    if (recordPfn(record) === pfn) return depth
    record = words[record + PAGE_NEXT]!
  }
  return -1
}

function lengthOfList(words: Int32Array, head: number): number {
  let length = 0
  for (let record = words[head + PAGE_NEXT]!; record !== head; length++) {
    record = words[record + PAGE_NEXT]!
  }
  return length
}
