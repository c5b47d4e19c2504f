/**
 * Who owns each page: a kernel's `page_owner`. It listens to the page events, and keeps for each frame who
 * allocated it, with which mask, and when. Nothing of it is in the state buffer.
 *
 * Splitting a block emits no event, so the order of a block is what its page record says now: each page of a
 * split block is then a block of its own, of the same owner.
 *
 * Source: spec/pressure.md §13.4.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type Log, noLog } from '../base/log'
import type { Pfn } from '../base/units'
import { BuddyAllocator } from '../buddy/buddyAllocator'
import { checkFrame, checkRequest } from '../buddy/checks'
import { type BuddyContext, listen } from '../buddy/context'
import { freshEnd } from '../page/freshBlocks'
import { blockHead, flagsOrder, pageRecord } from '../page/memmap'
import { PG_RESERVED } from '../page/pageFlags'
import { PAGE_BUDDY, PAGE_FLAGS, PAGE_REFS } from '../state/schema'
import { noPageTrace, type PageTrace } from '../state/trace'
import { zoneOfPfn } from '../zone/zones'
import { earlyPagesLog } from './pageOwnerText'
import { untilItThrows } from './untilItThrows'

/**
 * Options of {@link pageOwner}. Functions are called from within the allocator: they must not call it. One that throws
 * is not asked again, see {@link PageOwner.failures}.
 */
export interface PageOwnerOptions {
  /**
   * The stack of whoever allocates, such as `f+0x10/0x20`; a line for each frame, innermost first. Nobody is
   * named without it.
   */
  readonly caller?: () => string
  /** The time, nanoseconds from 0 to 2^53. Without it events are counted: 1, 2, 3 … */
  readonly clock?: () => number
  /** The number of the running task; always 0 when not given. */
  readonly pid?: () => number
  /** Receives how many pages were in use already, a line for each zone. */
  readonly log?: Log
}

/** Who owns a block of pages, as of its allocation. */
export interface PageOwnerRecord {
  /** First frame of the block. */
  readonly pfn: Pfn
  /** The block's order now; 0 for a page of a block that was split. */
  readonly order: number
  /** The mask that it was allocated with. */
  readonly gfp: number
  /** The task. */
  readonly pid: number
  /** Its name, at most 15 characters. */
  readonly task: string
  /** When it was allocated. Nanoseconds, or the number of the event. */
  readonly time: number
  /** When the frame was last freed; 0 for never. */
  readonly freeTime: number
  /** The stack; `early` for a page that was in use before anybody looked; '' for nobody. */
  readonly caller: string
}

/** A task at a place in the code. */
interface Owner {
  readonly pid: number
  readonly task: string
  readonly caller: string
}

/** Characters of a task's name that are kept. */
const TASK_LENGTH = 15
/** Who owns pages that were in use before: the first in the table of owners. */
const EARLY = 1

/** Owners of pages, from {@link pageOwner}. Memory: 24 bytes a frame, and each distinct caller. */
export class PageOwner {
  /** The allocator that it listens to. */
  readonly pages: BuddyAllocator
  /**
   * What the functions of the options threw. Such a function is not asked again: the default is in its place, as a
   * call of the allocator has to come to its end.
   */
  readonly failures: readonly unknown[]
  private readonly sources: Readonly<Required<PageOwnerOptions>>
  private readonly before: PageTrace | null
  private readonly trace: PageTrace
  private active = true
  private events = 0
  // By frame: what the last allocation was, and its owner; 0 for none.
  private readonly masks: Int32Array
  private readonly ids: Int32Array
  private readonly times: Float64Array
  private readonly freeTimes: Float64Array
  private readonly owners: Owner[]
  private readonly known = new Map<string, number>()

  /** @internal */
  constructor(pages: BuddyAllocator, options: PageOwnerOptions) {
    const c = pages.context
    this.pages = pages
    const failures: unknown[] = []
    this.failures = failures
    this.sources = {
      caller: untilItThrows(options.caller, () => '', failures),
      clock: untilItThrows(options.clock, () => this.events, failures),
      pid: untilItThrows(options.pid, () => 0, failures),
      log: untilItThrows(options.log, noLog, failures),
    }
    this.masks = new Int32Array(c.maxPfn)
    this.ids = new Int32Array(c.maxPfn)
    this.times = new Float64Array(c.maxPfn)
    this.freeTimes = new Float64Array(c.maxPfn)
    const nobody = { pid: 0, task: '', caller: '' }
    this.owners = [nobody, { ...nobody, task: taskOf(c), caller: 'early' }]
    this.before = c.tracing ? c.trace : null
    this.trace = this.listener(this.before ?? noPageTrace)
    const early = this.findEarly(c)
    for (const line of earlyPagesLog(c.words, early)) this.sources.log(line)
    c.owned = true
    listen(c, this.trace)
  }

  /**
   * Who owns the block that holds frame `pfn`; null for a page that is free or that nobody is known to own.
   * @throws InvalidArgument unless `pfn` is an integer from 0 up.
   */
  ownerOf(pfn: number): PageOwnerRecord | null {
    const c = this.pages.context
    checkInteger('pfn', pfn, 0, Number.MAX_SAFE_INTEGER)
    if (pfn >= c.maxPfn) return null
    const head = blockHead(c.words, pfn)
    return head >= 0 && isInUse(c, head) ? this.recordAt(pfn, head) : null
  }

  /**
   * Owners of all blocks in use, ascending. Pages that were in use early come one by one, of order 0, as the
   * kernel has them. Cost: a walk over all frames. Do not call the allocator before the end.
   */
  *records(): Generator<PageOwnerRecord> {
    const c = this.pages.context
    const { words } = c
    for (let pfn = freshEnd(words, 0); pfn < c.maxPfn; ) {
      const flags = words[pageRecord(pfn) + PAGE_FLAGS]!
      const heads = (flags & PAGE_BUDDY) !== 0 || words[pageRecord(pfn) + PAGE_REFS] !== 0
      const end = heads ? pfn + (1 << flagsOrder(flags)) : pfn + 1
      if (isInUse(c, pfn)) {
        const record = this.recordAt(pfn, pfn)
        if (this.ids[pfn] !== EARLY) {
          if (record !== null) yield record
        } else {
          for (let page = pfn; page < end; page++) {
            const each = this.recordAt(page, page)
            if (each !== null) yield { ...each, order: 0 }
          }
        }
      }
      pfn = freshEnd(words, end)
    }
  }

  /**
   * Names the running task, and the caller of now, as the owner of pages in use that no event told of, such as
   * those of `allocContigRange`.
   * @param count pages from `pfn` on, at least 1.
   * @throws InvalidArgument, with nothing changed, when one of them is not in use; KernelBug for a frame above
   * all memory.
   */
  claim(pfn: Pfn, count: number, gfp = 0): void {
    const c = this.pages.context
    checkFrame(c, pfn)
    checkInteger('count', count, 1, c.maxPfn - pfn)
    checkRequest(c, gfp, 0)
    for (let page: number = pfn; page < pfn + count; page++) {
      const head = blockHead(c.words, page)
      if (head < 0 || !isInUse(c, head)) throw new InvalidArgument('pfn', page, 'a page in use')
    }
    this.noteAlloc(pfn, count, gfp)
  }

  /** Stops listening: nothing is known of what happens from now on. The listener of before is alone again. */
  stop(): void {
    if (!this.active) return
    const c = this.pages.context
    this.active = false
    c.owned = false
    // Somebody else may listen by now, and tell this listener: then it stays, and only passes events on.
    if (c.trace === this.trace) listen(c, this.before)
  }

  /** Passes events on to `next`, and notes allocations and frees. */
  private listener(next: PageTrace): PageTrace {
    return {
      pageAlloc: (pfn, order, gfp, type) => {
        next.pageAlloc(pfn, order, gfp, type)
        if (this.active && pfn >= 0) this.noteAlloc(pfn, 1 << order, gfp)
      },
      pageFree: (pfn, order) => {
        next.pageFree(pfn, order)
        if (this.active) this.noteFree(pfn, 1 << order)
      },
      pageFreeBatched: (pfn) => next.pageFreeBatched(pfn),
      zoneLocked: (pfn, order, type, refill) => next.zoneLocked(pfn, order, type, refill),
      pcpuDrain: (pfn, order, type) => next.pcpuDrain(pfn, order, type),
      extfrag: (pfn, order, fallbackOrder, type, fallbackType, change) =>
        next.extfrag(pfn, order, fallbackOrder, type, fallbackType, change),
    }
  }

  private noteAlloc(pfn: number, count: number, gfp: number): void {
    this.events += 1
    const id = this.ownerId()
    const time = this.sources.clock()
    this.masks.fill(gfp, pfn, pfn + count)
    this.ids.fill(id, pfn, pfn + count)
    this.times.fill(time, pfn, pfn + count)
  }

  private noteFree(pfn: number, count: number): void {
    this.events += 1
    this.ids.fill(0, pfn, pfn + count)
    this.freeTimes.fill(this.sources.clock(), pfn, pfn + count)
  }

  /** Place of the running task, at the caller of now, in the table of owners. */
  private ownerId(): number {
    const { caller, pid } = this.sources
    const owner = {
      pid: pid(),
      task: taskOf(this.pages.context),
      caller: String(caller()),
    }
    const key = `${owner.pid} ${owner.task}\n${owner.caller}`
    let id = this.known.get(key)
    if (id === undefined) {
      id = this.owners.length
      this.owners.push(owner)
      this.known.set(key, id)
    }
    return id
  }

  /** What is known of frame `pfn` of the block in use at `head`. */
  private recordAt(pfn: number, head: number): PageOwnerRecord | null {
    const id = this.ids[pfn]!
    const owner = this.owners[id]
    if (id === 0 || owner === undefined) return null
    return {
      pfn: head as Pfn,
      order: flagsOrder(this.pages.words[pageRecord(head) + PAGE_FLAGS]!),
      gfp: this.masks[pfn]! >>> 0,
      ...owner,
      time: this.times[pfn]!,
      freeTime: this.freeTimes[pfn]!,
    }
  }

  /** Notes the pages that are in use at the start; returns how many each zone has, by its record. */
  private findEarly(c: BuddyContext): Map<number, number> {
    const found = new Map<number, number>()
    for (let pfn = 0; pfn < c.maxPfn; pfn = freshEnd(c.words, pfn + 1)) {
      if (!isInUse(c, pfn)) continue
      const flags = c.words[pageRecord(pfn) + PAGE_FLAGS]!
      const end = pfn + (1 << flagsOrder(flags))
      const zone = zoneOfPfn(c.words, pfn)
      found.set(zone, (found.get(zone) ?? 0) + end - pfn)
      this.ids.fill(EARLY, pfn, end)
      pfn = end - 1
    }
    return found
  }
}

/**
 * Remembers from now on who allocates pages, until {@link PageOwner.stop}. A listener that is there is told as
 * before. As in a kernel, bulk allocations give single pages meanwhile, so that each page has an owner.
 *
 * ```ts
 * const owner = pageOwner(pages, { caller: () => 'load_level+0x1c/0x80' })
 * const pfn = pages.allocPages(GFP_KERNEL, 3)
 * console.log(formatPageOwner(owner))
 * ```
 * @throws InvalidArgument for wrong options, and while another one listens to the allocator.
 */
export function pageOwner(pages: BuddyAllocator, options: PageOwnerOptions = {}): PageOwner {
  if (!(pages instanceof BuddyAllocator)) {
    throw new InvalidArgument('pages', pages, 'a BuddyAllocator')
  }
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgument('options', options, 'an object')
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && typeof value !== 'function') {
      throw new InvalidArgument(name, value, 'a function')
    }
  }
  if (pages.context.owned) {
    throw new InvalidArgument('pages', pages, 'an allocator whose owners nobody keeps yet')
  }
  return new PageOwner(pages, options)
}

/** Whether a block that somebody allocated starts at `pfn`. */
function isInUse({ words }: BuddyContext, pfn: number): boolean {
  const record = pageRecord(pfn)
  return words[record + PAGE_REFS]! > 0 && (words[record + PAGE_FLAGS]! & PG_RESERVED) === 0
}

function taskOf(c: BuddyContext): string {
  return c.taskName.slice(0, TASK_LENGTH)
}
