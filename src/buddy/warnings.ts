/** The kernel's one-time warnings, and its complaint about sleeping where that is forbidden. */

import { HEADER_CURRENT_CPU, HEADER_WARNED } from '../state/schema'
import { type BuddyContext, CONTEXT_INTERRUPT, contextBits } from './context'

/** An order above 10. */
export const WARN_ORDER = 0
/** ATOMIC together with DIRECT_RECLAIM. */
export const WARN_ATOMIC_RECLAIM = 1
/** NOFAIL for more than two pages. */
export const WARN_NOFAIL_ORDER = 2
/** NOFAIL in a request that may not sleep. */
export const WARN_NOFAIL_NONBLOCK = 3
/** NOFAIL in a task that reclaims itself. */
export const WARN_NOFAIL_MEMALLOC = 4
/** NOFAIL for a costly order. */
export const WARN_NOFAIL_COSTLY = 5
/** COMP or HIGHMEM for an exact number of pages. */
export const WARN_EXACT_FLAGS = 6

/** The function that each warning is raised in, by its number. */
const PLACES = [
  '__alloc_pages',
  '__alloc_pages_slowpath',
  'rmqueue',
  '__alloc_pages_slowpath',
  '__alloc_pages_slowpath',
  '__alloc_pages_slowpath',
  'alloc_pages_exact',
]

/** Logs warning `number` the first time it is raised on this machine. */
export function warnOnce(c: BuddyContext, number: number): void {
  const bit = 1 << number
  if ((c.words[HEADER_WARNED]! & bit) !== 0) return
  c.words[HEADER_WARNED]! |= bit
  c.log('------------[ cut here ]------------')
  c.log(`WARNING: CPU: ${c.words[HEADER_CURRENT_CPU]} PID: 0 at ${PLACES[number]}`)
  c.log('---[ end trace 0000000000000000 ]---')
}

/** Logs that a request which may sleep was made where sleeping is a bug. The request goes on. */
export function reportSleepInAtomic(c: BuddyContext): void {
  const irq = (contextBits(c) & CONTEXT_INTERRUPT) !== 0 ? 1 : 0
  c.log('BUG: sleeping function called from invalid context at alloc_pages')
  c.log(`in_atomic(): 1, irqs_disabled(): ${irq}, non_block: 0, pid: 0, name: ${c.taskName}`)
  c.log(`preempt_count: 1, expected: 0`)
}
