/** Whatever the family is given that is wrong: it says so, and changes nothing. */

import { describe, expect, it } from 'vitest'
import { InvalidArgument, KernelBug } from '../../src/base/errors'
import { LAYOUT_ARM64, LAYOUT_SV39 } from '../../src/base/layouts'
import { MiB, PAGE_SIZE, type Pfn, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { __GFP_MOVABLE, __GFP_RECLAIMABLE, GFP_KERNEL } from '../../src/page/gfp'
import { ARM64 } from '../../src/paging/arm64Format'
import { PAGE_KERNEL } from '../../src/paging/format'
import { SV39 } from '../../src/paging/riscvFormat'
import { I386, X86_64_LA57 } from '../../src/paging/x86Format'
import { parseVmallocInfo } from '../../src/proc/vmallocinfo'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { VMAP_NR_CPUS, VMAP_ROOT_PFN } from '../../src/state/vmapSchema'
import { registerVmapPurgeNotifier, vfreeAtomic } from '../../src/vmalloc/drainWork'
import { VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { ioremap, iounmap } from '../../src/vmalloc/ioremap'
import { readKernelMemory, writeKernelMemory } from '../../src/vmalloc/kernelBytes'
import {
  kvcalloc,
  kvfree,
  kvmalloc,
  kvmallocArray,
  kvrealloc,
  kvzalloc,
} from '../../src/vmalloc/kvmalloc'
import { pcpuFreeVmAreas, pcpuGetVmAreas } from '../../src/vmalloc/pcpuAreas'
import {
  findVmAreaAt,
  freeVmArea,
  getVmAreaNode,
  isVmAreaHugepages,
  setVmallocCaller,
  setVmFlushResetPerms,
  type VmAreaOptions,
  vmAreaPages,
  vmAreas,
  vmallocDumpObj,
} from '../../src/vmalloc/vmAreas'
import { Vmalloc } from '../../src/vmalloc/vmalloc'
import type { VmallocOptions } from '../../src/vmalloc/vmallocOptions'
import { loadVmallocState, vmallocState } from '../../src/vmalloc/vmallocState'
import { vmap, vmapPfn } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { vread, vwrite } from '../../src/vmalloc/vread'
import { thrownBy } from '../buddy/machines'
import { must } from '../slab/machines'
import { expectVmSound, pa, S, takeFrames, type VmMachine, va, vmHash, vmMachine } from './machines'

const PAGE = PAGE_SIZE

/** A machine with something of everything: the same for all tests, as nothing that is refused may change it. */
function usedMachine() {
  const m = vmMachine({ mib: 1.5, cpus: 2, vm: { maxRecords: 256 } })
  const frames = takeFrames(m, 3)
  const area = must(m.vm.vmalloc(3 * PAGE))
  const mapped = must(vmap(m.vm, frames))
  const block = must(vmMapRam(m.vm, frames))
  const io = must(ioremap(m.vm, pa(0xfed00000), PAGE))
  const object = must(m.heap.kmalloc(100))
  m.vm.vfree(must(m.vm.vmalloc(PAGE)))
  // From here on no request needs a new slab.
  return { ...m, frames, area, mapped, block, io, object }
}

const used = usedMachine()
type Used = typeof used
const bytes = new Uint8Array(16)

function expectRefused(m: VmMachine, call: () => unknown, text: string): Error {
  const before = vmHash(m)
  let error: Error
  try {
    error = thrownBy(call)
  } catch (cause) {
    throw new Error(`${text}: ${String(cause)}`)
  }
  if (!(error instanceof InvalidArgument || error instanceof KernelBug)) {
    expect.fail(`${text}: ${String(error)}\n${error.stack}`)
  }
  if (vmHash(m) !== before) expect.fail(`${text}: something has changed`)
  return error
}

/** What no integer argument may be. */
const NO_INTEGERS: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  0.5,
  -(2 ** 53),
  2 ** 53,
  1e300,
  '1',
  'x',
  true,
  null,
  {},
  [1],
  () => 1,
  Symbol('a'),
  5n,
]

/** Every argument that is an integer: how to pass it, with all others right. */
type IntegerCase = readonly [
  name: string,
  call: (m: Used, value: number) => unknown,
  /** Values that are something else here: -1 for a node, null for a pointer. */
  except?: readonly unknown[],
]
const INTEGERS: readonly IntegerCase[] = [
  ['vmalloc size', (m, v) => m.vm.vmalloc(v)],
  ['vmalloc gfp', (m, v) => m.vm.vmalloc(PAGE, v)],
  ['vzalloc size', (m, v) => m.vm.vzalloc(v)],
  ['vmallocNode size', (m, v) => m.vm.vmallocNode(v, 0)],
  ['vmallocNode node', (m, v) => m.vm.vmallocNode(PAGE, v), [-1]],
  ['vmallocNode gfp', (m, v) => m.vm.vmallocNode(PAGE, 0, v)],
  ['vmallocUser size', (m, v) => m.vm.vmallocUser(v)],
  ['vmalloc32 size', (m, v) => m.vm.vmalloc32(v)],
  ['vmalloc32User size', (m, v) => m.vm.vmalloc32User(v)],
  ['vmallocHuge size', (m, v) => m.vm.vmallocHuge(v)],
  ['vmallocHuge gfp', (m, v) => m.vm.vmallocHuge(PAGE, v)],
  ['vmallocArray count', (m, v) => m.vm.vmallocArray(v, 5)],
  ['vmallocArray size', (m, v) => m.vm.vmallocArray(5, v)],
  ['vmallocArray gfp', (m, v) => m.vm.vmallocArray(5, 5, v)],
  ['vcalloc count', (m, v) => m.vm.vcalloc(v, 5)],
  ['vcalloc size', (m, v) => m.vm.vcalloc(5, v)],
  ['range size', (m, v) => m.vm.vmallocNodeRange(v)],
  ...(['align', 'start', 'end', 'gfp', 'prot', 'flags', 'node'] as const).map(
    (key) =>
      [
        `range ${key}`,
        (m: Used, v: number) => m.vm.vmallocNodeRange(PAGE, { [key]: v }),
        key === 'node' ? [-1] : [],
      ] as const,
  ),
  ...(['align', 'start', 'end', 'gfp', 'flags', 'node'] as const).map(
    (key) =>
      [
        `area ${key}`,
        (m: Used, v: number) => getVmAreaNode(m.vm, PAGE, { [key]: v }),
        key === 'node' ? [-1] : [],
      ] as const,
  ),
  ['area size', (m, v) => getVmAreaNode(m.vm, v)],
  ['vmallocToPfn', (m, v) => m.vm.vmallocToPfn(va(v))],
  ['freeVmArea', (m, v) => freeVmArea(m.vm, va(v))],
  ['findVmAreaAt', (m, v) => findVmAreaAt(m.vm, va(v))],
  ['vmAreaPages', (m, v) => vmAreaPages(m.vm, va(v))],
  ['isVmAreaHugepages', (m, v) => isVmAreaHugepages(m.vm, va(v))],
  ['setVmFlushResetPerms', (m, v) => setVmFlushResetPerms(m.vm, va(v))],
  ['vmallocDumpObj', (m, v) => vmallocDumpObj(m.vm, va(v))],
  ['vfree', (m, v) => m.vm.vfree(va(v)), [null]],
  ['vunmap', (m, v) => m.vm.vunmap(va(v)), [null]],
  ['vfreeAtomic', (m, v) => vfreeAtomic(m.vm, va(v)), [null]],
  ['kvfree', (m, v) => kvfree(m.vm, va(v)), [null]],
  ['iounmap', (m, v) => iounmap(m.vm, va(v))],
  ['vmap flags', (m, v) => vmap(m.vm, m.frames, v)],
  ['vmap prot', (m, v) => vmap(m.vm, m.frames, VM_MAP, v)],
  ['vmap pfn', (m, v) => vmap(m.vm, [v as Pfn])],
  ['vmap pfn to be put', (m, v) => vmap(m.vm, [v as Pfn], VM_MAP_PUT_PAGES)],
  ['vmapPfn pfn', (m, v) => vmapPfn(m.vm, [v as Pfn])],
  ['vmapPfn prot', (m, v) => vmapPfn(m.vm, [0xfed00 as Pfn], v)],
  ['vmMapRam pfn', (m, v) => vmMapRam(m.vm, [v as Pfn])],
  ['vmMapRam node', (m, v) => vmMapRam(m.vm, m.frames, v), [-1]],
  ['vmUnmapRam address', (m, v) => vmUnmapRam(m.vm, va(v), 3)],
  ['vmUnmapRam count', (m, v) => vmUnmapRam(m.vm, m.block, v)],
  ['ioremap phys', (m, v) => ioremap(m.vm, pa(v), PAGE)],
  ['ioremap size', (m, v) => ioremap(m.vm, pa(0xfed00000), v)],
  ['kvmalloc size', (m, v) => kvmalloc(m.vm, v)],
  ['kvmalloc gfp', (m, v) => kvmalloc(m.vm, PAGE, v)],
  ['kvmalloc node', (m, v) => kvmalloc(m.vm, PAGE, GFP_KERNEL, v), [-1]],
  ['kvzalloc size', (m, v) => kvzalloc(m.vm, v)],
  ['kvzalloc gfp', (m, v) => kvzalloc(m.vm, PAGE, v)],
  ['kvmallocArray count', (m, v) => kvmallocArray(m.vm, v, 3)],
  ['kvmallocArray size', (m, v) => kvmallocArray(m.vm, 3, v)],
  ['kvcalloc count', (m, v) => kvcalloc(m.vm, v, 3)],
  ['kvcalloc gfp', (m, v) => kvcalloc(m.vm, 3, 3, v)],
  ['kvrealloc oldSize', (m, v) => kvrealloc(m.vm, m.object, v, 2 ** 30)],
  ['kvrealloc size', (m, v) => kvrealloc(m.vm, m.object, 100, v)],
  ['kvrealloc gfp', (m, v) => kvrealloc(m.vm, m.object, 100, 200, v)],
  ['kvrealloc address', (m, v) => kvrealloc(m.vm, va(v), 100, 200), [null]],
  ['vread address', (m, v) => vread(m.vm, bytes, va(v))],
  ['vwrite address', (m, v) => vwrite(m.vm, bytes, va(v))],
  ['readKernelMemory', (m, v) => readKernelMemory(m.vm, va(v), bytes)],
  ['writeKernelMemory', (m, v) => writeKernelMemory(m.vm, va(v), bytes)],
  ['pcpu align', (m, v) => pcpuGetVmAreas(m.vm, [0], [MiB], v)],
  ['pcpu offset', (m, v) => pcpuGetVmAreas(m.vm, [v], [MiB], MiB)],
  ['pcpu size', (m, v) => pcpuGetVmAreas(m.vm, [0], [v], MiB)],
]

describe('an argument that is no integer', () => {
  it.each(INTEGERS.map(([name, call, except = []]) => ({ name, call, except })))(
    '$name',
    ({ name, call, except }) => {
      for (const value of NO_INTEGERS) {
        if (except.includes(value)) continue
        expectRefused(used, () => call(used, value as number), `${name} ${String(value)}`)
      }
    },
  )
})

/** What is no object of the kind that an argument has to be. */
const OTHERS: readonly unknown[] = [null, 5, 'x', {}, [], undefined, new Float64Array(4)]

describe('an argument of another kind', () => {
  const cases: readonly (readonly [string, (m: Used, value: never) => unknown])[] = [
    ['vread buffer', (m, v) => vread(m.vm, v, m.area)],
    ['vwrite buffer', (m, v) => vwrite(m.vm, v, m.area)],
    ['readKernelMemory buffer', (m, v) => readKernelMemory(m.vm, m.area, v)],
    ['writeKernelMemory buffer', (m, v) => writeKernelMemory(m.vm, m.area, v)],
    ['notifier', (m, v) => registerVmapPurgeNotifier(m.vm, v)],
    ['cache of ioremap', (m, v) => ioremap(m.vm, pa(0xfed00000), 1, v)],
    ['areas of CPUs', (m, v) => pcpuFreeVmAreas(m.vm, v)],
    ['sizes for CPUs', (m, v) => pcpuGetVmAreas(m.vm, [0], v, MiB)],
    ['offsets for CPUs', (m, v) => pcpuGetVmAreas(m.vm, v, [MiB], MiB)],
    ['state to load', (m, v) => loadVmallocState(m.vm, v)],
    ['text', (_m, v) => parseVmallocInfo(v)],
  ]
  it.each(cases)('%s', (name, call) => {
    for (const value of OTHERS) {
      const empty = value === undefined && name.startsWith('cache')
      const text = typeof value === 'string' && name === 'text' && value === ''
      if (empty || text) continue
      expectRefused(used, () => call(used, value as never), `${name} ${String(value)}`)
    }
  })

  it('a list of frames', () => {
    for (const value of OTHERS.filter((each) => !Array.isArray(each))) {
      for (const map of [vmap, vmMapRam, vmapPfn] as const) {
        const call = () => (map as typeof vmap)(used.vm, value as never)
        expectRefused(used, call, `${map.name} ${String(value)}`)
      }
    }
  })

  it('a caller', () => {
    for (const name of [null, 5, 'a\n', '\0', 'x'.repeat(56), 'ä'.repeat(28)]) {
      expectRefused(used, () => setVmallocCaller(used.vm, name as string), String(name))
    }
    setVmallocCaller(used.vm, 'x'.repeat(55))
    setVmallocCaller(used.vm, '')
  })

  it('options', () => {
    for (const value of [5, 'x', true]) {
      // What has no fields has nothing that is wrong.
      used.vm.vfree(must(used.vm.vmallocNodeRange(PAGE, value as never)))
      freeVmArea(used.vm, must(getVmAreaNode(used.vm, PAGE, value as unknown as VmAreaOptions)))
    }
    expectVmSound(used)
  })
})

describe('a value out of range', () => {
  const cases: readonly (readonly [string, (m: Used) => unknown])[] = [
    ['align', (m) => m.vm.vmallocNodeRange(PAGE, { align: 3 * PAGE })],
    ['align of 0', (m) => getVmAreaNode(m.vm, PAGE, { align: 0 })],
    ['a start inside a page', (m) => getVmAreaNode(m.vm, PAGE, { start: S + 5 })],
    ['a range upside down', (m) => getVmAreaNode(m.vm, PAGE, { start: S + MiB, end: S })],
    ['the direct map', (m) => getVmAreaNode(m.vm, PAGE, { start: 0x888000000000, end: S })],
    ['an end above all', (m) => getVmAreaNode(m.vm, PAGE, { end: 2 ** 48 + 1 })],
    ['unknown flags', (m) => getVmAreaNode(m.vm, PAGE, { flags: 0x800 })],
    ['pages to be put', (m) => m.vm.vmallocNodeRange(PAGE, { flags: VM_MAP_PUT_PAGES })],
    [
      'both mobility bits',
      (m) => m.vm.vmalloc(PAGE, GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE),
    ],
    ['another node', (m) => m.vm.vmallocNode(PAGE, 1)],
    ['a protection', (m) => m.vm.vmallocNodeRange(PAGE, { prot: 0x800 })],
    ['a frame of no memory', (m) => vmap(m.vm, [(m.pages.context.maxPfn - 1) as Pfn])],
    ['a frame beyond', (m) => vmapPfn(m.vm, [(2 ** 40) as Pfn])],
    ['no frames', (m) => vmMapRam(m.vm, [])],
    ['sizes that overlap', (m) => pcpuGetVmAreas(m.vm, [0, MiB], [2 * MiB, MiB], MiB)],
    ['other counts', (m) => pcpuGetVmAreas(m.vm, [0, MiB], [MiB], MiB)],
    ['memory that is none', (m) => readKernelMemory(m.vm, va(m.area + 3 * PAGE - 8), bytes)],
    ['memory of a device', (m) => writeKernelMemory(m.vm, m.io, bytes)],
    ['a used mapper', (m) => loadVmallocState(m.vm, vmallocState(m.vm))],
  ]
  it.each(cases)('%s', (name, call) => {
    expectRefused(used, () => call(used), name)
  })
})

describe('a foreign address', () => {
  const frees: readonly (readonly [string, (m: Used, p: VirtAddr) => unknown])[] = [
    ['vfree', (m, p) => m.vm.vfree(p)],
    ['vunmap', (m, p) => m.vm.vunmap(p)],
    ['freeVmArea', (m, p) => freeVmArea(m.vm, p)],
    ['vfreeAtomic', (m, p) => vfreeAtomic(m.vm, p)],
    ['vmUnmapRam', (m, p) => vmUnmapRam(m.vm, p, 3)],
    ['kvfree', (m, p) => kvfree(m.vm, p)],
    ['kvrealloc', (m, p) => kvrealloc(m.vm, p, 8, 200)],
    [
      'pcpuFreeVmAreas',
      (m, p) => pcpuFreeVmAreas(m.vm, { addresses: [m.area, p], array: m.object }),
    ],
  ]
  it.each(frees)('for %s', (name, free) => {
    const m = used
    const foreign = [
      17,
      PAGE,
      S - PAGE,
      S - 1,
      0x888000000000 + 3 * MiB,
      m.object + 8,
      m.block + 1,
      m.io + 2 * PAGE,
      S + 2 ** 40,
      0xe8fffffff000,
      0xe8ffffffffff,
      2 ** 47,
      2 ** 48 - 1,
    ]
    for (const p of foreign) {
      // An I/O area may be unmapped by others too; kmalloc’s own are for kfree.
      expectRefused(m, () => free(m, va(p)), `${name} 0x${p.toString(16)}`)
    }
    expectVmSound(m)
  })

  it('for iounmap changes nothing', () => {
    const before = vmHash(used)
    for (const p of [
      0,
      PAGE,
      S - 1,
      used.area,
      used.block,
      used.mapped,
      S + 2 ** 40,
      2 ** 48 - 1,
    ]) {
      iounmap(used.vm, va(p))
    }
    expect(vmHash(used)).toBe(before)
  })
})

describe('a mapper that cannot be', () => {
  const pages = () => vmMachine({ mib: 4 })

  it.each<readonly [string, VmallocOptions]>([
    ['the format of another layout', { format: SV39 }],
    ['a format of 32 bits', { format: I386 }],
    ['a format of 57 bits', { format: X86_64_LA57 }],
    ['no CPUs', { maxCpus: 0 }],
    ['half a CPU', { maxCpus: 0.5 }],
    ['no records', { maxRecords: 0 }],
    ['too many records', { maxRecords: 2 ** 40 }],
    ['a state that is none', { state: new ArrayBuffer(4096) }],
    ['a state of no whole records', { state: new ArrayBuffer(50) }],
  ])('%s', (name, options) => {
    const m = pages()
    const error = expectRefused(m, () => new Vmalloc(m.pages, { heap: m.heap, ...options }), name)
    expect(error).toBeInstanceOf(InvalidArgument)
  })

  it('has a state of another machine', () => {
    const m = pages()
    const buffer = m.vm.context.space.words.buffer as ArrayBuffer
    const attach = (change: (words: Int32Array) => void, on = m) => {
      const state = buffer.slice(0)
      change(new Int32Array(state))
      return new Vmalloc(on.pages, { heap: on.heap, state })
    }
    expect(attach(() => {}).vmalloc(PAGE)).toBe(S)
    for (const [column, value] of [
      [0, 5],
      [1, 99],
      [VMAP_ROOT_PFN, 5000],
      [VMAP_ROOT_PFN + 1, -1],
      [VMAP_NR_CPUS, 2],
      [12, 0],
      [12, 11],
    ] as const) {
      const change = (words: Int32Array) => {
        words[column] = value
      }
      expectRefused(m, () => attach(change), `${column} ${value}`)
    }
    const other = vmMachine({ mib: 4, layout: LAYOUT_SV39, base: 0x80000000, vm: { format: SV39 } })
    expectRefused(
      other,
      () => {
        new Vmalloc(other.pages, { heap: other.heap, format: SV39, state: buffer })
      },
      'another layout',
    )
    const two = vmMachine({ mib: 4, cpus: 2 })
    expectRefused(two, () => attach(() => {}, two), 'more CPUs')
  })

  it('has something else for pages, or for a heap', () => {
    for (const value of [null, undefined, 5, {}, 'pages']) {
      expect(() => new Vmalloc(value as unknown as BuddyAllocator)).toThrow(InvalidArgument)
    }
    const m = pages()
    for (const heap of [null, 5, {}, m.pages]) {
      expect(() => new Vmalloc(m.pages, { heap: heap as never })).toThrow(InvalidArgument)
    }
    const none = new BuddyAllocator({ ram: new PhysicalMemory({ size: MiB, content: false }) })
    expect(() => new Vmalloc(none)).toThrow(InvalidArgument)
  })
})

it('is all in order after that', () => {
  expectVmSound(used)
  expect(used.vm.context.tables.translate(used.area)).toBeGreaterThan(0)
  expect(must(used.vm.vmallocNodeRange(PAGE, { prot: PAGE_KERNEL }))).toBeGreaterThan(S)
})

describe('a cache mode that the format of page tables does not have', () => {
  it.each([
    ['RISC-V', { layout: LAYOUT_SV39, base: 0x80000000, vm: { format: SV39 } }],
    ['AArch64', { layout: LAYOUT_ARM64, base: 0x40000000, vm: { format: ARM64 } }],
  ] as const)('%s', (name, options) => {
    const m = vmMachine({ mib: 4, ...options })
    expectRefused(m, () => ioremap(m.vm, pa(2 ** 34), PAGE, 'wt'), name)
    expect(vmAreas(m.vm)).toEqual([])
  })
})
