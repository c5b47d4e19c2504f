/** Calls that change something, and take no memory for it. */

import * as k from '../../../src/index'
import { callOn, each, type Quiet } from './calls'
import { USER } from './scene'

const PAGE = k.PAGE_SIZE

const LOADS =
  'fetchU16 fetchU32 loadU8 loadU16 loadU32 loadI8 loadI16 loadI32 loadU64Lo loadU64Hi loadBigU64 loadF32 loadF64'
const STORES = 'storeU8 storeU16 storeU32 storeF32 storeF64'

/** What a page owner tells, which then stops. */
function owned<T>(m: k.Machine, tell: (owner: k.PageOwner) => T): T {
  const owner = k.pageOwner(m.pages)
  try {
    return tell(owner)
  } finally {
    owner.stop()
  }
}

/** They change something, but take nothing for it: they do what they are to do when there is no memory at all. */
export const CHANGES: Quiet = {
  ...each(
    'PhysicalMemory',
    'writeU8 writeU16 writeU32 writeI8 writeI16 writeI32 writeF32 writeF64',
    ({ m, p }, name) => callOn(m.ram, name, p, 1),
  ),
  'PhysicalMemory#writeU64': ({ m, p }) => m.ram.writeU64(p, 1, 2),
  'PhysicalMemory#writeBigU64': ({ m, p }) => m.ram.writeBigU64(p, 1n),
  'PhysicalMemory#fill': ({ m, p }) => m.ram.fill(p, 8, 1),
  'PhysicalMemory#copy': ({ m, p }) => m.ram.copy(p, p + 8, 8),
  'PhysicalMemory#zeroPages': ({ m, pfn }) => m.ram.zeroPages(pfn, 1),
  ...each('AddressSpace', LOADS, ({ space }, name) => callOn(space, name, USER)),
  ...each('AddressSpace', STORES, ({ space }, name) => callOn(space, name, USER, 1)),
  'AddressSpace#storeU64': ({ space }) => space.storeU64(USER, 1, 2),
  'AddressSpace#storeBigU64': ({ space }) => space.storeBigU64(USER, 1n),
  'AddressSpace#read': ({ space }) => space.read(USER, new Uint8Array(8)),
  'AddressSpace#write': ({ space }) => space.write(USER, new Uint8Array(8)),
  'AddressSpace#fill': ({ space }) => space.fill(USER, 8, 1),
  'AddressSpace#copy': ({ space }) => space.copy(USER + 8, USER, 8),
  'AddressSpace#readPartial': ({ space }) => space.readPartial(USER, new Uint8Array(8)),
  'AddressSpace#writePartial': ({ space }) => space.writePartial(USER, new Uint8Array(8)),
  'AddressSpace#harvest': ({ space }) => space.harvest(USER, PAGE),
  'AddressSpace#syncKernel': ({ space }) => space.syncKernel(),
  'AddressSpace#close': ({ space }) => space.close(),
  'AddressSpace#destroy': ({ space }) => space.destroy(),
  'PageTables#unmapRange': ({ tables }) => tables.unmapRange(USER, PAGE),
  'PageTables#markUsed': ({ tables }) => tables.markUsed(USER, true),
  'PageTables#testAndClear': ({ tables }) => tables.testAndClear(USER, k.PROT_DIRTY),
  'PageTables#freeEmptyTables': ({ tables }) => {
    tables.unmapRange(USER, PAGE)
    return tables.freeEmptyTables(0, 2 ** 30)
  },
  'PageTables#destroy': ({ tables }) => tables.destroy(),
  clearFixmap: ({ tables }) => k.clearFixmap(tables, k.LAYOUT_X86_64, 7),
  'BuddyAllocator#finishBoot': ({ m }) => m.pages.finishBoot(),
  'BuddyAllocator#freePages': ({ m, block }) => m.pages.freePages(block, 2),
  'BuddyAllocator#drainLocalPages': ({ m }) => m.pages.drainLocalPages(),
  'BuddyAllocator#drainAllPages': ({ m }) => m.pages.drainAllPages(),
  'BuddyAllocator#setTrace': ({ m }) => {
    m.pages.setTrace(k.noPageTrace)
    m.pages.setTrace(null)
  },
  'Machine#freePages': ({ m, block }) => m.freePages(block, 2),
  freeContigRange: ({ m, contig }) => k.freeContigRange(m.pages, contig, 4),
  freePageFrag: ({ m, frag }) => k.freePageFrag(m.pages, frag),
  'PageFragCache#drain': ({ frags }) => frags.drain(),
  freePagesAt: ({ m, block }) => k.freePagesAt(m.pages, block * PAGE, 2),
  freePagesExact: ({ m, exact }) => k.freePagesExact(m.pages, exact, 3 * PAGE),
  splitPage: ({ m, block }) => k.splitPage(m.pages, block, 2),
  getPage: ({ m, block }) => k.getPage(m.pages, block),
  putPage: ({ m, exact }) => k.putPage(m.pages, exact),
  foldCounters: ({ m }) => k.foldCounters(m.pages),
  refreshVmstat: ({ m }) => k.refreshVmstat(m.pages),
  runKswapd: ({ m }) => k.runKswapd(m.pages),
  sysctl: ({ m }) => k.sysctl(m.pages, 'min_free_kbytes', 512),
  'SlabAllocator#setTrace': ({ m }) => m.slabs.setTrace(null),
  'SlabCache#free': ({ cache, object }) => cache.free(object),
  'SlabCache#shrink': ({ cache }) => cache.shrink(),
  'SlabCache#destroy': ({ empty }) => empty.destroy(),
  kmemCacheFreeBulk: ({ cache, object }) => k.kmemCacheFreeBulk(cache, [object]),
  'Kmalloc#kfree': ({ m, p }) => m.heap.kfree(p),
  'Machine#kfree': ({ m, big }) => m.kfree(big),
  kfreeBulk: ({ m, p, big }) => k.kfreeBulk(m.heap, [p, big]),
  kfreeSensitive: ({ m, p }) => k.kfreeSensitive(m.heap, p),
  endGracePeriod: ({ m }) => k.endGracePeriod(m.slabs),
  shrinkAllCaches: ({ m }) => k.shrinkAllCaches(m.slabs),
  slabNodeOnline: ({ m }) => k.slabNodeOnline(m.slabs, 0),
  validateCache: ({ cache }) => k.validateCache(cache),
  writeSlabAttribute: ({ cache }) => k.writeSlabAttribute(cache, 'shrink', '1'),
  Devres: ({ m, dev }) => new k.Devres(m.heap, dev.device),
  PageFragCache: ({ m }) => new k.PageFragCache(m.pages),
  VirtualMemory: ({ tables }) => new k.VirtualMemory(tables, {}),
  Tracepoints: ({ m }) => new k.Tracepoints(m),
  pageOwner: ({ m }) => k.pageOwner(m.pages).stop(),
  ...each('Tracepoints', 'on ring setTask close', ({ m }, name) => {
    const points = new k.Tracepoints(m)
    const given: Readonly<Record<string, readonly unknown[]>> = {
      on: [() => {}],
      ring: [8],
      setTask: ['task', 1],
      close: [],
    }
    callOn(points, name, ...(given[name] ?? []))
    points.close()
  }),
  ...each('TraceRing', 'at events clear close', ({ m, p }, name) => {
    const ring = new k.Tracepoints(m).ring(8)
    m.kfree(p)
    callOn(ring, name, 0)
    ring.close()
  }),
  ...each('PageOwner', 'ownerOf records claim stop', ({ m, pfn }, name) => {
    const owner = k.pageOwner(m.pages)
    callOn(owner, name, pfn, 1)
    owner.stop()
  }),
  formatPageOwner: ({ m }) => owned(m, k.formatPageOwner),
  formatPageOwnerTotals: ({ m }) => owned(m, (owner) => k.formatPageOwnerTotals(owner)),
  pageOwnerTotals: ({ m }) => owned(m, k.pageOwnerTotals),
  'Devres#add': ({ dev, record }) => dev.add(record),
  'Devres#free': ({ dev, record }) => dev.free(record),
  'Devres#get': ({ dev, record }) => dev.get(record),
  'Devres#remove': ({ dev, record, release }) => {
    dev.add(record)
    return dev.remove(release)
  },
  'Devres#destroy': ({ dev, record, release }) => {
    dev.add(record)
    return dev.destroy(release)
  },
  'Devres#release': ({ dev, record, release }) => {
    dev.add(record)
    return dev.release(release)
  },
  'Devres#releaseAll': ({ dev }) => dev.releaseAll(),
  'Devres#closeGroup': ({ dev, group }) => dev.closeGroup(group),
  'Devres#removeGroup': ({ dev, group }) => dev.removeGroup(group),
  'Devres#releaseGroup': ({ dev, group }) => dev.releaseGroup(group),
  devmFreePages: ({ dev, managedPages }) => k.devmFreePages(dev, managedPages),
  devmKfree: ({ dev, managed }) => k.devmKfree(dev, managed),
  devmReleaseAction: ({ dev, action }) => k.devmReleaseAction(dev, action, 1),
  devmRemoveAction: ({ dev, action }) => k.devmRemoveAction(dev, action, 1),
  dmamPoolDestroy: ({ dev, managedPool }) => k.dmamPoolDestroy(dev, managedPool),
  'DmaPool#free': ({ dma, dmaBlock }) => dma.free(dmaBlock.address, dmaBlock.dma),
  'DmaPool#destroy': ({ dma, dmaBlock }) => {
    dma.free(dmaBlock.address, dmaBlock.dma)
    dma.destroy()
  },
  'Mempool#free': ({ pool, element }) => pool.free(element),
  'Mempool#destroy': ({ pool }) => pool.destroy(),
  'GenPool#add': ({ addresses }) => addresses.add(0x9000, 0x1000),
  'GenPool#addVirt': ({ addresses }) => addresses.addVirt(0x9000, 0 as k.PhysAddr, 0x1000),
  'GenPool#alloc': ({ addresses }) => addresses.alloc(16),
  'GenPool#allocAlgo': ({ addresses }) => addresses.allocAlgo(16, k.genPoolBestFit),
  'GenPool#dmaAlloc': ({ addresses }) => addresses.dmaAlloc(16),
  'GenPool#setAlgo': ({ addresses }) => addresses.setAlgo(k.genPoolFirstFitOrderAlign),
  'GenPool#free': ({ addresses, taken }) => addresses.free(taken, 32),
  'GenPool#destroy': ({ addresses, taken }) => {
    addresses.free(taken, 32)
    addresses.destroy()
  },
  'Vmalloc#vfree': ({ m, area }) => m.vm.vfree(area),
  'Vmalloc#vunmap': ({ m, mapped }) => m.vm.vunmap(mapped),
  'Machine#vfree': ({ m, area }) => m.vfree(area),
  'Machine#kvfree': ({ m, area }) => m.kvfree(area),
  kvfree: ({ m, p }) => k.kvfree(m.vm, p),
  freeVmArea: ({ m, hole }) => k.freeVmArea(m.vm, hole),
  iounmap: ({ m, io }) => k.iounmap(m.vm, io),
  pcpuFreeVmAreas: ({ m, chunks }) => k.pcpuFreeVmAreas(m.vm, chunks),
  vmUnmapRam: ({ m, lent }) => k.vmUnmapRam(m.vm, lent, 1),
  vmUnmapAliases: ({ m }) => k.vmUnmapAliases(m.vm),
  purgeVmapAreas: ({ m }) => k.purgeVmapAreas(m.vm),
  vfreeAtomic: ({ m, area }) => {
    k.vfreeAtomic(m.vm, area)
    k.runDeferredFrees(m.vm)
  },
  runDeferredFrees: ({ m }) => k.runDeferredFrees(m.vm),
  setVmFlushResetPerms: ({ m, area }) => k.setVmFlushResetPerms(m.vm, area),
  vwrite: ({ m, area }) => k.vwrite(m.vm, new Uint8Array(8), area),
  writeKernelMemory: ({ m, p }) => k.writeKernelMemory(m.vm, p, new Uint8Array(8)),
  ...each('Kmap', 'kmap kmapLocal kmapAtomic', ({ kmap, pfn }, name) => callOn(kmap, name, pfn)),
  'Kmap#kunmap': ({ kmap, pfn }) => kmap.kunmap(pfn),
  'Kmap#kunmapLocal': ({ kmap, pfn }) => kmap.kunmapLocal(kmap.kmapLocal(pfn)),
  'Kmap#kunmapAtomic': ({ kmap, pfn }) => kmap.kunmapAtomic(kmap.kmapAtomic(pfn)),
  'Kmap#kmapFlushUnused': ({ kmap }) => kmap.kmapFlushUnused(),
}
