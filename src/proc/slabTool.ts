/**
 * What the kernel's tool `slabinfo` prints of the files in `/sys/kernel/slab/`: the list of caches, and the
 * report of one. Source: spec/slab.md §18.7.
 */

import { PAGE_SIZE } from '../base/units'
import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import {
  SLAB_CACHE_DMA,
  SLAB_CONSISTENCY_CHECKS,
  SLAB_HWCACHE_ALIGN,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SLAB_TYPESAFE_BY_RCU,
} from '../slab/flags'
import { cachesOf } from '../slab/hotplug'
import type { SlabAllocator } from '../slab/slabAllocator'
import type { SlabCache } from '../slab/slabCache'
import {
  CACHE_ALIGN,
  CACHE_FLAGS,
  CACHE_OBJECT_SIZE,
  CACHE_OBJECTS,
  CACHE_ORDER,
  CACHE_REFCOUNT,
  CACHE_SIZE,
} from '../state/slabSchema'
import { cacheCounts, cpuSlabsByNode, paddedName, sum } from './slabCounts'
import { directoryName } from './slabDirectory'

/** Options of {@link formatSlabTool}. */
export interface SlabToolOptions {
  /** Show caches without slabs, too (`-z`). */
  readonly empty?: boolean
  /** Sizes in bytes, not scaled (`-B`). */
  readonly bytes?: boolean
  /** Show what is lost to waste instead of the space that is taken, the largest first (`-L`). */
  readonly loss?: boolean
}

/** What the tool knows of a cache. Bytes, and counts. */
interface ToolCache {
  readonly name: string
  readonly flags: number
  readonly aliases: number
  readonly align: number
  readonly order: number
  readonly objectSize: number
  readonly slabSize: number
  readonly perSlab: number
  readonly objects: number
  readonly slabs: number
  readonly partial: number
  readonly cpuSlabs: number
  /** Bytes of a slab. */
  readonly slabBytes: number
  /** Bytes of all slabs. */
  readonly space: number
  /** Bytes of all objects. */
  readonly used: number
}

/** Letters of the flags, in the order of the last column. */
const LETTERS: readonly (readonly [flag: number, letter: string])[] = [
  [SLAB_CACHE_DMA, 'd'],
  [SLAB_HWCACHE_ALIGN, 'A'],
  [SLAB_POISON, 'P'],
  [SLAB_RECLAIM_ACCOUNT, 'a'],
  [SLAB_RED_ZONE, 'Z'],
  [SLAB_CONSISTENCY_CHECKS, 'F'],
  [SLAB_STORE_USER, 'U'],
  [SLAB_TRACE, 'T'],
]

/**
 * The list: caches that have slabs, by name, capitals and small letters alike. A cache of several names is
 * shown under that of its directory.
 */
export function formatSlabTool(slabs: SlabAllocator, options: SlabToolOptions = {}): string {
  const caches = Array.from(cachesOf(slabs.context.words), (record) =>
    readCache(slabs.context, record),
  )
  const shown = caches.filter((cache) => options.empty === true || cache.slabs > 0)
  shown.sort(options.loss === true ? (a, b) => lossOf(b) - lossOf(a) : byName)
  const title = options.loss === true ? ' Loss' : 'Space'
  const header =
    `Name                   Objects Objsize           ${title} ` +
    'Slabs/Part/Cpu  O/S O %Fr %Ef Flg\n'
  return header + shown.map((cache) => row(cache, options)).join('')
}

/**
 * The report of one cache: sizes of an object, slabs, checks, memory. The figures are the tool's; how
 * wide its columns are is not known for sure.
 */
export function formatSlabReport(cache: SlabCache): string {
  const t = readCache(cache.slabs.context, cache.record)
  const notes: readonly (readonly [flag: number, text: string])[] = [
    [SLAB_HWCACHE_ALIGN, 'Hardware cacheline aligned'],
    [SLAB_CACHE_DMA, 'Memory is allocated in a special DMA zone'],
    [SLAB_TYPESAFE_BY_RCU, 'Slabs are destroyed via RCU'],
    [SLAB_RECLAIM_ACCOUNT, 'Reclaim accounting active'],
  ]
  const on = (flag: number) => ((t.flags & flag) !== 0 ? 'On ' : 'Off')
  const loss = t.slabSize - t.objectSize
  const rows: readonly (readonly string[])[] = [
    size('Object', t.objectSize, 'Total', t.slabs, 'Sanity Checks', on(SLAB_CONSISTENCY_CHECKS)),
    size('SlabObj', t.slabSize, 'Full', fullSlabs(t), 'Redzoning', on(SLAB_RED_ZONE)),
    size('SlabSiz', t.slabBytes, 'Partial', t.partial, 'Poisoning', on(SLAB_POISON)),
    size('Loss', loss, 'CpuSlab', t.cpuSlabs, 'Tracking', on(SLAB_STORE_USER)),
    size('Align', t.align, 'Objects', t.perSlab, 'Tracing', on(SLAB_TRACE)),
  ]
  const memory = [
    `Total: ${pad(t.space, 7)}`,
    `Used : ${pad(t.used, 7)}`,
    `Loss : ${pad(lossOf(t), 7)}`,
    `Lalig: ${pad(loss * t.objects, 7)}`,
    `Lpadd: ${pad((t.slabBytes - t.perSlab * t.slabSize) * t.slabs, 7)}`,
  ]
  return [
    '',
    `Slabcache: ${paddedName(t.name, 15)}  Aliases: ${pad(t.aliases, 2)} ` +
      `Order : ${pad(t.order, 2)} Objects: ${t.objects}`,
    ...notes.filter(([flag]) => (t.flags & flag) !== 0).map(([, text]) => `** ${text}`),
    '',
    'Sizes (bytes)     Slabs              Debug                Memory',
    '-'.repeat(72),
    ...rows.map((columns, i) => [...columns, memory[i]].join('  ')),
    '',
  ].join('\n')
}

function readCache(c: SlabContext, record: number): ToolCache {
  const { words } = c
  const objectSize = words[record + CACHE_OBJECT_SIZE]!
  const counts = cacheCounts(words, record)
  const aliases = Math.max(words[record + CACHE_REFCOUNT]!, 1) - 1
  const order = words[record + CACHE_ORDER]!
  const slabBytes = PAGE_SIZE * 2 ** order
  const objects = counts.totalObjects - counts.partialFree
  return {
    name: aliases > 0 ? directoryName(c, record) : formatName(words, record),
    flags: words[record + CACHE_FLAGS]!,
    aliases,
    align: words[record + CACHE_ALIGN]!,
    order,
    objectSize,
    slabSize: words[record + CACHE_SIZE]!,
    perSlab: words[record + CACHE_OBJECTS]!,
    objects,
    slabs: counts.slabs,
    partial: counts.partial,
    cpuSlabs: sum(cpuSlabsByNode(words, record)),
    slabBytes,
    space: counts.slabs * slabBytes,
    used: objects * objectSize,
  }
}

function byName(a: ToolCache, b: ToolCache): number {
  const [x, y] = [a.name.toLowerCase(), b.name.toLowerCase()]
  return Number(x > y) - Number(x < y)
}

function row(cache: ToolCache, options: SlabToolOptions): string {
  const { slabs, partial, cpuSlabs, space } = cache
  const shown = options.loss === true ? lossOf(cache) : space
  const free = slabs === 0 ? 100 : Math.floor((partial * 100) / slabs)
  const effective = slabs === 0 ? 100 : Math.floor((cache.used * 100) / space)
  const letters = LETTERS.filter(([flag]) => (cache.flags & flag) !== 0).map(([, letter]) => letter)
  const columns = [
    paddedName(cache.name, 21),
    pad(cache.objects, 8),
    pad(cache.objectSize, 7),
    (options.bytes === true ? String(shown) : scaled(shown)).padStart(15),
    `${slabs - cpuSlabs}/${partial}/${cpuSlabs}`.padStart(14),
    pad(cache.perSlab, 4),
    String(cache.order),
    pad(free, 3),
    pad(effective, 3),
    (cache.aliases > 0 ? '*' : '') + letters.join(''),
  ]
  return `${columns.join(' ')}\n`
}

/** A size with one digit behind its point: 131072 is `131.0K`. Thousands, not 1024; rounded down. */
function scaled(value: number): string {
  const steps: readonly (readonly [above: number, divisor: number, suffix: string])[] = [
    [1_000_000_000, 100_000_000, 'G'],
    [1_000_000, 100_000, 'M'],
    [1000, 100, 'K'],
  ]
  const step = steps.find(([above]) => value > above)
  if (step === undefined) return String(value)
  const tenths = String(Math.floor(value / step[1]))
  return `${tenths.slice(0, -1)}.${tenths.slice(-1)}${step[2]}`
}

function lossOf(cache: ToolCache): number {
  return cache.space - cache.used
}

function fullSlabs(cache: ToolCache): number {
  return cache.slabs - cache.partial - cache.cpuSlabs
}

function size(
  what: string,
  bytes: number,
  count: string,
  slabs: number,
  check: string,
  state: string,
): string[] {
  return [
    `${what.padEnd(7)}: ${pad(bytes, 7)}`,
    `${count.padEnd(7)}: ${pad(slabs, 7)}`,
    ` ${check.padEnd(14)}: ${state}`,
  ]
}

function pad(value: number, width: number): string {
  return String(value).padStart(width)
}
