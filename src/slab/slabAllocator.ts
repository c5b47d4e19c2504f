/** The slab allocator of a machine: what its caches share. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { type Pages, pageSource } from '../buddy/pageSource'
import type { PageSource } from '../page/pageSource'
import { SLAB_WORDS_USED } from '../state/slabSchema'
import { bootstrap } from './bootstrap'
import { decidePlain, SlabContext, type SlabFaults, type SlabTrace } from './context'
import { newSlabContext, type SlabOptions } from './options'
import { setNode } from './slabState'

const allocators = /* @__PURE__ */ new WeakMap<PageSource, SlabAllocator>()

/**
 * What the caches of one machine share. `SlabCache` and `Kmalloc` make one with default options for the
 * pages that they are given, the first time; to choose options, make it before them.
 *
 * ```ts
 * const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }) })
 * const slabs = new SlabAllocator(pages, { merge: false })
 * const heap = new Kmalloc(slabs)
 * ```
 */
export class SlabAllocator {
  /** The allocator's inside, for the library's own layers. @internal */
  readonly context: SlabContext

  /**
   * Makes the slab allocator of a machine: a page of each node and one more go to the descriptors of caches.
   * @throws InvalidArgument for wrong options, pages without content, and pages that have one already;
   * OutOfMemory when there are no pages.
   */
  constructor(pages: Pages, options: SlabOptions | SlabContext = {}) {
    const source = pageSource(pages)
    if (allocators.has(source)) {
      throw new InvalidArgument('pages', pages, 'without slabs')
    }
    if (options instanceof SlabContext) {
      this.context = options
      allocators.set(source, this)
      return
    }
    const c = newSlabContext(source, options)
    const all = Array.from({ length: source.nrNodes }, (_, id) => id)
    for (const id of options.nodes ?? all.filter((id) => source.hasMemory(id))) {
      checkInteger('node', id, 0, source.nrNodes - 1)
      setNode(c.words, id)
    }
    this.context = c
    bootstrap(c)
    allocators.set(source, this)
  }

  /** The state, a word for each column of the schema: for texts and for saving. */
  get words(): Int32Array {
    return this.context.words
  }

  /** Words of the state in use: the others are 0. */
  get wordsUsed(): number {
    return this.context.words[SLAB_WORDS_USED]!
  }

  /** Listens to the slab events; null stops that. One listener at a time. */
  setTrace(trace: SlabTrace | null): void {
    this.context.trace = trace
    decidePlain(this.context)
  }

  /** Makes allocations fail on purpose; null stops that. */
  setFaults(faults: SlabFaults | null): void {
    this.context.faults = faults
    decidePlain(this.context)
  }
}

/** The slab allocator of these pages; made with default options the first time. */
export function slabAllocator(from: SlabAllocator | Pages): SlabAllocator {
  if (from instanceof SlabAllocator) return from
  return allocators.get(pageSource(from)) ?? new SlabAllocator(from)
}
