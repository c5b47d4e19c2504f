/** What an area of address space is that an address lies in. */

import { PAGE_SIZE } from '../base/units'
import {
  AREA_BLOCK,
  AREA_VM,
  BLOCK_DIRTY,
  BLOCK_FREE,
  TREE_BUSY,
  TREE_FREE,
  TREE_PURGE,
  VM_CALLER,
  VM_DEFERRED,
  VM_FLAGS,
  VM_NR_PAGES,
  VM_PAGE_ORDER,
  VM_PHYS,
} from '../state/vmapSchema'
import { callerName } from '../vmalloc/callers'
import { VM_ALLOC, VM_NO_GUARD } from '../vmalloc/flags'
import type { VmallocContext } from '../vmalloc/vmallocContext'
import { blockPages } from '../vmalloc/vmapBlock'
import { areaAt } from '../vmalloc/vmapTree'
import { areaBounds, Backing } from './backing'
import type { InspectedArea } from './inspection'

/** Names of the VM_ flags, from the lowest bit on. */
const FLAG_NAMES: readonly string[] = [
  'VM_IOREMAP',
  'VM_ALLOC',
  'VM_MAP',
  'VM_USERMAP',
  'VM_DMA_COHERENT',
  'VM_UNINITIALIZED',
  'VM_NO_GUARD',
  'VM_KASAN',
  'VM_FLUSH_RESET_PERMS',
  'VM_MAP_PUT_PAGES',
  'VM_ALLOW_HUGE_VMAP',
]

/** What is known of the area that holds an address; null for none, as at both ends of the address space. */
export function inspectArea(
  c: VmallocContext,
  pageWords: Int32Array,
  address: number,
): InspectedArea | null {
  for (const [tree, kind] of [
    [TREE_BUSY, 'vm_map_ram'],
    [TREE_PURGE, 'unpurged'],
    [TREE_FREE, 'free'],
  ] as const) {
    const area = areaAt(c.space, tree, address)
    if (area === 0) continue
    const [start, end] = areaBounds(c, area)
    const idle = {
      kind,
      start,
      size: end - start,
      offset: address - start,
      flags: 0,
      flagNames: [],
      caller: '',
      phys: 0,
      nrPages: 0,
      pageOrder: 0,
      guard: false,
      deferred: false,
      block: null,
      use: '',
    }
    return tree === TREE_BUSY ? { ...idle, ...inUse(c, pageWords, area, address) } : idle
  }
  return null
}

/** What an area in use says besides. */
function inUse(
  c: VmallocContext,
  pageWords: Int32Array,
  area: number,
  address: number,
): Partial<InspectedArea> {
  const { words, numbers } = c.space
  const vm = words[area + AREA_VM]!
  const block = words[area + AREA_BLOCK]!
  if (block !== 0) {
    const [free, dirty] = [words[block + BLOCK_FREE]!, words[block + BLOCK_DIRTY]!]
    return { block: { pages: blockPages(c), free, dirty } }
  }
  if (vm === 0) return {}
  const [start, end] = areaBounds(c, area)
  const flags = words[vm + VM_FLAGS]! >>> 0
  return {
    kind: 'area',
    flags,
    flagNames: FLAG_NAMES.filter((_, bit) => (flags & (1 << bit)) !== 0),
    caller: callerName(words, words[vm + VM_CALLER]!),
    phys: numbers[(vm + VM_PHYS) >> 1]!,
    nrPages: words[vm + VM_NR_PAGES]!,
    pageOrder: words[vm + VM_PAGE_ORDER]!,
    guard: hasGuard(flags, words[vm + VM_NR_PAGES]!) && address >= end - PAGE_SIZE,
    deferred: words[vm + VM_DEFERRED] !== 0,
    use: new Backing(c, pageWords).areas.get(start) ?? '',
  }
}

/** Whether an area ends with a guard page. Those for CPUs do not, and have no flag that tells. */
function hasGuard(flags: number, nrPages: number): boolean {
  return (flags & VM_NO_GUARD) === 0 && !((flags & VM_ALLOC) !== 0 && nrPages === 0)
}
