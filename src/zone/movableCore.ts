/**
 * `kernelcore=` and `movablecore=`: how much memory of each node stays out of its Movable zone.
 *
 * Source: spec/page-allocator.md §1.6.
 */

import { InvalidArgument } from '../base/errors'
import { parseMemSize } from '../base/memSize'
import { MAX_ORDER_PAGES, PAGE_SIZE } from '../base/units'
import type { MovablePolicy, PfnRange } from './spans'

const PERCENT = /^([0-9]+)%$/

/** How much memory is to be Movable: both as on a kernel's command line, `'512M'` or `'30%'`, or bytes. */
export interface MovableMemory {
  /** `kernelcore=`: what must stay outside Movable zones. */
  readonly kernelcore?: string | number
  /** `movablecore=`: what Movable zones should hold. */
  readonly movablecore?: string | number
}

/**
 * The policy of `kernelcore=` and `movablecore=`, for an allocator's option `movable`. With both, the
 * larger kernel part counts.
 * @throws InvalidArgument, when the allocator is made, for sizes that cannot be read.
 */
export function movableMemory(memory: MovableMemory): MovablePolicy {
  return (ranges, nodes, usableStart) =>
    movableStarts(ranges, nodes, usableStart, memory.kernelcore, memory.movablecore)
}

/**
 * First PFN of every node's Movable zone, by node id; 0 for a node without one.
 *
 * `usableStart` is the lowest PFN that the zone they are carved from may hold. Kernel memory is
 * spread evenly over the nodes with memory, and what a small node cannot take goes to the others.
 */
function movableStarts(
  ranges: readonly PfnRange[],
  nodes: number,
  usableStart: number,
  kernelcore: string | number | undefined,
  movablecore: string | number | undefined,
): number[] {
  const starts = new Int32Array(nodes)
  const total = ranges.reduce((sum, range) => sum + range.end - range.start, 0)
  let required = kernelcore === undefined ? 0 : corePages('kernelcore', kernelcore, total)
  if (movablecore !== undefined) {
    const movable = roundUp(corePages('movablecore', movablecore, total))
    required = Math.max(required, total - Math.min(total, movable))
  }
  if (required === 0 || required >= total) return Array.from(starts)

  const memory: PfnRange[][] = Array.from(starts, () => [])
  for (const range of ranges) memory[range.node]?.push(range)
  let usableNodes = memory.filter((own) => own.length > 0).length
  do {
    required = spread(memory, usableNodes, usableStart, required, starts)
    usableNodes--
  } while (usableNodes !== 0 && required > usableNodes)

  return Array.from(starts, (start, node) => {
    const own = memory[node]
    const end = own?.[own.length - 1]?.end ?? 0
    const rounded = roundUp(start)
    return rounded >= end ? 0 : rounded
  })
}

/** One round over all nodes; gives what is still required. */
function spread(
  memory: readonly (readonly PfnRange[])[],
  usableNodes: number,
  usableStart: number,
  requiredBefore: number,
  starts: Int32Array,
): number {
  let required = requiredBefore
  let share = Math.floor(required / usableNodes)
  for (const [node, own] of memory.entries()) {
    if (own.length === 0) continue
    if (required < share) share = Math.floor(required / usableNodes)
    let remaining = share
    for (const range of own) {
      let start = Math.max(range.start, starts[node]!)
      if (start >= range.end) continue
      if (start < usableStart) {
        const below = Math.min(range.end, usableStart) - start
        remaining -= Math.min(below, remaining)
        required -= Math.min(below, required)
        if (range.end <= usableStart) {
          starts[node] = range.end
          continue
        }
        start = usableStart
      }
      const size = Math.min(range.end - start, remaining)
      starts[node] = start + size
      required -= Math.min(required, size)
      remaining -= size
      if (remaining === 0) break
    }
  }
  return required
}

/** Pages that a command-line word, or a number of bytes, stands for. */
function corePages(name: string, value: string | number, total: number): number {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new InvalidArgument(name, value, 'a number of bytes below 2^53')
    }
    return Math.floor(value / PAGE_SIZE)
  }
  const percent = PERCENT.exec(value)?.[1]
  if (percent === undefined) return Math.floor(parseMemSize(value) / PAGE_SIZE)
  if (Number(percent) > 100) throw new InvalidArgument(name, value, 'at most 100%')
  return Math.floor((total * 100 * Number(percent)) / 10000)
}

function roundUp(pages: number): number {
  return Math.ceil(pages / MAX_ORDER_PAGES) * MAX_ORDER_PAGES
}
