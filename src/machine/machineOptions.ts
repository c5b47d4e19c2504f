/** What a machine is asked for. */

import type { Layout } from '../base/layout'
import type { LowMemory } from '../buddy/context'
import type { KernelLogOptions } from '../buddy/kernelLog'
import type { SlubDebugOptions } from '../debug/slubDebug'
import type { FlushOps } from '../paging/flushOps'
import type { PageTableFormat } from '../paging/format'
import type { SlabHardening } from '../slab/context'
import type { ZoneProfile } from '../zone/spans'
import type { MachineMemory, MemoryKeeping } from './machineMemory'

/** Options of `Machine.boot`. */
export interface MachineOptions extends AttachOptions {
  /** Memory: bytes, text such as `512MiB`, a memory map, or memory that exists. */
  readonly ram: MachineMemory
}

/** Options of `Machine.attach`: all but memory. */
export interface AttachOptions extends MemoryKeeping {
  /** A kernel's command line, such as `movablecore=128M slab_nomerge`; '' when not given. */
  readonly cmdline?: string
  /** CPUs; 1 when not given. `nr_cpus=` may make it fewer. */
  readonly cpus?: number
  /** Node of each CPU; they take turns over the nodes when not given. */
  readonly cpuNodes?: readonly number[]
  /** Distances between nodes, 10 to 255. */
  readonly distances?: readonly (readonly number[])[]
  /** Zones; those of x86_64 when not given. */
  readonly zones?: ZoneProfile
  /** Where kernel addresses lie; `LAYOUT_FLAT` when not given: an address is an offset into memory. */
  readonly layout?: Layout
  /** Format of the kernel's page tables; `X86_64` when not given. It must fit the layout. */
  readonly format?: PageTableFormat
  /** Takes the kernel's log, line by line; silent when not given. */
  readonly log?: (line: string) => void
  /** Seconds on any clock, for the limits of the log; nothing is left out without one. */
  readonly clock?: () => number
  /** Options of the log of pages: sizes of the kernel image. */
  readonly image?: NonNullable<KernelLogOptions['image']>
  /** Reclaim, compaction and the OOM killer: `withPressure(ops)`; nothing is reclaimed without it. */
  readonly pressure?: LowMemory
  /** Told which translations and cached data to forget. */
  readonly flush?: FlushOps
  /** Options of debug caches; `slub_debug=` of the command line is added. Caches may ask for checks in any case. */
  readonly debug?: Omit<SlubDebugOptions, 'boot' | 'log'>
  /** Encoding of free pointers: `slabHardening(seed)`; none when not given. */
  readonly hardening?: SlabHardening
  /** Whether the kmalloc caches and the tables of the vmalloc window take pages as on x86_64, 64 of them. */
  readonly populate?: boolean
}
