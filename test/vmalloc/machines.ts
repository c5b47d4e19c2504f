/** Machines for tests of the virtual mapper, and ways to look into them. */

import { expect } from 'vitest'
import { LAYOUT_X86_64, type Layout } from '../../src/base/layout'
import { MiB, type Pfn, type PhysAddr, type VirtAddr } from '../../src/base/units'
import { BuddyAllocator } from '../../src/buddy/buddyAllocator'
import { frameSource } from '../../src/buddy/frameSource'
import { kernelLog } from '../../src/buddy/kernelLog'
import type { BuddyOptions } from '../../src/buddy/options'
import { type VerifyVmallocOptions, verifyVmalloc } from '../../src/debug/verifyVmalloc'
import type { FrameSource } from '../../src/page/frameSource'
import type { FlushOps } from '../../src/paging/flushOps'
import { vmallocLog } from '../../src/proc/vmallocLog'
import { PhysicalMemory } from '../../src/ram/physicalMemory'
import { Kmalloc } from '../../src/slab/kmalloc'
import type { SlabOptions } from '../../src/slab/options'
import { SlabAllocator } from '../../src/slab/slabAllocator'
import { hashWords } from '../../src/state/checkState'
import { VMAP_WORDS_USED } from '../../src/state/vmapSchema'
import { Vmalloc } from '../../src/vmalloc/vmalloc'
import type { VmallocOptions } from '../../src/vmalloc/vmallocOptions'
import { freePages, machineHash, type SlabMachine, slabFaults } from '../slab/machines'

/** First address of the vmalloc window of x86_64. */
export const S = LAYOUT_X86_64.vmallocStart

/** A machine with a virtual mapper. */
export interface VmMachine extends SlabMachine {
  readonly heap: Kmalloc
  readonly vm: Vmalloc
  /** What the mapper asked of the pages since the last look: `bulk 0x2cc2 100 -1`, `alloc 0xdc0 0 -1`. */
  calls(): string[]
  /** Flushes since the last look: `tlb 0x… 0x…`, `map …`, `unmap …`. */
  flushes(): string[]
  /** Lines that were logged since the last look. */
  log(): string[]
}

/** What a machine is made of. */
export interface VmMachineOptions {
  /** Memory of each node; 16 MiB when not given. */
  readonly mib?: number
  readonly cpus?: number
  readonly nodes?: number
  /** First address of RAM. */
  readonly base?: number
  readonly ram?: PhysicalMemory
  readonly layout?: Layout
  readonly pages?: Omit<BuddyOptions, 'ram' | 'memory' | 'cpus' | 'cpuNodes'>
  readonly slabs?: SlabOptions
  readonly vm?: VmallocOptions
  /** Puts something between the pages and the mapper. */
  readonly between?: (source: FrameSource) => FrameSource
  /** Seconds, for the limits of logs. */
  readonly clock?: () => number
}

/** A machine with a fresh mapper; of x86_64 unless told otherwise. */
export function vmMachine(options: VmMachineOptions = {}): VmMachine {
  const { mib = 16, cpus = 1, nodes = 1, base = 0, layout = LAYOUT_X86_64 } = options
  const size = mib * MiB
  const map = Array.from({ length: nodes }, (_, node) => ({
    base: base + node * size,
    size,
    type: 'usable' as const,
    node,
  }))
  const ram = options.ram ?? new PhysicalMemory({ map })
  const lines: string[] = []
  const write = (line: string): void => void lines.push(line)
  const { clock } = options
  const cpuNodes = Array.from({ length: cpus }, (_, cpu) => cpu % nodes)
  const log = kernelLog(write, clock === undefined ? {} : { clock })
  const pages = new BuddyAllocator({ ram, cpuNodes, log, ...options.pages })
  const slabs = new SlabAllocator(pages, { layout, ...options.slabs })
  const heap = new Kmalloc(slabs)
  return mapperOn({ ram, pages, slabs }, heap, { ...options, layout }, lines)
}

/** A mapper on a machine that exists. */
export function mapperOn(
  machine: SlabMachine,
  heap: Kmalloc,
  options: VmMachineOptions & { readonly layout: Layout },
  lines: string[] = [],
): VmMachine {
  const calls: string[] = []
  const flushes: string[] = []
  const { layout, clock } = options
  const source = frameSource(machine.pages)
  const frames = (options.between ?? ((same) => same))(recorded(source, calls))
  // What the page allocator tells when it starts is not of interest here.
  lines.length = 0
  const vm = new Vmalloc(frames, {
    heap,
    maxRecords: 4096,
    flush: recordedFlush(flushes),
    log: vmallocLog((line) => void lines.push(line), {
      layout,
      ...(clock === undefined ? {} : { clock }),
    }),
    ...options.vm,
  })
  return {
    ...machine,
    heap,
    vm,
    calls: () => calls.splice(0),
    flushes: () => flushes.splice(0),
    log: () => lines.splice(0),
  }
}

function recorded(source: FrameSource, calls: string[]): FrameSource {
  return {
    ...source,
    allocPages(gfp, order, node) {
      calls.push(`alloc 0x${gfp.toString(16)} ${order} ${node}`)
      return source.allocPages(gfp, order, node)
    },
    allocBulk(gfp, count, node, pfns) {
      calls.push(`bulk 0x${gfp.toString(16)} ${count} ${node}`)
      source.allocBulk(gfp, count, node, pfns)
    },
  }
}

function recordedFlush(flushes: string[]): FlushOps {
  const note = (what: string) => (start: number, end: number) =>
    void flushes.push(`${what} 0x${start.toString(16)} 0x${end.toString(16)}`)
  return { flushTlb: note('tlb'), flushCacheMap: note('map'), flushCacheUnmap: note('unmap') }
}

/** Breaches of invariants of all layers, as text; empty when all is well. */
export function vmFaults(machine: VmMachine, options: VerifyVmallocOptions = {}): string[] {
  const found = verifyVmalloc(machine.vm, options).map(({ id, message }) => `${id}: ${message}`)
  return [...found, ...slabFaults(machine)]
}

/** Expects every invariant of all layers to hold. */
export function expectVmSound(machine: VmMachine, options: VerifyVmallocOptions = {}): void {
  const found = vmFaults(machine, options)
  if (found.length > 0) expect.fail(found.join('\n'))
}

/** Hashes of the state of all layers, and of RAM. */
export function vmHash(machine: VmMachine): string {
  const { words } = machine.vm.context.space
  return `${hashWords(words, words[VMAP_WORDS_USED]!)},${machineHash(machine)}`
}

/** Free pages, and those that are page tables of the mapper. */
export function freeOrTables(machine: VmMachine): number {
  return freePages(machine) + machine.vm.context.tables.tableCount
}

/** Frames of the page allocator, one by one. */
export function takeFrames({ pages }: SlabMachine, count: number): Pfn[] {
  return Array.from({ length: count }, () => pages.allocPages(0xcc0) ?? expect.fail('no page'))
}

/** An address, as the library has them. */
export function va(address: number): VirtAddr {
  return address as VirtAddr
}

/** A physical address. */
export function pa(address: number): PhysAddr {
  return address as PhysAddr
}

/** A one-time warning, as the log has it. */
export function warning(place: string, ...lines: string[]): string[] {
  return [
    '------------[ cut here ]------------',
    ...lines,
    `WARNING: CPU: 0 PID: 0 at ${place}`,
    '---[ end trace 0000000000000000 ]---',
  ]
}
