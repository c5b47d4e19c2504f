/**
 * The fast paths of one object: they touch what the running CPU holds, the object's slab, and nothing else.
 *
 * They do what the long way does ({@link ./objects}) and nothing else, with its checks; whatever is out of the
 * ordinary is left to it: hooks, masks that need work, a partial list that is empty or full, anything wrong.
 *
 * Source: spec/slab.md §7.2, §8.2.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../base/units'
import { __GFP_BITS_MASK, __GFP_ZERO } from '../page/gfp'
import {
  CACHE_CPU_PARTIAL_SLABS,
  CACHE_FLAGS,
  CACHE_GONE,
  CACHE_GRANULE,
  CACHE_STARTS,
  CACHE_STATE,
  CACHE_WORDS,
  SLAB_CACHE,
  SLAB_CPU_FREE,
  SLAB_CPU_PARTIAL,
  SLAB_CPU_SHIFT,
  SLAB_CPU_SLAB,
  SLAB_FLAGS,
  SLAB_FRAMES,
  SLAB_FREE,
  SLAB_FROZEN,
  SLAB_INUSE,
  SLAB_LAST,
  SLAB_LIVE,
  SLAB_MAX_PFN,
  SLAB_NEXT,
  SLAB_PFMEMALLOC,
  SLAB_PFN,
  SLAB_PREV,
  SLAB_RAM,
} from '../state/slabSchema'
import type { SlabContext } from './context'
import { SLAB_DEBUG_FLAGS } from './flags'
import { takeOwnList } from './objects'

/** The reciprocal of a page's size: exact, as a power of two's. */
const PER_PAGE = 0.000244140625
const TWO_32 = 4294967296

/**
 * Takes the CPU's first free object: its kernel address, or 0 when there is more to do than that. Nothing has
 * changed then but what the long way begins with.
 *
 * No longer than V8 puts into its callers: 460 bytes of bytecode (measured: 2 ns).
 */
export function takeFast(c: SlabContext, cache: number, gfp: number): number {
  if (c.plain !== true || (gfp & (__GFP_BITS_MASK & ~__GFP_ZERO)) !== gfp) return 0
  const words = c.words
  const cpu = cache + CACHE_WORDS + (c.running.cpu << SLAB_CPU_SHIFT)
  let free = words[cpu + SLAB_CPU_FREE]!
  if (free <= 0) {
    free = refill(words, cache, cpu)
    if (free <= 0) return 0
  }
  const slab = words[cpu + SLAB_CPU_SLAB]!
  const offset = free - 1
  const ram = c.ramWords
  const at = words[slab + SLAB_RAM]! + (offset >> 2)
  if (at >= ram.length) return 0
  const address = words[slab + SLAB_PFN]! * PAGE_SIZE + offset + c.directMap
  const high = (address | 0) === address ? c.signHigh : highHalf(c, address)
  const lo = ram[at]!
  const hi = ram[at + 1]!
  // The next object's distance from the start of the slab, plus 1: `address - offset` is that start.
  let next = (lo - address + free) | 0
  if (hi !== high || (next - 1) >>> 0 > words[slab + SLAB_LAST]! >>> 0) {
    if ((lo | hi) !== 0) return 0
    next = 0
  }
  const granule = words[cache + CACHE_GRANULE]!
  const bit = offset >> granule
  const mask = 1 << (bit & 31)
  const word = bit >> 5
  const live = words[slab + SLAB_LIVE + word]!
  const starts = words[words[cache + CACHE_STARTS]! + word]!
  if ((starts & ~live & mask) === 0 || bit << granule !== offset) return 0
  words[slab + SLAB_LIVE + word] = live | mask
  words[cpu + SLAB_CPU_FREE] = next
  return address
}

/**
 * Gives a CPU without free objects those of its slab, or of the first slab with some on its partial list. Returns
 * the first of them, which need not be sound; 0 when there are none, or for the long way to decide.
 */
function refill(words: Int32Array, cache: number, cpu: number): number {
  if (words[cpu + SLAB_CPU_FREE] !== 0 || (words[cache + CACHE_STATE]! & CACHE_GONE) !== 0) return 0
  let slab = words[cpu + SLAB_CPU_SLAB]!
  for (;;) {
    if (slab !== 0) {
      if ((words[slab + SLAB_FLAGS]! & SLAB_PFMEMALLOC) !== 0) return 0
      if (takeOwnList(words, cpu, slab)) return words[cpu + SLAB_CPU_FREE]!
    }
    slab = words[cpu + SLAB_CPU_PARTIAL]!
    if (slab === 0) return 0
    words[cpu + SLAB_CPU_PARTIAL] = words[slab + SLAB_NEXT]!
    words[cpu + SLAB_CPU_SLAB] = slab
  }
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
  const slab = words[SLAB_FRAMES + page]!
  if (slab <= 0) return false
  const owner = words[slab + SLAB_CACHE]!
  if (cache !== 0 && owner !== cache) return false
  const offset = physical - words[slab + SLAB_PFN]! * PAGE_SIZE
  const granule = words[owner + CACHE_GRANULE]!
  const bit = offset >> granule
  if (bit << granule !== offset) return false
  const mask = 1 << (bit & 31)
  const word = slab + SLAB_LIVE + (bit >> 5)
  const live = words[word]!
  if ((live & mask) === 0) return false
  const ram = c.ramWords
  const at = words[slab + SLAB_RAM]! + (offset >> 2)
  if (at >= ram.length) return false
  const cpu = owner + CACHE_WORDS + (c.running.cpu << SLAB_CPU_SHIFT)
  let list = cpu + SLAB_CPU_FREE
  if (words[cpu + SLAB_CPU_SLAB] !== slab) {
    list = slab + SLAB_FREE
    const inuse = words[slab + SLAB_INUSE]!
    if ((words[owner + CACHE_FLAGS]! & SLAB_DEBUG_FLAGS) !== 0) return false
    if ((words[slab + SLAB_FLAGS]! & SLAB_FROZEN) === 0) {
      if (words[list] === 0) {
        // A full slab, as most are: here rather than in a function of its own (measured: 4 ns of 80).
        const head = words[cpu + SLAB_CPU_PARTIAL]!
        const slabs = head === 0 ? 0 : words[head + SLAB_PREV]!
        if (head !== 0 && slabs >= words[owner + CACHE_CPU_PARTIAL_SLABS]!) return false
        words[slab + SLAB_FLAGS]! |= SLAB_FROZEN
        words[slab + SLAB_NEXT] = head
        words[slab + SLAB_PREV] = slabs + 1
        words[cpu + SLAB_CPU_PARTIAL] = slab
      } else if (inuse === 1) return false
    }
    words[slab + SLAB_INUSE] = inuse - 1
  }
  const first = words[list]!
  if (first === 0) {
    ram[at] = 0
    ram[at + 1] = 0
  } else {
    ram[at] = (address - offset + first - 1) | 0
    ram[at + 1] = (address | 0) === address ? c.signHigh : highHalf(c, address)
  }
  words[list] = offset + 1
  words[word] = live & ~mask
  return true
}

/** High half of a kernel address above 2 GiB, sign extension included. */
function highHalf(c: SlabContext, address: number): number {
  return Math.floor(address / TWO_32) | c.signHigh
}

/** Page frame of a physical address that is no small integer; -1 outside memory. */
function pageOf(c: SlabContext, physical: number): number {
  const page = physical * PER_PAGE
  return page >= 0 && page < c.words[SLAB_MAX_PFN]! ? page | 0 : -1
}
