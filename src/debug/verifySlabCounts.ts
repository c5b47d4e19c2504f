/** Checks what is counted against what is there: slabs, objects, pages, and the descriptors of caches. */

import { PAGE_SIZE } from '../base/units'
import { loadAddress } from '../slab/caches'
import { SLAB_RECLAIM_ACCOUNT } from '../slab/flags'
import { isLive, isPlace } from '../slab/freePointer'
import { nodeCounters } from '../slab/slabState'
import { cacheNode, slabNode, slabOrderOf } from '../slab/slabs'
import {
  CACHE_DESCRIPTOR,
  CACHE_FLAGS,
  CACHE_RECORD_SHIFT,
  NODE_SLAB_RECLAIMABLE,
  NODE_SLAB_UNRECLAIMABLE,
  SLAB_CACHE,
  SLAB_CACHE_CACHE,
  SLAB_FRAMES,
  SLAB_LIVE,
  SLAB_NODE_CACHE,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_OBJECT,
  SLAB_NODE_TOTAL_OBJECTS,
  SLAB_NODE_USED,
  SLAB_OBJECTS,
  SLAB_PFN,
} from '../state/slabSchema'
import { cacheText, nodeText } from './slabInvariants'
import type { Survey } from './slabSurvey'
import { isQueued } from './verifySlabLists'

/** Sums up what there is, and compares; `atLeast` where full slabs may be unknown. */
export function checkCounts(s: Survey, atLeast: boolean): void {
  const nodes = s.c.source.nrNodes
  const order = new Map(s.caches.map((cache, i) => [cache, i * nodes]))
  const slabs = new Int32Array(order.size * nodes)
  const objects = new Int32Array(order.size * nodes)
  for (const slab of s.slabs) {
    if (isQueued(s, slab)) continue
    const at = (order.get(s.words[slab + SLAB_CACHE]!) ?? 0) + slabNode(s.words, slab)
    slabs[at]! += 1
    objects[at]! += s.words[slab + SLAB_OBJECTS]!
  }
  for (const cache of s.caches) {
    for (let id = 0; id < nodes; id++) {
      const node = cacheNode(s.words, cache, id)
      const at = (order.get(cache) ?? 0) + id
      const nr = s.words[node + SLAB_NODE_NR_SLABS]!
      const total = s.words[node + SLAB_NODE_TOTAL_OBJECTS]!
      const exact = nr === slabs[at] && total === objects[at]
      if (exact || (atLeast && nr >= slabs[at]! && total >= objects[at]!)) continue
      const text = `counts ${nr} slabs with ${total} objects, has ${slabs[at]} with ${objects[at]}`
      s.v.report('COUNT-1', `${nodeText(s.words, cache, id)} ${text}`)
    }
  }
  checkPageCounts(s)
}

/** Checks that the descriptors of caches are what the two first caches have allocated. */
export function checkDescriptors(s: Survey): void {
  const { words } = s
  const descriptors = new Set<number>()
  const states = new Set<number>()
  for (const cache of s.caches) {
    const text = `the descriptor of ${cacheText(words, cache)}`
    checkDescriptor(
      s,
      loadAddress(words, cache + CACHE_DESCRIPTOR),
      SLAB_CACHE_CACHE,
      descriptors,
      text,
    )
    for (let id = 0; id < s.c.source.nrNodes; id++) {
      const node = cacheNode(words, cache, id)
      if (words[node + SLAB_NODE_USED] === 0) continue
      const object = loadAddress(words, node + SLAB_NODE_OBJECT)
      const where = `the state of ${nodeText(words, cache, id)}`
      checkDescriptor(s, object, SLAB_NODE_CACHE, states, where)
    }
  }
  for (const [column, objects] of [
    [SLAB_CACHE_CACHE, descriptors],
    [SLAB_NODE_CACHE, states],
  ] as const) {
    const live = liveObjects(s, words[column]!)
    if (live === objects.size) continue
    const text = `has ${live} objects in use, ${objects.size} of them known`
    s.v.report('CACHE-3', `${cacheText(words, words[column]!)} ${text}`)
  }
}

function checkPageCounts(s: Survey): void {
  const { words, v } = s
  const nodes = s.c.source.nrNodes
  const pages = new Int32Array(nodes * 2)
  for (const slab of s.slabs) {
    const flags = words[words[slab + SLAB_CACHE]! + CACHE_FLAGS]!
    const kind =
      (flags & SLAB_RECLAIM_ACCOUNT) !== 0 ? NODE_SLAB_RECLAIMABLE : NODE_SLAB_UNRECLAIMABLE
    pages[slabNode(words, slab) * 2 + kind]! += 2 ** slabOrderOf(words, slab)
  }
  for (const pfn of s.large) {
    pages[s.c.source.nodeOf(pfn) * 2 + NODE_SLAB_UNRECLAIMABLE]! +=
      2 ** (-1 - words[SLAB_FRAMES + pfn]!)
  }
  for (let id = 0; id < nodes; id++) {
    for (const kind of [NODE_SLAB_RECLAIMABLE, NODE_SLAB_UNRECLAIMABLE]) {
      const counted = words[nodeCounters(words, id) + kind]
      const found = pages[id * 2 + kind]
      if (counted === found) continue
      v.report('COUNT-2', `node ${id} counts ${counted} pages of kind ${kind}, has ${found}`)
    }
  }
}

function checkDescriptor(
  s: Survey,
  address: number,
  column: number,
  known: Set<number>,
  text: string,
): void {
  const { words } = s
  const cache = words[column]!
  const physical = address - s.c.directMap
  const pfn = Math.floor(physical / PAGE_SIZE)
  const slab = pfn >= 0 && pfn < s.c.source.maxPfn ? words[SLAB_FRAMES + pfn]! : 0
  const offset = s.slabs.has(slab) ? physical - words[slab + SLAB_PFN]! * PAGE_SIZE : -1
  const live =
    offset >= 0 &&
    words[slab + SLAB_CACHE] === cache &&
    isPlace(words, cache, slab, offset) &&
    isLive(words, cache, slab, offset)
  if (!live || known.has(address)) {
    const what = live ? 'of something else too' : `no object in use of ${cacheText(words, cache)}`
    s.v.report('CACHE-3', `${text} is 0x${address.toString(16)}, ${what}`)
  }
  known.add(address)
}

function liveObjects(s: Survey, cache: number): number {
  const { words } = s
  const size = (1 << words[cache + CACHE_RECORD_SHIFT]!) - SLAB_LIVE
  let count = 0
  for (const slab of s.slabs) {
    if (words[slab + SLAB_CACHE] !== cache) continue
    const first = slab + SLAB_LIVE
    for (let i = 0; i < size; i++) {
      for (let bits = words[first + i]!; bits !== 0; bits &= bits - 1) count += 1
    }
  }
  return count
}
