/** Looking at the parts of a machine: that they are some, and where pages of RAM lie. */

import { InvalidArgument } from '../base/errors'
import { PAGE_SIZE, type Pfn } from '../base/units'
import type { MachineParts } from '../vmalloc/machineParts'
import type { SnapshotParts } from './parts'
import type { ShapeRange } from './shape'

/** 32-bit words of RAM in a page. */
export const WORDS_PER_PAGE = PAGE_SIZE / 4

/**
 * Checks that `m` is a machine, or the page level of one, between two calls.
 * @throws InvalidArgument if not.
 */
export function checkMachine(m: SnapshotParts): void {
  const { ram, pages, slabs, vm } = Object(m) as Partial<MachineParts>
  // Not by class: a program may have the library twice, as modules of both kinds.
  const states: unknown[] = [pages?.context?.words]
  if (slabs !== undefined || vm !== undefined) {
    states.push(slabs?.context?.words, vm?.context?.space?.words)
  }
  const whole =
    typeof ram?.zeroPages === 'function' && states.every((words) => words instanceof Int32Array)
  if (!whole) throw new InvalidArgument('machine', m, 'the parts of a machine: ram, pages, …')
  if (vm?.context.space.purging === true) {
    throw new InvalidArgument('machine', m, 'between two calls')
  }
}

/** Whether a page of RAM, counted through RAM, is all zero. */
export function isZeroPage(words: Int32Array, page: number): boolean {
  const end = (page + 1) * WORDS_PER_PAGE
  for (let i = page * WORDS_PER_PAGE; i < end; i++) if (words[i] !== 0) return false
  return true
}

/** All bytes of RAM, range after range; none without content. */
export function ramBytes({ ram }: SnapshotParts): Uint8Array {
  const { buffer } = ram
  return buffer === null ? new Uint8Array(0) : new Uint8Array(buffer, 0, ram.size)
}

/** Frame of a page counted through RAM. */
export function frameOfPage(memory: readonly ShapeRange[], page: number): Pfn {
  let left = page
  for (const [base, size] of memory) {
    if (left < size / PAGE_SIZE) return (base / PAGE_SIZE + left) as Pfn
    left -= size / PAGE_SIZE
  }
  return -1 as Pfn
}
