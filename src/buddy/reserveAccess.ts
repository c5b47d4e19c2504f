/** Which reserves a request may use that the watermarks keep from others. Source: spec/page-allocator.md §6. */

import { ALLOC_NO_WATERMARKS, ALLOC_OOM } from '../page/allocFlags'
import { __GFP_MEMALLOC, __GFP_NOMEMALLOC } from '../page/gfp'
import type { BuddyContext } from './context'
import { CONTEXT_INTERRUPT, CONTEXT_MEMALLOC, CONTEXT_OOM_VICTIM } from './contextBits'

/**
 * The reserves that override the watermarks altogether: 0 for most requests. Soft interrupts are not
 * told from hard ones (DIFF-24).
 */
export function reserveFlags(c: BuddyContext, gfp: number): number {
  const context = c.contextBits
  if ((gfp & __GFP_NOMEMALLOC) !== 0) return 0
  if ((gfp & __GFP_MEMALLOC) !== 0) return ALLOC_NO_WATERMARKS
  if ((context & CONTEXT_INTERRUPT) !== 0) return 0
  if ((context & CONTEXT_MEMALLOC) !== 0) return ALLOC_NO_WATERMARKS
  return (context & CONTEXT_OOM_VICTIM) !== 0 ? ALLOC_OOM : 0
}
