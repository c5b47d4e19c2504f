/** The invariants of the slab layer's state, by id, and how messages name what is in it. */

import { formatName } from '../slab/cacheName'
import { SLAB_CACHE, SLAB_PFN } from '../state/slabSchema'
import { pfnText, type Violation } from './invariants'

/** What holds between any two calls, a sentence each; files that keep an invariant name its id. */
export const SLAB_INVARIANTS = {
  'STATE-1':
    'The buffer is a state of this version, for as many frames, CPUs and nodes as there are.',
  'STATE-2': 'Every value in the header is one that it may have.',
  'RECORD-1':
    'The words in use behind the tables are records, each of a cache, of its places or of a slab, or ' +
    'free, side by side.',
  'RECORD-2': 'A free record is all zero but for the link to the next one of its size.',
  'LIST-1': 'For every record r of a list, next(prev(r)) = prev(next(r)) = r.',
  'LIST-2': 'The head of an empty list links to itself.',
  'CACHE-1':
    'All caches are on the list of caches, newest first, with the geometry that follows from their ' +
    'flags, sizes and alignment.',
  'CACHE-2':
    'A cache on the list has names, unless it is one of the two that all others rest on, or has been ' +
    'destroyed with objects in use.',
  'CACHE-3':
    'The objects in use of kmem_cache are the descriptors of caches, those of kmem_cache_node the ' +
    'node states of caches, each once.',
  'CACHE-4': 'A cache uses every node of the mask, and has nothing on a node that it does not use.',
  'KMALLOC-1': 'The kmalloc caches are all there or none, each of the size and kind of its place.',
  'PARTIAL-1':
    'A node’s partial slabs are not frozen, belong to the node, and have an object free.',
  'PARTIAL-2': 'A node’s count of partial slabs is the length of its list.',
  'PARTIAL-3': 'A CPU’s slab and its partial slabs are frozen, and each is held once.',
  'PARTIAL-4':
    'A slab on a CPU’s partial list has an object free; the CPU counts the slabs on its list.',
  'SLAB-1':
    'A slab’s free list and the objects in use are all of its objects, each once (a CPU’s own free ' +
    'list included).',
  'SLAB-2': 'A frame’s word names the slab that holds it; a slab’s frames all name it.',
  'SLAB-3': 'The record of a slab says what follows from its cache and its block.',
  'SLAB-4': 'The objects in use that a slab counts are all but those on its own free list.',
  'SLAB-5': 'A slab that nobody holds is full and not frozen.',
  'SLAB-6':
    'Debug caches have no CPU’s slabs; those that keep tracks list their full slabs, and no others do.',
  'COUNT-1': 'A cache counts the slabs that it has on a node, and the objects in them.',
  'COUNT-2': 'A node counts the pages of its slabs, by kind, and of its large blocks.',
  'RCU-1':
    'What waits for a grace period are empty slabs of SLAB_TYPESAFE_BY_RCU caches, counted by each ' +
    'cache, and the destroyed caches that have some.',
  'LARGE-1': 'The frames of a large block, but its first, name nothing.',
  'PAGES-1':
    'The frames of a slab, and of a large block, are one block in use, marked as a slab’s, of that order.',
  'PAGES-2': 'A slab knows the node of its pages, and whether they are of the emergency reserve.',
} as const

/** Id of an invariant of the slab layer. */
export type SlabInvariantId = keyof typeof SLAB_INVARIANTS

/** A breach of an invariant of the slab layer. */
export type SlabViolation = Violation<SlabInvariantId>

/** A cache in messages. */
export function cacheText(words: Int32Array, cache: number): string {
  return `cache ${formatName(words, cache)}`
}

/** A slab in messages. */
export function slabText(words: Int32Array, slab: number): string {
  return `slab at ${pfnText(words[slab + SLAB_PFN]!)} of ${cacheText(words, words[slab + SLAB_CACHE]!)}`
}

/** A cache's node in messages, by number. */
export function nodeText(words: Int32Array, cache: number, id: number): string {
  return `${cacheText(words, cache)} node ${id}`
}
