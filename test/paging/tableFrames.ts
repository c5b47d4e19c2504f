/** A source of frames for tests of page tables: it counts, fails on purpose, and tells what was asked of it. */

import { InvalidArgument } from '../../src/base/errors'
import { PAGE_SIZE } from '../../src/base/units'
import type { FrameSource } from '../../src/page/frameSource'
import type { PageTableFormat } from '../../src/paging/format'
import { PageTables, type PageTablesOptions } from '../../src/paging/pageTables'
import type { PhysicalMemoryOptions } from '../../src/ram/backing'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

/** Frames handed out in ascending order from `next` on; those given back are used again, the last one first. */
export class TableFrames
  implements Pick<FrameSource, 'ram' | 'maxPfn' | 'allocPages' | 'freePages' | 'isBlock'>
{
  readonly ram: PhysicalMemory
  readonly maxPfn: number
  /** Frames in use. */
  readonly live = new Set<number>()
  /** What was asked: `+frame gfp`, `-frame`. */
  readonly log: string[] = []
  /** The next frame that has not been used yet. */
  next: number
  /** Requests until one fails; none does from -1 on. */
  failIn = -1
  private readonly free: number[] = []

  constructor(options: PhysicalMemoryOptions, next = 0) {
    this.ram = new PhysicalMemory(options)
    this.maxPfn = this.ram.end / PAGE_SIZE
    this.next = next
  }

  allocPages(gfp: number, order: number, node: number): number {
    if (order !== 0 || node !== -1) throw new InvalidArgument('order', order, '0, near any node')
    this.failIn--
    if (this.failIn === -1) return -1
    if (this.failIn < -1) this.failIn = -1
    const pfn = this.free.pop() ?? this.next++
    if (pfn >= this.maxPfn) return -1
    if ((gfp & 0x100) !== 0) this.ram.fill(pfn * PAGE_SIZE, PAGE_SIZE, 0)
    this.live.add(pfn)
    this.log.push(`+${pfn.toString(16)} ${gfp.toString(16)}`)
    return pfn
  }

  freePages(pfn: number, order: number): void {
    if (order !== 0 || !this.live.delete(pfn)) throw new Error(`frame ${pfn} is not in use`)
    this.free.push(pfn)
    this.log.push(`-${pfn.toString(16)}`)
  }

  /** What was asked since the last time. */
  asked(): string[] {
    return this.log.splice(0)
  }

  isBlock(pfn: number): boolean {
    return this.live.has(pfn)
  }
}

/** Page tables in frames of the source, which is all of one that they need. */
export function tablesIn(
  frames: TableFrames,
  format: PageTableFormat,
  options?: PageTablesOptions,
): PageTables {
  return new PageTables(frames as unknown as FrameSource, format, options)
}
