/** The invariants of a virtual mapper's state, by id: what holds besides those of its address space. */

import type { Violation } from './invariants'
import type { VmapInvariantId } from './vmapInvariants'

/** What holds between any two calls, a sentence each; files that keep an invariant name its id. */
export const VMALLOC_INVARIANTS = {
  'VMALLOC-1':
    'The pages of an area, in its array, are those that its addresses are mapped to, in order.',
  'VMALLOC-2': 'The pages of all areas of vmalloc, counted, are `nr_vmalloc_pages`.',
  'VMALLOC-3':
    'A vm_struct is as large as its area, has flags that there are, and pages, in an array, for all of its ' +
    'usable size or none.',
  'VMALLOC-4':
    'A page of an area is in use as a page of its own, and of no other area of vmalloc; none of them is a ' +
    'slab’s.',
  'VMALLOC-5':
    'Nothing is mapped in the windows of vmalloc and of modules but in areas in use, nor across their ends.',
  'VMALLOC-6': 'Nothing is mapped in a guard page.',
  'VMALLOC-7':
    'The objects of areas, vm_structs, blocks and page arrays are objects of the slab layer in use, each once.',
  'VMALLOC-8': 'A caller has one record, which counts the areas that name it, 1 or more.',
  'VMALLOC-9':
    'What was put aside to be freed later is on the list of one CPU, once; the last one there ends it.',
  'VMALLOC-10': 'The words of the header that the mapper keeps are ones that they may be.',
  'VMALLOC-11':
    'A block’s free and dirty pages are fewer than all of its pages; the others are in use.',
  'VMALLOC-12': 'A block is on its CPU’s list, once, exactly as long as it has free pages.',
  'VMALLOC-13':
    'A block has an area of its size, aligned to it; its dirty pages and what is mapped lie in the part ' +
    'that has been handed out.',
} as const

/** Id of an invariant of a virtual mapper. */
export type VmallocInvariantId = keyof typeof VMALLOC_INVARIANTS

/** A breach of an invariant of a virtual mapper, or of its address space. */
export type VmallocViolation = Violation<VmallocInvariantId | VmapInvariantId>
