/** The calls of the workload. Each takes its numbers from the player, and mixes what it was answered into its answers. */

import {
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  __GFP_ZERO,
  AddressSpace,
  allocPagesBulk,
  allocPagesExact,
  type Device,
  DmaPool,
  dmaBitMask,
  findCache,
  freePagesExact,
  GFP_ATOMIC,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  GFP_NOWAIT,
  inInterrupt,
  ioremap,
  iounmap,
  kmemCacheAllocBulk,
  kmemCacheFreeBulk,
  kmemdup,
  Mempool,
  MiB,
  PAGE_READONLY,
  PAGE_SHARED,
  PAGE_SIZE,
  type Pfn,
  purgeVmapAreas,
  refreshVmstat,
  runDrainWork,
  runKswapd,
  SlabCache,
  setVmallocCaller,
  slabElements,
  splitPage,
  sysctl,
  toPhysAddr,
  type VirtAddr,
  vmap,
  vmMapRam,
  vmUnmapRam,
  vwrite,
} from 'kmem'
import {
  type Area,
  type Block,
  type HeldObject,
  hold,
  type MappedKind,
  type Player,
  pick,
} from './player'

const QUIET = __GFP_NOWARN
const MASKS = [
  GFP_KERNEL,
  GFP_KERNEL,
  GFP_KERNEL | __GFP_ZERO,
  GFP_KERNEL | __GFP_RECLAIMABLE,
  GFP_HIGHUSER_MOVABLE | QUIET,
  GFP_ATOMIC,
  GFP_NOWAIT | QUIET,
]
/** Masks for objects: they lie in the direct map. */
const OBJECT_MASKS = [GFP_KERNEL, GFP_KERNEL | __GFP_ZERO, GFP_ATOMIC, GFP_NOWAIT | QUIET]
/** Sizes of the objects of caches. */
const SIZES = [24, 88, 200, 600, 1100, 3000]
const DEVICE: Device = { name: 'dev0', node: -1, dmaMask: dmaBitMask(36) }
/** Where devices are, above all memory. */
const DEVICES = 0x400000000
/** Where the user's pages are. */
const USER = 0x40000

function allocBlock(p: Player): void {
  const order = p.below(8) === 0 ? p.below(11) : p.below(4)
  const pfn = p.machine.allocPages(pick(p, MASKS), order)
  p.answers.number(pfn)
  if (pfn !== null) hold(p, p.blocks, { pfn, order, bytes: 0 }, freeBlock)
}

function freeBlock(p: Player, block: Block | undefined): void {
  if (block === undefined) return
  if (block.bytes > 0) freePagesExact(p.machine.pages, block.pfn, block.bytes)
  else p.machine.freePages(block.pfn, block.order)
}

function allocMany(p: Player): void {
  const pfns = allocPagesBulk(p.machine.pages, pick(p, MASKS), 1 + p.below(30))
  for (const pfn of pfns) {
    p.answers.number(pfn)
    hold(p, p.blocks, { pfn, order: 0, bytes: 0 }, freeBlock)
  }
}

function allocExact(p: Player): void {
  const bytes = 1 + p.below(40_000)
  const pfn = allocPagesExact(p.machine.pages, bytes, pick(p, MASKS))
  p.answers.number(pfn)
  if (pfn !== null) hold(p, p.blocks, { pfn, order: 0, bytes }, freeBlock)
}

function split(p: Player): void {
  const block = p.take(p.blocks)
  if (block === undefined) return
  if (block.bytes > 0 || block.order === 0) {
    p.blocks.push(block)
    return
  }
  splitPage(p.machine.pages, block.pfn, block.order)
  for (let i = 0; i < 1 << block.order; i++) p.machine.freePages((block.pfn + i) as Pfn)
}

function allocObject(p: Player): void {
  const size = p.below(10) === 0 ? p.below(100_000) : p.below(2000)
  const address = p.machine.kmalloc(size, pick(p, OBJECT_MASKS))
  p.answers.number(address)
  if (address === null || size < 8) {
    p.machine.kfree(address)
    return
  }
  writeObject(p, address, size)
  hold(p, p.objects, { address, cache: '' }, freeObject)
}

/** Writes a word at the start of an object. */
function writeObject(p: Player, address: VirtAddr, word: number): void {
  p.machine.ram.writeU32(address - p.layout.directMap, word)
}

function freeObject(p: Player, object: HeldObject | undefined): void {
  if (object === undefined) return
  if (object.cache === '') p.machine.kfree(object.address)
  else findCache(p.machine.slabs, object.cache)?.free(object.address)
}

function resizeObject(p: Player): void {
  const i = p.objects.findIndex(({ cache }) => cache === '')
  const object = p.objects[i]
  if (object === undefined) return
  const address = p.machine.krealloc(object.address, 8 + p.below(6000))
  p.answers.number(address)
  if (address !== null) p.objects[i] = { address, cache: '' }
}

function cacheOf(p: Player): SlabCache {
  const size = pick(p, SIZES)
  const name = `things-${size}`
  return findCache(p.machine.slabs, name) ?? new SlabCache(p.machine.slabs, { name, size })
}

function allocFromCache(p: Player): void {
  const cache = cacheOf(p)
  const address = cache.alloc(pick(p, OBJECT_MASKS))
  p.answers.number(address)
  if (address === null) return
  writeObject(p, address, p.below(1 << 20))
  hold(p, p.objects, { address, cache: cache.name }, freeObject)
}

function cacheBulk(p: Player): void {
  const cache = cacheOf(p)
  const objects = kmemCacheAllocBulk(cache, GFP_KERNEL, 1 + p.below(40))
  for (const address of objects) p.answers.number(address)
  kmemCacheFreeBulk(cache, objects)
  if (p.below(4) === 0) p.answers.number(Number(cache.shrink()))
}

/** Pools are objects of their own, which no snapshot holds: they end where they began. */
function pools(p: Player): void {
  const { heap } = p.machine
  const pool = Mempool.create(heap, { minNr: 4, ...slabElements(cacheOf(p)) })
  const size = 96 + p.below(200)
  const dma = DmaPool.create(heap, { name: 'ring', device: DEVICE, size, align: 32 })
  const element = pool?.alloc() ?? null
  const block = dma?.alloc() ?? null
  p.answers.number(element)
  p.answers.number(block?.dma ?? null)
  if (block !== null) dma?.free(block.address, block.dma)
  pool?.free(element)
  dma?.destroy()
  pool?.destroy()
}

function copyBytes(p: Player): void {
  const address = kmemdup(
    p.machine.heap,
    Uint8Array.from({ length: 40 }, (_, i) => i * 7),
  )
  p.answers.number(address)
  if (address !== null) hold(p, p.objects, { address, cache: '' }, freeObject)
}

function allocArea(p: Player): void {
  const { machine } = p
  const size = 1 + p.below(p.below(8) === 0 ? 300_000 : 30_000)
  const ways = [
    () => machine.vmalloc(size),
    () => machine.vzalloc(size),
    () => machine.kvmalloc(size),
    () => machine.vm.vmallocHuge(p.below(8) === 0 ? 2 * MiB + size : size),
  ]
  setVmallocCaller(machine.vm, `load_level+0x${p.below(4)}0/0x80`)
  const address = pick(p, ways)()
  p.answers.number(address)
  if (address === null) return
  const bytes = Uint8Array.from({ length: 1 + p.below(100) }, (_, i) => i ^ size)
  p.answers.number(vwrite(machine.vm, bytes, address))
  hold(p, p.areas, { address, kind: 'pages', count: 0 }, freeArea)
}

function mapArea(p: Player): void {
  const { vm } = p.machine
  const count = 1 + p.below(12)
  const pfns = p.blocks.slice(0, count).map(({ pfn }) => pfn)
  if (pfns.length === 0) return
  const kind = pick<MappedKind>(p, ['vmap', 'ram', 'io'])
  const phys = toPhysAddr(DEVICES + p.below(1000) * PAGE_SIZE)
  const address =
    kind === 'vmap'
      ? vmap(vm, pfns)
      : kind === 'ram'
        ? vmMapRam(vm, pfns)
        : ioremap(vm, phys, 1 + p.below(100_000))
  p.answers.number(address)
  if (address === null) return
  hold(p, p.areas, { address, kind, count: pfns.length }, freeArea)
}

function freeArea(p: Player, area: Area | undefined): void {
  if (area === undefined) return
  const { vm } = p.machine
  if (area.kind === 'pages') p.machine.kvfree(area.address)
  else if (area.kind === 'vmap') vm.vunmap(area.address)
  else if (area.kind === 'ram') vmUnmapRam(vm, area.address, area.count)
  else iounmap(vm, area.address)
}

/** Maps pages for a user, stores and loads through the tables, and unmaps some; faults are answers. */
function useSpace(p: Player): void {
  p.space ??= new AddressSpace(p.machine.pages, { format: p.format, user: true })
  const { space } = p
  const address = USER + p.below(64) * 16 * PAGE_SIZE
  const mapped = space.translate(address)
  p.answers.number(mapped)
  if (mapped === null) {
    const pfn = p.machine.allocPages(GFP_HIGHUSER_MOVABLE | __GFP_ZERO)
    const prot = pick(p, [PAGE_SHARED, PAGE_READONLY])
    if (pfn !== null && !space.map(address, pfn, 1, prot)) p.machine.freePages(pfn)
  } else if (p.below(3) === 0) {
    space.unmap(address, PAGE_SIZE)
    p.machine.freePages((mapped / PAGE_SIZE) as Pfn)
  }
  space.storeU32(address + 4 * p.below(1000), p.below(1 << 20))
  p.answers.number(space.loadU16(address + p.below(4000)))
}

function housekeeping(p: Player): void {
  const { pages, vm } = p.machine
  const jobs = [
    () => pages.drainLocalPages(),
    () => pages.drainAllPages(),
    () => purgeVmapAreas(vm),
    () => runDrainWork(vm),
    () => refreshVmstat(pages),
    () => runKswapd(pages),
    () => sysctl(pages, 'min_free_kbytes', 400 + p.below(1000)),
    () => sysctl(pages, 'watermark_scale_factor', 1 + p.below(100)),
  ]
  p.answers.text(String(pick(p, jobs)()))
}

function interrupt(p: Player): void {
  inInterrupt(p.machine.pages, () => {
    const address = p.machine.kmalloc(1 + p.below(500), GFP_ATOMIC)
    p.answers.number(address)
    if (address !== null) hold(p, p.objects, { address, cache: '' }, freeObject)
  })
}

/** What must not be done: each throws, and changes nothing. */
function mistake(p: Player): void {
  const object = p.objects[0]?.address ?? (PAGE_SIZE as VirtAddr)
  const mistakes = [
    () => p.machine.kfree((object + 1) as VirtAddr),
    () => p.machine.allocPages(GFP_KERNEL, 11),
    () => p.machine.vfree(object),
    () => p.machine.freePages(0 as Pfn, 3),
    () => p.machine.kmalloc(-1),
    () => vmap(p.machine.vm, [(2 ** 40) as Pfn]),
  ]
  pick(p, mistakes)()
}

/** All of them; those that come twice are drawn twice as often. */
export const OPERATIONS: readonly ((p: Player) => void)[] = [
  allocBlock,
  allocBlock,
  (p) => freeBlock(p, p.take(p.blocks)),
  (p) => freeBlock(p, p.take(p.blocks)),
  allocMany,
  allocExact,
  split,
  allocObject,
  allocObject,
  (p) => freeObject(p, p.take(p.objects)),
  (p) => freeObject(p, p.take(p.objects)),
  resizeObject,
  allocFromCache,
  allocFromCache,
  cacheBulk,
  pools,
  copyBytes,
  allocArea,
  allocArea,
  mapArea,
  (p) => freeArea(p, p.take(p.areas)),
  (p) => freeArea(p, p.take(p.areas)),
  useSpace,
  useSpace,
  housekeeping,
  interrupt,
  mistake,
]
