/** The rows of the tables of operations that allocate. */

import type { Machine, PageTables, Pfn } from '../../src/index'
import type { Difference } from './differences'

/** An operation that is about to be made. */
export interface Attempt<T = unknown> {
  /** The call. */
  readonly call: () => T
  /** Gives back what a call that succeeded has got, so that it can be made once more. */
  readonly release: (result: T) => void
  /** Whether a result tells of failure; null, false, -1, 0 and an empty array do when not given. */
  readonly failed?: (result: T) => boolean
  /** Looks at what must be as it was after a failure. */
  readonly check?: () => void
  /** Does away with what a failure may leave: the row says why. As much is in use then as before. */
  readonly undo?: () => void
  /** Page tables of its own, whose pages may stay. */
  readonly tables?: PageTables
  /** First of the pages that are left when all others are used up; the last ones of memory when not given. */
  readonly near?: Pfn
}

/** An operation of the table. */
export interface Row {
  /** What it is called in the test. */
  readonly name: string
  /** Public names that it is the row of: those of `index.ts`, methods as `Kmalloc#kmalloc`. */
  readonly covers: readonly string[]
  /** Makes what the call needs. */
  readonly prepare: (m: Machine) => Attempt
  /** What a failure may leave behind; nothing when not given. */
  readonly leaves?: readonly Difference[]
  /** Requests that are tried at most, from each end; 5 when not given. */
  readonly most?: number
  /** False for what takes pages past all requests: it fails only when they are not there. */
  readonly requests?: boolean
  /** The machines that it can be made on; all when not given. */
  readonly on?: (m: Machine) => boolean
}

/** A row, with its types checked and then forgotten. */
export function row<T>(
  name: string,
  covers: string | readonly string[],
  prepare: (m: Machine) => Attempt<T>,
  more: Omit<Row, 'name' | 'covers' | 'prepare'> = {},
): Row {
  const names = typeof covers === 'string' ? [covers] : covers
  return { name, covers: names, prepare: prepare as (m: Machine) => Attempt, ...more }
}

/** An attempt whose release takes what its call gives. */
export function of<T>(attempt: Attempt<T>): Attempt<T> {
  return attempt
}

/** The value, which must be there. */
export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('no memory for the set-up')
  return value
}
