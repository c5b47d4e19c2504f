/**
 * Replays a captured page trace through an allocator and compares what it does with what the traced
 * kernel did, event by event.
 *
 * The trace does not tell everything: bulk allocations emit no event, and frees by an interrupt that
 * hit the CPU while it held its page lists look like any other. Where the events that follow prove
 * such a call, it is made too, and reported as inferred ({@link Inferred}).
 *
 * Source: spec/page-allocator-recordings.md §3.
 */

import { KernelBug } from '../base/errors'
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
import type { PageTrace } from '../state/trace'
import {
  FTRACE_CONTEXT_INTERRUPT,
  FTRACE_CONTEXT_KSOFTIRQD,
  FTRACE_EXTFRAG,
  FTRACE_EXTFRAG_CHANGE_OWNERSHIP,
  FTRACE_PAGE_ALLOC,
  FTRACE_PAGE_FREE,
  FTRACE_PAGE_FREE_BATCHED,
  FTRACE_PCPU_DRAIN,
  FTRACE_ZONE_LOCKED,
  type FtraceEvents,
  formatFtraceEvent,
} from './ftraceEvents'

/** Differences kept in full; further ones are only counted. */
const MAX_DIFFERENCES = 100
/** How deep a page is looked for in a page list before the trace is taken to differ. */
const MAX_DEPTH = 512
/** Context of an interrupt inside a task, as opposed to one that ksoftirqd runs. */
const CONTEXT_MASK = FTRACE_CONTEXT_INTERRUPT | FTRACE_CONTEXT_KSOFTIRQD

/** A call that no event tells of, inferred from the events that follow. */
export interface Inferred {
  /** The trace line that it comes before. */
  readonly line: number
  /**
   * `bulk`: a bulk allocation of `pages` single pages. `held`: `pages` blocks freed while the page
   * lists were held. `split`: a block split into `pages` single pages.
   */
  readonly kind: 'bulk' | 'held' | 'split'
  readonly pages: number
}

/** A place where the allocator did something else than the traced kernel. */
export interface Difference {
  /** Line of the trace event. */
  readonly line: number
  /** The event in the trace; `nothing` when the trace has none here. */
  readonly expected: string
  /** What the allocator did. */
  readonly actual: string
}

/** What came of a replay. */
export interface ReplayResult {
  /** Events in the trace. */
  readonly events: number
  /** Events that the allocator emitted at their place with the same fields. */
  readonly identicalEvents: number
  /** Allocations in the trace. */
  readonly allocations: number
  /** Allocations that were given the same frame. */
  readonly identicalAllocations: number
  /** Blocks freed. */
  readonly frees: number
  /** Differences in all. */
  readonly different: number
  /** The first hundred of them. */
  readonly differences: readonly Difference[]
  /** Calls that no event tells of. */
  readonly inferred: readonly Inferred[]
}

/** How to replay. */
export interface ReplayOptions {
  /**
   * `recorded`: the allocator holds the state before the trace, and every event is compared.
   * `own`: the trace is only a workload, on any allocator; frames are the allocator's own.
   */
  readonly addresses?: 'recorded' | 'own'
  /** Called now and then with the events done and the events there are. */
  readonly onProgress?: (done: number, total: number) => void
}

/** Events between two calls of `onProgress`. */
const PROGRESS_EVENTS = 8192

/**
 * Applies the events in order as calls of `pages`. The allocator must run on the CPU and node of the
 * trace; its trace listener is replaced for the time.
 *
 * Cost: that of the calls; about a third of a microsecond an event.
 */
export function replay(
  events: FtraceEvents,
  pages: BuddyAllocator,
  options: ReplayOptions = {},
): ReplayResult {
  if (options.addresses === 'own') return replayWorkload(events, pages, options)
  const replayer = new Replayer(events, pages)
  pages.setTrace(replayer)
  try {
    let report = PROGRESS_EVENTS
    while (replayer.next < events.count) {
      replayer.step()
      if (replayer.next >= report) {
        options.onProgress?.(replayer.next, events.count)
        report = replayer.next + PROGRESS_EVENTS
      }
    }
  } finally {
    pages.setTrace(null)
  }
  options.onProgress?.(events.count, events.count)
  return replayer.result()
}

/** Makes the trace's calls on any allocator: what was allocated in the trace is freed when it was there. */
function replayWorkload(
  events: FtraceEvents,
  pages: BuddyAllocator,
  options: ReplayOptions,
): ReplayResult {
  const own = new Map<number, { pfn: Pfn; order: number }>()
  let allocations = 0
  let frees = 0
  let different = 0
  for (let i = 0; i < events.count; i++) {
    if (i % PROGRESS_EVENTS === 0) options.onProgress?.(i, events.count)
    const traced = events.pfn[i]!
    if (events.kind[i] === FTRACE_PAGE_ALLOC) {
      allocations += 1
      const order = events.order[i]!
      const pfn = pages.allocPages(events.gfp[i]! >>> 0, order)
      if (pfn === null || traced < 0) different += pfn === null && traced < 0 ? 0 : 1
      else own.set(traced, { pfn, order })
      if (pfn !== null && traced < 0) pages.freePages(pfn, order)
    } else if (events.kind[i] === FTRACE_PAGE_FREE) {
      const block = own.get(traced)
      if (block === undefined) continue
      own.delete(traced)
      frees += 1
      pages.freePages(block.pfn, block.order)
    }
  }
  options.onProgress?.(events.count, events.count)
  return {
    events: events.count,
    identicalEvents: 0,
    allocations,
    identicalAllocations: 0,
    frees,
    different,
    differences: [],
    inferred: [],
  }
}

/** One replay: makes the calls, and as listener compares what they emit with the trace at `next`. */
class Replayer implements PageTrace {
  /** The first event that is not accounted for. */
  next = 0
  private readonly events: FtraceEvents
  private readonly pages: BuddyAllocator
  private readonly kind: Int32Array
  private readonly pfn: Int32Array
  private readonly order: Int32Array
  private readonly migratetype: Int32Array
  /** End of the run of frees that `next` is in, and where in it the list free starts. */
  private runEnd = 0
  private listStart = 0
  /** Until this event, frees of an interrupt share the fate `held`. */
  private burstEnd = 0
  private held = false
  /** Frames that the trace calls otherwise than we do, since a difference. */
  private readonly moved = new Map<number, number>()
  private identicalEvents = 0
  private allocations = 0
  private identicalAllocations = 0
  private frees = 0
  private different = 0
  private readonly differences: Difference[] = []
  private readonly inferred: Inferred[] = []

  constructor(events: FtraceEvents, pages: BuddyAllocator) {
    this.events = events
    this.pages = pages
    this.kind = events.kind
    this.pfn = events.pfn
    this.order = events.order
    this.migratetype = events.migratetype
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
      // A refill whose allocation the trace lost, or the end of the trace.
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
      const depth = this.depthInList(head, expected)
      if (depth > 0) this.takeBulk(at, type, depth)
      return false
    }
    let depth = 0
    for (let i = first; i < at && this.pfn[i] !== expected; i++) {
      if (this.kind[i] === FTRACE_ZONE_LOCKED) depth += 1
    }
    if (record !== head && order !== 0) return this.isSoftirq(at)
    const left = record === head ? 0 : this.lengthOfList(head)
    if (left > 0 && this.isSoftirq(at) && at === first + 1) return true
    // The bulk took what the list still had and, when the answer is not the refill's first, more.
    if (left + depth > 0 && depth < at - first) this.takeBulk(first, type, left + depth)
    return false
  }

  /** Position of a frame in a page list; -1 when it is not among the first. */
  private depthInList(head: number, pfn: number): number {
    const words = this.pages.words
    let record = words[head + PAGE_NEXT]!
    for (let depth = 0; depth < MAX_DEPTH && record !== head; depth++) {
      if (recordPfn(record) === pfn) return depth
      record = words[record + PAGE_NEXT]!
    }
    return -1
  }

  private lengthOfList(head: number): number {
    const words = this.pages.words
    let length = 0
    for (let record = words[head + PAGE_NEXT]!; record !== head; length++) {
      record = words[record + PAGE_NEXT]!
    }
    return length
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
   * their fate, and the next event about one of the blocks tells it: a drain, or an allocation
   * straight from a list, proves that they went to the lists, a block taken that covers it that not.
   */
  private isHeld(at: number): boolean {
    if (at < this.burstEnd) return this.held
    const blocks = new Map<number, number>()
    let end = at
    while (this.kind[end] === FTRACE_PAGE_FREE && this.isSoftirq(end)) {
      blocks.set(this.pfn[end]!, this.order[end]!)
      end += 1
    }
    this.burstEnd = end
    this.held = this.burstIsHeld(blocks, end)
    if (this.held) {
      this.inferred.push({ line: this.events.line[at]!, kind: 'held', pages: end - at })
    }
    return this.held
  }

  private burstIsHeld(blocks: ReadonlyMap<number, number>, from: number): boolean {
    for (let i = from; i < this.events.count; i++) {
      const pfn = this.pfn[i]!
      if (this.kind[i] === FTRACE_ZONE_LOCKED) {
        const end = pfn + (1 << this.order[i]!)
        for (const block of blocks.keys()) if (block >= pfn && block < end) return true
      } else if (blocks.has(pfn)) {
        return false
      }
    }
    return false
  }

  /** Makes a call that a difference before may have made impossible. */
  private guarded(at: number, call: () => void): void {
    try {
      call()
    } catch (error) {
      if (!(error instanceof KernelBug)) throw error
      this.differ(error.message.split('\n')[0] ?? error.code, at)
    }
  }

  // ---- What the calls emit ----

  pageAlloc(pfn: number, order: number, gfp: number, migratetype: number): void {
    const at = this.next
    const same =
      this.kind[at] === FTRACE_PAGE_ALLOC &&
      this.pfn[at] === pfn &&
      this.order[at] === order &&
      this.migratetype[at] === migratetype &&
      this.events.gfp[at] === gfp
    this.account(same, 'mm_page_alloc', pfn, order)
  }

  pageFree(pfn: number, order: number): void {
    const at = this.next
    const same =
      this.kind[at] === FTRACE_PAGE_FREE && this.pfn[at] === pfn && this.order[at] === order
    this.account(same, 'mm_page_free', pfn, order)
  }

  pageFreeBatched(pfn: number): void {
    const at = this.next
    const same = this.kind[at] === FTRACE_PAGE_FREE_BATCHED && this.pfn[at] === pfn
    this.account(same, 'mm_page_free_batched', pfn, 0)
  }

  zoneLocked(pfn: number, order: number, migratetype: number, percpuRefill: boolean): void {
    const at = this.next
    const same =
      this.kind[at] === FTRACE_ZONE_LOCKED &&
      this.pfn[at] === pfn &&
      this.order[at] === order &&
      this.migratetype[at] === migratetype &&
      this.events.detail[at] === (percpuRefill ? 1 : 0)
    this.account(same, 'mm_page_alloc_zone_locked', pfn, order)
  }

  pcpuDrain(pfn: number, order: number, migratetype: number): void {
    const at = this.next
    const same =
      this.kind[at] === FTRACE_PCPU_DRAIN &&
      this.pfn[at] === pfn &&
      this.order[at] === order &&
      this.migratetype[at] === migratetype
    this.account(same, 'mm_page_pcpu_drain', pfn, order)
  }

  extfrag(
    pfn: number,
    allocOrder: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void {
    const at = this.next
    const detail = this.events.detail[at]!
    const same =
      this.kind[at] === FTRACE_EXTFRAG &&
      this.pfn[at] === pfn &&
      this.order[at] === allocOrder &&
      this.migratetype[at] === allocType &&
      (detail & 0xff) === fallbackOrder &&
      ((detail >> 8) & 0xff) === fallbackType &&
      ((detail & FTRACE_EXTFRAG_CHANGE_OWNERSHIP) !== 0) === changeOwnership
    this.account(same, 'mm_page_alloc_extfrag', pfn, allocOrder)
  }

  private account(same: boolean, name: string, pfn: number, order: number): void {
    if (same) {
      this.identicalEvents += 1
      this.next += 1
    } else {
      this.differ(`${name}: pfn=0x${pfn.toString(16)} order=${order}`)
    }
  }

  private differ(actual: string, at = this.next): void {
    this.different += 1
    if (this.differences.length >= MAX_DIFFERENCES) return
    const inside = at < this.events.count
    this.differences.push({
      line: inside ? this.events.line[at]! : -1,
      expected: inside ? formatFtraceEvent(this.events, at) : 'nothing',
      actual,
    })
  }
}
