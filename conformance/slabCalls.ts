/** The calls of the slab layer in recordings of calls, made through the library's public interface. */

import {
  type CacheState,
  cacheState,
  KernelBug,
  kmallocCacheOf,
  kmemCacheAllocBulk,
  kmemCacheFreeBulk,
  loadCache,
  SlabCache,
  type VirtAddr,
  validateCache,
} from 'kmem'
import type { SlabMachine } from './machine'
import { firstDifference } from './outcome'
import { maskLines } from './reportLines'
import { type Answer, gfp, num, type Row } from './row'

/** Slots of the recordings hold addresses, and the cache that an object belongs to. */
interface HeldObject {
  readonly address: VirtAddr
  readonly cache: SlabCache | null
  /** False once freed: the recording driver frees it no more, unless told to do so again. */
  live: boolean
}

/** What the recording driver's constructor writes into an object. */
const CTOR_MARK = 0xc0ffee

type Handler = (player: SlabPlayer, row: Row) => Answer

const HANDLERS: Readonly<Record<string, Handler>> = {
  kmem_cache_create: (player, row) => player.create(row),
  kmalloc_cache: (player, row) => {
    player.bind(num(row, 'cache'), kmallocCacheOf(player.machine.heap, num(row, 'size'), gfp(row)))
    return {}
  },
  kmem_cache_destroy: (player, row) => {
    player.cache(row).destroy()
    return {}
  },
  kmem_cache_shrink: (player, row) => {
    const cache = player.cache(row)
    // What other users hold of a kmalloc cache decides, and it is not known yet.
    return player.isUnknown(cache) ? {} : { result: cache.shrink() ? 1 : 0 }
  },
  kmem_cache_alloc_node: (player, row) => {
    const cache = player.cache(row)
    const address = cache.allocNode(gfp(row), num(row, 'node'))
    player.hold(num(row, 'slot'), address, cache)
    return { address: player.physical(address) }
  },
  kmem_cache_alloc_bulk: (player, row) => {
    const cache = player.cache(row)
    const objects = kmemCacheAllocBulk(cache, gfp(row), num(row, 'count'))
    objects.forEach((object, i) => {
      player.hold(num(row, 'slots') + i, object, cache)
    })
    return { addresses: objects.map((object) => player.physical(object)) }
  },
  kmem_cache_free: (player, row) => player.freeOnce(num(row, 'slot')),
  kmem_cache_free_again: (player, row) => player.free(num(row, 'slot'), 0),
  kmem_cache_free_interior: (player, row) => player.free(num(row, 'slot'), num(row, 'offset')),
  kmem_cache_free_bulk: (player, row) => {
    const first = num(row, 'slots')
    const slots = Array.from({ length: num(row, 'count') }, (_, i) => first + i)
    kmemCacheFreeBulk(
      player.cache(row),
      slots.flatMap((slot) => player.held(slot)?.address ?? []),
    )
    return {}
  },
  kmalloc_node: (player, row) => {
    const { heap } = player.machine
    const p = heap.kmalloc(num(row, 'size'), gfp(row), num(row, 'node'))
    player.hold(num(row, 'slot'), p, null)
    return { address: player.physical(p), ksize: heap.ksize(p) }
  },
  krealloc: (player, row) => {
    const { heap } = player.machine
    const slot = num(row, 'slot')
    const p = heap.krealloc(player.held(slot)?.address ?? null, num(row, 'size'), gfp(row))
    if (p !== null) player.hold(slot, p, null)
    return { address: player.physical(p), ksize: heap.ksize(p) }
  },
  kfree: (player, row) => {
    player.machine.heap.kfree(player.held(num(row, 'slot'))?.address ?? null)
    return {}
  },
  cache_state: (player, row) => {
    const cache = player.cache(row)
    // The first state of a kmalloc cache tells what its other users hold of it.
    if (player.isUnknown(cache)) player.load(cache, row.state as CacheState)
    return { state: cacheState(cache) }
  },
  validate_slab_cache: (player, row) => ({ result: validateCache(player.cache(row)) }),
  write_byte: (player, row) => {
    const held = player.held(num(row, 'slot'))
    if (held === undefined) throw new TypeError(`slot ${num(row, 'slot')} holds nothing`)
    const { context } = player.machine.slabs
    const at = held.address - context.directMap + num(row, 'offset')
    context.ram.fill(at, 1, num(row, 'value'))
    return {}
  },
}

/** Whether a call is one of the slab layer. */
export function isSlabCall(call: string): boolean {
  return Object.hasOwn(HANDLERS, call)
}

/** Makes the calls of the slab layer on one machine. */
export class SlabPlayer {
  readonly machine: SlabMachine
  private readonly caches = new Map<number, SlabCache>()
  private readonly slots = new Map<number, HeldObject>()
  /** kmalloc caches whose state has not been told yet. */
  private readonly unknown = new Set<SlabCache>()
  /** What the kernel logged under the last label. */
  private expectedLog: readonly string[] | null = null

  constructor(machine: SlabMachine) {
    this.machine = machine
  }

  /** Makes the call of a row. */
  play(row: Row): Answer {
    return HANDLERS[String(row.call)]?.(this, row) ?? {}
  }

  /** Where what was logged since the last label is not what was recorded under it; null when nowhere. */
  label(row: Row): string | null {
    const logged = maskLines(this.machine.log())
    const expected = this.expectedLog
    this.expectedLog = Array.isArray(row.log) ? maskLines(row.log) : null
    return expected === null ? null : firstDifference(logged, expected, 'log before it')
  }

  create(row: Row): Answer {
    const options = {
      name: String(row.name),
      size: num(row, 'size'),
      align: num(row, 'align'),
      flags: Number(row.flags),
      ...(row.ctor === true ? { ctor: (object: VirtAddr) => this.mark(object) } : {}),
    }
    this.caches.set(num(row, 'cache'), new SlabCache(this.machine.slabs, options))
    return { ok: true }
  }

  bind(number: number, cache: SlabCache): void {
    this.caches.set(number, cache)
    this.unknown.add(cache)
  }

  cache(row: Row): SlabCache {
    const cache = this.caches.get(num(row, 'cache'))
    if (cache === undefined) throw new TypeError(`no cache ${num(row, 'cache')}`)
    return cache
  }

  isUnknown(cache: SlabCache): boolean {
    return this.unknown.has(cache)
  }

  load(cache: SlabCache, state: CacheState): void {
    loadCache(cache, state)
    this.unknown.delete(cache)
  }

  hold(slot: number, address: VirtAddr | null, cache: SlabCache | null): void {
    if (address === null) this.slots.delete(slot)
    else this.slots.set(slot, { address, cache, live: true })
  }

  /** What a slot holds, freed or not. */
  held(slot: number): HeldObject | undefined {
    return this.slots.get(slot)
  }

  /** Frees an object, unless it has been freed. */
  freeOnce(slot: number): Answer {
    const held = this.slots.get(slot)
    if (held?.live !== true) return {}
    held.live = false
    return this.free(slot, 0)
  }

  /** Frees an object, or what lies `offset` bytes into it. Refusals are part of what recordings try out. */
  free(slot: number, offset: number): Answer {
    const held = this.slots.get(slot)
    try {
      held?.cache?.free((held.address + offset) as VirtAddr)
    } catch (error) {
      if (!(error instanceof KernelBug)) throw error
    }
    return {}
  }

  /** What the constructor of the recording driver does. */
  private mark(object: VirtAddr): void {
    const { context } = this.machine.slabs
    const { words } = context.ram
    words[context.ram.wordIndex(object - context.directMap)] = CTOR_MARK
  }

  /** An address as recordings have it: physical, in hexadecimal. */
  physical(address: VirtAddr | null): string | null {
    if (address === null) return null
    const { directMap } = this.machine.slabs.context
    return `0x${(address < directMap ? address : address - directMap).toString(16)}`
  }
}
