/** A small machine, random calls on it, and its page events as ftrace text. */

import fc from 'fast-check'
import {
  __GFP_MOVABLE,
  __GFP_RECLAIMABLE,
  type BuddyAllocator,
  formatGfp,
  freePagesList,
  GFP_KERNEL,
  loadZones,
  type PageTrace,
  type Pfn,
  type ZoneState,
} from 'kmem'
import { zoneOf } from './fixtures'

const PAGES = 16384

/** 64 MiB in one zone, all free in blocks of order 10. CPU page lists are refilled with 15 pages. */
export function smallMachine(): BuddyAllocator {
  const blocks = Array.from({ length: PAGES / 1024 }, (_, i) => i * 1024)
  const zone = zoneOf({
    name: 'Normal',
    startPfn: 0,
    spanned: PAGES,
    free: PAGES,
    watermark: { min: 64, low: 80, high: 96 },
    pcp: { count: 0, high: 90, batch: 15, freeFactor: 0, lists: {} },
    freeLists: { 10: { 1: blocks } },
  })
  return loadZones([zone as ZoneState])
}

/** Listens to an allocator and keeps a line of ftrace text for each event. */
export class TraceText implements PageTrace {
  /** The third flag character of the lines to come: `s` in a softirq, `.` in a task. */
  interrupt: '.' | 's' = '.'
  /** Name of the task that runs. */
  task = 'work'
  readonly lines: string[] = []

  get text(): string {
    return `# tracer: nop\n#\n${this.lines.join('\n')}\n`
  }

  pageAlloc(pfn: number, order: number, gfp: number, migratetype: number): void {
    const flags = formatGfp(gfp) || 'none'
    const frame = pfn < 0 ? '0xffffffffffffffff' : `0x${pfn.toString(16)}`
    this.add(
      'mm_page_alloc',
      `pfn=${frame} order=${order} migratetype=${migratetype} gfp_flags=${flags}`,
    )
  }

  pageFree(pfn: number, order: number): void {
    this.add('mm_page_free', `pfn=0x${pfn.toString(16)} order=${order}`)
  }

  pageFreeBatched(pfn: number): void {
    this.add('mm_page_free_batched', `pfn=0x${pfn.toString(16)} order=0`)
  }

  zoneLocked(pfn: number, order: number, migratetype: number, percpuRefill: boolean): void {
    const place = `pfn=0x${pfn.toString(16)} order=${order} migratetype=${migratetype}`
    this.add('mm_page_alloc_zone_locked', `${place} percpu_refill=${percpuRefill ? 1 : 0}`)
  }

  pcpuDrain(pfn: number, order: number, migratetype: number): void {
    const place = `pfn=0x${pfn.toString(16)} order=${order} migratetype=${migratetype}`
    this.add('mm_page_pcpu_drain', place)
  }

  extfrag(
    pfn: number,
    allocOrder: number,
    fallbackOrder: number,
    allocType: number,
    fallbackType: number,
    changeOwnership: boolean,
  ): void {
    this.add(
      'mm_page_alloc_extfrag',
      `pfn=0x${pfn.toString(16)} alloc_order=${allocOrder} fallback_order=${fallbackOrder} ` +
        `pageblock_order=9 alloc_migratetype=${allocType} fallback_migratetype=${fallbackType} ` +
        `fragmenting=${fallbackOrder < 9 ? 1 : 0} change_ownership=${changeOwnership ? 1 : 0}`,
    )
  }

  private add(event: string, fields: string): void {
    const time = ((this.lines.length + 1) / 1e6).toFixed(6)
    this.lines.push(
      `${this.task.padStart(16)}-7       [000] ..${this.interrupt}..     ${time}: ${event}: page=(____ptrval____) ${fields}`,
    )
  }
}

/** One call of a random sequence; numbers pick order, type and block. */
export const callArbitrary = fc.record({
  kind: fc.constantFrom('take', 'take', 'take', 'free', 'free', 'interrupt', 'list', 'drop'),
  order: fc.constantFrom(0, 0, 0, 0, 1, 2, 3, 5, 9, 10),
  gfp: fc.constantFrom(GFP_KERNEL, GFP_KERNEL | __GFP_MOVABLE, GFP_KERNEL | __GFP_RECLAIMABLE),
  times: fc.integer({ min: 1, max: 40 }),
  pick: fc.nat(),
})
type Call = typeof callArbitrary extends fc.Arbitrary<infer T> ? T : never

/** Makes such calls on an allocator whose events go to `trace`. */
export class CallPlayer {
  private readonly pages: BuddyAllocator
  private readonly trace: TraceText
  private readonly live: { pfn: Pfn; order: number }[] = []

  constructor(pages: BuddyAllocator, trace: TraceText) {
    this.pages = pages
    this.trace = trace
  }

  play(calls: readonly Call[]): void {
    for (const step of calls) this.make(step)
  }

  private make(step: Call): void {
    const { kind, order, gfp, times, pick } = step
    if (kind === 'take') {
      for (let i = 0; i < times >> order; i++) {
        const pfn = this.pages.allocPages(gfp, order)
        if (pfn !== null) this.live.push({ pfn, order })
      }
    } else if (kind === 'list') {
      // A list of one page has the events of an ordinary free, and does the same.
      const single = this.live.filter((block) => block.order === 0).slice(0, times + 1)
      if (single.length < 2) return
      for (const block of single) this.live.splice(this.live.indexOf(block), 1)
      freePagesList(
        this.pages,
        single.map((block) => block.pfn),
      )
    } else {
      this.trace.interrupt = kind === 'interrupt' ? 's' : '.'
      for (let i = 0; i < times; i++) this.free(kind === 'drop' ? this.live.length - 1 : pick)
      this.trace.interrupt = '.'
    }
  }

  private free(pick: number): void {
    const [block] = this.live.splice(pick % Math.max(1, this.live.length), 1)
    if (block !== undefined) this.pages.freePages(block.pfn, block.order)
  }
}
