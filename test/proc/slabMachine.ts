/** A machine of two nodes with slabs on both, whose own caches the tests do not touch. */

import { loadZones } from '../../src/buddy/loadZones'
import { slubDebug } from '../../src/debug/slubDebug'
import {
  __GFP_NOWARN,
  __GFP_THISNODE,
  type BuddyAllocator,
  LAYOUT_X86_64,
  PhysicalMemory,
  type VirtAddr,
} from '../../src/index'
import { slabNodeOnline } from '../../src/slab/hotplug'
import { Kmalloc } from '../../src/slab/kmalloc'
import type { SlabOptions } from '../../src/slab/options'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { SlabCache } from '../../src/slab/slabCache'
import { fixtureText, zoneOf } from './fixtures'

/** First frame of node 1, as in the recordings. */
const NODE_1 = 1048576
/** Frames of each node. */
const PAGES = 4096

export interface SlabMachine {
  readonly pages: BuddyAllocator
  readonly slabs: SlabAllocator
  readonly heap: Kmalloc
}

/** The machine; node 1 comes when the kmalloc caches are there, as in the recordings. */
export function slabMachine(options: SlabOptions = {}, cpus = 1): SlabMachine {
  const zone = (node: number, name: 'DMA32' | 'Normal', startPfn: number) =>
    zoneOf({
      node,
      name,
      startPfn,
      spanned: PAGES,
      free: PAGES,
      freeLists: { 10: { 1: [0, 1024, 2048, 3072].map((at) => startPfn + at) } },
    })
  const size = PAGES * 4096
  const ram = new PhysicalMemory({
    map: [
      { base: 0, size, type: 'usable', node: 0 },
      { base: NODE_1 * 4096, size, type: 'usable', node: 1 },
    ],
  })
  const pages = loadZones([zone(0, 'DMA32', 0), zone(1, 'Normal', NODE_1)], { ram, cpus })
  const slabs = new SlabAllocator(pages, {
    layout: LAYOUT_X86_64,
    merge: false,
    nodes: [0],
    debug: slubDebug(),
    ...options,
  })
  const heap = new Kmalloc(slabs)
  slabNodeOnline(slabs, 1)
  return { pages, slabs, heap }
}

/** Takes every page of a node. */
export function exhaust(pages: BuddyAllocator, node: number): void {
  for (let order = 10; order >= 0; order--) {
    while (pages.allocPagesNode(node, __GFP_THISNODE | __GFP_NOWARN, order) !== null);
  }
}

/** A row of a recording of calls. */
interface Row {
  readonly call: string
  readonly cache: number
  readonly slot: number
  readonly name: string
  readonly size: number
  readonly align: number
  readonly flags: string
  readonly gfp: string
  readonly node: number
}

/** The machine after the calls of `text-proc` that are about caches. */
export function textProcSlabs(): SlabMachine {
  const machine = slabMachine()
  const caches: SlabCache[] = []
  const objects = new Map<number, [SlabCache, VirtAddr]>()
  for (const line of fixtureText('text/text-proc.jsonl').split('\n')) {
    if (!line.startsWith('{"call":"kmem_cache_')) continue
    const row = JSON.parse(line) as Row
    if (row.call === 'kmem_cache_create') {
      const { name, size, align } = row
      caches[row.cache] = new SlabCache(machine.slabs, {
        name,
        size,
        align,
        flags: Number(row.flags),
      })
    } else if (row.call === 'kmem_cache_alloc_node') {
      const cache = caches[row.cache] as SlabCache
      objects.set(row.slot, [cache, take(cache, row.node, Number(row.gfp))])
    } else if (row.call === 'kmem_cache_free') {
      const held = objects.get(row.slot)
      held?.[0].free(held[1])
    }
  }
  return machine
}

/** An object of a node. */
export function take(cache: SlabCache, node: number, gfp = 0xcc0): VirtAddr {
  const object = cache.allocNode(gfp, node)
  if (object === null) throw new Error('no memory')
  return object
}
