/** Which CPU runs, and what the running code is and may do. Source: spec/page-allocator.md §2.5, §12.4. */

import { checkInteger } from '../base/errors'
import type { BuddyAllocator } from './buddyAllocator'
import { enterContext, holdPageLists, switchCpu } from './context'
import { CONTEXT_ATOMIC, CONTEXT_INTERRUPT } from './contextBits'

/**
 * Runs `body` on a CPU: its page lists are used.
 * @throws InvalidArgument for a CPU that the machine does not have, and what `body` throws.
 */
export function onCpu<T>(pages: BuddyAllocator, cpu: number, body: () => T): T {
  const c = pages.context
  checkInteger('cpu', cpu, 0, c.nrCpus - 1)
  const before = c.cpu
  switchCpu(c, cpu)
  try {
    return body()
  } finally {
    switchCpu(c, before)
  }
}

/** Runs `body` with CONTEXT_ bits set besides those of now: what the running code is and may do. */
export function inContext<T>(pages: BuddyAllocator, bits: number, body: () => T): T {
  const c = pages.context
  checkInteger('context bits', bits, 0, 255)
  const before = c.contextBits
  enterContext(c, before | bits)
  try {
    return body()
  } finally {
    enterContext(c, before)
  }
}

/** Runs `body` as an interrupt does: sleeping is a bug there. */
export function inInterrupt<T>(pages: BuddyAllocator, body: () => T): T {
  return inContext(pages, CONTEXT_INTERRUPT | CONTEXT_ATOMIC, body)
}

/**
 * Runs `body` as an interrupt that hit the CPU while it held its page lists: they cannot be used, so
 * single pages come from the free areas and go there.
 */
export function withPageListsHeld<T>(pages: BuddyAllocator, body: () => T): T {
  const before = pages.context.pcpLocked
  holdPageLists(pages.context, true)
  try {
    return body()
  } finally {
    holdPageLists(pages.context, before)
  }
}
