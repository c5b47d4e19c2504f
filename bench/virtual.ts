/**
 * What is measured of virtual memory: areas among many others, mappings, translations, loads and stores. Figures are
 * nanoseconds for one of what the row names.
 */

import type { VirtAddr } from 'kmem'
import type { Kmem } from './kmem'
import { type Effort, medianNs } from './measure'
import { ObjectTree } from './objectTree'
import { uniform, Xorshift32 } from './random'
import { count } from './table'

/** A row: what was measured, its figure, and that of the peer where there is one. */
export interface VirtualRow {
  readonly name: string
  readonly ns: number
  readonly peer: number | null
  /** What the figure is to be at most. */
  readonly most?: number
}

const SEED = 0x766d6170
const PAIRS = 2000
const ROUND = 500
const CHOICES = 65536
const AREA_BYTES = 65536
/** Pages that a benchmark of page tables maps. */
export const PAGES = 1000
const MASK = 0x3ff
const MiB = 1048576

/** Areas, freed and made again at random among `live` ones. */
export async function measureAreas(kmem: Kmem, effort: Effort): Promise<readonly VirtualRow[]> {
  const rows: VirtualRow[] = []
  for (const live of [1000, 10_000]) {
    const { vm } = machine(kmem, (live * AREA_BYTES * 5) / 4 / MiB + 64)
    const heap = { alloc: () => vm.vmalloc(AREA_BYTES), free: (p: VirtAddr) => vm.vfree(p) }
    const ns = await replace(live, heap, effort)
    rows.push({ name: `vmalloc and vfree of 64 KiB among ${count(live)} areas`, ns, peer: null })
  }
  for (const live of [1000, 10_000, 100_000]) {
    const { vm } = machine(kmem, 256)
    const heap = {
      alloc: (bytes: number) => kmem.getVmAreaNode(vm, bytes),
      free: (p: VirtAddr) => kmem.freeVmArea(vm, p),
    }
    const ns = await replace(live, heap, effort)
    rows.push({ name: `getVmAreaNode and freeVmArea among ${count(live)}`, ns, peer: null })
    if (live !== 10_000) continue
    const alone = allocAlone(live, heap, effort)
    rows.push({
      name: `getVmAreaNode alone among ${count(live)}`,
      ns: alone,
      peer: null,
      most: 1500,
    })
  }
  for (const live of [1000, 10_000, 100_000]) {
    const space = new kmem.VmapSpace({ start: 0, end: 2 ** 48 })
    const own = await replace(live, space, effort)
    const peer = await replace(live, new ObjectTree(0, 2 ** 48), effort)
    rows.push({ name: `VmapSpace: alloc and free among ${count(live)} ranges`, ns: own, peer })
  }
  return rows
}

/** Mapping and unmapping, and translating, by format. */
export async function measureTables(kmem: Kmem, effort: Effort): Promise<readonly VirtualRow[]> {
  const rows: VirtualRow[] = []
  const formats = [kmem.X86_64, kmem.X86_64_LA57, kmem.SV39, kmem.SV48, kmem.ARM64, kmem.I386]
  for (const format of formats) {
    const { tables, pfns, address } = mapped(kmem, format)
    const ns = await medianNs(() => {
      tables.unmapRange(address, PAGES * 4096)
      tables.mapPages(address, pfns, 0, PAGES, kmem.PAGE_KERNEL)
    }, effort)
    rows.push({
      name: `${format.name}: map and unmap a page`,
      ns: ns / PAGES,
      peer: null,
      most: 60,
    })
    const places = offsets(PAGES * 4096).map((offset) => address + offset)
    const translate = () => {
      let sum = 0
      for (const place of places) sum += tables.translate(place)
      return sum
    }
    const each = (await medianNs(translate, effort)) / places.length
    const levels = `${format.levels.length} levels`
    const most = format.levels.length === 4 ? { most: 40 } : {}
    rows.push({ name: `${format.name}: translate, ${levels}`, ns: each, peer: null, ...most })
  }
  return rows
}

/** Loads and stores of four bytes through page tables, beside a DataView over the same memory. */
export async function measureAccess(kmem: Kmem, effort: Effort): Promise<readonly VirtualRow[]> {
  const rows: VirtualRow[] = []
  const { tables, ram, address } = mapped(kmem, kmem.X86_64)
  const view = new DataView(ram.buffer as ArrayBuffer)
  const wide = offsets((PAGES - 1) * 4096).map((offset) => offset & ~3)
  const near = wide.map((offset) => offset % 65536)
  const run = async (times: number, body: () => unknown) => (await medianNs(body, effort)) / times
  for (const [name, places] of [
    ['1,000 pages', wide],
    ['16 pages', near],
  ] as const) {
    const virtual = places.map((offset) => address + offset)
    const raw = await run(places.length, () => {
      let sum = 0
      for (const place of places) sum += view.getUint32(place, true)
      return sum
    })
    const rawStore = await run(places.length, () => {
      for (const place of places) view.setUint32(place, place, true)
    })
    for (const tlb of [0, 1024]) {
      const memory = new kmem.VirtualMemory(tables, { tlb })
      const how = tlb === 0 ? 'without a TLB' : `TLB of ${count(tlb)}`
      const load = await run(places.length, () => {
        let sum = 0
        for (const place of virtual) sum += memory.loadU32(place)
        return sum
      })
      const store = await run(places.length, () => {
        for (const place of virtual) memory.storeU32(place, place)
      })
      rows.push({ name: `load of 4 bytes, ${name}, ${how}`, ns: load, peer: raw })
      rows.push({ name: `store of 4 bytes, ${name}, ${how}`, ns: store, peer: rawStore })
    }
  }
  return rows
}

function machine(kmem: Kmem, mib: number) {
  const ram = new kmem.PhysicalMemory({ size: Math.ceil(mib) * MiB })
  const pages = new kmem.BuddyAllocator({ ram })
  return { ram, pages, vm: new kmem.Vmalloc(pages) }
}

/** Tables with {@link PAGES} pages mapped, at the start of the upper half. */
export function mapped(kmem: Kmem, format: Kmem['X86_64']) {
  const ram = new kmem.PhysicalMemory({ size: 64 * MiB })
  const pages = new kmem.BuddyAllocator({ ram })
  const tables = new kmem.PageTables(kmem.frameSource(pages), format)
  const pfns = kmem.allocPagesBulk(pages, kmem.GFP_KERNEL, PAGES)
  const address = 2 ** (format.vaBits - 1)
  tables.mapPages(address, pfns, 0, PAGES, kmem.PAGE_KERNEL)
  return { ram, tables, pfns, address }
}

function offsets(limit: number): number[] {
  return [...uniform(0, limit)(new Xorshift32(SEED), MASK + 1)]
}

/** Something that hands out blocks of address space. */
interface Ranges<T extends number> {
  alloc(bytes: number): T | null
  free(block: T): void
}

/** `live` blocks of one to sixteen pages, and the sizes and slots of what will be done to them. */
function population<T extends number>(live: number, ranges: Ranges<T>) {
  const random = new Xorshift32(SEED)
  const sizes = uniform(1, 17)(random, CHOICES).map((pages) => pages * 4096)
  const slots = uniform(0, live)(random, CHOICES)
  const size = (i: number) => sizes[i & (CHOICES - 1)] as number
  const blocks = Array.from({ length: live }, (_, i) => must(ranges.alloc(size(i))))
  return { size, slot: (i: number) => slots[i & (CHOICES - 1)] as number, blocks }
}

/** Nanoseconds to free one of `live` blocks and make another. */
async function replace<T extends number>(
  live: number,
  ranges: Ranges<T>,
  effort: Effort,
): Promise<number> {
  const { size, slot, blocks } = population(live, ranges)
  let cursor = 0
  const work = () => {
    for (let i = 0; i < PAIRS; i++) {
      const at = slot(cursor)
      ranges.free(blocks[at] as T)
      blocks[at] = must(ranges.alloc(size(cursor)))
      cursor += 1
    }
  }
  // Until each has changed hands a few times, addresses are still in the order in which they were made.
  for (let done = 0; done < 4 * live; done += PAIRS) work()
  return (await medianNs(work, effort)) / PAIRS
}

/** Nanoseconds to make one more block beside `live` others; frees are not timed. The median of many rounds. */
function allocAlone<T extends number>(live: number, ranges: Ranges<T>, effort: Effort): number {
  const { size } = population(live, ranges)
  const rounds: number[] = []
  const end = performance.now() + effort.budgetNs / 1e6
  for (let cursor = 0; rounds.length < 10 || performance.now() < end; cursor += ROUND) {
    const made: T[] = []
    const start = performance.now()
    for (let i = 0; i < ROUND; i++) made.push(must(ranges.alloc(size(cursor + i))))
    rounds.push(((performance.now() - start) * 1e6) / ROUND)
    for (const block of made) ranges.free(block)
  }
  rounds.sort((a, b) => a - b)
  return rounds[rounds.length >> 1] ?? 0
}

function must<T>(block: T | null): T {
  if (block === null || (block as unknown) === -1) throw new Error('out of memory')
  return block
}
