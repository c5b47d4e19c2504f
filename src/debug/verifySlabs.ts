/**
 * The whole-state checker of the slab layer: tells which invariants a state breaks, and where.
 *
 * It only reads, and ends whatever the words say. What is found goes into a survey first, from the list of
 * caches and the table of frames; every walk is over what is in the survey, and visits nothing twice.
 * Tests run it after each step.
 *
 * Source: spec/slab.md §3, §4, §6, §7, §23.
 */

import type { BuddyAllocator } from '../buddy/buddyAllocator'
import type { SlabAllocator } from '../slab/slabAllocator'
import type { SlabViolation } from './slabInvariants'
import { Survey, survey } from './slabSurvey'
import { checkCaches } from './verifyCaches'
import { checkSlabs } from './verifyPlaces'
import { checkRecords } from './verifyRecords'
import { checkCounts, checkDescriptors } from './verifySlabCounts'
import { checkSlabHeader, checkSlabTables } from './verifySlabHeader'
import { checkHolders } from './verifySlabLists'
import { checkBlocks } from './verifySlabPages'

/** How to look at a state of the slab layer. */
export interface VerifySlabsOptions {
  /** The page allocator beneath, to be asked about the blocks too. */
  readonly pages?: BuddyAllocator
  /**
   * Slabs that are counted but not known are in order: after `loadCache`, which does not know the full ones.
   * False when not given.
   */
  readonly unknownSlabs?: boolean
}

/**
 * Checks every invariant of {@link SLAB_INVARIANTS} on a state between two calls.
 * @returns the breaches, at most a hundred; empty when all is well. What follows from a breach may be
 * left out. Cost: the table of frames once, each slab's record, and each free object.
 */
export function verifySlabs(
  slabs: SlabAllocator,
  options: VerifySlabsOptions = {},
): SlabViolation[] {
  const s = new Survey(slabs.context)
  if (!checkSlabHeader(s)) return s.v.found
  survey(s)
  checkCaches(s)
  checkSlabTables(s)
  checkHolders(s)
  checkSlabs(s)
  // Sums are compared only where all that they are made of is known.
  if (s.whole) {
    checkCounts(s, options.unknownSlabs === true)
    checkDescriptors(s)
    checkRecords(s)
    if (options.pages !== undefined) checkBlocks(s, options.pages.words)
  }
  return s.v.found
}
