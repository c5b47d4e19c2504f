/** A machine on which something of everything is in use: for calls that need no memory. */

import {
  AddressSpace,
  allocContigRange,
  allocPagesExact,
  Devres,
  DmaPool,
  devmAddAction,
  devmGetFreePages,
  devmKmalloc,
  dmamPoolCreate,
  frameSource,
  GenPool,
  GFP_KERNEL,
  GiB,
  getVmAreaNode,
  I386,
  ioremap,
  Kmap,
  kmallocElements,
  kstrdup,
  LAYOUT_X86_64,
  layoutI386,
  type Machine,
  Mempool,
  MiB,
  mapDirectMap,
  PAGE_KERNEL,
  PAGE_SHARED_EXEC,
  PAGE_SIZE,
  PageFragCache,
  PageTables,
  type Pfn,
  type PhysAddr,
  pcpuGetVmAreas,
  SlabCache,
  setFixmap,
  type VirtAddr,
  vmap,
  vmMapRam,
  X86_64,
} from '../../../src/index'
import { must } from '../rows'

const nothing = (): void => {}

/** Where the space has its pages. */
export const USER = 0x10000

/** What there is. */
export type Scene = ReturnType<typeof sceneOn>

export function sceneOn(m: Machine) {
  const device = { name: 'nic0', node: -1, dmaMask: 2 ** 32 - 1 }
  const dev = new Devres(m.heap, device)
  const action = nothing
  devmAddAction(dev, action, 1)
  const frags = new PageFragCache(m.pages)
  const pfn = must(m.allocPages())
  const space = new AddressSpace(m.pages, { format: X86_64, user: true })
  space.map(USER, pfn, 1, PAGE_SHARED_EXEC)
  const tables = new PageTables(frameSource(m.pages), X86_64)
  tables.mapPages(USER, [pfn], 0, 1, PAGE_KERNEL)
  mapDirectMap(tables, LAYOUT_X86_64, [{ base: 0, size: 4 * MiB }])
  setFixmap(tables, LAYOUT_X86_64, 7, 0xfee00000, PAGE_KERNEL)
  const contig = (m.ram.base / PAGE_SIZE + 64) as Pfn
  allocContigRange(m.pages, contig, (contig + 4) as Pfn)
  const cache = new SlabCache(m.slabs, { name: 'scene', size: 300, usersize: 300 })
  const kmap = new Kmap(
    m.pages,
    new PageTables(frameSource(m.pages), I386),
    layoutI386({ memory: 2 * GiB, nrCpus: 4 }),
  )
  const dma = must(DmaPool.create(m.heap, { name: 'blocks', device, size: 64 }))
  const pool = must(Mempool.create(m.heap, { minNr: 2, ...kmallocElements(m.heap, 64) }))
  const addresses = new GenPool({ minAllocOrder: 4, heap: m.heap })
  addresses.add(0x1000, 0x1000)
  return {
    m,
    pfn,
    block: must(m.allocPages(GFP_KERNEL, 2)),
    exact: must(allocPagesExact(m.pages, 3 * PAGE_SIZE, GFP_KERNEL)),
    contig,
    frags,
    frag: must(frags.alloc(100, GFP_KERNEL)),
    cache,
    object: must(cache.alloc()),
    empty: new SlabCache(m.slabs, { name: 'empty', size: 500, usersize: 500 }),
    p: must(m.kmalloc(100)),
    big: must(m.kmalloc(20_000)),
    text: must(kstrdup(m.heap, 'a text')),
    area: must(m.vmalloc(2 * PAGE_SIZE)),
    hole: must(getVmAreaNode(m.vm, PAGE_SIZE)),
    mapped: must(vmap(m.vm, [pfn])),
    lent: must(vmMapRam(m.vm, [pfn])),
    io: must(ioremap(m.vm, (8 * GiB) as PhysAddr, PAGE_SIZE)),
    chunks: must(pcpuGetVmAreas(m.vm, [0], [MiB], MiB)),
    dev,
    action,
    record: must(dev.alloc(nothing, 8)),
    managed: must(devmKmalloc(dev, 50)),
    managedPages: must(devmGetFreePages(dev, GFP_KERNEL, 1)),
    managedPool: must(dmamPoolCreate(dev, { name: 'mine', size: 64 })),
    group: must(dev.openGroup()),
    release: nothing,
    dma,
    dmaBlock: must(dma.alloc()),
    pool,
    element: must(pool.alloc()) as VirtAddr,
    addresses,
    taken: must(addresses.alloc(32)),
    space,
    tables,
    kmap,
  }
}
