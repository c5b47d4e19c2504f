/**
 * Makes the pictures of docs/pictures.md anew: `npx tsx scripts/pictures.ts`. Each comes from a small workload that
 * always runs the same; a test compares the files with what this makes.
 */

import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  __GFP_RECLAIMABLE,
  BuddyAllocator,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
  ioremap,
  KiB,
  Kmalloc,
  LAYOUT_X86_64,
  MiB,
  type Pfn,
  PhysicalMemory,
  purgeVmapAreas,
  SlabAllocator,
  SlabCache,
  setVmallocCaller,
  toPhysAddr,
  type VirtAddr,
  Vmalloc,
  vmap,
  vmMapRam,
  ZONES_FLAT,
} from '../src/index'
import { fragmentationPicture } from '../src/proc/fragmentationPicture'
import { type FragmentationSample, fragmentationSample } from '../src/proc/fragmentationSample'
import { freeListPicture } from '../src/proc/freeListPicture'
import { slabPicture } from '../src/proc/slabPicture'
import { vmallocPicture } from '../src/proc/vmallocPicture'

/** The pictures, by the names of their files in docs/images. */
export function pictures(): ReadonlyMap<string, string> {
  const { lists, samples } = fragmented()
  return new Map([
    ['free-lists.svg', lists],
    ['fragmentation.svg', samples],
    ['slabs.svg', slabs()],
    ['vmalloc-space.svg', addresses()],
  ])
}

/** User memory fills a machine and half of it is freed again, here and there; the kernel takes some of that. */
function fragmented(): { lists: string; samples: string } {
  const ram = new PhysicalMemory({ size: 64 * MiB, content: false })
  const pages = new BuddyAllocator({ ram, zones: ZONES_FLAT })
  const samples: FragmentationSample[] = []
  let calls = 0
  const sample = () => {
    if (calls++ % 256 === 0) samples.push(fragmentationSample(pages, calls - 1))
  }
  const next = numbers(1)
  const held: Pfn[] = []
  for (let pfn = pages.allocPages(GFP_HIGHUSER_MOVABLE); pfn !== null; ) {
    held.push(pfn)
    sample()
    pfn = pages.allocPages(GFP_HIGHUSER_MOVABLE)
  }
  for (let i = 0; i < 6000; i++) {
    const [pfn] = held.splice(next(held.length), 1)
    if (pfn !== undefined) pages.freePages(pfn)
    sample()
  }
  for (let i = 0; i < 900; i++) {
    pages.allocPages(i % 3 === 0 ? GFP_KERNEL | __GFP_RECLAIMABLE : GFP_KERNEL, next(3))
    sample()
  }
  while (held.length > 900) {
    pages.freePages(held.pop() as Pfn)
    sample()
  }
  pages.drainAllPages()
  return {
    lists: freeListPicture(pages),
    samples: fragmentationPicture(samples, { unit: 'calls' }),
  }
}

/** Two CPUs allocate from caches of their own and by kmalloc, and free most of it again. */
function slabs(): string {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 32 * MiB }), cpus: 2 })
  const allocator = new SlabAllocator(pages)
  const heap = new Kmalloc(allocator)
  const next = numbers(7)
  const wanted: readonly (readonly [name: string, size: number, count: number, keep: number])[] = [
    ['inode_cache', 600, 700, 60],
    ['dentry', 192, 1100, 35],
    ['task_struct', 2304, 90, 80],
    ['connection', 88, 900, 12],
  ]
  for (const [name, size, count, keep] of wanted) {
    const cache = new SlabCache(allocator, { name, size })
    const objects: VirtAddr[] = []
    for (let i = 0; i < count; i++) {
      const object = cache.alloc(GFP_KERNEL)
      if (object !== null) objects.push(object)
    }
    for (const object of objects) if (next(100) >= keep) cache.free(object)
  }
  for (let i = 0; i < 500; i++) {
    const p = heap.kmalloc(16 << next(8))
    if (p !== null && next(3) === 0) heap.kfree(p)
  }
  heap.kmalloc(64 * KiB)
  return slabPicture(allocator, { caches: 14 })
}

/** Areas of every kind, some of them freed. */
function addresses(): string {
  const pages = new BuddyAllocator({ ram: new PhysicalMemory({ size: 64 * MiB }) })
  const heap = new Kmalloc(new SlabAllocator(pages, { layout: LAYOUT_X86_64 }))
  const vm = new Vmalloc(pages, { heap })
  const frames = Array.from({ length: 8 }, () => pages.allocPages(GFP_KERNEL) as Pfn)
  const next = numbers(3)
  setVmallocCaller(vm, 'load_level+0x1c/0x80')
  const areas = Array.from({ length: 24 }, () => vm.vmalloc((4 * KiB) << next(9)))
  for (const area of areas) if (next(5) === 0) vm.vfree(area)
  purgeVmapAreas(vm)
  setVmallocCaller(vm, 'pci_map+0x40/0x90')
  for (const bytes of [4 * KiB, 64 * KiB, 16 * MiB]) {
    ioremap(vm, toPhysAddr(0xe0000000 + 16 * bytes), bytes)
  }
  setVmallocCaller(vm, 'frame_view+0x22/0x60')
  for (let n = 1; n <= 8; n += n) vmap(vm, frames.slice(0, n))
  vmMapRam(vm, frames.slice(0, 3))
  for (const area of areas.slice(-5)) {
    if (area !== null && vm.vmallocToPfn(area) !== null) vm.vfree(area)
  }
  return vmallocPicture(vm)
}

/** Numbers from 0 to below a limit, the same for the same seed. */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, svg] of pictures()) {
    writeFileSync(new URL(`../docs/images/${name}`, import.meta.url), svg)
    console.log(`docs/images/${name}: ${svg.length} bytes`)
  }
}
