/** What the page allocator needs to know of memory at boot: what there is, and what is taken. */

import { PAGE_SIZE } from '../base/units'

/** A range of memory, in bytes. */
export interface BootRange {
  /** First byte. */
  readonly base: number
  /** Bytes. */
  readonly size: number
  /** Node of the memory, 0 when not given. */
  readonly node?: number
  /** memblock flags: 4 (NOMAP) keeps the range out of the allocator. */
  readonly flags?: number
}

/** Memory and reserved ranges, each ascending and without overlaps: a `Memblock` has both. */
export interface BootMemory {
  /** What there is. */
  readonly memory: readonly BootRange[]
  /** What is taken of it; may reach beyond memory. */
  readonly reserved: readonly BootRange[]
}

/** A run of whole page frames `[start, end)`. */
export interface FrameRun {
  readonly start: number
  readonly end: number
}

/** memblock flag of memory that the kernel does not map. */
const NOMAP = 4

/** The whole frames of memory, with their node; neighbours of one node are one range. */
export function memoryFrames(boot: BootMemory): { start: number; end: number; node: number }[] {
  const frames: { start: number; end: number; node: number }[] = []
  for (const range of boot.memory) {
    const start = Math.ceil(range.base / PAGE_SIZE)
    const end = Math.floor((range.base + range.size) / PAGE_SIZE)
    if (start < end) frames.push({ start, end, node: range.node ?? 0 })
  }
  return frames
}

/** The whole frames that are memory and not reserved, ascending: what is handed over. */
export function freeFrames(boot: BootMemory): FrameRun[] {
  const runs: FrameRun[] = []
  for (const range of boot.memory) {
    if (((range.flags ?? 0) & NOMAP) !== 0) continue
    const end = range.base + range.size
    let at = range.base
    for (const taken of boot.reserved) {
      addRun(runs, at, Math.min(end, taken.base))
      at = Math.max(at, taken.base + taken.size)
    }
    addRun(runs, at, end)
  }
  return runs
}

/** The frames that a reserved range touches, ascending. */
export function reservedFrames(boot: BootMemory): FrameRun[] {
  const reserved = boot.reserved.concat(
    boot.memory.filter((range) => ((range.flags ?? 0) & NOMAP) !== 0),
  )
  return reserved.map((range) => ({
    start: Math.floor(range.base / PAGE_SIZE),
    end: Math.ceil((range.base + range.size) / PAGE_SIZE),
  }))
}

/** Adds the whole frames of bytes [from, to), if there are any. */
function addRun(runs: FrameRun[], from: number, to: number): void {
  const start = Math.ceil(from / PAGE_SIZE)
  const end = Math.floor(to / PAGE_SIZE)
  if (start < end) runs.push({ start, end })
}
