/** A table of caches as the program slabtop prints it: the largest first, with a summary above. */

import { checkInteger, InvalidArgument } from '../base/errors'
import type { SlabAllocator } from '../slab/slabAllocator'
import { paddedName, sum } from './slabCounts'
import { type SlabinfoCache, slabinfoOf } from './slabinfo'

/** What rows are sorted by; `use` is the part of the objects that is in use. */
export type SlabtopSort =
  | 'objects'
  | 'active'
  | 'use'
  | 'objSize'
  | 'slabs'
  | 'activeSlabs'
  | 'objsPerSlab'
  | 'pagesPerSlab'
  | 'cacheSize'
  | 'name'

/** Options of {@link formatSlabtop}. */
export interface SlabtopOptions {
  /** What the rows are sorted by: largest first, but names ascending; `objects` when not given. */
  readonly sort?: SlabtopSort
  /** Rows at most; all when not given. */
  readonly rows?: number
}

const HEADER = '  OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE NAME                   \n'
/** KiB in a page. */
const PAGE_KIB = 4

const KEYS: Readonly<Record<Exclude<SlabtopSort, 'name'>, (cache: SlabinfoCache) => number>> = {
  objects: (cache) => cache.numObjs,
  active: (cache) => cache.activeObjs,
  use: usePercent,
  objSize: (cache) => cache.objSize,
  slabs: (cache) => cache.numSlabs,
  activeSlabs: (cache) => cache.activeSlabs,
  objsPerSlab: (cache) => cache.objsPerSlab,
  pagesPerSlab: (cache) => cache.pagesPerSlab,
  cacheSize: cacheKib,
}

/**
 * The table, of a machine's caches or of lines of `/proc/slabinfo`.
 * @throws InvalidArgument for a number of rows that is none, and for an unknown sort.
 */
export function formatSlabtop(
  from: SlabAllocator | readonly SlabinfoCache[],
  options: SlabtopOptions = {},
): string {
  const { sort = 'objects', rows = Number.MAX_SAFE_INTEGER } = options
  checkInteger('rows', rows, 0, Number.MAX_SAFE_INTEGER)
  const caches = slabinfoOf(from)
  const sorted = [...caches].sort(comparison(sort))
  return `${summary(caches)}\n${HEADER}${sorted.slice(0, rows).map(row).join('')}`
}

function comparison(sort: SlabtopSort): (a: SlabinfoCache, b: SlabinfoCache) => number {
  if (sort === 'name') return (a, b) => Number(a.name > b.name) - Number(a.name < b.name)
  if (!Object.hasOwn(KEYS, sort)) {
    throw new InvalidArgument('sort', sort, `name or one of ${Object.keys(KEYS).join(', ')}`)
  }
  const key = KEYS[sort]
  return (a, b) => key(b) - key(a)
}

function summary(caches: readonly SlabinfoCache[]): string {
  const total = (value: (cache: SlabinfoCache) => number) => sum(caches.map(value))
  const active = total((cache) => cache.activeObjs)
  const objects = total((cache) => cache.numObjs)
  const activeBytes = total((cache) => cache.activeObjs * cache.objSize)
  const bytes = total((cache) => cache.numObjs * cache.objSize)
  const used = caches.filter((cache) => cache.numObjs > 0).length
  const sizes = caches.map((cache) => cache.objSize)
  const least = sizes.reduce((a, b) => Math.min(a, b), sizes[0] ?? 0)
  const most = sizes.reduce((a, b) => Math.max(a, b), 0)
  const average = objects === 0 ? 0 : bytes / objects
  return [
    ratioLine('Objects', active, objects, String),
    ratioLine(
      'Slabs',
      total((cache) => cache.activeSlabs),
      total((cache) => cache.numSlabs),
      String,
    ),
    ratioLine('Caches', used, caches.length, String),
    ratioLine('Size', activeBytes, bytes, kib),
    ` Minimum / Average / Maximum Object : ${kib(least)} / ${kib(average)} / ${kib(most)}\n`,
  ].join('')
}

function ratioLine(
  what: string,
  active: number,
  total: number,
  show: (count: number) => string,
): string {
  const title = ` Active / Total ${what} (% used)`.padEnd(35)
  const percent = total === 0 ? 0 : (100 * active) / total
  return `${title} : ${show(active)} / ${show(total)} (${fixed(percent, 1)}%)\n`
}

function row(cache: SlabinfoCache): string {
  const columns = [
    String(cache.numObjs).padStart(6),
    String(cache.activeObjs).padStart(6),
    `${String(usePercent(cache)).padStart(3)}%`,
    kib(cache.objSize).padStart(8),
    String(cache.numSlabs).padStart(6),
    String(cache.objsPerSlab).padStart(8),
    `${cacheKib(cache)}K`.padStart(10),
    paddedName(cache.name, 23),
  ]
  return `${columns.join(' ')}\n`
}

/** Whole percent; computed in single precision, as slabtop does, which shows in rare last digits. */
function usePercent(cache: SlabinfoCache): number {
  if (cache.numObjs === 0) return 0
  const part = Math.fround(Math.fround(cache.activeObjs) / Math.fround(cache.numObjs))
  return Math.trunc(Math.fround(100 * part))
}

function cacheKib(cache: SlabinfoCache): number {
  return cache.numSlabs * cache.pagesPerSlab * PAGE_KIB
}

function kib(bytes: number): string {
  return `${fixed(bytes / 1024, 2)}K`
}

/**
 * A number, 0 or more, with so many digits behind its point. Unlike `toFixed` what lies exactly between two
 * goes to the even one, as printf does: 0.125 is 0.12.
 */
function fixed(value: number, digits: number): string {
  // Halves of the last digit are odd multiples of 1/2^(digits + 1).
  if ((value * 2 ** (digits + 1)) % 2 !== 1) return value.toFixed(digits)
  const below = Math.floor(value * 10 ** digits)
  return ((below + (below % 2)) / 10 ** digits).toFixed(digits)
}
