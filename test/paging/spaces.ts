/** Machines, formats and page sources for tests of virtual memory. */

import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import type { FrameSource } from '../../src/page/frameSource'
import { GFP_KERNEL } from '../../src/page/gfp'
import { ARM64, ARM64_39 } from '../../src/paging/arm64Format'
import type { PageTableFormat } from '../../src/paging/format'
import { SV39, SV48, SV57 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64, X86_64_LA57 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'

/** Every format, by its name. */
export const FORMATS: readonly (readonly [string, PageTableFormat])[] = [
  X86_64,
  X86_64_LA57,
  I386,
  I386_PAE,
  SV39,
  SV48,
  SV57,
  ARM64,
  ARM64_39,
].map((format) => [format.name, format] as const)

/** Numbers in [0, limit), the same ones each time. */
export function numbers(seed: number): (limit: number) => number {
  let state = seed >>> 0
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const high = state
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(((high * 2097152 + (state >>> 11)) / 2 ** 53) * limit)
  }
}

/** A page allocator whose requests can fail, and what it has handed out. */
export interface Source extends FrameSource {
  /** Requests until one fails; none does from -1 on. */
  failIn: number
  /** Blocks handed out and not given back. */
  readonly live: Set<number>
}

/** A machine with an allocator, seen through a source that counts. */
export function machine(options: { mib?: number; ram?: PhysicalMemory } = {}): {
  ram: PhysicalMemory
  pages: BuddyAllocator
  source: Source
} {
  const ram = options.ram ?? new PhysicalMemory({ size: (options.mib ?? 16) * 1048576 })
  const pages = new BuddyAllocator({ ram })
  const real = frameSource(pages)
  const live = new Set<number>()
  const source: Source = {
    ...real,
    failIn: -1,
    live,
    allocPages(gfp, order, node) {
      if (source.failIn >= 0 && source.failIn-- === 0) return -1
      const pfn = real.allocPages(gfp, order, node)
      if (pfn >= 0) live.add(pfn)
      return pfn
    },
    freePages(pfn, order) {
      if (!live.delete(pfn)) throw new Error(`frame ${pfn} was not handed out`)
      real.freePages(pfn, order)
    },
  }
  return { ram, pages, source }
}

/** Takes `count` frames of the allocator, in an order that is no order. */
export function scattered(pages: BuddyAllocator, count: number, next = numbers(7)): number[] {
  const pfns: number[] = []
  for (let i = 0; i < count; i++) {
    const pfn = pages.allocPages(GFP_KERNEL)
    if (pfn === null) throw new Error('no page')
    pfns.splice(next(pfns.length + 1), 0, pfn)
  }
  return pfns
}

/** What a call throws, or null. */
export function thrown(call: () => unknown): unknown {
  try {
    call()
    return null
  } catch (error) {
    return error
  }
}
