/** What is in use on a machine that keeps nothing back: pages, objects, areas. Equal before a call and after a failure. */

import {
  endGracePeriod,
  freeSummary,
  type Machine,
  PAGE_SIZE,
  type PageTables,
  shrinkAllCaches,
  vmAreas,
  vmUnmapAliases,
} from '../../src/index'
import { flagsOrder, pageRecord } from '../../src/page/memmap'
import { formatName } from '../../src/slab/cacheName'
import { cachesOf } from '../../src/slab/hotplug'
import { PAGE_FLAGS, PAGE_REFS } from '../../src/state/schema'
import {
  CACHE_GRANULE,
  CACHE_REFCOUNT,
  SLAB_CACHE,
  SLAB_FRAMES,
  SLAB_LAST,
  SLAB_LIVE,
  SLAB_PFN,
} from '../../src/state/slabSchema'
import {
  VMAP_CPU_SPARE,
  VMAP_CPU_WORDS,
  VMAP_FREE_BYTES,
  VMAP_HEADER_WORDS,
  VMAP_NR_CPUS,
  VMAP_NR_PAGES,
  VMAP_RECORDS,
} from '../../src/state/vmapSchema'

/** All that is in use. */
export interface Survey {
  /** Blocks of pages in use but for page tables: frame, order, references, flags. */
  readonly blocks: readonly string[]
  /** Free pages, and those of page tables. */
  readonly spare: number
  /** Caches: name and how many go by it. */
  readonly caches: readonly string[]
  /** Objects in use: cache and address; but for those that a CPU keeps to split an area. */
  readonly objects: readonly string[]
  /** Constructors that are known. */
  readonly ctors: number
  /** Areas of the mapper, and what it counts. */
  readonly areas: readonly string[]
  readonly counts: readonly number[]
  /** What the machine is in the middle of. */
  readonly running: readonly unknown[]
}

/** Lets everything go that is kept for later, and tells what is in use. */
export function survey(m: Machine, tables: PageTables = m.vm.tables): Survey {
  vmUnmapAliases(m.vm)
  shrinkAllCaches(m.slabs)
  endGracePeriod(m.slabs)
  m.pages.drainAllPages()
  const { space } = m.vm.context
  const { context } = m.pages
  return {
    ...blocksOf(m, tables),
    ...slabsOf(m),
    areas: vmAreas(m.vm).map((area) => JSON.stringify(area)),
    counts: [
      ...space.words.subarray(VMAP_RECORDS, VMAP_RECORDS + 4),
      space.words[VMAP_NR_PAGES]!,
      space.numbers[VMAP_FREE_BYTES >> 1]!,
    ],
    running: [context.cpu, context.contextBits, context.pcpLocked, space.purging, space.held],
  }
}

/** How much is in use, wherever it lies. */
export function counted({ blocks, objects, ...rest }: Survey): object {
  const kinds = [...blocks.map((block) => block.replace(/^\d+/, '')), ...objects].map((what) =>
    what.replace(/ \d+$/, ''),
  )
  return { ...rest, kinds: kinds.sort(), areas: rest.areas.length }
}

function blocksOf(m: Machine, tables: PageTables): Pick<Survey, 'blocks' | 'spare'> {
  const { words } = m.pages
  const blocks: string[] = []
  let spare = freeSummary(m.pages).freeBlocks.reduce((sum, count, i) => sum + count * 2 ** i, 0)
  for (let pfn = m.ram.base / PAGE_SIZE; pfn < m.ram.end / PAGE_SIZE; ) {
    const flags = words[pageRecord(pfn) + PAGE_FLAGS]!
    const refs = words[pageRecord(pfn) + PAGE_REFS]!
    const order = flagsOrder(flags)
    const isTable = m.vm.tables.levelOf(pfn) >= 0 || tables.levelOf(pfn) >= 0
    if (isTable) spare += 1
    else if (refs > 0) blocks.push(`${pfn} ${order} ${refs} ${flags & 0x7fffff}`)
    pfn += 1 << order
  }
  return { blocks, spare }
}

function slabsOf(m: Machine): Pick<Survey, 'caches' | 'objects' | 'ctors'> {
  const { words, context } = m.slabs
  const kept = spareObjects(m)
  const objects: string[] = []
  for (let pfn = m.ram.base / PAGE_SIZE; pfn < m.ram.end / PAGE_SIZE; pfn++) {
    const slab = words[SLAB_FRAMES + pfn]!
    if (slab < 0) objects.push(`large block ${slab} at ${pfn}`)
    if (slab <= 0 || words[slab + SLAB_PFN] !== pfn) continue
    const cache = words[slab + SLAB_CACHE]!
    const granule = words[cache + CACHE_GRANULE]!
    const name = formatName(words, cache)
    for (let place = 0; place <= words[slab + SLAB_LAST]! >> granule; place++) {
      const live = (words[slab + SLAB_LIVE + (place >> 5)]! >>> (place & 31)) & 1
      const address = pfn * PAGE_SIZE + (place << granule) + context.directMap
      if (live === 1 && !kept.has(address)) objects.push(`${name} ${address}`)
    }
  }
  const caches = [...cachesOf(words)].map(
    (cache) => `${formatName(words, cache)} ${words[cache + CACHE_REFCOUNT]}`,
  )
  return { caches, objects, ctors: context.ctors.size }
}

function spareObjects(m: Machine): Set<number> {
  const { words, numbers } = m.vm.context.space
  const cpus = Array.from({ length: words[VMAP_NR_CPUS]! }, (_, cpu) => cpu)
  return new Set(
    cpus.map((cpu) => {
      const at = VMAP_HEADER_WORDS + cpu * VMAP_CPU_WORDS + VMAP_CPU_SPARE
      return numbers[at >> 1]!
    }),
  )
}
