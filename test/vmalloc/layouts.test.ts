/** The whole family on every layout and format of page tables. */

import { describe, expect, it } from 'vitest'
import { LAYOUT_FLAT, LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { layoutI386 } from '../../src/base/layoutI386'
import { LAYOUT_ARM64, LAYOUT_SV39, LAYOUT_SV48, layoutArm64 } from '../../src/base/layouts'
import { GiB, MiB, PAGE_SIZE, type Pfn } from '../../src/base/units'
import { ARM64, ARM64_39 } from '../../src/paging/arm64Format'
import type { PageTableFormat } from '../../src/paging/format'
import { SV39, SV48 } from '../../src/paging/riscvFormat'
import { I386, I386_PAE, X86_64, X86_64_PAT } from '../../src/paging/x86Format'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { shrinkAllCaches } from '../../src/slab/hotplug'
import { runDeferredFrees, vfreeAtomic } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { ioremap, iounmap } from '../../src/vmalloc/ioremap'
import { readMemory, writeMemory } from '../../src/vmalloc/kernelMemory'
import { highmemZones } from '../../src/vmalloc/kmap'
import { kvfree, kvmalloc } from '../../src/vmalloc/kvmalloc'
import {
  findVmAreaAt,
  freeVmArea,
  getVmAreaNode,
  isVmAreaHugepages,
  vmAreaPages,
  vmAreas,
} from '../../src/vmalloc/vmAreas'
import { vmap, vmapPfn } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapAliases, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { vread, vwrite } from '../../src/vmalloc/vread'
import { must } from '../slab/machines'
import {
  expectVmSound,
  freeOrTables,
  pa,
  takeFrames,
  type VmMachineOptions,
  va,
  vmMachine,
} from './machines'
import { VmScript } from './model'

const PAGE = PAGE_SIZE

/** A machine with low memory, and high memory from 1 GiB on. */
function i386(pae: boolean): VmMachineOptions {
  const layout = layoutI386({ memory: GiB + 8 * MiB, pae })
  return {
    layout,
    pages: { zones: highmemZones(layout) },
    ram: new PhysicalMemory({
      map: [
        { base: 0, size: 8 * MiB, type: 'usable' },
        { base: GiB, size: 8 * MiB, type: 'usable' },
      ],
    }),
    vm: { format: pae ? I386_PAE : I386 },
  }
}

function machine(layout: Layout, format: PageTableFormat, base: number): VmMachineOptions {
  return { mib: 12, layout, base, vm: { format } }
}

const MACHINES: readonly (readonly [name: string, options: VmMachineOptions, facts: Facts])[] = [
  ['flat', machine(LAYOUT_FLAT, X86_64, 0), { block: 1024, io: GiB, huge: true }],
  ['x86_64', machine(LAYOUT_X86_64, X86_64_PAT, 0), { block: 1024, io: GiB, huge: true }],
  ['Sv39', machine(LAYOUT_SV39, SV39, 0x80000000), { block: 1024, io: 0x80000, huge: false }],
  ['Sv48', machine(LAYOUT_SV48, SV48, 0x80000000), { block: 1024, io: 0x80000, huge: false }],
  ['arm64', machine(LAYOUT_ARM64, ARM64, 0x40000000), { block: 1024, io: GiB, huge: true }],
  [
    'arm64 with 39 bits',
    machine(layoutArm64({ vaBits: 39 }), ARM64_39, 0x40000000),
    { block: 1024, io: GiB, huge: true },
  ],
  ['i386', i386(false), { block: 256, io: 4 * MiB, huge: false }],
  ['i386 with PAE', i386(true), { block: 256, io: 2 * MiB, huge: true }],
]

/** What differs. */
interface Facts {
  /** Pages of a vmap block. */
  readonly block: number
  /** The largest alignment of I/O memory. */
  readonly io: number
  /** Whether there are huge pages of 2 MiB. */
  readonly huge: boolean
}

describe.each(MACHINES)('on %s', (_name, options, { block, io, huge }) => {
  it('memory is its owner’s, through all its pages', () => {
    const m = vmMachine(options)
    const { vm } = m
    const { layout } = vm.context
    const pristine = freeOrTables(m)
    const small = must(vm.vmalloc(3 * PAGE))
    expect(small).toBe(layout.vmallocStart)
    const large = must(vm.vmalloc(1100 * PAGE))
    // An array of more than a page is vmalloc memory of its own.
    expect(vmAreas(vm)).toHaveLength(3)
    const content = Uint8Array.from({ length: 1100 * PAGE }, (_, i) => (i % 251) ^ (i >> 12))
    writeMemory(vm.context, large, content)
    const read = new Uint8Array(content.length)
    readMemory(vm.context, large, read)
    expect(Buffer.compare(read, content)).toBe(0)
    expect(vread(vm, read.fill(0), va(large + 5))).toBe(read.length)
    expect(Buffer.compare(read.subarray(0, content.length - 5), content.subarray(5))).toBe(0)
    expect(vwrite(vm, content.subarray(7, 2 * PAGE), small)).toBe(2 * PAGE - 7)
    readMemory(vm.context, small, read.subarray(0, 2 * PAGE - 7))
    expect(Buffer.compare(read.subarray(0, 2 * PAGE - 7), content.subarray(7, 2 * PAGE))).toBe(0)
    expectVmSound(m)
    vfreeAtomic(vm, small)
    expectVmSound(m)
    runDeferredFrees(vm)
    vm.vfree(large)
    expect(vmAreas(vm)).toEqual([])
    expectVmSound(m)
    vmUnmapAliases(vm)
    shrinkAllCaches(m.slabs)
    expect(pristine - freeOrTables(m)).toBeLessThanOrEqual(1)
  })

  it('huge pages, where there are some', () => {
    const m = vmMachine(options)
    const p = must(m.vm.vmallocHuge(2 * MiB))
    expect(isVmAreaHugepages(m.vm, p)).toBe(huge)
    expect(m.vm.vmallocToPfn(va(p + MiB))).toBe(vmAreaPages(m.vm, p)[256])
    expectVmSound(m)
    m.vm.vfree(p)
    expectVmSound(m)
  })

  it('mappings of pages', () => {
    const m = vmMachine(options)
    const { vm } = m
    const pfns = takeFrames(m, 5)
    const mapped = must(vmap(vm, pfns))
    const ram = must(vmMapRam(vm, pfns))
    expect(pfns.map((_, i) => vm.vmallocToPfn(va(mapped + i * PAGE)))).toEqual(pfns)
    expect(pfns.map((_, i) => vm.vmallocToPfn(va(ram + i * PAGE)))).toEqual(pfns)
    expect(ram % (block * PAGE)).toBe(0)
    writeMemory(vm.context, mapped, Uint8Array.of(1, 2, 3))
    const read = new Uint8Array(3)
    readMemory(vm.context, ram, read)
    expect([...read]).toEqual([1, 2, 3])
    expectVmSound(m)
    vmUnmapRam(vm, ram, 5)
    vm.vunmap(mapped)
    vmUnmapAliases(vm)
    vm.vfree(must(vmap(vm, pfns, VM_MAP | VM_MAP_PUT_PAGES)))
    expect(pfns.some((pfn) => vm.context.frames.isInUse(pfn))).toBe(false)
    // 64 pages with 64-bit pointers, 32 with others.
    const most = vm.context.layout.pointerBytes * 8
    const many = takeFrames(m, most + 1)
    const shared = must(vmMapRam(vm, many.slice(1)))
    const own = must(vmMapRam(vm, many))
    expect(shared % (block * PAGE)).toBe(0)
    expect(getVmAreaNode(vm, PAGE, { start: own })).toBe(own + (most + 1) * PAGE)
    expectVmSound(m)
    vmUnmapRam(vm, shared, most)
    vmUnmapRam(vm, own, most + 1)
    expectVmSound(m)
  })

  it('I/O memory, aligned to its size within limits', () => {
    const m = vmMachine(options)
    const { vm } = m
    const p = must(ioremap(vm, pa(0x20000004), 3 * PAGE))
    expect(p % (4 * PAGE)).toBe(4)
    expect(vm.context.tables.translate(p)).toBe(0x20000004)
    const q = must(ioremap(vm, pa(0x30000000), 8 * MiB, 'wc'))
    expect(q % Math.min(io, 8 * MiB)).toBe(0)
    expect(vm.context.tables.translate(q + 8 * MiB - 1)).toBe(0x30000000 + 8 * MiB - 1)
    const special = must(vmapPfn(vm, [0x20001 as Pfn, 0x20009 as Pfn]))
    expect(vm.vmallocToPfn(va(special + PAGE))).toBe(0x20009)
    expectVmSound(m)
    for (const at of [p, q]) iounmap(vm, at)
    vm.vunmap(special)
    expect(vmAreas(vm)).toEqual([])
    expectVmSound(m)
  })

  it('the whole window, and not a page more', () => {
    const m = vmMachine(options)
    const { vm } = m
    const { vmallocStart, vmallocEnd } = vm.context.layout
    const window = Math.floor((vmallocEnd - vmallocStart) / PAGE) * PAGE
    expect(getVmAreaNode(vm, window)).toBeNull()
    const all = must(getVmAreaNode(vm, window - PAGE))
    expect(all).toBe(vmallocStart)
    expect(findVmAreaAt(vm, all)?.size).toBe(window)
    expect(vm.vmalloc(PAGE)).toBeNull()
    expectVmSound(m)
    freeVmArea(vm, all)
    expect(vm.vmalloc(PAGE)).toBe(vmallocStart)
    expectVmSound(m)
  })

  it('kvmalloc and calls at random', () => {
    const m = vmMachine(options)
    const p = must(kvmalloc(m.vm, 4 * MiB + 1))
    expect(m.vm.isVmallocAddr(p)).toBe(true)
    kvfree(m.vm, p)
    new VmScript(m, 9).run(80, 40).finish()
  })
})

describe('on i386', () => {
  it('data lies in high memory, and descriptors below', () => {
    const m = vmMachine(i386(true))
    const high = m.vm.context.frames.totalPages() > 0 ? GiB / PAGE : 0
    const p = must(m.vm.vmalloc(500 * PAGE))
    expect(vmAreaPages(m.vm, p).every((pfn) => pfn >= high)).toBe(true)
    const low = must(m.vm.vmalloc32(PAGE))
    expect(vmAreaPages(m.vm, low)[0]).toBeLessThan(2 ** 20)
    const { tables } = m.vm.context
    expect(tables.walk(p).entries.every(({ tablePfn }) => tablePfn < high)).toBe(true)
    expectVmSound(m)
  })
})
