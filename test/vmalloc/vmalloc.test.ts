/** The vmalloc family, call by call, against the examples of the specification. */

import { describe, expect, it } from 'vitest'
import { KernelBug, OutOfMemory } from '../../src/base/errors'
import { GiB, MiB, PAGE_SIZE } from '../../src/base/units'
import { CONTEXT_NOFS, CONTEXT_NOIO } from '../../src/buddy/contextBits'
import { inInterrupt } from '../../src/buddy/running'
import {
  __GFP_COMP,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  __GFP_ZERO,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOFS,
  GFP_NOIO,
} from '../../src/page/gfp'
import { shrinkAllCaches } from '../../src/slab/hotplug'
import {
  holdDrainWork,
  purgeVmapAreas,
  registerVmapPurgeNotifier,
  runDeferredFrees,
  runDrainWork,
  unregisterVmapPurgeNotifier,
  vfreeAtomic,
  vmapLazyPages,
} from '../../src/vmalloc/drainWork'
import {
  VM_ALLOC,
  VM_ALLOW_HUGE_VMAP,
  VM_FLUSH_RESET_PERMS,
  VM_IOREMAP,
  VM_MAP,
  VM_NO_GUARD,
  VM_USERMAP,
} from '../../src/vmalloc/flags'
import {
  findVmAreaAt,
  freeVmArea,
  getVmAreaNode,
  isVmAreaHugepages,
  setVmallocCaller,
  setVmFlushResetPerms,
  vmAreaPages,
  vmAreas,
  vmallocDumpObj,
  vmallocNrPages,
} from '../../src/vmalloc/vmAreas'
import type { Vmalloc } from '../../src/vmalloc/vmalloc'
import { thrownBy } from '../buddy/machines'
import { must } from '../slab/machines'
import { expectVmSound, freeOrTables, S, va, vmHash, vmMachine, warning } from './machines'

const PAGE = PAGE_SIZE
/** A page table. */
const TABLE = 'alloc 0xdc0 0 -1'

function code(call: () => unknown): string {
  const error = thrownBy(call)
  return error instanceof KernelBug ? error.code : String(error)
}

describe('the entry points', () => {
  const cases: readonly (readonly [
    name: string,
    call: (vm: Vmalloc) => number | null,
    asked: string,
    flags: number,
  ])[] = [
    ['vmalloc', (vm) => vm.vmalloc(PAGE), '0x2cc2 1 -1', VM_ALLOC],
    ['vmalloc with a mask', (vm) => vm.vmalloc(PAGE, GFP_ATOMIC), '0x2a22 1 -1', VM_ALLOC],
    ['vzalloc', (vm) => vm.vzalloc(PAGE), '0x2dc2 1 -1', VM_ALLOC],
    ['vmallocNode', (vm) => vm.vmallocNode(PAGE, 1), '0x2cc2 1 1', VM_ALLOC],
    [
      'vmallocNode, zeroed',
      (vm) => vm.vmallocNode(PAGE, 1, GFP_KERNEL | __GFP_ZERO),
      '0x2dc2 1 1',
      VM_ALLOC,
    ],
    ['vmallocUser', (vm) => vm.vmallocUser(PAGE), '0x2dc2 1 -1', VM_ALLOC | VM_USERMAP],
    ['vmalloc32', (vm) => vm.vmalloc32(PAGE), '0x2cc4 1 -1', VM_ALLOC],
    ['vmalloc32User', (vm) => vm.vmalloc32User(PAGE), '0x2dc4 1 -1', VM_ALLOC | VM_USERMAP],
    ['vmallocHuge', (vm) => vm.vmallocHuge(PAGE), '0x2cc2 1 -1', VM_ALLOC | VM_ALLOW_HUGE_VMAP],
    ['vmallocArray', (vm) => vm.vmallocArray(4, 1024), '0x2cc2 1 -1', VM_ALLOC],
    ['vcalloc', (vm) => vm.vcalloc(4, 1024), '0x2dc2 1 -1', VM_ALLOC],
  ]

  it.each(cases)('%s asks for what it should', (_name, call, asked, flags) => {
    const m = vmMachine({ mib: 32, nodes: 2, cpus: 2 })
    m.calls()
    const p = va(must(call(m.vm)))
    expect(m.calls()).toEqual([`bulk ${asked}`, TABLE, TABLE])
    expect(p).toBe(S)
    expect(findVmAreaAt(m.vm, p)).toEqual({
      address: S,
      size: 2 * PAGE,
      flags,
      nrPages: 1,
      pageOrder: 0,
      phys: 0,
      caller: '',
    })
    if (asked.endsWith(' 1'))
      expect(m.vm.context.frames.nodeOf(vmAreaPages(m.vm, p)[0] ?? 0)).toBe(1)
    expectVmSound(m)
    m.vm.vfree(p)
    expect([vmapLazyPages(m.vm), vmallocNrPages(m.vm)]).toEqual([2, 0])
    expectVmSound(m)
  })

  it('vmallocNodeRange takes everything', () => {
    const m = vmMachine()
    const start = S + GiB
    const p = m.vm.vmallocNodeRange(3 * PAGE, {
      align: MiB,
      start: start + PAGE,
      end: start + 16 * MiB,
      gfp: GFP_KERNEL | __GFP_ZERO,
      flags: VM_NO_GUARD,
      node: 0,
    })
    expect(p).toBe(start + MiB)
    expect(findVmAreaAt(m.vm, va(start + MiB))?.size).toBe(3 * PAGE)
    expect(m.calls().slice(-3)).toEqual(['bulk 0x2dc2 3 0', TABLE, TABLE])
    expectVmSound(m)
  })

  it('fill what should be zero with zero, and leave the rest as it was', () => {
    const m = vmMachine({ mib: 4 })
    const { vm, ram } = m
    const dirty = must(vm.vmalloc(100 * PAGE))
    for (const pfn of vmAreaPages(vm, dirty)) ram.fill(pfn * PAGE, PAGE, 0xee)
    vm.vfree(dirty)
    const bytes = (p: number) =>
      new Set(vmAreaPages(vm, va(p)).map((pfn) => ram.bytes(pfn * PAGE, PAGE).join()))
    const zeros = new Uint8Array(PAGE).join()
    for (const p of [vm.vzalloc(9 * PAGE), vm.vcalloc(9, PAGE), vm.vmallocUser(9 * PAGE)]) {
      expect([...bytes(must(p))]).toEqual([zeros])
    }
    expect([...bytes(must(vm.vmalloc(PAGE)))]).not.toEqual([zeros])
  })

  it('give null for products that no machine has', () => {
    const m = vmMachine()
    const before = vmHash(m)
    expect(m.vm.vmallocArray(2 ** 40, 2 ** 40)).toBeNull()
    expect(m.vm.vcalloc(2 ** 30, 2 ** 30)).toBeNull()
    expect(vmHash(m)).toBe(before)
  })

  it('take memory below 4 GiB from the zone DMA where there is no DMA32', () => {
    const m = vmMachine({ mib: 8 })
    expect(m.vm.context.frames.hasZone(1)).toBe(false)
    m.calls()
    must(m.vm.vmalloc32(PAGE))
    expect(m.calls()[0]).toBe('bulk 0x2cc1 1 -1')
  })
})

describe('the pages of an area', () => {
  it('take a data page and two tables the first time, and a data page the second', () => {
    const m = vmMachine()
    const { tables } = m.vm.context
    expect([tables.pmdTables, tables.tableCount]).toEqual([0, 65])
    m.calls()
    expect(m.vm.vmalloc(PAGE)).toBe(S)
    expect(m.calls()).toEqual(['bulk 0x2cc2 1 -1', TABLE, TABLE])
    expect([tables.pmdTables, tables.tableCount]).toEqual([1, 67])
    expect(m.vm.vmalloc(PAGE)).toBe(S + 0x2000)
    expect(m.calls()).toEqual(['bulk 0x2cc2 1 -1'])
  })

  it('come in bulks of 100, and singly when a bulk gives fewer', () => {
    const m = vmMachine()
    m.calls()
    const p = must(m.vm.vmalloc(101 * PAGE))
    expect(m.calls().slice(0, 2)).toEqual(['bulk 0x2cc2 100 -1', 'bulk 0x2cc2 1 -1'])
    expect(m.vm.vmallocToPfn(va(p + 100 * PAGE + 5))).toBe(vmAreaPages(m.vm, p)[100])
    const short = vmMachine({
      between: (source) => ({
        ...source,
        allocBulk: (gfp, count, node, pfns) =>
          source.allocBulk(gfp, Math.min(count, 2), node, pfns),
      }),
    })
    short.calls()
    must(short.vm.vmalloc(5 * PAGE, GFP_KERNEL | __GFP_NOFAIL))
    // What may not fail may in a bulk.
    const single = 'alloc 0xacc2 0 -1'
    expect(short.calls()).toEqual(['bulk 0x2cc2 2 -1', single, single, single, TABLE, TABLE])
    expectVmSound(short)
  })

  it('of 8 MiB are found through an array in an area of its own', () => {
    const m = vmMachine()
    const used = (): number => {
      shrinkAllCaches(m.slabs)
      return 4096 - freeOrTables(m)
    }
    m.calls()
    const before = used()
    const p = must(m.vm.vmalloc(8 * MiB))
    expect(p).toBe(S)
    const areas = vmAreas(m.vm).map(({ address, size, nrPages }) => [address - S, size, nrPages])
    expect(areas).toEqual([
      [0, 0x801000, 2048],
      [0x801000, 0x5000, 4],
    ])
    expect(m.calls()).toEqual([
      'bulk 0x2dc2 4 -1',
      TABLE,
      TABLE,
      ...new Array<string>(20).fill('bulk 0x2cc2 100 -1'),
      'bulk 0x2cc2 48 -1',
      TABLE,
      TABLE,
      TABLE,
      TABLE,
    ])
    expect(vmallocNrPages(m.vm)).toBe(2052)
    expect(m.vm.context.tables.tableCount).toBe(65 + 6)
    expectVmSound(m)
    m.vm.vfree(p)
    expect(vmAreas(m.vm)).toEqual([])
    expect(vmallocNrPages(m.vm)).toBe(0)
    expect(m.vm.context.tables.tableCount).toBe(65 + 6)
    // The CPU keeps an object of an area to spare, and its slab.
    expect(used() - before).toBe(1)
    expectVmSound(m)
  })

  it('take tables within the bounds that the mask sets', () => {
    const seen: number[] = []
    const m = vmMachine({
      between: (source) => ({
        ...source,
        inContext: (bits, body) => {
          seen.push(bits)
          return source.inContext(bits, body)
        },
      }),
    })
    for (const gfp of [GFP_KERNEL, GFP_NOFS, GFP_NOIO, GFP_ATOMIC]) must(m.vm.vmalloc(PAGE, gfp))
    expect(seen).toEqual([CONTEXT_NOFS, CONTEXT_NOIO, CONTEXT_NOIO])
  })
})

describe('huge pages', () => {
  it('are a block and a PMD table for 2 MiB, the next ones 4 MiB further', () => {
    const m = vmMachine({ mib: 32 })
    m.calls()
    const p = must(m.vm.vmallocHuge(2 * MiB))
    expect(p).toBe(S)
    expect(m.calls()).toEqual(['alloc 0x2cc2 9 -1', TABLE])
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ size: 0x201000, nrPages: 512, pageOrder: 9 })
    expect(isVmAreaHugepages(m.vm, p)).toBe(true)
    expect(m.vm.context.tables.walk(p).leafLevel).toBe(2)
    const pages = vmAreaPages(m.vm, p)
    expect(pages).toEqual(Array.from({ length: 512 }, (_, i) => (pages[0] ?? 0) + i))
    expect(m.vm.vmallocHuge(2 * MiB)).toBe(S + 0x400000)
    expectVmSound(m)
    m.vm.vfree(p)
    expectVmSound(m)
  })

  it('are rounded up to, with an array of its own from two on', () => {
    const m = vmMachine({ mib: 32 })
    const p = must(m.vm.vmallocHuge(2 * MiB + 1))
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ size: 0x401000, nrPages: 1024, pageOrder: 9 })
    expect(vmallocNrPages(m.vm)).toBe(1024 + 2)
    expectVmSound(m)
    m.vm.vfree(p)
    expect(vmallocNrPages(m.vm)).toBe(0)
  })

  it('are small ones at another address when there are no blocks', () => {
    const m = vmMachine({
      mib: 32,
      between: (source) => ({
        ...source,
        allocPages: (gfp, order, node) => (order === 9 ? -1 : source.allocPages(gfp, order, node)),
      }),
    })
    const p = must(m.vm.vmallocHuge(2 * MiB))
    // The area that could not be filled waits for a purge.
    expect(p).toBe(S + 0x201000)
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ nrPages: 512, pageOrder: 0 })
    expect(vmapLazyPages(m.vm)).toBe(513)
    expectVmSound(m)
  })

  it('give back the blocks that they got when not all could be had', () => {
    let blocks = 0
    const m = vmMachine({
      mib: 32,
      between: (source) => ({
        ...source,
        allocPages: (gfp, order, node) =>
          order === 9 && ++blocks > 2 ? -1 : source.allocPages(gfp, order, node),
      }),
    })
    const p = must(m.vm.vmallocHuge(6 * MiB))
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ nrPages: 1536, pageOrder: 0 })
    expectVmSound(m)
    m.vm.vfree(p)
    expect(vmallocNrPages(m.vm)).toBe(0)
    expectVmSound(m)
  })

  it('are not for less than 2 MiB a node, nor where they are turned off', () => {
    const two = vmMachine({ mib: 32, nodes: 2 })
    expect(isVmAreaHugepages(two.vm, must(two.vm.vmallocHuge(2 * MiB)))).toBe(false)
    expect(isVmAreaHugepages(two.vm, must(two.vm.vmallocHuge(4 * MiB)))).toBe(true)
    const flags = VM_ALLOW_HUGE_VMAP
    const near = must(two.vm.vmallocNodeRange(2 * MiB, { flags, node: 0 }))
    expect(isVmAreaHugepages(two.vm, near)).toBe(true)
    const off = vmMachine({ mib: 32, vm: { hugeVmalloc: false } })
    expect(isVmAreaHugepages(off.vm, must(off.vm.vmallocHuge(2 * MiB)))).toBe(false)
    expect(isVmAreaHugepages(off.vm, must(off.vm.vmalloc(2 * MiB)))).toBe(false)
  })

  it('are single pages also for a mask that asks for compound ones', () => {
    const m = vmMachine({ mib: 32 })
    const p = must(m.vm.vmallocHuge(2 * MiB, GFP_KERNEL | __GFP_COMP))
    expect(isVmAreaHugepages(m.vm, p)).toBe(true)
    expectVmSound(m)
    m.vm.vfree(p)
    expectVmSound(m)
  })
})

describe('addresses', () => {
  it('are used again after a purge only', () => {
    const m = vmMachine()
    const [p0, p1, p2] = [0, 1, 2].map(() => must(m.vm.vmalloc(PAGE)))
    expect([p0, p1, p2]).toEqual([S, S + 0x2000, S + 0x4000])
    m.vm.vfree(must(p1))
    expect(m.vm.vmalloc(PAGE)).toBe(S + 0x6000)
    m.vm.vfree(must(p0))
    expect(vmapLazyPages(m.vm)).toBe(4)
    m.flushes()
    expect(purgeVmapAreas(m.vm)).toBe(true)
    expect(m.flushes()).toEqual(['tlb 0xc90000000000 0xc90000004000'])
    expect(vmapLazyPages(m.vm)).toBe(0)
    expect(purgeVmapAreas(m.vm)).toBe(false)
    expect(m.vm.vmalloc(PAGE)).toBe(S)
  })

  it('are drained by the 28th free of 300 pages', () => {
    const m = vmMachine()
    for (let i = 1; i < 28; i++) m.vm.vfree(must(m.vm.vmalloc(300 * PAGE)))
    expect(vmapLazyPages(m.vm)).toBe(8127)
    const last = must(m.vm.vmalloc(300 * PAGE))
    expect(last).toBe(S + 27 * 301 * PAGE)
    m.vm.vfree(last)
    expect(vmapLazyPages(m.vm)).toBe(0)
    expect(m.vm.vmalloc(300 * PAGE)).toBe(S)
    expectVmSound(m)
  })

  it('are drained by the 4097th free of a page', () => {
    const m = vmMachine()
    const areas = Array.from({ length: 40 }, () => must(getVmAreaNode(m.vm, 204 * PAGE)))
    for (const area of areas.slice(0, 39)) freeVmArea(m.vm, area)
    // 39 times 205, and a few pages to the limit of 8192.
    for (let i = 0; i < 98; i++) m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    expect(vmapLazyPages(m.vm)).toBe(8191)
    m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    expect(vmapLazyPages(m.vm)).toBe(0)
  })

  it('without mappings leave the drain work due until something is mapped', () => {
    const m = vmMachine()
    const size = 300 * PAGE
    let top = S
    for (let i = 0; i < 30; i++) {
      const area = must(getVmAreaNode(m.vm, size))
      expect(area).toBe(top)
      top += size + PAGE
      freeVmArea(m.vm, area)
    }
    expect(vmapLazyPages(m.vm)).toBe(30 * 301)
    // Its own address is chosen before the work runs.
    expect(m.vm.vmalloc(PAGE)).toBe(top)
    expect(vmapLazyPages(m.vm)).toBe(0)
    expect(m.vm.vmalloc(PAGE)).toBe(S)
  })

  it('of a mapped area stay aside when the work was due before its free', () => {
    const m = vmMachine()
    const mapped = must(m.vm.vmalloc(PAGE))
    holdDrainWork(m.vm, true)
    for (let i = 0; i < 28; i++) freeVmArea(m.vm, must(getVmAreaNode(m.vm, 300 * PAGE)))
    holdDrainWork(m.vm, false)
    m.vm.vfree(mapped)
    expect(vmapLazyPages(m.vm)).toBe(2)
    expect(runDrainWork(m.vm)).toBe(false)
    expectVmSound(m)
  })

  it('are held back on request, and drained on request', () => {
    const m = vmMachine()
    holdDrainWork(m.vm, true)
    for (let i = 0; i < 29; i++) m.vm.vfree(must(m.vm.vmalloc(300 * PAGE)))
    expect(vmapLazyPages(m.vm)).toBe(29 * 301)
    expect(runDrainWork(m.vm)).toBe(true)
    expect(vmapLazyPages(m.vm)).toBe(0)
    expect(runDrainWork(m.vm)).toBe(false)
  })

  it('of a nested page array stay aside when its owner’s free drains', () => {
    const m = vmMachine({ mib: 32 })
    holdDrainWork(m.vm, true)
    for (let i = 0; i < 27; i++) m.vm.vfree(must(m.vm.vmalloc(300 * PAGE)))
    const large = must(m.vm.vmalloc(2 * MiB + PAGE))
    holdDrainWork(m.vm, false)
    m.vm.vfree(large)
    // Two pages of pointers and their guard page.
    expect(vmapLazyPages(m.vm)).toBe(3)
  })
})

describe('areas by themselves', () => {
  it('are aligned to their size for I/O memory, in the window that is asked for', () => {
    const m = vmMachine()
    const { vm } = m
    expect(getVmAreaNode(vm, 0)).toBeNull()
    expect(getVmAreaNode(vm, 1)).toBe(S)
    expect(getVmAreaNode(vm, 0x3000, { flags: VM_IOREMAP })).toBe(S + 0x4000)
    expect(getVmAreaNode(vm, 3 * GiB, { flags: VM_IOREMAP, start: S + 5 * GiB })).toBe(S + 5 * GiB)
    expect(getVmAreaNode(vm, PAGE, { flags: VM_MAP | VM_NO_GUARD })).toBe(S + 0x2000)
    expect(findVmAreaAt(vm, va(S + 0x2000))?.size).toBe(PAGE)
    expect(getVmAreaNode(vm, PAGE, { align: 2 * MiB })).toBe(S + 2 * MiB)
    const modules = vm.context.layout.modules?.start ?? 0
    expect(getVmAreaNode(vm, PAGE, { start: modules, end: modules + 2 * PAGE })).toBe(modules)
    expect(getVmAreaNode(vm, PAGE, { start: 0, end: MiB })).toBe(PAGE)
    expectVmSound(m)
    for (const { address } of vmAreas(vm)) freeVmArea(vm, address)
    expect(vmAreas(vm)).toEqual([])
    expectVmSound(m)
  })

  it('are found and freed at any of their addresses, the guard page’s too', () => {
    const m = vmMachine()
    const p = must(getVmAreaNode(m.vm, 3 * PAGE, { flags: VM_MAP }))
    for (const offset of [0, 1, 3 * PAGE, 4 * PAGE - 1]) {
      expect(findVmAreaAt(m.vm, va(p + offset))?.address).toBe(p)
    }
    expect(findVmAreaAt(m.vm, va(p + 4 * PAGE))).toBeNull()
    freeVmArea(m.vm, va(p + 3 * PAGE))
    expect(findVmAreaAt(m.vm, p)).toBeNull()
    expect(code(() => freeVmArea(m.vm, p))).toBe('NOT_ALLOCATED')
  })

  it('remember who asked for them', () => {
    const m = vmMachine()
    setVmallocCaller(m.vm, 'load_module+0x1c4/0x9a0')
    const large = must(m.vm.vmalloc(4 * MiB))
    setVmallocCaller(m.vm, '')
    const none = must(m.vm.vmalloc(PAGE))
    expect(vmAreas(m.vm).map(({ caller }) => caller)).toEqual([
      'load_module+0x1c4/0x9a0',
      'load_module+0x1c4/0x9a0',
      '',
    ])
    expect(vmallocDumpObj(m.vm, va(large - 7))).toBe(
      ' 1024-page vmalloc region starting at 0xffffc90000000000 allocated at load_module+0x1c4/0x9a0',
    )
    expect(vmallocDumpObj(m.vm, none)).toContain(' 1-page vmalloc region')
    expect(vmallocDumpObj(m.vm, va(S - 2 * PAGE))).toBeNull()
    expectVmSound(m)
    m.vm.vfree(large)
    m.vm.vfree(none)
    expectVmSound(m)
  })
})

describe('vfree', () => {
  it('finds the whole area at any of its pages', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(5 * PAGE))
    m.vm.vfree(va(p + 5 * PAGE))
    expect(vmAreas(m.vm)).toEqual([])
    m.vm.vfree(null)
    m.vm.vunmap(null)
    expect(m.log()).toEqual([])
    expectVmSound(m)
  })

  it.each([
    ['an unaligned address', 8, 'BAD_ADDRESS', 'bad address (ffffc90000000008)'],
    ['an unknown one', MiB, 'NOT_ALLOCATED', 'nonexistent vm area (ffffc90000100000)'],
    ['one that was freed', 2 * PAGE, 'NOT_ALLOCATED', 'nonexistent vm area (ffffc90000002000)'],
  ])('refuses %s', (_what, offset, expected, text) => {
    const m = vmMachine()
    must(m.vm.vmalloc(PAGE))
    m.vm.vfree(must(m.vm.vmalloc(PAGE)))
    m.log()
    const before = vmHash(m)
    for (const free of [
      () => m.vm.vfree(va(S + offset)),
      () => m.vm.vunmap(va(S + offset)),
      () => freeVmArea(m.vm, va(S + offset)),
      () => vfreeAtomic(m.vm, va(S + offset)),
    ]) {
      expect(code(free)).toBe(expected)
      expect(m.log()).toEqual(warning('__vunmap', `Trying to vfree() ${text}`))
    }
    expect(vmHash(m)).toBe(before)
  })

  it('leaks the pages that vunmap is given instead, as a kernel does', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(3 * PAGE))
    const pages = vmAreaPages(m.vm, p)
    m.vm.vunmap(p)
    expect(vmallocNrPages(m.vm)).toBe(3)
    expect(pages.every((pfn) => m.vm.context.frames.isBlock(pfn, 0))).toBe(true)
    expectVmSound(m, { leakedPages: 3 })
  })

  it('is put off in an interrupt, and by vfreeAtomic; the last one comes first', () => {
    const m = vmMachine()
    const { vm, pages, ram } = m
    const areas = [1, 2, 3].map((n) => must(vm.vmalloc(n * PAGE)))
    const [a, b, c] = areas.map((p) => va(p)) as [never, never, never]
    const first = areas.map((p) => vmAreaPages(vm, p)[0] ?? 0)
    inInterrupt(pages, () => vm.vfree(a))
    vfreeAtomic(vm, b)
    vfreeAtomic(vm, va(c + PAGE))
    vfreeAtomic(vm, null)
    expect(vmAreas(vm)).toHaveLength(3)
    expectVmSound(m)
    // Each begins with a link to the one before.
    const word = (i: number) => new DataView(ram.bytes((first[i] ?? 0) * PAGE, 8).slice().buffer)
    expect(word(0).getBigUint64(0, true)).toBe(0n)
    expect(word(1).getBigUint64(0, true)).toBe(0xffffc90000000000n)
    expect(word(2).getBigUint64(0, true)).toBe(0xffffc90000002000n)
    for (const free of [vm.vfree.bind(vm), vm.vunmap.bind(vm), (p: never) => freeVmArea(vm, p)]) {
      expect(code(() => free(b))).toBe('DOUBLE_FREE')
    }
    const freed: number[] = []
    const { freePages } = vm.context.frames
    vm.context.frames.freePages = (pfn, order) => {
      freed.push(pfn)
      freePages(pfn, order)
    }
    runDeferredFrees(vm)
    expect(freed.filter((pfn) => first.includes(pfn))).toEqual([...first].reverse())
    expect(vmAreas(vm)).toEqual([])
    runDeferredFrees(vm)
    expectVmSound(m)
  })

  it('is a bug for vunmap and new areas in an interrupt', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(PAGE))
    inInterrupt(m.pages, () => {})
    const before = vmHash(m)
    inInterrupt(m.pages, () => {
      expect(code(() => m.vm.vunmap(p))).toBe('IN_INTERRUPT')
      expect(code(() => m.vm.vmalloc(PAGE))).toBe('IN_INTERRUPT')
      expect(code(() => getVmAreaNode(m.vm, PAGE))).toBe('IN_INTERRUPT')
    })
    expect(vmHash(m)).toBe(before)
  })

  it('flushes the direct map of pages whose permissions it resets', () => {
    const m = vmMachine()
    const flags = VM_FLUSH_RESET_PERMS
    const modules = m.vm.context.layout.modules?.start ?? 0
    const range = { start: modules, end: modules + MiB, flags, align: PAGE }
    const p = must(m.vm.vmallocNodeRange(2 * PAGE, range))
    const pfns = vmAreaPages(m.vm, p)
    m.flushes()
    m.vm.vfree(p)
    const low = (0x888000000000 + Math.min(...pfns) * PAGE).toString(16)
    expect(m.flushes()).toEqual([
      `unmap 0x${modules.toString(16)} 0x${(modules + 3 * PAGE).toString(16)}`,
      `tlb 0x${low} 0x${(modules + 3 * PAGE).toString(16)}`,
    ])
    expect(vmapLazyPages(m.vm)).toBe(0)
    const later = must(m.vm.vmalloc(PAGE))
    setVmFlushResetPerms(m.vm, later)
    expect(findVmAreaAt(m.vm, later)?.flags).toBe(VM_ALLOC | VM_FLUSH_RESET_PERMS)
    m.vm.vfree(later)
    expect(vmapLazyPages(m.vm)).toBe(0)
    expectVmSound(m)
  })
})

describe('failures', () => {
  it('of 0 bytes are warned of once', () => {
    const m = vmMachine()
    expect(m.vm.vmalloc(0)).toBeNull()
    expect(m.vm.vzalloc(0)).toBeNull()
    expect(m.log()).toEqual(warning('__vmalloc_node_range'))
  })

  it('for more than there is memory are told, but not when they should not be', () => {
    const m = vmMachine({ mib: 4 })
    m.log()
    expect(m.vm.vmalloc(2 ** 40, GFP_KERNEL | __GFP_NOWARN)).toBeNull()
    expect(m.log()).toEqual([])
    expect(m.vm.vmalloc(2 ** 40)).toBeNull()
    expect(m.log()[0]).toMatch(
      /^\S+: vmalloc error: size 1099511627776, exceeds total pages, mode:0xcc0\(GFP_KERNEL\), nodemask=\(null\)/,
    )
    // As many pages as there are, and a little more, are no such failure, though there is no room for them.
    const total = m.vm.context.frames.totalPages()
    expect(m.vm.vmalloc(total * PAGE + 4095)).toBeNull()
    expect(m.log()).toEqual([])
    expectVmSound(m)
  })

  it('for want of address space are told twice', () => {
    const m = vmMachine()
    m.log()
    const range = { start: S, end: S + 4 * PAGE }
    expect(m.vm.vmallocNodeRange(4 * PAGE, range)).toBeNull()
    const lines = m.log()
    expect(lines[0]).toBe(
      'vmap allocation for size 20480 failed: use vmalloc=<size> to increase size',
    )
    expect(lines[1]).toMatch(/: vmalloc error: size 16384, vm_struct allocation failed, mode:0xcc0/)
    const quiet = { ...range, gfp: GFP_KERNEL | __GFP_NOWARN }
    expect(m.vm.vmallocNodeRange(4 * PAGE, quiet)).toBeNull()
    expect(m.log()).toEqual([])
    const error = thrownBy(() =>
      m.vm.vmallocNodeRange(4 * PAGE, { ...range, gfp: GFP_KERNEL | __GFP_NOFAIL }),
    )
    expect(error).toBeInstanceOf(OutOfMemory)
    expect(m.log()[1]).toMatch(/size 16384, vm_struct allocation failed\. Retrying\., mode/)
    expect(m.vm.vmallocNodeRange(3 * PAGE, range)).toBe(S)
    expectVmSound(m)
  })

  it('for want of address space are told ten times in five seconds', () => {
    let now = 0
    const m = vmMachine({ clock: () => now })
    m.log()
    const fail = () => getVmAreaNode(m.vm, 4 * PAGE, { start: S, end: S + PAGE })
    for (let i = 0; i < 12; i++) expect(fail()).toBeNull()
    expect(m.log()).toHaveLength(10)
    now = 6
    expect(fail()).toBeNull()
    expect(m.log().at(-1)).toMatch(/^vmap allocation for size 20480 failed/)
  })

  it('ask those who registered for address space, as long as they free some', () => {
    const m = vmMachine()
    const range = { start: S, end: S + 4 * PAGE }
    const held = [must(getVmAreaNode(m.vm, PAGE, range)), must(getVmAreaNode(m.vm, PAGE, range))]
    let asked = 0
    const notifier = () => {
      asked += 1
      const area = held.pop()
      if (area === undefined) return 0
      freeVmArea(m.vm, area)
      return 1
    }
    registerVmapPurgeNotifier(m.vm, notifier)
    expect(getVmAreaNode(m.vm, 3 * PAGE, range)).toBe(S)
    expect(asked).toBe(2)
    expect(getVmAreaNode(m.vm, 3 * PAGE, range)).toBeNull()
    expect(asked).toBe(3)
    expect(unregisterVmapPurgeNotifier(m.vm, notifier)).toBe(true)
    expect(unregisterVmapPurgeNotifier(m.vm, notifier)).toBe(false)
    expect(getVmAreaNode(m.vm, 3 * PAGE, range)).toBeNull()
    expect(asked).toBe(3)
    expectVmSound(m)
  })

  it('are nothing when freed addresses make room', () => {
    const m = vmMachine()
    const range = { start: S, end: S + 4 * PAGE }
    freeVmArea(m.vm, must(getVmAreaNode(m.vm, 3 * PAGE, range)))
    expect(getVmAreaNode(m.vm, 3 * PAGE, range)).toBe(S)
    expect(m.log().filter((line) => line.startsWith('vmap allocation'))).toEqual([])
  })
})
