/**
 * What a program may do for hours, as scenarios: several machines, zones, masks, CPUs and caches at once, so that
 * nothing in the code can be fitted to one of them. `deopts.ts` looks whether V8 has to take back code made for these.
 */

import type { Pfn, VirtAddr } from 'kmem'
import type { Kmem } from './kmem'
import { logNormal, Xorshift32 } from './random'
import { mapped, PAGES } from './virtual'

/** Something that can go on for ever. */
export interface Scenario {
  readonly name: string
  /** Some thousand calls more. */
  readonly run: () => void
}

type Pages = InstanceType<Kmem['BuddyAllocator']>

const CALLS = 2000
const LIVE = 1000

/** All scenarios, each on machines of its own. */
export function scenarios(kmem: Kmem): readonly Scenario[] {
  return [...pageScenarios(kmem), ...objectScenarios(kmem), ...virtualScenarios(kmem)]
}

function pageScenarios(kmem: Kmem): readonly Scenario[] {
  const { GFP_KERNEL, GFP_ATOMIC, GFP_HIGHUSER_MOVABLE, GFP_DMA32, __GFP_ZERO } = kmem
  const masks = [GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_ATOMIC, GFP_DMA32, GFP_KERNEL | __GFP_ZERO]
  const mask = (random: Xorshift32) => masks[random.below(masks.length)]!
  const machines = [newPages(kmem, 64), newPages(kmem, 256), wideMachine(kmem)]
  const wide = machines[2]!
  const tiny = newPages(kmem, 16)
  const traced = newPages(kmem, 64)
  new kmem.Tracepoints({ pages: traced }).ring(4096)
  return [
    repeated('a page and back, on three machines', (i) => {
      const pages = machines[i % 3]!
      pages.freePages(pages.allocPages(GFP_KERNEL)!)
    }),
    ...machines.map((pages, number) =>
      replaced<Pfn>(`single pages, five masks, machine ${number}`, {
        alloc: (random) => pages.allocPages(mask(random)),
        free: (pfn) => pages.freePages(pfn),
      }),
    ),
    replaced<Pfn>('single pages, from CPU to CPU', {
      alloc: (random) => kmem.onCpu(wide, random.below(4), () => wide.allocPages(GFP_KERNEL)),
      free: (pfn, random) => kmem.onCpu(wide, random.below(4), () => wide.freePages(pfn)),
    }),
    replaced<{ pfn: Pfn; order: number }>('orders 0 to 9, five masks', {
      alloc: (random) => {
        const order = Math.clz32(random.below(512) + 1) - 22
        const pfn = wide.allocPages(mask(random), order)
        return pfn === null ? null : { pfn, order }
      },
      free: ({ pfn, order }) => wide.freePages(pfn, order),
    }),
    replaced<Pfn>('pages of a node', {
      alloc: (random) => wide.allocPagesNode(random.below(2), mask(random)),
      free: (pfn) => wide.freePages(pfn),
    }),
    replaced<Pfn>('pages, with a ring that listens', {
      alloc: (random) => traced.allocPages(mask(random)),
      free: (pfn) => traced.freePages(pfn),
    }),
    repeated(
      'pages in bulk, and lists of them',
      (i) => {
        const pages = machines[i % 3]!
        kmem.freePagesList(pages, kmem.allocPagesBulk(pages, GFP_KERNEL, 200))
      },
      50,
    ),
    repeated(
      'until there is none left',
      (i) => {
        const all: Pfn[] = []
        const one = masks[i % 3]!
        for (let pfn = tiny.allocPages(one); pfn !== null; pfn = tiny.allocPages(one)) all.push(pfn)
        for (const pfn of all) tiny.freePages(pfn)
      },
      2,
    ),
  ]
}

function objectScenarios(kmem: Kmem): readonly Scenario[] {
  const draw = logNormal(100, 20_000)
  const sizes = draw(new Xorshift32(1), 4096)
  const size = (random: Xorshift32) => sizes[random.below(4096)]!
  const cpus = wideMachine(kmem)
  const heaps = [newPages(kmem, 64), cpus].map((pages) => new kmem.Kmalloc(pages))
  const [near, wide] = [heaps[0]!, heaps[1]!]
  const caches = Array.from({ length: 12 }, (_, i) => {
    const { slabs } = heaps[i & 1]!
    return new kmem.SlabCache(slabs, { name: `steady ${i}`, size: 24 + 72 * i })
  })
  const constructed = new kmem.SlabCache(near.slabs, {
    name: 'constructed',
    size: 128,
    ctor: () => {},
  })
  return [
    repeated('an object and back, on two machines', (i) => {
      const heap = heaps[i & 1]!
      heap.kfree(heap.kmalloc(64))
    }),
    ...heaps.map((heap, number) =>
      replaced<VirtAddr>(`kmalloc of mixed sizes, machine ${number}`, {
        alloc: (random) => heap.kmalloc(size(random)),
        free: (p) => heap.kfree(p),
      }),
    ),
    replaced<VirtAddr>('kmalloc, from CPU to CPU', {
      alloc: (random) => kmem.onCpu(cpus, random.below(4), () => wide.kmalloc(size(random))),
      free: (p, random) => kmem.onCpu(cpus, random.below(4), () => wide.kfree(p)),
    }),
    replaced<VirtAddr>('kzalloc, krealloc, ksize', {
      alloc: (random) => {
        const p = near.kzalloc(size(random))
        return near.ksize(p) > 64 ? near.krealloc(p, size(random)) : p
      },
      free: (p) => near.kfree(p),
    }),
    replaced<{ p: VirtAddr; cache: (typeof caches)[number] }>('objects of twelve caches', {
      alloc: (random) => {
        const cache = caches[random.below(12)]!
        const p = cache.alloc()
        return p === null ? null : { p, cache }
      },
      free: ({ p, cache }) => cache.free(p),
    }),
    replaced<VirtAddr>('objects with a constructor', {
      alloc: () => constructed.alloc(),
      free: (p) => constructed.free(p),
    }),
  ]
}

function virtualScenarios(kmem: Kmem): readonly Scenario[] {
  const random = new Xorshift32(3)
  const vm = new kmem.Vmalloc(newPages(kmem, 128))
  const space = new kmem.VmapSpace({ start: 0, end: 2 ** 48 })
  const formats = [kmem.X86_64, kmem.SV39, kmem.ARM64, kmem.I386]
  const spaces = formats.map((format) => {
    const space = mapped(kmem, format)
    const memories = [0, 64].map((tlb) => new kmem.VirtualMemory(space.tables, { tlb }))
    return { ...space, memories }
  })
  return [
    replaced<VirtAddr>(
      'vmalloc and vfree',
      {
        alloc: (random) => vm.vmalloc(4096 * (1 + random.below(8))),
        free: (p) => vm.vfree(p),
      },
      500,
    ),
    replaced<number>('ranges of address space', {
      alloc: (random) => space.alloc(4096 * (1 + random.below(16))),
      free: (start) => space.free(start),
    }),
    repeated(
      'maps and unmaps pages, four formats',
      (i) => {
        const { tables, pfns, address } = spaces[i & 3]!
        tables.unmapRange(address, PAGES * 4096)
        tables.mapPages(address, pfns, 0, PAGES, kmem.PAGE_KERNEL)
      },
      5,
    ),
    repeated('translates, loads and stores, four formats', (i) => {
      const { tables, address, memories } = spaces[i & 3]!
      const place = address + (random.below(PAGES * 4096) & ~3)
      const memory = memories[(i >> 2) & 1]!
      memory.storeU32(place, tables.translate(place) >>> 0)
      memory.loadU32(place)
    }),
  ]
}

/** The same `calls` times. */
function repeated(name: string, call: (i: number) => void, calls = CALLS): Scenario {
  return {
    name,
    run: () => {
      for (let i = 0; i < calls; i++) call(i)
    },
  }
}

/** Random replacement among {@link LIVE} blocks. */
function replaced<Block>(
  name: string,
  heap: {
    alloc(random: Xorshift32): Block | null
    free(block: Block, random: Xorshift32): void
  },
  calls = CALLS,
): Scenario {
  const random = new Xorshift32(2)
  const blocks = new Array<Block | null>(LIVE).fill(null)
  return repeated(
    name,
    () => {
      const slot = random.below(LIVE)
      const old = blocks[slot]
      if (old != null) heap.free(old, random)
      blocks[slot] = heap.alloc(random)
    },
    calls,
  )
}

function newPages(kmem: Kmem, mib: number): Pages {
  return new kmem.BuddyAllocator({ ram: new kmem.PhysicalMemory({ size: mib * kmem.MiB }) })
}

/** Two nodes with two CPUs and 256 MiB each: one below 4 GiB with zones DMA and DMA32, one above with Normal. */
function wideMachine(kmem: Kmem): Pages {
  const ram = new kmem.PhysicalMemory({
    map: [
      { base: 0, size: 256 * kmem.MiB, type: 'usable', node: 0 },
      { base: 4 * kmem.GiB, size: 256 * kmem.MiB, type: 'usable', node: 1 },
    ],
  })
  return new kmem.BuddyAllocator({ ram, cpus: 4, cpuNodes: [0, 0, 1, 1] })
}
