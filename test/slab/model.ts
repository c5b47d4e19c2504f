/** What a slab allocator should know, as a map: which objects are in use; and bytes in them that tell on it. */

import { expect } from 'vitest'
import { slubDebug } from '../../src/debug/slubDebug'
import {
  cacheState,
  findCache,
  type Kmalloc,
  LAYOUT_X86_64,
  type Pfn,
  SLAB_DEBUG_METADATA,
  SLAB_HWCACHE_ALIGN,
  SLAB_NOLEAKTRACE,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_TYPESAFE_BY_RCU,
  SlabCache,
  type SlabCacheOptions,
  type SlabOptions,
  shrinkAllCaches,
  type VirtAddr,
} from '../../src/index'
import { expectSound, freePages, must, type SlabMachine } from './machines'

/** What a constructor writes, and what its users leave behind. */
const CONSTRUCTED = 0xc7

/** A cache, or one of its names. */
export interface ModelCache {
  readonly cache: SlabCache
  readonly options: SlabCacheOptions
  /** Its destruction failed, as there were objects. */
  gone: boolean
}

/** An object in use. */
export interface ModelObject {
  readonly address: VirtAddr
  /** Bytes that belong to the owner. */
  readonly size: number
  /** Where it came from; null for kmalloc. */
  readonly from: ModelCache | null
  /** What it is filled with. */
  readonly byte: number
}

/** Caches with objects in use, and pages that somebody else holds. */
export class SlabModel {
  readonly objects = new Map<number, ModelObject>()
  caches: ModelCache[] = []
  readonly blocks: { readonly pfn: Pfn; readonly order: number }[] = []
  /** Objects that were freed last. */
  freed: ModelObject[] = []
  private readonly pristine: number
  private lastId = 0

  constructor(
    readonly machine: SlabMachine,
    readonly heap: Kmalloc | null,
    readonly cpus: number,
    readonly nodes: number,
  ) {
    shrinkAllCaches(machine.slabs)
    this.pristine = freePages(machine)
  }

  /** The item number `n`, counted round and round; undefined when there is none. */
  pick<T>(items: Iterable<T>, n: number): T | undefined {
    const all = [...items]
    return all[n % Math.max(1, all.length)]
  }

  /** Objects of a cache, under any of its names. */
  objectsOf(cache: SlabCache): ModelObject[] {
    const all = [...this.objects.values()]
    return all.filter(({ from }) => from !== null && from.cache.record === cache.record)
  }

  /** Makes a cache, and expects of its record what was asked for. */
  create(options: SlabCacheOptions): void {
    const cache = new SlabCache(this.machine.slabs, options)
    const align = options.align ?? 0
    expect(cache.size % Math.max(8, align)).toBe(0)
    expect(cache.size).toBeGreaterThanOrEqual(options.size)
    expect(cache.objectSize).toBeGreaterThanOrEqual(options.size)
    for (const other of this.caches) {
      const shared = other.cache.record === cache.record
      if (shared !== this.mayShare(options, other)) {
        const names = `${JSON.stringify(options)} and ${JSON.stringify(other.options)}`
        expect.fail(`${names} ${shared ? 'share' : 'do not share'} slots`)
      }
    }
    this.caches.push({ cache, options, gone: false })
  }

  /** What spec/slab.md §4.3 comes down to: the same slots and kind, and nothing that forbids it. */
  private mayShare(options: SlabCacheOptions, other: ModelCache): boolean {
    const c = this.machine.slabs.context
    const asked = options.flags ?? 0
    const flags = c.debug?.cacheFlags(c, options.name, asked) ?? asked
    const alone = SLAB_TYPESAFE_BY_RCU | SLAB_NOLEAKTRACE | SLAB_DEBUG_METADATA
    const ctor = options.ctor ?? other.options.ctor
    if (!c.merging || other.gone || ctor !== undefined) return false
    if (((flags | other.cache.flags) & alone) !== 0) return false
    const kind = SLAB_RECLAIM_ACCOUNT
    const same = (flags & kind) === ((other.options.flags ?? 0) & kind)
    return same && slotSize(options) === slotSize(other.options)
  }

  /** Checks an object that was handed out, and fills it. */
  enter(address: VirtAddr, size: number, from: ModelCache | null, zeroed: boolean): void {
    if (this.objects.has(address)) expect.fail(`0x${address.toString(16)} is in use already`)
    const options = from?.options
    const align = from === null ? kmallocAlign(size) : Math.max(8, options?.align ?? 0)
    expect(address % align, `alignment of 0x${address.toString(16)}`).toBe(0)
    if (zeroed) this.expectBytes(address, size, 0)
    else if (options?.ctor !== undefined) this.expectBytes(address, size, CONSTRUCTED)
    this.lastId += 1
    const byte = 1 + (this.lastId % 199)
    this.objects.set(address, { address, size, from, byte })
    this.machine.ram.fill(this.physical(address), size, byte)
  }

  /** Gives an object more of its place, or less, and fills that. */
  resize(object: ModelObject, size: number): void {
    this.objects.set(object.address, { ...object, size })
    this.machine.ram.fill(this.physical(object.address), size, object.byte)
  }

  /** Checks that an object's bytes were left alone, and forgets the object; to be freed next. */
  leave(object: ModelObject): void {
    this.expectBytes(object.address, object.size, object.byte)
    this.objects.delete(object.address)
    if (object.from?.options.ctor !== undefined) {
      this.machine.ram.fill(this.physical(object.address), object.size, CONSTRUCTED)
    }
    this.freed = [object, ...this.freed].slice(0, 8)
  }

  /** Checks the bytes that should still be there after a free: where the free pointer lies outside. */
  afterFree(object: ModelObject): void {
    const flags = object.from?.options.flags ?? 0
    const kept = object.from?.options.ctor === undefined && (flags & SLAB_TYPESAFE_BY_RCU) !== 0
    if (kept) this.expectBytes(object.address, object.size, object.byte)
  }

  expectBytes(address: VirtAddr, size: number, byte: number): void {
    const bytes = this.machine.ram.bytes(this.physical(address), size)
    for (let i = 0; i < size; i++) {
      if (bytes[i] !== byte) {
        expect.fail(`byte ${i} of 0x${address.toString(16)} is ${bytes[i]}, not ${byte}`)
      }
    }
  }

  physical(address: VirtAddr): number {
    return address - this.machine.slabs.context.directMap
  }

  /** Writes what a constructor does, for {@link SlabCacheOptions.ctor}. */
  construct(address: VirtAddr, size: number): void {
    this.machine.ram.fill(this.physical(address), size, CONSTRUCTED)
  }

  /** Frees and ends everything, and expects every page back. */
  releaseAll(endGracePeriod: () => void): void {
    const { pages, slabs } = this.machine
    for (const { pfn, order } of this.blocks) pages.freePages(pfn, order)
    for (const object of [...this.objects.values()]) {
      this.leave(object)
      if (object.from === null) must(this.heap).kfree(object.address)
      else object.from.cache.free(object.address)
    }
    expectSound(this.machine)
    for (const { cache, gone } of this.caches) {
      if (!gone) cache.destroy()
    }
    // Caches that are gone have slabs to give up, and the descriptors of others come back after that.
    shrinkAllCaches(slabs)
    endGracePeriod()
    shrinkAllCaches(slabs)
    expectSound(this.machine)
    // A cache that could not be destroyed keeps its descriptors for good: at most a slab each.
    const lost = this.pristine - freePages(this.machine)
    const gone = this.caches.filter((each) => each.gone).length
    const slabPages = 2 ** cacheState(must(findCache(slabs, 'kmem_cache'))).order
    expect(lost).toBeGreaterThanOrEqual(0)
    expect(lost).toBeLessThanOrEqual(gone * (1 + this.nodes) * slabPages)
    const { words } = slabs
    expect(words.subarray(slabs.wordsUsed).some((word) => word !== 0)).toBe(false)
  }
}

/** Size of a cache's slots, for caches without anything around their objects. */
function slotSize({ size, align = 0, flags = 0 }: SlabCacheOptions): number {
  let line = 8
  if ((flags & SLAB_HWCACHE_ALIGN) !== 0) while (line < 64 && size > line) line *= 2
  const to = Math.max(line, align, 8)
  return Math.ceil(size / to) * to
}

function kmallocAlign(size: number): number {
  if (size > 8192) return 4096
  if ((size > 64 && size <= 96) || (size > 128 && size <= 192)) return 8
  return Math.max(8, 2 ** Math.ceil(Math.log2(size)))
}

/** Options of slab allocators that models are tried on, by name. */
export const MODEL_SLABS: Readonly<Record<string, () => SlabOptions>> = {
  plain: () => ({}),
  'no merging': () => ({ merge: false }),
  'kernel addresses': () => ({ layout: LAYOUT_X86_64 }),
  'single pages': () => ({ maxOrder: 0, merge: false }),
  'larger slabs': () => ({ minOrder: 1 }),
  'slub_debug=FZPU': () => ({ debug: slubDebug({ boot: 'FZPU' }) }),
  'slub_debug=Z': () => ({ debug: slubDebug({ boot: 'Z' }), layout: LAYOUT_X86_64 }),
  'slub_debug=PU': () => ({ debug: slubDebug({ boot: 'PU' }) }),
  'slub_debug=F': () => ({ debug: slubDebug({ boot: 'F' }) }),
  'slub_debug=FZO': () => ({ debug: slubDebug({ boot: 'FZO' }), layout: LAYOUT_X86_64 }),
}
