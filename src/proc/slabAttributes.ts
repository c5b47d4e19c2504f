/**
 * The files of `/sys/kernel/slab/<directory>/`, by cache: reading and writing them.
 *
 * Those that count events (a build with statistics) and that of KFENCE do not exist, as in the kernel's
 * default build. A merged cache knows its first name only, so the links by which its directory goes under
 * other names are not here.
 *
 * Source: spec/slab.md §4.9, §18.3.
 */

import { InvalidArgument } from '../base/errors'
import { setCpuPartial } from '../slab/caches'
import type { SlabContext } from '../slab/context'
import {
  SLAB_CACHE_DMA,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_FAILSLAB,
  SLAB_HWCACHE_ALIGN,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SLAB_TYPESAFE_BY_RCU,
} from '../slab/flags'
import { cachesOf } from '../slab/hotplug'
import { flushCache } from '../slab/partial'
import type { SlabCache } from '../slab/slabCache'
import { isDebugCache } from '../slab/slabs'
import {
  CACHE_ALIGN,
  CACHE_CPU_PARTIAL,
  CACHE_DEFRAG_RATIO,
  CACHE_FLAGS,
  CACHE_ID,
  CACHE_MIN_PARTIAL,
  CACHE_OBJECT_SIZE,
  CACHE_OBJECTS,
  CACHE_ORDER,
  CACHE_REFCOUNT,
  CACHE_SIZE,
  CACHE_USERSIZE,
} from '../state/slabSchema'
import { countsByNode, cpuPartialSlabs, cpuSlabsByNode, type SlabCounts, sum } from './slabCounts'

/** The largest values that the state can hold: of `min_partial`, and of `cpu_partial`, which is doubled. */
const MAX_MIN_PARTIAL = 0x7fffffff
const MAX_CPU_PARTIAL = 0x3fffffff

type Reader = (c: SlabContext, cache: number) => string

/** What each file reads as, by name. */
const READERS = /* @__PURE__ */ readers()

/**
 * What a file of a cache reads as, such as `slab_size`: with the newline at its end, or '' for an empty one.
 * @throws InvalidArgument for a name that no file has, and for a destroyed cache.
 */
export function slabAttribute(cache: SlabCache, name: string): string {
  const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined
  if (read === undefined) {
    throw new InvalidArgument('name', name, 'the name of a file, such as "slab_size"')
  }
  return read(existing(cache), cache.record)
}

/** All files of a cache, by name, in alphabetical order. The caller owns the record. */
export function slabAttributes(cache: SlabCache): Record<string, string> {
  const c = existing(cache)
  const files: Record<string, string> = {}
  for (const [name, read] of Object.entries(READERS)) files[name] = read(c, cache.record)
  return files
}

/**
 * Writes a file of a cache: `min_partial`, `cpu_partial`, `remote_node_defrag_ratio` (a percentage), or 1
 * to `shrink` or `validate`.
 * @throws InvalidArgument where the kernel answers with an error, which the message names, and for numbers
 * that the state cannot hold. Whatever `validate` throws for what it finds.
 */
export function writeSlabAttribute(cache: SlabCache, name: string, value: string | number): void {
  const c = existing(cache)
  const { words } = c
  const { record } = cache
  const text = String(value)
  if (name === 'min_partial') {
    words[record + CACHE_MIN_PARTIAL] = decimal(name, text, MAX_MIN_PARTIAL)
  } else if (name === 'cpu_partial') {
    const objects = decimal(name, text, MAX_CPU_PARTIAL)
    if (objects !== 0 && isDebugCache(words, record)) {
      throw new InvalidArgument(name, text, '0 for a debug cache (EINVAL)')
    }
    setCpuPartial(words, record, objects)
    flushCache(c, record)
  } else if (name === 'remote_node_defrag_ratio') {
    words[record + CACHE_DEFRAG_RATIO] = 10 * decimal(name, text, 100)
  } else if (name === 'shrink') {
    checkOne(name, text)
    cache.shrink()
  } else if (name === 'validate') {
    checkOne(name, text)
    if (c.debug === null || !isDebugCache(words, record)) {
      throw new InvalidArgument('cache', cache.name, 'a debug cache (EINVAL)')
    }
    c.debug.validate(c, record)
  } else {
    throw new InvalidArgument('name', name, 'the name of a file that can be written')
  }
}

function existing(cache: SlabCache): SlabContext {
  const c = cache.slabs.context
  for (const record of cachesOf(c.words)) if (record === cache.record) return c
  throw new InvalidArgument('cache', cache, 'one that exists')
}

// ---- Reading ----

function readers(): Readonly<Record<string, Reader>> {
  return {
    aliases: readAliases,
    align: column(CACHE_ALIGN),
    cache_dma: flag(SLAB_CACHE_DMA),
    cpu_partial: column(CACHE_CPU_PARTIAL),
    cpu_slabs: (c, cache) => nodeList(cpuSlabsByNode(c.words, cache)),
    ctor: readCtor,
    destroy_by_rcu: flag(SLAB_TYPESAFE_BY_RCU),
    failslab: flag(SLAB_FAILSLAB),
    hwcache_align: flag(SLAB_HWCACHE_ALIGN),
    min_partial: column(CACHE_MIN_PARTIAL),
    object_size: column(CACHE_OBJECT_SIZE),
    objects: counted((counts) => counts.totalObjects - counts.partialFree),
    objects_partial: counted((counts) => counts.partialInUse),
    objs_per_slab: column(CACHE_OBJECTS),
    order: column(CACHE_ORDER),
    partial: counted((counts) => counts.partial),
    poison: flag(SLAB_POISON),
    reclaim_account: flag(SLAB_RECLAIM_ACCOUNT),
    red_zone: flag(SLAB_RED_ZONE),
    remote_node_defrag_ratio: (c, cache) => line(c.words[cache + CACHE_DEFRAG_RATIO]! / 10),
    sanity_checks: flag(SLAB_CONSISTENCY_CHECKS),
    shrink: () => '',
    slab_size: column(CACHE_SIZE),
    slabs: counted((counts) => counts.slabs),
    slabs_cpu_partial: readCpuPartial,
    store_user: flag(SLAB_STORE_USER),
    total_objects: counted((counts) => counts.totalObjects),
    trace: flag(SLAB_TRACE),
    usersize: column(CACHE_USERSIZE),
    validate: () => '',
  }
}

function line(value: number): string {
  return `${value}\n`
}

function column(place: number): Reader {
  return (c, cache) => line(c.words[cache + place]!)
}

function flag(mask: number): Reader {
  return (c, cache) => ((c.words[cache + CACHE_FLAGS]! & mask) !== 0 ? '1\n' : '0\n')
}

function counted(share: (counts: SlabCounts) => number): Reader {
  return (c, cache) => nodeList(countsByNode(c.words, cache).map(share))
}

/** A total, and the share of each node that has one. */
function nodeList(shares: readonly number[]): string {
  const nodes = shares.map((share, node) => (share === 0 ? '' : ` N${node}=${share}`))
  return `${sum(shares)}${nodes.join('')}\n`
}

/** Names besides the first; none for the two caches that all others rest on. */
function readAliases(c: SlabContext, cache: number): string {
  const names = c.words[cache + CACHE_REFCOUNT]!
  return line(names < 0 ? 0 : names - 1)
}

/** The name of a constructor: there are no addresses of functions that the kernel's `+0x0/0x10` could count. */
function readCtor(c: SlabContext, cache: number): string {
  const ctor = c.ctors.get(c.words[cache + CACHE_ID]!)
  return ctor === undefined ? '' : `${ctor.name === '' ? 'anonymous' : ctor.name}\n`
}

/** Partial slabs of CPUs with the free objects that they are taken to have: half of all. */
function readCpuPartial(c: SlabContext, cache: number): string {
  const perSlab = c.words[cache + CACHE_OBJECTS]!
  const show = (slabs: number) => `${Math.floor((slabs * perSlab) / 2)}(${slabs})`
  const shares = cpuPartialSlabs(c.words, cache)
  const cpus = shares.map((slabs, cpu) => (slabs === 0 ? '' : ` C${cpu}=${show(slabs)}`))
  return `${show(sum(shares))}${cpus.join('')}\n`
}

// ---- Writing ----

function decimal(name: string, text: string, max: number): number {
  if (!/^\+?\d+\n?$/.test(text)) {
    throw new InvalidArgument(name, text, 'a decimal number (EINVAL)')
  }
  const value = Number(text)
  if (value > max) throw new InvalidArgument(name, text, `at most ${max} (ERANGE)`)
  return value
}

function checkOne(name: string, text: string): void {
  if (!text.startsWith('1')) throw new InvalidArgument(name, text, '1 (EINVAL)')
}
