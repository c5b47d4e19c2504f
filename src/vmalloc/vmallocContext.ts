/** What every part of the vmalloc family is handed: the address space, pages, page tables, memory, hooks. */

import type { Layout } from '../base/layout'
import type { FrameSource } from '../page/frameSource'
import type { PageTables } from '../paging/pageTables'
import type { Kmalloc } from '../slab/kmalloc'
import type { SlabCache } from '../slab/slabCache'
import { VMAP_WARNED } from '../state/vmapSchema'
import type { VmallocLogOps } from './vmallocLogOps'
import type { VmapContext } from './vmapContext'

/** Tells whether it freed address space: called when an allocation found none even after a purge. */
export type PurgeNotifier = () => number

/** One mapper's view of its machine. What changes while it works is in `space.words`, but for the hooks. */
export class VmallocContext {
  /** The address space: its state holds the records of the family too. */
  readonly space: VmapContext
  /** Page frames. */
  readonly frames: FrameSource
  /** Memory for descriptors and arrays. */
  readonly heap: Kmalloc
  /** Where kernel addresses lie. */
  readonly layout: Layout
  /** The kernel's page tables. */
  readonly tables: PageTables
  /** Receives the kernel's messages. */
  log: VmallocLogOps
  /** Name of what calls: recorded in each area that is made; `''` for none. */
  caller: string
  /** Whether `vmallocHuge` may use huge pages (`nohugevmalloc`). */
  readonly hugeVmalloc: boolean
  /** Whether `ioremap` may use huge leaves (`nohugeiomap`). */
  readonly hugeIomap: boolean
  /** Kernel address of the record of page frame 0: its low half, signed. */
  readonly recordsLow: number
  /** Its high half, signed; 0 with 32-bit pointers. */
  readonly recordsHigh: number
  /** Asked for address space when there is none. */
  readonly notifiers: PurgeNotifier[] = []
  /** The cache that objects of areas come from; null until it is known. */
  areaCache: SlabCache | null = null

  constructor(parts: VmallocParts) {
    this.space = parts.space
    this.frames = parts.frames
    this.heap = parts.heap
    this.layout = parts.layout
    this.tables = parts.tables
    this.log = parts.log
    this.caller = ''
    this.recordsLow = Number(BigInt.asIntN(32, parts.layout.vmemmap))
    const wide = parts.layout.pointerBytes === 8
    this.recordsHigh = wide ? Number(BigInt.asIntN(32, parts.layout.vmemmap >> 32n)) : 0
    this.hugeVmalloc = parts.hugeVmalloc
    this.hugeIomap = parts.hugeIomap
  }
}

/** What a context is made of. */
export type VmallocParts = Pick<
  VmallocContext,
  'space' | 'frames' | 'heap' | 'layout' | 'tables' | 'log' | 'hugeVmalloc' | 'hugeIomap'
>

/** Tells of a one-time warning, unless it has been told. */
export function warnVmalloc(c: VmallocContext, warning: number): void {
  if (isFirst(c, warning)) c.log.warn(warning)
}

/** Whether a one-time warning is due; from then on it is not. */
export function isFirst(c: VmallocContext, warning: number): boolean {
  const { words } = c.space
  const bit = 1 << warning
  if ((words[VMAP_WARNED]! & bit) !== 0) return false
  words[VMAP_WARNED]! |= bit
  return true
}
