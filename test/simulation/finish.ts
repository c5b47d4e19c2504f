/** The end of a run: everything is released, and nothing may be left. */

import {
  endGracePeriod,
  foldCounters,
  freeSummary,
  freeVmArea,
  getVmAreaNode,
  holdDrainWork,
  liveAllocations,
  onCpu,
  PAGE_SIZE,
  runDeferredFrees,
  shrinkAllCaches,
  vmAreas,
  vmallocNrPages,
  vmapLazyPages,
  vmUnmapAliases,
} from '../../src/index'
import { SLAB_NR_CACHES } from '../../src/state/slabSchema'
import { destroyPool } from './heapCalls'
import { release } from './release'
import type { Simulation } from './simulation'
import { destroy } from './slabCalls'
import { Violation } from './violation'

/** What a machine has before it is used. */
export interface Baseline {
  /** Free pages, and those that stay: page tables, and a block at address 0 that the slab layer got. */
  readonly pages: number
  readonly caches: number
  /** What is allocated and is no allocator's own. */
  readonly things: readonly string[]
}

/** Takes stock of a machine before its first call. */
export function baseline(s: Simulation): Baseline {
  const { vm } = s.machine
  s.stopFaults()
  // The descriptor that a CPU keeps for the next area.
  const area = getVmAreaNode(vm, PAGE_SIZE)
  if (area !== null) freeVmArea(vm, area)
  return takeStock(s)
}

/** Releases everything, and compares what there is with what there was. */
export function finish(s: Simulation, before: Baseline): void {
  s.stopFaults()
  s.reclaimer.reclaim(s.reclaimer.cached.length)
  while (s.live.size > 0) release(s, s.live.items[s.live.size - 1]!, s.live.size)
  for (const entry of [...s.pools.values()]) destroyPool(s, entry)
  for (const cache of s.frags.values()) cache.drain()
  for (const entry of [...s.caches.values()]) if (!entry.gone) destroy(s, entry)
  const after = takeStock(s)
  s.verify()
  const { vm, pages } = s.machine
  if (vmAreas(vm).length > 0 || vmallocNrPages(vm) > 0 || vmapLazyPages(vm) > 0) {
    throw new Violation('left', `${vmAreas(vm).length} areas of ${vmallocNrPages(vm)} pages`)
  }
  if (after.caches !== before.caches + s.goneCaches) {
    throw new Violation('left', `${after.caches} caches, where there were ${before.caches}`)
  }
  const left = after.things.find((thing) => !before.things.includes(thing))
  if (left !== undefined) throw new Violation('left', left)
  const missing = before.things.find((thing) => !after.things.includes(thing))
  if (missing !== undefined) throw new Violation('missing', missing)
  const lost = before.pages - after.pages
  const most = spare(s, pages.context.nrNodes)
  if (Math.abs(lost) > most) throw new Violation('left', `${lost} pages, not up to ${most}`)
}

/**
 * Pages that there may be fewer at the end, or more: the descriptor that each CPU keeps for the next area may lie in
 * another slab than at first, one that is smaller when it was made in need, or in one of its own; and a cache that could
 * not be destroyed keeps its descriptors, one and one a node.
 */
function spare(s: Simulation, nodes: number): number {
  const { maxOrder, minOrder } = s.machine.slabs.context
  const slab = 2 ** Math.max(minOrder, Math.min(maxOrder, 3))
  return (s.spec.cpus + s.goneCaches * (1 + nodes)) * slab
}

function takeStock(s: Simulation): Baseline {
  const { pages, slabs, vm } = s.machine
  for (let cpu = 0; cpu < s.spec.cpus; cpu++) onCpu(pages, cpu, () => runDeferredFrees(vm))
  holdDrainWork(vm, false)
  vmUnmapAliases(vm)
  shrinkAllCaches(slabs)
  endGracePeriod(slabs)
  shrinkAllCaches(slabs)
  pages.drainAllPages()
  foldCounters(pages)
  const things: string[] = []
  let setAside = 0
  for (const { internal, kind, address, pfn, size, cache, use } of liveAllocations(s.machine)) {
    if (use === 'set aside') setAside += size / PAGE_SIZE
    if (!internal) things.push(`${kind} ${cache} at ${address ?? pfn} of ${size} bytes`)
  }
  return {
    pages: freeSummary(pages).freePages + vm.tables.tableCount + setAside,
    caches: slabs.words[SLAB_NR_CACHES]!,
    things,
  }
}
