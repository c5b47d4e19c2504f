/** `/proc/slabinfo`: objects and slabs by cache. Source: spec/slab.md §18.1. */

import { InvalidArgument } from '../base/errors'
import { formatName } from '../slab/cacheName'
import { cachesOf } from '../slab/hotplug'
import type { SlabAllocator } from '../slab/slabAllocator'
import { CACHE_OBJECTS, CACHE_ORDER, CACHE_SIZE } from '../state/slabSchema'
import { cacheCounts, paddedName } from './slabCounts'

/** One line of `/proc/slabinfo`. */
export interface SlabinfoCache {
  /** Name of the cache. */
  readonly name: string
  /** Objects in use; all that CPUs hold count, free or not. */
  readonly activeObjs: number
  /** Objects that the slabs have room for. */
  readonly numObjs: number
  /** Distance from an object to the next. Bytes. */
  readonly objSize: number
  /** Objects in a slab. */
  readonly objsPerSlab: number
  /** Pages in a slab. */
  readonly pagesPerSlab: number
  /** Tunable of older kernels; 0 here, like the two that follow. */
  readonly limit: number
  /** Another one. */
  readonly batchCount: number
  /** Another one. */
  readonly sharedFactor: number
  /** Slabs; older kernels count those with objects in use. */
  readonly activeSlabs: number
  /** Slabs. */
  readonly numSlabs: number
  /** Always 0 here. */
  readonly sharedAvail: number
}

const VERSION_LINE = 'slabinfo - version: 2.1\n'
const COLUMNS_LINE =
  '# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> ' +
  ': tunables <limit> <batchcount> <sharedfactor> ' +
  ': slabdata <active_slabs> <num_slabs> <sharedavail>\n'

/** What each cache has, the newest first. The caller owns the array. Cost: the partial lists of all nodes. */
export function readSlabinfo(slabs: SlabAllocator): SlabinfoCache[] {
  const { words } = slabs.context
  return Array.from(cachesOf(words), (cache) => {
    const counts = cacheCounts(words, cache)
    return {
      name: formatName(words, cache),
      activeObjs: counts.totalObjects - counts.partialFree,
      numObjs: counts.totalObjects,
      objSize: words[cache + CACHE_SIZE]!,
      objsPerSlab: words[cache + CACHE_OBJECTS]!,
      pagesPerSlab: 1 << words[cache + CACHE_ORDER]!,
      limit: 0,
      batchCount: 0,
      sharedFactor: 0,
      activeSlabs: counts.slabs,
      numSlabs: counts.slabs,
      sharedAvail: 0,
    }
  })
}

/** The text, of a machine's caches or of lines read before; '' for no lines. */
export function formatSlabinfo(from: SlabAllocator | readonly SlabinfoCache[]): string {
  const caches = slabinfoOf(from)
  if (caches.length === 0) return ''
  return VERSION_LINE + COLUMNS_LINE + caches.map(formatLine).join('')
}

/** The lines of a machine, or those given. */
export function slabinfoOf(
  from: SlabAllocator | readonly SlabinfoCache[],
): readonly SlabinfoCache[] {
  return 'context' in from ? readSlabinfo(from) : from
}

/**
 * Reads the text of any kernel that writes version 2: with tunables, with the statistics of debug kernels,
 * which are left out, and with or without its two first lines.
 * @throws InvalidArgument naming the line that does not belong there, by its number.
 */
export function parseSlabinfo(text: string): SlabinfoCache[] {
  const caches: SlabinfoCache[] = []
  text.split('\n').forEach((raw, i) => {
    const line = raw.trim()
    if (line === '' || line.startsWith('# name')) return
    const version = /^slabinfo - version: (.*)$/.exec(line)?.[1]
    if (version === undefined) caches.push(parseLine(line, i + 1))
    else if (!/^2\.\d/.test(version)) throw wrongLine(i + 1, line, 'of version 2')
  })
  return caches
}

function formatLine(cache: SlabinfoCache): string {
  const statistics = [
    paddedName(cache.name, 17),
    pad(cache.activeObjs, 6),
    pad(cache.numObjs, 6),
    pad(cache.objSize, 6),
    pad(cache.objsPerSlab, 4),
    pad(cache.pagesPerSlab, 4),
  ]
  const tunables = [cache.limit, cache.batchCount, cache.sharedFactor].map((n) => pad(n, 4))
  const slabdata = [cache.activeSlabs, cache.numSlabs, cache.sharedAvail].map((n) => pad(n, 6))
  return `${statistics.join(' ')} : tunables ${tunables.join(' ')} : slabdata ${slabdata.join(' ')}\n`
}

function pad(count: number, width: number): string {
  return String(count).padStart(width)
}

/** A name may hold blanks; the five numbers behind it are the last ones of its section. */
function parseLine(line: string, number: number): SlabinfoCache {
  const [, statistics, tunables, slabdata] =
    /^(.+) : tunables([ \d]*) : slabdata([ \d]*)(?: : .*)?$/.exec(line) ?? []
  const [, name, counts] = /^(\S(?:.*\S)?)((?: +\d+){5})$/.exec(statistics ?? '') ?? []
  if (name === undefined || counts === undefined) {
    throw wrongLine(number, line, 'a name and five numbers, ": tunables" and ": slabdata"')
  }
  const values = [counts, tunables ?? '', slabdata ?? ''].map((part) => part.trim().split(/ +/))
  const numbers = values.flat().map(Number)
  const sound = numbers.every(Number.isSafeInteger)
  if (!sound || values[1]?.length !== 3 || values[2]?.length !== 3 || values[1][0] === '') {
    throw wrongLine(number, line, 'three numbers in each of its parts, below 2^53')
  }
  const [activeObjs = 0, numObjs = 0, objSize = 0, objsPerSlab = 0, pagesPerSlab = 0] = numbers
  const [limit = 0, batchCount = 0, sharedFactor = 0] = numbers.slice(5)
  const [activeSlabs = 0, numSlabs = 0, sharedAvail = 0] = numbers.slice(8)
  return {
    name,
    activeObjs,
    numObjs,
    objSize,
    objsPerSlab,
    pagesPerSlab,
    limit,
    batchCount,
    sharedFactor,
    activeSlabs,
    numSlabs,
    sharedAvail,
  }
}

function wrongLine(number: number, line: string, limit: string): InvalidArgument {
  return new InvalidArgument(`line ${number}`, line, limit)
}
