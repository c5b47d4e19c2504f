/** Allocating from some of the nodes only. */
import { checkInteger, InvalidArgument } from '../base/errors'
import type { Pfn } from '../base/units'
import { allocOnNodes, type BuddyAllocator } from './buddyAllocator'
import type { BuddyContext, Nodemask } from './context'

/**
 * Allocates a block near `node`, from `nodes` only.
 * @returns the block's first frame, or null.
 * @throws InvalidArgument for a node that the machine has not.
 */
export function allocPagesNodemask(
  pages: BuddyAllocator,
  node: number,
  gfp: number,
  order: number,
  nodes: readonly number[],
): Pfn | null {
  return allocOnNodes(pages.context, node, gfp, order, nodemaskOf(pages.context, nodes))
}

/** The set of the nodes in an array. */
function nodemaskOf(c: BuddyContext, nodes: readonly number[]): Nodemask {
  if (!Array.isArray(nodes)) throw new InvalidArgument('nodes', nodes, 'an array of nodes')
  const mask = new Int32Array(c.nrNodes)
  for (const node of nodes) {
    checkInteger('node of the mask', node, 0, mask.length - 1)
    mask[node] = 1
  }
  return mask
}
