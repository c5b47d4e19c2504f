/** How things in use are given back: each kind in all the ways that there are, one of them by a draw. */

import {
  freeContigRange,
  freePageFrag,
  freePagesAt,
  freePagesExact,
  freePagesList,
  freeVmArea,
  iounmap,
  kfreeBulk,
  kfreeSensitive,
  kmemCacheFreeBulk,
  kvfree,
  PAGE_SIZE,
  putPage,
  type VirtAddr,
  vfreeAtomic,
  vmUnmapRam,
} from '../../src/index'
import type {
  Live,
  LiveArea,
  LiveBlock,
  LiveElement,
  LiveFrag,
  LiveMemory,
  LiveObjects,
  LivePages,
} from './live'
import type { Simulation } from './simulation'

/** Gives something back. */
export function release(s: Simulation, item: Live, way: number): void {
  switch (item.kind) {
    case 'block':
      releaseBlock(s, item, way)
      return
    case 'pages':
      releasePages(s, item, way)
      return
    case 'frag':
      releaseFrag(s, item)
      return
    case 'objects':
      releaseObjects(s, item, way)
      return
    case 'memory':
      releaseMemory(s, item, way)
      return
    case 'area':
      releaseArea(s, item, way)
      return
    case 'element':
      releaseElement(s, item)
      return
  }
}

function releaseBlock(s: Simulation, item: LiveBlock, way: number): void {
  const { pages } = s.machine
  const { pfn, order } = item
  s.leave(item)
  for (; item.refs > 1; item.refs--) putPage(pages, pfn)
  if (way % 4 === 0) putPage(pages, pfn)
  else if (way % 4 === 1) freePagesAt(pages, pfn * PAGE_SIZE, order)
  else pages.freePages(pfn, order)
  s.buried({ kind: 'block', at: pfn, order, cache: -1 })
}

function releasePages(s: Simulation, item: LivePages, way: number): void {
  const { pages } = s.machine
  const { pfns, run } = item
  s.leave(item)
  const [first] = pfns
  if (first === undefined) return
  if (way % 3 === 0) freePagesList(pages, [...pfns])
  else if (way % 3 === 1 && run && pfns.length <= 1024) {
    freePagesExact(pages, first, pfns.length * PAGE_SIZE - (way % PAGE_SIZE))
  } else if (way % 3 === 1 && run) freeContigRange(pages, first, pfns.length)
  else for (const pfn of way % 2 === 0 ? pfns : [...pfns].reverse()) pages.freePages(pfn)
  s.buried({ kind: 'block', at: first, order: 0, cache: -1 })
}

function releaseFrag(s: Simulation, item: LiveFrag): void {
  s.leave(item)
  freePageFrag(s.machine.pages, item.address)
}

function releaseObjects(s: Simulation, item: LiveObjects, way: number): void {
  const { heap } = s.machine
  const entry = s.caches.get(item.cache)
  s.leave(item)
  if (entry?.ctor === true) for (const each of item.addresses) s.construct(each, item.bytes)
  const addresses = [...item.addresses]
  const [first] = addresses
  if (first === undefined) return
  // A name that has ended may have been one of several.
  const byAddress = entry === undefined || way % 3 === 0
  if (addresses.length > 1 && way % 2 === 0) {
    if (byAddress) kfreeBulk(heap, addresses)
    else kmemCacheFreeBulk(entry.cache, addresses)
  } else {
    for (const each of addresses) {
      if (byAddress) heap.kfree(each)
      else entry.cache.free(each)
    }
  }
  s.buried({ kind: 'object', at: first, order: 0, cache: item.cache })
}

function releaseMemory(s: Simulation, item: LiveMemory, way: number): void {
  const { heap, vm } = s.machine
  const { address } = item
  s.leave(item)
  if (s.isVmalloc(address)) {
    if (way % 3 === 0) vm.vfree(address)
    else kvfree(vm, address)
    s.buried({ kind: 'area', at: address, order: 0, cache: -1 })
    return
  }
  if (way % 8 === 0) kfreeSensitive(heap, address)
  else if (way % 3 === 0) kvfree(vm, address)
  else heap.kfree(address)
  s.buried({ kind: 'memory', at: address, order: 0, cache: -1 })
}

function releaseArea(s: Simulation, item: LiveArea, way: number): void {
  const { vm, pages } = s.machine
  const { address, how, pfns, bytes } = item
  const interrupt = (pages.context.contextBits & 128) !== 0
  // An interrupt may only put memory of vmalloc aside.
  if (interrupt && how !== 'memory' && how !== 'put') return
  s.leave(item)
  const inside = (address + (way % Math.ceil(bytes / PAGE_SIZE)) * PAGE_SIZE) as VirtAddr
  if (how === 'ram') vmUnmapRam(vm, address, pfns.length)
  else if (how === 'io') iounmap(vm, address)
  else if (how === 'empty') freeVmArea(vm, address)
  else if (how === 'vmap') {
    if (way % 2 === 0) vm.vunmap(inside)
    else vm.vfree(inside)
  } else if (way % 5 === 0) vfreeAtomic(vm, inside)
  else vm.vfree(inside)
  freePagesList(pages, pfns)
  s.buried({ kind: 'area', at: address, order: pfns.length, cache: -1 })
}

function releaseElement(s: Simulation, item: LiveElement): void {
  const entry = s.pools.get(item.pool)
  if (entry === undefined) throw new RangeError(`there is no pool ${item.pool}`)
  s.leave(item)
  entry.pool.free(item.holds.kind === 'block' ? item.holds.pfn : item.holds.address)
}
