/** The mapper at its limits: full states, blocks in a row, memory beyond the direct map, what was overwritten. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, type KernelBug } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { GiB, MiB, PAGE_SIZE, type Pfn } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { AddressSpace } from '../../src/paging/addressSpace'
import { I386, X86_64 } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { Kmalloc } from '../../src/slab/kmalloc'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import {
  AREA_END,
  TREE_BUSY,
  VM_NR_PAGES,
  VMAP_BLOCK_SHIFT,
  VMAP_FREE_RECORDS,
  VMAP_RECORD_WORDS,
  VMAP_WORDS_USED,
} from '../../src/state/vmapSchema'
import { runDeferredFrees, vfreeAtomic } from '../../src/vmalloc/drainWork'
import { VM_USERMAP } from '../../src/vmalloc/flags'
import { highmemZones } from '../../src/vmalloc/kmap'
import { pcpuFreeVmAreas, pcpuGetVmAreas } from '../../src/vmalloc/pcpuAreas'
import { remapVmallocRange } from '../../src/vmalloc/remap'
import { findVmArea } from '../../src/vmalloc/vmArea'
import {
  getVmAreaNode,
  isVmAreaHugepages,
  setVmFlushResetPerms,
  vmAreaPages,
  vmallocDumpObj,
} from '../../src/vmalloc/vmAreas'
import { Vmalloc } from '../../src/vmalloc/vmalloc'
import { vmapPfn } from '../../src/vmalloc/vmap'
import { releaseArea } from '../../src/vmalloc/vmapArea'
import { blockPages } from '../../src/vmalloc/vmapBlock'
import { noVmapOps } from '../../src/vmalloc/vmapContext'
import { vmMapRam, vmUnmapAliases, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { VmapSpace } from '../../src/vmalloc/vmapSpace'
import { areaAt, eraseArea } from '../../src/vmalloc/vmapTree'
import { thrownBy } from '../buddy/machines'
import { freePages, must } from '../slab/machines'
import {
  expectVmSound,
  mapperOn,
  S,
  takeFrames,
  type VmMachine,
  va,
  vmFaults,
  vmHash,
  vmMachine,
} from './machines'
import { area, kernelSpace } from './vmapScript'

const PAGE = PAGE_SIZE

/** Leaves room for `left` records in the state, until the function is called that comes back. */
function fill(m: VmMachine, left: number): () => void {
  const { words } = m.vm.context.space
  const before = [VMAP_WORDS_USED, VMAP_FREE_RECORDS].map((at) => [at, words[at]!] as const)
  words[VMAP_FREE_RECORDS] = 0
  words[VMAP_WORDS_USED] = words.length - left * VMAP_RECORD_WORDS
  return () => {
    for (const [at, value] of before) words[at] = value
  }
}

describe('a state with room for few records', () => {
  it.each([0, 1, 2])('has none for areas of CPUs, with %i left, and loses nothing', (left) => {
    const m = vmMachine()
    const get = () => pcpuGetVmAreas(m.vm, [0], [MiB], MiB)
    // The caches have their slabs from here on.
    pcpuFreeVmAreas(m.vm, must(get()))
    vmUnmapAliases(m.vm)
    const free = freePages(m)
    const restore = fill(m, left)
    expect(get()).toBeNull()
    restore()
    expect(freePages(m)).toBe(free)
    expectVmSound(m)
    expect(get()).not.toBeNull()
    expectVmSound(m)
  })
})

describe('areas of CPUs', () => {
  it('have sizes and offsets of whole alignments, and are given back once', () => {
    const m = vmMachine()
    expect(() => pcpuGetVmAreas(m.vm, [0, MiB + PAGE], [MiB, MiB], MiB)).toThrow(InvalidArgument)
    expect(() => pcpuGetVmAreas(m.vm, [0, MiB], [MiB, MiB + PAGE], MiB)).toThrow(InvalidArgument)
    const areas = must(pcpuGetVmAreas(m.vm, [0, 2 * MiB], [MiB, MiB], MiB))
    const [first] = areas.addresses
    const before = vmHash(m)
    const twice = { ...areas, addresses: [must(first), must(first)] }
    expect(() => pcpuFreeVmAreas(m.vm, twice)).toThrow(InvalidArgument)
    expect(vmHash(m)).toBe(before)
    pcpuFreeVmAreas(m.vm, areas)
    expectVmSound(m)
  })
})

describe('blocks of vm_map_ram', () => {
  it('are used in their order, and leave the list from its middle, its end and its start', () => {
    const m = vmMachine()
    const frames = takeFrames(m, 64)
    const pages = blockPages(m.vm.context)
    const base = S
    const map = (count: number) => must(vmMapRam(m.vm, frames.slice(0, count)))
    const blockOf = (address: number) => Math.floor((address - base) / (pages * PAGE))
    const mapped: [number, number][] = []
    const note = (count: number) => {
      const address = map(count)
      mapped.push([address, count])
      expectVmSound(m)
      return blockOf(address)
    }
    // The first block keeps room for 32 pages.
    expect(note(32)).toBe(0)
    for (let left = pages - 32; left >= 64; left -= 64) expect(note(64)).toBe(0)
    // The second one fills up behind it, and a third follows.
    for (let left = pages; left >= 64; left -= 64) expect(note(64)).toBe(1)
    expect(note(64)).toBe(2)
    // Now the first is full, with the third behind it.
    expect(note(32)).toBe(0)
    expect(note(32)).toBe(2)
    for (const [address, count] of mapped) vmUnmapRam(m.vm, va(address), count)
    expectVmSound(m)
    vmUnmapAliases(m.vm)
    expectVmSound(m)
    expect(note(1)).toBeLessThan(4)
  })

  it('may be as small as what they hand out at most: full at once, and on no list', () => {
    const m = vmMachine()
    m.vm.context.space.words[VMAP_BLOCK_SHIFT] = 6
    // The checker knows that no kernel of 64 bits has such blocks; all else holds.
    const sound = () => expect(vmFaults(m)).toEqual(['VMALLOC-10: blocks have 64 pages'])
    const frames = takeFrames(m, 64)
    const [first, second] = [must(vmMapRam(m.vm, frames)), must(vmMapRam(m.vm, frames))]
    expect(Math.abs(second - first)).toBe(64 * PAGE)
    sound()
    vmUnmapRam(m.vm, first, 64)
    vmUnmapRam(m.vm, second, 64)
    vmUnmapAliases(m.vm)
    sound()
  })

  it('are not where a larger mapping is', () => {
    const m = vmMachine()
    const large = must(vmMapRam(m.vm, takeFrames(m, 65)))
    const before = vmHash(m)
    expect((thrownBy(() => vmUnmapRam(m.vm, large, 10)) as KernelBug).code).toBe('NOT_ALLOCATED')
    expect(vmHash(m)).toBe(before)
    vmUnmapRam(m.vm, large, 65)
    expectVmSound(m)
  })
})

describe('questions about areas that are not there', () => {
  it('have answers of their own', () => {
    const m = vmMachine()
    expect(() => vmAreaPages(m.vm, va(S))).toThrow(InvalidArgument)
    expect(isVmAreaHugepages(m.vm, va(S))).toBe(false)
    const bare = must(getVmAreaNode(m.vm, PAGE))
    expect(vmAreaPages(m.vm, bare)).toEqual([])
    expect(isVmAreaHugepages(m.vm, bare)).toBe(false)
    expect(vmallocDumpObj(m.vm, va(2 ** 48 - 1))).toBeNull()
    expect(vmallocDumpObj(m.vm, va(bare + 5 * PAGE))).toBeNull()
    expect(vmallocDumpObj(m.vm, bare)).toContain(' 0-page vmalloc region starting at 0xffffc9')
  })

  it('nor the memory of their page array, when that was freed', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(1000 * PAGE))
    const { words, numbers } = m.vm.context.space
    const record = findVmArea(m.vm.context, p)
    const pages = vmAreaPages(m.vm, p)
    const count = words[record + VM_NR_PAGES]!
    expect(count).toBe(1000)
    // The array of an area of more than 512 pages is vmalloc memory, which anybody may free.
    const array = numbers.findIndex(
      (value) =>
        value > S &&
        value < S + 4096 * PAGE &&
        value % PAGE === 0 &&
        value !== p &&
        findVmArea(m.vm.context, value) !== 0 &&
        findVmArea(m.vm.context, value) !== record,
    )
    m.vm.vfree(va(numbers[array]!))
    expect((thrownBy(() => vmAreaPages(m.vm, p)) as KernelBug).code).toBe('BAD_PAGE_ARRAY')
    expect(pages).toHaveLength(1000)
  })

  it('nor more pages than the array has room for', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(20 * PAGE))
    const { words } = m.vm.context.space
    const record = findVmArea(m.vm.context, p)
    words[record + VM_NR_PAGES] = 500
    expect((thrownBy(() => m.vm.vfree(p)) as KernelBug).code).toBe('BAD_PAGE_ARRAY')
    words[record + VM_NR_PAGES] = 20
    m.vm.vfree(p)
    expectVmSound(m)
  })
})

describe('an area for users in which nothing is mapped', () => {
  it('cannot be shown to one', () => {
    const m = vmMachine()
    const bare = must(getVmAreaNode(m.vm, 2 * PAGE, { flags: VM_USERMAP }))
    const space = new AddressSpace(m.pages, { format: X86_64, user: true })
    const before = vmHash(m)
    expect(remapVmallocRange(m.vm, space, { address: 0x10000, size: PAGE }, bare)).toBe(-22)
    expect(vmHash(m)).toBe(before)
  })
})

describe('frames that cannot be mapped as what is no memory', () => {
  it('are refused without memory for an area, too, with the warning', () => {
    const m = vmMachine()
    m.log()
    m.slabs.setFaults({ failSlab: () => true })
    expect(vmapPfn(m.vm, [5 as Pfn])).toBeNull()
    m.slabs.setFaults(null)
    expect(m.log().some((line) => line.startsWith('WARNING'))).toBe(true)
    expectVmSound(m)
  })
})

describe('memory that is freed later', () => {
  it('is marked as written, where memory keeps account of that', () => {
    const ram = new PhysicalMemory({ size: 16 * MiB, dirtyTracking: true })
    const m = vmMachine({ ram })
    const [first, second] = [must(m.vm.vmalloc(PAGE)), must(m.vm.vmalloc(PAGE))]
    const [pfn = 0] = vmAreaPages(m.vm, second)
    ram.clearDirty()
    vfreeAtomic(m.vm, first)
    vfreeAtomic(m.vm, second)
    expect(ram.dirtyPages()).toContain(pfn)
    runDeferredFrees(m.vm)
    expectVmSound(m)
  })

  it('lies in the direct map in part only, on a machine with high memory', () => {
    const layout = layoutI386({ memory: GiB })
    const ram = new PhysicalMemory({
      map: [
        { base: 0, size: 16 * MiB, type: 'usable' },
        { base: 960 * MiB, size: 16 * MiB, type: 'usable' },
      ],
    })
    const zones = highmemZones(layout)
    const m = vmMachine({ layout, ram, pages: { zones }, vm: { format: I386 } })
    const p = must(m.vm.vmalloc(3 * PAGE))
    expect(vmAreaPages(m.vm, p).every((pfn) => pfn >= layout.maxLowPfn)).toBe(true)
    setVmFlushResetPerms(m.vm, p)
    m.flushes()
    m.vm.vfree(p)
    const starts = m.flushes().map((line) => Number(line.split(' ')[1]))
    // No page of it has an address in the direct map that could be stale.
    expect(starts.length).toBeGreaterThan(0)
    for (const start of starts) expect(start).toBeGreaterThanOrEqual(layout.vmallocStart)
    expectVmSound(m)
  })
})

describe('a mapper', () => {
  it('takes its heap from the pages, or from the slabs that it is given', () => {
    const layout = LAYOUT_X86_64
    const make = () => new BuddyAllocator({ ram: new PhysicalMemory({ size: 8 * MiB }) })
    const pages = make()
    const slabs = new SlabAllocator(pages, { layout })
    expect(new Vmalloc(pages, { heap: slabs }).context.heap.slabs).toBe(slabs)
    const other = make()
    const known = new SlabAllocator(other, { layout })
    expect(new Vmalloc(other).context.heap.slabs).toBe(known)
  })

  it('knows no node that is offline', () => {
    const pages = new BuddyAllocator({
      ram: new PhysicalMemory({ size: 16 * MiB }),
      cpuNodes: [0, 2],
    })
    const layout = LAYOUT_X86_64
    const slabs = new SlabAllocator(pages, { layout })
    const ram = new PhysicalMemory({ size: MiB })
    const m = mapperOn({ ram, pages, slabs }, new Kmalloc(slabs), { layout })
    expect(() => m.vm.vmallocNode(PAGE, 1)).toThrow('node is 1')
    expect(m.vm.vmallocNode(PAGE, 2)).not.toBeNull()
  })

  it('that cannot go on with a state leaves the cache of it alone', () => {
    const m = vmMachine()
    const state = m.vm.context.space.words.buffer as ArrayBuffer
    const before = vmHash(m)
    const attach = () => new Vmalloc(m.pages, { heap: m.heap, state, flush: {} as never })
    expect(attach).toThrow(InvalidArgument)
    expect(vmHash(m)).toBe(before)
    m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    expectVmSound(m)
  })
})

describe('address space that others have written to', () => {
  it('an area that has grown over one that waits is reported and dropped', () => {
    const overlaps: number[][] = []
    const c = kernelSpace()
    c.ops = { ...noVmapOps, overlap: (...bounds) => overlaps.push(bounds.map((at) => at - S)) }
    const [first, second] = [area(c, 0x2000), area(c, 0x2000)]
    releaseArea(c, second)
    c.numbers[(first + AREA_END) >> 1] = S + 0x3000
    releaseArea(c, first)
    expect(overlaps).toEqual([[0, 0x3000, 0x2000, 0x4000]])
  })

  it('a range that is in no tree ends the list', () => {
    const space = new VmapSpace({ start: 0, end: 16 })
    for (let i = 0; i < 3; i++) expect(space.alloc(4)).toBe(4 * i)
    eraseArea(space.context, TREE_BUSY, areaAt(space.context, TREE_BUSY, 4))
    expect([...space.areas()]).toEqual([{ start: 0, end: 4, state: 'busy' }])
  })
})
