/** A long, mixed, seeded use of the whole family, with bytes in all memory that tell whether it stays its owner's. */

import { expect } from 'vitest'
import { PAGE_SIZE, type Pfn, type VirtAddr } from '../../src/base/units'
import { onCpu } from '../../src/buddy/running'
import { __GFP_NOWARN, __GFP_ZERO, GFP_ATOMIC, GFP_KERNEL, GFP_NOWAIT } from '../../src/page/gfp'
import { shrinkAllCaches } from '../../src/slab/hotplug'
import {
  holdDrainWork,
  purgeVmapAreas,
  runDeferredFrees,
  runDrainWork,
  vfreeAtomic,
  vmapLazyPages,
} from '../../src/vmalloc/drainWork'
import { VM_FLUSH_RESET_PERMS, VM_IOREMAP, VM_MAP, VM_MAP_PUT_PAGES } from '../../src/vmalloc/flags'
import { ioremap, iounmap } from '../../src/vmalloc/ioremap'
import { readMemory, writeMemory } from '../../src/vmalloc/kernelMemory'
import { kvfree, kvmalloc, kvrealloc } from '../../src/vmalloc/kvmalloc'
import {
  freeVmArea,
  getVmAreaNode,
  setVmallocCaller,
  setVmFlushResetPerms,
  vmAreas,
  vmallocNrPages,
} from '../../src/vmalloc/vmAreas'
import { vmap } from '../../src/vmalloc/vmap'
import { vmMapRam, vmUnmapAliases, vmUnmapRam } from '../../src/vmalloc/vmapRam'
import { vread } from '../../src/vmalloc/vread'
import { type Stream, stream } from '../buddy/random'
import { expectVmSound, freeOrTables, type VmMachine, va } from './machines'

const PAGE = PAGE_SIZE
/** Bytes of a mark; one is at each end of a page, another in its middle. */
const MARK = 8
const MASKS = [
  GFP_KERNEL,
  GFP_KERNEL,
  GFP_KERNEL | __GFP_ZERO,
  GFP_NOWAIT | __GFP_NOWARN,
  GFP_ATOMIC,
]

/** Something of the family that is in use. */
interface Live {
  readonly kind: 'memory' | 'vmap' | 'put' | 'ram' | 'io' | 'area'
  readonly address: VirtAddr
  /** Bytes with marks. */
  readonly bytes: number
  /** What the marks say. */
  readonly id: number
  /** Frames of the owner's. */
  readonly frames: readonly Pfn[]
}

/** A run of the script that can be stopped and continued on another machine. */
export class VmScript {
  /** Everything that calls have returned, folded into one number. */
  answer = 0
  readonly live: Live[] = []
  private readonly random: Stream
  private readonly blocks: Pfn[] = []
  private machine: VmMachine
  private lastId = 0
  private pristine = -1
  private readonly weights: readonly number[]

  constructor(machine: VmMachine, seed: number) {
    this.random = stream(seed)
    this.machine = machine
    // Some operations are left out of a run.
    this.weights = STEPS.map(() => this.random.pick([0, 1, 2, 5]))
    freeVmArea(machine.vm, getVmAreaNode(machine.vm, PAGE) ?? va(0))
    this.pristine = this.settle()
  }

  /** Goes on with a machine in the state of the one before. */
  moveTo(machine: VmMachine): this {
    this.machine = machine
    return this
  }

  /** Makes `steps` more calls; checks all invariants after every `every`th, and never for 0. */
  run(steps: number, every: number): this {
    const { random, machine } = this
    const cpus = machine.vm.context.frames.nrCpus
    for (let i = 1; i <= steps; i++) {
      const step = this.pickStep()
      onCpu(machine.pages, random.below(cpus), () => step(this, machine))
      if (every > 0 && i % every === 0) this.check()
    }
    return this
  }

  /** Expects all layers to be in order, and the counts to be right. */
  check(): void {
    expectVmSound(this.machine)
  }

  /** Frees everything, and expects every page back that is no page table. */
  finish(): void {
    const { machine } = this
    const { vm, pages } = machine
    while (this.live.length > 0) this.free(0)
    for (let cpu = 0; cpu < vm.context.frames.nrCpus; cpu++) {
      onCpu(pages, cpu, () => runDeferredFrees(vm))
    }
    for (const pfn of this.blocks.splice(0)) pages.freePages(pfn)
    holdDrainWork(vm, false)
    const left = this.settle()
    expect([vmAreas(vm), vmallocNrPages(vm), vmapLazyPages(vm)]).toEqual([[], 0, 0])
    // The spare objects of CPUs and that of the free area may lie in slabs of their own; at first there was one.
    // The block at frame 0 may have been set aside, where its address would be 0 (DIFF-25).
    const spare = vm.context.frames.nrCpus + (this.machine.slabs.context.directMap === 0 ? 8 : 0)
    expect(this.pristine - left).toBeLessThanOrEqual(spare)
    this.check()
  }

  settle(): number {
    vmUnmapAliases(this.machine.vm)
    shrinkAllCaches(this.machine.slabs)
    return freeOrTables(this.machine)
  }

  /** A count of pages: mostly few. */
  pages(): number {
    const { random } = this
    return 1 + random.below(random.pick([1, 4, 4, 30, 30, 130, 700]))
  }

  below(n: number): number {
    return this.random.below(n)
  }

  mask(): number {
    return this.random.pick(MASKS)
  }

  /** Takes note of what was got, and fills it. */
  keep(
    kind: Live['kind'],
    address: VirtAddr | null,
    bytes: number,
    frames: readonly Pfn[] = [],
  ): void {
    this.answer = (Math.imul(this.answer, 31) + ((address ?? 0) % 0xfffffff)) | 0
    if (address === null) {
      for (const pfn of frames) this.machine.pages.freePages(pfn)
      return
    }
    this.lastId += 1
    const entry: Live = { kind, address, bytes, id: this.lastId, frames }
    this.live.push(entry)
    for (const [at, length] of this.marks(entry)) {
      writeMemory(this.machine.vm.context, va(at), this.mark(entry, at).subarray(0, length))
    }
  }

  /** Single frames of the page allocator's; none when there are not so many. */
  frames(count: number): Pfn[] {
    const { pages } = this.machine
    const taken: Pfn[] = []
    while (taken.length < count) {
      const pfn = pages.allocPages(GFP_KERNEL | __GFP_NOWARN)
      if (pfn === null) {
        for (const each of taken.splice(0)) pages.freePages(each)
        break
      }
      taken.push(pfn)
    }
    return taken
  }

  /** Expects the marks of something in use to be as they were written. */
  expectContent(entry: Live): void {
    const read = new Uint8Array(MARK)
    for (const [at, length] of this.marks(entry)) {
      readMemory(this.machine.vm.context, va(at), read.subarray(0, length))
      const right = this.mark(entry, at)
      if (read.subarray(0, length).join() !== right.subarray(0, length).join()) {
        expect.fail(`0x${at.toString(16)} of ${entry.kind} ${entry.id} has ${read.join()}`)
      }
    }
  }

  /** Frees what is at a place of the list, in one of the ways that there are. */
  free(i: number): void {
    const [entry] = this.live.splice(i, 1)
    if (entry === undefined) return
    const { vm } = this.machine
    const { address, kind, frames } = entry
    this.expectContent(entry)
    const inside = va(address + this.below(Math.max(1, Math.floor(entry.bytes / PAGE))) * PAGE)
    if (kind === 'ram') vmUnmapRam(vm, address, frames.length)
    else if (kind === 'io') iounmap(vm, address)
    else if (kind === 'area') freeVmArea(vm, address)
    else if (!vm.isVmallocAddr(address)) kvfree(vm, address)
    else if (this.below(4) === 0) vfreeAtomic(vm, inside)
    else if (kind === 'vmap' && this.below(2) === 0) vm.vunmap(inside)
    else vm.vfree(inside)
    // A frame goes when nothing maps it any more: what waits is in nobody's way.
    if (kind === 'vmap' || kind === 'ram') this.blocks.push(...frames)
  }

  pressure(): void {
    const { pages } = this.machine
    if (this.blocks.length > 0) for (const pfn of this.blocks.splice(0)) pages.freePages(pfn)
    else {
      for (let n = this.below(3000); n > 0; n--) {
        const pfn = pages.allocPages(GFP_KERNEL | __GFP_NOWARN)
        if (pfn === null) break
        this.blocks.push(pfn)
      }
    }
  }

  private pickStep(): Step {
    const total = this.weights.reduce((sum, weight) => sum + weight, 0)
    let n = this.below(total + 6)
    for (const [i, weight] of this.weights.entries()) {
      const step = STEPS[i]
      if (n < weight && step !== undefined) return step
      n -= weight
    }
    return n < 3 ? allocate : freeSome
  }

  /** Where the marks of something are, and their lengths. */
  private *marks({ kind, address, bytes }: Live): Generator<readonly [number, number]> {
    if (kind === 'io' || kind === 'area') return
    if (bytes < MARK) yield [address, bytes]
    for (let at: number = address; at + MARK <= address + bytes; at += PAGE) {
      yield [at, MARK]
      const end = Math.min(Math.floor(at / PAGE + 1) * PAGE, address + bytes)
      if (end - MARK >= at + MARK) yield [end - MARK, MARK]
    }
  }

  private mark({ id }: Live, at: number): Uint8Array {
    const page = Math.floor(at / 8)
    return Uint8Array.from({ length: MARK }, (_, i) => id * 37 + page * 11 + i)
  }
}

type Step = (script: VmScript, m: VmMachine) => void

const allocate: Step = (s, { vm }) => {
  const bytes = s.pages() * PAGE - s.below(PAGE)
  s.keep('memory', vm.vmalloc(bytes, s.mask()), bytes)
}

const freeSome: Step = (s) => {
  for (let n = s.below(4); n > 0; n--) s.free(s.below(s.live.length))
}

const STEPS: readonly Step[] = [
  allocate,
  freeSome,
  (s, { vm }) => {
    const bytes = s.pages() * PAGE
    const p = vm.vzalloc(bytes)
    if (p !== null) {
      const read = new Uint8Array(bytes).fill(1)
      expect(vread(vm, read, p)).toBe(bytes)
      expect(read.some((byte) => byte !== 0)).toBe(false)
    }
    s.keep('memory', p, bytes)
  },
  (s, { vm }) => {
    const bytes = (1 + s.below(2)) * 2 ** 21 + s.below(3) * PAGE
    s.keep('memory', vm.vmallocHuge(bytes), bytes)
  },
  (s, { vm }) => {
    const align = 2 ** (12 + s.below(11))
    const flags = s.below(2) * VM_FLUSH_RESET_PERMS
    const bytes = s.pages() * PAGE
    const p = vm.vmallocNodeRange(bytes, { align, flags, gfp: s.mask() })
    if (p !== null) expect(p % align).toBe(0)
    s.keep('memory', p, bytes)
  },
  (s, { vm }) => {
    const bytes = 1 + s.below([64, 5000, 100_000, 5_000_000][s.below(4)] ?? 1)
    s.keep('memory', kvmalloc(vm, bytes, s.mask() & ~__GFP_ZERO), bytes)
  },
  (s, { vm }) => {
    const i = s.live.findIndex(({ kind }) => kind === 'memory')
    const [old] = i < 0 ? [] : s.live.splice(i, 1)
    if (old === undefined) return
    s.expectContent(old)
    const bytes = old.bytes + s.below(40_000)
    const moved = kvrealloc(vm, old.address, old.bytes, bytes)
    if (moved === null || moved === old.address) s.live.push(old)
    else s.keep('memory', moved, bytes)
  },
  (s, { vm }) => {
    const frames = s.frames(1 + s.below(20))
    if (frames.length > 0) s.keep('vmap', vmap(vm, frames), frames.length * PAGE, frames)
  },
  (s, { vm }) => {
    const frames = s.frames(1 + s.below([10, 600][s.below(2)] ?? 1))
    const put = VM_MAP | VM_MAP_PUT_PAGES
    if (frames.length > 0) s.keep('put', vmap(vm, frames, put), frames.length * PAGE, frames)
  },
  (s, { vm }) => {
    const frames = s.frames(1 + s.below([4, 64, 100][s.below(3)] ?? 1))
    if (frames.length > 0) s.keep('ram', vmMapRam(vm, frames), frames.length * PAGE, frames)
  },
  (s, { vm }) => {
    const bytes = 1 + s.below([5000, 100_000, 5_000_000][s.below(3)] ?? 1)
    s.keep('io', ioremap(vm, (2 ** 33 + s.below(2 ** 22)) as never, bytes), bytes)
  },
  (s, { vm }) => {
    const bytes = s.pages() * PAGE
    const flags = [0, VM_MAP, VM_IOREMAP, 0x40][s.below(4)] ?? 0
    s.keep('area', getVmAreaNode(vm, bytes, { flags, align: 2 ** s.below(20) }), bytes)
  },
  (_s, { vm }) => runDeferredFrees(vm),
  (s, { vm }) => {
    s.answer = (s.answer + Number(purgeVmapAreas(vm))) | 0
  },
  (_s, { vm }) => vmUnmapAliases(vm),
  (s, { vm }) => holdDrainWork(vm, s.below(2) === 0),
  (s, { vm }) => {
    s.answer = (s.answer + Number(runDrainWork(vm)) + vmapLazyPages(vm)) | 0
  },
  (s, { vm }) => setVmallocCaller(vm, ['', 'a+0x0/0x1', 'b+0x0/0x1'][s.below(3)] ?? ''),
  (s, { vm }) => {
    const chosen = s.live[s.below(Math.max(1, s.live.length))]
    if (chosen !== undefined) setVmFlushResetPerms(vm, chosen.address)
  },
  (s) => s.pressure(),
  (s) => {
    for (const entry of s.live) s.expectContent(entry)
  },
]
