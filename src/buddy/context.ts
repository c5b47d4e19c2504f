/** What every part of the allocator is handed: the state buffer, where its tables are, and the hooks. */

import { type Log, noLog } from '../base/log'
import { GFP_ZONE_TABLE, GFP_ZONE_TABLE_HIGHMEM } from '../page/gfp'
import { noPageTrace, type PageTrace } from '../state/trace'
import {
  CPU_CONTEXT,
  CPU_WORDS,
  HEADER_BLOCKS,
  HEADER_CPUS,
  HEADER_CURRENT_CPU,
  HEADER_HIGHMEM,
  HEADER_MAX_PFN,
  HEADER_NODES,
  HEADER_NR_CPUS,
  HEADER_NR_NODES,
  HEADER_PCPS,
  HEADER_ZONELISTS,
  HEADER_ZONES,
  NR_ZONES,
  PCP_WORDS,
  ZONE_PCP,
} from '../state/schema'
import { noPressure, type PressureOps } from './pressureOps'

/** Context bit: preemption is off; sleeping is a bug. */
export const CONTEXT_ATOMIC = 1
/** Context bit: the task reclaims, so it may use all reserves (PF_MEMALLOC). */
export const CONTEXT_MEMALLOC = 2
/** Context bit: the task may not start I/O (PF_MEMALLOC_NOIO). */
export const CONTEXT_NOIO = 4
/** Context bit: the task may not enter filesystems (PF_MEMALLOC_NOFS). */
export const CONTEXT_NOFS = 8
/** Context bit: the task pins pages, so MOVABLE ones are no use to it (PF_MEMALLOC_PIN). */
export const CONTEXT_PIN = 16
/** Context bit: a real-time task. */
export const CONTEXT_REALTIME = 32
/** Context bit: the OOM killer chose the task. */
export const CONTEXT_OOM_VICTIM = 64
/** Context bit: in an interrupt, hard or soft; the task's own bits do not count there. */
export const CONTEXT_INTERRUPT = 128

/** Zeroes page frames; what the allocator needs of RAM. */
export interface PageZeroer {
  /** Fills `count` frames from `pfn` on with zero. */
  zeroPages(pfn: number, count: number): void
}

/** For machines without content. */
export const noRam: PageZeroer = Object.freeze({ zeroPages() {} })

/**
 * One allocator's view of its state. The offsets are copies of header words, kept here because a
 * field of an object is cheaper than a word of the buffer (measured); everything that changes while
 * the allocator works is in `words`, but for the hooks.
 */
export class BuddyContext {
  /** The state buffer. */
  readonly words: Int32Array
  /** One more than the highest PFN with a record. */
  readonly maxPfn: number
  /** Offset of the pageblock table. */
  readonly blocks: number
  /** Offset of the zone table. */
  readonly zones: number
  /** Zones in the table, populated or not. */
  readonly nrZones: number
  /** Offset of the per-CPU page-list table. */
  readonly pcps: number
  /** Offset of the node table. */
  readonly nodes: number
  /** Nodes in the table. */
  readonly nrNodes: number
  /** Offset of the CPU table. */
  readonly cpus: number
  /** CPUs. */
  readonly nrCpus: number
  /** Offset of the first zonelist. */
  readonly zonelists: number
  /** Highest zone index by the low four GFP bits, two bits each. */
  readonly zoneTable: number
  /** Index of the zone that keeps migratetypes apart (NOFRAGMENT): Normal, or -1. */
  readonly normalZone: number
  /** Index of the Normal zone; requests for lower zones never kill. */
  readonly normalIndex: number
  /** Distance from CPU 0's page lists of a zone to the current CPU's. */
  pcpShift: number
  /** Offset of the current CPU's record. */
  cpuRecord: number
  /** True when somebody listens to `trace`. */
  tracing: boolean
  /** Receives the page events while `tracing`. */
  trace: PageTrace
  /** True while an interrupt hit code that holds the CPU's page lists: they cannot be used. */
  pcpLocked: boolean
  /** Receives the kernel's messages. */
  log: Log
  /** Reclaim, compaction and the OOM killer. */
  pressure: PressureOps
  /** Zeroes pages. */
  ram: PageZeroer
  /** Seconds on the caller's clock, for the rate limit of reports; null for no limit. */
  clock: (() => number) | null
  /** When the last failure was reported; null for never. */
  reportedAt: number | null
  /** Failures not reported since. */
  reportsMissed: number
  /** Name of the running task in reports. */
  taskName: string

  constructor(words: Int32Array) {
    this.words = words
    this.maxPfn = words[HEADER_MAX_PFN]!
    this.blocks = words[HEADER_BLOCKS]!
    this.zones = words[HEADER_ZONES]!
    this.nrNodes = words[HEADER_NR_NODES]!
    this.nrZones = this.nrNodes * NR_ZONES
    this.pcps = words[HEADER_PCPS]!
    this.nodes = words[HEADER_NODES]!
    this.cpus = words[HEADER_CPUS]!
    this.nrCpus = words[HEADER_NR_CPUS]!
    this.zonelists = words[HEADER_ZONELISTS]!
    const highmem = words[HEADER_HIGHMEM] === 1
    this.zoneTable = highmem ? GFP_ZONE_TABLE_HIGHMEM : GFP_ZONE_TABLE
    this.normalZone = highmem ? -1 : 2
    this.normalIndex = highmem ? 1 : 2
    this.pcpShift = words[HEADER_CURRENT_CPU]! * PCP_WORDS
    this.cpuRecord = this.cpus + words[HEADER_CURRENT_CPU]! * CPU_WORDS
    this.tracing = false
    this.trace = noPageTrace
    this.pcpLocked = false
    this.log = noLog
    this.pressure = noPressure
    this.ram = noRam
    this.clock = null
    this.reportedAt = null
    this.reportsMissed = 0
    this.taskName = 'kmem'
  }
}

/** Makes `cpu` the one that runs. */
export function switchCpu(c: BuddyContext, cpu: number): void {
  c.words[HEADER_CURRENT_CPU] = cpu
  c.pcpShift = cpu * PCP_WORDS
  c.cpuRecord = c.cpus + cpu * CPU_WORDS
}

/** Offset of the current CPU's page lists of `zone`. */
export function currentPcp(c: BuddyContext, zone: number): number {
  return c.words[zone + ZONE_PCP]! + c.pcpShift
}

/** The CONTEXT_ bits of the running code. */
export function contextBits(c: BuddyContext): number {
  return c.words[c.cpuRecord + CPU_CONTEXT]!
}
