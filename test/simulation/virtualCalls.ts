/** Operations on the kernel's address space: vmalloc and its family. */

import {
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
  getVmAreaNode,
  holdDrainWork,
  ioremap,
  kvmalloc,
  kvrealloc,
  kvzalloc,
  moduleAlloc,
  PAGE_SIZE,
  type Pfn,
  type PhysAddr,
  purgeVmapAreas,
  runDeferredFrees,
  runDrainWork,
  setVmallocCaller,
  setVmFlushResetPerms,
  type VirtAddr,
  VM_FLUSH_RESET_PERMS,
  VM_IOREMAP,
  VM_MAP,
  VM_MAP_PUT_PAGES,
  vmap,
  vmapLazyPages,
  vmMapRam,
  vmUnmapAliases,
  vread,
} from '../../src/index'
import { bytesOf, isZeroed, pagesOf } from './draws'
import { enterMemory } from './heapCalls'
import type { LiveArea } from './live'
import type { Operation, Simulation } from './simulation'
import { Violation } from './violation'

const MASKS = [
  ...[GFP_KERNEL, GFP_KERNEL, GFP_KERNEL, GFP_KERNEL | 0x100],
  ...[GFP_NOWAIT | 0x2000, GFP_ATOMIC, GFP_KERNEL | 0x8000],
]

function maskOf(draw: number): number {
  return MASKS[draw % MASKS.length]!
}

export const VIRTUAL_CALLS: Readonly<Record<string, Operation>> = {
  'vm.vmalloc': {
    weight: 5,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const bytes = pagesOf(a) * PAGE_SIZE - (c % PAGE_SIZE)
      const gfp = maskOf(b)
      enterArea(
        s,
        at,
        'memory',
        s.attempt(() => s.machine.vmalloc(bytes, gfp)),
        bytes,
        gfp,
      )
    },
  },
  'vm.vzalloc': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const bytes = pagesOf(a) * PAGE_SIZE - (c % PAGE_SIZE)
      const p = s.machine.vzalloc(bytes)
      if (p !== null && c % 4 === 0) {
        const read = new Uint8Array(bytes).fill(1)
        if (vread(s.machine.vm, read, p) !== bytes || read.some((byte) => byte !== 0)) {
          throw new Violation('not zero', `vread of ${bytes} bytes of vzalloc`)
        }
      }
      enterArea(s, at, 'memory', p, bytes, 0x100)
    },
  },
  'vm.huge': {
    weight: 0.4,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const bytes = (1 + (a % 2)) * 2 ** 21 + (c % 3) * PAGE_SIZE
      enterArea(s, at, 'memory', s.machine.vm.vmallocHuge(bytes), bytes, 0)
    },
  },
  'vm.range': {
    weight: 2,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const align = 2 ** (12 + (c % 11))
      const bytes = pagesOf(a) * PAGE_SIZE
      const [gfp, flags] = [maskOf(b), (c >>> 8) % 2 === 0 ? 0 : VM_FLUSH_RESET_PERMS]
      const node = (c >>> 12) % s.machine.pages.context.nrNodes
      const range = { align, flags, gfp, node: (c >>> 16) % 2 === 0 ? -1 : node }
      const p = s.attempt(() => s.machine.vm.vmallocNodeRange(bytes, range))
      if (p !== null && p % align !== 0) throw new Violation('align', `an area at ${p}`)
      enterArea(s, at, 'memory', p, bytes, gfp)
    },
  },
  'vm.variants': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const { vm } = s.machine
      const bytes = pagesOf(a) * PAGE_SIZE
      const ways = [
        () => vm.vmallocUser(bytes),
        () => vm.vmalloc32(bytes),
        () => vm.vmalloc32User(bytes),
        () => vm.vcalloc(bytes / PAGE_SIZE, PAGE_SIZE),
        () => (s.spec.kind === 'x86_64' ? moduleAlloc(vm, bytes) : vm.vmalloc(bytes)),
      ]
      const way = c % ways.length
      const p = ways[way]!()
      const zeroed = way === 0 || way === 2 || way === 3
      enterArea(s, at, 'memory', p, bytes, zeroed ? 0x100 : 0)
    },
  },
  'vm.kvmalloc': {
    weight: 3,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const [bytes, gfp] = [bytesOf(a), maskOf(b)]
      const { vm } = s.machine
      const p = s.attempt(() => (c % 4 === 0 ? kvzalloc(vm, bytes, gfp) : kvmalloc(vm, bytes, gfp)))
      enterMemory(s, at, bytes, c % 4 === 0 ? 0x100 : gfp, p)
    },
  },
  'vm.kvrealloc': {
    weight: 1,
    run(s, { at, a, b }) {
      const old = s.live.pick(a, at, 'memory')
      if (old?.kind !== 'memory') return
      const bytes = old.bytes + (b % 40_000)
      s.expectMarks(old)
      const p = s.attempt(() => kvrealloc(s.machine.vm, old.address, old.bytes, bytes))
      s.fold(p)
      if (p === null) return s.expectMarks(old)
      // What it held is there, but for the mark at the old end.
      const moved = { ...old, address: p, bytes: Math.min(old.bytes, PAGE_SIZE - 1) & ~3 }
      if (p === old.address) return
      s.live.remove(old.id)
      const item = { kind: 'memory', id: at, address: p, bytes } as const
      s.live.add(item)
      if (moved.bytes >= 4) {
        s.pieces({ ...moved, bytes: 4 }, (phys) => {
          if (s.content.lost(phys, 4, old.id, 0) < 0) return
          throw new Violation('content', `kvrealloc to ${bytes} bytes lost number ${old.id}`)
        })
      }
      s.mark(item)
      s.note(`${old.id} is now ${bytes} bytes at 0x${p.toString(16)}`)
    },
  },
  'vm.vmap': {
    weight: 1.5,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const pfns = frames(s, 1 + (a % 20))
      if (pfns.length === 0) return
      enterArea(s, at, 'vmap', vmap(s.machine.vm, pfns, c % 2 === 0 ? VM_MAP : 0), pfns)
    },
  },
  'vm.vmapPut': {
    weight: 1,
    run(s, { at, a, b }) {
      if (s.full) return s.free(a, at, b)
      const pfns = frames(s, 1 + (b % (a % 8 === 0 ? 600 : 10)))
      if (pfns.length === 0) return
      enterArea(s, at, 'put', vmap(s.machine.vm, pfns, VM_MAP | VM_MAP_PUT_PAGES), pfns)
    },
  },
  'vm.mapRam': {
    weight: 2,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const pfns = frames(s, 1 + (b % [4, 4, 64, 100][a % 4]!))
      if (pfns.length === 0) return
      const node = c % 2 === 0 ? -1 : (c >>> 8) % s.machine.pages.context.nrNodes
      enterArea(s, at, 'ram', vmMapRam(s.machine.vm, pfns, node), pfns)
    },
  },
  'vm.ioremap': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const bytes = 1 + (b % [5000, 100_000, 5_000_000][a % 3]!)
      const phys = (2 ** 34 + (c % 2 ** 22)) as PhysAddr
      // Not every format of page tables has them all.
      const caches = ['uc-', 'uc', 'wc', 'wb', 'wt'] as const
      const x86 = s.spec.kind === 'flat' || s.spec.kind === 'x86_64'
      const cache = caches[(a >>> 4) % (x86 ? 5 : 4)]!
      enterArea(s, at, 'io', ioremap(s.machine.vm, phys, bytes, cache), bytes, 0)
    },
  },
  'vm.area': {
    weight: 1,
    run(s, { at, a, b, c }) {
      if (s.full) return s.free(a, at, b)
      const bytes = pagesOf(a) * PAGE_SIZE
      const flags = [0, VM_MAP, VM_IOREMAP, 0x40][b % 4]!
      const p = getVmAreaNode(s.machine.vm, bytes, { flags, align: 2 ** (c % 20) })
      enterArea(s, at, 'empty', p, bytes, 0)
    },
  },
  'vm.resetPerms': {
    weight: 0.3,
    run(s, { at, a }) {
      const item = s.live.pick(a, at, 'area')
      if (item?.kind === 'area') setVmFlushResetPerms(s.machine.vm, item.address)
    },
  },
  'vm.deferred': { weight: 0.5, run: (s) => runDeferredFrees(s.machine.vm) },
  'vm.purge': { weight: 0.3, run: (s) => s.fold(purgeVmapAreas(s.machine.vm) ? 1 : 0) },
  'vm.unmapAliases': { weight: 0.3, run: (s) => vmUnmapAliases(s.machine.vm) },
  'vm.holdDrain': { weight: 0.3, run: (s, { a }) => holdDrainWork(s.machine.vm, a % 2 === 0) },
  'vm.drainWork': {
    weight: 0.3,
    run(s) {
      s.fold(runDrainWork(s.machine.vm) ? 1 : 0)
      s.fold(vmapLazyPages(s.machine.vm))
    },
  },
  'vm.caller': {
    weight: 0.2,
    run: (s, { a }) => setVmallocCaller(s.machine.vm, ['', 'a+0x0/0x1', 'b+0x0/0x1'][a % 3]!),
  },
}

/** Single pages for a mapping; none when there are not so many. */
function frames(s: Simulation, count: number): Pfn[] {
  const taken: Pfn[] = []
  while (taken.length < count) {
    const pfn = s.machine.allocPages(GFP_KERNEL | 0x2000)
    if (pfn === null) {
      for (const each of taken) s.machine.freePages(each)
      return []
    }
    taken.push(pfn)
  }
  return taken
}

/** Takes note of an area; pages that it was to map go back when there is none. */
function enterArea(
  s: Simulation,
  at: number,
  how: LiveArea['how'],
  address: VirtAddr | null,
  size: number | readonly Pfn[],
  gfp = 0,
): void {
  s.fold(address)
  const pfns = typeof size === 'number' ? [] : size
  if (address === null) {
    for (const pfn of pfns) s.machine.freePages(pfn)
    return
  }
  const bytes = typeof size === 'number' ? size : size.length * PAGE_SIZE
  const owned = how === 'put' ? [] : pfns
  s.enter({ kind: 'area', id: at, how, address, bytes, pfns: owned }, isZeroed(gfp))
}
