/**
 * The page allocator as its users see it. What users call checks its arguments; what takes a context
 * relies on that.
 *
 * Operations that few programs need are functions that take an allocator, in files of their own, so
 * that they are bundled only where they are used: `nodeState`, `loadZones`, `allocContigRange`,
 * `freeSummary`, `sysctl` and others.
 *
 * Source: spec/page-allocator.md §8.
 */

import type { Pfn } from '../base/units'
import { CPU_NODE } from '../state/schema'
import type { PageTrace } from '../state/trace'
import { allocPages } from './allocPages'
import { checkFrame, checkNode, checkOrder, checkRequest } from './checks'
import { BuddyContext, listen, type Nodemask } from './context'
import { drainAll, drainLocal } from './drain'
import { freeFast, makePlan, takeFast } from './fastPath'
import { freePages } from './free'
import { finishBoot } from './handover'
import { addMemory } from './hotAdd'
import { type BuddyOptions, createContext } from './options'

/**
 * A buddy page allocator with nodes, zones, migratetypes, watermarks and per-CPU page lists, that
 * answers each call as Linux 6.1 would.
 *
 * ```ts
 * const ram = new PhysicalMemory({ size: 64 * MiB })
 * const pages = new BuddyAllocator({ ram })
 * const pfn = pages.allocPages(GFP_KERNEL, 2)
 * if (pfn !== null) pages.freePages(pfn, 2)
 * ```
 *
 * Blocks belong to whoever allocated them until they are freed. A method that finds a wrong argument
 * throws `InvalidArgument`, one that finds a bug of its caller `KernelBug`; neither has changed
 * anything then. No memory is `null`.
 */
export class BuddyAllocator {
  /** The allocator's inside, for the library's own layers. @internal */
  readonly context: BuddyContext

  /**
   * Makes an allocator and hands it the free memory.
   * Cost: a few words for each 4 MiB of memory, and those of reserved frames.
   * @throws InvalidArgument for memory, nodes or CPUs that do not fit together.
   */
  constructor(options: BuddyOptions | BuddyContext) {
    if (options instanceof BuddyContext) {
      this.context = options
      return
    }
    const c = createContext(options)
    this.context = c
    if (options.stopAtHandover !== true) this.finishBoot(options.hugePages)
    options.ram?.onGrow((base, size) => this.addMemory(base, size))
  }

  /**
   * Ends a boot that stopped at the hand-over: page lists get their sizes, watermarks are set, all GFP
   * flags are allowed.
   * @param hugePages raise min_free_kbytes for huge pages on machines of 512 MiB and more.
   */
  finishBoot(hugePages = true): void {
    finishBoot(this.context, hugePages)
  }

  // ---- Allocating ----

  /**
   * Allocates a block of 2^order pages, near the current CPU.
   * @param gfp what the caller needs and may do, such as `GFP_KERNEL`.
   * @param order 0 to 10. A larger one is warned of once, and gives null.
   * @returns the block's first frame, or null when there is none.
   * @throws InvalidArgument for a mask or an order that is not an unsigned integer, or with both
   * mobility bits.
   */
  allocPages(gfp: number, order = 0): Pfn | null {
    if (order === 0) {
      const fast = takeFast(this.context, gfp)
      if (fast >= 0) return fast as Pfn
    }
    return allocLong(this.context, gfp, order)
  }

  /**
   * Allocates like {@link allocPages}, near `node`, or only there with `__GFP_THISNODE`.
   */
  allocPagesNode(node: number, gfp: number, order = 0): Pfn | null {
    return allocOnNodes(this.context, node, gfp, order, null)
  }

  // ---- Freeing ----

  /**
   * Frees the block of 2^order pages at `pfn`.
   * @throws KernelBug, with the kernel's report, for a block that is not in use, has another order, is
   * a tail page, reserved, still referenced or outside memory.
   */
  freePages(pfn: Pfn, order = 0): void {
    if (order === 0 && freeFast(this.context, pfn)) return
    freeLong(this.context, pfn, order)
  }

  /**
   * Adds memory at run time: whole frames, on the node and in the zone that follow from the address.
   * @throws InvalidArgument for memory that is there already or above the state's `maxAddress`.
   */
  addMemory(base: number, size: number, node = 0): void {
    checkNode(this.context, node)
    addMemory(this.context, base, size, node)
  }

  // ---- CPUs and context ----

  /** Empties the current CPU's page lists into the free areas. */
  drainLocalPages(): void {
    drainLocal(this.context, 0)
  }

  /** Empties every CPU's page lists into the free areas. */
  drainAllPages(): void {
    drainAll(this.context)
  }

  // ---- Looking ----

  /** Listens to the page events; null stops that. One listener at a time. */
  setTrace(trace: PageTrace | null): void {
    listen(this.context, trace)
  }

  /** The state, a word for each column of the schema: for the `/proc` texts and for saving. */
  get words(): Int32Array {
    return this.context.words
  }

  /** The buffer behind {@link words}. A copy of it is a snapshot; copying it back restores. */
  get state(): ArrayBuffer | SharedArrayBuffer {
    return this.context.words.buffer as ArrayBuffer | SharedArrayBuffer
  }
}

// The two long ways are functions of their own: the fast ways are inlined into their callers only while
// they are small (measured: 20 to 15 ns a pair).

/** A request for a block near a node, from the nodes of a mask. */
export function allocOnNodes(
  c: BuddyContext,
  node: number,
  gfp: number,
  order: number,
  mask: Nodemask,
): Pfn | null {
  const near = checkNode(c, node)
  if (!checkRequest(c, gfp, order)) return null
  const pfn = allocPages(c, gfp, order, near, mask)
  return pfn < 0 ? null : (pfn as Pfn)
}

function allocLong(c: BuddyContext, gfp: number, order: number): Pfn | null {
  if (!checkRequest(c, gfp, order)) return null
  const pfn = allocPages(c, gfp, order, c.words[c.cpuRecord + CPU_NODE]!, null)
  if (order === 0) makePlan(c, gfp)
  return pfn < 0 ? null : (pfn as Pfn)
}

function freeLong(c: BuddyContext, pfn: number, order: number): void {
  if (pfn >>> 0 !== pfn || pfn >= c.maxPfn) checkFrame(c, pfn)
  if (order >>> 0 !== order || order > 10) checkOrder(order)
  freePages(c, pfn, order)
}
