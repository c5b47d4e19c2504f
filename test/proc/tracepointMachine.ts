/** A machine for tests of tracepoints, a script for it, and a listener that knows nothing of tracepoints. */

import { LAYOUT_X86_64 } from '../../src/base/layout'
import { MiB, type Pfn, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { freePagesList } from '../../src/buddy/freeList'
import { inInterrupt, onCpu } from '../../src/buddy/running'
import { __GFP_MOVABLE, __GFP_RECLAIMABLE, __GFP_ZERO, GFP_KERNEL } from '../../src/page/gfp'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import type { SlabTrace } from '../../src/slab/context'
import { Kmalloc } from '../../src/slab/kmalloc'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { SlabCache } from '../../src/slab/slabCache'
import type { PageTrace } from '../../src/state/trace'

/** A machine of 12 MiB with two CPUs. */
export interface TracedMachine {
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly heap: Kmalloc
  readonly cache: SlabCache
}

export function tracedMachine(): TracedMachine {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 12 * MiB }), cpus: 2 })
  const slabs = new SlabAllocator(pages, { layout: LAYOUT_X86_64 })
  slabs.context.caller = 'work+0x1c/0x80'
  const cache = new SlabCache(slabs, { name: 'inode_cache', size: 600 })
  return { pages, slabs, heap: new Kmalloc(slabs), cache }
}

/** Numbers from `seed` on, in [0, limit). */
export function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return (state >>> 8) % limit
  }
}

/** Calls of every kind; together they make every event there is. */
export function runScript(machine: TracedMachine, seed: number, steps: number): void {
  const { pages, heap, cache } = machine
  const random = numbers(seed)
  const blocks: { pfn: Pfn; order: number }[] = []
  const objects: VirtAddr[] = []
  const inodes: VirtAddr[] = []
  const masks = [GFP_KERNEL, GFP_KERNEL | __GFP_MOVABLE, GFP_KERNEL | __GFP_RECLAIMABLE]
  const step = () => {
    const choice = random(10)
    if (choice < 3) {
      const order = [0, 0, 0, 1, 3, 6, 10][random(7)] ?? 0
      const pfn = pages.allocPages(masks[random(3)] ?? GFP_KERNEL, order)
      if (pfn !== null) blocks.push({ pfn, order })
    } else if (choice < 5) {
      for (let n = random(20); n >= 0; n--) {
        const [block] = blocks.splice(random(blocks.length + 1), 1)
        if (block !== undefined) pages.freePages(block.pfn, block.order)
      }
    } else if (choice === 5) {
      const single = blocks.filter(({ order }) => order === 0).slice(0, 8)
      for (const block of single) blocks.splice(blocks.indexOf(block), 1)
      if (single.length > 0)
        freePagesList(
          pages,
          single.map(({ pfn }) => pfn),
        )
    } else if (choice === 6) {
      const p = heap.kmalloc(
        1 + random(12_000),
        GFP_KERNEL | (random(2) * __GFP_ZERO),
        random(2) - 1,
      )
      if (p !== null) objects.push(p)
    } else if (choice === 7) {
      heap.kfree(objects.splice(random(objects.length + 1), 1)[0] ?? null)
    } else if (choice === 8) {
      const inode = cache.alloc()
      if (inode !== null) inodes.push(inode)
    } else {
      const [inode] = inodes.splice(random(inodes.length + 1), 1)
      if (inode !== undefined) cache.free(inode)
    }
  }
  for (let i = 0; i < steps; i++) {
    const where = random(8)
    if (where === 0) onCpu(pages, 1, step)
    else if (where === 1) inInterrupt(pages, step)
    else step()
  }
  // Until memory runs out, types are stolen from each other, and an allocation fails.
  const last: Pfn[] = []
  for (let pfn = pages.allocPages(GFP_KERNEL, 0); ; pfn = pages.allocPages(GFP_KERNEL, 0)) {
    if (pfn === null) break
    last.push(pfn)
  }
  for (const pfn of last) pages.freePages(pfn)
}

/** Writes each event down as a list of values, with where it happened. */
export class Recorder {
  readonly list: unknown[][] = []
  private readonly machine: TracedMachine

  constructor(machine: TracedMachine) {
    this.machine = machine
  }

  readonly page: PageTrace = {
    pageAlloc: (...fields) => this.add('mm_page_alloc', fields),
    pageFree: (...fields) => this.add('mm_page_free', fields),
    pageFreeBatched: (...fields) => this.add('mm_page_free_batched', fields),
    zoneLocked: (...fields) => this.add('mm_page_alloc_zone_locked', fields),
    pcpuDrain: (...fields) => this.add('mm_page_pcpu_drain', fields),
    extfrag: (...fields) => this.add('mm_page_alloc_extfrag', fields),
  }

  readonly slab: SlabTrace = {
    kmalloc: (...fields) => this.add('kmalloc', fields),
    cacheAlloc: (...fields) => this.add('kmem_cache_alloc', fields),
    kfree: (...fields) => this.add('kfree', fields),
    cacheFree: (...fields) => this.add('kmem_cache_free', fields),
  }

  private add(event: string, fields: readonly unknown[]): void {
    const { cpu, contextBits } = this.machine.pages.context
    this.list.push([event, cpu, contextBits >= 128 ? 's' : '.', ...fields])
  }
}
