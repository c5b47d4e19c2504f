/** Checks slabs one by one: what their records say, and that each of their objects is free or in use, once. */

import { PAGE_SIZE } from '../base/units'
import { OUTSIDE, readFreePointer } from '../slab/freePointer'
import { isDebugCache, slabNode, slabOrderOf } from '../slab/slabs'
import {
  CACHE_GRANULE,
  CACHE_MIN_OBJECTS,
  CACHE_MIN_ORDER,
  CACHE_OBJECTS,
  CACHE_OFFSET,
  CACHE_ORDER,
  CACHE_PAD,
  CACHE_RECORD_SHIFT,
  CACHE_SIZE,
  CACHE_STARTS,
  SLAB_BASE_HI,
  SLAB_BASE_LO,
  SLAB_CACHE,
  SLAB_FLAGS,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_GRANULE_SHIFT,
  SLAB_INUSE,
  SLAB_LAST,
  SLAB_LIVE,
  SLAB_NODE_BITS,
  SLAB_NODE_SHIFT,
  SLAB_OBJECTS,
  SLAB_OF_DEBUG,
  SLAB_ORDER_MASK,
  SLAB_ORDER_SHIFT,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_QUARANTINED,
  SLAB_RAM,
} from '../state/slabSchema'
import { slabText } from './slabInvariants'
import type { Survey } from './slabSurvey'

const TWO_32 = 4294967296
/** The bits of a slab's flags that change while it lives, or are checked elsewhere. */
const OTHER_BITS =
  SLAB_FROZEN |
  SLAB_PFMEMALLOC |
  SLAB_QUARANTINED |
  (SLAB_ORDER_MASK << SLAB_ORDER_SHIFT) |
  (SLAB_NODE_BITS << SLAB_NODE_SHIFT)

/** Checks each slab of a cache whose geometry is in order. */
export function checkSlabs(s: Survey): void {
  const seen = new Int32Array(2 ** 15)
  for (const slab of s.slabs) {
    const cache = s.words[slab + SLAB_CACHE]!
    if (!s.sound.has(cache) || s.v.full) continue
    if (checkRecord(s, cache, slab)) checkPlaces(s, cache, slab, seen)
  }
}

/** Checks what a slab's record says from the start to the end of the slab's life. */
function checkRecord(s: Survey, cache: number, slab: number): boolean {
  const { words, c } = s
  const order = slabOrderOf(words, slab)
  const pfn = words[slab + SLAB_PFN]!
  const objects = words[slab + SLAB_OBJECTS]!
  const large = order === words[cache + CACHE_ORDER] && objects === words[cache + CACHE_OBJECTS]
  const small =
    order === words[cache + CACHE_MIN_ORDER] && objects === words[cache + CACHE_MIN_OBJECTS]
  const flags = words[slab + SLAB_FLAGS]!
  const node = slabNode(words, slab)
  const ofCache =
    (isDebugCache(words, cache) ? SLAB_OF_DEBUG : 0) |
    (words[cache + CACHE_GRANULE]! << SLAB_GRANULE_SHIFT)
  const address = pfn * PAGE_SIZE + c.directMap
  const last = (objects - 1) * words[cache + CACHE_SIZE]! + words[cache + CACHE_PAD]!
  const right =
    s.isRecord(slab, 1 << words[cache + CACHE_RECORD_SHIFT]!) &&
    (large || small) &&
    (flags & ~OTHER_BITS) === ofCache &&
    node < c.source.nrNodes &&
    words[slab + SLAB_RAM] === ramIndex(s, pfn * PAGE_SIZE) + (words[cache + CACHE_OFFSET]! >> 2) &&
    words[slab + SLAB_BASE_LO] === ((address % TWO_32) | 0) &&
    words[slab + SLAB_BASE_HI] === (Math.floor(address / TWO_32) | c.layout.signHigh) &&
    words[slab + SLAB_LAST] === last
  if (right) return true
  const said = `order ${order}, ${objects} objects, flags 0x${flags.toString(16)}, node ${node}`
  s.broken('SLAB-3', `${slabText(words, slab)} says ${said}, last ${words[slab + SLAB_LAST]}`)
  return false
}

/** Place of a physical address in RAM's words; -1 where there is no RAM. */
function ramIndex(s: Survey, address: number): number {
  try {
    return s.c.ram.wordIndex(address)
  } catch {
    return -1
  }
}

/** Collects the objects of a slab in `seen`, a bit each, as they are found in use or free. */
function checkPlaces(s: Survey, cache: number, slab: number, seen: Int32Array): void {
  const { words, v } = s
  const size = (1 << words[cache + CACHE_RECORD_SHIFT]!) - SLAB_LIVE
  const live = slab + SLAB_LIVE
  for (let i = 0; i < size; i++) seen[i] = words[live + i]!
  const own = markChain(s, cache, slab, words[slab + SLAB_FREE]!, seen)
  const cpus = markChain(s, cache, slab, s.cpuFree.get(slab) ?? 0, seen)
  if (own < 0 || cpus < 0) return
  const lost = strayBit(s, cache, slab, seen, size)
  if (lost !== null) v.report('SLAB-1', `${slabText(words, slab)}: ${lost}`)
  const inuse = words[slab + SLAB_OBJECTS]! - own
  if (words[slab + SLAB_INUSE] !== inuse) {
    const text = `counts ${words[slab + SLAB_INUSE]} objects in use, has ${inuse}`
    v.report('SLAB-4', `${slabText(words, slab)} ${text}`)
  }
}

/** Marks the objects of a chain. Returns how many there are, or -1 when the chain is broken. */
function markChain(
  s: Survey,
  cache: number,
  slab: number,
  first: number,
  seen: Int32Array,
): number {
  const { words, v, c } = s
  const granule = words[cache + CACHE_GRANULE]!
  const starts = words[cache + CACHE_STARTS]!
  const last = words[slab + SLAB_LAST]!
  let count = 0
  for (let at = first; at !== 0; count++) {
    const offset = at - 1
    const bit = offset >> granule
    const mask = 1 << (bit & 31)
    const place =
      at !== OUTSIDE &&
      offset >= 0 &&
      offset <= last &&
      bit << granule === offset &&
      (words[starts + (bit >> 5)]! & mask) !== 0
    // Nothing is marked twice, so this ends.
    if (!place || (seen[bit >> 5]! & mask) !== 0) {
      const what = place ? 'is in use or free already' : 'is no object’s place'
      v.report('SLAB-1', `${slabText(words, slab)}: free object ${count}, at ${offset}, ${what}`)
      return -1
    }
    seen[bit >> 5]! |= mask
    at = readFreePointer(c, cache, slab, offset)
  }
  return count
}

/** What is wrong when not all places have been marked, or more than those. */
function strayBit(
  s: Survey,
  cache: number,
  slab: number,
  seen: Int32Array,
  size: number,
): string | null {
  const { words } = s
  const starts = words[cache + CACHE_STARTS]!
  const last = words[slab + SLAB_LAST]! >> words[cache + CACHE_GRANULE]!
  const quarantined = (words[slab + SLAB_FLAGS]! & SLAB_QUARANTINED) !== 0
  for (let i = 0; i < size; i++) {
    // A slab of the smallest order has the first of the cache's places only.
    const bits = last - i * 32 + 1
    const places = bits <= 0 ? 0 : words[starts + i]! & (bits >= 32 ? -1 : (1 << bits) - 1)
    if ((seen[i]! & ~places) !== 0) return `word ${i} marks what is no place as in use`
    if (seen[i] !== places && !quarantined)
      return `word ${i} lacks objects, neither free nor in use`
  }
  return null
}
