/** A long, mixed, seeded use of a slab allocator: the same seed gives the same calls with the same results. */

import {
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  endGracePeriod,
  findCache,
  GFP_ATOMIC,
  GFP_KERNEL,
  Kmalloc,
  onCpu,
  type Pfn,
  SLAB_HWCACHE_ALIGN,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type SlabCacheOptions,
  shrinkAllCaches,
  type VirtAddr,
} from '../../src/index'
import { kmemCacheAllocBulk, kmemCacheFreeBulk } from '../../src/slab/cacheBulk'
import { type Stream, stream } from '../buddy/random'
import { must, type SlabMachine } from './machines'

const CTOR = () => {}
const CACHES: readonly SlabCacheOptions[] = [
  { name: 'plain', size: 100 },
  { name: 'aligned', size: 600, flags: SLAB_HWCACHE_ALIGN },
  { name: 'constructed', size: 40, ctor: CTOR },
  { name: 'delayed', size: 1000, flags: SLAB_TYPESAFE_BY_RCU },
  { name: 'large', size: 5000, flags: SLAB_RECLAIM_ACCOUNT },
]
const MASKS = [GFP_KERNEL, GFP_KERNEL, GFP_KERNEL | __GFP_ZERO, GFP_ATOMIC]

/** A run of the script that can be stopped and continued. */
export class SlabScript {
  /** Everything that calls have returned, folded into one number. */
  answer = 0
  private readonly random: Stream
  private readonly live: { object: VirtAddr; from: number }[] = []
  private readonly blocks: Pfn[] = []
  private caches: SlabCache[] = []
  private heap: Kmalloc | null = null
  private machine: SlabMachine | null = null

  constructor(seed: number) {
    this.random = stream(seed)
  }

  /** Makes the caches of a fresh machine. */
  start(machine: SlabMachine): this {
    this.machine = machine
    this.heap = new Kmalloc(machine.slabs)
    this.caches = CACHES.map((options) => new SlabCache(machine.slabs, options))
    return this
  }

  /** Goes on with a machine in the state of the one before. */
  moveTo(machine: SlabMachine): this {
    this.machine = machine
    this.heap = new Kmalloc(machine.slabs)
    this.caches = CACHES.map(({ name, ctor }) => must(findCache(machine.slabs, name, ctor)))
    return this
  }

  /** Makes `steps` more calls, on up to `cpus` CPUs and `nodes` nodes. */
  run(steps: number, cpus: number, nodes: number): this {
    for (let i = 0; i < steps; i++) {
      const cpu = this.random.below(3) === 0 ? this.random.below(cpus) : 0
      onCpu(must(this.machine).pages, cpu, () => this.step(nodes))
    }
    return this
  }

  private step(nodes: number): void {
    const { random, live } = this
    const heap = must(this.heap)
    const what = random.below(100)
    const from = random.below(CACHES.length)
    const cache = must(this.caches[from])
    const mask = random.pick(MASKS)
    const size = 1 + random.below(random.pick([64, 300, 9000]))
    // A constructor's work may not be zeroed away.
    const sound = from === 2 ? mask & ~__GFP_ZERO : mask
    if (what < 20) this.keep(cache.alloc(sound), from)
    else if (what < 25) this.keep(cache.allocNode(sound, random.below(nodes)), from)
    else if (what < 28) {
      for (const object of kmemCacheAllocBulk(cache, sound, random.below(30)))
        this.keep(object, from)
    } else if (what < 45) this.keep(heap.kmalloc(size, mask), -1)
    else if (what < 48) this.keep(heap.kmalloc(size, mask | __GFP_RECLAIMABLE), -1)
    else if (what < 50) this.keep(heap.kmalloc(size, mask, random.below(nodes)), -1)
    else if (what < 53) this.resize(heap, size)
    else if (what < 92)
      for (let i = random.below(4); i > 0; i--) this.free(random.below(live.length))
    else if (what < 95) this.freeBulk(cache, from)
    else if (what < 96) this.answer = (this.answer + Number(cache.shrink())) | 0
    else if (what < 97) endGracePeriod(must(this.machine).slabs)
    else if (what < 98) this.pages()
    else if (what < 99) shrinkAllCaches(must(this.machine).slabs)
    else this.remake(from)
  }

  private free(i: number): void {
    const [object] = this.live.splice(i, 1)
    if (object === undefined) return
    if (object.from < 0 || this.random.below(3) === 0) must(this.heap).kfree(object.object)
    else must(this.caches[object.from]).free(object.object)
  }

  private freeBulk(cache: SlabCache, from: number): void {
    const mine = this.live.filter((each) => each.from === from).slice(0, this.random.below(40))
    for (const each of mine) this.live.splice(this.live.indexOf(each), 1)
    kmemCacheFreeBulk(
      cache,
      mine.map(({ object }) => object),
    )
  }

  private resize(heap: Kmalloc, size: number): void {
    const i = this.live.findIndex(({ from }) => from < 0)
    const [block] = i < 0 ? [] : this.live.splice(i, 1)
    if (block === undefined) return
    const moved = heap.krealloc(block.object, size)
    this.keep(moved ?? block.object, -1)
  }

  private pages(): void {
    const { pages } = must(this.machine)
    const pfn = this.blocks.length > 20 ? null : pages.allocPages(GFP_KERNEL)
    if (pfn !== null) this.blocks.push(pfn)
    else for (const block of this.blocks.splice(0)) pages.freePages(block)
  }

  /** Destroys a cache that has no objects, and makes it anew. */
  private remake(from: number): void {
    if (this.live.some((each) => each.from === from)) return
    must(this.caches[from]).destroy()
    this.caches[from] = new SlabCache(must(this.machine).slabs, must(CACHES[from]))
  }

  private keep(object: VirtAddr | null, from: number): void {
    this.answer = (Math.imul(this.answer, 31) + (object ?? -1)) | 0
    if (object !== null) this.live.push({ object, from })
  }
}
