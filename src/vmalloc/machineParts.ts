/** The parts of a machine: what snapshots, inspection, checks and texts look at. */

import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { PhysicalMemory } from '../ram/physicalMemory'
import type { Kmalloc } from '../slab/kmalloc'
import type { SlabAllocator } from '../slab/slabAllocator'
import type { Vmalloc } from './vmalloc'

/** A machine's memory and its allocators, each made over the one before. */
export interface MachineParts {
  /** The bytes. */
  readonly ram: PhysicalMemory
  /** The page allocator. */
  readonly pages: BuddyAllocator
  /** The slab allocator. */
  readonly slabs: SlabAllocator
  /** Memory of any size. */
  readonly heap: Kmalloc
  /** The virtual mapper. */
  readonly vm: Vmalloc
}
