/** How a slab allocator is made. */

import { checkInteger } from '../base/errors'
import { LAYOUT_FLAT, type Layout } from '../base/layout'
import type { PageSource } from '../page/pageSource'
import { SlabContext, type SlabDebugOps, type SlabHardening, type SlabLogOps } from './context'
import { silentSlabLog } from './silentLog'
import { newSlabState } from './slabState'

/** Options of a slab allocator; the words of a kernel's command line are `slabOptions(…)`. */
export interface SlabOptions {
  /** Where kernel addresses lie; `LAYOUT_FLAT` when not given: an address is an offset into memory. */
  readonly layout?: Layout
  /** Receives the kernel's messages, such as `slabLog(console.log)`; nothing is logged without it. */
  readonly log?: SlabLogOps
  /** Debug caches: `slubDebug(…)`. Without it no cache may ask for SLAB_ flags that check. */
  readonly debug?: SlabDebugOps
  /** Encoding of free pointers and their order: `slabHardening(seed)`; none when not given. */
  readonly hardening?: SlabHardening
  /** Whether caches of equal slots share them; true when not given (`slab_nomerge`). */
  readonly merge?: boolean
  /** Smallest order of slabs, 0 to 10; 0 when not given (`slub_min_order`). */
  readonly minOrder?: number
  /** Largest order of slabs as long as an object fits, 0 to 10; 3 when not given (`slub_max_order`). */
  readonly maxOrder?: number
  /** Objects that a slab should hold; 0, when not given, lets the number of CPUs decide (`slub_min_objects`). */
  readonly minObjects?: number
  /** Zero objects when they are allocated; false when not given (`init_on_alloc`). */
  readonly initOnAlloc?: boolean
  /** Zero objects when they are freed; false when not given (`init_on_free`). */
  readonly initOnFree?: boolean
  /**
   * The cycle counter that a kernel asks, modulo 1024, before it searches other nodes; always 0, which means
   * "search", when not given (DIFF-27).
   */
  readonly cycles?: () => number
  /** Nodes that had memory when the kernel started; all that have some when not given. */
  readonly nodes?: readonly number[]
  /** Keep the state in a SharedArrayBuffer. */
  readonly shared?: boolean
}

/** A context over a state: a new one when none is given. */
export function newSlabContext(
  source: PageSource,
  options: SlabOptions,
  words: Int32Array = newSlabState(source, options.shared === true),
): SlabContext {
  const { minOrder = 0, maxOrder = 3, minObjects = 0 } = options
  checkInteger('minOrder', minOrder, 0, 10)
  checkInteger('maxOrder', maxOrder, 0, 10)
  checkInteger('minObjects', minObjects, 0, 32767)
  return new SlabContext(words, source, {
    layout: options.layout ?? LAYOUT_FLAT,
    log: options.log ?? silentSlabLog,
    debug: options.debug ?? null,
    hardening: options.hardening ?? null,
    initOnAlloc: options.initOnAlloc === true,
    initOnFree: options.initOnFree === true,
    merging: options.merge !== false,
    minOrder,
    maxOrder,
    minObjects,
    cycles: options.cycles ?? (() => 0),
  })
}
