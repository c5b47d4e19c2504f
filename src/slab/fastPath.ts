/**
 * The fast paths of one object: what the running CPU holds, the object's slab, and the partial slabs of the node.
 *
 * They do what the long way does ({@link ./objects}) and nothing else, with its checks; whatever is out of the
 * ordinary is left to it: hooks, masks that need work, new slabs and empty ones, debug caches, anything wrong.
 *
 * With objects freed at random, half of the allocations find the CPU without objects, and half of the frees a full
 * slab; one in twenty moves slabs to or from a node. So all that is here, not only the shortest way (measured:
 * docs/performance.md).
 *
 * Source: spec/slab.md §7.2, §8.2.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../base/units'
import { __GFP_BITS_MASK, __GFP_ZERO } from '../page/gfp'
import {
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_STARTS,
  CACHE_STATE,
  CACHE_WORDS,
  OFFSET_MASK,
  SLAB_BASE_HI,
  SLAB_BASE_LO,
  SLAB_CACHE,
  SLAB_CPU_FREE,
  SLAB_CPU_NR_PARTIAL,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_GRANULE_SHIFT,
  SLAB_INUSE,
  SLAB_LAST,
  SLAB_LIVE,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_OBJECTS,
  SLAB_OF_DEBUG,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_RAM,
} from '../state/slabSchema'
import type { SlabContext } from './context'
import { SLAB_DEBUG_FLAGS } from './flags'
import { takeFromNode, unfreeze } from './partial'

/** The reciprocal of a page's size: exact, as a power of two's. */
const PER_PAGE = 0.000244140625

/**
 * Takes the CPU's first free object, or the first of another slab that the CPU holds: its kernel address, or 0 when
 * there is more to do than that. Nothing has changed then but what the long way begins with.
 *
 * It and {@link takeObject} are small enough for V8 to put them into their callers: 460 bytes of bytecode each, 920 with
 * all that the caller has already (measured: 3 ns).
 */
export function takeFast(c: SlabContext, cache: number, gfp: number): number {
  if (c.plain !== true || (gfp & (__GFP_BITS_MASK & ~__GFP_ZERO)) !== gfp) return 0
  const words = c.words
  const cpu = (cache & OFFSET_MASK) + CACHE_WORDS + ((c.running.cpu & 0xffff) << SLAB_CPU_SHIFT)
  const free = words[cpu + SLAB_CPU_FREE]!
  if (free <= 0) return free === 0 ? takeNext(c, cache, cpu, gfp) : 0
  return takeObject(c, words, cache, cpu, words[cpu + SLAB_CPU_SLAB]! & OFFSET_MASK, free)
}

/**
 * The same for a CPU without free objects: those of its slab, or of the first slab with some on its partial list,
 * become its own; or those of a slab of its node.
 */
function takeNext(c: SlabContext, cache: number, cpu: number, gfp: number): number {
  const words = c.words
  if ((words[cache + CACHE_STATE]! & CACHE_GONE) !== 0) return 0
  let slab = words[cpu + SLAB_CPU_SLAB]! & OFFSET_MASK
  for (;;) {
    if (slab !== 0) {
      const flags = words[slab + SLAB_FLAGS]!
      if ((flags & SLAB_PFMEMALLOC) !== 0) return 0
      const free = words[slab + SLAB_FREE]!
      if (free !== 0) {
        words[slab + SLAB_FREE] = 0
        words[slab + SLAB_INUSE] = words[slab + SLAB_OBJECTS]!
        words[cpu + SLAB_CPU_FREE] = free
        return free < 0 ? 0 : takeObject(c, words, cache, cpu, slab, free)
      }
      words[slab + SLAB_FLAGS] = flags & ~SLAB_FROZEN
      words[cpu + SLAB_CPU_SLAB] = 0
    }
    slab = words[cpu + SLAB_CPU_PARTIAL]! & OFFSET_MASK
    if (slab !== 0) {
      words[cpu + SLAB_CPU_PARTIAL] = words[slab + SLAB_NEXT]!
      words[cpu + SLAB_CPU_NR_PARTIAL] = words[cpu + SLAB_CPU_NR_PARTIAL]! - 1
    } else {
      // The slabs of debug caches never belong to a CPU.
      if ((words[cache + CACHE_FLAGS]! & SLAB_DEBUG_FLAGS) !== 0) return 0
      slab = takeFromNode(c, cache, c.source.cpuNode(c.running.cpu), gfp) & OFFSET_MASK
      if (slab === 0) return 0
    }
    words[cpu + SLAB_CPU_SLAB] = slab
  }
}

/** Takes the CPU's first object, at `free` - 1 in its slab: its address, or 0 when anything is wrong with it. */
function takeObject(
  c: SlabContext,
  words: Int32Array,
  cache: number,
  cpu: number,
  slab: number,
  free: number,
): number {
  const offset = free - 1
  const ram = c.ramWords
  const at = (words[slab + SLAB_RAM]! & OFFSET_MASK) + (offset >> 2)
  if (at >= ram.length) return 0
  const lo = ram[at]!
  const hi = ram[at + 1]!
  // All ones when there is a next object; its place must lie in the slab. No branch on `some`: it is a coin toss, and
  // hangs on memory that may be far away (measured: 5% among 10,000 objects).
  const some = (lo | hi | (0 - (lo | hi))) >> 31
  const next = (lo - words[slab + SLAB_BASE_LO]!) & some
  const far = next | (words[slab + SLAB_LAST]! - next)
  if ((((hi ^ words[slab + SLAB_BASE_HI]!) & some) | (far >> 31)) !== 0) return 0
  const granule = words[slab + SLAB_FLAGS]! >>> SLAB_GRANULE_SHIFT
  const bit = offset >> granule
  const mask = 1 << (bit & 31)
  const word = (bit >> 5) & OFFSET_MASK
  const live = words[slab + SLAB_LIVE + word]!
  const starts = words[(words[cache + CACHE_STARTS]! & OFFSET_MASK) + word]!
  if ((starts & ~live & mask) === 0 || bit << granule !== offset) return 0
  words[slab + SLAB_LIVE + word] = live | mask
  words[cpu + SLAB_CPU_FREE] = next - some
  return words[slab + SLAB_PFN]! * PAGE_SIZE + offset + c.directMap
}

/**
 * Frees an object that is in use and belongs to `cache` (0: to any) if that takes no more than linking it to the
 * others of its slab, and a full slab to the CPU's partial list. Returns false, with nothing changed, when it does,
 * or when anything is wrong.
 */
export function freeFast(c: SlabContext, cache: number, address: number): boolean {
  if (c.plain !== true || typeof address !== 'number') return false
  const words = c.words
  const physical = address - c.directMap
  const page = (physical | 0) === physical ? physical >> PAGE_SHIFT : pageOf(c, physical)
  if (page >>> 0 >= words[SLAB_MAX_PFN]! >>> 0) return false
  const frame = words[SLAB_FRAMES + (page & OFFSET_MASK)]!
  if (frame <= 0) return false
  const slab = frame & OFFSET_MASK
  const owner = words[slab + SLAB_CACHE]! & OFFSET_MASK
  if (cache !== 0 && owner !== cache) return false
  const base = words[slab + SLAB_BASE_LO]!
  const offset = (address - base) | 0
  const flags = words[slab + SLAB_FLAGS]!
  const granule = flags >>> SLAB_GRANULE_SHIFT
  const bit = offset >> granule
  const mask = 1 << (bit & 31)
  const word = slab + SLAB_LIVE + ((bit >> 5) & OFFSET_MASK)
  const live = words[word]!
  if ((live & mask) === 0 || bit << granule !== offset) return false
  const ram = c.ramWords
  const at = (words[slab + SLAB_RAM]! & OFFSET_MASK) + (offset >> 2)
  if (at >= ram.length) return false
  const cpu = owner + CACHE_WORDS + ((c.running.cpu & 0xffff) << SLAB_CPU_SHIFT)
  let list = cpu + SLAB_CPU_FREE
  if (words[cpu + SLAB_CPU_SLAB] !== slab) {
    list = slab + SLAB_FREE
    const inuse = words[slab + SLAB_INUSE]!
    if ((flags & SLAB_OF_DEBUG) !== 0) return false
    if (((flags & SLAB_FROZEN) | words[list]!) === 0) {
      // A full slab, as most are. To the end here, so that the other way rarely meets an empty list (measured).
      const head = words[cpu + SLAB_CPU_PARTIAL]!
      const slabs = words[cpu + SLAB_CPU_NR_PARTIAL]!
      const overflow = head !== 0 && slabs >= words[owner + CACHE_CPU_PARTIAL_SLABS]!
      ram[at] = 0
      ram[at + 1] = 0
      words[slab + SLAB_FLAGS] = flags | SLAB_FROZEN
      words[slab + SLAB_NEXT] = overflow ? 0 : head
      words[slab + SLAB_INUSE] = inuse - 1
      words[cpu + SLAB_CPU_PARTIAL] = slab
      words[cpu + SLAB_CPU_NR_PARTIAL] = overflow ? 1 : slabs + 1
      words[list] = offset + 1
      words[word] = live & ~mask
      if (overflow) unfreeze(c, owner, head)
      return true
    }
    if (inuse === 1 && (flags & SLAB_FROZEN) === 0) return false
    words[slab + SLAB_INUSE] = inuse - 1
  }
  const first = words[list]!
  if (first === 0) {
    ram[at] = 0
    ram[at + 1] = 0
  } else {
    ram[at] = (base + first - 1) | 0
    ram[at + 1] = words[slab + SLAB_BASE_HI]!
  }
  words[list] = offset + 1
  words[word] = live & ~mask
  return true
}

/** Page frame of a physical address that is no small integer; -1 outside memory, and for what is no integer. */
function pageOf(c: SlabContext, physical: number): number {
  const page = Math.floor(physical) === physical ? physical * PER_PAGE : -1
  return page >= 0 && page < c.words[SLAB_MAX_PFN]! ? page | 0 : -1
}
