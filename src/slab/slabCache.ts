/** A cache of objects of one size. Source: spec/slab.md §4.1, §7.1, §8.1, §10, §11, §12. */

import { checkInteger, InvalidArgument, OutOfMemory } from '../base/errors'
import { NUMA_NO_NODE, type VirtAddr } from '../base/units'
import type { Pages } from '../buddy/pageSource'
import { GFP_KERNEL } from '../page/gfp'
import {
  CACHE_FLAGS,
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_OBJECT_SIZE,
  CACHE_SIZE,
  CACHE_STATE,
  SLAB_DEBUG_ON,
} from '../state/slabSchema'
import { encodeName, formatName } from './cacheName'
import { createCache, destroyCache } from './caches'
import { checkMask, checkNodeHint, zeroMask } from './checks'
import type { Ctor, SlabContext } from './context'
import { freeFast, takeFast } from './fastPath'
import { SLAB_DEBUG_FLAGS, SLAB_FLAGS_PERMITTED, SLAB_MEM_SPREAD, SLAB_PANIC } from './flags'
import { freeToCache } from './freeToCache'
import { KMALLOC_MAX_SIZE } from './kmallocClass'
import { objectAlign } from './objectLayout'
import { allocObject } from './objects'
import { flushCache, shrinkNodes } from './partial'
import { type SlabAllocator, slabAllocator } from './slabAllocator'
import { goneCache, warn } from './slabs'

const ENOMEM = 12
const EINVAL = 22

/** What a new cache is asked for. */
export interface SlabCacheOptions {
  /** Name in texts, 1 to 63 bytes. Several caches may have the same. */
  readonly name: string
  /** Bytes of an object, 1 to 4194304. */
  readonly size: number
  /** Alignment of objects in bytes: 0, when not given, or a power of two up to 4194304. At least 8 in any case. */
  readonly align?: number
  /** SLAB_ flags; 0 when not given. */
  readonly flags?: number
  /** Sets an object up once, when its slab is made; not again at each allocation. It must not allocate. */
  readonly ctor?: Ctor
  /** Part of an object that may be copied to user space: where it starts. 0 when not given. */
  readonly useroffset?: number
  /** Its size in bytes; 0, none, when not given. */
  readonly usersize?: number
}

/**
 * A cache of objects of one size, as `kmem_cache_create` makes them. An object belongs to whoever allocated
 * it until it is freed.
 *
 * ```ts
 * const inodes = new SlabCache(pages, { name: 'inode_cache', size: 600, flags: SLAB_HWCACHE_ALIGN })
 * const inode = inodes.alloc(GFP_KERNEL)
 * if (inode !== null) inodes.free(inode)
 * ```
 */
export class SlabCache {
  /** What the caches of the machine share. */
  readonly slabs: SlabAllocator
  private readonly context: SlabContext
  private readonly offset: number
  /** Number of the cache: another cache may get the record of one that has ended. */
  private readonly id: number

  /**
   * Makes a cache, or another name of one with the same slots, unless merging is off.
   * @throws InvalidArgument for a wrong name, size, alignment or flag, and for checks without `debug`;
   * OutOfMemory when there is no memory for the cache.
   */
  constructor(from: SlabAllocator | Pages, options: SlabCacheOptions)
  /** Names a cache that exists. @internal */
  constructor(from: SlabAllocator | Pages, options: CacheRecord)
  constructor(from: SlabAllocator | Pages, options: SlabCacheOptions | CacheRecord) {
    this.slabs = slabAllocator(from)
    this.context = this.slabs.context
    this.offset = options instanceof CacheRecord ? options.offset : create(this.context, options)
    this.id = this.context.words[this.offset + CACHE_ID]!
  }

  /**
   * Offset of the cache's record, for the library's own layers. @internal
   * @throws KernelBug when the cache has ended.
   */
  get record(): number {
    const { context, offset } = this
    if (context.words[offset + CACHE_ID] === this.id) return offset
    throw goneCache(context)
  }

  /**
   * Allocates an object, near the current CPU. Its content is what was there, or what the constructor wrote.
   * @param gfp what the caller needs and may do; with `__GFP_ZERO` the object is filled with zero.
   * @returns its address, or null when there is no memory.
   * @throws InvalidArgument for a mask that is none; KernelBug when the cache has ended, or when a free object was
   * overwritten: the rest of its slab's list is lost then, and nothing is handed out.
   */
  alloc(gfp: number = GFP_KERNEL): VirtAddr | null {
    const fast = takeFast(this.context, this.record, gfp)
    return fast !== 0 ? (fast as VirtAddr) : allocLong(this.context, this.record, gfp, NUMA_NO_NODE)
  }

  /**
   * Allocates an object with memory of `node`, or near it unless `gfp` has `__GFP_THISNODE`.
   * @param node a node, or `NUMA_NO_NODE`.
   * @throws what {@link alloc} does, and InvalidArgument for a node that does not exist.
   */
  allocNode(gfp: number, node: number): VirtAddr | null {
    return allocLong(this.context, this.record, gfp, node)
  }

  /** Allocates an object filled with zero, as {@link alloc} with `__GFP_ZERO`. */
  zalloc(gfp: number = GFP_KERNEL): VirtAddr | null {
    return allocLong(this.context, this.record, zeroMask(gfp), NUMA_NO_NODE)
  }

  /**
   * Frees an object of the cache.
   * @throws KernelBug, with nothing changed, for anything else: an object that is free, of another cache, the
   * inside of one, or no object at all.
   */
  free(object: VirtAddr): void {
    if (freeFast(this.context, this.record, object) !== true) {
      freeToCache(this.context, this.record, object)
    }
  }

  /** Gives empty slabs back to the pages. Returns whether slabs are left. */
  shrink(): boolean {
    const c = this.context
    flushCache(c, this.record)
    const left = shrinkNodes(c, this.record)
    c.debug?.settle(c)
    return left
  }

  /**
   * Ends the cache, or one of its names when it has several. It must not be used any more.
   * @throws KernelBug when objects are in use: it stays, and nothing can be allocated from it.
   */
  destroy(): void {
    destroyCache(this.context, this.record)
    this.context.debug?.settle(this.context)
  }

  /** The name; of the first cache, when this one was merged into another. */
  get name(): string {
    return formatName(this.context.words, this.record)
  }

  /** Bytes of an object; of the largest one, when caches were merged. */
  get objectSize(): number {
    return this.context.words[this.record + CACHE_OBJECT_SIZE]!
  }

  /** Distance from an object to the next. Bytes. */
  get size(): number {
    return this.context.words[this.record + CACHE_SIZE]!
  }

  /** SLAB_ flags, internal ones included. */
  get flags(): number {
    return this.context.words[this.record + CACHE_FLAGS]! >>> 0
  }

  /** Whether objects are set up by a constructor. */
  get hasCtor(): boolean {
    return (this.context.words[this.record + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0
  }
}

/** A cache that exists, for the library's own layers. @internal */
export class CacheRecord {
  /** Offset of its record. */
  readonly offset: number

  constructor(offset: number) {
    this.offset = offset
  }
}

function allocLong(c: SlabContext, cache: number, gfp: number, node: number): VirtAddr | null {
  checkMask(gfp)
  checkNodeHint(c, node)
  const words = c.words
  const object = allocObject(c, cache, gfp, node, 0)
  if (c.trace !== null) {
    const { trace } = c
    trace.cacheAlloc(
      object,
      words[cache + CACHE_OBJECT_SIZE]!,
      words[cache + CACHE_SIZE]!,
      gfp,
      node,
    )
  }
  return object === 0 ? null : (object as VirtAddr)
}

/** Checks a request for a cache and makes it. Returns its record. */
function create(c: SlabContext, options: SlabCacheOptions): number {
  const {
    name,
    size,
    align = 0,
    flags = 0,
    ctor = null,
    ...user
  } = Object(options) as SlabCacheOptions
  const bytes = encodeName(name)
  checkInteger('size', size, 1, KMALLOC_MAX_SIZE)
  checkInteger('align', align, 0, KMALLOC_MAX_SIZE)
  if ((align & (align - 1)) !== 0) throw new InvalidArgument('align', align, '0 or a power of two')
  if (ctor !== null && typeof ctor !== 'function') {
    throw new InvalidArgument('ctor', ctor, 'a function')
  }
  const asked = checkFlags(c, flags)
  let { useroffset = 0, usersize = 0 } = user
  checkInteger('useroffset', useroffset, 0, KMALLOC_MAX_SIZE)
  checkInteger('usersize', usersize, 0, KMALLOC_MAX_SIZE)
  if ((asked & SLAB_DEBUG_FLAGS) !== 0) c.words[SLAB_DEBUG_ON] = 1
  if ((usersize === 0 && useroffset !== 0) || usersize + useroffset > size) {
    warn(c, 'kmem_cache_create_usercopy', [])
    useroffset = 0
    usersize = 0
  }
  const record = createCache(c, {
    name: bytes,
    size,
    wishedAlign: align,
    align: objectAlign(asked, align, size),
    flags: c.debug?.cacheFlags(c, name, asked) ?? asked,
    ctor,
    useroffset,
    usersize,
  })
  const panic = (asked & SLAB_PANIC) !== 0
  if (record <= 0) c.log.createFailed(c, name, record < 0 ? -EINVAL : -ENOMEM, panic)
  if (record === 0) throw new OutOfMemory(`no memory for the cache ${name}`)
  if (record < 0) throw new InvalidArgument('size', size, 'small enough for a block')
  return record
}

function checkFlags(c: SlabContext, flags: number): number {
  checkInteger('flags', flags, 0, 0xffffffff)
  if ((flags & ~SLAB_FLAGS_PERMITTED) !== 0) {
    throw new InvalidArgument('flags', flags, 'within 0x10bfed00')
  }
  if (c.debug === null && (flags & SLAB_DEBUG_FLAGS) !== 0) {
    throw new InvalidArgument('flags', flags, 'without checks')
  }
  return flags & ~SLAB_MEM_SPREAD
}
