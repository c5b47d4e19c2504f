/** What a snapshot is made of. */

import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { PhysicalMemory } from '../ram/physicalMemory'
import type { MachineParts } from '../vmalloc/machineParts'

/** Memory and its page allocator, with nothing above: all that a machine without content can have. */
export interface PageParts {
  /** The memory, with or without bytes. */
  readonly ram: PhysicalMemory
  /** The page allocator. */
  readonly pages: BuddyAllocator
  /** None. */
  readonly slabs?: undefined
  /** None. */
  readonly heap?: undefined
  /** None. */
  readonly vm?: undefined
}

/** What snapshots are made of: a whole machine, or its page level alone. */
export type SnapshotParts = MachineParts | PageParts
