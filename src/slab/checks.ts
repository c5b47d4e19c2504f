/** Checks of arguments, shared by everything of the slab layer that users call. */

import { checkInteger, InvalidArgument } from '../base/errors'
import { NUMA_NO_NODE } from '../base/units'
import { __GFP_ZERO } from '../page/gfp'
import type { SlabContext } from './context'

/** Throws unless `gfp` is an unsigned integer. */
export function checkMask(gfp: number): void {
  if (gfp >>> 0 !== gfp) checkInteger('gfp', gfp, 0, 0xffffffff)
}

/** The mask with `__GFP_ZERO`; throws unless `gfp` is one. */
export function zeroMask(gfp: number): number {
  checkMask(gfp)
  return (gfp | __GFP_ZERO) >>> 0
}

/** Throws unless `node` is NUMA_NO_NODE or a node that is online. */
export function checkNodeHint(c: SlabContext, node: number): void {
  if (node === NUMA_NO_NODE) return
  checkInteger('node', node, 0, c.source.nrNodes - 1)
  if (!c.source.isOnline(node)) throw new InvalidArgument('node', node, 'a node that is online')
}
