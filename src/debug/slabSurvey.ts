/**
 * What there is in a state of the slab layer: caches from their list, slabs and large blocks from the frame
 * table. Only what can be read without harm gets into a survey, so that the checks need not be careful again.
 */

import type { SlabContext } from '../slab/context'
import { firstRecord } from '../slab/slabState'
import { slabOrderOf } from '../slab/slabs'
import {
  CACHE_STATE,
  CACHE_WAITS,
  CACHE_WORDS,
  SLAB_CACHE,
  SLAB_CACHES,
  SLAB_CPU_WORDS,
  SLAB_FRAMES,
  SLAB_LIVE,
  SLAB_NEXT,
  SLAB_NODE_WORDS,
  SLAB_NR_CACHES,
  SLAB_PFN,
  SLAB_PREV,
  SLAB_WORDS_USED,
} from '../state/slabSchema'
import { pfnText, Violations } from './invariants'
import type { SlabInvariantId } from './slabInvariants'

/** The largest order of a block. */
const LARGEST_ORDER = 10

/** What has been found. */
export class Survey {
  readonly words: Int32Array
  readonly v = new Violations<SlabInvariantId>()
  /** The first word behind the header and the tables. */
  readonly tablesEnd: number
  /** Words of a cache's record, with those of its CPUs and nodes. */
  readonly cacheWords: number
  /** Caches on the list, newest first. */
  readonly listed: number[] = []
  /** Destroyed caches that wait for a grace period. */
  readonly waiting = new Set<number>()
  /** Caches whose geometry can be relied on. */
  readonly sound = new Set<number>()
  /** Slabs that all of their frames name, of caches that exist, in the order of their frames. */
  readonly slabs = new Set<number>()
  /** First frames of large blocks. */
  readonly large: number[] = []
  /** Who holds which slab, in words. */
  readonly holders = new Map<number, string>()
  /** Free list of the CPU that works with a slab. */
  readonly cpuFree = new Map<number, number>()
  /** False once something was found broken that others build on: sums tell nothing then. */
  whole = true

  constructor(readonly c: SlabContext) {
    const { nrCpus, nrNodes, maxPfn } = c.source
    this.words = c.words
    this.tablesEnd = firstRecord(maxPfn, nrNodes)
    this.cacheWords = CACHE_WORDS + nrCpus * SLAB_CPU_WORDS + nrNodes * SLAB_NODE_WORDS
  }

  /** Caches on the list, and those that wait. */
  get caches(): number[] {
    return [...this.listed, ...this.waiting]
  }

  /** Whether a record of `length` words can be at `offset`. */
  isRecord(offset: number, length: number): boolean {
    const fits = offset >= this.tablesEnd && offset + length <= this.words[SLAB_WORDS_USED]!
    return fits && offset % 16 === 0
  }

  /** Reports a breach of what others build on. */
  broken(id: SlabInvariantId, message: string): void {
    this.whole = false
    this.v.report(id, message)
  }

  /** Takes note of who holds a slab; false when it is none, or somebody else holds it too. */
  hold(slab: number, holder: string): boolean {
    if (!this.slabs.has(slab)) {
      this.broken('PARTIAL-3', `${holder} is ${slab}, no slab`)
      return false
    }
    const other = this.holders.get(slab)
    if (other !== undefined) {
      const text = `${pfnText(this.words[slab + SLAB_PFN]!)} is ${other} and ${holder}`
      this.broken('PARTIAL-3', text)
      return false
    }
    this.holders.set(slab, holder)
    return true
  }

  /**
   * The records of a list, or null when its links are broken. It ends: a record that comes a second time is
   * linked from two records, and its PREV can name but one of them.
   */
  walk(head: number, isMember: (record: number) => boolean, text: string): number[] | null {
    const words = this.words
    const records: number[] = []
    let before = head
    for (let at = words[head + SLAB_NEXT]!; at !== head; at = words[at + SLAB_NEXT]!) {
      if (!isMember(at)) {
        this.broken('LIST-1', `${text} links to ${at}, which can not be on it`)
        return null
      }
      if (words[at + SLAB_PREV] !== before) {
        this.broken('LIST-1', `${text} has ${at} with PREV ${words[at + SLAB_PREV]}, not ${before}`)
        return null
      }
      records.push(at)
      before = at
    }
    if (words[head + SLAB_PREV] === before) return records
    const id = records.length === 0 ? 'LIST-2' : 'LIST-1'
    this.broken(id, `${text} ends at ${words[head + SLAB_PREV]}, not ${before}`)
    return null
  }
}

/** Finds what there is in a state whose header is in order. */
export function survey(s: Survey): void {
  const { words } = s
  const isCache = (record: number) => s.isRecord(record, s.cacheWords)
  s.listed.push(...(s.walk(SLAB_CACHES, isCache, 'the list of caches') ?? []))
  if (s.whole && words[SLAB_NR_CACHES] !== s.listed.length) {
    s.v.report('CACHE-1', `${words[SLAB_NR_CACHES]} caches counted, ${s.listed.length} listed`)
  }
  const listed = new Set(s.listed)
  const [frames, end] = [SLAB_FRAMES, s.c.source.maxPfn]
  for (let pfn = 0; pfn < end; ) {
    const word = words[frames + pfn]!
    if (word === 0) pfn += 1
    else if (word < 0) pfn = enterLarge(s, pfn, -1 - word)
    else pfn = enterSlab(s, pfn, word, listed)
  }
}

/** Enters a large block. Returns the frame to go on with. */
function enterLarge(s: Survey, pfn: number, order: number): number {
  const end = pfn + 2 ** order
  if (order > LARGEST_ORDER || pfn % 2 ** order !== 0 || end > s.c.source.maxPfn) {
    s.broken('LARGE-1', `${pfnText(pfn)} can not head a block of order ${order}`)
    return pfn + 1
  }
  s.large.push(pfn)
  for (let tail = pfn + 1; tail < end; tail++) {
    const word = s.words[SLAB_FRAMES + tail]!
    if (word === 0) continue
    s.broken('LARGE-1', `${pfnText(tail)}, of the block at ${pfnText(pfn)}, names ${word}`)
    return tail
  }
  return end
}

/** Enters a slab whose first frame is `pfn`. Returns the frame to go on with. */
function enterSlab(s: Survey, pfn: number, slab: number, listed: ReadonlySet<number>): number {
  const { words } = s
  if (!s.isRecord(slab, SLAB_LIVE + 1) || words[slab + SLAB_PFN] !== pfn) {
    const first = words[slab + SLAB_PFN]
    s.broken('SLAB-2', `${pfnText(pfn)} names ${slab}, whose first frame is ${first}`)
    return pfn + 1
  }
  const end = pfn + 2 ** slabOrderOf(words, slab)
  for (let tail = pfn + 1; tail < end; tail++) {
    if (words[SLAB_FRAMES + tail] === slab) continue
    const text = `names ${words[SLAB_FRAMES + tail]}, not the slab at ${pfnText(pfn)}`
    s.broken('SLAB-2', `${pfnText(tail)} ${text}`)
    return tail
  }
  const cache = words[slab + SLAB_CACHE]!
  if (!listed.has(cache)) {
    const waits =
      s.isRecord(cache, s.cacheWords) && (words[cache + CACHE_STATE]! & CACHE_WAITS) !== 0
    if (!waits) {
      s.broken('SLAB-3', `the slab at ${pfnText(pfn)} belongs to ${cache}, no cache`)
      return end
    }
    s.waiting.add(cache)
  }
  s.slabs.add(slab)
  return end
}
