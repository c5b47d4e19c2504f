/** The invariants of an address space's state, by id. */

import type { Violation } from './invariants'

/** What holds between any two calls, a sentence each. */
export const VMAP_INVARIANTS = {
  'VMAP-1': 'The buffer is a state of this version, with its tables where they belong.',
  'VMAP-2':
    'The bounds of an area are whole granules inside the space, the first below the second; areas follow ' +
    'each other in their tree by address.',
  'VMAP-3': 'A child names its parent, the root none; an area says which tree it is in.',
  'VMAP-4': 'The root is black, and no red area has a red child.',
  'VMAP-5': 'All paths from an area down to a missing child have as many black areas.',
  'VMAP-6':
    'AREA_MAX of a free area is the size of the largest area below it and itself; of others it is 0.',
  'VMAP-7': 'The list of a tree’s areas is the tree in order, both ways.',
  'VMAP-8': 'Two free areas do not touch, nor do two that wait for a purge.',
  'VMAP-9': 'Each address of the space is in exactly one area.',
  'VMAP-10': 'The areas of each tree are counted.',
  'VMAP-11': 'The bytes that wait for a purge are those of their areas.',
  'VMAP-12': 'The bytes that are free are those of the free areas.',
  'VMAP-13':
    'An area has an object, a CPU one to spare or none; an object is an address that is nobody else’s, ' +
    'or -1 for one without memory.',
  'VMAP-14':
    'Only areas in use have a vm_struct or a vmap block, and not both; that names the area in turn.',
  'VMAP-15':
    'The words in use behind the CPUs are records, each an area, a vm_struct, a block, a caller, or free ' +
    'and zero but for its link; those in use are counted by kind, and nothing is behind them.',
  'VMAP-16': 'Every value in the header is one that it may have.',
} as const

/** Id of an invariant of an address space. */
export type VmapInvariantId = keyof typeof VMAP_INVARIANTS

/** A breach of an invariant of an address space. */
export type VmapViolation = Violation<VmapInvariantId>
