/** The versions of the schemas of the three states. */

import { VERSION as SLAB_VERSION } from '../slab/slabState'
import { VERSION as PAGE_VERSION } from '../state/layout'
import { VMAP_STATE_VERSION } from '../vmalloc/vmapContext'

/** Those that this library reads: of the pages, the slabs and the address space. */
export function schemaVersions(): readonly number[] {
  return [PAGE_VERSION, SLAB_VERSION, VMAP_STATE_VERSION]
}
