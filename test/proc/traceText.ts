/** A small machine, and its page events as ftrace text. */

import { type BuddyAllocator, formatGfp, loadZones, type PageTrace, type ZoneState } from 'kmem'
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
