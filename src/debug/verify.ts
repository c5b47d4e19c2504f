/**
 * The whole-state checker: tells which invariants a state breaks, and where.
 *
 * It only reads, needs nothing but the words, and ends whatever they say: a walk stops at the first
 * broken link, a wrong header at once. Tests run it after each step, so it takes about a nanosecond
 * for each frame of memory.
 */

import { HEADER_NR_NODES, NR_ZONES } from '../state/schema'
import { type Violation, Violations } from './invariants'
import { checkFresh } from './verifyFresh'
import { checkHeader } from './verifyHeader'
import { COUNTS_PER_ZONE, checkLists, nameLostBlocks } from './verifyLists'
import { checkPages } from './verifyPages'
import { checkZones } from './verifyZones'

/** How to look at a state. */
export interface VerifyOptions {
  /**
   * Frames that are in no block are in order: after `load`, which does not know the blocks in use.
   * False when not given.
   */
  readonly unknownFrames?: boolean
}

/**
 * Checks every invariant of {@link INVARIANTS} on a state between two calls.
 * @returns the breaches, at most a hundred; empty when all is well. What follows from a breach may be
 * left out. Cost: every word of the tables, and every frame of memory once.
 */
export function verifyState(words: Int32Array, options: VerifyOptions = {}): Violation[] {
  const violations = new Violations()
  if (!checkHeader(words, violations)) return violations.found
  const zones = words[HEADER_NR_NODES]! * NR_ZONES
  const listed = new Int32Array(zones * COUNTS_PER_ZONE)
  const marked = new Int32Array(zones * COUNTS_PER_ZONE)
  checkZones(words, violations)
  checkLists(words, violations, listed)
  checkFresh(words, violations)
  checkPages(words, violations, marked, options.unknownFrames === true)
  nameLostBlocks(words, violations, listed, marked)
  return violations.found
}
