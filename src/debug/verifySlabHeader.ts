/** Checks the header of the slab layer's state: what must hold before anything else is read. */

import {
  SLAB_CACHE_DMA,
  SLAB_DEBUG_FLAGS,
  SLAB_KMALLOC as SLAB_KMALLOC_FLAG,
  SLAB_RECLAIM_ACCOUNT,
} from '../slab/flags'
import { kmallocClassSize, kmallocSlot } from '../slab/kmallocClass'
import { MAGIC, VERSION } from '../slab/slabState'
import {
  CACHE_FLAGS,
  CACHE_OBJECT_SIZE,
  KMALLOC_CLASSES,
  NODE_SLAB_WORDS,
  SLAB_CACHE_CACHE,
  SLAB_DEBUG_ON,
  SLAB_FRAMES,
  SLAB_HEADER_END,
  SLAB_HEADER_WORDS,
  SLAB_KMALLOC,
  SLAB_MAGIC,
  SLAB_MAX_PFN,
  SLAB_NEXT_ID,
  SLAB_NODE_CACHE,
  SLAB_NODE_MASK,
  SLAB_NR_CPUS,
  SLAB_NR_NODES,
  SLAB_VERSION,
  SLAB_WORDS_USED,
} from '../state/slabSchema'
import { cacheText } from './slabInvariants'
import type { Survey } from './slabSurvey'

/** Smallest index of a kmalloc cache; index 0 is none's. */
const FIRST_CLASS = 1
/** Flags that tell the kinds of kmalloc caches apart, by kind. */
const KIND_FLAGS = [0, SLAB_RECLAIM_ACCOUNT, SLAB_CACHE_DMA]

/** Checks what the header says of the buffer; false when nothing else can be read. */
export function checkSlabHeader(s: Survey): boolean {
  const { words } = s
  const { source } = s.c
  const used = words[SLAB_WORDS_USED]!
  const limits: readonly (readonly [name: string, column: number, value: number])[] = [
    ['the magic number', SLAB_MAGIC, MAGIC],
    ['the version', SLAB_VERSION, VERSION],
    ['the number of frames', SLAB_MAX_PFN, source.maxPfn],
    ['the number of CPUs', SLAB_NR_CPUS, source.nrCpus],
    ['the number of nodes', SLAB_NR_NODES, source.nrNodes],
  ]
  for (const [name, column, value] of limits) {
    if (words[column] === value) continue
    s.broken('STATE-1', `${name} is ${words[column]}, not ${value}`)
  }
  if (!(used >= s.tablesEnd && used <= words.length && used % 16 === 0)) {
    s.broken('STATE-1', `${used} words are in use, of ${s.tablesEnd} to ${words.length}`)
  }
  return s.whole
}

/** Checks the rest of the header, once the caches are known. */
export function checkSlabTables(s: Survey): void {
  const { words, v } = s
  const nodes = s.c.source.nrNodes
  for (let node = nodes; node < 64; node++) {
    const word = words[SLAB_NODE_MASK + (node >> 5)]!
    if ((word & (1 << (node & 31))) !== 0) v.report('STATE-2', `node ${node} of ${nodes} is in use`)
  }
  const debug = s.listed.some((cache) => (words[cache + CACHE_FLAGS]! & SLAB_DEBUG_FLAGS) !== 0)
  const on = words[SLAB_DEBUG_ON]!
  if ((on !== 0 && on !== 1) || (debug && on === 0)) v.report('STATE-2', `debugging is on: ${on}`)
  if (words[SLAB_NEXT_ID]! < s.listed.length) {
    v.report('STATE-2', `the next cache has number ${words[SLAB_NEXT_ID]}`)
  }
  checkZeros(s, SLAB_HEADER_END, SLAB_HEADER_WORDS)
  checkZeros(s, SLAB_FRAMES + s.c.source.maxPfn + nodes * NODE_SLAB_WORDS, s.tablesEnd)
  const last = s.listed.slice(-2)
  if (s.whole && (last[0] !== words[SLAB_NODE_CACHE] || last[1] !== words[SLAB_CACHE_CACHE])) {
    const said = `${words[SLAB_NODE_CACHE]} and ${words[SLAB_CACHE_CACHE]}`
    v.report('STATE-2', `the first caches are ${said}, not ${last.join(' and ')}`)
  }
  if (s.whole) checkKmalloc(s)
}

function checkZeros(s: Survey, start: number, end: number): void {
  for (let at = start; at < end; at++) {
    if (s.words[at] !== 0) s.v.report('STATE-2', `word ${at} is ${s.words[at]}, not 0`)
  }
}

function checkKmalloc(s: Survey): void {
  const { words, v } = s
  const listed = new Set(s.listed)
  let found = 0
  for (let slot = 0; slot < KIND_FLAGS.length * KMALLOC_CLASSES; slot++) {
    const cache = words[SLAB_KMALLOC + slot]!
    if (cache === 0) continue
    found += 1
    const index = slot % KMALLOC_CLASSES
    const kind = (slot - index) / KMALLOC_CLASSES
    const mask = SLAB_KMALLOC_FLAG | SLAB_RECLAIM_ACCOUNT | SLAB_CACHE_DMA
    const right =
      index >= FIRST_CLASS &&
      slot === kmallocSlot(kind, index) &&
      listed.has(cache) &&
      words[cache + CACHE_OBJECT_SIZE] === kmallocClassSize(index) &&
      (words[cache + CACHE_FLAGS]! & mask) === (SLAB_KMALLOC_FLAG | KIND_FLAGS[kind]!)
    if (!right) v.report('KMALLOC-1', `kind ${kind} index ${index} is ${cacheText(words, cache)}`)
  }
  if (found !== 0 && found !== KIND_FLAGS.length * (KMALLOC_CLASSES - FIRST_CLASS)) {
    v.report('KMALLOC-1', `there are ${found} kmalloc caches`)
  }
}
