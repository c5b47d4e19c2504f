/**
 * The slab layer's messages in the kernel's words: requests that found no memory, masks that no slab may be
 * asked for with, warnings, caches that could not be made or destroyed. There are no stacks to dump, and
 * no tasks to name.
 *
 * Source: spec/slab.md §4.1, §6, §11, §18.4, §23.1.
 */

import { rateLimit } from '../base/rateLimit'
import { getOrder } from '../base/units'
import { __GFP_NOWARN } from '../page/gfp'
import { formatGfp } from '../page/gfpText'
import { formatName } from '../slab/cacheName'
import type { SlabContext, SlabLogOps } from '../slab/context'
import type { SlabAllocator } from '../slab/slabAllocator'
import { cacheNode } from '../slab/slabs'
import {
  CACHE_MIN_ORDER,
  CACHE_OBJECT_SIZE,
  CACHE_ORDER,
  CACHE_SIZE,
  SLAB_NODE_USED,
  SLAB_NR_NODES,
} from '../state/slabSchema'
import { nodeCounts } from './slabCounts'

/** Out-of-memory reports: ten in five seconds. */
const REPORTS = { messages: 10, seconds: 5, caller: 'slab_out_of_memory' }

/** Options of {@link slabLog}. */
export interface SlabLogOptions {
  /** Seconds on any clock, for the rate limit of failure reports: ten in five. Without it none is left out. */
  readonly clock?: () => number
  /** The reports of a cache's slabs that still have objects when it is destroyed; none without it. */
  readonly remaining?: (c: SlabContext, cache: number) => readonly string[]
}

/**
 * A log that writes what a kernel would, line by line. What a kernel would not have noticed is written in
 * our own words.
 *
 * ```ts
 * const slabs = new SlabAllocator(pages, { log: slabLog(console.log) })
 * ```
 * @param write takes one line, without a newline.
 */
export function slabLog(write: (line: string) => void, options: SlabLogOptions = {}): SlabLogOps {
  const mayReport = rateLimit(write, options.clock, REPORTS)
  const writeAll = (lines: readonly string[]): readonly string[] => {
    for (const line of lines) write(line)
    return lines
  }
  return {
    outOfMemory(c, cache, gfp, node) {
      if ((gfp & __GFP_NOWARN) === 0 && mayReport()) writeAll(failureReport(c, cache, gfp, node))
    },
    badGfp(_c, bad, gfp) {
      write(`Unexpected gfp: ${mask(bad)}. Fixing up to gfp: ${mask(gfp)}. Fix your code!`)
    },
    warn(c, place, lines) {
      writeAll(warning(c, place, lines))
    },
    createFailed(_c, name, errno, panic) {
      const call = 'kmem_cache_create_usercopy'
      const text = panic
        ? `Kernel panic - not syncing: ${call}: Failed to create slab '${name}'. Error ${errno}`
        : `${call}(${name}) failed with error ${errno}`
      write(text)
    },
    busyCache(c, cache) {
      const caller = c.caller === '' ? 'unknown' : c.caller
      const text = `Slab cache still has objects when called from ${caller}`
      return writeAll([
        ...(options.remaining?.(c, cache) ?? []),
        ...warning(c, 'kmem_cache_destroy', [
          `kmem_cache_destroy ${formatName(c.words, cache)}: ${text}`,
        ]),
      ])
    },
    refused: (_c, text) => writeAll([text]),
  }
}

/** The line of the kernel's boot log that tells how slabs are made. */
export function slabBootMessage(slabs: SlabAllocator): string {
  const { minOrder, maxOrder, minObjects, source } = slabs.context
  const machine = `CPUs=${source.nrCpus}, Nodes=${source.nrNodes}`
  return `SLUB: HWalign=64, Order=${minOrder}-${maxOrder}, MinObjects=${minObjects}, ${machine}`
}

function failureReport(c: SlabContext, cache: number, gfp: number, node: number): string[] {
  const { words } = c
  const name = formatName(words, cache)
  const objectSize = words[cache + CACHE_OBJECT_SIZE]!
  const minOrder = words[cache + CACHE_MIN_ORDER]!
  const lines = [
    `SLUB: Unable to allocate memory on node ${node}, gfp=${hex(gfp)}(${formatGfp(gfp)})`,
    `  cache: ${name}, object size: ${objectSize}, buffer size: ${words[cache + CACHE_SIZE]}, ` +
      `default order: ${words[cache + CACHE_ORDER]}, min order: ${minOrder}`,
  ]
  if (minOrder > getOrder(objectSize)) {
    lines.push(`  ${name} debugging increased min order, use slub_debug=O to disable.`)
  }
  for (let id = 0; id < words[SLAB_NR_NODES]!; id++) {
    if (words[cacheNode(words, cache, id) + SLAB_NODE_USED] === 0) continue
    const { slabs, totalObjects, partialFree } = nodeCounts(words, cache, id)
    lines.push(`  node ${id}: slabs: ${slabs}, objs: ${totalObjects}, free: ${partialFree}`)
  }
  return lines
}

function mask(gfp: number): string {
  return `${hex(gfp)} (${formatGfp(gfp)})`
}

function hex(gfp: number): string {
  return `0x${(gfp >>> 0).toString(16)}`
}

function warning(c: SlabContext, place: string, lines: readonly string[]): string[] {
  return [
    '------------[ cut here ]------------',
    ...lines,
    `WARNING: CPU: ${c.running.cpu} PID: 0 at ${place}`,
    '---[ end trace 0000000000000000 ]---',
  ]
}
