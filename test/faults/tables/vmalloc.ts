/** Operations of the virtual mapper. */

import {
  AddressSpace,
  clearFixmap,
  frameSource,
  freeVmArea,
  GFP_KERNEL,
  GFP_NOIO,
  GiB,
  getVmAreaNode,
  I386,
  ioremap,
  iounmap,
  Kmap,
  kvcalloc,
  kvfree,
  kvmalloc,
  kvmallocArray,
  kvrealloc,
  kvzalloc,
  LAYOUT_X86_64,
  layoutI386,
  type Machine,
  MiB,
  mapDirectMap,
  moduleAlloc,
  PAGE_KERNEL,
  PAGE_SIZE,
  PageTables,
  type Pfn,
  type PhysAddr,
  pcpuFreeVmAreas,
  pcpuGetVmAreas,
  remapVmallocRange,
  setFixmap,
  type VirtAddr,
  VM_MAP,
  VM_MAP_PUT_PAGES,
  VM_USERMAP,
  vmap,
  vmapPfn,
  vmMapRam,
  vmUnmapRam,
  X86_64,
} from '../../../src/index'
import { type Attempt, must, of, type Row, row } from '../rows'

const PAGE = PAGE_SIZE

/** Memory of vmalloc. */
function area(m: Machine, call: () => VirtAddr | null): Attempt<VirtAddr | null> {
  return of({ call, release: (p) => m.vm.vfree(p) })
}

/** Memory of kvmalloc. */
function either(m: Machine, call: () => VirtAddr | null): Attempt<VirtAddr | null> {
  return of({ call, release: (p) => kvfree(m.vm, p) })
}

function frames(m: Machine, count: number): Pfn[] {
  return Array.from({ length: count }, () => must(m.allocPages()))
}

/** For what takes more than the smallest machines have. */
const isLarge = (m: Machine): boolean => (m.ram.ranges[0]?.size ?? 0) >= 4 * MiB

/** What memory with pages of its own may leave, and a mapping of others' pages. */
const ALLOC = { leaves: ['slabs', 'spare', 'tables', 'areas', 'records'] } as const
/** The same for calls that come to the same as the first one: their first requests and their last. */
const VARIANT = { ...ALLOC, most: 2 } as const
const MAP = { leaves: ['spare', 'tables', 'areas', 'records'] } as const
const EITHER = { leaves: ['spare', 'areas', 'records'] } as const
const TABLES = { leaves: ['tables'] } as const

export const VMALLOC: readonly Row[] = [
  row('vmalloc of a page', 'Vmalloc#vmalloc', (m) => area(m, () => m.vm.vmalloc(PAGE)), ALLOC),
  row(
    'vmalloc of 30 pages, without I/O',
    'Vmalloc#vmalloc',
    (m) => area(m, () => m.vm.vmalloc(30 * PAGE, GFP_NOIO)),
    { ...ALLOC, most: 4 },
  ),
  row(
    'vmalloc with an array of its own',
    'Vmalloc#vmalloc',
    (m) => area(m, () => m.vm.vmalloc(600 * PAGE)),
    { ...ALLOC, most: 4, on: isLarge },
  ),
  row('vzalloc', 'Vmalloc#vzalloc', (m) => area(m, () => m.vm.vzalloc(2 * PAGE)), VARIANT),
  row(
    'vmallocNode',
    'Vmalloc#vmallocNode',
    (m) => area(m, () => m.vm.vmallocNode(PAGE, 0)),
    VARIANT,
  ),
  row('vmallocUser', 'Vmalloc#vmallocUser', (m) => area(m, () => m.vm.vmallocUser(PAGE)), VARIANT),
  row('vmalloc32', 'Vmalloc#vmalloc32', (m) => area(m, () => m.vm.vmalloc32(PAGE)), VARIANT),
  row(
    'vmalloc32User',
    'Vmalloc#vmalloc32User',
    (m) => area(m, () => m.vm.vmalloc32User(PAGE)),
    VARIANT,
  ),
  row(
    'vmallocHuge',
    'Vmalloc#vmallocHuge',
    (m) => area(m, () => m.vm.vmallocHuge(4 * MiB - 300 * PAGE)),
    { leaves: [...ALLOC.leaves, 'warned', 'stalls'], most: 4, on: isLarge },
  ),
  row(
    'vmallocArray',
    'Vmalloc#vmallocArray',
    (m) => area(m, () => m.vm.vmallocArray(3, PAGE)),
    VARIANT,
  ),
  row('vcalloc', 'Vmalloc#vcalloc', (m) => area(m, () => m.vm.vcalloc(3, PAGE)), VARIANT),
  row(
    'vmallocNodeRange',
    'Vmalloc#vmallocNodeRange',
    (m) => area(m, () => m.vm.vmallocNodeRange(PAGE, { align: MiB, flags: VM_USERMAP })),
    { leaves: ['slabs', 'tables', 'areas', 'records', 'warned'] },
  ),
  row('Machine.vmalloc', 'Machine#vmalloc', (m) => area(m, () => m.vmalloc(PAGE)), VARIANT),
  row('Machine.vzalloc', 'Machine#vzalloc', (m) => area(m, () => m.vzalloc(PAGE)), VARIANT),
  row('moduleAlloc', 'moduleAlloc', (m) => area(m, () => moduleAlloc(m.vm, PAGE)), {
    leaves: ['slabs', 'tables', 'areas', 'records', 'warned'],
    on: (m) => m.slabs.context.layout.modules !== undefined,
  }),
  row('Machine.kvmalloc', 'Machine#kvmalloc', (m) => either(m, () => m.kvmalloc(10_000)), EITHER),
  row('kvmalloc', 'kvmalloc', (m) => either(m, () => kvmalloc(m.vm, 30_000)), EITHER),
  row('kvzalloc', 'kvzalloc', (m) => either(m, () => kvzalloc(m.vm, 3000))),
  row(
    'kvmallocArray',
    'kvmallocArray',
    (m) => either(m, () => kvmallocArray(m.vm, 3, PAGE)),
    EITHER,
  ),
  row('kvcalloc', 'kvcalloc', (m) => either(m, () => kvcalloc(m.vm, 3, PAGE)), EITHER),
  row(
    'kvrealloc',
    'kvrealloc',
    (m) => {
      let p = must(m.kmalloc(3000))
      return of({
        call: () => kvrealloc(m.vm, p, 3000, 20_000),
        release: (moved) => {
          kvfree(m.vm, moved)
          p = must(m.kmalloc(3000))
        },
      })
    },
    { leaves: [...EITHER.leaves, 'tables'] },
  ),
  row(
    'getVmAreaNode',
    'getVmAreaNode',
    (m) =>
      of({
        call: () => getVmAreaNode(m.vm, PAGE),
        release: (p) => freeVmArea(m.vm, must(p)),
      }),
    { leaves: ['records', 'objects'] },
  ),
  row(
    'vmap',
    'vmap',
    (m) => {
      const pfns = frames(m, 3)
      return of({ call: () => vmap(m.vm, pfns), release: (p) => m.vm.vunmap(p) })
    },
    MAP,
  ),
  row(
    'vmap of pages to be put',
    'vmap',
    (m) => {
      const pfns = frames(m, 600)
      return of({
        call: () => vmap(m.vm, pfns, VM_MAP | VM_MAP_PUT_PAGES),
        release: (p) => {
          m.vm.vfree(p)
          pfns.splice(0, 600, ...frames(m, 600))
        },
      })
    },
    { ...ALLOC, most: 4, on: isLarge },
  ),
  row(
    'vmapPfn',
    'vmapPfn',
    (m) =>
      of({
        call: () => vmapPfn(m.vm, [0xfed00 as Pfn, 0xfed05 as Pfn]),
        release: (p) => m.vm.vunmap(p),
      }),
    MAP,
  ),
  row(
    'vmMapRam in a block',
    'vmMapRam',
    (m) => {
      const pfns = frames(m, 3)
      return of({
        call: () => vmMapRam(m.vm, pfns),
        release: (p) => vmUnmapRam(m.vm, must(p), 3),
      })
    },
    { leaves: ['slabs', 'tables', 'areas', 'records', 'warned', 'block'] },
  ),
  row(
    'vmMapRam in an area',
    'vmMapRam',
    (m) => {
      const pfns = frames(m, 70)
      return of({ call: () => vmMapRam(m.vm, pfns), release: (p) => vmUnmapRam(m.vm, must(p), 70) })
    },
    { leaves: ['spare', 'tables', 'areas'] },
  ),
  row(
    'ioremap with huge leaves',
    'ioremap',
    (m) =>
      of({
        call: () => ioremap(m.vm, (8 * GiB) as PhysAddr, 2 * MiB + PAGE),
        release: (p) => iounmap(m.vm, must(p)),
      }),
    { leaves: ['tables', 'areas', 'records', 'warned'] },
  ),
  row(
    'pcpuGetVmAreas',
    'pcpuGetVmAreas',
    (m) =>
      of({
        call: () => pcpuGetVmAreas(m.vm, [0, 2 * MiB], [MiB, MiB], MiB),
        release: (areas) => pcpuFreeVmAreas(m.vm, must(areas)),
      }),
    { leaves: ['slabs', 'areas', 'records', 'warned'] },
  ),
  row(
    'remapVmallocRange',
    'remapVmallocRange',
    (m) => {
      const p = must(m.vm.vmallocUser(3 * PAGE))
      const space = new AddressSpace(m.pages, { format: X86_64, user: true })
      return of({
        call: () => remapVmallocRange(m.vm, space, { address: 0x10000, size: 3 * PAGE }, p),
        failed: (code) => code !== 0,
        release: () => void space.unmap(0x10000, 3 * PAGE),
      })
    },
    { leaves: ['pages'] },
  ),
  row(
    'mapDirectMap',
    'mapDirectMap',
    (m) => {
      const tables = new PageTables(frameSource(m.pages), X86_64)
      const ranges = [
        { base: MiB, size: 6 * MiB },
        { base: GiB - MiB, size: 2 * MiB },
      ]
      return of({
        call: () => mapDirectMap(tables, LAYOUT_X86_64, ranges),
        release: () => tables.unmapRange(LAYOUT_X86_64.directMap, 2 * GiB),
        tables,
      })
    },
    TABLES,
  ),
  row(
    'setFixmap',
    'setFixmap',
    (m) => {
      const tables = new PageTables(frameSource(m.pages), X86_64)
      return of({
        call: () => setFixmap(tables, LAYOUT_X86_64, 100, 0xfee00000, PAGE_KERNEL),
        release: () => clearFixmap(tables, LAYOUT_X86_64, 100),
        tables,
      })
    },
    TABLES,
  ),
  row(
    'the windows of kmap',
    'Kmap',
    (m) => {
      const layout = layoutI386({ memory: 2 * GiB, nrCpus: 4 })
      const tables = new PageTables(frameSource(m.pages), I386)
      return of({
        call: () => new Kmap(m.pages, tables, layout),
        release: () => {},
        tables,
      })
    },
    TABLES,
  ),
]
void GFP_KERNEL
