/** Mappings of what somebody has already: vmap, vm_map_ram, ioremap; kvmalloc, vread and vwrite. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { GiB, MiB, PAGE_SIZE, type Pfn } from '../../src/base/units'
import { getPage } from '../../src/buddy/references'
import { onCpu } from '../../src/buddy/running'
import {
  __GFP_NOFAIL,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RETRY_MAYFAIL,
  GFP_KERNEL,
  GFP_NOWAIT,
} from '../../src/page/gfp'
import { PAGE_KERNEL_EXEC, PROT_EXEC } from '../../src/paging/format'
import { X86_64_PAT } from '../../src/paging/x86Format'
import type { SlabTrace } from '../../src/slab/context'
import { purgeVmapAreas, vfreeAtomic, vmapLazyPages } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES, VM_NO_GUARD } from '../../src/vmalloc/flags'
import { type IoCache, ioremap, iounmap } from '../../src/vmalloc/ioremap'
import { writeMemory } from '../../src/vmalloc/kernelMemory'
import {
  kvcalloc,
  kvfree,
  kvmalloc,
  kvmallocArray,
  kvrealloc,
  kvzalloc,
} from '../../src/vmalloc/kvmalloc'
import {
  findVmAreaAt,
  freeVmArea,
  getVmAreaNode,
  vmAreaPages,
  vmAreas,
  vmallocNrPages,
} from '../../src/vmalloc/vmAreas'
import { vmap, vmapPfn } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapAliases, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { vread, vwrite } from '../../src/vmalloc/vread'
import { thrownBy } from '../buddy/machines'
import { freePages, must } from '../slab/machines'
import {
  expectVmSound,
  pa,
  S,
  takeFrames,
  type VmMachine,
  va,
  vmHash,
  vmMachine,
  warning,
} from './machines'

const PAGE = PAGE_SIZE

function code(call: () => unknown): string {
  const error = thrownBy(call)
  return error instanceof KernelBug ? error.code : error.name
}

/** Low half of the last entry of an address, without accessed and dirty; its high half. */
function entry({ vm }: VmMachine, address: number): readonly [number, number] {
  const last = vm.context.tables.walk(address).entries.at(-1)
  return [(last?.lo ?? 0) & 0xfff, (last?.hi ?? 0) >>> 0]
}

describe('vmap', () => {
  it('maps pages in their order, and leaves them to their owner', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 3).reverse()
    const p = must(vmap(m.vm, [...pfns, pfns[0] as Pfn]))
    expect(p).toBe(S)
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ size: 5 * PAGE, flags: VM_MAP, nrPages: 0 })
    const mapped = [0, 1, 2, 3, 4].map((i) => m.vm.vmallocToPfn(va(p + i * PAGE)))
    expect(mapped).toEqual([...pfns, pfns[0], null])
    expect(vmallocNrPages(m.vm)).toBe(0)
    expectVmSound(m)
    m.flushes()
    m.vm.vunmap(p)
    expect(m.flushes()).toEqual(['unmap 0xc90000000000 0xc90000005000'])
    expect(vmapLazyPages(m.vm)).toBe(5)
    // vfree of such an area is the same.
    const q = must(vmap(m.vm, pfns))
    m.vm.vfree(q)
    for (const pfn of pfns) m.pages.freePages(pfn)
    expectVmSound(m)
  })

  it('never allows execution', () => {
    const m = vmMachine()
    const p = must(vmap(m.vm, takeFrames(m, 1), VM_MAP, PAGE_KERNEL_EXEC))
    expect(m.vm.context.tables.walk(p).prot & PROT_EXEC).toBe(0)
  })

  it('keeps its guard page, with a warning', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 1)
    const [p, q] = [1, 2].map(() => must(vmap(m.vm, pfns, VM_MAP | VM_NO_GUARD)))
    expect([p, q]).toEqual([S, S + 2 * PAGE])
    expect(m.log()).toEqual(warning('vmap'))
    expect(vmap(m.vm, [])).toBeNull()
    expectVmSound(m)
  })

  it('gives the pages to the area when they are put', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 3)
    const shared = pfns[1] as Pfn
    getPage(m.pages, shared)
    const free = freePages(m)
    const p = must(vmap(m.vm, pfns, VM_MAP | VM_MAP_PUT_PAGES))
    expect(vmAreaPages(m.vm, p)).toEqual(pfns)
    expect(vmallocNrPages(m.vm)).toBe(0)
    expectVmSound(m)
    m.vm.vfree(p)
    expect(vmallocNrPages(m.vm)).toBe(0)
    // Two tables came, and two pages went; the one that is shared stays.
    expect(freePages(m)).toBeGreaterThanOrEqual(free - 3)
    const { frames } = m.vm.context
    expect(pfns.map((pfn) => frames.isBlock(pfn, 0))).toEqual([false, true, false])
    m.pages.freePages(shared)
    expectVmSound(m)
  })

  it('takes pages to be put once, and none that is a slab’s', () => {
    const m = vmMachine()
    const [a, b] = takeFrames(m, 2) as [Pfn, Pfn]
    const object = must(m.heap.kmalloc(64))
    const slab = Math.floor((object - 0x888000000000) / PAGE) as Pfn
    const block = must(m.pages.allocPages(GFP_KERNEL, 1))
    const before = vmHash(m)
    const put = VM_MAP | VM_MAP_PUT_PAGES
    for (const pfns of [[a, a], [slab], [block], [a, b, block]]) {
      expect(() => vmap(m.vm, pfns, put)).toThrow(InvalidArgument)
    }
    expect(() => vmap(m.vm, [9999 as Pfn])).toThrow(InvalidArgument)
    expect(vmHash(m)).toBe(before)
    must(vmap(m.vm, [slab, block, (block + 1) as Pfn]))
    expectVmSound(m)
  })

  it('of frames that are no memory marks them, and refuses memory with a warning', () => {
    const m = vmMachine()
    const device = 0xfebc0 as Pfn
    const p = must(vmapPfn(m.vm, [device, 5 as Pfn].slice(0, 1)))
    expect(m.vm.vmallocToPfn(p)).toBe(device)
    // Special, global, dirty, accessed, writable, present; never executable.
    expect(entry(m, p)).toEqual([0x363, 0x80000000])
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ size: 2 * PAGE, flags: 1 })
    const three = must(
      vmapPfn(
        m.vm,
        [1, 2, 3].map((i) => (device + i) as Pfn),
      ),
    )
    expect(three % (4 * PAGE)).toBe(0)
    expect(vmapPfn(m.vm, [])).toBeNull()
    expect(vmapPfn(m.vm, [device, 5 as Pfn])).toBeNull()
    expect(vmapPfn(m.vm, [5 as Pfn])).toBeNull()
    expect(m.log()).toEqual(warning('vmap_pfn_apply'))
    expect(vmapLazyPages(m.vm)).toBe(3 + 2)
    m.vm.vunmap(p)
    expectVmSound(m)
  })
})

describe('vm_map_ram', () => {
  it('hands a block out upwards, and retires it with vmUnmapAliases only', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 4)
    m.flushes()
    const [a, b, c] = [3, 1, 4].map((n) => must(vmMapRam(m.vm, pfns.slice(0, n))))
    expect([a, b, c]).toEqual([S, S + 0x4000, S + 0x5000])
    expect(vmAreas(m.vm)).toEqual([])
    expectVmSound(m)
    vmUnmapRam(m.vm, must(b), 1)
    expect(m.vm.vmallocToPfn(must(b))).toBeNull()
    vmUnmapRam(m.vm, must(a), 3)
    vmUnmapRam(m.vm, must(c), 4)
    expectVmSound(m)
    purgeVmapAreas(m.vm)
    expect(vmapLazyPages(m.vm)).toBe(0)
    m.flushes()
    vmUnmapAliases(m.vm)
    expect(m.flushes()).toEqual([
      'unmap 0xc90000000000 0xc90000400000',
      'tlb 0xc90000000000 0xc90000400000',
    ])
    expect(vmMapRam(m.vm, pfns)).toBe(S)
    expectVmSound(m)
  })

  it('flushes the dirty part of a block that is in use', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 4)
    const [, b] = [1, 3, 1].map((n) => must(vmMapRam(m.vm, pfns.slice(0, n))))
    vmUnmapRam(m.vm, must(b), 3)
    m.flushes()
    vmUnmapAliases(m.vm)
    expect(m.flushes()).toEqual(['tlb 0xc90000001000 0xc90000005000'])
    vmUnmapAliases(m.vm)
    expect(m.flushes()).toEqual([])
    expectVmSound(m)
  })

  it('frees a block whose pages have all come and gone, and takes the next', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 64)
    const maps = Array.from({ length: 17 }, () => must(vmMapRam(m.vm, pfns)))
    expect(maps[16]).toBe(S + 4 * MiB)
    expectVmSound(m)
    for (const p of maps.slice(0, 15)) vmUnmapRam(m.vm, p, 64)
    expect(vmapLazyPages(m.vm)).toBe(0)
    vmUnmapRam(m.vm, must(maps[15]), 64)
    expect(vmapLazyPages(m.vm)).toBe(1024)
    expectVmSound(m)
  })

  it('has a block for each CPU', () => {
    const m = vmMachine({ cpus: 2 })
    const pfns = takeFrames(m, 2)
    const a = must(vmMapRam(m.vm, pfns))
    const b = onCpu(m.pages, 1, () => must(vmMapRam(m.vm, pfns)))
    expect([a, b]).toEqual([S, S + 4 * MiB])
    // Who takes it back does not matter.
    onCpu(m.pages, 1, () => vmUnmapRam(m.vm, a, 2))
    vmUnmapRam(m.vm, b, 2)
    expectVmSound(m)
    vmUnmapAliases(m.vm)
    expect(vmMapRam(m.vm, pfns)).toBe(S)
    expectVmSound(m)
  })

  it('has an area without a guard page for more than 64 pages', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 65)
    const p = must(vmMapRam(m.vm, pfns))
    expect(p).toBe(S)
    expect(getVmAreaNode(m.vm, PAGE)).toBe(S + 65 * PAGE)
    expect(findVmAreaAt(m.vm, p)).toBeNull()
    expect(code(() => m.vm.vfree(p))).toBe('NOT_ALLOCATED')
    expect(code(() => vmUnmapRam(m.vm, p, 66))).toBe('NOT_ALLOCATED')
    expectVmSound(m)
    vmUnmapRam(m.vm, p, 65)
    expect(vmapLazyPages(m.vm)).toBe(65)
    expect(code(() => vmUnmapRam(m.vm, p, 65))).toBe('NOT_ALLOCATED')
    expectVmSound(m)
  })

  it('refuses to unmap what is not mapped', () => {
    const m = vmMachine()
    const pfns = takeFrames(m, 5)
    const p = must(vmMapRam(m.vm, pfns.slice(0, 3)))
    const area = must(m.vm.vmalloc(PAGE))
    const before = vmHash(m)
    const wrong = [
      [p, 5],
      [p + 4 * PAGE, 1],
      [p + PAGE, 3],
      [p + 3 * PAGE, 1],
      [area, 1],
      [S - PAGE, 1],
      [p, 64],
    ] as const
    for (const [at, count] of wrong) {
      expect(
        code(() => vmUnmapRam(m.vm, va(at), count)),
        `${at} ${count}`,
      ).toBe('NOT_ALLOCATED')
    }
    expect(code(() => vmUnmapRam(m.vm, va(p + 5), 1))).toBe('InvalidArgument')
    expect(code(() => vmMapRam(m.vm, []))).toBe('InvalidArgument')
    expect(vmHash(m)).toBe(before)
    vmUnmapRam(m.vm, p, 3)
    expect(code(() => vmUnmapRam(m.vm, p, 3))).toBe('NOT_ALLOCATED')
    expectVmSound(m)
  })
})

describe('ioremap', () => {
  it('maps at S, and then at S + 0x4004', () => {
    const m = vmMachine()
    expect(ioremap(m.vm, pa(0xfed00000), 0x400)).toBe(S)
    const p = must(ioremap(m.vm, pa(0xfebc0004), 0x2000))
    expect(p).toBe(S + 0x4004)
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ size: 0x4000, flags: 1, phys: 0xfebc0000 })
    expect(m.vm.vmallocToPfn(va(p + 0x2000))).toBe(0xfebc2)
    expect(m.vm.vmallocToPfn(va(p + 0x3000))).toBeNull()
    expect(ioremap(m.vm, pa(0xfebc0004), 0)).toBeNull()
    expectVmSound(m)
    iounmap(m.vm, p)
    iounmap(m.vm, va(S + 0x100))
    expect(vmAreas(m.vm)).toEqual([])
    expect(vmapLazyPages(m.vm)).toBe(6)
    expect(m.log()).toEqual([])
    expectVmSound(m)
  })

  const modes: readonly (readonly [IoCache, number, number])[] = [
    ['uc-', 0x10, 0x10],
    ['uc', 0x18, 0x18],
    ['wc', 0x8, 0x10],
    ['wt', 0x98, 0x10],
    ['wb', 0, 0],
  ]
  it.each(modes)('caches as %s says', (cache, withPat, without) => {
    const pat = vmMachine({ vm: { format: X86_64_PAT } })
    const plain = vmMachine()
    expect(entry(pat, must(ioremap(pat.vm, pa(0xfed00000), 1, cache)))[0]).toBe(0x163 | withPat)
    const p = must(ioremap(plain.vm, pa(0xfed00000), 1, cache))
    expect(entry(plain, p)).toEqual([0x163 | without, 0x80000000])
  })

  it('uses the largest leaves that fit, unless it may not', () => {
    const m = vmMachine()
    const p = must(ioremap(m.vm, pa(4 * GiB), GiB + 2 * MiB + PAGE))
    expect(p % GiB).toBe(0)
    const levels = [0, GiB, GiB + 2 * MiB].map(
      (offset) => m.vm.context.tables.walk(p + offset).leafLevel,
    )
    expect(levels).toEqual([1, 2, 3])
    expectVmSound(m)
    iounmap(m.vm, p)
    expectVmSound(m)
    const small = vmMachine({ vm: { hugeIomap: false } })
    const q = must(ioremap(small.vm, pa(4 * GiB), 2 * MiB))
    expect(small.vm.context.tables.walk(q).leafLevel).toBe(3)
  })

  it('is refused for addresses that the processor does not have, and for memory in use', () => {
    const m = vmMachine()
    expect(ioremap(m.vm, pa(2 ** 46 - PAGE), 2 * PAGE)).toBeNull()
    expect(m.log()).toEqual([
      'ioremap: invalid physical address 3ffffffff000',
      ...warning('__ioremap_caller'),
    ])
    expect(ioremap(m.vm, pa(2 ** 50), 1)).toBeNull()
    expect(m.log()).toEqual(['ioremap: invalid physical address 4000000000000'])
    expect(ioremap(m.vm, pa(16 * MiB - 5), 0x2000)).toBeNull()
    expect(m.log()).toEqual(
      warning('__ioremap_caller', 'ioremap on RAM at 0x0000000000fffffb - 0x0000000001001ffa'),
    )
    expect(ioremap(m.vm, pa(MiB), 1)).toBeNull()
    expect(m.log()).toEqual([])
    must(ioremap(m.vm, pa(16 * MiB), 1))
    expectVmSound(m)
  })

  it('is undone with a word for what is no I/O memory', () => {
    const m = vmMachine({ mib: 1 })
    const p = must(m.vm.vmalloc(PAGE))
    const io = must(ioremap(m.vm, pa(0xfed00000), 1))
    const before = vmHash(m)
    iounmap(m.vm, va(0x888000000000))
    iounmap(m.vm, va(0x888000000000 + MiB))
    iounmap(m.vm, va(5))
    expect(m.log()).toEqual([])
    iounmap(m.vm, va(0x888000000000 + 2 * MiB))
    iounmap(m.vm, p)
    iounmap(m.vm, va(S + 8 * PAGE))
    expect(m.log()).toEqual([
      'iounmap: bad address ffff888000200000',
      'iounmap: bad address ffffc90000000000',
      'iounmap: bad address ffffc90000008000',
    ])
    expect(vmHash(m)).toBe(before)
    vfreeAtomic(m.vm, io)
    expect(code(() => iounmap(m.vm, io))).toBe('DOUBLE_FREE')
    expectVmSound(m)
    const low = vmMachine({ mib: 0.5 })
    low.log()
    iounmap(low.vm, va(0x8880000a0000))
    iounmap(low.vm, va(0x888000100000))
    expect(low.log()).toEqual([
      ...warning('iounmap', 'iounmap() called for ISA range not obtained using ioremap()'),
      'iounmap: bad address ffff888000100000',
    ])
  })
})

describe('kvmalloc', () => {
  /** The requests that kmalloc and its caches got, and their masks. */
  function traced(m: VmMachine): string[] {
    const seen: string[] = []
    const trace: SlabTrace = {
      kmalloc: (_object, req, _alloc, gfp, node) =>
        void seen.push(`kmalloc ${req} 0x${gfp.toString(16)} ${node}`),
      cacheAlloc: (_object, req, _alloc, gfp, node) =>
        void seen.push(`cache ${req} 0x${gfp.toString(16)} ${node}`),
      kfree() {},
      cacheFree() {},
    }
    m.slabs.setTrace(trace)
    return seen
  }

  it('asks kmalloc first, gently for more than a page', () => {
    const m = vmMachine()
    const seen = traced(m)
    for (const [size, gfp] of [
      [4096, GFP_KERNEL | __GFP_NOFAIL],
      [4097, GFP_KERNEL | __GFP_NOFAIL],
      [5000, GFP_KERNEL | __GFP_RETRY_MAYFAIL],
    ] as const) {
      const p = must(kvmalloc(m.vm, size, gfp))
      expect(m.vm.isVmallocAddr(p)).toBe(false)
      kvfree(m.vm, p)
    }
    const hex = (gfp: number) => `0x${gfp.toString(16)}`
    expect(seen).toEqual([
      `kmalloc 4096 ${hex(GFP_KERNEL | __GFP_NOFAIL)} -1`,
      `kmalloc 4097 ${hex(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY)} -1`,
      `kmalloc 5000 ${hex(GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)} -1`,
    ])
    expectVmSound(m)
  })

  it('takes vmalloc for what kmalloc has no block for', () => {
    const m = vmMachine({ mib: 32 })
    const seen = traced(m)
    const p = must(kvmalloc(m.vm, 5 * MiB))
    expect(m.vm.isVmallocAddr(p)).toBe(true)
    // A kernel's order of allocations: vm_struct, two objects of areas, and for the array the same again.
    expect(seen.slice(1)).toEqual([
      'kmalloc 64 0xdc0 -1',
      'cache 64 0xcc0 -1',
      'cache 64 0xcc0 -1',
      'kmalloc 64 0xdc0 -1',
      'cache 64 0xcc0 -1',
      'cache 64 0xcc0 -1',
      'kmalloc 24 0xdc0 -1',
    ])
    // Huge pages are allowed.
    expect(findVmAreaAt(m.vm, p)).toMatchObject({ pageOrder: 9, nrPages: 1536 })
    kvfree(m.vm, p)
    kvfree(m.vm, null)
    expect(kvmalloc(m.vm, 5 * MiB, GFP_NOWAIT)).toBeNull()
    expect(kvmalloc(m.vm, 0x80000000, GFP_KERNEL | __GFP_NOWARN)).toBeNull()
    expect(m.log()).toEqual([])
    expect(kvmalloc(m.vm, 0x80000000)).toBeNull()
    expect(kvmalloc(m.vm, 2 ** 52)).toBeNull()
    expect(m.log()).toEqual(warning('kvmalloc_node'))
    expect(kvmallocArray(m.vm, 2 ** 40, 2 ** 40)).toBeNull()
    expectVmSound(m)
  })

  it('gives zeroed memory where it should', () => {
    const m = vmMachine({ mib: 32 })
    m.ram.fill(16 * MiB, 16 * MiB, 0xee)
    const bytes = new Uint8Array(5 * MiB)
    for (const p of [kvzalloc(m.vm, 5 * MiB), kvcalloc(m.vm, 5, MiB)]) {
      bytes.fill(1)
      expect(vread(m.vm, bytes, must(p))).toBe(bytes.length)
      expect(bytes.every((byte) => byte === 0)).toBe(true)
      kvfree(m.vm, p)
    }
    const q = must(kvmallocArray(m.vm, 3, 100))
    expect(m.heap.ksize(q)).toBe(512)
    kvfree(m.vm, q)
  })

  it('moves what has to grow, with its bytes', () => {
    const m = vmMachine({ mib: 32 })
    const text = Uint8Array.from({ length: 3000 }, (_, i) => i * 7)
    const small = must(kvmalloc(m.vm, 3000))
    writeMemory(m.vm.context, small, text)
    expect(kvrealloc(m.vm, small, 3000, 2000)).toBe(small)
    const large = must(kvrealloc(m.vm, small, 3000, 5 * MiB))
    expect(m.vm.isVmallocAddr(large)).toBe(true)
    expect(code(() => m.heap.kfree(small))).toMatch(/DOUBLE_FREE|NOT_ALLOCATED/)
    const larger = must(kvrealloc(m.vm, large, 5 * MiB, 6 * MiB))
    const read = new Uint8Array(3000)
    vread(m.vm, read, larger)
    expect(read).toEqual(text)
    const fresh = must(kvrealloc(m.vm, null, 0, 100))
    expect(kvrealloc(m.vm, larger, 6 * MiB, 2 ** 40)).toBeNull()
    expectVmSound(m)
    const before = vmHash(m)
    expect(() => kvrealloc(m.vm, larger, 7 * MiB, 8 * MiB)).toThrow(InvalidArgument)
    expect(() => kvrealloc(m.vm, fresh, 300, 400)).toThrow(InvalidArgument)
    expect(code(() => kvrealloc(m.vm, va(larger + 64 * MiB), 10, 20))).toBe('NOT_ALLOCATED')
    expect(vmHash(m)).toBe(before)
    kvfree(m.vm, larger)
    kvfree(m.vm, fresh)
    expectVmSound(m)
  })
})

describe('vread and vwrite', () => {
  it('go over holes, guard pages, I/O memory and blocks, which read as zero', () => {
    const m = vmMachine()
    const [frame] = takeFrames(m, 1) as [Pfn]
    const first = must(m.vm.vmalloc(2 * PAGE)) // [0, 3)
    const hole = must(m.vm.vmalloc(PAGE)) // [3, 5)
    const io = must(ioremap(m.vm, pa(0xfed00000), 1)) // [5, 7)
    const plain = must(getVmAreaNode(m.vm, PAGE)) // [7, 9)
    const mapped = must(vmap(m.vm, [frame])) // [9, 11)
    m.vm.vfree(hole)
    expect([io, plain, mapped].map((p) => (p - S) / PAGE)).toEqual([5, 7, 9])
    const all = new Uint8Array(14 * PAGE).fill(0xab)
    m.ram.fill(frame * PAGE, PAGE, 0x11)
    for (const pfn of vmAreaPages(m.vm, first)) m.ram.fill(pfn * PAGE, PAGE, 0x22)
    expect(vread(m.vm, all, S as never)).toBe(all.length)
    const found = Array.from(
      { length: 14 },
      (_, i) => new Set(all.subarray(i * PAGE, (i + 1) * PAGE)),
    )
    const expected = [0x22, 0x22, 0, 0, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 0]
    expect(found.map((set) => [...set])).toEqual(expected.map((byte) => [byte]))
    const written = new Uint8Array(12 * PAGE).map((_, i) => i / 64)
    expect(vwrite(m.vm, written, va(S + 5))).toBe(written.length)
    expect(vread(m.vm, all, va(S + 5))).toBe(all.length)
    for (const at of [0, 1, PAGE - 5, 2 * PAGE - 6, 9 * PAGE, 10 * PAGE - 6]) {
      expect(all[at], String(at)).toBe(written[at])
    }
    for (const at of [2 * PAGE - 5, 5 * PAGE, 7 * PAGE + 10, 10 * PAGE - 5]) {
      expect(all[at], String(at)).toBe(0)
    }
    expectVmSound(m)
  })

  it('do nothing where there is no memory of an area', () => {
    const m = vmMachine()
    const p = must(m.vm.vmalloc(PAGE))
    const pages = takeFrames(m, 65)
    const ram = must(vmMapRam(m.vm, pages))
    const bytes = new Uint8Array(10).fill(7)
    for (const at of [p + PAGE, ram, S + GiB, S - 10, 0]) {
      expect(vread(m.vm, bytes, va(at)), String(at)).toBe(0)
      expect(vwrite(m.vm, bytes, va(at)), String(at)).toBe(0)
    }
    expect([...bytes]).toEqual(new Array(10).fill(7))
    expect(vread(m.vm, new Uint8Array(0), p)).toBe(0)
    // The first byte of an area is enough.
    m.ram.fill((m.vm.vmallocToPfn(p) ?? 0) * PAGE, 1, 9)
    expect(vread(m.vm, bytes, va(S - 9))).toBe(10)
    expect([...bytes]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 9])
    freeVmArea(m.vm, must(getVmAreaNode(m.vm, PAGE)))
    expectVmSound(m)
  })
})
