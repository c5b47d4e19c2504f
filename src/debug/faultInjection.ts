/**
 * Making allocations fail on purpose: `failslab` for objects, `fail_page_alloc` for pages. The same
 * seed and the same calls give the same failures.
 *
 * ```ts
 * slabs.setFaults(failslab({ probability: 10, times: -1, ignoreGfpWait: false, seed: 7 }))
 * setPageFaults(pages, failPageAlloc({ ...parseFaultAttr('1,100,0,-1'), minOrder: 3 }))
 * ```
 *
 * Source: spec/slab.md §17.1, spec/pressure.md §13.1, §13.2.
 */

import type { PageFaults } from '../buddy/context'
import { __GFP_DIRECT_RECLAIM, __GFP_HIGHMEM, __GFP_NOFAIL, __GFP_NOWARN } from '../page/gfp'
import type { SlabContext, SlabFaults } from '../slab/context'
import { SLAB_FAILSLAB } from '../slab/flags'
import { CACHE_FLAGS, CACHE_OBJECT_SIZE, SLAB_CACHE_CACHE } from '../state/slabSchema'
import type { AttributeSpec, FaultAttributes } from './faultAttributes'
import { type FaultOptions, FaultPoint, type FaultTask } from './faultPoint'

const IGNORE_GFP_WAIT: AttributeSpec = ['ignore-gfp-wait', 'flag', 1]

/** Options of {@link failslab}. */
export interface FailslabOptions extends FaultOptions {
  /** Fail only caches with `SLAB_FAILSLAB`; false when not given. */
  readonly cacheFilter?: boolean
}

/** Options of {@link failPageAlloc}. */
export interface FailPageAllocOptions extends FaultOptions {
  /** Spare requests of smaller orders; 1 when not given. */
  readonly minOrder?: number
  /** Spare requests with `__GFP_HIGHMEM`; true when not given. */
  readonly ignoreGfpHighmem?: boolean
}

/** What the two ways to make allocations fail have in common. */
export interface FaultInjection {
  /** The files of the fault injection point. */
  readonly attributes: FaultAttributes
  /** The task that allocates. */
  readonly task: FaultTask
  /** Makes the `n`-th call from now fail that is not spared by its mask or cache; 0 for none. */
  failNth(n: number): void
}

/**
 * Makes allocations of objects fail, bulk ones as a whole: for `SlabAllocator.setFaults`. Spared
 * are large kmalloc blocks, the descriptors of caches, `__GFP_NOFAIL`, and, unless `ignoreGfpWait`
 * is false, requests that may wait.
 * @throws InvalidArgument for a number out of range.
 */
export function failslab(options: FailslabOptions = {}): SlabFaults & FaultInjection {
  const specs: AttributeSpec[] = [IGNORE_GFP_WAIT, ['cache-filter', 'flag', 0]]
  const point = new FaultPoint('failslab', specs, options)
  point.setFlag('ignore-gfp-wait', options.ignoreGfpWait)
  point.setFlag('cache-filter', options.cacheFilter)
  const { attributes } = point
  return {
    ...injection(point),
    failSlab({ words }: SlabContext, cache: number, gfp: number): boolean {
      if (cache === words[SLAB_CACHE_CACHE] || isSpared(attributes, gfp)) return false
      const marked = (words[cache + CACHE_FLAGS]! & SLAB_FAILSLAB) !== 0
      if (attributes.get('cache-filter') === 1 && !marked) return false
      return point.shouldFail(words[cache + CACHE_OBJECT_SIZE]!, (gfp & __GFP_NOWARN) !== 0)
    },
  }
}

/**
 * Makes allocations of pages fail: for `setPageFaults`. Spared are `__GFP_NOFAIL`, small orders,
 * and, unless told otherwise, requests that may wait or may use high memory.
 * @throws InvalidArgument for a number out of range.
 */
export function failPageAlloc(options: FailPageAllocOptions = {}): PageFaults & FaultInjection {
  const specs: AttributeSpec[] = [
    IGNORE_GFP_WAIT,
    ['ignore-gfp-highmem', 'flag', 1],
    ['min-order', 'count', 1],
  ]
  const point = new FaultPoint('fail_page_alloc', specs, options)
  const { attributes } = point
  point.setFlag('ignore-gfp-wait', options.ignoreGfpWait)
  point.setFlag('ignore-gfp-highmem', options.ignoreGfpHighmem)
  attributes.set('min-order', options.minOrder ?? 1)
  return {
    ...injection(point),
    failPage(gfp: number, order: number): boolean {
      if (order < attributes.get('min-order') || isSpared(attributes, gfp)) return false
      const high = (gfp & __GFP_HIGHMEM) !== 0
      if (attributes.get('ignore-gfp-highmem') === 1 && high) return false
      return point.shouldFail(2 ** order, (gfp & __GFP_NOWARN) !== 0)
    },
  }
}

function injection(point: FaultPoint): FaultInjection {
  const { attributes, task } = point
  return { attributes, task, failNth: (n) => task.setFailNth(n) }
}

function isSpared(attributes: FaultAttributes, gfp: number): boolean {
  if ((gfp & __GFP_NOFAIL) !== 0) return true
  return attributes.get('ignore-gfp-wait') === 1 && (gfp & __GFP_DIRECT_RECLAIM) !== 0
}
