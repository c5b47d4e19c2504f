/** Allocations that fail on purpose: the first, the second, and so on, until a call gets what it needs. */

import { describe, expect, it } from 'vitest'
import { OutOfMemory } from '../../src/base/errors'
import { LAYOUT_X86_64 } from '../../src/base/layout'
import { LAYOUT_ARM64 } from '../../src/base/layouts'
import { MiB, PAGE_SIZE, type Pfn, type VirtAddr } from '../../src/base/units'
import { setPageFaults } from '../../src/buddy/pageFaults'
import { __GFP_NOFAIL, GFP_KERNEL } from '../../src/page/gfp'
import { ARM64 } from '../../src/paging/arm64Format'
import { shrinkAllCaches } from '../../src/slab/hotplug'
import { purgeVmapAreas } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { ioremap, iounmap } from '../../src/vmalloc/ioremap'
import { writeMemory } from '../../src/vmalloc/kernelMemory'
import { kvfree, kvrealloc } from '../../src/vmalloc/kvmalloc'
import { pcpuFreeVmAreas, pcpuGetVmAreas } from '../../src/vmalloc/pcpuAreas'
import { freeVmArea, getVmAreaNode, vmAreas, vmallocNrPages } from '../../src/vmalloc/vmAreas'
import { vmap, vmapPfn } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapAliases, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { freePages, must } from '../slab/machines'
import {
  expectVmSound,
  freeOrTables,
  mapperOn,
  pa,
  takeFrames,
  type VmMachine,
  vmMachine,
} from './machines'

const PAGE = PAGE_SIZE

/** A call that gets something, and what gives that back. */
interface Prepared {
  readonly call: () => unknown
  readonly undo: (result: never) => void
}

type Operation = readonly [name: string, prepare: (m: VmMachine) => Prepared]

const OPERATIONS: readonly Operation[] = [
  ['vmalloc of a page', (m) => ({ call: () => m.vm.vmalloc(PAGE), undo: (p) => m.vm.vfree(p) })],
  [
    'vmalloc with an array of its own',
    (m) => ({ call: () => m.vm.vmalloc(700 * PAGE), undo: (p) => m.vm.vfree(p) }),
  ],
  [
    'vmallocHuge',
    (m) => ({ call: () => m.vm.vmallocHuge(2 * MiB + 1), undo: (p) => m.vm.vfree(p) }),
  ],
  [
    'getVmAreaNode',
    (m) => ({ call: () => getVmAreaNode(m.vm, PAGE), undo: (p) => freeVmArea(m.vm, p) }),
  ],
  [
    'vmap',
    (m) => {
      const pfns = takeFrames(m, 3)
      return { call: () => vmap(m.vm, pfns), undo: (p) => m.vm.vunmap(p) }
    },
  ],
  [
    'vmap of pages to be put',
    (m) => {
      const pfns = takeFrames(m, 600)
      const put = VM_MAP | VM_MAP_PUT_PAGES
      return {
        call: () => vmap(m.vm, pfns, put),
        undo: (p) => {
          m.vm.vfree(p)
          // The frames that come next are as good.
          pfns.splice(0, 600, ...takeFrames(m, 600))
        },
      }
    },
  ],
  [
    'vmapPfn',
    (m) => ({
      call: () => vmapPfn(m.vm, [0xfed00 as Pfn, 0xfed05 as Pfn]),
      undo: (p) => m.vm.vunmap(p),
    }),
  ],
  [
    'vmMapRam in a block',
    (m) => {
      const pfns = takeFrames(m, 3)
      return {
        call: () => vmMapRam(m.vm, pfns),
        undo: (p) => vmUnmapRam(m.vm, p, 3),
      }
    },
  ],
  [
    'vmMapRam in an area',
    (m) => {
      const pfns = takeFrames(m, 70)
      return { call: () => vmMapRam(m.vm, pfns), undo: (p) => vmUnmapRam(m.vm, p, 70) }
    },
  ],
  [
    'ioremap with huge leaves',
    (m) => ({
      call: () => ioremap(m.vm, pa(2 ** 33), 2 * MiB + PAGE),
      undo: (p) => iounmap(m.vm, p),
    }),
  ],
  [
    'kvrealloc',
    (m) => {
      const old = { p: null as VirtAddr | null }
      const make = () => {
        old.p = must(m.heap.kmalloc(100))
        writeMemory(m.vm.context, old.p, new Uint8Array(100).fill(5))
      }
      make()
      return {
        call: () => kvrealloc(m.vm, old.p, 100, 4 * MiB + 1),
        undo: (p) => {
          kvfree(m.vm, p)
          make()
        },
      }
    },
  ],
  [
    'pcpuGetVmAreas',
    (m) => ({
      call: () => pcpuGetVmAreas(m.vm, [0, 2 * MiB], [MiB, MiB], MiB),
      undo: (areas) => pcpuFreeVmAreas(m.vm, areas),
    }),
  ],
]

/** Counts requests for pages and for objects, and fails those from one on. */
class Saboteur {
  calls = 0
  private first = 0
  private last = -1

  constructor(m: VmMachine, kind: string) {
    const fail = (): boolean => {
      this.calls += 1
      return this.calls >= this.first && this.calls <= this.last
    }
    if (kind === 'page') setPageFaults(m.pages, { failPage: fail })
    else m.slabs.setFaults({ failSlab: fail })
  }

  arm(first: number, more: number): void {
    this.calls = 0
    this.first = first
    this.last = first + more
  }

  disarm(): boolean {
    const struck = this.calls >= this.first && this.last >= 0
    this.last = -1
    return struck
  }
}

/** True when a call got nothing. */
function fails(call: () => unknown): readonly [failed: boolean, result: unknown] {
  try {
    const result = call()
    return [result === null, result]
  } catch (error) {
    if (error instanceof OutOfMemory) return [true, null]
    throw error
  }
}

/** All that is left when caches and blocks keep nothing back. */
function settled(m: VmMachine): object {
  vmUnmapAliases(m.vm)
  shrinkAllCaches(m.slabs)
  const { length } = vmAreas(m.vm)
  // The CPU may keep an object of an area to spare, and a slab for it.
  return { areas: length, nr: vmallocNrPages(m.vm), free: freeOrTables(m) }
}

describe.each(OPERATIONS)('%s', (_name, prepare) => {
  it.each([
    ['one page after the other', 'page', 0],
    ['all pages from one on', 'page', 1e6],
    ['one object after the other', 'object', 0],
    ['all objects from one on', 'object', 1e6],
  ])('loses nothing when it cannot have %s', (_how, kind, more) => {
    const fresh = () => {
      const m = vmMachine({ mib: 12, vm: { maxRecords: 512 } })
      // The first area makes the slabs of descriptors, and leaves the spare object.
      freeVmArea(m.vm, must(getVmAreaNode(m.vm, PAGE)))
      return m
    }
    let failures = 0
    for (let n = 1; ; n++) {
      const m = fresh()
      const { call, undo } = prepare(m)
      const before = settled(m)
      const saboteur = new Saboteur(m, kind)
      saboteur.arm(n, more)
      const [failed, result] = fails(call)
      const struck = saboteur.disarm()
      expectVmSound(m)
      if (failed) {
        failures += 1
        expect(struck, 'failed although there was everything').toBe(true)
      } else {
        undo(result as never)
      }
      expect(settled(m)).toEqual(before)
      const [again, second] = fails(call)
      expect(again, 'fails once there is memory again').toBe(false)
      undo(second as never)
      expect(settled(m)).toEqual(before)
      expectVmSound(m)
      if (!struck) break
      expect(n).toBeLessThan(800)
      // A run of many pages is tried at its ends only.
      if (n === 6 && saboteur.calls > 14) n = saboteur.calls - 6
    }
    if (more > 0 && !(kind === 'page' && /getVmArea|pcpu/.test(_name))) {
      expect(failures).toBeGreaterThan(0)
    }
  })
})

describe('a request that may not fail', () => {
  it('throws when there is no page for a table, with nothing left behind', () => {
    const m = vmMachine({ mib: 4 })
    const before = freeOrTables(m)
    let tables = 0
    setPageFaults(m.pages, { failPage: (gfp) => gfp === 0xdc0 && ++tables > 1 })
    expect(() => m.vm.vmalloc(PAGE, GFP_KERNEL | __GFP_NOFAIL)).toThrow(OutOfMemory)
    setPageFaults(m.pages, null)
    shrinkAllCaches(m.slabs)
    expect(before - freeOrTables(m)).toBeLessThanOrEqual(4)
    expect(vmallocNrPages(m.vm)).toBe(0)
    expectVmSound(m)
    must(m.vm.vmalloc(PAGE, GFP_KERNEL | __GFP_NOFAIL))
    expectVmSound(m)
  })
})

describe('a state without room for another record', () => {
  it('fails as without memory, and recovers', () => {
    const m = vmMachine({ vm: { maxRecords: 24 } })
    const areas: VirtAddr[] = []
    for (let p = m.vm.vmalloc(PAGE); p !== null; p = m.vm.vmalloc(PAGE)) areas.push(p)
    expect(areas.length).toBeGreaterThan(8)
    expect(areas.length).toBeLessThan(13)
    expectVmSound(m)
    const frames = takeFrames(m, 2)
    expect([vmap(m.vm, frames), vmMapRam(m.vm, frames), getVmAreaNode(m.vm, 1)]).toEqual([
      null,
      null,
      null,
    ])
    expectVmSound(m)
    for (const p of areas) m.vm.vfree(p)
    purgeVmapAreas(m.vm)
    expectVmSound(m)
    m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    expectVmSound(m)
  })
})

describe('the start of a mapper', () => {
  it.each([
    ['x86_64', LAYOUT_X86_64, {}, 0],
    ['arm64', LAYOUT_ARM64, { format: ARM64 }, 0x40000000],
  ] as const)('gives all pages back when there are too few, on %s', (_name, layout, vm, base) => {
    const m = vmMachine({ mib: 4, layout, vm, base })
    const start = () => mapperOn(m, m.heap, { layout, vm })
    const before = freePages(m)
    for (let n = 1; ; n++) {
      const saboteur = new Saboteur(m, 'page')
      saboteur.arm(n, 1e6)
      const [failed, result] = fails(start)
      saboteur.disarm()
      setPageFaults(m.pages, null)
      if (!failed) {
        expect(n).toBeGreaterThan(1)
        expectVmSound(result as VmMachine)
        break
      }
      shrinkAllCaches(m.slabs)
      expect(freePages(m), `page ${n}`).toBe(before)
      if (n === 4 && layout === LAYOUT_X86_64) n = 62
    }
  })
})
