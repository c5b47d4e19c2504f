/**
 * The state of the slab layer in a snapshot: whether it is one of a machine like this, and which caches it has.
 * Caches are where the machine's own are when both machines made them in the same order.
 */

import { checkInteger, InvalidArgument } from '../base/errors'
import { missingCtor } from '../slab/attach'
import { formatName } from '../slab/cacheName'
import type { Ctor, SlabContext } from '../slab/context'
import { firstRecord } from '../slab/slabState'
import {
  CACHE_HAS_CTOR,
  CACHE_ID,
  CACHE_STATE,
  CACHE_WORDS,
  KMALLOC_CLASSES,
  NR_RECORD_SIZES,
  SLAB_CACHE_CACHE,
  SLAB_CACHES,
  SLAB_FREE_RECORDS,
  SLAB_KMALLOC,
  SLAB_MAGIC,
  SLAB_MAX_PFN,
  SLAB_NEXT_ID,
  SLAB_NODE_CACHE,
  SLAB_NR_CACHES,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_VERSION,
  SLAB_WORDS_USED,
} from '../state/slabSchema'
import type { MachineParts } from '../vmalloc/machineParts'
import { checkColumns } from './checkStates'

/** A cache of a state. */
export interface FoundCache {
  /** Place of its record. */
  readonly record: number
  /** What CACHE_ID holds. */
  readonly id: number
  readonly name: string
  /** Whether it has a constructor. */
  readonly hasCtor: boolean
}

/**
 * @returns the caches, newest first.
 * @throws InvalidArgument unless `words` is a state of the slab layer of this machine.
 */
export function checkSlabState(m: MachineParts, words: Int32Array): FoundCache[] {
  const own = m.slabs.words
  const fixed = [SLAB_MAGIC, SLAB_VERSION, SLAB_MAX_PFN, SLAB_NR_CPUS, SLAB_NR_NODES]
  checkColumns('slabs', own, words, fixed)
  // Places of caches that handles of this machine know.
  const known = [SLAB_CACHE_CACHE, SLAB_NODE_CACHE]
  for (let slot = 0; slot < 3 * KMALLOC_CLASSES; slot++) known.push(SLAB_KMALLOC + slot)
  const area = m.vm.context.areaCache
  if (area !== null) known.push(area.record + CACHE_ID)
  checkColumns('slabs', own, words, known)
  const first = firstSlabRecord(own)
  const name = 'words in use of section slabs'
  checkInteger(name, words.length, first, own.length)
  checkInteger(name, words[SLAB_WORDS_USED]!, words.length, words.length)
  checkInteger('next cache of the snapshot', words[SLAB_NEXT_ID]!, 1, 0x7fffffff)
  for (let size = 0; size < NR_RECORD_SIZES; size++) {
    const free = words[SLAB_FREE_RECORDS + size]!
    checkInteger('free record of section slabs', free, 0, words.length - 1)
  }
  return listCaches(words, first)
}

/**
 * The constructors for the caches of a snapshot: those of the machine's caches of the same number and name, or else of
 * the only one of that name. A cache that has none to be found makes no slab before `findCache` gives it one.
 */
export function constructorsFor(
  c: SlabContext,
  caches: readonly FoundCache[],
): readonly (readonly [id: number, ctor: Ctor])[] {
  const own = ownCaches(c).filter(({ hasCtor }) => hasCtor)
  return caches
    .filter(({ hasCtor }) => hasCtor)
    .map(({ id, name }) => {
      const named = own.filter((cache) => cache.name === name)
      const same = named.find((cache) => cache.id === id) ?? (named.length === 1 ? named[0] : null)
      return [id, c.ctors.get(same?.id ?? 0) ?? missingCtor(name)] as const
    })
}

/** The caches of a state; as many as its list says, at places where one can be. */
function listCaches(words: Int32Array, first = firstSlabRecord(words)): FoundCache[] {
  const count = words[SLAB_NR_CACHES]!
  const most = Math.floor((words.length - first) / CACHE_WORDS)
  checkInteger('number of caches of the snapshot', count, 0, most)
  const found: FoundCache[] = []
  let record = words[SLAB_CACHES]!
  for (let i = 0; i < count; i++) {
    checkInteger('place of a cache of the snapshot', record, first, words.length - CACHE_WORDS)
    found.push({
      record,
      id: words[record + CACHE_ID]!,
      name: formatName(words, record),
      hasCtor: (words[record + CACHE_STATE]! & CACHE_HAS_CTOR) !== 0,
    })
    record = words[record]!
  }
  if (record !== SLAB_CACHES) {
    throw new InvalidArgument('list of caches of the snapshot', record, `ended by ${SLAB_CACHES}`)
  }
  return found
}

function firstSlabRecord(words: Int32Array): number {
  return firstRecord(words[SLAB_MAX_PFN]!, words[SLAB_NR_NODES]!)
}

/** The caches of the machine; none when its own state is damaged, which a snapshot may be there to mend. */
function ownCaches({ words }: SlabContext): FoundCache[] {
  try {
    return listCaches(words)
  } catch {
    return []
  }
}
