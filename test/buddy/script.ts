/** A long, mixed, seeded use of an allocator: the same seed gives the same calls with the same results. */

import {
  allocPagesBulk,
  allocPagesExact,
  type BuddyAllocator,
  foldCounters,
  freePagesList,
  GFP_ATOMIC,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_NOWAIT,
  inInterrupt,
  onCpu,
  PAGE_SIZE,
  type Pfn,
  refreshVmstat,
  reservePages,
  toPfn,
  withPageListsHeld,
} from '../../src/index'
import { __GFP_COMP, __GFP_RECLAIMABLE, __GFP_ZERO } from '../../src/page/gfp'
import { stream } from './random'

const MASKS = [
  GFP_KERNEL,
  GFP_KERNEL,
  GFP_KERNEL | __GFP_ZERO,
  GFP_KERNEL | __GFP_RECLAIMABLE,
  GFP_KERNEL | __GFP_COMP,
  GFP_HIGHUSER_MOVABLE,
  GFP_HIGHUSER_MOVABLE,
  GFP_ATOMIC,
  GFP_NOWAIT,
]

/** A run of the script that can be stopped and continued. */
export class Script {
  /** Everything that calls have returned, folded into one number. */
  answer = 0
  private readonly random
  private readonly live: { pfn: Pfn; order: number }[] = []

  constructor(seed: number) {
    this.random = stream(seed)
  }

  /** Makes `steps` more calls, on up to `cpus` CPUs. */
  run(pages: BuddyAllocator, steps: number, cpus: number): void {
    for (let i = 0; i < steps; i++) {
      const cpu = this.random.below(4) === 0 ? this.random.below(cpus) : 0
      onCpu(pages, cpu, () => this.step(pages))
    }
  }

  private step(pages: BuddyAllocator): void {
    const { random } = this
    const what = random.below(100)
    const mask = random.pick(MASKS)
    if (what < 40) this.keep(pages.allocPages(mask), 0)
    else if (what < 55) this.allocLarge(pages, mask, random.below(11))
    else if (what < 58)
      for (const pfn of allocPagesBulk(pages, mask, random.below(40))) this.keep(pfn, 0)
    else if (what < 60) this.allocExact(pages, mask, 1 + random.below(9 * PAGE_SIZE))
    else if (what < 92) this.freeSome(pages)
    else if (what < 93) this.freeList(pages)
    else if (what < 94) pages.drainLocalPages()
    else if (what < 95) pages.drainAllPages()
    else if (what < 96) foldCounters(pages)
    else if (what < 97) refreshVmstat(pages)
    else if (what < 98) inInterrupt(pages, () => this.keep(pages.allocPages(GFP_ATOMIC), 0))
    else if (what < 99) withPageListsHeld(pages, () => this.freeSome(pages))
    else this.reserve(pages)
  }

  private allocLarge(pages: BuddyAllocator, mask: number, order: number): void {
    this.keep(pages.allocPages(mask, order), order)
  }

  private allocExact(pages: BuddyAllocator, mask: number, bytes: number): void {
    const pfn = allocPagesExact(pages, bytes, mask)
    if (pfn === null) return
    for (let i = 0; i < Math.ceil(bytes / PAGE_SIZE); i++) this.keep(toPfn(pfn + i), 0)
  }

  private freeSome(pages: BuddyAllocator): void {
    for (let i = this.random.below(4); i > 0 && this.live.length > 0; i--) {
      const [block] = this.live.splice(this.random.below(this.live.length), 1)
      if (block !== undefined) pages.freePages(block.pfn, block.order)
    }
  }

  private freeList(pages: BuddyAllocator): void {
    const singles = this.live.filter((block) => block.order === 0).slice(0, this.random.below(50))
    for (const block of singles) this.live.splice(this.live.indexOf(block), 1)
    freePagesList(
      pages,
      singles.map((block) => block.pfn),
    )
  }

  private reserve(pages: BuddyAllocator): void {
    const pfn = toPfn(this.random.below(3000))
    if (reservePages(pages, pfn)) this.keep(pfn, 0)
  }

  private keep(pfn: Pfn | null, order: number): void {
    this.answer = (Math.imul(this.answer, 31) + (pfn ?? -1)) | 0
    if (pfn !== null) this.live.push({ pfn, order })
  }
}
