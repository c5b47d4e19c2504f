/** The whole-state checker of a machine: pages, slabs and the virtual mapper, in this order. */

import type { MachineParts } from '../vmalloc/machineParts'
import type { InvariantId, Violation } from './invariants'
import type { SlabInvariantId } from './slabInvariants'
import { verifyState } from './verify'
import { verifySlabs } from './verifySlabs'
import { verifyVmalloc } from './verifyVmalloc'
import type { VmallocInvariantId } from './vmallocInvariants'
import type { VmapInvariantId } from './vmapInvariants'

/** A breach of an invariant of any part. */
export interface MachineViolation {
  /** The part: the page allocator, the slab allocator, or the virtual mapper. */
  readonly part: 'pages' | 'slabs' | 'vmalloc'
  /** Id of the invariant. */
  readonly id: InvariantId | SlabInvariantId | VmapInvariantId | VmallocInvariantId
  /** Where and how it is broken. */
  readonly message: string
}

/**
 * Checks every invariant of a machine, between two calls. It only reads.
 * @returns the breaches, at most a hundred of each part; empty when all is well. What follows from a breach may be
 * left out. Cost: every word of state in use.
 */
export function verifyMachine(m: MachineParts): MachineViolation[] {
  const told =
    (part: MachineViolation['part']) =>
    ({ id, message }: Violation<MachineViolation['id']>): MachineViolation => ({
      part,
      id,
      message,
    })
  return [
    ...verifyState(m.pages.words).map(told('pages')),
    ...verifySlabs(m.slabs, { pages: m.pages }).map(told('slabs')),
    ...verifyVmalloc(m.vm).map(told('vmalloc')),
  ]
}
