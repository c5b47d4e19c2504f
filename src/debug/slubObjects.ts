/**
 * Texts about objects in use: those left when a cache is destroyed, and any by address. Source:
 * spec/slab.md §11, §16.9.
 */

import { fullAddress } from '../base/layout'
import { formatName } from '../slab/cacheName'
import type { SlabContext } from '../slab/context'
import { ZERO_SIZE_PTR } from '../slab/kmalloc'
import { offsetIn, slabAt } from '../slab/objects'
import type { SlabAllocator } from '../slab/slabAllocator'
import { cacheNode, objectAddress } from '../slab/slabs'
import {
  CACHE_PAD,
  CACHE_SIZE,
  CACHE_USERSIZE,
  SLAB_CACHE,
  SLAB_INUSE,
  SLAB_NEXT,
  SLAB_NODE_NR_SLABS,
  SLAB_NODE_PARTIAL,
  SLAB_NR_NODES,
  SLAB_TAINT,
} from '../state/slabSchema'
import { hex16, pointerAt, reportHeader, slabLine, TAINT_BAD_PAGE, trackLines } from './slubText'
import { TRACK_ALLOC, TRACK_FREE } from './slubTrack'
import { freeObjects, placesOf } from './slubValidate'

/** A report's text is cut to so many characters. */
const TEXT_LENGTH = 99
/** Frames of a stack that are shown. */
const FRAMES = 16

/**
 * The reports of the objects that keep a cache from being destroyed: of the first node that has
 * some, and in its partial slabs only, as full ones are on no list. Marks the kernel as tainted.
 */
export function remainingObjects(c: SlabContext, cache: number): string[] {
  const words = c.words
  const lines: string[] = []
  const name = formatName(words, cache)
  const text = `Objects remaining in ${name} on __kmem_cache_shutdown()`.slice(0, TEXT_LENGTH)
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    const node = cacheNode(words, cache, id)
    const head = node + SLAB_NODE_PARTIAL
    for (let slab = words[head]!; slab !== head; slab = words[slab + SLAB_NEXT]!) {
      if (words[slab + SLAB_INUSE] === 0) continue
      lines.push(...reportHeader(c, cache, text, 0), slabLine(c, slab))
      if ((words[SLAB_TAINT]! & TAINT_BAD_PAGE) === 0) {
        lines.push('Disabling lock debugging due to kernel taint')
      }
      words[SLAB_TAINT]! |= TAINT_BAD_PAGE
      lines.push(...objectsInUse(c, cache, slab))
    }
    if (words[node + SLAB_NODE_NR_SLABS] !== 0) break
  }
  return lines
}

/**
 * What is known of the memory at an address: the cache and the object that it lies in, and who
 * allocated and freed that, as `kmem_dump_obj` prints it. Lines are separated by newlines; the
 * first one begins with a blank.
 */
export function kmemDumpObj(slabs: SlabAllocator, address: number | null): string {
  const c = slabs.context
  if (address === null) return ' NULL pointer'
  if (address === ZERO_SIZE_PTR) return ' zero-size pointer'
  const slab = slabAt(c, address)
  if (slab !== 0) return slabObject(c, slab, address)
  return isMemory(c, address) ? ' non-slab/vmalloc memory' : ' non-paged memory'
}

function objectsInUse(c: SlabContext, cache: number, slab: number): string[] {
  const free = freeObjects(c, cache, slab)
  return placesOf(c.words, cache, slab)
    .filter((offset) => free?.has(offset) !== true)
    .flatMap((offset) => [
      `Object ${pointerAt(c, slab, offset)} @offset=${offset}`,
      ...trackLines(c, cache, slab, offset),
    ])
}

function isMemory(c: SlabContext, address: number): boolean {
  try {
    return c.ram.bytes(address - c.directMap, 1).length === 1
  } catch {
    return false
  }
}

function slabObject(c: SlabContext, slab: number, address: number): string {
  const words = c.words
  const cache = words[slab + SLAB_CACHE]!
  const size = words[cache + CACHE_SIZE]!
  const pad = words[cache + CACHE_PAD]!
  const at = offsetIn(c, slab, address)
  const slot = at - (at % size)
  const start = hex16(fullAddress(c.layout, objectAddress(c, slab, slot)))
  let text = ` slab ${formatName(words, cache)} start ${start}`
  if (pad !== 0) text += ` data offset ${pad}`
  text += ` pointer offset ${BigInt.asUintN(64, BigInt(at - slot - pad))}`
  if (words[cache + CACHE_USERSIZE] !== 0) text += ` size ${words[cache + CACHE_USERSIZE]}`
  const allocated = c.debug?.track(c, cache, slab, slot + pad, TRACK_ALLOC) ?? null
  if (allocated === null || allocated.address === 0n) return text
  const frames = (stack: readonly string[]) => stack.slice(0, FRAMES).map((frame) => `    ${frame}`)
  const freed = c.debug?.track(c, cache, slab, slot + pad, TRACK_FREE) ?? null
  const lines = [`${text} allocated at ${allocated.label}`, ...frames(allocated.stack)]
  if (freed !== null && freed.stack.length > 0) lines.push(' Free path:', ...frames(freed.stack))
  return lines.join('\n')
}
