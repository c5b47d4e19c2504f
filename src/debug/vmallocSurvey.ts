/** What there is in a virtual mapper while it is being checked: areas, what is mapped in them, who owns what. */

import { PAGE_SIZE } from '../base/units'
import { isPlace } from '../slab/freePointer'
import { frameWord, slabAt } from '../slab/objects'
import { isDebugCache } from '../slab/slabs'
import {
  AREA_BLOCK,
  AREA_END,
  AREA_NEXT,
  AREA_START,
  AREA_VM,
  SLABS_PLACEHOLDER,
} from '../state/vmapSchema'
