/** Checks of arguments, shared by everything that users call. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { MAX_ORDER, NUMA_NO_NODE } from '../base/units'
import { __GFP_NOWARN, GFP_MOVABLE_MASK } from '../page/gfp'
import { CPU_NODE, NODE_ONLINE, NODE_WORDS } from '../state/schema'
import type { BuddyContext } from './context'
import { outsideMemory } from './free'
import { WARN_ORDER, warnOnce } from './warnings'

/**
 * Checks a request; false for an order that no block has, after a warning. MOVABLE and RECLAIMABLE together mean
 * nothing, and are refused (DIFF-6).
 */
export function checkRequest(c: BuddyContext, gfp: number, order: number): boolean {
  if (gfp >>> 0 !== gfp) checkInteger('gfp', gfp, 0, 0xffffffff)
  if ((gfp & GFP_MOVABLE_MASK) === GFP_MOVABLE_MASK) {
    throw new InvalidArgument('gfp', gfp, 'not both MOVABLE and RECLAIMABLE')
  }
  if (order >>> 0 !== order) checkOrder(order)
  if (order < MAX_ORDER) return true
  if ((gfp & __GFP_NOWARN) === 0) warnOnce(c, WARN_ORDER)
  return false
}

/** Throws unless blocks of `order` exist. */
export function checkOrder(order: number): void {
  checkInteger('order', order, 0, MAX_ORDER - 1)
}

/**
 * Throws unless `pfn` has a record.
 * @throws KernelBug for a frame above all memory.
 */
export function checkFrame(c: BuddyContext, pfn: number): void {
  checkInteger('pfn', pfn, 0, Number.MAX_SAFE_INTEGER)
  if (pfn >= c.maxPfn) throw outsideMemory(pfn)
}

/** The node that an argument names, which must be online. */
export function checkNode(c: BuddyContext, node: number): number {
  if (node === NUMA_NO_NODE) return c.words[c.cpuRecord + CPU_NODE]!
  checkInteger('node', node, 0, c.nrNodes - 1)
  if (c.words[c.nodes + node * NODE_WORDS + NODE_ONLINE] === 0) {
    throw new InvalidArgument('node', node, 'a node that is online')
  }
  return node
}
